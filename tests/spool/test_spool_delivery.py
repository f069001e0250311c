"""The way of a message through the queue, the same on every store."""

from dataclasses import replace
from pathlib import Path

import pytest

from postroom.errors import InvariantError
from postroom.model.attempt import Move
from postroom.model.ids import DEFAULT_TENANT, AttemptId, LeaseToken, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, UncertainPolicy
from postroom.ports import KeyReused, Replayed, Stored
from spool.spool_room import (
    DAY,
    DIGEST,
    HOUR,
    MINUTE,
    NOW,
    Room,
    a_key,
    a_message,
    accepted,
    an_attachment,
    deferred,
    every_store,
    play,
    uncertain,
)


@every_store
def test_an_accepted_message_is_handed_out_as_it_was(kind: str, tmp_path: Path) -> None:
    """A claim returns the very message that was accepted, with all its recipients."""

    async def scenario(room: Room) -> None:
        message = a_message(3, tags=("a", "b"))
        assert Stored(message_id=message.id) == await room.accept(message)
        claimed = await room.claim_one()
        assert message == claimed.message
        assert (0, 1, 2) == claimed.recipients
        assert (0, None, False) == (claimed.tries, claimed.digest, claimed.maybe_duplicate)
        assert message == await room.spool.message(message.id, tenant=DEFAULT_TENANT)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_leased_group_is_shown_as_sending_and_not_claimed_again(kind: str, tmp_path: Path) -> None:
    """One group has one lease at a time; while it lasts the recipients are sending."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message)
        await room.claim_one()
        assert [] == list(await room.claim())
        assert ["sending", "sending"] == await room.states(message.id)
        view = await room.view(message.id)
        assert ["open", "open"] == [recipient.attempts[0].outcome for recipient in view.recipients]
        assert {RecipientState.SENDING: 2} == dict((await room.spool.counts()).by_state)
        assert await room.spool.next_due_at("main") is None

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_settled_message_shows_the_truth_and_waits_no_more(kind: str, tmp_path: Path) -> None:
    """After settling as accepted the reply, step, host and time stand on the recipient; nothing is due."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        lease = (await room.claim_one()).lease
        assert await room.commit(lease)
        assert "committing" == (await room.view(message.id)).recipients[0].attempts[0].outcome
        assert await room.settle(lease, accepted(), at=NOW + MINUTE)
        (recipient,) = (await room.view(message.id)).recipients
        (attempt,) = recipient.attempts
        assert RecipientState.ACCEPTED == recipient.state
        assert (250, "2.0.0", "2.0.0 as it is") == (attempt.code, attempt.enhanced, attempt.text)
        assert ("body_end", "main", "mx.example.org") == (attempt.step, attempt.transport, attempt.host)
        assert ("accepted", 12, NOW + MINUTE) == (attempt.outcome, attempt.duration_ms, attempt.at)
        assert await room.spool.next_due_at("main") is None
        assert [] == list(await room.claim(NOW + DAY))
        assert (await room.spool.counts()).oldest_open_at is None

    play(kind, tmp_path / "data", scenario)


