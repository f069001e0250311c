"""Alerts: what other programs report, what became of it, and the mails that tell people.

An alert event is one report, stored as it came. Events of the same identity are one alert, which is active
from its first firing until it is resolved or ends. A letter is one mail to be made of alerts; a decision says
by which clause something was told or not. The exact rules stand in ``docs/alert-clocks.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId

AlertId = NewType("AlertId", str)
"""20 hex digits, made of the identity."""
GroupId = NewType("GroupId", str)
"""20 hex digits, made of route, receiver, addresses of its own and the labels grouped by."""


class Severity(StrEnum):
    """How bad it is, from the worst down."""

    EMERGENCY = "emergency"
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """4 is the worst, 0 the least."""
        return _RANK[self]

    @property
    def is_urgent(self) -> bool:
        """Whether its events are looked at before all others."""
        return self in (Severity.EMERGENCY, Severity.CRITICAL)


_RANK = {severity: 4 - index for index, severity in enumerate(Severity)}


class AlertState(StrEnum):
    """Whether it is still so."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlertEvent:
    """One report, in the form that every door turns its own into."""

    tenant: TenantId = DEFAULT_TENANT
    key: str
    """What kind of thing happened: the name of a type, 1 to 200 characters."""
    category: str = ""
    """What it is about: task, connection, system ..."""
    severity: Severity = Severity.WARNING
    is_severity_said: bool = False
    """Whether the report named it; else the type's holds."""
    source: str = ""
    """Who reports: a program, a host."""
    object: str = ""
    """What the report is about: a task, a disk."""
    node: str = ""
    """Which part of the object."""
    title: str = ""
    """A line for people; empty: made of key and object."""
    text: str = ""
    """Sentences for people."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What matchers and grouping look at, and part of the identity."""
    details: Mapping[str, str] = field(default_factory=dict)
    """More for people to read; never part of the identity."""
    values: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Measured values and variables of texts."""
    state: AlertState | None = None
    """``None``: an occurrence, which is over as soon as it is told."""
    dedup: str = ""
    """An identity of the sender's own, in place of the one made of key, source, object, node and labels."""
    occurred_at: datetime | None = None
    """``None``: when it arrived."""
    ends_at: datetime | None = None
    """When it ends by itself unless it is reported again."""
    link: str = ""
    """``http`` or ``https``: where to look closer."""
    receivers: tuple[str, ...] = ()
    """Addresses in place of the receiver's: a list for this task alone."""
    acknowledged_by: str = ""
    """Somebody works on it, as another program says (PagerDuty's acknowledge)."""
    door: str = "http"
    """The dialect it came in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent(NewAlertEvent):
    """A stored report."""

    number: int
    """Grows by the order of storing."""
    arrived_at: datetime


class Clause(StrEnum):
    """Why something was told, or not, or not yet."""

    NEW = "new"
    """It was not active, or is new in this group: it will be told."""
    COUNTED = "counted"
    """It was told already, and one mail in its interval is enough: counted."""
    THROTTLED = "throttled"
    """It is active again within its interval since the last mail."""
    AGAIN = "again"
    """Reported again after its interval: it will be told again."""
    WORSE = "worse"
    """Its severity rose above the one that was told: it will be told."""
    UPDATED = "updated"
    """Still active, nothing to tell before the repeat is due."""
    RESOLVED = "resolved"
    """It is over, and that will be told."""
    RESOLVED_UNTOLD = "resolved-untold"
    """It is over before anybody was told, or recovery is not mailed here."""
    NOT_ACTIVE = "not-active"
    """It is over, and was not active."""
    STALE = "stale"
    """Not reported again until its end: taken as resolved."""
    ENDED = "ended"
    """An occurrence that did not come again in its interval."""
    OVERTAKEN = "overtaken"
    """A later report of the same alert was looked at first."""
    TYPE_OFF = "type-off"
    MAIL_OFF = "mail-off"
    """The type sends no mail; it is listed and counted."""
    SAMPLE_GOOD = "sample-good"
    """The value is on the good side of the threshold."""
    SAMPLE_COUNTED = "sample-counted"
    """Bad, but not often enough one after the other."""
    EXPECTED = "expected"
    """An event that was waited for came."""
    MISSING = "missing"
    """An expected event did not come in time."""
    FLAPPING = "flapping"
    """It changes so often that its changes are not told before it is calm."""
    FLAPPING_BEGAN = "flapping-began"
    CALM = "calm"
    GROUP_WAIT = "group-wait"
    GROUP_INTERVAL = "group-interval"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    ACKNOWLEDGED = "acknowledged"
    OUTSIDE_HOURS = "outside-hours"
    """The route does not tell at this time of the day or week."""
    TOLD = "told"
    """It is in a letter."""
    REPEATED = "repeated"
    """It is still active and its repeat was due: in a letter."""
    IN_DIGEST = "in-digest"
    """A recipient hears of it at the time of its digest."""
    QUIET_HOURS = "quiet-hours"
    """A recipient hears of it when its quiet hours are over."""
    STORM = "storm"
    """The receiver had its mails for this while: a recipient hears of it in the summary."""
    NO_RECIPIENT = "no-recipient"
    """The receiver has no address."""
    REROUTED = "rerouted"
    """The rules changed, and another route holds."""
    FAULT = "fault"
    """Looking at it failed; the log says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDecision:
    """One step of the story of an alert."""

    tenant: TenantId = DEFAULT_TENANT
    at: datetime
    alert: AlertId
    clause: Clause
    event: int | None = None
    """The report that led to it; ``None``: time did."""
    letter: int | None = None
    group: GroupId | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    """Small extras by which the sentence is made: ``until``, ``route``, ``receiver``, ``silence``, ``count``,
    ``of``, ``source``, ``recipients`` ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision(AlertDecision):
    """A decision with its number, the cursor of lists."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert as it stands."""

    id: AlertId
    tenant: TenantId
    key: str
    category: str
    severity: Severity
    source: str
    object: str
    node: str
    title: str
    text: str
    labels: Mapping[str, str]
    details: Mapping[str, str]
    values: Mapping[str, str | int | float | bool]
    link: str
    state: AlertState
    is_occurrence: bool
    is_flapping: bool = False
    first_at: datetime
    """Since when, this time."""
    occurred_at: datetime | None = None
    """When it began, as the report says that it began with."""
    last_at: datetime
    """Of the last report."""
    resolved_at: datetime | None = None
    tally: int
    """Reports since ``first_at``."""
    told_at: datetime | None = None
    """Of the last letter with it; in a letter, of the one before."""
    acknowledged_by: str = ""
    acknowledged_until: datetime | None = None
    """``None``: until it is over."""
    muted: str = ""
    """``silenced``, ``inhibited``, ``acknowledged`` or empty, as of now."""
    last_event: int
    """Number of the last report."""
    history: tuple[float, ...] = ()
    """The last values of its rule, oldest first, for the small curve."""


