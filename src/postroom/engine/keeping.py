"""What was dear to make is kept, up to a size; what was longest unused goes first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by key, all together no larger than a bound."""

    def __init__(self, max_size: int, size: Callable[[V], int]) -> None:
        """Take the bound, and how large a value is, in the same unit."""
        self._max_size = max_size
        self._size = size
        self._total = 0
        self._values: OrderedDict[K, V] = OrderedDict()

    def find(self, key: K) -> V | None:
        """Return a value, which counts as a use of it."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep a value; one that is larger than the bound is not kept."""
        self.drop(key)
        if self._size(value) > self._max_size:
            return
        self._values[key] = value
        self._total += self._size(value)
        while self._total > self._max_size:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Forget a value, if there is one."""
        if (value := self._values.pop(key, None)) is not None:
            self._total -= self._size(value)
