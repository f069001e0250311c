"""The one source of time and dice.

Wall time is for due times and for people; monotonic time is for durations. Everything else in the
program takes them as arguments or from the ``Clock`` it was given; ``datetime.now``, ``time.time``,
``random`` and ``secrets`` are banned elsewhere by lint.
"""

import asyncio
import random
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary point, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least ``seconds`` of monotonic time."""
        ...


class Dice(Protocol):
    """Randomness: rolls for jitter and unguessable bytes for ids and keys."""

    def roll(self) -> float:
        """Return a number in ``[0, 1)``."""
        ...

    def token(self, size: int) -> bytes:
        """Return ``size`` unguessable bytes."""
        ...


class SystemClock:
    """The machine's clocks. The wall time never goes back.

    When the machine's clock is set back, due times that were written before lie in its future, and what waits
    would wait for hours. So the wall time goes on from where it was, at half its pace, until the machine's
    clock is past it; steps ahead are followed at once (reliability rule G4).
    """

    def __init__(self) -> None:
        """Begin with the machine's clock as it is."""
        self._latest = datetime.now(UTC)
        self._held: tuple[datetime, float] | None = None
        """Since the machine's clock was set back: the wall time and the monotonic seconds of that moment."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        machine = datetime.now(UTC)
        if machine >= self._latest:
            self._latest = machine
            self._held = None
            return machine
        if self._held is None:
            self._held = (self._latest, time.monotonic())
        since, began = self._held
        self._latest = since + timedelta(seconds=(time.monotonic() - began) / 2)
        return self._latest

    def monotonic(self) -> float:
        """Return seconds from an arbitrary point, never going back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait at least ``seconds``."""
        await asyncio.sleep(seconds)


_STOCK_BYTES = 4096
"""Fetched from the operating system at once: a system call for each message costs more than its use."""


class SystemDice:
    """The operating system's randomness. Not for two threads at once; a fork must make its own."""

    def __init__(self) -> None:
        """Seed the jitter generator from the operating system."""
        self._jitter = random.Random()  # noqa: S311 - jitter, not a secret
        self._stock = b""
        self._used = 0

    def roll(self) -> float:
        """Return a number in ``[0, 1)``."""
        return self._jitter.random()

    def token(self, size: int) -> bytes:
        """Return ``size`` unguessable bytes, none of them twice."""
        used = self._used
        self._used = used + size
        if self._used > len(self._stock):
            self._stock = secrets.token_bytes(max(size, _STOCK_BYTES))
            used, self._used = 0, size
        return self._stock[used : used + size]
