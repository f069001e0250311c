"""What only the store on SQLite must hold: durability, refusal of unsafe stores, damage, full disks."""

import asyncio
import os
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

import made_store
from postroom.errors import InvariantError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.lifecycle import RecipientState
from postroom.model.view import PauseKind
from postroom.spool.sqlite import connection, opening
from postroom.spool.sqlite.migrations import Migration, migrate, migrations
from postroom.spool.sqlite.opening import DATABASE
from postroom.spool.sqlite.statement import statement, statements
from spool.spool_room import (
    DAY,
    HOUR,
    NOW,
    Room,
    a_message,
    accepted,
    an_attachment,
    deferred,
)
from spool.sqlite_room import SMALL, database, filled, on, open_

KEPT = Path(__file__).parent / "kept"


# --------------------------------------------------------------------------- opening


@pytest.fixture
def _step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_database", made_store.step_by_step)


@pytest.mark.usefixtures("_step_by_step")
def test_the_directory_is_private_and_the_settings_hold(tmp_path: Path) -> None:
    """The data directory is 0700, and the database is in WAL with auto_vacuum from its first page."""
    data = tmp_path / "data"
    filled(data, a_message())
    assert 0o700 == stat.S_IMODE(data.stat().st_mode)
    with database(data) as db:
        assert ("wal", 2) == (db.pragma("journal_mode"), db.pragma("auto_vacuum"))
        assert "ok" == db.pragma("integrity_check")


@pytest.mark.usefixtures("_step_by_step")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_every_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Nobody else can read the database, its journal, the ballast, the lock or a blob."""
    data = tmp_path / "data"

    async def scenario(room: Room) -> None:
        blob = room.store.blobs.stage(DEFAULT_TENANT)
        blob.write(b"content")
        blob.commit()
        await room.accept()
        for path in data.rglob("*"):
            assert (0o700 if path.is_dir() else 0o600) == stat.S_IMODE(path.stat().st_mode), path
        wanted = {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "ballast", "blobs", "lock"}
        assert wanted <= {path.name for path in data.iterdir()}

    earlier = os.umask(umask)
    try:
        on(open_(data, replace(SMALL, ballast=4096)), scenario)
    finally:
        os.umask(earlier)


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    """One process at a time, said in a clear text; after closing the next may come."""

    async def scenario(_: Room) -> None:
        with pytest.raises(StoreError, match="in use by another postroom"):
            open_(tmp_path)

    on(open_(tmp_path), scenario)
    asyncio.run(open_(tmp_path).close())


def test_a_setting_that_does_not_hold_refuses_to_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose syncs are weaker than promised is not opened, and its lock is given back."""
    with monkeypatch.context() as patch:
        patch.setattr(connection, "_WRITER_PRAGMAS", (("synchronous", "NORMAL", 2),))
        with pytest.raises(StoreError, match="synchronous is 1 and must be 2"):
            open_(tmp_path)
    asyncio.run(open_(tmp_path).close())


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A store that a newer program has migrated is left alone."""
    filled(tmp_path)
    with database(tmp_path) as db:
        db.pragma("user_version", 99)
    with pytest.raises(StoreError, match="schema 99"):
        open_(tmp_path)


def test_an_altered_migration_is_refused(tmp_path: Path) -> None:
    """A landed schema step whose text is not the one that was applied stops the start."""
    filled(tmp_path)
    with database(tmp_path) as db:
        db.execute("UPDATE migration SET sha256 = 'other'")
    with pytest.raises(StoreError, match="0001_first"):
        open_(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Foreign bytes under the database's name are an operator's problem, said as one."""
    (tmp_path / DATABASE).write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreError):
        open_(tmp_path)


