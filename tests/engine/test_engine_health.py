"""Health on a real store: outages are stored and told, legs change, addresses that do not exist are kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from peers.engine_room import (
    BAD_LOGIN,
    GREYLISTED,
    LOST_AFTER_DOT,
    OK,
    SLOW_DOWN,
    UNKNOWN_USER,
    ScriptedTransport,
)
from peers.manual import CountingDice, ManualClock
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.janitor import UncertainAlarm
from postroom.engine.rendering import RenderedMessages
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import NotFoundError, OverloadError
from postroom.model.address import Address, Mailbox
from postroom.model.event import EventFilter, EventKind
from postroom.model.ids import DEFAULT_TENANT, ENTROPY_BYTES, MessageId, new_message_id
from postroom.model.message import Content, Door, Envelope, MailClass, Message
from postroom.model.outcome import Evidence
from postroom.model.reply import Reply
from postroom.model.route import Route
from postroom.model.step import Step
from postroom.model.transport import Rate
from postroom.model.view import FOREVER, MessageView, PauseKind
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Work
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite

SENDER = Address("app", "example.com")
FULL = Evidence(step=Step.RCPT, reply=Reply(552, ("5.2.2 mailbox full",), b""))


@dataclass(eq=False)
class TwoLegs:
    """An engine with the ways ``a`` and ``b``; each answers what stands in ``says``."""

    store: SqliteStore
    clock: ManualClock
    ways: Ways
    dispatcher: Dispatcher
    says: dict[str, Evidence]
    signals: Signals
    dice: CountingDice = field(default_factory=CountingDice)

    async def accept(self, route: Route, mail_class: MailClass = MailClass.TRANSACTIONAL) -> MessageId:
        now = self.clock.now()
        name = new_message_id(now, self.dice.token(ENTROPY_BYTES))
        message = Message(
            id=name,
            tenant=DEFAULT_TENANT,
            door=Door.HTTP,
            mail_class=mail_class,
            created_at=now,
            send_at=now,
            expires_at=now + timedelta(days=3),
            uncertain_policy=CLASS_RULES[mail_class].uncertain,
            envelope=Envelope(reverse_path=SENDER, recipients=(Address("r", "example.net"),)),
            content=Content(message_id=f"{name}@example.com", date=now, boundary="b", from_=Mailbox(SENDER)),
        )
        way = self.ways.leg(route, now)
        written = str(route) if len(route.legs) > 1 else ""
        await self.store.spool.accept(message, transport=way.name, route=written)
        self.dispatcher.wake(way.name)
        return name

    async def view(self, name: MessageId) -> MessageView:
        found = await self.store.spool.view(name, tenant=DEFAULT_TENANT)
        assert found is not None
        return found

    async def becomes(self, name: MessageId, state: str, *, attempts: int = 0) -> MessageView:
        """Wait until the recipient is in a state, with so many attempts at least, and all work has ended."""
        async with asyncio.timeout(10):
            while True:
                waiter = self.signals.watch(name, "a")
                view = await self.view(name)
                recipient = view.recipients[0]
                if recipient.state.value == state and len(recipient.attempts) >= attempts:
                    await asyncio.gather(*self.dispatcher._tasks)
                    return view
                await waiter

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for way in self.ways:
            self.dispatcher.wake(way.name)

    async def told(self, kind: EventKind) -> list[dict[str, str]]:
        page = await self.store.events.page(EventFilter(tenant=None, kinds=(kind,)))
        return [{"transport": event.transport, "cause": event.cause, **event.data} for event in page]


@asynccontextmanager
async def two_legs(data: Path, *, rates: tuple[Rate, ...] = ()) -> AsyncIterator[TwoLegs]:
    clock = ManualClock()
    store = open_sqlite(data, settings=SpoolSettings(), clock=clock)
    says = {"a": OK, "b": OK}

    def script(name: str) -> Callable[[Work, int], Evidence]:
        return lambda _work, _number: says[name]

    ways = Ways(
        [
            Way(transport=ScriptedTransport(script(name), clock, name=name), target=name, rates=rates)
            for name in says
        ]
    )
    failures: list[BaseException] = []
    signals = Signals()
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=RenderedMessages(),
        signals=signals,
        clock=clock,
        dice=CountingDice(roll=0.0),
        fatal=failures.append,
        events=store.events,
        operations=store.operations,
    )
    await dispatcher.start()
    try:
        yield TwoLegs(store, clock, ways, dispatcher, says, signals)
    finally:
        await dispatcher.stop(grace_s=1)
        await store.close()
    assert failures == []


def play(
    tmp_path: Path, story: Callable[[TwoLegs], Awaitable[None]], *, rates: tuple[Rate, ...] = ()
) -> None:
    async def whole() -> None:
        async with two_legs(tmp_path / "data", rates=rates) as room:
            await story(room)

    asyncio.run(whole())


BOTH = Route(("a", "b"))


def test_a_refused_login_is_an_outage_and_its_mail_goes_by_the_other_leg(tmp_path: Path) -> None:
    """Stored, told once with its evidence, and no attempt of the message; new mail does not even try."""

    async def story(room: TwoLegs) -> None:
        room.says["a"] = BAD_LOGIN
        first = await room.becomes(await room.accept(BOTH), "accepted", attempts=2)
        assert [(line.transport, line.outcome) for line in first.recipients[0].attempts] == [
            ("a", "deferred"),
            ("b", "accepted"),
        ]
        second = await room.becomes(await room.accept(BOTH), "accepted")
        assert [line.transport for line in second.recipients[0].attempts] == ["b"]
        (opened,) = await room.told(EventKind.TRANSPORT_OPENED)
        assert opened["transport"] == "a"
        assert opened["cause"] == "auth-wrong"
        assert opened["kind"] == "login"
        assert opened["text"] == "535 5.7.8 authentication failed"
        (pause,) = await room.store.spool.pauses()
        assert (pause.kind, pause.is_open) == (PauseKind.LOGIN, True)
        assert not room.dispatcher.health.is_working("a", room.clock.now())
        assert await room.told(EventKind.TRANSPORT_CLOSED) == []

    play(tmp_path, story)


def test_a_refused_login_pauses_before_its_story_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was given back meanwhile would log in as well; a store without time for the story is none."""

    async def story(room: TwoLegs) -> None:
        health, way, asked = room.dispatcher.health, room.ways.default, asyncio.Event()

        async def worked_until(_name: str) -> None:
            assert way.is_paused(room.clock.now())
            asked.set()
            raise OverloadError("busy", retry_after_s=1)

        monkeypatch.setattr(health, "worked_until", worked_until)
        room.says["a"] = BAD_LOGIN
        await room.becomes(await room.accept(BOTH), "accepted", attempts=2)
        assert asked.is_set()

    play(tmp_path, story)


