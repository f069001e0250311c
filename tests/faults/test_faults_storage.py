"""A disk that is full, damaged, read-only, slow or shared: nothing lost, nothing wrong sent, and it heals.

The small disks are file systems in memory, made and unmounted by the test; they need root.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Json, Ledger, account, load, settled
from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink
from peers.loop_image import small_memory
from peers.tracer import traced_start

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SMALL_DISK = '[disk]\nreserve = "1 MiB"\nballast = "256 KiB"'
LATER = b"451 4.3.0 later\r\n"


@contextlib.contextmanager
def small_disk(size_kib: int, *, inodes: int = 0) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounting a small file system in memory")
    with small_memory(size_kib, inodes=inodes) as root:
        yield root


def fill(root: Path, *, leave: int = 0) -> Path:
    """Take the space of a file system but for ``leave`` bytes; return the file that has it."""
    filler = root / "filler"
    with filler.open("ab", buffering=0) as file:
        while (free := os.statvfs(root)).f_bavail * free.f_frsize > leave:
            size = min(free.f_bavail * free.f_frsize - leave, MIB)
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
            except OSError:
                break
    return filler


def until_answer(call: Caller, ledger: Ledger, status: int, *, seconds: float = 10.0) -> None:
    """Hand in until the answer is this one."""
    end = time.monotonic() + seconds
    while (answer := call.hand_in(ledger, ledger.next())) != status:
        assert time.monotonic() < end, f"{answer} and never {status}"
        time.sleep(0.05)


def test_a_full_disk_stops_intake_and_heals_by_itself(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """Below the watermark new mail gets 507 while reading goes on; with space again it is taken."""
    with small_disk(16 * 1024) as root, LedgerSink() as sink:
        ledger = Ledger()
        server = a_server(root / "data", sink.port, forks=forks, home=tmp_path, more=SMALL_DISK)
        with server:
            call = Caller(server.port)
            until_answer(call, ledger, 202)
            filler = fill(root, leave=512 * 1024)
            until_answer(call, ledger, 507)
            name = ledger.acknowledged[0].acknowledged
            assert call("GET", f"/v1/messages/{name}")[0] == 200
            filler.unlink()
            until_answer(call, ledger, 202)
            call.close()
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    found.check()
    assert found.extra == 0


def test_a_disk_that_fills_behind_the_dot_still_keeps_the_result(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """The ballast is given up for the result of an attempt, so that nothing is sent again."""
    with small_disk(16 * 1024) as root, LedgerSink() as sink:
        fillers: list[Path] = []

        def full_at_the_dot(command: Command) -> None:
            if command.verb == "." and not fillers:
                fillers.append(fill(root))

        sink.script = full_at_the_dot
        ledger = Ledger()
        server = a_server(root / "data", sink.port, forks=forks, home=tmp_path, more=SMALL_DISK)
        with server:
            call = Caller(server.port)
            until_answer(call, ledger, 202)
            (first,) = ledger.acknowledged
            views = settled(call, [first.acknowledged or ""], bound_s=20)
            assert [view["state"] for view in views.values()] == ["accepted"]
            assert fillers
            assert not (root / "data" / "ballast").exists()
            assert call.hand_in(ledger, ledger.next()) == 507
            fillers[0].unlink()
            until_answer(call, ledger, 202)
            call.close()
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    found.check()
    assert (found.extra, found.uncertain) == (0, 0)


def test_without_inodes_files_are_refused_and_rows_stay_whole(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """When no file can be made a mail with a file gets 507; nothing half stored stays, and it heals."""
    with small_disk(16 * 1024, inodes=60) as root, LedgerSink() as sink:

        def with_file(number: int) -> Json:
            body: Json = {"from": "app@example.com", "to": [f"r{number}@example.net"], "class": "alert"}
            file = {"filename": "f.txt", "content_type": "text/plain", "content": "aGVsbG8="}
            return body | {"text": "hello", "attachments": [{**file, "content": f"aGVs{number:04}"}]}

        ledger = Ledger(make=with_file, first=1000)
        server = a_server(root / "data", sink.port, forks=forks, home=tmp_path, more=SMALL_DISK)
        with server:
            call = Caller(server.port)
            until_answer(call, ledger, 202)
            taken = [root / f"inode{number}" for number in range(60)]
            made = list(filter(_is_made, taken))
            until_answer(call, ledger, 507)
            for path in made:
                path.unlink()
            until_answer(call, ledger, 202)
            call.close()
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    found.check()


def _is_made(path: Path) -> bool:
    try:
        path.touch()
    except OSError:
        return False
    return True


@pytest.mark.strace
def test_a_disk_that_turned_read_only_ends_the_process(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """When every write fails (EROFS, as after a remount) the process ends with an error; nothing is lost."""
    with LedgerSink() as sink:
        ledger = Ledger()
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        with server:  # the first start has its own, many writes
            assert server.stop() == 0
        with traced_start(server, "pwrite64", "error=EROFS:when=120+", output=tmp_path / "strace") as trace:
            server.wait_until_ready()
            assert server.process is not None
            call = Caller(server.port)
            while server.process.poll() is None:
                call.hand_in(ledger, ledger.next())
                time.sleep(0.02)
            call.close()
            assert server.process.poll() == 1
            assert trace.injected()
        assert "the store" in server.log.read_text()
        with server:
            found = account(ledger, sink, server.port)
    tally.add(found)
    found.check()


@pytest.mark.strace
def test_a_slow_disk_groups_more_and_blocks_nobody(tmp_path: Path, forks: ForkServer, tally: Tally) -> None:
    """With 200 ms for each sync callers share commits, and the event loop answers others at once."""
    with LedgerSink() as sink:
        ledger = Ledger()
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        injection = "delay_exit=200000"
        with traced_start(server, "fdatasync", injection, output=tmp_path / "strace") as trace:
            server.wait_until_ready()
            syncs = len(trace.injected())
            probe, lags = Caller(server.port), []
            with load(ledger, server.port, senders=16):
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    asked = time.monotonic()
                    assert probe("GET", "/healthz")[0] == 200
                    lags.append(time.monotonic() - asked)
                    time.sleep(0.02)
            syncs = len(trace.injected()) - syncs
            probe.close()
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    tally.note = f"{found.acknowledged / syncs:.1f} messages a sync, slowest answer {max(lags) * 1000:.0f} ms"
    found.check()
    assert found.acknowledged > 3 * syncs
    assert sorted(lags)[len(lags) * 9 // 10] < 0.25


def _queued(call: Caller, ledger: Ledger, count: int) -> list[str]:
    """Hand in while the sink defers everything, and wait until each was tried once."""
    for _ in range(count):
        assert call.hand_in(ledger, ledger.next()) == 202
    names = [one.acknowledged or "" for one in ledger.acknowledged]
    deadline = time.monotonic() + 20
    for name in names:
        while call("GET", f"/v1/messages/{name}")[1]["state"] != "deferred":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return names


def _flip(path: Path, place: int) -> None:
    """Change one bit, in spite of the file's mode."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def _blob_of(data: Path, number: int) -> Path:
    wanted = f"file of message {number}\n".encode() * 200
    return next(
        path for path in (data / "blobs").rglob("*") if path.is_file() and path.read_bytes() == wanted
    )


