"""Looks at events and clocks, one after the other, and stores what came of it.

One task owns the book: it reads events after the place, the urgent lane first, asks the book about each and
about every clock that is due, and stores the place with everything that changed in one commit. A commit that
fails changes nothing: the book is read from the store again and the turn is made once more, later. An event
at which the book fails, or of which nothing can be stored, gets a ``fault`` decision and is passed over; it
never stops its lane.

What persons change (a silence, rules) goes through ``change``, to be committed in order with the rest.

What it does not do: deciding (``policy.alerting``), making mails of letters (``courier``).
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from postroom.clock import Clock
from postroom.errors import CallerError, DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.alert import (
    AlertDecision,
    AlertEvent,
    AlertPlace,
    AlertTurn,
    Clause,
)
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import alert_id
from postroom.ports import AlertRecords
from postroom.telemetry import logger
from postroom.telemetry.catalogue import ALERT_DECISIONS, ALERT_LETTERS

PAGE = 200
"""Events of one commit."""
SLICE_S = 0.004
"""How long the book is asked before others may use the event loop; a step takes 0.06 ms."""
LOOK_AT_CLOCK = 16
"""Events between two looks at the clock that bounds a slice."""
MANY = 1_000
"""Alerts of one look that is taken in a thread: it would hold the event loop for tens of milliseconds."""
MAX_WAITING = 100_000
"""Events that may wait (security limit): some minutes of work, and a hundred megabytes in the store."""
FOR_URGENT = 10_000
"""As many more may wait when one of those that come is severe: a flood never shuts these out."""
COME_BACK_S = 10.0
IDLE_S = 3600.0
"""The longest sleep: the machine's clock may have been set."""
FIRST_BUSY_S = 1.0
MOST_BUSY_S = 30.0
FATAL = (StoreError, UnknownOutcomeError)

log = logger("alerts")

T = TypeVar("T")


class _FaultError(Exception):
    """The book failed at an event; what it holds since the last commit is not to be trusted."""


