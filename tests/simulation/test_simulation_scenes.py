"""Scenes in virtual time: what must hold when several things go wrong at once, with numbers."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import MappingProxyType

import pytest

from postroom.model.event import EventKind
from postroom.model.ids import MessageId
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.route import Route, RouteKind
from postroom.model.transport import Rate
from postroom.policy.retry import CLASS_RULES
from simulation.virtual_time import START, VirtualClock, play
from simulation.world import OUTAGES, Outage, Server, World, most_in_any_window

OPENED, CLOSED = EventKind.TRANSPORT_OPENED, EventKind.TRANSPORT_CLOSED
FAST = (0.05, 0.05)


def scene(servers: list[Server], story: Callable[[World], Awaitable[None]]) -> World:
    """Play a story on servers; the oracles are asked at its end."""

    async def whole(clock: VirtualClock) -> World:
        world = World(clock, random.Random(1), servers)
        await world.start()
        await story(world)
        await world.stop()
        await world.check()
        return world

    return play(whole)


def a_server(name: str, *outages: Outage, **more: object) -> Server:
    server = Server(name=name, rng=random.Random(name), outages=outages, latency_s=FAST)
    for member, value in more.items():
        setattr(server, member, value)
    return server


async def _waited_s(world: World, name: MessageId) -> float:
    """Return the seconds from acceptance to the last recipient's acceptance."""
    view = await world.view(name)
    ends = [recipient.attempts[-1].at for recipient in view.recipients]
    return (max(ends) - view.created_at).total_seconds()


def test_six_transports_with_outages_and_quotas() -> None:
    """No message twice, no window above its limit, one event an outage, codes within a minute."""
    servers = [
        a_server("a", Outage(60, 400, "refused")),
        a_server("b", Outage(300, 1500, "login")),
        a_server("c", Outage(600, 900, "storm")),
        a_server("d", rates=(Rate(1, 2), Rate(60, 20), Rate(3600, 300))),
        a_server("e", quota=(600.0, 15)),
        a_server("f", Outage(1000, 1200, "timeout")),
    ]
    codes: list[MessageId] = []

    async def story(world: World) -> None:
        names = tuple(world.servers)
        for second in range(0, 1800, 5):
            turn = second // 5 % len(names)
            await world.submit(Route(names[turn:] + names[:turn], RouteKind.ROUNDROBIN))
            if second % 20 == 0:
                codes.append(await world.submit(Route(names), mail_class=MailClass.CODE))
            if second == 900:
                await world.kill()
                await world.start()
            await world.clock.sleep(5)
        await world.until_empty(4 * 3600)

    world = scene(servers, story)
    copies = Counter((name, number) for server in servers for _, name, number in server.taken)
    assert len(copies) == len(world.messages)
    killed = sum(count > 1 for count in copies.values())
    assert killed <= 1, "only what was under way at the kill may have a second copy"
    assert {"a": 1, "b": 1, "c": 1, "d": 0, "f": 1} == {
        name: len(world.told(OPENED, name)) for name in "abcdf"
    }
    assert len(world.told(CLOSED, "a")) == 1
    for window_s, allowed in ((1, 2), (60, 20), (3600, 300)):
        assert most_in_any_window(servers[3].begun, window_s) <= allowed
    assert world.told(EventKind.LIMIT_LEARNT, "e")

    async def waits() -> float:
        return max([await _waited_s(world, name) for name in codes])

    assert play(lambda _clock: waits()) < 60


@pytest.mark.parametrize(
    ("kind", "free", "least_gap_s"),
    [("refused", 2, 30), ("timeout", 2, 30), ("login", 0, 900), ("storm", 10, 30)],
)
def test_an_outage_is_told_once_and_its_server_is_left_alone(
    kind: str, free: int, least_gap_s: float
) -> None:
    """Whatever waits, after the first failures one message knocks, ever more rarely."""
    server = a_server("a", Outage(0, 1800, kind))

    async def story(world: World) -> None:
        names = [await world.submit(Route(("a",))) for _ in range(50)]
        await world.clock.sleep(1800)
        knocks = server.knocks[free:]
        gaps = [later - earlier for earlier, later in pairwise(knocks)]
        assert all(gap >= least_gap_s for gap in gaps), gaps
        assert len(world.told(OPENED, "a")) == 1
        assert len(world.told(CLOSED, "a")) == 0
        waiting = (await world.view(names[-1])).recipients[0]
        if OUTAGES[kind].step.value in {"connect", "auth"}:
            assert all(attempt.outcome != "accepted" for attempt in waiting.attempts)
        await world.until_empty(8000)
        assert len(world.told(CLOSED, "a")) == 1

    scene([server], story)


def test_no_attempt_is_burnt_while_a_breaker_is_open() -> None:
    """After half an hour without a way out the first real failure is still the first."""
    server = a_server("a", Outage(0, 1800, "refused"))

    async def story(world: World) -> None:
        for _ in range(20):
            await world.submit(Route(("a",)), mail_class=MailClass.ALERT)
        await world.clock.sleep(1700)
        claimed = await world.spool.claim(
            transport="a",
            limit=20,
            now=world.clock.now(),
            lease_until=world.clock.now() + timedelta(hours=1),
            max_recipients=10,
        )
        assert [0] * 20 == [item.tries for item in claimed]
        await world.spool.release([item.lease for item in claimed])
        await world.until_empty(8000)

    scene([server], story)


