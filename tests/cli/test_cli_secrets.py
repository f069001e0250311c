"""``postroom secrets`` on real data directories: what it names, what it changes, how it exits."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.scripted_answers import Run
from postroom.model.secret import Secret
from postroom.spool.sealing import key_id
from postroom.spool.secret_key import FILE_NAME, read_key_file, write_key_file
from spool.sqlite_room import open_
from spool.test_spool_hooks import a_hook
from spool.test_spool_transports import PASSWORD, TOKEN, a_record

OLD = b"\x01" * 32


def a_store(data: Path) -> None:
    async def fill() -> None:
        store = open_(data)
        await store.transports.put(a_record())
        await store.hooks.add(a_hook(secrets=(Secret("whsec_Yg=="),)))
        await store.close()

    data.mkdir(mode=0o700)
    write_key_file(data / FILE_NAME, [OLD])
    asyncio.run(fill())


def test_check_says_that_all_is_well(postroom: Run, tmp_path: Path) -> None:
    """Keys by id, how many can be opened, exit code 0; no secret, no key."""
    a_store(tmp_path / "data")
    code, out, err = postroom("secrets", "check", "--data", "data")
    assert (0, "") == (code, err)
    assert f"keys: {key_id(OLD)}\n2 of 2 can be opened\n" == out
    code, out, _ = postroom("secrets", "check", "--data", "data", "--json")
    told = json.loads(out)
    assert (0, True, [key_id(OLD)]) == (code, told["ok"], told["keys"])
    assert [("transport", "main", ""), ("webhook", "hook1", "")] == [
        (one["kind"], one["name"], one["problem"]) for one in told["secrets"]
    ]


def test_check_names_what_cannot_be_opened(postroom: Run, tmp_path: Path) -> None:
    """Each with its cause, exit code 1."""
    a_store(tmp_path / "data")
    (tmp_path / "data" / FILE_NAME).unlink()
    code, out, _ = postroom("secrets", "check", "--data", "data")
    assert 1 == code
    assert [
        "keys: none",
        "cannot be opened: transport main: secret-key-missing",
        "cannot be opened: webhook hook1: secret-key-missing",
        "0 of 2 can be opened",
    ] == out.splitlines()


def test_rotate_makes_a_new_key(postroom: Run, tmp_path: Path) -> None:
    """The answer names the key and its file; afterwards all can be opened."""
    a_store(tmp_path / "data")
    code, out, err = postroom("secrets", "rotate", "--data", "data")
    (new,) = read_key_file(tmp_path / "data" / FILE_NAME)
    assert (0, "") == (code, err)
    assert out.startswith(f"2 sealed with the new key {key_id(new)}")
    assert OLD != new
    for secret in (PASSWORD, TOKEN):
        assert secret.reveal() not in out
    code, out, _ = postroom("secrets", "check", "--data", "data", "--json")
    assert (0, [key_id(new)]) == (code, json.loads(out)["keys"])


def test_rotate_into_a_file_says_what_to_set(postroom: Run, tmp_path: Path) -> None:
    """The next start needs the setting."""
    a_store(tmp_path / "data")
    code, out, _ = postroom("secrets", "rotate", "--data", "data", "--new-key-file", "new.key")
    assert 0 == code
    assert "set POSTROOM_SECRET_KEY_FILE to that file" in out
    (new,) = read_key_file(tmp_path / "new.key")
    code, out, _ = postroom("secrets", "rotate", "--data", "data", "--new-key-file", "new.key", "--json")
    told = json.loads(out)
    # Without the setting the new key is not there; the file given again has it.
    assert (0, key_id(new), 2, []) == (code, told["key"], told["sealed"], told["left"])


def test_rotate_beside_a_server_is_refused(postroom: Run, tmp_path: Path) -> None:
    """One process at a time; nothing is changed."""
    a_store(tmp_path / "data")
    store = open_(tmp_path / "data")
    try:
        code, _, err = postroom("secrets", "rotate", "--data", "data")
    finally:
        asyncio.run(store.close())
    assert 1 == code
    assert "in use by another postroom" in err
    assert (OLD,) == read_key_file(tmp_path / "data" / FILE_NAME)


@pytest.mark.parametrize("verb", ["check", "rotate"])
def test_an_unsafe_key_is_refused_with_the_fix(verb: str, postroom: Run, tmp_path: Path) -> None:
    """The command to run is in the text."""
    a_store(tmp_path / "data")
    (tmp_path / "data" / FILE_NAME).chmod(0o644)
    code, _, err = postroom("secrets", verb, "--data", "data")
    assert 1 == code
    assert "chmod 600" in err


def test_a_row_that_cannot_be_opened_stops_a_rotation(postroom: Run, tmp_path: Path) -> None:
    """It is named; with ``--leave-unreadable`` a new key is made and the row is left."""
    a_store(tmp_path / "data")
    write_key_file(tmp_path / "data" / FILE_NAME, [b"\x03" * 32])
    code, _, err = postroom("secrets", "rotate", "--data", "data")
    assert 1 == code
    assert "main (stored_transport: secret-key-missing)" in err
    code, out, _ = postroom("secrets", "rotate", "--data", "data", "--leave-unreadable")
    assert 0 == code
    assert "cannot be opened: transport main: secret-key-missing" in out
