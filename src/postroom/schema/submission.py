"""The one validator of what callers hand in, for every door (reliability rule I1).

Plain values go in; a ``Submission`` comes out, or an ``InputError`` that names every wrong field at once.

Rules: control characters are refused in everything bound for a header, by field name; NUL and lone
surrogates are refused everywhere; bidi overrides are refused in names; line ends in texts are normalised
to LF. Nothing is removed or repaired in silence: a value is taken as it is or refused. Counts and sizes
of a whole message, sender rights and times against the clock are intake's to judge.

Not here: the shape of JSON (``schema.bodies``), files on disk (the doors store them first).
"""

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from postroom.engine.limits import MessageLimits
from postroom.errors import InputError, Problem
from postroom.grammar import CONTROL, MEDIA_TYPE, MSG_ID, SURROGATE
from postroom.mime.filenames import filename_problem
from postroom.mime.headers import header_problem, is_content_id
from postroom.model.address import AddressError, Mailbox, make_mailbox, parse_mailbox
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.message import (
    Attachment,
    BlobRef,
    Disposition,
    Door,
    MailClass,
    Submission,
    UncertainPolicy,
)

MAX_SUBJECT = 998
"""Characters, the length of one unfolded line (RFC 5322 section 2.1.1)."""
MAX_FILENAME = 1000
"""Characters as handed in; the writer shortens what file systems cannot hold."""
MAX_MSG_ID = 500
"""Characters of a message id without brackets; real ones stay below 250."""
MAX_REFERENCES = 100
MAX_TAG = 100
"""Characters of a tag or of the name of a metadata entry."""
MAX_METADATA_VALUE = 2000
"""Characters."""
MAX_IDEMPOTENCY_KEY = 256
"""Characters."""
MAX_PROBLEMS = 100
"""Problems listed in one answer; nobody reads more."""
MAX_YEAR = 2200
"""Later instants are slips of the pen, and adding a lifetime to year 9999 has no answer."""

NO_METADATA: Mapping[str, str] = {}
_CLASSES: Mapping[str, MailClass] = {one.value: one for one in MailClass}
_POLICIES: Mapping[str, UncertainPolicy] = {one.value: one for one in UncertainPolicy}
_TYPES = mimetypes.MimeTypes()
"""The interpreter's own table; the machine's files do not decide what we send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a caller says about one file; its content is stored by the door."""

    filename: str
    content_type: str | None = None
    """``None`` is guessed from the name; parameters are dropped."""
    content_id: str | None = None
    disposition: Disposition = Disposition.ATTACHMENT


