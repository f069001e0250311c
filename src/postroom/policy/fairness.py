"""How the lanes share what can be sent now: who may take how many of the next slots.

Pure. A lane is (tenant, class, fresh or again). The slots are shared level by level, and at each level by
weight among those that wait; what one does not use the others of its level get:

1. fresh mail 4, mail that is tried again 1: retries have a fifth while new mail waits;
2. one-time codes 7, everything else 1: codes go first and never have more than seven of eight;
3. alert 8, transactional 4, bulk 1;
4. tenants: 1 each.

Every slot goes to the place whose turn is next, and each turn moves all others nearer to theirs. How far
those that still wait are from their turn is carried to the next claim: that is how they age, without a clock,
however small the claims are. Nothing starves: at a level a place of weight w waits for at most the sum of
1 + floor(v / w) slots of that level over the weights v of the others there, and then has its turn. A place in
which nothing waited has saved nothing up and begins a whole turn away.

Reserved slots are for codes alone, are given first, and are not counted as anybody's share.
"""

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
    tree.give_codes(room - common)
    tree.give((), min(common, tree.places[()].left))
    return Share(tree.taken, tree.turns())


class _Place:
    """A lane, or a level with the places below it."""

    __slots__ = ("left", "now", "strides", "turns")

    def __init__(self, strides: Mapping[object, int]) -> None:
        self.left = 0
        """How many wait below."""
        self.turns: dict[object, int] = {}
        """When it is the turn of whom, counted like ``now``; only of those that wait."""
        self.strides = strides
        self.now = 0


class _Tree:
    """The lanes that wait, by level."""

    def __init__(self, waiting: Mapping[Lane, int], turns: Turns) -> None:
        self.taken: dict[Lane, int] = {}
        self.places: dict[Path, _Place] = {}
        for lane in sorted(waiting, key=_order):
            path: Path = (lane.is_retry, lane.priority == CODE, lane.priority, lane.tenant)
            for depth in range(len(path) + 1):
                self._place(path[:depth], turns).left += waiting[lane]

    def _place(self, path: Path, turns: Turns) -> _Place:
        found = self.places.get(path)
        if found is None:
            found = self.places[path] = _Place(_STRIDES[min(len(path), 3)])
            if path:
                level, key = self.places[path[:-1]], path[-1]
                level.turns[key] = turns.get(path, level.strides.get(key, _STRIDE))
        return found

    def give(self, path: Path, room: int) -> None:
        """Give slots to a place; no more than wait there."""
        place = self.places[path]
        place.left -= room
        if len(path) == len(_STRIDES):
            is_retry, _, priority, tenant = path
            lane = Lane(str(tenant), int(str(priority)), bool(is_retry))
            self.taken[lane] = self.taken.get(lane, 0) + room
            return
        for key, count in self._divided(path, place, room).items():
            self.give((*path, key), count)

    def _divided(self, path: Path, level: _Place, room: int) -> dict[object, int]:
        """Say who has how many of a level's slots: each goes to whose turn is next, the first of equals."""
        turns, strides = level.turns, level.strides
        counts: dict[object, int] = {}
        left = {key: self.places[*path, key].left for key in turns}
        for given in range(room):
            if len(turns) == 1:  # nobody else's turn comes nearer
                (key,) = turns
                counts[key] = counts.get(key, 0) + room - given
                if counts[key] == left[key]:
                    turns.clear()
                break
            key = min(turns, key=turns.__getitem__)
            level.now = turns[key]
            counts[key] = counts.get(key, 0) + 1
            if counts[key] < left[key]:
                turns[key] += strides.get(key, _STRIDE)
            else:
                del turns[key]
        return counts

    def give_codes(self, room: int) -> None:
        """Give slots to codes alone, fresh ones first; no other lane comes nearer to its turn by it."""
        for is_retry in (False, True):
            path: Path = (is_retry, True)
            if room and path in self.places:
                count = min(room, self.places[path].left)
                room -= count
                self.give(path, count)
                for above in (path[:1], ()):
                    self.places[above].left -= count
                for place in (path, path[:1]):
                    if not self.places[place].left:
                        del self.places[place[:-1]].turns[place[-1]]

    def turns(self) -> Turns:
        """Return how far each place that still waits is from its turn."""
        return {
            (*path, key): at - place.now
            for path, place in self.places.items()
            for key, at in place.turns.items()
        }


def _order(lane: Lane) -> tuple[bool, int, str]:
    return lane.is_retry, lane.priority, lane.tenant
