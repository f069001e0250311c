"""What the description of a transport comes to."""

import hashlib
import hmac
import json
from base64 import b64encode
from typing import Any

import pytest

from each_row import each
from postroom.model.address import parse_address, parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import (
    FromPolicy,
    GrantKind,
    Rate,
    SmtpAccount,
    TlsMode,
    TransportKind,
    TransportSpec,
)
from postroom.providers.catalogue import providers
from postroom.providers.provider import FromRule, UsernameRule
from postroom.schema.transport_body import ReadBody, read_body
from postroom.schema.transport_spec import Setting

IMPLICIT, STARTTLS, IF_OFFERED, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC, TlsMode.NONE
LOGIN = {"username": "app@example.com", "password": "s3cret-word"}


def spec(body: dict[str, Any], setting: Setting | None = None) -> TransportSpec:
    read = read_body(body, setting=setting)
    assert read.problems == ()
    assert read.spec is not None
    return read.spec


def account(body: dict[str, Any]) -> SmtpAccount:
    found = spec(body).account
    assert found is not None
    return found


def told(read: ReadBody) -> list[tuple[str, str]]:
    return [(problem.code, problem.field) for problem in read.problems]


# ------------------------------------------------------------------ where to


@each(
    ("fields", "port", "mode"),
    [
        ({}, 465, IMPLICIT),
        ({"port": 465}, 465, IMPLICIT),
        ({"port": 587}, 587, STARTTLS),
        ({"port": 25}, 25, IF_OFFERED),
        ({"port": 2525}, 2525, IF_OFFERED),
        ({"encryption": "tls"}, 465, IMPLICIT),
        ({"encryption": "starttls"}, 587, STARTTLS),
        ({"encryption": "starttls-if-offered"}, 587, IF_OFFERED),
        ({"encryption": "none"}, 25, NONE),
        ({"encryption": "tls", "port": 587}, 587, IMPLICIT),
        ({"encryption": "starttls", "port": 465}, 465, IMPLICIT),
        ({"encryption": "none", "port": 465}, 465, NONE),
    ],
)
def test_a_server_nobody_knows(fields: dict[str, Any], port: int, mode: TlsMode) -> None:
    """Port and encryption follow from each other; without either it is TLS from the first byte."""
    found = account({"host": "mx.example.com", **fields, **LOGIN})
    assert (port, mode, None) == (found.port, found.tls, found.provider)


@each(
    ("fields", "port", "mode"),
    [
        ({}, 465, IMPLICIT),
        ({"port": 587}, 587, STARTTLS),
        ({"port": 25}, 25, IF_OFFERED),
        ({"encryption": "starttls"}, 587, STARTTLS),
        ({"encryption": "tls", "port": 587}, 587, IMPLICIT),
    ],
)
@each("server", [{"provider": "qq"}, {"host": "SMTP.qq.com"}])
def test_a_known_server(server: dict[str, Any], fields: dict[str, Any], port: int, mode: TlsMode) -> None:
    """A provider fills in host, port and encryption, named by its id or found by the host."""
    found = account({**server, **fields, "username": "app@qq.com", "password": "x"})
    assert ("smtp.qq.com", port, mode, "qq") == (found.host, found.port, found.tls, found.provider)


def test_every_provider_makes_a_transport() -> None:
    """Each row of the catalogue with a server comes to its preferred port and mode, and its login."""
    for one in providers():
        if not one.host:
            continue
        domain = one.domains[0] if one.domains else "example.com"
        body: dict[str, Any] = {"provider": one.id, "from": f"app@{domain}", "password": "s3cretword"}
        if one.login_of(f"app@{domain}") is None:
            body["username"] = "credential"
        found = spec(body)
        assert found.account is not None
        assert (one.host, one.prefer.port, one.prefer.mode, one.id) == (
            found.account.host,
            found.account.port,
            found.account.tls,
            found.account.provider,
        )
        expected = {
            UsernameRule.FULL_ADDRESS: f"app@{domain}",
            UsernameRule.LOCAL_PART: "app",
            UsernameRule.LITERAL: one.username_literal,
        }
        assert expected.get(one.username, "credential") == found.account.username
        is_strict = one.from_rule is FromRule.EQUALS_ACCOUNT
        assert (FromPolicy.REWRITE if is_strict else FromPolicy.KEEP) is found.from_policy