@dataclass(slots=True)
class Problems:
    """A list of problems that stops growing at ``MAX_PROBLEMS``."""

    found: list[Problem] = field(default_factory=list)

    def add(self, code: str, name: str, cause: str, fix: str) -> None:
        """Note one problem of the field ``name``."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Problem(code=code, field=name, cause=cause, fix=fix))

    def take(self, problems: Sequence[Problem]) -> None:
        """Note what another reader found."""
        self.found += problems[: MAX_PROBLEMS - len(self.found)]

    def raise_any(self) -> None:
        """Raise InputError when there is a problem."""
        if self.found:
            raise InputError(self.found)

    def unless_any(self, submission: Submission) -> Submission:
        """Return the submission; raise InputError when there is a problem."""
        self.raise_any()
        return submission


def build_submission(  # noqa: PLR0913 - the fields of a submission
    *,
    limits: MessageLimits,
    tenant: TenantId = DEFAULT_TENANT,
    door: Door = Door.HTTP,
    from_: object = None,
    sender: object = None,
    to: object = (),
    cc: object = (),
    bcc: object = (),
    reply_to: object = (),
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    files: Sequence[FileFacts] = (),
    in_reply_to: str | None = None,
    references: Sequence[str] = (),
    tags: Sequence[str] = (),
    metadata: Mapping[str, str] = NO_METADATA,
    mail_class: str = "transactional",
    uncertain_policy: str | None = None,
    send_at: str | datetime | None = None,
    expires_at: str | datetime | None = None,
    idempotency_key: str | None = None,
    message_id_domain: str | None = None,
    problems: Problems | None = None,
) -> Submission:
    """Check every field; return the submission without attachments (``with_files`` adds them).

    An address is text, ``{address, name}`` or a ``Mailbox``. Raises InputError, with the door's ``problems``.
    """
    problems = problems or Problems()
    submission = Submission(
        tenant=tenant,
        door=door,
        from_=_sender(from_, "from", problems),
        sender=None if sender is None else _sender(sender, "sender", problems),
        to=_several(to, "to", problems, limits),
        cc=_several(cc, "cc", problems, limits) if cc else (),
        bcc=_several(bcc, "bcc", problems, limits) if bcc else (),
        reply_to=_several(reply_to, "reply_to", problems, limits) if reply_to else (),
        subject=_line(subject, "subject", problems, MAX_SUBJECT),
        text=None if text is None else _text(text, "text", problems),
        html=None if html is None else _text(html, "html", problems),
        headers=_headers(headers, problems, limits) if headers else (),
        in_reply_to=None if in_reply_to is None else _msg_id(in_reply_to, "in_reply_to", problems),
        references=_references(references, problems) if references else (),
        tags=read_tags(tags, problems) if tags else (),
        metadata=read_metadata(metadata, problems) if metadata else NO_METADATA,
        mail_class=read_class(mail_class, problems),
        uncertain_policy=_policy(uncertain_policy, problems),
        send_at=None if send_at is None else read_instant(send_at, "send_at", problems),
        expires_at=None if expires_at is None else read_instant(expires_at, "expires_at", problems),
        idempotency_key=None if idempotency_key is None else read_key(idempotency_key, problems),
        message_id_domain=message_id_domain,
    )
    _check_recipients(submission, problems)
    _check_files(files, problems, limits)
    return problems.unless_any(submission)


def with_files(submission: Submission, files: Sequence[FileFacts], refs: Sequence[BlobRef]) -> Submission:
    """Return the submission with its attachments: checked facts and stored contents, in the same order."""
    if not files:
        return submission
    attachments = tuple(
        Attachment(
            filename=facts.filename,
            content_type=media_type_of(facts),
            blob=ref,
            content_id=facts.content_id,
            disposition=facts.disposition,
        )
        for facts, ref in zip(files, refs, strict=True)
    )
    return replace(submission, attachments=attachments)


def media_type_of(facts: FileFacts) -> str:
    """Return ``type/subtype`` of a file: as given, else by its name's suffix.

    ``message/*`` becomes ``application/octet-stream``, because files are sent as base64 and that is
    forbidden for messages (RFC 2046 section 5.2.1); mail programs open such files by their suffix.
    """
    given = facts.content_type
    if given is None:
        given = _TYPES.guess_type(facts.filename)[0] or "application/octet-stream"
    kind = given.partition(";")[0].strip(" \t").lower()
    return "application/octet-stream" if kind.startswith("message/") else kind


# --------------------------------------------------------------------------- addresses


def _check_recipients(submission: Submission, problems: Problems) -> None:
    """Ask for a recipient, unless some were given that are wrong."""
    if not (submission.to or submission.cc or submission.bcc or problems.found):
        cause = "no recipient in to, cc or bcc"
        problems.add("recipients-missing", "to", cause, "Give at least one address in `to`.")


_parse_known = lru_cache(maxsize=1024)(parse_mailbox)
"""For senders: a program writes the same one in every message. Recipients differ and are not cached."""


def _sender(value: object, name: str, problems: Problems) -> Mailbox | None:
    return _one(value, name, problems, parse=_parse_known)


def _one(
    value: object, name: str, problems: Problems, *, parse: Callable[[str], Mailbox] = parse_mailbox
) -> Mailbox | None:
    if value is None:
        return None
    found: Any = value
    try:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, Mailbox):
            return value
        if isinstance(value, Mapping) and value.keys() <= {"address", "name"} and "address" in value:
            address, label = found["address"], found.get("name") or ""
            if isinstance(address, str) and isinstance(label, str):
                return make_mailbox(address, label)
    except AddressError as error:
        part = f"{name}.address" if isinstance(value, Mapping) else name
        problems.add("address-invalid", part, error.cause, error.fix)
        return None
    problems.add(
        "wrong-type",
        name,
        "neither text nor an object with address and name",
        'Write "a@example.com", "Name <a@example.com>" or {"address": "a@example.com", "name": "Name"}.',
    )
    return None


def _several(value: object, name: str, problems: Problems, limits: MessageLimits) -> tuple[Mailbox, ...]:
    if not isinstance(value, (list, tuple)):
        box = _one(value, name, problems)
        return () if box is None else (box,)
    if len(value) > limits.max_recipients:
        problems.add(
            "too-many-recipients",
            name,
            f"{len(value)} addresses, at most {limits.max_recipients} in one message",
            "Send several messages; POST /v1/messages/batch takes many at once.",
        )
        return ()
    boxes = []
    for number, item in enumerate(value):
        box = _one("" if item is None else item, f"{name}.{number}", problems)
        if box is not None:
            boxes.append(box)
    return tuple(boxes)


# --------------------------------------------------------------------------- texts


def _line(value: str, name: str, problems: Problems, most: int) -> str:
    """Check text bound for a header."""
    if len(value) > most:
        problems.add("too-long", name, f"{len(value)} characters, at most {most}", f"Shorten {name}.")
    elif not value.isprintable() and (CONTROL.search(value) or SURROGATE.search(value)):
        _control(name, problems)
    return value


def _control(name: str, problems: Problems) -> None:
    problems.add(
        "control-character",
        name,
        "contains a line end, NUL, lone surrogate or another control character",
        "Remove it; nothing here is changed in silence.",
    )


def _text(value: str, name: str, problems: Problems) -> str:
    """Check a body: NUL and lone surrogates are refused, line ends normalised."""
    if "\0" in value or not _is_encodable(value):
        problems.add(
            "control-character",
            name,
            "contains NUL or a lone surrogate",
            "Remove it, or attach the data as a file.",
        )
    return value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value


def _is_encodable(value: str) -> bool:
    """Say whether there is no lone surrogate; encoding finds one many times faster than a pattern does."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _headers(
    values: Sequence[tuple[str, str]], problems: Problems, limits: MessageLimits
) -> tuple[tuple[str, str], ...]:
    if len(values) > limits.max_headers:
        _too_many("headers", len(values), limits.max_headers, problems)
        return ()
    for number, (name, value) in enumerate(values):
        if (cause := header_problem(name, value)) is not None:
            label = name if len(name) <= 77 and name.isascii() and name.isprintable() else str(number)
            problems.add(
                "header-not-allowed",
                f"headers.{label}",
                cause,
                "Use the field made for it (subject, from, in_reply_to, ...) or an X- header in one line.",
            )
    return tuple(values)


def _msg_id(value: str, name: str, problems: Problems) -> str:
    bare = value.strip(" \t")
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1]
    if len(bare) > MAX_MSG_ID or not MSG_ID.match(bare):
        problems.add("message-id-syntax", name, "not a message id", "Write one id such as <id@example.com>.")
    return bare


def _references(values: Sequence[str], problems: Problems) -> tuple[str, ...]:
    if len(values) > MAX_REFERENCES:
        _too_many("references", len(values), MAX_REFERENCES, problems)
        return ()
    return tuple(_msg_id(value, f"references.{number}", problems) for number, value in enumerate(values))


def read_tags(values: Sequence[str], problems: Problems) -> tuple[str, ...]:
    """Check tags."""
    for number, value in enumerate(values[:MAX_PROBLEMS]):
        if not value:
            problems.add("empty", f"tags.{number}", "an empty tag", "Leave it out.")
        _line(value, f"tags.{number}", problems, MAX_TAG)
    return tuple(values)


def read_metadata(values: Mapping[str, str], problems: Problems) -> Mapping[str, str]:
    """Check metadata."""
    for key, value in values.items():
        name = f"metadata.{key}" if key.isprintable() and len(key) <= MAX_TAG else "metadata"
        _line(key, name, problems, MAX_TAG)
        if len(value) > MAX_METADATA_VALUE:
            cause = f"{len(value)} characters, at most {MAX_METADATA_VALUE}"
            problems.add("too-long", name, cause, "Keep metadata short.")
        _text(value, name, problems)
    return dict(values)


def read_key(value: str, problems: Problems) -> str:
    """Check an idempotency key."""
    if not (0 < len(value) <= MAX_IDEMPOTENCY_KEY and value.isascii() and value.isprintable()):
        problems.add(
            "idempotency-key-syntax",
            "idempotency_key",
            f"not 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters",
            "Use something like a UUID, the same for every repetition of one message.",
        )
    return value


# --------------------------------------------------------------------------- choices, times, files


_Choice = TypeVar("_Choice", MailClass, UncertainPolicy)


def _choice(known: Mapping[str, _Choice], value: str, name: str, problems: Problems) -> _Choice:
    found = known.get(value)
    if found is None:
        names = ", ".join(known)
        problems.add("unknown-value", name, f"unknown value; known are {names}", f"Use one of {names}.")
        return next(iter(known.values()))
    return found


def read_class(value: str, problems: Problems) -> MailClass:
    """Read the name of a class."""
    return _choice(_CLASSES, value, "class", problems)


def _policy(value: str | None, problems: Problems) -> UncertainPolicy | None:
    return None if value is None else _choice(_POLICIES, value, "uncertain_policy", problems)


def read_instant(value: str | datetime, name: str, problems: Problems) -> datetime | None:
    """Read an instant with an offset; return it in UTC."""
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if instant.tzinfo is not None and instant.year < MAX_YEAR:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    problems.add(
        "instant-syntax",
        name,
        f"not a date and time with an offset before the year {MAX_YEAR}",
        "Write ISO 8601 with an offset, such as 2030-01-31T09:00:00+09:00.",
    )
    return None


def _check_files(files: Sequence[FileFacts], problems: Problems, limits: MessageLimits) -> None:
    if len(files) > limits.max_attachments:
        _too_many("attachments", len(files), limits.max_attachments, problems)
        return
    for number, facts in enumerate(files):
        name = f"attachments.{number}"
        if len(facts.filename) > MAX_FILENAME:
            cause = f"{len(facts.filename)} characters, at most {MAX_FILENAME}"
            problems.add("too-long", f"{name}.filename", cause, "Shorten the file name.")
        elif (phrase := filename_problem(facts.filename)) is not None:
            problems.add("control-character", f"{name}.filename", phrase, "Remove it from the file name.")
        kind = media_type_of(facts)
        if not MEDIA_TYPE.match(kind) or kind.startswith("multipart/"):
            problems.add(
                "media-type-syntax",
                f"{name}.content_type",
                "not the type/subtype of a single file",
                "Write for example application/pdf, or leave it out.",
            )
        if facts.content_id is not None and not is_content_id(facts.content_id):
            problems.add(
                "content-id-syntax",
                f"{name}.content_id",
                "not 1 to 200 printable ASCII characters without blanks and angle brackets",
                'Write the name the HTML uses after "cid:", for example logo.',
            )


def _too_many(name: str, count: int, most: int, problems: Problems) -> None:
    problems.add("limit-exceeded", name, f"{count} entries, at most {most}", f"Give at most {most}.")
