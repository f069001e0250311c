"""Which leg of a route takes what waits when another cannot.

Rules:

* Only from a leg that is down, and only to a better one: a working leg first, else one whose pause is over
  and that nothing has shown to be well yet. So what was moved has no reason to move again until a leg
  changes, and two legs never pass mail to and fro.
* In the order of the route; a round robin goes on behind the leg that is down.
* A leg whose pause is over is not asked with all mail at once: one message probes it.

Uncertain mail and mail whose bytes were handed over once is not this module's business: the store leaves it
where it is unless the policy of its class says otherwise.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum

from postroom.model.route import Route, RouteKind


class Fitness(IntEnum):
    """Of one transport; the smaller the better."""

    WORKS = 0
    PROBING = 1
    """Its pause is over, and no message has got past it yet."""
    DOWN = 2
    """Nothing is sent by it for more than a minute: breaker, used-up quota, a person."""


def first_leg(route: Route, fitness: Callable[[str], Fitness]) -> str | None:
    """Return the leg that takes a new message, ``None`` when every leg is down.

    ``fitness`` is asked by the name of a transport. A round robin comes turned for its message.
    """
    return _best(iter(route.legs), fitness)


def next_leg(route: Route, fitness: Callable[[str], Fitness], *, leaving: str) -> str | None:
    """Return the leg that takes what waits for ``leaving``; ``None`` when it stays."""
    if fitness(leaving) is not Fitness.DOWN:
        return None
    is_turning = route.kind is RouteKind.ROUNDROBIN and leaving in route.legs
    start = route.legs.index(leaving) + 1 if is_turning else 0
    return _best((leg for leg in _from(route, start) if leg != leaving), fitness)


def _from(route: Route, start: int) -> Iterator[str]:
    legs = route.legs
    return (legs[(start + offset) % len(legs)] for offset in range(len(legs)))


def _best(legs: Iterator[str], fitness: Callable[[str], Fitness]) -> str | None:
    probing = None
    for leg in legs:
        found = fitness(leg)
        if found is Fitness.WORKS:
            return leg
        if found is Fitness.PROBING and probing is None:
            probing = leg
    return probing
