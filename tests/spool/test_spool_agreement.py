"""Whatever is done in whatever order, the store on disk and the store in memory tell the same."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peers.manual import ManualClock
from postroom.model.attempt import Claimed, Move
from postroom.model.event import EventFilter
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, RemoteFile, UncertainPolicy
from postroom.model.view import MessageFilter
from postroom.ports import Spool
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite
from spool.spool_room import DAY, HOUR, MINUTE, NOW, RETENTION, a_key, a_message, a_settlement

WAIT = timedelta(minutes=15)
TRANSPORTS = st.sampled_from(["main", "spare"])
ROUTES = st.sampled_from(["", "failover(main spare)", "failover(spare main)"])
TENANTS = st.sampled_from([DEFAULT_TENANT, TenantId("other")])
EVERY_EVENT = EventFilter(tenant=None, after=0, limit=100_000)
T = TypeVar("T")

pytestmark = pytest.mark.slow


class TwoStores(RuleBasedStateMachine):
    """Runs each verb on both stores and compares answers and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.settings = SpoolSettings(reserve=0, ballast=0, recent_bytes=2000, max_crashes=3)
        self.memory = open_memory(settings=self.settings)
        self.disk = open_sqlite(self.folder, settings=self.settings, clock=ManualClock())
        self.now = NOW
        self.ids: list[tuple[MessageId, TenantId]] = []
        self.claims: list[tuple[Claimed, Claimed]] = []

    def both(self) -> tuple[Spool, Spool]:
        return self.disk.spool, self.memory.spool

    def run(self, verb: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(verb)

    @rule(
        recipients=st.integers(1, 4),
        mail_class=st.sampled_from(MailClass),
        policy=st.sampled_from(UncertainPolicy),
        times=st.tuples(st.integers(0, 3), st.integers(1, 5)),
        transport=TRANSPORTS,
        place=st.tuples(TENANTS, ROUTES),
        use=st.none() | st.tuples(st.sampled_from("12"), st.sampled_from("12")),
        has_files=st.booleans(),
    )
    def accept(
        self,
        *,
        recipients: int,
        mail_class: MailClass,
        policy: UncertainPolicy,
        times: tuple[int, int],
        transport: str,
        place: tuple[TenantId, str],
        use: tuple[str, str] | None,
        has_files: bool,
    ) -> None:
        tenant, route = place
        message = a_message(
            recipients,
            mail_class=mail_class,
            policy=policy,
            send_at=self.now + times[0] * MINUTE,
            life=times[1] * HOUR,
            at=self.now,
            tenant=tenant,
        )
        if has_files:
            files = (RemoteFile(filename="a.pdf", url="https://files.example.com/a"),)
            message = replace(message, content=replace(message.content, remote_files=files))
        key = None if use is None else a_key(use[0], subject=use[1])
        one, other = (
            self.run(spool.accept(message, transport=transport, route=route, idempotency=key))
            for spool in self.both()
        )
        assert one == other
        self.ids.append((message.id, tenant))

    @rule(
        transport=TRANSPORTS,
        room=st.tuples(st.integers(1, 4), st.integers(0, 2)),
        most=st.integers(1, 3),
        lease=st.integers(1, 30),
    )
    def claim(self, transport: str, room: tuple[int, int], most: int, lease: int) -> None:
        limit, reserved = room
        one, other = (
            self.run(
                spool.claim(
                    transport=transport,
                    limit=limit,
                    now=self.now,
                    lease_until=self.now + lease * MINUTE,
                    max_recipients=most,
                    reserved=reserved,
                )
            )
            for spool in self.both()
        )
        assert [_told(claimed) for claimed in one] == [_told(claimed) for claimed in other]
        self.claims.extend(zip(one, other, strict=True))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.claims))
        one, other = (
            self.run(spool.mark_committing(claimed.lease, digest="d", now=self.now))
            for spool, claimed in zip(self.both(), pair, strict=True)
        )
        assert one == other

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), counts=st.booleans(), again=st.sampled_from([False, False, False, True]))
    def settle(self, data: st.DataObject, *, counts: bool, again: bool) -> None:
        pair = data.draw(st.sampled_from(self.claims))
        moves = [
            Move(recipient=number, state=state, due_at=self._due(state, delay), cause=state.value)
            for number in pair[0].recipients
            if (state := data.draw(st.sampled_from(_AFTER))) is not None
            for delay in (data.draw(st.integers(0, 2)),)
        ]
        one, other = (
            self.run(spool.settle(a_settlement(claimed.lease, *moves, counts=counts, at=self.now)))
            for spool, claimed in zip(self.both(), pair, strict=True)
        )
        assert one == other
        if not again:
            self.claims.remove(pair)
        self.claim("main", (3, 0), 3, 10)

    def _due(self, state: RecipientState, delay: int) -> datetime | None:
        waits = state in (RecipientState.DEFERRED, RecipientState.QUEUED, RecipientState.UNCERTAIN)
        return self.now + delay * MINUTE if waits and delay < 2 else None

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.claims))
        due_at = data.draw(st.none() | st.just(self.now + MINUTE))
        for spool, claimed in zip(self.both(), pair, strict=True):
            self.run(spool.release([claimed.lease], due_at=due_at))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.claims))
        one, other = (
            self.run(spool.complete(claimed.lease, []))
            for spool, claimed in zip(self.both(), pair, strict=True)
        )
        assert one == other

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        message_id, tenant = data.draw(st.sampled_from(self.ids))
        one, other = (
            self.run(spool.cancel(message_id, tenant=tenant, now=self.now)) for spool in self.both()
        )
        assert one == other

    @rule(minutes=st.sampled_from([1, 2, 20, 90]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(limit=st.integers(1, 3))
    def expire(self, limit: int) -> None:
        one, other = (self.run(spool.expire(now=self.now, limit=limit)) for spool in self.both())
        assert list(one) == list(other)

    @rule(days=st.sampled_from([0, 0, 0, 31, 400]), limit=st.integers(1, 5))
    def purge(self, days: int, limit: int) -> None:
        one, other = (
            self.run(spool.purge(now=self.now + days * DAY, retention=RETENTION, limit=limit))
            for spool in self.both()
        )
        assert one == other

    @rule()
    def reroute(self) -> None:
        one, other = (self.run(spool.reroute(known=["main"], to="main")) for spool in self.both())
        assert one == other

    @rule(transport=TRANSPORTS, route=ROUTES, classes=st.sets(st.sampled_from(MailClass)))
    def fail_over(self, transport: str, route: str, classes: set[MailClass]) -> None:
        to = "spare" if transport == "main" else "main"
        one, other = (
            self.run(spool.fail_over(transport, route=route, to=to, now=self.now, even_uncertain=classes))
            for spool in self.both()
        )
        assert one == other

    @rule()
    def die_and_come_back(self) -> None:
        self.run(self.disk.close())
        self.disk = open_sqlite(self.folder, settings=self.settings, clock=ManualClock())
        one, other = (self.run(spool.recover(now=self.now, wait=WAIT)) for spool in self.both())
        assert one == other

    @invariant()
    def tell_the_same(self) -> None:
        disk, memory = self.both()
        for message_id, tenant in self.ids[-4:]:
            seen = [self.run(spool.view(message_id, tenant=tenant)) for spool in (disk, memory)]
            assert seen[1] == seen[0]
        everything = MessageFilter(tenant=DEFAULT_TENANT, limit=1000)
        assert self.run(memory.list(everything)) == self.run(disk.list(everything))
        assert self.run(memory.counts()) == self.run(disk.counts())
        for transport in ("main", "spare"):
            assert self.run(memory.next_due_at(transport)) == self.run(disk.next_due_at(transport))
            assert self.run(memory.routes_waiting(transport)) == self.run(disk.routes_waiting(transport))
            sent = [self.run(spool.sent(transport, since=NOW)) for spool in (disk, memory)]
            assert sent[1] == sent[0]

    def teardown(self) -> None:
        for message_id, tenant in self.ids:
            seen = [self.run(spool.view(message_id, tenant=tenant)) for spool in self.both()]
            assert seen[1] == seen[0]
        stories = [self.run(store.events.page(EVERY_EVENT)) for store in (self.disk, self.memory)]
        assert list(stories[1]) == list(stories[0])
        self.run(self.disk.close())
        self.loop.close()
        shutil.rmtree(self.folder)


_AFTER = [
    None,
    RecipientState.QUEUED,
    RecipientState.DEFERRED,
    RecipientState.HELD,
    RecipientState.UNCERTAIN,
    RecipientState.ACCEPTED,
    RecipientState.REFUSED,
]


def _told(claimed: Claimed) -> tuple[object, ...]:
    return (
        claimed.message,
        claimed.recipients,
        claimed.tries,
        claimed.digest,
        claimed.maybe_duplicate,
        claimed.is_suspect,
    )


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(
    max_examples=10, stateful_step_count=45, deadline=None, suppress_health_check=list(HealthCheck)
)
