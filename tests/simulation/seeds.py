"""One seed, one small run: a few servers with their troubles, some mail, and processes that are killed."""

import random
from collections import Counter

from postroom.model.message import MailClass
from postroom.model.route import Route, RouteKind
from postroom.model.transport import Rate
from simulation.virtual_time import VirtualClock, play
from simulation.world import OUTAGES, Outage, Server, World

SPAN_S = 600.0
"""Mail comes and processes die within this."""
HORIZON_S = 12 * 3600.0


def run_seed(seed: int) -> Counter[str]:
    """Play one seed; return what was met. Raises AssertionError when a promise is broken."""

    async def story(clock: VirtualClock) -> Counter[str]:
        rng = random.Random(seed)
        world = World(clock, rng, _servers(rng))
        await world.start()
        acts = [(rng.uniform(0, SPAN_S), "mail") for _ in range(rng.randint(3, 8))]
        acts += [(rng.uniform(0, SPAN_S), "kill") for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        acts += [(rng.uniform(0, SPAN_S), "restart") for _ in range(rng.choice((0, 0, 1)))]
        acts += [(rng.uniform(0, SPAN_S), "suspend") for _ in range(rng.choice((0, 0, 0, 1)))]
        for when, act in sorted(acts):
            await clock.sleep(max(when - clock.monotonic(), 0))
            await _act(world, act)
        await world.until_empty(HORIZON_S)
        await world.stop()
        return await world.check()

    return play(story)


def _servers(rng: random.Random) -> list[Server]:
    return [
        Server(
            name=name,
            rng=rng,
            outages=[_outage(rng) for _ in range(rng.choice((0, 1, 1, 2)))],
            rates=rng.choice(((), (), (Rate(60, 5),), (Rate(1, 1), Rate(3600, 25)))),
            quota=rng.choice((None, None, None, (600.0, 8))),
            max_connections=rng.choice((1, 2, 8)),
            is_kind=rng.random() < 0.5,
        )
        for name in ("a", "b", "c")[: rng.choice((1, 2, 3))]
    ]


def _outage(rng: random.Random) -> Outage:
    start = rng.uniform(-60, SPAN_S)
    return Outage(start, start + rng.choice((20, 120, 600)), rng.choice(sorted(OUTAGES)))


async def _act(world: World, act: str) -> None:
    rng = world.rng
    names = tuple(world.servers)
    match act:
        case "mail":
            legs = tuple(rng.sample(names, rng.randint(1, len(names))))
            route = Route(legs, rng.choice(tuple(RouteKind)) if len(legs) > 1 else RouteKind.FAILOVER)
            for _ in range(rng.choice((1, 1, 1, 5))):
                await world.submit(
                    route, mail_class=rng.choice(tuple(MailClass)), recipients=rng.choice((1, 1, 2, 3))
                )
        case "kill":
            for _ in range(3):  # so that something is under way
                await world.submit(Route((rng.choice(names),)), recipients=rng.choice((1, 2)))
            await world.clock.sleep(rng.uniform(0, 0.4))
            await world.kill()
            await world.start()
        case "restart":
            await world.stop()
            await world.start()
        case "suspend":
            name = rng.choice(names)
            await world.dispatcher.health.suspend(name, reason="maintenance", author="a person")
            await world.clock.sleep(rng.uniform(1, 120))
            await world.dispatcher.health.resume(name, author="a person")
        case _:
            raise AssertionError(act)
