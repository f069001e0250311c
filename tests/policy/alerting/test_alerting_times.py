"""Windows of the week and cron expressions, over nights and changes of the clocks."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.alert_rules import WeekWindow
from postroom.policy.alerting.times import CronError, is_in, is_zone, next_cron, next_edge

BERLIN = "Europe/Berlin"
NIGHT = WeekWindow(begins=time(22), ends=time(7))
OFFICE = WeekWindow(days=frozenset({1, 2, 3, 4, 5}), begins=time(9), ends=time(17, 30))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@each(
    ("window", "at", "expected"),
    [
        (OFFICE, "2026-01-05T08:00", True),  # a Monday, 9:00 in Berlin
        (OFFICE, "2026-01-05T07:59:59", False),
        (OFFICE, "2026-01-05T16:29:59", True),
        (OFFICE, "2026-01-05T16:30", False),
        (OFFICE, "2026-01-04T10:00", False),
        (OFFICE, "2026-07-06T07:00", True),  # summer time
        (NIGHT, "2026-01-05T21:00", True),
        (NIGHT, "2026-01-06T05:59:59", True),
        (NIGHT, "2026-01-06T06:00", False),
        (WeekWindow(days=frozenset({5}), begins=time(22), ends=time(7)), "2026-01-10T05:00", True),
        # Saturday
        (WeekWindow(days=frozenset({5}), begins=time(22), ends=time(7)), "2026-01-09T05:00", False),
        (WeekWindow(days=frozenset({7}), begins=time(22), ends=time(7)), "2026-01-12T05:00", True),  # Monday
        (WeekWindow(days=frozenset({6, 7})), "2026-01-09T23:00", True),  # Saturday began
        (WeekWindow(days=frozenset({6, 7})), "2026-01-09T22:59:59", False),
        (WeekWindow(begins=time(8), ends=time(8)), "2026-01-09T12:00", True),
        (WeekWindow(days=frozenset({5}), begins=time(8), ends=time(8)), "2026-01-10T06:59", True),
        (WeekWindow(days=frozenset({5}), begins=time(8), ends=time(8)), "2026-01-10T07:00", False),
        (WeekWindow(begins=time(18), ends=time()), "2026-01-09T22:59", True),
        (WeekWindow(begins=time(18), ends=time()), "2026-01-09T23:00", False),
        (WeekWindow(), "2026-01-09T23:00", True),
    ],
)  # fmt: skip
def test_a_window_is_read_from_the_clock_on_the_wall(window: WeekWindow, at: str, expected: bool) -> None:
    """The end is outside; an end at or before the beginning is on the next day, its day is the first."""
    assert expected is is_in([window], BERLIN, utc(at))


def test_one_window_is_enough_and_none_is_none() -> None:
    """Windows are alternatives."""
    assert is_in([NIGHT, OFFICE], BERLIN, utc("2026-01-05T09:00"))
    assert not is_in([], BERLIN, utc("2026-01-05T09:00"))


@each(
    ("window", "after", "expected"),
    [
        (OFFICE, "2026-01-05T07:59:59.999999", "2026-01-05T08:00"),
        (OFFICE, "2026-01-05T08:00", "2026-01-05T16:30"),
        (OFFICE, "2026-01-09T16:30", "2026-01-12T08:00"),
        (NIGHT, "2026-03-28T21:30", "2026-03-29T05:00"),  # the night in which an hour is skipped
        (NIGHT, "2026-10-24T21:00", "2026-10-25T06:00"),  # the night with an hour twice
        # 02:00 to 03:00 in the night whose clocks go from 02:00 to 03:00: it does not come
        (WeekWindow(begins=time(2), ends=time(3)), "2026-03-28T12:00", "2026-03-30T00:00"),
        # it begins in the gap: at the jump
        (WeekWindow(begins=time(2, 30), ends=time(4)), "2026-03-28T12:00", "2026-03-29T01:00"),
        # it ends in the gap: at the jump
        (WeekWindow(begins=time(1), ends=time(2, 30)), "2026-03-29T00:30", "2026-03-29T01:00"),
        # 02:00 to 02:30 comes twice in the night whose clocks go from 03:00 back to 02:00
        (WeekWindow(begins=time(2), ends=time(2, 30)), "2026-10-25T00:00", "2026-10-25T00:30"),
        (WeekWindow(begins=time(2), ends=time(2, 30)), "2026-10-25T00:30", "2026-10-25T01:00"),
        (WeekWindow(begins=time(2), ends=time(2, 30)), "2026-10-25T01:00", "2026-10-25T01:30"),
        # half past two, until the clocks go back; then again
        (WeekWindow(begins=time(2, 30), ends=time(3)), "2026-10-25T00:30", "2026-10-25T01:00"),
        # a window of Sundays that is skipped: a week later
        (WeekWindow(days=frozenset({7}), begins=time(2), ends=time(3)), "2026-03-23T12:00",
        "2026-04-05T00:00"),
        (WeekWindow(days=frozenset({6, 7})), "2026-01-09T12:00", "2026-01-09T23:00"),
        (WeekWindow(), "2026-01-09T12:00", None),
        (WeekWindow(begins=time(8), ends=time(8)), "2026-01-09T12:00", None),
    ],
)  # fmt: skip
def test_the_next_edge_is_exact(window: WeekWindow, after: str, expected: str | None) -> None:
    """The first instant whose answer is another one, over nights, weeks and changes of the clocks."""
    assert (None if expected is None else utc(expected)) == next_edge([window], BERLIN, utc(after))


def test_windows_that_meet_have_no_edge_between_them() -> None:
    """The edge is where the answer changes, not where a window ends."""
    windows = [WeekWindow(begins=time(8), ends=time(12)), WeekWindow(begins=time(12), ends=time(18))]
    assert utc("2026-01-09T18:00") == next_edge(windows, "UTC", utc("2026-01-09T09:00"))
    assert None is next_edge([], "UTC", utc("2026-01-09T09:00"))
    assert None is next_edge([WeekWindow(begins=time(8), ends=time()), WeekWindow(begins=time(),
    ends=time(8))],
                             BERLIN, utc("2026-01-09T09:00"))  # fmt: skip


CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
WINDOWS = st.lists(
    st.builds(
        lambda days, both: WeekWindow(days=days, begins=both and both[0], ends=both and both[1]),
        st.frozensets(st.integers(1, 7), max_size=4),
        st.none() | st.tuples(CLOCKS, CLOCKS),
    ),
    max_size=3,
)
ZONES = st.sampled_from(
    [BERLIN, "America/St_Johns", "Australia/Lord_Howe", "America/Santiago", "UTC", "Asia/Kolkata"]
)
NEAR_CHANGES = st.builds(
    lambda day, minutes: utc(day) + timedelta(minutes=minutes),
    st.sampled_from(["2026-03-08", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-09-05",
    "2026-06-01"]),
    st.integers(-1440, 2880),
)  # fmt: skip


@given(WINDOWS, ZONES, NEAR_CHANGES)
def test_nothing_changes_before_the_next_edge(windows: list[WeekWindow], zone: str, after: datetime) -> None:
    """The answer is the same on every minute up to the edge and another one at it."""
    edge = next_edge(windows, zone, after)
    now = is_in(windows, zone, after)
    if edge is not None:
        assert edge > after
        assert is_in(windows, zone, edge) is not now
        assert is_in(windows, zone, edge - timedelta(microseconds=1)) is now
    last = min(edge or utc("2030-01-01"), after + timedelta(days=9))
    step = max((last - after) / 97, timedelta(minutes=1))
    at = after
    while at < last:
        assert is_in(windows, zone, at) is now
        at += step


@each(
    ("expression", "after", "expected"),
    [
        ("0 9 * * 1-5", "2026-01-09T08:00", "2026-01-12T08:00"),
        ("0 9 * * 1-5", "2026-01-09T07:59:59.5", "2026-01-09T08:00"),
        ("0 9 * * mon", "2026-07-01T00:00", "2026-07-06T07:00"),
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T01:00"),  # skipped: at the jump
        ("30 2 * * *", "2026-03-29T01:00", "2026-03-30T00:30"),
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T00:30"),  # twice: the first time
        ("30 2 * * *", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("30 2 * * *", "2026-10-25T01:15", "2026-10-26T01:30"),  # 02:15 for the second time
        ("*/30 * * * *", "2026-10-25T00:30", "2026-10-25T01:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-28T23:00"),
        ("0 12 L * *", "2026-02-01T00:00", "2026-02-28T11:00"),
    ],
)
def test_a_cron_expression_comes_once_a_day_also_when_clocks_change(
    expression: str, after: str, expected: str
) -> None:
    """Strictly after the instant asked for, in the zone."""
    assert utc(expected) == next_cron(expression, BERLIN, utc(after))


@each(
    "expression",
    ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "x * * * *", "@daily", "0 9 * * 8",
    "*" + ",*" * 200 + " * * * *",
     "*/0 * * * *", "² * * * *"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    """Wrong fields, seconds, days that never come, names of the programs of others, too long."""
    with pytest.raises(CronError):
        next_cron(expression, "UTC", utc("2026-01-01T00:00"))


def test_half_an_hour_that_comes_twice_is_no_trouble_to_cron() -> None:
    """Where the clocks go back by thirty minutes, the next minute is the next one of the wall clock."""
    after = utc("2026-04-04T13:55")
    assert utc("2026-04-05T13:30") == next_cron("*/5 0 * * *", "Australia/Lord_Howe", after)


EXPRESSIONS = st.sampled_from(
    [
        "30 2 * * *",
        "*/7 * * * *",
        "0 0 * * *",
        "15 1-3 * * 0",
        "* 2 * * *",
        "0 */2 * * *",
        "45 23 * * *",
        "*/5 0 * * *",
    ]
)


@given(EXPRESSIONS, ZONES, NEAR_CHANGES, st.integers(0, 600))
def test_cron_instants_rise(expression: str, zone: str, after: datetime, minutes: int) -> None:
    """The next one is later than the instant asked for, and never earlier for a later one."""
    first = next_cron(expression, zone, after)
    later = next_cron(expression, zone, after + timedelta(minutes=minutes))
    assert after < first <= later
    if after + timedelta(minutes=minutes) < first:
        assert first == later


@each(
    ("name", "expected"),
    [(BERLIN, True), ("UTC", True), ("Mars/Olympus", False), ("", False), ("../etc/passwd", False),
    ("/etc/passwd", False),
     ("Europe", False), ("a\0b", False)],
)  # fmt: skip
def test_a_zone_is_a_name_of_the_database(name: str, expected: bool) -> None:
    """Paths and directories are none."""
    assert expected is is_zone(name)
