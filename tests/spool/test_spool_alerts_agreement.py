"""Whatever is done with alerts in whatever order, the store on disk and the store in memory tell the same."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from postroom.errors import InvariantError
from postroom.model.alert import (
    AlertEvent,
    AlertEventFilter,
    AlertId,
    AlertPlace,
    AlertState,
    Clause,
    DecisionFilter,
    NewAlertEvent,
    Severity,
    StoredDecision,
)
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.ports import AlertRecords
from postroom.spool.memory.alerts import MemoryAlerts
from spool.alerts_room import OTHER, a_decision, a_letter, a_row, a_turn
from spool.spool_room import HOUR, NOW
from spool.sqlite_room import open_

T = TypeVar("T")
FEW = st.integers(1, 6)
TENANTS = st.sampled_from([DEFAULT_TENANT, DEFAULT_TENANT, OTHER])
ALERTS = st.sampled_from([AlertId("a" * 20), AlertId("b" * 20)])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.dictionaries(
    TEXTS, TEXTS | st.integers() | st.booleans() | st.floats(allow_nan=False), max_size=3
)
TIMES = st.none() | st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is added
EVENTS = st.builds(
    NewAlertEvent,
    tenant=TENANTS,
    key=st.sampled_from("ab"),
    severity=st.sampled_from(Severity),
    is_severity_said=st.booleans(),
    title=TEXTS,
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
    values=VALUES,
    state=st.none() | st.sampled_from(AlertState),
    occurred_at=TIMES,
    ends_at=TIMES,
    receivers=st.lists(TEXTS, max_size=2).map(tuple),
)

pytestmark = pytest.mark.slow


class TwoStores(RuleBasedStateMachine):
    """Runs each verb on both stores and compares answers and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.disk = open_(self.folder)
        self.memory = MemoryAlerts()
        self.now = NOW
        self.place = AlertPlace()
        self.last_letter = 0

    def same(self, ask: Callable[[AlertRecords], Coroutine[object, object, T]]) -> T | None:
        """Ask both stores the same; return what they say, ``None`` when both refuse."""
        one, other = (self.answer(ask(records)) for records in (self.disk.alerts, self.memory))
        assert one == other
        return one

    def answer(self, verb: Coroutine[object, object, T]) -> T | None:
        try:
            return self.loop.run_until_complete(verb)
        except InvariantError:
            return None

    @rule(events=st.lists(EVENTS, max_size=4))
    def add(self, events: list[NewAlertEvent]) -> None:
        self.same(lambda records: records.add(events, at=self.now))

    @rule(size=FEW)
    def look(self, size: int) -> None:
        """Look at some events, as the evaluator does."""
        found = self.same(lambda records: records.waiting(self.place, limit=size)) or ()
        urgent = [event.number for event in found if event.severity.is_urgent]
        other = [event.number for event in found if not event.severity.is_urgent]
        self.place = AlertPlace(
            urgent=max(urgent, default=self.place.urgent), other=max(other, default=self.place.other)
        )
        self.same(lambda records: records.settle(a_turn(place=(self.place.urgent, self.place.other))))

    @rule(
        rows=st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from(["{}", "[]"])),
        told=st.lists(st.tuples(ALERTS, st.sampled_from(Clause), st.none() | FEW, TENANTS), max_size=3),
        letters=st.lists(
            st.tuples(
                st.sampled_from([0, 1, 1, 1]), st.sampled_from(Severity), st.sampled_from("ij"), TENANTS
            ),
            max_size=2,
        ),
    )
    def settle(
        self,
        rows: dict[str, str | None],
        told: list[tuple[AlertId, Clause, int | None, TenantId]],
        letters: list[tuple[int, Severity, str, TenantId]],
    ) -> None:
        made = []
        for step, severity, incident, tenant in letters:
            self.last_letter += step  # a step of nothing uses a number twice
            made.append(
                a_letter(self.last_letter, severity=severity, incident=incident, at=self.now, tenant=tenant)
            )
        decisions = [
            a_decision(alert, clause, event=event, at=self.now, tenant=tenant)
            for alert, clause, event, tenant in told
        ]
        turn = a_turn(*decisions, letters=made, rows=[a_row(id_, data) for id_, data in rows.items()])
        self.same(lambda records: records.settle(turn))

    @rule(number=FEW, message_id=st.none() | st.just(MessageId("m" * 20)))
    def send(self, number: int, message_id: MessageId | None) -> None:
        self.same(lambda records: records.sent(number, message_id=message_id, by="mail"))

    @rule(
        kind=st.sampled_from("kl"), name=st.sampled_from("mn"), data=st.none() | st.sampled_from(["1", "2"])
    )
    def change_rules(self, kind: str, name: str, data: str | None) -> None:
        if data is None:
            self.same(lambda records: records.remove_rule(kind, name, tenant=DEFAULT_TENANT))
        else:
            self.same(lambda records: records.put_rule(kind, name, data, tenant=DEFAULT_TENANT))

    @rule()
    def wait(self) -> None:
        self.now += HOUR

    @rule(limit=FEW)
    def purge(self, limit: int) -> None:
        self.same(lambda records: records.purge(before=self.now - HOUR, limit=limit))

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.disk.close())
        self.disk = open_(self.folder)

    @invariant()
    def pictures_are_the_same(self) -> None:
        self.same(lambda records: records.book())
        self.same(lambda records: records.backlog(self.place))
        self.same(lambda records: records.open_letters(limit=100))
        self.same(lambda records: records.first_of("i"))
        self.same(lambda records: records.rules(tenant=DEFAULT_TENANT))
        for alert in (None, AlertId("a" * 20)):
            events = AlertEventFilter(tenant=DEFAULT_TENANT, alert=alert)
            decisions = DecisionFilter(tenant=DEFAULT_TENANT, alert=alert, after=2)
            self.same(partial(_page, events=events, decisions=decisions))

    def teardown(self) -> None:
        self.loop.run_until_complete(self.disk.close())
        self.loop.close()
        shutil.rmtree(self.folder)


async def _page(
    records: AlertRecords, *, events: AlertEventFilter, decisions: DecisionFilter
) -> tuple[list[AlertEvent], list[StoredDecision]]:
    return list(await records.events(events)), list(await records.decisions(decisions))


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
