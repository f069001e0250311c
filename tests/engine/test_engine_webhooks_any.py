"""Whatever endpoints answer and however often the program stops, each event reaches each endpoint."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from peers.manual import CountingDice, ManualClock
from postroom.engine.hooks import Teller
from postroom.model.event import EventKind, NewEvent
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import DEFAULT_TENANT
from postroom.policy import hooking
from postroom.ports import HookAnswer
from postroom.spool.memory.opening import MemoryStore, open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite

ENDPOINTS = 4
EVENTS = 60
LIVES = 6


class Weather:
    """A poster whose endpoints answer by chance, ever better, and are cut off by every stop."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.taken: Counter[tuple[str, str]] = Counter()
        self.bodies: dict[str, set[bytes]] = {}
        self.good = 0.3

    def problem_with(self, url: str) -> str:
        del url
        return ""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> HookAnswer:
        del timeout_s
        webhook_id = headers["webhook-id"]
        self.bodies.setdefault(webhook_id, set()).add(body)
        for _ in range(self._chance.randrange(5)):
            await asyncio.sleep(0)
        status: int | None = 200
        hint: float | None = None
        if self._chance.random() > self.good:
            status, hint = self._chance.choice([(500, None), (None, None), (429, 7.0), (302, None)])
        else:
            self.taken[url, webhook_id] += 1
            await asyncio.sleep(0)  # the answer is on its way, and may be lost
        return HookAnswer(status=status, text="", retry_after_s=hint, duration_ms=1)


def opened(
    kind: str, data: Path, clock: ManualClock, before: MemoryStore | None
) -> MemoryStore | SqliteStore:
    if kind == "sqlite":
        return open_sqlite(data, settings=SpoolSettings(), clock=clock)
    return before or open_memory()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", range(2))
def test_each_event_reaches_each_endpoint(tmp_path: Path, kind: str, seed: int) -> None:
    """Taken at least once by each, always under one id with one body; copies only where a stop cut in."""

    async def main() -> None:
        clock, weather, chance = ManualClock(), Weather(seed), random.Random(seed)
        failures: list[BaseException] = []
        before: MemoryStore | None = None
        for number in range(LIVES):
            store = opened(kind, tmp_path, clock, before)
            before = store if isinstance(store, MemoryStore) else None
            if number == 0:
                for name in range(ENDPOINTS):
                    await store.hooks.add(endpoint(f"h{name}", clock))
            teller = Teller(
                hooks=store.hooks,
                events=store.events,
                poster=weather,
                clock=clock,
                dice=CountingDice(),
                fatal=failures.append,
            )
            await teller.start()
            at = clock.now()
            await store.events.append(
                [NewEvent(at=at, kind=EventKind.TRANSPORT_CLOSED, transport="main")] * (EVENTS // LIVES)
            )
            teller.hint()
            if number == LIVES - 1:
                weather.good = 1.0
                async with asyncio.timeout(30):
                    while await is_waiting(store):
                        clock.advance(600)
                        await asyncio.sleep(0.001)
            else:
                for _ in range(chance.randrange(60)):
                    clock.advance(chance.random() * 20)
                    await asyncio.sleep(0.001)
            await teller.stop(grace_s=0)
            log = [one for name in range(ENDPOINTS) for one in await log_of(store, f"h{name}")]
            await store.close()

        assert [] == failures
        assert {DeliveryState.DELIVERED} == {one.state for one in log}
        assert ENDPOINTS * EVENTS == len(log) == len(weather.taken)
        assert {1} == {len(bodies) for bodies in weather.bodies.values()}
        copies = weather.taken.total() - len(weather.taken)
        assert copies <= 8 * ENDPOINTS * (LIVES - 1)

    asyncio.run(main())


def endpoint(name: str, clock: ManualClock) -> Hook:
    return Hook(
        id=name,
        tenant=DEFAULT_TENANT,
        url=f"https://{name}.example.com/",
        kinds=(),
        secrets=(hooking.new_secret(bytes(32)),),
        created_at=clock.now(),
    )


async def log_of(store: MemoryStore | SqliteStore, name: str) -> Sequence[Delivery]:
    return await store.hooks.log(name, state=None, before=None, limit=1000)


async def is_waiting(store: MemoryStore | SqliteStore) -> bool:
    logs = [await log_of(store, f"h{name}") for name in range(ENDPOINTS)]
    return any(
        len(log) < EVENTS or any(one.state is not DeliveryState.DELIVERED for one in log) for log in logs
    )
