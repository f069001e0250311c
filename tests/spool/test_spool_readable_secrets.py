"""Webhook secrets an earlier program stored readable: sealed at the first start, and gone from the disk."""

import json
import shutil
import subprocess
from pathlib import Path

import apsw
import pytest

from postroom.errors import StoreError
from postroom.model.event import EventKind
from postroom.model.hook import Hook
from postroom.model.secret import Secret
from postroom.ports import Hooks
from postroom.spool.sealing import KEY_BYTES
from postroom.spool.secret_key import FILE_NAME, write_key_file
from postroom.spool.sqlite.migrations import migrate, migrations
from postroom.spool.sqlite.opening import DATABASE
from spool.spool_room import DAY, HOUR, NOW, Room
from spool.sqlite_room import database, on, open_
from spool.test_spool_hooks import a_hook

KEPT = Path(__file__).parent / "kept" / "schema-3.sqlite"
MARK = b"whsec_"
"""How every readable secret begins."""


def hooks_of(room: Room) -> Hooks:
    hooks: Hooks = room.store.hooks  # type: ignore[attr-defined]  # every open store has them
    return hooks


def bytes_of(data: Path, copy: Path) -> bytes:
    """Return what a thief finds; of a copy, because closing the files here would end SQLite's locks."""
    subprocess.run(["cp", "-r", str(data), str(copy)], check=True)
    return b"".join(path.read_bytes() for path in sorted(copy.rglob("*")) if path.is_file())


def an_earlier_store(data: Path, *secrets: str) -> apsw.Connection:
    """Return the connection of a program of schema 3 that has an endpoint and did not end yet."""
    data.mkdir(mode=0o700)
    db = apsw.Connection(str(data / DATABASE))
    db.pragma("auto_vacuum", 2)
    db.pragma("journal_mode", "wal")
    migrate(db, migrations()[:3], now=1)
    insert = "INSERT INTO hook VALUES (?, 'default', 'https://h.example.org', '[]', ?, 1, NULL, NULL, '', 0)"
    for number in range(50):
        db.execute(insert, (f"gone{number}", json.dumps([secret * 40 for secret in secrets])))
    db.execute("DELETE FROM hook")
    db.execute(insert, ("hook1", json.dumps(secrets)))
    return db


def test_the_endpoints_of_a_kept_store_are_told_on(tmp_path: Path) -> None:
    """Every field comes through, in order, with its secrets; what is due still is, and is signed."""
    shutil.copy(KEPT, tmp_path / DATABASE)

    async def scenario(room: Room) -> None:
        hooks = hooks_of(room)
        one, two, off = await hooks.all()
        assert ["hook_one", "hook_two", "hook_off"] == [one.id, two.id, off.id]
        assert [2, 1, 1] == [len(hook.secrets) for hook in (one, two, off)]
        assert all(
            secret.reveal().startswith("whsec_") for hook in (one, two, off) for secret in hook.secrets
        )
        assert one.secrets[0] != one.secrets[1]
        assert (NOW + DAY, (), "") == (one.old_secrets_until, one.kinds, one.problem)
        assert ((EventKind.TRANSPORT_OPENED,), "by ann") == (two.kinds, off.disabled_why)
        due = [(hook.id, delivery.event) for hook, delivery, _ in await hooks.due(now=NOW + HOUR, limit=9)]
        assert [("hook_one", one.told_up_to), ("hook_two", two.told_up_to)] == due

    on(open_(tmp_path), scenario)
    on(open_(tmp_path), scenario)


