"""Query parameters of lists. Unknown names, names given twice and values out of bounds are refused."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from postroom.engine.alerting.forms import AlertFilter, WhyFilter
from postroom.model.alert import AlertEventFilter, AlertId, AlertState, Severity
from postroom.model.event import EventFilter, EventKind
from postroom.model.hook import DeliveryState
from postroom.model.ids import MessageId, TenantId, is_message_id
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.view import MessageFilter
from postroom.schema.operating import read_choice, read_pattern, read_phrase
from postroom.schema.submission import MAX_TAG, Problems, read_instant

Query = Sequence[tuple[str, str]]
"""Names and values as they stand in the query."""
MAX_PAGE = 200
"""Entries of one page (security limit)."""
DEFAULT_PAGE = 50
MAX_VALUE = 320
"""Characters of one value."""

_MESSAGES: Mapping[str, str] = {
    "state": "Messages with any recipient in this state.",
    "class": "Mail class.",
    "tag": "A tag.",
    "sender": "Sender's address.",
    "recipient": "A recipient's address.",
    "transport": "Name of the transport.",
    "since": "Accepted at or after this instant (ISO 8601 with offset).",
    "until": "Accepted before this instant.",
    "cursor": "`next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_CAPTURED: Mapping[str, str] = {
    "before": "Only mails with a smaller number: `next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_EVENTS: Mapping[str, str] = {
    "after": "Oldest first, only events with a larger number: `next` of the page before.",
    "before": "Newest first, only events with a smaller number: `next` of the page before.",
    "kinds": "Kinds of events, separated by commas.",
    "message": "Id of a message.",
    "transport": "Name of a transport.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_HOLDS: Mapping[str, str] = {"state": "`open` (default) or `ended`."}
_SUPPRESSIONS: Mapping[str, str] = {
    "after": "`next` of the page before.",
    "address": "Only entries of this address or @domain.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_REMOVAL: Mapping[str, str] = {
    "class": "The class of the entry; without it the entry for all mail is meant.",
    "note": "Why the address may be sent to again; needed, and kept in the event.",
}
_DELIVERIES: Mapping[str, str] = {
    "state": f"Only deliveries in this state: {', '.join(DeliveryState)}.",
    "before": "Only events with a smaller number: `next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_ALERTS: Mapping[str, str] = {
    "state": "`firing` (default), `resolved`, or `any` for both.",
    "key": "Name of a type.",
    "severity": "This one and worse ones.",
    "source": "Who reports.",
    "object": "What it is about.",
    "match": 'Matchers as in Alertmanager, with commas: `team="db",node=~"a.*"`.',
    "cursor": "`next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_WHY: Mapping[str, str] = {
    "event": "Only what this report led to.",
    "after": "Oldest first, only steps with a larger number: `next` of the page before.",
    "before": "Newest first, only steps with a smaller number: `next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}
_ALERT_EVENTS: Mapping[str, str] = {
    "key": "Name of a type.",
    "alert": "Id of an alert.",
    "before": "Only reports with a smaller number: `next` of the page before.",
    "limit": f"Entries of a page, 1 to {MAX_PAGE}.",
}


def _parameters(known: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in known.items()
    ]


MESSAGE_PARAMETERS = _parameters(_MESSAGES)
CAPTURED_PARAMETERS = _parameters(_CAPTURED)
EVENT_PARAMETERS = _parameters(_EVENTS)
MESSAGE_EVENT_PARAMETERS = [one for one in EVENT_PARAMETERS if one["name"] != "message"]
HOLD_PARAMETERS = _parameters(_HOLDS)
SUPPRESSION_PARAMETERS = _parameters(_SUPPRESSIONS)
REMOVAL_PARAMETERS = _parameters(_REMOVAL)
DELIVERY_PARAMETERS = _parameters(_DELIVERIES)
ALERT_PARAMETERS = _parameters(_ALERTS)
WHY_PARAMETERS = _parameters(_WHY)
ALERT_EVENT_PARAMETERS = _parameters(_ALERT_EVENTS)


def read_message_filter(query: Query, *, tenant: TenantId) -> MessageFilter:
    """Read the parameters of a list of messages. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _MESSAGES, problems)
    state, mail_class, cursor = given.get("state"), given.get("class"), given.get("cursor")
    if state is not None and state not in set(RecipientState):
        problems.add("unknown-value", "state", "no such state", f"Use one of {', '.join(RecipientState)}.")
        state = None
    if mail_class is not None and mail_class not in set(MailClass):
        problems.add("unknown-value", "class", "no such class", f"Use one of {', '.join(MailClass)}.")
        mail_class = None
    if cursor is not None and not is_message_id(cursor):
        problems.add("unknown-value", "cursor", "not a cursor of ours", "Use `next` of the page before.")
    wanted = MessageFilter(
        tenant=tenant,
        state=None if state is None else RecipientState(state),
        mail_class=None if mail_class is None else MailClass(mail_class),
        tag=given.get("tag"),
        sender=given.get("sender"),
        recipient=given.get("recipient"),
        transport=given.get("transport"),
        since=read_instant(given["since"], "since", problems) if "since" in given else None,
        until=read_instant(given["until"], "until", problems) if "until" in given else None,
        before=None if cursor is None else MessageId(cursor),
        limit=_number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE,
    )
    problems.raise_any()
    return wanted


