"""What every dialect of alerts is read with: severities, lines, texts, labels, links, instants. Pure.

Senders of other dialects cannot be told to write differently, and an alert that is refused is lost. So their
texts are mended, visibly: what is too long ends with an ellipsis, control characters and bidi overrides in
lines become blanks. Labels are the identity: too many of them, or what is no text, is refused. Our own body
(``schema.alerts``) is taken as it is or refused.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from postroom.grammar import BIDI_CONTROL, CONTROL, SURROGATE
from postroom.model.alert import Severity
from postroom.schema.submission import MAX_YEAR, Problems

MAX_KEY = 200
"""Characters of the name of a type."""
MAX_LINE = 500
"""Characters of a source, an object, a node, a title, an identity."""
MAX_TEXT = 16 * 1024
"""Characters of the sentences for people."""
MAX_PAIRS = 64
"""Labels, details and values of one event (security limit); Prometheus' own alerts have below 20."""
MAX_NAME = 100
"""Characters of the name of a label."""
MAX_VALUE = 2000
"""Characters of the value of one."""
MAX_SAID = 64 * 1024
"""Characters of the labels, details and values of one event together (security limit): the book remembers
them of every alert, and two hundred events are looked at at a time."""
MAX_LINK = 2000
"""Characters: what every browser opens."""
FEW_PAIRS = 7
"""So many pairs are never too much together."""
MAX_EVENTS = 1000
"""Events of one request."""

_NAMES: Mapping[Severity, str] = {
    Severity.EMERGENCY: "emergency emerg panic disaster p0 sev0",
    Severity.CRITICAL: "critical crit fatal alert page p1 sev1 sev-1",
    Severity.ERROR: "error err high major severe average p2 sev2 sev-2",
    Severity.WARNING: "warning warn medium moderate p3 sev3 sev-3",
    Severity.INFO: "info information informational notice low minor normal ok none debug trace recovery "
    "p4 p5 sev4 sev5 sev-4 sev-5",
}
SEVERITIES: Mapping[str, Severity] = {
    name: severity for severity, names in _NAMES.items() for name in names.split()
}
"""What senders call them: syslog, Zabbix, TapData, logging, priorities, pagers. Any case."""

_LINK = re.compile(r'https?://[^/ "<>\\][^ "<>\\]*\Z', re.IGNORECASE)

T = TypeVar("T", bound=str | float)
Pairs = dict[str, str]
Values = dict[str, str | int | float | bool]


def severity_of(text: object) -> Severity | None:
    """Return the severity that a sender means, ``None`` for a word that is none."""
    if not isinstance(text, str):
        return None
    return SEVERITIES.get(text) or SEVERITIES.get(text.strip().lower())


def object_of(value: object, name: str, problems: Problems) -> Mapping[str, Any]:
    """Return a JSON object; an empty one, and a problem, for anything else."""
    if isinstance(value, dict):
        return value
    problems.add("wrong-type", name or "body", "must be an object", "Send an object.")
    return {}


def items_of(value: object, name: str, problems: Problems) -> list[Any]:
    """Return the entries of a JSON list of events; none, and a problem, for anything else."""
    if not isinstance(value, list):
        problems.add("wrong-type", name or "body", "must be a list", "Send a list.")
        return []
    if len(value) > MAX_EVENTS:
        cause = f"{len(value)} events, at most {MAX_EVENTS}"
        problems.add("limit-exceeded", name or "body", cause, "Send several requests.")
        return []
    return value


def line_of(value: object, most: int = MAX_LINE) -> str:
    """Return one line of what should be a short text; ``""`` for null, objects and lists."""
    text = scalar_of(value)
    if not text.isprintable():
        text = BIDI_CONTROL.sub(" ", CONTROL.sub(" ", text)).encode("utf-8", "replace").decode()
    return _shortened(" ".join(text.split()) if "  " in text else text.strip(), most)


