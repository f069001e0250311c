"""TapData's settings: the account, who is told of which events, and who never gets mail. Pure.

Read are the answer of ``GET /api/Settings`` (a list of records with ``key``, ``value``, ``default_value``),
the keys alone as JSON or as ``.properties``, dotted or underscored, and an object that holds ``settings``,
``alarms`` (the list of ``GET /api/Settings/alarm_find``) and ``blacklist`` (addresses and regular
expressions) together. The notification settings are JSON text in the record ``notification``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from postroom.model.address import AddressError, parse_address
from postroom.policy.blocking import PREFIX
from postroom.policy.patterns import Pattern, PatternError
from postroom.schema.import_result import Imported, Left, account_of, text_of, wrong
from postroom.schema.mailbox_lists import split_mailboxes

_UNITS_S = {"ms": 0.001, "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_REASONS = {"emailhref": "the link in TapData's mails; alerts of Postroom have none yet"}
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}\Z")
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*+")|//[^\n]*')
_SEPARATOR = re.compile("[=:]")
"""Of a line of properties; whatever follows the first one is the value."""
_GROUPS = ("runNotification", "systemNotification", "agentNotification")
_DEFAULT_S = 300
"""TapData's interval of an alarm that says none."""


def import_tapdata(data: bytes, name: str) -> Imported:
    """Read a settings export. Raises ConfigError."""
    settings, alarms, blacklist = _sorted(_content(text_of(data, name), name), name)
    notification = settings.pop("notification", None)
    found = account_of(settings, form="TapData", name="tapdata", reasons=_REASONS)
    receivers = split_mailboxes(str(found.transport.get("receivers", "")))
    events = dict(_notified(notification, found.left)) | dict(_alarmed(alarms, found.left))
    if events:
        found.sections["alerts"] = {"receivers": receivers, "events": events}
        found.notes.append("[alerts] is checked and kept; nothing uses it yet")
    if receivers:
        found.transport["receivers"] = receivers
    if blocked := list(_blocked(blacklist, found.left)):
        found.sections["recipients"] = {"blocked": blocked}
    return found


def _content(text: str, name: str) -> Any:
    if text.lstrip().startswith(("{", "[", "//")):
        try:
            return json.loads(_COMMENT.sub(lambda match: match[1] or "", text))
        except (ValueError, RecursionError):  # its text may quote a secret
            raise wrong(
                "import-file", name, "not JSON", "Correct it; text stands in double quotes."
            ) from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        row = line.strip()
        if not row or row.startswith(("#", "!")):
            continue
        parts = _SEPARATOR.split(row, maxsplit=1)
        if len(parts) != 2:
            raise wrong("import-file", name, f"line {number} is not `key=value`", "Give TapData's settings.")
        found[parts[0].strip()] = parts[1].strip()
    return found


def _sorted(content: Any, name: str) -> tuple[dict[str, Any], Sequence[Any], Sequence[Any]]:
    """Return settings by key, alarm records and blocked recipients."""
    alarms: list[Any] = []
    blacklist: list[Any] = []
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]  # the envelope of TapData's API
    if isinstance(content, dict):
        parts = {key.lower().replace("_", ""): value for key, value in content.items()}
        alarms = parts.get("alarms") or parts.get("settingsalarm") or []
        blacklist = parts.get("blacklist") or []
        if isinstance(parts.get("settings"), list | dict):
            content = parts["settings"]
        else:
            content = {
                key: value
                for key, value in content.items()
                if key.lower().replace("_", "") not in {"alarms", "settingsalarm", "blacklist"}
            }
    if isinstance(content, dict):
        return _flat(content), alarms, blacklist
    if not isinstance(content, list) or not all(isinstance(one, dict) and "key" in one for one in content):
        raise wrong(
            "import-file", name, "holds no settings of TapData", "Give its list of settings, or keys."
        )
    alarms += [one for one in content if "notify" in one]
    records = [one for one in content if "notify" not in one]
    return {str(one["key"]): _value(one) for one in records}, alarms, blacklist


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Write nested tables with dots; the notification settings stay as they are."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and key != "notification":
            found |= _flat(value, f"{path}{key}.")
        else:
            found[path + key] = value
    return found


def _value(record: Mapping[str, Any]) -> Any:
    value = record.get("value")
    return record.get("default_value") if value is None else value


# --------------------------------------------------------------------------- events


def _notified(notification: Any, left: list[Left]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of the notification settings."""
    if notification is None:
        return
    if isinstance(notification, str):
        try:
            notification = json.loads(notification)
        except ValueError:
            left.append(Left("notification", "not JSON"))
            return
    groups = notification if isinstance(notification, Mapping) else {}
    for group in _GROUPS:
        for row in groups.get(group) or ():
            label = str(row.get("label", "")) if isinstance(row, Mapping) else ""
            if not _EVENT.match(label):
                left.append(Left(f"notification {group}", "a row without a label"))
                continue
            event: dict[str, Any] = {"mail": row.get("email") is True}
            every_s = _span(row.get("Interval"), row.get("util"))
            if every_s is None:
                every_s = _span(row.get("noticeIntervalInterval"), row.get("noticeIntervalUtil"))
            if every_s is not None:
                event["every"] = every_s
            if "lagTimeInterval" in row:
                left.append(Left(f"{label} lagTimeInterval", "a threshold: Postroom measures no tasks"))
            yield label, event
    left.append(Left("notification notice", "shown inside TapData; Postroom has no such place"))


def _alarmed(alarms: Sequence[Any], left: list[Left]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of the alarm settings."""
    for row in alarms:
        key = str(row.get("key", "")) if isinstance(row, Mapping) else ""
        if not _EVENT.match(key):
            left.append(Left("alarms", "a record without a key"))
            continue
        channels = row.get("notify") or ()
        every_s = _span(row.get("interval"), row.get("unit"))
        is_mailed = row.get("open") is not False and "EMAIL" in channels
        yield key, {"mail": is_mailed, "every": _DEFAULT_S if every_s is None else every_s}
        others = sorted({str(one) for one in channels} - {"EMAIL", "SYSTEM"})
        if others:
            left.append(Left(f"{key} notify", f"{', '.join(others)}: Postroom sends mail"))
        left += [
            Left(f"{key} {name}", "texts of alerts come with alerts")
            for name in ("emailAlarmTitle", "emailAlarmContent")
            if row.get(name)
        ]


def _span(count: Any, unit: Any) -> float | int | None:
    """Return seconds, ``None`` where nothing is said; a day is a day."""
    factor = _UNITS_S.get(str(unit or "second").lower())
    if factor is None or isinstance(count, bool) or not str(count).isdecimal():
        return None
    seconds = int(count) * factor
    return int(seconds) if seconds == int(seconds) else seconds


# --------------------------------------------------------------------------- who gets none


def _blocked(blacklist: Sequence[Any], left: list[Left]) -> Iterator[str]:
    for number, entry in enumerate(blacklist):
        text = str(entry).strip()
        try:
            yield parse_address(text).spec
            continue
        except AddressError:
            pass
        pattern = text.removeprefix(PREFIX)
        try:
            Pattern(pattern)
        except PatternError as error:
            left.append(
                Left(f"blacklist.{number}", f"neither an address nor a pattern that is taken: {error}")
            )
            continue
        yield PREFIX + pattern