def test_a_new_store_is_what_its_steps_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store made from nothing takes mail and is, but for the times of its steps, the one tests copy."""
    made = []
    for name, way in [("stepwise", made_store.step_by_step), ("copied", made_store.copied)]:
        monkeypatch.setattr(opening, "_database", way)
        filled(tmp_path / name, a_message())
        with database(tmp_path / name) as db:
            steps = db.execute("SELECT number, sha256 FROM migration").fetchall()
            made.append((db.execute("SELECT name, sql FROM sqlite_schema").fetchall(), steps))
            assert [(1,)] == db.execute("SELECT count(*) FROM message").fetchall()
        assert 0o600 == stat.S_IMODE((tmp_path / name / DATABASE).stat().st_mode)
    assert made[0] == made[1]


def test_later_migrations_are_applied_once_and_in_order() -> None:
    """A store is brought to the newest schema step by step, and a failed step leaves no trace."""
    db = apsw.Connection(":memory:")
    first = Migration(number=1, name="0001_a.sql", text="CREATE TABLE a (x)")
    second = Migration(number=2, name="0002_b.sql", text="ALTER TABLE a ADD COLUMN y; CREATE TABLE b (x)")
    broken = Migration(number=3, name="0003_c.sql", text="CREATE TABLE c (x); CREATE TABLE a (x)")
    migrate(db, (first,), now=1)
    migrate(db, (first, second), now=2)
    with pytest.raises(apsw.SQLError):
        migrate(db, (first, second, broken), now=3)
    assert 2 == db.pragma("user_version")
    assert [(1, 1), (2, 2)] == db.execute("SELECT number, applied_at FROM migration").fetchall()
    assert not db.table_exists("main", "c")
    db.close()


@pytest.mark.parametrize("kept", sorted(KEPT.glob("schema-*.sqlite")), ids=lambda path: path.stem)
def test_every_landed_schema_can_be_opened(tmp_path: Path, kept: Path) -> None:
    """A store an earlier program left is migrated, and what waits in it is sent on."""
    shutil.copy(kept, tmp_path / DATABASE)

    async def scenario(room: Room) -> None:
        counts = (await room.spool.counts()).by_state
        assert {RecipientState.QUEUED: 1, RecipientState.ACCEPTED: 1, RecipientState.DEFERRED: 1} == counts
        claimed = await room.claim(NOW + HOUR)
        assert ["queued on an earlier schema", "split on an earlier schema"] == [
            one.message.content.subject for one in claimed
        ]
        for one in claimed:
            assert await room.settle(one.lease, accepted(one.recipients[0]))
        assert {RecipientState.ACCEPTED: 3} == (await room.spool.counts()).by_state

    on(open_(tmp_path), scenario)
    with database(tmp_path) as db:
        assert migrations()[-1].number == db.pragma("user_version")


def test_a_busy_store_of_the_first_schema_goes_on(tmp_path: Path) -> None:
    """Leased, scheduled, deferred, uncertain and held mail and both kinds of pauses come through."""
    shutil.copy(KEPT / "busy-1.sqlite", tmp_path / DATABASE)

    async def scenario(room: Room) -> None:
        pauses = [(one.transport, one.kind, one.is_open) for one in await room.spool.pauses()]
        assert [("account", PauseKind.LOGIN, True), ("other", PauseKind.CONNECT, True)] == pauses
        await room.spool.recover(now=NOW, wait=HOUR)
        claimed = await room.claim(NOW + HOUR, transport="account")
        assert [
            ("a code", (0,), 0, True),
            ("bulk in three states", (0,), 1, False),
        ] == [(one.message.content.subject, one.recipients, one.tries, one.is_suspect) for one in claimed]
        assert ["sending", "uncertain", "held"] == await room.states(claimed[1].message.id)
        assert 1 == await room.spool.fail_over("account", route="", to="other", now=NOW + HOUR)
        assert NOW + DAY == await room.spool.next_due_at("other")
        for one in claimed:
            assert await room.settle(one.lease, accepted(one.recipients[0]))

    on(open_(tmp_path), scenario)


# --------------------------------------------------------------------------- speed by construction


def test_claims_walk_the_index(tmp_path: Path) -> None:
    """A claim is one index walk per priority, without a sort, however much is due later."""
    filled(tmp_path)
    with database(tmp_path) as db:
        plan = db.execute(
            "EXPLAIN QUERY PLAN " + statement("claimable"), ("main", "", "default", 3, 0, 0, 0, 10)
        ).fetchall()
    columns = "transport=? AND route=? AND tenant=? AND priority=? AND standing=? AND due_at<?"
    assert [f"SEARCH queue USING INDEX queue_lane ({columns})"] == [row[3] for row in plan]


def test_no_statement_reads_a_whole_history(tmp_path: Path) -> None:
    """Every statement finds its rows by a key; only named duties walk, over what waits or a chunk."""
    walks = {
        "leased_groups": ["SCAN queue"],
        "expired_groups": ["SCAN queue"],
        "strangers": ["SCAN queue"],
        "groups_of_transport": ["SCAN queue"],
        # From the oldest or the newest on, up to their limit.
        "delete_captures": ["SCAN capture"],
        "listed": ["SCAN message"],
        "event_page": ["SCAN event"],
        "newest_event": ["SCAN event"],
        "delete_events_past": ["SCAN event"],
        "delete_sent_past": ["SCAN sent"],
        "alert_events": ["SCAN alert_event"],
        "alert_decisions": ["SCAN alert_decision"],
        "open_alert_letters": ["SCAN alert_letter USING INDEX alert_letter_open"],
        "count_open_alert_letters": ["SCAN alert_letter USING INDEX alert_letter_open"],
        "delete_alert_events_past": ["SCAN alert_event"],
        "delete_alert_decisions_past": ["SCAN alert_decision"],
    }
    mail = ("message", "recipient", "attempt", "outcome", "content", "queue", "capture", "event", "sent")
    histories = (*mail, "alert_event", "alert_decision", "alert_letter")
    filled(tmp_path)
    with database(tmp_path) as db:
        for name, text in statements().items():
            bound = re.sub(r"\?\d*|:\w+|\{\w+\}", lambda hole: "" if "{" in hole[0] else "1", text)
            plan = [str(row[3]) for row in db.execute("EXPLAIN QUERY PLAN " + bound)]
            scans = [step for step in plan if step.startswith("SCAN") and step.split()[1] in histories]
            assert walks.get(name, []) == scans, name


def test_what_waits_shares_a_commit(tmp_path: Path) -> None:
    """Operations of one turn of the event loop are one transaction, results before intake before claims."""

    async def scenario(room: Room) -> None:
        await room.accept()
        lease = (await room.claim_one()).lease
        commits: list[int] = []

        def note() -> bool:
            commits.append(1)
            return False

        room.store.spool._writer._ledger.db.set_commit_hook(note)  # type: ignore[attr-defined]  # white box
        settling = room.settle(lease, deferred(until=NOW))
        claiming = room.claim(limit=100)
        storing = asyncio.gather(*(room.accept() for _ in range(50)))
        settled, claimed, _ = await asyncio.gather(settling, claiming, storing)
        assert settled
        assert 51 == len(claimed)
        assert 1 == len(commits)

    on(open_(tmp_path), scenario)


def test_one_bad_operation_fails_alone(tmp_path: Path) -> None:
    """The batch of a failing operation is run again one by one, and only the culprit fails."""

    async def scenario(room: Room) -> None:
        double = a_message()
        await room.accept(double)
        good = [a_message() for _ in range(3)]
        answers = await asyncio.gather(
            *(room.accept(message) for message in (good[0], double, *good[1:])), return_exceptions=True
        )
        assert [False, True, False, False] == [isinstance(answer, InvariantError) for answer in answers]
        assert {RecipientState.QUEUED: 4} == (await room.spool.counts()).by_state
        assert {one.id for one in (double, *good)} == {one.message.id for one in await room.claim()}

    on(open_(tmp_path), scenario)


def test_a_caller_that_left_is_no_trouble(tmp_path: Path) -> None:
    """An accept whose caller is cancelled is stored all the same, and the store goes on."""

    async def scenario(room: Room) -> None:
        message = a_message()
        task = asyncio.create_task(room.accept(message))
        await asyncio.sleep(0)
        task.cancel()
        await room.accept()
        assert ["queued"] == await room.states(message.id)

    on(open_(tmp_path), scenario)


# --------------------------------------------------------------------------- damage and faults


def test_damaged_content_is_held_and_the_queue_goes_on(tmp_path: Path) -> None:
    """A row whose bytes are not those accepted is never handed out; a person is asked."""
    bad, good = a_message(), a_message()
    filled(tmp_path, bad, good)
    with database(tmp_path) as db:
        db.execute(
            "UPDATE content SET body = CAST(replace(CAST(body AS TEXT), 'Hello', 'Jello') AS BLOB)"
            " WHERE seq = 1"
        )

    async def scenario(room: Room) -> None:
        assert [good.id] == [claimed.message.id for claimed in await room.claim()]
        assert ["held"] == await room.states(bad.id)
        assert "content-damaged" == (await room.view(bad.id)).recipients[0].cause
        with pytest.raises(StoreError, match="damaged"):
            await room.spool.message(bad.id, tenant=DEFAULT_TENANT)
        states = {RecipientState.HELD: 1, RecipientState.SENDING: 1}
        assert states == (await room.spool.counts()).by_state

    on(open_(tmp_path), scenario)


def test_a_claim_from_memory_and_one_from_disk_are_the_same(tmp_path: Path) -> None:
    """Whether a message is still in memory or read back makes no difference, attachments included."""

    async def scenario(room: Room) -> None:
        blob = room.put_blob(b"content")
        message = a_message(2, attachments=(an_attachment(blob),))
        await room.accept(message)
        first = await room.claim_one()
        await room.spool.release([first.lease])
        second = await room.claim_one()
        assert message == first.message == second.message
        assert first.message is message
        assert second.message is not message

    on(open_(tmp_path), scenario)


class _FaultyFile(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if _FaultyDisk.armed:
            raise apsw.IOError("injected")
        super().xSync(flags)


class _FaultyDisk(apsw.VFS):
    """The default file layer, whose syncs fail when armed."""

    armed = False

    def __init__(self) -> None:
        super().__init__("faulty", "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _FaultyFile("", name, flags)


def test_a_failed_sync_is_an_unknown_outcome_and_ends_the_store(tmp_path: Path) -> None:
    """After EIO on commit nobody says "not stored"; the connection is never used again (rule A7)."""
    disk = _FaultyDisk()

    async def scenario(room: Room) -> None:
        await room.accept()
        _FaultyDisk.armed = True
        with pytest.raises(UnknownOutcomeError):
            await room.accept()
        _FaultyDisk.armed = False
        with pytest.raises(StoreError):
            await room.accept()
        with pytest.raises(StoreError):
            await room.claim()

    try:
        on(open_(tmp_path, vfs="faulty"), scenario)
    finally:
        _FaultyDisk.armed = False
        disk.unregister()

    async def afterwards(room: Room) -> None:
        assert len(await room.claim()) in {1, 2}

    on(open_(tmp_path), afterwards)


def test_a_search_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    """A reader never holds the log longer than two seconds; the store goes on."""

    async def scenario(room: Room) -> None:
        reader = room.store.spool._reader  # type: ignore[attr-defined]  # white box
        clock = reader._clock

        def endless(db: apsw.Connection) -> None:
            clock.advance(3)
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
            ).fetchall()

        with pytest.raises(OverloadError):
            await reader.read(endless)
        assert [] == list(await room.spool.pauses())

    on(open_(tmp_path), scenario)
