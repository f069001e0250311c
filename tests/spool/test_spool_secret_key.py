"""The file of the keys: private, whole, made at first need, and refused with the fix where it is not."""

import asyncio
import os
import stat
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.manual import CountingDice, ManualClock
from postroom.errors import StoreError
from postroom.model.secret import Secret
from postroom.spool.sealing import key_id
from postroom.spool.secret_key import (
    FILE_NAME,
    _check_privacy,
    make_keys,
    parse_keys,
    read_keys,
    write_key_file,
)
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite
from spool.spool_room import Room
from spool.sqlite_room import SMALL, on, open_
from spool.test_spool_transports import a_record

ONE, TWO, THREE = bytes(32), bytes(range(32)), b"\xff" * 32


def b64(key: bytes) -> str:
    return b64encode(key).decode()


def a_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / FILE_NAME
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"{b64(TWO)}\n{b64(ONE)}\n",
        f"{TWO.hex()},{ONE.hex()}",
        f"  {TWO.hex().upper()}\r\n\r\n\t{b64(ONE)}  ",
        f"{b64(TWO)}, {b64(ONE)}",
    ],
)
def test_keys_are_read_in_either_form(text: str) -> None:
    """Base64 or hex, the current one first, parted by lines, blanks or commas."""
    assert (TWO, ONE) == parse_keys(text, source="it")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n,",
        "password",
        b64(TWO)[:-1],
        b64(TWO) + "=",
        TWO.hex()[:-2],
        TWO.hex() + "00",
        b64(TWO[:16]),
        b64(TWO) + " x",
        "é" * 64,
        "g" * 64,
        "\x00" * 64,
    ],
)
def test_malformed_keys_are_refused_without_showing_them(text: str, tmp_path: Path) -> None:
    """The error names the source and how to make a key, never what was found."""
    path = a_file(tmp_path, text)
    with pytest.raises(StoreError) as caught:
        read_keys(tmp_path, None)
    assert str(path) in str(caught.value)
    assert "openssl rand -base64 32" in str(caught.value)
    assert not text.strip(" \n,") or text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644, 0o620, 0o601])
def test_a_file_that_others_may_use_is_refused_with_the_fix(mode: int, tmp_path: Path) -> None:
    """Reading, writing and executing by group or others each refuse it."""
    path = a_file(tmp_path, b64(ONE), mode)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        read_keys(tmp_path, None)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(mode: int, tmp_path: Path) -> None:
    """Read-only is private too."""
    a_file(tmp_path, b64(ONE), mode)
    keys = read_keys(tmp_path, None)
    assert keys is not None
    assert (key_id(ONE),) == keys.ids


@pytest.mark.parametrize(
    ("owner", "is_refused"), [(os.geteuid(), False), (0, False), (os.geteuid() + 1, True)]
)
def test_a_file_of_another_user_is_refused(owner: int, *, is_refused: bool, tmp_path: Path) -> None:
    """Whoever owns the file can change it; only this user and root may."""
    path = a_file(tmp_path, b64(ONE))
    found = list(path.stat())
    found[stat.ST_UID] = owner
    if is_refused:
        with pytest.raises(StoreError, match=rf"id {owner}\): run `chown {os.geteuid()} {path}`"):
            _check_privacy(path, os.stat_result(found))
    else:
        _check_privacy(path, os.stat_result(found))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_under_the_name_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Only a regular file is read; nothing hangs."""
    make(tmp_path / FILE_NAME)
    with pytest.raises(StoreError, match=FILE_NAME):
        read_keys(tmp_path, None)


def test_the_key_of_the_settings_comes_first(tmp_path: Path) -> None:
    """It seals; the file's keys open what was sealed before."""
    a_file(tmp_path, f"{b64(ONE)}\n{b64(THREE)}")
    keys = read_keys(tmp_path, Secret(b64(TWO)))
    assert keys is not None
    assert tuple(map(key_id, (TWO, ONE, THREE))) == keys.ids
    with pytest.raises(StoreError, match="the secret key of the settings"):
        read_keys(tmp_path, Secret("hunter2"))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_file_is_made_private_and_whole(umask: int, tmp_path: Path) -> None:
    """It has one key of the dice and is 0600 whatever the umask; one that is there by now is taken."""
    earlier = os.umask(umask)
    try:
        made = make_keys(tmp_path, dice=CountingDice())
    finally:
        os.umask(earlier)
    path = tmp_path / FILE_NAME
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [FILE_NAME] == [file.name for file in tmp_path.iterdir()]
    again = read_keys(tmp_path, None)
    assert again is not None
    assert made.ids == again.ids == make_keys(tmp_path, dice=CountingDice()).ids


def test_a_left_over_of_a_kill_is_no_trouble(tmp_path: Path) -> None:
    """A file that was never renamed is replaced."""
    (tmp_path / f"{FILE_NAME}.new").write_text("half")
    write_key_file(tmp_path / FILE_NAME, [ONE])
    assert [FILE_NAME] == [file.name for file in tmp_path.iterdir()]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The key may lie on another volume: the file there is replaced, not the link."""
    (tmp_path / "away").mkdir()
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "away" / "key")
    write_key_file(tmp_path / FILE_NAME, [ONE])
    assert (tmp_path / FILE_NAME).is_symlink()
    assert 0o600 == stat.S_IMODE((tmp_path / "away" / "key").stat().st_mode)


def test_a_store_without_secrets_has_no_key(tmp_path: Path) -> None:
    """The file comes with the first secret, not before, and stays."""

    async def scenario(room: Room) -> None:
        records = room.store.transports  # type: ignore[attr-defined]  # every open store has them
        await records.put(a_record(secrets={}))
        assert not (tmp_path / FILE_NAME).exists()
        await records.put(a_record())
        first = (tmp_path / FILE_NAME).read_bytes()
        await records.put(a_record("other"))
        assert first == (tmp_path / FILE_NAME).read_bytes()

    on(open_(tmp_path), scenario)


def test_a_key_of_the_settings_needs_no_file(tmp_path: Path) -> None:
    """Nothing is written into the data directory then."""
    given = SpoolSettings(reserve=0, ballast=0, secret_key=Secret(b64(ONE)))

    async def scenario(room: Room) -> None:
        records = room.store.transports  # type: ignore[attr-defined]  # as above
        await records.put(a_record())
        assert [a_record()] == list(await records.all())
        assert not (tmp_path / FILE_NAME).exists()

    on(open_(tmp_path, given), scenario)


def test_a_key_that_cannot_be_made_refuses_the_secret_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space or no right to write: nothing is stored, and the store goes on."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def scenario(room: Room) -> None:
        records = room.store.transports  # type: ignore[attr-defined]  # as above
        with monkeypatch.context() as patch:
            patch.setattr("postroom.spool.secret_key.os.fsync", full)
            with pytest.raises(StoreError, match=r"secret\.key cannot be written: No space left"):
                await records.put(a_record())
        assert [] == list(await records.all())
        await room.accept()
        await records.put(a_record())
        assert [a_record()] == list(await records.all())

    on(open_(tmp_path), scenario)


def test_a_store_with_an_unsafe_key_is_not_opened(tmp_path: Path) -> None:
    """The start is refused with the fix, and the lock given back."""
    path = a_file(tmp_path, b64(ONE), 0o644)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        open_(tmp_path)
    path.chmod(0o600)
    asyncio.run(open_sqlite(tmp_path, settings=SMALL, clock=ManualClock()).close())
