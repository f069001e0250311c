"""Query parameters of lists. Unknown names, names given twice and values out of bounds are refused."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from postroom.model.ids import MessageId, TenantId, is_message_id
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.view import MessageFilter
from postroom.schema.submission import MAX_TAG, Problems, read_instant

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


def _parameters(known: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in known.items()
    ]


MESSAGE_PARAMETERS = _parameters(_MESSAGES)
CAPTURED_PARAMETERS = _parameters(_CAPTURED)


def read_message_filter(query: Sequence[tuple[str, str]], *, tenant: TenantId) -> MessageFilter:
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


def read_captured_page(query: Sequence[tuple[str, str]]) -> tuple[int | None, int]:
    """Read ``before`` and ``limit`` of a list of captured mails. Raises InputError with every problem."""
    problems = Problems()
    given = _read(query, _CAPTURED, problems)
    before = _number(given.get("before"), "before", 2**53, problems)
    limit = _number(given.get("limit"), "limit", MAX_PAGE, problems) or DEFAULT_PAGE
    problems.raise_any()
    return before, limit


def _read(query: Sequence[tuple[str, str]], known: Mapping[str, str], problems: Problems) -> dict[str, str]:
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


def _number(text: str | None, name: str, most: int, problems: Problems) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 18 and 1 <= int(text) <= most:
        return int(text)
    problems.add("unknown-value", name, f"not a number from 1 to {most}", f"Use 1 to {most}.")
    return None