def test_after_an_outage_one_new_message_probes_and_the_rest_keep_to_the_other_leg(tmp_path: Path) -> None:
    """Half-open with nothing queued: the next message that prefers this leg is its probe."""

    async def story(room: TwoLegs) -> None:
        room.says["a"] = BAD_LOGIN
        await room.becomes(await room.accept(BOTH), "accepted", attempts=2)
        room.says["a"] = OK
        room.clock.advance(1000)
        names = [room.ways.leg(BOTH, room.clock.now()).name for _ in range(3)]
        assert names == ["a", "b", "b"]
        room.clock.advance(61)
        probe = await room.becomes(await room.accept(BOTH), "accepted")
        assert probe.transport == "a"
        assert room.ways.leg(BOTH, room.clock.now()).name == "a"
        assert len(await room.told(EventKind.TRANSPORT_CLOSED)) == 1
        assert await room.store.spool.pauses() == []
        assert room.dispatcher.health.level("a") == 2

    play(tmp_path, story)


def test_a_person_suspends_and_resumes(tmp_path: Path) -> None:
    """With author and reason in the event; a failing transport that is resumed is probed at once."""

    async def story(room: TwoLegs) -> None:
        health = room.dispatcher.health
        pause = await health.suspend("a", reason="new contract", author="ops")
        assert (pause.until, pause.author, pause.text) == (FOREVER, "ops", "new contract")
        assert [pause] == list(await room.store.spool.pauses())
        assert (await room.becomes(await room.accept(BOTH), "accepted")).transport == "b"
        alone = await room.accept(Route(("a",)))
        assert await health.resume("a", author="ops")
        await room.becomes(alone, "accepted")
        assert not await health.resume("a", author="ops")
        (suspended,) = await room.told(EventKind.TRANSPORT_SUSPENDED)
        assert (suspended["author"], suspended["note"]) == ("ops", "new contract")
        assert len(await room.told(EventKind.TRANSPORT_RESUMED)) == 1
        room.says["a"] = BAD_LOGIN
        waiting = await room.accept(Route(("a",)))
        await room.becomes(waiting, "queued", attempts=1)
        room.says["a"] = OK
        assert await health.resume("a", author="ops")
        await room.becomes(waiting, "accepted")
        with pytest.raises(NotFoundError):
            await health.suspend("nobody", reason="", author="")

    play(tmp_path, story)


def test_what_waited_for_the_end_of_a_pause_goes_when_a_person_resumes(tmp_path: Path) -> None:
    """A mail that was to be tried again after the pause does not stay behind the mail that comes later."""

    async def story(room: TwoLegs) -> None:
        reply = Reply(530, ("5.7.0 Authentication required",), b"")
        room.says["a"] = Evidence(step=Step.MAIL, reply=reply)
        waiting = await room.accept(Route(("a",)))
        view = await room.becomes(waiting, "queued", attempts=1)
        assert (view.recipients[0].due_at or room.clock.now()) > room.clock.now()
        room.says["a"] = OK
        assert await room.dispatcher.health.resume("a", author="ops")
        await room.becomes(waiting, "accepted")

    play(tmp_path, story)


