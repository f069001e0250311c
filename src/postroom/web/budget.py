"""The byte budget: how much memory request bodies may take together (reliability rule F2).

Rules: whoever reads a body charges it *before* keeping it and gives everything back when the answer is
on its way. Over the budget a request is refused at once with a time to come back; nobody waits for
memory, because waiting requests hold memory too.
"""

from types import TracebackType
from typing import Self

from postroom.errors import OverloadError
from postroom.telemetry.catalogue import BODY_BYTES, MAX_BODY_BYTES

MIB = 1024 * 1024

MAX_BODIES = 256 * MIB
"""Bytes of all bodies in flight (security limit)."""
JSON_WEIGHT = 4
"""A JSON body is held as bytes, as text, as parsed strings and as decoded content: four times its size."""
RETRY_AFTER_S = 2.0
"""Seconds after which a refused caller may come back; bodies of this size are stored in less."""


class ByteBudget:
    """A counter with a ceiling; used from one event loop."""

    def __init__(self, ceiling: int = MAX_BODIES) -> None:
        """Allow ``ceiling`` bytes at once."""
        self.ceiling = ceiling
        self.used = 0

    def show(self) -> None:
        """Fill the gauges of the budget."""
        BODY_BYTES.show(self.used)
        MAX_BODY_BYTES.show(self.ceiling)

    def hold(self) -> "Hold":
        """Return an empty hold, to be grown inside its ``with`` block."""
        return Hold(self)


class Hold:
    """What one request has charged; given back at the end of its ``with`` block."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: ByteBudget) -> None:
        """Begin with nothing charged."""
        self._budget = budget
        self.size = 0

    def grow(self, size: int) -> None:
        """Charge ``size`` more bytes. Raises OverloadError and charges nothing over the ceiling.

        One hold is charged three quarters of the ceiling at most: the largest body that is allowed, counted
        four times, would else find room never, however idle the server is.
        """
        budget = self._budget
        size = min(size, budget.ceiling * 3 // 4 - self.size)
        if budget.used + size > budget.ceiling:
            raise OverloadError(
                f"request bodies in flight take {budget.used} of {budget.ceiling} bytes",
                retry_after_s=RETRY_AFTER_S,
            )
        budget.used += size
        self.size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.used -= self.size
        self.size = 0
