"""Mail whose files are fetched: content, hash and references change together, or nothing does."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.errors import InvariantError
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.message import Attachment, BlobRef, Message, RemoteFile
from postroom.spool.codec import decode_message, encode_message
from spool.spool_room import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    Room,
    a_message,
    accepted,
    an_attachment,
    deferred,
    every_store,
    play,
)
from spool.sqlite_room import database, on, open_

FILES = (RemoteFile(filename="合同.pdf", url="https://files.example.com/1?sign=a%20b"),)


def waiting_for_files(message: Message | None = None, *, recipients: int = 1) -> Message:
    message = message or a_message(recipients)
    return replace(message, content=replace(message.content, remote_files=FILES))


def test_files_to_fetch_are_stored_in_a_form_that_older_programs_refuse() -> None:
    """Such a message reads back equal and is of version 2; one without is of version 1, as before."""
    message = waiting_for_files()
    assert message == decode_message(encode_message(message))
    assert encode_message(message).startswith(b'{"v":2,')
    assert encode_message(a_message()).startswith(b'{"v":1,')


@every_store
def test_completed_mail_is_due_at_once_with_its_files(kind: str, tmp_path: Path) -> None:
    """The next claim hands out the message with the files; no attempt is left, it is sent as any other."""

    async def scenario(room: Room) -> None:
        message = waiting_for_files()
        await room.accept(message)
        claimed = await room.claim_one()
        assert FILES == claimed.message.content.remote_files
        attachment = an_attachment(room.put_blob(b"content"))

        assert await room.spool.complete(claimed.lease, [attachment])

        assert ["queued"] == await room.states(message.id)
        assert () == (await room.view(message.id)).recipients[0].attempts
        again = await room.claim_one()
        wanted = replace(message.content, remote_files=(), attachments=(attachment,))
        assert replace(message, content=wanted) == again.message
        assert (0, False) == (again.tries, again.is_suspect)
        assert again.message == await room.spool.message(message.id, tenant=DEFAULT_TENANT)
        assert await room.commit(again.lease)
        assert await room.settle(again.lease, accepted())

    play(kind, tmp_path, scenario)


@every_store
def test_files_that_came_with_the_mail_stay(kind: str, tmp_path: Path) -> None:
    """What was fetched stands behind what the mail had."""

    async def scenario(room: Room) -> None:
        own = an_attachment(room.put_blob(b"own"))
        message = waiting_for_files(a_message(attachments=(own,)))
        await room.accept(message)
        fetched = an_attachment(room.put_blob(b"fetched"))
        await room.spool.complete((await room.claim_one()).lease, [fetched])
        assert (own, fetched) == (await room.claim_one()).message.content.attachments

    play(kind, tmp_path, scenario)


@every_store
def test_a_lease_that_is_over_completes_nothing(kind: str, tmp_path: Path) -> None:
    """After a settlement, a release or another claim the late files are not taken."""

    async def scenario(room: Room) -> None:
        message = waiting_for_files()
        await room.accept(message)
        late = an_attachment(room.put_blob(b"late"))
        first = await room.claim_one()
        await room.settle(first.lease, deferred(until=NOW))
        assert not await room.spool.complete(first.lease, [late])
        second = await room.claim_one()
        await room.spool.release([second.lease])
        assert not await room.spool.complete(second.lease, [late])
        third = await room.claim_one(until=MINUTE)
        fourth = await room.claim_one(NOW + 2 * MINUTE)
        assert not await room.spool.complete(third.lease, [late])
        assert FILES == fourth.message.content.remote_files

    play(kind, tmp_path, scenario)


@every_store
def test_every_group_of_a_mail_gets_the_same_files(kind: str, tmp_path: Path) -> None:
    """What the second group fetched, perhaps another content by now, is not taken; it sends the first's."""

    async def scenario(room: Room) -> None:
        await room.accept(waiting_for_files(recipients=2))
        one, other = await room.claim_one(most=1), await room.claim_one(most=1)
        first, second = (an_attachment(room.put_blob(text)) for text in (b"monday", b"tuesday"))
        assert await room.spool.complete(one.lease, [first])
        assert await room.spool.complete(other.lease, [second])
        found = await room.claim()
        assert [(first,)] * len(found) == [claimed.message.content.attachments for claimed in found]
        assert [0, 1] == sorted(number for claimed in found for number in claimed.recipients)

    play(kind, tmp_path, scenario)


