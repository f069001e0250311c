"""Recovery, cancelling, expiry, rerouting, pauses and purging, the same on every store."""

from datetime import timedelta
from pathlib import Path

import pytest

from postroom.model.attempt import Move
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.model.view import TransportPause
from postroom.ports import Recovery, Replayed
from spool.spool_room import (
    DAY,
    DIGEST,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    Room,
    a_key,
    a_message,
    accepted,
    deferred,
    every_store,
    play,
    uncertain,
)

WAIT = timedelta(minutes=15)


@every_store
def test_recovery_frees_what_had_not_reached_the_dot(kind: str, tmp_path: Path) -> None:
    """Open attempts of the life before end without a result; their recipients are due at once."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message)
        old = (await room.claim_one()).lease
        assert Recovery(freed=1, uncertain=0) == await room.spool.recover(now=NOW + MINUTE, wait=WAIT)
        assert ["queued", "queued"] == await room.states(message.id)
        assert [()] * 2 == [recipient.attempts for recipient in (await room.view(message.id)).recipients]
        assert not await room.settle(old, accepted(0))
        assert 0 == (await room.claim_one(NOW + MINUTE)).tries
        assert Recovery(freed=1, uncertain=0) == await room.spool.recover(now=NOW + MINUTE, wait=WAIT)
        assert Recovery(freed=0, uncertain=0) == await room.spool.recover(now=NOW + MINUTE, wait=WAIT)

    play(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize(
    ("policy", "due_at"),
    [
        (UncertainPolicy.RETRY, NOW + MINUTE),
        (UncertainPolicy.WAIT, NOW + WAIT),
        (UncertainPolicy.ASK, None),
    ],
)
def test_recovery_makes_what_was_committing_uncertain(
    kind: str, tmp_path: Path, policy: UncertainPolicy, due_at: object
) -> None:
    """After a kill behind the dot the recipients are uncertain by policy, with evidence and the digest."""

    async def scenario(room: Room) -> None:
        message = a_message(2, policy=policy)
        await room.accept(message)
        lease = (await room.claim_one()).lease
        await room.commit(lease)
        assert Recovery(freed=0, uncertain=2) == await room.spool.recover(now=NOW + MINUTE, wait=WAIT)
        for recipient in (await room.view(message.id)).recipients:
            assert (RecipientState.UNCERTAIN, due_at) == (recipient.state, recipient.due_at)
            (attempt,) = recipient.attempts
            assert ("uncertain", "body_end", "conn-lost-body") == (
                attempt.outcome,
                attempt.step,
                attempt.cause,
            )
        again = await room.claim(NOW + WAIT)
        expected = [] if due_at is None else [(1, DIGEST, True, (0, 1))]
        assert expected == [(one.tries, one.digest, one.maybe_duplicate, one.recipients) for one in again]

    play(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize("is_committing", [False, True])
def test_a_group_that_was_in_work_at_three_deaths_waits_for_a_person(
    kind: str, tmp_path: Path, *, is_committing: bool
) -> None:
    """Poison is held with its cause, or stays uncertain for a person; the queue goes on without it."""

    async def scenario(room: Room) -> None:
        poison = a_message(policy=UncertainPolicy.RETRY)
        await room.accept(poison)
        for _ in range(3):
            lease = (await room.claim_one()).lease
            if is_committing:
                await room.commit(lease)
            await room.spool.recover(now=NOW, wait=WAIT)
        assert [] == list(await room.claim(NOW + HOUR))
        (recipient,) = (await room.view(poison.id)).recipients
        expected = ("uncertain", "conn-lost-body") if is_committing else ("held", "crash-loop")
        assert expected == (recipient.state, recipient.cause)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_suspects_are_claimed_one_at_a_time_and_cleared_by_any_orderly_end(kind: str, tmp_path: Path) -> None:
    """What was in work at a death goes alone, on whichever transport, until it was settled or released."""

    async def scenario(room: Room) -> None:
        first, second, third = a_message(), a_message(), a_message()
        for message in (first, second):
            await room.accept(message)
        await room.accept(third, transport="spare")
        await room.claim()
        await room.claim(transport="spare")
        await room.spool.recover(now=NOW, wait=WAIT)
        fresh = a_message()
        await room.accept(fresh)
        claimed = await room.claim()
        assert [first.id, fresh.id] == [one.message.id for one in claimed]
        assert [True, False] == [one.is_suspect for one in claimed]
        assert [] == list(await room.claim())
        assert [] == list(await room.claim(transport="spare"))
        await room.spool.release([claimed[0].lease])
        (cleared, suspect) = sorted(await room.claim(), key=lambda one: one.message.id != first.id)
        assert [first.id, second.id] == [cleared.message.id, suspect.message.id]
        assert await room.settle(suspect.lease, deferred())
        assert [third.id] == [one.message.id for one in await room.claim(transport="spare")]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_cancelling_ends_what_waits_and_leaves_what_is_sent(kind: str, tmp_path: Path) -> None:
    """Queued and deferred recipients are cancelled; leased, uncertain and final ones keep their state."""

    async def scenario(room: Room) -> None:
        message = a_message(5)
        await room.accept(message)
        part = await room.claim_one(most=3)
        held = Move(recipient=2, state=RecipientState.HELD, cause="bytes-changed")
        await room.settle(part.lease, accepted(0), uncertain(1), held)
        await room.claim_one(most=1)
        after = await room.spool.cancel(message.id, tenant=DEFAULT_TENANT, now=NOW)
        states = ["accepted", "uncertain", "cancelled", "sending", "cancelled"]
        assert dict(enumerate(states)) == {number: state.value for number, state in after.items()}
        assert states == await room.states(message.id)
        assert "bytes-changed" == (await room.view(message.id)).recipients[2].cause
        assert {} == await room.spool.cancel(MessageId("unknown"), tenant=DEFAULT_TENANT, now=NOW)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_expiry_ends_what_waits_too_long(kind: str, tmp_path: Path) -> None:
    """At its end a message's waiting recipients expire; nobody claims them in between."""

    async def scenario(room: Room) -> None:
        short, long = a_message(2, life=HOUR), a_message()
        await room.accept(short)
        await room.accept(long)
        await room.settle((await room.claim_one()).lease, accepted(0), deferred(1, until=NOW + MINUTE))
        assert [] == list(await room.spool.expire(now=NOW + HOUR - MINUTE, limit=10))
        assert [long.id] == [claimed.message.id for claimed in await room.claim(NOW + HOUR, until=DAY)]
        assert [short.id] == list(await room.spool.expire(now=NOW + HOUR, limit=10))
        assert [] == list(await room.spool.expire(now=NOW + HOUR, limit=10))
        view = await room.view(short.id)
        assert ["accepted", "expired"] == [recipient.state.value for recipient in view.recipients]
        assert "greylisted" == view.recipients[1].cause

    play(kind, tmp_path / "data", scenario)


