"""Postfix's ``smtp-sink``: a fast SMTP server that takes everything and keeps nothing, with its own counter.

With ``-c`` it writes ``sess=N quit=N mesg=N`` and a carriage return after every final dot. The output goes to
a file in memory, of which only the end is read: a counter that costs the sink one small write a message and
the reader nothing, the same for whoever feeds it. As root it gives its privileges up and runs as ``nobody``.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.postfix import PROGRAMS, free_port, wait_for_port

_COUNTER = re.compile(rb"sess=(\d+) quit=(\d+) mesg=(\d+)\r")
MEMORY = Path("/dev/shm")  # noqa: S108 - a counter in memory, in a directory of its own made by tempfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A running ``smtp-sink``."""

    port: int
    pid: int
    output: Path

    def received(self) -> int:
        """Count the messages it has answered."""
        return self._counter(3)

    def sessions(self) -> int:
        """Count the connections that have ended, as of the last message."""
        return self._counter(1)

    def _counter(self, group: int) -> int:
        with self.output.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 120))
            found = _COUNTER.findall(file.read())
        return int(found[-1][group - 1]) if found else 0


@contextlib.contextmanager
def running(*options: str, backlog: int = 1000) -> Iterator[Sink]:
    """Start ``smtp-sink`` on a free loopback port with more options; end it afterwards."""
    program = shutil.which("smtp-sink", path=PROGRAMS)
    if program is None:
        raise FileNotFoundError("smtp-sink is not installed (it comes with Debian's postfix)")
    privileges = ("-u", "nobody") if os.geteuid() == 0 else ()
    port = free_port()
    directory = Path(tempfile.mkdtemp(prefix="sink-", dir=MEMORY if MEMORY.is_dir() else None))
    output = directory / "counters"
    try:
        with (
            output.open("wb") as file,
            _process(
                [program, "-c", *privileges, *options, f"127.0.0.1:{port}", str(backlog)], file.fileno()
            ) as process,
        ):
            wait_for_port(port)
            yield Sink(port=port, pid=process.pid, output=output)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _process(command: Sequence[str], output: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)
