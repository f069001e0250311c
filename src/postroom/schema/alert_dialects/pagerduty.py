"""PagerDuty's Events API v2: trigger, acknowledge and resolve. Pure.

``dedup_key`` is the identity; where a trigger has none it is made of what the payload says, so that the same
trigger is the same alert (PagerDuty makes a random one). The payload's ``class`` is the key of the event, its
``component`` the object and its ``group`` the category; the others are what they are called.
An acknowledge says that somebody works on it: the client, or "PagerDuty".

Source: PagerDuty, "Events API v2", Send an event.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import TenantId
from postroom.policy.alerting.identity import digest_of
from postroom.schema.alert_parts import (
    MAX_KEY,
    MAX_LINE,
    details_of,
    instant_of,
    joined,
    line_of,
    link_of,
    object_of,
    severity_of,
    values_of,
)
from postroom.schema.submission import Problems

MAX_DEDUP = 255
MAX_SUMMARY = 1024
"""Characters, PagerDuty's own bounds."""
MAX_BODY = 512 * 1024
"""Bytes, as there."""
KEYLESS = "pagerduty"
"""The key of an event without a class."""
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")


def routing_key_of(value: object) -> str:
    """Return the key a request brings in its body; ``""`` for none."""
    key = value.get("routing_key") if isinstance(value, dict) else None
    return key if isinstance(key, str) and key.isascii() and key.isprintable() else ""


def read(value: object, *, tenant: TenantId) -> NewAlertEvent:
    """Read an event. Raises InputError with every problem."""
    problems = Problems()
    members = object_of(value, "", problems)
    action = members.get("event_action")
    if action not in _ACTIONS:
        problems.add("unknown-value", "event_action", "no known action", f"Use {', '.join(_ACTIONS)}.")
    dedup = members.get("dedup_key") or ""
    if not isinstance(dedup, str) or len(dedup) > MAX_DEDUP:
        cause = f"not text of at most {MAX_DEDUP} characters"
        problems.add("too-long", "dedup_key", cause, "Shorten it.")
        dedup = ""
    elif not dedup and action in ("acknowledge", "resolve"):
        problems.add("missing-field", "dedup_key", "missing", "Send the one the trigger was answered with.")
    payload = members.get("payload")
    said = object_of({} if payload is None and action != "trigger" else payload, "payload", problems)
    if action == "trigger":
        _check(said, problems)
    problems.raise_any()
    severity = severity_of(said.get("severity"))
    summary = line_of(said.get("summary"), MAX_SUMMARY)
    return NewAlertEvent(
        tenant=tenant,
        key=line_of(said.get("class"), MAX_KEY) or KEYLESS,
        category=line_of(said.get("group")),
        severity=severity or Severity.WARNING,
        is_severity_said=severity is not None,
        source=line_of(said.get("source")),
        object=line_of(said.get("component")),
        title=line_of(summary),
        text=summary if len(summary) > MAX_LINE else "",
        details=_details(members, said),
        values=values_of(said.get("custom_details")),
        state=AlertState.RESOLVED if action == "resolve" else AlertState.FIRING,
        dedup=line_of(dedup) or _identity(said),
        occurred_at=instant_of(said.get("timestamp")),
        link=link_of(*_hrefs(members.get("links")), members.get("client_url")),
        acknowledged_by=(line_of(members.get("client")) or "PagerDuty") if action == "acknowledge" else "",
        door="pagerduty",
    )


def _check(payload: Mapping[str, Any], problems: Problems) -> None:
    for name in ("summary", "source"):
        if not line_of(payload.get(name)):
            problems.add("missing-field", f"payload.{name}", "missing or blank", f"Send {name} as text.")
    if severity_of(payload.get("severity")) is None:
        fix = f"Use {', '.join(_SEVERITIES)}."
        problems.add("unknown-value", "payload.severity", "missing, or no known severity", fix)


def _identity(payload: Mapping[str, Any]) -> str:
    names = ("source", "component", "group", "class", "summary")
    return digest_of("pagerduty", *(line_of(payload.get(name), MAX_SUMMARY) for name in names))


def _details(members: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the custom details, the client, every link, every image and where it leads, by their texts."""
    custom = payload.get("custom_details")
    client = {"client": members.get("client"), "client_url": members.get("client_url")}
    more = {}
    for kind, place, label in (("links", "href", "text"), ("images", "src", "alt")):
        for number, one in enumerate(_entries(members.get(kind)), 1):
            name = line_of(one.get(label), 80) or f"{kind} {number}"
            more[name] = one.get(place)
            more[f"{name} (link)"] = one.get("href") if kind == "images" else None
    said = details_of(custom if isinstance(custom, dict) else {"details": custom})
    return joined(said, details_of(client), details_of(more))


def _hrefs(value: object) -> list[object]:
    return [one.get("href") for one in _entries(value)]


def _entries(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value[:20] if isinstance(one, dict)] if isinstance(value, list) else []


def accepted(dedup_key: str) -> dict[str, Any]:
    """Return PagerDuty's answer to an event that was taken."""
    return {"status": "success", "message": "Event processed", "dedup_key": dedup_key}


def refused(causes: Sequence[str]) -> dict[str, Any]:
    """Return its answer to one that was not."""
    return {"status": "invalid event", "message": "Event object is invalid", "errors": list(causes)}
