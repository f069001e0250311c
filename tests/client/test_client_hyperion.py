"""Hyperion's ``send_email``: the snippet of its guide to a real SMTP server, through a server and without."""

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx2
import pytest
import trustme
from fastapi import BackgroundTasks, Depends, FastAPI

from peers.mail_host import MailHost, running
from peers.postroom_process import KEY, PostroomProcess, free_port
from postroom.net import tls
from postroom_client import NotConfiguredError, RefusedKeyError, UnreachableError, client, exchange
from postroom_client.compat import hyperion
from postroom_client.compat.hyperion import LoginError, SendError, send_email

PASSWORD = "pass-word-of-the-host"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """As Hyperion has it."""

    SMTP_PORT: int
    SMTP_ACTIVE: bool = True
    SMTP_SERVER: str = "localhost"
    SMTP_USERNAME: str = "app@example.com"
    SMTP_PASSWORD: str = PASSWORD
    SMTP_EMAIL: str = "noreply@example.com"
    POSTROOM_URL: str = ""
    POSTROOM_API_KEY: str = KEY
    SMTP_WAIT: float = 20.0


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailHost]:
    """A server that demands STARTTLS and a login; its authority is the system's."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls._context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with running(MailHost(PASSWORD, refused=("gone@example.org",)), starttls=context) as server:
        yield server
    tls._context.cache_clear()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        one.getMessage()
        for one in caplog.records
        if one.name == "hyperion.error" and one.levelno >= logging.WARNING
    ]


def test_the_snippet_of_the_guide_reaches_the_server(host: MailHost) -> None:
    """HTML to two people by STARTTLS and a login, with a To header others can read, a Date and an id."""
    send_email(
        recipient=["one@example.org", "two@example.org"],
        subject="MyECL - confirm your email",
        content="<p>Bienvenue à tous</p>",
        settings=Settings(SMTP_PORT=host.port),
    )
    ((envelope, mail),) = host.mails
    assert host.logins == [b"app@example.com"]
    assert ["one@example.org", "two@example.org"] == envelope.rcpt_tos
    assert ("noreply@example.com", "MyECL - confirm your email") == (mail["from"], mail["subject"])
    assert mail["to"] == "one@example.org, two@example.org"
    assert [] == list(mail["to"].defects)
    assert mail["date"]
    assert mail["message-id"]
    html = mail.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Bienvenue à tous</p>"
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().strip() == "Bienvenue à tous"


def test_switched_off_nothing_leaves_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SMTP_ACTIVE off: no network at all, and the log names the mail but not its content."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was touched"))
    with caplog.at_level(logging.INFO):
        send_email("a@example.org", "Reset", "<p>token</p>", Settings(SMTP_PORT=1, SMTP_ACTIVE=False))
    assert ["hyperion.error"] == [one.name for one in caplog.records]
    assert "SMTP_ACTIVE is off" in caplog.text
    assert "token" not in caplog.text


@pytest.mark.parametrize("recipient", ["gone@example.org", ["gone@example.org"]])
def test_all_refused_is_a_warning_and_not_raised(
    host: MailHost, caplog: pytest.LogCaptureFixture, recipient: str | list[str]
) -> None:
    """The words of the original, its spelling included."""
    send_email(recipient, "Hello", "<p>x</p>", Settings(SMTP_PORT=host.port))
    assert ['Bad email adress: "gone@example.org" for mail with subject "Hello".'] == warnings(caplog)
    assert [] == host.mails


def test_one_of_two_refused_is_neither_raised_nor_told(
    host: MailHost, caplog: pytest.LogCaptureFixture
) -> None:
    """As with smtplib: the others get it."""
    send_email(["gone@example.org", "a@example.org", "no address"], "Hi", "x", Settings(SMTP_PORT=host.port))
    assert ["a@example.org"] == host.mails[0][0].rcpt_tos
    assert [] == warnings(caplog)


@pytest.mark.parametrize(("recipient", "shown"), [("", ""), ([" ", ""], " , "), ("no address", "no address")])
def test_a_blank_or_broken_address_is_a_warning(
    host: MailHost, caplog: pytest.LogCaptureFixture, recipient: str | list[str], shown: str
) -> None:
    """What a form left empty makes no traceback and no connection."""
    send_email(recipient, "Hello", "<p>x</p>", Settings(SMTP_PORT=host.port))
    assert [f'Bad email adress: "{shown}" for mail with subject "Hello".'] == warnings(caplog)
    assert host.sessions == 0


def test_a_refused_login_is_raised(host: MailHost) -> None:
    """The same exception type as the original's, with the remedy in its text and without the password."""
    wrong = Settings(SMTP_PORT=host.port, SMTP_PASSWORD="mistaken-password")
    with pytest.raises(smtplib.SMTPAuthenticationError) as raised:
        send_email("a@example.org", "Hello", "x", wrong)
    assert isinstance(raised.value, LoginError)
    assert raised.value.smtp_code == 535
    assert "mistaken" not in str(raised.value)


