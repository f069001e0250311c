"""The doors of alerts over the real engine: its book, its evaluator and its rules, with a store in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp

from ingress.asgi_client import Answer, ask
from peers.fake_service import NOW, FakeService, _key
from peers.manual import CountingDice, ManualClock
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.rules import Rulebook
from postroom.ingress.http.alert_table import alert_operations
from postroom.ingress.http.alerts import AlertRoom
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.alert import Letter
from postroom.model.alert_rules import AlertRules, AlertType, Receiver, Recipient
from postroom.model.ids import TenantId
from postroom.policy.alerting.links import AlertAct, AlertDeed, signed
from postroom.policy.links import LinkKeys
from postroom.schema.alert_fitting import merged
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate, Operation

KEYS = LinkKeys((b"k" * 32,))
RULES = AlertRules(
    types={"disk-low": AlertType(key="disk-low", label={"en": "Disk low"})},
    receivers={"default": Receiver(name="default", recipients=(Recipient(address="kim@example.com"),))},
)


class AlertDoorsRoom:
    """What runs."""

    def __init__(self, rules: AlertRules = RULES) -> None:
        self.service = FakeService()
        self.clock = ManualClock(NOW)
        self.store = open_memory(settings=SpoolSettings())
        records = self.store.alerts
        rulebook = Rulebook(rules, records=records, merged=merged)
        self.failures: list[BaseException] = []
        self.evaluator = Evaluator(
            lambda: rulebook.rules, records=records, clock=self.clock, fatal=self.failures.append
        )
        self.alerts = Alerts(
            records=records,
            evaluator=self.evaluator,
            rulebook=rulebook,
            spool=self.store.spool,
            clock=self.clock,
            dice=CountingDice(),
        )
        behind = AlertRoom(alerts=self.alerts, clock=self.clock, keys=lambda: KEYS)
        self.operations: list[Operation] = alert_operations(self.service, behind, ByteBudget())
        self.app: ASGIApp = build_app(self.service, HttpSettings(), more=self.operations)

    def add_tenant(self, secret: str) -> None:
        """Make a key of another tenant."""
        self.service._keys[secret] = replace(
            _key(secret, frozenset({"send", "read", "operate"})), tenant=TenantId("other")
        )

    async def ask(self, method: str, path: str, value: object = None, **parts: Any) -> Answer:
        """Make one request; an answer of ours fits the model that the table promises."""
        answer = await ask(self.app, method, path, value=value, **parts)
        assert 500 != answer.status, answer.body
        self._check(method, path, answer)
        return answer

    def _check(self, method: str, path: str, answer: Answer) -> None:
        assert isinstance(self.app, Gate)
        scope = {"path": path, "method": method, "raw_path": path.encode()}
        try:
            operation = self.app._find(scope)
        except Exception:  # noqa: BLE001 - there is no such door, which is what the test is about
            return
        promised = operation.answers.get(answer.status)
        if promised is not None and not isinstance(promised[1], str):
            promised[1].model_validate_json(answer.body)

    async def report(self, *events: Mapping[str, Any]) -> list[str]:
        """Report events, let them be looked at, and return the ids of their alerts."""
        answer = await self.ask("POST", "/v1/alerts", {"alerts": list(events)})
        assert 202 == answer.status, answer.body
        await self.looked_at()
        return [one["alert"] for one in answer.json()["alerts"]]

    async def looked_at(self) -> None:
        """Wait until every event was looked at."""
        async with asyncio.timeout(10):
            while self.evaluator.waiting:  # noqa: ASYNC110 - it tells nobody when it is done
                await asyncio.sleep(0)
        assert [] == self.failures

    async def letters(self) -> list[Letter]:
        return [one.letter for one in await self.store.alerts.open_letters(limit=100)]

    def link(self, deed: AlertDeed, *, good_for: timedelta = timedelta(days=7), **about: Any) -> str:
        """Return the query of a link of a mail."""
        act = AlertAct(
            deed=deed, tenant=TenantId("default"), letter=about.pop("letter", 1), receiver="default", **about
        )
        return signed(act, KEYS, expires=self.clock.now() + good_for)


def on_doors(work: Callable[[AlertDoorsRoom], Awaitable[None]], rules: AlertRules = RULES) -> None:
    """Run a scenario in an event loop of its own."""

    async def run() -> None:
        room = AlertDoorsRoom(rules)
        await room.evaluator.start()
        try:
            await work(room)
        finally:
            await room.evaluator.stop()
            await room.store.close()

    asyncio.run(run())


def changed(query: str, **members: str) -> str:
    """Return a link with other members."""
    return urlencode({**dict(parse_qsl(query)), **members})


def later(at: datetime, hours: float) -> str:
    return (at + timedelta(hours=hours)).isoformat()
