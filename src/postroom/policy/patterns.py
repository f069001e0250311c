r"""Regular expressions over addresses and labels whose cost is known: RE2, which never backtracks.

RE2 refuses what would need backtracking (references to groups, looking around). Letters of addresses compare
without case; the whole text must match; ``\w``, ``\d`` and ``\s`` mean ASCII.

The library is loaded with the first pattern: most runs have none.
"""

MAX_PATTERN = 200
"""Characters of a pattern (security limit)."""
_MAX_MEMORY = 1 << 20
"""Bytes one pattern may use, its memory of states included (security limit)."""


class PatternError(ValueError):
    """A pattern that is not taken; the text says why, in lower case."""


class Pattern:
    """One pattern, ready to match."""

    def __init__(self, text: str, *, has_case: bool = False, max_length: int = MAX_PATTERN) -> None:
        """Read the pattern; with ``has_case`` letters compare as they are. Raises PatternError."""
        import re2  # noqa: PLC0415 - see above

        if not text:
            raise PatternError("an empty pattern matches nothing")
        if len(text) > max_length:
            raise PatternError(f"a pattern has at most {max_length} characters")
        options = re2.Options()
        options.case_sensitive = has_case
        options.log_errors = False
        options.max_mem = _MAX_MEMORY
        try:
            self._match = re2.compile(text, options).fullmatch
        except re2.error as error:
            raise PatternError(f"not a pattern: {_reason(error)}") from None

    def matches(self, text: str) -> bool:
        """Say whether the whole of ``text`` matches."""
        return self._match(text) is not None


def _reason(error: Exception) -> str:
    """Return what RE2 says, which it says in bytes."""
    [said] = error.args
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
