"""What an operator does to selections of recipients, the same on every store."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.model.attempt import Move
from postroom.model.event import EventKind
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.selection import Changed, Resolution
from spool.orders_room import Desk, anyone, play_at_desk, refused
from spool.spool_room import (
    DAY,
    DIGEST,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    a_message,
    accepted,
    deferred,
    every_store,
    uncertain,
)


def changed(recipients: int, messages: int = 1, left: int = 0) -> Changed:
    return Changed(recipients=recipients, messages=messages, left=left)


@every_store
def test_a_retry_takes_what_may_go_again_and_never_what_was_accepted(kind: str, tmp_path: Path) -> None:
    """Of a message in many states the refused and deferred are due again, the accepted one is left."""

    async def scenario(desk: Desk) -> None:
        message = a_message(4)
        await desk.accept(message)
        await desk.finish(
            accepted(0), refused(1), deferred(2, until=NOW + HOUR), deferred(3, until=NOW + DAY)
        )
        wanted = anyone(message_id=message.id)
        assert changed(3, left=1) == await desk.do.count(wanted, verb="retry")
        assert changed(3, left=1) == await desk.retry(wanted, at=NOW + MINUTE)
        assert ["accepted", "queued", "queued", "queued"] == await desk.states(message.id)
        assert [""] * 3 == [one.cause for one in (await desk.view(message.id)).recipients[1:]]
        assert [] == list(await desk.claim(NOW))
        claimed = await desk.claim_one(NOW + MINUTE)
        assert ((1, 2, 3), 0) == (claimed.recipients, claimed.tries)
        assert message == claimed.message

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_bytes_once_handed_over_are_the_same_after_a_retry(kind: str, tmp_path: Path) -> None:
    """A refused recipient whose bytes reached the dot keeps their digest and the transport they went by."""

    async def scenario(desk: Desk) -> None:
        message = a_message(2)
        await desk.accept(message)
        first = await desk.claim_one()
        assert await desk.settle(first.lease, refused(0), deferred(1))
        await desk.finish(refused(1), now=NOW + MINUTE)
        await desk.spool.reroute(known=["spare"], to="spare")
        assert changed(2) == await desk.retry(at=NOW + HOUR, now=NOW + HOUR)
        claims = await desk.claim(NOW + HOUR)
        assert [((0,), None), ((1,), DIGEST)] == [(one.recipients, one.digest) for one in claims]

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_an_uncertain_recipient_is_retried_only_with_its_risk_confirmed(kind: str, tmp_path: Path) -> None:
    """Without the confirmation it is left; with it, it goes again with its digest and its mark."""

    async def scenario(desk: Desk) -> None:
        message = a_message(policy=UncertainPolicy.ASK)
        await desk.accept(message)
        await desk.finish(uncertain())
        assert changed(0, 0, left=1) == await desk.do.count(anyone(), verb="retry")
        assert changed(0, 0, left=1) == await desk.retry()
        assert ["uncertain"] == await desk.states(message.id)
        assert changed(1) == await desk.do.count(anyone(), verb="retry", confirm_duplicate=True)
        assert changed(1) == await desk.retry(confirm_duplicate=True)
        claimed = await desk.claim_one()
        assert (DIGEST, True) == (claimed.digest, claimed.maybe_duplicate)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_doubt_of_long_ago_is_remembered(kind: str, tmp_path: Path) -> None:
    """A recipient that was uncertain, then refused, is retried as maybe a duplicate."""

    async def scenario(desk: Desk) -> None:
        await desk.accept(a_message())
        await desk.finish(uncertain(until=NOW))
        await desk.finish(refused())
        await desk.retry()
        assert (await desk.claim_one()).maybe_duplicate

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_an_expired_message_gets_its_lifetime_again(kind: str, tmp_path: Path) -> None:
    """Retried after its end it lives as long as its class does, from its due time, and an attempt sees it."""

    async def scenario(desk: Desk) -> None:
        message = a_message(2, life=HOUR)
        await desk.accept(message)
        await desk.finish(refused(0), deferred(1))
        late = NOW + 2 * HOUR
        await desk.spool.expire(now=late, limit=10)
        assert ["refused", "expired"] == await desk.states(message.id)
        assert changed(2) == await desk.retry(at=late, now=late)
        view = await desk.view(message.id)
        assert late + 3 * DAY == view.expires_at
        claims = await desk.claim(late)
        assert {late + 3 * DAY} == {one.message.expires_at for one in claims}
        assert [] == list(await desk.spool.expire(now=late + DAY, limit=10))
        assert replace(message, expires_at=late + 3 * DAY) == await desk.spool.message(
            message.id, tenant=DEFAULT_TENANT
        )

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_what_has_no_content_any_more_is_left(kind: str, tmp_path: Path) -> None:
    """A message whose content is past its retention cannot be sent again."""

    async def scenario(desk: Desk) -> None:
        message = a_message()
        await desk.accept(message)
        await desk.finish(refused())
        later = NOW + 31 * DAY
        await desk.spool.purge(now=later, retention=RETENTION, limit=10)
        assert changed(0, 0, left=1) == await desk.retry(at=later, now=later)
        assert ["refused"] == await desk.states(message.id)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_what_is_under_a_lease_is_left(kind: str, tmp_path: Path) -> None:
    """Neither retry nor cancel touches recipients of a running attempt; the others of the message go on."""

    async def scenario(desk: Desk) -> None:
        message = a_message(3)
        await desk.accept(message)
        claimed = await desk.claim_one(most=2)
        assert changed(1, left=2) == await desk.do.count(anyone(), verb="cancel")
        assert changed(1, left=2) == await desk.cancel()
        assert ["sending", "sending", "cancelled"] == await desk.states(message.id)
        assert await desk.settle(claimed.lease, accepted(0), accepted(1))
        assert {RecipientState.ACCEPTED: 2, RecipientState.CANCELLED: 1} == dict(
            (await desk.spool.counts()).by_state
        )

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_chosen_recipients_of_a_group_part_from_the_others(kind: str, tmp_path: Path) -> None:
    """Cancelling two of four that wait together leaves the others waiting as before."""

    async def scenario(desk: Desk) -> None:
        message = a_message(4)
        await desk.accept(message)
        assert changed(2) == await desk.cancel(anyone(message_id=message.id, recipients=(1, 3)))
        assert ["queued", "cancelled", "queued", "cancelled"] == await desk.states(message.id)
        assert (0, 2) == (await desk.claim_one()).recipients

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize(
    ("resolution", "state"),
    [
        (Resolution.ARRIVED, "accepted"),
        (Resolution.SEND_AGAIN, "queued"),
        (Resolution.DROP, "cancelled"),
    ],
)
def test_a_person_resolves_what_is_uncertain(
    kind: str, resolution: Resolution, state: str, tmp_path: Path
) -> None:
    """It arrived, send again or drop: the state follows, the event tells who and why, others stay."""

    async def scenario(desk: Desk) -> None:
        message = a_message(2, policy=UncertainPolicy.ASK)
        await desk.accept(message)
        await desk.finish(uncertain(0), deferred(1))
        assert changed(1, left=0) == await desk.do.count(anyone(), verb="resolve")
        assert changed(1) == await desk.resolve(resolution)
        assert [state, "deferred"] == await desk.states(message.id)
        event = (await desk.told(message.id))[-1]
        assert (f"recipient.{state}", (0,), "resolved") == (event.kind, event.recipients, event.cause)
        assert {"author": "ann", "note": "they called"} == dict(event.data)
        assert changed(0, 0) == await desk.resolve(resolution)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_sending_again_what_is_past_its_end_renews_it(kind: str, tmp_path: Path) -> None:
    """An uncertain recipient that waited for a person beyond the message's end is sent all the same."""

    async def scenario(desk: Desk) -> None:
        await desk.accept(a_message(policy=UncertainPolicy.ASK, life=HOUR))
        await desk.finish(uncertain())
        late = NOW + DAY
        assert changed(1) == await desk.resolve(Resolution.SEND_AGAIN, now=late)
        claimed = await desk.claim_one(late)
        assert late + 3 * DAY == claimed.message.expires_at

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_filters_mean_what_they_name(kind: str, tmp_path: Path) -> None:
    """Class, tag, sender, recipient, transport, state, tenant and time narrow a bulk verb down."""

    async def scenario(desk: Desk) -> None:
        code = a_message(mail_class=MailClass.CODE, tags=("login",))
        bulk = a_message(2, mail_class=MailClass.BULK, sender="Eve", at=NOW + HOUR, send_at=NOW + HOUR)
        await desk.accept(code)
        await desk.accept(bulk, transport="spare")
        for members, expected in (
            ({"mail_class": MailClass.CODE}, changed(1)),
            ({"tag": "login"}, changed(1)),
            ({"tag": "other"}, changed(0, 0)),
            ({"sender": "EVE@example.com"}, changed(2)),
            ({"sender": "@example.com"}, changed(3, 2)),
            ({"recipient": "BOB1@example.org"}, changed(1)),
            ({"recipient": "@example.org"}, changed(3, 2)),
            ({"transport": "spare"}, changed(2)),
            ({"since": NOW + HOUR}, changed(2)),
            ({"until": NOW + HOUR}, changed(1)),
            ({"state": RecipientState.QUEUED}, changed(3, 2)),
            ({"state": RecipientState.DEFERRED}, changed(0, 0)),
            ({"state": RecipientState.ACCEPTED}, changed(0, 0)),
            ({"tenant": TenantId("other")}, changed(0, 0)),
            ({"message_id": code.id}, changed(1)),
            ({"message_id": MessageId("20261121120000.nothing")}, changed(0, 0)),
        ):
            assert expected == await desk.do.count(anyone(**members), verb="cancel"), members
        assert changed(1) == await desk.cancel(anyone(recipient="BOB1@example.org"))
        assert ["queued", "cancelled"] == await desk.states(bulk.id)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_message_gets_new_times_until_it_is_claimed(kind: str, tmp_path: Path) -> None:
    """Before any attempt the new time holds in queue and message; after one it is too late."""

    async def scenario(desk: Desk) -> None:
        message = a_message(2, send_at=NOW + HOUR)
        await desk.accept(message)
        later = NOW + 2 * HOUR
        assert await reschedule(desk, message.id, send_at=later)
        assert later == (await desk.view(message.id)).next_attempt_at
        assert [] == list(await desk.claim(NOW + HOUR))
        assert await reschedule(desk, message.id, expires_at=NOW + 3 * HOUR)
        claimed = await desk.claim_one(later)
        expected = replace(message, send_at=later, expires_at=NOW + 3 * HOUR)
        assert expected == claimed.message
        assert not await reschedule(desk, message.id, send_at=NOW)
        (event,) = [
            one for one in await desk.told(message.id, EventKind.MESSAGE_RESCHEDULED) if "send_at" in one.data
        ]
        assert ("ann", later.isoformat()) == (event.data["author"], event.data["send_at"])

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_time_beyond_the_end_moves_the_end(kind: str, tmp_path: Path) -> None:
    """A message is never put off past its own end: it gets the lifetime of its class from there."""

    async def scenario(desk: Desk) -> None:
        message = a_message(life=HOUR)
        await desk.accept(message)
        assert await reschedule(desk, message.id, send_at=NOW + DAY)
        assert NOW + 4 * DAY == (await desk.view(message.id)).expires_at
        await desk.cancel()
        assert not await reschedule(desk, message.id, send_at=NOW)
        assert not await reschedule(desk, MessageId("20261121120000.nothing"), send_at=NOW)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_released_message_goes_not_before_its_time(kind: str, tmp_path: Path) -> None:
    """What a person releases is due now, or when the message is scheduled."""

    async def scenario(desk: Desk) -> None:
        await desk.accept(a_message(send_at=NOW + HOUR))
        claimed = await desk.claim_one(NOW + HOUR)
        held = Move(recipient=0, state=RecipientState.HELD, cause="odd")
        assert await desk.settle(claimed.lease, held)
        assert changed(1) == await desk.let_go(now=NOW + MINUTE)
        assert NOW + HOUR == await desk.spool.next_due_at("main")

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_many_messages_are_changed_in_chunks_and_none_is_passed_over(kind: str, tmp_path: Path) -> None:
    """Rows that cannot be changed do not hide those behind them, and every change is counted once."""

    async def scenario(desk: Desk) -> None:
        messages = [a_message(2 if number % 7 == 0 else 1) for number in range(700)]
        await asyncio.gather(*map(desk.accept, messages))
        leased = await desk.claim(limit=50)
        blocked = sum(len(one.recipients) for one in leased)
        assert changed(800 - blocked, 650, left=blocked) == await desk.do.count(anyone(), verb="cancel")
        assert changed(800 - blocked, 650, left=blocked) == await desk.cancel()
        assert changed(0, 0, left=blocked) == await desk.cancel()

    play_at_desk(kind, tmp_path / "data", scenario)


async def reschedule(desk: Desk, message_id: MessageId, **times: object) -> bool:
    new = {"send_at": None, "expires_at": None, **times}
    return await desk.do.reschedule(message_id, tenant=DEFAULT_TENANT, now=NOW, author="ann", **new)  # type: ignore[arg-type]  # times by name
