"""Attempts without a result, for whoever has the connection: given back, lapsed, or cut off by a death.

An open attempt leaves its group due; one that had reached the final dot makes its recipients uncertain, by
the policy of the message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from postroom.errors import InvariantError
from postroom.model.attempt import Lease, Stage
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.model.outcome import Action, OutcomeKind
from postroom.model.step import Step
from postroom.spool import groups
from postroom.spool.groups import members_of, standing_of
from postroom.spool.sqlite import rows
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

_LEASED_GROUP = statement("leased_group")
_ATTEMPT_STAGE = statement("attempt_stage")
_SETTLE_ATTEMPT = statement("settle_attempt")
_DELETE_ATTEMPT = statement("delete_attempt")
_INSERT_OUTCOME = statement("insert_outcome")
_MOVE_RECIPIENT = statement("move_recipient")
_UNCERTAIN_POLICY = statement("uncertain_policy")
_TOUCH_MESSAGE = statement("touch_message")


def leased(ledger: Ledger, lease: Lease) -> Group | None:
    """Return the group a lease holds, ``None`` when the lease is over."""
    row = ledger.run(_LEASED_GROUP, (lease.token, lease.group, lease.attempt)).fetchone()
    return None if row is None else Group._make(row)


def attempt_stage(ledger: Ledger, seq: int, number: int) -> tuple[str, int, int | None, str | None]:
    """Return the stage of an attempt, when it was opened and committing, and its digest."""
    row = ledger.run(_ATTEMPT_STAGE, (seq, number)).fetchone()
    if row is None:
        raise InvariantError(f"attempt {number} of a lease is not stored")
    stage, opened_at, committing_at, digest = row
    return str(stage), int(str(opened_at)), committing_at, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Leases to be given back."""

    leases: tuple[Lease, ...]
    due_at: int | None = None
    """When their groups are due; ``None``: at once."""


def release(ledger: Ledger, releases: Sequence[Release]) -> Sequence[None]:
    """Give groups back whose attempt never began."""
    for wish in releases:
        for lease in wish.leases:
            if (row := leased(ledger, lease)) is not None:
                put_back(ledger, row, lease, due_at=wish.due_at)
    return [None] * len(releases)


def put_back(ledger: Ledger, row: Group, lease: Lease, *, due_at: int | None = None) -> None:
    """Give one leased group back.

    An attempt that was marked as committing did begin: its recipients become uncertain.
    """
    stage, opened_at, committing_at, _ = attempt_stage(ledger, row.seq, lease.attempt)
    if stage == Stage.OPEN:
        ledger.run(_DELETE_ATTEMPT, (row.seq, lease.attempt))
        ledger.note_sent(row.transport, opened_at, -1)
        _give_back(ledger, _cleared(row), due_at=opened_at if due_at is None else due_at)
    else:
        free(ledger, row, now=committing_at or opened_at, crashed=False)


def _cleared(row: Group) -> Group:
    """Lift the suspicion: it was in work and the process lived."""
    return row._replace(crashes=0, standing=standing_of(row.state, crashes=0))


def free(
    ledger: Ledger, row: Group, *, now: int, crashed: bool, wait: timedelta | None = None
) -> tuple[int, int]:
    """End a lease nobody will settle; return the attempts freed and the recipients now uncertain.

    An open attempt is settled as nothing and its group due at once; a committing one makes its recipients
    uncertain, by the policy of the message. A group that was in work at several deaths of the process
    waits for a person.
    """
    if row.lease is None:
        return 0, 0
    stage, _, committing_at, digest = attempt_stage(ledger, row.seq, row.lease)
    crashes = row.crashes + crashed
    limit = ledger.settings.max_crashes
    poisonous = limit is not None and crashes >= limit
    ledger.run(_TOUCH_MESSAGE, (now, row.seq))
    row = row._replace(crashes=crashes, standing=standing_of(row.state, crashes=crashes))
    if stage == Stage.OPEN:
        ledger.run(_SETTLE_ATTEMPT, (now, False, row.seq, row.lease))
        row = _give_back(ledger, row, due_at=now)
        if poisonous:
            rows.hold(ledger, row, groups.CRASH_LOOP, now=now)
        return 1, 0
    dot_at = now if committing_at is None else committing_at
    due_at = _uncertain_due(ledger, row.seq, now, dot_at + (wait or ledger.settings.uncertain_wait) // _MICRO)
    _become_uncertain(
        ledger,
        row._replace(due_at=None if poisonous else due_at, digest=digest),
        now=now,
        text=groups.PROCESS_ENDED if crashed else groups.LEASE_ENDED,
    )
    return 0, len(members_of(row.members))


_MICRO = timedelta(microseconds=1)


def _uncertain_due(ledger: Ledger, seq: int, now: int, after_wait: int) -> int | None:
    row = ledger.run(_UNCERTAIN_POLICY, (seq,)).fetchone()
    match UncertainPolicy(str(row[0]) if row is not None else UncertainPolicy.ASK):
        case UncertainPolicy.RETRY:
            return now
        case UncertainPolicy.WAIT:
            return after_wait
        case UncertainPolicy.ASK:
            return None


def _become_uncertain(ledger: Ledger, row: Group, *, now: int, text: str) -> None:
    cause, state = groups.CONNECTION_LOST_AFTER_BODY, RecipientState.UNCERTAIN.value
    members = members_of(row.members)
    kind, action, step = OutcomeKind.UNCERTAIN.value, Action.UNCERTAIN.value, Step.BODY_END.value
    ledger.run(_SETTLE_ATTEMPT, (now, True, row.seq, row.lease))
    ledger.run_many(
        _INSERT_OUTCOME,
        [
            (
                row.seq,
                row.lease,
                member,
                now,
                kind,
                action,
                cause,
                step,
                None,
                None,
                text,
                None,
                "local",
                "",
                0,
                0,
            )
            for member in members
        ],
    )
    ledger.run_many(_MOVE_RECIPIENT, [(state, cause, row.seq, member) for member in members])
    ledger.recount(RecipientState.SENDING, state, len(members))
    standing = standing_of(state, crashes=row.crashes)
    rows.replace(
        ledger,
        row._replace(state=state, lease=None, tries=row.tries + 1, maybe_duplicate=1, standing=standing),
    )
    rows.note(ledger, row, RecipientState.UNCERTAIN, now=now, cause=cause)


def _give_back(ledger: Ledger, row: Group, *, due_at: int) -> Group:
    ledger.recount(RecipientState.SENDING, row.state, len(members_of(row.members)))
    return rows.replace(ledger, row._replace(lease=None, due_at=due_at))
