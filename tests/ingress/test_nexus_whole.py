"""The document's file and commands against ``postroom serve``, with aiosmtpd as the next server."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from peers.foreign import TidyController
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

WIRE = Path(__file__).parent / "wire"
SEND = (WIRE / "email_send.sh").read_text(encoding="utf-8")
MULTIPART_SEND = (WIRE / "email_multipart_send.sh").read_text(encoding="utf-8")
INI = """\
[api]
domain          = test3.example.net
api_port        = {api_port}
https           = no
cert_password   = 00112233445566778899AABBCCDDEEFF

[email]
smtp_url        = smtp://127.0.0.1:{smtp_port}
smtp_username   = monitor@example.com
smtp_password   = {password}
from_mail       = nexus@example.com

[thread]
max_client      = 1024
"""


class NextServer:
    """Keeps what it takes; refuses ``refused@`` for good and ``later@`` for now; wants ``password``."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []

    async def handle_RCPT(  # noqa: N802, PLR0917 - aiosmtpd's hook
        self,
        server: SMTP,  # noqa: ARG002 - as above
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002 - as above
    ) -> str:
        assert session.authenticated
        if address.startswith("refused@"):
            return "550 5.1.1 there is nobody of this name"
        if address.startswith("later@"):
            return "450 4.2.0 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's hook
        self,
        server: SMTP,  # noqa: ARG002 - as above
        session: Session,  # noqa: ARG002 - as above
        envelope: Envelope,
    ) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope, mail))
        return "250 OK"

    def authenticate(self, *facts: object) -> AuthResult:
        login = facts[-1]
        assert isinstance(login, LoginPassword)
        return AuthResult(success=login.password == b"password", handled=False)


@contextmanager
def gateway(directory: Path, *, password: str) -> Iterator[tuple[NextServer, int]]:
    """Run the next server and Postroom with the INI file; yield the server and ``api_port``."""
    hop, api_port = NextServer(), free_port()
    controller = TidyController(
        hop,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=hop.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        ini = INI.format(api_port=api_port, smtp_port=controller.port, password=password)
        (directory / "nexus.ini").write_text(ini, encoding="utf-8")
        args = ("--nexus-config", str(directory / "nexus.ini"))
        with PostroomProcess(directory / "data", args=args) as server:
            yield hop, api_port
            assert server.stop() == 0
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NextServer, int]]:
    with gateway(tmp_path_factory.mktemp("nexus"), password="password") as parts:
        yield parts


def curl(command: str, port: int) -> dict[str, Any]:
    done = subprocess.run(
        ["bash", "-c", re.sub(r":84\d\d/", f":{port}/", command)],
        cwd=WIRE,
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_command_arrives(running: tuple[NextServer, int]) -> None:
    """The document's JSON command makes one mail in the next server's hands, from ``from_mail``."""
    hop, port = running
    answer = curl(SEND, port)
    assert (answer["code"], answer["message"]) == ("200", "발송 성공")
    assert "mode" not in answer
    envelope, mail = hop.mails.pop()
    assert envelope.rcpt_tos == ["tony@example.com", "kenneth@example.com"]
    assert (mail["from"], mail["to"], mail["cc"]) == (
        "nexus@example.com",
        "tony@example.com",
        "kenneth@example.com",
    )
    assert mail["subject"] == "타이틀 입니>다."
    assert mail["message-id"] == f"<{answer['message_id']}@test3.example.net>"
    html = mail.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "메일 BODY 입니다. n"
    assert hop.mails == []


def test_form_command_arrives(running: tuple[NextServer, int]) -> None:
    """The document's form command arrives with both files, to the last byte."""
    hop, port = running
    assert curl(MULTIPART_SEND, port)["code"] == "200"
    _, mail = hop.mails.pop()
    assert mail["subject"] == "타이틀 입니다."
    files = [(part.get_filename(), part.get_payload(decode=True)) for part in mail.iter_attachments()]
    assert files == [(name, (WIRE / name).read_bytes()) for name in ("800_400.png", "template_create.json")]


def test_reply_and_blind_copy(running: tuple[NextServer, int]) -> None:
    """``bcc`` is a recipient and stands in no header; ``reply_id`` threads; a Korean file name survives."""
    hop, port = running
    command = """curl -sS -F to=a@example.com -F bcc=b@example.com -F subject=s -F replay_id=1@example.net \
        -F "files=@800_400.png;filename=견적서 그림.png" http://127.0.0.1:8449/email/multipart/send"""
    assert curl(command, port)["code"] == "200"
    envelope, mail = hop.mails.pop()
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    assert b"b@example.com" not in (envelope.content or b"")
    assert (mail["in-reply-to"], mail["references"]) == ("<1@example.net>", "<1@example.net>")
    assert [part.get_filename() for part in mail.iter_attachments()] == ["견적서 그림.png"]


@pytest.mark.parametrize(
    ("to", "code", "start", "said"),
    [
        (
            "refused@example.com",
            "500",
            "[Error] Server - refused@example.com refused",
            "[550 5.1.1 there is nobody",
        ),
        ("later@example.com", "200", "not sent yet: later@example.com deferred", "[450 4.2.0 greylisted"),
        ("ok@example.com,refused@example.net", "200", "not sent to all: refused@example.net", "5.1.1"),
    ],
)
def test_what_the_next_server_said(  # noqa: PLR0917 - pytest passes by name
    running: tuple[NextServer, int], to: str, code: str, start: str, said: str
) -> None:
    """A refusal, a delay and a partial refusal reach the caller with the server's own words."""
    hop, port = running
    answer = curl(f"curl -sS -F to={to} -F subject=s http://127.0.0.1:8449/email/multipart/send", port)
    hop.mails.clear()
    assert answer["code"] == code
    assert answer["message_id"]
    assert answer["message"].startswith(start)
    assert said in answer["message"]


def test_api_port_serves_these_doors_only(running: tuple[NextServer, int]) -> None:
    """The listener of ``api_port`` knows the Nexus doors and the health checks, nothing else."""
    _, port = running
    asked = "curl -sS -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8448{path}"
    for path, status in (("/healthz", 200), ("/v1/messages", 404), ("/", 404)):
        done = subprocess.run(
            ["bash", "-c", asked.format(path=path).replace(":8448", f":{port}")],
            capture_output=True,
            check=True,
        )
        assert int(done.stdout) == status


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    """A wrong password shows in the answer, with its meaning and remedy, and the mail waits."""
    with gateway(tmp_path, password="wrong") as (hop, port):
        first, second = curl(SEND, port), curl(SEND, port)
    for answer in (first, second):
        assert answer["code"] == "200"
        assert answer["message_id"]
        assert answer["message"].startswith("not sent yet: tony@example.com, kenneth@example.com queued (")
        assert "password" in answer["message"]
        assert "wrong" not in answer["message"].split("queued")[0]
    assert hop.mails == []
