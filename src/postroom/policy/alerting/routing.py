"""Which branches of the tree take an alert, and why.

A node's children are asked in order; the first that matches takes the alert, and the next are asked only when
it says ``continue``; where no child matches, the node itself holds. What a node does not say, the one above
says.

The answers are kept by the labels that matchers look at, and groups by the labels grouped by, so that most
events cost a look into two tables.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from postroom.model.address import AddressError, parse_address
from postroom.model.alert import GroupId
from postroom.model.alert_rules import ROOT, AlertRoute, AlertRules, Receiver
from postroom.policy.alerting.identity import group_id
from postroom.policy.alerting.matching import Matching, written

ALL_LABELS = ("...",)
"""In ``group_by``: every label, so each set of labels is a group."""
SEPARATOR = " / "
"""Between the names of a path."""
_MAX_KEPT = 4096
"""Answers kept in each table; forgotten all at once (security limit)."""
_BETWEEN = re.compile(r"[,;\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A place in the tree that takes an alert, everything inherited, and the group it belongs to there."""

    path: str
    """The names from the root, for people."""
    receiver: str
    """Its name; there may be none of that name."""
    labels: Mapping[str, str]
    """What the group has in common; a label that is absent is not in it."""
    own: tuple[str, ...]
    """Addresses in place of the receiver's; empty: none."""
    group: GroupId
    group_wait: timedelta
    group_interval: timedelta
    repeat: tuple[timedelta, ...]
    resolved: bool
    active: tuple[str, ...]
    mute: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One node that was asked."""

    path: str
    depth: int
    """0 is the root."""
    is_match: bool
    matchers: tuple[str, ...] = ()
    """What it asks for; the root takes everything."""
    failed: str = ""
    """The first matcher that did not match."""
    value: str = ""
    """What that label has."""
    is_taken: bool = False
    """It takes the alert: it matched, and no child did."""
    is_continued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The way of a set of labels through the tree."""

    asked: tuple[Asked, ...]
    """Nodes in the order of asking."""
    branches: tuple[Branch, ...]


@dataclass(slots=True, kw_only=True)
class _Node:
    """A route with everything inherited."""

    names: tuple[str, ...]
    route: AlertRoute
    receiver: Receiver
    matching: Matching
    children: tuple["_Node", ...]
    kept: dict[tuple[str | None, ...], Branch] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return SEPARATOR.join(self.names)


class Router:
    """The tree, ready to be asked."""

    def __init__(self, rules: AlertRules) -> None:
        """Build it. Raises MatcherError for a pattern that is not one of RE2."""
        self._receivers = rules.receivers
        self._root = self._node(rules.root, above=ROOT, names=(rules.root.name or "root",))
        self._looked_at = tuple(sorted({name for node in _walk(self._root) for name in node.matching.names}))
        self._kept: dict[tuple[str | None, ...], tuple[_Node, ...]] = {}

    def branches(self, labels: Mapping[str, str], *, own: tuple[str, ...] = ()) -> tuple[Branch, ...]:
        """Return where an alert with these labels goes, at least one place.

        Args:
            labels: what ``labels_of`` returns.
            own: addresses that the event or its type names; they hold where the receiver takes lists.
        """
        seen = tuple(map(labels.get, self._looked_at))
        nodes = self._kept.get(seen)
        if nodes is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            nodes = self._kept[seen] = tuple(_takers(self._root, labels))
        return tuple([_branch(node, labels, own) for node in nodes])

    def trace(self, labels: Mapping[str, str], *, own: tuple[str, ...] = ()) -> Trace:
        """Return every node that is asked, whether it matched and why not, and where the alert goes."""
        return Trace(asked=tuple(_asked(self._root, labels, 0)), branches=self.branches(labels, own=own))

    def _node(self, route: AlertRoute, *, above: AlertRoute, names: tuple[str, ...]) -> _Node:
        full = _inherited(route, above)
        taken: set[str] = set()
        children: list[_Node] = []
        for child in route.routes:
            name = _unused(name_of(child), taken)
            taken.add(name)
            children.append(self._node(child, above=full, names=(*names, name)))
        receiver = self._receivers.get(full.receiver or "", Receiver(name=full.receiver or ""))
        is_root = len(names) == 1
        matching = Matching(() if is_root else route.matchers)
        return _Node(names=names, route=full, receiver=receiver, matching=matching, children=tuple(children))


