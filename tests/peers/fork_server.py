"""Starts ``postroom`` by forking a process that has loaded it: hundreds of lives in a minute.

As a program it is the parent: it reads one JSON request a line and answers with one. A child runs the command
line of ``postroom`` as a start from the shell does. A test process has one parent for all; it and its
children end with the test process.

A child may be bent in ways no setting offers, so that a harness can be shown to see what it claims to see,
and so that hours pass in seconds:

* ``synchronous``: the store's durability setting, say NORMAL, the negative control of the power cut;
* ``processors``: how many the machine seems to have, ``None`` for what it has; with one the dialogues are led
  by the server itself, with more by a sender process, which is bent by ``poison`` alone and takes a second to
  start;
* ``speed``: how many seconds pass for Postroom in one; timers and timeouts included;
* ``shift``: a file with seconds that are added to the wall clock;
* ``poison``: a subject that kills the process at its attempt.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PR_SET_PDEATHSIG = 1


class Forked:
    """A forked server: the part of ``subprocess.Popen`` that the tests use."""

    def __init__(self, pid: int, parent: "Parent") -> None:
        """Take the pid of a process that is not our child, and who knows its exit code."""
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the exit code, ``None`` while it runs."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("postroom", timeout or 0)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def _reap(self) -> None:
        self.returncode = self._parent.ask({"wait": self.pid})
        os.close(self._end)

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The process that forks. May be asked by several threads."""

    def __init__(self) -> None:
        """Start it; it ends with its standard input, so at the latest with this process."""
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.ask({"ready": True}) == 0
        atexit.register(self.end)

    def end(self) -> None:
        """End it and its children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def ask(self, request: Mapping[str, object]) -> int:
        """Its answers are numbers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


parent = cache(Parent)
"""One for all: to load the program takes longer than most tests."""


class ForkServer:
    """``with ForkServer() as forks``: ``forks.spawn`` starts a server; all end at exit."""

    def __init__(
        self,
        *,
        processors: int | None = 1,
        speed: float = 1.0,
        synchronous: str = "",
        poison: str = "",
    ) -> None:
        """Say how every child is bent."""
        self._children: list[Forked] = []
        self._bends = {
            "processors": processors,
            "speed": speed,
            "began": (time.time(), time.monotonic()),  # the same for all: time goes on from life to life
            "synchronous": synchronous,
            "poison": poison,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
            child.wait(20)

    def spawn(
        self, args: list[str], environ: Mapping[str, str], *, home: Path, log: Path, is_waiting: bool
    ) -> Forked:
        """Start ``postroom`` with these arguments; a waiting one begins at SIGCONT."""
        request = {
            "args": args,
            "bends": self._bends,
            "environ": dict(environ),
            "cwd": str(home),
            "log": str(log),
            "is_waiting": is_waiting,
        }
        child = Forked(parent().ask(request), parent())
        self._children = [one for one in self._children if one.poll() is None] + [child]
        return child


# --------------------------------------------------------------------------- the parent


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _main() -> None:
    from postroom.cli import app  # noqa: PLC0415 - loaded here, once for all children

    _load()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})  # kept for a child that is not there yet
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "args" in request:
            pid = os.fork()
            if pid == 0:
                _live(app, request)
            children.add(pid)
            answer = pid
        elif "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            children.discard(request["wait"])
        else:
            answer = 0
        print(answer, flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _load() -> None:
    """Import and make what ``serve`` imports and makes when it runs."""
    import postroom.bootstrap.serve  # noqa: PLC0415
    import postroom.cli.show  # noqa: PLC0415
    import postroom.config.load  # noqa: F401, PLC0415
    from postroom.cli import app  # noqa: PLC0415
    from postroom.providers import replies  # noqa: PLC0415

    app._command()
    replies.rules()


def _live(app: Any, request: dict[str, Any]) -> None:
    """Be a server until its end; never return."""
    code = 70
    try:
        parent = os.getppid()
        os.setsid()
        die_with(parent)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        if shift := os.environ.get("FAULTS_SHIFT"):
            _shift_wall_clock(Path(shift))
        bend(**request["bends"])
        if request["is_waiting"]:
            signal.sigwait({signal.SIGCONT})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCONT})
        code = app.run(request["args"])
    except BaseException:  # noqa: BLE001 - a forked child must never go on as its parent
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# --------------------------------------------------------------------------- bends


def bend(
    *, processors: int | None, speed: float, began: tuple[float, float], synchronous: str, poison: str
) -> None:
    """Patch this process."""
    if processors is not None:
        os.cpu_count = lambda: processors
    if speed != 1.0:
        _hurry(speed, *began)
    if synchronous:
        from postroom.spool.sqlite import connection  # noqa: PLC0415

        level = {"OFF": 0, "NORMAL": 1}[synchronous]
        connection._WRITER_PRAGMAS = tuple(
            (name, synchronous, level) if name == "synchronous" else (name, value, expected)
            for name, value, expected in connection._WRITER_PRAGMAS
        )
    if poison and (os.cpu_count() or 1) > 1:
        from postroom.bootstrap import ways  # noqa: PLC0415

        ways.__dict__["COMMAND"] = (sys.executable, __file__, "sender", poison)
    elif poison:
        _poison(poison)


def _hurry(speed: float, began_wall: float, began: float) -> None:
    """Let wall clock, monotonic clock and every timer of the event loop run faster."""
    import asyncio  # noqa: PLC0415
    import selectors  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    import uvloop  # noqa: PLC0415

    from postroom.clock import SystemClock  # noqa: PLC0415

    class Selector(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> Any:
            return super().select(timeout if timeout is None or timeout <= 0 else timeout / speed)

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return began + (time.monotonic() - began) * speed

    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=lambda: Loop(Selector())) as runner:
            return runner.run(main)

    def now(_self: object) -> datetime:
        return datetime.fromtimestamp(began_wall + (time.time() - began_wall) * speed, UTC)

    def monotonic(_self: object) -> float:
        return began + (time.monotonic() - began) * speed

    uvloop.run = run  # type: ignore[assignment]  # a bend
    SystemClock.now = now  # type: ignore[method-assign, assignment]  # a bend
    SystemClock.monotonic = monotonic  # type: ignore[method-assign, assignment]  # a bend


def _shift_wall_clock(path: Path) -> None:
    """Add the seconds in a file to the machine's wall clock, looked up each time."""
    from datetime import datetime, tzinfo  # noqa: PLC0415

    from postroom import clock  # noqa: PLC0415

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=float(path.read_text() or 0))

    clock.datetime = Shifted  # type: ignore[attr-defined]  # a bend


def _poison(subject: str) -> None:
    """Let an attempt at a message with this subject kill the process."""
    from postroom.egress.smtp import SmtpTransport  # noqa: PLC0415

    usual = SmtpTransport.attempt
    header = f"\r\nSubject: {subject}\r\n".encode()

    async def attempt(self: SmtpTransport, work: Any) -> Any:
        if header in bytes(work.rendered.segments[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        return await usual(self, work)

    SmtpTransport.attempt = attempt  # type: ignore[method-assign]  # a bend


if __name__ == "__main__" and sys.argv[1:2] == ["sender"]:
    from postroom.bootstrap import sender

    _poison(sys.argv[2])
    sender.main(sys.argv[3:])
elif __name__ == "__main__":
    _main()
