"""What alerts are remembered by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from postroom.model.alert import (
    AlertEvent,
    AlertEventFilter,
    AlertPlace,
    AlertTurn,
    BookRow,
    DecisionFilter,
    NewAlertEvent,
    StoredDecision,
    StoredLetter,
)
from postroom.model.ids import MessageId, TenantId


class AlertRecords(Protocol):
    """Events in, the book, decisions and letters."""

    async def add(self, events: Sequence[NewAlertEvent], *, at: datetime) -> Sequence[int]:
        """Store events in one commit; return their numbers. Raises OverloadError, DiskFullError."""
        ...

    async def waiting(self, place: AlertPlace, *, limit: int) -> Sequence[AlertEvent]:
        """Return events after the place, the urgent ones first, each lane by number."""
        ...

    async def backlog(self, place: AlertPlace) -> int:
        """Return how many events are after the place."""
        ...

    async def settle(self, turn: AlertTurn) -> None:
        """Store what a look changed, in one commit. Raises OverloadError, DiskFullError: nothing of it is."""
        ...

    async def book(self) -> tuple[AlertPlace, Sequence[BookRow]]:
        """Return the place and every row of the book."""
        ...

    async def event(self, number: int, *, tenant: TenantId) -> AlertEvent | None:
        """Return one event."""
        ...

    async def events(self, wanted: AlertEventFilter) -> Sequence[AlertEvent]:
        """Return events, newest first; those of an alert are the ones with a decision on it."""
        ...

    async def decisions(self, wanted: DecisionFilter) -> Sequence[StoredDecision]:
        """Return one page of decisions."""
        ...

    async def open_letters(self, *, limit: int) -> Sequence[StoredLetter]:
        """Return letters that are not handed in, urgent news first, then by number."""
        ...

    async def letters_waiting(self) -> tuple[int, datetime | None]:
        """Return how many letters are not handed in, and since when the oldest of them waits."""
        ...

    async def letter(self, number: int, *, tenant: TenantId) -> StoredLetter | None:
        """Return one letter."""
        ...

    async def sent(self, number: int, *, message_id: MessageId | None, by: str) -> None:
        """Note that a letter was handed in, or taken by a fallback."""
        ...

    async def first_of(self, incident: str) -> StoredLetter | None:
        """Return the first letter of an incident that became a message."""
        ...

    async def put_rule(self, kind: str, name: str, data: str, *, tenant: TenantId) -> None:
        """Store a rule as JSON, in place of one of the same kind and name."""
        ...

    async def remove_rule(self, kind: str, name: str, *, tenant: TenantId) -> bool:
        """Remove a rule; ``False`` when there is none."""
        ...

    async def rules(self, *, tenant: TenantId) -> Sequence[tuple[str, str, str]]:
        """Return kind, name and JSON of every stored rule, oldest first."""
        ...

    async def purge(self, *, before: datetime, limit: int) -> int:
        """Forget events, decisions and letters that are older; return how many went."""
        ...
