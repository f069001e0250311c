"""Background duties, each small.

Expire what is too old, end holds, delete what is past its retention, look after the ways out, and tell when
uncertain mail has waited long for a person.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from postroom.clock import Clock
from postroom.engine.health import Health
from postroom.engine.holding import HoldEnds
from postroom.engine.signals import Signals
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.event import EventKind, NewEvent
from postroom.model.lifecycle import RecipientState
from postroom.ports import AlertRecords, Events, Retention, Spool
from postroom.ports.gauge import StoreGauge
from postroom.telemetry import logger

EXPIRE_EVERY_S = 15.0
"""A one-time code lives 15 minutes; a quarter of a minute late is early enough."""
PURGE_EVERY_S = 600.0
TEND_EVERY_S = 60.0
UNCERTAIN_EVERY_S = 300.0
UNCERTAIN_TOLD_EVERY = timedelta(days=1)
CHUNK = 500
"""Messages a transaction: the writer is never held for long."""

log = logger("janitor")


class UncertainAlarm:
    """Tells once a day that the oldest uncertain recipient has waited long: only a person may end that."""

    def __init__(self, *, gauge: StoreGauge, events: Events, clock: Clock, older_than: timedelta) -> None:
        """Take the parts and the age from which it is told."""
        self._gauge = gauge
        self._events = events
        self._clock = clock
        self._older_than = older_than
        self._told_at: datetime | None = None

    async def look(self) -> bool:
        """Tell when it is time; nothing more is left to do then."""
        now = self._clock.now()
        if self._told_at is not None and now - self._told_at < UNCERTAIN_TOLD_EVERY:
            return False
        reading = await self._gauge.reading()
        since = reading.uncertain_since
        if since is not None and now - since >= self._older_than:
            self._told_at = now
            count = reading.counts.get(RecipientState.UNCERTAIN, 0)
            data = {"since": since.isoformat(), "recipients": str(count)}
            await self._events.append([NewEvent(at=now, kind=EventKind.UNCERTAIN_AGED, data=data)])
            log.warning("uncertain mail waits for a person", recipients=count, since=since.isoformat())
        return False


class Janitor:
    """Runs the duties until stopped."""

    def __init__(  # noqa: PLR0913 - a part for each duty
        self,
        *,
        spool: Spool,
        retention: Retention,
        signals: Signals,
        clock: Clock,
        fatal: Callable[[BaseException], None],
        health: Health | None = None,
        uncertain: UncertainAlarm | None = None,
        holds: HoldEnds | None = None,
        alerts: AlertRecords | None = None,
    ) -> None:
        """Take the parts; ``fatal`` is called when the store fails."""
        self._health = health
        self._uncertain = uncertain
        self._holds = holds
        self._alerts = alerts
        self._spool = spool
        self._retention = retention
        self._signals = signals
        self._clock = clock
        self._fatal = fatal
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin the duties."""
        duties = [(EXPIRE_EVERY_S, self.expire), (PURGE_EVERY_S, self.purge)]
        if self._health is not None:
            duties.append((TEND_EVERY_S, self._health.tend))
        if self._holds is not None:
            duties.append((EXPIRE_EVERY_S, self._holds.end_due))
        if self._alerts is not None:
            duties.append((PURGE_EVERY_S, self.purge_alerts))
        if self._uncertain is not None:
            duties.append((UNCERTAIN_EVERY_S, self._uncertain.look))
        self._tasks = [
            asyncio.create_task(self._every(seconds, duty), name=f"duty {duty.__name__}")
            for seconds, duty in duties
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

    async def purge_alerts(self) -> bool:
        """Delete one chunk of what is stored of alerts; return whether more may be left."""
        if self._alerts is None:
            return False
        before = self._clock.now() - self._retention.events
        return await self._alerts.purge(before=before, limit=CHUNK) >= CHUNK

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
