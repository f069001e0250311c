"""Measured values: how many bad ones came one after the other, and the last ones for the small curve."""

from array import array
from datetime import datetime, timedelta
from math import isfinite

from postroom.model.alert import NewAlertEvent
from postroom.model.alert_rules import SampleRule

MAX_HISTORY = 40
"""Values kept for the curve."""
FORGOTTEN_AFTER = timedelta(days=1)
"""A counter that hears nothing for so long begins anew."""


class Sample:
    """The counter of one identity."""

    __slots__ = ("clock_at", "count", "history", "id", "last_at")

    def __init__(self, number: str) -> None:
        """Begin at zero."""
        self.id = number
        self.count = 0
        self.last_at: datetime | None = None
        self.history = array("d")
        self.clock_at: datetime | None = None

    @property
    def forgotten_at(self) -> datetime | None:
        """Until when it is remembered unless it hears of another value."""
        return None if self.last_at is None else self.last_at + FORGOTTEN_AFTER

    def add(self, value: float, rule: SampleRule, now: datetime) -> bool:
        """Count a value; say whether it is bad."""
        is_bad = value >= rule.threshold if rule.is_above else value <= rule.threshold
        self.count = min(self.count + 1, rule.points) if is_bad else 0
        self.last_at = now
        self.history.append(value)
        if len(self.history) > MAX_HISTORY:
            del self.history[0]
        return is_bad


def value_of(event: NewAlertEvent, rule: SampleRule) -> float | None:
    """Return the value that a rule looks at; ``None`` when the event has no such number."""
    value = event.values.get(rule.value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None
