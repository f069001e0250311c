"""Files beside the database: the disk they lie on, blobs, backups."""

import asyncio
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from peers.manual import ManualClock
from postroom.errors import DiskFullError, InvariantError, StoreError
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.spool.disk import DiskWatch, file_system_of, refuse_unsafe_file_system
from postroom.spool.sqlite.opening import DATABASE
from spool.spool_room import (
    DAY,
    NOW,
    RETENTION,
    Room,
    a_message,
    accepted,
    an_attachment,
)
from spool.sqlite_room import SMALL, filled, on, open_


def test_a_full_disk_refuses_intake_and_still_stores_results(tmp_path: Path) -> None:
    """When SQLite finds no space the ballast is given up for the result; intake is refused."""

    async def scenario(room: Room) -> None:
        await room.accept()
        lease = (await room.claim_one()).lease
        writer = room.store.spool._writer  # type: ignore[attr-defined]  # white box
        db = writer._ledger.db
        db.pragma("max_page_count", db.pragma("page_count"))
        spent = writer._spend_ballast

        def spend_ballast() -> bool:
            db.pragma("max_page_count", 2**30)
            return bool(spent())

        writer._spend_ballast = spend_ballast
        big = replace(a_message(), tags=("x" * 100_000,))
        answers = await asyncio.gather(
            room.accept(big), room.settle(lease, accepted()), return_exceptions=True
        )
        assert isinstance(answers[0], DiskFullError)
        assert answers[1] is True
        assert not (tmp_path / "ballast").exists()

    settings = replace(SMALL, ballast=4096)
    store = open_(tmp_path, settings)
    assert 4096 == (tmp_path / "ballast").stat().st_size
    on(store, scenario)


def test_intake_stops_above_a_full_disk(tmp_path: Path) -> None:
    """Below the reserve messages and blobs are refused, results are not; it is by bytes, not by luck."""
    free = shutil.disk_usage(tmp_path).free

    async def scenario(room: Room) -> None:
        with pytest.raises(DiskFullError):
            await room.accept()
        with pytest.raises(DiskFullError):
            room.store.blobs.stage(DEFAULT_TENANT)
        assert [] == list(await room.claim())

    settings = replace(SMALL, reserve=2 * free, reserve_share=1.0, sending_reserve=0)
    on(open_(tmp_path, settings), scenario)


