"""What is handed in, as the JSON of ``POST /v1/messages``, and what comes back. Pure."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict

Addresses = str | Sequence[str]
"""``a@example.com``, ``Name <a@example.com>``, or a list of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One file."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str | None = None
    """``None``: by the suffix of the name."""
    content_id: str | None = None
    """For an inline image: what the HTML names after ``cid:``."""


class Mail(TypedDict, total=False):
    """The arguments of ``send``; at least one recipient, everything else may be left out."""

    to: Addresses
    cc: Addresses
    bcc: Addresses
    from_: str
    """``None`` or left out: the server's default sender."""
    reply_to: Addresses
    subject: str
    text: str
    html: str
    attachments: Sequence[Attachment]
    headers: Sequence[tuple[str, str]]
    in_reply_to: str
    references: Sequence[str]
    tags: Sequence[str]
    metadata: Mapping[str, str]
    mail_class: Literal["code", "alert", "transactional", "bulk"]
    send_at: datetime
    expires_at: datetime
    template: str
    """``NAME``, ``NAME@VERSION`` or ``PACKAGE:NAME``; gives ``html``, and what lacks of subject and text."""
    variables: Mapping[str, Any]
    """What the template prints."""
    locale: str
    """A BCP 47 tag; left out: the template's default."""


class TemplateLook(TypedDict, total=False):
    """The arguments of ``preview`` and ``send_test`` beside the address."""

    template: str
    """As in ``Mail``."""
    variables: Mapping[str, Any]
    locale: str
    examples: bool
    """Take the template's examples where ``variables`` has nothing."""
    subject: str
    """Instead of the template's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One address, its state and why."""

    address: str
    state: str
    cause: str = ""
    meaning: str = ""
    """The cause in words, in English."""
    remedy: str = ""
    reply: str = ""
    """The last reply of a mail server, its code before its text; empty before any."""
    step: str = ""
    """Of the SMTP dialogue: where that attempt ended."""
    reply_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the server tells it."""

    id: str
    state: str
    """``accepted`` means that the next server took it, not that anybody read it."""
    mode: str
    """``live``, or ``capture`` when nothing leaves the server."""
    is_open: bool
    """Whether anything may still change by itself."""
    recipients: tuple[Recipient, ...] = ()
    """Empty in an answer that did not wait."""
    is_replay: bool = False
    """The idempotency key was known: this is the earlier message."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole answer."""


_NAMES = {"from_": "from", "mail_class": "class"}


def body_of(mail: Mail) -> dict[str, Any]:
    """Return the body of ``POST /v1/messages``."""
    body: dict[str, Any] = {}
    for name, value in mail.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            value = value.astimezone().isoformat()  # noqa: PLW2901 - the same value as text
        body[_NAMES.get(name, name)] = value
    if "headers" in body:
        body["headers"] = [[name, value] for name, value in body["headers"]]
    if "attachments" in body:
        body["attachments"] = [_file(one) for one in body["attachments"]]
    return body


def _file(one: Attachment) -> dict[str, str]:
    given = {
        "filename": one.filename,
        "content": b64encode(one.content).decode("ascii"),
        "content_type": one.content_type,
        "content_id": one.content_id,
        "disposition": "inline" if one.content_id is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def message_of(document: Mapping[str, Any], *, is_replay: bool = False) -> Message:
    """Read an answer about one message. Raises KeyError when it is none."""
    return Message(
        id=str(document["id"]),
        state=str(document["state"]),
        mode=str(document["mode"]),
        is_open=bool(document.get("open", True)),
        recipients=tuple(_recipient(one) for one in document.get("recipients", ())),
        is_replay=is_replay,
        document=document,
    )


def _recipient(one: Mapping[str, Any]) -> Recipient:
    told = {name: str(one.get(name, "")) for name in ("address", "state", "cause", "meaning", "remedy")}
    last: Mapping[str, Any] = (one.get("attempts") or ({},))[-1]
    code = last.get("code")
    return Recipient(
        **told,
        reply=f"{code or ''} {last.get('text', '')}".strip(),
        step=str(last.get("step", "")),
        reply_code=code,
    )
