"""Events that must come: when it is too late for them."""

from datetime import datetime

from postroom.model.alert import AlertState, NewAlertEvent
from postroom.model.alert_rules import AlertRules, Expectation
from postroom.policy.alerting.identity import digest_of
from postroom.policy.alerting.times import next_cron
from postroom.policy.alerting.types import ANY_KEY, Kind

MISSING_LABEL = {"expected": "missing"}
"""What an alert about an event that did not come is known by."""


class Watch:
    """One expectation, of one object or of any."""

    __slots__ = ("clock_at", "expectation", "id", "is_missing", "key", "object", "seen_at")

    def __init__(self, key: str, object_name: str, expectation: Expectation) -> None:
        """Begin as one that was never met."""
        self.id = watch_id(key, object_name)
        self.key = key
        self.object = object_name
        self.expectation = expectation
        """As the rules say; found anew with each start."""
        self.seen_at: datetime | None = None
        self.is_missing = False
        """Its alert is active."""
        self.clock_at: datetime | None = None

    def deadline(self) -> datetime | None:
        """Return when the event is missing."""
        if self.is_missing or self.seen_at is None:
            return None
        expected = self.expectation
        if expected.cron is not None:
            return next_cron(expected.cron, expected.time_zone, self.seen_at) + expected.grace
        return None if expected.every is None else self.seen_at + expected.every + expected.grace

    def event(self) -> NewAlertEvent:
        """Return the report that an event is missing."""
        return NewAlertEvent(
            key=self.key,
            object=self.object,
            severity=self.expectation.severity,
            is_severity_said=True,
            labels=MISSING_LABEL,
            state=AlertState.FIRING,
            door="",
        )


def watch_id(key: str, object_name: str) -> str:
    """Return the name of an expectation."""
    return digest_of(key, object_name)


def heard_by(kind: Kind, event: NewAlertEvent) -> str:
    """Return the name of the expectation that hears of an event, if there is one of this name."""
    expected = kind.type.expect
    if expected is None or not kind.is_open:
        return ""
    return watch_id(kind.type.key, event.object if expected.objects else "")


def expected(rules: AlertRules) -> dict[str, tuple[str, str, Expectation]]:
    """Return key, object and expectation of everything that must come, by the name of the expectation."""
    return {
        watch_id(one.key, name): (one.key, name, one.expect)
        for one in rules.types.values()
        if one.expect is not None and one.settings.is_open is not False and one.key != ANY_KEY
        for name in one.expect.objects or ("",)
    }