def text_of(value: object, most: int = MAX_TEXT) -> str:
    """Return sentences with their line ends, without NUL and lone surrogates."""
    text = scalar_of(value)
    if not text.isprintable():
        text = SURROGATE.sub("\ufffd", text.replace("\0", "\ufffd"))
    return _shortened(text.strip(), most)


def scalar_of(value: object) -> str:
    """Return a text, number or truth value as text; ``""`` for anything else."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    return ""


def labels_of(value: object, name: str, problems: Problems) -> Pairs:
    """Return labels, the empty ones left out, because an empty label is an absent one."""
    members = {} if value is None else object_of(value, name, problems)
    if len(members) > MAX_PAIRS:
        cause = f"{len(members)} labels, at most {MAX_PAIRS}"
        problems.add("limit-exceeded", name, cause, "Leave labels out that tell nothing apart.")
        return {}
    labels: Pairs = {}
    for key, one in members.items():
        if not isinstance(one, str | int | float):
            if one is not None:
                problems.add("wrong-type", f"{name}.{key[:MAX_NAME]}", "must be text", "Send text.")
        elif text := text_of(one, MAX_VALUE):
            labels[line_of(key, MAX_NAME)] = text
    if len(labels) > FEW_PAIRS and size_of(labels) > MAX_SAID // 4:
        cause = f"{size_of(labels)} characters of labels, at most {MAX_SAID // 4}"
        problems.add("limit-exceeded", name, cause, "Put what tells nothing apart into the annotations.")
        return {}
    return labels


def details_of(value: object, *, besides: frozenset[str] = frozenset()) -> Pairs:
    """Return what people may want to read, as texts; what is no plain value is shown as JSON."""
    if not isinstance(value, dict):
        return {}
    found = {}
    for key, one in islice(value.items(), MAX_PAIRS * 2):
        shown = json.dumps(one, ensure_ascii=False) if isinstance(one, dict | list) else one
        if key not in besides and (text := text_of(shown, MAX_VALUE)):
            found[line_of(key, MAX_NAME) or "-"] = text
    return _cut(found)


def joined(*parts: Mapping[str, str]) -> Pairs:
    """Return details from several places: of one name the first, in all as many as are kept."""
    found: Pairs = {}
    for one in parts:
        found |= {key: text for key, text in one.items() if key not in found}
    return _cut(found)


def values_of(value: object) -> Values:
    """Return measured values and variables."""
    if not isinstance(value, dict):
        return {}
    found: Values = {}
    for key, one in islice(value.items(), MAX_PAIRS):
        if isinstance(one, bool | int | float):
            found[line_of(key, MAX_NAME)] = one
        elif isinstance(one, str) and one:
            found[line_of(key, MAX_NAME)] = text_of(one, MAX_VALUE)
    return _cut(found, MAX_SAID // 4)


def size_of(pairs: Mapping[str, str | float]) -> int:
    """Return the characters of names and texts."""
    return sum(
        [len(name) + len(value) if isinstance(value, str) else len(name) for name, value in pairs.items()]
    )


def link_of(*values: object) -> str:
    """Return the first that is an address of the web."""
    for value in values:
        if isinstance(value, str) and is_link(value):
            return value
    return ""


def is_link(text: str) -> bool:
    """Say whether a text is an http or https URL that can stand in a mail as it is."""
    return len(text) <= MAX_LINK and text.isprintable() and _LINK.match(text) is not None


def instant_of(value: object) -> datetime | None:
    """Return an instant with an offset; ``None`` for none, for year 1 (Go's way to say none) and rubbish."""
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is not None and 1 < instant.year < MAX_YEAR:
                return instant.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    return None


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _cut(pairs: Mapping[str, T], most: int = MAX_SAID // 2) -> dict[str, T]:
    """Return the first of them, as many as one event may have."""
    found = dict(islice(pairs.items(), MAX_PAIRS))
    while len(found) > FEW_PAIRS and size_of(found) > most:
        found.popitem()
    return found
