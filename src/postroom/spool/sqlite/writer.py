"""The one writer: one writing connection, group commit, and a thread that waits for the disk.

Operations wait in one backlog ordered by rank (results before what was decided of alerts before intake before
claims before duties) and are committed together: whatever waits, up to ``max_batch``, in one ``BEGIN
IMMEDIATE``. Futures are resolved with one callback per commit and only after it.

Who does what: the event loop runs the statements of the quick verbs (a few microseconds each, on pages in
the cache), the thread runs what waits for the disk: every COMMIT, the duties, checkpoints, and any batch in
which something went wrong. They take turns, so the connection has one user at a time. Reason: with every
statement in the thread, each one gives the interpreter's lock away and must win it back from a busy loop;
measured, that costs more than the statements themselves.

When an operation fails, the batch is rolled back and run again one by one, each in a savepoint, so the
usual way pays for none. When things go wrong:

* The commit fails (EIO and its like): nobody knows whether it happened. The callers get
  UnknownOutcomeError, the connection is never used again, later calls get StoreError (rule A7).
* The disk is full: intake, claims and duties get DiskFullError; for results the ballast is given up and
  the batch tried once more; when that fails too, the writer stops.
* A foreign program holds the write lock: results stay in the backlog, all others get OverloadError.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from time import perf_counter
from typing import Any

import apsw

from postroom.errors import DiskFullError, InvariantError, OverloadError, StoreError, UnknownOutcomeError
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.ledger import Ledger
from postroom.telemetry import logger
from postroom.telemetry.catalogue import COMMIT_OPERATIONS, COMMIT_SECONDS, UNKNOWN_OUTCOMES

log = logger("spool")

IDLE_S = 1.0
"""Without work for this long the write-ahead log is moved into the database."""
COMPANY_S = 0.0005
"""Operations that arrived during a commit wait this long for more: fewer commits, each with pages of its own
to write. Three times as long costs ten callers that wait for answers a sixth of their rate. An operation that
finds the writer idle does not wait."""
ENOUGH = 64
"""Operations that wait for no more company; beyond it grouping gains little."""
BUSY_RETRY_S = 5.0
BUSY_TIMEOUT_MS = 5000
"""The thread waits this long for a foreign program (the ``sqlite3`` shell); the event loop never waits."""


_OF_ONE = (apsw.ConstraintError, InvariantError, UnicodeEncodeError)
"""What one operation brings about by its values, and no other one need suffer from: SQLite takes no lone
surrogates."""


class Rank(IntEnum):
    """What goes first into a commit; a batch runs each verb over all its operations at once."""

    COMMITTING = 0
    SETTLE = 1
    RELEASE = 2
    LOOK = 3
    """What was decided of alerts, one turn at a time: before intake, so that no flood keeps a letter waiting.
    It is no result: when it cannot be stored it is decided again."""
    INTAKE = 4
    CLAIM = 5
    DUTY = 6

    @property
    def is_result(self) -> bool:
        """Whether losing it would lose what became of an attempt."""
        return self <= Rank.RELEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A kind of operation: what it does for a list of its payloads, with one answer each.

    An answer that is an exception fails its operation alone; it must then have written nothing.
    """

    name: str
    rank: Rank
    apply: Callable[[Ledger, Sequence[Any]], Sequence[object]]


class _Operation:
    __slots__ = ("future", "payload", "verb")

    def __init__(self, verb: Verb, payload: object, future: asyncio.Future[Any]) -> None:
        self.verb = verb
        self.payload = payload
        self.future = future


Answers = list[tuple[asyncio.Future[Any], object]]


class _CommitFailedError(Exception):
    """The commit itself failed: the outcome is unknown."""


