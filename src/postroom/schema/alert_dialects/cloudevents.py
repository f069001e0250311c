"""CloudEvents 1.0: structured, batched and binary. Pure.

``type`` is the key, ``source`` the source, ``subject`` the object and ``time`` the instant of an event; its
id is no identity of an alert and stands in the details. ``data`` that is an object says the rest by the
names of our own body (severity, state, title, text, node, labels, values ...); what it has beyond these is
shown to people. Data that is text is the text. The severity extension is understood where ``data`` has none.

Sources: CloudEvents 1.0.2; its JSON format and HTTP protocol binding, sections 3.1.3.2 (percent-encoding) and
3.2; the extension "severity".
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from postroom.errors import InputError, Problem
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
    values_of,
)
from postroom.schema.json_text import read_json
from postroom.schema.submission import Problems

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_CORE = frozenset({"specversion", "type", "source", "subject", "id", "time", "datacontenttype", "dataschema"})
_SHOWN = ("id", "dataschema", "traceparent")
_OURS = frozenset(
    {"severity", "state", "title", "summary", "text", "message", "description", "node", "category", "object"}
    | {"labels", "details", "values", "dedup", "ends_at", "link", "acknowledged_by"}
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STATES = {
    "firing": AlertState.FIRING,
    "active": AlertState.FIRING,
    "open": AlertState.FIRING,
    "resolved": AlertState.RESOLVED,
    "ok": AlertState.RESOLVED,
    "closed": AlertState.RESOLVED,
}
_NUMBERS = ((21, Severity.CRITICAL), (17, Severity.ERROR), (13, Severity.WARNING))
"""From which ``severitynumber`` of OpenTelemetry on; below it is information."""


def read(
    kind: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, tenant: TenantId
) -> list[NewAlertEvent]:
    """Read a request of any of the three modes; ``kind`` is its media type.

    Raises MalformedError, TooLargeError, InputError with every problem.
    """
    problems = Problems()
    if kind == BATCH:
        items = items_of(read_json(body), "", problems)
        events = [_event(one, f"{number}.", problems, tenant) for number, one in enumerate(items)]
    elif kind == STRUCTURED:
        events = [_event(read_json(body), "", problems, tenant)]
    else:
        events = [_event(_binary(kind, headers, body, problems), "", problems, tenant)]
    problems.raise_any()
    return events


def is_binary(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Say whether the headers hold an event."""
    return any(name == b"ce-specversion" for name, _ in headers)


def _binary(
    kind: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, problems: Problems
) -> dict[str, Any]:
    """Return the event of a binary request in the form of a structured one."""
    event: dict[str, Any] = {}
    for name, value in headers:
        if not name.startswith(b"ce-"):
            continue
        attribute = name[3:].decode("latin-1")
        text = header_text(value)
        if text is None:
            problems.add("malformed-header", f"ce-{attribute}"[:100], "not UTF-8", "Percent-encode UTF-8.")
        elif attribute in event:
            problems.add("given-twice", f"ce-{attribute}"[:100], "stands twice", "Send it once.")
        event[attribute] = text or ""
    event.pop("data", None)
    if body and (kind in ("", "application/json") or kind.endswith("+json")):
        event["data"] = read_json(body)
    elif body and _is_text(kind):
        event["data"] = body.decode("utf-8", "replace")
    elif body:
        event["data"] = {"data": f"{len(body)} bytes of {kind}"}
    return event


def header_text(value: bytes) -> str | None:
    """Return what a header of an event says: quotes taken off, percent-decoded; ``None`` if not UTF-8."""
    try:
        text = _QUOTED.sub(lambda found: re.sub(r"\\(.)", r"\1", found[1]), value.decode("utf-8"))
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None


def _event(value: object, place: str, problems: Problems, tenant: TenantId) -> NewAlertEvent:
    members = object_of(value, place.rstrip("."), problems)
    for name in ("specversion", "type", "source", "id"):
        if value is members and not line_of(members.get(name)):
            problems.add("missing-field", f"{place}{name}", "missing or empty", "Send it as text.")
    if members.get("specversion") not in (None, "", "1.0"):
        problems.add("unknown-value", f"{place}specversion", "not 1.0", "Send events of CloudEvents 1.0.")
    data = _data(members, place, problems)
    said: Mapping[str, Any] = data if isinstance(data, dict) else {}
    severity = severity_of(said.get("severity")) or _severity(members)
    extensions = {name: one for name, one in members.items() if name not in _CORE and name[:4] != "data"}
    shown = {**{name: members.get(name) for name in _SHOWN}, **extensions}
    return NewAlertEvent(
        tenant=tenant,
        key=line_of(members.get("type"), MAX_KEY) or "cloudevents",
        category=line_of(said.get("category")),
        severity=severity or Severity.WARNING,
        is_severity_said=severity is not None,
        source=line_of(members.get("source")),
        object=line_of(members.get("subject") or said.get("object")),
        node=line_of(said.get("node")),
        title=line_of(said.get("title") or said.get("summary")),
        text=text_of(
            (said.get("text") or said.get("message") or said.get("description"))
            if isinstance(data, dict)
            else data
        ),
        labels=labels_of(said.get("labels"), f"{place}data.labels", problems),
        details=joined(details_of(said.get("details")), details_of(said, besides=_OURS), details_of(shown)),
        values=values_of(said.get("values")),
        state=_STATES.get(line_of(said.get("state")).lower()),
        dedup=line_of(said.get("dedup")),
        occurred_at=instant_of(members.get("time")),
        ends_at=instant_of(said.get("ends_at")),
        link=link_of(said.get("link"), members.get("source")),
        acknowledged_by=line_of(said.get("acknowledged_by")),
        door="cloudevents",
    )


def _data(members: Mapping[str, Any], place: str, problems: Problems) -> object:
    if "data_base64" not in members or members["data_base64"] is None:
        return members.get("data")
    if members.get("data") is not None:
        problems.add("given-twice", f"{place}data", "stands beside data_base64", "Send one of them.")
    try:
        raw = b64decode(str(members["data_base64"]), validate=True)
    except (Base64Error, ValueError):
        problems.add("base64-syntax", f"{place}data_base64", "not base64", "Encode it (RFC 4648 section 4).")
        return None
    kind = line_of(members.get("datacontenttype")).partition(";")[0].strip().lower()
    if kind in ("", "application/json") or kind.endswith("+json"):
        try:
            return read_json(raw)
        except InputError as error:
            problems.take([_inside(one, place) for one in error.problems])
            return None
    return raw.decode("utf-8", "replace") if _is_text(kind) else {"data": f"{len(raw)} bytes of {kind}"}


def _inside(problem: Problem, place: str) -> Problem:
    return Problem(
        code=problem.code,
        field=f"{place}data_base64",
        cause=problem.cause,
        fix="Send JSON, or its true type.",
    )


def _severity(members: Mapping[str, Any]) -> Severity | None:
    """Return what the extension says: its text, else its number."""
    if (found := severity_of(members.get("severitytext"))) is not None:
        return found
    text = line_of(members.get("severitynumber"), 5)
    if not (text.isascii() and text.isdigit()):
        return None
    return next((severity for least, severity in _NUMBERS if int(text) >= least), Severity.INFO)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind == "application/xml" or kind.endswith("+xml")
