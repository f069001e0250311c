"""The attempts of one transport that wait for a connection, by priority.

The smaller priority goes first, within one the one that waits longest. An attempt that has waited for
``AGED_S`` goes before any other, so that a stream of codes delays the rest and never stops it.
"""

from collections import deque

from postroom.egress.link import Job

AGED_S = 10.0
"""Longer than a queue this short takes on a server that works."""
_PRIORITIES = 4


class Waiting:
    """A queue of attempts."""

    __slots__ = ("_count", "_queues")

    def __init__(self) -> None:
        """Start empty."""
        self._queues: tuple[deque[Job], ...] = tuple(deque() for _ in range(_PRIORITIES))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put an attempt behind those of its priority."""
        self._queues[_number(job)].append(job)
        self._count += 1

    def add_again(self, job: Job) -> None:
        """Put an attempt that was begun before those of its priority."""
        self._queues[_number(job)].appendleft(job)
        self._count += 1

    def peek(self, now: float) -> Job | None:
        """Return the next attempt whose caller still waits, and leave it; ``now`` is monotonic."""
        while self._count:
            queue = self._next(now)
            if not queue[0].future.done():
                return queue[0]
            queue.popleft()
            self._count -= 1
        return None

    def take(self, now: float) -> Job | None:
        """Take the next attempt whose caller still waits; ``now`` is monotonic."""
        while self._count:
            job = self._next(now).popleft()
            self._count -= 1
            if not job.future.done():
                return job
        return None

    def _next(self, now: float) -> deque[Job]:
        """Return the queue whose turn it is; at least one is not empty."""
        first: deque[Job] | None = None
        for queue in self._queues:
            if not queue:
                continue
            if first is None:
                first = queue
                if len(queue) == self._count:
                    return queue
            elif now - queue[0].begun_at > AGED_S and queue[0].begun_at < first[0].begun_at:
                first = queue
        return first if first is not None else self._queues[0]


def _number(job: Job) -> int:
    return min(max(job.work.priority, 1), _PRIORITIES) - 1
