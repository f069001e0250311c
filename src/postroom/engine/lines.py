"""The work of one way out: what is under way, how much more may begin, and when to look again.

Pure but for the wake-up: a line decides from the state of its way and the time it is told.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from postroom.engine.ways import Way
from postroom.model.view import PauseKind
from postroom.policy.failover import Fitness
from postroom.policy.settling import Via

POLL_S = 30.0
"""A line looks at its queue at least this often, should a hint have been missed."""
STRAYS_S = 5.0
"""What came to a line that is down is looked at this often: it may go by another leg."""
_RESERVED_SHARE = 16
"""One slot in so many is kept for one-time codes, at least one."""


class Room:
    """How many groups may be claimed now."""

    __slots__ = ("limit", "reserved")

    def __init__(self, limit: int, reserved: int = 0) -> None:
        """Take the number, and how many of it are for one-time codes alone."""
        self.limit = limit
        self.reserved = reserved


NO_ROOM = Room(0)


class Line:
    """One way out at work."""

    __slots__ = (
        "_calm",
        "_gone",
        "_has_strays",
        "_must_move",
        "_sought_at",
        "due_at",
        "is_leaving",
        "is_urgent",
        "looked",
        "outstanding",
        "turns",
        "wake",
        "way",
    )

    def __init__(self, way: Way) -> None:
        """Begin idle."""
        self.way = way
        self.outstanding = 0
        self.turns = 0
        """Claims begun so far."""
        self.wake = asyncio.Event()
        self.due_at: datetime | None = None
        """The earliest known time at which something waiting becomes due."""
        self.looked = False
        """Whether ``due_at`` was ever read from the store; later it is kept up to date by hints."""
        self.is_urgent = False
        """A one-time code waits: the reserved slots are for it."""
        self.is_leaving = False
        """Its way was replaced or removed: nothing is claimed any more."""
        self._gone = asyncio.Event()
        self._must_move = True
        """Routes have not been looked at since a leg came or went."""
        self._has_strays = False
        self._sought_at = -STRAYS_S
        self._calm = Via(
            transport=way.name,
            is_capture=way.transport.is_capture,
            provider=way.provider,
            is_guest=way.is_guest,
        )

    @property
    def window(self) -> int:
        """How many groups may be under way: what the transport holds, and as much again between commits."""
        concurrency = self.way.concurrency
        return max(2 * self.way.transport.capacity * concurrency.level // concurrency.limit, 2)

    def via(self, now: datetime) -> Via:
        """Return the transport as it is before an attempt is settled."""
        if not self.way.pauses:
            return self._calm
        return replace(self._calm, failures=self.way.failures(now))

    def room(self, now: datetime, monotonic: float) -> Room:
        """Return how many groups may be claimed now."""
        way = self.way
        window = self.window
        free = window - self.outstanding
        if way.pauses:
            if way.is_paused(now):
                return NO_ROOM
            if any(kind is not PauseKind.SUSPENDED for kind in way.pauses):
                free = 1 - self.outstanding  # one probe at a time until something gets past it
        elif self.outstanding > window // 2 and not self.is_urgent:
            return NO_ROOM
        allowance = way.pace.allowance(monotonic)
        if allowance is not None:
            # Nothing that waits for a connection: what waits counts too, and would slow the pace.
            free = min(free, allowance, way.concurrency.level - self.outstanding)
            seconds = way.pace.next_at(monotonic) - monotonic if allowance == 0 else 0.0
            way.full_until = now + timedelta(seconds=seconds) if seconds > 0 else None
        if free <= 0:
            return NO_ROOM
        if self.is_urgent and self.outstanding > window // 2:
            return Room(free, free)
        return Room(free, min(max(window // _RESERVED_SHARE, 1), free - 1))

    def leave(self) -> None:
        """Claim nothing more."""
        self.is_leaving = True
        if not self.outstanding:
            self._gone.set()
        self.wake.set()

    async def gone(self) -> None:
        """Wait until it has left and every attempt has ended."""
        await self._gone.wait()

    def began(self, count: int) -> None:
        """Note that so many groups were claimed."""
        self.outstanding += count
        self.way.pace.take(count)

    def ended(self, *, is_begun: bool) -> None:
        """Note that an attempt ended; wake the line when it may claim again."""
        self.outstanding -= 1
        if is_begun:
            self.way.pace.ended()
        else:
            self.way.pace.give_back()
        if self.is_leaving and not self.outstanding:
            self._gone.set()
        if self.way.pauses and not self.outstanding:
            self.look_at_routes()  # what was under a lease when the leg went down stayed behind then
        elif self.outstanding <= self.window // 2:
            self.wake.set()

    def expect(self, due_at: datetime) -> None:
        """Note that something becomes due then."""
        if self.due_at is None or due_at < self.due_at:
            self.due_at = due_at
            self.wake.set()

    # ------------------------------------------------------------------ moving

    def look_at_routes(self) -> None:
        """Note that a leg came or went: what waits here may have a better way."""
        self._must_move = True
        self.wake.set()

    def note_stray(self) -> None:
        """Note that something came to wait here while the line is down."""
        self._has_strays = True

    def wants_to_move(self, now: datetime, monotonic: float) -> bool:
        """Say whether routes are to be looked at now; asked once a turn, and then not again for a while."""
        is_time = monotonic - self._sought_at >= (STRAYS_S if self._has_strays else POLL_S)
        if not (self._must_move or is_time) or self.way.fitness(now) is not Fitness.DOWN:
            return False
        self._must_move = self._has_strays = False
        self._sought_at = monotonic
        return True

    def rest_until(self, now: datetime, ends: datetime | None) -> datetime:
        """Return when to look again without a wake-up; ``ends`` is when the next outage of a leg is over."""
        way = self.way
        until = now + timedelta(seconds=POLL_S)
        if way.is_paused(now) or way.full_until is not None:
            for at in (*(pause.until for pause in way.pauses.values()), way.full_until, ends):
                if at is not None and now < at < until:
                    until = at
            if self._has_strays:
                until = min(until, now + timedelta(seconds=STRAYS_S))
        elif self.due_at is not None and self.due_at > now:
            until = min(until, self.due_at)
        return until
