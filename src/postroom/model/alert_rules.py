"""The rules by which alerts are told: types, routes, receivers, inhibitions, times of the week.

Plain values, checked where they are read. ``None`` in a route or in what a type says of one object means:
as the one above says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum

from postroom.model.alert import Severity

DEFAULT_INTERVAL = timedelta(minutes=5)
DEFAULT_REPEAT = (timedelta(hours=4), timedelta(days=1), timedelta(weeks=1))


class MatchKind(StrEnum):
    """How a label is compared."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    """The whole value, a pattern of RE2."""
    MATCHES_NOT = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is absent has the empty value."""

    name: str
    kind: MatchKind
    value: str


class Repeat(StrEnum):
    """When an alert that was told is told again."""

    ACTIVE = "active"
    """While it is active, by the clock of its route."""
    EVENT = "event"
    """When it is reported again after its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRule:
    """An alert is active after so many bad values one after the other; one good value ends that."""

    value: str = "value"
    """Which of an event's values is looked at."""
    is_above: bool = True
    """Bad is at or above the threshold; else at or below it."""
    threshold: float
    points: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """An event that must come; an alert is raised when it does not."""

    every: timedelta | None = None
    """At least once in this time; or ``cron``, one of the two."""
    cron: str | None = None
    """Five fields (minute hour day month weekday)."""
    time_zone: str = "UTC"
    """Of ``cron``."""
    grace: timedelta = timedelta(minutes=5)
    objects: tuple[str, ...] = ()
    """Of which one is expected each; empty: one of any object."""
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSettings:
    """What can be said of a type and, differently, of one of its objects."""

    is_open: bool | None = None
    """Off: events are kept in the history and nothing else."""
    mail: bool | None = None
    """Off: listed and counted, never mailed."""
    interval: timedelta | None = None
    """At most one mail in this time about one alert; zero: no such bound."""
    severity: Severity | None = None
    """Where an event names none."""
    resolved: bool | None = None
    """Mail also that it is over; ``None``: as the route says."""
    repeat: Repeat | None = None
    receivers: tuple[str, ...] | None = None
    """Addresses in place of the receiver's."""
    rule: SampleRule | None = None
    resolve_after: timedelta | None = None
    """Resolved when it is not reported again for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSettings:
    """What is different for one object of a type."""

    object: str
    """Its name; ``*`` stands for any characters."""
    settings: TypeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertType:
    """An entry of the catalogue."""

    key: str
    """``*`` alone is the type of events whose key has no entry."""
    label: Mapping[str, str] = field(default_factory=dict)
    """A name for people, by language."""
    category: str = ""
    settings: TypeSettings = field(default_factory=TypeSettings)
    objects: tuple[ObjectSettings, ...] = ()
    """The first whose name fits holds, member by member, before ``settings``."""
    expect: Expectation | None = None
    variables: tuple[str, ...] = ()
    """Names that its events bring in ``values``."""
    subject: str = ""
    """With ``{variable}``; empty: the template's."""
    body: str = ""
    """HTML with ``{variable}`` in place of the template's text; empty: the template's."""
    subjects: Mapping[str, str] = field(default_factory=dict)
    """By language, where there are several; ``subject`` is one of them."""
    bodies: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    """A template in place of the shipped one."""
    origin: str = "file"
    """``file``, ``store`` or the name of the ready set it comes from."""

    def subject_in(self, language: str) -> str:
        """Return the subject for a reader of this language."""
        return _in(self.subjects, language, self.subject)

    def body_in(self, language: str) -> str:
        """Return the body for a reader of this language."""
        return _in(self.bodies, language, self.body)


