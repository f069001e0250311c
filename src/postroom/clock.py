"""The one source of time and dice.

Wall time is for due times and for people; monotonic time is for durations. Everything else in the
program takes them as arguments or from the ``Clock`` it was given; ``datetime.now``, ``time.time``,
``random`` and ``secrets`` are banned elsewhere by lint.
"""

import asyncio
import random
import secrets
import time
from datetime import UTC, datetime
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
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

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
