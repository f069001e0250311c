"""From a clone to a mail in a real SMTP server's hands: the program as users run it, servers others wrote."""

import contextlib
import email
import email.policy
import hashlib
import http.client
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from peers import postfix
from peers.foreign import TidyController
from peers.ledger_sink import LedgerSink
from peers.postroom_process import KEY, PostroomProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),  # implicit TLS is TLS
]

FORM = b"form-boundary-of-the-test"


class Mailbox:
    """An aiosmtpd handler that wants a login and keeps what it takes."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.logins = 0

    def login(  # noqa: PLR0917 - aiosmtpd's hook
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        self.logins += 1
        good = isinstance(data, LoginPassword) and data.password == self._password.encode()
        return AuthResult(success=good, handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - a hook
        del server, session
        content = envelope.original_content
        assert isinstance(content, bytes)
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((envelope, parsed))
        return "250 2.0.0 queued as 4Xyz"


@contextlib.contextmanager
def _submission_server(tmp_path: Path, mailbox: Mailbox, *, is_implicit: bool) -> Iterator[tuple[int, Path]]:
    """Run aiosmtpd with TLS and AUTH; yield its port and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    options: dict[str, Any] = {"authenticator": mailbox.login, "auth_required": True}
    if is_implicit:
        options |= {"ssl_context": context, "auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    controller = TidyController(mailbox, hostname="localhost", port=postfix.free_port(), **options)
    controller.start()
    try:
        yield controller.port, ca_file
    finally:
        controller.stop()


def _config(tmp_path: Path, url: str, ca_file: Path) -> tuple[str, ...]:
    path = tmp_path / "postroom.toml"
    path.write_text(f'[[transports]]\nname = "main"\nurl = "{url}"\nca_file = "{ca_file}"\n')
    return ("--config", str(path))


@pytest.mark.parametrize("is_implicit", [True, False])
def test_a_mail_reaches_a_server_that_wants_tls_and_a_login(tmp_path: Path, is_implicit: bool) -> None:
    """Implicit TLS and STARTTLS with a private authority and a login, from one POST to parsed mail."""
    mailbox = Mailbox("p@ss:w0rd")
    with _submission_server(tmp_path, mailbox, is_implicit=is_implicit) as (port, ca_file):
        scheme = "smtps" if is_implicit else "smtp"
        url = f"{scheme}://app@example.com:p@ss:w0rd@localhost:{port}"
        args = _config(tmp_path, url, ca_file)
        with PostroomProcess(tmp_path / "data", args=args, is_from_shell=True) as server:
            status, sent = server.call(
                "POST",
                "/v1/messages",
                {
                    "to": ["김철수 <kim@example.net>"],
                    "bcc": "hidden@example.net",
                    "subject": "타이틀 입니다.",
                    "html": "<p>안녕</p>",
                },
                headers={"Prefer": "wait=20"},
            )
    assert (status, sent["state"]) == (200, "accepted"), sent
    attempt = sent["recipients"][0]["attempts"][0]
    assert (attempt["code"], attempt["enhanced"], attempt["step"]) == (250, "2.0.0", "body_end")
    assert "4Xyz" in attempt["text"]
    ((envelope, mail),) = mailbox.mails
    assert envelope.mail_from == "app@example.com"
    assert envelope.rcpt_tos == ["kim@example.net", "hidden@example.net"]
    assert mail["subject"] == "타이틀 입니다."
    assert mail["to"] == "김철수 <kim@example.net>"
    assert mail["bcc"] is None
    assert mail["message-id"] == f"<{sent['id']}@example.com>"
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().strip() == "안녕"


def test_a_wrong_password_is_told_everywhere_and_tried_once(tmp_path: Path) -> None:
    """Prefer: wait, a later message, the status and the command line all name the cause and the remedy.

    After a restart with the right password everything that waited is sent at once.
    """
    mailbox = Mailbox("right")
    with _submission_server(tmp_path, mailbox, is_implicit=True) as (port, ca_file):
        url = f"smtps://app@example.com:mistaken-pw@localhost:{port}"
        with PostroomProcess(tmp_path / "data", args=_config(tmp_path, url, ca_file)) as server:
            body = {"to": "a@example.net", "subject": "hi", "text": "x"}
            status, first = server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=20"})
            assert (status, first["state"]) == (202, "queued")
            recipient = first["recipients"][0]
            assert recipient["cause"] == "auth-wrong"
            assert recipient["meaning"]
            assert recipient["remedy"]
            assert recipient["attempts"][0]["code"] == 535
            _, second = server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=20"})
            assert second["recipients"][0]["cause"] == "auth-wrong"
            assert "535" in json.dumps(server.call("GET", "/v1/status")[1])
            told = subprocess.run(
                ["postroom", "send", "--to", "a@example.net", "--message", "x", "--wait", "10"],
                env={
                    "POSTROOM_URL": server.url,
                    "POSTROOM_API_KEY": KEY,
                    "PATH": f"{Path(__import__('sys').executable).parent}",
                },
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert told.returncode != 0
            assert recipient["remedy"].split(".")[0] in " ".join(told.stdout.split() + told.stderr.split())
            log = server.log.read_text()
            assert mailbox.logins == 1
            assert server.stop() == 0
        corrected = _config(tmp_path, f"smtps://app@example.com:right@localhost:{port}", ca_file)
        with PostroomProcess(tmp_path / "data", args=corrected) as server:
            deadline = time.monotonic() + 20
            while len(mailbox.mails) < 3 and time.monotonic() < deadline:
                server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=1"})
            assert server.call("GET", f"/v1/messages/{first['id']}")[1]["state"] == "accepted"
    assert "mistaken-pw" not in log


@pytest.mark.postfix
def test_postfix_relays_what_postroom_hands_over(tmp_path: Path) -> None:
    """200 messages through a real Postfix arrive once each, riding on few connections."""
    with LedgerSink() as sink, postfix.running(relay_to=sink.port) as relay:
        sink.keep_bodies = True
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{relay.port}"}
        with PostroomProcess(tmp_path / "data", environ=environ) as server:
            items = [
                {"from": "app@example.com", "to": f"r{i}@example.net", "subject": f"n {i}", "text": "..\r\n."}
                for i in range(200)
            ]
            status, batch = server.call("POST", "/v1/messages/batch", {"messages": items})
            assert (status, batch["accepted"]) == (202, 200)
            assert sink.wait_for(200, timeout_s=60)
            assert server.stop() == 0
        log = relay.log
    ids = [item["id"] for item in batch["messages"]]
    assert sink.copies == {(name, f"r{i}@example.net"): 1 for i, name in enumerate(ids)}
    assert "improper command pipelining" not in log
    body = email.message_from_bytes(sink.bodies[ids[0]], policy=email.policy.default)
    assert isinstance(body, EmailMessage)
    assert body.get_content().replace("\r\n", "\n").rstrip("\n") == "..\n."


def test_each_recipient_gets_its_own_truth(tmp_path: Path) -> None:
    """Refused, deferred and accepted in one message: three states, each with its reply."""
    refusals = {"no@example.net": b"550 5.1.1 no such user\r\n", "later@example.net": b"451 4.3.0 later\r\n"}
    with LedgerSink(refuse=refusals.get) as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        with PostroomProcess(tmp_path / "data", environ=environ) as server:
            _, sent = server.call(
                "POST",
                "/v1/messages",
                {
                    "from": "app@example.com",
                    "to": ["yes@example.net", "no@example.net"],
                    "cc": "later@example.net",
                    "text": "x",
                },
                headers={"Prefer": "wait=20"},
            )
            states = {one["address"]: one["state"] for one in sent["recipients"]}
            assert states == {
                "yes@example.net": "accepted",
                "no@example.net": "refused",
                "later@example.net": "deferred",
            }
            assert sent["state"] == "deferred"
            assert sent["counts"] == {"accepted": 1, "refused": 1, "deferred": 1}
            refused = next(one for one in sent["recipients"] if one["state"] == "refused")
            assert (refused["attempts"][0]["code"], refused["attempts"][0]["enhanced"]) == (550, "5.1.1")
            assert refused["meaning"]
            assert server.call("DELETE", f"/v1/messages/{sent['id']}")[1]["counts"]["cancelled"] == 1
            assert server.call("DELETE", f"/v1/messages/{sent['id']}")[0] == 409


def test_a_large_file_arrives_unchanged(tmp_path: Path) -> None:
    """Twelve megabytes by multipart come out of the other end bit for bit."""
    content = b"".join(hashlib.sha512(number.to_bytes(4, "big")).digest() for number in range(200_000))
    message = {"from": "app@example.com", "to": "a@example.net", "attachments": [{"upload": "big"}]}
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="message"\r\n\r\n' % FORM,
        json.dumps(message).encode(),
        b'\r\n--%s\r\nContent-Disposition: form-data; name="big"; filename="b.bin"\r\n\r\n' % FORM,
        content,
        b"\r\n--%s--\r\n" % FORM,
    ]
    with LedgerSink() as sink:
        sink.keep_bodies = True
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        with PostroomProcess(tmp_path / "data", environ=environ) as server:
            status, sent = server.call(
                "POST",
                "/v1/messages",
                b"".join(parts),
                headers={
                    "Content-Type": f"multipart/form-data; boundary={FORM.decode()}",
                    "Prefer": "wait=30",
                },
            )
            assert (status, sent["state"]) == (200, "accepted"), sent
    mail = email.message_from_bytes(sink.bodies[sent["id"]], policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "b.bin"
    assert attachment.get_content() == content


def test_an_orderly_stop_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGTERM while mail comes in and goes out: exit code 0, and what was open is sent by the next start."""
    acknowledged: list[str] = []
    lock = threading.Lock()

    def load(port: int) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            body = json.dumps({"from": "app@example.com", "to": "r@example.net", "text": "x"})
            while True:
                try:
                    connection.request("POST", "/v1/messages", body, headers)
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
                except (OSError, http.client.HTTPException):
                    return
                if answer.status != 202:
                    return
                with lock:
                    acknowledged.append(content["id"])

    with LedgerSink() as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        server = PostroomProcess(tmp_path / "data", environ=environ, is_from_shell=True)
        with server:
            threads = [threading.Thread(target=load, args=(server.port,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert sink.wait_for(100, timeout_s=30)
            assert server.stop() == 0
            for thread in threads:
                thread.join(30)
        with server:
            deadline = time.monotonic() + 60
            while sink.copies.total() < len(acknowledged) and time.monotonic() < deadline:
                sink.wait_for(len(acknowledged), timeout_s=5)
            assert server.stop() == 0
    assert len(acknowledged) >= 100
    assert sink.copies == {(name, "r@example.net"): 1 for name in acknowledged}


def test_a_store_that_sent_real_mail_is_not_captured_from_by_a_forgotten_setting(tmp_path: Path) -> None:
    """Without its transport the server refuses to start, and says how to mean it."""
    with LedgerSink() as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}", "POSTROOM_FROM": "app@example.com"}
        with PostroomProcess(tmp_path / "data", environ=environ) as server:
            body = {"to": "a@example.net", "text": "x"}
            assert server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=20"})[0] == 200
    forgotten = PostroomProcess(tmp_path / "data", is_from_shell=True)
    with pytest.raises(AssertionError, match="--capture"):
        forgotten.start()
    with PostroomProcess(tmp_path / "data", args=("--capture",)) as server:
        assert server.call("GET", "/readyz")[1]["mode"] == "capture"