def test_no_server_is_raised() -> None:
    """A connection that cannot be made is an OSError, as with smtplib."""
    with pytest.raises(OSError, match="net-") as raised:
        send_email("a@example.org", "Hello", "x", Settings(SMTP_PORT=free_port()))
    assert isinstance(raised.value, SendError)


def test_a_server_without_starttls_is_raised() -> None:
    """Nothing is sent without encryption, to this machine neither."""
    with running(MailHost()) as plain, pytest.raises(SendError, match="starttls"):
        send_email("a@example.org", "Hello", "x", Settings(SMTP_PORT=plain.port))
    assert plain.mails == []


def test_a_wrong_sender_is_raised_with_its_field(host: MailHost) -> None:
    """What cannot be a mail says which setting is wrong."""
    with pytest.raises(SendError, match="from"):
        send_email("a@example.org", "Hi", "x", Settings(SMTP_PORT=host.port, SMTP_EMAIL="nobody"))


def app_of(settings: Settings) -> FastAPI:
    """Return the endpoints of the guide: in the background, and inline in an async function."""
    app = FastAPI()

    def get_settings() -> Settings:
        return settings

    @app.post("/users/create")
    async def create_user_by_user(
        background_tasks: BackgroundTasks, settings: Annotated[Settings, Depends(get_settings)]
    ) -> dict[str, str]:
        if settings.SMTP_ACTIVE:
            background_tasks.add_task(
                send_email,
                recipient="Some@example.org",
                subject="MyECL - your account already exists",
                content="<p>background</p>",
                settings=settings,
            )
        return {"status": "ok"}

    @app.post("/users/recover")
    async def recover(settings: Annotated[Settings, Depends(get_settings)]) -> None:
        send_email("Some@example.org", "MyECL - reset your password", "<p>inline</p>", settings)

    return app


def call(app: FastAPI, path: str) -> int:
    async def work() -> int:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app") as caller:
            return (await caller.post(path)).status_code

    return asyncio.run(work())


@pytest.mark.slow
def test_it_works_in_background_tasks_and_inline(host: MailHost) -> None:
    """FastAPI runs it in a thread, or in the event loop's own: both send."""
    app = app_of(Settings(SMTP_PORT=host.port))
    assert [200, 200] == [call(app, "/users/create"), call(app, "/users/recover")]
    assert ["MyECL - your account already exists", "MyECL - reset your password"] == [
        str(mail["subject"]) for _, mail in host.mails
    ]


@pytest.mark.slow
def test_a_server_takes_over_what_does_not_go(
    tmp_path: Path, host: MailHost, caplog: pytest.LogCaptureFixture
) -> None:
    """By a server: sent in the background, refused is the warning, a broken one of two is left out."""
    environ = {
        "SMTP_ACTIVE": "true",
        "SMTP_SERVER": "localhost",
        "SMTP_PORT": str(host.port),
        "SMTP_USERNAME": "app@example.com",
        "SMTP_PASSWORD": PASSWORD,
        "SMTP_EMAIL": "noreply@example.com",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    with PostroomProcess(tmp_path / "data", environ=environ) as server:
        settings = Settings(SMTP_PORT=1, POSTROOM_URL=server.url)
        assert call(app_of(settings), "/users/create") == 200
        send_email("gone@example.org", "Hello", "x", settings)
        send_email(["a@example.org", "no address"], "Two", "x", settings)
        send_email("no address", "Three", "x", settings)
        send_email(["gone@example.org"], "Four", "x", settings)  # suppressed by now
        with pytest.raises(RefusedKeyError):
            send_email(
                "a@example.org",
                "x",
                "x",
                Settings(SMTP_PORT=1, POSTROOM_URL=server.url, POSTROOM_API_KEY="k"),
            )
    subjects = [str(mail["subject"]) for _, mail in host.mails]
    assert ["MyECL - your account already exists", "Two"] == subjects
    assert ["Some@example.org"] == host.mails[0][0].rcpt_tos
    expected = [("gone@example.org", "Hello"), ("no address", "Three"), ("gone@example.org", "Four")]
    assert [
        f'Bad email adress: "{who}" for mail with subject "{what}".' for who, what in expected
    ] == warnings(caplog)


def test_a_server_that_does_not_answer_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail could not be handed over: the caller learns it."""
    monkeypatch.setattr(exchange, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(client, "RETRIES", 0)
    settings = Settings(SMTP_PORT=1, POSTROOM_URL=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError):
        send_email("a@example.org", "Hello", "x", settings)


def test_without_the_extra_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a server nor Postroom itself: the two remedies are named."""
    monkeypatch.delenv("POSTROOM_URL", raising=False)
    monkeypatch.setattr(hyperion, "find_spec", lambda _: None)
    with pytest.raises(NotConfiguredError, match="direct"):
        send_email("a@example.org", "Hello", "x", Settings(SMTP_PORT=1))
