"""Whom the settings block: recipients that are never sent to, as exact addresses, domains or patterns. Pure.

Unlike a suppression, which a person or a server's reply makes and a call ends, a block stands in the settings
and holds for every tenant, class and door.
"""

from collections.abc import Sequence

from postroom.policy.matching import domain_pattern, folded
from postroom.policy.patterns import Pattern

CAUSE = "recipient-blocked"
PREFIX = "re:"
"""Before a regular expression (``patterns``)."""
MAX_ENTRIES = 10_000
MAX_PATTERNS = 100
"""Each costs a walk over every recipient's address (security limit)."""


class BlockList:
    """The blocked ones, ready to be asked."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Take addresses, ``@domain`` and ``re:PATTERN``. Raises PatternError."""
        exact = [one for one in entries if not one.startswith(PREFIX)]
        self._exact = frozenset(map(folded, exact))
        self._patterns = tuple(Pattern(one.removeprefix(PREFIX)) for one in entries if one.startswith(PREFIX))

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def blocks(self, address: str) -> bool:
        """Say whether an address is blocked."""
        if self._exact and (folded(address) in self._exact or domain_pattern(address) in self._exact):
            return True
        return any(pattern.matches(address) for pattern in self._patterns)


NOBODY = BlockList()
