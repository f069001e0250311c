"""Opening the store: the directory, the lock, the checks, then the parts.

One process at a time: an exclusive lock on ``DATA/lock`` is held for life, a second instance is refused
(reliability rule B4), and so every lease found in the database belongs to a life that is over.
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apsw

from postroom.clock import Clock, Dice, SystemDice
from postroom.errors import StoreError
from postroom.spool.blobs import FileBlobs, sync_directory
from postroom.spool.codec import micros
from postroom.spool.disk import DiskWatch, refuse_unsafe_file_system
from postroom.spool.secret_key import make_keys, read_keys
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite import guests
from postroom.spool.sqlite.alerts import SqliteAlerts
from postroom.spool.sqlite.connection import open_for_reading, open_for_writing
from postroom.spool.sqlite.events import SqliteEvents
from postroom.spool.sqlite.gauge import SqliteGauge
from postroom.spool.sqlite.guests import SqliteGuests
from postroom.spool.sqlite.hooks import SqliteHooks
from postroom.spool.sqlite.inbox import SqliteCaptures, SqliteKeys
from postroom.spool.sqlite.last_commit import LastCommit
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.migrations import migrate, migrations
from postroom.spool.sqlite.operations import SqliteOperations
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.sealed import (
    SealedRow,
    SqliteSecrets,
    give_free_pages_back,
    seal_readable,
    sealed_rows,
)
from postroom.spool.sqlite.spool import SqliteSpool
from postroom.spool.sqlite.templates import SqliteTemplates
from postroom.spool.sqlite.transports import SqliteTransports
from postroom.spool.sqlite.writer import Writer
from postroom.spool.vault import Vault
from postroom.telemetry import logger

DATABASE = "postroom.sqlite"
SEALING = 4
"""The schema step since which secrets are sealed."""

DURABILITY = (
    "an accepted message is in SQLite's write-ahead log and synced to this machine's disk"
    " (journal_mode=WAL, synchronous=FULL, read back); it survives a crash of the program and of the machine,"
    " not the loss of the disk"
)


log = logger("spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteStore:
    """The parts of an open store."""

    spool: SqliteSpool
    blobs: FileBlobs
    captures: SqliteCaptures
    keys: SqliteKeys
    events: SqliteEvents
    operations: SqliteOperations
    hooks: SqliteHooks
    marks: SqliteHooks
    transports: SqliteTransports
    guests: SqliteGuests
    templates: SqliteTemplates
    alerts: SqliteAlerts
    secrets: SqliteSecrets
    gauge: SqliteGauge
    durability: str = DURABILITY
    """What an acceptance means here, for people."""
    _writer: Writer
    _reader: Reader
    _last_commit: LastCommit
    _lock: int

    def on_failure(self, tell: Callable[[StoreError], None]) -> None:
        """Have ``tell`` called, once and in the event loop, when the store has stopped for good (rule A7)."""
        self._writer.on_failure = tell

    async def close(self) -> None:
        """Commit what waits, close everything and give the lock back. May be called again.

        Raises StoreError when the last checkpoint failed; everything is closed all the same.
        """
        if self._writer.is_closed:
            return
        try:
            await self._writer.close()
        finally:
            self._reader.close()
            self._last_commit.close()
            os.close(self._lock)


def open_sqlite(
    data: Path, *, settings: SpoolSettings, clock: Clock, dice: Dice | None = None, vfs: str | None = None
) -> SqliteStore:
    """Open or create the store in a directory.

    Args:
        data: The data directory; made with mode 0700 when it is not there.
        settings: Bounds of the store.
        clock: For the free space and the time of migrations.
        dice: For keys and nonces, used by the writer's thread alone; ``None`` are the system's.
        vfs: Name of SQLite's file layer, for fault injection; ``None`` is the default one.

    Raises:
        StoreError: The directory cannot be used, is held by another process or lies on an unsafe file system;
            the database is newer, damaged or refuses a setting; the secrets' key is not private or no key.
        SecretKeyError: Readable secrets of an earlier program cannot be sealed.
    """
    data = data.absolute()
    lock = _locked_directory(data, settings)
    try:
        path = _database(data)
        vault = _vault(data, settings, dice or SystemDice())
        put_guest = partial(guests.put, vault=vault)
        last_commit = LastCommit(data)
        disk = DiskWatch(data, settings, clock)
        blobs = FileBlobs(data, disk, grace=settings.blob_grace)
        writer = Writer(
            lambda: _open_ledger(path, settings, last_commit, vault=vault, clock=clock, vfs=vfs),
            spend_ballast=disk.spend_ballast,
        )
        sync_directory(data)
        reader = Reader(path, clock)
    except (OSError, apsw.Error) as error:
        os.close(lock)
        raise StoreError(f"cannot use {data}: {error}") from error
    except BaseException:
        os.close(lock)
        raise
    return SqliteStore(
        spool=SqliteSpool(
            writer=writer, reader=reader, blobs=blobs, disk=disk, path=path, put_guest=put_guest
        ),
        blobs=blobs,
        captures=SqliteCaptures(writer, reader),
        keys=SqliteKeys(writer, reader),
        events=SqliteEvents(writer, reader),
        operations=SqliteOperations(writer, reader),
        hooks=(hooks := SqliteHooks(writer, reader, vault)),
        marks=hooks,
        transports=SqliteTransports(writer, reader, vault),
        guests=SqliteGuests(writer, reader, vault),
        templates=SqliteTemplates(writer, reader),
        alerts=SqliteAlerts(writer, reader, disk),
        secrets=SqliteSecrets(writer, vault),
        gauge=SqliteGauge(reader=reader, disk=disk, path=path, waiting=writer.waiting),
        _writer=writer,
        _reader=reader,
        _last_commit=last_commit,
        _lock=lock,
    )


def _database(data: Path) -> Path:
    """Return the database's path; a new one is nobody else's to read."""
    path = data / DATABASE
    if not path.exists():
        # SQLite alone would leave the mode to the umask; its -wal and -shm take the database's.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def look_at_secrets(data: Path, settings: SpoolSettings) -> tuple[tuple[str, ...], Sequence[SealedRow]]:
    """Return the ids of the keys, the current one first, and every row with secrets.

    Only reads, and may run beside a server. Raises StoreError.
    """
    path = data / DATABASE
    if not path.is_file():
        raise StoreError(f"there is no store in {data}")
    vault, db = _vault(data, settings, SystemDice()), open_for_reading(path)
    try:
        if int(str(db.pragma("user_version"))) < SEALING:
            raise StoreError(f"the store in {data} is of an earlier program: start this one once")
        return vault.keys.ids if vault.keys else (), sealed_rows(db, vault)
    except apsw.Error as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    finally:
        db.close()


def _vault(data: Path, settings: SpoolSettings, dice: Dice) -> Vault:
    keys = read_keys(data, settings.secret_key)
    return Vault(keys, make=lambda: make_keys(data, dice=dice), dice=dice)


def _open_ledger(
    path: Path,
    settings: SpoolSettings,
    last_commit: LastCommit,
    *,
    vault: Vault,
    clock: Clock,
    vfs: str | None,
) -> Ledger:
    """Open the writer's connection, bring the schema up to date and compare with the last commit."""
    db = open_for_writing(path, vfs=vfs)
    try:
        _bring_up_to_date(db, vault, now=micros(clock.now()))
        ledger = Ledger(db, settings, committed=last_commit.write)
        last_commit.begin(ledger.numbers)
        for row in sealed_rows(db, vault):
            if row.problem:
                log.error("a secret cannot be opened", table=row.table, name=row.row, cause=row.problem)
    except BaseException:
        db.close()
        last_commit.close()
        raise
    return ledger


def _bring_up_to_date(db: apsw.Connection, vault: Vault, *, now: int) -> None:
    """Migrate, and seal what an earlier program stored readable."""
    db.pragma("secure_delete", 1)
    version = int(str(db.pragma("user_version")))
    if 0 < version < SEALING:
        give_free_pages_back(db)
    migrate(db, migrations(), now=now)
    seal_readable(db, vault)
    db.pragma("secure_delete", 0)


def _locked_directory(data: Path, settings: SpoolSettings) -> int:
    """Make the directory and lock it; return the lock's descriptor."""
    try:
        if not data.is_dir():
            data.mkdir(mode=0o700, parents=True)
            sync_directory(data.parent)
        if not settings.force_file_system:
            refuse_unsafe_file_system(data)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot use {data}: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"{data} is in use by another postroom: one process at a time") from error
    return lock
