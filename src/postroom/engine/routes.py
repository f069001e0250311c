"""From a submission to the way out it takes first: the rule, the route turned for it, the leg that works.

The rules and the turning are ``policy.routing``; the health of the legs is the ways' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from postroom.engine.freezing import Sending
from postroom.engine.ways import Way, Ways
from postroom.errors import InvariantError
from postroom.model.guest import is_guest_name
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.policy.failover import first_leg
from postroom.policy.routing import Routed, RouteRule, RouteTable, turn_of, turns


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
    """What that leg says about senders, and the rule about the subject."""


class Routes:
    """Chooses a way out for each submission.

    What a choice comes to is made once and looked up, until the ways change.
    """

    def __init__(
        self, ways: Ways, table: RouteTable | None = None, *, rules: Sequence[RouteRule] = ()
    ) -> None:
        """Take the ways and the rules; without a ``table`` what no rule matches goes by the first way."""
        self._ways = ways
        self._given = table
        self._rules = rules
        self._learn()

    def _learn(self) -> None:
        ways = self._ways
        self._version = ways.version
        self._table = self._given or RouteTable(self._rules, Route((ways.default.name,)))
        self._turns = {
            routed.rule: tuple(_Turn(routed, route, ways) for route in turns(routed.route))
            for routed in self._table.decisions
        }

    def choose(self, submission: Submission, *, now: datetime, entropy: bytes) -> Chosen:
        """Return the way of a submission that is accepted ``now`` under an id made of ``entropy``.

        A leg that waits for a probe may be given this message as one.
        """
        turn = self._turn(submission, entropy)
        return turn.only or turn.by(self._ways.leg(turn.route, now))

    def given(self, route: Route) -> Chosen:
        """Return a route that was decided elsewhere; its first leg, one of the ways, takes the message."""
        routed = Routed(rule="given", route=route)
        way = self._ways.any_named(route.legs[0])
        if way is None and is_guest_name(route.legs[0]):
            raise InvariantError("mail of a guest that is not here")  # never by another account
        return _chosen(routed, route, way or self._ways.default)

    def foreseen(self, submission: Submission, *, now: datetime, entropy: bytes) -> Chosen:
        """Return what ``choose`` would, and give no probe."""
        turn = self._turn(submission, entropy)
        best = first_leg(turn.route, lambda name: self._ways.fitness(name, now))
        way = self._ways.named(best) if best is not None else None
        return turn.by(way or self._ways.leg(turn.route, now))

    def _turn(self, submission: Submission, entropy: bytes) -> "_Turn":
        if self._version != self._ways.version:
            self._learn()
        of_rule = self._turns[self._table.choose(submission).rule]
        if len(of_rule) == 1:
            return of_rule[0]
        return of_rule[turn_of(entropy, len(of_rule))]


class _Turn:
    """One order of the legs of one rule's route, and what each leg of it comes to."""

    __slots__ = ("_by_way", "_routed", "only", "route")

    def __init__(self, routed: Routed, route: Route, ways: Ways) -> None:
        self._routed = routed
        self.route = route
        self._by_way: dict[str, Chosen] = {}
        self.only: Chosen | None = None
        """Given when there is but one leg."""
        if len(route.legs) == 1:
            self.only = self.by(ways.named(route.legs[0]) or ways.default)

    def by(self, way: Way) -> Chosen:
        chosen = self._by_way.get(way.name)
        if chosen is None:
            chosen = self._by_way[way.name] = _chosen(self._routed, self.route, way)
        return chosen


def _chosen(routed: Routed, route: Route, way: Way) -> Chosen:
    prefix = routed.subject_prefix
    return Chosen(
        rule=routed.rule,
        route=route,
        written=str(route) if len(route.legs) > 1 else "",
        way=way,
        sending=replace(way.sending, subject_prefix=prefix) if prefix else way.sending,
    )