@each(
    ("body", "expected"),
    [
        ({}, ("transport-url-missing", "url")),
        ({"provider": "qqq"}, ("provider-unknown", "provider")),
        ({"provider": "exchange-onprem"}, ("host-missing", "host")),
        ({"host": "smtp://mx.example.com"}, ("url-host", "host")),
        ({"host": "mx.example.com:465"}, ("url-host", "host")),
        ({"url": "smtp://mx.example.com", "host": "mx.example.com"}, ("given-twice", "host")),
        ({"url": "failover(smtp://a smtp://b)"}, ("transport-group", "url")),
        ({"host": "mx.example.com", "username": "u"}, ("login-incomplete", "password")),
        ({"host": "mx.example.com", "password": "p"}, ("login-incomplete", "username")),
        ({"host": "mx.example.com", "username": "u", "password": "\n"}, ("secret-empty", "password")),
        ({"host": "mx.example.com", "username": "u", "password": "*****"}, ("secret-missing", "password")),
        ({"url": "smtps://u:*****@mx.example.com"}, ("secret-missing", "url")),
        ({"host": "mx.example.com", "proxy": "socks4://p"}, ("proxy-url", "proxy")),
        ({"host": "mx.example.com", "proxy": "http://p"}, ("proxy-url", "proxy")),
        ({"host": "mx.example.com", "proxy": "http://u:*****@p:1"}, ("secret-missing", "proxy")),
        ({"url": "smtp://mx?proxy=socks5://p", "proxy": "socks5://q"}, ("given-twice", "proxy")),
        ({"host": "mx.example.com", "source_address": "eth0"}, ("source-address", "source_address")),
        ({"host": "mx.example.com", "pin": "abc"}, ("pin", "pin")),
        ({"host": "mx.example.com", "port": 0}, ("setting-value", "port")),
        ({"host": "mx.example.com", "encryption": "ssl"}, ("setting-value", "encryption")),
        ({"host": "mx.example.com", "from_policy": "rewite"}, ("setting-value", "from_policy")),
        ({"host": "mx.example.com", "url_file": "/etc/passwd"}, ("file-not-here", "url_file")),
        ({"host": "mx.example.com", "password_file": "/etc/passwd"}, ("file-not-here", "password_file")),
        (
            {"host": "mx.example.com", **LOGIN, "oauth": {"client_id": "c", "secret": "r"}},
            ("oauth-incomplete", "oauth.token_url"),
        ),
        ({"host": "mx.example.com", "hots": 1}, ("unknown-setting", "hots")),
        ({"host": "mx.example.com", "oauth": {"secert": "x"}}, ("unknown-setting", "oauth.secert")),
    ],
)
def test_named_problems(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """What does not come to a transport is named, with the field."""
    assert expected in told(read_body(body))


def test_every_problem_at_once() -> None:
    """Independent mistakes are found in one go."""
    body = {"host": "mx example", "username": "u", "pin": "x", "source_address": "y"}
    assert [("url-host", "host")] == told(read_body(body))
    body["host"] = "mx.example.com"
    assert {"login-incomplete", "pin", "source-address"} == {code for code, _ in told(read_body(body))}


# ------------------------------------------------------------------ who


@each(
    ("body", "username"),
    [
        ({"provider": "qq", "from": "app@qq.com"}, "app@qq.com"),
        ({"provider": "qq", "username": "app@qq.com"}, "app@qq.com"),
        ({"provider": "qq", "username": "app", "from": "app@foxmail.com"}, "app@foxmail.com"),
        ({"provider": "163", "from": "app@163.com"}, "app"),
        ({"provider": "163", "username": "app@163.com"}, "app@163.com"),
        ({"provider": "web-de", "username": "app@web.de"}, "app"),
        ({"provider": "sendgrid", "from": "app@example.com"}, "apikey"),
        ({"provider": "resend", "from": "app@example.com"}, "resend"),
        ({"provider": "postmark", "username": "token"}, "token"),
    ],
)
def test_the_login_a_provider_wants(body: dict[str, Any], username: str) -> None:
    """Whole address, local part or literal word; a form that some accounts want is left as written."""
    assert username == account({**body, "password": "s3cretword"}).username


def test_a_login_that_does_not_fit_is_said() -> None:
    """What cannot be filled in is a warning."""
    for body in ({"provider": "qq", "username": "12345"}, {"provider": "sendgrid", "username": "me"}):
        read = read_body({**body, "password": "s3cretword"})
        assert any("expects" in warning for warning in read.warnings)


def test_the_address_behind_a_local_part() -> None:
    """It is the default sender and what From is rewritten to."""
    found = spec({"provider": "163", "username": "app", "password": "x"})
    assert found.account is not None
    assert parse_address("app@163.com") == found.account.address
    assert parse_mailbox("app@163.com") == found.default_from


@each(
    ("provider", "typed", "kept"),
    [
        ("gmail", "abcd efgh ijkl mnop", "abcdefghijklmnop"),
        ("gmail", "abcdefghijklmnop\r\n", "abcdefghijklmnop"),
        ("qq", "abcd efgh\n", "abcdefgh"),
        ("gmail", "abcd\u00a0efgh\u00a0ijkl\u00a0mnop", "abcdefghijklmnop"),
        ("exmail", "abcd efgh ijkl mnop", "abcdefghijklmnop"),
        ("exmail", "my own password", "my own password"),
        ("aliyun", "two words", "two words"),
        ("aliyun", " blanks ", " blanks "),
    ],
)
def test_pasted_secrets(provider: str, typed: str, kept: str) -> None:
    """Blanks of app passwords and a line end of any secret are left out, and that is said; no more."""
    read = read_body({"provider": provider, "username": "app@example.com", "password": typed})
    assert read.spec is not None
    assert read.spec.account is not None
    assert Secret(kept) == read.spec.account.password == read.secrets["password"]
    assert (typed != kept) == any("left out" in warning for warning in read.warnings)


def test_a_line_end_in_a_url() -> None:
    """Also where it came percent-encoded into the URL."""
    read = read_body({"url": "smtps://u:word%0A@mx.example.com"})
    assert Secret("word") == read.secrets["url.password"]
    assert any("line end" in warning for warning in read.warnings)


def test_own_from_wins_over_the_general_one() -> None:
    """The transport's from, else the general one, else the account."""
    general = Setting(default_from=parse_mailbox("general@example.com"))
    body = {"host": "mx.example.com", **LOGIN}
    assert spec({**body, "from": "own@example.com"}, general).default_from == parse_mailbox("own@example.com")
    assert spec(body, general).default_from == general.default_from
    assert spec(body).default_from == parse_mailbox("app@example.com")


def test_a_password_beside_a_url() -> None:
    """It replaces the one in the URL, whose user stays; a user name alone leaves the login incomplete."""
    found = account({"url": "smtps://app:old-word@mx.example.com", "password": "new-word"})
    assert ("app", Secret("new-word")) == (found.username, found.password)
    read = read_body({"url": "smtps://app:old-word@mx.example.com", "username": "other"})
    assert [("login-incomplete", "password")] == told(read)


# ------------------------------------------------------------------ Amazon SES

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def derived(key: str, region: str) -> str:
    """The algorithm as Amazon's guide writes it, step by step."""

    def sign(by: bytes, message: str) -> bytes:
        return hmac.new(by, message.encode("utf-8"), hashlib.sha256).digest()

    signature = sign(("AWS4" + key).encode("utf-8"), "11111111")
    signature = sign(signature, region)
    signature = sign(signature, "ses")
    signature = sign(signature, "aws4_request")
    signature = sign(signature, "SendRawEmail")
    return b64encode(bytes([0x04]) + signature).decode("utf-8")


HOST = "email-smtp.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    "body",
    [
        {"host": HOST, "access_key_id": KEY_ID, "secret_access_key": KEY},
        {"host": HOST, "username": KEY_ID, "password": KEY},
        {"provider": "ses", "host": HOST, "username": KEY_ID, "password": f"{KEY}\n"},
        {"url": f"smtps://{HOST}", "access_key_id": KEY_ID, "secret_access_key": KEY},
        {"url": f"smtps://{KEY_ID}:{KEY.replace('/', '%2F')}@{HOST}"},
        {"URI": f"smtps://{HOST}", "UserName": KEY_ID, "Password": KEY},
    ],
)
def test_an_access_key_becomes_the_smtp_password(body: dict[str, Any]) -> None:
    """The password of the server's region is derived, only that is stored, and it is said."""
    read = read_body({**body, "from": "app@example.com"} if "URI" not in body else body)
    assert read.spec is not None
    assert read.spec.account is not None
    expected = Secret(derived(KEY, "eu-central-1"))
    assert (KEY_ID, expected) == (read.spec.account.username, read.spec.account.password)
    assert [expected] == list(read.secrets.values())
    assert "secret_access_key" not in read.fields
    assert KEY not in repr((read.fields, [secret.reveal() for secret in read.secrets.values()]))
    assert any("eu-central-1" in warning for warning in read.warnings)


