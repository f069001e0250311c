"""From a submission to the way out it takes first: the rule, the route turned for it, the leg that works.

The rules and the turning are ``policy.routing``; the health of the legs is the ways' own. A route with one
leg needs no decision per message, so what it comes to is made once.
"""

from dataclasses import dataclass
from datetime import datetime

from postroom.engine.freezing import Sending
from postroom.engine.ways import Way, Ways
from postroom.model.ids import ENTROPY_BYTES, new_message_id
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.policy.failover import first_leg
from postroom.policy.routing import Routed, RouteTable, turned


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
    sending: Sending
    """What that leg says about senders."""


class Routes:
    """Chooses a way out for each submission."""

    def __init__(self, ways: Ways, table: RouteTable | None = None) -> None:
        """Take the ways and the rules, whose every leg is one of the ways; without rules it is the first."""
        self._ways = ways
        self._table = table or RouteTable((), Route((ways.default.name,)))
        self._single = {
            routed.rule: _chosen(routed, ways.named(routed.route.legs[0]) or ways.default)
            for routed in self._table.decisions
            if len(routed.route.legs) == 1
        }

    def choose(self, submission: Submission, *, now: datetime, entropy: bytes) -> Chosen:
        """Return the way of a submission that is accepted ``now`` under an id made of ``entropy``.

        A leg that waits for a probe may be given this message as one.
        """
        routed = self._table.choose(submission)
        single = self._single.get(routed.rule)
        if single is not None:
            return single
        routed = _turned(routed, now, entropy)
        return _chosen(routed, self._ways.leg(routed.route, now))

    def given(self, route: Route) -> Chosen:
        """Return a route that was decided elsewhere; its first leg, one of the ways, takes the message."""
        return _chosen(
            Routed(rule="given", route=route), self._ways.named(route.legs[0]) or self._ways.default
        )

    def foreseen(self, submission: Submission, *, now: datetime, entropy: bytes) -> Chosen:
        """Return what ``choose`` would, and give no probe."""
        routed = _turned(self._table.choose(submission), now, entropy)
        best = first_leg(routed.route, lambda name: self._ways.fitness(name, now))
        way = self._ways.named(best) if best is not None else None
        return _chosen(routed, way or self._ways.leg(routed.route, now))


def _turned(routed: Routed, now: datetime, entropy: bytes) -> Routed:
    return Routed(rule=routed.rule, route=turned(routed.route, new_message_id(now, entropy[:ENTROPY_BYTES])))


def _chosen(routed: Routed, way: Way) -> Chosen:
    route = routed.route
    return Chosen(
        rule=routed.rule,
        route=route,
        written=str(route) if len(route.legs) > 1 else "",
        way=way,
        sending=Sending(transport=way.name, default_from=way.default_from, account=way.account),
    )
