"""Failures reach the operator by mail: once, bounded, by a way that works, and through every restart."""

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from peers.engine_room import BAD_LOGIN, OK, UNKNOWN_USER, Script, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.notices import MARK, Notices
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.model.address import NULL_PATH, Address, parse_mailbox
from postroom.model.event import Event, EventFilter, EventKind, NewEvent
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Submission
from postroom.model.outcome import Evidence
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Work
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite

OPERATOR = parse_mailbox("Operator <ops@example.net>")
EVERY = timedelta(minutes=15)


def unknown_users(work: Work, number: int) -> Evidence:
    """Accept notices and refuse everybody else."""
    return OK if dict(work.recipients)[number] == OPERATOR.address else UNKNOWN_USER


def refuses_all(_work: Work, _number: int) -> Evidence:
    return UNKNOWN_USER


def accepts_all(_work: Work, _number: int) -> Evidence:
    return OK


def wrong_login(_work: Work, _number: int) -> Evidence:
    return BAD_LOGIN


@dataclass
class Life:
    """One life of an engine with noticing, on a store that outlives it."""

    store: SqliteStore
    clock: ManualClock
    transports: dict[str, ScriptedTransport]
    intake: Intake
    notices: Notices
    dispatcher: Dispatcher
    failures: list[BaseException] = field(default_factory=list)

    async def send(self, *to: str) -> None:
        submission = Submission(
            from_=parse_mailbox("app@example.com"), to=tuple(map(parse_mailbox, to)), subject="s", text="t"
        )
        await self.intake.submit(submission, senders=())

    def notices_of(self, name: str = "main") -> list[Work]:
        works = self.transports[name].works
        return [work for work in works if work.recipients[0][1] == OPERATOR.address]

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
        await self.until(lambda: self.clock.monotonic() >= end, step_s=max(seconds / 200, 1.0))

    async def events(self, *kinds: EventKind) -> Sequence[Event]:
        return await self.store.events.page(EventFilter(tenant=None, kinds=kinds, after=0, limit=500))

    async def happened(self, count: int, *kinds: EventKind) -> None:
        """Wait until so many events of some kinds are stored."""
        async with asyncio.timeout(20):
            while len(await self.events(*kinds)) < count:  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.002)


@asynccontextmanager
async def life(
    data: Path,
    clock: ManualClock,
    *,
    spare: Script | None = None,
    account: Address | None = None,
    **main: Script,
) -> AsyncIterator[Life]:
    store, dice = open_sqlite(data, settings=SpoolSettings(), clock=clock), CountingDice()
    dice.token(int(clock.monotonic()) % 97)  # another life, other ids
    scripts = {"main": main.get("script", unknown_users)} | ({"spare": spare} if spare else {})
    transports = {name: ScriptedTransport(script, clock, name=name) for name, script in scripts.items()}
    ways = Ways([Way(transport=one, target="test", account=account) for one in transports.values()])
    failures: list[BaseException] = []
    rendered, signals = RenderedMessages(), Signals()
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=failures.append,
        events=store.events,
    )
    intake = Intake(
        spool=store.spool,
        ways=ways,
        routes=Routes(ways),
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    notices = Notices(
        to=[OPERATOR],
        every=EVERY,
        name="mail.example.com",
        events=store.events,
        marks=store.marks,
        spool=store.spool,
        ways=ways,
        intake=intake,
        clock=clock,
        fatal=failures.append,
    )
    await store.spool.recover(now=clock.now(), wait=timedelta(minutes=15))
    await dispatcher.start()
    await notices.start()
    try:
        # The first life begins at the newest event: what comes from now on is news.
        async with asyncio.timeout(10):
            while not await store.marks.mark(MARK):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.002)
        yield Life(store, clock, transports, intake, notices, dispatcher, failures)
    finally:
        await notices.stop()
        await dispatcher.stop(grace_s=1)
        await store.close()
    assert [] == failures


@asynccontextmanager
async def capturing() -> AsyncIterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logged:
        yield logged


