"""Bodies of strangers as JSON: what is read and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import MalformedError, TooLargeError
from postroom.schema.json_text import MAX_MEMBERS, read_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(_VALUES, st.booleans())
def test_every_value_is_read_as_written(value: object, is_ascii: bool) -> None:
    """JSON in its strict form is read, escaped or not, into the value that was written."""
    assert value == read_json(json.dumps(value, ensure_ascii=is_ascii).encode())


@each(
    ("body", "cause"),
    [
        (b'{"a": "x", "a": "y"}', "'a' stands twice"),
        (b'{"a": 1, "a": 2, "b": "\\""}', "'a' stands twice"),
        (b'{"a\\\\": "\\\\", "a\\\\": 0}', "stands twice"),
        (b'[{"b": {"a": 1, "\\u0061": "\\""}}]', "'a' stands twice"),
        (b"NaN", "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b"[1e999]", "too large"),
        (b"1" * 5000, "too long"),
        (b"\xff", "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"[" * 100_000, "too deeply"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b'{"a": 1,}', "line 1"),
    ],
)
def test_wrong_json_is_refused_with_its_cause(body: bytes, cause: str) -> None:
    """Doubled names, NaN, huge numbers, bad UTF-8 and deep nesting are refused, each by its name."""
    with pytest.raises(MalformedError) as refused:
        read_json(body)
    assert cause in refused.value.problems[0].cause


def test_what_is_wide_is_not_deep() -> None:
    """Nesting is bounded, not the number of brackets, and none inside of texts count."""
    deepest: object = "[" * 100
    for _ in range(32):
        deepest = [deepest]
    wide: list[object] = [[] for _ in range(500)]

    assert deepest == read_json(json.dumps(deepest).encode())
    assert wide == read_json(json.dumps(wide).encode())


def test_lone_surrogates_pass_and_objects_are_bounded() -> None:
    """A lone surrogate is left to the field's check; an object with too many members is too large."""
    assert {"a": "\ud800"} == read_json(b'{"a": "\\ud800"}')
    members = {str(number): number for number in range(MAX_MEMBERS + 1)}
    with pytest.raises(TooLargeError):
        read_json(json.dumps([members]).encode())
    del members["0"]
    assert members == read_json(json.dumps(members).encode())
