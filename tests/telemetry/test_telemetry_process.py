"""The process as it is seen: descriptors, memory, and how late its event loop is."""

import asyncio
import os
import subprocess
import sys

from structlog.testing import capture_logs

from peers.manual import ManualClock
from postroom.clock import SystemClock
from postroom.telemetry.catalogue import DESCRIPTORS, LOOP_ALARMS, LOOP_LAG_SECONDS, RESIDENT
from postroom.telemetry.process import (
    LoopWatch,
    max_descriptors,
    open_descriptors,
    resident_bytes,
    show_process,
    watched_loop,
)


def test_a_late_loop_is_counted_and_told_once_in_a_while() -> None:
    """Above 250 ms each look is an alarm; the log tells the first of ten seconds."""
    clock = ManualClock()
    watch = LoopWatch(clock)
    before = LOOP_ALARMS.value()
    with capture_logs() as said:
        for lag_s in (0.0, 0.2, 0.3, 0.4):
            watch.note(lag_s)
        clock.advance(11)
        watch.note(0.5)

    assert 3 == LOOP_ALARMS.value() - before
    assert [300, 500] == [record["lag_ms"] for record in said]


def test_being_late_twice_by_a_second_is_overload() -> None:
    """One late look may be anything; two in a row mean too much work, and one in time ends it."""
    watch = LoopWatch(ManualClock())
    states = []
    for lag_s in (2.0, 0.0, 1.5, 1.5, 0.1):
        watch.note(lag_s)
        states.append(watch.is_overloaded)

    assert [False, False, False, True, False] == states


def test_a_blocked_loop_is_seen() -> None:
    """A real loop that is blocked is found late by about that much."""

    async def run() -> None:
        async with watched_loop(SystemClock()) as watch:
            assert not watch.is_overloaded
            await asyncio.sleep(0)
            threshold = LOOP_LAG_SECONDS.observed()
            subprocess.run(["sleep", "0.6"], check=True)  # noqa: ASYNC221 - blocking is what is tested
            while LOOP_LAG_SECONDS.observed() == threshold:  # noqa: ASYNC110 - the watch has no event for it
                await asyncio.sleep(0)

    before = LOOP_ALARMS.value()
    asyncio.run(run())
    assert LOOP_ALARMS.value() > before


def test_descriptors_and_memory_are_what_the_system_says() -> None:
    """An opened file is one descriptor more; the gauges show it."""
    before = open_descriptors()
    reading, writing = os.pipe()
    try:
        assert before + 2 == open_descriptors()
        show_process()
        assert f"{before + 2}" in str(next(DESCRIPTORS.samples()))
    finally:
        os.close(reading)
        os.close(writing)
    assert max_descriptors() > before
    assert resident_bytes() > 10_000_000
    assert next(RESIDENT.samples())[2] > 10_000_000


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    """A start with few descriptors takes what the system allows; they are counted also when none is left."""
    program = (
        "import os, resource\n"
        "from postroom.telemetry.process import open_descriptors, raise_descriptor_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 200))\n"
        "print(raise_descriptor_limit())\n"
        "taken = []\n"
        "try:\n"
        "    while True: taken.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: print(open_descriptors())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ["200", "200"] == ended.stdout.split()
