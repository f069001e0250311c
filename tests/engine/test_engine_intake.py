"""Intake: one message for one key, and nothing kept in memory for mail that is not due."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from peers.engine_room import OK, EngineRoom, engine_room
from postroom.errors import InputError
from postroom.model.address import parse_mailbox
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Door, MailClass, Submission
from postroom.model.view import MessageFilter

MAIL = Submission(to=(parse_mailbox("kim@example.com"),), text="It works.", idempotency_key="order-42")


def kept(room: EngineRoom) -> int:
    """Count the rendered messages in memory."""
    return len(room.service._intake._rendered._kept)


def test_64_identical_submissions_at_once_are_one_message(tmp_path: Path) -> None:
    """All are answered from one: a single message, sent once, and 63 replays that leave nothing in memory."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            doors = [Door.HTTP, Door.NEXUS, Door.CLI]
            mails = [replace(MAIL, door=doors[number % 3]) for number in range(64)]
            receipts = await asyncio.gather(*map(room.service.submit, mails))
            assert 1 == len({receipt.message_id for receipt in receipts})
            assert 63 == sum(receipt.is_replay for receipt in receipts)
            await room.becomes(receipts[0].message_id, "accepted")
            assert 1 == len(room.transport.works)
            assert 1 == len(await room.service.list(MessageFilter(tenant=DEFAULT_TENANT)))
            assert 0 == kept(room)

    asyncio.run(go())


def test_a_key_lives_a_day_or_as_long_as_its_message(tmp_path: Path) -> None:
    """A one-time code's key is kept for 24 hours, a scheduled mail's until the mail expires."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            code = replace(MAIL, mail_class=MailClass.CODE)
            later = replace(
                MAIL, idempotency_key="later", send_at=room.clock.now() + timedelta(days=10), text="x"
            )
            first, scheduled = [await room.service.submit(mail) for mail in (code, later)]
            room.clock.advance(24 * 3600 - 1)
            assert (await room.service.submit(code)).is_replay
            room.clock.advance(2)
            assert not (await room.service.submit(code)).is_replay
            room.clock.advance(12 * 24 * 3600 - 10)  # 10 days, and 3 of the class
            again = await room.service.submit(later)
            assert (True, scheduled.message_id) == (again.is_replay, again.message_id)
            assert first.message_id != scheduled.message_id

    asyncio.run(go())


def test_what_differs_under_one_key_is_named(tmp_path: Path) -> None:
    """Every field that is another one is told, the door is none, and nothing is stored or kept."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            receipt = await room.service.submit(MAIL)
            await room.becomes(receipt.message_id, "accepted")
            with pytest.raises(InputError) as caught:
                await room.service.submit(replace(MAIL, text="x", mail_class=MailClass.BULK, door=Door.CLI))
            assert ["class", "text"] == [problem.field for problem in caught.value.problems]
            assert 0 == kept(room)
            assert 1 == len(await room.service.list(MessageFilter(tenant=DEFAULT_TENANT)))

    asyncio.run(go())


def test_a_scheduled_mail_waits_on_the_disk_alone(tmp_path: Path) -> None:
    """It is proved at acceptance and not kept rendered; it is sent at its time and lives from then."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            send_at = room.clock.now() + timedelta(hours=5)
            receipt = await room.service.submit(
                replace(MAIL, mail_class=MailClass.CODE, idempotency_key=None, send_at=send_at)
            )
            assert 0 == kept(room)
            view = await room.service.view(receipt.message_id, tenant=DEFAULT_TENANT)
            assert send_at + timedelta(minutes=15) == view.expires_at
            assert not room.transport.works
            await room.later(5 * 3600)
            await room.becomes(receipt.message_id, "accepted")
            assert 1 == len(room.transport.works)

    asyncio.run(go())


def test_a_fresh_message_is_claimed_in_the_commit_that_stores_it(tmp_path: Path) -> None:
    """The line hears of it before the commit and asks once, so that storing and claiming are one write."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            ledger = room.spool._writer._ledger  # type: ignore[attr-defined]  # the room's store is SQLite
            claims, first = [], ledger.commits
            claim = room.spool.claim

            async def counted(**wish: Any) -> Any:
                claims.append(ledger.commits - first)
                found = await claim(**wish)
                claims.append(ledger.commits - first)
                return found

            room.spool.claim = counted  # type: ignore[method-assign]  # looks on
            receipt = await room.service.submit(replace(MAIL, idempotency_key=None))
            await room.becomes(receipt.message_id, "accepted")
            assert [0, 1] == claims[:2]

    asyncio.run(go())
