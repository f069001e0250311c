"""Claiming in memory: groups that are due, shared among their lanes, and their attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from postroom.model.attempt import Claimed, Lease
from postroom.model.ids import AttemptId, LeaseToken
from postroom.model.transport import TransportKind
from postroom.policy import fairness
from postroom.policy.fairness import CODE
from postroom.spool.groups import PRIORITIES, SUSPECT_ALONE, Standing
from postroom.spool.memory.ending import free
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.memory.operations import without_suppressed
from postroom.spool.memory.records import Attempt, Group, Record

Due = tuple[Record, int, Group]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish for work; instants in microseconds."""

    transport: str
    limit: int
    now: int
    lease_until: int
    max_recipients: int
    reserved: int


def claim(ledger: MemoryLedger, want: Claim) -> Sequence[Claimed]:
    """Lease due groups and write their attempts."""
    due = _due(ledger, want)
    while lapsed := [(record, number) for record, number, group in due if group.lease is not None]:
        for record, number in lapsed:
            free(ledger, record, number, now=want.now, crashed=False)
        due = _due(ledger, want)
    due = [one for one in due if without_suppressed(ledger, one[0], one[1], now=want.now)]
    if due:
        ledger.note_sent(want.transport, want.now, len(due))
    return [_lease(ledger, record, number, want) for record, number, _ in due]


def _due(ledger: MemoryLedger, want: Claim) -> list[Due]:
    found: dict[fairness.Lane, list[Due]] = {}
    suspects: list[Due] = []
    only_codes = want.limit <= want.reserved
    for due in ledger.groups():
        record, _, group = due
        if group.transport != want.transport or group.due_at is None or group.due_at > want.now:
            continue
        priority = PRIORITIES[record.message.mail_class]
        if (only_codes and priority != CODE) or record.expires_at <= want.now:
            continue
        if group.standing is Standing.SUSPECT:
            suspects.append(due)
        else:
            is_retry = group.standing is Standing.RETRY
            found.setdefault(fairness.Lane(record.message.tenant, priority, is_retry), []).append(due)
    first = _suspect(ledger, want, suspects)
    if first and first[0][2].lease is not None:
        return first
    lanes = {lane: nsmallest(want.limit, group, key=_order) for lane, group in found.items()}
    shares = fairness.share(
        {lane: len(group) for lane, group in lanes.items()},
        room=want.limit - len(first),
        reserved=want.reserved,
        turns=ledger.turns.get(want.transport, {}),
    )
    if not only_codes:
        ledger.turns[want.transport] = shares.turns
    return first + [
        due for lane in sorted(lanes, key=_rank) for due in lanes[lane][: shares.taken.get(lane, 0)]
    ]


def _suspect(ledger: MemoryLedger, want: Claim, suspects: list[Due]) -> list[Due]:
    """Return the one suspect that may be claimed, if any: one at a time in the whole store."""
    if not suspects:
        return []
    firsts: dict[tuple[str | int, ...], Due] = {}
    for due in sorted(suspects, key=_order):
        firsts.setdefault((due[2].route, *lane_of(due[0], due[2])), due)
    ordered = sorted(firsts.values(), key=lambda due: (PRIORITIES[due[0].message.mail_class], *_order(due)))
    if lapsed := [due for due in ordered if due[2].lease is not None]:
        return lapsed[:1]
    if any(_is_alone(record, group, now=want.now) for record, _, group in ledger.groups()):
        return []
    return ordered[:1]


def _is_alone(record: Record, group: Group, *, now: int) -> bool:
    """Say whether a group is a suspect in work beside which no other may be."""
    return (
        group.standing is Standing.SUSPECT
        and group.lease is not None
        and (group.due_at or 0) > now
        and record.attempts[group.lease].opened_at > now - SUSPECT_ALONE
    )


def lane_of(record: Record, group: Group) -> tuple[str, int, int]:
    """Return the place of a group's lane among those of its transport and route."""
    return record.message.tenant, PRIORITIES[record.message.mail_class], group.standing


def _order(due: Due) -> tuple[int, int, int]:
    record, number, group = due
    return group.due_at or 0, record.seq, number


def _rank(lane: fairness.Lane) -> tuple[int, bool, str]:
    return lane.priority, lane.is_retry, lane.tenant


def _lease(ledger: MemoryLedger, record: Record, number: int, want: Claim) -> Claimed:
    group = record.groups[number]
    if len(group.members) > want.max_recipients:
        record.groups[record.next_group()] = replace(group, members=group.members[want.max_recipients :])
        group.members = group.members[: want.max_recipients]
    ledger.last_attempt += 1
    group.lease, group.due_at = ledger.last_attempt, want.lease_until
    record.attempts[group.lease] = Attempt(
        transport=group.transport, members=group.members, opened_at=want.now
    )
    ledger.has_sent_real_mail = ledger.has_sent_real_mail or group.transport != TransportKind.CAPTURE
    return Claimed(
        lease=Lease(
            message_id=record.message.id,
            group=number,
            attempt=AttemptId(group.lease),
            token=LeaseToken(record.seq),
        ),
        message=record.message,
        recipients=group.members,
        tries=group.tries,
        digest=group.digest,
        maybe_duplicate=group.maybe_duplicate,
        route=group.route,
        is_suspect=group.standing is Standing.SUSPECT,
    )