def test_transports_that_fall_together_do_not_knock_together() -> None:
    """Ten accounts of one provider: their probes are spread."""
    servers = [a_server(f"t{number}", Outage(0, 3600, "login")) for number in range(10)]

    async def story(world: World) -> None:
        for server in servers:
            await world.submit(Route((server.name,)))
        await world.clock.sleep(2000)
        probes = sorted(server.knocks[1] for server in servers)
        assert len({round(probe) for probe in probes}) >= 8
        assert probes[-1] - probes[0] > 30
        await world.until_empty(20_000)

    scene(servers, story)


@pytest.mark.parametrize("moves", [False, True])
def test_uncertain_mail_goes_by_another_server_only_when_its_class_says_so(*, moves: bool) -> None:
    """The reply was lost and the server is gone: the other leg works, and is not asked without leave."""
    servers = [a_server("a", Outage(0, 60, "cut"), Outage(60, 7200, "refused")), a_server("b")]

    async def whole(clock: VirtualClock) -> None:
        rules = {name: replace(rule, uncertain_failover=moves) for name, rule in CLASS_RULES.items()}
        world = World(clock, random.Random(1), servers, rules=MappingProxyType(rules))
        await world.start()
        name = await world.submit(Route(("a", "b")), policy=UncertainPolicy.WAIT)
        await clock.sleep(30)
        assert (await world.view(name)).recipients[0].state.value == "uncertain"
        for _ in range(20):
            await world.submit(Route(("a", "b")), policy=UncertainPolicy.WAIT)
            await clock.sleep(60)
        by_b = name in [taken for _, taken, _ in servers[1].taken]
        assert by_b is moves
        await world.until_empty(20_000)
        await world.stop()
        await world.check()

    play(whole)


def test_a_suspended_leg_is_left_and_taken_up_again() -> None:
    """What waits goes by the other leg; after the resumption new mail goes by the first again."""
    servers = [a_server("a"), a_server("b")]

    async def story(world: World) -> None:
        health = world.dispatcher.health
        until = START + timedelta(seconds=600)
        await health.suspend("a", reason="maintenance", author="ops", until=until)
        assert not health.is_working("a", world.clock.now())
        for _ in range(5):
            await world.submit(Route(("a", "b")))
        await world.clock.sleep(60)
        assert (len(servers[0].taken), len(servers[1].taken)) == (0, 5)
        alone = await world.submit(Route(("a",)))
        await world.clock.sleep(400)
        assert (await world.view(alone)).recipients[0].state.value == "queued"
        await world.clock.sleep(300)
        assert (await world.view(alone)).recipients[0].state.value == "accepted"
        await world.submit(Route(("a", "b")))
        await world.clock.sleep(10)
        assert (len(servers[0].taken), len(servers[1].taken)) == (2, 5)
        assert [event.data.get("author") for event in world.told(EventKind.TRANSPORT_SUSPENDED, "a")] == [
            "ops"
        ]
        assert len(world.told(EventKind.TRANSPORT_RESUMED, "a")) == 1
        assert not world.told(OPENED, "a")

    scene(servers, story)


def test_a_used_up_quota_overflows_to_the_next_leg_and_is_foretold() -> None:
    """Forty a day here, the rest there; told once when it nears its end."""
    servers = [a_server("a", rates=(Rate(86400, 40),)), a_server("b")]

    async def story(world: World) -> None:
        for _ in range(60):
            await world.submit(Route(("a", "b")))
            await world.clock.sleep(30)
        await world.until_empty(3600)
        assert (len(servers[0].taken), len(servers[1].taken)) == (40, 20)
        assert len(world.told(EventKind.QUOTA_NEAR_END, "a")) == 1
        assert not world.told(OPENED, "a")
        (used,) = world.dispatcher.health.limits("a")
        assert (used.allowed, used.used, used.configured) == (40, 40, 40)

    scene(servers, story)


def test_a_code_passes_a_slow_queue() -> None:
    """Two hundred bulk messages wait for a server that takes a second for each; a code waits for few."""
    server = a_server("a", latency_s=(1.0, 1.0))
    waits: list[float] = []

    async def story(world: World) -> None:
        for _ in range(200):
            await world.submit(Route(("a",)), mail_class=MailClass.BULK)
        await world.clock.sleep(5)
        for _ in range(5):
            name = await world.submit(Route(("a",)), mail_class=MailClass.CODE)
            await world.clock.sleep(8)
            waits.append(await _waited_s(world, name))
        await world.until_empty(3600)

    scene([server], story)
    assert max(waits) <= 4.0, waits


@pytest.mark.parametrize("due", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_due_messages_do_not_burst_after_a_restart(due: int) -> None:
    """The number under way grows from two, one for each cohort, however much is due."""
    server = a_server("a", max_connections=20)
    counted: list[tuple[float, int]] = []

    async def whole(clock: VirtualClock) -> None:
        world = World(clock, random.Random(1), [server])
        await world.start()
        await world.stop()  # the mail comes while nothing sends
        for _ in range(due):
            await world.submit(Route(("a",)), mail_class=MailClass.BULK)
        await world.start()
        for _ in range(20):
            await clock.sleep(0.1)
            counted.append((clock.monotonic(), len(server.begun)))
        await world.kill()

    play(whole)
    first_second = counted[9][1]
    assert first_second <= 300, "two connections at first, each some seventy milliseconds a message"
    assert counted[0][1] <= 12
    assert server.most_at_once <= 20
