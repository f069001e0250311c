"""An engine on a real SQLite store with a transport that follows a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peers.manual import CountingDice, ManualClock
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.fetching import Fetching
from postroom.engine.intake import Intake
from postroom.engine.keyring import KeyRing
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.mime.rendered import DEFAULT_VARIANT, Variant
from postroom.model.address import parse_mailbox
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Fetcher, Report, ReportLine, Spool, Work
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite

OK = Evidence(step=Step.BODY_END, reply=Reply(250, ("2.0.0 queued",), b"250 2.0.0 queued\r\n"))
GREYLISTED = Evidence(step=Step.RCPT, reply=Reply(450, ("4.2.0 come back later",), b""))
UNKNOWN_USER = Evidence(step=Step.RCPT, reply=Reply(550, ("5.1.1 no such user",), b""))
BAD_LOGIN = Evidence(step=Step.AUTH, reply=Reply(535, ("5.7.8 authentication failed",), b""))
SLOW_DOWN = Evidence(step=Step.BODY_END, reply=Reply(451, ("4.7.1 rate limit exceeded",), b""))
LOST_AFTER_DOT = Evidence(step=Step.BODY_END, fault=Fault(kind=FaultKind.CLOSED, text="connection reset"))

Script = Callable[[Work, int], Evidence]


@dataclass(eq=False)
class ScriptedTransport:
    """Answers each recipient as the script says; keeps what it was given."""

    script: Script
    clock: ManualClock
    name: str = "main"
    capacity: int = 4
    max_recipients: int = 100
    variant: Variant = DEFAULT_VARIANT
    is_capture: bool = False
    works: list[Work] = field(default_factory=list)
    raises: BaseException | None = None
    gate: asyncio.Event | None = None
    allowed: int = 0
    given: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def attempt(self, work: Work) -> Report:
        async with self.given:
            self.works.append(work)
            self.given.notify_all()
        if self.gate is not None:
            await self.gate.wait()
        lines = [(number, self.script(work, number)) for number, _ in work.recipients]
        if any(evidence.step is Step.BODY_END for _, evidence in lines) and not await work.commit():
            return Report(lines=())
        if self.raises is not None:
            raise self.raises
        now = self.clock.now()
        return Report(
            lines=tuple(
                ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=3)
                for number, evidence in lines
            )
        )

    def allow(self, connections: int) -> None:
        self.allowed = connections

    async def stop(self, *, grace_s: float) -> None:
        del grace_s
        if self.gate is not None:
            self.gate.set()


@dataclass(eq=False)
class EngineRoom:
    service: Service
    spool: Spool
    transport: ScriptedTransport
    dispatcher: Dispatcher
    clock: ManualClock
    signals: Signals
    failures: list[BaseException]

    async def attempts(self, count: int) -> None:
        """Wait until the transport was given ``count`` works."""
        async with self.transport.given:
            await self.transport.given.wait_for(lambda: len(self.transport.works) >= count)

    async def becomes(self, message_id: str, state: str) -> None:
        """Wait until the first recipient of a message is in ``state``."""
        name = MessageId(message_id)
        while True:
            waiter = self.signals.watch(name, self.transport.name)
            view = await self.service.view(name, tenant=DEFAULT_TENANT)
            if view.recipients[0].state.value == state:
                return
            await waiter

    async def later(self, seconds: float) -> None:
        """Let time pass and the dispatcher look."""
        self.clock.advance(seconds)
        self.dispatcher.wake(self.transport.name)


@asynccontextmanager
async def engine_room(
    data: Path, script: Script, *, fetcher: Fetcher | None = None
) -> AsyncIterator[EngineRoom]:
    """Run an engine whose time stands still until told; with a ``fetcher`` it fetches files."""
    clock, dice = ManualClock(), CountingDice()
    store = open_sqlite(data, settings=SpoolSettings(), clock=clock)
    transport = ScriptedTransport(script, clock)
    failures: list[BaseException] = []
    ways = Ways([Way(transport=transport, target="test", default_from=parse_mailbox("app@example.com"))])
    rendered, signals = RenderedMessages(), Signals()
    fetching = None
    if fetcher is not None:
        fetching = Fetching(
            spool=store.spool,
            blobs=store.blobs,
            fetcher=fetcher,
            rules=CLASS_RULES,
            limits=MessageLimits(),
            signals=signals,
            clock=clock,
            dice=dice,
        )
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=failures.append,
        fetching=fetching,
    )
    intake = Intake(
        spool=store.spool,
        ways=ways,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    service = Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ways,
        intake=intake,
        signals=signals,
        keyring=KeyRing(store.keys, clock=clock, dice=dice),
        limits=MessageLimits(),
        clock=clock,
        durability=store.durability,
    )
    await dispatcher.start()
    try:
        yield EngineRoom(service, store.spool, transport, dispatcher, clock, signals, failures)
    finally:
        await dispatcher.stop(grace_s=1)
        await store.close()
