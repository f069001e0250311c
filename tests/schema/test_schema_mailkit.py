"""MailKit's table of URIs, row by row, with our rule about passwords."""

import pytest

from each_row import each
from postroom.errors import ConfigError
from postroom.model.transport import TlsMode
from postroom.schema.transport_body import read_body
from postroom.schema.transport_url import parse_transport_url

IMPLICIT, STARTTLS, IF_OFFERED, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC, TlsMode.NONE

ROWS = [
    ("smtps://mail.example.com", IMPLICIT, 465),
    ("smtps://mail.example.com:2465", IMPLICIT, 2465),
    ("smtp://mail.example.com", IF_OFFERED, 25),
    ("smtp://mail.example.com:587", IF_OFFERED, 587),
    ("smtp://mail.example.com/?starttls=always", STARTTLS, 25),
    ("smtp://mail.example.com/?starttls=true", STARTTLS, 25),
    ("smtp://mail.example.com:587/?starttls=yes", STARTTLS, 587),
    ("smtp://mail.example.com/?starttls=never", NONE, 25),
    ("smtp://mail.example.com/?starttls=false", NONE, 25),
    ("smtp://mail.example.com/?starttls=no", NONE, 25),
    ("smtp://mail.example.com/?starttls=when-available", IF_OFFERED, 25),
    ("SMTP://mail.example.com/?StartTLS=ALWAYS", STARTTLS, 25),
    ("smtps://mail.example.com/?starttls=never", IMPLICIT, 465),
]


@each(("uri", "mode", "port"), ROWS)
def test_row(uri: str, mode: TlsMode, port: int) -> None:
    """Scheme, port and starttls mean what they mean there, compared without case."""
    account = parse_transport_url(uri, field="URI").account
    assert account is not None
    assert (mode, port) == (account.tls, account.port)


@each(("uri", "mode", "port"), ROWS)
def test_a_password_is_never_sent_in_plain_by_itself(uri: str, mode: TlsMode, port: int) -> None:
    """With a login from its own fields, no row lets the password go without TLS."""
    read = read_body(
        {"URI": uri, "UserName": "app", "Password": "s3cret-word", "FromAddress": "a@example.com"}
    )
    assert read.spec is not None
    assert read.spec.account is not None
    account = read.spec.account
    assert (mode, port, "app", False) == (
        account.tls,
        account.port,
        account.username,
        account.allow_plaintext_login,
    )


def test_userinfo_gives_way_to_the_fields() -> None:
    """There the URI's own login is ignored; here too once the fields have one, and that is said."""
    read = read_body({"URI": "smtp://x:old-secret@mail.example.com", "UserName": "app", "Password": "new"})
    assert read.spec is not None
    assert read.spec.account is not None
    assert ("app", "new") == (read.spec.account.username, read.secrets["password"].reveal())
    assert any("gives way" in warning for warning in read.warnings)
    assert "old-secret" not in repr((read, dict(read.fields)))


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("http://mail.example.com", "uri-scheme-unknown"),
        ("imap://mail.example.com", "uri-scheme-unknown"),
        ("mail.example.com", "url-not-absolute"),
        ("smtp://", "url-host"),
        ("smtp:///?starttls=always", "url-host"),
    ],
)
def test_refused_rows(uri: str, code: str) -> None:
    """Another scheme, a relative URI and an empty host have names of their own."""
    with pytest.raises(ConfigError) as caught:
        parse_transport_url(uri, field="URI")
    assert [code] == [problem.code for problem in caught.value.problems]


@pytest.mark.parametrize(
    "uri", ["smtp://mail.example.com:465", "smtp://mail.example.com:465?starttls=always"]
)
def test_port_465_does_not_hang(uri: str) -> None:
    """Where MailKit waits for a greeting that never comes, TLS is spoken at once, and that is said."""
    read = parse_transport_url(uri, field="URI")
    assert read.account is not None
    assert (TlsMode.IMPLICIT, 1) == (read.account.tls, len(read.warnings))
