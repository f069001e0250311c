"""One try of one transport for some recipients of one message; written before it is made."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.ids import AttemptId, LeaseToken, MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message
from postroom.model.outcome import RecipientResult
from postroom.model.step import TRANSPORT_STEPS, Step

_BEFORE_MAIL = TRANSPORT_STEPS | {Step.FETCH}


class Stage(StrEnum):
    """How far an attempt is known to have come, durably."""

    OPEN = "open"
    """The dial may have begun; nothing irreversible was sent. Free to retry."""
    COMMITTING = "committing"
    """Stored just before the final dot: without a result the outcome is uncertain."""
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A claim on one group of recipients of one message, and the attempt written with it.

    Every later write names the lease; a write under a lease that is over changes nothing.
    """

    message_id: MessageId
    group: int
    attempt: AttemptId
    token: LeaseToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One unit of work handed to the dispatcher."""

    lease: Lease
    message: Message
    recipients: tuple[int, ...]
    """Numbers of the recipients of this group that are still open, ascending."""
    tries: int
    """Attempts of this group that counted, before this one."""
    digest: str | None
    """SHA-256 of the variant that earlier reached ``committing``: the bytes must not change."""
    maybe_duplicate: bool = False
    """An earlier attempt ended uncertain and is being repeated."""
    route: str = ""
    """Written form of the route it waits by, empty for none."""
    is_suspect: bool = False
    """It was in work when a process died: the store hands out no other suspect until this one is settled, so
    whoever settles it lets every line look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of one recipient when an attempt is settled."""

    recipient: int
    state: RecipientState
    """Never ``SENDING``."""
    due_at: datetime | None = None
    """When it is due again; ``None`` for final states and for those that wait for a person."""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of an attempt: what happened and what becomes of each recipient of the lease."""

    lease: Lease
    settled_at: datetime
    results: tuple[RecipientResult, ...]
    """Evidence lines; recipients that were not begun have none."""
    moves: tuple[Move, ...]
    """Recipients of the group without a move go back to the state they had, due at once."""
    to: str = ""
    """The transport that what stays open waits for from now on; empty: the same as before."""
    counts: bool
    """Whether this was an attempt of the message (failures up to and including AUTH are not)."""

    @property
    def is_begun(self) -> bool:
        """Whether the server was asked to take the message: then it counts towards the server's limits."""
        return any(result.evidence.step not in _BEFORE_MAIL for result in self.results)
