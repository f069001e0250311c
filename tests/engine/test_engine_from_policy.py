"""What becomes of a From that is not the account: kept, rewritten or refused, leg by leg."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from egress.works import file_blobs
from peers.engine_room import BAD_LOGIN, GREYLISTED, LOST_AFTER_DOT, OK, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.clock import SystemClock
from postroom.egress.smtp import SmtpTransport
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.explain import Explainer
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import DiskFullError, InputError, OverloadError
from postroom.mime.rendered import Variant
from postroom.model.address import parse_address, parse_mailbox
from postroom.model.event import Event, EventFilter, EventKind
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.message import MailClass, Submission, UncertainPolicy
from postroom.model.outcome import Evidence
from postroom.model.route import Route
from postroom.model.secret import Secret
from postroom.model.transport import FromPolicy, SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.model.view import MessageView
from postroom.policy.retry import CLASS_RULES
from postroom.policy.routing import RouteTable
from postroom.policy.wording import sentence
from postroom.ports import Transport
from postroom.spool.memory.opening import MemoryStore, open_memory

MAIL = Submission(
    from_=parse_mailbox("App <app@example.com>"), to=(parse_mailbox("r@example.org"),), subject="Hi", text="x"
)
KEEP, REWRITE, REFUSE = FromPolicy.KEEP, FromPolicy.REWRITE, FromPolicy.REFUSE
RULES = {**CLASS_RULES, MailClass.BULK: replace(CLASS_RULES[MailClass.BULK], uncertain_failover=True)}


@dataclass(eq=False)
class Room:
    intake: Intake
    explainer: Explainer
    dispatcher: Dispatcher
    store: MemoryStore
    signals: Signals

    async def sent(self, mail: Submission = MAIL) -> MessageView:
        """Hand a mail in and wait until nothing of it is on its way."""
        message_id, _, _ = await self.intake.submit(mail, senders=())
        async with asyncio.timeout(10):
            while True:
                waiter = self.signals.watch(message_id, "a")
                view = await self.view(message_id)
                if view.recipients[0].state.value not in ("queued", "sending"):
                    return view
                await waiter

    async def view(self, message_id: str) -> MessageView:
        view = await self.store.spool.view(MessageId(message_id), tenant=DEFAULT_TENANT)
        assert view is not None
        return view

    async def story(self, message_id: MessageId) -> list[Event]:
        page = await self.store.events.page(EventFilter(tenant=DEFAULT_TENANT, message_id=message_id))
        return list(reversed(page))


def leg(name: str, policy: FromPolicy, clock: ManualClock, evidence: Evidence = OK) -> Way:
    account = parse_address(f"{name}@example.net")
    transport = ScriptedTransport(lambda *_: evidence, clock, name=name)
    if policy is REWRITE:
        transport.variant = Variant(account=account)
    return Way(transport=transport, target="test", account=account, from_policy=policy)


def works(way: Way) -> list[Any]:
    assert isinstance(way.transport, ScriptedTransport)
    return way.transport.works


@asynccontextmanager
async def room(*ways: Way, clock: ManualClock) -> AsyncIterator[Room]:
    store, dice, signals, rendered = open_memory(), CountingDice(), Signals(), RenderedMessages()
    legs = Ways(ways)
    routes = Routes(legs, RouteTable([], Route(legs.names)))
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=legs,
        rules=RULES,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=lambda error: pytest.fail(str(error)),
        events=store.events,
    )
    intake = Intake(
        spool=store.spool,
        ways=legs,
        routes=routes,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    explainer = Explainer(
        spool=store.spool,
        operations=store.operations,
        ways=legs,
        routes=routes,
        health=dispatcher.health,
        rules=RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    await dispatcher.start()
    try:
        yield Room(intake, explainer, dispatcher, store, signals)
    finally:
        await dispatcher.stop(grace_s=1)


def play(story: Callable[[ManualClock], Coroutine[None, None, None]]) -> None:
    asyncio.run(story(ManualClock()))


def test_a_refusing_way_says_so_at_once() -> None:
    """422 ``from-not-account`` names the account; its own address passes, in any case of letters."""

    async def story(clock: ManualClock) -> None:
        way = leg("a", REFUSE, clock)
        async with room(way, clock=clock) as at:
            with pytest.raises(InputError) as refused:
                await at.intake.submit(MAIL, senders=())
            (problem,) = refused.value.problems
            assert ("from-not-account", "from") == (problem.code, problem.field)
            assert "a@example.net" in problem.cause
            assert "from_policy" in problem.fix
            explained = await at.explainer.explain(MAIL)
            assert ["from-not-account"] == [one.code for one in explained.problems]
            own = replace(MAIL, from_=parse_mailbox("A@Example.Net"))
            assert "accepted" == (await at.sent(own)).recipients[0].state.value
            assert "a@example.net" == works(way)[0].reverse_path.spec

    play(story)


def test_a_rewriting_way_sends_as_itself_and_says_so_once() -> None:
    """From and MAIL FROM are the account whatever the caller wished; one event tells it, and explain."""

    async def story(clock: ManualClock) -> None:
        way = leg("a", REWRITE, clock)
        async with room(way, clock=clock) as at:
            mail = replace(MAIL, sender=parse_mailbox("robot@example.com"))
            made = (await at.explainer.explain(mail)).made
            assert made is not None
            assert ("App <a@example.net>", "App <app@example.com>") == (str(made.from_), str(made.wished))
            assert "a@example.net" == made.reverse_path.spec
            view = await at.sent(mail)
            (work,) = works(way)
            assert ("a@example.net", "a@example.net") == (work.reverse_path.spec, work.sender)
            wire = b"".join(work.rendered.segments)
            assert wire.startswith(b"From: App <a@example.net>\r\nReply-To: App <app@example.com>\r\nTo:")
            told = [one for one in await at.story(view.id) if one.kind is EventKind.MESSAGE_REWRITTEN]
            (event,) = told
            assert "a" == event.transport
            assert {
                "from": "App <app@example.com>",
                "to": "App <a@example.net>",
                "reply_to": "App <app@example.com>",
                "why": "from_policy is rewrite",
            } == event.data
            assert "App <app@example.com> became App <a@example.net>" in sentence(event)

    play(story)


@pytest.mark.parametrize("error", [DiskFullError("full"), OverloadError("busy", retry_after_s=1)])
def test_a_mail_goes_out_though_its_rewriting_cannot_be_told(error: Exception) -> None:
    """A store without room or time for an event is no reason to keep a mail back."""

    async def story(clock: ManualClock) -> None:
        async with room(leg("a", REWRITE, clock), clock=clock) as at:
            with patch.object(at.store.events, "append", side_effect=error):
                assert "accepted" == (await at.sent()).recipients[0].state.value

    play(story)


def test_a_second_attempt_tells_nothing_again_even_by_a_program_that_forgot() -> None:
    """What an earlier run told is looked up; what was told in this one is remembered."""

    async def story(clock: ManualClock) -> None:
        way = leg("a", REWRITE, clock, GREYLISTED)
        async with room(way, clock=clock) as at:
            view = await at.sent()
            for tries in (2, 3):
                if tries == 3:
                    at.dispatcher._attempts._told.clear()
                clock.advance(7200)
                waiter = at.signals.watch(view.id, "a")
                at.dispatcher.wake("a")
                await asyncio.wait_for(waiter, 10)
                assert tries == len(works(way))
            told = [one for one in await at.story(view.id) if one.kind is EventKind.MESSAGE_REWRITTEN]
            assert 1 == len(told)

    play(story)


def test_what_is_kept_costs_no_event() -> None:
    """A way that keeps From, and one whose account it is, tell nothing."""

    async def story(clock: ManualClock) -> None:
        async with room(leg("a", KEEP, clock), clock=clock) as at:
            kinds = {event.kind for event in await at.story((await at.sent()).id)}
            assert EventKind.MESSAGE_REWRITTEN not in kinds
        async with room(leg("a", REWRITE, clock), clock=clock) as at:
            view = await at.sent(replace(MAIL, from_=parse_mailbox("a@example.net")))
            assert EventKind.MESSAGE_REWRITTEN not in {event.kind for event in await at.story(view.id)}

    play(story)


def test_another_leg_sends_as_its_own_account() -> None:
    """From a keeping leg that is down to a rewriting one: MAIL FROM and From are the second account."""

    async def story(clock: ManualClock) -> None:
        first, second = leg("a", KEEP, clock, BAD_LOGIN), leg("b", REWRITE, clock)
        async with room(first, second, clock=clock) as at:
            view = await at.sent()
            assert "accepted" == view.recipients[0].state.value
            assert ["a@example.net"] == [work.reverse_path.spec for work in works(first)]
            assert ["b@example.net"] == [work.reverse_path.spec for work in works(second)]
            told = [one for one in await at.story(view.id) if one.kind is EventKind.MESSAGE_REWRITTEN]
            assert ["b"] == [one.transport for one in told]

    play(story)


def test_bytes_that_may_have_arrived_never_change() -> None:
    """A keeping leg took the dot and fell silent: other bytes by another leg are a case for a person."""

    async def story(clock: ManualClock) -> None:
        first, second = leg("a", KEEP, clock, LOST_AFTER_DOT), leg("b", REWRITE, clock)
        mail = replace(MAIL, mail_class=MailClass.BULK, uncertain_policy=UncertainPolicy.RETRY)
        async with room(first, second, clock=clock) as at:
            view = await at.sent(mail)
            assert "uncertain" == view.recipients[0].state.value
            await at.dispatcher.health.suspend("a", reason="test", author="test")
            moved = await at.store.spool.fail_over(
                "a", route=view.route, to="b", now=clock.now(), even_uncertain=[MailClass.BULK]
            )
            assert 1 == moved
            async with asyncio.timeout(10):
                waiter = at.signals.watch(view.id, "b")
                at.dispatcher.wake("b")
                await waiter
            view = await at.view(view.id)
            assert ("uncertain", "bytes-changed") == (
                view.recipients[0].state.value,
                view.recipients[0].cause,
            )
            assert [] == works(second)

    play(story)


def test_a_later_leg_that_refuses_passes_the_mail_on() -> None:
    """The first is down, b refuses the sender, c takes it: b's refusal stands in the story, and c sends."""

    async def story(clock: ManualClock) -> None:
        legs = leg("a", KEEP, clock, BAD_LOGIN), leg("b", REFUSE, clock), leg("c", KEEP, clock)
        async with room(*legs, clock=clock) as at:
            view = await at.sent()
            recipient = view.recipients[0]
            assert ("accepted", "c") == (recipient.state.value, view.transport)
            assert [("a", "deferred", "auth-wrong"), ("b", "refused", "from-not-account")] == [
                (one.transport, one.outcome, one.cause) for one in recipient.attempts[:2]
            ]
            assert ([], 1) == (works(legs[1]), len(works(legs[2])))

    play(story)


