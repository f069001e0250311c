"""Opening connections with the settings that durability rests on, each read back.

A setting that does not hold raises StoreError: an acceptance would mean less than it says
(reliability rule B1). The database file is opened by SQLite only, never by other means in this
process: closing any other descriptor of it would drop SQLite's POSIX locks.
"""

from pathlib import Path

import apsw

from postroom.errors import StoreError

PAGE_SIZE = 4096
BUSY_TIMEOUT_MS = 5000
"""Only a foreign program (the ``sqlite3`` shell) can hold the write lock; wait for it this long."""

_WRITER_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("temp_store", "MEMORY", 2),
    ("mmap_size", "0", 0),
    ("cache_size", "-32768", -32768),
    ("journal_size_limit", str(64 * 1024 * 1024), 64 * 1024 * 1024),
    # 4,000 pages are 16 MiB: under load the writer checkpoints this often, idle it does so by itself.
    ("wal_autocheckpoint", "4000", 4000),
)
_READER_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("query_only", "ON", 1),
    ("temp_store", "MEMORY", 2),
    ("mmap_size", "0", 0),
    ("cache_size", "-8192", -8192),
    ("wal_autocheckpoint", "0", 0),
)


def open_for_writing(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """Open or create the database for the one writer. Raises StoreError."""
    try:
        db = apsw.Connection(str(path), vfs=vfs, statementcachesize=256)
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        # Both only take effect before the first table exists.
        _set(db, "page_size", str(PAGE_SIZE), PAGE_SIZE)
        _set(db, "auto_vacuum", "INCREMENTAL", 2)
        for name, value, expected in _WRITER_PRAGMAS:
            _set(db, name, value, expected)
    except apsw.Error as error:
        raise StoreError(f"cannot open {path}: {error}") from error
    return db


def open_for_reading(path: Path) -> apsw.Connection:
    """Open a connection that cannot write. Raises StoreError."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=64)
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        for name, value, expected in _READER_PRAGMAS:
            _set(db, name, value, expected)
    except apsw.Error as error:
        raise StoreError(f"cannot open {path} for reading: {error}") from error
    return db


def _set(db: apsw.Connection, name: str, value: str, expected: object) -> None:
    db.pragma(name, value)
    actual = db.pragma(name)
    if actual != expected:
        raise StoreError(f"sqlite setting {name} is {actual!r} and must be {expected!r}")