@every_store
def test_expiry_leaves_leased_and_uncertain_recipients_alone(kind: str, tmp_path: Path) -> None:
    """A running attempt is not pulled away; an uncertain recipient waits for a person at the end."""

    async def scenario(room: Room) -> None:
        message = a_message(2, life=HOUR)
        await room.accept(message)
        await room.settle((await room.claim_one(most=1)).lease, uncertain(0, until=NOW + WAIT))
        await room.claim_one(until=DAY)
        assert [] == list(await room.spool.expire(now=NOW + HOUR, limit=10))
        assert ["uncertain", "sending"] == await room.states(message.id)
        assert await room.spool.next_due_at("main") is None

    play(kind, tmp_path / "data", scenario)


@every_store
def test_expiry_ends_leases_that_ran_out(kind: str, tmp_path: Path) -> None:
    """An expired message under a dead lease expires too; behind the dot it is uncertain for a person."""

    async def scenario(room: Room) -> None:
        before, behind = a_message(life=HOUR), a_message(life=HOUR)
        await room.accept(before)
        await room.accept(behind)
        leases = {claimed.message.id: claimed.lease for claimed in await room.claim(until=HOUR)}
        await room.commit(leases[behind.id])
        assert [before.id] == list(await room.spool.expire(now=NOW + HOUR, limit=10))
        assert ["expired"] == await room.states(before.id)
        assert ["uncertain"] == await room.states(behind.id)
        assert await room.spool.next_due_at("main") is None

    play(kind, tmp_path / "data", scenario)


