"""Accounts as TapData, HAP and App Builder write them."""

from typing import Any

import pytest

from each_row import each
from postroom.model.address import parse_mailbox
from postroom.model.transport import FromPolicy, Proxy, ProxyKind, SmtpAccount, TlsMode, TransportSpec
from postroom.schema.transport_body import ReadBody, read_body

IMPLICIT, STARTTLS, IF_OFFERED, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC, TlsMode.NONE

TAPDATA = {
    "smtp.server.user": "app@example.com",
    "smtp.server.password": "s3cret-word",
    "email.server.tls": "SSL",
    "smtp.server.host": "mx.example.com",
    "smtp.server.port": "465",
    "email.send.address": "app@example.com",
    "email.receivers": "a@example.com, b@example.com;c@example.com\uff0cd@example.com",
    "email.title.prefix": "[Tap] ",
    "smtp.proxy.host": "proxy.example.com",
    "smtp.proxy.port": "1081",
}
LABELS = {
    "SMTP_Server_User": "app@example.com",
    "SMTP_Server_password": "s3cret-word",
    "Email_Communication_Protocol": "SSL",
    "SMTP_Server_Host": "mx.example.com",
    "SMTP_Server_Port": "465",
    "Email_Send_Address": "app@example.com",
    "Email_Receivers": "a@example.com, b@example.com;c@example.com\uff0cd@example.com",
    "Send_Email_Title_Prefix": "[Tap] ",
    "SMTP_Proxy_Host": "proxy.example.com",
    "SMTP_Proxy_Port": "1081",
}
NESTED = {
    "smtp": {
        "server": {
            "user": "app@example.com",
            "password": "s3cret-word",
            "host": "mx.example.com",
            "port": 465,
        },
        "proxy": {"host": "proxy.example.com", "port": 1081},
    },
    "email": {
        "server": {"tls": "SSL"},
        "send": {"address": "app@example.com"},
        "receivers": "a@example.com, b@example.com;c@example.com\uff0cd@example.com",
        "title": {"prefix": "[Tap] "},
    },
}
HAP = {
    "signature": "Acme, Inc.",
    "fromAddress": "app@example.com",
    "server": "mx.example.com",
    "account": "app@example.com",
    "password": "s3cret-word",
    "port": 465,
    "enableSsl": True,
}


def spec(body: dict[str, Any]) -> TransportSpec:
    read = read_body(body)
    assert read.problems == ()
    assert read.spec is not None
    return read.spec


def account(body: dict[str, Any]) -> SmtpAccount:
    found = spec(body).account
    assert found is not None
    return found


def told(read: ReadBody) -> list[tuple[str, str]]:
    return [(problem.code, problem.field) for problem in read.problems]


@pytest.mark.parametrize("body", [TAPDATA, LABELS, NESTED], ids=["keys", "labels", "nested"])
def test_the_ten_keys(body: dict[str, Any]) -> None:
    """Both spellings, and what TOML makes of dotted keys, come to the same account."""
    found = spec(body)
    assert found.account is not None
    assert ("mx.example.com", 465, IMPLICIT, "app@example.com") == (
        found.account.host,
        found.account.port,
        found.account.tls,
        found.account.username,
    )
    assert Proxy(kind=ProxyKind.SOCKS5, host="proxy.example.com", port=1081) == found.account.proxy
    assert ["a", "b", "c", "d"] == [receiver.address.local for receiver in found.receivers]
    assert "[Tap] " == found.subject_prefix


@each(
    ("protocol", "port", "mode"),
    [
        (None, "465", IMPLICIT),
        ("SSL", "587", IMPLICIT),
        ("ssl", "465", IMPLICIT),
        ("TLS", "587", STARTTLS),
        ("TLS", "465", IMPLICIT),
        ("NO_PROTOCOL", "25", NONE),
        ("None", "25", NONE),
        ("", "25", NONE),
    ],
)
def test_protocols(protocol: str | None, port: str, mode: TlsMode) -> None:
    """SSL is the default; what speaks plain where SSL was chosen is for STARTTLS, never for plain."""
    found = account({**TAPDATA, "email.server.tls": protocol, "smtp.server.port": port})
    assert (mode, int(port), False) == (found.tls, found.port, found.allow_plaintext_login)


def test_ssl_on_587_is_said() -> None:
    """The document names 465 and 587 for SSL; the second one is used with STARTTLS, and that is a warning."""
    read = read_body({**TAPDATA, "smtp.server.port": "587"})
    assert any("587" in warning and "STARTTLS" in warning for warning in read.warnings)


@each(
    ("change", "expected"),
    [
        ({"email.server.tls": "SSH"}, ("setting-value", "email.server.tls")),
        ({"smtp.server.port": "mail"}, ("setting-value", "smtp.server.port")),
        ({"smtp.proxy.port": ""}, ("proxy-incomplete", "smtp.proxy.host")),
        ({"smtp.server.hots": "x"}, ("unknown-setting", "smtp.server.hots")),
        ({"email.receivers": "nobody"}, ("setting-value", "email.receivers.0")),
        ({"smtp.server.host": ""}, ("transport-url-missing", "smtp.server.host")),
        ({"host": "x"}, ("transport-forms-mixed", "host")),
        ({"URI": "smtp://x"}, ("transport-forms-mixed", "body")),
        ({"SMTP_Server_Host": "x"}, ("given-twice", "SMTP_Server_Host")),
    ],
)
def test_wrong_keys(change: dict[str, Any], expected: tuple[str, str]) -> None:
    """What is wrong is told under the key that was written."""
    assert [expected] == told(read_body({**TAPDATA, **change}))