def test_a_derived_password_is_left_alone() -> None:
    """Reading back what is stored derives nothing anew."""
    body = {"host": HOST, "username": KEY_ID, "password": derived(KEY, "eu-central-1")}
    assert Secret(body["password"]) == account(body).password


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"host": "mx.example.com", "access_key_id": KEY_ID, "secret_access_key": KEY}, "access-key-host"),
        ({"host": HOST, "access_key_id": KEY_ID}, "login-incomplete"),
        ({"host": HOST, "access_key_id": KEY_ID, "secret_access_key": KEY, **LOGIN}, "given-twice"),
    ],
)
def test_access_keys_that_do_not_fit(body: dict[str, Any], expected: str) -> None:
    """An access key is for SES alone, whole, and the only login."""
    assert [expected] == [code for code, _ in told(read_body(body))]


# ------------------------------------------------------------------ limits


def test_limits_of_providers_hold_where_nothing_is_set() -> None:
    """Documented paces, connections and recipients are taken over; what a person set stays."""
    found = spec({"provider": "microsoft365", **LOGIN})
    assert ((Rate(60, 30),), 3) == (found.rates, found.max_connections)
    own = spec({"provider": "microsoft365", **LOGIN, "rate": "5/s", "max_connections": 8})
    assert ((Rate(1, 5),), 8) == (own.rates, own.max_connections)
    assert spec({"provider": "naver", "username": "app@naver.com", "password": "x"}).max_recipients == 100


