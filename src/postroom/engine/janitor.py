"""Background duties, each small: expire what is too old, delete what is past its retention."""

import asyncio
from collections.abc import Awaitable, Callable

from postroom.clock import Clock
from postroom.engine.signals import Signals
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.ports import Retention, Spool
from postroom.telemetry import logger

EXPIRE_EVERY_S = 15.0
"""A one-time code lives 15 minutes; a quarter of a minute late is early enough."""
PURGE_EVERY_S = 600.0
CHUNK = 500
"""Messages a transaction: the writer is never held for long."""

log = logger("janitor")


class Janitor:
    """Runs the duties until stopped."""

    def __init__(
        self,
        *,
        spool: Spool,
        retention: Retention,
        signals: Signals,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts; ``fatal`` is called when the store fails."""
        self._spool = spool
        self._retention = retention
        self._signals = signals
        self._clock = clock
        self._fatal = fatal
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin the duties."""
        self._tasks = [
            asyncio.create_task(self._every(EXPIRE_EVERY_S, self.expire), name="duty expire"),
            asyncio.create_task(self._every(PURGE_EVERY_S, self.purge), name="duty purge"),
        ]

    async def stop(self) -> None:
        """End the duties."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def expire(self) -> bool:
        """Expire one chunk; return whether more may be left."""
        touched = await self._spool.expire(now=self._clock.now(), limit=CHUNK)
        for message_id in touched:
            self._signals.attempted(message_id)
        if touched:
            log.info("expired", messages=len(touched))
        return len(touched) == CHUNK

    async def purge(self) -> bool:
        """Delete one chunk; return whether more may be left."""
        gone = await self._spool.purge(now=self._clock.now(), retention=self._retention, limit=CHUNK)
        return gone >= CHUNK

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[bool]]) -> None:
        try:
            while True:
                if not await self._is_more_left(duty):
                    await self._clock.sleep(seconds)
        except (StoreError, UnknownOutcomeError) as error:
            self._fatal(error)

    async def _is_more_left(self, duty: Callable[[], Awaitable[bool]]) -> bool:
        try:
            return await duty()
        except (StoreError, UnknownOutcomeError):
            raise
        except (OverloadError, DiskFullError) as error:
            log.warning("duty put off", error=str(error))
        except Exception:  # supervision: a duty never ends by a bug; its next turn comes
            log.exception("duty failed")
        return False
