"""A person at a terminal: ``postroom`` in a process of its own behind a pseudo-terminal.

with Terminal("setup", cwd=directory, environ={}) as terminal:
terminal.answers("Mail address", "app@acme.example")     waits for the words, then types
terminal.code, terminal.shown
"""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

WAIT_S = 40.0
_PROGRAM = (
    "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from postroom.cli import main; main()"
)
"""Takes the terminal as the one that controls it, as a shell's child has it."""


class Terminal:
    """``code`` is that of the command once its block has ended; ``shown`` is all that was on the screen."""

    def __init__(self, *args: str, cwd: Path, environ: Mapping[str, str]) -> None:
        self._args = [sys.executable, "-c", _PROGRAM, *args]
        self._cwd = cwd
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "200",
            **environ,
        }
        self.shown = ""
        self.code: int | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            self._args,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self._cwd,
            env=self._environ,
            start_new_session=True,
        )
        os.close(slave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        else:
            while self._read():
                pass
        self.code = self._process.wait()
        os.close(self._master)

    def waits_for(self, words: str) -> None:
        """Wait until the words are on the screen after what was waited for before."""
        while words not in self.shown[self._seen :]:
            assert self._read(), f"ended before {words!r}:\n{self.shown}"
        self._seen = self.shown.index(words, self._seen) + len(words)

    def answers(self, words: str, typed: str) -> None:
        """Wait for the words of a question, and type the answer."""
        self.waits_for(words)
        os.write(self._master, f"{typed}\n".encode())

    def breaks_off(self, words: str) -> None:
        """Wait for the words and press Ctrl-C."""
        self.waits_for(words)
        os.write(self._master, b"\x03")

    def _read(self) -> bool:
        """Read what came; say whether more may come."""
        began = time.monotonic()
        ready, _, _ = select.select([self._master], [], [], WAIT_S)
        assert ready, f"nothing for {time.monotonic() - began:.0f} s:\n{self.shown}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
