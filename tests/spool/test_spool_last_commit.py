"""A database that is behind what was acknowledged is not opened as if nothing were missing."""

import shutil
from pathlib import Path

import pytest

from postroom.errors import StoreError
from postroom.spool.sqlite.last_commit import NAME
from postroom.spool.sqlite.opening import DATABASE
from spool.spool_room import Room, a_message, accepted
from spool.sqlite_room import filled, on, open_

LOG = f"{DATABASE}-wal"


def killed(data: Path, left: Path) -> None:
    """Leave in ``left`` what a kill leaves of a store with work in its write-ahead log."""

    async def scenario(room: Room) -> None:
        await room.accept()
        await room.settle((await room.claim_one()).lease, accepted())
        shutil.copytree(data, left, ignore=shutil.ignore_patterns("*-shm"))

    on(open_(data), scenario)


def test_a_removed_log_is_noticed_and_said(tmp_path: Path) -> None:
    """Without its log the store is refused, with the numbers that are missing and the way on."""
    data, left = tmp_path / "data", tmp_path / "left"
    filled(data, a_message(), a_message())
    killed(data, left)
    (left / LOG).rename(tmp_path / "aside")
    missing = r"3 commits behind .*missing: messages 3 to 3, attempts 1 to 1, events 3 to 4"
    for _ in range(2):
        with pytest.raises(StoreError, match=missing) as refused:
            open_(left)
    assert str(left / NAME) in str(refused.value)


def test_putting_the_log_back_loses_nothing(tmp_path: Path) -> None:
    """A log that was only moved aside is as good as never moved."""
    data, left = tmp_path / "data", tmp_path / "left"
    killed(data, left)
    (left / LOG).rename(tmp_path / "aside")
    with pytest.raises(StoreError):
        open_(left)
    for name in (LOG, f"{DATABASE}-shm"):
        (left / name).unlink(missing_ok=True)
    (tmp_path / "aside").rename(left / LOG)

    async def scenario(room: Room) -> None:
        assert {"accepted": 1} == dict((await room.spool.counts()).by_state)

    on(open_(left), scenario)


def test_a_person_may_go_on_without_what_is_lost(tmp_path: Path) -> None:
    """Removing the file is the word of a person; the next loss is noticed again."""
    data, left = tmp_path / "data", tmp_path / "left"
    killed(data, left)
    (left / LOG).unlink()
    (left / NAME).unlink()
    filled(left, a_message())
    killed(left, tmp_path / "again")
    (tmp_path / "again" / LOG).unlink()
    with pytest.raises(StoreError, match="behind what was last acknowledged"):
        open_(tmp_path / "again")


@pytest.mark.parametrize("text", [b"", b"commits=x", b"\xff\xfe"])
def test_a_file_that_says_nothing_stops_nobody(tmp_path: Path, text: bytes) -> None:
    """An empty or unreadable file is written anew."""
    filled(tmp_path, a_message())
    (tmp_path / NAME).write_bytes(text)
    filled(tmp_path, a_message())
    assert (tmp_path / NAME).read_text().startswith("commits=2 messages=2 attempts=0 events=2")


def test_an_orderly_end_leaves_nothing_to_lose(tmp_path: Path) -> None:
    """After a stop the log may go: everything is in the database."""
    filled(tmp_path, a_message())
    for name in (LOG, f"{DATABASE}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    filled(tmp_path, a_message())
