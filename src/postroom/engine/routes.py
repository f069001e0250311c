"""From a submission to the way out it takes first: the rule, the route turned for it, the leg that works.

The rules and the turning are ``policy.routing``; the health of the legs is the ways' own. A route with one
leg needs no decision per message, so what it comes to is made once.
"""

from dataclasses import dataclass
from datetime import datetime

from postroom.engine.ways import Way, Ways
from postroom.errors import InvariantError
from postroom.model.ids import ENTROPY_BYTES, new_message_id
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.policy.routing import RouteTable, turned


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The way a new message takes, and why."""

    rule: str
    """Name of the rule."""
    route: Route
    """With the legs in this message's order."""
    written: str
    """The route as it is stored with what waits; empty when there is but one leg."""
    way: Way
    """The leg that takes it first."""


class Routes:
    """Chooses a way out for each submission."""

    def __init__(self, ways: Ways, table: RouteTable | None = None) -> None:
        """Take the ways and the rules, whose every leg is one of the ways; without rules it is the first."""
        self._ways = ways
        self._table = table or RouteTable((), Route((ways.default.name,)))
        single = (routed for routed in self._table.decisions if len(routed.route.legs) == 1)
        self._single = {
            routed.rule: Chosen(
                rule=routed.rule, route=routed.route, written="", way=self._way(routed.route.legs[0])
            )
            for routed in single
        }

    def choose(self, submission: Submission, *, now: datetime, entropy: bytes) -> Chosen:
        """Return the way of a submission that is accepted ``now`` under an id made of ``entropy``."""
        routed = self._table.choose(submission)
        single = self._single.get(routed.rule)
        if single is not None:
            return single
        route = turned(routed.route, new_message_id(now, entropy[:ENTROPY_BYTES]))
        return Chosen(rule=routed.rule, route=route, written=str(route), way=self._way(route.legs[0]))

    def _way(self, name: str) -> Way:
        way = self._ways.named(name)
        if way is None:
            raise InvariantError(f"a route names the transport {name!r}, which is not configured")
        return way
