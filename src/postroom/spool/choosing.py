"""Rules every store keeps: which recipients of one message an order takes, and what becomes of them.

Pure. An order is a verb of an operator (retry, cancel, resolve, release) or a standing order that is applied
to what waits (hold, suppress). The unit of work is the message: a store shows the recipients of one message,
``choose`` says which the order takes and how many it leaves, and the ``Fate`` says what becomes of the taken.

Recipients count as left when they were meant and cannot be changed. A selection that names a message means
each of its recipients that it matches; a selection over many messages means those in a state the verb takes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from postroom.model.event import EventKind
from postroom.model.hold import Hold
from postroom.model.lifecycle import FINAL_STATES, RecipientState
from postroom.model.selection import Resolution, Selection
from postroom.policy.matching import selects_recipient
from postroom.spool.groups import CANCELLABLE


class Act(StrEnum):
    """What an operator does with a selection."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE = "resolve"
    RELEASE = "release"


S = RecipientState

TAKES: Mapping[Act, frozenset[RecipientState]] = MappingProxyType(
    {
        Act.RETRY: frozenset({S.REFUSED, S.EXPIRED, S.SUPPRESSED, S.DEFERRED, S.HELD, S.UNCERTAIN}),
        Act.CANCEL: CANCELLABLE,
        Act.RESOLVE: frozenset({S.UNCERTAIN}),
        Act.RELEASE: frozenset({S.HELD}),
    }
)
"""Verb to the states it changes; uncertain recipients are retried only when a person says so."""

MAY_BE_HELD = frozenset({S.QUEUED, S.DEFERRED})
"""States in which a new hold finds what waits; uncertain recipients are past sending."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One recipient as it is now."""

    number: int
    address: str
    state: RecipientState
    """As stored; never sending."""
    is_leased: bool

    @property
    def shown(self) -> RecipientState:
        """The state that people see."""
        return S.SENDING if self.is_leased else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A verb with everything that decides whom it takes."""

    verb: Act
    wanted: Selection
    confirm_duplicate: bool = False
    queues: bool = False
    """Whether those taken are sent again: then suppressed addresses and purged contents are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of recipients that an order takes."""

    state: RecipientState
    event: EventKind
    cause: str | None = None
    """Their new cause; ``None`` leaves the last one."""
    why: str = ""
    """The event's cause."""
    data: Mapping[str, str] = field(default_factory=dict)
    """The event's data."""
    due_at: int | None = None
    """Microseconds, for queued ones."""
    keeps_schedule: bool = False
    """Not due before the message's ``send_at``."""
    renews: bool = False
    """A message that would be over when they are due gets the lifetime of its class again."""
    hold: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing waits afterwards."""
        return self.state in FINAL_STATES


def order(verb: Act, wanted: Selection, *, confirm_duplicate: bool = False, queues: bool = False) -> Order:
    """Return an order; a retry and a release queue always."""
    return Order(
        verb=verb,
        wanted=wanted,
        confirm_duplicate=confirm_duplicate,
        queues=queues or verb is Act.RETRY,
    )


def choose(
    order: Order,
    recipients: Iterable[Seen],
    *,
    has_content: bool,
    is_suppressed: Callable[[Seen], bool],
) -> tuple[tuple[int, ...], int]:
    """Return the numbers an order takes, ascending, and how many recipients it meant and leaves."""
    wanted, takes = order.wanted, TAKES[order.verb]
    taken: list[int] = []
    left = 0
    for one in recipients:
        if not selects_recipient(wanted, one.number, one.address, one.shown):
            continue
        if one.state not in takes:
            left += wanted.message_id is not None
        elif (
            one.is_leased
            or (order.queues and not has_content)
            or (order.queues and is_suppressed(one))
            or (order.verb is Act.RETRY and one.state is S.UNCERTAIN and not order.confirm_duplicate)
        ):
            left += 1
        else:
            taken.append(one.number)
    return tuple(taken), left


def retried(*, due_at: int, author: str) -> Fate:
    """Return the fate of recipients that a person sends again."""
    return Fate(
        state=S.QUEUED,
        event=EventKind.RECIPIENT_QUEUED,
        cause="",
        why="retried",
        data={"author": author},
        due_at=due_at,
        renews=True,
    )


def cancelled(*, author: str) -> Fate:
    """Return the fate of recipients that a person cancels."""
    return Fate(
        state=S.CANCELLED, event=EventKind.RECIPIENT_CANCELLED, why="cancelled", data={"author": author}
    )


def released(*, now: int, author: str, hold: str = "") -> Fate:
    """Return the fate of recipients that are held no more."""
    data = {"author": author} | ({"hold": hold} if hold else {})
    return Fate(
        state=S.QUEUED,
        event=EventKind.RECIPIENT_QUEUED,
        cause="",
        why="released",
        data=data,
        due_at=now,
        keeps_schedule=True,
    )


def expired(hold: str) -> Fate:
    """Return the fate of recipients whose hold ended without a release."""
    return Fate(state=S.EXPIRED, event=EventKind.RECIPIENT_EXPIRED, why="the hold ended", data={"hold": hold})


def held(hold: Hold) -> Fate:
    """Return the fate of recipients that a hold keeps."""
    data = {"author": hold.author, "hold": hold.id}
    if hold.until is not None:
        data["until"] = hold.until.isoformat()
    return Fate(
        state=S.HELD,
        event=EventKind.RECIPIENT_HELD,
        cause=hold.reason,
        why=hold.reason,
        data=data,
        hold=hold.id,
    )


def suppressed(cause: str) -> Fate:
    """Return the fate of recipients whose address is not sent to."""
    return Fate(state=S.SUPPRESSED, event=EventKind.RECIPIENT_SUPPRESSED, cause=cause, why=cause)


def resolved(resolution: Resolution, *, now: int, note: str, author: str) -> Fate:
    """Return the fate of uncertain recipients about which a person decided."""
    data = {"author": author, "note": note}
    match resolution:
        case Resolution.ARRIVED:
            state, event = S.ACCEPTED, EventKind.RECIPIENT_ACCEPTED
        case Resolution.SEND_AGAIN:
            state, event = S.QUEUED, EventKind.RECIPIENT_QUEUED
        case Resolution.DROP:
            state, event = S.CANCELLED, EventKind.RECIPIENT_CANCELLED
    return Fate(
        state=state,
        event=event,
        why="resolved",
        data=data,
        due_at=now if state is S.QUEUED else None,
        renews=state is S.QUEUED,
    )
