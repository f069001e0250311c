"""The shape of App Builder's mail plug-in: its inputs as a mail, and our outcome as its outputs. Pure.

Inputs are ``to`` and ``subject``, and as wanted ``cc``, ``body``, ``from`` and ``pdfattachment`` (a file of
any type, whatever the name says). Outputs are

* ``responseSent``: false when nobody will get the mail; true also while Postroom keeps trying, because a
  caller who repeats a mail that waits would send it twice;
* ``responseErrorCode``: that of MailKit, the plug-in's mail library: 0 message, 1 sender, 2 recipient not
  accepted, 3 any other reply; null without an error or a reply;
* ``responseStatusCode``: the number of the last SMTP reply, null without one;
* ``responseMessage``: one sentence, with the real reply.
"""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from pydantic import BaseModel, Field

from postroom.errors import Problem
from postroom.schema.bodies import Body
from postroom.schema.mailbox_lists import split_mailboxes


class SmtpErrorCode(IntEnum):
    """MailKit's ``SmtpErrorCode``."""

    MESSAGE_NOT_ACCEPTED = 0
    SENDER_NOT_ACCEPTED = 1
    RECIPIENT_NOT_ACCEPTED = 2
    UNEXPECTED_STATUS_CODE = 3


_OF_STEP = {
    "mail": SmtpErrorCode.SENDER_NOT_ACCEPTED,
    "rcpt": SmtpErrorCode.RECIPIENT_NOT_ACCEPTED,
    "data": SmtpErrorCode.MESSAGE_NOT_ACCEPTED,
    "body": SmtpErrorCode.MESSAGE_NOT_ACCEPTED,
    "body_end": SmtpErrorCode.MESSAGE_NOT_ACCEPTED,
}
_GONE = frozenset({"accepted", "captured"})
_NAMED = {
    "from-missing": "Value cannot be null. Parameter name: fromAddress",
    "recipients-missing": "No recipients have been specified.",
}
"""What App Builder and its library say, by our code."""
_MARKUP = re.compile(
    r"<(?:!doctype|html|head|body|p|br|div|span|table|a|b|i|strong|em|h[1-6]|ul|ol|img|font)\b[^<>]{0,1000}>",
    re.IGNORECASE,
)


class PluginFile(Body):
    """The file of a mail."""

    filename: str = "attachment.pdf"
    content: str = Field(description="The file in base64.")
    content_type: str | None = Field(None, description="Default: by the suffix of the name.")


class PluginInput(Body):
    """The inputs of the plug-in."""

    to: str = Field("", description="Addresses, with commas between.")
    cc: str | None = None
    from_: str | None = Field(None, alias="from", description="Default: From of the endpoint.")
    subject: str = ""
    body: str | None = Field(None, description="Text, or HTML when there is a tag in it.")
    pdfattachment: PluginFile | str | None = Field(None, description="A file, or its base64 alone.")


class PluginOutput(BaseModel):
    """The outputs of the plug-in."""

    responseErrorCode: int | None  # noqa: N815 - the plug-in's names
    responseStatusCode: int | None  # noqa: N815
    responseSent: bool  # noqa: N815
    responseMessage: str  # noqa: N815
    messageId: str  # noqa: N815
    """Ours: `GET /v1/messages/{id}` tells the story; empty when nothing was stored."""


def mail_of(given: PluginInput) -> dict[str, Any]:
    """Return the mail in the form of ``POST /v1/messages``."""
    body = given.body or ""
    mail: dict[str, Any] = {
        "to": split_mailboxes(given.to),
        "cc": split_mailboxes(given.cc or ""),
        "from": given.from_,
        "subject": given.subject,
        "html" if _MARKUP.search(body) else "text": body,
    }
    file = given.pdfattachment
    if isinstance(file, str):
        file = PluginFile(content=file) if file else None
    if file is not None:
        mail["attachments"] = [file.model_dump(exclude_none=True)]
    return {name: value for name, value in mail.items() if value}


def output_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs for a message in the form of ``GET /v1/messages/{id}``."""
    recipients = shown["recipients"]
    failed = [one for one in recipients if one["state"] not in _GONE]
    told = failed[0] if failed else recipients[0]
    last: Mapping[str, Any] = (
        told["attempts"][-1] if told["attempts"] else {"code": None, "step": "", "text": ""}
    )
    code = last["code"]
    is_lost = bool(failed) and len(failed) == len(recipients) and not shown["open"]
    error = None
    if failed and code is not None:
        error = int(_OF_STEP.get(last["step"], SmtpErrorCode.UNEXPECTED_STATUS_CODE))
    return _output(
        sent=not is_lost,
        error=error,
        status=code,
        text=_sentence(shown, told, last, is_lost=is_lost)
        if failed
        else f"{code or ''} {last['text']}".strip(),
        message_id=shown["id"],
    )


def stored_of(message_id: str) -> dict[str, Any]:
    """Return the outputs for a stored mail of which nothing more can be told now."""
    text = "stored; what became of it is told at GET /v1/messages/{id}"
    return _output(sent=True, error=None, status=None, text=text, message_id=message_id)


def refusal_of(problems: Sequence[Problem], detail: str) -> dict[str, Any]:
    """Return the outputs for a mail that was not taken."""
    named = [_NAMED[one.code] for one in problems if one.code in _NAMED]
    told = [f"{one.field}: {one.cause}. {one.fix}" for one in problems] or [detail]
    return _output(sent=False, error=None, status=None, text=" ".join([*named, *told]), message_id="")


def _sentence(
    shown: Mapping[str, Any], told: Mapping[str, Any], last: Mapping[str, Any], *, is_lost: bool
) -> str:
    reply = f"{last['code'] or ''} {last['text']}".strip()
    auth = "Authentication Required" if last["code"] == 530 else ""
    begin = "" if is_lost else "stored, not sent to all yet:" if shown["open"] else "not sent to all:"
    words = [begin, auth, reply, f"({told['address']}: {told['cause'] or told['state']})"]
    return " ".join(filter(None, [*words, told["meaning"], told["remedy"]]))


def _output(
    *, sent: bool, error: int | None, status: int | None, text: str, message_id: str
) -> dict[str, Any]:
    return {
        "responseErrorCode": error,
        "responseStatusCode": status,
        "responseSent": sent,
        "responseMessage": text,
        "messageId": message_id,
    }
