"""Looks at events and clocks, one after the other, and stores what came of it.

One task owns the book: it reads events after the place, the urgent lane first, asks the book about each and
about every clock that is due, and stores the place with everything that changed in one commit. A commit that
fails changes nothing: the book is read from the store again and the turn is made once more, later. An event
at which the book fails gets a ``fault`` decision and is passed over; it never stops its lane.

What persons change (a silence, rules) goes through ``change``, to be committed in order with the rest.

What it does not do: deciding (``policy.alerting``), making mails of letters (``courier``).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from postroom.clock import Clock
from postroom.errors import OverloadError
from postroom.model.alert import (
    AlertDecision,
    AlertEvent,
    AlertId,
    AlertView,
    BookRow,
    GroupId,
    Letter,
    Silence,
)
from postroom.ports import AlertRecords

MAX_WAITING = 100_000
"""Events that may wait (security limit): some minutes of work, and a hundred megabytes in the store."""

T = TypeVar("T")


class Book(Protocol):
    """The state of all alerts and clocks."""

    @property
    def next_at(self) -> datetime | None:
        """When the next clock is due."""
        ...

    def take(self, event: AlertEvent, now: datetime) -> None:
        """Look at an event."""
        ...

    def tick(self, now: datetime) -> None:
        """Look at every clock that is due."""
        ...

    def drain(self) -> tuple[Sequence[BookRow], Sequence[AlertDecision], Sequence[Letter]]:
        """Return what changed since the last call."""
        ...

    def view(self, alert_id: AlertId, now: datetime) -> AlertView | None:
        """Return an alert."""
        ...

    def views(self, now: datetime) -> Iterator[AlertView]:
        """Return every alert."""
        ...

    def silences(self) -> Sequence[Silence]:
        """Return the silences that are not over."""
        ...

    def silence(self, silence: Silence, now: datetime) -> None:
        """Add a silence."""
        ...

    def end_silence(self, silence_id: str, now: datetime) -> bool:
        """End a silence."""
        ...

    def acknowledge(self, alert_id: AlertId, by: str, until: datetime | None, now: datetime) -> bool:
        """Acknowledge an active alert."""
        ...

    def set_rhythm(self, group_id: GroupId, every: timedelta, by: str, now: datetime) -> bool:
        """Replace the repeat of a group."""
        ...


class Evaluator:
    """Owns the book; runs until stopped."""

    def __init__(self, book: Book, *, records: AlertRecords, clock: Clock) -> None:
        """Take the parts."""
        self._records = records
        self._clock = clock
        self._book = book
        self._lock = asyncio.Lock()
        self._bell = asyncio.Event()
        self.waiting = 0
        """Events that were not looked at yet."""

    def refuse_when_full(self) -> None:
        """Raise OverloadError while too many events wait."""
        if self.waiting >= MAX_WAITING:
            raise OverloadError(f"{self.waiting} alert events wait to be looked at", retry_after_s=10.0)

    def reported(self, count: int) -> None:
        """Say that events were stored."""
        self.waiting += count
        self._bell.set()

    async def read(self, look: Callable[[Book, datetime], T]) -> T:
        """Return what is found in the book now."""
        async with self._lock:
            return look(self._book, self._clock.now())

    async def change(self, act: Callable[[Book, datetime], T]) -> T:
        """Change the book, and return after the commit. Raises OverloadError, DiskFullError."""
        async with self._lock:
            return act(self._book, self._clock.now())
