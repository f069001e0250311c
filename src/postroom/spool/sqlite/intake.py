"""Storing messages, in the writer thread: one transaction for the whole batch.

A message with an idempotency key is stored together with the key (reliability rule H1); every blob it
names must be there in the same batch (A2).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw

from postroom.errors import InvariantError
from postroom.model.event import EventKind
from postroom.model.guest import StoredGuest
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Message
from postroom.ports import IdempotencyClaim, KeyReused, Replayed, Stored
from postroom.spool.codec import micros
from postroom.spool.groups import (
    EVENT_OF,
    PRIORITIES,
    Ordered,
    Standing,
    members_text,
    replay_or_reuse,
)
from postroom.spool.sqlite.guests import Failure, PutGuest
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.statement import statement

_EARLIER_USE = statement("earlier_use")
_REMEMBER_KEY = statement("remember_key")
_INSERT_MESSAGE = statement("insert_message")
_INSERT_CONTENT = statement("insert_content")
_INSERT_RECIPIENT = statement("insert_recipient")
_INSERT_REFERENCE = statement("insert_reference")
_MOVE_RECIPIENT = statement("move_recipient")
INSERT_GROUP = statement("insert_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One message to store."""

    message: Message
    body: bytes
    sha256: bytes
    transport: str
    route: str
    idempotency: IdempotencyClaim | None
    guest: StoredGuest | None = None


Verdict = Stored | Replayed | KeyReused | InvariantError | Failure
HasBlob = Callable[[TenantId, BlobRef], bool]


def accept(
    ledger: Ledger, intakes: Sequence[Intake], *, has_blob: HasBlob, put_guest: PutGuest
) -> Sequence[Verdict]:
    """Store messages; a missing blob fails only the message that names it, as does a guest that cannot be."""
    verdicts: list[Verdict] = []
    rows = _Rows()
    for intake in intakes:
        verdict: Verdict | None = None
        if intake.idempotency is not None:
            row = ledger.run(_EARLIER_USE, (intake.message.tenant, intake.idempotency.key)).fetchone()
            verdict = _earlier(row, intake.idempotency, micros(intake.message.created_at))
        if verdict is None:
            verdict = _missing_blob(intake.message, has_blob)
        if verdict is None and intake.guest is not None:
            verdict = put_guest(ledger, intake.guest)
        if verdict is None:
            rows.add(ledger, intake)
            verdict = Stored(message_id=intake.message.id)
        verdicts.append(verdict)
    rows.write(ledger)
    return verdicts


