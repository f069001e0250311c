"""Claiming, for whoever has the connection: due groups, shared among their lanes, and their attempts.

A lease is row ``token`` of the queue while it carries the attempt's number; its due time is then the end of
the lease. A lease that has run out without a result is ended by the next claim that meets it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from postroom.model.attempt import Claimed, Lease
from postroom.model.ids import AttemptId, LeaseToken
from postroom.model.message import Message
from postroom.model.transport import TransportKind
from postroom.policy import fairness
from postroom.policy.fairness import CODE
from postroom.spool.codec import decode_message
from postroom.spool.groups import CONTENT_DAMAGED, SUSPECT_ALONE, Standing, members_of, members_text
from postroom.spool.sqlite import rows
from postroom.spool.sqlite.ending import free
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.operations_changes import without_suppressed
from postroom.spool.sqlite.statement import statement

_CLAIMABLE = statement("claimable")
_LANE_WAITS = statement("lane_waits")
_LEASED_SUSPECT = statement("leased_suspect")
_CONTENT = statement("content")
_LEASE_GROUP = statement("lease_group")
_INSERT_ATTEMPT = statement("insert_attempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish for work; instants in microseconds."""

    transport: str
    limit: int
    now: int
    lease_until: int
    max_recipients: int
    reserved: int = 0


def claim(ledger: Ledger, claims: Sequence[Claim]) -> Sequence[Sequence[Claimed]]:
    """Lease due groups."""
    return [_claim(ledger, want) for want in claims]


def _claim(ledger: Ledger, want: Claim) -> Sequence[Claimed]:
    found = _due(ledger, want)
    while lapsed := [row for row in found if row.lease is not None]:
        for row in lapsed:
            free(ledger, row, now=want.now, crashed=False)
        found = _due(ledger, want)
    claimed: list[Claimed] = []
    leases: list[tuple[int, int, str, int, int]] = []
    attempts: list[tuple[int, int, str, str, int]] = []
    for row in found:
        message = ledger.recent.take(row.seq) or stored_message(ledger, row.seq)
        if message is None:
            rows.hold(ledger, row, CONTENT_DAMAGED, now=want.now)
            continue
        if ledger.orders.has_suppressions:
            allowed = without_suppressed(ledger, row, message, now=want.now)
            if allowed is None:
                continue
            row = allowed  # noqa: PLW2901 - the same row, with fewer members
        members = members_of(row.members)
        text = row.members
        if len(members) > want.max_recipients:
            rows.insert(ledger, row._replace(members=members_text(members[want.max_recipients :])))
            members = members[: want.max_recipients]
            text = members_text(members)
        number = ledger.next_attempt()
        leases.append((number, want.lease_until, text, row.seq, row.grp))
        attempts.append((row.seq, number, row.transport, text, want.now))
        ledger.lease_counts(row.state, len(members))
        claimed.append(
            Claimed(
                lease=Lease(
                    message_id=message.id,
                    group=row.grp,
                    attempt=AttemptId(number),
                    token=LeaseToken(row.seq),
                ),
                message=message,
                recipients=members,
                tries=row.tries,
                digest=row.digest,
                maybe_duplicate=bool(row.maybe_duplicate),
                route=row.route,
                is_suspect=row.standing == Standing.SUSPECT,
            )
        )
    if claimed:
        ledger.run_many(_LEASE_GROUP, leases)
        ledger.run_many(_INSERT_ATTEMPT, attempts)
        ledger.note_sent(want.transport, want.now, len(claimed))
        if want.transport != TransportKind.CAPTURE and not ledger.has_sent_real_mail:
            ledger.note_real_mail()
    return claimed


def _due(ledger: Ledger, want: Claim) -> list[Group]:
    """Return what is to be leased, and at least every lease that ran out among it."""
    found: dict[fairness.Lane, list[Group]] = {}
    suspects: list[Group] = []
    only_codes = want.limit <= want.reserved
    for lane in ledger.lanes.of(want.transport):
        if only_codes and lane.priority != CODE:
            continue
        if lane.standing == Standing.SUSPECT:
            suspects += _of_lane(ledger, want, lane, limit=1)
        elif groups := _of_lane(ledger, want, lane, limit=want.limit):
            name = fairness.Lane(lane.tenant, lane.priority, lane.standing == Standing.RETRY)
            if name in found:
                found[name] = sorted(found[name] + groups, key=_order)[: want.limit]
            else:
                found[name] = groups
    first = _suspect(ledger, want, suspects) if suspects else []
    if first and first[0].lease is not None:
        return first
    if len(found) <= 1 and not want.reserved and not first:
        ledger.turns.pop(want.transport, None)
        return next(iter(found.values()), [])
    return first + _shared(ledger, want, found, taken=first)


def _of_lane(ledger: Ledger, want: Claim, lane: Lane, *, limit: int) -> list[Group]:
    place = (want.transport, *lane)
    found = ledger.run(_CLAIMABLE, (*place, want.now, want.now, limit)).fetchall()
    if not found and ledger.run(_LANE_WAITS, place).fetchone() is None:
        ledger.lanes.found_empty(want.transport, lane)
    return list(map(Group._make, found))


def _suspect(ledger: Ledger, want: Claim, suspects: list[Group]) -> list[Group]:
    """Return the one suspect that may be claimed, if any: one at a time in the whole store."""
    ordered = sorted(suspects, key=lambda row: (row.priority, *_order(row)))
    if lapsed := [row for row in ordered if row.lease is not None]:
        return lapsed[:1]
    if ledger.run(_LEASED_SUSPECT, (want.now, want.now - SUSPECT_ALONE)).fetchone() is not None:
        return []
    return ordered[:1]


def _shared(
    ledger: Ledger, want: Claim, found: dict[fairness.Lane, list[Group]], *, taken: list[Group]
) -> list[Group]:
    shares = fairness.share(
        {lane: len(groups) for lane, groups in found.items()},
        room=want.limit - len(taken),
        reserved=want.reserved,
        turns=ledger.turns.get(want.transport, {}),
    )
    if want.limit > want.reserved:  # else nobody but codes was looked for
        ledger.turns[want.transport] = shares.turns
    return [row for lane in sorted(found, key=_rank) for row in found[lane][: shares.taken.get(lane, 0)]]


def _order(row: Group) -> tuple[int, int, int]:
    return row.due_at or 0, row.seq, row.grp


def _rank(lane: fairness.Lane) -> tuple[int, bool, str]:
    return lane.priority, lane.is_retry, lane.tenant


def stored_message(ledger: Ledger, seq: int) -> Message | None:
    """Read a message back; ``None`` when it is not what was stored."""
    row = ledger.run(_CONTENT, (seq,)).fetchone()
    if row is None:
        return None
    body, sha256 = row
    if not isinstance(body, bytes) or hashlib.sha256(body).digest() != sha256:
        return None
    return decode_message(body)