def test_sending_stops_before_results_could_not_be_stored(tmp_path: Path) -> None:
    """Below the second watermark nothing is claimed, and what is under way is settled; half of the first."""
    free = shutil.disk_usage(tmp_path).free

    async def low(room: Room) -> None:
        with pytest.raises(DiskFullError, match="sending is stopped"):
            await room.claim()

    async def between(room: Room) -> None:
        with pytest.raises(DiskFullError, match="intake is stopped"):
            await room.accept()
        (claimed,) = await room.claim()
        disk = room.store.spool._disk  # type: ignore[attr-defined]  # white box
        disk._sending_reserve = 4 * free
        with pytest.raises(DiskFullError):
            await room.claim()
        assert await room.settle(claimed.lease, accepted())

    filled(tmp_path, a_message())
    on(open_(tmp_path, replace(SMALL, reserve=4 * free, reserve_share=1.0)), low)
    on(open_(tmp_path, replace(SMALL, reserve=3 * free // 2, reserve_share=1.0)), between)


def test_admitted_bytes_count_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes on their way use up the room, the system is asked at most once a second."""
    looks: list[int] = []
    volume = os.statvfs(tmp_path)
    room = volume.f_frsize * volume.f_bavail

    def statvfs(_: object) -> os.statvfs_result:
        looks.append(1)
        return volume

    monkeypatch.setattr(os, "statvfs", statvfs)
    clock = ManualClock()
    watch = DiskWatch(tmp_path, replace(SMALL, reserve=room - 100, reserve_share=1.0), clock)
    watch.admit(60)
    with pytest.raises(DiskFullError):
        watch.admit(60)
    watch.stored(60)
    with pytest.raises(DiskFullError):
        watch.admit(60)
    clock.advance(1)
    watch.admit(60)
    assert 2 == len(looks)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path: Path, kind: str) -> None:
    """The innermost mount decides; local ones are taken."""
    mounts = tmp_path / "mountinfo"
    spool = tmp_path / "a b"
    spool.mkdir()
    escaped = str(spool).replace(" ", "\\040")
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {escaped} rw,noatime shared:1 - {kind} server:/x rw\n"
    )
    assert "ext4" == file_system_of(tmp_path, mounts=mounts)
    refuse_unsafe_file_system(tmp_path, mounts=mounts)
    with pytest.raises(StoreError, match=kind):
        refuse_unsafe_file_system(spool / "data", mounts=mounts)


# --------------------------------------------------------------------------- blobs, backup


def test_equal_content_is_one_file(tmp_path: Path) -> None:
    """Stored once per tenant; a file used again is young again; nothing is left in incoming."""

    async def scenario(room: Room) -> None:
        ref = room.put_blob(b"content")
        place = tmp_path / "blobs" / "default" / ref.sha256[:2] / ref.sha256
        os.utime(place, (0, 0))
        assert ref == room.put_blob(b"content")
        assert ref == room.put_blob(b"content", TenantId("other"))
        assert place.stat().st_mtime > 0
        assert 2 == len(list((tmp_path / "blobs").rglob(ref.sha256)))
        assert [] == list((tmp_path / "incoming").iterdir())

    on(open_(tmp_path), scenario)


def test_a_damaged_blob_is_noticed(tmp_path: Path) -> None:
    """A flipped bit or a missing file is not intact."""

    async def scenario(room: Room) -> None:
        ref = room.put_blob(b"content")
        place = room.store.blobs.path(DEFAULT_TENANT, ref.sha256)  # type: ignore[attr-defined]  # white box
        place.write_bytes(b"Content")
        assert not room.store.blobs.is_intact(DEFAULT_TENANT, ref)
        place.unlink()
        assert not room.store.blobs.is_intact(DEFAULT_TENANT, ref)

    on(open_(tmp_path), scenario)


@pytest.mark.parametrize("tenant", ["..", "a/b", "", ".hidden"])
def test_a_tenant_cannot_lead_out_of_the_directory(tmp_path: Path, tenant: str) -> None:
    """Names that are no plain directory names are a bug of ours."""

    async def scenario(room: Room) -> None:
        with pytest.raises(InvariantError):
            room.store.blobs.stage(TenantId(tenant))

    on(open_(tmp_path), scenario)


def test_blobs_nobody_names_are_swept_after_a_day(tmp_path: Path) -> None:
    """Named and young files stay, old unnamed ones go; purging a message's content frees its files."""

    async def scenario(room: Room) -> None:
        named, orphan, young = (room.put_blob(content) for content in (b"named", b"orphan", b"young"))
        message = a_message(attachments=(an_attachment(named),))
        await room.accept(message)
        blobs = room.store.blobs
        for ref in (named, orphan):
            place = blobs.path(DEFAULT_TENANT, ref.sha256)  # type: ignore[attr-defined]  # white box
            os.utime(place, (0, (NOW - 2 * DAY).timestamp()))
        os.utime(blobs.path(DEFAULT_TENANT, young.sha256), (0, NOW.timestamp()))  # type: ignore[attr-defined]  # white box
        await room.spool.purge(now=NOW, retention=RETENTION, limit=10)
        assert [True, False, True] == [blobs.is_intact(DEFAULT_TENANT, ref) for ref in (named, orphan, young)]
        await room.spool.cancel(message.id, tenant=DEFAULT_TENANT, now=NOW)
        await room.spool.purge(now=NOW + 31 * DAY, retention=RETENTION, limit=10)
        assert not blobs.is_intact(DEFAULT_TENANT, named)

    on(open_(tmp_path), scenario)


def test_a_blob_used_again_while_it_is_swept_stays(tmp_path: Path) -> None:
    """The sweep looks at the age once more after it has set the file aside."""

    async def scenario(room: Room) -> None:
        ref = room.put_blob(b"content")
        blobs = room.store.blobs
        assert not blobs.sweep(DEFAULT_TENANT, ref.sha256, limit_s=0.0)  # type: ignore[attr-defined]  # white box
        assert blobs.is_intact(DEFAULT_TENANT, ref)
        assert blobs.sweep(DEFAULT_TENANT, ref.sha256, limit_s=2.0**40)  # type: ignore[attr-defined]  # white box
        assert not blobs.is_intact(DEFAULT_TENANT, ref)

    on(open_(tmp_path), scenario)


def test_a_backup_is_a_whole_store(tmp_path: Path) -> None:
    """An online copy opens like the original; an existing file is never overwritten."""
    message = a_message()
    target = tmp_path / "backup.sqlite"

    async def scenario(room: Room) -> None:
        await room.accept(message)
        await room.spool.backup(target)
        await room.accept()
        with pytest.raises(StoreError, match="backup"):
            await room.spool.backup(target)

    on(open_(tmp_path / "data"), scenario)
    assert 0o600 == stat.S_IMODE(target.stat().st_mode)
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(target, restored / DATABASE)

    async def afterwards(room: Room) -> None:
        assert [message] == [claimed.message for claimed in await room.claim()]

    on(open_(restored), afterwards)


def test_purging_gives_pages_back(tmp_path: Path) -> None:
    """The database file becomes smaller when old messages go."""

    async def scenario(room: Room) -> None:
        for _ in range(50):
            message = replace(a_message(), tags=("x" * 10_000,))
            await room.accept(message)
            await room.spool.cancel(message.id, tenant=DEFAULT_TENANT, now=NOW)
        db = room.store.spool._writer._ledger.db  # type: ignore[attr-defined]  # white box
        before = int(str(db.pragma("page_count")))
        assert 100 == await room.spool.purge(now=NOW + 400 * DAY, retention=RETENTION, limit=100)
        assert before / 2 > int(str(db.pragma("page_count")))

    on(open_(tmp_path), scenario)
