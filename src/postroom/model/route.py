"""A route: the ordered ways out of a message, and the form in which it is written and stored.

``a`` is one transport, ``failover(a b)`` the first that works, ``roundrobin(a b)`` each in turn and the
next one that works when its turn is bad.
"""

from dataclasses import dataclass
from enum import StrEnum


class RouteKind(StrEnum):
    """How the legs are used."""

    FAILOVER = "failover"
    """In order; a single transport is a failover of one."""
    ROUNDROBIN = "roundrobin"


@dataclass(frozen=True, slots=True)
class Route:
    """One or more transports by name, no name twice."""

    legs: tuple[str, ...]
    kind: RouteKind = RouteKind.FAILOVER

    def __str__(self) -> str:
        """Return the written form, as stored with what waits."""
        return self.legs[0] if len(self.legs) == 1 else f"{self.kind.value}({' '.join(self.legs)})"
