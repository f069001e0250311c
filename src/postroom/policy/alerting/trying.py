"""What would become of a report, before anybody reports it: its type, its way, who would hear of it and when.

As if it were the first report of an alert that is not active, in a house where nobody was told of anything:
storms, intervals since the last mail and active sources of inhibitions are not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from postroom.model.alert import (
    AlertState,
    AlertView,
    Clause,
    Letter,
    LetterItem,
    LetterKind,
    NewAlertEvent,
    Severity,
    Silence,
)
from postroom.model.alert_rules import AlertRules, Inhibition, TimeTable
from postroom.policy.alerting.identity import alert_id, labels_of
from postroom.policy.alerting.matching import Matching
from postroom.policy.alerting.muting import Mute, Muting, Stilled
from postroom.policy.alerting.recipients import Directory, Person, later
from postroom.policy.alerting.routing import Branch, Router, Trace
from postroom.policy.alerting.times import is_in
from postroom.policy.alerting.types import Kind, Kinds, fits

_FIELDS = ("category", "source", "object", "node")
SETTINGS = (
    "is_open",
    "mail",
    "interval",
    "severity",
    "resolved",
    "repeat",
    "receivers",
    "rule",
    "resolve_after",
)
"""Members of ``Kind`` and of ``TypeSettings``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """When one person would hear of it."""

    person: Person
    later: Clause | None = None
    """Why later than others; ``None``: with the first letter."""
    at: datetime | None
    """``None``: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One branch, and whom it reaches."""

    branch: Branch
    is_piercing: bool
    """Digests and quiet hours do not hold for this severity."""
    hearings: tuple[Hearing, ...]
    outside: Mute | None
    """The tables of the route are against telling when the wait of the group is over."""
    told_at: datetime | None
    """Of the first letter; ``None``: the tables never allow one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that the rules say of one report."""

    event: NewAlertEvent
    """With the severity of its type where it names none."""
    labels: Mapping[str, str]
    """What matchers and grouping see."""
    kind: Kind
    is_in_catalogue: bool
    """There is an entry of its key, or ``*``."""
    said_by: Mapping[str, str]
    """Where each of ``SETTINGS`` comes from: ``object NAME``, ``type`` or ``default``."""
    trace: Trace
    reaches: tuple[Reach, ...]
    tables: tuple[tuple[TimeTable, bool], ...]
    """Those that the branches name, and whether now is in each."""
    inhibitions: tuple[Inhibition, ...]
    """Those that hold for it while a source is active."""
    silences: tuple[Silence, ...]
    """Those that match now."""

    @property
    def is_told(self) -> bool:
        """Whether somebody would hear of it, now or later."""
        hearings = (one for reach in self.reaches for one in reach.hearings)
        is_heard = any(one.at is not None for one in hearings)
        return self.kind.is_open and self.kind.mail and is_heard


def event_of(labels: Mapping[str, str]) -> NewAlertEvent:
    """Return the report that has these labels; the names of fields stand for these.

    A severity that is no word of ours is a label and nothing else.
    """
    given = {name: labels.get(name, "") for name in _FIELDS}
    given["key"] = given["alertname"] = labels.get("key") or labels.get("alertname", "")
    word = labels.get("severity", "")
    is_known = word in list(Severity)
    if is_known:
        given["severity"] = word
    return NewAlertEvent(
        key=given["key"],
        category=given["category"],
        severity=Severity(word) if is_known else Severity.WARNING,
        is_severity_said=is_known,
        source=given["source"],
        object=given["object"],
        node=given["node"],
        labels={name: value for name, value in labels.items() if given.get(name) != value},
        state=AlertState.FIRING,
    )


