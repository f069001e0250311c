"""Answers about alerts: models for the OpenAPI document, and the functions that write them.

As in ``schema.answers`` the functions build plain dictionaries and a test validates each against its model.
The rules are written in ``schema.alert_rule_answers``, what would become of a report in
``schema.alert_trial_answers``.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import BaseModel, ConfigDict

from postroom.engine.alerting.forms import AlertPage, Step, Why
from postroom.model.alert import (
    AlertEvent,
    AlertState,
    AlertView,
    Clause,
    GroupId,
    NewAlertEvent,
    Severity,
    Silence,
)
from postroom.policy.alerting.identity import alert_id
from postroom.schema.answers import Json, Mode, instant, or_null


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TakenAlertAnswer(_Answer):
    """One report: its number, and the alert it belongs to."""

    event: int
    alert: str


class TakenAlertsAnswer(_Answer):
    """The reports are on stable storage, in the order of the request."""

    mode: Mode
    accepted: int
    alerts: list[TakenAlertAnswer]


class AlertAnswer(_Answer):
    """One alert as it stands. ``muted`` says why nobody is told now: silenced, inhibited, acknowledged."""

    id: str
    key: str
    category: str
    severity: Severity
    source: str
    object: str
    node: str
    title: str
    text: str
    labels: dict[str, str]
    details: dict[str, str]
    values: dict[str, str | int | float | bool]
    link: str
    state: AlertState
    occurrence: bool
    flapping: bool
    first_at: str
    last_at: str
    resolved_at: str | None
    tally: int
    told_at: str | None
    acknowledged_by: str
    acknowledged_until: str | None
    muted: str
    last_event: int


class OneAlertAnswer(AlertAnswer):
    """One alert."""

    mode: Mode


class AlertListAnswer(_Answer):
    """The worst first, then the youngest; ``next`` is the cursor of the page after it."""

    mode: Mode
    alerts: list[AlertAnswer]
    next: str | None


class StepAnswer(_Answer):
    """One decision: its clause, and a sentence that says it.

    ``sent_by`` is ``mail`` or what told the letter in place of it; empty while it waits, or without one.
    """

    number: int
    at: str
    clause: Clause
    text: str
    event: int | None
    letter: int | None
    sent_by: str
    message_id: str | None
    message_state: str
    group: str | None
    data: dict[str, str]


class WhyAnswer(_Answer):
    """The story of an alert; ``alert`` is null when it is over and forgotten."""

    mode: Mode
    id: str
    alert: AlertAnswer | None
    steps: list[StepAnswer]
    next: int | None


class AlertEventAnswer(_Answer):
    """A report as it came, in our own form whatever its dialect."""

    number: int
    alert: str
    arrived_at: str
    door: str
    key: str
    category: str
    severity: Severity | None
    source: str
    object: str
    node: str
    title: str
    text: str
    labels: dict[str, str]
    details: dict[str, str]
    values: dict[str, str | int | float | bool]
    state: AlertState | None
    dedup: str
    occurred_at: str | None
    ends_at: str | None
    link: str
    receivers: list[str]
    acknowledged_by: str


class AlertEventListAnswer(_Answer):
    """Newest first; ``next`` is the cursor of the page after it."""

    mode: Mode
    events: list[AlertEventAnswer]
    next: int | None


class RhythmGroupAnswer(_Answer):
    """A group of alerts that are told together, and the route it hangs at."""

    group: str
    path: str


class RhythmAnswer(_Answer):
    """The groups of the alert: their mails are repeated so often while anything in them is active."""

    mode: Mode
    every_s: float
    groups: list[RhythmGroupAnswer]


class SilenceAnswer(_Answer):
    """Nobody is told of alerts that match, for a while."""

    id: str
    matchers: list[str]
    starts_at: str
    ends_at: str
    author: str
    reason: str
    created_at: str


class NewSilenceAnswer(SilenceAnswer):
    """The silence that was made."""

    mode: Mode


class SilenceListAnswer(_Answer):
    """Silences that hold or will, the one that ends first first."""

    mode: Mode
    silences: list[SilenceAnswer]


def taken(events: Sequence[NewAlertEvent], numbers: Sequence[int], mode: str) -> Json:
    """Write which reports were taken."""
    return {
        "mode": mode,
        "accepted": len(numbers),
        "alerts": [
            {"event": number, "alert": alert_id(event)} for number, event in zip(numbers, events, strict=True)
        ],
    }


def alert(view: AlertView) -> Json:
    """Write an alert."""
    return {
        "id": view.id,
        "key": view.key,
        "category": view.category,
        "severity": view.severity,
        "source": view.source,
        "object": view.object,
        "node": view.node,
        "title": view.title,
        "text": view.text,
        "labels": dict(view.labels),
        "details": dict(view.details),
        "values": dict(view.values),
        "link": view.link,
        "state": view.state,
        "occurrence": view.is_occurrence,
        "flapping": view.is_flapping,
        "first_at": instant(view.first_at),
        "last_at": instant(view.last_at),
        "resolved_at": or_null(view.resolved_at),
        "tally": view.tally,
        "told_at": or_null(view.told_at),
        "acknowledged_by": view.acknowledged_by,
        "acknowledged_until": or_null(view.acknowledged_until),
        "muted": view.muted,
        "last_event": view.last_event,
    }


def alerts(page: AlertPage, mode: str) -> Json:
    """Write one page of alerts."""
    return {"mode": mode, "alerts": [alert(one) for one in page.alerts], "next": page.after}


def why(story: Why, mode: str, *, limit: int) -> Json:
    """Write the story of an alert."""
    steps = [_step(one) for one in story.steps]
    return {
        "mode": mode,
        "id": story.id,
        "alert": None if story.alert is None else alert(story.alert),
        "steps": steps,
        "next": steps[-1]["number"] if len(steps) == limit else None,
    }


def _step(step: Step) -> Json:
    decision = step.decision
    return {
        "number": decision.number,
        "at": instant(decision.at),
        "clause": decision.clause,
        "text": step.sentence,
        "event": decision.event,
        "letter": decision.letter,
        "sent_by": "" if step.letter is None else step.letter.sent_by,
        "message_id": None if step.letter is None else step.letter.message_id,
        "message_state": step.message_state,
        "group": decision.group,
        "data": dict(decision.data),
    }


def events(page: Sequence[AlertEvent], mode: str, *, limit: int) -> Json:
    """Write one page of reports."""
    shown = [_event(one) for one in page]
    return {"mode": mode, "events": shown, "next": shown[-1]["number"] if len(shown) == limit else None}


def _event(event: AlertEvent) -> Json:
    return {
        "number": event.number,
        "alert": alert_id(event),
        "arrived_at": instant(event.arrived_at),
        "door": event.door,
        "key": event.key,
        "category": event.category,
        "severity": event.severity if event.is_severity_said else None,
        "source": event.source,
        "object": event.object,
        "node": event.node,
        "title": event.title,
        "text": event.text,
        "labels": dict(event.labels),
        "details": dict(event.details),
        "values": dict(event.values),
        "state": event.state,
        "dedup": event.dedup,
        "occurred_at": or_null(event.occurred_at),
        "ends_at": or_null(event.ends_at),
        "link": event.link,
        "receivers": list(event.receivers),
        "acknowledged_by": event.acknowledged_by,
    }


def rhythm(groups: Mapping[GroupId, str], every: timedelta, mode: str) -> Json:
    """Write which groups are told in which rhythm."""
    shown = [{"group": group, "path": path} for group, path in groups.items()]
    return {"mode": mode, "every_s": every.total_seconds(), "groups": shown}


def silence(one: Silence) -> Json:
    """Write a silence."""
    return {
        "id": one.id,
        "matchers": list(one.matchers),
        "starts_at": instant(one.starts_at),
        "ends_at": instant(one.ends_at),
        "author": one.author,
        "reason": one.reason,
        "created_at": instant(one.created_at),
    }
