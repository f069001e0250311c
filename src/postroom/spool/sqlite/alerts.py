"""The port ``AlertRecords`` on SQLite.

Reports are written with the mail that comes in, what a look changed and what became of a letter behind mail's
results: all in the event loop, for in the thread every statement would wait for a busy loop. Reports are read
as one JSON array that SQLite puts together: a row at a time would give the interpreter's lock away as often.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from typing import Any

import apsw

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
from postroom.spool.alerts import (
    decision_of,
    decision_row,
    event_body,
    events_of,
    is_urgent,
    letter_body,
    letter_of,
)
from postroom.spool.codec import instant_or_none, micros
from postroom.spool.disk import DiskWatch
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.purge import vacuum
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer

MARK = "alerts"
"""How far the events have been looked at, as two numbers: the urgent ones, the others."""
ROWS_AT_ONCE = 5000
"""Entries of the book in one read, some megabytes: no read may take long."""
_NEWEST = 2**63 - 1
_NUMBER = attrgetter("number")

EventRow = tuple[int, str, bool, str, str]


class SqliteAlerts:
    """Reports, the book, decisions, letters and rules."""

    def __init__(self, writer: Writer, reader: Reader, disk: DiskWatch) -> None:
        """Take the store's writer, its reader and the watch over its disk."""
        self._writer = writer
        self._reader = reader
        self._disk = disk

    # ------------------------------------------------------------------ reports

    async def add(self, events: Sequence[NewAlertEvent], *, at: datetime) -> Sequence[int]:
        """Store events in one commit; return their numbers. Raises OverloadError, DiskFullError."""
        if not events:
            return range(0)
        arrived_at, arrived = micros(at), at.isoformat()
        rows: list[EventRow] = [
            (arrived_at, event.tenant, event.severity.is_urgent, event.key, event_body(event, arrived))
            for event in events
        ]
        size = sum([len(row[4]) for row in rows])
        self._disk.admit(size)
        try:
            numbers: range = await self._writer.submit(_ADD, rows)
        finally:
            self._disk.stored(size)
        return numbers

    async def waiting(self, place: AlertPlace, *, limit: int) -> Sequence[AlertEvent]:
        """Return events after the place, the urgent ones first, each lane by number."""

        def work(db: apsw.Connection) -> list[AlertEvent]:
            found = _lane(db, (1, place.urgent, limit))
            if len(found) < limit:
                found += _lane(db, (0, place.other, limit - len(found)))
            return found

        return await self._reader.read(work)

    async def backlog(self, place: AlertPlace) -> int:
        """Return how many events are after the place."""

        def work(db: apsw.Connection) -> int:
            text = statement("count_alert_events")
            lanes: Any = [db.execute(text, lane).get for lane in ((1, place.urgent), (0, place.other))]
            return sum(lanes)

        return await self._reader.read(work)

    async def event(self, number: int, *, tenant: TenantId) -> AlertEvent | None:
        """Return one event."""
        return await self._reader.read(lambda db: _event(db, number, tenant))

    async def events(self, wanted: AlertEventFilter) -> Sequence[AlertEvent]:
        """Return events, newest first; those of an alert are the ones with a decision on it."""
        return await self._reader.read(lambda db: _events(db, wanted))

    # ------------------------------------------------------------------ the book and its decisions

    async def settle(self, turn: AlertTurn) -> None:
        """Store what a look changed, in one commit. Raises OverloadError, DiskFullError: nothing of it is."""
        await self._writer.submit(_SETTLE, _Turn(turn))

    async def book(self) -> tuple[AlertPlace, Sequence[BookRow]]:
        """Return the place and every row of the book."""
        rows: list[BookRow] = []
        last = 0
        place = await self._reader.read(_place)
        while chunk := await self._reader.read(partial(_rows, after=last)):
            last = chunk[-1][0]
            rows += [BookRow(kind=kind, id=id_, data=data) for _, kind, id_, data in chunk]
        return place, rows

    async def decisions(self, wanted: DecisionFilter) -> Sequence[StoredDecision]:
        """Return one page of decisions: oldest first with ``after``, else newest first."""
        return await self._reader.read(lambda db: _decisions(db, wanted))

    # ------------------------------------------------------------------ letters

    async def open_letters(self, *, limit: int) -> Sequence[StoredLetter]:
        """Return letters that are not handed in, urgent news first, then by number."""
        return await self._reader.read(lambda db: _letters(db, "open_alert_letters", (limit,)))

    async def letters_waiting(self) -> tuple[int, datetime | None]:
        """Return how many letters are not handed in, and since when the oldest of them waits."""

        def work(db: apsw.Connection) -> tuple[int, int | None]:
            row: Any = db.execute(statement("count_open_alert_letters")).fetchone()
            return row[0], row[1]

        count, oldest = await self._reader.read(work)
        return count, instant_or_none(oldest)

    async def letter(self, number: int, *, tenant: TenantId) -> StoredLetter | None:
        """Return one letter."""
        found = await self._reader.read(lambda db: _letters(db, "alert_letter", (number, tenant)))
        return found[0] if found else None

    async def sent(self, number: int, *, message_id: MessageId | None, by: str) -> None:
        """Note that a letter was handed in, or taken by a fallback."""
        await self._writer.submit(_SENT, (message_id, by, number))

    async def first_of(self, incident: str) -> StoredLetter | None:
        """Return the first letter of an incident that became a message."""
        found = await self._reader.read(lambda db: _letters(db, "first_alert_letter", (incident,)))
        return found[0] if found else None

    # ------------------------------------------------------------------ rules

    async def put_rule(self, kind: str, name: str, data: str, *, tenant: TenantId) -> None:
        """Store a rule as JSON, in place of one of the same kind and name."""
        await self._writer.submit(_PUT_RULE, (tenant, kind, name, data))

    async def remove_rule(self, kind: str, name: str, *, tenant: TenantId) -> bool:
        """Remove a rule; ``False`` when there is none."""
        found: bool = await self._writer.submit(_REMOVE_RULE, (tenant, kind, name))
        return found

    async def rules(self, *, tenant: TenantId) -> Sequence[tuple[str, str, str]]:
        """Return kind, name and JSON of every stored rule, oldest first."""

        def work(db: apsw.Connection) -> list[tuple[str, str, str]]:
            rows: Any = db.execute(statement("alert_rules"), (tenant,)).fetchall()
            return list(rows)

        return await self._reader.read(work)

    # ------------------------------------------------------------------ retention

    async def purge(self, *, before: datetime, limit: int) -> int:
        """Forget events that were looked at, decisions and letters that were sent, where they are older."""
        gone: int = await self._writer.submit(_PURGE, (micros(before), limit))
        if gone:
            await self._writer.submit(_VACUUM, None)
        return gone


