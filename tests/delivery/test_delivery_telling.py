"""A started server tells: webhooks to a real HTTP server through kills, failures to an operator by SMTP."""

import email
import email.policy
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink
from peers.postroom_process import PostroomProcess

pytestmark = pytest.mark.slow

WAIT_S = 30.0


class Receiver:
    """An endpoint as a user would write it, on the standard library's server; it may keep silent."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.is_silent = False
        self.go_on = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if receiver.is_silent:
                    receiver.go_on.wait(WAIT_S)
                    self.close_connection = True
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                del format, args

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.told]

    @contextmanager
    def running(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.go_on.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settings(data: Path, text: str) -> tuple[str, ...]:
    path = data.parent / "postroom.toml"
    path.write_text(text, "utf-8")
    return ("--config", str(path))


def mail(number: int, to: str = "a@example.com") -> dict[str, str]:
    return {"from": "app@example.com", "to": to, "subject": f"Secret subject {number}", "text": "secret text"}


def test_webhooks_are_told_through_a_kill(tmp_path: Path) -> None:
    """Signed events of captured mail arrive; those unanswered at a kill -9 come again under the same ids."""
    args = settings(tmp_path / "data", '[egress]\nallowed_networks = ["127.0.0.0/8"]\n')
    with Receiver().running() as receiver, PostroomProcess(tmp_path / "data", args=args) as server:
        status, made = server.call("POST", "/v1/webhooks", {"url": receiver.url})
        assert 201 == status
        assert 202 == server.call("POST", "/v1/messages", mail(0))[0]
        until(lambda: len(receiver.told) >= 2)
        receiver.is_silent = True
        for number in range(1, 4):
            assert 202 == server.call("POST", "/v1/messages", mail(number))[0]
        until(lambda: len(receiver.told) >= 8)
        server.kill()
        unanswered = set(receiver.ids()[2:])
        receiver.is_silent = False
        receiver.go_on.set()
        before = len(receiver.told)
        server.start()
        until(lambda: len(receiver.told) >= before + len(unanswered))

        assert unanswered == set(receiver.ids()[before:])
        secret = standardwebhooks.Webhook(made["secret"])
        told = [secret.verify(body, headers) for headers, body in receiver.told]
        assert {"message.queued", "recipient.captured"} == {one["type"] for one in told}
        assert not any(b"secret" in body.lower() for _, body in receiver.told)


def test_loopback_is_refused_unless_it_is_opened(tmp_path: Path) -> None:
    """Without the setting an endpoint on this machine is refused by name of the setting."""
    with Receiver().running() as receiver, PostroomProcess(tmp_path / "data") as server:
        status, problem = server.call("POST", "/v1/webhooks", {"url": receiver.url})

        assert 422 == status
        assert "egress.allowed_networks" in str(problem)
        assert [] == receiver.told


def refuses(address: str) -> bytes | None:
    return b"550 5.1.1 no such user\r\n" if address.startswith("gone") else None


def test_failures_reach_the_operator_by_real_smtp(tmp_path: Path) -> None:
    """A recipient that the server refuses is told to the operator by mail, with the null reverse path."""
    paths: list[str] = []

    def heard(command: Command) -> None:
        if command.verb == "MAIL":
            paths.append(command.argument)

    with LedgerSink(refuses, script=heard) as sink:
        sink.keep_bodies = True
        args = settings(
            tmp_path / "data",
            'failures_to = "ops@example.net"\nfrom = "app@example.com"\n'
            f'[[transports]]\nname = "main"\nurl = "smtp://127.0.0.1:{sink.port}"\n',
        )
        with PostroomProcess(tmp_path / "data", args=args, forks=ForkServer(speed=10.0)) as server:
            status, made = server.call("POST", "/v1/messages", mail(0, "gone@example.org"))
            assert 202 == status
            assert sink.wait_for(1, timeout_s=WAIT_S)
        (body,) = sink.bodies.values()
    parsed = email.message_from_bytes(body, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    text = parsed.get_body(("plain",))

    assert ("ops@example.net", "auto-generated") == (parsed["to"], parsed["auto-submitted"])
    assert parsed["subject"].endswith("1 recipient will not get mail")
    assert isinstance(text, EmailMessage)
    assert f"postroom status {made['id']}" in text.get_content()
    assert "gone@example.org" in text.get_content()
    assert "FROM:<>" == paths[-1].split()[0]
