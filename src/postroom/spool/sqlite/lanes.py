"""Which lanes have something waiting, and the groups a claim may take from them.

A lane of the queue is (route, tenant, priority, standing) of one transport: a prefix of the index, so each is
one short walk in the order of the due times. The set of lanes is kept in memory, so that a claim asks only
for those there are; it may name lanes in which nothing waits any more, never miss one. Routes that lead to
the same transport share the lane of ``policy.fairness``.
"""

from collections.abc import Iterable
from typing import NamedTuple

import apsw

from postroom.spool.sqlite.statement import statement

_NEXT_LANE = statement("next_lane")


class Lane(NamedTuple):
    """The place of a lane in the index, behind its transport."""

    route: str
    tenant: str
    priority: int
    standing: int


class Lanes:
    """The lanes in which something may wait, by transport."""

    def __init__(self, db: apsw.Connection) -> None:
        """Read them: one step over the index for each."""
        self._lanes: dict[str, set[Lane]] = {}
        self._emptied: set[tuple[str, Lane]] = set()
        last: tuple[object, ...] | None = ("", "", "", 0, 0)
        while last is not None:
            last = db.execute(_NEXT_LANE, last).fetchone()
            if last is not None:
                transport, *lane = last
                self.add(str(transport), Lane._make(lane))

    def add(self, transport: str, lane: Lane) -> None:
        """Note that something waits in a lane."""
        lanes = self._lanes.get(transport)
        if lanes is None:
            self._lanes[transport] = {lane}
        elif lane not in lanes:
            lanes.add(lane)
        if self._emptied:
            self._emptied.discard((transport, lane))

    def of(self, transport: str) -> Iterable[Lane]:
        """Return the lanes of a transport, a copy; any thread may ask."""
        return tuple(self._lanes.get(transport, ()))

    def found_empty(self, transport: str, lane: Lane) -> None:
        """Note that nothing waits in a lane; it is forgotten when the transaction is committed."""
        self._emptied.add((transport, lane))

    def begin(self) -> None:
        """Forget what a transaction that did not happen had found."""
        self._emptied.clear()

    def committed(self) -> None:
        """Forget the lanes that were found empty."""
        for transport, lane in self._emptied:
            self._lanes[transport].discard(lane)
        self._emptied.clear()
