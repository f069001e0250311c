"""What TapData mails, when and with which words: as types of alerts that differ from the ready set. Pure.

Read are the notification settings (``runNotification`` and the two beside it), the records of the alarm
settings and of their rules, and tasks with settings, rules and receivers of their own. TapData asks the
settings of the task and the global ones, and both must say yes; here the task's hold, as its pages promise.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from postroom.model.address import AddressError, parse_mailbox
from postroom.model.alert_rules import AlertType, SampleRule
from postroom.policy.alerting.filling import OWN, names_in
from postroom.schema.alert_fields import MAX_LIST
from postroom.schema.alert_fitting import ready_set
from postroom.schema.alert_rules import TypeSection
from postroom.schema.findings import found_problems
from postroom.schema.import_result import Left
from postroom.schema.mailbox_lists import mailbox_texts
from postroom.schema.quantities import parse_span
from postroom.schema.written import listed

SET = "tapdata"
VALUE = "sample"
"""The value that rules look at: raw measurements, which TapData's own alarms do not bring."""
_GROUPS = ("runNotification", "systemNotification", "agentNotification")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}\Z")
_SLIPS = {"TASK_FULL_COMPLETE": ("{completionTime}", "{completeTime}")}
_CLOCKS = {
    "group_by": ["key", "source", "object", "node"],
    "group_wait": 0,
    "group_interval": 0,
    "resolved": False,
}
"""What the route of the ready set says."""

Entry = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Given:
    """The parts of an export that are about alerts, as they were written."""

    notification: Any = None
    alarms: Sequence[Any] = ()
    rules: Sequence[Any] = ()
    tasks: Sequence[Any] = ()


@dataclass(slots=True)
class _Reading:
    left: list[Left]
    types: dict[str, Entry] = field(default_factory=dict)

    def entry(self, key: str) -> Entry:
        return self.types.setdefault(key, {"key": key})

    def object(self, key: str, task: str) -> Entry:
        objects = self.entry(key).setdefault("objects", [])
        found = next((one for one in objects if one["object"] == task), None)
        if found is None:
            objects.append(found := {"object": task})
        return found


def alert_section(given: Given, receivers: Sequence[str], left: list[Left]) -> Entry:
    """Return ``[alerts]``; empty when the export says nothing about alerts."""
    reading = _Reading(left)
    _take_notifications(given.notification, reading)
    for row in given.alarms:
        _take_alarm(row, reading)
    for row in given.rules:
        _take_rule(row, reading)
    own_receivers: list[Entry] = []
    routes: list[Entry] = []
    for task in given.tasks:
        if (addresses := _take_task(task, reading)) is not None:
            name = f"task {task['name']}"[:100]
            own_receivers.append({"name": name, "to": addresses})
            routes.append({"matchers": {"object": str(task["name"])}, "receiver": name, **_CLOCKS})
    if not (given.notification or given.alarms or given.rules or given.tasks):
        return {}
    default = [{"name": "default", "to": list(receivers)}] if receivers else []
    section: Entry = {"sets": [SET]}
    if receivers and not own_receivers:
        section["receivers"] = list(receivers)
    elif own_receivers:
        section |= {"receivers": default + own_receivers, "routes": routes}
    if types := [entry for entry in map(_differing, _good(reading)) if len(entry) > 1]:
        section["types"] = types
    return section


def _good(reading: _Reading) -> Iterator[Entry]:
    """Yield the entries without what would not be taken."""
    for key, entry in reading.types.items():
        try:
            TypeSection.model_validate(entry)
        except ValidationError as error:
            for path, problem in found_problems(error, TypeSection, lambda place: ".".join(map(str, place))):
                reading.left.append(Left(f"{key} {problem.field}", problem.cause))
                entry.pop(str(path[0]), None)
        yield entry


def _differing(entry: Entry) -> Entry:
    """Return what an entry says differently from the ready set."""
    base = ready_set(SET).types.get(entry["key"])
    if base is None:
        return entry
    said = _said(base)
    entry = {name: value for name, value in entry.items() if name not in said or said[name] != value}
    if "body" not in entry and "subject" not in entry:
        entry.pop("variables", None)
    return entry


def _said(base: AlertType) -> Entry:
    settings = base.settings
    return {
        "open": True,
        "mail": settings.mail,
        "every": settings.interval.total_seconds() if settings.interval is not None else None,
        "rule": None if settings.rule is None else _rule_text(settings.rule),
        "subject": base.subject,
        "body": base.body,
        "variables": list(base.variables),
    }


def _rule_text(rule: SampleRule) -> Entry:
    side = "above" if rule.is_above else "below"
    return {"value": rule.value, side: rule.threshold, "points": rule.points}


# --------------------------------------------------------------------------- notification settings


