"""Bodies and answers around a check: what is to be checked, and what became of a test mail."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from postroom.model.lifecycle import RecipientState
from postroom.model.transport import SmtpAccount, TransportSpec
from postroom.model.view import MessageView
from postroom.providers.words import phrase
from postroom.schema.answers import Json, MessageAnswer, Wording, message
from postroom.schema.bodies import AddressValue, AddressValues, Body
from postroom.schema.mailbox_lists import mailbox_text
from postroom.schema.transport_fields import TransportFields
from postroom.schema.written import Sender

_ARRIVED = frozenset({RecipientState.ACCEPTED, RecipientState.CAPTURED})


class CheckBody(TransportFields):
    """A transport that need not be stored, in any form of ``POST /v1/transports``."""

    recipient: Sender | None = None
    """Whom RCPT TO names; the sender itself without one."""


class RecipientBody(Body):
    """What a check of a known transport may be told."""

    recipient: str | None = Field(None, description="Whom RCPT TO names; the sender itself without one.")


class TestMailBody(Body):
    """A test mail; everything has a default."""

    __test__ = False  # no test, whatever its name begins with

    to: AddressValues = Field((), description="Default: the transport's receivers.")
    from_: AddressValue = Field(None, alias="from", description="Default: the transport's sender.")
    subject: str | None = None
    title: str | None = Field(None, description="The same as `subject`.")
    text: str | None = None


class TestMailAnswer(MessageAnswer):
    """What became of a test mail: the message, and beside it the short forms that other programs use."""

    __test__ = False  # as above

    success: bool
    """Every recipient was taken by the next server, or captured."""
    message: str
    """One sentence for a person."""
    result: bool
    """The same as `success`."""
    stack: str | None
    """What the server said when it failed."""
    cause: str
    meaning: str
    remedy: str


def test_mail(body: TestMailBody, spec: TransportSpec | None, name: str, language: str) -> dict[str, Any]:
    """Return a test mail in the form of ``POST /v1/messages``."""
    receivers = () if spec is None else spec.receivers
    mail = {
        "to": body.to or [mailbox_text(one.address.spec, one.name) for one in receivers],
        "from": body.from_,
        "subject": body.subject or body.title or phrase("test.subject", language),
        "text": body.text or phrase("test.text", language).format(name=name),
        "class": "code",
        "tags": ["test"],
    }
    return {key: value for key, value in mail.items() if value is not None}


def test_answer(view: MessageView, mode: str, words: Callable[[str], Wording], language: str) -> Json:
    """Write what became of a test mail."""
    return shortened(message(view, mode, words), language)


def shortened(shown: Mapping[str, Any], language: str) -> Json:
    """Put the short forms beside a message in the form of ``GET /v1/messages/{id}``."""
    failed = next((one for one in shown["recipients"] if one["state"] not in _ARRIVED), None)
    return {
        **shown,
        "success": failed is None,
        "message": _sentence(shown, failed, language),
        "result": failed is None,
        "stack": None if failed is None else _said(failed),
        **{name: "" if failed is None else failed[name] for name in ("cause", "meaning", "remedy")},
    }


def secrets_stay(wanted: SmtpAccount, known: SmtpAccount) -> bool:
    """Say whether the secrets of an account that no call may change go nowhere else by another description.

    The server, the way to it and how it is trusted must be the known ones; port, login, sender and paces may
    differ.
    """
    return _trust(wanted) == _trust(known)


def _trust(one: SmtpAccount) -> tuple[object, ...]:
    grant, proxy = one.oauth, one.proxy
    return (
        one.host,
        one.verify,
        one.ca_file,
        one.pin,
        one.server_name,
        one.allow_plaintext_login,
        None if proxy is None else (proxy.kind, proxy.host, proxy.port),
        None if grant is None else grant.token_url,
    )


def _sentence(shown: Mapping[str, Any], failed: Mapping[str, Any] | None, language: str) -> str:
    if failed is not None:
        return str(failed["meaning"] or phrase("test.waiting", language))
    addresses = ", ".join(one["address"] for one in shown["recipients"])
    is_captured = any(one["state"] == RecipientState.CAPTURED for one in shown["recipients"])
    return phrase("test.captured" if is_captured else "test.sent", language).format(to=addresses)


def _said(failed: Mapping[str, Any]) -> str:
    last = failed["attempts"][-1] if failed["attempts"] else None
    said = "" if last is None else f"{last['code'] or ''} {last['text']}".strip()
    return said or str(failed["cause"] or failed["state"])


def names_hidden(body: Mapping[str, Any], hidden: str) -> bool:
    """Say whether a description asks for a secret that is stored."""
    return any(
        names_hidden(value, hidden) if isinstance(value, Mapping) else hidden in str(value)
        for value in body.values()
    )
