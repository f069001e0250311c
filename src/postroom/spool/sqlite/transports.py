"""Transports made by calls, on SQLite: few, so they are read whole."""

from collections.abc import Sequence
from typing import Any

import apsw

from postroom.errors import SecretKeyError, StoreError
from postroom.model.transport import StoredTransport
from postroom.spool.codec import micros
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer
from postroom.spool.transports import fields_text, sealed_secrets, stored_transport
from postroom.spool.vault import Vault


def is_anything_sealed(db: apsw.Connection) -> bool:
    """Say whether any row has a sealed secret."""
    return db.execute(statement("sealed_rows")).fetchone() is not None


class SqliteTransports:
    """The port ``TransportRecords``."""

    def __init__(self, writer: Writer, reader: Reader, vault: Vault) -> None:
        """Take the store's writer and reader, and what seals."""
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._put = Verb(name="put transport", rank=Rank.DUTY, apply=self._put_all)

    async def all(self) -> Sequence[StoredTransport]:
        """Return every record, oldest first."""
        return await self._reader.read(self._read)

    async def put(self, record: StoredTransport) -> None:
        """Store a record; one of the same name is replaced and keeps its ``created_at``.

        Raises:
            SecretKeyError: The record has a problem, there is no key, or the secrets of the record before
                cannot be read and not all of them are given anew. Nothing is stored.
            StoreError: The key file cannot be made.
        """
        await self._writer.submit(self._put, record)

    async def remove(self, name: str) -> bool:
        """Remove a record; ``False`` when there is none."""
        removed: bool = await self._writer.submit(_REMOVE, name)
        return removed

    def _read(self, db: apsw.Connection) -> Sequence[StoredTransport]:
        rows: Any = db.execute(statement("stored_transports"))
        return [stored_transport(row, self._vault) for row in rows]

    def _put_all(self, ledger: Ledger, records: Sequence[StoredTransport]) -> Sequence[Exception | None]:
        return [self._put_one(ledger, record) for record in records]

    def _put_one(self, ledger: Ledger, record: StoredTransport) -> Exception | None:
        found: Any = ledger.run(statement("secrets_of_transport"), (record.name,)).fetchone()
        try:
            secrets = sealed_secrets(
                record,
                None if found is None else found[0],
                self._vault,
                lambda: is_anything_sealed(ledger.db),
            )
        except (SecretKeyError, StoreError) as error:
            return error
        ledger.run(
            statement("store_transport"),
            (
                record.name,
                fields_text(record.fields),
                secrets,
                micros(record.created_at),
                micros(record.changed_at),
                record.author,
            ),
        )
        return None


def _remove(ledger: Ledger, names: Sequence[str]) -> Sequence[bool]:
    removed = []
    for name in names:
        ledger.run(statement("delete_transport"), (name,))
        removed.append(ledger.db.changes() == 1)
    return removed


_REMOVE = Verb(name="remove transport", rank=Rank.DUTY, apply=_remove)
