"""Attempts in memory that end, with a result or without, and groups that are held or finished."""

from datetime import timedelta

from postroom.errors import InvariantError
from postroom.model.attempt import Lease, Settlement, Stage
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.model.outcome import (
    Action,
    Evidence,
    Fault,
    FaultKind,
    OutcomeKind,
    RecipientResult,
    Verdict,
)
from postroom.model.step import Step
from postroom.spool import groups
from postroom.spool.codec import instant, micros
from postroom.spool.groups import EVENT_OF
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.memory.records import Group, Record

_MICRO = timedelta(microseconds=1)


def leased(ledger: MemoryLedger, lease: Lease) -> tuple[Record, Group] | None:
    """Return the group a lease holds, ``None`` when the lease is over."""
    record = ledger.records.get(lease.token)
    group = record.groups.get(lease.group) if record is not None else None
    if record is None or group is None or group.lease != lease.attempt:
        return None
    return record, group


def settle(ledger: MemoryLedger, settlement: Settlement) -> bool:
    """Record an attempt's results and move its recipients."""
    found = leased(ledger, settlement.lease)
    if found is None:
        return False
    record, group = found
    at = micros(settlement.settled_at)
    fate = groups.settled(group.members, group.state, settlement.moves, settled_at=at)
    if any(result.recipient not in group.members for result in settlement.results):
        raise InvariantError("a result names a recipient that is not of the lease")
    attempt = record.attempts[settlement.lease.attempt]
    digest = attempt.digest if attempt.stage is Stage.COMMITTING else group.digest
    attempt.stage, attempt.settled_at, attempt.results = Stage.SETTLED, at, settlement.results
    told: dict[tuple[RecipientState, str], list[int]] = {}
    for member, state, cause in fate.changes:
        record.move(member, state, cause)
        if (state, group.state) != (RecipientState.QUEUED, RecipientState.QUEUED):
            told.setdefault((state, cause), []).append(member)
    for (state, cause), members in told.items():
        note(ledger, record, group, state, now=at, cause=cause, members=tuple(members))
    if not settlement.is_begun:
        ledger.note_sent(group.transport, attempt.opened_at, -1)
    del record.groups[settlement.lease.group]
    if settlement.to and fate.waiting:
        record.transport = settlement.to
    for waiting in fate.waiting:
        record.groups[record.next_group()] = Group(
            transport=settlement.to or group.transport,
            route=group.route,
            state=waiting.state,
            due_at=waiting.due_at,
            members=waiting.members,
            tries=group.tries + settlement.counts,
            digest=digest,
            maybe_duplicate=group.maybe_duplicate or waiting.state is RecipientState.UNCERTAIN,
        )
    return True


def release(ledger: MemoryLedger, lease: Lease, *, due_at: int | None = None) -> None:
    """Give a lease back whose attempt never began; one that was committing becomes uncertain."""
    found = leased(ledger, lease)
    if found is None:
        return
    record, group = found
    attempt = record.attempts[lease.attempt]
    if attempt.stage is Stage.OPEN:
        del record.attempts[lease.attempt]
        ledger.note_sent(group.transport, attempt.opened_at, -1)
        group.lease, group.crashes = None, 0
        group.due_at = attempt.opened_at if due_at is None else due_at
    else:
        at = attempt.committing_at or attempt.opened_at
        free(ledger, record, lease.group, now=at, crashed=False)


def free(
    ledger: MemoryLedger,
    record: Record,
    number: int,
    *,
    now: int,
    crashed: bool,
    wait: timedelta | None = None,
) -> tuple[int, int]:
    """End a lease nobody will settle; return the attempts freed and the recipients now uncertain."""
    group = record.groups[number]
    attempt = record.attempts[group.lease or 0]
    group.crashes += crashed
    limit = ledger.settings.max_crashes
    is_poisonous = limit is not None and group.crashes >= limit
    record.changed_at = max(record.changed_at, now)
    group.lease = None
    was, attempt.stage, attempt.settled_at = attempt.stage, Stage.SETTLED, now
    if was is Stage.OPEN:
        group.due_at = now
        if is_poisonous:
            hold(ledger, record, group, groups.CRASH_LOOP, now=now)
        return 1, 0
    dot_at = now if attempt.committing_at is None else attempt.committing_at
    after_wait = dot_at + (wait or ledger.settings.uncertain_wait) // _MICRO
    due = {UncertainPolicy.RETRY: now, UncertainPolicy.WAIT: after_wait, UncertainPolicy.ASK: None}
    group.due_at = None if is_poisonous else due[record.message.uncertain_policy]
    group.state, group.digest = RecipientState.UNCERTAIN, attempt.digest
    group.tries, group.maybe_duplicate = group.tries + 1, True
    text = groups.PROCESS_ENDED if crashed else groups.LEASE_ENDED
    attempt.results = tuple(_lost(member, text, now) for member in group.members)
    cause = groups.CONNECTION_LOST_AFTER_BODY
    for member in group.members:
        record.move(member, RecipientState.UNCERTAIN, cause)
    note(ledger, record, group, RecipientState.UNCERTAIN, now=now, cause=cause)
    return 0, len(group.members)


def hold(ledger: MemoryLedger, record: Record, group: Group, cause: str, *, now: int) -> None:
    """Let an unleased group wait for a person; uncertain recipients stay uncertain."""
    if group.state is not RecipientState.UNCERTAIN:
        group.state = RecipientState.HELD
    group.due_at = None
    for member in group.members:
        record.move(member, group.state, cause)
    note(ledger, record, group, group.state, now=now, cause=cause)


def finish(ledger: MemoryLedger, record: Record, number: int, state: RecipientState, *, now: int) -> None:
    """End the wait of an unleased group; the cause of its last trouble stays."""
    group = record.groups.pop(number)
    for member in group.members:
        record.move(member, state)
    record.changed_at = max(record.changed_at, now)
    note(ledger, record, group, state, now=now)


def note(
    ledger: MemoryLedger,
    record: Record,
    group: Group,
    state: RecipientState,
    *,
    now: int,
    cause: str = "",
    members: tuple[int, ...] | None = None,
) -> None:
    """Append the event of a group, or of some of its members, that came into a state."""
    ledger.note(
        EVENT_OF[state],
        at=now,
        tenant=record.message.tenant,
        seq=record.seq,
        members=group.members if members is None else members,
        transport=group.transport,
        cause=cause,
    )


def _lost(member: int, text: str, at: int) -> RecipientResult:
    return RecipientResult(
        recipient=member,
        evidence=Evidence(step=Step.BODY_END, fault=Fault(kind=FaultKind.LOCAL, text=text)),
        verdict=Verdict(
            outcome=OutcomeKind.UNCERTAIN,
            action=Action.UNCERTAIN,
            cause=groups.CONNECTION_LOST_AFTER_BODY,
        ),
        duration_ms=0,
        at=instant(at),
    )
