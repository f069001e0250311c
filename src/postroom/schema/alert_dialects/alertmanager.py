"""Alertmanager's webhook (version 4), and the alerts that Prometheus posts to ``/api/v2/alerts``. Pure.

An alert is its labels, as there: the label ``alertname`` is the key, ``instance`` the object too, and all
others stay labels. The annotations ``summary`` and ``description`` (or ``message``) are title and text, the
rest details.
``severity`` is read by ``alert_parts.SEVERITIES``; a word that is none says nothing, and stays a label.

What a group says of its alerts (``groupKey``, ``commonLabels``) each of them says in full, and is not read;
how many a sender left out of a group (``truncatedAlerts``) is a detail of the others. What is over happened
at its end.

Prometheus posts what fires again and again with an end a few minutes ahead, and what is over with an end that
has passed: the end says it all there. A firing alert without an end ends five minutes later, Alertmanager's
``resolve_timeout``.

Sources: Alertmanager, "Configuration", webhook_config; its ``api/v2/openapi.yaml``, postableAlerts.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import TenantId
from postroom.schema.alert_parts import (
    MAX_KEY,
    details_of,
    instant_of,
    items_of,
    joined,
    labels_of,
    line_of,
    link_of,
    object_of,
    severity_of,
    text_of,
)
from postroom.schema.submission import Problems

RESOLVE_TIMEOUT = timedelta(minutes=5)
UNNAMED = "alert"
"""The key of an alert without ``alertname``."""
_TOLD = frozenset({"summary", "description", "message"})


def read_webhook(value: object, *, tenant: TenantId) -> list[NewAlertEvent]:
    """Read what Alertmanager's webhook posts. Raises InputError with every problem."""
    problems = Problems()
    members = object_of(value, "", problems)
    items = items_of(members.get("alerts"), "alerts", problems)
    events = [
        replace(
            in_group(event_of(one, f"alerts.{number}", problems, tenant=tenant), one, members),
            link=link_of(_member(one, "generatorURL"), members.get("externalURL")),
            source="alertmanager",
            door="alertmanager",
        )
        for number, one in enumerate(items)
    ]
    problems.raise_any()
    return events


def read_alerts(value: object, *, now: datetime, tenant: TenantId) -> list[NewAlertEvent]:
    """Read what Prometheus posts to ``/api/v2/alerts``. Raises InputError with every problem."""
    problems = Problems()
    events = []
    for number, one in enumerate(items_of(value, "", problems)):
        event = event_of(one, str(number), problems, tenant=tenant)
        ends_at = instant_of(_member(one, "endsAt"))
        if ends_at is None:
            ends_at = max(now, event.occurred_at or now) + RESOLVE_TIMEOUT
        state = AlertState.RESOLVED if ends_at <= now else AlertState.FIRING
        events.append(
            replace(
                event,
                state=state,
                occurred_at=ends_at if state is AlertState.RESOLVED else event.occurred_at,
                ends_at=ends_at if state is AlertState.FIRING else None,
                link=link_of(_member(one, "generatorURL")),
                source="prometheus",
                door="prometheus",
            )
        )
    problems.raise_any()
    return events


def event_of(value: object, place: str, problems: Problems, *, tenant: TenantId) -> NewAlertEvent:
    """Return what labels and annotations say; state, source and link are for the caller."""
    members = object_of(value, place, problems)
    labels = labels_of(members.get("labels"), f"{place}.labels", problems)
    if not labels and not problems.found:
        problems.add("missing-field", f"{place}.labels", "no labels", "Send at least alertname.")
    name = labels.pop("alertname", UNNAMED)
    key = line_of(name, MAX_KEY) or UNNAMED
    if name not in (key, UNNAMED):
        labels["alertname"] = name
    annotations = members.get("annotations")
    told: Mapping[str, Any] = annotations if isinstance(annotations, dict) else {}
    severity = severity_of(labels.get("severity"))
    return NewAlertEvent(
        tenant=tenant,
        key=key,
        severity=severity or Severity.WARNING,
        is_severity_said=severity is not None,
        object=line_of(labels.get("instance")),
        title=line_of(told.get("summary")),
        text=text_of(told.get("description") or told.get("message")),
        labels=labels,
        details=details_of(told, besides=_TOLD),
        occurred_at=instant_of(members.get("startsAt")),
    )


def in_group(event: NewAlertEvent, value: object, group: Mapping[str, Any]) -> NewAlertEvent:
    """Return an alert of a webhook with its state, the group's where it has none, and when that began."""
    is_over = line_of(_member(value, "status") or group.get("status")).lower() in ("resolved", "ok")
    ended_at = instant_of(_member(value, "endsAt")) if is_over else None
    cut = group.get("truncatedAlerts")
    return replace(
        event,
        state=AlertState.RESOLVED if is_over else AlertState.FIRING,
        occurred_at=ended_at or event.occurred_at,
        details=joined(details_of({"truncatedAlerts": cut or None}), event.details),
    )


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None
