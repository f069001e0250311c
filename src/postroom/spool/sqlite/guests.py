"""Guests on SQLite: stored with the first mail that brings them, deleted when nothing waits for them.

What is deleted is overwritten in its page; a copy, sealed, may stand in the write-ahead log until that is
written over.
"""

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from postroom.errors import SecretKeyError, StoreError
from postroom.model.guest import StoredGuest
from postroom.spool.guests import guest_row, stored_guest
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.transports import is_anything_sealed
from postroom.spool.sqlite.writer import Rank, Verb, Writer
from postroom.spool.vault import Vault

Failure = SecretKeyError | StoreError


class SqliteGuests:
    """The port ``GuestRecords``."""

    def __init__(self, writer: Writer, reader: Reader, vault: Vault) -> None:
        """Take the store's writer and reader, and what seals."""
        self._writer = writer
        self._reader = reader
        self._vault = vault

    async def all(self) -> Sequence[StoredGuest]:
        """Return every guest, oldest first."""
        return await self._reader.read(self._read)

    async def awaited(self) -> Sequence[str]:
        """Return the names of the guests that mail waits for, stored or not."""
        return await self._reader.read(_awaited)

    async def end(self, names: Sequence[str]) -> Sequence[str]:
        """Delete those that nothing waits for; return their names, stored or not."""
        ended: Sequence[str] = await self._writer.submit(_END, tuple(names))
        return ended

    def _read(self, db: apsw.Connection) -> Sequence[StoredGuest]:
        rows: Any = db.execute(statement("stored_guests"))
        return [stored_guest(row, self._vault) for row in rows]


def put(ledger: Ledger, record: StoredGuest, vault: Vault) -> Failure | None:
    """Store a guest unless it is stored; what stands in the way is the answer."""
    if ledger.run(statement("has_guest"), (record.name,)).fetchone() is not None:
        return None
    try:
        row = guest_row(record, vault, lambda: is_anything_sealed(ledger.db))
    except (SecretKeyError, StoreError) as error:
        return error
    ledger.run(statement("store_guest"), row)
    return None


PutGuest = Callable[[Ledger, StoredGuest], Failure | None]


def _awaited(db: apsw.Connection) -> Sequence[str]:
    return [str(name) for (name,) in db.execute(statement("awaited_guests"))]


def _end(ledger: Ledger, wishes: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    ledger.db.pragma("secure_delete", 1)
    try:
        return [[name for name in names if _end_one(ledger, name)] for names in wishes]
    finally:
        ledger.db.pragma("secure_delete", 0)


def _end_one(ledger: Ledger, name: str) -> bool:
    if ledger.run(statement("is_guest_awaited"), (name,)).fetchone() is not None:
        return False
    ledger.run(statement("delete_guest"), (name,))
    return True


_END = Verb(name="end guests", rank=Rank.DUTY, apply=_end)
