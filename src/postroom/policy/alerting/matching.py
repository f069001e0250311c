r"""Matchers on labels, as Alertmanager writes them.

A matcher is a label's name, one of ``=``, ``!=``, ``=~``, ``!~`` and a value. Alertmanager knows two ways to
write it and so does this: the classic one (a name of ASCII letters, digits, ``_`` and ``:``; a value as it
stands or in double quotes, in which ``\"``, ``\\`` and ``\n`` are escapes), and the newer one, in which name
and value are quoted with the escapes of Go, or bare without blanks and without ``{}!=~,"'`` and the
backslash. What is both is read in the classic way. Several matchers stand with commas between them, in
braces or not.

A pattern is one of RE2 and matches the whole value; its letters have case. A label that is absent has the
empty value.

Source: Alertmanager, configuration, "Matchers" (classic, UTF-8 strict and fallback mode).
"""

import re
from collections.abc import Callable, Iterable, Mapping

from postroom.model.alert_rules import Matcher, MatchKind
from postroom.policy.patterns import Pattern, PatternError

MAX_MATCHER = 4000
"""Characters of what is read as matchers (security limit)."""
MAX_LABEL_PATTERN = 1000
"""Characters of one pattern (security limit); lists of services are long."""

_CLASSIC = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(=~|!~|!=|=)\s*(.*?)\s*\Z", re.DOTALL)
_NEWER = re.compile(
    r"""\s*("(?:[^"\\\n]|\\.)*"|[^\s{}!=~,"'`\\]+)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*"|[^\s{}!=~,"'`\\]+)\s*\Z"""
)
_PIECE = re.compile(r'(?:[^,"\\]++|\\.|"(?:[^"\\]|\\.)*+(?:"|\Z)|\\\Z)*+', re.DOTALL)
_CLASSIC_ESCAPE = re.compile(r'\\([n"\\])')
_GO_ESCAPE = re.compile(
    r'\\(?:([abfnrtv\\"])|x([0-9A-Fa-f]{2})|([0-7]{3})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))', re.DOTALL
)
_GO_LETTERS = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_CLASSIC_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*\Z")
_LITERALS = re.compile(r"[\w \-/:@,%=|]+\Z")
"""A pattern in which nothing has a meaning but the bar."""


class MatcherError(ValueError):
    """A text is no matcher; the text of the error says why, in lower case."""


def parse_matcher(text: str) -> Matcher:
    """Read one matcher, such as ``severity=~"critical|error"``. Raises MatcherError."""
    match parse_matchers(text):
        case (one,):
            return one
        case found:
            raise MatcherError(f"{len(found)} matchers where one is asked for")


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read matchers with commas between them, in braces or not; none is possible. Raises MatcherError."""
    if len(text) > MAX_MATCHER:
        raise MatcherError(f"matchers have at most {MAX_MATCHER} characters")
    inner = text.strip()
    if inner.startswith("{") != inner.endswith("}"):
        raise MatcherError("one brace without the other")
    if inner.startswith("{"):
        inner = inner[1:-1]
    pieces = _pieces(inner)
    if pieces and not pieces[-1].strip():
        pieces.pop()  # nothing, or a comma at the end
    return tuple(_matcher(piece) for piece in pieces)


def written(matcher: Matcher) -> str:
    """Return a matcher as text that reads as the same."""
    name = matcher.name if _CLASSIC_NAME.match(matcher.name) else _quoted(matcher.name)
    return f"{name}{matcher.kind}{_quoted(matcher.value)}"


class Matching:
    """Matchers, ready to be asked."""

    __slots__ = ("_tests", "names")

    def __init__(self, matchers: Iterable[Matcher]) -> None:
        """Compile them. Raises MatcherError for a pattern that is not one of RE2."""
        self._tests = tuple((one.name, _test(one)) for one in matchers)
        self.names = frozenset(name for name, _ in self._tests)
        """Of the labels that are looked at."""

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether every matcher matches; without matchers it is so."""
        for name, test in self._tests:  # noqa: SIM110 - all() and a generator take twice as long
            if not test(labels.get(name, "")):
                return False
        return True


def _pieces(text: str) -> list[str]:
    """Split at commas outside of double quotes."""
    pieces: list[str] = []
    place = 0
    while match := _PIECE.match(text, place):
        pieces.append(match[0])
        place = match.end() + 1
        if match.end() == len(text):
            break
    return pieces


def _matcher(text: str) -> Matcher:
    found = _classic(text) or _newer(text)
    if found is None:
        raise MatcherError(f'not a matcher such as name="value" or name=~"pattern": {text.strip()[:100]}')
    _test(found)
    return found


def _classic(text: str) -> Matcher | None:
    match = _CLASSIC.match(text)
    if match is None:
        return None
    name, kind, raw = match.groups()
    is_quoted = raw.startswith('"')
    if is_quoted:
        if len(raw) < 2 or not re.fullmatch(r'(?:[^"\\]|\\.)*+', raw[1:-1], re.DOTALL) or raw[-1] != '"':
            return None
        raw = raw[1:-1]
    elif re.search(r'(?<!\\)(?:\\\\)*"', raw):
        return None
    value = _CLASSIC_ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], raw)
    return Matcher(name, MatchKind(kind), value)


def _newer(text: str) -> Matcher | None:
    match = _NEWER.match(text)
    if match is None:
        return None
    name, value = _unquoted(match[1]), _unquoted(match[3])
    return Matcher(name, MatchKind(match[2]), value) if name and value is not None else None


def _unquoted(text: str) -> str | None:
    """Return what stands in the quotes of Go, ``None`` when an escape is none."""
    if not text.startswith('"'):
        return text
    out = bytearray()
    place = 1
    for escape in _GO_ESCAPE.finditer(text, 1, len(text) - 1):
        out += text[place : escape.start()].encode("utf-8", "surrogatepass")
        letter, in_hex, octal, short, long, other = escape.groups()
        try:
            if letter:
                out += _GO_LETTERS[letter].encode()
            elif in_hex or octal:
                out.append(int(in_hex, 16) if in_hex else int(octal, 8))
            elif other is None:
                out += chr(int(short or long, 16)).encode()
            else:
                return None
        except (ValueError, OverflowError):  # beyond a byte, beyond Unicode, half a pair
            return None
        place = escape.end()
    out += text[place:-1].encode("utf-8", "surrogatepass")
    try:
        return out.decode()
    except UnicodeDecodeError:
        return None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _test(matcher: Matcher) -> Callable[[str], bool]:
    """Return what says whether a value fits. Raises MatcherError."""
    value = matcher.value
    match matcher.kind:
        case MatchKind.EQUAL:
            return value.__eq__
        case MatchKind.NOT_EQUAL:
            return value.__ne__
    if _LITERALS.match(value) or not value:
        test: Callable[[str], bool] = frozenset(value.split("|")).__contains__
    else:
        try:
            test = Pattern(value, has_case=True, max_length=MAX_LABEL_PATTERN).matches
        except PatternError as error:
            raise MatcherError(f"{matcher.name}: {error}") from None
    if matcher.kind is MatchKind.MATCHES:
        return test
    return lambda text: not test(text)
