"""The last commit: how far it came, kept in a small file beside the database.

SQLite cannot tell a write-ahead log that somebody removed from one that never was: it opens the database as
it was at the last checkpoint, and acknowledged mail is gone without a word. So every commit raises a number
in the database, and after it the number is written here, in place and without a sync. At the start a
database that is behind is refused.

The file is never ahead by a power cut: it is written after the commit was synced. It may be behind, for as
long as its page was not written back; then the log is there, for the same reason.

A copy of the database that is put back on purpose is behind as well. The way on is the same for both: remove
the file, and with it the knowledge of what is missing.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from postroom.errors import StoreError
from postroom.telemetry import logger

log = logger("spool")

NAME = "last-commit"
_SIZE = 128
"""Bytes: four numbers of up to 20 digits and their names, in one sector, so never torn."""


class Numbers(NamedTuple):
    """The numbers that only grow."""

    commits: int
    messages: int
    attempts: int
    events: int


class LastCommit:
    """The open file."""

    def __init__(self, directory: Path) -> None:
        """Open or create it. Raises OSError."""
        self.path = directory / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def begin(self, stored: Numbers) -> None:
        """Compare with what the database says and go on from there.

        Raises StoreError when the database is behind, with what is missing.
        """
        known = self._read()
        if known is not None and known.commits > stored.commits:
            raise StoreError(_lost(known, stored, self.path))
        self.write(stored)
        os.fsync(self._file)

    def write(self, numbers: Numbers) -> None:
        """Write what is now committed."""
        text = " ".join(f"{name}={value}" for name, value in numbers._asdict().items())
        with contextlib.suppress(OSError):  # the commit holds without it; the next one writes it again
            os.pwrite(self._file, f"{text}\n".ljust(_SIZE).encode(), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> Numbers | None:
        text = os.pread(self._file, _SIZE, 0).decode("utf-8", "replace")
        if not text.strip():
            return None
        found = dict(part.partition("=")[::2] for part in text.split())
        try:
            return Numbers(**{name: int(found[name]) for name in Numbers._fields})
        except (KeyError, ValueError):
            log.warning("the numbers of the last commit cannot be read", path=str(self.path))
            return None


def _lost(known: Numbers, stored: Numbers, path: Path) -> str:
    missing = [
        f"{name} {first + 1} to {last}"
        for name, first, last in zip(Numbers._fields, stored, known, strict=True)
        if last > first and name != "commits"
    ]
    return (
        f"the database is {known.commits - stored.commits} commits behind what was last acknowledged"
        f" (missing: {', '.join(missing) or 'changes of states, or alerts, only'}): its write-ahead log was"
        " removed, or an older copy was put back. Put the file back that belongs to it; or, to go on without"
        f" what is missing, remove {path}: mail that was sent since may be sent again"
    )
