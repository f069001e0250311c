"""Lists, counts, captured mails, keys and blobs, the same on every store."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, MailClass, Message
from postroom.model.view import ApiKey, CapturedMail, MessageFilter
from spool.spool_room import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    Room,
    a_message,
    accepted,
    deferred,
    every_store,
    play,
    uncertain,
)

ALL = MessageFilter(tenant=DEFAULT_TENANT)


@every_store
def test_a_list_is_paged_newest_first(kind: str, tmp_path: Path) -> None:
    """Pages by cursor show every message once, the last accepted first."""

    async def scenario(room: Room) -> None:
        messages = [a_message() for _ in range(5)]
        for message in messages:
            await room.accept(message)
        seen: list[MessageId] = []
        page = await room.spool.list(replace(ALL, limit=2))
        while page:
            seen.extend(line.id for line in page)
            page = await room.spool.list(replace(ALL, limit=2, before=page[-1].id))
        assert [message.id for message in reversed(messages)] == seen
        assert [] == list(await room.spool.list(MessageFilter(tenant=TenantId("stranger"))))

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_line_counts_recipients_by_state(kind: str, tmp_path: Path) -> None:
    """A line of a list has the message's facts, its recipients by state and the next attempt."""

    async def scenario(room: Room) -> None:
        message = a_message(4, tags=("news",), mail_class=MailClass.BULK)
        await room.accept(message)
        part = await room.claim_one(most=2)
        await room.settle(part.lease, accepted(0), deferred(1))
        await room.claim_one(most=1)
        (line,) = await room.spool.list(ALL)
        assert {
            RecipientState.ACCEPTED: 1,
            RecipientState.DEFERRED: 1,
            RecipientState.SENDING: 1,
            RecipientState.QUEUED: 1,
        } == dict(line.counts)
        assert NOW == line.next_attempt_at
        assert ("main", "ann@example.com", "Grüße") == (line.transport, line.sender, line.subject)
        assert (("news",), MailClass.BULK, NOW) == (line.tags, line.mail_class, line.created_at)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_list_is_filtered_by_any_field(kind: str, tmp_path: Path) -> None:
    """Each filter finds what it names and nothing else; filters together all hold."""

    async def scenario(room: Room) -> None:
        plain = a_message(tags=("a",))
        other = a_message(2, mail_class=MailClass.CODE, sender="cleo", tags=("a", "b"), at=NOW + HOUR)
        await room.accept(plain)
        await room.accept(other, transport="spare")

        async def found(**filters: object) -> Sequence[str]:
            return [line.id for line in await room.spool.list(replace(ALL, **filters))]  # type: ignore[arg-type]  # each test names its field

        assert [other.id, plain.id] == await found(tag="a")
        assert [other.id] == await found(tag="b")
        assert [] == await found(tag="c")
        assert [other.id] == await found(mail_class=MailClass.CODE)
        assert [other.id] == await found(sender="Cleo@Example.com")
        assert [other.id] == await found(recipient="BOB1@example.org")
        assert [other.id] == await found(transport="spare")
        assert [other.id] == await found(since=NOW + MINUTE)
        assert [plain.id] == await found(until=NOW + MINUTE)
        assert [] == await found(transport="spare", until=NOW + MINUTE)

    play(kind, tmp_path / "data", scenario)


@every_store
@pytest.mark.parametrize("state", list(RecipientState))
def test_a_list_by_state_finds_messages_with_any_such_recipient(
    kind: str, tmp_path: Path, state: RecipientState
) -> None:
    """One recipient in the state is enough, leased ones count as sending."""

    async def scenario(room: Room) -> None:
        messages: dict[RecipientState, Message] = {}

        async def one(wanted: RecipientState) -> None:
            messages[wanted] = message = a_message(2, life=HOUR)
            await room.accept(message)

        await one(RecipientState.ACCEPTED)
        await room.settle((await room.claim_one()).lease, accepted(0), accepted(1))
        await one(RecipientState.DEFERRED)
        await room.settle((await room.claim_one()).lease, accepted(0), deferred(1, until=NOW + DAY))
        await one(RecipientState.UNCERTAIN)
        await room.settle((await room.claim_one()).lease, uncertain(0), uncertain(1))
        await one(RecipientState.CANCELLED)
        await room.spool.cancel(messages[RecipientState.CANCELLED].id, tenant=DEFAULT_TENANT, now=NOW)
        await one(RecipientState.SENDING)
        await room.claim_one()
        await one(RecipientState.QUEUED)
        found = {line.id for line in await room.spool.list(replace(ALL, state=state))}
        expected = {messages[state].id} if state in messages else set()
        if state is RecipientState.ACCEPTED:
            expected.add(messages[RecipientState.DEFERRED].id)
        assert expected == found

    play(kind, tmp_path / "data", scenario)


