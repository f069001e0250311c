"""Answers to an operator: models for the OpenAPI document, and the functions that write them.

As in ``schema.answers`` the functions build plain dictionaries and a test validates each against its model.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from postroom.engine.desk import DryRun
from postroom.model.event import Event, EventKind
from postroom.model.hold import Hold, HoldEnd, Suppression, SuppressionReason
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.message import MailClass
from postroom.model.selection import Changed
from postroom.policy.wording import sentence
from postroom.schema.answers import Json, MessageAnswer, Mode, ProblemItem, Wording, instant


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangedAnswer(_Answer):
    """What a verb did: recipients and messages changed, and recipients it had to leave alone."""

    recipients: int
    messages: int
    left: int


class ChangedMessageAnswer(MessageAnswer):
    """The message afterwards, and what was changed."""

    changed: ChangedAnswer


class BulkAnswer(ChangedAnswer):
    """What would be changed, with the token to do it; or what was changed."""

    mode: Mode
    dry_run: bool
    token: str | None
    until: str | None
    token_ends_at: str | None


class EventAnswer(_Answer):
    """One event; ``text`` says in a sentence what happened."""

    number: int
    at: str
    kind: EventKind
    text: str
    message_id: str | None
    recipients: list[str]
    transport: str
    cause: str
    meaning: str
    remedy: str
    data: dict[str, str]


class EventListAnswer(_Answer):
    """One page; ``next`` is the cursor of the page after it, in the same direction."""

    mode: Mode
    events: list[EventAnswer]
    next: int | None


class HoldFilterAnswer(_Answer):
    """Whom a hold concerns."""

    mail_class: MailClass | None = Field(alias="class")
    tag: str | None
    sender: str | None
    recipient: str | None
    transport: str | None


class HoldAnswer(_Answer):
    """A standing hold."""

    id: str
    filter: HoldFilterAnswer
    reason: str
    author: str
    created_at: str
    until: str | None
    then: HoldEnd
    held: int
    ended_at: str | None
    ended_by: str


class NewHoldAnswer(HoldAnswer):
    """The hold that was made."""

    mode: Mode


class HoldListAnswer(_Answer):
    """Holds, newest first."""

    mode: Mode
    holds: list[HoldAnswer]


class EndedAnswer(ChangedAnswer):
    """What the end of a hold released."""

    mode: Mode


class SuppressionAnswer(_Answer):
    """An address that mail does not go to."""

    address: str
    reason: SuppressionReason
    mail_class: MailClass | None = Field(alias="class")
    note: str
    author: str
    created_at: str
    until: str | None
    message_id: str | None


class NewSuppressionAnswer(SuppressionAnswer):
    """The suppression that was stored."""

    mode: Mode


class SuppressionListAnswer(_Answer):
    """One page in order of address; ``next`` is the cursor of the page after it."""

    mode: Mode
    suppressions: list[SuppressionAnswer]
    next: str | None


class ImportProblem(ProblemItem):
    """What is wrong with a row; rows are counted from 1, the header is not counted."""

    row: int


class ImportAnswer(_Answer):
    """What became of the rows; those without a problem are stored."""

    mode: Mode
    rows: int
    stored: int
    refused: int
    problems: list[ImportProblem]


class HookAnswer(_Answer):
    """A webhook endpoint."""

    id: str
    url: str
    kinds: list[EventKind]
    created_at: str
    enabled: bool
    disabled_at: str | None
    disabled_why: str
    problem: str
    told_up_to: int
    old_secret_until: str | None


class OneHookAnswer(HookAnswer):
    """The endpoint as it is now."""

    mode: Mode


class NewHookAnswer(HookAnswer):
    """The endpoint with its secret, shown this once."""

    mode: Mode
    secret: str


class HookListAnswer(_Answer):
    """Every endpoint, oldest first."""

    mode: Mode
    webhooks: list[HookAnswer]


class DeliveryAnswer(_Answer):
    """One event on its way to one endpoint."""

    event: int
    state: DeliveryState
    tries: int
    created_at: str
    due_at: str | None
    last_at: str | None
    status: int | None
    text: str
    duration_ms: int


class DeliveryListAnswer(_Answer):
    """One page, newest event first; ``next`` is the cursor of the page after it."""

    mode: Mode
    deliveries: list[DeliveryAnswer]
    next: int | None


class ReplayAnswer(_Answer):
    """How many deliveries are due again."""

    mode: Mode
    deliveries: int


class HookTestAnswer(_Answer):
    """What the endpoint answered to a test."""

    mode: Mode
    delivered: bool
    status: int | None
    text: str
    duration_ms: int


def _or_null(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def changed(what: Changed) -> Json:
    """Write what a verb did."""
    return {"recipients": what.recipients, "messages": what.messages, "left": what.left}


def dry_run(run: DryRun, mode: str) -> Json:
    """Write what an order would change."""
    return {
        "mode": mode,
        "dry_run": True,
        **changed(run.changed),
        "token": run.token,
        "until": instant(run.until),
        "token_ends_at": instant(run.ends_at),
    }


def done(what: Changed, mode: str) -> Json:
    """Write what an order changed."""
    empty = dict.fromkeys(("token", "until", "token_ends_at"))
    return {"mode": mode, "dry_run": False, **changed(what), **empty}


def event(one: Event, words: Callable[[str], Wording]) -> Json:
    """Write one event."""
    wording = words(one.cause)
    return {
        "number": one.number,
        "at": instant(one.at),
        "kind": one.kind,
        "text": sentence(one),
        "message_id": one.message_id,
        "recipients": list(one.addresses),
        "transport": one.transport,
        "cause": one.cause,
        "meaning": wording.meaning,
        "remedy": wording.remedy,
        "data": dict(one.data),
    }


def events(page: Sequence[Event], mode: str, words: Callable[[str], Wording], *, limit: int) -> Json:
    """Write one page of events."""
    return {
        "mode": mode,
        "events": [event(one, words) for one in page],
        "next": page[-1].number if len(page) == limit else None,
    }


def hold(one: Hold) -> Json:
    """Write a hold."""
    wanted = asdict(one.filter)
    return {
        "id": one.id,
        "filter": {"class": wanted.pop("mail_class"), **wanted},
        "reason": one.reason,
        "author": one.author,
        "created_at": instant(one.created_at),
        "until": _or_null(one.until),
        "then": one.then,
        "held": one.held,
        "ended_at": _or_null(one.ended_at),
        "ended_by": one.ended_by,
    }


def suppression(one: Suppression) -> Json:
    """Write a suppression."""
    return {
        "address": one.address,
        "reason": one.reason,
        "class": one.mail_class,
        "note": one.note,
        "author": one.author,
        "created_at": instant(one.created_at),
        "until": _or_null(one.until),
        "message_id": one.message_id,
    }


def hook(one: Hook) -> Json:
    """Write an endpoint, never its secrets."""
    return {
        "id": one.id,
        "url": one.url,
        "kinds": list(one.kinds),
        "created_at": instant(one.created_at),
        "enabled": one.disabled_at is None,
        "disabled_at": _or_null(one.disabled_at),
        "disabled_why": one.disabled_why,
        "problem": one.problem,
        "told_up_to": one.told_up_to,
        "old_secret_until": _or_null(one.old_secrets_until),
    }


def delivery(one: Delivery) -> Json:
    """Write a delivery."""
    return {
        "event": one.event,
        "state": one.state,
        "tries": one.tries,
        "created_at": instant(one.created_at),
        "due_at": _or_null(one.due_at),
        "last_at": _or_null(one.last_at),
        "status": one.status,
        "text": one.text,
        "duration_ms": one.duration_ms,
    }
