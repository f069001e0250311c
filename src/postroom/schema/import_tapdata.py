"""TapData's settings: the account, who is told of which events, and who never gets mail. Pure.

Read are the answer of ``GET /api/Settings`` (a list of records with ``key``, ``value``, ``default_value``),
the keys alone as JSON or as ``.properties``, dotted or underscored, and an object that holds ``settings``,
``alarms`` (the list of ``GET /api/Settings/alarm_find``), ``rules`` (those of the alarms), ``tasks`` (with
what they say for themselves) and ``blacklist`` (addresses and regular expressions) together. The notification
settings are JSON text in the record ``notification``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from postroom.model.address import AddressError, parse_address
from postroom.policy.blocking import PREFIX
from postroom.policy.patterns import Pattern, PatternError
from postroom.schema.import_result import Imported, Left, account_of, text_of, wrong
from postroom.schema.import_tapdata_alerts import Given, alert_section
from postroom.schema.mailbox_lists import split_mailboxes

_REASONS = {"emailhref": "the link in TapData's mails; here an event brings its own"}
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*+")|//[^\n]*')
_SEPARATOR = re.compile("[=:]")
"""Of a line of properties; whatever follows the first one is the value."""
_PARTS = {
    "alarms": ("alarms", "settingsalarm", "alarmsettings"),
    "rules": ("rules", "settingsalarmrule", "alarmrules"),
    "tasks": ("tasks",),
    "blacklist": ("blacklist",),
}
"""Beside the settings, with the names they may have, folded."""


def import_tapdata(data: bytes, name: str) -> Imported:
    """Read a settings export. Raises ConfigError."""
    settings, parts = _sorted(_content(text_of(data, name), name), name)
    notification = settings.pop("notification", None)
    found = account_of(settings, form="TapData", name="tapdata", reasons=_REASONS)
    receivers = split_mailboxes(str(found.transport.get("receivers", "")))
    given = Given(
        notification=notification, alarms=parts["alarms"], rules=parts["rules"], tasks=parts["tasks"]
    )
    if alerts := alert_section(given, receivers, found.left):
        found.sections["alerts"] = alerts
        found.notes.append("types that are as in the ready set tapdata are not repeated here")
    if receivers:
        found.transport["receivers"] = receivers
    if blocked := list(_blocked(parts["blacklist"], found.left)):
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


def _sorted(content: Any, name: str) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return settings by key, and what stands beside them, each a list."""
    parts: dict[str, list[Any]] = {part: [] for part in _PARTS}
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]  # the envelope of TapData's API
    if isinstance(content, dict):
        by_name = {key.lower().replace("_", ""): key for key in content}
        taken = {by_name[one]: part for part, names in _PARTS.items() for one in names if one in by_name}
        for key, part in taken.items():
            parts[part] += content[key] if isinstance(content[key], list) else []
        settings = content.get(by_name.get("settings", ""))
        if isinstance(settings, list | dict):
            content = settings
        else:
            content = {key: value for key, value in content.items() if key not in taken}
    if isinstance(content, dict):
        return _flat(content), parts
    if not isinstance(content, list) or not all(isinstance(one, dict) and "key" in one for one in content):
        raise wrong(
            "import-file", name, "holds no settings of TapData", "Give its list of settings, or keys."
        )
    parts["alarms"] += [one for one in content if "notify" in one]
    parts["rules"] += [one for one in content if "equalsFlag" in one]
    records = [one for one in content if not {"notify", "equalsFlag"} & set(one)]
    return {str(one["key"]): _value(one) for one in records}, parts


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
