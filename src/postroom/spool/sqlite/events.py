"""The port ``Events`` on SQLite: appended by the writer, read page by page by a reader."""

import json
from collections.abc import Sequence
from typing import Any

import apsw

from postroom.model.event import Event, EventFilter, EventKind, NewEvent
from postroom.model.ids import MessageId, TenantId
from postroom.spool.codec import instant, micros
from postroom.spool.groups import members_of, members_text
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer

_USUAL = frozenset({EventKind.MESSAGE_QUEUED, EventKind.RECIPIENT_ACCEPTED, EventKind.RECIPIENT_CAPTURED})
"""Kinds without an index of their own: nearly every event is one of them."""


def append(ledger: Ledger, batches: Sequence[Sequence[NewEvent]]) -> Sequence[None]:
    """Store events."""
    for events in batches:
        for event in events:
            ledger.note(
                event.kind,
                at=micros(event.at),
                tenant=event.tenant,
                seq=None if event.message_id is None else _seq(ledger, event.message_id, event.tenant),
                members=members_text(sorted(event.recipients)) if event.recipients else "",
                transport=event.transport,
                cause=event.cause,
                data=event.data,
            )
    return [None] * len(batches)


def _seq(ledger: Ledger, message_id: MessageId, tenant: TenantId) -> int | None:
    row = ledger.run(statement("seq_of_message"), (message_id, tenant)).fetchone()
    return None if row is None else int(str(row[0]))


_APPEND = Verb(name="append events", rank=Rank.DUTY, apply=append)


class SqliteEvents:
    """The port ``Events``."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Take the store's writer and reader."""
        self._writer = writer
        self._reader = reader

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Store events that no other verb stores."""
        if events:
            await self._writer.submit(_APPEND, tuple(events))

    async def page(self, wanted: EventFilter) -> Sequence[Event]:
        """Return one page: oldest first with ``after``, else newest first."""
        return await self._reader.read(lambda db: page(db, wanted))

    async def newest(self) -> int:
        """Return the number of the newest event, 0 when there is none."""

        def work(db: apsw.Connection) -> int:
            row = db.execute(statement("newest_event")).fetchone()
            return 0 if row is None else int(str(row[0]))

        return await self._reader.read(work)


_CONDITIONS = {
    "tenant": "event.tenant = :tenant",
    "message_id": "event.seq = (SELECT seq FROM message WHERE id = :message_id)",
    "transport": "event.transport = :transport",
    "after": "event.number > :after",
    "before": "event.number < :before",
}


def page(db: apsw.Connection, wanted: EventFilter) -> list[Event]:
    """Return one page of events."""
    bindings: dict[str, Any] = {"limit": wanted.limit}
    conditions = []
    for name, condition in _CONDITIONS.items():
        value = getattr(wanted, name)
        if value is not None:
            bindings[name] = value
            conditions.append(condition)
    is_forward = wanted.after is not None
    text = statement("event_page").replace("{order}", "ASC" if is_forward else "DESC")
    found: list[tuple[Any, ...]] = []
    for kinds in _kinds(wanted):
        chosen = text.replace("{conditions}", "".join(f"AND {one} " for one in [*conditions, *kinds]))
        found += db.execute(chosen, bindings)
    found.sort(reverse=not is_forward)
    return [_event(db, row) for row in found[: wanted.limit]]


def events_between(db: apsw.Connection, first: int, last: int, limit: int) -> list[Event]:
    """Return events by their numbers, both ends included, oldest first."""
    return _chosen(
        db, "event.number BETWEEN :first AND :last", {"first": first, "last": last, "limit": limit}
    )


def events_by_number(db: apsw.Connection, numbers: Sequence[int]) -> dict[int, Event]:
    """Return those of some events that are still there."""
    condition = "event.number IN (SELECT value FROM json_each(:numbers))"
    found = _chosen(db, condition, {"numbers": json.dumps(numbers), "limit": len(numbers)})
    return {event.number: event for event in found}


def _chosen(db: apsw.Connection, condition: str, bindings: dict[str, Any]) -> list[Event]:
    text = statement("event_page").replace("{conditions}", f"AND {condition}").replace("{order}", "ASC")
    rows: Any = db.execute(text, bindings).fetchall()
    return [_event(db, row) for row in rows]


def _kinds(wanted: EventFilter) -> list[list[str]]:
    """Return the conditions on the kind, one list a query: an index has one kind at a time in order."""
    kinds = set(wanted.kinds)
    if not kinds:
        return [[]]
    if wanted.message_id is not None or kinds & _USUAL:
        names = ", ".join(f"'{kind.value}'" for kind in sorted(kinds))
        return [[f"event.kind IN ({names})"]]
    # Written out, so that the planner sees that the partial index holds these kinds.
    unusual = [f"event.kind <> '{kind.value}'" for kind in sorted(_USUAL)]
    return [[f"event.kind = '{kind.value}'", *unusual] for kind in sorted(kinds)]


def _event(db: apsw.Connection, row: tuple[Any, ...]) -> Event:
    number, at, kind, tenant, seq, message_id, members, transport, cause, data = row
    recipients = members_of(members) if members else ()
    return Event(
        number=number,
        at=instant(at),
        kind=EventKind(kind),
        tenant=TenantId(tenant),
        message_id=None if message_id is None else MessageId(message_id),
        recipients=recipients,
        addresses=_addresses(db, seq, recipients),
        transport=transport,
        cause=cause,
        data=json.loads(data) if data else {},
    )


def _addresses(db: apsw.Connection, seq: int | None, recipients: Sequence[int]) -> tuple[str, ...]:
    if seq is None or not recipients:
        return ()
    known: dict[object, str] = {
        number: str(address) for number, address in db.execute(statement("addresses"), (seq,))
    }
    return tuple(known.get(number, "") for number in recipients)
