"""The sealed secrets of a store as a whole: looking, sealing anew, sealing what was stored readable.

Earlier programs stored the secrets of webhook endpoints readable; schema step 4 left them in
``hook_readable``. At the start after it they are sealed in one transaction, and then swept: deleted content
is overwritten, the database written anew, the write-ahead log emptied. That table goes last, so a kill in
between makes the next start sweep again. Not reached: copies made earlier, what the disk itself keeps of
blocks that were given back, and in a database above ``MAX_REWRITTEN`` pages that had held a secret and then
went to another table.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from postroom.errors import SecretKeyError
from postroom.model.secret import Secret
from postroom.spool.guests import TABLE as GUESTS
from postroom.spool.sealing import SealingKeys, id_in
from postroom.spool.sqlite import hooks
from postroom.spool.sqlite.connection import PAGE_SIZE
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.transports import is_anything_sealed
from postroom.spool.sqlite.writer import Rank, Verb, Writer
from postroom.spool.transports import TABLE as TRANSPORTS
from postroom.spool.vault import Opened, Vault, sealed_fields
from postroom.telemetry import logger

_RESEAL = {TRANSPORTS: "reseal_transport", hooks.TABLE: "reseal_hook", GUESTS: "reseal_guest"}

MAX_REWRITTEN = 256 * 1024 * 1024
"""Bytes of a database that is written anew to be rid of readable secrets: it goes through memory."""

log = logger("spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """A row with secrets."""

    table: str
    row: str
    key_ids: tuple[str, ...]
    """The keys it is sealed with, each once."""
    problem: str
    """Cause id why they cannot be opened; empty when they can."""


def sealed_rows(db: apsw.Connection, vault: Vault) -> list[SealedRow]:
    """Return every row with secrets, and whether they can be opened."""
    return [
        SealedRow(
            table=table,
            row=row,
            key_ids=tuple(dict.fromkeys(map(id_in, (sealed_fields(column) or {}).values()))),
            problem=vault.open(column, table=table, row=row, is_remembered=False).problem,
        )
        for table, row, column in _columns(db)
    ]


def _columns(db: apsw.Connection) -> Iterator[tuple[str, str, str]]:
    rows: Any = db.execute(statement("sealed_rows"))
    yield from rows


# --------------------------------------------------------------------------- what was stored readable


def seal_readable(db: apsw.Connection, vault: Vault) -> None:
    """Seal the secrets that an earlier program left readable, and sweep what is left of them.

    Raises SecretKeyError, and StoreError when the key file cannot be made; nothing is changed then.
    """
    if not db.table_exists("main", "hook_readable"):
        return
    with db:
        rows: Any = db.execute("SELECT * FROM hook_readable ORDER BY rowid").fetchall()
        for row in rows:
            texts = json.loads(row[hooks.SECRETS])
            secrets = {str(place): Secret(text) for place, text in enumerate(texts)}
            hooks.insert_hook(db, hooks.hook_of(row, Opened(secrets)), vault)
        db.execute("DELETE FROM hook_readable")
    if not is_anything_sealed(db) or _is_swept(db):
        db.execute("DROP TABLE hook_readable")


def give_free_pages_back(db: apsw.Connection) -> None:
    """Let no new table get a page on which parts of a secret may still stand."""
    db.execute("PRAGMA incremental_vacuum").fetchall()


def _is_swept(db: apsw.Connection) -> bool:
    """Leave no readable text in pages and log; ``False`` when that must be tried at the next start."""
    give_free_pages_back(db)
    try:
        if int(str(db.pragma("page_count"))) * PAGE_SIZE <= MAX_REWRITTEN:
            db.execute("VACUUM")
        else:
            log.warning(
                "parts of old webhook secrets may be left in a large database: give the webhooks new ones"
            )
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.FullError) as error:
        log.warning("readable secrets are swept at the next start", error=str(error))
        return False
    return True


# --------------------------------------------------------------------------- sealing anew


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reseal:
    """Seal every row with the current one of these keys; they open what is sealed now, too."""

    keys: SealingKeys
    leave_unreadable: bool
    """Leave rows alone that cannot be opened, instead of refusing."""


class SqliteSecrets:
    """Every secret of an open store."""

    def __init__(self, writer: Writer, vault: Vault) -> None:
        """Take the store's writer and what seals."""
        self._writer = writer
        self._vault = vault
        self._reseal = Verb(name="reseal", rank=Rank.DUTY, apply=self._reseal_all)

    async def reseal(self, keys: SealingKeys, *, leave_unreadable: bool = False) -> Sequence[SealedRow]:
        """Seal every row anew in one transaction, use these keys from then on; return the rows as they were.

        Raises SecretKeyError when a row cannot be opened; nothing is changed then.
        """
        wish = _Reseal(keys=keys, leave_unreadable=leave_unreadable)
        rows: Sequence[SealedRow] = await self._writer.submit(self._reseal, wish)
        self._vault.keys = keys
        return rows

    def _reseal_all(
        self, ledger: Ledger, wishes: Sequence[_Reseal]
    ) -> Sequence[Sequence[SealedRow] | SecretKeyError]:
        return [self._reseal_one(ledger, wish) for wish in wishes]

    def _reseal_one(self, ledger: Ledger, wish: _Reseal) -> Sequence[SealedRow] | SecretKeyError:
        vault = self._vault.with_keys(wish.keys)
        rows = sealed_rows(ledger.db, vault)
        bad = [row for row in rows if row.problem]
        if bad and not wish.leave_unreadable:
            named = ", ".join(f"{row.row} ({row.table}: {row.problem})" for row in bad)
            return SecretKeyError(bad[0].problem, f"cannot be opened: {named}")
        # What was sealed with a key that may be known to others is overwritten, not only replaced.
        ledger.db.pragma("secure_delete", 1)
        for table, row, column in list(_columns(ledger.db)):
            opened = vault.open(column, table=table, row=row)
            if not opened.problem:
                anew = vault.seal(opened.secrets, table=table, row=row, is_anything_sealed=lambda: True)
                ledger.run(statement(_RESEAL[table]), (anew, row))
        return rows
