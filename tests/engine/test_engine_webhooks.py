"""Endpoints are told of every event at least once, by real HTTP, whatever they do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks

from peers.hook_server import HookServer, Request, hook_server, plain
from peers.manual import CountingDice, ManualClock
from postroom.egress.hooks import GuardedPoster
from postroom.engine.hooks import ROUND, TRIES_AT_ONCE, Teller
from postroom.errors import StoreError
from postroom.model.event import Event, EventFilter, EventKind, NewEvent
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.secret import Secret
from postroom.net.guard import Guard
from postroom.policy import hooking
from postroom.spool.memory.hooks import MemoryHooks

SECRET = hooking.new_secret(b"a secret of thirty-two bytes....")
OK = plain(200, b"thanks")


class Story:
    """The port ``Events`` as a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(self, events: Sequence[NewEvent]) -> None:
        for new in events:
            self.events.append(
                Event(
                    number=len(self.events) + 1,
                    at=new.at,
                    kind=new.kind,
                    tenant=new.tenant,
                    transport=new.transport,
                    cause=new.cause,
                    data=new.data,
                )
            )

    async def page(self, wanted: EventFilter) -> Sequence[Event]:
        return [event for event in self.events if event.number > (wanted.after or 0)][: wanted.limit]

    async def newest(self) -> int:
        return len(self.events)


@dataclass
class HookRoom:
    """A teller over stores in memory, with real posts to loopback."""

    clock: ManualClock
    story: Story
    hooks: MemoryHooks
    poster: GuardedPoster
    failures: list[BaseException] = field(default_factory=list)
    teller: Teller = field(init=False)

    def __post_init__(self) -> None:
        self.teller = self.another()

    def another(self) -> Teller:
        return Teller(
            hooks=self.hooks,
            events=self.story,
            poster=self.poster,
            clock=self.clock,
            dice=CountingDice(0.0),
            fatal=self.failures.append,
        )

    async def add(self, server: HookServer, hook_id: str = "h1", **changes: object) -> None:
        hook = Hook(
            id=hook_id,
            tenant=DEFAULT_TENANT,
            url=server.url,
            kinds=(),
            secrets=(SECRET,),
            created_at=self.clock.now(),
            told_up_to=await self.story.newest(),
        )
        await self.hooks.add(replace(hook, **changes))  # type: ignore[arg-type]  # field by field
        self.teller.changed()

    async def happens(self, count: int = 1, kind: EventKind = EventKind.TRANSPORT_CLOSED) -> None:
        at = self.clock.now()
        await self.story.append([NewEvent(at=at, kind=kind, transport="main") for _ in range(count)])
        self.teller.hint()

    async def until(self, condition: Callable[[], bool], *, step_s: float = 0.05) -> None:
        """Let time pass in steps until something is so."""
        async with asyncio.timeout(20):
            while not condition():
                self.clock.advance(step_s)
                await asyncio.sleep(0.001)

    async def log(self, hook_id: str = "h1") -> Sequence[Delivery]:
        return await self.hooks.log(hook_id, state=None, before=None, limit=10_000)

    async def states(self, hook_id: str = "h1") -> list[DeliveryState]:
        return [delivery.state for delivery in await self.log(hook_id)]

    async def recorded(self, count: int, hook_id: str = "h1") -> None:
        """Wait until so many deliveries were tried and recorded."""
        async with asyncio.timeout(20):
            while sum(one.last_at is not None for one in await self.log(hook_id)) < count:
                self.clock.advance(0.05)
                await asyncio.sleep(0.001)


@asynccontextmanager
async def hook_room(*, is_started: bool = True) -> AsyncIterator[HookRoom]:
    clock, story = ManualClock(datetime.now(UTC)), Story()
    poster = GuardedPoster(Guard(["127.0.0.0/8"]), clock=clock)
    room = HookRoom(clock, story, MemoryHooks(lambda: story.events), poster)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(poster.stop)
        if is_started:
            await room.teller.start()
            stack.push_async_callback(room.teller.stop, grace_s=0.5)
        yield room
    assert [] == room.failures


