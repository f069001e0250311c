"""Messages as an order sees them, and the change of some of their recipients, in one transaction.

A change takes recipients out of the groups they wait in and gives them their fate: a final state, or a wait
in groups of their own. A recipient that was final has no group any more: its transport and the digest of
its bytes come from the attempts, so that bytes which were handed over once are never others later.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw

from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import FINAL_STATES, RecipientState
from postroom.model.message import MailClass, Message
from postroom.policy.matching import Traits
from postroom.spool.choosing import Fate, Seen
from postroom.spool.codec import decode_message, encode_message, instant
from postroom.spool.groups import EVENT_OF, PRIORITIES, members_of, members_text, standing_of
from postroom.spool.sqlite import rows as queue
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message as an order sees it; instants in microseconds."""

    seq: int
    id: MessageId
    traits: Traits
    route: str
    expires_at: int
    send_at: int
    """When it may be sent at the earliest; 0 when it may at once."""
    recipients: tuple[Seen, ...]
    has_content: bool


def load(db: apsw.Connection, seqs: Sequence[int]) -> list[Case]:
    """Return messages with their recipients, in order; rows that are gone are left out."""
    wanted = json.dumps(seqs)
    contents = {row[0] for row in db.execute(statement("case_contents"), (wanted,))}
    leased: set[tuple[int, int]] = set()
    rows: Any = db.execute(statement("case_leases"), (wanted,))
    for seq, members in rows:
        leased.update((seq, member) for member in members_of(members))
    recipients: dict[int, list[Seen]] = {}
    rows = db.execute(statement("case_recipients"), (wanted,))
    for seq, number, address, state in rows:
        seen = Seen(number, address, RecipientState(state), (seq, number) in leased)
        recipients.setdefault(seq, []).append(seen)
    rows = db.execute(statement("cases"), (wanted,))
    return [
        Case(
            seq=seq,
            id=MessageId(id_),
            traits=Traits(
                tenant=TenantId(tenant),
                mail_class=MailClass(mail_class),
                sender=sender,
                tags=tuple(json.loads(tags)) if tags else (),
                transport=transport,
                created_at=instant(created_at),
            ),
            route=route,
            expires_at=expires_at,
            send_at=send_at or 0,
            recipients=tuple(recipients.get(seq, ())),
            has_content=seq in contents,
        )
        for (
            seq,
            id_,
            tenant,
            mail_class,
            transport,
            route,
            sender,
            tags,
            created_at,
            expires_at,
            send_at,
        ) in rows
    ]


def change(ledger: Ledger, case: Case, numbers: Sequence[int], *, fate: Fate, now: int) -> None:
    """Give unleased recipients of a message their fate."""
    states = {seen.number: seen.state for seen in case.recipients}
    due_at = fate.due_at
    if due_at is not None and fate.keeps_schedule:
        due_at = max(due_at, case.send_at)
    if fate.renews and due_at is not None and case.expires_at <= due_at:
        lifetime = ledger.settings.lifetime_us(case.traits.mail_class)
        case = retime(ledger, case, expires_at=due_at + lifetime)
    waiting = _taken_out(ledger, case, frozenset(numbers))
    if not fate.is_final:
        over = [number for number in numbers if states[number] in FINAL_STATES]
        if over:
            _join(waiting, _restored(ledger, case, over))
        _wait(ledger, waiting, fate, due_at)
    if fate.cause is None:
        moves = [(fate.state, case.seq, number) for number in numbers]
        ledger.run_many(statement("move_only"), moves)
    else:
        caused = [(fate.state, fate.cause, case.seq, number) for number in numbers]
        ledger.run_many(statement("move_recipient"), caused)
    for number in numbers:
        ledger.recount(states[number], fate.state, 1)
    ledger.run(statement("touch_message"), (now, case.seq))
    ledger.note(
        fate.event,
        at=now,
        tenant=case.traits.tenant,
        seq=case.seq,
        members=members_text(numbers),
        transport=case.traits.transport,
        cause=fate.why,
        data=fate.data,
    )


Waiting = dict[Group, list[int]]
"""Rows to be, without their own number and members, and who waits in them."""


