"""Fault injection by strace into a running server: kill it, or fail or delay a call, at the n-th one.

strace counts for each thread by itself. The server waits until it is traced, so that the calls of its
start are counted too.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peers.postroom_process import PostroomProcess

_INJECTED = re.compile(r"(?m)^(?:\d+ +)?(\d+\.\d+) (.*) \((?:INJECTED|DELAYED)\)$")


@dataclass(slots=True)
class Trace:
    """What strace saw."""

    output: Path

    def injected(self) -> list[tuple[float, str]]:
        """Return wall time and text of each call that was failed or delayed."""
        return [
            (float(at), text) for at, text in _INJECTED.findall(self.output.read_text("utf-8", "replace"))
        ]


@contextlib.contextmanager
def traced_start(server: PostroomProcess, calls: str, injection: str, *, output: Path) -> Iterator[Trace]:
    """Start a forked server under strace and do not wait until it is ready.

    Args:
        server: one that is forked.
        calls: an expression of strace's ``trace``, say ``fdatasync`` or ``/^rename``.
        injection: what happens, say ``signal=SIGKILL:when=3`` or ``error=EIO:when=3``.
        output: file for what is seen.
    """
    server.spawn(is_waiting=True)
    assert server.process is not None
    command = ["strace", "-f", "-y", "-ttt", "-o", str(output), "-p", str(server.process.pid)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{injection}", "-e", "signal=none"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            assert "attached" in strace.stderr.readline()
            server.let_go()
            yield Trace(output)
        finally:
            # Killed, not asked: strace would wait for tracees, and a killed one lets them run on.
            if server.process.poll() is None:
                server.kill()
            strace.terminate()
            strace.communicate(timeout=20)
