"""Which leg takes what waits for another."""

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.route import Route, RouteKind
from postroom.policy.failover import Fitness, first_leg, next_leg

F = Fitness
LEGS = ("a", "b", "c", "d")
ROUTES = st.builds(
    Route,
    st.lists(st.sampled_from(LEGS), min_size=1, max_size=4, unique=True).map(tuple),
    st.sampled_from(RouteKind),
)
STATES = st.fixed_dictionaries({leg: st.sampled_from(Fitness) for leg in LEGS})


@each(
    ("kind", "states", "leaving", "expected"),
    [
        (RouteKind.FAILOVER, (F.DOWN, F.WORKS, F.WORKS), "a", "b"),
        (RouteKind.FAILOVER, (F.WORKS, F.DOWN, F.WORKS), "b", "a"),
        (RouteKind.ROUNDROBIN, (F.WORKS, F.DOWN, F.WORKS), "b", "c"),
        (RouteKind.ROUNDROBIN, (F.WORKS, F.WORKS, F.DOWN), "c", "a"),
        (RouteKind.FAILOVER, (F.DOWN, F.PROBING, F.WORKS), "a", "c"),
        (RouteKind.FAILOVER, (F.DOWN, F.PROBING, F.DOWN), "a", "b"),
        (RouteKind.FAILOVER, (F.DOWN, F.DOWN, F.DOWN), "a", None),
        (RouteKind.FAILOVER, (F.PROBING, F.WORKS, F.WORKS), "a", None),
        (RouteKind.FAILOVER, (F.WORKS, F.WORKS, F.WORKS), "a", None),
    ],
)
def test_the_next_leg(
    kind: RouteKind, states: tuple[Fitness, ...], leaving: str, expected: str | None
) -> None:
    """In the order of the route, a round robin onward; a leg that may work only when none does."""
    fitness = dict(zip(LEGS, states, strict=False))
    assert expected == next_leg(Route(LEGS[:3], kind), fitness.__getitem__, leaving=leaving)


def test_a_transport_that_left_the_route_is_left_by_its_order() -> None:
    """Mail may wait for a transport that its route does not name any more."""
    route = Route(("a", "b"), RouteKind.ROUNDROBIN)
    states = {"a": F.DOWN, "b": F.WORKS, "x": F.DOWN}
    assert next_leg(route, states.__getitem__, leaving="x") == "b"


@given(route=ROUTES, states=STATES, leaving=st.sampled_from(LEGS))
def test_what_moved_stays(route: Route, states: dict[str, Fitness], leaving: str) -> None:
    """From a down leg to a better one of the route, never twice: no two legs pass mail to and fro."""
    leg = next_leg(route, states.__getitem__, leaving=leaving)
    if leg is None:
        others = [states[name] for name in route.legs if name != leaving]
        assert states[leaving] is not F.DOWN or all(state is F.DOWN for state in others)
        return
    assert states[leaving] is F.DOWN
    assert leg in route.legs
    assert states[leg] is min(states[name] for name in route.legs)
    assert next_leg(route, states.__getitem__, leaving=leg) is None


@given(route=ROUTES, states=STATES)
def test_a_new_message_goes_by_the_first_of_the_best(route: Route, states: dict[str, Fitness]) -> None:
    """And by none when every leg is down."""
    leg = first_leg(route, states.__getitem__)
    best = min(states[name] for name in route.legs)
    if best is F.DOWN:
        assert leg is None
    else:
        assert leg == next(name for name in route.legs if states[name] is best)
