"""How lanes share what can be sent: shares, bounds of waiting, reserved slots."""

from collections import Counter
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.policy.fairness import Lane, Share, Turns, share

CODE, ALERT, PLAIN, BULK = (Lane("t", priority, is_retry=False) for priority in (1, 2, 3, 4))
MANY = 10_000


def again(lane: Lane) -> Lane:
    return lane._replace(is_retry=True)


def of(lane: Lane, tenant: str) -> Lane:
    return lane._replace(tenant=tenant)


def served(waiting: dict[Lane, int], *, slots: int, room: int) -> list[Lane]:
    """Return who had the slots, claim by claim, while everybody goes on waiting."""
    turns: Turns = {}
    order: list[Lane] = []
    while len(order) < slots:
        taken, turns = share(waiting, room=room, reserved=0, turns=turns)
        for lane in sorted(taken):
            order += [lane] * taken[lane]
    return order


@each(
    ("waiting", "room", "expected"),
    [
        ({}, 8, {}),
        ({PLAIN: 3}, 8, {PLAIN: 3}),
        ({PLAIN: 30}, 8, {PLAIN: 8}),
        ({CODE: 4, BULK: 4}, 8, {CODE: 4, BULK: 4}),
        ({CODE: 30, BULK: 30}, 8, {CODE: 7, BULK: 1}),
        ({CODE: 2, BULK: 30}, 8, {CODE: 2, BULK: 6}),
        ({ALERT: 30, PLAIN: 30, BULK: 30}, 13, {ALERT: 8, PLAIN: 4, BULK: 1}),
        ({ALERT: 1, PLAIN: 30, BULK: 30}, 11, {ALERT: 1, PLAIN: 8, BULK: 2}),
        ({PLAIN: 30, again(PLAIN): 30}, 10, {PLAIN: 8, again(PLAIN): 2}),
        ({PLAIN: 30, again(PLAIN): 30}, 1, {PLAIN: 1}),
        ({BULK: 30, again(ALERT): 30}, 10, {BULK: 8, again(ALERT): 2}),
        ({again(PLAIN): 30}, 10, {again(PLAIN): 10}),
        ({of(BULK, "a"): 30, of(BULK, "b"): 30, of(BULK, "c"): 1}, 9, {"a": 4, "b": 4, "c": 1}),
    ],
)
def test_one_claim_is_shared_by_weight(
    waiting: dict[Lane, int], room: int, expected: dict[Lane | str, int]
) -> None:
    """The table of shares, with what is left over given to the others."""
    taken = share(waiting, room=room, reserved=0, turns={}).taken
    named = {of(BULK, name) if isinstance(name, str) else name: count for name, count in expected.items()}
    assert named == taken


@pytest.mark.parametrize(
    ("waiting", "room", "reserved", "expected"),
    [
        ({BULK: 30}, 10, 3, {BULK: 7}),
        ({CODE: 30}, 10, 3, {CODE: 10}),
        ({CODE: 2, BULK: 30}, 10, 3, {CODE: 2, BULK: 7}),
        ({CODE: 30, BULK: 30}, 11, 3, {CODE: 10, BULK: 1}),
        ({BULK: 30}, 2, 2, {}),
        ({CODE: 1, BULK: 30}, 2, 2, {CODE: 1}),
        ({again(CODE): 1, BULK: 30}, 2, 1, {again(CODE): 1, BULK: 1}),
    ],
)
def test_reserved_slots_are_for_codes(
    waiting: dict[Lane, int], room: int, reserved: int, expected: dict[Lane, int]
) -> None:
    """Nothing but a code takes a reserved slot, and codes may take the others too."""
    taken = share(waiting, room=room, reserved=reserved, turns={}).taken
    assert expected == {lane: count for lane, count in taken.items() if count}


@pytest.mark.parametrize("room", [1, 2, 3, 5, 8, 64])
def test_shares_hold_however_small_the_claims_are(room: int) -> None:
    """Over many claims each lane has its part, also when each claim is for one."""
    waiting = dict.fromkeys([CODE, ALERT, PLAIN, BULK, again(PLAIN)], MANY)
    count = Counter(served(waiting, slots=5200, room=room))
    parts = {CODE: 3640, ALERT: 320, PLAIN: 160, BULK: 40, again(PLAIN): 1040}
    for lane, part in parts.items():
        assert abs(part - count[lane]) <= 0.02 * part + 8, lane


