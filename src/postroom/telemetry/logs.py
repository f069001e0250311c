"""The log: one record a line, one id end to end, no secrets, and nobody waits for its reader.

A record is made by structlog, gets the ids of its task (``context``), loses its secrets (``redaction``) and
goes to a thread that writes (``sink``). For machines it is one JSON object; for people one line with every
unprintable character escaped, because terminals obey what peers and callers wrote.

Names of values that mean the same everywhere: ``request``, ``message_id``, ``attempt``, ``transport``,
``cause``.
"""

import json as json_module
import logging
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from postroom.telemetry.context import merge_context
from postroom.telemetry.redaction import mask_telling_names, redacted
from postroom.telemetry.sink import Sink, StandardError

MAX_VALUE: Final = 2000
"""Characters of one value for people; machines get ten times as many."""
MAX_REFUSED: Final = 10
"""Records of refused requests in a second (security limit)."""

_dumps: Final = json_module.JSONEncoder(ensure_ascii=True, default=str, separators=(", ", ": ")).encode


class _Output:
    """What structlog hands finished records to: the same for every level."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, record: str) -> None:
        self._sink.write(record)

    debug = info = warning = error = critical = exception = msg


def configure_logging(*, json: bool, level: int = logging.INFO, sink: Sink | None = None) -> None:
    """Send records of ``level`` and above to standard error, as JSON or for people.

    Args:
        json: One JSON object a line.
        level: The lowest level that is kept.
        sink: Somewhere else than standard error.
    """
    output = _Output(sink or StandardError())
    processors: list[Processor] = [
        merge_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_telling_names,
        _json_record if json else _line_record,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    access.use(output if json and level <= logging.INFO else None)


def logger(name: str) -> FilteringBoundLogger:
    """Return the logger of one part of the program."""
    return cast("FilteringBoundLogger", structlog.get_logger(part=name))


class Access:
    """One record for each request, in JSON only; made without the detours of other records.

    Of refused requests ``MAX_REFUSED`` a second have one, so that a stranger cannot fill the disk with them;
    the next record says how many were left out.
    """

    def __init__(self) -> None:
        """Begin silent."""
        self._output: _Output | None = None
        self._second = self._refused = self._left_out = 0

    def use(self, output: _Output | None) -> None:
        """Write there from now on; ``None``: nowhere."""
        self._output = output

    @property
    def is_on(self) -> bool:
        """Whether records are written."""
        return self._output is not None

    def record(self, values: EventDict, *, status: int, now: float) -> None:
        """Write one record; ``now`` in monotonic seconds."""
        if self._output is not None and not (status >= 400 and self._is_flood(int(now))):
            values["status"] = status
            if self._left_out:
                values["left_out"], self._left_out = self._left_out, 0
            stamped = _stamp(None, "info", {"part": "http", "event": "request", **values, "level": "info"})
            self._output.msg(_json_record(None, "info", merge_context(None, "info", stamped)))

    def _is_flood(self, second: int) -> bool:
        """Count a refused request; say whether this second has had enough of them."""
        if second != self._second:
            self._second, self._refused = second, 0
        self._refused += 1
        if self._refused <= MAX_REFUSED:
            return False
        self._left_out += 1
        return True


_stamp: Final = structlog.processors.TimeStamper(fmt="iso", utc=True)
access: Final = Access()


def _json_record(_logger: object, _method: str, event: EventDict) -> str:
    if error := _error_of(event):
        event["exception"] = "".join(traceback.format_exception(error))[-10 * MAX_VALUE :]
    try:
        record = _dumps(event)
    except (TypeError, ValueError, RecursionError):  # a name that is no text, a value that holds itself
        record = _dumps({name: repr(value) for name, value in event.items()})
    return redacted(record)


def _line_record(_logger: object, _method: str, event: EventDict) -> str:
    error = _error_of(event)
    words = [event.pop("timestamp", ""), f"{event.pop('level', ''):8}", f"[{event.pop('part', '')}]"]
    words += [str(event.pop("event", "")), *(f"{name}={_told(value)}" for name, value in event.items())]
    if error is not None:
        words.append(f"exception={_told(_traced(error))}")
    return redacted(printable(" ".join(words)))


def _told(value: object) -> str:
    text = redacted(str(value))[:MAX_VALUE]
    return text if text and " " not in text and '"' not in text else _dumps_text(text)


_dumps_text: Final[Callable[[str], str]] = partial(json_module.dumps, ensure_ascii=False)


def printable(text: str) -> str:
    """Return text in which every unprintable character is an escape sequence."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def _error_of(event: EventDict) -> BaseException | None:
    """Take the exception out of a record: the one that was given, or the one being handled."""
    given: Any = event.pop("exc_info", None)
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        given = given[1]
        return given if isinstance(given, BaseException) else None
    return sys.exc_info()[1] if given else None


def _traced(error: BaseException) -> str:
    """Say in one line what an exception was and where it came from, the innermost place first."""
    places = [
        f"{frame.filename.rpartition('/src/')[2] or frame.filename}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    ]
    return f"{type(error).__name__}: {error} at {' < '.join(places)}"
