"""What would become of a report, as an answer: its type, its way through the routes, and who would hear when.

As in ``schema.answers`` the functions build plain dictionaries and a test validates each against its model.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from postroom.model.alert import Clause, Severity
from postroom.model.alert_rules import TypeSettings
from postroom.policy.alerting.matching import written
from postroom.policy.alerting.routing import Asked
from postroom.policy.alerting.trying import SETTINGS, Hearing, Reach, Trial
from postroom.policy.alerting.types import Kind
from postroom.schema.alert_answers import SilenceAnswer, silence
from postroom.schema.alert_fields import window_text
from postroom.schema.alert_rule_answers import settings_rule
from postroom.schema.answers import Json, Mode, or_null


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SettingAnswer(_Answer):
    """What holds, and where it is said: ``object NAME``, ``type`` or ``default``."""

    value: Any = Field(description="Null: as the route says, or nothing.")
    said_by: str


class TrialTypeAnswer(_Answer):
    """The entry of the catalogue that holds; ``key`` is empty where there is none."""

    key: str
    origin: str
    settings: dict[str, SettingAnswer]


class AskedAnswer(_Answer):
    """A route that was asked; ``failed`` is its first matcher that did not match, ``value`` what it met."""

    path: str
    depth: int
    match: bool
    matchers: list[str]
    failed: str
    value: str
    taken: bool
    continued: bool


class HearingAnswer(_Answer):
    """One address; ``later`` says why not with the first letter. ``at`` is null where that is never."""

    address: str
    language: str
    time_zone: str
    later: Clause | None
    at: str | None


class BranchAnswer(_Answer):
    """A place that takes the labels, with everything it inherits; times in seconds."""

    path: str
    receiver: str
    labels: dict[str, str] = Field(description="What the group has in common.")
    group: str
    group_wait_s: float
    group_interval_s: float
    repeat_s: list[float]
    resolved: bool
    active: list[str]
    mute: list[str]
    outside_hours: bool = Field(description="The tables of the route are against telling now.")
    told_at: str | None = Field(description="Of the first mail; null: never.")
    pierces: bool = Field(description="Digests and quiet hours do not hold for this severity.")
    told: list[HearingAnswer]


class TrialTableAnswer(_Answer):
    """A time table that a branch names, and whether now is in it."""

    name: str
    windows: list[str]
    time_zone: str
    now: bool


class TrialInhibitionAnswer(_Answer):
    """Nobody is told while an active alert matches ``source`` and has the labels in ``equal``."""

    name: str
    source: list[str]
    equal: dict[str, str]


class TraceAnswer(_Answer):
    """What would become of a report with these labels."""

    mode: Mode
    told: bool = Field(description="Somebody would hear of it, at once or later.")
    labels: dict[str, str] = Field(description="What matchers and grouping see.")
    severity: Severity
    type: TrialTypeAnswer
    asked: list[AskedAnswer]
    branches: list[BranchAnswer] = Field(description="Where it ends: whom it tells, and by which clocks.")
    tables: list[TrialTableAnswer]
    inhibitions: list[TrialInhibitionAnswer]
    silences: list[SilenceAnswer] = Field(description="Those that match now.")


def trial(found: Trial, mode: str) -> Json:
    """Write what would become of a report."""
    return {
        "mode": mode,
        "told": found.is_told,
        "labels": dict(found.labels),
        "severity": found.event.severity,
        "type": _type(found),
        "asked": [_asked(one) for one in found.trace.asked],
        "branches": [_branch(one) for one in found.reaches],
        "tables": [
            {
                "name": table.name,
                "windows": [window_text(one) for one in table.windows],
                "time_zone": table.time_zone,
                "now": is_now,
            }
            for table, is_now in found.tables
        ],
        "inhibitions": [
            {
                "name": one.name,
                "source": [written(each) for each in one.source],
                "equal": {name: found.labels.get(name, "") for name in one.equal},
            }
            for one in found.inhibitions
        ],
        "silences": [silence(one) for one in found.silences],
    }


def _type(found: Trial) -> Json:
    said_by = [found.said_by[name] for name in SETTINGS]
    settings = settings_rule(_settings(found.kind))
    return {
        "key": found.kind.type.key if found.is_in_catalogue else "",
        "origin": found.kind.type.origin if found.is_in_catalogue else "",
        "settings": {
            name: {"value": value, "said_by": origin}
            for (name, value), origin in zip(settings.items(), said_by, strict=True)
        },
    }


def _settings(kind: Kind) -> TypeSettings:
    return TypeSettings(**{name: getattr(kind, name) for name in SETTINGS})


def _asked(one: Asked) -> Json:
    return {
        "path": one.path,
        "depth": one.depth,
        "match": one.is_match,
        "matchers": list(one.matchers),
        "failed": one.failed,
        "value": one.value,
        "taken": one.is_taken,
        "continued": one.is_continued,
    }


def _branch(reach: Reach) -> Json:
    one = reach.branch
    return {
        "path": one.path,
        "receiver": one.receiver,
        "labels": dict(one.labels),
        "group": one.group,
        "group_wait_s": one.group_wait.total_seconds(),
        "group_interval_s": one.group_interval.total_seconds(),
        "repeat_s": [span.total_seconds() for span in one.repeat],
        "resolved": one.resolved,
        "active": list(one.active),
        "mute": list(one.mute),
        "outside_hours": reach.outside is not None,
        "told_at": or_null(reach.told_at),
        "pierces": reach.is_piercing,
        "told": [_hearing(each) for each in reach.hearings],
    }


def _hearing(one: Hearing) -> Json:
    return {
        "address": one.person.address,
        "language": one.person.language,
        "time_zone": one.person.time_zone,
        "later": one.later,
        "at": or_null(one.at),
    }
