"""The states of a recipient and the legal moves between them, as one table.

The diagram in ``docs/`` is drawn from ``MOVES`` and a test walks every cell.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class RecipientState(StrEnum):
    """State of one recipient of one message."""

    QUEUED = "queued"
    SENDING = "sending"
    """An attempt holds the lease. Never stored: derived from the lease."""
    DEFERRED = "deferred"
    HELD = "held"
    """Before sending only: waits for a person."""
    UNCERTAIN = "uncertain"
    ACCEPTED = "accepted"
    CAPTURED = "captured"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    BOUNCED = "bounced"


S = RecipientState

OPEN_STATES = frozenset({S.QUEUED, S.SENDING, S.DEFERRED, S.HELD, S.UNCERTAIN})
FINAL_STATES = frozenset(S) - OPEN_STATES

MOVES: dict[RecipientState, frozenset[RecipientState]] = {
    S.QUEUED: frozenset({S.SENDING, S.HELD, S.SUPPRESSED, S.CANCELLED, S.EXPIRED}),
    S.SENDING: frozenset(
        {S.QUEUED, S.DEFERRED, S.HELD, S.UNCERTAIN, S.ACCEPTED, S.CAPTURED, S.REFUSED, S.EXPIRED}
    ),
    S.DEFERRED: frozenset({S.SENDING, S.QUEUED, S.HELD, S.SUPPRESSED, S.CANCELLED, S.EXPIRED}),
    S.HELD: frozenset({S.QUEUED, S.SUPPRESSED, S.CANCELLED, S.EXPIRED}),
    S.UNCERTAIN: frozenset({S.SENDING, S.QUEUED, S.ACCEPTED, S.CANCELLED}),
    S.ACCEPTED: frozenset({S.BOUNCED}),
    S.CAPTURED: frozenset(),
    S.REFUSED: frozenset({S.QUEUED}),
    S.SUPPRESSED: frozenset({S.QUEUED}),
    S.CANCELLED: frozenset(),
    S.EXPIRED: frozenset({S.QUEUED}),
    S.BOUNCED: frozenset(),
}
"""From a state to the states it may become. REFUSED, SUPPRESSED and EXPIRED go back to QUEUED only when a
person asks for it; UNCERTAIN never becomes EXPIRED by itself."""

_MESSAGE_ORDER = (S.SENDING, S.QUEUED, S.DEFERRED, S.HELD, S.UNCERTAIN)


def may_move(old: RecipientState, new: RecipientState) -> bool:
    """Say whether a recipient may go from ``old`` to ``new``."""
    return new in MOVES[old]


def message_state(states: Iterable[RecipientState]) -> str:
    """Return the state of a message from the states of its recipients.

    The first of sending, queued, deferred, held, uncertain that any recipient has; else the common
    final state; else ``mixed``.
    """
    counts = Counter(states)
    for state in _MESSAGE_ORDER:
        if counts[state]:
            return state.value
    return next(iter(counts)).value if len(counts) == 1 else "mixed"
