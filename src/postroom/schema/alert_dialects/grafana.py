"""Grafana's webhook: unified alerting, and the form of the older dashboard alerts. Pure.

Unified alerts are Alertmanager's with more links and the measured values; ``title`` and ``message`` are about
the whole group and not read, because its alerts are told one by one. The older form is one rule, whose
identity is organisation and rule id; ``ok`` and ``paused`` are over; ``alerting``, ``pending`` and
``no_data`` are not.

Sources: Grafana, "Configure the webhook notifier for Alerting"; "Alert notifications" (legacy), Webhook.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import TenantId
from postroom.schema.alert_dialects.alertmanager import event_of, in_group
from postroom.schema.alert_parts import (
    MAX_KEY,
    MAX_PAIRS,
    Values,
    details_of,
    items_of,
    joined,
    labels_of,
    line_of,
    link_of,
    object_of,
    scalar_of,
    severity_of,
    text_of,
    values_of,
)
from postroom.schema.submission import Problems

_PAGES = ("panelURL", "dashboardURL", "generatorURL")
_SHOWN = (*_PAGES, "silenceURL", "imageURL", "valueString")
_OVER = frozenset({"ok", "paused", "resolved"})


def read(value: object, *, tenant: TenantId) -> list[NewAlertEvent]:
    """Read what the webhook posts. Raises InputError with every problem."""
    problems = Problems()
    members = object_of(value, "", problems)
    if "ruleName" in members or "ruleId" in members:
        events = [_legacy(members, problems, tenant)]
    else:
        items = items_of(members.get("alerts"), "alerts", problems)
        events = [
            _unified(one, f"alerts.{number}", members, problems, tenant=tenant)
            for number, one in enumerate(items)
        ]
    problems.raise_any()
    return events


def _unified(
    value: object, place: str, group: Mapping[str, Any], problems: Problems, *, tenant: TenantId
) -> NewAlertEvent:
    one: Mapping[str, Any] = value if isinstance(value, dict) else {}
    event = in_group(event_of(value, place, problems, tenant=tenant), one, group)
    link = link_of(*(one.get(name) for name in _PAGES), group.get("externalURL"))
    shown = details_of({name: text for name in _SHOWN if (text := one.get(name)) != link})
    return replace(
        event,
        source="grafana",
        door="grafana",
        details=joined(shown, event.details),
        values=values_of(one.get("values")),
        link=link,
    )


def _legacy(rule: Mapping[str, Any], problems: Problems, tenant: TenantId) -> NewAlertEvent:
    labels = labels_of(rule.get("tags"), "tags", problems)
    severity = severity_of(labels.get("severity"))
    number = scalar_of(rule.get("ruleId"))
    matches = rule.get("evalMatches")
    state = line_of(rule.get("state")).lower()
    return NewAlertEvent(
        tenant=tenant,
        key=line_of(rule.get("ruleName"), MAX_KEY) or "grafana",
        severity=severity or Severity.WARNING,
        is_severity_said=severity is not None,
        source="grafana",
        title=line_of(rule.get("title")),
        text=text_of(rule.get("message")),
        labels=labels,
        details=details_of({name: rule.get(name) for name in ("imageUrl", "state")}),
        values=_measured(matches if isinstance(matches, list) else []),
        state=AlertState.RESOLVED if state in _OVER else AlertState.FIRING,
        dedup=f"grafana/{line_of(rule.get('orgId'), 50)}/{line_of(number, 50)}" if number else "",
        link=link_of(rule.get("ruleUrl")),
        door="grafana",
    )


def _measured(matches: list[Any]) -> Values:
    found: dict[str, object] = {}
    for one in matches[:MAX_PAIRS]:
        if isinstance(one, dict):
            found[line_of(one.get("metric"), 100) or "value"] = one.get("value")
    return values_of(found)
