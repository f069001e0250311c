"""What the reference model of alerts knows: rules, alerts, members, groups, mails.

Conditions of routes, silences and inhibitions are functions on labels; time tables and cron have tests of
their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from postroom.model.alert import Severity

Labels = Mapping[str, str]
Fits = Callable[[Labels], bool]
MINUTE, MINUTES_5 = timedelta(minutes=1), timedelta(minutes=5)
DAY = timedelta(days=1)
Name = tuple[Any, ...]


@dataclass(kw_only=True)
class Kind:
    """A type."""

    is_open: bool = True
    mail: bool = True
    interval: timedelta = MINUTES_5
    resolved: bool | None = None
    by_event: bool = False
    threshold: float | None = None
    points: int = 1
    resolve_after: timedelta | None = None
    every: timedelta | None = None
    grace: timedelta = MINUTES_5


@dataclass(kw_only=True)
class Branch:
    """A leaf of the tree with what it inherits; the first that fits is the last unless it says continue."""

    path: str
    fits: Fits
    receiver: str
    group_by: tuple[str, ...]
    wait: timedelta
    interval: timedelta
    repeat: tuple[timedelta, ...]
    resolved: bool
    goes_on: bool = False


@dataclass(kw_only=True)
class Person:
    """A recipient."""

    address: str
    language: str = "en"
    digest_at: Callable[[datetime], datetime] | None = None
    quiet_until: Callable[[datetime], datetime | None] | None = None


@dataclass(kw_only=True)
class World:
    """The rules."""

    kinds: Mapping[str, Kind]
    branches: tuple[Branch, ...]
    """The last one fits everything."""
    people: Mapping[str, tuple[Person, ...]]
    inhibitions: tuple[tuple[Fits, Fits, tuple[str, ...]], ...] = ()
    pierce: frozenset[Severity] = frozenset({Severity.EMERGENCY, Severity.CRITICAL})
    changes: int = 4
    within: timedelta = timedelta(hours=6)
    calm: timedelta = timedelta(hours=1)
    mails: int = 20
    mails_within: timedelta = timedelta(minutes=10)
    id_of: Callable[[Name], str] = repr
    """The order of alerts at the same instant."""
    group_id_of: Callable[[Name], str] = repr


@dataclass(kw_only=True, eq=False)
class Alert:
    """One alert."""

    name: Name
    kind: Kind
    key: str
    labels: Labels = field(default_factory=dict)
    severity: Severity = Severity.WARNING
    is_state: bool = True
    is_active: bool = False
    tally: int = 0
    last_at: datetime | None = None
    ends_at: datetime | None = None
    resolved_at: datetime | None = None
    changes: list[datetime] = field(default_factory=list)
    is_flapping: bool = False
    calm_from: datetime | None = None
    was_resolved: bool = False
    """While it flaps: the last thing heard was that it is over."""
    acked: bool = False
    acked_until: datetime | None = None
    has_members: bool = True

    @property
    def by_event(self) -> bool:
        """Whether it is told again only when it is reported again."""
        return not self.is_state or self.kind.by_event

    @property
    def is_still_so(self) -> bool:
        """Whether it counts as still active."""
        return self.is_active and self.is_state

    @property
    def end(self) -> datetime | None:
        """When it ends by itself."""
        if not self.is_active or self.last_at is None or (self.is_flapping and self.was_resolved):
            return None
        if not self.is_state:
            return self.last_at + max(self.kind.interval, MINUTES_5)
        if self.ends_at is not None:
            return self.ends_at
        return None if self.kind.resolve_after is None else self.last_at + self.kind.resolve_after


@dataclass(kw_only=True, eq=False)
class Member:
    """An alert in a group."""

    alert: Alert
    told: str = ""
    told_at: datetime | None = None
    told_severity: Severity | None = None
    told_tally: int = 0
    due: datetime | None = None

    def rested(self, now: datetime) -> bool:
        """Whether its interval is over."""
        return self.told_at is None or now >= self.told_at + self.alert.kind.interval

    def is_forgotten(self, now: datetime) -> bool:
        """Whether nothing is left to remember."""
        return not self.alert.is_active and self.due is None and self.rested(now)


@dataclass(kw_only=True, eq=False)
class Group:
    """A group."""

    name: Name
    branch: Branch
    members: dict[Name, Member] = field(default_factory=dict)
    opened_at: datetime | None = None
    letter_at: datetime | None = None
    """Of this incident."""
    nth: int = 0
    rhythm: timedelta | None = None
    look_at: datetime | None = None
    is_stale: bool = True
    """Something happened since ``look_at`` was found."""

    @property
    def gate(self) -> datetime:
        """From when news may be told."""
        if self.letter_at is not None:
            return self.letter_at + self.branch.interval
        if self.opened_at is None:
            raise AssertionError(self)
        return self.opened_at + self.branch.wait

    @property
    def repeat_at(self) -> datetime | None:
        """When what is still active is told again."""
        if self.letter_at is None or self.opened_at is None:
            return None
        steps = self.branch.repeat if self.rhythm is None else (self.rhythm,)
        if not steps:
            return None
        age = self.letter_at - self.opened_at
        return self.letter_at + max((step for step in steps if step <= age), default=steps[0])


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A letter, as far as it is compared."""

    at: datetime
    kind: str
    receiver: str
    recipients: tuple[str, ...]
    news: frozenset[tuple[Name, str]]
    listed: frozenset[Name]
    active: int
    nth: int


def state_of(alert: Alert) -> str:
    """Return its state as the book writes it."""
    return "firing" if alert.is_active else "resolved"


def values_of(names: tuple[str, ...], alert: Alert) -> Name:
    """Return the values of some labels."""
    return tuple(alert.labels.get(name, "") for name in names)
