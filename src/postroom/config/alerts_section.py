"""``[alerts]`` of the settings file: what other programs may report, who is told, when and how often."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from postroom.errors import Problem
from postroom.model.alert_rules import DEFAULT_INTERVAL, ROOT, AlertRoute, AlertRules, AlertType, TypeSettings
from postroom.schema.alert_fields import FallbackWay, Language, Span, TypeKey, Zone
from postroom.schema.alert_fitting import FILE, taken_name, unfitting, with_sets
from postroom.schema.alert_rules import (
    AlertRouteSection,
    FlappingSection,
    InhibitionSection,
    ReceiverSection,
    RootSection,
    StormSection,
    TableSection,
    TypeSection,
)
from postroom.schema.written import Section, listed

_MAX_ENTRIES = 10_000
"""Of one kind (security limit)."""
_Name = TypeVar("_Name")
_Entry = TypeVar("_Entry")


def _receivers(value: object) -> object:
    """Addresses alone are the receiver ``default``."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return [{"name": "default", "to": value}] if value else []
    if isinstance(value, list) and any(isinstance(one, str) for one in value):
        msg = 'addresses stand beside tables: write the addresses as { name = "default", to = [...] }'
        raise ValueError(msg)
    return value


class AlertEventSection(Section):
    """A type in short form, by its key: `[alerts.events.jobStateError]`."""

    mail: bool = True
    """Send mail about it."""
    every: Span = DEFAULT_INTERVAL
    """At most one mail in this time about one alert."""


class AlertsSection(Section):
    """Alerts about other programs."""

    sets: Annotated[tuple[Literal["tapdata"], ...], BeforeValidator(listed)] = ()
    """Ready sets of types: `tapdata`."""
    language: Language = "en"
    """Of alert mails where the receiver says none."""
    time_zone: Zone = "UTC"
    """Of times in them, of tables and of schedules that say none."""
    receivers: Annotated[
        tuple[ReceiverSection, ...], Field(max_length=_MAX_ENTRIES), BeforeValidator(_receivers)
    ] = ()
    """Who is told: addresses, which are the receiver `default`, or tables."""
    events: Annotated[dict[TypeKey, AlertEventSection], Field(max_length=_MAX_ENTRIES)] = Field(
        default_factory=dict
    )
    """Types in short form."""
    types: Annotated[tuple[TypeSection, ...], Field(max_length=_MAX_ENTRIES)] = ()
    """Kinds of events."""
    root: RootSection = RootSection()
    routes: Annotated[tuple[AlertRouteSection, ...], Field(max_length=_MAX_ENTRIES)] = ()
    """Who is told of what; the first one that matches decides."""
    tables: Annotated[tuple[TableSection, ...], Field(max_length=_MAX_ENTRIES)] = ()
    """Times of the week."""
    inhibitions: Annotated[tuple[InhibitionSection, ...], Field(max_length=1000)] = ()
    """What is not told while something else is so."""
    flapping: FlappingSection = FlappingSection()
    storm: StormSection = StormSection()
    fallback: Annotated[tuple[FallbackWay, ...], Field(max_length=10), BeforeValidator(listed)] = ()
    """Where severe alerts go when mail cannot: `webhook:URL`, `sendmail`, `journal`; at last to the log."""


def alert_rules(section: AlertsSection) -> tuple[AlertRules, Sequence[Problem]]:
    """Return the section as a value, with the ready sets below it, and what does not fit."""
    problems = list(_missing_names(section))
    zone = section.time_zone
    own = AlertRules(
        types={key: _short(key, event) for key, event in section.events.items()}
        | _first_of((one.key, one.type(origin=FILE, time_zone=zone)) for one in section.types),
        root=_tree(section),
        receivers=_first_of((one.name, one.receiver(origin=FILE)) for one in section.receivers),
        inhibitions=tuple(one.inhibition(origin=FILE) for one in section.inhibitions),
        tables=_first_of((one.name, one.table(origin=FILE, time_zone=zone)) for one in section.tables),
        flapping=section.flapping.flapping(),
        storm=section.storm.storm(),
        language=section.language,
        time_zone=zone,
        fallback=section.fallback,
    )
    rules = with_sets(own, section.sets)
    places = _places(section)
    problems += unfitting(rules, lambda kind, name: places.get((kind, name), f"alerts.{kind}.{name}"))
    return rules, problems


def alert_warnings(rules: AlertRules) -> Iterator[str]:
    """Yield what is right, and not what its writer will have meant."""
    receiver = rules.root.receiver or ROOT.receiver
    if rules.receivers and receiver not in rules.receivers:
        yield (
            "alerts.receivers: none is named default, and alerts.root names no other: "
            "what no route takes is told to nobody"
        )


def _first_of(entries: Iterable[tuple[_Name, _Entry]]) -> dict[_Name, _Entry]:
    """Return entries by name; a second one of a name is told of and does not count."""
    found: dict[_Name, _Entry] = {}
    for name, entry in entries:
        found.setdefault(name, entry)
    return found


def _short(key: str, event: AlertEventSection) -> AlertType:
    return AlertType(key=key, settings=TypeSettings(mail=event.mail, interval=event.every), origin=FILE)


def _tree(section: AlertsSection) -> AlertRoute:
    branches = tuple(one.branch(origin=FILE) for one in section.routes)
    return replace(section.root.route(above=ROOT), routes=branches)


def _named(section: AlertsSection) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Walk the lists of entries: the kind, the setting that names one, and the names."""
    yield "type", "types", [one.key for one in section.types]
    yield "receiver", "receivers", [one.name for one in section.receivers]
    yield "table", "tables", [one.name for one in section.tables]
    yield "inhibition", "inhibitions", [one.name for one in section.inhibitions]


def _places(section: AlertsSection) -> dict[tuple[str, str], str]:
    """Return where each entry stands."""
    places = {("type", key): f"alerts.events.{key}" for key in section.events}
    for kind, setting, names in _named(section):
        keys = (name or str(number) if kind == "inhibition" else name for number, name in enumerate(names))
        places |= _first_of(((kind, key), f"alerts.{setting}.{number}") for number, key in enumerate(keys))
    places |= {("route", str(number)): f"alerts.routes.{number}" for number in range(len(section.routes))}
    return places | {("root", ""): "alerts.root"}


def _missing_names(section: AlertsSection) -> Iterator[Problem]:
    """Yield entries without a name, and a second one of a name."""
    for kind, setting, names in _named(section):
        seen = {*section.events} if kind == "type" else set[str]()
        own = "key" if kind == "type" else "name"
        for number, name in enumerate(names):
            field = f"alerts.{setting}.{number}.{own}"
            if name in seen:
                yield taken_name(field)
            elif not name and kind != "inhibition":
                fix = f"Write its {own}."
                yield Problem(code="setting-missing", field=field, cause="missing", fix=fix)
            if name:
                seen.add(name)
