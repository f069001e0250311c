"""A new key for everything: killed at any step, every secret opens; afterwards the old key opens none."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peers.manual import CountingDice
from postroom.errors import SecretKeyError, StoreError
from postroom.model.secret import Secret
from postroom.spool import rotation, secret_key
from postroom.spool.rotation import Rotation, rotate
from postroom.spool.sealing import key_id
from postroom.spool.secret_key import FILE_NAME, read_key_file, write_key_file
from postroom.spool.sqlite.opening import DATABASE, SqliteStore, look_at_secrets
from postroom.spool.vault import Vault
from spool.sqlite_room import SMALL, database, open_
from spool.test_spool_hooks import a_hook
from spool.test_spool_transports import a_record

OLD, OTHER = b"\x01" * 32, b"\x02" * 32
HEX = Secret(OTHER.hex())
RECORDS = [a_record(), a_record("spare", secrets={"password": Secret("pass")}), a_record("open", secrets={})]
HOOKS = [a_hook("a"), a_hook("b", secrets=(Secret("whsec_Yg=="),))]


def with_store(
    data: Path, scenario: Callable[[SqliteStore], Awaitable[None]], given: Secret | None = None
) -> None:
    async def run() -> None:
        store = open_(data, replace(SMALL, secret_key=given))
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(run())


def a_store(data: Path, *, given: Secret | None = None) -> None:
    """Leave a stopped store with secrets of each kind."""

    async def scenario(store: SqliteStore) -> None:
        for record in RECORDS:
            await store.transports.put(record)
        for hook in HOOKS:
            await store.hooks.add(hook)

    data.mkdir(mode=0o700, exist_ok=True)
    if given is None:
        write_key_file(data / FILE_NAME, [OLD])
    with_store(data, scenario, given)


def rotated(data: Path, *, given: Secret | None = None, **options: Any) -> Rotation:
    answers: list[Rotation] = []

    async def scenario(store: SqliteStore) -> None:
        wish = {"new_key_file": None, "leave_unreadable": False, "dice": CountingDice(), **options}
        answers.append(await rotate(store.secrets, data, given=given, **wish))

    with_store(data, scenario, given)
    return answers[0]


def assert_readable(data: Path, given: Secret | None = None) -> None:
    """Every secret is there as it was."""

    async def scenario(store: SqliteStore) -> None:
        assert sorted(RECORDS, key=lambda record: record.name) == list(await store.transports.all())
        assert HOOKS == list(await store.hooks.all())

    with_store(data, scenario, given)


def key_ids(data: Path, given: Secret | None = None) -> set[str]:
    _, rows = look_at_secrets(data, replace(SMALL, secret_key=given))
    return {id_ for row in rows for id_ in row.key_ids}


def test_everything_is_sealed_with_the_new_key_alone(tmp_path: Path) -> None:
    """The file has one new key, every row is sealed with it, the old one opens nothing, also on the disk."""
    a_store(tmp_path)
    before = {row.row for row in look_at_secrets(tmp_path, SMALL)[1]}
    assert {key_id(OLD)} == key_ids(tmp_path)
    done = rotated(tmp_path)
    assert ({"main", "spare", "a", "b"}, before) == ({row.row for row in done.rows}, before)
    (new,) = read_key_file(tmp_path / FILE_NAME)
    assert done.key_id == key_id(new) != key_id(OLD)
    assert {done.key_id} == key_ids(tmp_path)
    assert_readable(tmp_path)
    raw = b"".join(
        (tmp_path / name).read_bytes() for name in (DATABASE, f"{DATABASE}-wal") if (tmp_path / name).exists()
    )
    assert key_id(OLD).encode() not in raw
    assert done.key_id.encode() in raw


def test_a_rotation_killed_at_any_step_leaves_everything_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill leaves at each write to key file and database opens, and can be rotated again."""
    data, left = tmp_path / "data", tmp_path / "left"
    a_store(data)
    left.mkdir()

    def snapshot(*_: object) -> bool:
        # By another program: closing the database's file here would end SQLite's locks.
        subprocess.run(["cp", "-r", data, left / f"{len(list(left.iterdir())):02}"], check=True)
        return False

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def run(*args: Any, **options: Any) -> Any:
            snapshot()
            answer = real(*args, **options)
            snapshot()
            return answer

        monkeypatch.setattr(owner, name, run)

    watch(os, "fsync")
    watch(secret_key, "sync_directory")
    watch(rotation, "write_key_file")
    watch(Vault, "seal")

    async def scenario(store: SqliteStore) -> None:
        store._writer._ledger.db.set_commit_hook(snapshot)
        await rotate(
            store.secrets, data, given=None, new_key_file=None, leave_unreadable=False, dice=CountingDice()
        )
        snapshot()

    with_store(data, scenario)
    monkeypatch.undo()
    states = set()
    for copy in sorted(left.iterdir()):
        states.add((len(read_key_file(copy / FILE_NAME)), frozenset(key_ids(copy)) == {key_id(OLD)}))
        assert_readable(copy)
    # Old alone, both before the commit, both after it, new alone.
    assert {(1, True), (2, True), (2, False), (1, False)} == states
    for copy in sorted(left.iterdir())[::5]:
        rotated(copy)
        assert 1 == len(read_key_file(copy / FILE_NAME))
        assert_readable(copy)