def content(work: Work) -> str:
    return b"".join(part for part in work.rendered.segments if isinstance(part, bytes)).decode()


def test_a_refused_mail_is_noticed(tmp_path: Path) -> None:
    """Ten seconds after a refusal the operator has one mail with address, cause, id and what to do."""

    async def main() -> None:
        async with life(tmp_path, ManualClock()) as room:
            await room.send("gone@example.org")
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(9)
            assert [] == room.notices_of()
            await room.until(lambda: bool(room.notices_of()))
            (work,) = room.notices_of()
            text = content(work)

            assert "gone@example.org" in text
            assert "\r\nAuto-Submitted: auto-generated\r\n" in text
            assert "\r\nSubject: [mail.example.com] 1 recipient will not get mail\r\n" in text
            assert "text/plain" in text
            assert "text/html" in text
            assert (NULL_PATH, 2) == (work.reverse_path, work.priority)

    asyncio.run(main())


def test_a_login_is_the_reverse_path(tmp_path: Path) -> None:
    """Where the way logs in, providers want its address in MAIL FROM, and the sender is the login's."""

    async def main() -> None:
        account = Address("relay", "example.com")
        async with life(tmp_path, ManualClock(), account=account) as room:
            await room.send("gone@example.org")
            await room.until(lambda: bool(room.notices_of()))
            (work,) = room.notices_of()

            assert (account, "relay@example.com") == (work.reverse_path, work.sender)

    asyncio.run(main())


@pytest.mark.slow
def test_many_failures_are_few_mails(tmp_path: Path) -> None:
    """A hundred refusals make one notice at once and one with the rest a quarter of an hour later."""

    async def main() -> None:
        async with life(tmp_path, ManualClock()) as room:
            for number in range(50):
                await room.send(f"gone{number}@example.org")
            await room.happened(50, EventKind.RECIPIENT_REFUSED)
            await room.until(lambda: len(room.notices_of()) == 1)
            for number in range(50, 100):
                await room.send(f"gone{number}@example.org")
            await room.happened(100, EventKind.RECIPIENT_REFUSED)
            begun = room.clock.now()
            await room.passes(14 * 60)
            assert 1 == len(room.notices_of())
            await room.until(lambda: len(room.notices_of()) == 2)
            await room.passes(3600)

            assert timedelta(minutes=14) < room.clock.now() - begun
            first, second = map(content, room.notices_of())
            assert "50 recipients will not get mail" in first
            assert "50 recipients will not get mail" in second

    asyncio.run(main())


def test_a_notice_never_makes_a_notice(tmp_path: Path) -> None:
    """When the notice itself is refused, no other one is written, however long one waits."""

    async def main() -> None:
        async with life(tmp_path, ManualClock(), script=refuses_all) as room:
            await room.send("gone@example.org")
            await room.until(lambda: len(room.notices_of()) == 1)
            await room.happened(2, EventKind.RECIPIENT_REFUSED)
            await room.passes(4 * 3600)

            assert 1 == len(room.notices_of())
            assert 2 == len(await room.events(EventKind.RECIPIENT_REFUSED))

    asyncio.run(main())


def test_an_outage_is_told_by_another_way(tmp_path: Path) -> None:
    """A refused login of one account is told by the other, which the rules would not have chosen."""

    async def main() -> None:
        async with life(tmp_path, ManualClock(), script=wrong_login, spare=accepts_all) as room:
            await room.send("a@example.org")
            await room.happened(1, EventKind.TRANSPORT_OPENED)
            await room.until(lambda: bool(room.notices_of("spare")))
            (work,) = room.notices_of("spare")

            assert "nothing is sent by main" in content(work)
            assert [] == room.notices_of("main")

    asyncio.run(main())


