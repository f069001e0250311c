"""What a store says about itself: true figures, found in few steps."""

from dataclasses import replace
from pathlib import Path

from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.spool.settings import SpoolSettings
from spool.spool_room import HOUR, MINUTE, NOW, Room, a_message, uncertain
from spool.sqlite_room import SMALL, on, open_


def test_the_longest_due_is_told_by_class(tmp_path: Path) -> None:
    """Of each class the first due time counts; what is under a lease or finished does not wait."""
    store = open_(tmp_path / "data")

    async def scenario(room: Room) -> None:
        assert {} == (await store.gauge.reading()).oldest_due_at
        await room.accept(a_message(mail_class=MailClass.CODE, send_at=NOW + HOUR))
        await room.accept(a_message(mail_class=MailClass.BULK, at=NOW))
        await room.accept(
            a_message(mail_class=MailClass.BULK, at=NOW - MINUTE, send_at=NOW - MINUTE), transport="b"
        )
        assert {1: NOW + HOUR, 4: NOW - MINUTE} == (await store.gauge.reading()).oldest_due_at
        await room.claim(transport="b")
        reading = await store.gauge.reading()
        assert {1: NOW + HOUR, 4: NOW} == reading.oldest_due_at
        assert {RecipientState.QUEUED: 2, RecipientState.SENDING: 1} == reading.counts

    on(store, scenario)


def test_the_oldest_uncertain_is_told(tmp_path: Path) -> None:
    """The age of what nobody knows is that of the first message accepted, and nothing when all is known."""
    store = open_(tmp_path / "data")

    async def scenario(room: Room) -> None:
        assert (await store.gauge.reading()).uncertain_since is None
        for at in (NOW - HOUR, NOW - MINUTE):
            await room.accept(a_message(at=at))
        for claimed in await room.claim():
            await room.commit(claimed.lease)
            await room.settle(claimed.lease, uncertain())
        reading = await store.gauge.reading()
        assert NOW - HOUR == reading.uncertain_since
        assert 2 == reading.counts[RecipientState.UNCERTAIN]

    on(store, scenario)


def test_disk_and_log_are_measured(tmp_path: Path) -> None:
    """The free space is the system's, the write-ahead log grows with commits, nothing waits in between."""
    store = open_(tmp_path / "data")

    async def scenario(room: Room) -> None:
        await room.accept()
        reading = await store.gauge.reading()
        assert reading.disk_free > 0
        assert reading.disk_reserve == 0
        assert not reading.is_intake_stopped
        assert reading.wal_bytes > 0
        assert 0 == reading.waiting_operations

    on(store, scenario)


def test_a_disk_below_its_reserve_stops_intake(tmp_path: Path) -> None:
    """The reading says that intake is stopped when it is."""
    settings: SpoolSettings = replace(SMALL, reserve=1 << 60, reserve_share=1.0)
    store = open_(tmp_path / "data", settings)

    async def scenario(_room: Room) -> None:
        reading = await store.gauge.reading()
        assert reading.is_intake_stopped
        assert reading.disk_reserve > reading.disk_free

    on(store, scenario)