def test_every_event_is_told_once_and_signed() -> None:
    """Each event arrives once, under an id of its own, with a signature that others can verify."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room() as room:
            await room.add(server)
            await room.happens(3 * ROUND)
            await room.recorded(3 * ROUND)

            assert [DeliveryState.DELIVERED] * 3 * ROUND == await room.states()
            assert {f"evt_{number}_h1" for number in range(1, 3 * ROUND + 1)} == set(server.ids())
            assert 3 * ROUND == len(server.requests)
            for request in server.requests:
                told = standardwebhooks.Webhook(SECRET.reveal()).verify(request.body, request.fields)
                assert ("transport.breaker_closed", "main") == (told["type"], told["data"]["transport"])
            assert server.most_at_once <= TRIES_AT_ONCE
            first = (await room.log())[0]
            assert (200, "thanks", 1) == (first.status, first.text, first.tries)

    asyncio.run(main())


def test_only_what_was_asked_for_is_told() -> None:
    """An endpoint with kinds hears of those, and of nothing that was before it."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room() as room:
            await room.happens()
            await room.add(server, kinds=(EventKind.TRANSPORT_OPENED,))
            await room.happens(kind=EventKind.TRANSPORT_CLOSED)
            await room.happens(kind=EventKind.TRANSPORT_OPENED)
            await room.recorded(1)

            assert ["transport.breaker_opened"] == [json.loads(one.body)["type"] for one in server.requests]

    asyncio.run(main())


def test_both_secrets_of_a_rotation_sign() -> None:
    """While a rotation runs a receiver with either secret verifies; afterwards only the new one signs."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room() as room:
            new = hooking.new_secret(b"another secret of 32 bytes......")
            until = room.clock.now() + timedelta(minutes=1)
            await room.add(server, secrets=(new, SECRET), old_secrets_until=until)
            await room.happens()
            await room.recorded(1)
            room.clock.advance(120)
            await room.happens()
            await room.recorded(2)

            def signers(request: Request) -> list[Secret]:
                return [secret for secret in (new, SECRET) if verifies(secret, request)]

            assert [[new, SECRET], [new]] == [signers(request) for request in server.requests]

    asyncio.run(main())


def verifies(secret: Secret, request: Request) -> bool:
    try:
        standardwebhooks.Webhook(secret.reveal()).verify(request.body, request.fields)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def test_a_failed_try_comes_again_under_the_same_id() -> None:
    """Refused, then taken: the same id and body, five seconds later, with a new time in the signature."""

    async def main() -> None:
        answers = [plain(500, b"oops"), OK]
        async with hook_server(lambda _: answers.pop(0)) as server, hook_room() as room:
            await room.add(server)
            await room.happens()
            await room.recorded(1)
            (delivery,) = await room.log()
            assert (DeliveryState.PENDING, 500, "oops") == (delivery.state, delivery.status, delivery.text)
            assert delivery.last_at is not None
            assert delivery.last_at + timedelta(seconds=5) == delivery.due_at
            await room.until(lambda: len(server.requests) == 2)
            await room.until(lambda: not answers)
            await room.teller.stop(grace_s=5)

            first, second = server.requests
            assert (first.fields["webhook-id"], first.body) == (second.fields["webhook-id"], second.body)
            assert int(first.fields["webhook-timestamp"]) + 5 <= int(second.fields["webhook-timestamp"])
            (delivery,) = await room.log()
            assert (DeliveryState.DELIVERED, 2) == (delivery.state, delivery.tries)

    asyncio.run(main())


@pytest.mark.slow
def test_a_slow_endpoint_delays_nobody() -> None:
    """While one endpoint keeps silent to every try, another is told of everything."""

    async def main() -> None:
        async with (
            hook_server(lambda _: None) as silent,
            hook_server(OK) as quick,
            hook_room() as room,
        ):
            await room.add(silent, "slow")
            await room.add(quick, "quick")
            await room.happens(5 * ROUND)
            await room.recorded(5 * ROUND, "quick")

            assert 5 * ROUND == len(quick.requests)
            assert TRIES_AT_ONCE == len(silent.requests)
            assert {DeliveryState.PENDING} == set(await room.states("slow"))

    asyncio.run(main())


def test_retry_after_holds_for_the_endpoint() -> None:
    """An endpoint that asks for a minute is left alone for a minute, with new events too."""

    async def main() -> None:
        times: list[datetime] = []

        def answer(_request: Request) -> bytes:
            times.append(room.clock.now())
            return plain(429, b"", b"Retry-After: 60") if len(times) == 1 else OK

        async with hook_room() as room, hook_server(answer) as server:
            await room.add(server)
            await room.happens()
            await room.recorded(1)
            await room.happens()
            await room.until(lambda: len(times) == 3, step_s=0.5)

            assert times[1] - times[0] >= timedelta(seconds=60)

    asyncio.run(main())


def test_410_disables_the_endpoint() -> None:
    """Gone: nothing more is posted, what waits has failed, and an event says so to the others."""

    async def main() -> None:
        async with hook_server(plain(410)) as gone, hook_server(OK) as other, hook_room() as room:
            await room.add(gone, "gone")
            await room.add(other, "other")
            await room.happens(50)
            await room.until(lambda: any("webhook.disabled" in one.body.decode() for one in other.requests))

            assert len(gone.requests) <= TRIES_AT_ONCE
            assert {DeliveryState.FAILED} == set(await room.states("gone"))
            disabled = {hook.id: hook.disabled_why for hook in await room.hooks.all()}
            assert {"gone": "the endpoint answered 410 Gone", "other": ""} == disabled
            events = [event for event in room.story.events if event.kind is EventKind.HOOK_DISABLED]
            assert [("the endpoint answered 410 Gone", {"webhook": "gone"})] == [
                (event.cause, event.data) for event in events
            ]

    asyncio.run(main())


def test_an_endpoint_that_was_enabled_again_is_told() -> None:
    """After 410 and a person's word the endpoint hears of what happens then."""

    async def main() -> None:
        answers = [plain(410), OK]
        async with hook_server(lambda _: answers.pop(0)) as server, hook_room() as room:
            await room.add(server)
            await room.happens()
            await room.until(lambda: any(one.kind is EventKind.HOOK_DISABLED for one in room.story.events))
            (hook,) = await room.hooks.all()
            told = await room.story.newest()
            await room.hooks.change(replace(hook, disabled_at=None, disabled_why="", told_up_to=told))
            room.teller.changed()
            await room.happens()
            await room.until(lambda: not answers)

            assert f"evt_{told + 1}_h1" == server.ids()[-1]

    asyncio.run(main())


