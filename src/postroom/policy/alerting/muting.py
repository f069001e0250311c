"""What keeps people from being told: silences and inhibitions.

Active alerts that match the source of an inhibition are found by the values that must be equal, so that a
target costs one look into a table, however many alerts are active.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush

from postroom.model.alert import AlertId, Clause, GroupId, Silence
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.matching import Matching, parse_matcher
from postroom.policy.alerting.times import is_in, next_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Why a member is not told now."""

    clause: Clause
    until: datetime | None = None
    """``None``: not known before."""
    data: Mapping[str, str] = field(default_factory=dict)


class Stilled:
    """A silence, ready to be asked."""

    __slots__ = ("clock_at", "matching", "silence")

    def __init__(self, silence: Silence) -> None:
        """Compile it. Raises MatcherError."""
        self.silence = silence
        self.matching = Matching([parse_matcher(one) for one in silence.matchers])
        self.clock_at: datetime | None = None

    def next_at(self, now: datetime) -> datetime:
        """Return when it begins or ends next."""
        return self.silence.starts_at if now < self.silence.starts_at else self.silence.ends_at


class _Sources:
    """Active alerts that match a source and have the same values; the least id speaks for them."""

    __slots__ = ("_order", "ids")

    def __init__(self) -> None:
        self.ids: set[AlertId] = set()
        self._order: list[AlertId] = []

    def add(self, number: AlertId) -> None:
        if number not in self.ids:
            self.ids.add(number)
            heappush(self._order, number)

    def least(self, but: AlertId) -> AlertId | None:
        """Return the least id that is not ``but``."""
        if len(self._order) > 2 * len(self.ids) + 8:
            self._order = list(self.ids)
            heapify(self._order)
        found, own = None, False
        while self._order and found is None:
            first = self._order[0]
            if first == but and first in self.ids:
                own = True
                heappop(self._order)
            elif first not in self.ids:
                heappop(self._order)
            else:
                found = first
        if own:
            heappush(self._order, but)
        return found


class Muting:
    """Silences, inhibitions and tables of the week, ready to be asked."""

    def __init__(self, rules: AlertRules) -> None:
        """Compile the inhibitions. Raises MatcherError."""
        self.silences: dict[str, Stilled] = {}
        self.waiting: dict[tuple[object, ...], set[GroupId]] = {}
        """Groups that look again when a silence ends (by its id) or a source changes."""
        self.adopt(rules)

    def adopt(self, rules: AlertRules) -> None:
        """Take other rules, and forget the active sources."""
        self._tables = rules.tables
        self._inhibitions = [
            (one.name, Matching(one.source), Matching(one.target), one.equal) for one in rules.inhibitions
        ]
        self._sources: dict[tuple[object, ...], _Sources] = {}
        self._keys: dict[AlertId, tuple[tuple[object, ...], ...]] = {}

    @property
    def is_blind(self) -> bool:
        """Whether no label is ever looked at."""
        return not self.silences and not self._inhibitions

    @property
    def has_inhibitions(self) -> bool:
        """Whether active alerts must be named by ``begins``."""
        return bool(self._inhibitions)

    def begins(self, number: AlertId, labels: Mapping[str, str]) -> Iterator[GroupId]:
        """Note that an alert is active, with these labels; walk the groups that look again."""
        keys = tuple(
            (index, *(labels.get(name, "") for name in equal))
            for index, (_, source, _, equal) in enumerate(self._inhibitions)
            if source.fits(labels)
        )
        was = self._keys.get(number, ())
        if keys == was:
            return
        yield from self.ends(number)
        for key in keys:
            self._sources.setdefault(key, _Sources()).add(number)
            yield from self.waiting.get(key, ())
        if keys:
            self._keys[number] = keys

    def ends(self, number: AlertId) -> Iterator[GroupId]:
        """Note that an alert is not active any more; walk the groups that look again."""
        for key in self._keys.pop(number, ()):
            sources = self._sources[key]
            sources.ids.discard(number)
            if not sources.ids:
                del self._sources[key]
            yield from self.waiting.get(key, ())

    def held_by(self, number: AlertId) -> set[GroupId]:
        """Return the groups that wait for the end of an alert."""
        return {group for key in self._keys.get(number, ()) for group in self.waiting.get(key, ())}

    def silenced(self, labels: Mapping[str, str], now: datetime) -> Mute | None:
        """Return the silence that matches and ends last."""
        found = [
            one.silence
            for one in self.silences.values()
            if one.silence.starts_at <= now < one.silence.ends_at and one.matching.fits(labels)
        ]
        if not found:
            return None
        last = max(found, key=lambda one: (one.ends_at, one.id))
        data = {"silence": last.id, "author": last.author, "reason": last.reason}
        return Mute(clause=Clause.SILENCED, until=last.ends_at, data=data)

    def inhibited(self, number: AlertId, labels: Mapping[str, str]) -> tuple[str, AlertId] | None:
        """Return the name of the first inhibition that holds, and the alert that is its source."""
        for index, (name, _, target, equal) in enumerate(self._inhibitions):
            if not target.fits(labels):
                continue
            sources = self._sources.get((index, *(labels.get(one, "") for one in equal)))
            if sources and (source := sources.least(number)):
                return name, source
        return None

    def waits(self, labels: Mapping[str, str], now: datetime) -> Iterator[tuple[object, ...]]:
        """Walk what a member that is muted waits for."""
        for one in self.silences.values():
            if one.silence.starts_at <= now < one.silence.ends_at and one.matching.fits(labels):
                yield (one.silence.id,)
        for index, (_, _, target, equal) in enumerate(self._inhibitions):
            if target.fits(labels):
                yield (index, *(labels.get(name, "") for name in equal))

    def wait(self, group: GroupId, keys: Iterable[tuple[object, ...]]) -> None:
        """Let a group look again when something of this changes."""
        for key in keys:
            self.waiting.setdefault(key, set()).add(group)

    def unwait(self, group: GroupId, keys: Iterable[tuple[object, ...]]) -> None:
        """Undo ``wait``."""
        for key in keys:
            if groups := self.waiting.get(key):
                groups.discard(group)
                if not groups:
                    del self.waiting[key]

    def outside(self, active: tuple[str, ...], mute: tuple[str, ...], now: datetime) -> Mute | None:
        """Say whether the tables of a route are against telling now, and until when."""
        if (not active and not mute) or self._allow(active, mute, now):
            return None
        at = self._next_edge((*active, *mute), now)
        for _ in range(_MAX_EDGES):
            if at is None or self._allow(active, mute, at):
                break
            at = self._next_edge((*active, *mute), at)
        return Mute(clause=Clause.OUTSIDE_HOURS, until=at)

    def _allow(self, active: tuple[str, ...], mute: tuple[str, ...], at: datetime) -> bool:
        if active and not any(self._is_in(name, at) for name in active):
            return False
        return not any(self._is_in(name, at) for name in mute)

    def _is_in(self, name: str, at: datetime) -> bool:
        table = self._tables.get(name)
        return table is not None and is_in(table.windows, table.time_zone, at)

    def _next_edge(self, names: tuple[str, ...], at: datetime) -> datetime | None:
        tables = [self._tables[name] for name in names if name in self._tables]
        edges = [next_edge(one.windows, one.time_zone, at) for one in tables]
        return min([edge for edge in edges if edge is not None], default=None)


_MAX_EDGES = 64
"""Edges of tables that are looked at to find when they allow telling; then it is looked again."""
