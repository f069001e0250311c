"""One process that compiles or renders: started when there is work, killed when it is late, started again.

It gets a few requests at once, while they are quick, and answers them in order. When it ends, the first that
has no answer is what it was at: late, it fails; else it is asked once more, for others end processes too.
Those behind it are asked again of its successor. A process that ends before it can work is followed by a
pause, doubled each time.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import cast

from postroom.clock import Clock
from postroom.errors import InputError, OverloadError, Problem
from postroom.renderer.frames import READY, TEMPLATE, Kept, frames_in, packed_object
from postroom.renderer.turns import Job, Turns
from postroom.telemetry import catalogue, logger

COMMAND = (sys.executable, "-P", "-m", "postroom.renderer.worker")
"""``-P``: a file of the working directory that is named like a module is not taken for it."""
IN_FLIGHT = 16
"""Requests a process has at once: enough that none waits for the way back, few enough to share the work."""
QUICK_S = 0.02
"""Answers that take longer are waited for one by one, so that others get their turn between them."""
GRACE_S = 1.0
"""How long a process may go on after its own alarm rang, before it is killed."""
START_LIMIT_S = 30.0
"""How long a process may take to be ready: half a second, and more on a machine under load."""
RESTART_FIRST_S = 0.5
RESTART_CAP_S = 30.0
"""Pause behind a process that ended before it could work; doubled each time."""
END_S = 5.0
"""How long a process may take to end when its end of the socket pair closes."""
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
)
"""Environment variables that a process is given; templates are others' text, so it knows nothing else."""

log = logger("renderer")


class WorkerProcess(asyncio.Protocol):
    """One process at a time, fed from a queue that may feed others too."""

    def __init__(
        self,
        waiting: Turns,
        *,
        time_limit_s: float,
        first: bytes,
        clock: Clock,
        paused: Callable[[], None],
    ) -> None:
        """Start nothing.

        Args:
            waiting: Requests that any process may take.
            time_limit_s: Of one request.
            first: The frame with the settings.
            clock: For pauses.
            paused: Called when a pause begins.
        """
        self._waiting = waiting
        self._limit_s = time_limit_s
        self._first = first
        self._clock = clock
        self._paused = paused
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._life: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        """When the first of the jobs became so, in seconds of the event loop."""
        self._read = bytearray()
        self._out: list[bytes] = []
        self._sent = Kept()
        self._is_ready = False
        self._room = 1
        """Requests it may have at once."""
        self._is_late = False
        self._has_worked = False
        self._is_closing = False
        self._next_pause_s = RESTART_FIRST_S
        self.jobs: deque[Job] = deque()
        """What the process has, the one it is at first."""
        self.pause_s = 0.0
        """While it waits to be started again: how long."""

    @property
    def pid(self) -> int | None:
        """Number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def feed(self) -> None:
        """Hand over what waits, as far as there is room; start the process when there is none."""
        if self._life is None and not self._is_closing:
            self._life = asyncio.get_running_loop().create_task(self._live(), name="renderer")
        while self._is_ready and len(self.jobs) < self._room and (job := self._next()) is not None:
            if not self.jobs:
                self._watch()
            self.jobs.append(job)
            self._send(job)

    async def close(self) -> None:
        """End the process; what it has is refused."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.close()
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait({self._life})
        await asyncio.to_thread(self._reap)
        for job in self.jobs:
            if not job.answer.done():
                job.answer.set_exception(OverloadError("the server stops", retry_after_s=1.0))

    def _next(self) -> Job | None:
        while self._waiting:
            job = self._waiting.take()
            if not job.answer.done():  # its caller has not gone meanwhile
                return job
        return None

    def _send(self, job: Job) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        if (template := job.template) is not None:
            if template.digest not in self._sent:
                self._out.append(packed_object(TEMPLATE, template))
                self._sent.add(template, None)
            self._sent.use(template.digest)
        self._out.append(job.frame)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    # ------------------------------------------------------------------ life

    async def _live(self) -> None:
        """Run one process after another, as long as there is work."""
        while True:
            try:
                self._start(*socket.socketpair())
                await self._connected()
                await self._gone.wait()
            except OSError as error:
                log.critical("a rendering process cannot be started", error=str(error))
            self._is_ready = False
            await asyncio.to_thread(self._reap)
            self._settle()
            if not self._is_late and not self._has_worked:
                await self._pause()
            else:
                self._next_pause_s = RESTART_FIRST_S
            if not self._waiting:
                self._life = None  # the next request starts it
                return

    def _start(self, ours: socket.socket, theirs: socket.socket) -> None:
        """Start the process. Raises OSError."""
        self._ours = ours
        self._gone.clear()
        self._sent.clear()
        self._read.clear()
        self._out.clear()
        self._is_late = self._has_worked = False
        self._room = 1
        try:
            # Not in a thread: the kernel ties the child's life to the thread that starts it.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    async def _connected(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self._ours)
        self._watch()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _settle(self) -> None:
        """Fail what the process was at, or have it tried again; what it had not begun waits again."""
        catalogue.RENDERER_ENDS.count(("late" if self._is_late else "died",))
        job = self.jobs.popleft() if self.jobs else None
        while self.jobs:
            self._waiting.put_back(self.jobs.pop())
        if job is not None:
            cause = (
                f"takes longer than {self._limit_s:g} s"
                if self._is_late
                else "ended the process that works on it, as by using too much memory"
            )
            log.warning("a rendering process ended", cause=cause, waiting=len(self._waiting))
            if not self._is_late and not job.is_second:
                job.is_second = True
                self._waiting.append(job)  # last: what waits behind it has not ended a process
            elif not job.answer.done():
                job.answer.set_exception(InputError([_ended(cause)]))

    async def _pause(self) -> None:
        self.pause_s, self._next_pause_s = self._next_pause_s, min(self._next_pause_s * 2, RESTART_CAP_S)
        log.critical("a rendering process ended before it could work", pause_s=self.pause_s)
        self._paused()
        await self._clock.sleep(self.pause_s)
        self.pause_s = 0.0

    # ------------------------------------------------------------------ being late

    def _watch(self) -> None:
        """Begin to wait for an answer."""
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(self._deadline(), self._ring)

    def _forget_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deadline(self) -> float:
        return self._since + (self._limit_s + GRACE_S if self._is_ready else START_LIMIT_S)

    def _ring(self) -> None:
        self._timer = None
        if self._process is None or (self._is_ready and not self.jobs):
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline():
            self._timer = loop.call_at(self._deadline(), self._ring)
            return
        self._is_late = self._is_ready
        self._process.kill()

    # ------------------------------------------------------------------ what comes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the settings first."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._first)

    def data_received(self, data: bytes) -> None:
        """Hand every answer to who waits for it."""
        self._read += data
        now = asyncio.get_running_loop().time()
        for frame in frames_in(self._read):
            if frame[0] == READY:
                self._is_ready = self._has_worked = True
                self._forget_time()  # requests have less of it than a start
            else:
                job = self.jobs.popleft()
                if not job.answer.done():
                    job.answer.set_result(frame)
                is_quick = now - self._since < QUICK_S
                self._room = min(self._room * 2, IN_FLIGHT) if is_quick else 1
            self._since = now
        self.feed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The process is gone, however it went."""
        self._transport = None
        self._is_ready = False
        self._forget_time()
        self._gone.set()


def _ended(cause: str) -> Problem:
    return Problem(
        code="template-limit",
        field="template",
        cause=cause,
        fix="Give the template less to do: fewer items, shorter values.",
    )