def _taken_out(ledger: Ledger, case: Case, numbers: frozenset[int]) -> Waiting:
    """Take recipients out of their groups; the others of a group go on as they were."""
    waiting: Waiting = {}
    for row in list(ledger.groups("groups_of_message", (case.seq,))):
        members = members_of(row.members)
        taken = [member for member in members if member in numbers]
        if not taken:
            continue
        if len(taken) == len(members):
            ledger.run(statement("delete_group"), (row.seq, row.grp))
        else:
            rest = [member for member in members if member not in numbers]
            ledger.run(statement("shrink_group"), (members_text(rest), row.seq, row.grp))
        _join(waiting, [(row._replace(grp=0, members="", expires_at=case.expires_at), taken)])
    return waiting


def _join(waiting: Waiting, found: Iterable[tuple[Group, Sequence[int]]]) -> None:
    for row, members in found:
        waiting.setdefault(row, []).extend(members)


def _restored(ledger: Ledger, case: Case, numbers: Sequence[int]) -> Iterable[tuple[Group, Sequence[int]]]:
    """Say how recipients wait that were final."""
    last: dict[int, tuple[str, str]] = {}
    rows: Any = ledger.run(statement("committed_attempts"), (case.seq,))
    for transport, members, digest in rows:
        last.update((member, (transport, digest)) for member in members_of(members))
    doubtful = {row[0] for row in ledger.run(statement("uncertain_before"), (case.seq,))}
    for number in numbers:
        transport, digest = last.get(number, (case.traits.transport, None))
        row = Group(
            seq=case.seq,
            grp=0,
            transport=transport,
            priority=PRIORITIES[case.traits.mail_class],
            state="",
            due_at=None,
            lease=None,
            members="",
            tries=0,
            crashes=0,
            digest=digest,
            maybe_duplicate=int(number in doubtful),
            expires_at=case.expires_at,
            tenant=case.traits.tenant,
            route=case.route,
            standing=0,
            hold=None,
        )
        yield row, (number,)


def _wait(ledger: Ledger, waiting: Waiting, fate: Fate, due_at: int | None) -> None:
    """Store the groups; what becomes queued begins its schedule anew."""
    joined: Waiting = {}
    for row, members in waiting.items():
        standing = standing_of(fate.state, crashes=row.crashes)
        new = row._replace(state=fate.state.value, due_at=due_at, hold=fate.hold, standing=standing)
        if fate.state is RecipientState.QUEUED:
            new = new._replace(tries=0)
        _join(joined, [(new, members)])
    for row, members in joined.items():
        queue.insert(ledger, row._replace(members=members_text(sorted(members))))


def retime(ledger: Ledger, case: Case, *, expires_at: int, send_at: int | None = None) -> Case:
    """Give a message new times, in its stored form too: that is what an attempt is told."""
    ledger.recent.take(case.seq)
    found: Any = ledger.run(statement("content"), (case.seq,)).fetchone()
    if found is not None and hashlib.sha256(found[0]).digest() == found[1]:
        message = replace(decode_message(found[0]), expires_at=instant(expires_at))
        body = encode_message(message if send_at is None else replace(message, send_at=instant(send_at)))
        ledger.run(statement("replace_content"), (hashlib.sha256(body).digest(), body, case.seq))
    ledger.run(statement("retime_message"), (expires_at, send_at, case.seq))
    ledger.run(statement("retime_groups"), (expires_at, case.seq))
    return replace(case, expires_at=expires_at)


def without_suppressed(ledger: Ledger, row: Group, message: Message, *, now: int) -> Group | None:
    """Take out of a due group whoever is suppressed by now; ``None`` when nobody is left.

    Uncertain recipients stay: their bytes were handed over, and what follows is their policy's affair.
    """
    members = members_of(row.members)
    orders = ledger.orders.stopped(message, members, now=instant(now))
    if not orders or row.state == RecipientState.UNCERTAIN:
        return row
    for order in orders:
        moves = [(order.state, order.cause, row.seq, member) for member in order.members]
        ledger.run_many(statement("move_recipient"), moves)
        ledger.recount(row.state, order.state, len(moves))
        ledger.note(
            EVENT_OF[order.state],
            at=now,
            tenant=row.tenant,
            seq=row.seq,
            members=members_text(order.members),
            transport=row.transport,
            cause=order.cause,
        )
    ledger.run(statement("touch_message"), (now, row.seq))
    gone = {member for order in orders for member in order.members}
    left = [member for member in members if member not in gone]
    if not left:
        ledger.run(statement("delete_group"), (row.seq, row.grp))
        return None
    text = members_text(left)
    ledger.run(statement("shrink_group"), (text, row.seq, row.grp))
    return row._replace(members=text)
