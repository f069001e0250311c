"""The secrets of a transport: parted, kept by *****, and never shown."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.secret import Secret
from postroom.model.transport import StoredTransport
from postroom.schema.transport_body import ReadBody, read_body, read_stored
from postroom.schema.transport_secrets import join_secrets, shown_transport, split_secrets

HIDDEN = "*****"
NOW = datetime(2030, 1, 31, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=24).filter(
    lambda word: word not in {HIDDEN, ""} and word.strip() == word
)


def understood(body: dict[str, Any], secrets: dict[str, Secret] | None = None) -> ReadBody:
    read = read_body(body, secrets=secrets or {})
    assert read.problems == ()
    return read


def test_each_secret_has_its_path() -> None:
    """In the place of each stands *****; the rest is as it was."""
    document = {
        "name": "main",
        "host": "mx.example.com",
        "username": "u",
        "password": "p-word",
        "proxy": "socks5://pu:pp-word@proxy.example.com:1080",
        "oauth": {"client_id": "c", "client_secret": "cs-word", "secret": "r-word"},
    }
    fields, secrets = split_secrets(document)
    assert fields == {
        "name": "main",
        "host": "mx.example.com",
        "username": "u",
        "password": HIDDEN,
        "proxy": f"socks5://pu:{HIDDEN}@proxy.example.com:1080",
        "oauth": {"client_id": "c", "client_secret": HIDDEN, "secret": HIDDEN},
    }
    assert {path: secret.reveal() for path, secret in secrets.items()} == {
        "password": "p-word",
        "proxy.password": "pp-word",
        "oauth.client_secret": "cs-word",
        "oauth.secret": "r-word",
    }
    assert join_secrets(fields, secrets) == document


@given(user=WORDS, password=WORDS, proxy=WORDS)
def test_parted_and_joined_again(user: str, password: str, proxy: str) -> None:
    """Whatever the secrets hold, they survive being stored, as fields and inside URLs."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    via = f"http://{quote(user, safe='')}:{quote(proxy, safe='')}@proxy.example.com:3128"
    for body in (
        {"url": f"smtps://{login}@mx.example.com", "proxy": via},
        {"url": f"smtps://{login}@mx.example.com?proxy={quote(via, safe='')}"},
    ):
        read = understood(body)
        assert read.spec is not None
        again = understood(dict(read.fields), dict(read.secrets))
        assert again.spec == read.spec
        assert (again.fields, again.secrets) == (read.fields, read.secrets)
        assert (password, proxy) == (
            read.secrets["url.password"].reveal(),
            read.secrets["proxy.password"].reveal(),
        )


@given(password=WORDS.filter(lambda word: not word.endswith(("\r", "\n"))))
def test_a_password_field_survives(password: str) -> None:
    """A password stands as it was typed, blanks inside and marks included."""
    read = understood({"host": "mx.example.com", "username": "u", "password": password})
    stored = StoredTransport(
        name="main", fields=read.fields, secrets=read.secrets, created_at=NOW, changed_at=NOW
    )
    spec = read_stored(stored).spec
    assert spec is not None
    assert spec.account is not None
    assert Secret(password) == spec.account.password
    assert "main" == spec.name


def test_the_mark_keeps_the_stored_secret() -> None:
    """A change that sends ***** back keeps it, also when the form changes; a new value replaces it."""
    first = understood({"url": "smtps://u:old-word@mx.example.com"})
    secrets = dict(first.secrets)
    for body, kept in (
        ({"url": f"smtps://u:{HIDDEN}@mx2.example.com:2465"}, "old-word"),
        ({"host": "mx2.example.com", "username": "u", "password": HIDDEN}, "old-word"),
        ({"SMTP_Server_Host": "mx", "SMTP_Server_User": "u", "SMTP_Server_password": HIDDEN}, "old-word"),
        ({"host": "mx2.example.com", "username": "u", "password": "new-word"}, "new-word"),
    ):
        read = understood(body, secrets)
        assert [kept] == [secret.reveal() for secret in read.secrets.values()]
    back = understood({"url": f"smtps://u:{HIDDEN}@mx.example.com"}, {"password": Secret("a/b@c")})
    assert "a/b@c" == back.secrets["url.password"].reveal()


def test_a_mark_without_a_stored_secret_is_refused() -> None:
    """Five asterisks are never sent as a password."""
    for body in (
        {"host": "mx.example.com", "username": "u", "password": HIDDEN},
        {"provider": "gmail", "username": "a@gmail.com", "oauth": {"client_id": "c", "secret": HIDDEN}},
    ):
        assert ["secret-missing"] == [problem.code for problem in read_body(body).problems]


def test_locked_secrets_make_a_spec_that_cannot_log_in() -> None:
    """When the key is missing the transport can be shown and named, with the mark for its secret."""
    fields = understood({"url": "smtps://u:old-word@mx.example.com"}).fields
    stored = StoredTransport(
        name="main", fields=fields, secrets={}, problem="secret-key-missing", created_at=NOW, changed_at=NOW
    )
    read = read_stored(stored)
    assert read.problems == ()
    assert read.spec is not None
    assert read.spec.account is not None
    assert Secret(HIDDEN) == read.spec.account.password


