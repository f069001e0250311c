"""Alert events from Python: what is sent, and a log handler that never stops the program that logs."""

import json
import logging
import threading
from collections.abc import Iterator, Sequence

import httpx2
import pytest

from postroom_client import Alert, AlertHandler, PostroomClient, TakenAlert, UnreachableError

URL = "http://postroom.example"


class Desk:
    """Takes events, or fails, when it is let."""

    def __init__(self) -> None:
        """Begin."""
        self.seen: list[Alert] = []
        self.is_open, self.is_waited_for = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def alerts(self, events: Sequence[Alert]) -> list[TakenAlert]:
        """Take events."""
        self.is_waited_for.set()
        self.is_open.wait(10)
        if self.error is not None:
            raise self.error
        self.seen += events
        return []


@pytest.fixture
def desk() -> Desk:
    """Return a desk that takes at once."""
    desk = Desk()
    desk.is_open.set()
    return desk


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger of its own, without handlers afterwards."""
    logger = logging.getLogger("shop.orders")
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def test_events_are_reported_together() -> None:
    """One call, one body, the ids in order."""
    bodies: list[dict[str, object]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        alerts = [{"event": 7, "alert": "0a" * 10}, {"event": 8, "alert": "0b" * 10}]
        return httpx2.Response(202, json={"alerts": alerts})

    with PostroomClient(URL, "k", transport=httpx2.MockTransport(answer)) as client:
        taken = client.alerts([{"key": "disk", "state": "firing"}, {"key": "disk", "state": "resolved"}])
        assert client.alert(key="job").event == 7
    assert [(7, "0a" * 10), (8, "0b" * 10)] == [(one.event, one.alert) for one in taken]
    assert [{"key": "disk", "state": "firing"}, {"key": "disk", "state": "resolved"}] == bodies[0]["alerts"]
    assert [{"key": "job"}] == bodies[1]["alerts"]


def test_a_record_is_an_event(desk: Desk, logger: logging.Logger) -> None:
    """Level, logger, place, first line and trace; fields of its own go before."""
    handler = AlertHandler(desk, source="shop-1")
    logger.addHandler(handler)
    try:
        int("no such order")
    except ValueError:
        logger.exception("\x1b[31morder\t%s failed\nsecond\0 line", 5, extra={"alert": {"object": "order-5"}})
    logger.warning("not bad enough")
    handler.close()
    (event,) = desk.seen
    assert ("log", "error", "shop-1", "order-5") == (
        event["key"],
        event["severity"],
        event["source"],
        event["object"],
    )
    assert event["title"] == "[31morder 5 failed"
    assert "second\ufffd line" in event["text"]
    assert event["node"].startswith("test_client_alerts:")
    assert "ValueError: invalid literal" in event["text"]
    assert event["occurred_at"].endswith("+00:00")


def test_a_log_handler_never_blocks(
    desk: Desk, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the server hangs, records wait up to the room; the rest is counted and told once."""
    desk.is_open.clear()
    handler = AlertHandler(desk, level=logging.INFO, room=3)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.info("first")
    assert desk.is_waited_for.wait(10)
    for number in range(5):
        logger.info("number %d", number)
    assert handler.lost == 2
    desk.is_open.set()
    handler.close()
    assert ["first", "number 0", "number 1", "number 2"] == [event["title"] for event in desk.seen]
    assert capsys.readouterr().err.count("postroom:") == 1
    assert "postroom alerts" not in {thread.name for thread in threading.enumerate()}


def test_what_cannot_be_handed_in_is_counted(desk: Desk, logger: logging.Logger) -> None:
    """A server that is away, and a client that breaks, end neither the program nor the handler."""
    handler = AlertHandler(desk)
    logger.addHandler(handler)
    desk.error = UnreachableError("no answer from http://postroom.example: refused")
    logger.error("one")
    handler.close()
    desk.error = RuntimeError("closed")
    logger.error("two")
    handler.close()
    assert handler.lost == 2
    assert desk.seen == []


def test_the_way_out_does_not_report_itself(desk: Desk) -> None:
    """Records of the client and its HTTP library make no events."""
    handler = AlertHandler(desk, level=logging.DEBUG)
    for name in ("httpx2", "httpcore2.connection", "postroom_client.client"):
        handler.handle(logging.LogRecord(name, logging.ERROR, __file__, 1, "x", None, None))
    handler.close()
    assert desk.seen == []
