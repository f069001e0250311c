"""Blocked recipients: exact, by domain and by patterns that cannot be made slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.policy.blocking import NOBODY, BlockList
from postroom.policy.patterns import MAX_PATTERN, Pattern, PatternError

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\.", r"\w", r"\d", "@", "1"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{0}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("ab1.@", max_size=8))
def test_a_pattern_means_what_it_means_in_python(pattern: str, text: str) -> None:
    """On what both know, RE2 and ``re`` agree about every text."""
    try:
        mine = Pattern(pattern)
    except PatternError:
        assert "{" in pattern  # repetitions of repetitions are too many
        return
    assert (re.fullmatch(pattern, text) is not None) == mine.matches(text)


@each(
    ("pattern", "text", "expected"),
    [
        (r".*@spam\.example", "Bob@SPAM.example", True),
        (r"^no-?reply@.*$", "noreply@example.com", True),
        (r"no-?reply@.*", "x-noreply@example.com", False),
        (r"[A-Z]+\d{2,3}@example\.org", "test12@example.org", True),
        (r"[A-Z]+\d{2,3}@example\.org", "test1234@example.org", False),
        (r"(?:a|b|)x@e\.org", "x@e.org", True),
        (r"[]a-]x", "-x", True),
        (r".*@例え\.jp", "user@例え.jp", True),
    ],
)
def test_what_patterns_people_write_match(pattern: str, text: str, expected: bool) -> None:
    """The whole address, without case."""
    assert expected == Pattern(pattern).matches(text)


@each(
    "pattern",
    [
        "",
        "a" * (MAX_PATTERN + 1),
        r"(a)\1",
        "(?=a)b",
        "a**",
        "*a",
        "(a",
        "a)",
        "[a",
        "a{3,2}",
        "a{1001}",
        "((a{100}){100})",
        "[z-a]",
        "a\\",
    ],
)
def test_what_a_pattern_may_not_be(pattern: str) -> None:
    """Whatever would need backtracking, or would mean nothing, is refused."""
    with pytest.raises(PatternError):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+@x\.org", r"(a|a)*b", r"(.*)*z", r"(a?){50}(a){50}z", ".*.*.*.*.*.*.*.*.*.*z", "(a|aa)+(b|bb)+c"],
)
def test_a_catastrophic_pattern_is_harmless(pattern: str) -> None:
    """The classic patterns that stop other engines take a fraction of a second for the longest address."""
    text = "a" * 249 + "@y.z!"
    began = time.perf_counter()
    assert not Pattern(pattern).matches(text)
    assert time.perf_counter() - began < 0.5


def test_the_list_knows_addresses_domains_and_patterns() -> None:
    """Each form blocks what it says and nothing else."""
    blocked = BlockList(["Bad@Example.com", "@trap.example", r"re:.*\+test@.*"])
    assert [True, True, True, False, False] == [
        blocked.blocks(one)
        for one in (
            "bad@example.com",
            "anyone@trap.example",
            "a+test@example.org",
            "good@example.com",
            "a@sub.trap.example",
        )
    ]
    assert blocked
    assert not NOBODY
    assert not NOBODY.blocks("a@example.com")
