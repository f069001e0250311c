"""Looks at Postroom itself, and reports what is not as it should be like any other program reports.

It looks at the ways out every few seconds and at the store every half minute; what it finds is
``policy.alerting.own``'s opinion. Nothing is kept: after a start it knows from the book what it reported.

When the store takes no events (its disk is full) the log says so loudly; earlier, while there was still room,
an alert told that it gets full.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from postroom.clock import Clock
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.forms import AlertFilter
from postroom.engine.hooks import GONE, HOPELESS
from postroom.engine.standing import CLASS_OF_PRIORITY
from postroom.engine.ways import Way, Ways
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.alert import AlertView, NewAlertEvent
from postroom.model.lifecycle import RecipientState
from postroom.model.view import PauseKind, TransportPause
from postroom.policy import pausing
from postroom.policy.alerting import own
from postroom.policy.failover import Fitness
from postroom.ports import Hooks
from postroom.ports.gauge import StoreGauge
from postroom.telemetry import logger

POLL_S = 5.0
SLOW_EVERY = 6
"""Looks at the ways for one at the store and the certificates."""
PAGE = 500
FATAL = (StoreError, UnknownOutcomeError)

log = logger("alerts")

Certificates = Callable[[], Sequence[own.CertificateFacts]]
"""Reads the certificates of our listeners; may wait for the disk."""


class Watch:
    """Runs until stopped."""

    def __init__(
        self,
        *,
        alerts: Alerts,
        ways: Ways,
        gauge: StoreGauge,
        hooks: Hooks,
        certificates: Certificates,
        uncertain_after: timedelta,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts.

        Args:
            alerts: Where it is reported.
            ways: The ways out.
            gauge: The state of the store.
            hooks: Endpoints of webhooks.
            certificates: Of our listeners, those that are not renewed by ourselves.
            uncertain_after: From which age uncertain mail is told of.
            clock: Time and waiting.
            fatal: Called when the store fails and the process must end.
        """
        self._alerts = alerts
        self._ways = ways
        self._gauge = gauge
        self._hooks = hooks
        self._certificates = certificates
        self._uncertain_after = uncertain_after
        self._clock = clock
        self._fatal = fatal
        self._told: dict[tuple[str, str], NewAlertEvent] | None = None
        """What was reported and is not over; ``None``: not known yet."""
        self._turn = 0
        self._facts = own.OwnFacts(at=clock.now())
        """As of the last look at the store."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._serve(), name="watch over Postroom")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            try:
                await self.look()
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.critical("Postroom cannot report about itself", error=str(error))
            except Exception:  # supervision: watching never ends by a bug; the next look comes
                log.exception("Postroom cannot report about itself")
            await self._clock.sleep(POLL_S)

    async def look(self) -> None:
        """Look once, and report what is news."""
        if self._turn % SLOW_EVERY == 0:
            self._facts = await self._slow_facts()
        self._turn += 1
        now = own.conditions(replace(self._facts, at=self._clock.now(), transports=self._transports()))
        if self._told is None:
            self._told = await self._told_before()
        news = own.news(now, self._told)
        if news:
            await self._alerts.accept(news)
        self._told = now

    async def _told_before(self) -> dict[tuple[str, str], NewAlertEvent]:
        """Return what a former life reported and is still active."""
        found: dict[tuple[str, str], NewAlertEvent] = {}
        after: str | None = None
        while True:
            page = await self._alerts.list(AlertFilter(source=own.SOURCE, after=after, limit=PAGE))
            found |= {
                (alert.key, alert.object): _reported(alert) for alert in page.alerts if own.is_own(alert)
            }
            after = page.after
            if after is None:
                return found

    def _transports(self) -> tuple[own.TransportFacts, ...]:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        working = {
            way.name
            for way in self._ways
            if not way.transport.is_capture and way.fitness(now) is Fitness.WORKS
        }
        return tuple(
            own.TransportFacts(
                name=way.name,
                outage=_outage(way),
                has_others=bool(working - {way.name}),
                limits=tuple(way.pace.limits(monotonic)),
            )
            for way in self._ways
        )

    async def _slow_facts(self) -> own.OwnFacts:
        reading = await self._gauge.reading()
        disabled = [hook for hook in await self._hooks.all() if hook.disabled_at is not None]
        return own.OwnFacts(
            at=self._clock.now(),
            oldest_due_at={
                CLASS_OF_PRIORITY[priority]: due_at for priority, due_at in reading.oldest_due_at.items()
            },
            uncertain_since=reading.uncertain_since,
            uncertain_count=reading.counts.get(RecipientState.UNCERTAIN, 0),
            uncertain_after=self._uncertain_after,
            disk_free=reading.disk_free,
            disk_reserve=reading.disk_reserve,
            is_intake_stopped=reading.is_intake_stopped,
            certificates=tuple(await asyncio.to_thread(self._certificates)),
            hooks=tuple(
                own.HookFacts(id=hook.id, reason=hook.disabled_why)
                for hook in disabled
                if hook.disabled_why in (GONE, HOPELESS)
            ),
        )


def _outage(way: Way) -> TransportPause | None:
    """Return why nothing is sent by it, if that is an outage; what a person suspended is none."""
    return pausing.ruling(
        pause for pause in way.pauses.values() if pause.is_open and pause.kind is not PauseKind.SUSPENDED
    )


def _reported(alert: AlertView) -> NewAlertEvent:
    return NewAlertEvent(
        tenant=alert.tenant,
        key=alert.key,
        category=alert.category,
        severity=alert.severity,
        is_severity_said=True,
        source=alert.source,
        object=alert.object,
        labels=alert.labels,
        door=own.DOOR,
    )