@every_store
def test_expiry_touches_at_most_its_limit(kind: str, tmp_path: Path) -> None:
    """A duty works in chunks."""

    async def scenario(room: Room) -> None:
        for _ in range(3):
            await room.accept(a_message(life=HOUR))
        assert [2, 1, 0] == [len(await room.spool.expire(now=NOW + DAY, limit=2)) for _ in range(3)]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_groups_of_unknown_transports_are_given_to_a_known_one(kind: str, tmp_path: Path) -> None:
    """What waits for a transport that is no longer configured goes another way, and says so."""

    async def scenario(room: Room) -> None:
        stray, known = a_message(), a_message()
        await room.accept(stray, transport="gone")
        await room.accept(known, transport="main")
        assert 1 == await room.spool.reroute(known=["main", "spare"], to="spare")
        assert 0 == await room.spool.reroute(known=["main", "spare"], to="spare")
        assert ["spare", "main"] == [(await room.view(one.id)).transport for one in (stray, known)]
        assert [stray.id] == [claimed.message.id for claimed in await room.claim(transport="spare")]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_uncertain_mail_of_a_removed_transport_waits_for_a_person(kind: str, tmp_path: Path) -> None:
    """Another account is never told to repeat what the removed one may have sent."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message, transport="gone")
        (claimed,) = await room.claim(transport="gone")
        await room.settle(claimed.lease, uncertain(0, until=NOW + WAIT))
        assert 1 == await room.spool.reroute(known=["main"], to="main")
        assert ["uncertain"] == await room.states(message.id)
        assert await room.spool.next_due_at("main") is None
        assert [] == list(await room.claim(NOW + DAY, until=DAY))

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_pause_is_kept_replaced_and_removed(kind: str, tmp_path: Path) -> None:
    """One pause a transport, the newest."""

    async def scenario(room: Room) -> None:
        def a_pause(failures: int) -> TransportPause:
            return TransportPause(
                transport="main",
                since=NOW,
                until=NOW + HOUR,
                cause="auth-failed",
                step="auth",
                text="535 no",
                host="mx.example.org",
                failures=failures,
            )

        for failures in (1, 2):
            await room.spool.pause(a_pause(failures))
            assert [a_pause(failures)] == list(await room.spool.pauses())
        await room.spool.resume("main")
        await room.spool.resume("main")
        assert [] == list(await room.spool.pauses())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_real_mail_is_remembered_and_captured_mail_is_not(kind: str, tmp_path: Path) -> None:
    """A store that has only ever captured says so; one attempt over a real transport is enough."""

    async def scenario(room: Room) -> None:
        await room.accept(transport="capture")
        await room.claim(transport="capture")
        assert not await room.spool.has_sent_real_mail()
        await room.accept()
        assert not await room.spool.has_sent_real_mail()
        await room.claim()
        assert await room.spool.has_sent_real_mail()

    play(kind, tmp_path / "data", scenario)


@every_store
def test_purging_follows_the_last_change(kind: str, tmp_path: Path) -> None:
    """Content goes first, the message later, both counted from the last change; open ones stay."""

    async def scenario(room: Room) -> None:
        done, cancelled, waiting = a_message(), a_message(), a_message(life=1000 * DAY)
        for message in (done, cancelled, waiting):
            await room.accept(message)
        leases = {claimed.message.id: claimed.lease for claimed in await room.claim()}
        await room.spool.release([leases[cancelled.id], leases[waiting.id]])
        await room.settle(leases[done.id], accepted(), at=NOW + DAY)
        await room.spool.cancel(cancelled.id, tenant=DEFAULT_TENANT, now=NOW + 2 * DAY)

        async def purge(after: timedelta, limit: int = 10) -> int:
            return await room.spool.purge(now=NOW + after, retention=RETENTION, limit=limit)

        assert [0, 1, 0] == [await purge(days * DAY) for days in (31, 32, 32)]
        assert await room.spool.message(done.id, tenant=DEFAULT_TENANT) is None
        assert ["accepted"] == await room.states(done.id)
        assert cancelled == await room.spool.message(cancelled.id, tenant=DEFAULT_TENANT)
        assert [1, 0, 3, 0, 1, 0] == [await purge(days * DAY) for days in (33, 33, 367, 367, 368, 368)]
        assert await room.spool.view(done.id, tenant=DEFAULT_TENANT) is None
        assert waiting == await room.spool.message(waiting.id, tenant=DEFAULT_TENANT)
        assert {RecipientState.QUEUED: 1} == dict((await room.spool.counts()).by_state)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_purging_takes_at_most_its_limit(kind: str, tmp_path: Path) -> None:
    """A duty works in chunks."""

    async def scenario(room: Room) -> None:
        for _ in range(3):
            await room.accept(message := a_message())
            await room.spool.cancel(message.id, tenant=DEFAULT_TENANT, now=NOW)
        sizes = [await room.spool.purge(now=NOW + 40 * DAY, retention=RETENTION, limit=2) for _ in range(3)]
        assert [2, 1, 0] == sizes

    play(kind, tmp_path / "data", scenario)


@every_store
def test_purging_forgets_expired_keys(kind: str, tmp_path: Path) -> None:
    """An idempotency key lives as long as it was asked to, also without its message."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message, key=a_key(keep=HOUR))
        assert 0 == await room.spool.purge(now=NOW + MINUTE, retention=RETENTION, limit=10)
        assert Replayed(message_id=message.id) == await room.accept(key=a_key())
        assert 1 == await room.spool.purge(now=NOW + HOUR, retention=RETENTION, limit=10)

    play(kind, tmp_path / "data", scenario)