# ---------------------------------------------------------------------- writing


class _Turn:
    """A look as rows; made in the caller, so that the transaction only writes."""

    __slots__ = ("decisions", "gone", "letters", "place", "rows")

    def __init__(self, turn: AlertTurn) -> None:
        self.place = turn.place
        self.rows = [(row.kind, row.id, row.data) for row in turn.rows if row.data is not None]
        self.gone = [(row.kind, row.id) for row in turn.rows if row.data is None]
        self.decisions = [decision_row(decision) for decision in turn.decisions]
        self.letters = [
            (
                letter.number,
                micros(letter.at),
                letter.tenant,
                letter.incident,
                is_urgent(letter),
                letter_body(letter),
            )
            for letter in turn.letters
        ]


def _add(ledger: Ledger, batches: Sequence[list[EventRow]]) -> Sequence[range]:
    first = ledger.next_alert_events(sum(map(len, batches)))
    numbered = ((number, *row) for number, row in enumerate(chain(*batches), first))
    ledger.run_many(statement("insert_alert_event"), numbered)
    ends = accumulate(map(len, batches), initial=first)
    return [range(begin, end) for begin, end in pairwise(ends)]


def _settle(ledger: Ledger, turns: Sequence[_Turn]) -> Sequence[None]:
    for turn in turns:
        if turn.letters:
            ledger.run_many(statement("insert_alert_letter"), turn.letters)
        if turn.gone:
            ledger.run_many(statement("delete_alert_row"), turn.gone)
        if turn.rows:
            ledger.run_many(statement("put_alert_row"), turn.rows)
        if turn.decisions:
            first = ledger.next_alert_decisions(len(turn.decisions))
            numbered = ((number, *row) for number, row in enumerate(turn.decisions, first))
            ledger.run_many(statement("insert_alert_decision"), numbered)
        if turn.place is not None:
            ledger.run(statement("store_mark"), (MARK, f"{turn.place.urgent} {turn.place.other}"))
    return [None] * len(turns)


def _sent(ledger: Ledger, letters: Sequence[tuple[MessageId | None, str, int]]) -> Sequence[None]:
    ledger.run_many(statement("send_alert_letter"), letters)
    return [None] * len(letters)


def _put_rule(ledger: Ledger, rules: Sequence[tuple[str, str, str, str]]) -> Sequence[None]:
    ledger.run_many(statement("put_alert_rule"), rules)
    return [None] * len(rules)


def _remove_rule(ledger: Ledger, keys: Sequence[tuple[str, str, str]]) -> Sequence[bool]:
    removed = []
    for key in keys:
        ledger.run(statement("delete_alert_rule"), key)
        removed.append(ledger.db.changes() == 1)
    return removed