PLANTED = "Zq7planted7qZ"
BODIES: list[dict[str, Any]] = [
    {"url": f"smtps://u:{PLANTED}@mx.example.com"},
    {"url": f"smtps://u:{PLANTED}/x@mx.example.com"},
    {"url": f"{PLANTED}://mx.example.com"},
    {"url": f"smtps://u:%zz{PLANTED}@mx example.com:99999?starttls={'x'}"},
    {"url": f"smtp://mx.example.com?proxy=socks5://u:{PLANTED}@proxy"},
    {"url": f"smtp://mx.example.com?proxy=ftp://u:{PLANTED}@proxy"},
    {"url": [PLANTED]},
    {"host": "mx.example.com", "username": "u", "password": PLANTED},
    {"host": "mx.example.com", "username": "u", "password": {"x": PLANTED}},
    {"host": "mx.example.com", "password": PLANTED, "unknown": PLANTED},
    {"host": "mx.example.com", "proxy": f"socks5://u:{PLANTED}@proxy:1:2"},
    {"provider": "gmail", "username": "a@gmail.com", "password": f"{PLANTED[:4]} {PLANTED}\n"},
    {"provider": "gmail", "username": "a@gmail.com", "oauth": {"client_secret": PLANTED, "secret": PLANTED}},
    {
        "host": "email-smtp.eu-west-1.amazonaws.com",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": PLANTED,
    },
    {
        "smtp.server.password": PLANTED,
        "smtp.server.host": "mx",
        "smtp.server.user": "u",
        "email.server.tls": "x",
    },
    {"signature": "x", "server": "mx.example.com", "account": "u", "password": PLANTED, "port": "x"},
    {"URI": f"smtp://u:{PLANTED}@mx.example.com", "UserName": "u", "Password": PLANTED, "port": 1},
    {"URI": f"http://u:{PLANTED}@mx.example.com", "UserName": "u", "Password": PLANTED},
]


@each("body", BODIES)
def test_no_secret_is_told(body: dict[str, Any]) -> None:
    """No problem, warning, representation or stored field contains a secret."""
    read = read_body(body)
    shown = {} if read.spec is None else shown_transport(read.spec)
    everything = f"{read!r} {read.problems} {read.warnings} {read.fields} {json.dumps(shown)}"
    assert PLANTED not in everything


def test_a_configured_transport_is_shown_in_our_names() -> None:
    """What is shown can be sent back: with the secrets kept it comes to the same transport."""
    body = {
        "name": "main",
        "provider": "qq",
        "username": "app@qq.com",
        "password": "s3cretword",
        "from": '"Acme, Inc." <app@qq.com>',
        "receivers": "a@example.com; b@example.com",
        "subject_prefix": "[x] ",
        "rate": "2/s, 100/h",
        "proxy": "socks5://pu:pp-word@proxy.example.com",
        "pin": "ab" * 32,
        "timeouts": {"connect": "10 s"},
    }
    read = understood(body)
    assert read.spec is not None
    shown = shown_transport(read.spec)
    assert (HIDDEN, f"socks5://pu:{HIDDEN}@proxy.example.com:1080") == (shown["password"], shown["proxy"])
    again = understood(json.loads(json.dumps(shown)), dict(read.secrets))
    assert read.spec == again.spec
    assert {"name": "box", "url": "capture:"}.items() <= shown_transport(
        understood_spec({"name": "box", "url": "capture:"})
    ).items()


def understood_spec(body: dict[str, Any]) -> Any:
    return understood(body).spec


KEYS = [
    "name",
    "url",
    "host",
    "port",
    "encryption",
    "username",
    "password",
    "provider",
    "from",
    "from_policy",
    "subject_prefix",
    "receivers",
    "auth",
    "oauth",
    "proxy",
    "source_address",
    "server_name",
    "ca_file",
    "pin",
    "verify",
    "rate",
    "timeouts",
    "access_key_id",
    "secret_access_key",
    "URI",
    "UserName",
    "Password",
    "FromAddress",
    "smtp.server.host",
    "smtp.server.port",
    "email.server.tls",
    "smtp.proxy.host",
    "smtp.proxy.port",
    "smtp",
    "signature",
    "fromAddress",
    "server",
    "account",
    "enableSsl",
    "CertificateValidation",
    "WebhookUrl",
    "unknown",
]
VALUES: list[Any] = [
    *(None, "", 0, 465, 587, "465", True, False, [], {}, 1.5, 10**30, "\x00", "\ud800", HIDDEN, "x", "2/s"),
    *("smtp://h", "smtps://u:p@h", "provider+qq://a@qq.com:x@", "provider+ses://a:b@", "failover(a b)"),
    *("smtp://h?proxy=%zz", "smtp://h?proxy=socks5://%ff:x@h", "socks5://u:p@h:1", "http://[::1]:1"),
    *("a@b.example", ["a@b.example"], {"server": {"host": "h"}}, {"client_id": "c", "secret": "s"}),
    *("qq", "163", "ses", "tls", "SSL", "smtp.163.com", "email-smtp.eu-west-1.amazonaws.com"),
    *("AKIAIOSFODNN7EXAMPLE", "w" * 40),
]


@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=7))
def test_whatever_is_sent(body: dict[str, Any]) -> None:
    """Any description is understood or refused, and what is stored of it is understood alike."""
    read = read_body(body)
    assert (read.spec is None) == bool(read.problems)
    if read.spec is not None:
        assert read.spec == read_body(dict(read.fields), secrets=read.secrets).spec
