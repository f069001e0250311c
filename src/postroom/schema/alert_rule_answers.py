"""The rules of alerts as answers, each in the form in which it may be stored or stands in the settings.

What a rule does not say is left out, so that an answer can be sent back as it is.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from postroom.engine.alerting.forms import RuleKind
from postroom.model.alert_rules import (
    AlertRoute,
    AlertRules,
    AlertType,
    Expectation,
    Inhibition,
    Matcher,
    Receiver,
    SampleRule,
    TimeTable,
    TypeSettings,
    WeekWindow,
)
from postroom.policy.alerting.matching import written
from postroom.schema.alert_fields import window_text
from postroom.schema.answers import Json, Mode

_UNITS = ((604800, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RuleAnswer(_Answer):
    """One rule. ``origin`` is file, store, or the name of the ready set it comes from."""

    kind: RuleKind
    name: str
    origin: str
    rule: dict[str, Any] = Field(description="As it may be stored, and as it stands in the settings.")


class OneRuleAnswer(RuleAnswer):
    """The rule that holds now."""

    mode: Mode


class RuleListAnswer(_Answer):
    """Everything that decides."""

    mode: Mode
    root: dict[str, Any] = Field(description="What holds for every route that says nothing else.")
    rules: list[RuleAnswer] = Field(description="Routes in the order of asking.")
    flapping: dict[str, Any]
    storm: dict[str, Any]
    language: str
    time_zone: str


class TypeListAnswer(_Answer):
    """The catalogue, by key."""

    mode: Mode
    types: list[RuleAnswer]


def rules(held: AlertRules, mode: str) -> Json:
    """Write everything that decides."""
    return {
        "mode": mode,
        "root": _said(_route(held.root), besides=("name", "routes", "continue")),
        "rules": [one for kind in RuleKind for one in of_kind(held, kind)],
        "flapping": {
            "changes": held.flapping.changes,
            "within": span_text(held.flapping.within),
            "calm": span_text(held.flapping.calm),
        },
        "storm": {"mails": held.storm.mails, "within": span_text(held.storm.within)},
        "language": held.language,
        "time_zone": held.time_zone,
    }


def of_kind(held: AlertRules, kind: RuleKind) -> list[Json]:
    """Write every rule of a kind."""
    match kind:
        case RuleKind.TYPE:
            return [_one(kind, one.key, one.origin, type_rule(one)) for one in _sorted(held.types)]
        case RuleKind.ROUTE:
            return [_one(kind, one.name, one.origin, _said(_route(one))) for one in held.root.routes]
        case RuleKind.RECEIVER:
            return [_one(kind, one.name, one.origin, _receiver(one)) for one in _sorted(held.receivers)]
        case RuleKind.TABLE:
            return [_one(kind, one.name, one.origin, _table(one)) for one in _sorted(held.tables)]
        case RuleKind.INHIBITION:
            return [_one(kind, one.name, one.origin, _inhibition(one)) for one in held.inhibitions]


def _one(kind: RuleKind, name: str, origin: str, rule: Json) -> Json:
    return {"kind": kind, "name": name, "origin": origin, "rule": rule}


def _sorted(entries: Mapping[str, Any]) -> Iterable[Any]:
    return [one for _, one in sorted(entries.items())]


def span_text(span: timedelta) -> str:
    """Return a span as text that reads as the same, in its largest whole unit."""
    seconds = span.total_seconds()
    size, unit = next((one for one in _UNITS if seconds and seconds % one[0] == 0), (1, "s"))
    return f"{seconds / size:g} {unit}" if seconds % 1 == 0 else f"{round(seconds * 1000)} ms"


def type_rule(one: AlertType) -> Json:
    """Write an entry of the catalogue."""
    return _said(
        {
            "key": one.key,
            "label": dict(one.label),
            "category": one.category,
            **settings_rule(one.settings),
            "objects": [
                {"object": each.object, **_said(settings_rule(each.settings))} for each in one.objects
            ],
            "expect": None if one.expect is None else _expectation(one.expect),
            "variables": list(one.variables),
            "subject": dict(one.subjects) or one.subject,
            "body": dict(one.bodies) or one.body,
            "template": one.template,
        }
    )


def settings_rule(one: TypeSettings) -> Json:
    """Write every setting of a type; one that it does not say is null."""
    return {
        "open": one.is_open,
        "mail": one.mail,
        "every": None if one.interval is None else span_text(one.interval),
        "severity": one.severity,
        "resolved": one.resolved,
        "repeat": one.repeat,
        "receivers": None if one.receivers is None else list(one.receivers),
        "rule": None if one.rule is None else _sample(one.rule),
        "resolve_after": None if one.resolve_after is None else span_text(one.resolve_after),
    }


def _sample(one: SampleRule) -> Json:
    side = "above" if one.is_above else "below"
    return {"value": one.value, side: one.threshold, "points": one.points}


def _expectation(one: Expectation) -> Json:
    return _said(
        {
            "every": None if one.every is None else span_text(one.every),
            "cron": one.cron,
            "time_zone": one.time_zone,
            "grace": span_text(one.grace),
            "objects": list(one.objects),
            "severity": one.severity,
        }
    )


def _route(one: AlertRoute) -> Json:
    return {
        "name": one.name,
        "matchers": _matchers(one.matchers),
        "receiver": one.receiver,
        "group_by": None if one.group_by is None else list(one.group_by),
        "group_wait": None if one.group_wait is None else span_text(one.group_wait),
        "group_interval": None if one.group_interval is None else span_text(one.group_interval),
        "repeat": None if one.repeat is None else [span_text(span) for span in one.repeat] or "never",
        "resolved": one.resolved,
        "active": None if one.active is None else list(one.active),
        "mute": None if one.mute is None else list(one.mute),
        "continue": one.is_continued or None,
        "routes": [_said(_route(each)) for each in one.routes],
    }


def _receiver(one: Receiver) -> Json:
    return _said(
        {
            "name": one.name,
            "to": [
                _said(
                    {
                        "address": each.address,
                        "language": each.language,
                        "time_zone": each.time_zone,
                        "quiet": None if each.quiet is None else _windows(each.quiet),
                        "digest": each.digest,
                    }
                )
                for each in one.recipients
            ],
            "groups": list(one.groups),
            "from_label": one.from_label,
            "takes_lists": one.takes_lists,
            "language": one.language,
            "time_zone": one.time_zone,
            "quiet": _windows(one.quiet),
            "digest": one.digest,
            "pierce": list(one.pierce),
            "template": one.template,
            "subject_prefix": one.subject_prefix,
            "route": one.route,
        }
    )


def _table(one: TimeTable) -> Json:
    return {"name": one.name, "windows": _windows(one.windows), "time_zone": one.time_zone}


def _inhibition(one: Inhibition) -> Json:
    return _said(
        {
            "name": one.name,
            "source": _matchers(one.source),
            "target": _matchers(one.target),
            "equal": list(one.equal),
        }
    )


def _matchers(matchers: Iterable[Matcher]) -> list[str]:
    return [written(one) for one in matchers]


def _windows(windows: Iterable[WeekWindow]) -> list[str]:
    return [window_text(one) for one in windows]


def _said(members: Json, *, besides: tuple[str, ...] = ()) -> Json:
    """Leave out what says nothing; ``False``, 0 and the empty lists that mean something stay."""
    return {
        name: value
        for name, value in members.items()
        if name not in besides and value not in (None, "", {}) and (value != [] or name in _MEANT_EMPTY)
    }


_MEANT_EMPTY = frozenset({"active", "mute", "receivers", "pierce", "group_by"})
"""Empty is not the same as unsaid: it takes back what the one above says."""
