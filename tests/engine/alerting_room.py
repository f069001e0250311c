"""The desk of alerts and its evaluator, on a store that outlives them and may fail when told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from peers.manual import CountingDice, ManualClock
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.rules import Rulebook
from postroom.errors import PostroomError
from postroom.model.alert import (
    AlertState,
    AlertTurn,
    Clause,
    DecisionFilter,
    Letter,
    NewAlertEvent,
    Severity,
    StoredDecision,
)
from postroom.model.alert_rules import AlertRules, Receiver, Recipient
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.alert_fitting import merged
from postroom.spool.memory.opening import MemoryStore, open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite

RULES = AlertRules(
    receivers={"default": Receiver(name="default", recipients=(Recipient(address="ops@example.com"),))}
)
HOUR = timedelta(hours=1)


def firing(key: str = "disk-full", about: str = "db1", **more: Any) -> NewAlertEvent:
    return NewAlertEvent(key=key, object=about, state=AlertState.FIRING, source="app", **more)


def over(event: NewAlertEvent) -> NewAlertEvent:
    return replace(event, state=AlertState.RESOLVED)


CRITICAL = firing("fire", severity=Severity.CRITICAL, is_severity_said=True)


class Records:
    """The store's records; ``settle`` fails as often as it is told, before the commit or after it."""

    def __init__(self, store: SqliteStore | MemoryStore) -> None:
        self._records = store.alerts
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []
        self.turns: list[AlertTurn] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def settle(self, turn: AlertTurn) -> None:
        if self.before:
            raise self.before.pop()
        await self._records.settle(turn)
        self.turns.append(turn)
        if self.after:
            raise self.after.pop()


@dataclass
class Life:
    """One life."""

    store: SqliteStore | MemoryStore
    records: Records
    clock: ManualClock
    evaluator: Evaluator
    rulebook: Rulebook
    alerts: Alerts
    failures: list[BaseException] = field(default_factory=list)
    rings: list[None] = field(default_factory=list)
    """One for each time that letters were written."""

    async def report(self, *events: NewAlertEvent) -> Sequence[int]:
        """Report and wait until it was looked at."""
        numbers = await self.alerts.accept(events)
        await self.settled()
        return numbers

    async def settled(self) -> None:
        """Wait until everything that waits was looked at."""
        await self.until(lambda: not self.evaluator.waiting)
        await self.evaluator.read(lambda _book, _now: None)  # behind a turn that runs

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.0005)

    async def passes(self, seconds: float, letters: int) -> None:
        """Let time pass, and wait until so many letters were written in all."""
        await self.until(lambda: any(not future.done() for _, future in self.clock._sleepers))
        self.clock.advance(seconds)
        async with asyncio.timeout(10):
            while len(await self.letters()) < letters:  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.0005)

    async def letters(self) -> list[Letter]:
        return [stored.letter for stored in await self.records.open_letters(limit=1000)]

    async def decisions(self, **wanted: Any) -> Sequence[StoredDecision]:
        """Return decisions, oldest first."""
        chosen = DecisionFilter(tenant=DEFAULT_TENANT, **{"after": 0, "limit": 5000, **wanted})
        found: Sequence[StoredDecision] = await self.records.decisions(chosen)
        return found

    async def clauses(self, **wanted: Any) -> list[Clause]:
        return [one.clause for one in await self.decisions(**wanted)]


@dataclass
class House:
    """Where lives are lived: one store, on disk or in memory."""

    data: Path
    clock: ManualClock = field(default_factory=ManualClock)
    memory: MemoryStore | None = None
    rules: AlertRules = RULES
    dice: CountingDice = field(default_factory=CountingDice)

    def open(self) -> SqliteStore | MemoryStore:
        if self.memory is not None:
            return self.memory
        return open_sqlite(self.data, settings=SpoolSettings(), clock=self.clock)

    @asynccontextmanager
    async def life(self, *, is_started: bool = True, fails: bool = False) -> AsyncIterator[Life]:
        """Live; ``fails`` says that the store is to fail for good."""
        store, failures, rings = self.open(), list[BaseException](), list[None]()
        records: Any = Records(store)
        rulebook = Rulebook(self.rules, records=records, merged=merged)
        evaluator = Evaluator(
            lambda: rulebook.rules,
            records=records,
            clock=self.clock,
            fatal=failures.append,
            written=lambda: rings.append(None),
        )
        alerts = Alerts(
            records=records,
            evaluator=evaluator,
            rulebook=rulebook,
            spool=store.spool,
            clock=self.clock,
            dice=self.dice,
        )
        await rulebook.load()
        if is_started:
            await evaluator.start()
        try:
            yield Life(store, records, self.clock, evaluator, rulebook, alerts, failures, rings)
        finally:
            await evaluator.stop()
            await store.close()
        assert fails == bool(failures)


def house(kind: str, data: Path, rules: AlertRules = RULES) -> House:
    return House(data, memory=open_memory() if kind == "memory" else None, rules=rules)


async def wait_for(error: PostroomError, life: Life, *events: NewAlertEvent) -> None:
    """Report while the next commit of a look fails; wait until it has failed."""
    life.records.before.append(error)
    await life.alerts.accept(events)
    await life.until(lambda: not life.records.before)