@pytest.mark.parametrize("damage", ["row", "blob", "missing"])
def test_what_is_damaged_is_never_sent_and_holds_nobody_up(
    damage: str, tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """A flipped bit in a row or a file, or a file that is gone, stops that message alone."""
    with LedgerSink(lambda _address: LATER) as sink:
        ledger = Ledger()
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        with server:
            call = Caller(server.port)
            names = _queued(call, ledger, 6)
            call.close()
            assert server.stop() == 0
        damaged, database = names[4], server.data / "postroom.sqlite"
        if damage == "row":
            content = database.read_bytes()
            place = content.find(b"line 5\\nline 5")
            assert place > 0
            _flip(database, place)
        else:
            blob = _blob_of(server.data, 5)
            _flip(blob, 100) if damage == "blob" else blob.unlink()
        sink.refuse = lambda _address: None
        sink.keep_bodies = True
        with server:
            call = Caller(server.port)
            others = settled(call, [name for name in names if name != damaged], bound_s=30)
            assert {view["state"] for view in others.values()} == {"accepted"}
            status, view = call("GET", f"/v1/messages/{damaged}")
            call.close()
            assert status == 200
            assert view["open"]
            assert {one["state"] for one in view["recipients"]} <= {"held", "deferred"}, view
            assert server.stop() == 0
        assert damaged not in sink.bodies
        assert set(sink.copies.values()) == {1}
    tally.runs += 1


def test_a_second_instance_is_refused_and_harms_nobody(tmp_path: Path, forks: ForkServer) -> None:
    """A second start on the same directory exits 1 with a clear text; the first goes on."""
    with LedgerSink() as sink:
        ledger = Ledger()
        with a_server(tmp_path / "data", sink.port, forks=forks) as first:
            second = a_server(tmp_path / "data", sink.port)
            second.log = tmp_path / "second.log"
            second.spawn()
            assert second.process is not None
            assert second.process.wait(20) == 1
            assert "in use by another postroom" in second.log.read_text()
            call = Caller(first.port)
            until_answer(call, ledger, 202)
            call.close()
            account(ledger, sink, first.port).check()


def test_a_foreign_write_lock_makes_callers_wait_and_loses_no_result(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """While another program holds the database new mail gets 503 soon; afterwards all is stored."""
    with LedgerSink() as sink:
        ledger = Ledger()
        with a_server(tmp_path / "data", sink.port, forks=forks) as server:
            call = Caller(server.port)
            until_answer(call, ledger, 202)
            with contextlib.closing(sqlite3.connect(server.data / "postroom.sqlite")) as foreign:
                foreign.execute("BEGIN IMMEDIATE")
                began = time.monotonic()
                assert call.hand_in(ledger, ledger.next()) == 503
                assert time.monotonic() - began < 10
                foreign.rollback()
            until_answer(call, ledger, 202)
            call.close()
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    found.check()