class Writer:
    """Runs operations in order of rank and answers after their commit."""

    def __init__(self, open_ledger: Callable[[], Ledger], *, spend_ballast: Callable[[], bool]) -> None:
        """Open the ledger and start the thread; raises what opening raises."""
        self._jobs: queue.SimpleQueue[Callable[[], Answers] | None] = queue.SimpleQueue()
        self._backlog: list[_Operation] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_busy = False
        """Whether a turn is scheduled, or the thread has the connection."""
        self._checkpoint: asyncio.TimerHandle | None = None
        self._spend_ballast = spend_ballast
        self._failure: str | None = None
        self.on_failure: Callable[[StoreError], None] | None = None
        """Told once, in the event loop, that the writer has stopped for good: the process must end."""
        self._closing = False
        self._ledger = open_ledger()
        self._ledger.db.set_busy_timeout(0)
        self._max_batch = self._ledger.settings.max_batch
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ event loop side

    def submit(self, verb: Verb, payload: object) -> asyncio.Future[Any]:
        """Queue one operation; the future answers after its commit.

        Raises StoreError when the writer has stopped.
        """
        if self._failure is not None or self._closing:
            raise StoreError(self._failure or "the store is closed")
        loop = self._loop
        if loop is None:  # asked once: it is a system call each time
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._backlog.append(_Operation(verb, payload, future))
        if not self._is_busy:
            # Not at once: what is submitted in the same turn of the loop shares a commit.
            self._is_busy = True
            loop.call_soon(self._turn)
        return future

    def lanes(self, transport: str) -> Iterable[Lane]:
        """Return the lanes of a transport in which something may wait."""
        return self._ledger.lanes.of(transport)

    def waiting(self) -> int:
        """Return how many operations wait for the next commit."""
        return len(self._backlog)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closing

    async def close(self) -> None:
        """Commit what waits, move the log into the database and end the thread. May be called again.

        Raises StoreError when moving the log failed: what is stored is safe, the disk is not.
        """
        was_sound = self._failure is None
        if not self._closing:
            self._closing = True
            if not self._is_busy:
                self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        if was_sound and self._failure is not None:
            raise StoreError(self._failure)

    def _turn(self) -> None:
        """Run the next batch as far as it does not wait for the disk, and hand the rest to the thread."""
        if self._checkpoint is not None:
            self._checkpoint.cancel()
            self._checkpoint = None
        self._backlog.sort(key=_rank)
        batch = self._backlog[: self._max_batch]
        del self._backlog[: self._max_batch]
        if self._failure is None and batch[-1].verb.rank < Rank.DUTY:
            try:
                answers = self._apply(batch, self._apply_together)
            except Exception as error:  # noqa: BLE001 - supervision point: the thread runs it again and judges
                log.info("a batch goes to the thread", operations=len(batch), error=str(error))
            else:
                self._jobs.put(partial(self._finish, batch, answers))
                return
        self._jobs.put(partial(self._flush, batch))

    def _done(self, answers: Answers) -> None:
        """Take the connection back from the thread and answer."""
        if self._failure is not None and self.on_failure is not None:
            tell, self.on_failure = self.on_failure, None
            tell(StoreError(self._failure))
        if self._backlog and self._loop is not None and len(self._backlog) < ENOUGH:
            self._loop.call_later(COMPANY_S, self._turn)
        elif self._backlog:
            self._turn()
        else:
            self._is_busy = False
            if self._closing:
                self._jobs.put(None)
            elif self._loop is not None:
                self._checkpoint = self._loop.call_later(IDLE_S, self._rest)
        _resolve(answers)

    def _rest(self) -> None:
        """After a while without work, let the thread move the log into the database."""
        self._checkpoint = None
        if not self._is_busy and not self._closing and self._failure is None:
            self._is_busy = True
            self._jobs.put(self._move_log)

    # ------------------------------------------------------------------ writer thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            answers = job()
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._done, answers)
        self._end()

    def _move_log(self) -> Answers:
        self._checkpoint_now(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return []

    def _checkpoint_now(self, mode: int) -> None:
        try:
            self._ledger.db.wal_checkpoint(mode=mode)
        except apsw.IOError as error:
            self._stop(f"a checkpoint failed: {error}")
        except apsw.Error:
            pass  # a checkpoint may always be done later, and the next start replays the log

    def _end(self) -> None:
        db = self._ledger.db
        if self._failure is None:
            self._checkpoint_now(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):  # after an I/O error even closing may fail
            db.close()

    def _finish(self, batch: list[_Operation], answers: Answers) -> Answers:
        """Commit what the event loop ran; a disk that is full is met as in a batch of the thread."""
        try:
            self._commit(len(batch))
        except apsw.FullError:
            return self._flush(batch)
        except _CommitFailedError as error:
            return self._unknown(batch, error)
        except Exception as error:  # noqa: BLE001 - supervision point: as in ``_flush``
            return self._failed(batch, error)
        return answers

    def _unknown(self, batch: list[_Operation], error: _CommitFailedError) -> Answers:
        self._stop(f"a commit failed: {error.__cause__}")
        UNKNOWN_OUTCOMES.count(by=len(batch))
        outcome = f"the commit failed and may have happened: {error.__cause__}"
        return [(operation.future, UnknownOutcomeError(outcome)) for operation in batch]

    def _failed(self, batch: list[_Operation], error: Exception) -> Answers:
        self._stop(f"the store failed: {error}")
        return [(operation.future, StoreError(str(self._failure))) for operation in batch]

    def _flush(self, batch: list[_Operation]) -> Answers:
        """Run and commit a batch, waiting for whatever it takes."""
        if self._failure is not None:
            return [(operation.future, StoreError(self._failure)) for operation in batch]
        try:
            return self._flush_or_fail(batch)
        except apsw.BusyError:
            return self._put_off(batch)
        except _CommitFailedError as error:
            return self._unknown(batch, error)
        except Exception as error:  # noqa: BLE001 - supervision point: a store of unknown state must stop, and say so
            return self._failed(batch, error)

    def _flush_or_fail(self, batch: list[_Operation]) -> Answers:
        try:
            return self._transact(batch)
        except apsw.FullError as error:
            log.critical("disk full", operations=len(batch), error=str(error))
        self._spend_ballast()
        refused: Answers = [
            (operation.future, DiskFullError("the disk is full"))
            for operation in batch
            if not operation.verb.rank.is_result
        ]
        results = [operation for operation in batch if operation.verb.rank.is_result]
        return refused + self._transact(results) if results else refused

    def _transact(self, batch: list[_Operation]) -> Answers:
        self._ledger.db.set_busy_timeout(BUSY_TIMEOUT_MS)
        try:
            try:
                answers = self._apply(batch, self._apply_together)
            except _OF_ONE as error:
                if len(batch) > 1:
                    log.warning("one operation failed, running each by itself", error=str(error))
                answers = self._apply(batch, self._apply_each)
        finally:
            self._ledger.db.set_busy_timeout(0)
        self._commit(len(batch))
        return answers

    # ------------------------------------------------------------------ whoever has the connection

    def _apply(self, batch: list[_Operation], apply: Callable[[list[_Operation]], Answers]) -> Answers:
        """Begin a transaction and run a batch in it; rolled back when anything fails."""
        ledger = self._ledger
        ledger.run("BEGIN IMMEDIATE")
        ledger.begin()
        try:
            answers = apply(batch)
            ledger.write_collected()
        except BaseException:
            self._roll_back()
            raise
        return answers

    def _commit(self, operations: int) -> None:
        begun_at = perf_counter()
        try:
            self._ledger.run("COMMIT")
        except apsw.FullError:
            # No commit frame was written whole, so this one certainly did not happen.
            self._roll_back()
            raise
        except apsw.Error as error:
            raise _CommitFailedError from error
        COMMIT_SECONDS.observe(perf_counter() - begun_at)
        COMMIT_OPERATIONS.observe(operations)
        self._ledger.committed()

    def _roll_back(self) -> None:
        if self._ledger.db.in_transaction:  # some errors roll back by themselves
            self._ledger.run("ROLLBACK")

    def _apply_together(self, batch: list[_Operation]) -> Answers:
        answers: Answers = []
        parts: dict[int, list[_Operation]] = {}
        for operation in batch:
            parts.setdefault(id(operation.verb), []).append(operation)
        for part in parts.values():
            results = part[0].verb.apply(self._ledger, [operation.payload for operation in part])
            answers.extend(zip([operation.future for operation in part], results, strict=True))
        return answers

    def _apply_each(self, batch: list[_Operation]) -> Answers:
        ledger = self._ledger
        answers: Answers = []
        for operation in batch:
            collected = ledger.snapshot()
            ledger.run("SAVEPOINT one")
            try:
                (answer,) = operation.verb.apply(ledger, [operation.payload])
            except _OF_ONE as error:
                ledger.run("ROLLBACK TO one")
                ledger.restore(collected)
                answer = InvariantError(f"{operation.verb.name} failed: {error}")
            ledger.run("RELEASE one")
            answers.append((operation.future, answer))
        return answers

    def _put_off(self, batch: list[_Operation]) -> Answers:
        log.error("the database is locked by another program", operations=len(batch))
        self._backlog.extend(operation for operation in batch if operation.verb.rank.is_result)
        busy = OverloadError("the database is locked by another program", retry_after_s=BUSY_RETRY_S)
        return [(operation.future, busy) for operation in batch if not operation.verb.rank.is_result]

    def _stop(self, failure: str) -> None:
        log.critical("the store has stopped", cause=failure)
        self._failure = failure


def _rank(operation: _Operation) -> int:
    return operation.verb.rank


def _resolve(answers: Answers) -> None:
    for future, answer in answers:
        if future.done():
            continue  # the caller has gone; what it asked for is stored all the same
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