def test_the_nearest_key_is_named() -> None:
    """An unknown key of another program meets the nearest of that program."""
    read = read_body({**TAPDATA, "smtp.server.hots": "x"})
    assert "smtp_server_host" in read.problems[0].fix


def test_the_seven_keys() -> None:
    """The signature is the display name of From, and SSL means TLS from the first byte."""
    found = spec(HAP)
    assert parse_mailbox('"Acme, Inc." <app@example.com>') == found.default_from
    assert found.account is not None
    assert (IMPLICIT, 465, True) == (found.account.tls, found.account.port, found.account.verify)


@pytest.mark.parametrize(("port", "mode"), [(25, IF_OFFERED), (587, IF_OFFERED), (465, IMPLICIT)])
def test_without_ssl(port: int, mode: TlsMode) -> None:
    """The box not ticked means STARTTLS when offered, and no password in plain; 465 speaks TLS anyway."""
    found = account({**HAP, "enableSsl": False, "port": port})
    assert (mode, False) == (found.tls, found.allow_plaintext_login)


def test_no_account_is_an_open_relay() -> None:
    """Account and password may be left out, or be blank."""
    for body in (
        {**HAP, "account": "", "password": ""},
        {k: HAP[k] for k in HAP if k not in ("account", "password")},
    ):
        found = account(body)
        assert (None, None) == (found.username, found.password)


def test_163_logs_in_with_the_local_part() -> None:
    """As the page says; From stays the whole address, and it is the mailbox that From is rewritten to."""
    body = {**HAP, "server": "smtp.163.com", "account": "app@163.com", "fromAddress": "app@163.com"}
    found = spec(body)
    assert found.account is not None
    assert ("app", "163", FromPolicy.REWRITE) == (
        found.account.username,
        found.account.provider,
        found.from_policy,
    )
    assert found.default_from is not None
    assert found.account.address == found.default_from.address


def test_certificate_validation_means_the_contrary() -> None:
    """The switch ignores errors of the certificate; it is taken over and said aloud."""
    read = read_body({**HAP, "CertificateValidation": True, "ComponentType": 1})
    assert read.spec is not None
    assert read.spec.account is not None
    assert not read.spec.account.verify
    assert any("IGNORED" in warning for warning in read.warnings)
    assert account({**HAP, "CertificateValidation": False}).verify


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fromAddress": ""}, ("from-missing", "fromAddress")),
        ({"server": ""}, ("transport-url-missing", "server")),
        ({"WebhookUrl": "https://example.com"}, ("webhook-not-smtp", "WebhookUrl")),
        ({"enableSsl": "perhaps"}, ("setting-value", "enableSsl")),
        ({"password": ""}, ("login-incomplete", "password")),
        ({"smtp.server.host": "x"}, ("transport-forms-mixed", "body")),
    ],
)
def test_wrong_seven_keys(change: dict[str, Any], expected: tuple[str, str]) -> None:
    """A missing sender, half a login and keys of another program are named."""
    assert [expected] == told(read_body({**HAP, **change}))


@pytest.mark.parametrize("missing", ["account", "password"])
def test_half_a_login_has_the_name_of_what_is_missing(missing: str) -> None:
    """Also when nobody wrote that key."""
    assert [("login-incomplete", missing)] == told(read_body({k: HAP[k] for k in HAP if k != missing}))


def test_what_the_seven_keys_leave_out() -> None:
    """No box ticked is no SSL; no signature is no name; no port is that of the encryption."""
    found = spec({k: HAP[k] for k in HAP if k not in ("signature", "port", "enableSsl")})
    assert found.account is not None
    assert (IF_OFFERED, 587) == (found.account.tls, found.account.port)
    assert parse_mailbox("app@example.com") == found.default_from


@pytest.mark.parametrize(
    "keys",
    [
        ("URI", "UserName", "Password", "DefaultFromAddress"),
        ("uri", "username", "password", "fromaddress"),
        ("Uri", "USERNAME", "PassWord", "FromAddress"),
    ],
)
def test_app_builder(keys: tuple[str, ...]) -> None:
    """URI, login and From come apart, the keys in any case."""
    values = ("smtps://email-smtp.us-east-1.amazonaws.com", "login", "s3cret-word", "app@example.com")
    found = spec(dict(zip(keys, values, strict=True)))
    assert found.account is not None
    assert ("email-smtp.us-east-1.amazonaws.com", 465, IMPLICIT, "login") == (
        found.account.host,
        found.account.port,
        found.account.tls,
        found.account.username,
    )
    assert found.default_from == parse_mailbox("app@example.com")


def test_app_builder_without_a_from() -> None:
    """Without a default From the transport exists, and says that messages without one are refused."""
    read = read_body(
        {"URI": "smtp://mail.example.com", "UserName": "login", "Password": "x", "FromAddress": ""}
    )
    assert read.spec is not None
    assert read.spec.default_from is None
    assert any("no sender" in warning for warning in read.warnings)


def test_settings_without_a_counterpart_may_stand_beside() -> None:
    """The name, paces and pins are ours alone, so they contradict nothing."""
    found = spec({**HAP, "name": "hap", "rate": "2/s", "pin": "AB" * 32})
    assert ("hap", 2) == (found.name, found.rates[0].allowed)
    assert found.account is not None
    assert found.account.pin == "ab" * 32


def test_ours_stays_as_it_is() -> None:
    """Our own names are no other program's, and an unknown one meets the nearest."""
    read = read_body({"host": "mx.example.com", "usernam": "x"})
    assert [("unknown-setting", "usernam")] == told(read)
    assert read.problems[0].fix == "Did you mean username?"
