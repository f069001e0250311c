"""The way through the tree: order, ``continue``, what is inherited, groups and addresses."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from postroom.model.alert_rules import ROOT, AlertRoute, AlertRules, Receiver
from postroom.policy.alerting.matching import Matching, parse_matchers
from postroom.policy.alerting.routing import Router

MINUTE = timedelta(minutes=1)


def route(matchers: str = "", *routes: AlertRoute, more: bool = False, **settings: object) -> AlertRoute:
    made = AlertRoute(matchers=parse_matchers(matchers), routes=routes, is_continued=more)
    return replace(made, **settings)  # type: ignore[arg-type] # the tests name members of a route


def router(*routes: AlertRoute, receivers: tuple[Receiver, ...] = ()) -> Router:
    by_name = {one.name: one for one in receivers}
    return Router(AlertRules(root=replace(ROOT, routes=routes), receivers=by_name))


def paths(asked: Router, **labels: str) -> list[str]:
    return [branch.path for branch in asked.branches(labels)]


def test_the_first_child_that_matches_takes_an_alert() -> None:
    """Deeper ones before it; where no child matches the node itself holds, in the end the root."""
    tree = router(
        route("team=a", route("db=1", name="deep"), name="a"),
        route("team=~a|b", name="ab"),
    )
    assert ["root / a / deep"] == paths(tree, team="a", db="1")
    assert ["root / a"] == paths(tree, team="a")
    assert ["root / ab"] == paths(tree, team="b")
    assert ["root"] == paths(tree, team="c")


def test_the_next_siblings_are_asked_only_when_a_route_continues() -> None:
    """Only a match that says so is followed by others; the parent does not hold then."""
    tree = router(
        route("a=1", name="one", more=True), route("b=1", name="two"), route("a=1", name="three"),
    )  # fmt: skip
    assert ["root / one", "root / two"] == paths(tree, a="1", b="1")
    assert ["root / one", "root / three"] == paths(tree, a="1")
    assert ["root / two"] == paths(tree, b="1")


def test_a_node_inherits_what_it_does_not_say() -> None:
    """Every setting comes from the nearest node that says it, also where that is zero, empty or no."""
    tree = router(
        route(
            "a=1",
            route("b=1", group_interval=timedelta(0), group_by=(), repeat=(), resolved=False, mute=()),
            receiver="ops", group_wait=MINUTE, mute=("nights",), active=("days",),
        )
    )  # fmt: skip
    [child] = tree.branches({"a": "1", "b": "1", "key": "k"})
    assert ("ops", MINUTE, timedelta(0), (), False) == (
        child.receiver, child.group_wait, child.group_interval, child.repeat, child.resolved,
    )  # fmt: skip
    assert (("days",), (), {}) == (child.active, child.mute, child.labels)
    [parent] = tree.branches({"a": "1", "key": "k"})
    assert (("nights",), ROOT.group_interval, ROOT.repeat, True, {"key": "k"}) == (
        parent.mute, parent.group_interval, parent.repeat, parent.resolved, parent.labels,
    )  # fmt: skip
    [root] = tree.branches({})
    assert ("default", timedelta(0)) == (root.receiver, root.group_wait)


def test_nodes_without_names_are_named_by_their_matchers() -> None:
    """Siblings with the same matchers differ by a number, and so do their groups."""
    tree = router(route('a="1"', more=True), route("a=1", more=True), route())
    branches = tree.branches({"a": "1"})
    assert ['root / a="1"', 'root / a="1" #2', "root / all"] == [one.path for one in branches]
    assert 3 == len({one.group for one in branches})


def test_groups_are_made_of_the_labels_grouped_by() -> None:
    """Three dots are every label; what an alert does not have is left out, as if it were empty."""
    tree = router(route("a=1", group_by=("b", "c")), route("a=2", group_by=("...",)))

    def group(**labels: str) -> str:
        [branch] = tree.branches(labels)
        return branch.group

    assert group(a="1", b="x", d="1") == group(d="2", b="x", a="1", c="")
    assert group(a="1", b="x") != group(a="1", c="x")
    assert group(a="2", b="x", d="1") != group(a="2", b="x", d="2")
    assert group(a="2", b="x", d="1") == group(d="1", b="x", a="2")


def test_own_addresses_hold_where_the_receiver_takes_them() -> None:
    """Lists of the task first, then the receiver's label, without what is no address and what comes twice."""
    label = Receiver(name="label", from_label="owner", takes_lists=True)
    closed = Receiver(name="closed", takes_lists=False)
    tree = router(
        route("r=label", receiver="label"), route("r=closed", receiver="closed"), receivers=(label, closed)
    )

    def own(addresses: tuple[str, ...] = (), **labels: str) -> tuple[str, ...]:
        [branch] = tree.branches(labels, own=addresses)
        return branch.own

    task, owners = ("task@example.com",), "b@example.com, a@EXAMPLE.com;nobody b@example.com"
    assert task == own(task, r="label", owner=owners)
    assert ("b@example.com", "a@example.com") == own(r="label", owner=owners)
    assert () == own(r="label", owner="nobody")
    assert () == own(r="label")
    assert () == own(task, r="closed")
    assert task == own(task, r="default")
    assert 2 == len({tree.branches({"r": "label"}, own=one)[0].group for one in ((), task)})


