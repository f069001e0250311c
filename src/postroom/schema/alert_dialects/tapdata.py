"""TapData's webhook alarms: the default template, and customised ones that left members out. Pure.

An alarm is the metric of a task and node (TapData's own identity): the event is named by the metric, its
object is the task and its node the node. ``ING`` is firing, ``RECOVER`` and ``CLOESE`` (so TapData writes it)
are over; an alarm whose template has no status is an occurrence, because nobody would hear of its end. Every
member of ``actionData`` is a variable of the texts under its own name, and under the names that TapData's
mail templates use. A placeholder that TapData had no value for (``${...}``, ``null``, ``-``) is none.

What the header ``X-Event`` says is the name of the metric for alarms whose template has no ``metric``. A PING
is answered and is no event.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import TenantId
from postroom.schema.alert_parts import (
    MAX_KEY,
    details_of,
    instant_of,
    line_of,
    object_of,
    scalar_of,
    severity_of,
    text_of,
    values_of,
)
from postroom.schema.submission import MAX_YEAR, Problems

PINGS = frozenset({"ping", "webhook.ping"})
ALTERS = frozenset({"", "taskalter", "task.alter", "alter"})
"""Names of the one event that alarms come as; anything else in ``X-Event`` names the metric."""
_OVER = frozenset({"recover", "recovered", "recovery", "cloese", "close", "closed"})
_TIMES = ("lastOccurrenceTime", "firstOccurrenceTime")
_SAID = frozenset({"name", "node", "metric", "level", "status", "summary", "taskId", "nodeId"})
_VARIABLES = {
    "taskName": ("name",),
    "nodeName": ("node",),
    "errorLog": ("summary",),
    "errorTime": ("lastOccurrenceTime",),
    "occurredTime": ("lastOccurrenceTime",),
    "alarmDate": ("lastOccurrenceTime",),
    "costTime": ("currentValue",),
    "delayTime": ("currentValue",),
}
"""Names in the texts of TapData's mails, and the members of a webhook that hold the same."""


def is_ping(value: object, event: str) -> bool:
    """Say whether a request only asks whether somebody is there."""
    action = value.get("action") if isinstance(value, dict) else None
    return event.strip().lower() in PINGS or line_of(action).lower() in PINGS


def read(value: object, event: str, *, tenant: TenantId) -> list[NewAlertEvent]:
    """Read an alarm; nothing for a PING. ``event`` is the header ``X-Event``. Raises InputError."""
    if is_ping(value, event):
        return []
    problems = Problems()
    members = object_of(value, "", problems)
    given = members.get("actionData", members)
    data = {name: one for name, one in object_of(given, "actionData", problems).items() if not _is_empty(one)}
    named = "" if event.strip().lower() in ALTERS else event
    key = line_of(data.get("metric") or named, MAX_KEY)
    title, text = _kept(members.get("title")), _kept(members.get("content")) or data.get("summary")
    if not (key or title or text) and not problems.found:
        fix = "Keep metric, title or content in the template of the webhook."
        problems.add("missing-field", "actionData.metric", "nothing says what happened", fix)
    problems.raise_any()
    severity = severity_of(data.get("level"))
    return [
        NewAlertEvent(
            tenant=tenant,
            key=key or "tapdata",
            category=line_of(data.get("type")).lower(),
            severity=severity or Severity.WARNING,
            is_severity_said=severity is not None,
            source="tapdata",
            object=line_of(data.get("name") or data.get("taskId") or data.get("agentId")),
            node=line_of(data.get("node") or data.get("nodeId")),
            title=line_of(title),
            text=text_of(text),
            details=details_of(data, besides=_SAID),
            values=values_of(_variables(data)),
            state=_state(data),
            dedup=_identity(data, key),
            occurred_at=_occurred_at(data, members),
            door="tapdata",
        )
    ]


def _state(data: Mapping[str, Any]) -> AlertState | None:
    status = line_of(data.get("status")).lower()
    if not status:
        return None
    return AlertState.RESOLVED if status in _OVER else AlertState.FIRING


def _identity(data: Mapping[str, Any], key: str) -> str:
    """Return task, metric and node, by their ids where the template has them; ``""`` without a task."""
    task, node = data.get("taskId") or data.get("name"), data.get("nodeId") or data.get("node")
    return line_of(f"tapdata/{line_of(task, 150)}/{key}/{line_of(node, 150)}") if task and key else ""


def _variables(data: Mapping[str, Any]) -> dict[str, Any]:
    more = {name: data[one] for name, sources in _VARIABLES.items() for one in sources if one in data}
    return {**more, **data}


def _occurred_at(data: Mapping[str, Any], members: Mapping[str, Any]) -> datetime | None:
    """Return the last occurrence; TapData writes ISO 8601 with an offset or milliseconds since 1970."""
    for value in (*(data.get(name) for name in _TIMES), members.get("actionTime")):
        found = instant_of(value) or _milliseconds(value)
        if found is not None:
            return found
    return None


def _milliseconds(value: object) -> datetime | None:
    text = scalar_of(value)
    if text.isascii() and text.isdigit() and 12 <= len(text) <= 14:
        instant = datetime.fromtimestamp(int(text) / 1000, UTC)
        return instant if instant.year < MAX_YEAR else None
    return None


def _kept(value: object) -> object:
    return None if _is_empty(value) else value


def _is_empty(value: object) -> bool:
    return value is None or (
        isinstance(value, str) and (value.strip() in ("", "-", "null") or value.startswith("${"))
    )
