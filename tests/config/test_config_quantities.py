"""Durations, sizes and near names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.config.quantities import did_you_mean, nearest, parse_duration, parse_size


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


@pytest.mark.parametrize(
    "written", ["", "fast", "-1", -1, "1 week", None, True, [], "1e3", "٣", 1e18, float("nan")]
)
def test_neither(written: object) -> None:
    """Everything else is refused, a bool and a negative number too."""
    with pytest.raises(ValueError, match="not a"):
        parse_duration(written)
    with pytest.raises(ValueError, match="not a"):
        parse_size(written)


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


def test_near_names() -> None:
    """A slip is answered with the name that was meant, another word with all that are known."""
    known = ["POSTROOM_TRANSPORT", "POSTROOM_FROM"]
    assert nearest("POSTROOM_TRANSPROT", known) == "POSTROOM_TRANSPORT"
    assert nearest("postroom_from", known) == "POSTROOM_FROM"
    assert nearest("colour", known) is None
    assert did_you_mean("colour", known) == "Known here: POSTROOM_FROM, POSTROOM_TRANSPORT."