@every_store
def test_counts_follow_every_move(kind: str, tmp_path: Path) -> None:
    """The counts by state are those of the recipients, whatever happened on the way."""

    async def scenario(room: Room) -> None:
        for number in range(1, 5):
            await room.accept(a_message(number, at=NOW + number * MINUTE))
        leases = [claimed.lease for claimed in await room.claim(limit=3)]
        await room.settle(leases[0], accepted(0))
        await room.settle(leases[1], deferred(0))
        await room.spool.release([leases[2]])
        counts = await room.spool.counts()
        expected = {RecipientState.ACCEPTED: 1, RecipientState.DEFERRED: 1, RecipientState.QUEUED: 8}
        assert expected == dict(counts.by_state)
        assert NOW + 2 * MINUTE == counts.oldest_open_at

    play(kind, tmp_path / "data", scenario)


@every_store
def test_captured_mails_are_numbered_and_paged(kind: str, tmp_path: Path) -> None:
    """The inbox gives numbers, shows the newest first, and forgets by its own retention."""

    async def scenario(room: Room) -> None:
        captures = room.store.captures
        mails = [
            CapturedMail(
                number=0,
                message_id=MessageId(f"m{number}"),
                captured_at=NOW + number * DAY,
                reverse_path="ann@example.com",
                recipients=("bob@example.org", "cleo@example.org"),
                subject="Grüße",
                sender="ann@example.com",
                source=BlobRef("a" * 64, 12),
            )
            for number in range(3)
        ]
        for mail in mails:
            await captures.add(mail)
        page = await captures.page(before=None, limit=2)
        assert ["m2", "m1"] == [mail.message_id for mail in page]
        (oldest,) = await captures.page(before=page[-1].number, limit=2)
        assert replace(mails[0], number=oldest.number) == oldest == await captures.one(oldest.number)
        assert await captures.one(99) is None
        assert 2 == await room.spool.purge(now=NOW + 9 * DAY - HOUR, retention=RETENTION, limit=10)
        assert ["m2"] == [mail.message_id for mail in await captures.page(before=None, limit=9)]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_keys_are_kept_and_revoked_once(kind: str, tmp_path: Path) -> None:
    """A key is found by id or name, keeps the time of its first revocation, and is never lost."""

    async def scenario(room: Room) -> None:
        keys = room.store.keys
        young, old = (
            ApiKey(
                id=name,
                name=f"{name} key",
                sha256=name.encode() * 8,
                scopes=frozenset({"send", "read"}),
                tenant=DEFAULT_TENANT,
                senders=("@example.com",),
                networks=("192.0.2.0/24",),
                created_at=at,
            )
            for name, at in (("young", NOW + DAY), ("old", NOW))
        )
        await keys.add(young)
        await keys.add(old)
        assert [old, young] == list(await keys.all())
        assert not await keys.revoke("nobody", at=NOW)
        assert await keys.revoke("old", at=NOW + DAY)
        assert await keys.revoke("old key", at=NOW + 2 * DAY)
        assert [replace(old, revoked_at=NOW + DAY), young] == list(await keys.all())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_blobs_are_named_by_their_content(kind: str, tmp_path: Path) -> None:
    """What was written is read back under its hash, equal content twice is one blob, per tenant."""

    async def scenario(room: Room) -> None:
        blobs = room.store.blobs
        staged = blobs.stage(DEFAULT_TENANT)
        staged.write(b"con")
        staged.write(b"tent")
        assert 7 == staged.size
        ref = staged.commit()
        staged.discard()
        assert ref == room.put_blob(b"content")
        with blobs.open(DEFAULT_TENANT, ref) as file:
            assert b"content" == file.read()
        assert blobs.is_intact(DEFAULT_TENANT, ref)
        assert not blobs.is_intact(DEFAULT_TENANT, replace(ref, size=8))
        with pytest.raises(FileNotFoundError):
            blobs.open(TenantId("stranger"), ref)
        assert not blobs.is_intact(TenantId("stranger"), ref)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_a_discarded_blob_is_nowhere(kind: str, tmp_path: Path) -> None:
    """Discarding leaves nothing behind."""

    async def scenario(room: Room) -> None:
        staged = room.store.blobs.stage(DEFAULT_TENANT)
        staged.write(b"content")
        staged.discard()
        staged.discard()
        assert not room.store.blobs.is_intact(DEFAULT_TENANT, BlobRef(sha256(b"content").hexdigest(), 7))

    play(kind, tmp_path / "data", scenario)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"content"]


@every_store
def test_the_last_mail_that_a_server_took_is_found(kind: str, tmp_path: Path) -> None:
    """The time of the newest acceptance by that transport; deferrals and other transports are none."""

    async def scenario(room: Room) -> None:
        assert await room.spool.worked_until("main") is None
        await room.accept(a_message())
        first = await room.claim_one()
        await room.settle(first.lease, accepted(0))
        await room.accept(a_message())
        second = await room.claim_one()
        await room.settle(second.lease, deferred(0))
        found = await room.spool.worked_until("main")
        view = await room.spool.view(first.message.id, tenant=DEFAULT_TENANT)
        assert view is not None
        assert view.recipients[0].attempts[0].at == found
        assert await room.spool.worked_until("other") is None

    play(kind, tmp_path / "data", scenario)
