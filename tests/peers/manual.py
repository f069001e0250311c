"""Time and dice that a test holds in its hand."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta


class ManualClock:
    """A clock that moves only when told; sleepers wake when their time has come."""

    def __init__(self, start: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._monotonic + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        """Let time pass and wake who is due."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        due = [future for at, future in self._sleepers if at <= self._monotonic]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self._monotonic]
        for future in due:
            if not future.done():
                future.set_result(None)


class CountingDice:
    """Rolls that are always the same, tokens that are all different."""

    def __init__(self, roll: float = 0.5) -> None:
        self._roll = roll
        self._count = 0

    def roll(self) -> float:
        return self._roll

    def token(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(self._count.to_bytes(8, "big")).digest(size)
