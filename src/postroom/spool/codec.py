"""A stored message as one JSON object in UTF-8, behind it a raw mail's own bytes, and instants as integers.

Pure. Names are those of ``model.message``; empty and default fields are left out; addresses are
``[spec]`` or ``[spec, name]``; instants are microseconds since 1970 in UTC. ``VERSION`` grows when an
older program could not read the form; every earlier version stays readable, and a message that needs nothing
new is written as version 1, which older programs read.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pydantic_core import from_json, to_json

from postroom.errors import InvariantError
from postroom.model.address import Address, Mailbox
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import (
    Attachment,
    BlobRef,
    Content,
    Disposition,
    Door,
    Envelope,
    MailClass,
    Message,
    Notify,
    RawMail,
    RemoteFile,
    ReportWish,
    UncertainPolicy,
)
from postroom.model.template import TemplatePin

VERSION = 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Return microseconds since 1970 of an aware instant."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant(value: int) -> datetime:
    """Return the instant, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def micros_or_none(at: datetime | None) -> int | None:
    """Return microseconds since 1970, ``None`` for ``None``."""
    return None if at is None else micros(at)


def instant_or_none(value: int | None) -> datetime | None:
    """Return the instant, ``None`` for ``None``."""
    return None if value is None else instant(value)


def encode_message(message: Message) -> bytes:
    """Return the stored form of a message."""
    content = message.content
    stored: dict[str, Any] = {
        "v": _version(message),
        "id": message.id,
        "tenant": message.tenant,
        "door": message.door.value,
        "mail_class": message.mail_class.value,
        "created_at": micros(message.created_at),
        "send_at": micros(message.send_at),
        "expires_at": micros(message.expires_at),
        "uncertain_policy": message.uncertain_policy.value,
        "reverse_path": message.envelope.reverse_path.spec,
        "recipients": [address.spec for address in message.envelope.recipients],
        "message_id": content.message_id,
        "date": [micros(content.date), _offset_s(content.date)],
        "boundary": content.boundary,
        "from": _mailbox(content.from_),
        "subject": content.subject,
    }
    if message.tags:
        stored["tags"] = message.tags
    if message.metadata:
        stored["metadata"] = dict(message.metadata)
    _add_optional(stored, content)
    if message.reports is not None:
        stored["reports"] = _wish(message.reports)
    if (pin := message.template) is not None:
        stored["template"] = [pin.name, pin.version, pin.locale]
    if content.raw is None:
        return to_json(stored)
    return _with_mail(stored, content.raw)


def _version(message: Message) -> int:
    content = message.content
    return VERSION if content.remote_files or content.raw is not None or message.reports is not None else 1


def _with_mail(stored: dict[str, Any], mail: RawMail) -> bytes:
    """Put a raw mail behind the JSON and a NUL, which JSON never has: its bytes need no coding there."""
    body = mail.body
    in_file = None if isinstance(body, bytes) else [body.sha256, body.size]
    stored["raw"] = [len(mail.head), mail.needs_8bit, mail.needs_smtputf8, in_file]
    return b"".join((to_json(stored), b"\0", mail.head, body if isinstance(body, bytes) else b""))


def _mail_of(stored: list[Any] | None, tail: bytes) -> RawMail | None:
    if stored is None:
        return None
    size, needs_8bit, needs_smtputf8, in_file = stored
    return RawMail(
        head=tail[:size],
        body=tail[size:] if in_file is None else BlobRef(*in_file),
        needs_8bit=needs_8bit,
        needs_smtputf8=needs_smtputf8,
    )


def _wish(wish: ReportWish) -> dict[str, Any]:
    stored: dict[str, Any] = {"to": wish.to.spec}
    if wish.full is not None:
        stored["full"] = wish.full
    if wish.envelope_id:
        stored["envelope_id"] = wish.envelope_id
    if wish.notify:
        stored["notify"] = [[address.spec, *sorted(wanted)] for address, wanted in wish.notify.items()]
    if wish.original:
        stored["original"] = [[address.spec, given] for address, given in wish.original.items()]
    if wish.late_at is not None:
        stored["late_at"] = micros(wish.late_at)
    if wish.is_limited:
        stored["is_limited"] = True
    return stored


def _wish_of(stored: dict[str, Any] | None) -> ReportWish | None:
    if stored is None:
        return None
    take = stored.get
    return ReportWish(
        to=_address_of(stored["to"]),
        full=take("full"),
        envelope_id=take("envelope_id", ""),
        notify={_address_of(spec): frozenset(map(Notify, wanted)) for spec, *wanted in take("notify", ())},
        original={_address_of(spec): given for spec, given in take("original", ())},
        late_at=None if (late_at := take("late_at")) is None else instant(late_at),
        is_limited=take("is_limited", False),
    )