def read_captured_page(query: Query) -> tuple[int | None, int]:
    """Read ``before`` and ``limit`` of a list of captured mails. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _CAPTURED, problems)
    before = _number(given.get("before"), "before", 2**53, problems)
    limit = _number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE
    problems.raise_any()
    return before, limit


def read_event_filter(query: Query, *, tenant: TenantId, message_id: MessageId | None = None) -> EventFilter:
    """Read the parameters of a list of events, of one message or of all. Raises InputError."""
    problems = Problems()
    known = _EVENTS if message_id is None else {name: _EVENTS[name] for name in _EVENTS if name != "message"}
    given = _read(query, known, problems)
    message = given.get("message")
    if message is not None and not is_message_id(message):
        problems.add("unknown-value", "message", "not an id of a message", "Use the id of a message.")
    if "after" in given and "before" in given:
        problems.add("given-twice", "before", "stands beside after", "Give one of them.")
    kinds = [text for text in given.get("kinds", "").split(",") if text]
    wanted = EventFilter(
        tenant=tenant,
        kinds=tuple(kind for text in kinds if (kind := read_choice(EventKind, text, "kinds", problems))),
        message_id=message_id if message is None else MessageId(message),
        transport=given.get("transport"),
        after=_number(given.get("after"), "after", 2**53, problems, least=0),
        before=_number(given.get("before"), "before", 2**53, problems),
        limit=_number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE,
    )
    problems.raise_any()
    return wanted


def read_hold_page(query: Query) -> bool:
    """Read which holds to list: whether the open ones. Raises InputError."""
    problems = Problems()
    state = _read(query, _HOLDS, problems).get("state", "open")
    if state not in ("open", "ended"):
        problems.add("unknown-value", "state", "neither open nor ended", "Use open or ended.")
    problems.raise_any()
    return state == "open"


def read_suppression_page(query: Query) -> tuple[str, str | None, int]:
    """Read ``after``, ``address`` and ``limit`` of the suppression list. Raises InputError."""
    problems = Problems()
    given = _read(query, _SUPPRESSIONS, problems)
    address = given.get("address")
    if address is not None:
        address = read_pattern(address, "address", problems)
    limit = _number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE
    problems.raise_any()
    return given.get("after", ""), address, limit


def read_removal(query: Query, address: str) -> tuple[str, MailClass | None, str]:
    """Read what is to leave the suppression list: address, class and the note. Raises InputError."""
    problems = Problems()
    given = _read(query, _REMOVAL, problems)
    text = given.get("class")
    mail_class = None if text is None else read_choice(MailClass, text, "class", problems)
    address = read_pattern(address, "address", problems)
    if "note" not in given:
        problems.add(
            "missing-field", "note", "missing", "Say why the address may be sent to again, in note=."
        )
    note = read_phrase(given.get("note", "-"), "note", problems)
    problems.raise_any()
    return address, mail_class, note


def read_delivery_page(query: Query) -> tuple[DeliveryState | None, int | None, int]:
    """Read ``state``, ``before`` and ``limit`` of a delivery log. Raises InputError."""
    problems = Problems()
    given = _read(query, _DELIVERIES, problems)
    text = given.get("state")
    state = None if text is None else read_choice(DeliveryState, text, "state", problems)
    before = _number(given.get("before"), "before", 2**53, problems)
    limit = _number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE
    problems.raise_any()
    return state, before, limit


def read_alert_filter(query: Query, *, tenant: TenantId) -> AlertFilter:
    """Read the parameters of a list of alerts. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _ALERTS, problems)
    state, severity = given.get("state", AlertState.FIRING.value), given.get("severity")
    wanted = AlertFilter(
        tenant=tenant,
        state=None if state == "any" else read_choice(AlertState, state, "state", problems),
        key=given.get("key"),
        severity=None if severity is None else read_choice(Severity, severity, "severity", problems),
        source=given.get("source"),
        object=given.get("object"),
        matchers=(given["match"],) if "match" in given else (),
        after=given.get("cursor"),
        limit=_number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE,
    )
    problems.raise_any()
    return wanted


def read_why_filter(query: Query, *, tenant: TenantId, language: str) -> WhyFilter:
    """Read which steps of an alert's story to tell. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _WHY, problems)
    if "after" in given and "before" in given:
        problems.add("given-twice", "before", "stands beside after", "Give one of them.")
    wanted = WhyFilter(
        tenant=tenant,
        event=_number(given.get("event"), "event", 2**53, problems),
        after=_number(given.get("after"), "after", 2**53, problems, least=0),
        before=_number(given.get("before"), "before", 2**53, problems),
        limit=_number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE,
        language=language,
    )
    problems.raise_any()
    return wanted


def read_alert_event_filter(query: Query, *, tenant: TenantId) -> AlertEventFilter:
    """Read the parameters of a list of reports. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _ALERT_EVENTS, problems)
    wanted = AlertEventFilter(
        tenant=tenant,
        key=given.get("key"),
        alert=None if (alert := given.get("alert")) is None else AlertId(alert),
        before=_number(given.get("before"), "before", 2**53, problems),
        limit=_number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE,
    )
    problems.raise_any()
    return wanted


def _read(query: Query, known: Mapping[str, str], problems: Problems) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in query:
        label = name[:MAX_TAG]
        if name not in known:
            near = difflib.get_close_matches(label, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
            problems.add("unknown-field", label, "there is no such parameter", hint)
        elif name in given:
            problems.add("given-twice", label, "stands twice in the query", "Give it once.")
        elif len(value) > MAX_VALUE or not value.isprintable():
            problems.add(
                "too-long", label, "longer than any value, or with control characters", "Shorten it."
            )
        else:
            given[name] = value
    return given


def _number(text: str | None, name: str, most: int, problems: Problems, *, least: int = 1) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 18 and least <= int(text) <= most:
        return int(text)
    problems.add("unknown-value", name, f"not a number from {least} to {most}", f"Use {least} to {most}.")
    return None