def test_a_trace_says_which_nodes_were_asked_and_why_they_failed() -> None:
    """Every node in order, with the first matcher that did not match and the label's value."""
    tree = router(
        route("team=a,db=1", name="a"),
        route("team=b", route("db=2", name="deep"), name="b", more=True),
        route("team=~c|d", name="cd"),
    )
    trace = tree.trace({"team": "b", "db": "1"})
    assert [
        ("root", 0, True, "", "", False),
        ("root / a", 1, False, 'team="a"', "b", False),
        ("root / b", 1, True, "", "", True),
        ("root / b / deep", 2, False, 'db="2"', "1", False),
        ("root / cd", 1, False, 'team=~"c|d"', "b", False),
    ] == [(one.path, one.depth, one.is_match, one.failed, one.value, one.is_taken) for one in trace.asked]
    assert tree.branches({"team": "b", "db": "1"}) == trace.branches
    assert [one.path for one in trace.asked if one.is_taken] == [one.path for one in trace.branches]


MATCHERS = st.sampled_from(["a=1", "a!=1", "b=1", 'b=""', "a=~1|2", "", "a=1,b=1"])
LEAF = st.builds(route, MATCHERS, more=st.booleans())
TREE = st.recursive(
    LEAF,
    lambda below: st.builds(
        lambda text, routes, more: route(text, *routes, more=more),
        MATCHERS,
        st.lists(below, max_size=3),
        st.booleans(),
    ),
    max_leaves=8,
)
LABELS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "1", "2"]))


def expected_paths(name: str, node: AlertRoute, labels: dict[str, str]) -> list[str]:
    """The rule as Alertmanager's source says it, word by word."""
    found: list[str] = []
    for index, child in enumerate(node.routes):
        if not Matching(child.matchers).fits(labels):
            continue
        found += expected_paths(f"{name} / {index}", child, labels)
        if not child.is_continued:
            break
    return found or [name]


def numbered(node: AlertRoute) -> AlertRoute:
    return replace(
        node, routes=tuple(replace(numbered(one), name=str(index)) for index, one in enumerate(node.routes))
    )


@given(st.lists(TREE, max_size=4), st.lists(LABELS, min_size=1, max_size=3))
def test_any_tree_is_walked_as_alertmanager_walks_it(
    routes: list[AlertRoute], sets: list[dict[str, str]]
) -> None:
    """Answers that are kept are those of the first asking; every alert goes somewhere."""
    root = numbered(replace(ROOT, routes=tuple(routes)))
    tree = Router(AlertRules(root=root))
    for labels in [*sets, *sets]:
        expected = expected_paths("root", root, labels)
        assert expected == [branch.path for branch in tree.branches(labels)]
        assert expected == [one.path for one in tree.trace(labels).asked if one.is_taken]


def test_answers_kept_are_bounded() -> None:
    """Many values of a label do not fill the memory, and answers stay right."""
    tree = router(route("a=~.*7", name="seven", group_by=("a",)))
    for index in range(10_000):
        [branch] = tree.branches({"a": str(index)})
        assert ("root / seven" if index % 10 == 7 else "root") == branch.path
    assert len(tree._kept) <= 4096
    assert len(tree._root.children[0].kept) <= 4096