def name_of(route: AlertRoute) -> str:
    """Return the name of a route among its siblings."""
    return route.name or ", ".join(map(written, route.matchers)) or "all"


def _unused(name: str, taken: set[str]) -> str:
    """Return the name, with a number where a sibling has it."""
    unused, count = name, 1
    while unused in taken:
        count += 1
        unused = f"{name} #{count}"
    return unused


def _inherited(route: AlertRoute, above: AlertRoute) -> AlertRoute:
    return AlertRoute(
        name=route.name,
        matchers=route.matchers,
        receiver=above.receiver if route.receiver is None else route.receiver,
        group_by=above.group_by if route.group_by is None else route.group_by,
        group_wait=above.group_wait if route.group_wait is None else route.group_wait,
        group_interval=above.group_interval if route.group_interval is None else route.group_interval,
        repeat=above.repeat if route.repeat is None else route.repeat,
        resolved=above.resolved if route.resolved is None else route.resolved,
        active=above.active if route.active is None else route.active,
        mute=above.mute if route.mute is None else route.mute,
        is_continued=route.is_continued,
    )


def _walk(node: _Node) -> Iterator[_Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _takers(node: _Node, labels: Mapping[str, str]) -> Iterator[_Node]:
    """Walk the nodes that take an alert which matches ``node``."""
    is_passed_on = False
    for child in node.children:
        if child.matching.fits(labels):
            is_passed_on = True
            yield from _takers(child, labels)
            if not child.route.is_continued:
                break
    if not is_passed_on:
        yield node


def _asked(node: _Node, labels: Mapping[str, str], depth: int) -> Iterator[Asked]:
    """Walk what is asked below and with a node that matches."""
    below: list[Asked] = []
    is_passed_on = False
    for child in node.children:
        if child.matching.fits(labels):
            is_passed_on = True
            below += _asked(child, labels, depth + 1)
            if not child.route.is_continued:
                break
        else:
            failed = next(one for one in child.route.matchers if not Matching((one,)).fits(labels))
            value = labels.get(failed.name, "")
            below.append(
                Asked(
                    path=child.path,
                    depth=depth + 1,
                    is_match=False,
                    matchers=_written(child),
                    failed=written(failed),
                    value=value,
                )
            )
    yield Asked(
        path=node.path,
        depth=depth,
        is_match=True,
        matchers=_written(node) if depth else (),
        is_taken=not is_passed_on,
        is_continued=node.route.is_continued,
    )
    yield from below


def _written(node: _Node) -> tuple[str, ...]:
    return tuple(map(written, node.route.matchers))


def _branch(node: _Node, labels: Mapping[str, str], own: tuple[str, ...]) -> Branch:
    receiver = node.receiver
    if not (own and receiver.takes_lists):
        own = _addresses(labels.get(receiver.from_label, "")) if receiver.from_label else ()
    group_by = node.route.group_by or ()
    if group_by == ALL_LABELS:
        return _made(node, dict(labels), own)
    seen = (*map(labels.get, group_by), *own)
    branch = node.kept.get(seen)
    if branch is None:
        if len(node.kept) >= _MAX_KEPT:
            node.kept.clear()
        common = {name: labels[name] for name in group_by if labels.get(name)}
        branch = node.kept[seen] = _made(node, common, own)
    return branch


def _made(node: _Node, common: dict[str, str], own: tuple[str, ...]) -> Branch:
    route = node.route
    return Branch(
        path=node.path,
        receiver=node.receiver.name,
        labels=common,
        own=own,
        group=group_id(node.names, node.receiver.name, own, common),
        group_wait=route.group_wait or timedelta(0),
        group_interval=route.group_interval or timedelta(0),
        repeat=route.repeat or (),
        resolved=bool(route.resolved),
        active=route.active or (),
        mute=route.mute or (),
    )


def _addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in the value of a label, each once, without what is none."""
    found: dict[str, None] = {}
    for part in _BETWEEN.split(text):
        try:
            found[str(parse_address(part))] = None
        except AddressError:
            continue
    return tuple(found)