def test_without_a_way_the_notice_waits(tmp_path: Path) -> None:
    """With one account, its login refused, the log says so; when it works again, one mail tells it."""

    async def main() -> None:
        async with capturing() as logged, life(tmp_path, ManualClock(), script=wrong_login) as room:
            await room.send("a@example.org")
            await room.happened(1, EventKind.TRANSPORT_OPENED)
            await room.passes(30)
            assert [] == room.notices_of()
            assert 1 == sum("no transport works" in one["event"] for one in logged)
            room.transports["main"].script = accepts_all
            await room.until(lambda: bool(room.notices_of()), step_s=30)

            assert "nothing is sent by main" in content(room.notices_of()[0])

    asyncio.run(main())


def test_a_restart_neither_loses_nor_doubles(tmp_path: Path) -> None:
    """A failure before a stop is told by the next life, and what was told is not told again."""

    async def main() -> None:
        clock = ManualClock()
        async with life(tmp_path, clock) as room:
            await room.send("gone@example.org")
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            assert [] == room.notices_of()
        async with life(tmp_path, clock) as room:
            await room.until(lambda: len(room.notices_of()) == 1)
            assert "gone@example.org" in content(room.notices_of()[0])
            await room.passes(5)
        clock.advance(3600)
        async with life(tmp_path, clock) as room:
            await room.passes(120)
            assert [] == room.notices_of()

    asyncio.run(main())


@pytest.mark.parametrize("crash_at", [0, 1, 2, 3])
def test_a_crash_at_each_write_sends_one_notice(tmp_path: Path, crash_at: int) -> None:
    """Cut off before or after any of its writes, the next life sends the notice once, and only once."""

    async def main() -> None:
        clock = ManualClock()
        handed_in = []
        async with life(tmp_path, clock) as room:
            writes = 0
            stuck = asyncio.Event()
            set_mark, submit = room.store.marks.set_mark, room.intake.submit

            async def crashing(write: Callable[[], object]) -> None:
                nonlocal writes
                writes += 1
                if writes > crash_at:
                    stuck.set()
                    await asyncio.Event().wait()
                write()

            async def crashing_mark(name: str, text: str) -> None:
                await crashing(lambda: None)
                await set_mark(name, text)

            async def crashing_submit(*args: object, **options: object) -> object:
                await crashing(lambda: handed_in.append(args))
                return await submit(*args, **options)  # type: ignore[arg-type]  # passed on as they came

            room.notices._marks = Patched(crashing_mark)  # type: ignore[assignment]  # one method is used
            room.notices._intake = PatchedIntake(crashing_submit)  # type: ignore[assignment]  # as above
            await room.send("gone@example.org")
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            if crash_at < 3:
                await room.until(stuck.is_set)
            else:
                await room.until(lambda: len(room.notices_of()) == 1)
                await room.passes(5)
        sent = len(room.notices_of())
        async with life(tmp_path, clock) as room:
            await room.passes(2 * 3600)

            assert 1 == sent + len(room.notices_of())

    asyncio.run(main())


@dataclass
class Patched:
    set_mark: Callable[..., object]


@dataclass
class PatchedIntake:
    submit: Callable[..., object]


def test_what_was_before_the_first_life_is_no_news(tmp_path: Path) -> None:
    """Noticing that is switched on later does not tell of the past."""

    async def main() -> None:
        clock = ManualClock()
        store = open_sqlite(tmp_path, settings=SpoolSettings(), clock=clock)
        await store.events.append([NewEvent(at=clock.now(), kind=EventKind.QUOTA_NEAR_END, transport="main")])
        await store.close()
        async with life(tmp_path, clock) as room:
            await room.passes(600)
            assert [] == room.notices_of()
            at = clock.now()
            await room.store.events.append([NewEvent(at=at, kind=EventKind.QUOTA_NEAR_END, transport="main")])
            await room.until(lambda: len(room.notices_of()) == 1)
            view = await room.store.spool.view(room.notices_of()[0].message_id, tenant=DEFAULT_TENANT)
            assert view is not None
            assert ("postroom", ("postroom-notice",)) == (view.door, view.tags)

    asyncio.run(main())
