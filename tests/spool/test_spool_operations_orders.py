"""Standing orders: holds and suppressions, the same on every store."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from postroom.model.address import Address
from postroom.model.event import EventKind
from postroom.model.hold import Hold, HoldEnd, HoldFilter, SuppressionReason
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.selection import Changed
from spool.orders_room import Desk, a_hold, a_suppression, anyone, play_at_desk, refused
from spool.spool_room import DAY, HOUR, MINUTE, NOW, a_message, accepted, deferred, every_store, uncertain

BOB0 = HoldFilter(recipient="bob0@example.org")


async def one_hold(desk: Desk, *, is_open: bool = True) -> Hold:
    (hold,) = await desk.do.holds(DEFAULT_TENANT, is_open=is_open)
    return hold


@every_store
def test_a_hold_keeps_what_comes(kind: str, tmp_path: Path) -> None:
    """A matching message is stored as held with the reason; others go their way; the event names the hold."""

    async def scenario(desk: Desk) -> None:
        assert Changed(recipients=0, messages=0) == await desk.do.add_hold(a_hold())
        held, free = a_message(2), a_message(mail_class=MailClass.BULK)
        await desk.accept(held)
        await desk.accept(free)
        assert ["held", "held"] == await desk.states(held.id)
        assert "check the price first" == (await desk.view(held.id)).recipients[0].cause
        assert [free.id] == [one.message.id for one in await desk.claim(NOW + DAY)]
        assert [("message.queued", ()), ("recipient.held", (0, 1))] == await desk.kinds_told(held.id)
        event = (await desk.told(held.id))[-1]
        assert ("h1", "ann") == (event.data["hold"], event.data["author"])
        assert 2 == (await one_hold(desk)).held

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_hold_keeps_what_waits(kind: str, tmp_path: Path) -> None:
    """What is queued or deferred and matches is held; leased, uncertain and final recipients are not."""

    async def scenario(desk: Desk) -> None:
        message = a_message(6, policy=UncertainPolicy.ASK)
        await desk.accept(message)
        first = await desk.claim_one(most=4)
        moves = (accepted(0), uncertain(1), deferred(2), refused(3))
        assert await desk.settle(first.lease, *moves)
        await desk.claim_one(most=1)
        assert Changed(recipients=2, messages=1, left=1) == await desk.do.add_hold(a_hold())
        assert ["accepted", "uncertain", "held", "refused", "sending", "held"] == await desk.states(
            message.id
        )
        assert 2 == (await one_hold(desk)).held

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_hold_for_a_recipient_keeps_only_that_one(kind: str, tmp_path: Path) -> None:
    """Of a message to three the one that is meant is held, at acceptance and of what waits."""

    async def scenario(desk: Desk) -> None:
        waiting, coming = a_message(3), a_message(3)
        await desk.accept(waiting)
        await desk.do.add_hold(a_hold(filter=BOB0))
        await desk.accept(coming)
        for message in (waiting, coming):
            assert ["held", "queued", "queued"] == await desk.states(message.id)
        assert [(1, 2), (1, 2)] == [one.recipients for one in await desk.claim()]

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_the_end_of_a_hold_releases_exactly_what_it_kept(kind: str, tmp_path: Path) -> None:
    """What another hold keeps and what a person released stay as they are; the hold is listed as ended."""

    async def scenario(desk: Desk) -> None:
        await desk.do.add_hold(a_hold())
        await desk.do.add_hold(a_hold("h2", filter=HoldFilter(mail_class=MailClass.BULK)))
        mine, other = a_message(2), a_message(mail_class=MailClass.BULK)
        await desk.accept(mine)
        await desk.accept(other)
        assert 1 == (await desk.let_go(anyone(message_id=mine.id, recipients=(1,)))).recipients
        ended = await desk.do.end_hold("h1", tenant=DEFAULT_TENANT, now=NOW + MINUTE, author="eve")
        assert Changed(recipients=1, messages=1) == ended
        assert ["queued", "queued"] == await desk.states(mine.id)
        assert ["held"] == await desk.states(other.id)
        after = a_message()
        await desk.accept(after)
        assert ["queued"] == await desk.states(after.id)
        gone = await one_hold(desk, is_open=False)
        assert (NOW + MINUTE, "eve", 0) == (gone.ended_at, gone.ended_by, gone.held)
        assert "h2" == (await one_hold(desk)).id
        for tenant in (DEFAULT_TENANT, TenantId("other")):
            assert await desk.do.end_hold("h1", tenant=tenant, now=NOW, author="eve") is None

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_another_hold_takes_over_what_it_concerns_too(kind: str, tmp_path: Path) -> None:
    """Where two holds mean a recipient, the end of one does not send it."""

    async def scenario(desk: Desk) -> None:
        await desk.do.add_hold(a_hold())
        await desk.do.add_hold(a_hold("h2", filter=BOB0, created_at=NOW + MINUTE))
        message = a_message(2, at=NOW + HOUR, send_at=NOW + HOUR)
        await desk.accept(message)
        await desk.do.end_hold("h1", tenant=DEFAULT_TENANT, now=NOW + HOUR, author="ann")
        assert ["held", "queued"] == await desk.states(message.id)
        assert ("h2", 1) == ((hold := await one_hold(desk)).id, hold.held)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize(("then", "state"), [(HoldEnd.RELEASE, "queued"), (HoldEnd.EXPIRE, "expired")])
def test_a_hold_ends_by_itself_as_it_was_told_to(
    kind: str, then: HoldEnd, state: str, tmp_path: Path
) -> None:
    """At its end what it kept is released or expires; before it nothing happens, after it nothing is held."""

    async def scenario(desk: Desk) -> None:
        await desk.do.add_hold(a_hold(until=NOW + HOUR, then=then))
        message = a_message(2)
        await desk.accept(message)
        assert 0 == await desk.do.end_due_holds(now=NOW + MINUTE)
        assert ["held", "held"] == await desk.states(message.id)
        late = a_message(at=NOW + HOUR, send_at=NOW + HOUR)
        await desk.accept(late)
        assert ["queued"] == await desk.states(late.id)
        assert 1 == await desk.do.end_due_holds(now=NOW + HOUR)
        assert [state, state] == await desk.states(message.id)
        assert 0 == await desk.do.end_due_holds(now=NOW + DAY)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_hold_stands_over_a_large_queue(kind: str, tmp_path: Path) -> None:
    """More than one chunk is held and released, each recipient counted once."""

    async def scenario(desk: Desk) -> None:
        await asyncio.gather(*(desk.accept(a_message()) for _ in range(650)))
        assert Changed(recipients=650, messages=650) == await desk.do.add_hold(a_hold())
        assert 650 == (await one_hold(desk)).held
        ended = await desk.do.end_hold("h1", tenant=DEFAULT_TENANT, now=NOW, author="ann")
        assert Changed(recipients=650, messages=650) == ended
        assert 650 == len(await desk.claim(limit=1000))

    play_at_desk(kind, tmp_path / "data", scenario)


# --------------------------------------------------------------------------- suppressions


@every_store
def test_a_suppressed_recipient_is_not_sent_to(kind: str, tmp_path: Path) -> None:
    """At acceptance it becomes suppressed, a final state with a cause; the others are sent."""

    async def scenario(desk: Desk) -> None:
        assert 1 == await desk.do.suppress([a_suppression("BOB1@Example.org")], now=NOW)
        message = a_message(3)
        await desk.accept(message)
        assert ["queued", "suppressed", "queued"] == await desk.states(message.id)
        assert "suppressed-manual" == (await desk.view(message.id)).recipients[1].cause
        assert [("message.queued", ()), ("recipient.suppressed", (1,))] == await desk.kinds_told(message.id)
        assert (0, 2) == (await desk.claim_one()).recipients

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_message_with_no_one_left_is_finished_at_once(kind: str, tmp_path: Path) -> None:
    """When every recipient is suppressed nothing waits."""

    async def scenario(desk: Desk) -> None:
        await desk.do.suppress([a_suppression("@example.org")], now=NOW)
        message = a_message(2)
        await desk.accept(message)
        assert ["suppressed", "suppressed"] == await desk.states(message.id)
        assert (await desk.spool.counts()).oldest_open_at is None

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_scope_end_and_tenant_of_a_suppression_are_kept(kind: str, tmp_path: Path) -> None:
    """It stops mail of its class only, until its end, of its tenant."""

    async def scenario(desk: Desk) -> None:
        await desk.do.suppress(
            [
                a_suppression(mail_class=MailClass.BULK),
                a_suppression("bob1@example.org", until=NOW + HOUR),
                a_suppression("bob2@example.org", tenant=TenantId("other")),
            ],
            now=NOW,
        )
        for mail_class, at, expected in (
            (MailClass.BULK, NOW, ["suppressed", "suppressed", "queued"]),
            (MailClass.CODE, NOW, ["queued", "suppressed", "queued"]),
            (MailClass.CODE, NOW + HOUR, ["queued", "queued", "queued"]),
        ):
            message = a_message(3, mail_class=mail_class, at=at, send_at=at)
            await desk.accept(message)
            assert expected == await desk.states(message.id)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_what_waits_is_suppressed_when_a_person_adds_it(kind: str, tmp_path: Path) -> None:
    """Queued, deferred and held recipients; those under a lease and uncertain ones are left."""

    async def scenario(desk: Desk) -> None:
        message, other = a_message(2), a_message(2)
        await desk.accept(message)
        first = await desk.claim_one()
        assert await desk.settle(first.lease, deferred(0), uncertain(1))
        await desk.accept(other)
        await desk.claim_one(most=1)
        await desk.do.suppress([a_suppression("@example.org")], now=NOW)
        assert ["suppressed", "uncertain"] == await desk.states(message.id)
        assert ["sending", "suppressed"] == await desk.states(other.id)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_an_automatic_suppression_stops_what_waits_at_its_next_claim(kind: str, tmp_path: Path) -> None:
    """After a hard bounce the other messages to that address are not sent, without a walk over the queue."""

    async def scenario(desk: Desk) -> None:
        first, second, third = a_message(), a_message(2), a_message()
        for message in (first, second, third):
            await desk.accept(message)
        await desk.finish(refused())
        bounced = a_suppression(reason=SuppressionReason.HARD_BOUNCE, author="", message_id=first.id)
        await desk.do.suppress([bounced], now=NOW)
        claims = await desk.claim()
        assert [(second.id, (1,))] == [(one.message.id, one.recipients) for one in claims]
        assert ["suppressed", "sending"] == await desk.states(second.id)
        assert ["suppressed"] == await desk.states(third.id)
        assert ("recipient.suppressed", (0,)) == (await desk.kinds_told(third.id))[-1]
        (event,) = await desk.told(first.id, EventKind.SUPPRESSION_ADDED)
        assert ("hard_bounce", "bob0@example.org") == (event.cause, event.data["address"])

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_suppressed_recipient_is_retried_only_when_the_suppression_is_gone(
    kind: str, tmp_path: Path
) -> None:
    """While it stands a retry leaves it, suppressed or refused; its removal tells author and note."""

    async def scenario(desk: Desk) -> None:
        bounced = a_message()
        await desk.accept(bounced)
        await desk.finish(refused())
        await desk.do.suppress([a_suppression()], now=NOW)
        message = a_message()
        await desk.accept(message)
        assert Changed(recipients=0, messages=0, left=2) == await desk.retry()
        assert await unsuppress(desk)
        assert not await unsuppress(desk)
        assert Changed(recipients=2, messages=2) == await desk.do.count(anyone(), verb="retry")
        assert Changed(recipients=2, messages=2) == await desk.retry()
        (event,) = await desk.told(None, EventKind.SUPPRESSION_REMOVED)
        assert ("it works again", "ann") == (event.data["note"], event.data["author"])

    play_at_desk(kind, tmp_path / "data", scenario)


async def unsuppress(desk: Desk, now: datetime = NOW) -> bool:
    return await desk.do.unsuppress(
        "Bob0@example.org",
        tenant=DEFAULT_TENANT,
        mail_class=None,
        note="it works again",
        author="ann",
        now=now,
    )


@every_store
def test_suppressions_are_listed_page_by_page(kind: str, tmp_path: Path) -> None:
    """In order of address, all scopes of one address on one page, one of the same scope replaced."""

    async def scenario(desk: Desk) -> None:
        many = [a_suppression(f"user{number:02}@example.org") for number in range(5)]
        scoped = a_suppression("user01@example.org", mail_class=MailClass.BULK, note="asked for it")
        assert 7 == await desk.do.suppress([*many, scoped, a_suppression("@example.net")], now=NOW)
        await desk.do.suppress([a_suppression("user00@example.org", note="again")], now=NOW)
        first = await desk.do.suppressions(DEFAULT_TENANT, limit=3)
        assert ["@example.net", "user00@example.org", "user01@example.org", "user01@example.org"] == [
            one.address for one in first
        ]
        assert ["", "again", "", "asked for it"] == [one.note for one in first]
        rest = await desk.do.suppressions(DEFAULT_TENANT, after=first[-1].address)
        assert [f"user{number:02}@example.org" for number in (2, 3, 4)] == [one.address for one in rest]
        assert [scoped] == [
            one
            for one in await desk.do.suppressions(DEFAULT_TENANT, address="USER01@example.org")
            if one.mail_class is MailClass.BULK
        ]
        assert [] == list(await desk.do.suppressions(TenantId("other")))

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_one_can_ask_whether_an_address_is_suppressed(kind: str, tmp_path: Path) -> None:
    """The answer names the suppression: the address' own before its domain's."""

    async def scenario(desk: Desk) -> None:
        own, domain = a_suppression(), a_suppression("@example.org", mail_class=MailClass.BULK)
        await desk.do.suppress([own, domain], now=NOW)
        bob0, bob1 = Address("Bob0", "example.org"), Address("bob1", "example.org")
        for mail_class, expected in (
            (MailClass.BULK, {bob0: own, bob1: domain}),
            (MailClass.CODE, {bob0: own}),
        ):
            found = await desk.do.suppressed(
                [bob0, bob1], tenant=DEFAULT_TENANT, mail_class=mail_class, now=NOW
            )
            assert expected == dict(found)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_suppression_goes_before_a_hold(kind: str, tmp_path: Path) -> None:
    """A recipient that both name is suppressed; the other is held."""

    async def scenario(desk: Desk) -> None:
        await desk.do.add_hold(a_hold())
        await desk.do.suppress([a_suppression()], now=NOW)
        message = a_message(2)
        await desk.accept(message)
        assert ["suppressed", "held"] == await desk.states(message.id)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.slow
def test_ten_thousand_suppressions_are_taken_in_one_call(kind: str, tmp_path: Path) -> None:
    """An import is stored in chunks and applied at once."""

    async def scenario(desk: Desk) -> None:
        message = a_message(3)
        await desk.accept(message)
        many = [a_suppression(f"bob{number}@example.org") for number in range(1, 10_001)]
        assert 10_000 == await desk.do.suppress(many, now=NOW)
        assert ["queued", "suppressed", "suppressed"] == await desk.states(message.id)

    play_at_desk(kind, tmp_path / "data", scenario)
