"""Attack rows of a hostile next server, and of accounts that try to break out, against a started server."""

import contextlib
import json
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

from attacks.attack_room import inputs, row
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

PASSWORD = "pass-canary-4711"
RESET = b"(reset)"
EHLO = b"250-mx.example.net\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n"
KIND = {b"EHLO": EHLO, b"AUTH": b"235 2.7.0 ok\r\n", b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}


class Peer(socketserver.ThreadingTCPServer):
    """An SMTP server that answers by a table of verbs; ``.`` is the end of the data."""

    daemon_threads = True

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self.answers = {**KIND, **answers}
        self.mails = 0
        super().__init__(("127.0.0.1", 0), Session)


class Session(socketserver.StreamRequestHandler):
    server: Peer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"220 mx.example.net ESMTP\r\n")
            is_data = False
            for line in self.rfile:
                verb = line[:4].strip().upper()
                if is_data and line != b".\r\n":
                    continue
                answer = self.server.answers.get(verb, b"250 2.0.0 ok\r\n")
                if is_data:
                    self.server.mails += 1
                if answer == RESET:
                    self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                    return
                self.wfile.write(answer)
                is_data = verb == b"DATA" and answer.startswith(b"354")


@contextlib.contextmanager
def peer(answers: Mapping[bytes, bytes]) -> Iterator[Peer]:
    with Peer(answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


def outcome(directory: Path, port: int) -> dict[str, Any]:
    """Send one message to the peer; return how its recipient fared. No secret is told, no record broken."""
    environ = {
        "POSTROOM_TRANSPORT": f"smtp://app%40example.com:{PASSWORD}@127.0.0.1:{port}",
        "POSTROOM_LOG_JSON": "true",
    }
    with PostroomProcess(directory / "data", environ=environ) as server:
        body = {"to": "kim@example.net", "subject": "Hello", "text": "x"}
        status, sent = server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=10"})
        assert status in {200, 202}
        told = json.dumps([sent, server.call("GET", "/v1/status")[1]])
        assert 200 == server.call("GET", "/readyz")[0]
        log = server.log.read_text()
    assert PASSWORD not in told
    assert PASSWORD not in log
    for line in log.partition("first page:")[2].splitlines()[1:]:
        json.loads(line)
    recipient: dict[str, Any] = sent["recipients"][0]
    assert recipient["meaning"]
    assert recipient["remedy"]
    return recipient


def given(row_id: str, number: int = 0) -> bytes:
    value = inputs(row(row_id))[number]
    return value if isinstance(value, bytes) else str(value).encode()


CASES: dict[str, tuple[str, dict[bytes, bytes], str]] = {
    "starttls refused": (
        "TLS-005",
        {b"EHLO": b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", b"STAR": given("TLS-005")},
        "queued",
    ),
    "endless lines": ("TLS-013", {b"EHLO": given("TLS-013")}, "queued"),
    "a word before the dot": ("TLS-016", {b"DATA": b"354 go\r\n250 ok\r\n"}, "deferred"),
    "control in a reply": ("TLS-018", {b"RCPT": given("TLS-018")}, "refused"),
    "two digits": ("TLS-020", {b"MAIL": given("TLS-020", 0)}, "deferred"),
    "nine hundred": ("TLS-020", {b"MAIL": given("TLS-020", 1)}, "deferred"),
    "no digits": ("TLS-020", {b"MAIL": given("TLS-020", 2)}, "deferred"),
    "no blank": ("TLS-020", {b"MAIL": given("TLS-020", 3)}, "deferred"),
    "a flood of capabilities": ("TLS-021", {b"EHLO": given("TLS-021")}, "queued"),
    "no 354": ("TLS-022", {b"DATA": given("TLS-022")}, "deferred"),
    "reset after the dot": ("TLS-023", {b".": RESET}, "uncertain"),
    "endless challenges": ("TLS-024", {b"AUTH": given("TLS-024")}, "queued"),
}
"""The row, the answers of the peer, and what the recipient is after the first attempt."""


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_server(tmp_path: Path, name: str) -> None:
    """Nothing is called accepted, nothing is lost, and what the peer said is shown as inert text."""
    row_id, answers, state = CASES[name]
    with peer(answers) as server:
        recipient = outcome(tmp_path, server.server_address[1])
        assert state == recipient["state"], recipient
        assert (1 if row_id == "TLS-023" else 0) == server.mails
    attempt = recipient["attempts"][0] if recipient["attempts"] else {"text": ""}
    assert attempt["text"].isprintable()


def test_a_closed_port_does_not_show_the_account(tmp_path: Path) -> None:
    """LOG-005: the fault of an unreachable account names neither its user's password nor its URL."""
    assert "queued" == outcome(tmp_path, free_port())["state"]


ACCOUNTS = {
    "CMD-013": "smtp://user%0D%0ARSET:pw-canary@127.0.0.1:25",
    "CMD-014": "smtp://admin%00user:pw-canary@127.0.0.1:25",
    "CMD-017": "smtp://127.0.0.1:25%0D%0AX-Injected: 1",
    "SSR-056": "smtp://user:pw-canary@127.0.0.1:25/?x=%0d%0aRSET",
}


@pytest.mark.parametrize("row_id", ACCOUNTS)
def test_an_account_that_would_break_out(tmp_path: Path, row_id: str) -> None:
    """The server does not start with such a URL, names the setting, and does not repeat the secret."""
    server = PostroomProcess(tmp_path / "data", environ={"POSTROOM_TRANSPORT": ACCOUNTS[row_id]})
    try:
        with pytest.raises(AssertionError, match="POSTROOM_TRANSPORT"):
            server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    assert "pw-canary" not in server.log.read_text()


RUN = {row_id for row_id, _, _ in CASES.values()} | ACCOUNTS.keys() | {"LOG-005"}
