"""From a submission to a message: the checks every door shares, then everything a retry must not change.

Pure: the instant, the entropy and the way out are arguments. Field syntax (addresses, control characters)
was checked where the value was made; here are the rules that need the whole submission or the settings.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache

from postroom.engine.limits import MessageLimits
from postroom.errors import Problem
from postroom.mime import headers
from postroom.mime.raw import trace_field
from postroom.mime.raw_senders import header_senders
from postroom.mime.raw_writer import with_subject_prefix
from postroom.model.address import NULL_PATH, Address, Mailbox
from postroom.model.guest import Guest
from postroom.model.ids import ENTROPY_BYTES, MessageId, letters, new_message_id
from postroom.model.message import BlobRef, Content, Door, Envelope, Message, RawMail, Submission
from postroom.model.transport import FromPolicy
from postroom.policy.retry import ClassRules
from postroom.ports import IdempotencyClaim, KeyReused

IDEMPOTENCY_LIFE = timedelta(hours=24)
"""A key is kept at least this long and never shorter than its message lives (reliability rule H1)."""
FREEZE_BYTES = ENTROPY_BYTES + 16
"""Entropy of one message: its id's, and 16 bytes for the boundary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What the chosen way out says about senders."""

    transport: str
    default_from: Mailbox | None
    account: Address | None
    """The login, when it is an address."""
    from_policy: FromPolicy = FromPolicy.KEEP
    subject_prefix: str = ""
    """Of the rule that chose the way; a transport's own is its variant's."""

    @property
    def identity(self) -> Address | None:
        """The address that may send here: the login, else the default sender's."""
        return self.account or (self.default_from.address if self.default_from is not None else None)

    def refuses(self, from_: Mailbox) -> bool:
        """Say whether this way out takes no mail from that sender."""
        if self.from_policy is not FromPolicy.REFUSE:
            return False
        identity = self.identity
        return identity is not None and not from_.address.is_same(identity)

    def reverse_path(self, content: Content, door: Door) -> Address:
        """Return MAIL FROM of a message that goes out here.

        A notice of ours asks for no report (reliability rule D10); providers with a login want its address.
        A null path that a client gave stays null everywhere: what answers such a mail may loop.
        """
        if content.sender is not None and content.sender.address == NULL_PATH:
            return NULL_PATH
        if self.from_policy is FromPolicy.REWRITE and (identity := self.identity) is not None:
            return identity
        if content.sender is not None:
            return content.sender.address
        return self.account or (NULL_PATH if door is Door.POSTROOM else content.from_.address)


def problems(
    submission: Submission,
    *,
    sending: Sending,
    limits: MessageLimits,
    senders: Sequence[str],
    now: datetime,
) -> list[Problem]:
    """Return everything that forbids accepting the submission, in field order; empty when nothing does."""
    return [
        *_sender_problems(submission, sending, senders),
        *_recipient_problems(submission, limits),
        *_size_problems(submission, limits),
        *_time_problems(submission, now),
    ]


def _sender_problems(submission: Submission, sending: Sending, senders: Sequence[str]) -> Iterator[Problem]:
    from_ = submission.from_ or sending.default_from
    if from_ is None:
        yield Problem(
            code="from-missing",
            field="from",
            cause=f"no sender given and transport {sending.transport!r} has no default sender",
            fix="Give `from`, or set POSTROOM_FROM (or `from` in postroom.toml) to the sender's address.",
        )
        return
    if sending.refuses(from_):
        yield Problem(
            code="from-not-account",
            field="from",
            cause=f"transport {sending.transport!r} sends only as {sending.identity}, not as {from_.address}",
            fix="Send from that address and put the person into `reply_to`; or set the transport's"
            " `from_policy` to `rewrite`, which does so for every message.",
        )
    if not senders:
        return
    shown = () if submission.raw is None else header_senders(submission.raw.head)
    if shown is None:
        yield Problem(
            code="address-invalid",
            field="sender",
            cause="the header has a Sender or Resent field that is not one address",
            fix="Write one address, or leave the field out.",
        )
        return
    named = [("sender", mailbox) for mailbox in (submission.sender, *shown)]
    for name, mailbox in (("from", from_), *named):
        if mailbox is not None and (problem := sender_problem(mailbox.address, senders, field=name)):
            yield problem