class Evaluator:
    """Owns the book; runs until stopped."""

    def __init__(
        self,
        rules: Callable[[], AlertRules],
        *,
        records: AlertRecords,
        clock: Clock,
        fatal: Callable[[BaseException], None],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the parts.

        Args:
            rules: Returns what decides now; after a change ``adopt`` is called.
            records: Events, the book, letters.
            clock: Time and waiting.
            fatal: Called when the store fails and the process must end.
            written: Called when letters were stored; must be cheap.
        """
        self._rules = rules
        self._records = records
        self._clock = clock
        self._fatal = fatal
        self._written = written
        self._book: Book | None = None
        """``None``: to be read from the store."""
        self._place = AlertPlace()
        self._faults: dict[int, str] = {}
        """Events at which the book fails, with the name of the error."""
        self._page = PAGE
        """Fewer events while what came of one of them cannot be stored."""
        self._passed_over: frozenset[tuple[str, str]] = frozenset()
        """Clocks at which it fails: left alone until the next start."""
        self._reported = 0
        self._lock = asyncio.Lock()
        """Held over every change of the book and its commit."""
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.waiting = 0
        """Events that were not looked at yet."""
        self.trouble = ""
        """What a person should look at, as a sentence; ``""`` while everything works."""

    @property
    def active(self) -> int:
        """How many alerts are active; 0 while the book is read."""
        return 0 if self._book is None else self._book.counts.active

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._serve(), name="alerts")

    async def stop(self) -> None:
        """End; what was not looked at yet is looked at by the next life."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ------------------------------------------------------------------ for the desk

    def refuse_when_full(self, *, is_urgent: bool) -> None:
        """Raise OverloadError while too many events wait."""
        if self.waiting >= MAX_WAITING + FOR_URGENT * is_urgent:
            raise OverloadError(
                f"{self.waiting} alert events wait to be looked at", retry_after_s=COME_BACK_S
            )

    def reported(self, count: int) -> None:
        """Say that events were stored."""
        self._reported += count
        self.waiting += count
        self._bell.set()

    async def read(self, look: Callable[[Book, datetime], T]) -> T:
        """Return what is found in the book now. Raises OverloadError: it cannot be read from the store."""
        async with self._lock:
            return look(await self._open(), self._clock.now())

    async def change(self, act: Callable[[Book, datetime], T]) -> T:
        """Change the book, and return after the commit.

        What ``act`` raises of CallerError it raises before it changes anything. Raises OverloadError,
        DiskFullError: nothing is changed; UnknownOutcomeError.
        """
        async with self._lock:
            book = await self._open()
            now = self._clock.now()
            try:
                result = act(book, now)
            except CallerError:
                raise
            except BaseException:
                self._book = None
                raise
            await self._settle(book, self._place)
        self._bell.set()  # the next clock may be another one now
        return result

    async def adopt(self) -> None:
        """Decide by the rules that hold now. Raises as ``change``; they hold from the next look then."""
        async with self._lock:
            book = await self._open()
            self._book = None
            # Not in the loop: every active alert is routed again.
            await asyncio.to_thread(book.adopt, self._rules(), self._clock.now())
            self._book = book
            await self._settle(book, self._place)
        self._bell.set()

    # ------------------------------------------------------------------ the task

    async def _serve(self) -> None:
        busy_s = FIRST_BUSY_S
        while True:
            self._bell.clear()
            try:
                wait_s = await self._turn()
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.warning("alerts put off", error=str(error))
            except Exception:  # supervision: alerts never end by a bug; the book is read again
                self._book = None
                self.trouble = "alerts are reported and nobody is told: they cannot be looked at, see the log"
                log.exception("alerts put off")
            else:
                busy_s, self.trouble = FIRST_BUSY_S, ""
                await (self._pause(wait_s) if wait_s else asyncio.sleep(0))
                continue
            await self._clock.sleep(busy_s)
            busy_s = min(2 * busy_s, MOST_BUSY_S)

    async def _turn(self) -> float:
        """Look at what is due and what waits; return the seconds until the next clock."""
        async with self._lock:
            book = await self._open()
            try:
                if await self._ticked(book):
                    await self._settle(book, self._place)
                    return 0.0
                reported = self._reported
                page = self._page
                events = await self._records.waiting(self._place, limit=page)
                faults = await self._look(book, events)
                await self._settle_or_narrow(book, events, faults)
            except _FaultError:
                self._book = None
                return 0.0
            except asyncio.CancelledError:
                self._book = None  # half a look may be in it
                raise
            if len(events) == page:
                self.waiting = max(self.waiting - page, 0)
                return 0.0
            self.waiting = self._reported - reported
            next_at = book.next_at
        if next_at is None:
            return IDLE_S
        return min(max((next_at - self._clock.now()).total_seconds(), 0.0), IDLE_S)

    async def _open(self) -> Book:
        if self._book is None:
            self._place, rows = await self._records.book()
            # Not in the loop: a hundred thousand alerts take seconds.
            self._book = await asyncio.to_thread(Book.load, self._rules(), rows, at=self._clock.now())
            self._book.passed_over = self._passed_over
            self.waiting = await self._records.backlog(self._place)
        return self._book

    async def _ticked(self, book: Book) -> bool:
        """Look at clocks that are due; say whether more are than belong in one commit."""
        now, looked = self._clock.now(), 0
        ends_at = self._clock.monotonic() + SLICE_S
        try:
            while weight := book.weight(now):
                await self._tick(book, weight, now)
                looked += weight
                if looked >= PAGE:
                    return True
                if self._clock.monotonic() >= ends_at:
                    await asyncio.sleep(0)
                    ends_at = self._clock.monotonic() + SLICE_S
        except Exception as error:  # supervision: one clock never stops the others
            log.exception("a clock of the alerts cannot be looked at", clock=book.looking_at)
            if book.looking_at is None:
                raise
            self._passed_over |= {book.looking_at}
            raise _FaultError from error
        return False

    @staticmethod
    async def _tick(book: Book, weight: int, now: datetime) -> None:
        """Let the next clock act; not in the loop when that takes long."""
        if weight < MANY:
            book.tick(now, limit=1)
        else:
            await asyncio.to_thread(book.tick, now, limit=1)

    async def _look(self, book: Book, events: Sequence[AlertEvent]) -> list[AlertDecision]:
        """Ask the book about events; return the decisions about those at which it fails."""
        faults: list[AlertDecision] = []
        ends_at = self._clock.monotonic() + SLICE_S
        for index, event in enumerate(events):
            if index % LOOK_AT_CLOCK == 0 and self._clock.monotonic() >= ends_at:
                await asyncio.sleep(0)  # the loop is everybody's
                ends_at = self._clock.monotonic() + SLICE_S
            now = self._clock.now()
            if (error := self._faults.get(event.number)) is not None:
                faults.append(_fault(event, error, now))
                continue
            try:
                while (weight := book.weight(now)) >= MANY:
                    await self._tick(book, weight, now)
                book.take(event, now)
            except Exception as error:  # supervision: one event never stops the others
                log.exception("an alert event cannot be looked at", number=event.number, key=event.key)
                if book.looking_at is None:
                    self._faults[event.number] = type(error).__name__
                else:  # a clock that is due before it
                    self._passed_over |= {book.looking_at}
                raise _FaultError from error
        return faults

    async def _settle_or_narrow(
        self, book: Book, events: Sequence[AlertEvent], faults: Sequence[AlertDecision]
    ) -> None:
        """Store a look at events; where this program cannot, halve the page until one is left to blame."""
        try:
            await self._settle(book, _moved(self._place, events), faults)
        except (*FATAL, OverloadError, DiskFullError):
            raise
        except Exception as error:  # supervision: what came of one event never stops the others
            if not events or self._faults.pop(events[0].number, ""):
                raise  # nor can anything be stored without it
            log.exception("what came of alert events cannot be stored", first=events[0].number)
            if len(events) == 1:
                self._faults[events[0].number] = type(error).__name__
            self._page = max(len(events) // 2, 1)
            raise _FaultError from error
        self._page = min(2 * self._page, PAGE)

    async def _settle(self, book: Book, place: AlertPlace, more: Sequence[AlertDecision] = ()) -> None:
        """Store what changed; when that fails the book is to be read again."""
        try:
            rows, decisions, letters = (
                book.drain() if book.changes < MANY else await asyncio.to_thread(book.drain)
            )
            decisions = (*decisions, *more)
            if not (rows or decisions or letters or place != self._place):
                return
            moved = place if place != self._place else None
            await self._records.settle(
                AlertTurn(place=moved, rows=rows, decisions=decisions, letters=letters)
            )
        except BaseException:
            self._book = None
            raise
        self._place = place
        if more:
            self._faults.clear()
        for decision in decisions:
            ALERT_DECISIONS.count((decision.clause.value,))
        for letter in letters:
            ALERT_LETTERS.count((letter.kind.value,))
        if letters:
            self._written()

    async def _pause(self, seconds: float) -> None:
        """Wait until somebody rings, at most so long."""
        waits = {asyncio.ensure_future(self._bell.wait()), asyncio.ensure_future(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()


def _moved(place: AlertPlace, events: Sequence[AlertEvent]) -> AlertPlace:
    """Return the place behind these events."""
    urgent = [event.number for event in events if event.severity.is_urgent]
    other = [event.number for event in events if not event.severity.is_urgent]
    return AlertPlace(urgent=max(urgent, default=place.urgent), other=max(other, default=place.other))


def _fault(event: AlertEvent, error: str, now: datetime) -> AlertDecision:
    return AlertDecision(
        at=now,
        tenant=event.tenant,
        alert=alert_id(event),
        clause=Clause.FAULT,
        event=event.number,
        data={"error": error},
    )
