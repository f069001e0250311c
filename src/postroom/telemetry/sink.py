"""Where finished records go: a bounded queue, and a thread that writes them to standard error.

Rules (reliability rule G6): whoever logs never waits, not for a pipe whose reader sleeps and not for a full
disk; what finds the queue full is dropped and counted, and the next record that is written says how many;
``flush`` at the end of the process waits ``FLUSH_S`` and no longer.

The thread is started by the first record, so that a program that logs nothing has none.
"""

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from select import PIPE_BUF
from typing import Final

from postroom.telemetry.catalogue import LOG_DROPPED

MAX_RECORDS: Final = 10_000
"""Records that wait (security limit): a few megabytes, some seconds of the busiest log."""
FLUSH_S: Final = 2.0
"""Seconds the end of the process waits for a reader of the log."""
_AT_ONCE: Final = 64
"""Records of one write: a system call for each would be the dearest part of it."""


class Sink:
    """One file descriptor that log records are written to, a line each."""

    def __init__(self, descriptor: int, *, max_records: int = MAX_RECORDS) -> None:
        """Take an open descriptor; it stays the caller's."""
        self._descriptor = descriptor
        self._max_records = max_records
        self._records: deque[str] = deque()
        self._has_records = threading.Condition()
        self._is_writing = False
        self._thread: threading.Thread | None = None
        self._dropped = 0
        """Since the last record that was written."""

    def write(self, record: str) -> None:
        """Queue one record, without its line end; never waits."""
        with self._has_records:
            if len(self._records) >= self._max_records:
                self._dropped += 1
                LOG_DROPPED.count()
                return
            self._records.append(record)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
            self._has_records.notify()

    def flush(self, seconds: float = FLUSH_S) -> bool:
        """Wait until everything is written, at most ``seconds``; say whether it is."""
        with self._has_records:
            return self._has_records.wait_for(lambda: not self._records and not self._is_writing, seconds)

    def _run(self) -> None:
        while True:
            with self._has_records:
                self._is_writing = False
                self._has_records.notify_all()
                self._has_records.wait_for(lambda: self._records)
                self._is_writing = True
                lines = [self._records.popleft() for _ in range(min(_AT_ONCE, len(self._records)))]
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.append(f'{{"event": "log records dropped", "level": "warning", "count": {dropped}}}')
            for chunk in whole_lines(lines):
                self._write_all(chunk)

    def _write_all(self, data: bytes) -> None:
        # A log that cannot be written (closed, disk full) has nobody to be told; the records are lost.
        with suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def whole_lines(records: Iterable[str]) -> Iterator[bytes]:
    """Put records into pieces that the kernel writes to a pipe as a whole.

    The server and its sender process share standard error; a larger write of one may be cut by the other's.
    A single record that is larger stays by itself.
    """
    piece = b""
    for record in records:
        line = record.encode("utf-8", "backslashreplace") + b"\n"
        if piece and len(piece) + len(line) > PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


class StandardError(Sink):
    """Standard error of this process; flushed at its end."""

    def __init__(self) -> None:
        """Find the descriptor; a process without standard error writes to nowhere."""
        try:
            descriptor = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):
            descriptor = -1
        super().__init__(descriptor)
        atexit.register(self.flush)
