"""The one writer: a thread with the only writing connection, and group commit.

Operations come from the event loop in lists, wait in one backlog ordered by rank (results before intake
before claims before duties), and are committed together: whatever waits, up to ``max_batch``, in one
``BEGIN IMMEDIATE``; nothing waits for company. When an operation fails, the batch is rolled back and run
again one by one, each in a savepoint, so the usual way pays for none. Futures are resolved with one
``call_soon_threadsafe`` per commit and only after it.

When things go wrong:

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import apsw

from postroom.errors import DiskFullError, InvariantError, OverloadError, StoreError, UnknownOutcomeError
from postroom.spool.sqlite.ledger import Ledger
from postroom.telemetry import logger

log = logger("spool")

IDLE_S = 1.0
"""Without work for this long the write-ahead log is moved into the database."""
BUSY_RETRY_S = 5.0


class Rank(IntEnum):
    """What goes first into a commit; a batch runs each verb over all its operations at once."""

    COMMITTING = 0
    SETTLE = 1
    RELEASE = 2
    INTAKE = 3
    CLAIM = 4
    DUTY = 5

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
        """Start the thread and open the ledger in it; raises what opening raises."""
        self._inbox: queue.SimpleQueue[list[_Operation] | None] = queue.SimpleQueue()
        self._arriving: list[_Operation] = []
        self._backlog: list[_Operation] = []
        self._spend_ballast = spend_ballast
        self._failure: str | None = None
        self._closing = False
        self._ledger = open_ledger()
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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._arriving:
            # One hand-over per turn of the loop: what arrives in the same turn shares a commit.
            loop.call_soon(self._hand_over)
        self._arriving.append(_Operation(verb, payload, future))
        return future

    def _hand_over(self) -> None:
        arrived, self._arriving = self._arriving, []
        self._inbox.put(arrived)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closing

    async def close(self) -> None:
        """Commit what waits, move the log into the database and end the thread. May be called again."""
        if not self._closing:
            self._closing = True
            if self._arriving:
                self._hand_over()
            self._inbox.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # ------------------------------------------------------------------ writer thread

    def _run(self) -> None:
        ended = False
        is_clean = True
        while not (ended and not self._backlog):
            if not self._backlog:
                arrived = self._await_work(checkpoint=not is_clean)
                is_clean = True
                ended = arrived is None or ended
                self._backlog.extend(arrived or ())
            ended = self._take_waiting() or ended
            if self._backlog:
                self._backlog.sort(key=_rank)
                batch = self._backlog[: self._max_batch]
                del self._backlog[: self._max_batch]
                is_clean = False
                self._answer(self._flush(batch))
        self._end()

    def _await_work(self, *, checkpoint: bool) -> list[_Operation] | None:
        if checkpoint:
            try:
                return self._inbox.get(timeout=IDLE_S)
            except queue.Empty:
                with contextlib.suppress(apsw.Error):  # a passive checkpoint may always be done later
                    self._ledger.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return self._inbox.get()

    def _take_waiting(self) -> bool:
        ended = False
        while True:
            try:
                arrived = self._inbox.get_nowait()
            except queue.Empty:
                return ended
            ended = ended or arrived is None
            self._backlog.extend(arrived or ())

    def _end(self) -> None:
        db = self._ledger.db
        if self._failure is None:
            with contextlib.suppress(apsw.Error):  # the next start replays the log
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):  # after an I/O error even closing may fail
            db.close()

    def _flush(self, batch: list[_Operation]) -> Answers:
        if self._failure is not None:
            return [(operation.future, StoreError(self._failure)) for operation in batch]
        try:
            return self._flush_or_fail(batch)
        except apsw.BusyError:
            return self._put_off(batch)
        except _CommitFailedError as error:
            self._stop(f"a commit failed: {error.__cause__}")
            outcome = f"the commit failed and may have happened: {error.__cause__}"
            return [(operation.future, UnknownOutcomeError(outcome)) for operation in batch]
        except Exception as error:  # noqa: BLE001 - supervision point: a store of unknown state must stop, and say so
            self._stop(f"the store failed: {error}")
            return [(operation.future, StoreError(str(self._failure))) for operation in batch]

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
        try:
            return self._commit(batch, self._apply_together)
        except (apsw.ConstraintError, InvariantError) as error:
            if len(batch) > 1:
                log.warning("one operation failed, running each by itself", error=str(error))
        return self._commit(batch, self._apply_each)

    def _commit(self, batch: list[_Operation], apply: Callable[[list[_Operation]], Answers]) -> Answers:
        ledger = self._ledger
        ledger.run("BEGIN IMMEDIATE")
        ledger.begin()
        try:
            answers = apply(batch)
            ledger.write_tally()
        except BaseException:
            self._roll_back()
            raise
        try:
            ledger.run("COMMIT")
        except apsw.FullError:
            # No commit frame was written whole, so this one certainly did not happen.
            self._roll_back()
            raise
        except apsw.Error as error:
            raise _CommitFailedError from error
        ledger.committed()
        return answers

    def _roll_back(self) -> None:
        if self._ledger.db.in_transaction:  # some errors roll back by themselves
            self._ledger.run("ROLLBACK")

    def _apply_together(self, batch: list[_Operation]) -> Answers:
        answers: Answers = []
        start = 0
        while start < len(batch):
            verb = batch[start].verb
            end = start + 1
            while end < len(batch) and batch[end].verb is verb:
                end += 1
            part = batch[start:end]
            results = verb.apply(self._ledger, [operation.payload for operation in part])
            answers.extend(zip([operation.future for operation in part], results, strict=True))
            start = end
        return answers

    def _apply_each(self, batch: list[_Operation]) -> Answers:
        ledger = self._ledger
        answers: Answers = []
        for operation in batch:
            tally = ledger.snapshot()
            ledger.run("SAVEPOINT one")
            try:
                (answer,) = operation.verb.apply(ledger, [operation.payload])
            except (apsw.ConstraintError, InvariantError) as error:
                ledger.run("ROLLBACK TO one")
                ledger.restore(tally)
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

    def _answer(self, answers: Answers) -> None:
        if not answers:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            answers[0][0].get_loop().call_soon_threadsafe(_resolve, answers)


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