def test_a_day_counts_for_the_providers_own_mailboxes() -> None:
    """With a domain of one's own the plan decides, so no day is counted."""
    own = {"provider": "gmail", "password": "x"}
    assert (Rate(86400, 500),) == spec({**own, "username": "app@gmail.com"}).rates
    assert spec({**own, "username": "app@example.com"}).rates == ()


def test_unpublished_limits_are_met_with_one_connection() -> None:
    """No rate is made up where a provider keeps its numbers secret."""
    found = spec({"provider": "qq", "username": "app@qq.com", "password": "x"})
    assert ((), 1) == (found.rates, found.max_connections)
    assert spec({"host": "mx.example.com", **LOGIN}).max_connections == 10


def test_a_port_the_provider_lacks_is_said() -> None:
    """465 where a provider has none hangs; saving it warns and names the port that works."""
    for body in (
        {"provider": "microsoft365", "port": 465, **LOGIN},
        {"url": "smtps://u%40example.com:x@smtp.office365.com"},
        {"provider": "postmark", "encryption": "tls", "username": "t", "password": "t"},
    ):
        read = read_body(body)
        assert read.spec is not None
        assert any("no port 465" in warning and "587" in warning for warning in read.warnings)


# ------------------------------------------------------------------ how


def test_tokens() -> None:
    """The provider says where tokens come from and what for; the login is the address."""
    grant = account(
        {
            "provider": "gmail",
            "username": "app@gmail.com",
            "oauth": {"client_id": "c", "client_secret": "s", "secret": "r\n"},
        }
    ).oauth
    assert grant is not None
    assert (GrantKind.REFRESH_TOKEN, "https://oauth2.googleapis.com/token", "https://mail.google.com/") == (
        grant.kind,
        grant.token_url,
        grant.scope,
    )
    assert grant.secret == Secret("r")
    tenant = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"
    app = {"kind": "client_credentials", "client_id": "c", "client_secret": "s", "token_url": tenant}
    grant = account({"provider": "microsoft365", "from": "app@example.com", "oauth": app}).oauth
    assert grant is not None
    assert "https://outlook.office365.com/.default" == grant.scope
    del app["token_url"]
    read = read_body({"provider": "microsoft365", "from": "app@example.com", "oauth": app})
    assert [("oauth-incomplete", "oauth.token_url")] == told(read)