def _in(texts: Mapping[str, str], language: str, otherwise: str) -> str:
    """Return the text of a language, else of what is before its first dash."""
    return texts.get(language) or texts.get(language.partition("-")[0]) or otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekWindow:
    """Times of the week: every member that is given must fit."""

    days: frozenset[int] = frozenset()
    """ISO: 1 is Monday. Empty: every day."""
    begins: time | None = None
    ends: time | None = None
    """At or before ``begins``: on the next day. Both or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTable:
    """Named times of the week in a zone."""

    name: str
    windows: tuple[WeekWindow, ...]
    time_zone: str = "UTC"
    origin: str = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One address of a receiver."""

    address: str
    language: str = ""
    """Empty: the receiver's, else the general one."""
    time_zone: str = ""
    quiet: tuple[WeekWindow, ...] | None = None
    """Nothing is sent in these times of its zone; ``None``: the receiver's."""
    digest: str | None = None
    """A cron expression in its zone: everything is told then in one mail; ``None``: the receiver's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is told."""

    name: str
    recipients: tuple[Recipient, ...] = ()
    groups: tuple[str, ...] = ()
    """Other receivers whose recipients belong to this one."""
    from_label: str = ""
    """A label whose value is the address, or several with commas; where it has none, ``recipients`` hold."""
    takes_lists: bool = True
    """Addresses that a type or an event names go before these."""
    language: str = ""
    time_zone: str = ""
    quiet: tuple[WeekWindow, ...] = ()
    digest: str = ""
    pierce: tuple[Severity, ...] = (Severity.EMERGENCY, Severity.CRITICAL)
    """Severities for which there are no quiet hours, digests and storms."""
    template: str = ""
    subject_prefix: str = ""
    """Put before the subject as it is."""
    route: str = ""
    """The transports its mails take, as a message's ``route``; empty: what the rules of mail choose."""
    origin: str = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRoute:
    """A branch of the tree; the root has every clock set."""

    name: str = ""
    """Names among its siblings differ; empty: made of its matchers."""
    matchers: tuple[Matcher, ...] = ()
    receiver: str | None = None
    group_by: tuple[str, ...] | None = None
    """``...`` alone: every label."""
    group_wait: timedelta | None = None
    group_interval: timedelta | None = None
    repeat: tuple[timedelta, ...] | None = None
    """Rising; one holds from the age of an incident that is as long. Empty: never again."""
    resolved: bool | None = None
    active: tuple[str, ...] | None = None
    """Names of time tables: told only then."""
    mute: tuple[str, ...] | None = None
    """Names of time tables: not told then."""
    is_continued: bool = False
    """The siblings after it are asked too."""
    routes: tuple["AlertRoute", ...] = ()
    origin: str = "file"


ROOT = AlertRoute(
    name="root",
    receiver="default",
    group_by=("key",),
    group_wait=timedelta(0),
    group_interval=timedelta(minutes=5),
    repeat=DEFAULT_REPEAT,
    resolved=True,
    active=(),
    mute=(),
)
"""What holds where the settings say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While a source is active, targets with the same values of some labels are not told."""

    name: str = ""
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    origin: str = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """What changes too often: ``changes`` new firings ``within``; over after ``calm`` without one."""

    changes: int = 4
    """Zero: never."""
    within: timedelta = timedelta(hours=6)
    calm: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """A receiver gets at most ``mails`` ``within``; what is beyond comes in one summary."""

    mails: int = 20
    """Zero: no bound."""
    within: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRules:
    """Everything that decides, as one value."""

    types: Mapping[str, AlertType] = field(default_factory=dict)
    """By key."""
    root: AlertRoute = ROOT
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    """By name; ``default`` may be absent: then nobody is told."""
    inhibitions: tuple[Inhibition, ...] = ()
    tables: Mapping[str, TimeTable] = field(default_factory=dict)
    flapping: Flapping = Flapping()
    storm: Storm = Storm()
    language: str = "en"
    time_zone: str = "UTC"
    fallback: tuple[str, ...] = ()
    """Ways of severe alerts while no mail can be sent, in order: ``webhook:URL``, ``sendmail``,
    ``journal``, which is the last one anyway."""