def test_a_row_that_cannot_be_opened_stops_it(tmp_path: Path) -> None:
    """Nothing is changed, the file has the old key again, and the row is named."""
    a_store(tmp_path)
    with database(tmp_path) as db:
        db.execute("UPDATE hook SET secrets = replace(secrets, 'v1.', 'v2.') WHERE id = 'a'")
    with pytest.raises(SecretKeyError, match=r"a \(hook: secret-key-wrong\)"):
        rotated(tmp_path)
    assert (OLD,) == read_key_file(tmp_path / FILE_NAME)
    assert {key_id(OLD), ""} == key_ids(tmp_path)
    done = rotated(tmp_path, leave_unreadable=True)
    assert ["a"] == [row.row for row in done.rows if row.problem]
    assert {done.key_id, ""} == key_ids(tmp_path)


def test_a_lost_key_is_given_up_only_when_asked(tmp_path: Path) -> None:
    """Without the file there is nothing to rotate; asked to, a new key is made, and secrets can be stored."""
    a_store(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(StoreError, match=r"no key .*secret\.key"):
        rotated(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()
    done = rotated(tmp_path, leave_unreadable=True)
    assert {"secret-key-missing"} == {row.problem for row in done.rows}

    async def scenario(store: SqliteStore) -> None:
        await store.transports.put(a_record())
        assert ["", "", "secret-key-missing"] == [one.problem for one in await store.transports.all()]

    with_store(tmp_path, scenario)


def test_a_key_of_the_settings_is_replaced_by_a_file(tmp_path: Path) -> None:
    """The new file's key seals; it is made where it is not there; without a file nothing is done."""
    data, new = tmp_path / "data", tmp_path / "new.key"
    a_store(data, given=HEX)
    with pytest.raises(StoreError, match="given by the settings"):
        rotated(data, given=HEX)
    assert {key_id(OTHER)} == key_ids(data, HEX)
    done = rotated(data, given=HEX, new_key_file=new)
    (made,) = read_key_file(new)
    assert (key_id(made), new) == (done.key_id, done.key_file)
    assert not (data / FILE_NAME).exists()
    assert_readable(data, Secret(new.read_text()))
    again = rotated(data, given=Secret(new.read_text()), new_key_file=new)
    assert done.key_id == again.key_id
    assert_readable(data, Secret(new.read_text()))


def test_a_key_moves_from_the_file_to_the_settings(tmp_path: Path) -> None:
    """With a new file and no key of the settings the data directory's own opens for the last time."""
    data, new = tmp_path / "data", tmp_path / "new.key"
    a_store(data)
    write_key_file(new, [OTHER])
    assert key_id(OTHER) == rotated(data, new_key_file=new).key_id
    (data / FILE_NAME).unlink()
    assert_readable(data, HEX)


def test_the_look_needs_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    """It runs beside a server, names keys and rows, and refuses a store of an earlier program."""
    a_store(tmp_path)

    async def scenario(_: SqliteStore) -> None:
        keys, rows = look_at_secrets(tmp_path, SMALL)
        assert (key_id(OLD),) == keys
        assert [
            ("stored_transport", "main"),
            ("stored_transport", "spare"),
            ("hook", "a"),
            ("hook", "b"),
        ] == [(row.table, row.row) for row in rows]
        assert all(row.key_ids == keys and not row.problem for row in rows)

    with_store(tmp_path, scenario)
    with pytest.raises(StoreError, match="no store"):
        look_at_secrets(tmp_path / "nowhere", SMALL)
    with database(tmp_path) as db:
        db.pragma("user_version", 3)
    with pytest.raises(StoreError, match="earlier program"):
        look_at_secrets(tmp_path, SMALL)