def test_a_code_waits_for_one_other_at_most() -> None:
    """A code that comes while others have all slots has the first or the second of the next ones."""
    turns: Turns = {}
    for step in range(200):
        waiting = {BULK: MANY, PLAIN: MANY, again(BULK): MANY}
        if step % 7 == 0:
            waiting[CODE] = 1
            order: list[Lane] = []
            while CODE not in order:
                taken, turns = share(waiting, room=1, reserved=0, turns=turns)
                order += taken
            assert len(order) <= 3
        else:
            _, turns = share(waiting, room=1, reserved=0, turns=turns)


lanes = st.builds(Lane, st.sampled_from("ab"), st.integers(1, 4), st.booleans())

WEIGHTS: tuple[dict[int, int], ...] = ({False: 4, True: 1}, {True: 7, False: 1}, {1: 1, 2: 8, 3: 4, 4: 1})


def bound(lane: Lane, tenants: int) -> int:
    """Return the slots a lane waits for at most, by the rule of the module."""
    keys = (lane.is_retry, lane.priority == 1, lane.priority)
    slots = 2 * (tenants - 1) + 1
    for key, weights in zip(keys, WEIGHTS, strict=True):
        if key is lane.priority and lane.priority == 1:
            continue  # codes have their level for themselves
        rivals = [weight for other, weight in weights.items() if other != key]
        if key is lane.priority:
            rivals = [weight for other, weight in weights.items() if other not in (key, 1)]
        slots *= sum(1 + weight // weights[key] for weight in rivals) + 1
    return slots


@pytest.mark.parametrize("seed", range(24))
def test_nothing_starves(seed: int) -> None:
    """Whoever waits has a slot within the stated bound, whatever comes and goes beside it."""
    dice = Random(seed)
    everyone = [Lane(*names) for names in product("ab", range(1, 5), [False, True])]
    steady = dice.sample(everyone, dice.randint(1, 3))
    turns: Turns = {}
    since = dict.fromkeys(steady, 0)
    for _ in range(400):
        room = dice.choice([1, 1, 2, 5, 9])
        guests = {lane: dice.choice([1, 5, MANY]) for lane in everyone if dice.random() < seed % 4 / 3}
        waiting = {**guests, **dict.fromkeys(steady, MANY)}
        taken, turns = share(waiting, room=room, reserved=0, turns=turns)
        for lane in steady:
            since[lane] = 0 if taken.get(lane) else since[lane] + room
            assert since[lane] <= bound(lane, 2) + room, lane


@given(
    waiting=st.dictionaries(lanes, st.integers(1, 40)),
    room=st.integers(0, 40),
    reserved=st.integers(0, 45),
    before=st.dictionaries(lanes, st.integers(1, 40)),
)
def test_no_slot_is_wasted_and_none_given_twice(
    waiting: dict[Lane, int], room: int, reserved: int, before: dict[Lane, int]
) -> None:
    """All of the room is used while something may use it, and no lane gets more than waits in it."""
    turns = share(before, room=room, reserved=reserved, turns={}).turns
    taken = share(waiting, room=room, reserved=reserved, turns=turns).taken
    codes = sum(count for lane, count in waiting.items() if lane.priority == 1)
    others = sum(waiting.values()) - codes
    common = max(room - reserved, 0)
    assert all(taken[lane] <= waiting[lane] for lane in taken)
    got_codes = sum(count for lane, count in taken.items() if lane.priority == 1)
    got_others = sum(taken.values()) - got_codes
    assert got_others <= common
    assert min(room, codes + min(others, common)) == got_codes + got_others
    if others >= room and codes >= room and not reserved:
        # Turns are carried: what went to others before may be one slot that codes get back now.
        assert got_codes <= (7 * room + 7) // 8 + 1


def test_what_is_carried_over_is_only_of_those_that_wait() -> None:
    """The memory between claims cannot grow: who waits no more is forgotten."""
    assert Share({PLAIN: 2}, {}) == share({PLAIN: 2}, room=8, reserved=0, turns={(True,): 5})
    turns = share({PLAIN: 30, of(BULK, "x"): 1, of(BULK, "y"): 1}, room=29, reserved=0, turns={}).turns
    assert {(False, False, 4, "x"), (False, False, 4, "y")}.isdisjoint(turns)


def test_turns_come_evenly() -> None:
    """A lane's slots are spread, not given in blocks."""
    order = served({PLAIN: MANY, BULK: MANY}, slots=500, room=1)
    places = [place for place, lane in enumerate(order) if lane == BULK]
    assert {5} == {later - earlier for earlier, later in pairwise(places)}
