"""Reading: a few connections that cannot write, each used in a thread of a small pool of their own.

No read lasts longer than ``MAX_READ_S``: a long reader would keep the write-ahead log from starting over
(reliability rule B3). A query that takes longer is interrupted and raises OverloadError.
"""

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from postroom.clock import Clock
from postroom.errors import OverloadError, StoreError
from postroom.spool.sqlite.connection import open_for_reading

MAX_READ_S = 2.0
THREADS = 2
_STEPS_BETWEEN_LOOKS = 100_000

T = TypeVar("T")


class Reader:
    """Runs functions that read, each on a connection of its own."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open the connections. Raises StoreError."""
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="spool-reader")
        self._free: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._all = [open_for_reading(path) for _ in range(THREADS)]
        for db in self._all:
            self._free.put(db)

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in one read transaction. Raises StoreError, OverloadError when it takes too long."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        db = self._free.get()
        ends_at = self._clock.monotonic() + MAX_READ_S
        db.set_progress_handler(lambda: self._clock.monotonic() > ends_at, _STEPS_BETWEEN_LOOKS)
        try:
            db.execute("BEGIN")
            try:
                return work(db)
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except apsw.InterruptError as error:
            raise OverloadError(
                f"the search took more than {MAX_READ_S:.0f} s: narrow it", retry_after_s=1.0
            ) from error
        except apsw.Error as error:
            raise StoreError(f"reading the store failed: {error}") from error
        finally:
            self._free.put(db)

    async def run(self, work: Callable[[], T]) -> T:
        """Run other blocking work of the store in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for what runs and close the connections."""
        self._pool.shutdown(wait=True)
        for db in self._all:
            db.close()
