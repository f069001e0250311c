"""Rules every store keeps: groups of recipients, the unit that waits, is leased and is split.

Pure. Every recipient of a group has the same state and the same due time, so a settlement splits a group
by (state, due time). Members are stored as ranges of recipient numbers, ``0-99,120``: a message to a
thousand recipients is one short row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from postroom.errors import InvariantError
from postroom.model.attempt import Move
from postroom.model.event import EventKind
from postroom.model.ids import MessageId
from postroom.model.lifecycle import FINAL_STATES, MOVES, RecipientState
from postroom.model.message import MailClass
from postroom.ports import IdempotencyClaim, KeyReused, Replayed
from postroom.spool.codec import micros_or_none

PRIORITIES = {
    MailClass.CODE: 1,
    MailClass.ALERT: 2,
    MailClass.TRANSACTIONAL: 3,
    MailClass.BULK: 4,
}
"""Lower goes first."""

CONTENT_DAMAGED = "content-damaged"
"""Cause of a hold: the stored bytes are not those that were accepted."""
CRASH_LOOP = "crash-loop"
"""Cause of a hold: in work at several deaths of the process (reliability rule G3)."""
CONNECTION_LOST_AFTER_BODY = "conn-lost-body"
"""Cause of an uncertain outcome after a kill, the same as after a cut."""

FAILOVER = "failover"
"""Cause of an event: given to another leg of its route."""

PROCESS_ENDED = "the process ended between the final dot and the reply"
LEASE_ENDED = "the lease ended between the final dot and the reply"
"""Evidence of outcomes that became uncertain without a report."""

CANCELLABLE = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD})
"""States that may be cancelled and that expire; uncertain recipients do neither by themselves."""

EVENT_OF: dict[RecipientState, EventKind] = {
    state: EventKind(f"recipient.{state.value}")
    for state in RecipientState
    if state is not RecipientState.SENDING
}
"""What is told when a recipient comes into a state."""

_AFTER_SENDING = MOVES[RecipientState.SENDING]
_ENDS = _AFTER_SENDING & FINAL_STATES


class Standing(IntEnum):
    """Which of its lanes a group waits in."""

    FRESH = 0
    RETRY = 1
    """Deferred, or uncertain and sent again."""
    SUSPECT = 2
    """In work when a process died: claimed alone, so that the guilty one shows (reliability rule G3)."""


def standing_of(state: str, *, crashes: int) -> Standing:
    """Return the standing of a group."""
    if crashes:
        return Standing.SUSPECT
    return Standing.RETRY if state in _AGAIN else Standing.FRESH


SUSPECT_ALONE = 60_000_000
"""Microseconds a suspect in work keeps the others waiting. A message that kills does so at once; one that
waits for its server may take ten minutes, and all suspects behind it would wait as long."""

_AGAIN = frozenset({RecipientState.DEFERRED, RecipientState.UNCERTAIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What a standing order makes of some recipients at acceptance."""

    state: RecipientState
    """``HELD`` or ``SUPPRESSED``."""
    cause: str
    members: tuple[int, ...]
    data: Mapping[str, str] = field(default_factory=dict)
    """For the event."""
    hold: str | None = None
    """Id of the hold that keeps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Recipients that wait together."""

    state: RecipientState
    due_at: int | None
    """Microseconds; ``None`` waits for a person."""
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settlement makes of a group."""

    changes: tuple[tuple[int, RecipientState, str], ...]
    """Number, new state and cause of each recipient that moves."""
    waiting: tuple[Waiting, ...]


def members_text(numbers: Sequence[int]) -> str:
    """Write ascending recipient numbers as ranges."""
    if len(numbers) == 1:
        return str(numbers[0])
    ranges: list[str] = []
    first = last = numbers[0]
    for number in (*numbers[1:], None):
        if number is not None and number == last + 1:
            last = number
            continue
        ranges.append(str(first) if first == last else f"{first}-{last}")
        if number is not None:
            first = last = number
    return ",".join(ranges)


def members_of(text: str) -> tuple[int, ...]:
    """Read what ``members_text`` wrote."""
    if text.isdecimal():
        return (int(text),)
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def settled(
    members: Sequence[int], state: RecipientState, moves: Sequence[Move], *, settled_at: int
) -> Settled:
    """Say what becomes of a group that was in ``state`` before its lease.

    Members without a move go back to ``state``, due at ``settled_at``. Raises InvariantError for a move
    of a stranger, a second move of one recipient, and a move the lifecycle does not know.
    """
    if len(moves) == 1 == len(members) and moves[0].recipient == members[0]:
        move = moves[0]
        if move.state in _ENDS:  # the usual end of the usual message
            return Settled(changes=((move.recipient, move.state, move.cause),), waiting=())
    left = set(members)
    changes: list[tuple[int, RecipientState, str]] = []
    groups: dict[tuple[RecipientState, int | None], list[int]] = {}
    for move in moves:
        number = move.recipient
        if number not in left:
            raise InvariantError(f"recipient {number} moved twice or is not of this lease")
        left.discard(number)
        if move.state not in _AFTER_SENDING:
            raise InvariantError(f"no move from sending to {move.state.value}")
        changes.append((number, move.state, move.cause))
        if move.state not in FINAL_STATES:
            groups.setdefault((move.state, micros_or_none(move.due_at)), []).append(number)
    if left:
        groups.setdefault((state, settled_at), []).extend(left)
    return Settled(
        changes=tuple(changes),
        waiting=tuple(
            Waiting(state=key[0], due_at=key[1], members=tuple(sorted(numbers)))
            for key, numbers in groups.items()
        ),
    )


def replay_or_reuse(
    message_id: MessageId, before: Mapping[str, str], claim: IdempotencyClaim
) -> Replayed | KeyReused:
    """Compare a second use of an idempotency key with the first, field by field."""
    names = before.keys() | claim.fields.keys()
    differing = tuple(sorted(name for name in names if before.get(name) != claim.fields.get(name)))
    return KeyReused(fields=differing) if differing else Replayed(message_id=message_id)
