"""TapData's connection test: its form with the ten keys, and the answer its page reads. Pure.

The form carries what is typed, saved or not; ``*****`` is a password that is not typed again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from postroom.errors import InputError, Problem
from postroom.model.transport import SmtpAccount, TransportSpec
from postroom.schema.mailbox_lists import mailbox_text

TITLE = "Tapdata Notification:"
TEXT = "This is a test email"


class TapdataTest(BaseModel):
    """TapData's settings as its test call names them; the dotted names are taken as well."""

    host: str = Field(alias="SMTP_Server_Host")
    port: str | int | None = Field(None, alias="SMTP_Server_Port")
    user: str | None = Field(None, alias="SMTP_Server_User")
    password: str | None = Field(None, alias="SMTP_Server_password", description="`*****`: the stored one.")
    protocol: str = Field("SSL", alias="Email_Communication_Protocol")
    sender: str = Field(alias="Email_Send_Address")
    receivers: str = Field(alias="Email_Receivers")
    prefix: str | None = Field(None, alias="Send_Email_Title_Prefix")
    proxy_host: str | None = Field(None, alias="SMTP_Proxy_Host")
    proxy_port: str | int | None = Field(None, alias="SMTP_Proxy_Port")
    title: str = TITLE
    text: str = TEXT
    name: str | None = Field(None, description="Transport whose password `*****` is; else the default one.")


class TapdataAnswer(BaseModel):
    """What TapData's page shows of a test."""

    result: bool
    """Every receiver was taken by the next server, or captured."""
    stack: str | None
    """When it failed: what that means, what to do, and what the server said."""


def parted(members: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Part the account from the title and the text of the test mail. Raises InputError."""
    fields, said = {}, {"title": TITLE, "text": TEXT}
    for name, value in members.items():
        if name.lower() not in said:
            fields[name] = value
        elif isinstance(value, str):
            said[name.lower()] = value
        elif value is not None:
            problem = Problem(code="wrong-type", field=name, cause="not text", fix=f"Send {name} as text.")
            raise InputError([problem])
    return fields, said["title"], said["text"]


def test_mail(spec: TransportSpec, title: str, text: str) -> tuple[SmtpAccount, dict[str, Any]]:
    """Return the account, and a test mail by it in the form of ``POST /v1/messages``. Raises InputError."""
    problems = [
        Problem(code=code, field=field, cause=cause, fix="Write it there.")
        for code, field, cause, is_there in (
            ("transport-url-missing", "smtp.server.host", "no mail server", spec.account is not None),
            ("from-missing", "email.send.address", "no sender", spec.default_from is not None),
            ("recipients-missing", "email.receivers", "nobody receives the test mail", spec.receivers),
        )
        if not is_there
    ]
    if problems or spec.account is None or spec.default_from is None:
        raise InputError(problems)
    sender = spec.default_from
    mail = {
        "to": [mailbox_text(one.address.spec, one.name) for one in spec.receivers],
        "from": mailbox_text(sender.address.spec, sender.name),
        "subject": f"{spec.subject_prefix}{title}",
        "text": text,
        "class": "code",
        "tags": ["test"],
    }
    return spec.account, mail


def test_result(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what TapData's page reads, of what became of a test mail."""
    if answer["success"]:
        return {"result": True, "stack": None}
    parts = (answer["message"], answer["remedy"], answer["stack"] and f"[{answer['stack']}]")
    return {"result": False, "stack": " ".join(str(part) for part in parts if part)}


def refusal_of(problems: Sequence[Problem], detail: str) -> dict[str, Any]:
    """Return the same of a test that was not made."""
    told = [
        f"{one.field}: {one.cause}. {one.fix}" if one.field else f"{one.cause}. {one.fix}" for one in problems
    ]
    return {"result": False, "stack": " ".join(told) or detail}
