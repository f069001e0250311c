"""Alerts in the real program: from a report to the servers' hands, whatever falls or ends meanwhile."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.fork_server import ForkServer
from peers.http_receiver import http_receiver
from peers.ledger_sink import LedgerSink, Say, Then
from peers.postroom_process import PostroomProcess

pytestmark = pytest.mark.slow

SPEED = 20.0
"""Seconds that pass for the program in one: a letter without a way waits for a minute."""
LOCKED = b"535 5.7.8 authentication failed\r\n"


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


@pytest.fixture(scope="module")
def hurried() -> Iterator[ForkServer]:
    with ForkServer(speed=SPEED) as running:
        yield running


def settings(tmp_path: Path, *transports: str, more: str = "") -> tuple[str, ...]:
    tables = [f'[[transports]]\nname = "{url[-1]}"\nurl = "{url[:-1]}"' for url in transports]
    alerts = (
        f"[alerts]\nreceivers = ['ops@example.com']\n{more}\n[alerts.root]\ngroup_by = ['...']\n"
        "[egress]\nallowed_networks = ['127.0.0.0/8']"
    )
    path = tmp_path / "postroom.toml"
    path.write_text("\n".join(['from = "app@example.com"', *tables, alerts]))
    return ("--config", str(path))


def locked(sink: LedgerSink) -> str:
    """Let a server refuse its logins; return the URL of the account."""
    sink.usual["EHLO"] = b"250-sink.example.net\r\n250 AUTH PLAIN LOGIN\r\n"
    sink.script = lambda command: Say(LOCKED, Then.CLOSE) if command.verb == "AUTH" else None
    return f"smtp://app%40example.com:wrong@127.0.0.1:{sink.port}a"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def firing(name: str, severity: str = "critical") -> dict[str, str]:
    return {"key": "disk-full", "object": name, "state": "firing", "severity": severity}


def test_an_account_that_fails_is_told_by_another(tmp_path: Path, forks: ForkServer) -> None:
    """Nothing is sent by the first account: that is told by the second, and why answers with the mail."""
    with LedgerSink() as bad, LedgerSink() as good:
        good.keep_bodies = True
        urls = (locked(bad), f"smtp://127.0.0.1:{good.port}b")
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


def test_the_only_account_refuses_its_login(tmp_path: Path, hurried: ForkServer) -> None:
    """After a minute what is severe is told by the webhook, and by the log when that takes nothing; once."""

    def told() -> list[str]:
        """Return what the webhook took, of whom it was told."""
        return [alert["object"] for _, _, body in hook.posts for alert in json.loads(body)["alerts"]]

    def handed_in() -> bool:
        """Say whether only the letter that is not severe waits."""
        waiting: int = server.call("GET", "/v1/status")[1]["alerts"]["letters_waiting"]
        return waiting == 1

    with LedgerSink() as sink, http_receiver(200, 200, 200, 500) as hook:
        more = f'fallback = ["webhook:{hook.url}", "journal"]'
        args = settings(tmp_path, locked(sink), more=more)
        server = PostroomProcess(tmp_path / "data", args=args, forks=hurried)
        with server:
            server.call("POST", "/v1/messages", {"to": "x@example.org", "subject": "Hello", "text": "Hello"})
            until(lambda: [one["object"] for one in server.call("GET", "/v1/alerts")[1]["alerts"]] == ["a"])
            server.call("POST", "/v1/alerts", [firing("db1"), firing("db2", "warning")])
            until(lambda: handed_in() and len(hook.posts) >= 2)
            assert ["a", "db1"] == sorted(told())
            server.kill()
        with server:
            server.call("POST", "/v1/alerts", firing("db3"))
            until(lambda: handed_in() and len(hook.posts) >= 3)
            server.call("POST", "/v1/alerts", firing("db4"))
            until(lambda: handed_in() and len(hook.posts) >= 4)
            alerts = server.call("GET", "/v1/alerts")[1]["alerts"]
            ways = {
                one["object"]: {
                    step["sent_by"]
                    for step in server.call("GET", f"/v1/alerts/{one['id']}/why")[1]["steps"]
                    if step["letter"] is not None
                }
                for one in alerts
            }
            assert server.stop() == 0
    assert {"a": {"webhook"}, "db1": {"webhook"}, "db2": {""}, "db3": {"webhook"}, "db4": {"journal"}} == ways
    assert ["a", "db1", "db3", "db4"] == sorted(told())
    assert 4 == len({fields["webhook-id"] for _, fields, _ in hook.posts})
    assert 0 == sink.copies.total()
    (line,) = [line for line in server.log.read_text().splitlines() if "db4" in line]
    assert "critical" in line
    assert "no transport works" in line
