"""An engine with reporting, on a store that outlives it, and senders that refuse some."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from peers.engine_room import GREYLISTED, OK, UNKNOWN_USER, Script, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.reporting import MARK, ReportManner, Reports
from postroom.engine.routes import Routes
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.model.address import Address, Mailbox, parse_address, parse_mailbox
from postroom.model.event import Event, EventFilter, EventKind
from postroom.model.ids import MessageId
from postroom.model.message import Door, MailClass, RawMail, ReportWish, Submission
from postroom.model.outcome import Evidence
from postroom.model.route import Route
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Work
from postroom.spool.memory.opening import MemoryStore
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite

SENDER = parse_address("app@example.com")
GONE = "gone@example.org"
Store = SqliteStore | MemoryStore


def unknown_users(work: Work, number: int) -> Evidence:
    """Refuse everybody whose name begins with gone; be busy for slow ones; accept the rest."""
    local = dict(work.recipients)[number].local
    if local.startswith("gone"):
        return UNKNOWN_USER
    return GREYLISTED if local.startswith("slow") else OK


def refuses_all(_work: Work, _number: int) -> Evidence:
    return UNKNOWN_USER


@dataclass
class Life:
    """One life of an engine with reporting, on a store that outlives it."""

    store: Store
    clock: ManualClock
    transports: dict[str, ScriptedTransport]
    intake: Intake
    reports: Reports
    dispatcher: Dispatcher
    failures: list[BaseException] = field(default_factory=list)

    async def send(
        self,
        *to: str,
        wish: dict[str, Any] | None = None,
        door: Door = Door.SMTP,
        route: Route | None = None,
        mail_class: MailClass = MailClass.TRANSACTIONAL,
        head: bytes = b"",
    ) -> MessageId:
        """Hand in a mail as the SMTP door does."""
        raw = RawMail(head=head + b"From: app@example.com\r\nSubject: Hello\r\n", body=b"Hello\r\n")
        submission = Submission(
            door=door,
            from_=Mailbox(SENDER),
            bcc=tuple(map(parse_mailbox, to)),
            subject="Hello",
            raw=raw,
            message_id="hello@example.com",
            mail_class=mail_class,
            reports=None if wish is None else ReportWish(to=SENDER, **wish),
        )
        message_id, _, _ = await self.intake.submit(submission, senders=(), route=route)
        return message_id

    def sent(self, name: str = "main") -> list[Work]:
        """Return the reports a transport was given."""
        return [work for work in self.transports[name].works if work.recipients[0][1] == SENDER]

    async def until(self, condition: Callable[[], bool], *, step_s: float = 1.0) -> None:
        """Let time pass in steps until something is so."""
        async with asyncio.timeout(20):
            while not condition():
                self.clock.advance(step_s)
                for name in self.transports:
                    self.dispatcher.wake(name)
                await asyncio.sleep(0.002)

    async def passes(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.monotonic() + seconds
        await self.until(lambda: self.clock.monotonic() >= end, step_s=max(seconds / 40, 1.0))

    async def events(self, *kinds: EventKind) -> Sequence[Event]:
        return await self.store.events.page(EventFilter(tenant=None, kinds=kinds, after=0, limit=500))

    async def expires(self, count: int = 1, *, days: int = 0) -> None:
        """Let the time of recipients be over; one in an attempt is not touched before that has ended."""
        async with asyncio.timeout(20):
            while len(await self.events(EventKind.RECIPIENT_EXPIRED)) < count:
                await self.store.spool.expire(now=self.clock.now() + timedelta(days=days), limit=10)
                await asyncio.sleep(0.002)

    async def happened(self, count: int, *kinds: EventKind) -> None:
        """Wait until so many events of some kinds are stored."""
        async with asyncio.timeout(20):
            while len(await self.events(*kinds)) < count:  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.002)


@dataclass
class House:
    """Where lives are lived: one store, on disk or in memory."""

    data: Path
    clock: ManualClock
    memory: MemoryStore | None = None

    def open(self) -> Store:
        if self.memory is not None:
            return self.memory
        return open_sqlite(self.data, settings=SpoolSettings(), clock=self.clock)

    @asynccontextmanager
    async def life(self, *, account: Address | None = None, **scripts: Script) -> AsyncIterator[Life]:
        store, dice, clock = self.open(), CountingDice(), self.clock
        dice.token(int(clock.monotonic()) % 97)  # another life, other ids
        scripts = {"main": unknown_users, **scripts}
        transports = {name: ScriptedTransport(script, clock, name=name) for name, script in scripts.items()}
        ways = Ways([Way(transport=one, target="test", account=account) for one in transports.values()])
        failures: list[BaseException] = []
        rendered = RenderedMessages()
        shared: dict[str, Any] = {"spool": store.spool, "ways": ways, "clock": clock}
        dispatcher = Dispatcher(
            **shared,
            rules=CLASS_RULES,
            rendered=rendered,
            signals=Signals(),
            dice=dice,
            fatal=failures.append,
            events=store.events,
        )
        intake = Intake(
            **shared,
            routes=Routes(ways),
            dispatcher=dispatcher,
            rendered=rendered,
            rules=CLASS_RULES,
            limits=MessageLimits(),
            dice=dice,
        )
        reports = Reports(
            ReportManner(mta="mail.example.com"),
            **shared,
            events=store.events,
            marks=store.marks,
            intake=intake,
            fatal=failures.append,
        )
        await store.spool.recover(now=clock.now(), wait=timedelta(minutes=15))
        await dispatcher.start()
        await reports.start()
        try:
            # The first life begins at the newest event: what comes from now on is news.
            async with asyncio.timeout(10):
                while not await store.marks.mark(MARK):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.002)
            yield Life(store, clock, transports, intake, reports, dispatcher, failures)
        finally:
            await reports.stop()
            await dispatcher.stop(grace_s=1)
            await store.close()
        assert [] == failures