def test_nothing_readable_is_left_on_the_disk(tmp_path: Path) -> None:
    """Neither rows nor free space nor the log holds a secret after the start, and none is written again."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(KEPT, data / DATABASE)
    assert 50 < KEPT.read_bytes().count(MARK)

    async def scenario(room: Room) -> None:
        assert MARK not in bytes_of(data, tmp_path / "running")
        new = a_hook("hook_new", secrets=(Secret("whsec_bmV3IG9uZQ=="),))
        await hooks_of(room).add(new)
        assert new in await hooks_of(room).all()
        assert MARK not in bytes_of(data, tmp_path / "later")

    on(open_(data), scenario)
    assert MARK not in bytes_of(data, tmp_path / "after")
    with database(data) as db:
        assert not db.table_exists("main", "hook_readable")
        assert "ok" == db.pragma("integrity_check")


def test_what_a_kill_left_in_the_log_is_gone_too(tmp_path: Path) -> None:
    """An earlier program that was killed leaves secrets in its write-ahead log: it is emptied."""
    running = tmp_path / "running"
    db = an_earlier_store(running, "whsec_b25l", "whsec_dHdv")
    left = bytes_of(running, tmp_path / "data")
    db.close()
    assert MARK in left
    (tmp_path / "data").chmod(0o700)

    async def scenario(room: Room) -> None:
        (hook,) = await hooks_of(room).all()
        assert (Secret("whsec_b25l"), Secret("whsec_dHdv")) == hook.secrets
        assert MARK not in bytes_of(tmp_path / "data", tmp_path / "after")

    on(open_(tmp_path / "data"), scenario)


class Killed(BaseException):
    """The process ends here."""


def kill(*_: object, **__: object) -> bool:
    raise Killed


@pytest.mark.parametrize(
    "place", ["postroom.spool.sqlite.hooks.insert_hook", "postroom.spool.sqlite.sealed._is_swept"]
)
def test_a_kill_at_any_step_is_made_good_by_the_next_start(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit all is as it was, after it only the sweeping is left; both are done again."""
    data = tmp_path / "data"
    an_earlier_store(data, "whsec_b25l").close()
    with monkeypatch.context() as patch:
        patch.setattr(place, kill)
        with pytest.raises(Killed):
            open_(data)
    with database(data) as db:
        assert db.table_exists("main", "hook_readable")

    async def scenario(room: Room) -> None:
        assert [(Secret("whsec_b25l"),)] == [hook.secrets for hook in await hooks_of(room).all()]

    on(open_(data), scenario)
    assert MARK not in bytes_of(data, tmp_path / "after")