def test_a_suspension_with_an_end_is_over_by_itself(tmp_path: Path) -> None:
    """The duty of the minute tells it."""

    async def story(room: TwoLegs) -> None:
        health = room.dispatcher.health
        until = room.clock.now() + timedelta(minutes=5)
        await health.suspend("a", reason="maintenance", author="ops", until=until)
        await health.tend()
        assert len(health.pauses("a")) == 1
        room.clock.advance(301)
        await health.tend()
        assert list(health.pauses("a")) == []
        assert await room.store.spool.pauses() == []
        (resumed,) = await room.told(EventKind.TRANSPORT_RESUMED)
        assert resumed["transport"] == "a"

    play(tmp_path, story)


def test_an_address_that_does_not_exist_is_not_sent_to_again(tmp_path: Path) -> None:
    """5.1.1 at RCPT makes a suppression with its message; the next one ends at acceptance."""

    async def story(room: TwoLegs) -> None:
        room.says["a"] = UNKNOWN_USER
        name = await room.accept(Route(("a",)))
        await room.becomes(name, "refused")
        (suppression,) = await room.store.operations.suppressions(DEFAULT_TENANT)
        assert suppression.address == "r@example.net"
        assert suppression.reason.value == "hard_bounce"
        assert suppression.message_id == name
        assert suppression.note == "550 5.1.1 no such user"
        await room.becomes(await room.accept(Route(("a",))), "suppressed")

    play(tmp_path, story)


def test_greylisting_takes_no_try_from_a_full_mailbox(tmp_path: Path) -> None:
    """A passing 5xx has three tries of its own, counted from the attempts on record."""

    async def story(room: TwoLegs) -> None:
        room.says["a"] = GREYLISTED
        name = await room.accept(Route(("a",)))
        for count in range(1, 5):
            await room.becomes(name, "deferred", attempts=count)
            if count == 4:
                room.says["a"] = FULL
            room.later(2 * 3600)
        for count in range(5, 8):
            await room.becomes(name, "deferred", attempts=count)
            room.later(13 * 3600)
        await room.becomes(name, "refused", attempts=8)

    play(tmp_path, story)


def test_a_server_that_asks_for_less_gets_less(tmp_path: Path) -> None:
    """The lesson is stored with its evidence, told, and known to the next process."""

    async def story(room: TwoLegs) -> None:
        for _ in range(9):
            await room.becomes(await room.accept(Route(("a",))), "accepted")
        room.says["a"] = SLOW_DOWN
        await room.becomes(await room.accept(Route(("a",))), "deferred")
        (told,) = await room.told(EventKind.LIMIT_LEARNT)
        assert (told["seen"], told["allowed"], told["window_s"]) == ("10", "8", "3600")
        (limit,) = await room.store.spool.limits()
        assert (limit.allowed, limit.text) == (8, "451 4.7.1 rate limit exceeded")
        (used,) = room.dispatcher.health.limits("a")
        assert (used.allowed, used.configured, used.learnt) == (8, None, limit)
        reborn = Ways([Way(transport=way.transport, target=way.name) for way in room.ways])
        health = type(room.dispatcher.health)(
            spool=room.store.spool, ways=reborn, clock=room.clock, signals=Signals()
        )
        await health.load()
        assert [known.allowed for known in health.limits("a")] == [8]
        assert not health.is_working("a", room.clock.now())
        room.clock.advance(10 * 86400)
        await health.tend()
        assert await room.store.spool.limits() == []

    play(tmp_path, story)


def test_a_pace_outlives_the_process(tmp_path: Path) -> None:
    """What was begun before counts after a start, from the minutes on record."""

    async def story(room: TwoLegs) -> None:
        for _ in range(3):
            await room.becomes(await room.accept(Route(("a",))), "accepted")
        reborn = Ways([Way(transport=room.ways.default.transport, target="a", rates=(Rate(3600, 5),))])
        health = type(room.dispatcher.health)(
            spool=room.store.spool, ways=reborn, clock=room.clock, signals=Signals()
        )
        await health.load()
        assert reborn.default.pace.allowance(room.clock.monotonic()) == 2

    play(tmp_path, story, rates=(Rate(3600, 5),))


def test_uncertain_mail_that_waits_for_a_person_is_told_once_a_day(tmp_path: Path) -> None:
    """When the oldest has waited for an hour, and again a day later while it still waits."""

    async def story(room: TwoLegs) -> None:
        alarm = UncertainAlarm(
            gauge=room.store.gauge,
            events=room.store.events,
            clock=room.clock,
            older_than=timedelta(hours=1),
        )
        room.says["a"] = LOST_AFTER_DOT
        await room.becomes(await room.accept(Route(("a",)), MailClass.BULK), "uncertain")
        counts = []
        for hours in (0.5, 0.6, 0.1, 23.5, 1):
            room.clock.advance(hours * 3600)
            await alarm.look()
            counts.append(len(await room.told(EventKind.UNCERTAIN_AGED)))
        assert counts == [0, 1, 1, 1, 2]

    play(tmp_path, story)