class _Rows:
    """Rows of a batch, by table, so that each statement runs over all of them."""

    __slots__ = ("contents", "groups", "messages", "moved", "recipients", "references")

    def __init__(self) -> None:
        self.messages: list[tuple[int | str | None, ...]] = []
        self.contents: list[tuple[int, bytes, bytes]] = []
        self.recipients: list[tuple[int, int, str]] = []
        self.moved: list[tuple[str, str, int, int]] = []
        self.references: list[tuple[str, str, int]] = []
        self.groups: list[tuple[int | str | None, ...]] = []

    def add(self, ledger: Ledger, intake: Intake) -> None:
        message = intake.message
        tenant, transport = message.tenant, intake.transport
        seq = ledger.next_seq()
        created_at = micros(message.created_at)
        send_at = created_at if message.send_at is message.created_at else micros(message.send_at)
        expires_at = micros(message.expires_at)
        recipients = message.envelope.recipients
        self.messages.append(_message_row(seq, intake, (created_at, send_at, expires_at)))
        self.contents.append((seq, intake.sha256, intake.body))
        for number, address in enumerate(recipients):
            self.recipients.append((seq, number, address.spec))
        for ref in message.content.blobs:
            self.references.append((ref.sha256, tenant, seq))
        if intake.idempotency is not None:
            # At once, not with the rest: a second use of the key may stand in the same batch.
            _remember(ledger, message, intake.idempotency)
        ledger.note(EventKind.MESSAGE_QUEUED, at=created_at, tenant=tenant, seq=seq, transport=transport)
        if message.reports is not None and message.reports.is_watched:
            ledger.note(
                EventKind.MESSAGE_REPORT_WISHED, at=created_at, tenant=tenant, seq=seq, transport=transport
            )
        members = "0" if len(recipients) == 1 else members_text(range(len(recipients)))
        count = len(recipients)
        if orders := ledger.orders.of(message, transport=transport):
            members, count = self._obey(ledger, intake, seq, orders)
        if count:
            self._wait(intake, seq, RecipientState.QUEUED, waiting=(0, send_at, members, expires_at))
            ledger.lanes.add(
                transport, Lane(intake.route, tenant, PRIORITIES[message.mail_class], Standing.FRESH)
            )
            ledger.count(RecipientState.QUEUED, count)
        if send_at <= created_at:  # what is scheduled waits on the disk alone
            ledger.recent.put(seq, message, len(intake.body))

    def _wait(
        self,
        intake: Intake,
        seq: int,
        state: RecipientState,
        *,
        waiting: tuple[int, int | None, str, int],
        hold: str | None = None,
    ) -> None:
        number, due_at, members, expires_at = waiting
        message = intake.message
        self.groups.append(
            (
                seq,
                number,
                intake.transport,
                PRIORITIES[message.mail_class],
                state,
                due_at,
                members,
                0,
                0,
                None,
                0,
                expires_at,
                message.tenant,
                intake.route,
                Standing.FRESH,
                hold,
            )
        )

    def _obey(self, ledger: Ledger, intake: Intake, seq: int, orders: Sequence[Ordered]) -> tuple[str, int]:
        """Store what standing orders name as they say; return the members that are left, and how many."""
        message = intake.message
        left = set(range(len(message.envelope.recipients)))
        at, expires_at = micros(message.created_at), micros(message.expires_at)
        for number, order in enumerate(orders, 1):
            left.difference_update(order.members)
            text = members_text(order.members)
            self.moved.extend((order.state, order.cause, seq, member) for member in order.members)
            if order.state is RecipientState.HELD:
                self._wait(
                    intake, seq, order.state, waiting=(number, None, text, expires_at), hold=order.hold
                )
            ledger.count(order.state, len(order.members))
            ledger.note(
                EVENT_OF[order.state],
                at=at,
                tenant=message.tenant,
                seq=seq,
                members=text,
                transport=intake.transport,
                cause=order.cause,
                data=order.data,
            )
        return members_text(sorted(left)) if left else "", len(left)

    def write(self, ledger: Ledger) -> None:
        ledger.run_many(_INSERT_MESSAGE, self.messages)
        ledger.run_many(_INSERT_CONTENT, self.contents)
        ledger.run_many(_INSERT_RECIPIENT, self.recipients)
        if self.groups:
            ledger.run_many(INSERT_GROUP, self.groups)
        if self.moved:
            ledger.run_many(_MOVE_RECIPIENT, self.moved)
        if self.references:
            ledger.run_many(_INSERT_REFERENCE, self.references)


def _message_row(seq: int, intake: Intake, times: tuple[int, int, int]) -> tuple[int | str | None, ...]:
    message = intake.message
    created_at, send_at, expires_at = times
    return (
        seq,
        message.id,
        message.tenant,
        message.door,
        message.mail_class,
        intake.transport,
        message.uncertain_policy,
        created_at,
        expires_at,
        message.content.from_.address.spec,
        message.content.subject,
        json.dumps(message.tags) if message.tags else None,
        json.dumps(dict(message.metadata)) if message.metadata else None,
        intake.route,
        send_at if send_at > created_at else None,
        None if (pin := message.template) is None else json.dumps((pin.name, pin.version, pin.locale)),
    )


def earlier_use(
    db: apsw.Connection, claim: IdempotencyClaim, tenant: TenantId, now: datetime
) -> Replayed | KeyReused | None:
    """Say what a second use of a key would be answered, ``None`` when it is new."""
    return _earlier(db.execute(_EARLIER_USE, (tenant, claim.key)).fetchone(), claim, micros(now))


def _earlier(row: Sequence[Any] | None, claim: IdempotencyClaim, now: int) -> Replayed | KeyReused | None:
    if row is None or int(str(row[2])) <= now:
        return None
    message_id, fields, _ = row
    before: dict[str, str] = json.loads(str(fields))
    return replay_or_reuse(MessageId(str(message_id)), before, claim)


def _remember(ledger: Ledger, message: Message, claim: IdempotencyClaim) -> None:
    fields = json.dumps(dict(claim.fields))
    ledger.run(_REMEMBER_KEY, (message.tenant, claim.key, message.id, fields, micros(claim.keep_until)))


def _missing_blob(message: Message, has_blob: HasBlob) -> InvariantError | None:
    for ref in message.content.blobs:
        if not has_blob(message.tenant, ref):
            return InvariantError(f"attachment {ref.sha256} was not committed to the blob store")
    return None