@pytest.mark.slow
def test_a_dead_endpoint_is_asked_ever_more_slowly() -> None:
    """With a thousand events waiting, an endpoint that takes nothing sees few tries, not thousands."""

    async def main() -> None:
        async with hook_server(plain(500)) as server, hook_room() as room:
            await room.add(server)
            await room.happens(1000)
            await room.until(lambda: len(server.requests) >= ROUND)
            begun = room.clock.now()
            await room.until(lambda: room.clock.now() > begun + timedelta(minutes=10), step_s=2)

            assert len(server.requests) <= 12 * ROUND

    asyncio.run(main())


@pytest.mark.slow
def test_a_rest_that_is_over_delays_nothing() -> None:
    """Long after its failures an endpoint hears of what happens at once."""

    async def main() -> None:
        async with hook_server(plain(500)) as server, hook_room() as room:
            await room.add(server)
            await room.happens()
            await room.until(lambda: len(server.requests) == 7, step_s=120)
            server.answer = lambda _: OK
            begun = room.clock.now()
            await room.until(lambda: room.clock.now() > begun + timedelta(minutes=20), step_s=30)
            assert 7 == len(server.requests)
            happened_at = room.clock.now()
            await room.happens()
            await room.until(lambda: len(server.requests) == 8)

            assert room.clock.now() - happened_at < timedelta(seconds=10)

    asyncio.run(main())


def test_an_endpoint_that_takes_nothing_for_five_days_is_disabled() -> None:
    """Hopeless endpoints end by themselves, and the operator is told by an event."""

    async def main() -> None:
        async with hook_server(plain(404)) as server, hook_room() as room:
            await room.add(server)
            await room.happens(3)
            await room.recorded(3)
            begun = room.clock.now()
            await room.until(lambda: room.clock.now() > begun + timedelta(days=5), step_s=1800)
            assert not any(event.kind is EventKind.HOOK_DISABLED for event in room.story.events)
            await room.happens()
            over = EventKind.HOOK_DISABLED
            await room.until(lambda: any(one.kind is over for one in room.story.events), step_s=10)
            (hook,) = await room.hooks.all()

            assert "it took nothing for 5 days" == hook.disabled_why

    asyncio.run(main())


