"""Accounts that callers bring: one way for each credential, for as long as mail waits, and in no list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from peers.engine_room import BAD_LOGIN, GREYLISTED, OK, Script, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.egress.locked import GoneTransport
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.guests import IDLE_S, Guests
from postroom.engine.intake import Intake
from postroom.engine.keyring import KeyRing
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import InvariantError, OverloadError
from postroom.model.address import parse_mailbox
from postroom.model.event import EventFilter
from postroom.model.guest import GONE, Guest, StoredGuest
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.message import Door, Submission
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.route import Route
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.model.view import MessageView
from postroom.policy.retry import CLASS_RULES
from postroom.spool.memory.opening import MemoryStore, open_memory

UNREACHABLE = Evidence(
    step=Step.CONNECT, fault=Fault(kind=FaultKind.UNREACHABLE, text="connection refused"), host="mx", port=25
)
FORBIDDEN = Evidence(
    step=Step.RESOLVE, fault=Fault(kind=FaultKind.LOCAL, text="not called", cause="egress-refused")
)
NEEDS_LOGIN = Evidence(
    step=Step.MAIL, reply=replace(BAD_LOGIN.reply, code=530) if BAD_LOGIN.reply is not None else None
)


@dataclass(eq=False)
class Lodge:
    store: MemoryStore
    ways: Ways
    dispatcher: Dispatcher
    guests: Guests
    service: Service
    clock: ManualClock
    made: dict[str, ScriptedTransport]
    forgotten: list[str] = field(default_factory=list)

    async def send(self, guest: Guest, **more: object) -> MessageView:
        """Hand in a mail by an account and return it after its first attempt."""
        receipt = await self.service.submit(a_mail(**more), guest=guest)
        return await self.service.first_attempt(receipt.message_id, tenant=guest.tenant, wait_s=10)

    async def rows(self) -> list[str]:
        return [record.name for record in await self.store.guests.all()]


def a_mail(**more: object) -> Submission:
    given = {"tenant": DEFAULT_TENANT, "door": Door.NEXUS, "subject": "s", "text": "x", **more}
    to = (parse_mailbox("b@example.net"),)
    return Submission(from_=parse_mailbox("a@example.com"), to=to, **given)  # type: ignore[arg-type]  # a test's


def a_guest(password: str = "one-password", **more: object) -> Guest:  # noqa: S107 - a test's
    given = {
        "host": "mx.example.com",
        "port": 587,
        "tls": TlsMode.STARTTLS,
        "username": "a@example.com",
        **more,
    }
    account = SmtpAccount(password=Secret(password), **given)  # type: ignore[arg-type]  # a test's
    return Guest(tenant=DEFAULT_TENANT, account=account)


@asynccontextmanager
async def a_lodge(
    script: Script, *, store: MemoryStore | None = None, most: int = 10
) -> AsyncIterator[Lodge]:
    clock, dice = ManualClock(), CountingDice()
    store = store or open_memory()
    main = Way(transport=ScriptedTransport(script, clock), target="test")
    ways, signals, rendered = Ways([main]), Signals(), RenderedMessages()
    failures: list[BaseException] = []
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=failures.append,
        events=store.events,
    )
    made: dict[str, ScriptedTransport] = {}
    forgotten: list[str] = []

    async def build(record: StoredGuest) -> Way:
        if record.problem == GONE:
            return Way(transport=GoneTransport(record.name, clock=clock), target="gone", is_guest=True)
        made[record.name] = ScriptedTransport(script, clock, name=record.name)
        return Way(transport=made[record.name], target="guest", is_guest=True)

    guests = Guests(
        records=store.guests,
        roster=dispatcher.roster,
        build=build,
        forget=lambda record: forgotten.append(record.name),
        clock=clock,
        dice=dice,
        fatal=failures.append,
        max_guests=most,
    )
    dispatcher.recall, dispatcher.seek, dispatcher.attempted = guests.recall, guests.seek, guests.note
    intake = Intake(
        spool=store.spool,
        ways=ways,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    service = Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ways,
        intake=intake,
        signals=signals,
        keyring=KeyRing(store.keys, clock=clock, dice=dice),
        limits=MessageLimits(),
        clock=clock,
        durability=store.durability,
    )
    service.guests = guests
    await dispatcher.start()
    await guests.start()
    try:
        yield Lodge(store, ways, dispatcher, guests, service, clock, made, forgotten)
    finally:
        await guests.stop()
        await dispatcher.stop(grace_s=1)
    assert [] == failures


def play(
    script: Script,
    scenario: Callable[[Lodge], Awaitable[None]],
    *,
    store: MemoryStore | None = None,
    most: int = 10,
) -> None:
    async def run() -> None:
        async with a_lodge(script, store=store, most=most) as lodge:
            await scenario(lodge)

    asyncio.run(run())


def test_one_way_for_each_credential() -> None:
    """The same account is one guest; another password, server, encryption or tenant is another one."""

    async def scenario(lodge: Lodge) -> None:
        other = TenantId("other")
        for guest in (
            a_guest(),
            a_guest(),
            a_guest("other-password"),
            a_guest(host="mx.example.net"),
            a_guest(tls=TlsMode.IMPLICIT),
        ):
            assert "accepted" == (await lodge.send(guest)).recipients[0].state
        await lodge.send(replace(a_guest(), tenant=other), tenant=other)
        assert [2, 1, 1, 1, 1] == [len(one.works) for one in lodge.made.values()]
        assert 5 == len(lodge.guests)

    play(lambda _work, _number: OK, scenario)


def test_guests_are_in_no_list() -> None:
    """No guest is a default, a name in a list or a route's leg, and its mail is never another's."""

    async def scenario(lodge: Lodge) -> None:
        view = await lodge.send(a_guest())
        assert view.transport.startswith("guest:mx.example.com:587:")
        assert "a@example.com" not in view.transport
        assert (("main",), "main", 1, None) == (
            lodge.ways.names,
            lodge.ways.default.name,
            len(list(lodge.ways)),
            lodge.ways.named(view.transport),
        )
        assert ["main"] == [one.name for one in (await lodge.service.status()).transports]
        with pytest.raises(InvariantError):
            Routes(lodge.ways).given(Route(("guest:mx.example.com:587:gone",)))

    play(lambda _work, _number: OK, scenario)


def test_the_account_goes_with_its_mail() -> None:
    """The row goes when nothing waits; the way a minute later, and the password is forgotten with it."""

    async def scenario(lodge: Lodge) -> None:
        view = await lodge.send(a_guest())
        await lodge.guests.look()
        lodge.guests.note(view.transport)
        await lodge.guests.look()
        assert [] == await lodge.rows()
        assert 1 == len(lodge.guests)
        lodge.clock.advance(IDLE_S + 1)
        await lodge.guests.look()
        assert 0 == len(lodge.guests)
        assert [view.transport] == lodge.forgotten
        assert "accepted" == (await lodge.send(a_guest())).recipients[0].state
        assert 2 == len(lodge.made)

    play(lambda _work, _number: OK, scenario)


def test_what_waits_keeps_its_account() -> None:
    """Mail that its server put off keeps its guest, however long that takes, and cancelling lets it go."""

    async def scenario(lodge: Lodge) -> None:
        view = await lodge.send(a_guest())
        assert "deferred" == view.recipients[0].state
        for _ in range(3):
            lodge.clock.advance(IDLE_S + 1)
            lodge.guests.note(view.transport)
            await lodge.guests.look()
            assert 1 == len(lodge.guests)
        assert [view.transport] == await lodge.rows()
        await lodge.service.cancel(view.id, tenant=DEFAULT_TENANT)
        lodge.clock.advance(IDLE_S + 1)
        await lodge.guests.look()
        assert [] == await lodge.rows()

    play(lambda _work, _number: GREYLISTED, scenario)


@pytest.mark.parametrize("evidence", [BAD_LOGIN, FORBIDDEN, NEEDS_LOGIN])
def test_what_nobody_can_mend_ends_the_mail(evidence: Evidence) -> None:
    """A refused login, a missing one and a forbidden address are final, and nobody is told of an outage."""

    async def scenario(lodge: Lodge) -> None:
        assert "refused" == (await lodge.send(a_guest())).recipients[0].state
        assert "refused" == (await lodge.send(a_guest())).recipients[0].state
        assert [] == list(await lodge.store.spool.pauses())
        kinds = [
            event.kind.value for event in await lodge.store.events.page(EventFilter(tenant=None, limit=50))
        ]
        assert [] == [kind for kind in kinds if kind.startswith("transport.")]

    play(lambda _work, _number: evidence, scenario)


def test_what_was_handed_in_before_a_refusal_tries_no_login() -> None:
    """Mail that waited while the login was refused ends by the same words without another login."""

    async def scenario(lodge: Lodge) -> None:
        await lodge.send(a_guest())
        ((name, transport),) = lodge.made.items()
        way = lodge.ways.any_named(name)
        assert way is not None
        assert way.refusal is not None
        before = len(transport.works)
        assert "refused" == (await lodge.send(a_guest())).recipients[0].state  # the clock stands still
        assert before == len(transport.works)
        lodge.clock.advance(1)
        await lodge.send(a_guest())
        assert before + 1 == len(transport.works)

    play(lambda _work, _number: BAD_LOGIN, scenario)


def test_an_outage_of_a_guest_is_its_own() -> None:
    """A server that cannot be reached pauses the guest alone, in memory, and nobody is told."""

    async def scenario(lodge: Lodge) -> None:
        view = await lodge.send(a_guest())
        assert "queued" == view.recipients[0].state
        way = lodge.ways.any_named(view.transport)
        assert way is not None
        assert way.is_paused(lodge.clock.now())
        assert [] == list(await lodge.store.spool.pauses())
        status = await lodge.service.status()
        assert (True, ()) == (status.ready, status.problems)
        assert not status.is_degraded

    play(lambda _work, _number: UNREACHABLE, scenario)


def test_there_is_a_bound() -> None:
    """One guest more than may be is told to come back; who is here already is served."""

    async def scenario(lodge: Lodge) -> None:
        await lodge.send(a_guest())
        with pytest.raises(OverloadError):
            await lodge.send(a_guest("other-password"))
        await lodge.send(a_guest())

    play(lambda _work, _number: OK, scenario, most=1)


@pytest.mark.slow
def test_five_hundred_guests() -> None:
    """Five hundred accounts at once are each served over their own way, and all of them leave."""

    async def scenario(lodge: Lodge) -> None:
        mails = [lodge.send(a_guest(f"password-{number}")) for number in range(500)]
        states = {view.recipients[0].state.value for view in await asyncio.gather(*mails)}
        assert {"accepted"} == states
        assert 500 == len(lodge.guests)
        for _ in range(3):
            lodge.clock.advance(IDLE_S + 1)
            await lodge.guests.look()
        assert 0 == len(lodge.guests)
        assert [] == await lodge.rows()

    play(lambda _work, _number: OK, scenario, most=500)


def test_a_start_takes_them_in() -> None:
    """What waits has its account again after a start; mail without one is refused by name."""
    store = open_memory()
    waiting: list[str] = []

    async def before(lodge: Lodge) -> None:
        waiting.append((await lodge.send(a_guest())).id)

    async def with_it(lodge: Lodge) -> None:
        assert 1 == len(lodge.guests)
        assert 1 == len(await lodge.rows())
        store.guests._rows.clear()  # what a person's retry after the end finds

    async def without_it(lodge: Lodge) -> None:
        lodge.clock.advance(3600)
        lodge.dispatcher.wake_guests(lodge.clock.now())
        view = await lodge.service.view(waiting[0], tenant=DEFAULT_TENANT)
        while view.recipients[0].state != "refused":
            await asyncio.sleep(0)
            view = await lodge.service.view(waiting[0], tenant=DEFAULT_TENANT)
        assert GONE == view.recipients[0].cause

    for scenario in (before, with_it, without_it):
        play(lambda _work, _number: GREYLISTED, scenario, store=store)
