"""Postroom's own alerts come and go, and know after a restart what was reported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.alerting_room import House, Life, house
from peers.engine_room import ScriptedTransport
from postroom.engine.alerting.forms import AlertFilter
from postroom.engine.alerting.watch import POLL_S, SLOW_EVERY, Watch
from postroom.engine.ways import Way, Ways
from postroom.errors import DiskFullError, OverloadError, StoreError
from postroom.model.alert import Severity
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.alerting.own import CertificateFacts
from postroom.ports.gauge import StoreReading


@dataclass
class Facts:
    """What the watch looks at."""

    ways: Ways
    certificates: list[CertificateFacts] = field(default_factory=list)
    disk_free: int = 10_000
    oldest_due_at: dict[int, datetime] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)

    async def reading(self) -> StoreReading:
        if self.errors:
            raise self.errors.pop()
        return StoreReading(
            counts={}, oldest_due_at=self.oldest_due_at, disk_free=self.disk_free, disk_reserve=1_000
        )

    def fall(self, name: str, at: datetime, kind: PauseKind = PauseKind.CONNECT) -> None:
        way = self.ways.named(name)
        assert way is not None
        way.pauses[kind] = TransportPause(
            transport=name,
            kind=kind,
            since=at,
            until=at + timedelta(minutes=15),
            cause="connect-refused",
            step="connect",
            text="connection refused",
            host="mail.example.com",
            failures=3,
        )


@asynccontextmanager
async def watched(home: House, facts: Facts | None = None) -> AsyncIterator[tuple[Life, Facts, Watch]]:
    async with home.life() as life:
        if facts is None:
            names = ("main", "spare")
            transports = [ScriptedTransport(_never, home.clock, name=name) for name in names]
            facts = Facts(Ways([Way(transport=one, target="test") for one in transports]))
        watch = Watch(
            alerts=life.alerts,
            ways=facts.ways,
            gauge=facts,
            hooks=life.store.hooks,
            certificates=lambda: facts.certificates,
            uncertain_after=timedelta(hours=1),
            clock=home.clock,
            fatal=life.failures.append,
        )
        yield life, facts, watch


def _never(_work: object, _number: int) -> Any:
    raise AssertionError("nothing is sent")


async def _active(life: Life) -> dict[str, Severity]:
    await life.settled()
    page = await life.alerts.list(AlertFilter())
    return {f"{alert.key} {alert.object}".strip(): alert.severity for alert in page.alerts}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_an_outage_is_an_alert_until_it_is_over(kind: str, tmp_path: Path) -> None:
    """It is reported once, goes by another way, is known after a restart, and is resolved once."""

    async def scenario() -> None:
        home = house(kind, tmp_path)
        async with watched(home) as (life, facts, watch):
            await watch.look()
            assert {} == await _active(life)
            facts.fall("main", home.clock.now())
            await watch.look()
            await watch.look()
            assert {"postroom.transport-down main": Severity.ERROR} == await _active(life)
            (letter,) = await life.letters()
            assert ("main",) == letter.avoid
        async with watched(home, facts) as (life, _, watch):
            await watch.look()
            facts.fall("spare", home.clock.now())
            await watch.look()
            assert {
                "postroom.transport-down main": Severity.CRITICAL,
                "postroom.transport-down spare": Severity.CRITICAL,
            } == await _active(life)
            for name in ("main", "spare"):
                way = facts.ways.named(name)
                assert way is not None
                way.pauses.clear()
        async with watched(home, facts) as (life, _, watch):
            await watch.look()
            assert {} == await _active(life)
            events = len(await life.records.waiting(life.evaluator._place.__class__(), limit=99))
            await watch.look()
            assert 5 == events == len(await life.records.waiting(life.evaluator._place.__class__(), limit=99))

    asyncio.run(scenario())


def test_what_a_person_suspended_is_no_alert(tmp_path: Path) -> None:
    """Only outages are reported."""

    async def scenario() -> None:
        async with watched(house("memory", tmp_path)) as (life, facts, watch):
            facts.fall("main", life.clock.now(), PauseKind.SUSPENDED)
            await watch.look()
            assert {} == await _active(life)

    asyncio.run(scenario())


def test_the_store_and_certificates_are_looked_at_every_half_minute(tmp_path: Path) -> None:
    """A certificate near its end becomes critical, and is over when a new one lies there."""

    async def scenario() -> None:
        async with watched(house("memory", tmp_path)) as (life, facts, watch):

            async def looks() -> dict[str, Severity]:
                for _ in range(SLOW_EVERY):
                    await watch.look()
                return await _active(life)

            ends_at = life.clock.now() + timedelta(days=14)
            facts.certificates.append(CertificateFacts(file="a.pem", ends_at=ends_at))
            facts.disk_free = 1_500
            facts.oldest_due_at[1] = life.clock.now() - timedelta(minutes=3)
            assert {
                "postroom.certificate-expiring a.pem": Severity.WARNING,
                "postroom.disk-low": Severity.ERROR,
                "postroom.queue-old code": Severity.ERROR,
            } == await looks()
            facts.disk_free = 5_000
            facts.oldest_due_at.clear()
            life.clock.advance(timedelta(days=12).total_seconds())
            assert {"postroom.certificate-expiring a.pem": Severity.CRITICAL} == await looks()
            facts.certificates[0] = CertificateFacts(file="a.pem", ends_at=ends_at + timedelta(days=90))
            assert {} == await looks()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [OverloadError("busy", retry_after_s=1), DiskFullError("full"), ZeroDivisionError()]
)
def test_a_look_that_fails_is_made_again(tmp_path: Path, error: Exception) -> None:
    """What hinders one look is a line in the log; the next look comes, and reports."""

    async def scenario() -> None:
        async with watched(house("memory", tmp_path)) as (life, facts, watch):
            facts.fall("main", life.clock.now())
            facts.errors.append(error)
            await watch.start()
            await life.until(lambda: not facts.errors)
            life.clock.advance(POLL_S)
            await life.until(lambda: life.evaluator.active == 1)
            await watch.stop()

    asyncio.run(scenario())


def test_a_broken_store_ends_the_process(tmp_path: Path) -> None:
    """A store that fails for good is told to whoever ends the process."""

    async def scenario() -> None:
        home = house("memory", tmp_path)
        async with home.life(fails=True) as life:
            transport = ScriptedTransport(_never, home.clock, name="main")
            facts = Facts(Ways([Way(transport=transport, target="test")]), errors=[StoreError("damaged")])
            watch = Watch(
                alerts=life.alerts,
                ways=facts.ways,
                gauge=facts,
                hooks=life.store.hooks,
                certificates=tuple,
                uncertain_after=timedelta(hours=1),
                clock=home.clock,
                fatal=life.failures.append,
            )
            await watch.start()
            await life.until(lambda: bool(life.failures))
            await watch.stop()

    asyncio.run(scenario())
