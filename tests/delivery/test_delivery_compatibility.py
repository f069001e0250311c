"""What the documents of the five systems say beside their main ways, at a started server."""

import json
import logging
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme

from delivery.test_delivery_accounts import until
from peers.fork_server import ForkServer
from peers.http_receiver import http_receiver
from peers.ledger_sink import Command, LedgerSink
from peers.postroom_process import KEY, PostroomProcess, free_port

pytestmark = pytest.mark.slow

PLUGIN = {"to": "a@example.net", "subject": "Invoice", "body": "x"}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


@contextmanager
def house(
    directory: Path, forks: ForkServer, toml: str, *, args: tuple[str, ...] = (), **environ: str
) -> Iterator[PostroomProcess]:
    """Serve with this settings file alone."""
    directory.mkdir(exist_ok=True)
    (directory / "postroom.toml").write_text(toml, encoding="utf-8")
    with PostroomProcess(directory / "data", args=args, environ=environ, forks=forks) as server:
        yield server


def endpoint(sink: LedgerSink, default_from: str = "") -> str:
    """Write App Builder's record for a sink."""
    return (
        f'[[transports]]\nname = "builder"\nURI = "smtp://127.0.0.1:{sink.port}?starttls=never"\n'
        f'DefaultFromAddress = "{default_from}"\n'
    )


# --------------------------------------------------------------------------- App Builder


def test_no_sender_anywhere_has_app_builders_words(tmp_path: Path, forks: ForkServer) -> None:
    """Neither the endpoint nor the mail has a From: its own error, and the next mail that has one goes."""
    with LedgerSink() as sink, house(tmp_path, forks, endpoint(sink)) as server:
        status, told = server.call("POST", "/app-builder/send", PLUGIN)
        assert (422, False) == (status, told["responseSent"])
        assert told["responseMessage"].startswith("Value cannot be null. Parameter name: fromAddress")
        status, told = server.call("POST", "/app-builder/send", {**PLUGIN, "from": "app@example.com"})
        assert (200, 250) == (status, told["responseStatusCode"])
        assert 1 == len(sink.copies)


@pytest.mark.parametrize(
    ("reply", "is_sent", "words"),
    [
        ("553 5.7.1 Sender address rejected: not owned by user", False, ""),
        ("530 Authentication required", True, "Authentication Required "),
    ],
)
def test_the_reply_that_app_builder_hides(
    tmp_path: Path, forks: ForkServer, reply: str, *, is_sent: bool, words: str
) -> None:
    """A refused MAIL FROM is error 1 with the server's own words; a login that lacks is called so."""

    def script(command: Command) -> bytes | None:
        return f"{reply}\r\n".encode() if command.verb == "MAIL" else None

    with LedgerSink() as sink, house(tmp_path, forks, endpoint(sink, "app@example.com")) as server:
        sink.script = script
        status, told = server.call("POST", "/app-builder/send", PLUGIN)
        assert (200, is_sent) == (status, told["responseSent"])
        assert (1, int(reply[:3])) == (told["responseErrorCode"], told["responseStatusCode"])
        assert words + reply in told["responseMessage"]


def test_a_test_mail_has_the_from_and_to_that_are_asked_for(tmp_path: Path, forks: ForkServer) -> None:
    """As App Builder's own test; TapData's, without a receiver, is refused before a mail is made."""
    with LedgerSink() as sink, house(tmp_path, forks, endpoint(sink, "app@example.com")) as server:
        sink.keep_bodies = True
        path = "/v1/transports/builder/test"
        status, problem = server.call("POST", path, {})
        assert (422, "recipients-missing") == (status, problem["code"])
        status, told = server.call("POST", path, {"from": "Other <other@example.com>", "to": "t@example.net"})
        assert (200, True) == (status, told["success"])
        body = sink.bodies[told["id"]]
        assert b"From: Other <other@example.com>\r\nTo: t@example.net\r\n" in body
        assert {(told["id"], "t@example.net"): 1} == dict(sink.copies)


# --------------------------------------------------------------------------- HAP


def test_what_hap_config_prints_leads_here(tmp_path: Path, forks: ForkServer) -> None:
    """The printed file is an ``appextensions.json``: who reads such a file posts to our own doors."""
    settings = 'capture = true\n[hap]\nfrom = "office@example.com"\nsecret = "hap-secret-0123456789"\n'
    with house(tmp_path / "in", forks, settings) as inner:
        made = subprocess.run(
            [Path(sys.executable).parent / "postroom", "hap", "config", "--url", inner.url],
            cwd=tmp_path / "in",
            capture_output=True,
            check=True,
        )
        document, _ = json.JSONDecoder().raw_decode(made.stdout.decode())
        (tmp_path / "out").mkdir()
        (tmp_path / "out/appextensions.json").write_text(json.dumps(document))
        with house(
            tmp_path / "out",
            forks,
            'hap_config = "appextensions.json"\nfrom = "Ann <ann@example.com>"\n',
        ) as outer:
            mail = {"to": "a@example.net", "subject": "s", "text": "t"}
            status, sent = outer.call("POST", "/v1/messages", mail, headers={"Prefer": "wait=20"})
            assert (200, "accepted") == (status, sent["state"])
        until(lambda: inner.call("GET", "/v1/captured")[1]["captured"])
        (captured,) = inner.call("GET", "/v1/captured")[1]["captured"]
        assert ("office@example.com", ["a@example.net"]) == (captured["from"], captured["recipients"])


