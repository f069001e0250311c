"""Whatever an operator does between attempts, the stores agree, and every recipient is in one place."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peers.manual import ManualClock
from postroom.model.address import Address
from postroom.model.attempt import Claimed, Move
from postroom.model.event import EventFilter, EventKind
from postroom.model.hold import HoldEnd, HoldFilter
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.lifecycle import OPEN_STATES, RecipientState
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.selection import Resolution, Selection
from postroom.model.view import MessageFilter
from postroom.spool.groups import members_of
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import DATABASE, open_sqlite
from spool.orders_room import a_hold, a_suppression
from spool.spool_room import DAY, HOUR, MINUTE, NOW, RETENTION, a_message, a_settlement

pytestmark = pytest.mark.slow

S = RecipientState
WAIT = timedelta(minutes=15)
TRANSPORTS = st.sampled_from(["main", "spare"])
CLASSES = st.sampled_from([MailClass.CODE, MailClass.BULK])
ADDRESSES = st.sampled_from(["bob0@example.org", "BOB1@example.org", "bob2@example.org"])
ANYBODY = st.just("@example.org")
HOLDS = st.sampled_from(
    [
        HoldFilter(tag="a"),
        HoldFilter(mail_class=MailClass.BULK),
        HoldFilter(transport="main"),
        HoldFilter(recipient="bob1@example.org"),
        HoldFilter(mail_class=MailClass.CODE, recipient="@example.org"),
    ]
)
TAGS = st.sampled_from([(), ("a",), ("a", "b")])
AFTER = st.sampled_from(
    [None, S.QUEUED, S.DEFERRED, S.HELD, S.UNCERTAIN, S.ACCEPTED, S.REFUSED, S.REFUSED, S.EXPIRED]
)
_STATE_OF = {EventKind(f"recipient.{state.value}"): state for state in S if state is not S.SENDING}


class TwoDesks(RuleBasedStateMachine):
    """Runs each verb on both stores and compares answers, pictures and stories."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.settings = SpoolSettings(reserve=0, ballast=0, recent_bytes=2000, max_crashes=2)
        self.memory = open_memory(settings=self.settings)
        self.disk = open_sqlite(self.folder, settings=self.settings, clock=ManualClock())
        self.now = NOW
        self.ids: list[MessageId] = []
        self.claims: list[tuple[Claimed, Claimed]] = []
        self.holds = 0

    def both(self, verb: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a verb on both stores; the answers are one."""
        one, other = (self.loop.run_until_complete(_run(verb, store)) for store in (self.disk, self.memory))
        assert one == other
        return one

    # ------------------------------------------------------------------ the way of a message

    @rule(
        recipients=st.integers(1, 4),
        mail_class=CLASSES,
        policy=st.sampled_from(UncertainPolicy),
        times=st.tuples(st.integers(0, 3), st.integers(1, 5)),
        transport=TRANSPORTS,
        tags=TAGS,
    )
    def accept(
        self,
        *,
        recipients: int,
        mail_class: MailClass,
        policy: UncertainPolicy,
        times: tuple[int, int],
        transport: str,
        tags: tuple[str, ...],
    ) -> None:
        message = a_message(
            recipients,
            mail_class=mail_class,
            policy=policy,
            send_at=self.now + times[0] * MINUTE,
            life=times[1] * HOUR,
            tags=tags,
            at=self.now,
        )
        route = "failover(main spare)" if recipients == 2 else ""
        self.both(lambda store: store.spool.accept(message, transport=transport, route=route))
        self.ids.append(message.id)

    @initialize()
    def begin(self) -> None:
        for recipients, policy in ((3, UncertainPolicy.ASK), (4, UncertainPolicy.WAIT)):
            self.accept(
                recipients=recipients,
                mail_class=MailClass.BULK,
                policy=policy,
                times=(0, 2),
                transport="main",
                tags=("a",),
            )

    def claim(self, transport: str, most: int, lease: int) -> None:
        one, other = (
            self.loop.run_until_complete(
                store.spool.claim(
                    transport=transport,
                    limit=2,
                    now=self.now,
                    lease_until=self.now + lease * MINUTE,
                    max_recipients=most,
                )
            )
            for store in (self.disk, self.memory)
        )
        assert [_told(claimed) for claimed in one] == [_told(claimed) for claimed in other]
        self.claims.extend(zip(one, other, strict=True))

    @rule(
        data=st.data(),
        transport=TRANSPORTS,
        most=st.integers(2, 4),
        lease=st.integers(1, 30),
        commits=st.booleans(),
        end=st.sampled_from(["settled", "settled", "settled", "released", "lost"]),
    )
    def attempt(
        self, *, data: st.DataObject, transport: str, most: int, lease: int, commits: bool, end: str
    ) -> None:
        self.claim(transport, most, lease)
        if not self.claims:
            return
        pair = data.draw(st.sampled_from(self.claims))
        self.claims.remove(pair)
        states = data.draw(st.lists(AFTER, min_size=4, max_size=4))
        moves = [
            Move(recipient=number, state=state, due_at=self._due(state, number), cause=state.value)
            for number, state in zip(pair[0].recipients, states, strict=False)
            if state is not None
        ]
        stores: tuple[Any, Any] = (self.disk, self.memory)
        for store, claimed in zip(stores, pair, strict=True):
            spool, lease_held = store.spool, claimed.lease
            if commits:
                digest = f"d{lease_held.attempt}"
                self.run(spool.mark_committing(lease_held, digest=digest, now=self.now))
            if end == "settled":
                self.run(spool.settle(a_settlement(lease_held, *moves, at=self.now)))
            elif end == "released":
                self.run(spool.release([lease_held]))

    def run(self, verb: Any) -> Any:
        return self.loop.run_until_complete(verb)

    def _due(self, state: RecipientState, delay: int) -> datetime | None:
        waits = state in (S.DEFERRED, S.QUEUED, S.UNCERTAIN)
        return self.now + delay * MINUTE if waits and delay < 3 else None

    @rule(minutes=st.sampled_from([1, 2, 20, 90]))
    def wait(self, minutes: int) -> None:
        """Let time pass and do what is due then."""
        self.now += minutes * MINUTE
        self.both(lambda store: store.operations.end_due_holds(now=self.now))
        if minutes > 2:
            self.both(lambda store: store.spool.expire(now=self.now, limit=3))

    @rule(what=st.sampled_from(["die", "purge", "purge late", "reroute", "fail over", "fail back", "cancel"]))
    def meet(self, what: str) -> None:
        """Do what the engine does beside attempts."""
        way, spare, route = "main", "spare", "failover(main spare)"
        match what:
            case "die":
                self.run(self.disk.close())
                self.disk = open_sqlite(self.folder, settings=self.settings, clock=ManualClock())
                self.both(lambda store: store.spool.recover(now=self.now, wait=WAIT))
            case "purge":
                self.both(lambda store: store.spool.purge(now=self.now, retention=RETENTION, limit=1000))
            case "purge late":
                late = self.now + 31 * DAY
                self.both(lambda store: store.spool.purge(now=late, retention=RETENTION, limit=1000))
            case "reroute":
                self.both(lambda store: store.spool.reroute(known=[way], to=way))
            case "fail over":
                self.both(lambda store: store.spool.fail_over(way, route=route, to=spare, now=self.now))
            case "fail back":
                self.both(lambda store: store.spool.fail_over(spare, route=route, to=way, now=self.now))
            case "cancel":
                wanted = self.ids[0]
                self.both(lambda store: store.spool.cancel(wanted, tenant=DEFAULT_TENANT, now=self.now))

    # ------------------------------------------------------------------ the operator

    def selection(self, data: st.DataObject) -> Selection:
        """Mean everybody, or narrow it down by one member."""
        narrowed: dict[str, Any] = data.draw(
            st.just({})
            | st.builds(lambda one: {"message_id": one}, st.sampled_from(self.ids))
            | st.builds(
                lambda one, numbers: {"message_id": one, "recipients": numbers},
                st.sampled_from(self.ids),
                st.sampled_from([(0,), (1, 2)]),
            )
            | st.builds(lambda one: {"state": one}, st.sampled_from(S))
            | st.builds(lambda one: {"recipient": one}, ADDRESSES)
            | st.sampled_from([{"mail_class": MailClass.BULK}, {"tag": "a"}, {"transport": "main"}])
        )
        return Selection(**{"tenant": DEFAULT_TENANT, **narrowed})

    @rule(data=st.data(), at=st.sampled_from([0, 0, 1, 600]), confirm=st.booleans())
    def retry(self, *, data: st.DataObject, at: int, confirm: bool) -> None:
        wanted = self.selection(data)
        planned = self.both(
            lambda store: store.operations.count(
                wanted, verb="retry", confirm_duplicate=confirm, now=self.now
            )
        )
        done = self.both(
            lambda store: store.operations.retry(
                wanted, at=self.now + at * MINUTE, now=self.now, author="ann", confirm_duplicate=confirm
            )
        )
        assert planned == done

    @rule(data=st.data())
    def cancel_all(self, data: st.DataObject) -> None:
        wanted = replace(self.selection(data), recipient=data.draw(ADDRESSES))
        planned = self.both(lambda store: store.operations.count(wanted, verb="cancel"))
        done = self.both(lambda store: store.operations.cancel_all(wanted, now=self.now, author="ann"))
        assert planned == done

    @rule(data=st.data(), resolution=st.sampled_from(Resolution))
    def resolve(self, data: st.DataObject, resolution: Resolution) -> None:
        wanted = self.selection(data)
        self.both(
            lambda store: store.operations.resolve(
                wanted, resolution=resolution, note="n", author="ann", now=self.now
            )
        )

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        wanted = self.selection(data)
        planned = self.both(lambda store: store.operations.count(wanted, verb="release"))
        done = self.both(lambda store: store.operations.release(wanted, now=self.now, author="ann"))
        assert planned == done

    @rule(data=st.data(), send=st.none() | st.integers(0, 300), end=st.none() | st.integers(301, 600))
    def reschedule(self, data: st.DataObject, send: int | None, end: int | None) -> None:
        message_id = data.draw(st.sampled_from(self.ids))
        send_at, expires_at = (None if one is None else self.now + one * MINUTE for one in (send, end))
        self.both(
            lambda store: store.operations.reschedule(
                message_id,
                tenant=DEFAULT_TENANT,
                send_at=send_at,
                expires_at=expires_at,
                now=self.now,
                author="ann",
            )
        )

    @rule(
        kept=HOLDS,
        until=st.none() | st.integers(1, 60),
        then=st.sampled_from(HoldEnd),
    )
    def add_hold(self, kept: HoldFilter, until: int | None, then: HoldEnd) -> None:
        end = None if until is None else self.now + until * MINUTE
        hold = a_hold(f"h{self.holds}", filter=kept, created_at=self.now, until=end, then=then)
        self.holds += 1
        self.both(lambda store: store.operations.add_hold(hold))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def end_hold(self, data: st.DataObject) -> None:
        hold_id = f"h{data.draw(st.integers(max(0, self.holds - 2), self.holds - 1))}"
        self.both(
            lambda store: store.operations.end_hold(
                hold_id, tenant=DEFAULT_TENANT, now=self.now, author="ann"
            )
        )

    @rule(
        addresses=st.lists(ADDRESSES, min_size=1, max_size=1) | st.lists(ADDRESSES | ANYBODY, max_size=2),
        mail_class=st.none() | CLASSES,
        until=st.none() | st.integers(1, 60),
        data=st.data(),
        automatic=st.booleans(),
    )
    def suppress(
        self,
        *,
        addresses: list[str],
        mail_class: MailClass | None,
        until: int | None,
        data: st.DataObject,
        automatic: bool,
    ) -> None:
        cause = data.draw(st.sampled_from(self.ids)) if automatic else None
        end = None if until is None else self.now + until * MINUTE
        given = [
            a_suppression(address, mail_class=mail_class, until=end, message_id=cause, created_at=self.now)
            for address in addresses
        ]
        self.both(lambda store: store.operations.suppress(given, now=self.now))
        self.claim("main", 4, 10)

    @rule(address=ADDRESSES | ANYBODY, mail_class=st.none() | CLASSES)
    def unsuppress(self, address: str, mail_class: MailClass | None) -> None:
        self.both(
            lambda store: store.operations.unsuppress(
                address,
                tenant=DEFAULT_TENANT,
                mail_class=mail_class,
                note="n",
                author="ann",
                now=self.now,
            )
        )

    # ------------------------------------------------------------------ what holds

    @invariant()
    def tell_the_same(self) -> None:
        for message_id in self.ids[-4:]:
            self.compare(message_id)
        self.both(lambda store: store.spool.list(MessageFilter(tenant=DEFAULT_TENANT, limit=1000)))
        self.both(lambda store: store.spool.counts())
        self.both(lambda store: store.spool.next_due_at("main"))
        self.both(lambda store: store.spool.next_due_at("spare"))
        self.both(lambda store: store.operations.holds(DEFAULT_TENANT, is_open=True))
        self.both(lambda store: store.operations.holds(DEFAULT_TENANT, is_open=False))
        self.both(lambda store: store.operations.suppressions(DEFAULT_TENANT))
        asked = [Address(f"bob{number}", "example.org") for number in range(4)]
        self.both(
            lambda store: store.operations.suppressed(
                asked, tenant=DEFAULT_TENANT, mail_class=MailClass.CODE, now=self.now
            )
        )

    def compare(self, message_id: MessageId) -> None:
        self.both(lambda store: store.spool.view(message_id, tenant=DEFAULT_TENANT))
        self.both(lambda store: store.spool.message(message_id, tenant=DEFAULT_TENANT))

    @invariant()
    def every_recipient_is_in_one_place(self) -> None:
        """A group of the queue holds it if and only if it is open, and the tallies are true."""
        db = apsw.Connection(str(self.folder / DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        stored = {(seq, number): state for seq, number, state in db.execute(_RECIPIENTS)}
        waiting: dict[tuple[int, int], str] = {}
        leased = 0
        for seq, state, lease, members, hold in db.execute(_QUEUE):
            for member in members_of(members):
                assert (seq, member) not in waiting
                waiting[seq, member] = state
                leased += lease is not None
            assert hold is None or state == S.HELD
        open_ones = {key: state for key, state in stored.items() if state in OPEN_STATES}
        assert open_ones == waiting
        counted = Counter(stored.values())
        for _, state, lease, members, _ in db.execute(_QUEUE):
            if lease is not None:
                counted[state] -= len(members_of(members))
        if leased:
            counted[S.SENDING.value] = leased
        tally = dict(db.execute("SELECT name, value FROM tally"))
        assert {state.value: counted[state.value] for state in S} == {
            state.value: tally.get(state.value, 0) for state in S
        }
        db.close()

    @invariant()
    def the_story_ends_with_the_present(self) -> None:
        """Events replayed from the first give each recipient's state."""
        wanted = EventFilter(tenant=None, after=0, limit=100_000)
        events = self.both(lambda store: store.events.page(wanted))
        told: dict[tuple[str, int], RecipientState] = {}
        for event in events:
            for recipient in event.recipients:
                told[event.message_id, recipient] = _STATE_OF[event.kind]
        db = apsw.Connection(str(self.folder / DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        for message_id, number, state in db.execute(_STATES):
            assert told.get((message_id, number), S.QUEUED) == state
        db.close()

    def teardown(self) -> None:
        for message_id in self.ids:
            self.compare(message_id)
        self.run(self.disk.close())
        self.loop.close()
        shutil.rmtree(self.folder)


_RECIPIENTS = "SELECT seq, number, state FROM recipient"
_QUEUE = "SELECT seq, state, lease, members, hold FROM queue"
_STATES = "SELECT id, number, state FROM recipient JOIN message USING (seq)"


async def _run(verb: Callable[[Any], Awaitable[Any]], store: object) -> object:
    answer = await verb(store)
    return list(answer) if isinstance(answer, list | tuple) else answer


def _told(claimed: Claimed) -> tuple[object, ...]:
    return (
        claimed.message,
        claimed.recipients,
        claimed.tries,
        claimed.digest,
        claimed.maybe_duplicate,
    )


TestTwoDesks = TwoDesks.TestCase
TestTwoDesks.settings = settings(
    max_examples=8, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