@every_store
def test_a_file_that_was_never_stored_completes_nothing(kind: str, tmp_path: Path) -> None:
    """The mail stays as it was, under its lease."""

    async def scenario(room: Room) -> None:
        await room.accept(waiting_for_files())
        claimed = await room.claim_one()
        with pytest.raises(InvariantError, match="was not committed"):
            await room.spool.complete(claimed.lease, [an_attachment(BlobRef("0" * 64, 7))])
        attachment = an_attachment(room.put_blob(b"now"))
        assert await room.spool.complete(claimed.lease, [attachment])

    play(kind, tmp_path, scenario)


@every_store
def test_what_is_given_back_may_be_due_later(kind: str, tmp_path: Path) -> None:
    """A release with a time leaves no attempt and is claimed at that time."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        claimed = await room.claim_one()
        await room.spool.release([claimed.lease], due_at=NOW + MINUTE)
        assert [] == list(await room.claim())
        assert NOW + MINUTE == await room.spool.next_due_at("main")
        again = await room.claim_one(NOW + MINUTE)
        assert (message, 0) == (again.message, again.tries)

    play(kind, tmp_path, scenario)


def test_fetched_files_are_swept_only_with_their_mail(tmp_path: Path) -> None:
    """Their references are stored with them, so no sweep takes them from under a mail that waits."""

    async def scenario(room: Room) -> None:
        await room.accept(waiting_for_files())
        ref = room.put_blob(b"kept")
        await room.spool.complete((await room.claim_one()).lease, [an_attachment(ref)])
        await room.spool.purge(now=NOW + 30 * 365 * DAY, retention=RETENTION, limit=10)
        assert room.store.blobs.is_intact(DEFAULT_TENANT, ref)

    on(open_(tmp_path), scenario)


def test_the_hash_is_that_of_the_new_content(tmp_path: Path) -> None:
    """After a restart the message reads back whole: its stored hash fits."""
    message = waiting_for_files()
    put: list[Attachment] = []

    async def before(room: Room) -> None:
        await room.accept(message)
        put.append(an_attachment(room.put_blob(b"content")))
        await room.spool.complete((await room.claim_one()).lease, put)

    async def after(room: Room) -> None:
        await room.spool.recover(now=NOW, wait=HOUR)
        claimed = await room.claim_one()
        assert tuple(put) == claimed.message.content.attachments

    on(open_(tmp_path), before)
    on(open_(tmp_path), after)


_COMPLETE_FOREVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from spool.spool_room import a_numbered_message
from spool.test_spool_completing import *

async def forever(life):
    room = Room(store=open_(Path(sys.argv[1])))
    number = 0
    while True:
        number += 1
        message = waiting_for_files(a_numbered_message(1_000_000 * life + number))
        await room.accept(message)
        print(f"stored {message.id}", flush=True)
        for claimed in await room.claim(limit=1):
            if claimed.message.content.remote_files:
                ref = room.put_blob(claimed.message.id.encode())
                await room.spool.complete(claimed.lease, [an_attachment(ref)])
                print(f"completed {claimed.message.id}", flush=True)

asyncio.run(forever(int(sys.argv[3])))
"""


@pytest.mark.slow
def test_a_kill_leaves_all_files_of_a_mail_or_none(tmp_path: Path) -> None:
    """After SIGKILL at any moment each mail waits for its files, or has them whole; what was told stays."""
    told: dict[str, str] = {}
    for life in range(4):
        arguments = [str(tmp_path), str(Path(__file__).parent.parent), str(life)]
        with subprocess.Popen(
            [sys.executable, "-c", _COMPLETE_FOREVER, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            heard = [process.stdout.readline() for _ in range(20 + 37 * life % 41)]
            process.kill()
            heard += process.stdout.readlines()
        for line in heard:
            if line.endswith("\n"):
                word, message_id = line.split()
                told[message_id] = word

        async def afterwards(room: Room) -> None:
            await room.spool.recover(now=NOW, wait=timedelta(0))
            for message_id, word in told.items():
                message = await room.spool.message(MessageId(message_id), tenant=DEFAULT_TENANT)
                assert message is not None
                content = message.content
                assert bool(content.remote_files) != bool(content.attachments)
                assert word == "stored" or content.attachments
                for attachment in content.attachments:
                    assert room.store.blobs.is_intact(DEFAULT_TENANT, attachment.blob)
                    assert len(message_id) == attachment.blob.size

        on(open_(tmp_path), afterwards)
        with database(tmp_path) as db:
            assert "ok" == db.pragma("integrity_check")