def test_without_a_place_for_the_key_the_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that cannot take the key leaves the secrets readable and the store closed."""
    data = tmp_path / "data"
    an_earlier_store(data, "whsec_b25l").close()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("postroom.spool.secret_key.sync_directory", full)
        with pytest.raises(StoreError, match=r"secret\.key cannot be written"):
            open_(data)

    async def scenario(room: Room) -> None:
        assert [""] == [hook.problem for hook in await hooks_of(room).all()]

    on(open_(data), scenario)


# --------------------------------------------------------------------------- secrets that cannot be opened


async def told(room: Room, hook: Hook) -> list[Hook]:
    await hooks_of(room).add(hook)
    await room.accept()
    await hooks_of(room).spread(now=NOW, limit=100)
    return list(await hooks_of(room).all())


def test_an_endpoint_whose_secrets_cannot_be_opened_is_told_of_nothing(tmp_path: Path) -> None:
    """It has no secret to sign with and says why; nothing is due, its mark stands, others go on."""
    good = a_hook("zgood", secrets=(Secret("whsec_Z29vZA=="),))

    async def before(room: Room) -> None:
        await told(room, a_hook("hook1"))

    async def without(room: Room) -> None:
        hooks = hooks_of(room)
        before, _ = await told(room, good)
        assert ((), "secret-key-missing") == (before.secrets, before.problem)
        assert {"zgood"} == {hook.id for hook, _, _ in await hooks.due(now=NOW + HOUR, limit=100)}
        assert [] == list(await hooks.due(now=NOW + HOUR, limit=100, hook_id="hook1"))
        assert await hooks.next_due_at("hook1") is None
        now, _ = await hooks.all()
        assert before == now

    async def afterwards(room: Room) -> None:
        hooks = hooks_of(room)
        assert [a_hook().secrets, good.secrets] == [hook.secrets for hook in await hooks.all()]
        await hooks.spread(now=NOW, limit=100)
        assert {"zgood", "hook1"} == {hook.id for hook, _, _ in await hooks.due(now=NOW + HOUR, limit=100)}
        one, other = await hooks.all()
        assert one.told_up_to == other.told_up_to

    on(open_(tmp_path), before)
    key = (tmp_path / FILE_NAME).read_text()
    write_key_file(tmp_path / FILE_NAME, [b"\x05" * KEY_BYTES])
    on(open_(tmp_path), without)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(key)
    on(open_(tmp_path), afterwards)


def test_what_is_changed_meanwhile_keeps_the_sealed_secrets(tmp_path: Path) -> None:
    """A new URL, or switching it off, needs no secret; new secrets are sealed anew."""

    async def before(room: Room) -> None:
        await hooks_of(room).add(a_hook())

    async def without(room: Room) -> None:
        hooks = hooks_of(room)
        (hook,) = await hooks.all()
        assert await hooks.change(a_hook(secrets=(), url="https://other.example.org/"))
        (changed,) = await hooks.all()
        assert ("https://other.example.org/", hook.problem) == (changed.url, changed.problem)

    async def afterwards(room: Room) -> None:
        (hook,) = await hooks_of(room).all()
        assert a_hook(url="https://other.example.org/") == hook

    on(open_(tmp_path), before)
    key = tmp_path / FILE_NAME
    key.rename(tmp_path / "away")
    on(open_(tmp_path), without)
    (tmp_path / "away").rename(key)
    on(open_(tmp_path), afterwards)


def test_swapped_and_altered_rows_do_not_open(tmp_path: Path) -> None:
    """Who can write the database cannot give one endpoint the secret of another, nor readable ones."""

    async def before(room: Room) -> None:
        await hooks_of(room).add(a_hook("a"))
        await hooks_of(room).add(a_hook("b"))

    async def wrong(room: Room) -> None:
        assert [("secret-key-wrong", ())] * 2 == [
            (hook.problem, hook.secrets) for hook in await hooks_of(room).all()
        ]
        assert [] == list(await hooks_of(room).due(now=NOW, limit=10))

    on(open_(tmp_path), before)
    with database(tmp_path) as db:
        (one, other) = [str(row[0]) for row in db.execute("SELECT secrets FROM hook ORDER BY id")]
    readable = json.dumps({"secret.0": "whsec_bWluZQ=="})
    turned = json.dumps(dict(zip(json.loads(one), reversed(json.loads(one).values()), strict=True)))
    for for_a, for_b in [(other, one), (readable, "[]"), (turned, '{"secret.0": 1}'), ("", "null")]:
        with database(tmp_path) as db:
            db.execute("UPDATE hook SET secrets = iif(id = 'a', ?, ?)", (for_a, for_b))
        on(open_(tmp_path), wrong)


def test_a_large_database_is_swept_without_being_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, free pages and the log are rid of the secrets; the table and its own pages hold none."""
    data = tmp_path / "data"
    an_earlier_store(data, "whsec_b25l").close()
    monkeypatch.setattr("postroom.spool.sqlite.sealed.MAX_REWRITTEN", 0)

    async def scenario(room: Room) -> None:
        assert [(Secret("whsec_b25l"),)] == [hook.secrets for hook in await hooks_of(room).all()]

    on(open_(data), scenario)
    assert MARK not in bytes_of(data, tmp_path / "after")


def test_another_program_that_reads_puts_the_sweeping_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secrets are sealed and the store works; the next start sweeps."""
    data = tmp_path / "data"
    an_earlier_store(data, "whsec_b25l").close()

    async def scenario(room: Room) -> None:
        assert [(Secret("whsec_b25l"),)] == [hook.secrets for hook in await hooks_of(room).all()]

    foreign = apsw.Connection(str(data / DATABASE))
    foreign.execute("BEGIN; SELECT * FROM hook")
    monkeypatch.setattr("postroom.spool.sqlite.connection.BUSY_TIMEOUT_MS", 10)
    on(open_(data), scenario)
    foreign.execute("ROLLBACK")
    foreign.close()
    with database(data) as db:
        assert db.table_exists("main", "hook_readable")
    on(open_(data), scenario)
    with database(data) as db:
        assert not db.table_exists("main", "hook_readable")
    assert MARK not in bytes_of(data, tmp_path / "after")
