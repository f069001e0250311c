"""A real Prometheus and a real Alertmanager report; a real SMTP server gets few mails, in one thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from peers.mail_host import MailHost, running
from peers.postroom_process import KEY, PostroomProcess, free_port
from peers.prometheus import alertmanager, post_json, prometheus

pytestmark = pytest.mark.slow

WAIT_S = 30.0
SETTINGS = """
from = "app@example.com"

[[transports]]
name = "host"
url = "smtp://127.0.0.1:{port}"

[alerts]
receivers = ["ops@example.org"]

[alerts.root]
{clocks}
"""


@contextmanager
def postroom(tmp_path: Path, host: MailHost, clocks: str) -> Iterator[PostroomProcess]:
    config = tmp_path / "postroom.toml"
    config.write_text(SETTINGS.format(port=host.port, clocks=clocks))
    with PostroomProcess(tmp_path / "data", args=("--config", str(config))) as server:
        yield server


@contextmanager
def metrics(port: int) -> Iterator[None]:
    """Be the shop that Prometheus watches."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"shop_orders_total 5\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def reports(server: PostroomProcess, state: str) -> int:
    """Return how many reports of this state were stored."""
    _, shown = server.call("GET", "/v1/alerts/events?limit=200")
    return sum(one["state"] == state for one in shown["events"])


def looked_at(server: PostroomProcess) -> bool:
    """Say whether nothing waits: no report to be looked at, no letter to be sent."""
    alerts = server.call("GET", "/v1/status")[1]["alerts"]
    return not alerts["events_waiting"] and not alerts["letters_waiting"]


def clauses(server: PostroomProcess, alert: str) -> list[str]:
    """Return what was decided about an alert."""
    status, why = server.call("GET", f"/v1/alerts/{alert}/why")
    assert 200 == status
    return [one["clause"] for one in why["steps"]]


def assert_one_thread(first: EmailMessage, second: EmailMessage) -> None:
    assert str(first["message-id"]) in str(second["references"]).split()
    assert first["message-id"] == second["in-reply-to"]


@pytest.mark.prometheus
def test_prometheus_reports_to_postroom_itself(tmp_path: Path) -> None:
    """One mail when the target is down and one in its thread when it is back, however often it is posted."""
    target = free_port()
    with (
        running(MailHost()) as host,
        postroom(tmp_path, host, 'group_interval = "1 s"') as server,
        prometheus(tmp_path / "prometheus", port=server.port, key=KEY, target=target),
    ):
        until(lambda: reports(server, "firing") >= 4)
        until(lambda: len(host.mails) >= 1 and looked_at(server))
        (alert,) = server.call("GET", "/v1/alerts")[1]["alerts"]
        assert ("ShopDown", f"127.0.0.1:{target}", "critical", "prometheus") == tuple(
            alert[name] for name in ("key", "object", "severity", "source")
        )
        assert {"job": "shop", "team": "shop"}.items() <= alert["labels"].items()
        assert 1 == len(host.mails)
        with metrics(target):
            until(lambda: reports(server, "resolved") >= 3)
            until(lambda: len(host.mails) >= 2 and looked_at(server))
        assert [] == server.call("GET", "/v1/alerts")[1]["alerts"]
        assert {"new", "told", "updated", "resolved", "not-active"} <= set(clauses(server, alert["id"]))
        assert 2 == len(host.mails)
    (fired, down), (over, up) = host.mails
    assert ["ops@example.org"] == fired.rcpt_tos == over.rcpt_tos
    text = down.get_body(("plain",))
    assert text is not None
    assert "the shop does not answer" in down["subject"] + text.get_content()
    assert f"127.0.0.1:{target}" in text.get_content()
    assert_one_thread(down, up)


@pytest.mark.alertmanager
def test_alertmanagers_webhook_is_told(tmp_path: Path) -> None:
    """What it groups is one mail, and when all of it is over one more in the same thread."""
    clocks = 'group_wait = "1 s"\ngroup_interval = "5 s"'
    with running(MailHost()) as host, postroom(tmp_path, host, clocks) as server:
        webhook = f"{server.url}/v1/alerts/alertmanager"
        with alertmanager(tmp_path / "alertmanager", url=webhook, key=KEY) as door:
            fired = [
                {
                    "labels": {"alertname": "ShopDown", "instance": name, "severity": "critical"},
                    "annotations": {"summary": f"{name} does not answer"},
                }
                for name in ("shop-1", "shop-2")
            ]
            assert 200 == post_json(door, fired)
            until(lambda: reports(server, "firing") >= 2)
            until(lambda: len(host.mails) >= 1 and looked_at(server))
            alerts = server.call("GET", "/v1/alerts")[1]["alerts"]
            assert {"shop-1", "shop-2"} == {one["object"] for one in alerts}
            assert {"alertmanager"} == {one["source"] for one in alerts}
            ended_at = (datetime.now(UTC) - timedelta(milliseconds=1)).isoformat()
            assert 200 == post_json(door, [{**one, "endsAt": ended_at} for one in fired])
            until(lambda: reports(server, "resolved") >= 2)
            until(lambda: len(host.mails) >= 2 and looked_at(server))
            assert [] == server.call("GET", "/v1/alerts")[1]["alerts"]
            for one in alerts:
                assert {"new", "told", "resolved"} <= set(clauses(server, one["id"]))
    (_, down), (_, up) = host.mails
    text = down.get_body(("plain",))
    assert text is not None
    assert all(name in text.get_content() for name in ("shop-1", "shop-2"))
    assert_one_thread(down, up)