def sender_problem(address: Address, senders: Sequence[str], *, field: str) -> Problem | None:
    """Return why a key may not send as this address; ``senders`` are what it allows, empty for any."""
    spec, domain = address.spec.lower(), f"@{address.domain}"
    if not senders or address == NULL_PATH or any(one.lower() in (spec, domain) for one in senders):
        return None
    return Problem(
        code="sender-not-allowed",
        field=field,
        cause=f"this key may not send as {address}; allowed: {', '.join(senders)}",
        fix="Use an allowed sender, or a key that allows this one.",
    )


def _recipient_problems(submission: Submission, limits: MessageLimits) -> Iterator[Problem]:
    count = len(submission.to) + len(submission.cc) + len(submission.bcc)
    if count == 0:
        yield Problem(
            code="recipients-missing",
            field="to",
            cause="no recipient in to, cc or bcc",
            fix="Give at least one address in `to`, `cc` or `bcc`.",
        )
    if count > limits.max_recipients:
        yield Problem(
            code="too-many-recipients",
            field="to",
            cause=f"{count} recipients, at most {limits.max_recipients} in one message",
            fix="Send several messages; POST /v1/messages/batch takes many at once.",
        )


def _size_problems(submission: Submission, limits: MessageLimits) -> Iterator[Problem]:
    total = sum(attachment.blob.size for attachment in submission.attachments)
    for name, value in (("text", submission.text), ("html", submission.html)):
        if value is None:
            continue
        size = len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        total += size
        if size > limits.max_text:
            yield _too_much(
                name, f"{size} bytes, at most {limits.max_text}", "Attach long content as a file."
            )
    if total > limits.max_content:
        yield _too_much(
            "attachments",
            f"{total} bytes of texts and files, at most {limits.max_content}",
            "Send links to large files.",
        )
    for name, count, most in (
        (
            "attachments",
            len(submission.attachments) + len(submission.remote_files),
            limits.max_attachments,
        ),
        ("headers", len(submission.headers), limits.max_headers),
        ("tags", len(submission.tags), limits.max_tags),
        ("metadata", len(submission.metadata), limits.max_metadata),
    ):
        if count > most:
            yield _too_much(name, f"{count} entries, at most {most}", f"Give at most {most}.")


def _too_much(field: str, cause: str, fix: str) -> Problem:
    return Problem(code="limit-exceeded", field=field, cause=cause, fix=fix)


def _time_problems(submission: Submission, now: datetime) -> Iterator[Problem]:
    expires_at, send_at = submission.expires_at, submission.send_at
    if expires_at is not None and expires_at <= max(now, send_at or now):
        yield Problem(
            code="expires-too-early",
            field="expires_at",
            cause=f"{expires_at.isoformat()} is not after the time of sending",
            fix="Give a later `expires_at`, or leave it out to take the class's lifetime.",
        )


def freeze(
    submission: Submission,
    *,
    sending: Sending,
    rules: ClassRules,
    id_domain: str | None,
    now: datetime,
    entropy: bytes,
) -> Message:
    """Make the message: id, Date, Message-ID, boundary, envelope and lifetime are fixed here.

    ``problems`` must have found nothing.
    """
    message_id = new_message_id(now, entropy[:ENTROPY_BYTES])
    from_ = submission.from_ or sending.default_from
    if from_ is None:
        raise AssertionError("freeze needs a sender; problems() was not asked")
    recipients = dict.fromkeys(
        mailbox.address for mailbox in (*submission.to, *submission.cc, *submission.bcc)
    )
    due_at = max(submission.send_at or now, now)
    domain = submission.message_id_domain or id_domain or from_.address.domain
    own_id = submission.message_id or f"{message_id}@{domain}"
    content = Content(
        message_id=own_id,
        date=now,
        boundary=letters(entropy[ENTROPY_BYTES:]),
        from_=from_,
        sender=submission.sender,
        to=submission.to,
        cc=submission.cc,
        reply_to=submission.reply_to,
        subject=sending.subject_prefix + submission.subject,
        text=submission.text,
        html=submission.html,
        headers=submission.headers,
        attachments=submission.attachments,
        in_reply_to=submission.in_reply_to,
        references=submission.references,
        remote_files=submission.remote_files,
        raw=None if submission.raw is None else _completed(submission, sending, own_id, (message_id, now)),
    )
    return Message(
        id=message_id,
        tenant=submission.tenant,
        door=submission.door,
        mail_class=submission.mail_class,
        created_at=now,
        send_at=due_at,
        expires_at=submission.expires_at or due_at + rules.expires,
        uncertain_policy=submission.uncertain_policy or rules.uncertain,
        envelope=Envelope(
            reverse_path=sending.reverse_path(content, submission.door), recipients=tuple(recipients)
        ),
        content=content,
        tags=submission.tags,
        metadata=submission.metadata,
        reports=submission.reports,
        template=submission.template,
    )