def _take_notifications(notification: Any, reading: _Reading) -> None:
    if notification is None:
        return
    if isinstance(notification, str):
        try:
            notification = json.loads(notification)
        except ValueError:
            reading.left.append(Left("notification", "not JSON"))
            return
    groups = notification if isinstance(notification, Mapping) else {}
    for group in _GROUPS:
        for row in _rows(groups.get(group)):
            label = str(row.get("label", "")) if isinstance(row, Mapping) else ""
            if not _KEY.match(label):
                reading.left.append(Left(f"notification {group}", "a row without a label"))
                continue
            entry = reading.entry(label)
            entry["mail"] = row.get("email") is True
            every_s = _span(row.get("Interval"), row.get("util"))
            if every_s is None:
                every_s = _span(row.get("noticeIntervalInterval"), row.get("noticeIntervalUtil"))
            if every_s is not None:
                entry["every"] = every_s
            lag_s = _span(row.get("lagTimeInterval"), row.get("lagTimeUtil"))
            if lag_s is not None:
                entry["rule"] = {"value": VALUE, "above": lag_s, "points": 1}
    reading.left.append(Left("notification notice", "shown inside TapData; Postroom has no such place"))


def _rows(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


# --------------------------------------------------------------------------- alarm settings


def _take_alarm(row: Any, reading: _Reading, *, task: str = "") -> None:
    """Take a record of the alarm settings, of one task where it is named."""
    key = str(row.get("key", "")) if isinstance(row, Mapping) else ""
    if not _KEY.match(key):
        reading.left.append(Left("alarms", "a record without a key"))
        return
    entry = reading.object(key, task) if task else reading.entry(key)
    channels = {str(one) for one in _rows(listed(row.get("notify")))}
    entry |= {"open": row.get("open") is not False, "mail": "EMAIL" in channels}
    every_s = _span(row.get("interval"), row.get("unit"))
    if every_s is not None:
        entry["every"] = every_s
    if others := sorted(channels - {"EMAIL", "SYSTEM"}):
        reading.left.append(Left(f"{task or key} notify", f"{', '.join(others)}: Postroom sends mail"))
    if not task:
        _take_texts(row, entry)


def _take_texts(row: Mapping[str, Any], entry: Entry) -> None:
    """Take subject and body with their variables, slips of TapData's own mended."""
    subject, body = str(row.get("emailAlarmTitle") or ""), str(row.get("emailAlarmContent") or "")
    if "】" in subject and "【" not in subject:
        subject = f"【{subject}"
    wrong, right = _SLIPS.get(entry["key"], ("", ""))
    body = body.replace(wrong, right) if wrong else body
    if subject:
        entry["subject"] = " ".join(subject.split())
    if body:
        entry["body"] = body
    rows = [one for one in _rows(row.get("variables")) if isinstance(one, Mapping)]
    declared = [str(one["name"]) for one in rows if one.get("name")]
    used = [name for name in names_in(subject + body) if name not in OWN]
    if declared or used:
        entry["variables"] = list(dict.fromkeys([*declared, *used]))[:MAX_LIST]


def _take_rule(row: Any, reading: _Reading, *, task: str = "") -> None:
    """Take a record of the alarm rules: points in a row at or beyond a threshold."""
    key = str(row.get("key", "")) if isinstance(row, Mapping) else ""
    if not _KEY.match(key):
        reading.left.append(Left("alarm rules", "a record without a key"))
        return
    threshold = next((one for name in ("ms", "value", "times") if (one := _number(row.get(name)))), None)
    if threshold is None:
        reading.left.append(Left(f"{key} rule", "no threshold"))
        return
    side = "below" if _number(row.get("equalsFlag")) == -1 else "above"
    points = int(_number(row.get("point")) or 1)
    entry = reading.object(key, task) if task else reading.entry(key)
    entry["rule"] = {"value": VALUE, side: threshold, "points": max(points, 1)}


# --------------------------------------------------------------------------- tasks


def _take_task(task: Any, reading: _Reading) -> list[str] | None:
    """Take what a task says for itself; return its receivers, ``None`` when it has none of its own."""
    name = str(task.get("name", "")).strip() if isinstance(task, Mapping) else ""
    if not name:
        reading.left.append(Left("tasks", "a task without a name"))
        return None
    task["name"] = name
    if "*" in name:
        reading.left.append(Left(f"task {name}", "a star in its name stands for any characters here"))
        return None
    nodes = task.get("dag", {}).get("nodes") if isinstance(task.get("dag"), Mapping) else ()
    for part in (task, *(one for one in _rows(nodes) if isinstance(one, Mapping))):
        for row in _rows(part.get("alarmSettings")):
            _take_alarm(row, reading, task=name)
        for row in _rows(part.get("alarmRules")):
            _take_rule(row, reading, task=name)
    given = mailbox_texts(task.get("emailReceivers"))
    addresses: list[str] = []
    for one in given if isinstance(given, list) else ():
        try:
            addresses.append(parse_mailbox(str(one)).address.spec)
        except AddressError as error:
            reading.left.append(Left(f"task {name} emailReceivers", error.cause))
    return addresses or None


def _number(value: Any) -> float | int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?", value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e15 < value < 1e15:
        return None
    return int(value) if value == int(value) else value


def _span(count: Any, unit: Any) -> float | int | None:
    """Return seconds, ``None`` where nothing is said; a day is a day."""
    if isinstance(count, bool) or not str(count).isdecimal():
        return None
    try:
        seconds = parse_span(f"{int(count)} {unit or 'SECOND'}").total_seconds()
    except ValueError:
        return None
    return int(seconds) if seconds == int(seconds) else seconds
