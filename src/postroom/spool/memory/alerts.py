"""Alerts in memory."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

from postroom.errors import InvariantError
from postroom.model.alert import (
    AlertDecision,
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
from postroom.spool.alerts import is_urgent

_EVENT = tuple(member.name for member in fields(NewAlertEvent))
_DECISION = tuple(member.name for member in fields(AlertDecision))


class MemoryAlerts:
    """The port ``AlertRecords``."""

    def __init__(self) -> None:
        """Begin empty."""
        self._place = AlertPlace()
        self._events: dict[int, AlertEvent] = {}
        self._decisions: dict[int, StoredDecision] = {}
        self._letters: dict[int, StoredLetter] = {}
        self._rows: dict[tuple[str, str], BookRow] = {}
        self._rules: dict[tuple[TenantId, str, str], str] = {}
        self._last_event = 0
        self._last_decision = 0

    async def add(self, events: Sequence[NewAlertEvent], *, at: datetime) -> Sequence[int]:
        """Store events; return their numbers."""
        first = self._last_event + 1
        for event in events:
            self._last_event += 1
            members = {name: getattr(event, name) for name in _EVENT}
            self._events[self._last_event] = AlertEvent(number=self._last_event, arrived_at=at, **members)
        return range(first, self._last_event + 1)

    async def waiting(self, place: AlertPlace, *, limit: int) -> Sequence[AlertEvent]:
        """Return events after the place, the urgent ones first, each lane by number."""
        found = [event for event in self._events.values() if not _is_seen(event, place)]
        return sorted(found, key=lambda event: (not event.severity.is_urgent, event.number))[:limit]

    async def backlog(self, place: AlertPlace) -> int:
        """Return how many events are after the place."""
        return sum(not _is_seen(event, place) for event in self._events.values())

    async def settle(self, turn: AlertTurn) -> None:
        """Store what a look changed. Raises InvariantError when the number of a letter is taken."""
        numbers = [letter.number for letter in turn.letters]
        if len({*numbers, *self._letters}) < len(numbers) + len(self._letters):
            raise InvariantError(f"settle alerts failed: a letter of {numbers} is stored already")
        for row in sorted(turn.rows, key=lambda row: row.data is not None):
            if row.data is None:
                self._rows.pop((row.kind, row.id), None)
            else:
                self._rows[row.kind, row.id] = row
        for decision in turn.decisions:
            self._last_decision += 1
            members = {name: getattr(decision, name) for name in _DECISION}
            self._decisions[self._last_decision] = StoredDecision(number=self._last_decision, **members)
        for letter in turn.letters:
            self._letters[letter.number] = StoredLetter(letter=letter)
        if turn.place is not None:
            self._place = turn.place

    async def book(self) -> tuple[AlertPlace, Sequence[BookRow]]:
        """Return the place and every row of the book."""
        return self._place, list(self._rows.values())

    async def event(self, number: int, *, tenant: TenantId) -> AlertEvent | None:
        """Return one event."""
        event = self._events.get(number)
        return event if event is not None and event.tenant == tenant else None

    async def events(self, wanted: AlertEventFilter) -> Sequence[AlertEvent]:
        """Return events, newest first; those of an alert are the ones with a decision on it."""
        told = {decision.event for decision in self._decisions.values() if decision.alert == wanted.alert}
        found = [
            event
            for event in reversed(self._events.values())
            if event.tenant == wanted.tenant
            and wanted.key in (None, event.key)
            and (wanted.alert is None or event.number in told)
            and (wanted.before is None or event.number < wanted.before)
        ]
        return found[: wanted.limit]

    async def decisions(self, wanted: DecisionFilter) -> Sequence[StoredDecision]:
        """Return one page of decisions: oldest first with ``after``, else newest first."""
        found = [
            decision
            for decision in self._decisions.values()
            if decision.tenant == wanted.tenant
            and wanted.alert in (None, decision.alert)
            and wanted.event in (None, decision.event)
            and (wanted.after is None or decision.number > wanted.after)
            and (wanted.before is None or decision.number < wanted.before)
        ]
        return (found if wanted.after is not None else found[::-1])[: wanted.limit]

    async def open_letters(self, *, limit: int) -> Sequence[StoredLetter]:
        """Return letters that are not handed in, urgent news first, then by number."""
        found = [stored for stored in self._letters.values() if not stored.sent_by]
        found.sort(key=lambda stored: (not is_urgent(stored.letter), stored.letter.number))
        return found[:limit]

    async def letters_waiting(self) -> tuple[int, datetime | None]:
        """Return how many letters are not handed in, and since when the oldest of them waits."""
        found = [stored.letter.at for stored in self._letters.values() if not stored.sent_by]
        return len(found), min(found, default=None)

    async def letter(self, number: int, *, tenant: TenantId) -> StoredLetter | None:
        """Return one letter."""
        stored = self._letters.get(number)
        return stored if stored is not None and stored.letter.tenant == tenant else None

    async def sent(self, number: int, *, message_id: MessageId | None, by: str) -> None:
        """Note that a letter was handed in, or taken by a fallback."""
        if number in self._letters:
            self._letters[number] = replace(self._letters[number], message_id=message_id, sent_by=by)

    async def first_of(self, incident: str) -> StoredLetter | None:
        """Return the first letter of an incident that became a message."""
        found = [
            stored
            for stored in self._letters.values()
            if stored.letter.incident == incident and stored.message_id is not None
        ]
        return min(found, key=lambda stored: stored.letter.number, default=None)

    async def put_rule(self, kind: str, name: str, data: str, *, tenant: TenantId) -> None:
        """Store a rule as JSON, in place of one of the same kind and name."""
        self._rules[tenant, kind, name] = data

    async def remove_rule(self, kind: str, name: str, *, tenant: TenantId) -> bool:
        """Remove a rule; ``False`` when there is none."""
        return self._rules.pop((tenant, kind, name), None) is not None

    async def rules(self, *, tenant: TenantId) -> Sequence[tuple[str, str, str]]:
        """Return kind, name and JSON of every stored rule, oldest first."""
        return [(kind, name, data) for (owner, kind, name), data in self._rules.items() if owner == tenant]

    async def purge(self, *, before: datetime, limit: int) -> int:
        """Forget events that were looked at, decisions and letters that were sent, where they are older."""
        events = [
            number
            for number, event in list(self._events.items())[:limit]
            if event.arrived_at < before and _is_seen(event, self._place)
        ]
        decisions = [number for number, one in list(self._decisions.items())[:limit] if one.at < before]
        letters = sorted(
            (stored.letter.at, number)
            for number, stored in self._letters.items()
            if stored.sent_by and stored.letter.at < before
        )[:limit]
        for number in events:
            del self._events[number]
        for number in decisions:
            del self._decisions[number]
        for _, number in letters:
            del self._letters[number]
        return len(events) + len(decisions) + len(letters)


def _is_seen(event: AlertEvent, place: AlertPlace) -> bool:
    return event.number <= (place.urgent if event.severity.is_urgent else place.other)