def test_a_restart_goes_on_where_it_stopped() -> None:
    """What was pending at a stop is told by the next life, with the ids it had."""

    async def main() -> None:
        async with hook_server(lambda _: None) as server, hook_room(is_started=False) as room:
            await room.teller.start()
            await room.add(server)
            await room.happens(3)
            await room.until(lambda: len(server.requests) == 3)
            await room.teller.stop(grace_s=0.01)
            assert [DeliveryState.PENDING] * 3 == await room.states()

            server.answer = lambda _: OK
            second = room.another()
            await second.start()
            await room.recorded(3)
            await second.stop(grace_s=1)

            assert [DeliveryState.DELIVERED] * 3 == await room.states()
            assert sorted(server.ids()[:3]) == sorted(server.ids()[3:])

    asyncio.run(main())


def test_a_stop_lets_a_try_end() -> None:
    """A try under way at a stop ends and is recorded, within the grace."""

    async def main() -> None:
        async with hook_room() as room:
            stopping: list[asyncio.Task[None]] = []

            def answer(_request: Request) -> bytes:
                stopping.append(asyncio.create_task(room.teller.stop(grace_s=5)))
                return OK

            async with hook_server(answer) as server:
                await room.add(server)
                await room.happens()
                await room.until(lambda: bool(stopping))
                await stopping[0]

                assert [DeliveryState.DELIVERED] == await room.states()

    asyncio.run(main())


def test_a_removed_endpoint_is_left() -> None:
    """Nothing is posted to an endpoint that was removed, and the others go on."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_server(OK) as other, hook_room() as room:
            await room.add(server, "gone")
            await room.add(other, "stays")
            await room.happens()
            await room.recorded(1, "gone")
            await room.recorded(1, "stays")
            await room.hooks.remove("gone", tenant=DEFAULT_TENANT)
            room.teller.changed()
            await room.happens()
            await room.recorded(2, "stays")

            assert (1, 2) == (len(server.requests), len(other.requests))

    asyncio.run(main())


def test_a_replay_is_told_again() -> None:
    """A range that a person asks for comes again, with the ids of the first time."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room() as room:
            await room.add(server)
            await room.happens(5)
            await room.recorded(5)
            await room.hooks.replay("h1", first=2, last=3, now=room.clock.now())
            room.teller.changed()
            await room.until(lambda: len(server.requests) == 7)

            assert {"evt_2_h1", "evt_3_h1"} == set(server.ids()[5:])

    asyncio.run(main())


def test_a_refused_address_is_recorded_with_the_setting() -> None:
    """A URL that leads into a network nobody opened is not called, and the log names the setting."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room() as room:
            await room.add(server, url=server.url.replace("127.0.0.1", "10.0.0.1"))
            await room.happens()
            await room.recorded(1)
            (delivery,) = await room.log()

            assert (DeliveryState.PENDING, None) == (delivery.state, delivery.status)
            assert "egress.allowed_networks" in delivery.text
            assert [] == server.requests

    asyncio.run(main())


class BrokenHooks(MemoryHooks):
    """Fails once as told, then works."""

    error: Exception | None = None

    async def record(self, delivery: Delivery) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        await super().record(delivery)


def broken(room: HookRoom, error: Exception) -> None:
    hooks = BrokenHooks(lambda: room.story.events)
    hooks.error = error
    room.hooks = hooks
    room.teller = room.another()


def test_a_bug_ends_no_line() -> None:
    """An unexpected error puts a line off for some seconds, and the delivery is made again."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room(is_started=False) as room:
            broken(room, RuntimeError("a bug"))
            await room.teller.start()
            await room.add(server)
            await room.happens()
            await room.recorded(1)
            await room.teller.stop(grace_s=1)

            assert ["evt_1_h1"] * 2 == server.ids()

    asyncio.run(main())


def test_a_failed_store_ends_the_process() -> None:
    """When the store fails the teller says so and stops."""

    async def main() -> None:
        async with hook_server(OK) as server, hook_room(is_started=False) as room:
            broken(room, StoreError("the disk is gone"))
            await room.teller.start()
            await room.add(server)
            await room.happens()
            await room.until(lambda: bool(room.failures))
            await room.teller.stop(grace_s=1)

            assert ["the disk is gone"] == [str(error) for error in room.failures]
            room.failures.clear()

    asyncio.run(main())
