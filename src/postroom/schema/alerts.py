"""The native body of ``POST /v1/alerts``: one event, a list of them, or ``{"alerts": [...]}``.

Strict: unknown names, other types and values out of bounds are refused, all of a request at once, each with
its place (``alerts.3.severity``), and nothing is stored unless everything is right. Control characters and
bidi overrides are refused in every line (title, key, object ...), NUL and lone surrogates everywhere.

The usual body is read by one call of the validator, bytes to models: at thousands of events a second the
strict JSON reader would cost as much again. It is asked when something is wrong, for the words. So of two
members with the same name the last one holds where the rest is right.
"""

import difflib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Union

from pydantic import Field, RootModel, StringConstraints, TypeAdapter, ValidationError

from postroom.grammar import SURROGATE
from postroom.model.address import AddressError, parse_mailbox
from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.schema.alert_parts import (
    MAX_EVENTS,
    MAX_KEY,
    MAX_LINE,
    MAX_LINK,
    MAX_NAME,
    MAX_PAIRS,
    MAX_SAID,
    MAX_TEXT,
    MAX_VALUE,
    SEVERITIES,
    is_link,
    severity_of,
    size_of,
)
from postroom.schema.bodies import Body
from postroom.schema.json_text import read_json
from postroom.schema.submission import Problems, read_instant

MAX_RECEIVERS = 100
"""Addresses that one event may name."""

_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
"""``grammar.CONTROL`` and ``grammar.BIDI_CONTROL``, for the validator's engine."""
_TEXT = r"^[^\x00]*$"