@every_store
def test_claims_go_by_class_then_due_time(kind: str, tmp_path: Path) -> None:
    """Code before alert before transactional before bulk; within a class the longest due first."""

    async def scenario(room: Room) -> None:
        messages = [
            a_message(mail_class=MailClass.BULK, send_at=NOW - HOUR),
            a_message(mail_class=MailClass.TRANSACTIONAL),
            a_message(mail_class=MailClass.TRANSACTIONAL, send_at=NOW - MINUTE),
            a_message(mail_class=MailClass.ALERT),
            a_message(mail_class=MailClass.CODE),
            a_message(mail_class=MailClass.CODE, send_at=NOW + MINUTE),
        ]
        for message in messages:
            await room.accept(message)
        order = [claimed.message.id for claimed in await room.claim(limit=4)]
        assert [messages[number].id for number in (4, 3, 2, 1)] == order
        assert [messages[0].id] == [claimed.message.id for claimed in await room.claim(limit=4)]
        assert NOW + MINUTE == await room.spool.next_due_at("main")

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_transport_claims_only_its_own(kind: str, tmp_path: Path) -> None:
    """Groups of one transport are not seen by another."""

    async def scenario(room: Room) -> None:
        await room.accept(a_message(), transport="other")
        assert [] == list(await room.claim())
        assert await room.spool.next_due_at("main") is None
        assert NOW == await room.spool.next_due_at("other")
        assert 1 == len(await room.claim(transport="other"))

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_large_group_is_claimed_in_parts(kind: str, tmp_path: Path) -> None:
    """A claim takes at most max_recipients of a group; the rest stays due as a group of its own."""

    async def scenario(room: Room) -> None:
        message = a_message(5)
        await room.accept(message)
        first = await room.claim_one(most=2)
        assert ["sending"] * 2 + ["queued"] * 3 == await room.states(message.id)
        second = await room.claim_one(most=2)
        third = await room.claim_one(most=2)
        assert [(0, 1), (2, 3), (4,)] == [part.recipients for part in (first, second, third)]
        assert 3 == len({part.lease.group for part in (first, second, third)})
        for part in (second, third, first):
            assert await room.settle(part.lease, *(accepted(number) for number in part.recipients))
        assert ["accepted"] * 5 == await room.states(message.id)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_settlement_splits_a_group_by_state_and_due_time(kind: str, tmp_path: Path) -> None:
    """Recipients with one state and one due time wait together, the others apart."""

    async def scenario(room: Room) -> None:
        message = a_message(6)
        await room.accept(message)
        claimed = await room.claim_one()
        refused = Move(recipient=5, state=RecipientState.REFUSED, cause="no-such-user")
        later = NOW + HOUR
        moves = (accepted(0), deferred(1), deferred(2, until=later), deferred(3), uncertain(4), refused)
        assert await room.settle(claimed.lease, *moves)
        view = await room.view(message.id)
        assert ["accepted", "deferred", "deferred", "deferred", "uncertain", "refused"] == [
            recipient.state.value for recipient in view.recipients
        ]
        assert [None, NOW + MINUTE, later, NOW + MINUTE, None, None] == [
            recipient.due_at for recipient in view.recipients
        ]
        assert "no-such-user" == view.recipients[5].cause
        assert NOW + MINUTE == view.next_attempt_at
        again = await room.claim(NOW + MINUTE)
        assert [((1, 3), 1)] == [(one.recipients, one.tries) for one in again]
        assert [(2,)] == [one.recipients for one in await room.claim(later)]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_recipient_without_a_move_is_due_at_once_as_before(kind: str, tmp_path: Path) -> None:
    """What was not begun returns to its earlier state, due when the attempt was settled."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message)
        first = await room.claim_one()
        await room.settle(first.lease, deferred(0), deferred(1))
        second = await room.claim_one(NOW + MINUTE)
        at = NOW + 2 * MINUTE
        assert await room.settle(second.lease, accepted(0), at=at)
        assert ["accepted", "deferred"] == await room.states(message.id)
        assert at == (await room.view(message.id)).recipients[1].due_at
        assert (1,) == (await room.claim_one(at)).recipients

    play(kind, tmp_path / "data", scenario)


@every_store
def test_only_attempts_that_count_grow_the_tries(kind: str, tmp_path: Path) -> None:
    """A failure of the transport is no attempt of the message."""

    async def scenario(room: Room) -> None:
        await room.accept()
        now, tries = NOW, []
        for counts in (False, True, True, False):
            claimed = await room.claim_one(now)
            tries.append(claimed.tries)
            now += MINUTE
            await room.settle(claimed.lease, deferred(until=now), counts=counts)
        assert [0, 0, 1, 2] == tries
        assert 2 == (await room.claim_one(now)).tries

    play(kind, tmp_path / "data", scenario)


@every_store
def test_the_digest_of_a_committed_attempt_stays_with_what_waits(kind: str, tmp_path: Path) -> None:
    """After committing the bytes may not change: later claims carry the digest, before that none does."""

    async def scenario(room: Room) -> None:
        await room.accept()
        await room.settle((await room.claim_one()).lease, deferred(until=NOW))
        claimed = await room.claim_one()
        assert claimed.digest is None
        assert await room.commit(claimed.lease)
        await room.settle(claimed.lease, deferred(until=NOW))
        claimed = await room.claim_one()
        assert (DIGEST, False) == (claimed.digest, claimed.maybe_duplicate)
        await room.settle(claimed.lease, uncertain(until=NOW))
        claimed = await room.claim_one()
        assert (DIGEST, True) == (claimed.digest, claimed.maybe_duplicate)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_write_under_a_lease_that_is_over_changes_nothing(kind: str, tmp_path: Path) -> None:
    """A second settlement, a forged lease and one that was given back write nothing and say so."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        old = (await room.claim_one()).lease
        await room.spool.release([old])
        new = (await room.claim_one()).lease
        forged = (
            old,
            replace(new, token=LeaseToken(new.token + 1)),
            replace(new, attempt=AttemptId(new.attempt + 1)),
            replace(new, group=new.group + 1),
        )
        for lease in forged:
            assert not await room.commit(lease)
            assert not await room.settle(lease, accepted())
            await room.spool.release([lease])
        assert ["sending"] == await room.states(message.id)
        assert await room.settle(new, accepted())
        assert not await room.settle(new, deferred())
        assert not await room.commit(new)
        assert ["accepted"] == await room.states(message.id)
        assert 1 == len((await room.view(message.id)).recipients[0].attempts)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_released_attempt_leaves_no_trace(kind: str, tmp_path: Path) -> None:
    """What never began is due at once, with the tries and state it had."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message)
        await room.spool.release([(await room.claim_one()).lease])
        view = await room.view(message.id)
        assert [()] * 2 == [recipient.attempts for recipient in view.recipients]
        assert ["queued", "queued"] == await room.states(message.id)
        assert 0 == (await room.claim_one()).tries

    play(kind, tmp_path / "data", scenario)


@every_store
def test_releasing_a_committing_attempt_makes_it_uncertain(kind: str, tmp_path: Path) -> None:
    """An attempt whose final dot may have left is never forgotten."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        lease = (await room.claim_one()).lease
        await room.commit(lease)
        await room.spool.release([lease])
        (recipient,) = (await room.view(message.id)).recipients
        assert RecipientState.UNCERTAIN == recipient.state
        assert ["uncertain"] == [attempt.outcome for attempt in recipient.attempts]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_the_final_dot_needs_a_lease_that_still_runs(kind: str, tmp_path: Path) -> None:
    """After the end of the lease no dot is allowed, but a result that nobody overtook still counts."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        lease = (await room.claim_one(until=MINUTE)).lease
        assert not await room.commit(lease, NOW + MINUTE)
        assert await room.settle(lease, accepted(), at=NOW + 2 * MINUTE)
        assert ["accepted"] == await room.states(message.id)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_lease_that_ran_out_before_the_dot_is_claimed_anew(kind: str, tmp_path: Path) -> None:
    """The successor gets the group, and the one who was too slow can write nothing."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        slow = (await room.claim_one(until=MINUTE)).lease
        successor = await room.claim_one(NOW + MINUTE)
        assert (0, None) == (successor.tries, successor.digest)
        assert not await room.settle(slow, accepted())
        assert await room.settle(successor.lease, deferred())
        assert ["deferred"] == await room.states(message.id)

    play(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize("policy", list(UncertainPolicy))
def test_a_lease_that_ran_out_after_the_dot_is_uncertain(
    kind: str, tmp_path: Path, policy: UncertainPolicy
) -> None:
    """By policy: retry is due at once, wait fifteen minutes after the dot, ask never."""

    async def scenario(room: Room) -> None:
        message = a_message(policy=policy)
        await room.accept(message)
        lease = (await room.claim_one(until=MINUTE)).lease
        await room.commit(lease, NOW)
        claimed = await room.claim(NOW + 2 * MINUTE)
        if policy is UncertainPolicy.RETRY:
            assert [(DIGEST, True)] == [(one.digest, one.maybe_duplicate) for one in claimed]
            return
        assert [] == list(claimed)
        assert ["uncertain"] == await room.states(message.id)
        due = {UncertainPolicy.WAIT: NOW + 15 * MINUTE, UncertainPolicy.ASK: None}[policy]
        assert due == await room.spool.next_due_at("main")

    play(kind, tmp_path / "data", scenario)


@every_store
def test_impossible_settlements_change_nothing(kind: str, tmp_path: Path) -> None:
    """A stranger, a second move of one recipient and a move to sending are bugs and raise."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message)
        lease = (await room.claim_one()).lease
        sending = Move(recipient=0, state=RecipientState.SENDING)
        for moves in ((accepted(2),), (accepted(0), deferred(0)), (sending,)):
            with pytest.raises(InvariantError):
                await room.settle(lease, *moves)
        assert ["sending", "sending"] == await room.states(message.id)
        assert await room.settle(lease, accepted(0), accepted(1))

    play(kind, tmp_path / "data", scenario)


@every_store
def test_an_idempotency_key_stores_once(kind: str, tmp_path: Path) -> None:
    """The same key and fields return the first message; other fields are named; nothing more is stored."""

    async def scenario(room: Room) -> None:
        first = a_message()
        assert Stored(message_id=first.id) == await room.accept(first, key=a_key(subject="1", to="2"))
        again = await room.accept(a_message(), key=a_key(subject="1", to="2"))
        assert Replayed(message_id=first.id) == again
        other = await room.accept(a_message(), key=a_key(subject="1", to="3", text="4"))
        assert KeyReused(fields=("text", "to")) == other
        assert 1 == len(await room.claim())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_an_idempotency_key_past_its_end_is_free_again(kind: str, tmp_path: Path) -> None:
    """After keep_until the key belongs to whoever uses it next."""

    async def scenario(room: Room) -> None:
        await room.accept(a_message(), key=a_key())
        later = a_message(at=NOW + DAY)
        stored = await room.accept(later, key=a_key(keep=3 * DAY, subject="2"))
        assert Stored(message_id=later.id) == stored
        replayed = await room.accept(a_message(at=NOW + DAY), key=a_key(keep=3 * DAY, subject="2"))
        assert Replayed(message_id=later.id) == replayed

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_message_with_a_missing_blob_is_not_stored(kind: str, tmp_path: Path) -> None:
    """Every attachment is there before the row that names it; its key is not used up by the failure."""

    async def scenario(room: Room) -> None:
        blob = room.put_blob(b"content")
        attachments = (an_attachment(replace(blob, sha256="0" * 64)),)
        with pytest.raises(InvariantError):
            await room.accept(a_message(attachments=attachments), key=a_key())
        whole = a_message(attachments=(an_attachment(blob),))
        assert Stored(message_id=whole.id) == await room.accept(whole, key=a_key())
        assert [whole] == [claimed.message for claimed in await room.claim()]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_message_id_is_stored_once(kind: str, tmp_path: Path) -> None:
    """A second message under one id is a bug of ours, and harms nobody else."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        with pytest.raises(InvariantError):
            await room.accept(message)
        assert 1 == len(await room.claim())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_message_belongs_to_its_tenant(kind: str, tmp_path: Path) -> None:
    """Another tenant neither sees nor cancels it."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        stranger = TenantId("stranger")
        assert await room.spool.view(message.id, tenant=stranger) is None
        assert await room.spool.message(message.id, tenant=stranger) is None
        assert {} == await room.spool.cancel(message.id, tenant=stranger, now=NOW)
        assert ["queued"] == await room.states(message.id)

    play(kind, tmp_path / "data", scenario)
