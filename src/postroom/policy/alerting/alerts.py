"""The state of one alert, as the book remembers it.

Mutable and without rules: what changes it stands in ``hearing`` and ``clocks``. There are hundred thousands
of these, so they have slots, and names that many have are one string. Instants are aware UTC.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from sys import intern

from postroom.model.alert import AlertId, AlertState, AlertView, GroupId, NewAlertEvent, Severity
from postroom.model.alert_rules import Repeat
from postroom.model.ids import TenantId
from postroom.policy.alerting.groups import Member
from postroom.policy.alerting.types import Kind

LEAST_LIFE = timedelta(minutes=5)
"""An occurrence is active at least so long, also where its type has a shorter interval."""
_NOTHING: Mapping[str, str] = {}
_NO_VALUES: Mapping[str, str | int | float | bool] = {}


class Alert:
    """One identity: active, or over and remembered."""

    __slots__ = (
        "acknowledged_by",
        "acknowledged_until",
        "category",
        "changed_at",
        "changes",
        "clock_at",
        "details",
        "digests",
        "ends_at",
        "first_at",
        "id",
        "is_active",
        "is_flapping",
        "is_held",
        "is_missing",
        "is_occurrence",
        "key",
        "kind",
        "labels",
        "last_at",
        "last_event",
        "link",
        "members",
        "node",
        "object",
        "occurred_at",
        "receivers",
        "resolved_at",
        "severity",
        "source",
        "tally",
        "tenant",
        "text",
        "title",
        "values",
    )

    def __init__(self, number: AlertId, tenant: TenantId, kind: Kind) -> None:
        """Begin as one of which nothing was heard."""
        self.id = number
        self.tenant = tenant
        self.kind = kind
        """What its type says; found anew with each start."""
        self.key = self.category = self.source = self.object = self.node = ""
        self.title = self.text = self.link = ""
        self.labels = self.details = _NOTHING
        self.values = _NO_VALUES
        self.receivers: tuple[str, ...] = ()
        self.severity = Severity.WARNING
        self.is_active = False
        self.is_occurrence = True
        self.is_missing = False
        """It says that an expected event did not come."""
        self.is_flapping = False
        self.is_held = False
        """It flaps, and the last that was heard is that it is over."""
        self.first_at: datetime | None = None
        self.occurred_at: datetime | None = None
        self.last_at: datetime | None = None
        self.resolved_at: datetime | None = None
        self.ends_at: datetime | None = None
        """As its last event says."""
        self.tally = 0
        self.acknowledged_by = ""
        self.acknowledged_until: datetime | None = None
        self.last_event = 0
        self.changes: tuple[datetime, ...] = ()
        """Firings after it was resolved, the last ones."""
        self.changed_at: datetime | None = None
        """Of the last change or withheld resolution."""
        self.members: tuple[Member, ...] = ()
        self.digests = 0
        """Digests that have it; counted anew with each start."""
        self.clock_at: datetime | None = None

    @property
    def group_ids(self) -> tuple[GroupId, ...]:
        """The groups it is a member of, in the order of its routes."""
        return tuple([member.group.id for member in self.members])

    @property
    def repeats_by_event(self) -> bool:
        """Whether it is told again by events, not by the clock of its group."""
        if self.is_missing:
            return False
        return self.is_occurrence or self.kind.repeat is Repeat.EVENT

    @property
    def is_active_state(self) -> bool:
        """Whether it is still so; what only happened is not."""
        return self.is_active and not self.is_occurrence

    def is_acknowledged(self, now: datetime) -> bool:
        """Say whether somebody works on it."""
        return bool(self.acknowledged_by) and (
            self.acknowledged_until is None or now < self.acknowledged_until
        )

    def copy(self, event: NewAlertEvent) -> bool:
        """Take the texts and labels of an event; say whether what matchers see has changed."""
        is_changed = (
            self.labels != event.labels
            or self.object != event.object
            or self.category != event.category
            or self.source != event.source
            or self.node != event.node
            or self.key != event.key
            or self.receivers != event.receivers
        )
        if not self.is_active:
            self.occurred_at = event.occurred_at
        if is_changed:
            self.key = intern(event.key)
            self.category = intern(event.category)
            self.source = intern(event.source)
            self.object = intern(event.object)
            self.node = intern(event.node)
            self.receivers = event.receivers
            if self.labels != event.labels:
                self.labels = {intern(name): intern(value) for name, value in event.labels.items()}
        if self.title != event.title:
            self.title = event.title
        if self.text != event.text:
            self.text = event.text
        if self.link != event.link:
            self.link = event.link
        if self.details != event.details:
            self.details = event.details or _NOTHING
        if self.values != event.values:
            self.values = event.values or _NO_VALUES
        return is_changed

    def close(self, event: NewAlertEvent) -> None:
        """Take what an event says of the end, as far as it says anything."""
        self.text = event.text or self.text
        self.link = event.link or self.link
        self.details = event.details or self.details
        self.values = event.values or self.values

    def end_at(self) -> datetime | None:
        """Return when it ends by itself."""
        if not self.is_active or self.last_at is None or self.is_missing or self.is_held:
            return None
        if self.is_occurrence:
            return self.last_at + max(self.kind.interval, LEAST_LIFE)
        if self.ends_at is not None:
            return self.ends_at
        return None if self.kind.resolve_after is None else self.last_at + self.kind.resolve_after

    def view(self, now: datetime, *, muted: str, history: tuple[float, ...]) -> AlertView:
        """Return it for those who read."""
        is_acknowledged = self.is_acknowledged(now)
        told = [member.told_at for member in self.members if member.told_at is not None]
        return AlertView(
            id=self.id,
            tenant=self.tenant,
            key=self.key,
            category=self.category,
            severity=self.severity,
            source=self.source,
            object=self.object,
            node=self.node,
            title=self.title,
            text=self.text,
            labels=self.labels,
            details=self.details,
            values=self.values,
            link=self.link,
            state=AlertState.FIRING if self.is_active else AlertState.RESOLVED,
            is_occurrence=self.is_occurrence,
            is_flapping=self.is_flapping,
            first_at=self.first_at or now,
            occurred_at=self.occurred_at,
            last_at=self.last_at or now,
            resolved_at=None if self.is_active else self.resolved_at,
            tally=self.tally,
            told_at=max(told) if told else None,
            acknowledged_by=self.acknowledged_by if is_acknowledged else "",
            acknowledged_until=self.acknowledged_until if is_acknowledged else None,
            muted=muted,
            last_event=self.last_event,
            history=history,
        )
