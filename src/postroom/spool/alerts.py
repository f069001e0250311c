"""Alerts as stored: reports and letters as one JSON object each, decisions as columns.

Pure. In a report members that have their default are left out, and its number stands outside, in its row;
many are read as one JSON array. What a later program adds to a report or a letter must have a default.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from postroom.model.alert import (
    AlertDecision,
    AlertEvent,
    AlertId,
    Clause,
    GroupId,
    Letter,
    NewAlertEvent,
    StoredDecision,
    StoredLetter,
)
from postroom.model.ids import MessageId, TenantId
from postroom.spool.codec import instant, micros

_DEFAULTS = tuple(
    (member.name, {} if member.default_factory is dict else member.default)
    for member in fields(NewAlertEvent)
    if member.name not in {"severity", "state"}
)


def event_body(event: NewAlertEvent, arrived_at: str) -> str:
    """Return a report without its number; ``arrived_at``, in the form of ISO 8601, is its first member."""
    stored: dict[str, object] = {"arrived_at": arrived_at}
    for name, default in _DEFAULTS:
        value = getattr(event, name)
        if value != default:
            stored[name] = value
    # By their values: finding out that they are enumerations costs as much as all the rest.
    stored["severity"] = event.severity.value
    if event.state is not None:
        stored["state"] = event.state.value
    return to_json(stored).decode()


def events_of(array: str) -> list[AlertEvent]:
    """Return the reports of a JSON array, each with its ``number``, in their order."""
    return _events().validate_json(array)


@cache
def _events() -> TypeAdapter[list[AlertEvent]]:
    return TypeAdapter(list[AlertEvent])


def is_urgent(letter: Letter) -> bool:
    """Say whether a letter has urgent news."""
    return any(item.is_news and item.alert.severity.is_urgent for item in letter.items)


def letter_body(letter: Letter) -> str:
    """Return a letter."""
    return _letters().dump_json(letter).decode()


def letter_of(row: Sequence[Any]) -> StoredLetter:
    """Return the letter of a row: body, message and how it was sent."""
    body, message_id, sent_by = row
    return StoredLetter(
        letter=_letters().validate_json(body),
        message_id=None if message_id is None else MessageId(message_id),
        sent_by=sent_by,
    )


@cache
def _letters() -> TypeAdapter[Letter]:
    return TypeAdapter(Letter)


def decision_row(decision: AlertDecision) -> tuple[int | str | None, ...]:
    """Return a decision without its number."""
    return (
        micros(decision.at),
        decision.tenant,
        decision.alert,
        decision.clause.value,
        decision.event,
        decision.letter,
        decision.group,
        to_json(decision.data).decode() if decision.data else None,
    )


def decision_of(row: Sequence[Any]) -> StoredDecision:
    """Return the decision of a row."""
    number, at, tenant, alert, clause, event, letter, group, data = row
    return StoredDecision(
        number=number,
        at=instant(at),
        tenant=TenantId(tenant),
        alert=AlertId(alert),
        clause=Clause(clause),
        event=event,
        letter=letter,
        group=None if group is None else GroupId(group),
        data=from_json(data) if data else {},
    )
