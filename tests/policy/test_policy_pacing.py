"""How fast a transport may go."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.model.outcome import Action, OutcomeKind, Verdict
from postroom.model.transport import Rate
from postroom.model.view import LearntLimit
from postroom.policy.pacing import DAY_S, HOUR_S, MINUTE_S, Pace, Window, grown, window_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
START = 1_000_000.0


def most_in_any_window(sent: list[float], length: float) -> int:
    """Return the most instants that lie in one half-open window of that length."""
    return max((bisect_right(sent, at) - bisect_right(sent, at - length) for at in sent), default=0)


def send(pace: Pace, count: int, now: float) -> None:
    """Claim and end attempts at one instant."""
    pace.take(count)
    for _ in range(count):
        pace.ended()
    pace.allowance(now)


def verdict(action: Action, delay_s: float) -> Verdict:
    return Verdict(outcome=OutcomeKind.DEFERRED, action=action, cause="x", min_delay_s=delay_s)


def a_limit(allowed: int = 85, seen: int = 100, window_s: int = HOUR_S) -> LearntLimit:
    return LearntLimit(
        transport="t", window_s=window_s, allowed=allowed, seen=seen, learnt_at=NOW, text="450 slow down"
    )


@pytest.mark.slow
@settings(max_examples=300)
@given(
    length=st.sampled_from([1, 60, 3600, 86400]),
    allowed=st.integers(1, 30),
    steps=st.lists(
        st.tuples(st.floats(0, 0.7), st.integers(0, 40), st.lists(st.floats(0, 1), max_size=4)), max_size=60
    ),
)
def test_no_window_ever_holds_more_than_allowed(
    length: int, allowed: int, steps: list[tuple[float, int, list[float]]]
) -> None:
    """Attempts are claimed as allowed, last as long as they like, and are seen at any moment of that time."""
    pace = Pace([Rate(length, allowed)])
    now, under_way, seen = START, list[float](), list[float]()
    for share, wanted, ends in steps:
        now += share * length
        for moment in ends[: len(under_way)]:
            claimed_at = under_way.pop(0)
            if moment < 0.1:
                pace.give_back()
            else:
                pace.ended()
                seen.append(claimed_at + (now - claimed_at) * moment)
        room = pace.allowance(now)
        assert room is not None
        taken = min(room, wanted)
        pace.take(taken)
        under_way += [now] * taken
    assert most_in_any_window(sorted(seen), length) <= allowed


@given(
    length=st.sampled_from([1, 60, 3600, 86400]),
    allowed=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 0.5), min_size=1, max_size=30),
)
def test_the_next_place_is_free_when_it_is_said_to_be(length: int, allowed: int, gaps: list[float]) -> None:
    """And not before: waiting until then is enough, and less is not."""
    pace = Pace([Rate(length, allowed)])
    now = START
    for gap in gaps:
        now += gap * length
        while pace.allowance(now):
            send(pace, 1, now)
        then = pace.next_at(now)
        assert now < then <= now + length + length / 60 + 1e-3
        assert not pace.allowance(max(then - 1e-3, now))
        assert pace.allowance(then)
        now = then


def test_a_steady_taker_gets_nearly_everything() -> None:
    """The price of the buckets is a sixtieth: of 60 a minute at least 58 go in every minute of an hour."""
    pace = Pace([Rate(60, 60)])
    sent = 0
    for second in range(3600):
        room = pace.allowance(START + second) or 0
        send(pace, room, START + second)
        sent += room
    assert sent >= 58 * 60


def test_several_windows_hold_at_once() -> None:
    """Ten a second and fifteen an hour: ten, then five, then nothing for an hour."""
    pace = Pace([Rate(1, 10), Rate(3600, 15)])
    assert pace.allowance(START) == 10
    send(pace, 10, START)
    assert pace.allowance(START + 2) == 5
    send(pace, 5, START + 2)
    assert pace.allowance(START + 4) == 0
    assert START + 3600 < pace.next_at(START + 4) <= START + 3662


def test_without_limits_anything_may_go() -> None:
    """No number, and at once."""
    pace = Pace()
    send(pace, 10**6, START)
    assert pace.allowance(START) is None
    assert pace.next_at(START) == START
    assert pace.limits(START) == ()


def test_what_was_sent_before_a_start_counts_by_its_age() -> None:
    """A minute counts as its end and a minute more: never earlier than it may have been."""
    pace = Pace([Rate(3600, 10)])
    pace.restore([(3700.0, 4), (600.0, 3), (20.0, 2)], START)
    assert pace.allowance(START) == 1
    assert pace.allowance(START + 120) == 5
    assert pace.allowance(START + 3600 - 480 + 61) == 8


@pytest.mark.parametrize(
    ("found", "window_s"),
    [
        (verdict(Action.THROTTLE, 30), MINUTE_S),
        (verdict(Action.THROTTLE, 900), HOUR_S),
        (verdict(Action.PAUSE_UNTIL_QUOTA, 21600), DAY_S),
        (verdict(Action.PAUSE_UNTIL_QUOTA, 600), HOUR_S),
        (verdict(Action.RETRY, 0), None),
    ],
)
def test_an_objection_is_about_a_window(found: Verdict, window_s: int | None) -> None:
    """The patience a server asks for says which."""
    assert window_s == window_of(found)


def test_an_objection_lowers_the_pace_below_what_was_seen() -> None:
    """47 in an hour and then "slow down": 39 from now on; after a handful nothing is learnt."""
    pace = Pace()
    send(pace, 4, START)
    assert pace.lesson(verdict(Action.THROTTLE, 900), START + 1) is None
    send(pace, 43, START + 60)
    assert pace.lesson(verdict(Action.THROTTLE, 900), START + 120) == (HOUR_S, 39, 47)
    pace.learnt(a_limit(39, 47), NOW)
    assert pace.allowance(START + 120) == 0
    (used,) = pace.limits(START + 120)
    assert (used.allowed, used.used, used.configured) == (39, 47, None)
    assert used.learnt == a_limit(39, 47)


def test_a_lesson_never_lifts_a_configured_limit() -> None:
    """The smaller of the two holds."""
    pace = Pace([Rate(HOUR_S, 50)])
    pace.learnt(a_limit(85), NOW)
    assert pace.allowance(START) == 50


def test_a_lesson_grows_by_a_tenth_a_day_and_is_forgotten() -> None:
    """Back at the configured limit, or at twice what was seen where there is none."""
    assert [85, 93, 102] == [grown(a_limit(), NOW + timedelta(days=days)) for days in range(3)]
    assert grown(a_limit(), NOW - timedelta(days=9)) == 85
    configured, free = Pace([Rate(HOUR_S, 100)]), Pace()
    for pace in (configured, free):
        pace.learnt(a_limit(), NOW)
        assert pace.grow(NOW + timedelta(days=1)) == ()
        assert pace.allowance(START) == 93
    assert configured.grow(NOW + timedelta(days=2)) == (HOUR_S,)
    assert configured.allowance(START) == 100
    assert free.grow(NOW + timedelta(days=8)) == ()
    assert free.grow(NOW + timedelta(days=9)) == (HOUR_S,)
    assert free.allowance(START) is None


def test_the_end_of_a_quota_is_foreseen_by_the_pace_of_the_last_hour() -> None:
    """100 an hour with 300 left: three hours; at a pace that the window bears it never ends."""
    window = Window(DAY_S, 600)
    for hour in range(3):
        window.take(100, START + hour * 3600)
    now = START + 2 * 3600 + 60
    ends = window.ends_at(now)
    assert ends is not None
    assert ends - now == pytest.approx(3 * 3600, abs=120)
    steady = Window(DAY_S, 600)
    for hour in range(24):
        steady.take(20, START + hour * 3600)
    assert steady.ends_at(START + 24 * 3600) is None
    assert Window(DAY_S).ends_at(START) is None
    assert Window(MINUTE_S, 5).ends_at(START) is None
    assert Window(DAY_S, 5).ends_at(START) is None


def test_what_is_under_way_has_its_place_until_it_ends() -> None:
    """However long it takes; then it counts for a whole window more."""
    pace = Pace([Rate(60, 2)])
    pace.take(2)
    assert pace.allowance(START) == 0
    assert pace.allowance(START + 500) == 0
    assert pace.next_at(START + 500) == START + 500
    pace.ended()
    pace.give_back()
    assert pace.allowance(START + 500) == 1
    assert pace.allowance(START + 550) == 1
    assert pace.allowance(START + 562) == 2
