r"""Regular expressions over addresses whose cost is known: no backtracking, whatever the pattern.

A pattern becomes the position automaton of Glushkov ("The abstract theory of automata", 1961): one position a
character that is written, so a text of n characters takes n steps of at most ``MAX_POSITIONS`` bits. What
such an automaton cannot do (references to groups, looking around, lazy and possessive repetitions) is
refused, as is what only looks like it would mean something. Letters compare without case; the whole text must
match.

Known: ``.``, ``[abc]``, ``[^a-z]``, ``\d \w \s`` and escaped marks, ``( | )``, ``(?: )``, ``* + ?`` and
``{2} {2,} {2,5}``; ``^`` at the beginning and ``$`` at the end say what holds anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass

MAX_PATTERN = 200
"""Characters of a pattern (security limit)."""
MAX_POSITIONS = 256
"""Characters of a pattern with its repetitions written out (security limit): a step costs that many bits."""
MAX_NESTED = 20
MAX_REPEAT = 100
_MAX_STEPS = 5000
"""Of reading a pattern: empty groups in repetitions write out to nothing and still take time."""
_MAX_KEPT = 4096
"""Moves from state to state that are remembered."""
_DEAD = -1

_Test = Callable[[str], bool]
_CLASSES: dict[str, _Test] = {
    "d": str.isdecimal,
    "w": lambda char: char.isalnum() or char == "_",
    "s": str.isspace,
}


class PatternError(ValueError):
    """A pattern that is not taken; the text says why, in lower case."""


@dataclass(slots=True)
class _Part:
    """A piece of a pattern: whether it matches nothing, and its first and last positions, as bits."""

    is_empty: bool
    first: int = 0
    last: int = 0


class Pattern:
    """One pattern, ready to match."""

    def __init__(self, text: str) -> None:
        """Read the pattern. Raises PatternError."""
        reading = _Reading(text)
        whole = reading.whole()
        self._tests = reading.tests
        self._follow = [whole.first << 1, *(bits << 1 for bits in reading.follow)]
        self._accepting = whole.last << 1 | whole.is_empty
        self._chars: dict[str, int] = {}
        self._forget()

    def matches(self, text: str) -> bool:
        """Say whether the whole of ``text`` matches."""
        state = 0
        for char in text.lower():
            after = self._moves[state].get(char)
            state = self._step(state, char) if after is None else after
            if state == _DEAD:
                return False
        return bool(self._bits[state] & self._accepting)

    def _forget(self) -> None:
        """Begin with the start alone: states are made as texts need them, each once."""
        self._bits = [1]
        self._numbers = {1: 0}
        self._moves: list[dict[str, int]] = [{}]
        self._chars.clear()
        self._kept = 0

    def _step(self, state: int, char: str) -> int:
        bits = self._after(self._bits[state], char)
        if self._kept >= _MAX_KEPT:
            self._forget()
            return self._number(bits)
        self._kept += 1
        after = self._number(bits)
        self._moves[state][char] = after
        return after

    def _number(self, bits: int) -> int:
        if not bits:
            return _DEAD
        number = self._numbers.setdefault(bits, len(self._bits))
        if number == len(self._bits):
            self._bits.append(bits)
            self._moves.append({})
        return number

    def _after(self, bits: int, char: str) -> int:
        """Return the positions that are reached from others by one character."""
        allowed = self._chars.get(char)
        if allowed is None:
            allowed = sum(1 << place for place, test in enumerate(self._tests, 1) if test(char))
            self._chars[char] = allowed
        reached = 0
        while bits:
            lowest = bits & -bits
            reached |= self._follow[lowest.bit_length() - 1]
            bits ^= lowest
        return reached & allowed


class _Reading:
    """A pattern being read."""

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= MAX_PATTERN:
            msg = f"a pattern of {len(text)} characters, 1 to {MAX_PATTERN} are allowed"
            raise PatternError(msg)
        self._text = text.removeprefix("^").lower()
        if self._text.endswith("$") and not self._text.endswith("\\$"):
            self._text = self._text[:-1]
        # An escape is about a letter's kind, not its case: \D means something else than \d.
        if any(text[place] == "\\" and text[place + 1].isupper() for place in range(len(text) - 1)):
            msg = "escapes other than \\d, \\w, \\s and escaped marks are not known"
            raise PatternError(msg)
        self._at = 0
        self._depth = 0
        self._count = 0
        self.tests: list[_Test] = []
        self.follow: list[int] = []

    def whole(self) -> _Part:
        part = self._choice()
        if self._at < len(self._text):
            msg = f"nothing is open that {self._text[self._at]!r} could end"
            raise PatternError(msg)
        return part

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._next()
        self._at += 1
        self._count += 1
        if self._count > _MAX_STEPS:
            raise PatternError("its repetitions are too many")
        return char

    def _choice(self) -> _Part:
        found = self._sequence()
        while self._next() == "|":
            self._take()
            other = self._sequence()
            found = _Part(
                found.is_empty or other.is_empty, found.first | other.first, found.last | other.last
            )
        return found

    def _sequence(self) -> _Part:
        found = _Part(is_empty=True)
        while self._next() not in {"", "|", ")"}:
            found = self._joined(found, self._repeated())
        return found

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        return _Part(
            one.is_empty and other.is_empty,
            one.first | (other.first if one.is_empty else 0),
            other.last | (one.last if other.is_empty else 0),
        )

    def _link(self, last: int, first: int) -> None:
        while last:
            lowest = last & -last
            self.follow[lowest.bit_length() - 1] |= first
            last ^= lowest

    def _repeated(self) -> _Part:
        start = self._at
        part = self._atom()
        end = self._at
        least, most = self._bounds()
        if self._next() in {"*", "+", "?", "{"}:
            raise PatternError("a repetition of a repetition")
        after, found = self._at, _Part(is_empty=True)
        for number in range(max(least, most or 1)):
            if number:
                self._at = start
                part = self._atom()
            part.is_empty |= number >= least
            if most is None and number + 1 >= least:
                self._link(part.last, part.first)
            found = self._joined(found, part)
        if most == 0:  # it stands there and means nothing
            found = _Part(is_empty=True)
        assert self._at in {end, after}  # noqa: S101 - every copy was read from the same characters
        self._at = after
        return found

    def _bounds(self) -> tuple[int, int | None]:
        """Read how often, ``None`` for as often as one likes."""
        if self._next() in {"*", "+", "?"}:
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
        if self._next() != "{":
            return 1, 1
        self._take()
        written = ""
        while self._next() not in {"", "}"}:
            written += self._take()
        is_closed = self._take() == "}"
        least, comma, most = written.partition(",")
        if not is_closed or not least.isdecimal() or not (most.isdecimal() or most == "") or len(written) > 7:
            raise PatternError("a repetition is not {2}, {2,} or {2,5}")
        bounds = int(least), (int(most) if most else None) if comma else int(least)
        if max(bounds[0], bounds[1] or 0) > MAX_REPEAT or (bounds[1] is not None and bounds[1] < bounds[0]):
            msg = f"a repetition goes from the smaller to the larger number, at most {MAX_REPEAT}"
            raise PatternError(msg)
        return bounds

    def _atom(self) -> _Part:
        char = self._take()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._position(self._set())
            case ".":
                return self._position(lambda _: True)
            case "\\":
                return self._position(self._escape())
            case "*" | "+" | "?" | "{" | "^" | "$" | "]" | "}":
                msg = f"{char!r} in a place where it means nothing; write \\{char} for the character"
                raise PatternError(msg)
            case _:
                return self._position(char.__eq__)

    def _group(self) -> _Part:
        if self._next() == "?":
            self._take()
            if self._take() != ":":
                raise PatternError("a group that begins with (? other than (?:")
        self._depth += 1
        if self._depth > MAX_NESTED:
            raise PatternError("groups are nested too deeply")
        part = self._choice()
        if self._take() != ")":
            raise PatternError("a group is not closed")
        self._depth -= 1
        return part

    def _escape(self) -> _Test:
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if not char or char.isalnum():
            raise PatternError("escapes other than \\d, \\w, \\s and escaped marks are not known")
        return char.__eq__

    def _set(self) -> _Test:
        is_negated = self._next() == "^"
        if is_negated:
            self._take()
        tests: list[_Test] = []
        while self._next() != "]" or not tests:
            char = self._take()
            if not char:
                raise PatternError("a [ is not closed")
            if char == "\\":
                tests.append(self._escape())
            elif self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._take()
                tests.append(_between(char, self._take()))
            else:
                tests.append(char.__eq__)
        self._take()
        return lambda char: any(test(char) for test in tests) is not is_negated

    def _position(self, test: _Test) -> _Part:
        if len(self.tests) >= MAX_POSITIONS:
            msg = f"written out it has more than {MAX_POSITIONS} characters"
            raise PatternError(msg)
        self.tests.append(test)
        self.follow.append(0)
        bit = 1 << (len(self.tests) - 1)
        return _Part(is_empty=False, first=bit, last=bit)


def _between(low: str, high: str) -> _Test:
    if high < low:
        msg = f"a range from {low!r} to {high!r}"
        raise PatternError(msg)
    return lambda char: low <= char <= high
