"""Alert events as they are handed in, and a log handler that makes them of records.

``AlertHandler`` never blocks and never raises into the program that logs: records wait in a bounded queue, a
thread hands them in together. What finds no room, or cannot be handed in, is counted in ``lost`` and told
once on standard error.
"""

import contextlib
import logging
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypedDict, cast

from postroom_client.errors import PostroomError

MAX_BATCH = 50
"""Records of one request: longest texts in any script stay below the server's 4 MiB."""
MAX_TITLE = 300
MAX_TEXT = 12_000
"""Characters of a record with its trace; the end is kept, where the error stands."""
COLLECT_S = 0.2
"""What is logged within this time is handed in together."""
CLOSE_S = 5.0
"""How long closing waits for what is not handed in yet."""
_SEVERITIES = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"))
_OWN = ("postroom_client", "httpx2", "httpcore2")
"""Loggers of the way out: what they say of a call must not make another one."""


class Alert(TypedDict, total=False):
    """One event; ``key`` is needed. The fields of ``POST /v1/alerts``."""

    key: str
    category: str
    severity: str
    source: str
    object: str
    node: str
    title: str
    text: str
    labels: Mapping[str, str]
    details: Mapping[str, str]
    values: Mapping[str, str | int | float | bool]
    state: Literal["firing", "resolved"]
    dedup: str
    occurred_at: str
    ends_at: str
    link: str
    receivers: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAlert:
    """The answer to one event: it is on stable storage."""

    event: int
    """Its number."""
    alert: str
    """The id of the alert that it belongs to."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


def taken_of(document: Mapping[str, Any]) -> list[TakenAlert]:
    """Read the answer. Raises KeyError, TypeError when it is none."""
    return [
        TakenAlert(event=int(one["event"]), alert=str(one["alert"]), document=one)
        for one in document["alerts"]
    ]


class Taker(Protocol):
    """What a handler needs of a client."""

    def alerts(self, events: Sequence[Alert]) -> list[TakenAlert]:
        """Hand events in."""
        ...


class AlertHandler(logging.Handler):
    """A log handler: records of a level and above become alert events.

    One place in the program is one alert; what it logs again within the alert's interval is counted, not
    mailed. A record's ``extra={"alert": {...}}`` has fields of its own, for example ``object`` or ``labels``.
    """

    def __init__(
        self,
        client: Taker,
        *,
        level: int = logging.ERROR,
        source: str = "",
        key: str = "log",
        room: int = 1000,
    ) -> None:
        """Begin.

        Args:
            client: Hands the events in; it stays the caller's.
            level: Of the least record that counts.
            source: Who reports; the host's name when it is empty.
            key: The type of the alerts.
            room: Records that wait at most; what comes beyond is lost.
        """
        super().__init__(level)
        self.lost = 0
        """Records that were not handed in."""
        self._client = client
        self._source = source or socket.gethostname()
        self._key = key
        self._waiting: queue.Queue[Alert | None] = queue.Queue(room)
        self._is_told = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        if record.name.partition(".")[0] in _OWN:
            return
        try:
            event = self._event(record)
            if self._thread is None:  # here and not before: a program may fork after it has set up its log
                self._thread = threading.Thread(target=self._serve, name="postroom alerts", daemon=True)
                self._thread.start()
            self._waiting.put_nowait(event)
        except queue.Full:
            self._lose(1, "too many wait")
        except Exception:  # noqa: BLE001 - a log handler never raises into the program; logging tells it
            self.handleError(record)

    def close(self) -> None:
        """Hand in what waits, for some seconds at most, and end."""
        thread, self._thread = self._thread, None
        if thread is not None:
            ends_at = time.monotonic() + CLOSE_S
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=CLOSE_S)  # a full room empties; without this it never ends
            thread.join(timeout=max(ends_at - time.monotonic(), 0.0))
        super().close()

    def _event(self, record: logging.LogRecord) -> Alert:
        # What no server takes is marked: one odd record must not cost the others of its request.
        text = self.format(record).replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        line = (record.getMessage().splitlines() or [""])[0]
        title = "".join(one if one.isprintable() else " " for one in line)[:MAX_TITLE].strip()
        event: dict[str, Any] = {
            "key": self._key,
            "severity": next((name for level, name in _SEVERITIES if record.levelno >= level), "info"),
            "source": self._source,
            "object": record.name,
            "node": f"{record.module}:{record.lineno}",
            "title": title or record.name,
            "text": text[-MAX_TEXT:],
            "occurred_at": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        return cast("Alert", event | getattr(record, "alert", {}))

    def _serve(self) -> None:
        is_over = False
        while not is_over:
            batch, is_over = self._next()
            if batch:
                try:
                    self._client.alerts(batch)
                except PostroomError as error:
                    self._lose(len(batch), error.cause)
                except Exception as error:  # noqa: BLE001 - supervision: the thread outlives whatever a client raises
                    self._lose(len(batch), type(error).__name__)

    def _next(self) -> tuple[list[Alert], bool]:
        """Wait for a record and take what comes with it; also say whether it is the end."""
        first = self._waiting.get()
        if first is None:
            return [], True
        batch = [first]
        ends_at = time.monotonic() + COLLECT_S
        while len(batch) < MAX_BATCH and (left_s := ends_at - time.monotonic()) > 0:
            try:
                one = self._waiting.get(timeout=left_s)
            except queue.Empty:
                break
            if one is None:
                return batch, True
            batch.append(one)
        return batch, False

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if not self._is_told:
            self._is_told = True
            print(f"postroom: log records are not handed in as alerts: {why}", file=sys.stderr)  # noqa: T201 - the log itself must not be used here