Line = Annotated[str, StringConstraints(max_length=MAX_LINE, pattern=_LINE)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_TEXT)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=_LINE)]
Value = Annotated[str, StringConstraints(max_length=MAX_VALUE, pattern=_TEXT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Labels = Annotated[dict[Name, Value], Field(max_length=MAX_PAIRS)]
_INSTANT: dict[str, Any] = {"format": "date-time"}


class AlertBody(Body):
    """One report. Without ``state`` it is an occurrence: told, and over."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY, pattern=_LINE)] = Field(
        description="What kind of thing happened: the name of a type."
    )
    category: Line = Field("", description="What it is about: task, connection, system ...")
    severity: Line | None = Field(
        None, description="emergency, critical, error, warning or info, or a usual word for one of them."
    )
    source: Line = Field("", description="Who reports.")
    object: Line = Field("", description="What the report is about: a task, a disk.")
    node: Line = Field("", description="Which part of the object.")
    title: Line = Field("", description="A line for people; empty: made of key and object.")
    text: Text = ""
    labels: Labels = Field(
        default_factory=dict, description="For matchers and grouping, and part of the identity."
    )
    details: Labels = Field(default_factory=dict, description="More for people; never part of the identity.")
    values: Annotated[dict[Name, Union[bool, int, Number, Value]], Field(max_length=MAX_PAIRS)] = Field(  # noqa: UP007 - `X | Y` is for classes, Number is none
        default_factory=dict, description="Measured values, and variables of the type's texts."
    )
    state: Line | None = Field(None, description="firing or resolved.")
    dedup: Line = Field("", description="An identity of your own, in place of the one made of the fields.")
    occurred_at: str | None = Field(None, description="Default: now.", json_schema_extra=_INSTANT)
    ends_at: str | None = Field(
        None, description="When it ends unless reported again.", json_schema_extra=_INSTANT
    )
    link: Annotated[str, StringConstraints(max_length=MAX_LINK)] = Field("", description="http or https.")
    receivers: list[str] = Field(
        default_factory=list, max_length=MAX_RECEIVERS, description="Addresses in place of the receiver's."
    )
    acknowledged_by: Line = Field("", description="Somebody works on it; changes nothing else.")


class AlertsBody(Body):
    """Many reports: all are stored, or none."""

    alerts: list[AlertBody] = Field(min_length=1, max_length=MAX_EVENTS)


class AlertReport(RootModel[AlertBody | list[AlertBody] | AlertsBody]):
    """One report, a list of them, or an object with a list in `alerts`."""


_many = AlertsBody.__pydantic_validator__
_list = TypeAdapter(Annotated[list[AlertBody], Field(min_length=1, max_length=MAX_EVENTS)]).validator
_one = AlertBody.__pydantic_validator__
_LIST = re.compile(rb"[ \t\r\n]*\[")
_ALERTS = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"alerts"[ \t\r\n]*:')
_STATES = {one.value: one for one in AlertState}


def read_alerts(body: bytes, *, tenant: TenantId) -> list[NewAlertEvent]:
    """Read a request. Raises MalformedError, TooLargeError, InputError with every problem."""
    problems = Problems()
    try:
        if _ALERTS.match(body):
            bodies = _many.validate_json(body).alerts
        elif _LIST.match(body):
            bodies = _list.validate_json(body)
        else:
            bodies = [_one.validate_json(body)]
    except ValidationError:
        _add_all(read_json(body), problems)
        problems.raise_any()
        raise
    events = [_event(one, problems, tenant) for one in bodies]
    if problems.found:
        fresh = Problems()
        _add_all(read_json(body), fresh)
        fresh.raise_any()
    return events


def _event(body: AlertBody, problems: Problems, tenant: TenantId) -> NewAlertEvent:
    """Return the event; what the shape cannot say is judged here."""
    severity = state = None
    if body.severity is not None and (severity := severity_of(body.severity)) is None:
        near = difflib.get_close_matches(body.severity.lower(), SEVERITIES, 1) or list(Severity)
        problems.add("unknown-value", "severity", "no known severity", f"Use {', '.join(near)}.")
    if body.state is not None and (state := _STATES.get(body.state)) is None:
        cause = "neither firing nor resolved"
        problems.add("unknown-value", "state", cause, "Use firing or resolved, or leave it out.")
    if len(body.labels) + len(body.details) + len(body.values) > MAX_SAID // (MAX_NAME + MAX_VALUE):
        size = size_of(body.labels) + size_of(body.details) + size_of(body.values)
        if size > MAX_SAID:
            cause = f"labels, details and values have {size} characters, at most {MAX_SAID} are allowed"
            problems.add("limit-exceeded", "details", cause, "Leave out what nobody reads in a mail.")
    if body.link and not is_link(body.link):
        problems.add("url-syntax", "link", "not an http or https URL", "Write it with https://.")
    return NewAlertEvent(
        tenant=tenant,
        key=body.key,
        category=body.category,
        severity=severity or Severity.WARNING,
        is_severity_said=severity is not None,
        source=body.source,
        object=body.object,
        node=body.node,
        title=body.title,
        text=body.text,
        labels=body.labels,
        details=body.details,
        values=body.values,
        state=state,
        dedup=body.dedup,
        occurred_at=_instant(body.occurred_at, "occurred_at", problems),
        ends_at=_instant(body.ends_at, "ends_at", problems),
        link=body.link,
        receivers=_addresses(body.receivers, problems) if body.receivers else (),
        acknowledged_by=body.acknowledged_by,
    )


def _instant(text: str | None, name: str, problems: Problems) -> datetime | None:
    return None if text is None else read_instant(text, name, problems)


def _addresses(texts: list[str], problems: Problems) -> tuple[str, ...]:
    found = []
    for number, text in enumerate(texts):
        try:
            found.append(parse_mailbox(text).address.spec)
        except AddressError as error:
            problems.add("address-invalid", f"receivers.{number}", error.cause, error.fix)
    return tuple(dict.fromkeys(found))


# --------------------------------------------------------------------------- what is wrong


def _add_all(value: object, problems: Problems) -> None:
    """Add everything that is wrong with a request, item by item."""
    if isinstance(value, dict) and "alerts" not in value:
        _add_wrong(value, "", problems)
        return
    items = value["alerts"] if isinstance(value, dict) else value
    if isinstance(value, dict):
        for name in value.keys() - {"alerts"}:
            cause = "there is no such field beside alerts"
            problems.add("unknown-field", name[:MAX_NAME], cause, "Move it into the alerts.")
    if not isinstance(items, list):
        fix = 'Send one alert, a list of them or {"alerts": [...]}.'
        problems.add("wrong-type", "alerts" if isinstance(value, dict) else "body", "not a list", fix)
    elif not 1 <= len(items) <= MAX_EVENTS:
        cause = f"{len(items)} alerts, 1 to {MAX_EVENTS} are allowed"
        problems.add("limit-exceeded", "alerts", cause, "Send several requests." if items else "Send one.")
    else:
        for number, item in enumerate(items):
            _add_wrong(item, f"alerts.{number}", problems)


def _add_wrong(value: object, place: str, problems: Problems) -> None:
    """Add what is wrong with one report: first its shape, then the values of the fields that are right."""
    found, wrong = Problems(), set()
    if isinstance(value, dict):
        if any(map(SURROGATE.search, value)):  # of such a name the validator cannot say which it is
            value = {name: one for name, one in value.items() if not SURROGATE.search(name)}
            found.add("control-character", "", "a name contains a lone surrogate", "Send valid Unicode.")
        try:
            AlertBody.model_validate(value)
        except ValidationError as error:
            wrong = set(_shape_problems(error, found))
        rest = {"key": "-", **{name: one for name, one in value.items() if name not in wrong}}
        _event(AlertBody.model_validate(rest), found, DEFAULT_TENANT)
    else:
        found.add("wrong-type", "", "not an object", "Send an object.")
    for one in found.found:
        field = f"{place}.{one.field}" if place and one.field else place or one.field
        problems.add(one.code, field, one.cause, one.fix)


def _shape_problems(error: ValidationError, problems: Problems) -> Iterator[str]:
    """Add each wrong shape once; give the names of the fields."""
    seen = set()
    for found in error.errors(include_url=False, include_context=True, include_input=False):
        kind, place = found["type"], found["loc"]
        name = str(place[0])
        yield name
        is_value = name == "values" and len(place) > 2
        if is_value and kind in _TRIED:
            if place[-1] != "constrained-str" or ("values", place[1]) in seen:
                continue
            kind = "value_type"
        member = str(place[1])[:MAX_NAME] if len(place) > 1 else ""
        field = f"{name}.{member}" if member and member.isprintable() else name
        seen.add(place[:2])
        code, cause, fix = _words(kind, name, found.get("ctx", {}))
        problems.add(code, field, cause, fix)


_TRIED = frozenset({"bool_type", "int_type", "float_type", "string_type"})
_WORDS = {
    "missing": ("missing-field", "missing", "Give it."),
    "string_pattern_mismatch": (
        "control-character",
        "contains NUL, or a line end, bidi override or another control character where a line is meant",
        "Remove it; nothing here is changed in silence.",
    ),
    "string_unicode": ("control-character", "contains a lone surrogate", "Send valid Unicode."),
    "finite_number": ("wrong-type", "not a finite number", "Send a number, or leave it out."),
    "value_type": ("wrong-type", "neither text, a number nor true or false", "Send one of these."),
    "string_type": ("wrong-type", "not text", "Send text."),
    "list_type": ("wrong-type", "not a list", "Send a list."),
    "dict_type": ("wrong-type", "not an object", "Send an object."),
    "string_too_short": ("empty", "empty", "Write something, or leave it out."),
}
_FIELDS = list(AlertBody.model_fields)


def _words(kind: str, name: str, context: dict[str, Any]) -> tuple[str, str, str]:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name[:MAX_NAME], _FIELDS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(_FIELDS)}."
        return "unknown-field", "there is no such field", hint
    if kind == "string_too_long":
        return "too-long", f"longer than {context['max_length']} characters", "Shorten it."
    if kind == "too_long":
        most = context["max_length"]
        return "limit-exceeded", f"more than {most} entries", f"Give at most {most}."
    return _WORDS.get(kind, ("wrong-type", "not a value of this field", "See /docs."))
