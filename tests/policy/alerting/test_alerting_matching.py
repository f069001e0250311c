"""Matchers are read as Alertmanager reads them, and match as it matches."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.alert_rules import Matcher, MatchKind
from postroom.policy.alerting.matching import MatcherError, Matching, parse_matcher, parse_matchers, written

E, N, R, X = MatchKind.EQUAL, MatchKind.NOT_EQUAL, MatchKind.MATCHES, MatchKind.MATCHES_NOT


@each(
    ("text", "expected"),
    [
        ("foo=bar", Matcher("foo", E, "bar")),
        ('foo="bar"', Matcher("foo", E, "bar")),
        ("foo!=bar", Matcher("foo", N, "bar")),
        ('foo=~"a|b"', Matcher("foo", R, "a|b")),
        ("foo!~[a-z]+", Matcher("foo", X, "[a-z]+")),
        ('  foo  =  " bar "  ', Matcher("foo", E, " bar ")),
        ("foo=", Matcher("foo", E, "")),
        ('foo=""', Matcher("foo", E, "")),
        ("foo=a=b", Matcher("foo", E, "a=b")),
        ("foo==b", Matcher("foo", E, "=b")),
        ("foo=two words", Matcher("foo", E, "two words")),
        ("job:rate_5m=x", Matcher("job:rate_5m", E, "x")),
        ('foo="say \\"hi\\""', Matcher("foo", E, 'say "hi"')),
        ('foo="a\\nb\\\\c\\d"', Matcher("foo", E, "a\nb\\c\\d")),
        ("foo=C:\\dir", Matcher("foo", E, "C:\\dir")),
        ("foo=🙂", Matcher("foo", E, "🙂")),
        ('foo="line\nbreak"', Matcher("foo", E, "line\nbreak")),
        ('"foo bar"="baz"', Matcher("foo bar", E, "baz")),
        ("name🙂=value🙂", Matcher("name🙂", E, "value🙂")),
        ('"a\\tb"="\\u00e9\\x41\\101\\U0001F642"', Matcher("a\tb", E, "éAA🙂")),
        ('"\\xc3\\xa9"=x', Matcher("é", E, "x")),
        ("service.name=~api-.*", Matcher("service.name", R, "api-.*")),
        ('{foo="bar"}', Matcher("foo", E, "bar")),
        ('{ foo = "bar", }', Matcher("foo", E, "bar")),
    ],
)
def test_one_matcher_is_read_as_alertmanager_reads_it(text: str, expected: Matcher) -> None:
    """Classic and newer names and values, their quotes and escapes."""
    assert expected == parse_matcher(text)


@each(
    ("text", "expected"),
    [
        ("", ()),
        ("{}", ()),
        ('{a="b",c=~"d"}', (Matcher("a", E, "b"), Matcher("c", R, "d"))),
        ('a="b, c", d!="e"', (Matcher("a", E, "b, c"), Matcher("d", N, "e"))),
        ('a="\\",", b=c,', (Matcher("a", E, '",'), Matcher("b", E, "c"))),
        ('"a,b"=c,d=e', (Matcher("a,b", E, "c"), Matcher("d", E, "e"))),
    ],
)
def test_lists_of_matchers_stand_in_braces_or_not(text: str, expected: tuple[Matcher, ...]) -> None:
    """Commas in quotes part nothing, and one may stand at the end."""
    assert expected == parse_matchers(text)


@each(
    "text",
    [
        "foo", "=bar", 'foo="bar', 'foo=bar"', 'foo="a"b"', "{foo=bar", "foo=bar}", "foo bar=baz", '""=x',
        '"a\\q"=b', '"\\xff"=x', "foo~bar", "a=b,,c=d", "🙂=", 'foo=~"("', 'foo=~"(?=x)"', 'foo=~"(a)\\\\1"',
        "foo=~" + "a." * 600, "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_matcher_is_refused(text: str) -> None:
    """Half quotes and braces, no name, no operator, no escape, patterns RE2 does not take, too long."""
    with pytest.raises(MatcherError):
        parse_matchers(text)


def test_one_is_not_several() -> None:
    """Where one matcher is asked for, two and none are refused."""
    for text in ("a=b,c=d", "{}"):
        with pytest.raises(MatcherError, match="where one is asked for"):
            parse_matcher(text)


@given(st.text(min_size=1, max_size=20), st.sampled_from([E, N]), st.text(max_size=30))
def test_a_written_matcher_reads_as_itself(name: str, kind: MatchKind, value: str) -> None:
    """Whatever name and value are, writing and reading gives them back."""
    matcher = Matcher(name, kind, value)
    assert (matcher,) == parse_matchers(written(matcher))
    assert (matcher, matcher) == parse_matchers("{" + written(matcher) + " , " + written(matcher) + "}")


@given(st.text(alphabet='ab="{}\\,~! n', max_size=25))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but MatcherError comes out, and what is read can be written."""
    try:
        found = parse_matchers(text)
    except MatcherError:
        return
    assert found == parse_matchers(",".join(map(written, found)))


@each(
    ("matcher", "value", "expected"),
    [
        ('a="x"', "x", True), ('a="x"', "xx", False), ('a="x"', None, False), ('a=""', None, True),
        ('a!="x"', "y", True), ('a!="x"', None, True), ('a!=""', None, False), ('a!="x"', "x", False),
        ('a=~"x|yy"', "yy", True), ('a=~"x|yy"', "y", False), ('a=~"x|"', None, True),
        ('a=~"x.*"', "xyz", True), ('a=~"x.*"', "axyz", False), ('a=~"x.*"', "X1", False),
        ('a=~"(?i)x.*"', "X1", True),
        ('a=~"a|b.*"', "ac", False), ('a=~""', None, True), ('a=~""', "x", False), ('a=~".+"', None, False),
        ('a=~".*"', None, True), ('a!~"x.*"', "xyz", False), ('a!~"x.*"', None, True),
        ('a!~"x|y"', "y", False),
        ('a!~"x|y"', "z", True), ('a=~"1.5"', "1x5", True), ('a=~"ü+"', "üü", True),
    ],
)  # fmt: skip
def test_matchers_match_whole_values_with_case(matcher: str, value: str | None, expected: bool) -> None:
    """An absent label is the empty value; patterns match all of it."""
    labels = {} if value is None else {"a": value}
    assert expected is Matching([parse_matcher(matcher)]).fits(labels)


def test_all_matchers_must_match() -> None:
    """One that does not is enough to fail, none at all matches everything."""
    both = Matching(parse_matchers('a="1",b="2"'))
    assert both.fits({"a": "1", "b": "2", "c": "3"})
    assert not both.fits({"a": "1"})
    assert Matching([]).fits({})
    assert {"a", "b"} == both.names


@given(
    st.lists(st.text(alphabet="ab-1 ", max_size=4), min_size=1, max_size=4),
    st.text(alphabet="ab-1 ", max_size=4),
)
def test_lists_of_words_match_as_patterns_do(words: list[str], value: str) -> None:
    """A pattern of words and bars is looked up, with the answer of a pattern."""
    pattern = "|".join(words)
    expected = re.fullmatch(f"(?:{pattern})", value) is not None
    assert expected is Matching([Matcher("a", R, pattern)]).fits({"a": value})
    assert expected is not Matching([Matcher("a", X, pattern)]).fits({"a": value})