def _purge(ledger: Ledger, wishes: Sequence[tuple[int, int]]) -> Sequence[int]:
    return [_purge_one(ledger, before, limit) for before, limit in wishes]


def _purge_one(ledger: Ledger, before: int, limit: int) -> int:
    place = _place(ledger.db)
    ledger.run(statement("delete_alert_events_past"), (before, limit, place.urgent, place.other))
    gone = ledger.db.changes()
    for name in ("delete_alert_decisions_past", "delete_alert_letters_past"):
        ledger.run(statement(name), (before, limit))
        gone += ledger.db.changes()
    return gone


_ADD = Verb(name="add alert events", rank=Rank.INTAKE, apply=_add)
_SETTLE = Verb(name="settle alerts", rank=Rank.LOOK, apply=_settle)
_SENT = Verb(name="note a letter as sent", rank=Rank.LOOK, apply=_sent)
_PUT_RULE = Verb(name="put an alert rule", rank=Rank.DUTY, apply=_put_rule)
_REMOVE_RULE = Verb(name="remove an alert rule", rank=Rank.DUTY, apply=_remove_rule)
_PURGE = Verb(name="purge alerts", rank=Rank.DUTY, apply=_purge)
_VACUUM = Verb(name="vacuum", rank=Rank.DUTY, apply=vacuum)


# ---------------------------------------------------------------------- reading


def _lane(db: apsw.Connection, wanted: tuple[int, int, int]) -> list[AlertEvent]:
    found = events_of(str(db.execute(statement("waiting_alert_events"), wanted).get))
    found.sort(key=_NUMBER)  # SQLite promises no order within an aggregate; in practice it is sorted
    return found


def _event(db: apsw.Connection, number: int, tenant: TenantId) -> AlertEvent | None:
    body = db.execute(statement("alert_event"), (number, tenant)).get
    return None if body is None else events_of(f"[{body}]")[0]


_EVENT_CONDITIONS = {"key": "key = :key", "before": "number < :before"}
_DECISION_CONDITIONS = {
    "alert": "alert = :alert",
    "event": "event = :event",
    "after": "number > :after",
    "before": "number < :before",
}


def _events(db: apsw.Connection, wanted: AlertEventFilter) -> list[AlertEvent]:
    if wanted.alert is not None:
        return _events_of_alert(db, wanted)
    text, bindings = _page("alert_events", wanted, _EVENT_CONDITIONS)
    bodies = [str(body) for (body,) in db.execute(text, bindings)]
    return events_of(f"[{','.join(bodies)}]")


def _events_of_alert(db: apsw.Connection, wanted: AlertEventFilter) -> list[AlertEvent]:
    """Return those with a decision; an event may be purged before its decisions are."""
    before = _NEWEST if wanted.before is None else wanted.before
    found: list[AlertEvent] = []
    numbers: Any = db.execute(statement("events_of_alert"), (wanted.alert, before))
    for (number,) in numbers:
        if len(found) == wanted.limit:
            break
        event = _event(db, number, wanted.tenant)
        if event is not None and wanted.key in (None, event.key):
            found.append(event)
    return found


def _decisions(db: apsw.Connection, wanted: DecisionFilter) -> list[StoredDecision]:
    text, bindings = _page("alert_decisions", wanted, _DECISION_CONDITIONS)
    text = text.replace("{order}", "DESC" if wanted.after is None else "ASC")
    rows: Any = db.execute(text, bindings)
    return [decision_of(row) for row in rows]


def _page(
    name: str, wanted: AlertEventFilter | DecisionFilter, conditions: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    bindings: dict[str, Any] = {"tenant": wanted.tenant, "limit": wanted.limit}
    chosen = ""
    for member, condition in conditions.items():
        value = getattr(wanted, member)
        if value is not None:
            bindings[member] = value
            chosen += f"AND {condition} "
    return statement(name).replace("{conditions}", chosen), bindings


def _letters(db: apsw.Connection, name: str, bindings: tuple[int | str, ...]) -> list[StoredLetter]:
    rows: Any = db.execute(statement(name), bindings)
    return [letter_of(row) for row in rows]


def _place(db: apsw.Connection) -> AlertPlace:
    text = db.execute(statement("mark_of"), (MARK,)).get
    if text is None:
        return AlertPlace()
    urgent, other = map(int, str(text).split())
    return AlertPlace(urgent=urgent, other=other)


def _rows(db: apsw.Connection, after: int) -> list[tuple[int, str, str, str]]:
    rows: Any = db.execute(statement("alert_rows"), (after, ROWS_AT_ONCE)).fetchall()
    return list(rows)
