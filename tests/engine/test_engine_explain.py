"""What explain says is what would happen, and nothing happens by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from peers.engine_room import OK, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.explain import Explainer, Explanation
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import InputError
from postroom.mime.writer import render
from postroom.model.address import parse_address, parse_mailbox
from postroom.model.hold import Hold, HoldFilter, Suppression, SuppressionReason
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.message import MailClass, Submission, UncertainPolicy
from postroom.model.route import Route, RouteKind
from postroom.model.transport import Rate
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.blocking import NOBODY, BlockList
from postroom.policy.failover import Fitness
from postroom.policy.retry import CLASS_RULES
from postroom.policy.routing import RouteRule, RouteTable
from postroom.ports import KeyReused, Replayed
from postroom.spool.memory.opening import MemoryStore, open_memory

MAIL = Submission(
    from_=parse_mailbox("app@example.com"),
    to=(parse_mailbox("a@example.org"), parse_mailbox("b@example.net")),
    subject="Hello",
    text="It works.",
)
TABLE = RouteTable(
    [
        RouteRule(name="codes", route=Route(("b", "a")), classes=frozenset({MailClass.CODE})),
        RouteRule(name="turns", route=Route(("a", "b", "c"), RouteKind.ROUNDROBIN), tags=frozenset({"turn"})),
        RouteRule(name="large", route=Route(("c",)), over=1000, subject_prefix="[large] "),
    ],
    Route(("a", "b")),
)


@dataclass(eq=False)
class Room:
    explainer: Explainer
    intake: Intake
    dispatcher: Dispatcher
    ways: Ways
    store: MemoryStore
    clock: ManualClock

    async def explained(self, submission: Submission, *senders: str) -> Explanation:
        return await self.explainer.explain(submission, senders=senders)

    async def accepted(self, submission: Submission) -> MessageId:
        message_id, _, _ = await self.intake.submit(submission, senders=())
        return message_id


@asynccontextmanager
async def room(*, rates: tuple[Rate, ...] = (), blocked: BlockList = NOBODY) -> AsyncIterator[Room]:
    """Three transports, of which only the first has rates and an account; nothing runs but what is asked."""
    clock, dice, store = ManualClock(), CountingDice(), open_memory()
    ways = Ways(
        [
            Way(
                transport=ScriptedTransport(lambda *_: OK, clock, name=name),
                target=f"smtp://{name}.example.com",
                default_from=parse_mailbox("Default <default@example.com>") if name != "c" else None,
                account=parse_address("login@example.com") if name == "a" else None,
                rates=rates if name == "a" else (),
            )
            for name in "abc"
        ]
    )
    rendered, routes = RenderedMessages(), Routes(ways, TABLE)
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=Signals(),
        clock=clock,
        dice=dice,
        fatal=lambda error: pytest.fail(str(error)),
        events=store.events,
    )
    intake = Intake(
        spool=store.spool,
        ways=ways,
        routes=routes,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=MessageLimits(max_text=5000, max_wire=9000),
        clock=clock,
        dice=dice,
    )
    explainer = Explainer(
        spool=store.spool,
        operations=store.operations,
        ways=ways,
        routes=routes,
        health=dispatcher.health,
        rules=CLASS_RULES,
        limits=MessageLimits(max_text=5000, max_wire=9000),
        clock=clock,
        dice=dice,
        blocked=blocked,
    )
    yield Room(explainer, intake, dispatcher, ways, store, clock)


def test_the_rule_the_route_and_the_message() -> None:
    """An ordinary mail: default route, first leg, the sender, the size, the times of its class."""

    async def go() -> None:
        async with room() as at:
            found = await at.explained(MAIL)
            assert ("default", "failover(a b)", ()) == (found.rule, found.route, found.problems)
            assert [("a", True), ("b", False)] == [(leg.name, leg.is_chosen) for leg in found.legs]
            assert found.retries[:2] == ((30.0, 60.0), (60.0, 120.0))
            made = found.made
            assert made is not None
            assert "app@example.com" == made.from_.address.spec
            assert "login@example.com" == made.reverse_path.spec  # the account of the leg
            assert at.clock.now() == made.not_before
            assert at.clock.now() + timedelta(days=3) == made.expires_at
            assert UncertainPolicy.WAIT is made.uncertain_policy
            message_id = await at.accepted(MAIL)
            stored = await at.store.spool.message(message_id, tenant=DEFAULT_TENANT)
            assert stored is not None
            assert made.size == render(stored.content, at.ways.default.transport.variant).size

    asyncio.run(go())


@pytest.mark.parametrize(
    ("changes", "rule", "transport"),
    [
        ({"mail_class": MailClass.CODE}, "codes", "b"),
        ({"text": "x" * 1001}, "large", "c"),
        ({"tags": ("turn",)}, "turns", None),
        ({}, "default", "a"),
    ],
)
def test_it_says_where_the_mail_then_goes(
    changes: dict[str, object], rule: str, transport: str | None
) -> None:
    """Explained and then accepted, a mail waits for the transport that was named."""

    async def go() -> None:
        async with room() as at:
            mail = replace(MAIL, **changes)  # type: ignore[arg-type]  # fields by name
            found = await at.explained(mail)
            assert rule == found.rule
            chosen = [leg.name for leg in found.legs if leg.is_chosen]
            view = await at.store.spool.view(await at.accepted(mail), tenant=DEFAULT_TENANT)
            assert view is not None
            if transport is not None:
                assert ([transport], transport) == (chosen, view.transport)
            assert ("" if rule == "large" else found.route[:10]) == view.route[:10]

    asyncio.run(go())


def test_a_leg_that_is_down_is_passed_over_and_says_why() -> None:
    """A suspended leg and one whose quota is used up are passed over; when all are down the mail waits."""

    async def go() -> None:
        async with room(rates=(Rate(86400, 1),)) as at:
            health = at.dispatcher.health
            at.ways.default.pace.take(1)
            at.ways.default.pace.ended()
            at.ways.default.full_until = at.clock.now() + timedelta(hours=20)
            found = await at.explained(MAIL)
            assert [(False, Fitness.DOWN), (True, Fitness.WORKS)] == [
                (leg.is_chosen, leg.fitness) for leg in found.legs
            ]
            assert found.legs[0].paced_until is not None
            assert (1, 1) == (found.legs[0].limits[-1].used, found.legs[0].limits[-1].allowed)
            until = at.clock.now() + timedelta(hours=30)
            await health.suspend("b", reason="moving", author="kim", until=until)
            found = await at.explained(MAIL)
            assert [True, False] == [leg.is_chosen for leg in found.legs]  # its outage ends first
            assert [PauseKind.SUSPENDED] == [pause.kind for pause in found.legs[1].pauses]
            assert found.made is not None
            assert at.clock.now() + timedelta(hours=20) < found.made.not_before

    asyncio.run(go())


def test_a_probe_is_not_spent() -> None:
    """A leg whose pause is over is told as such, and the next real mail may still probe it."""

    async def go() -> None:
        async with room() as at:
            now = at.clock.now()
            at.ways.default.pauses[PauseKind.LOGIN] = TransportPause(
                transport="a",
                kind=PauseKind.LOGIN,
                since=now - timedelta(hours=1),
                until=now - timedelta(seconds=1),
                cause="auth-wrong",
                step="auth",
                text="535 5.7.8 authentication failed",
                host="a.example.com",
                failures=1,
            )
            for _ in range(3):
                found = await at.explained(MAIL)
                assert [Fitness.PROBING, Fitness.WORKS] == [leg.fitness for leg in found.legs]
                assert [False, True] == [leg.is_chosen for leg in found.legs]
            view = await at.store.spool.view(await at.accepted(MAIL), tenant=DEFAULT_TENANT)
            assert view is not None
            assert "a" == view.transport

    asyncio.run(go())


def test_holds_and_suppressions_are_told_per_recipient() -> None:
    """A suppression wins over a hold, and both come with their reason."""

    async def go() -> None:
        async with room() as at:
            now = at.clock.now()
            gone = Suppression(
                tenant=DEFAULT_TENANT,
                address="a@example.org",
                reason=SuppressionReason.HARD_BOUNCE,
                created_at=now,
            )
            await at.store.operations.suppress([gone], now=now)
            hold = Hold(
                id="h1",
                tenant=DEFAULT_TENANT,
                filter=HoldFilter(sender="@example.com"),
                reason="audit",
                author="kim",
                created_at=now,
                until=None,
            )
            await at.store.operations.add_hold(hold)
            found = await at.explained(MAIL)
            assert found.made is not None
            first, second = found.made.recipients
            assert (gone.reason, None) == (first.suppression and first.suppression.reason, first.hold)
            assert (None, "audit") == (second.suppression, second.hold and second.hold.reason)

    asyncio.run(go())


def test_what_would_be_refused_is_told_whole() -> None:
    """Every problem that intake would raise is listed, and intake then raises the same."""

    async def go() -> None:
        async with room() as at:
            mail = replace(MAIL, expires_at=at.clock.now())
            found = await at.explained(mail, "@example.org")
            assert ["sender-not-allowed", "expires-too-early"] == [one.code for one in found.problems]
            with pytest.raises(InputError) as caught:
                await at.intake.submit(mail, senders=["@example.org"])
            assert caught.value.problems == found.problems
            large = await at.explained(replace(MAIL, text="x" * 4999, html="x" * 4999))
            assert ["message-too-large"] == [one.code for one in large.problems]
            assert large.made is not None
            assert large.made.size > large.max_size

    asyncio.run(go())


def test_a_mail_without_a_sender_cannot_be_made() -> None:
    """Where the transport has no sender either, rule and route are told all the same."""

    async def go() -> None:
        async with room() as at:
            found = await at.explained(replace(MAIL, from_=None, text="x" * 2000))
            assert (["from-missing"], "large", None) == (
                [one.code for one in found.problems],
                found.rule,
                found.made,
            )
            by_default = await at.explained(replace(MAIL, from_=None))
            assert by_default.made is not None
            assert "default@example.com" == by_default.made.from_.address.spec

    asyncio.run(go())


def test_what_an_idempotency_key_would_do() -> None:
    """A new key, a repetition, another mail under the same key, and a key whose time is over."""

    async def go() -> None:
        async with room() as at:
            keyed = replace(MAIL, idempotency_key="order-42", mail_class=MailClass.CODE)

            async def use(mail: Submission) -> Replayed | KeyReused | None:
                made = (await at.explained(mail)).made
                assert made is not None
                assert made.key is not None
                return made.key.earlier

            assert await use(keyed) is None
            assert await use(keyed) is None  # asking uses nothing up
            message_id = await at.accepted(keyed)
            assert Replayed(message_id=message_id) == await use(keyed)
            other = replace(keyed, subject="Other")
            assert KeyReused(fields=("subject",)) == await use(other)
            refused = await at.explained(other)
            assert [("idempotency-key-reused", "subject")] == [
                (one.code, one.field) for one in refused.problems
            ]
            at.clock.advance(24 * 3600 + 1)
            assert await use(other) is None

    asyncio.run(go())


def test_a_scheduled_mail_starts_and_expires_later() -> None:
    """The lifetime of the class counts from the time of sending."""

    async def go() -> None:
        async with room() as at:
            send_at = at.clock.now() + timedelta(days=10)
            made = (await at.explained(replace(MAIL, mail_class=MailClass.CODE, send_at=send_at))).made
            assert made is not None
            assert (send_at, send_at + timedelta(minutes=15)) == (made.not_before, made.expires_at)

    asyncio.run(go())


def test_a_rule_puts_its_prefix_before_the_subject() -> None:
    """Verbatim, in what is stored: every leg, list and copy of the message has it."""

    async def go() -> None:
        async with room() as at:
            message_id = await at.accepted(replace(MAIL, text="x" * 1001))
            stored = await at.store.spool.message(message_id, tenant=DEFAULT_TENANT)
            assert stored is not None
            assert "[large] Hello" == stored.content.subject
            other = await at.store.spool.message(await at.accepted(MAIL), tenant=DEFAULT_TENANT)
            assert other is not None
            assert "Hello" == other.content.subject

    asyncio.run(go())


def test_a_block_of_the_settings_counts_as_a_suppression() -> None:
    """Who is blocked would not be sent to, and the answer says why."""

    async def go() -> None:
        async with room(blocked=BlockList(["re:.*"])) as at:
            made = (await at.explained(MAIL)).made
            assert made is not None
            stops = [one.suppression for one in made.recipients]
            assert {"blocked in the settings"} == {None if stop is None else stop.note for stop in stops}

    asyncio.run(go())
