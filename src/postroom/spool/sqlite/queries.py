"""What the read side shows, from a connection that cannot write. Row types stay in this file.

A recipient is shown as sending while its group is under a lease; nothing stores that state.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from postroom.errors import StoreError
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Door, MailClass, Message
from postroom.model.view import (
    AttemptView,
    MessageFilter,
    MessageSummary,
    MessageView,
    QueueCounts,
    RecipientView,
)
from postroom.spool.codec import decode_message, instant, instant_or_none, micros, pin_of
from postroom.spool.groups import members_of
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.statement import statement

Waiting = Mapping[int, tuple[int | None, bool]]
"""Recipient number to (due time in microseconds, whether it is under a lease)."""


def next_due(db: apsw.Connection, transport: str, lanes: Iterable[Lane]) -> int | None:
    """Return when the next unleased group of a transport is due, in microseconds."""
    found = [
        int(str(row[0])) for lane in lanes for row in db.execute(statement("next_due"), (transport, *lane))
    ]
    return min(found, default=None)


def counts(db: apsw.Connection) -> QueueCounts:
    """Count recipients by state; states nobody is in are left out."""
    known = {state.value: state for state in RecipientState}
    by_state = {
        known[str(name)]: int(str(value))
        for name, value in db.execute(statement("tallies"))
        if name in known and value
    }
    oldest = db.execute(statement("oldest_open")).fetchone()
    return QueueCounts(
        by_state=by_state, oldest_open_at=None if oldest is None else instant(int(str(oldest[0])))
    )


def message(db: apsw.Connection, message_id: MessageId, tenant: TenantId) -> Message | None:
    """Return the stored message. Raises StoreError when its bytes are damaged."""
    row: tuple[Any, ...] | None = db.execute(statement("stored_body"), (message_id, tenant)).fetchone()
    if row is None:
        return None
    body, sha256 = row
    if hashlib.sha256(body).digest() != sha256:
        raise StoreError(f"the stored content of message {message_id} is damaged")
    return decode_message(body)


def view(db: apsw.Connection, message_id: MessageId, tenant: TenantId) -> MessageView | None:
    """Return one message with its recipients and attempts."""
    row: tuple[Any, ...] | None = db.execute(statement("message_row"), (message_id, tenant)).fetchone()
    if row is None:
        return None
    seq, id_, door, mail_class, transport, created_at, expires_at, sender, subject, *rest = row
    tags, metadata, route, pin = rest
    waiting = _waiting(db, seq)
    attempts = _attempts(db, seq)
    return MessageView(
        id=MessageId(id_),
        tenant=tenant,
        door=Door(door),
        mail_class=MailClass(mail_class),
        transport=transport,
        route=route,
        created_at=instant(created_at),
        expires_at=instant(expires_at),
        next_attempt_at=_next_attempt(waiting),
        sender=sender,
        subject=subject,
        tags=_tags(tags),
        metadata=json.loads(metadata) if metadata else {},
        template=pin_of(json.loads(pin)) if pin else None,
        recipients=tuple(
            _recipient(recipient, waiting, attempts)
            for recipient in db.execute(statement("recipients"), (seq,))
        ),
    )


def _recipient(
    row: tuple[Any, ...], waiting: Waiting, attempts: Mapping[int, list[AttemptView]]
) -> RecipientView:
    number, address, state, cause = row
    due_at, is_leased = waiting.get(number, (None, False))
    return RecipientView(
        number=number,
        address=address,
        state=RecipientState.SENDING if is_leased else RecipientState(state),
        cause=cause,
        due_at=instant_or_none(due_at),
        attempts=tuple(attempts.get(number, ())),
    )


def _waiting(db: apsw.Connection, seq: int) -> Waiting:
    found: dict[int, tuple[int | None, bool]] = {}
    rows: Any = db.execute(statement("waiting"), (seq,))
    for members, due_at, lease in rows:
        place = (None if lease is not None else due_at, lease is not None)
        found.update((member, place) for member in members_of(members))
    return found


def _next_attempt(waiting: Waiting) -> Any:
    return instant_or_none(min((due for due, _ in waiting.values() if due is not None), default=None))


def _attempts(db: apsw.Connection, seq: int) -> Mapping[int, list[AttemptView]]:
    found: dict[int, list[AttemptView]] = {}
    rows: Any = db.execute(statement("outcomes"), (seq,))
    for recipient, at, transport, step, code, enhanced, text, outcome, duration_ms, cause, host in rows:
        found.setdefault(recipient, []).append(
            AttemptView(
                at=instant(at),
                transport=transport,
                step=step,
                code=code,
                enhanced=enhanced,
                text=text,
                outcome=outcome,
                duration_ms=duration_ms,
                cause=cause,
                host=host,
            )
        )
    running: Any = db.execute(statement("running_attempts"), (seq,))
    for members, opened_at, committing_at, transport, stage in running:
        under_way = AttemptView(
            at=instant(committing_at or opened_at),
            transport=transport,
            step="",
            code=None,
            enhanced=None,
            text="",
            outcome=stage,
            duration_ms=0,
            cause="",
            host="",
        )
        for member in members_of(members):
            found.setdefault(member, []).append(under_way)
    return found


def _tags(stored: str | None) -> tuple[str, ...]:
    return tuple(json.loads(stored)) if stored else ()


# --------------------------------------------------------------------------- list

_ANY_RECIPIENT = "EXISTS (SELECT 1 FROM recipient WHERE recipient.seq = message.seq AND {condition})"
_WAITS = "seq IN (SELECT seq FROM queue WHERE {condition})"
_CONDITIONS = {
    "mail_class": "mail_class = :mail_class",
    "tag": "EXISTS (SELECT 1 FROM json_each(message.tags) WHERE value = :tag)",
    "sender": "lower(sender) = lower(:sender)",
    "recipient": _ANY_RECIPIENT.format(condition="lower(address) = lower(:recipient)"),
    "transport": "transport = :transport",
    "since": "created_at >= :since",
    "until": "created_at < :until",
    "before": "seq < (SELECT seq FROM message WHERE id = :before)",
}


def _state_condition(state: RecipientState) -> str:
    match state:
        case RecipientState.SENDING:
            return _WAITS.format(condition="lease IS NOT NULL")
        case RecipientState.QUEUED | RecipientState.DEFERRED | RecipientState.HELD | RecipientState.UNCERTAIN:
            return _WAITS.format(condition="state = :state AND lease IS NULL")
        case RecipientState.ACCEPTED | RecipientState.CAPTURED:
            return _ANY_RECIPIENT.format(condition="state = :state")
        case _:
            # Written out, so that the planner sees that the partial index holds these states.
            unusual = "state <> 'queued' AND state <> 'accepted' AND state <> 'captured'"
            return f"seq IN (SELECT seq FROM recipient WHERE state = :state AND {unusual})"  # noqa: S608 - constants


def list_messages(db: apsw.Connection, wanted: MessageFilter) -> Sequence[MessageSummary]:
    """Return one page, newest first."""
    bindings: dict[str, Any] = {"tenant": wanted.tenant, "limit": wanted.limit}
    conditions = []
    for name, condition in _CONDITIONS.items():
        value = getattr(wanted, name)
        if value is None:
            continue
        bindings[name] = micros(value) if name in {"since", "until"} else str(value)
        conditions.append(condition)
    if wanted.state is not None:
        conditions.append(_state_condition(wanted.state))
        bindings["state"] = wanted.state.value
    text = statement("listed").replace("{conditions}", "".join(f"AND {one} " for one in conditions))
    rows: Any = db.execute(text, bindings).fetchall()
    return [_summary(db, row) for row in rows]


def _summary(db: apsw.Connection, row: tuple[Any, ...]) -> MessageSummary:
    seq, id_, mail_class, transport, created_at, sender, subject, tags, route = row
    states: dict[RecipientState, int] = {
        RecipientState(str(state)): int(str(number))
        for state, number in db.execute(statement("listed_states"), (seq,))
    }
    next_at: int | None = None
    groups: Any = db.execute("SELECT state, members, due_at, lease FROM queue WHERE seq = ?", (seq,))
    for state, members, due_at, lease in groups:
        if lease is not None:
            number = len(members_of(members))
            states[RecipientState(state)] -= number
            states[RecipientState.SENDING] = states.get(RecipientState.SENDING, 0) + number
        elif due_at is not None:
            next_at = due_at if next_at is None else min(next_at, due_at)
    return MessageSummary(
        id=MessageId(id_),
        mail_class=MailClass(mail_class),
        transport=transport,
        route=route,
        created_at=instant(created_at),
        next_attempt_at=instant_or_none(next_at),
        sender=sender,
        subject=subject,
        tags=_tags(tags),
        counts={state: number for state, number in states.items() if number},
    )


def expired(db: apsw.Connection, now: int, limit: int) -> list[tuple[int, int]]:
    """Return the keys of groups that may be expired."""
    rows: Any = db.execute(statement("expired_groups"), (now, limit))
    return [(row[0], row[1]) for row in rows]


def has_sent_real_mail(db: apsw.Connection) -> bool:
    """Say whether an attempt over a real transport was ever recorded."""
    row = db.execute(statement("tally_value"), ("real_mail",)).fetchone()
    return row is not None and bool(row[0])


def unnamed_blobs(db: apsw.Connection, *, blobs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the blobs, by tenant and hash, that neither a message nor a captured mail names."""
    text = statement("names_blob")
    return [
        (tenant, sha256)
        for tenant, sha256 in blobs
        if (row := db.execute(text, (sha256, tenant)).fetchone()) is not None and not row[0]
    ]
