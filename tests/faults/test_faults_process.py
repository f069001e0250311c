"""Ends in order, no descriptors, clocks that jump, logs that block, messages that kill, repeated keys."""

import contextlib
import fcntl
import os
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Json, Ledger, Submission, account, load, release_suspects, settled
from peers.fault_proxy import FaultProxy, Plan
from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink, Say

pytestmark = pytest.mark.slow

LATER = b"451 4.3.0 later\r\n"


@pytest.mark.timeout(180)
def test_sigterm_under_load_loses_nothing_and_doubles_nothing(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """Attempts past their dot get their reply, others are given back: exit 0, no copy, nothing uncertain."""
    with LedgerSink() as sink, FaultProxy(sink.port, lambda _: Plan(delay_s=0.02)) as proxy:
        ledger = Ledger()
        server = a_server(tmp_path / "data", proxy.port, forks=forks)
        for _ in range(3):
            server.start()
            before = sink.copies.total()
            with load(ledger, server.port):
                assert sink.wait_for(before + 30, timeout_s=20)
                assert server.stop() == 0
            tally.runs += 1
        with server:
            found = account(ledger, sink, server.port)
            assert server.stop() == 0
    tally.add(found)
    found.check()
    assert (found.extra, found.uncertain) == (0, 0)


def test_a_second_sigterm_ends_sooner(tmp_path: Path, forks: ForkServer, tally: Tally) -> None:
    """While a peer keeps its reply back the first SIGTERM waits; after a second one it ends in 5 s."""
    at_the_dot = threading.Event()

    def silent(command: Command) -> Say | None:
        if command.verb != ".":
            return None
        at_the_dot.set()
        return Say(b"", is_taken=True)

    with LedgerSink(script=silent) as sink:
        ledger = Ledger()
        with a_server(tmp_path / "data", sink.port, forks=forks) as server:
            call = Caller(server.port)
            assert call.hand_in(ledger, ledger.next()) == 202
            call.close()
            assert at_the_dot.wait(10)
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)  # between the two signals
            assert server.process.poll() is None
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(5) == 0
        sink.script = lambda _command: None
        with server:
            found = account(ledger, sink, server.port)
    tally.add(found)
    found.check()
    assert found.uncertain == len(ledger.submissions[0].body["to"])


def test_without_descriptors_storing_and_sending_go_on(tmp_path: Path, tally: Tally) -> None:
    """With 64 descriptors and 120 more clients nothing crashes, and who is connected is served."""
    with LedgerSink() as sink:
        ledger = Ledger()
        server = a_server(
            tmp_path / "data", sink.port, transport="max_connections = 2", under=("prlimit", "--nofile=64")
        )
        with server, contextlib.ExitStack() as clients:
            call = Caller(server.port)
            assert call.hand_in(ledger, ledger.next()) == 202
            for _ in range(120):
                client = clients.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", server.port))
            for _ in range(20):
                assert call.hand_in(ledger, ledger.next()) in {202, 503}
            accepted = len(ledger.acknowledged)
            assert accepted > 0
            assert sink.wait_for(1, timeout_s=20)
            clients.close()
            call.close()
            found = account(ledger, sink, server.port, bound_s=40)
            assert server.stop() == 0
    tally.add(found)
    found.check()


