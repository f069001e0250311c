"""Requests that wait for a process, taken in turns: what waits for one template does not hold up others.

Pure. Requests of one template are taken in the order in which they came.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postroom.model.template import CompiledTemplate
from postroom.renderer.frames import Frame

if TYPE_CHECKING:
    import asyncio


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """One request."""

    frame: bytes
    template: CompiledTemplate | None
    """What is rendered; ``None`` for compiling."""
    turn: str
    """What takes turns: the digest of a template, the name of a source."""
    answer: "asyncio.Future[Frame]"
    is_second: bool = False
    """A process ended with it already."""


class Turns:
    """A queue with one line for each template."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: OrderedDict[str, deque[Job]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return self._size

    def __iter__(self) -> Iterator[Job]:
        """Go through all of them, line by line."""
        for line in self._lines.values():
            yield from line

    def append(self, job: Job) -> None:
        """Put a request at the end of its line."""
        self._lines.setdefault(job.turn, deque()).append(job)
        self._size += 1

    def put_back(self, job: Job) -> None:
        """Put a request to the front, and give its line the next turn."""
        self._lines.setdefault(job.turn, deque()).appendleft(job)
        self._lines.move_to_end(job.turn, last=False)
        self._size += 1

    def take(self) -> Job:
        """Take the first of the line whose turn it is. Raises KeyError when nothing waits."""
        turn, line = self._lines.popitem(last=False)
        job = line.popleft()
        self._size -= 1
        if line:
            self._lines[turn] = line
        return job

    def clear(self) -> None:
        """Drop all."""
        self._lines.clear()
        self._size = 0
