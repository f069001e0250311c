"""Alerts in the real program: from a report to the servers' hands, whatever falls or ends meanwhile."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink, Say, Then
from peers.postroom_process import PostroomProcess

pytestmark = pytest.mark.slow

COUNT = 120
SUBJECT = re.compile(rb"(?m)^Subject: .*db(\d+)")


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


def settings(tmp_path: Path, *transports: str) -> tuple[str, ...]:
    tables = [f'[[transports]]\nname = "{url[-1]}"\nurl = "{url[:-1]}"' for url in transports]
    alerts = (
        "[alerts]\nreceivers = ['ops@example.com']\n[alerts.root]\ngroup_by = ['...']\n"
        "[alerts.storm]\nmails = 0"
    )
    path = tmp_path / "postroom.toml"
    path.write_text("\n".join(['from = "app@example.com"', *tables, alerts]))
    return ("--config", str(path))


def firing(number: int) -> dict[str, str]:
    return {"key": "disk-full", "object": f"db{number}", "state": "firing", "severity": "critical"}


def test_kills_neither_lose_nor_double_a_letter(tmp_path: Path, forks: ForkServer) -> None:
    """Whatever was accepted is told in one mail each, though the program is killed while it tells."""
    with LedgerSink() as sink:
        sink.keep_bodies = True
        args = settings(tmp_path, f"smtp://127.0.0.1:{sink.port}a")
        server = PostroomProcess(tmp_path / "data", args=args, forks=forks)
        for life, arrived in enumerate((0, 1, 60)):
            server.start()
            events = [firing(number) for number in range(life * 40, life * 40 + 40)]
            assert 202 == server.call("POST", "/v1/alerts", events)[0]
            sink.wait_for(arrived, timeout_s=30)  # the others are anywhere on their way then
            server.kill()
        with server:
            assert sink.wait_for(COUNT, timeout_s=60), len(sink.copies)
            deadline = time.monotonic() + 20
            while server.call("GET", "/v1/status")[1]["alerts"]["letters_waiting"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            told = sorted(int(found[1]) for body in sink.bodies.values() if (found := SUBJECT.search(body)))
            assert list(range(COUNT)) == told
            assert server.stop() == 0


def test_an_account_that_fails_is_told_by_another(tmp_path: Path, forks: ForkServer) -> None:
    """Nothing is sent by the first account: that is told by the second, and why answers with the mail."""
    with LedgerSink() as bad, LedgerSink() as good:
        bad.script = lambda command: (
            Say(b"535 5.7.8 authentication failed\r\n", Then.CLOSE) if command.verb == "AUTH" else None
        )
        bad.usual["EHLO"] = b"250-sink.example.net\r\n250 AUTH PLAIN LOGIN\r\n"
        good.keep_bodies = True
        urls = (
            f"smtp://app%40example.com:wrong@127.0.0.1:{bad.port}a",
            f"smtp://127.0.0.1:{good.port}b",
        )
        with PostroomProcess(tmp_path / "data", args=settings(tmp_path, *urls), forks=forks) as server:
            server.call("POST", "/v1/messages", {"to": "x@example.org", "subject": "Hello", "text": "Hello"})
            assert good.wait_for(1, timeout_s=30)
            (body,) = good.bodies.values()
            assert b"Nothing is sent by a" in body
            (alert,) = server.call("GET", "/v1/alerts")[1]["alerts"]
            assert ("postroom.transport-down", "a") == (alert["key"], alert["object"])
            _, why = server.call("GET", f"/v1/alerts/{alert['id']}/why")
            assert {"new", "told"} <= {step["clause"] for step in why["steps"]}
            assert server.stop() == 0
