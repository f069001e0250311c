"""Durations, sizes, schedules, rates and near names."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.transport import Rate
from postroom.schema.quantities import (
    MAX_SCHEDULE,
    did_you_mean,
    nearest,
    parse_duration,
    parse_rates,
    parse_schedule,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("250 ms", 0.25),
        ("15 min", 900.0),
        ("2h", 7200.0),
        (" 3 d ", 259200.0),
    ],
)
def test_duration(written: object, seconds: float) -> None:
    """A duration is a number of seconds, or a number with a unit."""
    assert seconds == parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [(7, 7), ("7", 7), ("1 kB", 1000), ("1KiB", 1024), ("50 MiB", 52428800), ("0.5 GiB", 536870912)],
)
def test_size(written: object, size: int) -> None:
    """A size is a number of bytes, or a number with a unit in any case."""
    assert size == parse_size(written)


@each("written", ["", "fast", "-1", -1, "1 week", None, True, [], "1e3", "٣", 1e18, float("nan")])
def test_neither(written: object) -> None:
    """Everything else is refused, a bool and a negative number too."""
    with pytest.raises(ValueError, match="not a"):
        parse_duration(written)
    with pytest.raises(ValueError, match="not a"):
        parse_size(written)


@pytest.mark.slow
@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Any text is read or refused by ValueError, and a refusal does not repeat it."""
    for parse in (parse_duration, parse_size):
        told = ""
        try:
            assert parse(text) >= 0
        except ValueError as error:
            told = str(error)
        assert len(text) <= 12 or text not in told


@pytest.mark.parametrize(
    ("written", "waits"),
    [
        ("1m, 5m*2, 1h*3", (60, 300, 300, 3600, 3600, 3600)),
        ("30", (30,)),
        (" 10 s * 2 ,1.5h", (10, 10, 5400)),
        ("1s*200", (1,) * MAX_SCHEDULE),
    ],
)
def test_schedule(written: str, waits: tuple[float, ...]) -> None:
    """A schedule is a list of waits, each with the number of times it is repeated."""
    assert waits == parse_schedule(written)


@each(
    "written",
    ["", "1m,", "1m*0", "1m*", "*3", "0", "0.5 s", "1m*2*3", "1m;5m", "soon", "1s*201", 60, None, ["1m"]],
)
def test_no_schedule(written: object) -> None:
    """An empty, endless or hasty schedule is refused."""
    with pytest.raises(ValueError, match=r"not a|not text|1 s or more"):
        parse_schedule(written)


@pytest.mark.parametrize(
    ("written", "rates"),
    [
        ("10/s", ((1, 10),)),
        ("2000/d, 10/s,200/h", ((1, 10), (3600, 200), (86400, 2000))),
        (" 30 / min ", ((60, 30),)),
        ("30/m", ((60, 30),)),
    ],
)
def test_rates(written: str, rates: tuple[tuple[int, int], ...]) -> None:
    """A rate is a number of messages in a window; the shortest window comes first."""
    assert tuple(Rate(window_s, allowed) for window_s, allowed in rates) == parse_rates(written)


@each(
    "written", ["", "10", "10/w", "0/s", "-1/s", "1.5/s", "10/s,", "10/s 5/h", "1/m, 2/min", "٣/s", 10, None]
)
def test_no_rates(written: object) -> None:
    """Another window, none at all, nothing, or one window twice is refused."""
    with pytest.raises(ValueError, match=r"not rates|two rates|not text"):
        parse_rates(written)


@pytest.mark.slow
@given(st.text() | st.text(alphabet="0123456789smhd*/, .", max_size=30))
def test_no_text_breaks_the_lists(text: str) -> None:
    """Any text is read or refused by ValueError; what is read can be worked with."""
    for parse in (parse_schedule, parse_rates):
        found: tuple[object, ...] = ("refused",)
        with suppress(ValueError):
            found = parse(text)
        assert 1 <= len(found) <= MAX_SCHEDULE


def test_near_names() -> None:
    """A slip is answered with the name that was meant, another word with all that are known."""
    known = ["POSTROOM_TRANSPORT", "POSTROOM_FROM"]
    assert nearest("POSTROOM_TRANSPROT", known) == "POSTROOM_TRANSPORT"
    assert nearest("postroom_from", known) == "POSTROOM_FROM"
    assert nearest("colour", known) is None
    assert did_you_mean("colour", known) == "Known here: POSTROOM_FROM, POSTROOM_TRANSPORT."
