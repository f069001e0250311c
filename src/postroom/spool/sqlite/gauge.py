"""The port ``StoreGauge`` on SQLite: a few steps over indexes, whatever the length of the queue."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import apsw

from postroom.ports.gauge import StoreReading
from postroom.spool.codec import instant
from postroom.spool.disk import DiskWatch
from postroom.spool.sqlite.queries import counts
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteGauge:
    """Looks at an open store."""

    reader: Reader
    disk: DiskWatch
    path: Path
    """The database file."""
    waiting: Callable[[], int]
    """How many operations wait for the writer."""

    async def reading(self) -> StoreReading:
        """Look now."""
        free, reserve = self.disk.look()
        return await self.reader.read(lambda db: self._read(db, free, reserve))

    def _read(self, db: apsw.Connection, free: int, reserve: int) -> StoreReading:
        oldest = db.execute(statement("oldest_uncertain")).fetchone()
        return StoreReading(
            counts=counts(db).by_state,
            oldest_due_at=_oldest_due(db),
            uncertain_since=None if oldest is None else instant(int(str(oldest[0]))),
            wal_bytes=self._wal_bytes(),
            waiting_operations=self.waiting(),
            disk_free=free,
            disk_reserve=reserve,
            is_intake_stopped=free <= reserve,
        )

    def _wal_bytes(self) -> int:
        # Its size is asked for by name; opening it by other means would drop SQLite's locks.
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0


def _oldest_due(db: apsw.Connection) -> dict[int, datetime]:
    oldest: dict[int, int] = {}
    lane: tuple[object, ...] | None = ("", "", "", 0, 0)
    while (lane := db.execute(statement("next_lane"), lane).fetchone()) is not None:
        found = db.execute(statement("next_due"), lane).fetchone()
        if found is not None:
            priority, due_at = int(str(lane[3])), int(str(found[0]))
            oldest[priority] = min(due_at, oldest.get(priority, due_at))
    return {priority: instant(due_at) for priority, due_at in oldest.items()}
