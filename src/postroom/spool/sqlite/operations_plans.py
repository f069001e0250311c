"""What an order would change, message by message, and the carrying out of it in chunks.

A plan says for one message who gets which fate and how many are left. A reader walks the candidates page by
page in the order of their rows and plans them; the writer plans what was found once more, in the
transaction that changes it. A dry run is the first half alone.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import apsw

from postroom.model.hold import Hold, HoldEnd, Suppression
from postroom.model.lifecycle import RecipientState
from postroom.model.selection import Changed
from postroom.policy.matching import first_hold, selects_message, suppression_cause
from postroom.spool import choosing
from postroom.spool.choosing import MAY_BE_HELD, TAKES, Fate, Order, Seen
from postroom.spool.codec import instant
from postroom.spool.groups import CANCELLABLE, members_of
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.operations_changes import Case, change, load
from postroom.spool.sqlite.orders import suppression_of
from postroom.spool.sqlite.statement import statement

PAGE = 1000
"""Messages that a reader looks at in one go."""
CHUNK = 200
"""Recipients changed in one transaction, or those of one message when it has more: some twenty milliseconds
in which nothing else is written."""

S = RecipientState


class Planned(NamedTuple):
    """What becomes of one message."""

    changes: list[tuple[tuple[int, ...], Fate]]
    left: int

    @property
    def recipients(self) -> int:
        """How many are changed."""
        return sum(len(numbers) for numbers, _ in self.changes)


Plan = Callable[[apsw.Connection, Case], Planned]
_NOTHING = Planned([], 0)


def by_person(order: Order, fate: Fate, *, now: int) -> Plan:
    """Return the plan of a verb on a selection."""

    def plan(db: apsw.Connection, case: Case) -> Planned:
        if not selects_message(order.wanted, case.traits):
            return _NOTHING

        def is_suppressed(seen: Seen) -> bool:
            traits = case.traits
            return suppression_of(db, traits.tenant, traits.mail_class, seen.address, now=now) is not None

        taken, left = choosing.choose(
            order, case.recipients, has_content=case.has_content, is_suppressed=is_suppressed
        )
        return Planned([(taken, fate)] if taken else [], left)

    return plan


def by_hold(hold: Hold) -> Plan:
    """Return the plan of a new hold for what waits."""
    fate = choosing.held(hold)

    def plan(_: apsw.Connection, case: Case) -> Planned:
        meant = [
            seen
            for seen in case.recipients
            if seen.state in MAY_BE_HELD
            and first_hold((hold,), case.traits, seen.address, now=hold.created_at) is not None
        ]
        taken = tuple(seen.number for seen in meant if not seen.is_leased)
        return Planned([(taken, fate)] if taken else [], len(meant) - len(taken))

    return plan


def by_suppression(*, now: int) -> Plan:
    """Return the plan of suppressions for what waits."""

    def plan(db: apsw.Connection, case: Case) -> Planned:
        found: dict[str, list[int]] = {}
        for seen in case.recipients:
            if seen.state not in CANCELLABLE or seen.is_leased:
                continue
            traits = case.traits
            stop: Suppression | None = suppression_of(
                db, traits.tenant, traits.mail_class, seen.address, now=now
            )
            if stop is not None:
                found.setdefault(suppression_cause(stop.reason), []).append(seen.number)
        changes = [(tuple(numbers), choosing.suppressed(cause)) for cause, numbers in found.items()]
        return Planned(changes, 0)

    return plan


def by_end_of_hold(hold: Hold, end: HoldEnd, *, others: Sequence[Hold], now: int, author: str) -> Plan:
    """Return the plan for what a hold keeps: one of the others takes over what it concerns too."""
    free = choosing.released(now=now, author=author, hold=hold.id)

    def plan(db: apsw.Connection, case: Case) -> Planned:
        kept = {
            member
            for (members,) in db.execute(statement("kept_of_message"), (case.seq, hold.id))
            for member in members_of(str(members))
        }
        fates: dict[str, tuple[list[int], Fate]] = {}
        for seen in case.recipients:
            if seen.number not in kept:
                continue
            if end is HoldEnd.EXPIRE:
                key, fate = "", choosing.expired(hold.id)
            else:
                other = first_hold(others, case.traits, seen.address, now=instant(now))
                key, fate = ("", free) if other is None else (other.id, choosing.held(other))
            fates.setdefault(key, ([], fate))[0].append(seen.number)
        return Planned([(tuple(numbers), fate) for numbers, fate in fates.values()], 0)

    return plan


# --------------------------------------------------------------------------- reading


class Found(NamedTuple):
    """One page of a walk."""

    messages: list[tuple[int, int]]
    """Row and number of recipients to change."""
    left: int
    """Recipients that were meant and are left, of messages where nothing is to be changed."""
    left_beside: int
    """The same, of messages where something is to be changed."""
    after: int | None
    """Where the next page begins, ``None`` when there is none."""


def walk(db: apsw.Connection, *, order: Order, plan: Plan, after: int, end: int) -> Found:
    """Plan the next page of the messages that a selection may mean."""
    seqs = _candidates(db, order, after, end)
    return _planned(db, seqs, plan, seqs[-1] if len(seqs) == PAGE else None)


def walk_waiting(
    db: apsw.Connection, *, plan: Plan, after: int, end: int, addresses: str | None = None
) -> Found:
    """Plan the next page of what waits; only messages to these addresses (a JSON array) when given."""
    seqs = _waiting(db, after, end)
    rest = seqs[-1] if len(seqs) == PAGE else None
    if addresses is not None:
        seqs = [
            int(str(row[0])) for row in db.execute(statement("messages_to"), (json.dumps(seqs), addresses))
        ]
    return _planned(db, seqs, plan, rest)


def newest(db: apsw.Connection) -> int:
    """Return the row of the newest message: a walk ends there, whatever comes meanwhile."""
    row = db.execute(statement("newest_seq")).fetchone()
    return 0 if row is None else int(str(row[0]))


def _candidates(db: apsw.Connection, order: Order, after: int, end: int) -> list[int]:
    wanted = order.wanted
    if wanted.message_id is not None:
        found = db.execute(statement("seq_of_message"), (wanted.message_id, wanted.tenant)).fetchone()
        return [] if found is None else [int(str(found[0]))]
    states = TAKES[order.verb] if wanted.state is None else TAKES[order.verb] & {wanted.state}
    if S.QUEUED in states:
        return _waiting(db, after, end)
    seqs = {
        int(str(row[0]))
        for state in states
        for row in db.execute(statement("messages_in_state"), (state, after, end, PAGE))
    }
    return sorted(seqs)[:PAGE]


def _waiting(db: apsw.Connection, after: int, end: int) -> list[int]:
    return [int(str(row[0])) for row in db.execute(statement("waiting_messages"), (after, end, PAGE))]


def _planned(db: apsw.Connection, seqs: Sequence[int], plan: Plan, rest: int | None) -> Found:
    messages, left, left_beside = [], 0, 0
    for case in load(db, seqs):
        planned = plan(db, case)
        if planned.changes:
            messages.append((case.seq, planned.recipients))
            left_beside += planned.left
        else:
            left += planned.left
    return Found(messages, left, left_beside, rest)


def chunks(messages: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Cut what was found into transactions."""
    chunk: list[int] = []
    size = 0
    for seq, recipients in messages:
        if chunk and size + recipients > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(seq)
        size += recipients
    if chunk:
        yield chunk


# --------------------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Messages to change by a plan."""

    seqs: Sequence[int]
    plan: Plan
    now: int


def carry_out(ledger: Ledger, jobs: Sequence[Job]) -> Sequence[Changed]:
    """Change what the plans say now."""
    return [carry_out_one(ledger, job) for job in jobs]


def carry_out_one(ledger: Ledger, job: Job) -> Changed:
    """Change what a plan says now."""
    recipients = messages = left = 0
    for case in load(ledger.db, job.seqs):
        planned = job.plan(ledger.db, case)
        for numbers, fate in planned.changes:
            change(ledger, case, numbers, fate=fate, now=job.now)
        recipients += planned.recipients
        messages += bool(planned.changes)
        left += planned.left
    return Changed(recipients=recipients, messages=messages, left=left)