@pytest.mark.parametrize("is_ignored", [False, True])
def test_certificate_validation_means_that_errors_are_ignored(
    tmp_path: Path, forks: ForkServer, *, is_ignored: bool
) -> None:
    """A receiver with a strange certificate gets mail only where the file says ``true``, aloud."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("api.example.com").configure_cert(context)
    with http_receiver(tls=context) as receiver:
        file = {"WebhookUrl": receiver.url, "WebhookHeaders": {}, "CertificateValidation": is_ignored}
        (tmp_path / "appextensions.json").write_text(json.dumps(file))
        toml = 'hap_config = "appextensions.json"\nfrom = "ann@example.com"\n'
        with house(tmp_path, forks, toml) as server:
            mail = {"to": "a@example.net", "subject": "s", "text": "t"}
            _, sent = server.call("POST", "/v1/messages", mail, headers={"Prefer": "wait=20"})
            told = (sent["state"], sent["recipients"][0]["cause"])
            assert (("accepted", "") if is_ignored else ("queued", "tls-untrusted")) == told
            assert is_ignored is ("IGNORED" in server.log.read_text())
        assert is_ignored is bool(receiver.posts)


def test_strange_members_are_logged_once_and_many_files_refused(tmp_path: Path, forks: ForkServer) -> None:
    """What a newer HAP may send is named in the log; more files than a mail may have are 422."""
    with house(tmp_path, forks, "capture = true\n[hap]\n") as server:
        body = {"ToEmails": ["a@example.net"], "Priority": "high"}
        for _ in range(2):
            assert 200 == server.call("POST", "/hap/email", body)[0]
        lines = [line for line in server.log.read_text().splitlines() if "Priority" in line]
        assert 1 == len(lines)
        files = {f"{number}.txt": f"https://files.example.com/{number}" for number in range(101)}
        status, problem = server.call("POST", "/hap/email", {**body, "Attachments": files})
        assert (422, ["Attachments"]) == (status, [one["field"] for one in problem["errors"]])


# --------------------------------------------------------------------------- Hyperion


@dataclass(frozen=True, kw_only=True)
class Settings:
    """As Hyperion has it, with Postroom in the place of the mail server."""

    SMTP_SERVER: str
    SMTP_PORT: int
    SMTP_USERNAME: str
    SMTP_PASSWORD: str
    SMTP_EMAIL: str


def send_email_of_the_guide(recipient: str | list[str], subject: str, content: str, settings: Any) -> None:
    """Do what the guide's own function does, step by step."""
    if isinstance(recipient, str):
        recipient = [recipient]
    context = ssl.create_default_context()
    msg = EmailMessage()
    msg.set_content(content, subtype="html", charset="utf-8")
    msg["From"] = settings.SMTP_EMAIL
    msg["To"] = ";".join(recipient)
    msg["Subject"] = subject
    with smtplib.SMTP(settings.SMTP_SERVER, settings.SMTP_PORT) as server:
        server.starttls(context=context)
        server.login(settings.SMTP_USERNAME, settings.SMTP_PASSWORD)
        try:
            server.send_message(msg, settings.SMTP_EMAIL, recipient)
        except smtplib.SMTPRecipientsRefused:
            logging.getLogger("hyperion.error").warning("Bad email adress: %s", recipient)


def test_the_guides_own_function_sends_by_the_smtp_door(
    tmp_path: Path, forks: ForkServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only host and password changed: STARTTLS, login, its own bytes; a blank address is its warning."""
    port = free_port()
    with LedgerSink() as sink:
        sink.keep_bodies = True
        toml = f'[[transports]]\nurl = "smtp://127.0.0.1:{sink.port}?starttls=never"\n'
        with house(tmp_path, forks, toml, args=("--smtp", f"127.0.0.1:{port}")) as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.data / "authority.pem"))
            settings = Settings(
                SMTP_SERVER="localhost",
                SMTP_PORT=port,
                SMTP_USERNAME="hyperion",
                SMTP_PASSWORD=KEY,
                SMTP_EMAIL="noreply@example.com",
            )
            two = ["one@example.net", "two@example.net"]
            send_email_of_the_guide(two, "MyECL - confirm your email", "<p>Bienvenue</p>", settings)
            send_email_of_the_guide("", "MyECL - reset your password", "<p>x</p>", settings)
            assert sink.wait_for(2, timeout_s=20)
    assert {("one@example.net", 1), ("two@example.net", 1)} == {
        (address, count) for (_, address), count in sink.copies.items()
    }
    (body,) = sink.bodies.values()
    assert b"\r\nTo: one@example.net;two@example.net\r\nSubject: MyECL - confirm your email\r\n" in body
    assert body.endswith(b"\r\n\r\n<p>Bienvenue</p>\r\n")
    assert (1, 1) == (body.count(b"\r\nDate: "), body.count(b"\r\nMessage-ID: "))
    assert ["Bad email adress: ['']"] == [one.getMessage() for one in caplog.records if "Bad" in one.msg]