def tried(rules: AlertRules, event: NewAlertEvent, now: datetime, silences: Iterable[Silence] = ()) -> Trial:
    """Return what the rules say of a report at ``now``. Raises MatcherError."""
    kind = Kinds(rules).settings(event.key, event.object)
    event = event if event.is_severity_said else replace(event, severity=kind.severity)
    labels = {name: value for name, value in labels_of(event).items() if value}
    trace = Router(rules).trace(labels, own=event.receivers or kind.receivers)
    directory, muting = Directory(rules), Muting(rules)

    def reach(branch: Branch) -> Reach:
        at = now + branch.group_wait
        outside = muting.outside(branch.active, branch.mute, at)
        told_at = at if outside is None else outside.until
        if outside and told_at and muting.outside(branch.active, branch.mute, told_at):
            told_at = None  # it gave up looking for an instant
        is_piercing = directory.pierces(branch.receiver, event.severity)
        people = directory.people(branch.receiver, branch.own)
        return Reach(
            branch=branch,
            is_piercing=is_piercing,
            hearings=tuple(_hearing(one, told_at, is_piercing=is_piercing) for one in people),
            outside=outside,
            told_at=told_at,
        )

    named = {name: None for one in trace.branches for name in (*one.active, *one.mute)}
    tables = [rules.tables[name] for name in named if name in rules.tables]
    return Trial(
        event=event,
        labels=labels,
        kind=kind,
        is_in_catalogue=kind.type.key in rules.types,
        said_by=_said_by(kind, event.object),
        trace=trace,
        reaches=tuple(map(reach, trace.branches)),
        tables=tuple((one, is_in(one.windows, one.time_zone, now)) for one in tables),
        inhibitions=tuple(one for one in rules.inhibitions if Matching(one.target).fits(labels)),
        silences=tuple(
            one
            for one in silences
            if one.starts_at <= now < one.ends_at and Stilled(one).matching.fits(labels)
        ),
    )


def sample_letters(trial: Trial, now: datetime) -> Sequence[Letter]:
    """Return the first letters of this report, one for each receiver, language and zone."""
    made: list[Letter] = []
    view = _view(trial.event, now)
    for reach in trial.reaches:
        together: dict[tuple[str, str], list[str]] = {}
        for one in reach.hearings:
            person = one.person
            together.setdefault((person.language, person.time_zone), []).append(person.address)
        for (language, time_zone), recipients in together.items():
            made.append(
                Letter(
                    number=len(made) + 1,
                    at=now,
                    kind=LetterKind.ALERT,
                    receiver=reach.branch.receiver,
                    route=reach.branch.path,
                    group=reach.branch.group,
                    group_labels=reach.branch.labels,
                    incident=reach.branch.group,
                    nth=1,
                    recipients=tuple(recipients),
                    language=language,
                    time_zone=time_zone,
                    items=(LetterItem(alert=view, is_news=True),),
                    active=1,
                )
            )
    return made


def _said_by(kind: Kind, object_name: str) -> dict[str, str]:
    own = next((one for one in kind.type.objects if fits(one.object, object_name)), None)
    found = {}
    for name in SETTINGS:
        if own is not None and getattr(own.settings, name) is not None:
            found[name] = f"object {own.object}"
        else:
            found[name] = "default" if getattr(kind.type.settings, name) is None else "type"
    return found


def _hearing(person: Person, told_at: datetime | None, *, is_piercing: bool) -> Hearing:
    if told_at is None or is_piercing:
        return Hearing(person=person, at=told_at)
    cause, at = later(person, told_at, None) or (None, told_at)
    return Hearing(person=person, later=cause, at=at)


def _view(event: NewAlertEvent, now: datetime) -> AlertView:
    """Return the alert that a first report makes."""
    return AlertView(
        id=alert_id(event),
        tenant=event.tenant,
        key=event.key,
        category=event.category,
        severity=event.severity,
        source=event.source,
        object=event.object,
        node=event.node,
        title=event.title,
        text=event.text,
        labels=event.labels,
        details=event.details,
        values=event.values,
        link=event.link,
        state=AlertState.FIRING,
        is_occurrence=event.state is None,
        first_at=now,
        occurred_at=event.occurred_at,
        last_at=now,
        tally=1,
        last_event=1,
    )
