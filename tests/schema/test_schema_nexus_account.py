"""What the members of a Nexus call that name an account come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.transport import TlsMode
from postroom.schema.nexus_account import PORTS, Brought, BroughtAccount, read_account

GOOD = "smtp://smtp.example.com:587"


def read(
    url: str = GOOD,
    *,
    user: str = "a@example.com",
    password: str = "pass word;",  # noqa: S107 - a test's
    ssl: bool | None = None,
    is_form: bool = False,
    allows_plaintext: bool = False,
) -> tuple[BroughtAccount | None, dict[str, str]]:
    """Return the account, and code by member of what is wrong."""
    account, problems = read_account(
        Brought(smtp_url=url, user=user, password=password, ssl=ssl),
        ports=PORTS,
        needs_password=is_form,
        allow_plaintext_login=allows_plaintext,
    )
    return account, {problem.field: problem.code for problem in problems}


def the_account(url: str = GOOD, **more: bool | None) -> BroughtAccount:
    found, problems = read(url, **more)  # type: ignore[arg-type]  # flags of read
    assert {} == problems
    assert found is not None
    return found


@each(
    ("url", "ssl", "port", "tls"),
    [
        ("smtp://smtp.example.com:465", True, 465, TlsMode.IMPLICIT),
        ("smtp://smtp.example.com:465", False, 465, TlsMode.IMPLICIT),
        ("smtp://smtp.example.com:465", None, 465, TlsMode.IMPLICIT),
        ("smtps://smtp.example.com", True, 465, TlsMode.IMPLICIT),
        ("smtps://smtp.example.com", False, 465, TlsMode.IMPLICIT),
        ("smtps://smtp.example.com:587", None, 587, TlsMode.IMPLICIT),
        ("smtp://smtp.example.com:587", True, 587, TlsMode.STARTTLS),
        ("smtp://smtp.example.com", True, 25, TlsMode.STARTTLS),
        ("smtp://smtp.example.com:587", False, 587, TlsMode.NONE),
        ("smtp://smtp.example.com", None, 25, TlsMode.OPPORTUNISTIC),
        ("smtp.example.com", None, 25, TlsMode.OPPORTUNISTIC),
        ("SMTPS://SMTP.example.com:2525", None, 2525, TlsMode.IMPLICIT),
    ],
)
def test_encryption(url: str, ssl: bool | None, port: int, tls: TlsMode) -> None:
    """Scheme, port and ``ssl`` decide as the table says; a missing ``ssl`` leaves it to the other two."""
    found = the_account(url, ssl=ssl)
    assert ("smtp.example.com", port, tls) == (found.account.host, found.account.port, found.account.tls)


def test_the_login() -> None:
    """The user is login and sender; without a password there is no login."""
    found = the_account()
    assert ("a@example.com", "a@example.com") == (found.account.username, found.sender.spec)
    assert found.account.password is not None
    assert "pass word;" == found.account.password.reveal()
    without, problems = read(password="")
    assert {} == problems
    assert without is not None
    assert (None, None) == (without.account.username, without.account.password)
    assert "a@example.com" == without.sender.spec
    assert ({"password": "missing"}, None) == (
        read(password="", is_form=True)[1],
        read(password="", is_form=True)[0],
    )


def test_a_password_without_tls() -> None:
    """Only the setting and ``ssl`` false together let a password go over a plain line."""
    assert [True, False, False, False] == [
        the_account(ssl=ssl, allows_plaintext=allows).account.allow_plaintext_login
        for ssl, allows in ((False, True), (True, True), (None, True), (False, False))
    ]


def test_the_name_to_greet_with() -> None:
    """A path is the name to greet with, as libcurl has it."""
    assert "client.example.com" == the_account("smtp://smtp.example.com:25/client.example.com").ehlo_name
    assert "[192.0.2.1]" == the_account("smtp://smtp.example.com:25/[192.0.2.1]").ehlo_name
    assert the_account("smtp://smtp.example.com:25/").ehlo_name is None


@each(
    ("url", "code"),
    [
        ("", "missing"),
        ("smtp://" + "a" * 2048, "too-long"),
        ("http://smtp.example.com", "smtp-url"),
        ("smtp://user:pw@smtp.example.com:25", "smtp-url"),
        ("smtp://user;AUTH=PLAIN@smtp.example.com:25", "smtp-url"),
        ("smtp://smtp.example.com;AUTH=PLAIN", "smtp-url"),
        ("smtp://user:pw@127.0.0.1:25/?x=%0d%0aRSET", "smtp-url"),
        ("smtp://smtp.example.com:25/?x=1", "smtp-url"),
        ("smtp://smtp.example.com:25#x", "smtp-url"),
        ("smtp://smtp.example.com:25/a b", "smtp-url"),
        ("smtp://smtp.example.com:25/%0d%0aRSET", "smtp-url"),
        ("smtp://smtp.example.com:25\r\nRSET", "smtp-url"),
        ("smtp://2130706433:25", "smtp-url"),
        ("smtp://0x7f000001:25", "smtp-url"),
        ("smtp://127.1:25", "smtp-url"),
        ("smtp://:25", "smtp-url"),
        ("smtp://smtp.example.com:6379", "smtp-port"),
        ("smtp://smtp.example.com:0", "smtp-port"),
        ("smtp://smtp.example.com:99999", "smtp-port"),
        ("smtp://[fe80::1%25eth0]:25", "smtp-url"),
    ],
)
def test_what_no_url_may_be(url: str, code: str) -> None:
    """One form is read; logins in it, options, queries, numbers for addresses and other ports are refused."""
    assert (None, {"smtp_url": code}) == read(url)


@pytest.mark.parametrize("user", ["", "test", "a@", "a@example.com\r\nRSET", "a@example.com, b@example.com"])
def test_who_is_no_user(user: str) -> None:
    """The mail is sent as the user, so it is one address."""
    found, problems = read(user=user)
    assert found is None
    assert ["user"] == list(problems)


def test_a_user_in_brackets() -> None:
    """Angle brackets, as the document writes addresses, are no part of the login."""
    found, _ = read(user="<a@example.com>")
    assert found is not None
    assert "a@example.com" == found.account.username


@pytest.mark.parametrize("password", ["a\r\nRSET", "a\x00b", "x" * 1025])
def test_what_is_no_password(password: str) -> None:
    """What would break out of a login, or is longer than a password, is refused and not repeated."""
    _, problems = read(password=password)
    assert {"password": "not-a-password"} == problems


@given(st.text(), st.text(), st.text(), st.none() | st.booleans())
def test_any_text(url: str, user: str, password: str, ssl: bool | None) -> None:
    """Whatever the members are there is an account or a problem, and no problem repeats the password."""
    found, problems = read_account(
        Brought(smtp_url=url, user=user, password=password, ssl=ssl),
        ports=PORTS,
        needs_password=True,
        allow_plaintext_login=False,
    )
    assert (found is None) == bool(problems)
    assert not found or found.account.port in PORTS
