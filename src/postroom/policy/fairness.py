"""How the lanes share what can be sent now: who may take how many of the next slots.

Pure. A lane is (tenant, class, fresh or again). The slots are shared level by level, and at each level by
weight among those that wait; what one does not use the others of its level get:

1. fresh mail 4, mail that is tried again 1: retries have a fifth while new mail waits;
2. one-time codes 7, everything else 1: codes go first and never have more than seven of eight;
3. alert 8, transactional 4, bulk 1;
4. tenants: 1 each.

Every slot goes to the place whose turn is next, and each turn moves all others nearer to theirs. How far those
that still wait are from their turn is carried to the next claim: that is how they age, without a clock, however
small the claims are. Nothing starves: at a level a place of weight w waits for at most the sum of
1 + floor(v / w) slots of that level over the weights v of the others there, and then has its turn. A place in
which nothing waited has saved nothing up and begins a whole turn away.

Reserved slots are for codes alone and are not counted as anybody's share.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

CODE = 1
"""Priority of one-time codes."""

_STRIDE = 840
"""What one slot costs a lane of weight 1; divisible by every weight."""
_STRIDES: tuple[Mapping[object, int], ...] = (
    {False: _STRIDE // 4, True: _STRIDE},
    {True: _STRIDE // 7, False: _STRIDE},
    {1: _STRIDE, 2: _STRIDE // 8, 3: _STRIDE // 4, 4: _STRIDE},
    {},
)
"""What a slot costs at each level; of a tenant, and of a priority nobody knows, ``_STRIDE``."""

Path = tuple[object, ...]


class Lane(NamedTuple):
    """The unit of fairness."""

    tenant: str
    priority: int
    """1 codes, 2 alerts, 3 transactional, 4 bulk."""
    is_retry: bool


Turns = Mapping[Path, int]
"""How far each place that waits is from its turn; what is not named is a whole turn away."""


class Share(NamedTuple):
    """What a claim may take."""

    taken: Mapping[Lane, int]
    turns: Turns
    """For the next call."""


def share(waiting: Mapping[Lane, int], *, room: int, reserved: int, turns: Turns) -> Share:
    """Divide slots among lanes.

    Args:
        waiting: How many wait in each lane; more than ``room`` makes no difference.
        room: Slots in all.
        reserved: Slots of ``room`` that only codes may take.
        turns: What the call before returned.
    """
    codes = sum(count for lane, count in waiting.items() if lane.priority == CODE)
    others = sum(waiting.values()) - codes
    common = max(room - reserved, 0)
    if others <= common and others + codes <= room:
        return Share(waiting, {})
    if len(waiting) == 1:
        return Share(dict.fromkeys(waiting, room if codes else common), {})
    tree = _Tree(waiting, turns)
    taken = [tree.root.take() for _ in range(min(common, others + codes))]
    taken += tree.take_codes(room - len(taken))
    return Share(Counter(taken), tree.turns())


class _Place:
    """A lane, or a level with the places below it."""

    __slots__ = ("below", "lane", "left", "now", "strides", "turns")

    def __init__(self, *, strides: Mapping[object, int], lane: Lane | None = None) -> None:
        self.strides = strides
        self.lane = lane
        self.left = 0
        self.below: dict[object, _Place] = {}
        self.turns: dict[object, int] = {}
        """When it is the turn of whom, counted like ``now``."""
        self.now = 0

    def take(self) -> Lane:
        """Give one slot to the place whose turn is next; the first of equals."""
        self.left -= 1
        if self.lane is not None:
            return self.lane
        key = min(self.turns, key=self.turns.__getitem__)
        self.now = self.turns[key]
        place = self.below[key]
        lane = place.take()
        if place.left:
            self.turns[key] += self.strides.get(key, _STRIDE)
        else:
            del self.turns[key]
        return lane


class _Tree:
    """The lanes that wait, by level."""

    def __init__(self, waiting: Mapping[Lane, int], turns: Turns) -> None:
        self._before = turns
        self._places: dict[Path, _Place] = {}
        self.root = self._place((), None)
        for lane in sorted(waiting, key=_order):
            path: Path = (lane.is_retry, lane.priority == CODE, lane.priority, lane.tenant)
            place = self.root
            for depth in range(len(path) + 1):
                place = self._place(path[:depth], lane if depth == len(path) else None)
                place.left += waiting[lane]

    def _place(self, path: Path, lane: Lane | None) -> _Place:
        found = self._places.get(path)
        if found is None:
            found = self._places[path] = _Place(strides=_STRIDES[min(len(path), 3)], lane=lane)
            if path:
                level, key = self._places[path[:-1]], path[-1]
                level.below[key] = found
                level.turns[key] = self._before.get(path, level.strides.get(key, _STRIDE))
        return found

    def take_codes(self, room: int) -> list[Lane]:
        """Give slots to codes alone, fresh ones first; it is on no other lane's account."""
        taken: list[Lane] = []
        for is_retry in (False, True):
            codes = self._places.get((is_retry, True))
            if codes is not None:
                taken += [codes.take() for _ in range(min(room - len(taken), codes.left))]
        return taken

    def turns(self) -> Turns:
        """Return how far each place that still waits is from its turn."""
        return {
            (*path, key): at - place.now
            for path, place in self._places.items()
            for key, at in place.turns.items()
            if place.below[key].left
        }


def _order(lane: Lane) -> tuple[bool, int, str]:
    return lane.is_retry, lane.priority, lane.tenant
