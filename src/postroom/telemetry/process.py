"""The process as the operating system sees it: descriptors, memory, time; and how late its event loop is.

Linux only. Reading costs some tens of microseconds and is done when somebody looks, or a few times a second.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from postroom.clock import Clock
from postroom.telemetry import catalogue
from postroom.telemetry.logs import logger

LOOK_S: Final = 0.25
"""How often the event loop is asked to come back."""
ALARM_S: Final = 0.25
"""Later than this is an alarm (reliability rule F7): whatever waits for the loop waits that long."""
OVERLOAD_S: Final = 1.0
"""Later than this twice in a row means more work than the process can do: new mail is refused early."""
QUIET_S: Final = 10.0
"""Alarms within this after one that was logged are counted only."""
WANTED_DESCRIPTORS: Final = 65_536
"""More are never needed: every bound of connections is below it."""

_DESCRIPTORS = Path("/proc/self/fd")
_log = logger("process")


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system lets us, at most ``WANTED_DESCRIPTORS``; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may forbid it; then the present limit holds
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max_descriptors()


def max_descriptors() -> int:
    """Return how many descriptors this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def open_descriptors() -> int:
    """Return how many descriptors are open; all of them when there is none left to count with."""
    try:
        return len(list(_DESCRIPTORS.iterdir())) - 1  # the one that reads the directory
    except OSError:
        return max_descriptors()


def resident_bytes() -> int:
    """Return the memory in use, 0 when the system does not tell."""
    return resident_bytes_of("self")


def resident_bytes_of(pid: int | str) -> int:
    """Return the memory a process uses, in bytes; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def show_process() -> None:
    """Fill the gauges of the process."""
    catalogue.DESCRIPTORS.show(open_descriptors())
    catalogue.MAX_DESCRIPTORS.show(max_descriptors())
    catalogue.RESIDENT.show(resident_bytes())
    catalogue.CPU_SECONDS.reach(time.process_time())


class LoopWatch:
    """Notes how late the event loop is."""

    def __init__(self, clock: Clock) -> None:
        """Begin on time."""
        self._clock = clock
        self._quiet_until = 0.0
        self._late = 0
        """Looks in a row that came very late."""

    @property
    def is_overloaded(self) -> bool:
        """Whether more is asked than can be done."""
        return self._late > 1

    def note(self, lag_s: float) -> None:
        """Count one look, and alarm when it came late."""
        self._late = self._late + 1 if lag_s > OVERLOAD_S else 0
        catalogue.LOOP_LAG_SECONDS.observe(lag_s)
        if lag_s <= ALARM_S:
            return
        catalogue.LOOP_ALARMS.count()
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            _log.warning("the event loop is late", lag_ms=round(lag_s * 1000))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            expected = self._clock.monotonic() + LOOK_S
            await self._clock.sleep(LOOK_S)
            self.note(max(0.0, self._clock.monotonic() - expected))


@asynccontextmanager
async def watched_loop(clock: Clock) -> AsyncIterator[LoopWatch]:
    """Watch the running event loop until the block ends."""
    watch = LoopWatch(clock)
    task = asyncio.create_task(watch.run(), name="loop watch")
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
