"""How many connections a server bears: the level of a transport grows and shrinks with what it answers.

Theory (reliability rule E2, after Postfix's feedback): at level N a success counts one up and a failure one
down. N more successes than failures raise the level by one, N more failures lower it: a cohort, not one
message, decides, and a server that fails now and then stays where it is. A change begins the count anew.

Three cohorts of failures without a success between them mean that the server serves nobody: the breaker
opens. After a pause the level begins at 1 (slow start), at a start at 2.
"""

START = 2
LOST_COHORTS = 3


class Concurrency:
    """The level of one transport."""

    __slots__ = ("_balance", "_lost", "level", "limit")

    def __init__(self, limit: int, *, level: int = START) -> None:
        """Take the most connections there may be, at least 1."""
        self.limit = limit
        self.level = min(level, limit)
        self._balance = 0
        self._lost = 0
        """Cohorts of failures since the last success."""

    def succeeded(self) -> bool:
        """Count a success; return whether the level changed."""
        self._lost = 0
        if self.level == self.limit:
            if self._balance < self.limit:
                self._balance += 1
            return False
        self._balance += 1
        if self._balance < self.level:
            return False
        self.level += 1
        self._balance = 0
        return True

    def failed(self) -> bool:
        """Count a failure; return whether the level changed."""
        self._balance -= 1
        if self._balance > -self.level:
            return False
        self._balance = 0
        self._lost += 1
        if self.level == 1:
            return False
        self.level -= 1
        return True

    @property
    def is_lost(self) -> bool:
        """Whether so many cohorts failed that nothing gets through."""
        return self._lost >= LOST_COHORTS

    def restart(self) -> None:
        """Begin slowly, after an outage."""
        self.level = 1
        self._balance = 0
        self._lost = 0
