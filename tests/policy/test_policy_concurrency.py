"""How many connections a server bears."""

from hypothesis import given
from hypothesis import strategies as st

from postroom.policy.concurrency import LOST_COHORTS, START, Concurrency


def test_the_level_grows_by_cohorts() -> None:
    """From 2 to 20 takes 2 + 3 + ... + 19 successes, and then it stays."""
    level = Concurrency(20)
    assert level.level == START
    changes = [level.succeeded() for _ in range(300)]
    assert level.level == 20
    assert sum(changes) == 18
    assert sum(range(2, 20)) == [number for number, change in enumerate(changes, 1) if change][-1]


def test_failures_that_successes_outweigh_change_nothing() -> None:
    """Hysteresis: a server that fails now and then keeps its level."""
    level = Concurrency(10, level=5)
    for _ in range(200):
        assert not level.failed()
        assert not level.succeeded()
    assert level.level == 5


def test_a_server_that_serves_nobody_is_lost_after_three_cohorts() -> None:
    """4 + 3 + 2 failures from level 4; one success between them begins the count anew."""
    level = Concurrency(10, level=4)
    for _ in range(8):
        level.failed()
    assert not level.is_lost
    level.failed()
    assert level.is_lost
    assert level.level == 1
    level.succeeded()
    assert not level.is_lost


def test_a_transport_with_one_connection_can_be_lost_too() -> None:
    """Level 1 has cohorts of one."""
    level = Concurrency(1)
    assert level.level == 1
    for _ in range(LOST_COHORTS):
        assert not level.failed()
    assert level.is_lost


def test_after_an_outage_it_begins_with_one() -> None:
    """Slow start: 1, then 2 after one success, then 3 after two more."""
    level = Concurrency(10, level=10)
    level.restart()
    levels = []
    for _ in range(3):
        level.succeeded()
        levels.append(level.level)
    assert levels == [2, 2, 3]


@given(limit=st.integers(1, 50), results=st.lists(st.booleans(), max_size=500))
def test_the_level_is_always_between_one_and_its_limit(limit: int, results: list[bool]) -> None:
    """Whatever comes, it moves by one step at a time, and tells when it did."""
    level = Concurrency(limit)
    for is_success in results:
        before = level.level
        changed = level.succeeded() if is_success else level.failed()
        assert changed == (before != level.level)
        assert abs(level.level - before) <= 1
        assert 1 <= level.level <= limit
        assert not (is_success and level.level < before)