def _add_optional(stored: dict[str, Any], content: Content) -> None:
    if content.sender is not None:
        stored["sender"] = _mailbox(content.sender)
    for name in ("to", "cc", "reply_to"):
        if boxes := getattr(content, name):
            stored[name] = [_mailbox(box) for box in boxes]
    for name in ("text", "html", "in_reply_to"):
        if (value := getattr(content, name)) is not None:
            stored[name] = value
    if content.headers:
        stored["headers"] = content.headers
    if content.references:
        stored["references"] = content.references
    if content.attachments:
        stored["attachments"] = [_attachment(attachment) for attachment in content.attachments]
    if content.remote_files:
        stored["remote_files"] = [[file.filename, file.url] for file in content.remote_files]


def decode_message(body: bytes) -> Message:
    """Return the message that ``encode_message`` was given.

    Raises InvariantError for a form this program does not know.
    """
    text, _, tail = body.partition(b"\0")
    stored = from_json(text)
    if stored["v"] not in (1, VERSION):
        raise InvariantError(f"stored message of version {stored['v']}; known are 1 to {VERSION}")
    take = stored.get
    date, offset_s = stored["date"]
    sender = take("sender")
    return Message(
        id=MessageId(stored["id"]),
        tenant=TenantId(stored["tenant"]),
        door=Door(stored["door"]),
        mail_class=MailClass(stored["mail_class"]),
        created_at=instant(stored["created_at"]),
        send_at=instant(stored["send_at"]),
        expires_at=instant(stored["expires_at"]),
        uncertain_policy=UncertainPolicy(stored["uncertain_policy"]),
        envelope=Envelope(
            reverse_path=_address_of(stored["reverse_path"]),
            recipients=tuple(map(_address_of, stored["recipients"])),
        ),
        content=Content(
            message_id=stored["message_id"],
            date=_date_of(date, offset_s),
            boundary=stored["boundary"],
            from_=_mailbox_of(stored["from"]),
            sender=None if sender is None else _mailbox_of(sender),
            to=tuple(map(_mailbox_of, take("to", ()))),
            cc=tuple(map(_mailbox_of, take("cc", ()))),
            reply_to=tuple(map(_mailbox_of, take("reply_to", ()))),
            subject=stored["subject"],
            text=take("text"),
            html=take("html"),
            headers=tuple((name, value) for name, value in take("headers", ())),
            attachments=tuple(map(_attachment_of, take("attachments", ()))),
            in_reply_to=take("in_reply_to"),
            references=tuple(take("references", ())),
            remote_files=tuple(RemoteFile(filename=name, url=url) for name, url in take("remote_files", ())),
            raw=_mail_of(take("raw"), tail),
        ),
        tags=tuple(take("tags", ())),
        metadata=take("metadata", {}),
        reports=_wish_of(take("reports")),
        template=pin_of(take("template")),
    )


def pin_of(stored: list[str] | None) -> TemplatePin | None:
    """Return what a message was made from, stored as name, version and locale."""
    if stored is None:
        return None
    name, version, locale = stored
    return TemplatePin(name=name, version=version, locale=locale)


def _address_of(spec: str) -> Address:
    local, _, domain = spec.rpartition("@")
    return Address(local, domain)


def _mailbox(box: Mailbox) -> list[str]:
    return [box.address.spec, box.name] if box.name else [box.address.spec]


def _mailbox_of(stored: list[str]) -> Mailbox:
    return Mailbox(_address_of(stored[0]), stored[1] if len(stored) > 1 else "")


def _offset_s(date: datetime) -> int:
    if date.tzinfo is UTC:
        return 0
    offset = date.utcoffset()
    return 0 if not offset else int(offset.total_seconds())


def _date_of(at: int, offset_s: int) -> datetime:
    # The Date header shows the zone, and the wire bytes must be the same on every retry.
    date = instant(at)
    return date if offset_s == 0 else date.astimezone(timezone(timedelta(seconds=offset_s)))


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "sha256": attachment.blob.sha256,
        "size": attachment.blob.size,
        "content_id": attachment.content_id,
        "disposition": attachment.disposition.value,
    }


def _attachment_of(stored: dict[str, Any]) -> Attachment:
    return Attachment(
        filename=stored["filename"],
        content_type=stored["content_type"],
        blob=BlobRef(stored["sha256"], stored["size"]),
        content_id=stored["content_id"],
        disposition=Disposition(stored["disposition"]),
    )
