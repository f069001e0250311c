"""A death and an error at every n-th system call that stores or sends something (reliability rule A7).

One life is: start on an empty directory, three submissions (one with a file, one with three recipients),
their delivery, an orderly stop. It is lived again and again, with a fault at the first, second, ... call of
a kind, until a life ends unhurt: then every such call was a place of death once.
"""

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Ledger, account, settled
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess
from peers.tracer import traced_start

pytestmark = [pytest.mark.slow, pytest.mark.strace]

WRITES = {
    "pwrite64": "pwrite64",
    "write": "write",
    "fdatasync": "fdatasync",
    "fsync": "fsync",
    "rename": "/^rename",
    "unlink": "/^unlink",
    "send": "sendto,sendmsg,writev",
}
SHORT = (1, 4, 9)
"""Calls of the short round."""


def points(seconds: float, is_hurt: Callable[[int], bool]) -> Iterator[int]:
    """Yield the numbers of calls to fail: doubled until one life is unhurt, then the others in any order.

    ``is_hurt`` says whether the life of a number met its fault. Ends when all were tried or the time is over.
    """
    if not seconds:
        yield from SHORT
        return
    end = time.monotonic() + seconds
    tried = []
    number = 1
    while True:
        yield number
        tried.append(number)
        if not is_hurt(number):
            break
        number *= 2
    others = [one for one in range(1, number) if one not in tried]
    random.Random(number).shuffle(others)
    for one in others:
        if time.monotonic() > end:
            return
        yield one


def live(server: PostroomProcess, ledger: Ledger) -> int | None:
    """Live one life as far as it goes; return its exit code, ``None`` when it was killed."""
    with contextlib.suppress(AssertionError):  # it may die or give up before it is ready
        server.wait_until_ready()
    call = Caller(server.port, timeout_s=10)
    for _ in range(3):
        call.hand_in(ledger, ledger.next())
    with contextlib.suppress(OSError, ValueError):
        settled(call, [one.acknowledged or "" for one in ledger.acknowledged], bound_s=10)
    call.close()
    assert server.process is not None
    code = server.stop()
    return None if code == -signal.SIGKILL else code  # a traced process may take its time to be dead


@pytest.mark.timeout(400)
@pytest.mark.parametrize("calls", WRITES)
def test_death_at_every_call(  # noqa: PLR0917 - fixtures
    calls: str, tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """Wherever a write, sync, rename or send is the last thing a process does, nothing is lost."""
    deaths: set[int] = set()
    with LedgerSink() as sink:
        for number in points(share("calls") / len(WRITES), deaths.__contains__):
            tally.runs += 1
            sink.copies.clear()
            ledger = Ledger(first=2)
            server = a_server(tmp_path / f"data{number}", sink.port, forks=forks)
            output = tmp_path / "strace"
            with traced_start(server, WRITES[calls], f"signal=SIGKILL:when={number}", output=output):
                if live(server, ledger) is None:
                    deaths.add(number)
            with server:
                found = account(ledger, sink, server.port)
                assert server.stop() == 0
            tally.add(found)
            found.check()
            shutil.rmtree(server.data)
    tally.kills += len(deaths)
    tally.note = f"{len(deaths)} places, the last one {max(deaths, default=0)}"
    assert deaths or calls in {"send", "unlink"}, "no life met its fault"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("calls", ["fdatasync", "pwrite64"])
def test_error_at_every_call(  # noqa: PLR0917 - fixtures
    calls: str, tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """After an I/O error nothing is acknowledged, the process ends with an error, no ghost comes twice."""
    hurt: set[int] = set()
    with LedgerSink() as sink:
        for number in points(share("calls") / len(WRITES), hurt.__contains__):
            tally.runs += 1
            sink.copies.clear()
            ledger = Ledger(first=2)
            server = a_server(tmp_path / f"data{number}", sink.port, forks=forks)
            with traced_start(server, calls, f"error=EIO:when={number}", output=tmp_path / "strace") as trace:
                code = live(server, ledger)
                failed = [at for at, text in trace.injected() if "postroom.sqlite" in text]
                if failed:
                    hurt.add(number)
                    assert server.process is not None
                    assert server.process.wait(20) not in {0, -9}, trace.injected()
                    late = [one for one in ledger.acknowledged if one.begun_at > failed[0]]
                    assert late == [], f"acknowledged after {trace.injected()}"
                else:
                    assert code == 0 or trace.injected()
            with server:
                found = account(ledger, sink, server.port)
                assert server.stop() == 0
            tally.add(found)
            found.check()
            shutil.rmtree(server.data)
    tally.note = f"{len(hurt)} places, the last one {max(hurt, default=0)}"
    assert hurt, "no life met its fault"