def test_a_later_leg_that_refuses_alone_refuses() -> None:
    """No working leg takes the sender: the message is refused with that cause, and no server was asked."""

    async def story(clock: ManualClock) -> None:
        first, second = leg("a", KEEP, clock, BAD_LOGIN), leg("b", REFUSE, clock)
        async with room(first, second, clock=clock) as at:
            recipient = (await at.sent()).recipients[0]
            assert ("refused", "from-not-account") == (recipient.state.value, recipient.cause)
            assert [] == works(second)

    play(story)


class Keeper:
    """A server of others that takes mail only from who logged in, as QQ and NetEase do."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name and arguments
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address != session.auth_data:
            return "501 mail from address must be same as authorization user"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        if (
            f"<{session.auth_data}>".encode()
            not in content.partition(b"\r\nTo:")[0].partition(b"\r\nReply")[0]
        ):
            return '550 The "From" header is missing or invalid'
        self.mails.append(envelope)
        return "250 OK"


@asynccontextmanager
async def keeper() -> AsyncIterator[tuple[Keeper, int]]:
    handler = Keeper()

    def knows(
        _server: object, _session: object, _envelope: object, _mechanism: str, login: Any
    ) -> AuthResult:
        return AuthResult(success=True, auth_data=login.login.decode())

    def protocol() -> SMTP:
        return SMTP(handler, authenticator=knows, auth_require_tls=False)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield handler, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("policy", "state"), [(REWRITE, "accepted"), (KEEP, "refused")])
def test_a_real_server_takes_what_was_rewritten(policy: FromPolicy, state: str, tmp_path: Path) -> None:
    """A server with the rule of the Chinese providers refuses the wished From and takes the account's."""

    async def story(clock: ManualClock) -> None:
        async with keeper() as (server, port):
            account = SmtpAccount(
                host="127.0.0.1",
                port=port,
                tls=TlsMode.NONE,
                username="login@example.net",
                password=Secret("not-a-secret"),
            )
            spec = TransportSpec(
                name="a", kind=TransportKind.SMTP, account=account, from_policy=policy, max_connections=1
            )
            blobs = file_blobs(tmp_path)
            transport: Transport = SmtpTransport(spec, clock=SystemClock(), blobs=blobs)
            login = parse_address("login@example.net")
            way = Way(transport=transport, target="test", account=login, from_policy=policy)
            async with room(way, clock=clock) as at:
                assert state == (await at.sent()).recipients[0].state.value
            assert [["r@example.org"]] * (state == "accepted") == [mail.rcpt_tos for mail in server.mails]

    play(story)
