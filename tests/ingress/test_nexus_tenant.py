"""Calls to the Nexus doors that bring an account: who may, what it comes to, and every code of the table."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingress.nexus_doors import (
    KEY,
    MESSAGE_ID,
    TENANTS,
    Answered,
    Call,
    ScriptedService,
    app_of,
    form_body,
    recipient,
    view_of,
)
from postroom.ingress.http.nexus import PATHS, NexusSetup
from postroom.model.lifecycle import RecipientState
from postroom.model.transport import TlsMode
from postroom.schema.nexus import TEXTS, Code
from postroom.web.keyless import parse_networks

JSON, FORM = "application/json", "multipart/form-data; boundary=b"
ACCOUNT = {"smtp_url": "smtp://smtp.example.com:587", "user": "u@example.org", "password": "p", "ssl": True}
MAIL = {"to": "<a@example.com>", "subject": "s", "body": "b"}


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


def post(
    service: ScriptedService,
    members: dict[str, Any],
    *,
    path: str = "/email/tenant/send",
    is_form: bool = False,
    setup: NexusSetup = TENANTS,
    **call: Any,
) -> Answered:
    """Make a call as JSON, or as a form of the same members."""
    if is_form:
        parts = [(name, str(value).encode(), None) for name, value in members.items()]
        body, kind = form_body(parts), FORM
    else:
        body, kind = json.dumps(members).encode(), JSON
    headers = {"content-type": kind, **call.pop("headers", {})}
    return Call(path=path, headers=headers, chunks=[body], **call).into(app_of(service, setup))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_form", [False, True])
def test_every_route_takes_an_account(service: ScriptedService, path: str, is_form: bool) -> None:
    """All four routes read it in JSON and in forms; From is its user."""
    answer = post(service, {**MAIL, **ACCOUNT}, path=path, is_form=is_form)
    assert ("200", MESSAGE_ID) == (answer.code, answer.json["message_id"])
    (guest,) = service.guests_given
    assert guest is not None
    account = guest.account
    assert ("smtp.example.com", 587, TlsMode.STARTTLS) == (account.host, account.port, account.tls)
    assert "u@example.org" == account.username
    (submission,) = service.submissions
    assert submission.from_ is not None
    assert "u@example.org" == submission.from_.address.spec


def test_a_plain_call_brings_none(service: ScriptedService) -> None:
    """Without a member of an account the configured one sends, and ``ssl`` alone brings none."""
    assert "200" == post(service, {**MAIL, "ssl": True}, path="/email/send").code
    assert [None] == service.guests_given


def test_quotes_and_aliases(service: ScriptedService) -> None:
    """One pair of quotes around a form's value goes, blanks in a password stay; spellings of the document."""
    quoted = {
        "smtp": '"smtp://smtp.example.com:465"',
        "user": '"u@example.org"',
        "pasword": '" p "',
        "ssl": '"true"',
        "subject": '"제목"',
        "body": '"b"',
        "to": '"<a@example.com>"',
    }
    assert "200" == post(service, quoted, is_form=True).code
    (guest,), (submission,) = service.guests_given, service.submissions
    assert guest is not None
    assert guest.account.password is not None
    assert (" p ", TlsMode.IMPLICIT) == (guest.account.password.reveal(), guest.account.tls)
    assert ("제목", '"b"') == (submission.subject, submission.html)


@pytest.mark.parametrize(
    ("changed", "is_form", "code"),
    [
        ({"smtp_url": ""}, False, "422"),
        ({"smtp_url": None}, False, "422"),
        ({"smtp_url": "ftp://x.example"}, False, "422"),
        ({"smtp_url": "smtp://10.0.0.1"}, False, "422"),
        ({"smtp_url": "smtp://169.254.169.254:25"}, False, "422"),
        ({"smtp_url": "smtp://[::ffff:127.0.0.1]:25"}, False, "422"),
        ({"smtp_url": "smtp://smtp.example.com:22"}, False, "422"),
        ({"smtp_url": 5}, False, "422"),
        ({"user": ""}, False, "421"),
        ({"user": "apikey"}, False, "421"),
        ({"password": ""}, True, "423"),
        ({"password": 5}, False, "423"),
        ({"password": "a\r\nb"}, False, "423"),
        ({"ssl": "perhaps"}, False, "410"),
        ({"subject": ""}, False, "410"),
        ({"to": "", "user": "x", "smtp_url": "x@y"}, False, "422"),
        ({"to": "", "user": "x"}, False, "421"),
        ({"to": ""}, False, "411"),
    ],
)
def test_codes_of_members(
    service: ScriptedService, changed: dict[str, Any], is_form: bool, code: str
) -> None:
    """What is wrong with a member has its code and the document's words, and nothing is stored."""
    answer = post(service, {**MAIL, **ACCOUNT, **changed}, is_form=is_form)
    assert (200, code, "") == (answer.status, answer.code, answer.json["message_id"])
    assert answer.json["message"].startswith(TEXTS[Code(code)])
    assert [] == service.submissions


def test_a_refusal_names_the_setting(service: ScriptedService) -> None:
    """An address that is not public, and a port, name what opens them; no answer repeats the password."""
    members = {**MAIL, **ACCOUNT, "password": "canary-password"}
    for url, setting in (
        ("smtp://10.0.0.1", "egress.allowed_networks"),
        ("smtp://mx.example.com:24", "nexus.tenant_ports"),
    ):
        answer = post(service, {**members, "smtp_url": url})
        assert setting in answer.json["message"]
        assert b"canary-password" not in answer.body


@pytest.mark.parametrize(
    ("step", "cause", "code"),
    [
        ("auth", "auth-wrong", "423"),
        ("mail", "sender-refused", "421"),
        ("resolve", "egress-refused", "422"),
        ("starttls", "starttls-not-offered", "422"),
        ("rcpt", "mailbox-unknown", "500"),
        ("auth", "guest-gone", "500"),
    ],
)
def test_codes_of_outcomes(service: ScriptedService, step: str, cause: str, code: str) -> None:
    """What the account's server refused for good names the member; the mail's own refusals are 500."""
    one = recipient(state=RecipientState.REFUSED, cause=cause, text="5.7.8 no")
    attempts = (replace(one.attempts[0], step=step),)
    service.after_attempt = view_of(replace(one, attempts=attempts))
    answer = post(service, {**MAIL, **ACCOUNT})
    assert (code, MESSAGE_ID) == (answer.code, answer.json["message_id"])
    assert "5.7.8 no" in answer.json["message"]
    assert "500" == post(service, MAIL, path="/email/send").code


def test_who_may(service: ScriptedService) -> None:
    """A listed network or a key with the scope; where everything is captured, anybody without a key."""
    elsewhere = replace(TENANTS, tenants=replace(TENANTS.tenants, networks=parse_networks(["192.0.2.0/24"])))
    members = {**MAIL, **ACCOUNT}
    assert (403, "422") == ((answer := post(service, members, setup=elsewhere)).status, answer.code)
    assert "tenant-smtp" in answer.json["message"]
    key = {"authorization": f"Bearer {KEY}"}
    assert 403 == post(service, members, setup=elsewhere, headers=key).status
    service.said_mode = "capture"
    answer = post(service, members, setup=elsewhere)
    assert ("200", "capture", [None]) == (answer.code, answer.json["mode"], service.guests_given)
    assert 403 == post(service, members, setup=elsewhere, headers=key).status
