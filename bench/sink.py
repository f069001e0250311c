"""Counting at the far end: one counter for every peer, the one of the sink."""

import time

from peers.sink import Sink

POLL_S = 0.01


class StalledError(RuntimeError):
    """Nothing arrived at the sink for a long time, and something was still missing."""


def wait_for(sink: Sink, count: int, *, stall_s: float = 60.0) -> float:
    """Return the monotonic time at which the sink had ``count`` messages.

    Raises StalledError when nothing arrived for ``stall_s`` seconds before that.
    """
    last, last_at = -1, time.perf_counter()
    while True:
        received, now = sink.received(), time.perf_counter()
        if received >= count:
            return now
        if received != last:
            last, last_at = received, now
        elif now - last_at > stall_s:
            raise StalledError(f"the sink has {received} of {count} messages and gets no more")
        time.sleep(POLL_S)