class LetterKind(StrEnum):
    """What a letter is about."""

    ALERT = "alert"
    DIGEST = "digest"
    """What a recipient was to hear of later: its digest, or the end of its quiet hours."""
    SUMMARY = "summary"
    """What came in a storm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterItem:
    """One alert in a letter, as it was when the letter was made."""

    alert: AlertView
    is_news: bool
    """Why the letter was written; else it is listed as still active."""
    suppressed: int = 0
    """Reports since the last letter that had it, beyond the one that led to this letter."""
    suppressed_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail to be made and sent. Everything in it is fixed: made again, it is the same."""

    number: int
    at: datetime
    tenant: TenantId = DEFAULT_TENANT
    kind: LetterKind
    receiver: str
    """Its name."""
    route: str
    """The path, for people."""
    group: GroupId | None
    """``None`` for a digest."""
    group_labels: Mapping[str, str] = field(default_factory=dict)
    incident: str
    """One thread: letters with the same incident refer to its first one."""
    nth: int
    """Counted from 1 within the incident."""
    recipients: tuple[str, ...]
    language: str
    time_zone: str
    items: tuple[LetterItem, ...]
    """News first, then the worst; bounded."""
    news: int = 0
    """How many are news, with those that found no room."""
    more: int = 0
    """Alerts that found no room in ``items``."""
    active: int
    """How many of the group, or of a digest's alerts, are still active; never one that only happened."""
    avoid: tuple[str, ...] = ()
    """Transports that it is about: it goes by another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """A letter and what became of it."""

    letter: Letter
    message_id: MessageId | None = None
    """The message it was handed in as."""
    sent_by: str = ""
    """``mail``, or the fallback that took it; empty while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody is told of alerts that match, for a while."""

    id: str
    tenant: TenantId = DEFAULT_TENANT
    matchers: tuple[str, ...]
    """All of them must match; written as in Alertmanager (``name=~"value"``)."""
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRow:
    """What the book of alerts must remember, one entry."""

    kind: str
    id: str
    data: str | None
    """JSON; ``None``: to be forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPlace:
    """How far the events have been looked at, in each of the two lanes."""

    urgent: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTurn:
    """Everything that one look at events and clocks changed; stored in one commit."""

    place: AlertPlace | None = None
    rows: Sequence[BookRow] = ()
    decisions: Sequence[AlertDecision] = ()
    letters: Sequence[Letter] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Which decisions to list; ``None`` means any."""

    tenant: TenantId
    alert: AlertId | None = None
    event: int | None = None
    after: int | None = None
    """Cursor, oldest first."""
    before: int | None = None
    """Cursor, newest first. Not together with ``after``."""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEventFilter:
    """Which events to list, newest first; ``None`` means any."""

    tenant: TenantId
    key: str | None = None
    alert: AlertId | None = None
    before: int | None = None
    limit: int = 100
