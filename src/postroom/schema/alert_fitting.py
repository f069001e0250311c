"""Whether the rules of alerts fit together, and what they come to with stored ones and ready sets.

Pure but for the ready sets, which are files of this package. Every problem is found, each with the place
where its reader wrote it. An entry of the file goes before a stored one of its name; what an entry of a type
does not say, the ready set's entry of that key says.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TypeVar

from pydantic import ValidationError

from postroom.errors import InputError, Problem
from postroom.model.alert_rules import (
    AlertRoute,
    AlertRules,
    AlertType,
    Receiver,
    TypeSettings,
    WeekWindow,
)
from postroom.policy.alerting.filling import unknown
from postroom.policy.alerting.times import next_edge
from postroom.schema.alert_rules import (
    AlertRouteSection,
    InhibitionSection,
    ReceiverSection,
    TableSection,
    TypeSection,
)
from postroom.schema.findings import Place, found_problems
from postroom.schema.quantities import did_you_mean, nearest
from postroom.schema.written import Section

FILE, STORE = "file", "store"
MAX_DEPTH = 20
"""Routes below routes (security limit)."""
_SOME_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
_MODELS: Mapping[str, type[Section]] = {
    "type": TypeSection,
    "route": AlertRouteSection,
    "receiver": ReceiverSection,
    "table": TableSection,
    "inhibition": InhibitionSection,
}
_T = TypeVar("_T", AlertType, TypeSettings)

Named = Callable[[str, str], str]
"""From the kind and the name (of a route its number) of an entry to where it stands."""


def named_by_kind(kind: str, name: str) -> str:
    """Return where a stored entry stands."""
    return f"{kind}.{name}"


class ReadySet(Section):
    """A file of a ready set."""

    types: tuple[TypeSection, ...] = ()
    routes: tuple[AlertRouteSection, ...] = ()


@cache
def ready_set(name: str) -> AlertRules:
    """Return a ready set; of the root only the routes count."""
    text = files("postroom.schema").joinpath(f"alert_sets/{name}.toml").read_text("utf-8")
    found = ReadySet.model_validate(tomllib.loads(text))
    types = {one.key: one.type(origin=name, time_zone="UTC") for one in found.types}
    routes = tuple(one.branch(origin=name) for one in found.routes)
    return AlertRules(types=types, root=AlertRoute(routes=routes))


def with_sets(rules: AlertRules, sets: Iterable[str]) -> AlertRules:
    """Return the rules of the file with those of ready sets below them."""
    for one in map(ready_set, sets):
        types = {**one.types, **{key: _over(own, one.types.get(key)) for key, own in rules.types.items()}}
        root = replace(rules.root, routes=(*rules.root.routes, *one.root.routes))
        rules = replace(rules, types=types, root=root)
    return rules


def merged(settings: AlertRules, stored: Sequence[tuple[str, str, str]]) -> AlertRules:
    """Return what holds with stored rules: kind, name and JSON of each, oldest first.

    Raises InputError: an entry is wrong, stands in the settings file too, or does not fit the others.
    """
    problems: list[Problem] = []
    types, receivers, tables = dict(settings.types), dict(settings.receivers), dict(settings.tables)
    inhibitions, routes = list(settings.inhibitions), list[AlertRoute]()
    taken = {("route", one.name) for one in settings.root.routes if one.origin == FILE}
    taken |= {("inhibition", one.name) for one in inhibitions}
    taken |= {
        (kind, name)
        for kind, named in (("type", types), ("receiver", receivers), ("table", tables))
        for name, entry in named.items()
        if entry.origin == FILE
    }
    for kind, name, text in stored:
        if (kind, name) in taken:
            cause, fix = "stands in the settings file", "Remove it here or there."
            problems.append(Problem(code="read-only", field=named_by_kind(kind, name), cause=cause, fix=fix))
            continue
        match _read(kind, name, text, problems):
            case TypeSection() as one:
                types[name] = _over(one.type(origin=STORE, time_zone=settings.time_zone), types.get(name))
            case AlertRouteSection() as one:
                routes.append(one.branch(origin=STORE))
            case ReceiverSection() as one:
                receivers[name] = one.receiver(origin=STORE)
            case TableSection() as one:
                tables[name] = one.table(origin=STORE, time_zone=settings.time_zone)
            case InhibitionSection() as one:
                inhibitions.append(one.inhibition(origin=STORE))
    from_file = [one for one in settings.root.routes if one.origin == FILE]
    own_names = {one.name for one in routes}
    from_sets = [one for one in settings.root.routes[len(from_file) :] if one.name not in own_names]
    rules = replace(
        settings,
        types=types,
        receivers=receivers,
        tables=tables,
        inhibitions=tuple(inhibitions),
        root=replace(settings.root, routes=(*from_file, *routes, *from_sets)),
    )
    problems += unfitting(rules, _named_among(rules))
    if problems:
        raise InputError(problems)
    return rules


def _named_among(rules: AlertRules) -> Named:
    """Return where entries stand; a route is known by its number."""

    def named(kind: str, name: str) -> str:
        return named_by_kind(kind, rules.root.routes[int(name)].name if kind == "route" else name)

    return named


def _read(kind: str, name: str, text: str, problems: list[Problem]) -> Section | None:
    """Return a stored entry; ``None``, and problems, when it is wrong."""
    model = _MODELS[kind]
    own = "key" if kind == "type" else "name"

    def named(place: Place) -> str:
        return ".".join((named_by_kind(kind, name), *map(str, place)))

    try:
        given = json.loads(text)
        if "\\" in text:  # a lone surrogate stands there as an escape, and could not be stored in the book
            json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        problems.append(
            Problem(
                code="setting-value",
                field=named(()),
                cause="not an object, or not Unicode",
                fix="Send an object in UTF-8.",
            )
        )
        return None
    if given.setdefault(own, name) != name:
        fix = f"Leave it out, or write {name}."
        problems.append(Problem(code="setting-value", field=named((own,)), cause="another name", fix=fix))
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems += [problem for _, problem in found_problems(error, model, named)]
        return None


def _over(own: AlertType, below: AlertType | None) -> AlertType:
    """Return an entry that says what ``below`` says where it says nothing itself."""
    if below is None:
        return own
    return replace(
        _filled(own, below),
        settings=_filled(own.settings, below.settings),
        objects=(*own.objects, *below.objects),
        variables=tuple(dict.fromkeys((*own.variables, *below.variables))),
        subjects=own.subjects if own.subject else below.subjects,
        bodies=own.bodies if own.body else below.bodies,
    )


def _filled(own: _T, below: _T) -> _T:
    empty: tuple[object, ...] = (None, "", (), {})
    missing = [entry.name for entry in fields(own) if getattr(own, entry.name) in empty]
    return replace(own, **{name: getattr(below, name) for name in missing})


# ------------------------------------------------------------------------------- fitting


def unfitting(rules: AlertRules, named: Named) -> Iterator[Problem]:
    """Yield everything that is missing, or does not fit the rest."""
    for number, route in enumerate(rules.root.routes):
        yield from _route_problems(route, rules, named("route", str(number)), 1)
    yield from _reference_problems(rules.root, rules, named("root", ""), is_root=True)
    yield from _sibling_problems(rules.root.routes, lambda number: named("route", str(number)))
    for name, receiver in rules.receivers.items():
        yield from _receiver_problems(receiver, rules, named("receiver", name))
    for key, entry in rules.types.items():
        yield from _type_problems(entry, named("type", key))
    for name, table in rules.tables.items():
        if not table.windows:
            yield _missing(f"{named('table', name)}.windows", 'Write times, such as "mon-fri 09:00-17:30".')
    for number, one in enumerate(rules.inhibitions):
        field = named("inhibition", one.name or str(number))
        for side, matchers in (("source", one.source), ("target", one.target)):
            if not matchers:
                yield _missing(f"{field}.{side}", "Write conditions, such as 'severity=\"critical\"'.")


def _route_problems(route: AlertRoute, rules: AlertRules, field: str, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        fix = f"At most {MAX_DEPTH} routes stand below each other."
        yield Problem(code="alert-route", field=field, cause="too deep", fix=fix)
        return
    yield from _reference_problems(route, rules, field)
    yield from _sibling_problems(route.routes, lambda number: f"{field}.routes.{number}")
    for number, one in enumerate(route.routes):
        yield from _route_problems(one, rules, f"{field}.routes.{number}", depth + 1)


def _reference_problems(
    route: AlertRoute, rules: AlertRules, field: str, *, is_root: bool = False
) -> Iterator[Problem]:
    receiver = route.receiver
    if receiver is not None and receiver not in rules.receivers and (receiver != "default" or not is_root):
        yield _unknown(f"{field}.receiver", receiver, rules.receivers, code="alert-receiver")
    for setting, names in (("active", route.active), ("mute", route.mute)):
        for name in names or ():
            if name not in rules.tables:
                yield _unknown(f"{field}.{setting}", name, rules.tables, code="alert-table")


def _sibling_problems(routes: Sequence[AlertRoute], place: Callable[[int], str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, one in enumerate(routes):
        if one.name and one.name in seen:
            yield taken_name(f"{place(number)}.name")
        seen.add(one.name)


def _receiver_problems(receiver: Receiver, rules: AlertRules, field: str) -> Iterator[Problem]:
    for group in receiver.groups:
        if group not in rules.receivers:
            yield _unknown(f"{field}.groups", group, rules.receivers, code="alert-receiver")
    if _leads_back(receiver.name, rules.receivers):
        fix = "Leave out the one that leads back."
        yield Problem(code="alert-receiver", field=f"{field}.groups", cause="a group of itself", fix=fix)
    for place, quiet in (
        ("quiet", receiver.quiet),
        *((f"to.{number}.quiet", one.quiet) for number, one in enumerate(receiver.recipients)),
    ):
        if quiet and _is_always(quiet):
            fix = "Leave a time in which mail may come, or use `digest`."
            yield Problem(code="alert-quiet", field=f"{field}.{place}", cause="quiet all the week", fix=fix)
    for number, recipient in enumerate(receiver.recipients):
        if not recipient.address:
            yield _missing(f"{field}.to.{number}.address", "Write the address.")


def _leads_back(name: str, receivers: Mapping[str, Receiver]) -> bool:
    seen: set[str] = set()
    todo = list(receivers[name].groups)
    while todo:
        group = todo.pop()
        if group == name:
            return True
        if group not in seen and group in receivers:
            seen.add(group)
            todo += receivers[group].groups
    return False


def _is_always(windows: tuple[WeekWindow, ...]) -> bool:
    return next_edge(windows, "UTC", _SOME_INSTANT) is None


def _type_problems(entry: AlertType, field: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, one in enumerate(entry.objects):
        if not one.object:
            yield _missing(
                f"{field}.objects.{number}.object", "Write its name; `*` stands for any characters."
            )
        elif one.object in seen and entry.origin != STORE:
            yield taken_name(f"{field}.objects.{number}.object")
        seen.add(one.object)
    for setting, texts in (
        ("subject", (entry.subject, *entry.subjects.values())),
        ("body", (entry.body, *entry.bodies.values())),
    ):
        for name in unknown("".join(texts), entry.variables) if entry.variables else ():
            near = nearest(name, entry.variables)
            hint = f"Did you mean {near}? Else add it to `variables`." if near else "Add it to `variables`."
            cause = f"{{{name}}} is not among its variables"
            yield Problem(code="alert-variable", field=f"{field}.{setting}", cause=cause, fix=hint)


def _unknown(field: str, name: str, known: Iterable[str], *, code: str) -> Problem:
    kind, names = code.removeprefix("alert-"), list(known)
    fix = did_you_mean(name, names) if names else f"There is no {kind} yet: add one."
    return Problem(code=code, field=field, cause=f"there is no {kind} {name!r}", fix=fix)


def _missing(field: str, fix: str) -> Problem:
    return Problem(code="setting-missing", field=field, cause="missing", fix=fix)


def taken_name(field: str) -> Problem:
    """Return the problem of a second entry with one name."""
    fix = "Give each a name of its own."
    return Problem(code="alert-name", field=field, cause="another one has this name", fix=fix)
