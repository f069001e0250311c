"""Holds, suppressions and new times, in the writer thread."""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.model.event import EventKind
from postroom.model.hold import Hold, HoldEnd, Suppression
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import OPEN_STATES
from postroom.model.message import MailClass
from postroom.model.selection import Changed
from postroom.policy.matching import folded
from postroom.spool.codec import instant, micros, micros_or_none
from postroom.spool.groups import members_of
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.operations_changes import load, retime
from postroom.spool.sqlite.operations_plans import CHUNK, Job, by_end_of_hold, carry_out_one
from postroom.spool.sqlite.orders import hold_of, open_holds
from postroom.spool.sqlite.statement import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfHold:
    """A hold ends; ``tenant`` is not given when it ends by itself."""

    hold_id: str
    tenant: TenantId | None
    now: int
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A suppression is removed."""

    tenant: TenantId
    address: str
    mail_class: MailClass | None
    note: str
    author: str
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retiming:
    """New times of a message; ``None`` leaves one as it is."""

    message_id: MessageId
    tenant: TenantId
    send_at: int | None
    expires_at: int | None
    now: int
    author: str


def add_hold(ledger: Ledger, holds: Sequence[Hold]) -> Sequence[None]:
    """Store standing holds."""
    for hold in holds:
        wanted = hold.filter
        ledger.run(
            statement("insert_hold"),
            (
                hold.id,
                hold.tenant,
                wanted.mail_class,
                wanted.tag,
                wanted.sender,
                wanted.recipient,
                wanted.transport,
                hold.reason,
                hold.author,
                micros(hold.created_at),
                micros_or_none(hold.until),
                hold.then,
                micros_or_none(hold.ended_at),
                hold.ended_by,
            ),
        )
    ledger.orders.forget_holds()
    return [None] * len(holds)


def end_hold(ledger: Ledger, ends: Sequence[EndOfHold]) -> Sequence[tuple[Changed, bool] | None]:
    """Give a chunk of what holds keep its fate; a hold has ended when nothing is left.

    Answers with what was changed and whether the hold has ended; ``None`` when there is no such open hold.
    """
    return [_end_hold(ledger, end) for end in ends]


def _end_hold(ledger: Ledger, end: EndOfHold) -> tuple[Changed, bool] | None:
    row = ledger.run(statement("one_hold"), (end.hold_id,)).fetchone()
    hold = None if row is None else hold_of(row)
    if hold is None or hold.ended_at is not None or end.tenant not in (None, hold.tenant):
        return None
    fate = HoldEnd.RELEASE if end.tenant is not None else hold.then
    seqs: dict[int, None] = {}
    recipients = 0
    for seq, members in ledger.run(statement("groups_of_hold"), (hold.id, CHUNK)):
        if recipients >= CHUNK:
            break
        seqs[int(str(seq))] = None
        recipients += len(members_of(str(members)))
    others = [other for other in open_holds(ledger.db) if other.id != hold.id]
    plan = by_end_of_hold(hold, fate, others=others, now=end.now, author=end.author)
    changed = carry_out_one(ledger, Job(seqs=list(seqs), plan=plan, now=end.now))
    if ledger.run(statement("groups_of_hold"), (hold.id, 1)).fetchone() is not None:
        return changed, False
    ledger.run(statement("end_hold"), (end.now, end.author, hold.id))
    ledger.orders.forget_holds()
    return changed, True


def suppress(ledger: Ledger, batches: Sequence[Sequence[Suppression]]) -> Sequence[None]:
    """Store suppressions; what waits is another step."""
    for batch in batches:
        ledger.orders.note_addresses(folded(one.address) for one in batch)
        for one in batch:
            address = folded(one.address)
            ledger.run(
                statement("store_suppression"),
                (
                    one.tenant,
                    address,
                    one.mail_class or "",
                    one.reason,
                    one.note,
                    one.author,
                    micros(one.created_at),
                    micros_or_none(one.until),
                    one.message_id,
                ),
            )
            data = {"address": address, "scope": one.mail_class or "all"}
            data |= {"author": one.author} if one.author else {}
            data |= {"note": one.note} if one.note else {}
            data |= {"until": one.until.isoformat()} if one.until is not None else {}
            ledger.note(
                EventKind.SUPPRESSION_ADDED,
                at=micros(one.created_at),
                tenant=one.tenant,
                seq=_seq(ledger, one.message_id, one.tenant),
                cause=one.reason,
                data=data,
            )
    return [None] * len(batches)


def _seq(ledger: Ledger, message_id: MessageId | None, tenant: TenantId) -> int | None:
    if message_id is None:
        return None
    row = ledger.run(statement("seq_of_message"), (message_id, tenant)).fetchone()
    return None if row is None else int(str(row[0]))


def unsuppress(ledger: Ledger, removals: Sequence[Removal]) -> Sequence[bool]:
    """Remove suppressions."""
    answers = []
    for one in removals:
        address = folded(one.address)
        ledger.run(statement("delete_suppression"), (one.tenant, address, one.mail_class or ""))
        is_gone = ledger.db.changes() == 1
        if is_gone:
            ledger.note(
                EventKind.SUPPRESSION_REMOVED,
                at=one.now,
                tenant=one.tenant,
                data={
                    "address": address,
                    "scope": one.mail_class or "all",
                    "author": one.author,
                    "note": one.note,
                },
            )
        answers.append(is_gone)
    return answers


def reschedule(ledger: Ledger, wishes: Sequence[Retiming]) -> Sequence[bool]:
    """Give messages new times that nothing has claimed yet."""
    return [_reschedule(ledger, wish) for wish in wishes]


def _reschedule(ledger: Ledger, wish: Retiming) -> bool:
    found = ledger.run(statement("seq_of_message"), (wish.message_id, wish.tenant)).fetchone()
    if found is None or ledger.run(statement("any_attempt"), (found[0],)).fetchone() is not None:
        return False
    (case,) = load(ledger.db, [int(str(found[0]))])
    if not any(seen.state in OPEN_STATES for seen in case.recipients):
        return False
    expires_at = case.expires_at if wish.expires_at is None else wish.expires_at
    if wish.send_at is not None and expires_at <= wish.send_at:
        expires_at = wish.send_at + ledger.settings.lifetime_us(case.traits.mail_class)
    retime(ledger, case, send_at=wish.send_at, expires_at=expires_at)
    data = {"author": wish.author, "expires_at": instant(expires_at).isoformat()}
    if wish.send_at is not None:
        ledger.run(statement("reschedule_groups"), (wish.send_at, case.seq))
        data["send_at"] = instant(wish.send_at).isoformat()
    ledger.run(statement("touch_message"), (wish.now, case.seq))
    ledger.note(
        EventKind.MESSAGE_RESCHEDULED,
        at=wish.now,
        tenant=case.traits.tenant,
        seq=case.seq,
        transport=case.traits.transport,
        data=data,
    )
    return True


def purge_orders(ledger: Ledger, *, now: int, before: int, limit: int) -> int:
    """Delete suppressions past their end and holds that ended before an instant; return how many went."""
    ledger.run(statement("delete_old_suppressions"), (now, limit))
    gone = ledger.db.changes()
    ledger.run(statement("delete_old_holds"), (before,))
    return gone + ledger.db.changes()