def test_service_accounts() -> None:
    """The key file says where tokens come from; what is no key file is told without a word of it."""
    file = {
        "client_email": "x@example.com",
        "private_key": "planted-key",
        "token_uri": "https://example.com/t",
    }
    body = {"provider": "gmail", "username": "app@example.com"}
    grant = account({**body, "oauth": {"kind": "service_account", "secret": json.dumps(file)}}).oauth
    assert grant is not None
    assert ("https://example.com/t", "https://mail.google.com/") == (grant.token_url, grant.scope)
    for wrong in ("planted-key", "[]", '{"client_email": "planted-key"}', "[" * 100_000):
        read = read_body({**body, "oauth": {"kind": "service_account", "secret": wrong}})
        assert [("oauth-incomplete", "oauth.secret")] == told(read)
        assert "planted-key" not in repr(read)


def test_the_rest_reaches_its_place() -> None:
    """Pins, addresses, names and proxies are understood as people write them."""
    found = account(
        {
            "url": "smtps://u:x@mx.example.com?proxy=socks5://pu:p%40w@proxy.example.com",
            "pin": ":".join(["AB"] * 32),
            "source_address": "192.0.2.7",
            "server_name": "Mail.Example.com",
            "auth": "LOGIN",
        }
    )
    assert ("ab" * 32, "192.0.2.7", "mail.example.com", "LOGIN") == (
        found.pin,
        found.source_address,
        found.server_name,
        found.auth,
    )
    assert found.proxy is not None
    assert ("pu", Secret("p@w"), 1080) == (found.proxy.username, found.proxy.password, found.proxy.port)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"host": "mx.example.com", "verify": False}, "does NOT check"),
        ({"host": "mx.example.com", "encryption": "none", **LOGIN}, "is not sent unless"),
        ({"host": "mx.example.com", "encryption": "none", "allow_plaintext_login": True, **LOGIN}, "is sent"),
        ({"host": "mx.example.com"}, "no sender"),
    ],
)
def test_loud_warnings(body: dict[str, Any], words: str) -> None:
    """What is dangerous or incomplete is said at once."""
    assert any(words in warning for warning in read_body(body).warnings)


def test_capture_is_a_transport_too() -> None:
    """The inbox takes no account."""
    assert TransportKind.CAPTURE is spec({"url": "capture:"}).kind
    assert spec({"url": "capture:"}).account is None


@pytest.mark.parametrize("body", [[], "x", None, 3])
def test_other_json(body: object) -> None:
    """What is no object is refused."""
    assert [("wrong-type", "body")] == told(read_body(body))
