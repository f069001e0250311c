"""A real ``postroom serve`` in a process of its own, forked from one that has loaded it.

Loading it takes most of a start: it is started as a user does where the start is what a test is about.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from peers.fork_server import Forked, ForkServer

UNBENT = ForkServer(processors=None)
KEY = "test-bootstrap-key-0123456789"
START_S = 20.0


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


FREEZE_S = 10.0
_FROZEN = frozenset("TtDZX")
"""States of a thread that runs no instruction of the program: stopped, in a system call that cannot be
interrupted, or gone (proc_pid_stat(5))."""


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "X"


class PostroomProcess:
    """``with PostroomProcess(data) as server``: started and ready; ended at exit."""

    def __init__(
        self,
        data: Path,
        *,
        environ: dict[str, str] | None = None,
        args: tuple[str, ...] = (),
        home: Path | None = None,
        forks: ForkServer = UNBENT,
        under: tuple[str, ...] = (),
        is_from_shell: bool = False,
    ) -> None:
        """Take what ``serve`` is given.

        Its log and working directory are ``home``, beside the data by default; ``forks`` starts it; with
        ``is_from_shell`` it is started as a shell does it, and so with ``under``, a program that runs it.
        """
        self._home = home or data.parent
        self.port = free_port()
        self.data = data
        self._args = args
        self._forks = forks
        self._under = under
        self._is_from_shell = is_from_shell or bool(under)
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "POSTROOM_API_KEY": KEY,
            **(environ or {}),
        }
        self.log = self._home / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def url(self) -> str:
        """The address of the HTTP doors."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until the server says it is ready."""
        self.spawn()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the server says it is ready, and has written the key of the command line after that."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                if self.call("GET", "/readyz")[0] == 200 and (self.data / "cli.key").exists():
                    return
            except OSError:
                pass
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"postroom did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.01)

    def let_go(self) -> None:
        """Let a server that waits for it begin."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def spawn(self, *, is_waiting: bool = False) -> None:
        """Start it and do not wait; a forked one may wait before its first step."""
        args = ["serve", "--data", str(self.data), "--http", f"127.0.0.1:{self.port}", *self._args]
        if not self._is_from_shell:
            self.process = self._forks.spawn(
                args, self._environ, home=self._home, log=self.log, is_waiting=is_waiting
            )
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._under, str(Path(sys.executable).parent / "postroom"), *args],
                env=self._environ,
                cwd=self._home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Make one call with the bootstrap key; return status and decoded JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **(headers or {})}
            payload = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, payload, sent)
            answer = connection.getresponse()
            raw = answer.read()
            kind = answer.headers.get_content_type()
            return answer.status, json.loads(raw) if kind.endswith("json") else raw
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP, and return when no thread runs any more; one in a system call ends it and stops then."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        deadline = time.monotonic() + FREEZE_S
        while any(_state(thread) not in _FROZEN for thread in threads.iterdir()):
            assert time.monotonic() < deadline, "the server does not stop at SIGSTOP"
            time.sleep(0)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