@pytest.mark.parametrize("jump_s", [-7200, 86400])
def test_a_jump_of_the_wall_clock_stops_nothing(
    jump_s: int, tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """Two hours back: nothing that was due waits two hours. A day ahead: nothing of three days expires."""
    shift = tmp_path / "shift"
    shift.write_text("0")

    def lasting(number: int) -> Json:
        body = {"from": "app@example.com", "to": [f"r{number}@example.net"], "subject": "", "text": "x"}
        return body | {"class": "transactional"}

    with LedgerSink(lambda _address: LATER) as sink:
        ledger = Ledger(make=lasting)
        server = a_server(
            tmp_path / "data",
            sink.port,
            forks=forks,
            environ={"FAULTS_SHIFT": str(shift)},
            more='[classes.transactional]\nfirst_retry = "1 s"\nmax_retry = "1 s"',
        )
        with server:
            call = Caller(server.port)
            for _ in range(5):
                assert call.hand_in(ledger, ledger.next()) == 202
            names = [one.acknowledged or "" for one in ledger.acknowledged]
            while any(call("GET", f"/v1/messages/{name}")[1]["state"] != "deferred" for name in names):
                time.sleep(0.01)
            shift.write_text(str(jump_s))
            sink.refuse = lambda _address: None
            for _ in range(2):
                assert call.hand_in(ledger, ledger.next()) == 202
            call.close()
            found = account(ledger, sink, server.port, bound_s=75)
            assert server.stop() == 0
    tally.add(found)
    found.check()
    assert dict(found.states) == {"accepted": 7}


@contextlib.contextmanager
def _pipe(path: Path) -> Iterator[int]:
    """Make a named pipe of one page; yield its reading end."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reader
    finally:
        os.close(reader)


def _fill(path: Path) -> None:
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"-" * 64)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"-")
    os.close(writer)


def test_a_log_that_nobody_reads_blocks_nothing(tmp_path: Path, forks: ForkServer, tally: Tally) -> None:
    """With standard error a full pipe the server answers at once and goes on sending."""
    with LedgerSink() as sink, _pipe(tmp_path / "log") as reader:
        ledger = Ledger()
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        server.log = tmp_path / "log"
        with server:
            while select.select([reader], [], [], 0.2)[0]:
                os.read(reader, 65536)
            _fill(server.log)
            call = Caller(server.port)
            # Each connection that is refused is logged.
            sink.script = lambda command: b"421 4.3.2 closing\r\n" if command.verb == "CONNECT" else None
            assert call.hand_in(ledger, ledger.next()) == 202
            slowest = 0.0
            end = time.monotonic() + 3
            while time.monotonic() < end:
                asked = time.monotonic()
                assert call("GET", "/healthz")[0] == 200
                slowest = max(slowest, time.monotonic() - asked)
                time.sleep(0.02)
            call.close()
            assert sink.said["CONNECT"]
            assert slowest < 2.0
    tally.runs += 1


@pytest.mark.timeout(240)
def test_a_message_that_kills_the_process_is_held_after_three_deaths(tmp_path: Path, tally: Tally) -> None:
    """Others are sent within half a minute, the guilty one is held and never kills again."""

    def with_poison(number: int) -> Json:
        subject = "poison" if number == 3 else f"message {number}"
        to = [f"r{number}@example.net"]
        return {"from": "app@example.com", "to": to, "subject": subject, "text": "x", "class": "alert"}

    with ForkServer(poison="poison") as poisoned, LedgerSink(lambda _address: LATER) as sink:
        ledger = Ledger(make=with_poison)
        server = a_server(tmp_path / "data", sink.port, forks=poisoned)
        server.start()
        call = Caller(server.port)
        for _ in range(12):
            call.hand_in(ledger, ledger.next())
        call.close()
        sink.refuse = lambda _address: None
        assert server.process is not None
        began = time.monotonic()
        deaths = 0
        while deaths < 8:
            # It may die before it says that it is ready.
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                server.wait_until_ready()
                server.process.wait(4)
            if server.process.poll() is None:
                break
            deaths += 1
            server.spawn()
        call = Caller(server.port)
        names = {one.number: one.acknowledged for one in ledger.acknowledged}
        guilty = names.pop(3)
        others = settled(call, [name or "" for name in names.values()], bound_s=30)
        took = time.monotonic() - began
        _, view = call("GET", f"/v1/messages/{guilty}")
        call.close()
        server.kill()
    tally.kills += deaths
    tally.note = f"{deaths} deaths, the others were sent after {took:.0f} s"
    assert deaths == 3
    assert view["state"] == "held", view
    assert {one["state"] for one in others.values()} == {"accepted"}
    assert not any(recipient.startswith("r3@") for _, recipient in sink.copies)


@pytest.mark.timeout(240)
def test_a_message_that_kills_the_sender_process_holds_nobody_up(tmp_path: Path, tally: Tally) -> None:
    """With a sender process the server lives on, others are sent soon, and the guilty one is held."""

    def with_poison(number: int) -> Json:
        subject = "poison" if number == 3 else f"message {number}"
        to = [f"r{number}@example.net"]
        return {"from": "app@example.com", "to": to, "subject": subject, "text": "x", "class": "alert"}

    with ForkServer(poison="poison", processors=2) as poisoned, LedgerSink() as sink:
        ledger = Ledger(make=with_poison)
        with a_server(tmp_path / "data", sink.port, forks=poisoned) as server:
            call = Caller(server.port)
            for _ in range(12):
                assert call.hand_in(ledger, ledger.next()) == 202
            names = {one.number: one.acknowledged or "" for one in ledger.acknowledged}
            guilty = names.pop(3)
            others = settled(call, list(names.values()), bound_s=20)
            assert {one["state"] for one in others.values()} == {"accepted"}
            end = time.monotonic() + 20
            while (view := call("GET", f"/v1/messages/{guilty}")[1])["state"] != "held":
                assert time.monotonic() < end, view
                time.sleep(0.1)
            call.close()
        assert not any(recipient.startswith("r3@") for _, recipient in sink.copies)
    tally.runs += 1


@pytest.mark.timeout(240)
def test_sixty_four_times_the_same_key_and_a_crash_make_one_mail(
    tmp_path: Path, forks: ForkServer, tally: Tally
) -> None:
    """64 callers repeat one submission with one key while the server is killed: one message, one mail."""
    dice = random.Random(7)
    with LedgerSink() as sink:
        ledger = Ledger(make=lambda n: {"from": "app@example.com", "to": [f"r{n}@example.net"], "text": "x"})
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        for _ in range(5):
            submission = ledger.next()
            server.start()
            _all_at_once(server.port, ledger, submission, kill_after=dice.uniform(0, 0.05), kill=server.kill)
            tally.kills += 1
            server.start()
            _all_at_once(server.port, ledger, submission)
            assert submission.acknowledged
            ledger.unanswered.clear()
            assert server.stop() == 0
        with server:
            call = Caller(server.port)
            release_suspects(call, ledger)  # a kill between the dot and the reply leaves one uncertain
            call.close()
            found = account(ledger, sink, server.port)
            page = server.call("GET", "/v1/messages?limit=100")[1]
        assert len(page["messages"]) == len(ledger.submissions)
    tally.add(found)
    found.check()


def _all_at_once(
    port: int,
    ledger: Ledger,
    submission: Submission,
    *,
    kill_after: float = 0.0,
    kill: Callable[[], None] | None = None,
) -> None:
    ready = threading.Barrier(65)

    def run() -> None:
        call = Caller(port)
        with contextlib.suppress(OSError):
            call("GET", "/healthz")
        ready.wait(20)
        call.hand_in(ledger, submission)
        call.close()

    threads = [threading.Thread(target=run) for _ in range(64)]
    for thread in threads:
        thread.start()
    ready.wait(20)
    if kill is not None:
        time.sleep(kill_after)  # the moment of the kill is the test
        kill()
    for thread in threads:
        thread.join(30)
