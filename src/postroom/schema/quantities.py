"""Durations, sizes, schedules, rates and near names, as people write them in settings.

Pure. A number without a unit is seconds, or bytes. Months and years are left out: they have no one length.
"""

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta

from postroom.model.transport import Rate

_QUANTITY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*\Z")

SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit."""

SPANS = SECONDS | {
    "second": 1.0,
    "seconds": 1.0,
    "minute": 60.0,
    "minutes": 60.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "day": 86400.0,
    "days": 86400.0,
    "w": 604800.0,
    "week": 604800.0,
    "weeks": 604800.0,
}
"""Seconds of each unit of spans, which people and TapData write out; compared without case."""

MAX_SPAN_S = 3660 * 86400.0
"""Seconds of the longest span: ten years."""

BYTES = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}
"""Bytes of each unit, compared without case."""

WINDOWS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
"""Seconds of the window of a rate."""

MAX_SCHEDULE = 200
"""Entries of a schedule once its repetitions are written out (security limit)."""
_REPEATED = re.compile(r"(.*?)\*\s*([0-9]{1,4})\s*\Z")
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*([a-z]+)\Z")


def parse_duration(value: object) -> float:
    """Return seconds from a number or from text such as ``30 s``, ``15 min`` or ``3 d``.

    Raises ValueError.
    """
    number, unit = _split(value)
    if unit not in SECONDS:
        msg = f"not a duration; units are {', '.join(filter(None, SECONDS))}"
        raise ValueError(msg)
    return number * SECONDS[unit]


def parse_span(value: object) -> timedelta:
    """Return a span from a number of seconds or from text such as ``5 min``, ``12 HOUR`` or ``1 w``.

    Raises ValueError.
    """
    number, unit = _split(value)
    seconds = SPANS.get(unit.lower())
    if seconds is None:
        msg = "not a duration; units are ms, s, min, h, d, w, also written out"
        raise ValueError(msg)
    if number * seconds > MAX_SPAN_S:
        msg = "longer than ten years"
        raise ValueError(msg)
    return timedelta(seconds=number * seconds)


def parse_size(value: object) -> int:
    """Return bytes from a number or from text such as ``50 MiB``.

    Raises ValueError.
    """
    number, unit = _split(value)
    if unit.lower() not in BYTES:
        msg = "not a size; units are B, kB, KiB, MB, MiB, GB, GiB"
        raise ValueError(msg)
    return int(number * BYTES[unit.lower()])


def parse_schedule(value: object) -> tuple[float, ...]:
    """Return the seconds of each wait from text such as ``1m, 5m*2, 1h*3``. Raises ValueError."""
    if not isinstance(value, str):
        msg = "not text"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects value errors only
    waits: list[float] = []
    for entry in value.split(","):
        repeated = _REPEATED.match(entry)
        times = int(repeated[2]) if repeated else 1
        seconds = parse_duration(repeated[1] if repeated else entry)
        if seconds < 1 or not times or len(waits) + times > MAX_SCHEDULE:
            msg = f"a wait is 1 s or more, a repetition 1 or more, and all together at most {MAX_SCHEDULE}"
            raise ValueError(msg)
        waits += [seconds] * times
    return tuple(waits)


def parse_rates(value: object) -> tuple[Rate, ...]:
    """Return each rate of text such as ``10/s, 200/h, 2000/d``, the shortest window first.

    Raises ValueError.
    """
    if not isinstance(value, str):
        msg = "not text"
        raise ValueError(msg)  # noqa: TRY004 - as above
    found: dict[int, Rate] = {}
    for entry in value.split(","):
        match = _RATE.match(entry.strip().lower())
        window_s = WINDOWS.get(match[2]) if match else None
        if match is None or window_s is None or not int(match[1]):
            msg = "not rates such as 10/s, 200/h, 2000/d; the windows are s, min, h, d"
            raise ValueError(msg)
        if window_s in found:
            msg = f"two rates for the window {match[2]}"
            raise ValueError(msg)
        found[window_s] = Rate(window_s, int(match[1]))
    return tuple(found[window_s] for window_s in sorted(found))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, compared without case, or ``None`` when none is near."""
    by_folded = {entry.lower(): entry for entry in known}
    found = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest known name, or with all of them when none is near."""
    entries = sorted(known)
    near = nearest(name, entries)
    return f"Did you mean {near}?" if near else f"Known here: {', '.join(entries)}."


def _split(value: object) -> tuple[float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15:
        return float(value), ""
    if isinstance(value, str) and (match := _QUANTITY.match(value)):
        return float(match[1]), match[2]
    msg = "not a number with an optional unit"
    raise ValueError(msg)