def _completed(
    submission: Submission, sending: Sending, own_id: str, trace: tuple[MessageId, datetime]
) -> RawMail:
    """Return a raw mail with the fields that acceptance adds in front of its own."""
    mail = submission.raw
    if mail is None:
        raise AssertionError("a submission without a raw mail")
    head, (message_id, now) = mail.head, trace
    if sending.subject_prefix:
        head = with_subject_prefix(head, sending.subject_prefix)
    if submission.message_id is None:
        head = headers.message_ids("Message-ID", (own_id,)).encode() + head
    if not mail.is_dated:
        head = headers.date(now).encode() + head
    if mail.trace:
        head = trace_field(mail.trace, message_id, now) + head
    return RawMail(head=head, body=mail.body, needs_8bit=mail.needs_8bit, needs_smtputf8=mail.needs_smtputf8)


@lru_cache(maxsize=1)
def _digested_fields() -> tuple[str, ...]:
    left_out = {"idempotency_key", "idempotency_life", "tenant", "door", "message_id", "reports", "relative"}
    left_out |= {"template", "template_asked"}
    return tuple(field.name for field in fields(Submission) if field.name not in left_out)


_LATER = frozenset({"raw", "remote_files"})
"""Fields that came later: left out while empty, so that an earlier program's digests stay the same."""
_RENDERED = frozenset({"subject", "text", "html"})
"""What a template gives; a newer version of it gives another, and a repeat is still the same mail."""


def field_digests(submission: Submission) -> Mapping[str, str]:
    """Return a short digest of each field, by the name callers use, to say later what differs.

    Of a raw mail the client's own bytes count, of a time that was counted from the arrival how long it is;
    who hears what becomes of a mail does not. Of a template its caller's words count, not what it rendered.
    """
    digests = dict(submission.template_asked or ())
    for name in _digested_fields():
        if submission.template is not None and name in _RENDERED:
            continue
        value = submission.relative.get(name, getattr(submission, name))
        if name in _LATER and not value:
            continue
        if isinstance(value, RawMail):
            value = (hashlib.sha256(value.head).hexdigest(), _body_digest(value.body))
        canonical = sorted(value.items()) if isinstance(value, Mapping) else value
        public = {"from_": "from", "mail_class": "class"}.get(name, name)
        digests[public] = hashlib.sha256(repr(canonical).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return digests


def _body_digest(body: bytes | BlobRef) -> str:
    return hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else body.sha256


def idempotency_claim(
    submission: Submission, message: Message, guest: Guest | None = None
) -> IdempotencyClaim | None:
    """Return the caller's key with the digests of what it stands for, ``None`` without a key.

    Of an account the caller brought the server counts; its user is From, and no digest is made of a password.
    """
    if submission.idempotency_key is None:
        return None
    digests = field_digests(submission)
    if guest is not None:
        target = f"{guest.account.host}:{guest.account.port}"
        digests = {**digests, "smtp_url": hashlib.sha256(target.encode()).hexdigest()[:16]}
    life = submission.idempotency_life
    keep_until = (
        max(message.created_at + IDEMPOTENCY_LIFE, message.expires_at)
        if life is None
        else message.created_at + life
    )
    return IdempotencyClaim(key=submission.idempotency_key, fields=digests, keep_until=keep_until)


def reuse_problems(reused: KeyReused) -> list[Problem]:
    """Return what is wrong with a submission whose key was used for another one."""
    return [
        Problem(
            code="idempotency-key-reused",
            field=name,
            cause="differs from the message this idempotency key was first used for",
            fix="Use a new key for a new message, or repeat the first one unchanged.",
        )
        for name in reused.fields
    ]
