"""A reference model of the clocks of alerts, in plain Python: all is looked at in every step.

Written from ``docs/alert-clocks.md`` alone, by its sections, without a thought of speed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from math import inf

from policy.alert_post import Post
from policy.alert_world import (
    DAY,
    MINUTE,
    Alert,
    Fits,
    Group,
    Kind,
    Mail,
    Member,
    Name,
    World,
    state_of,
    values_of,
)
from postroom.model.alert import AlertState, NewAlertEvent, Severity

Clock = tuple[datetime, int, str, Callable[[datetime], None]]
"""When it is due, its order among those of one instant, and what it does."""


class Model:
    """What the book has to do."""

    def __init__(self, world: World, at: datetime) -> None:
        """Begin."""
        self.world = world
        self.post = Post(world)
        self.alerts: dict[Name, Alert] = {}
        self.groups: dict[Name, Group] = {}
        self.samples: dict[Name, tuple[int, datetime]] = {}
        self.silences: dict[str, tuple[Fits, datetime]] = {}
        self.seen: dict[str, datetime | None] = {
            key: at for key, kind in world.kinds.items() if kind.every is not None
        }
        """Of expected events; ``None`` while their absence is told."""
        self.clauses: list[str] = []
        """Of the event that was taken last."""
        self.now = at
        self.sources: dict[int, dict[Name, set[Name]]] = {}

    # ------------------------------------------------------------------ time

    def advance(self, now: datetime) -> None:
        """Look at every clock that is due up to now, in the order of section 1."""
        while due := [*self._ends(now), *self._clocks(now)]:
            at, _, _, act = min(due, key=lambda clock: (max(clock[0], self.now), *clock[1:3]))
            self.now = max(at, self.now)
            act(self.now)
        self.now = now
        self.silences = {id_: silence for id_, silence in self.silences.items() if silence[1] > now}

    def start(self, now: datetime) -> None:
        """Begin again: what was due while nobody looked is due now."""
        self.now = now
        self.advance(now)

    def _ends(self, now: datetime) -> Iterator[Clock]:
        """Yield what is due of single alerts."""
        for alert in self.alerts.values():
            if alert.is_active and (end := alert.end) is not None and end <= now:
                yield end, 0, self.world.id_of(alert.name), partial(self._end, alert)
            if alert.is_flapping and alert.calm_from is not None:
                calm = alert.calm_from + self.world.calm
                if calm <= now:
                    yield calm, 1, self.world.id_of(alert.name), partial(self._calm, alert)

    def _clocks(self, now: datetime) -> Iterator[Clock]:
        """Yield what is due of expectations, groups and digests."""
        for key, seen in self.seen.items():
            kind = self.world.kinds[key]
            if seen is not None and kind.every is not None and seen + kind.every + kind.grace <= now:
                yield seen + kind.every + kind.grace, 2, key, partial(self._missing, key)
        for group in self.groups.values():
            if group.is_stale:
                group.look_at, group.is_stale = self._look_at(group), False
            if (look := group.look_at) is not None and look <= now:
                yield look, 3, self.world.group_id_of(group.name), partial(self._look, group)
        for entry in self.post.entries:
            if entry[2] <= now:
                yield entry[2], 4, repr(entry[:2]), partial(self.post.digest, entry)

    def touch(self, alert: Alert | None = None) -> None:
        """Look anew at the groups that an alert may concern; without one at all of them."""
        is_far = alert is None or any(source(alert.labels) for source, _, _ in self.world.inhibitions)
        for group in self.groups.values():
            if is_far or (alert is not None and alert.name in group.members):
                group.is_stale = True

    # ------------------------------------------------------------------ events: sections 3 to 5

    def take(self, event: NewAlertEvent, now: datetime) -> None:
        """Take an event."""
        self.clauses = []
        kind = self.world.kinds.get(event.key) or self.world.kinds["*"]
        if not kind.is_open:
            self.clauses.append("type-off")
            return
        self._hear(event.key, now)
        if event.key in self.seen and event.state is None:
            return
        name = (event.key, event.object, tuple(sorted(event.labels.items())))
        if event.acknowledged_by:
            self._acknowledge(self.alerts.get(name))
        else:
            self._take_state(event, name, kind, now)

    def _acknowledge(self, alert: Alert | None) -> None:
        if alert is None or not alert.is_active:
            self.clauses.append("not-active")
        else:
            alert.acked, alert.acked_until = True, None
            self.touch(alert)
            self.clauses.append("acknowledged")

    def _take_state(self, event: NewAlertEvent, name: Name, kind: Kind, now: datetime) -> None:
        alert = self.alerts.get(name)
        state, is_state = event.state, event.state is not None
        if kind.threshold is not None and "value" in event.values:
            state, is_state = self._sampled(name, kind, float(event.values["value"]), now), True
            if state is None:
                return
        if event.ends_at is not None and event.ends_at <= now:
            state = AlertState.RESOLVED
        if state is not AlertState.RESOLVED:
            if alert is None:
                alert = self.alerts[name] = Alert(name=name, kind=kind, key=event.key, has_members=kind.mail)
            self._fire(alert, event, now, is_state=is_state)
        elif alert is None or not alert.is_active:
            self.clauses.append("not-active")
        else:
            self._over(alert, now)

    def _hear(self, key: str, now: datetime) -> None:
        if key not in self.seen:
            return
        if self.seen[key] is None:
            self._over(self.alerts[key, "", (("expected", "missing"),)], now)
        self.clauses.append("expected")
        self.seen[key] = now

    def _sampled(self, name: Name, kind: Kind, value: float, now: datetime) -> AlertState | None:
        """Count a value; return what it makes of the alert, ``None``: nothing."""
        alert = self.alerts.get(name)
        is_active = alert is not None and alert.is_active
        count, heard_at = self.samples.get(name, (0, now))
        if now - heard_at >= DAY:
            count = 0
        is_bad = kind.threshold is not None and value >= kind.threshold
        count = min(count + 1, kind.points) if is_bad else 0
        self.samples[name] = count, now
        if is_active or count == kind.points:
            return AlertState.FIRING if is_bad else AlertState.RESOLVED
        self.clauses.append("sample-counted" if is_bad else "sample-good")
        return None

    def _fire(self, alert: Alert, event: NewAlertEvent, now: datetime, *, is_state: bool) -> None:
        self.sources = {}
        if alert.labels:
            self.touch(alert)  # as it was
        is_worse = alert.is_active and event.severity.rank > alert.severity.rank
        alert.severity = event.severity
        alert.labels = {
            "key": event.key,
            "object": event.object,
            "severity": str(event.severity),
            **event.labels,
        }
        alert.last_at = now
        alert.ends_at = event.ends_at
        if is_worse:
            alert.acked = False
        if alert.is_active:
            alert.is_state = is_state
            self._fire_again(alert, now)
        else:
            self._fire_anew(alert, now, is_state=is_state)
        self.touch(alert)

    def _fire_anew(self, alert: Alert, now: datetime, *, is_state: bool) -> None:
        began = is_state and self._changes(alert, now)
        alert.is_state, alert.is_active, alert.tally = is_state, True, 1
        alert.acked, alert.resolved_at = False, None
        if began:
            alert.is_flapping, alert.calm_from, alert.was_resolved = True, now, False
            self.clauses.append("flapping-began")
        if not alert.has_members:
            self.clauses.append("mail-off")
            return
        for group, member, _ in self._route(alert, now):
            self._member_becomes_active(group, member, now)

    def _changes(self, alert: Alert, now: datetime) -> bool:
        """Note that it fires again, and say whether that is too often."""
        if alert.resolved_at is None or not self.world.changes:
            return False
        alert.changes = [at for at in alert.changes if at > now - self.world.within]
        if alert.resolved_at > now - self.world.within or self._members_of(alert, now):
            alert.changes.append(now)
        return len(alert.changes) >= self.world.changes

    def _fire_again(self, alert: Alert, now: datetime) -> None:
        alert.tally += 1
        is_flapping = alert.is_flapping
        if is_flapping and alert.was_resolved:
            alert.calm_from, alert.was_resolved = now, False
        if not alert.has_members:
            self.clauses.append("mail-off")
            return
        for group, member, is_new in self._route(alert, now):
            if is_new and member.told != "firing":
                self._member_becomes_active(group, member, now)
            else:
                self._member_while_active(group, member, now, is_flapping=is_flapping)

    def _over(self, alert: Alert, now: datetime, clause: str = "") -> None:
        if alert.is_flapping:
            alert.was_resolved, alert.calm_from = True, now
            self.clauses.append("flapping")
            return
        self._resolve(alert, now, clause)

    def _resolve(self, alert: Alert, now: datetime, clause: str = "") -> None:
        self.sources = {}
        self.touch(alert)
        held = self._held(now) if any(source(alert.labels) for source, _, _ in self.world.inhibitions) else []
        alert.is_active, alert.resolved_at = False, now
        self.sources = {}
        for member in held:
            if member.alert is not alert and not self._is_inhibited(member.alert):
                member.due = now + MINUTE
        members = self._members_of(alert, now)
        if not members:
            self.clauses.append(clause or "resolved-untold")
        for group, member in members:
            wanted = alert.kind.resolved
            if wanted is None:
                wanted = group.branch.resolved
            if clause == "ended":
                wanted = False
            if member.told == "firing" and wanted:
                self._becomes_due(group, member, now, now)
                self.clauses.append("resolved")
            else:
                member.due = None
                member.told = "resolved" if member.told == "firing" else member.told
                self.clauses.append(clause or "resolved-untold")

    def _end(self, alert: Alert, now: datetime) -> None:
        if alert.is_state:
            alert.ends_at = None
            self._over(alert, now, "stale")
        else:
            self._resolve(alert, now, "ended")

    def _calm(self, alert: Alert, now: datetime) -> None:
        alert.is_flapping, alert.calm_from, alert.changes = False, None, []
        if alert.was_resolved:
            alert.was_resolved = False
            self._resolve(alert, now)

    def _missing(self, key: str, now: datetime) -> None:
        self.seen[key] = None
        name = (key, "", (("expected", "missing"),))
        alert = self.alerts.get(name)
        if alert is None:
            kind = Kind(interval=self.world.kinds[key].interval)
            alert = self.alerts[name] = Alert(name=name, kind=kind, key=key)
        event = NewAlertEvent(key=key, severity=Severity.CRITICAL, labels={"expected": "missing"})
        self._fire(alert, event, now, is_state=True)

    # ------------------------------------------------------------------ groups: sections 6 and 7

    def _branches(self, alert: Alert) -> list[Group]:
        found: list[Group] = []
        for branch in self.world.branches:
            if (found and branch is self.world.branches[-1]) or not branch.fits(alert.labels):
                continue
            values = tuple((name, alert.labels.get(name, "")) for name in branch.group_by)
            name = (branch.path, branch.receiver, values)
            found.append(self.groups.setdefault(name, Group(name=name, branch=branch)))
            if not branch.goes_on:
                break
        return found

    def _route(self, alert: Alert, now: datetime) -> list[tuple[Group, Member, bool]]:
        """Find groups and members, and whether a member is new; those of other groups are forgotten."""
        wanted = self._branches(alert)
        former = self._members_of(alert, now)
        receivers = {group.branch.receiver for group in wanted}
        wanted += [
            group
            for group, one in former
            if one.told == "firing" and group.branch.receiver not in receivers and group not in wanted
        ]
        for group, _ in former:
            if group not in wanted:
                del group.members[alert.name]
        found = []
        for group in wanted:
            self._prune(group, now, keep=alert)
            member = group.members.get(alert.name)
            is_new = member is None
            if member is None:
                member = group.members[alert.name] = Member(alert=alert)
                told = [
                    one
                    for other, one in former
                    if other.branch.receiver == group.branch.receiver and one.told_at is not None
                ]
                if told:
                    last = max(told, key=lambda one: one.told_at or now)
                    member.told, member.told_at = last.told, last.told_at
                    member.told_severity, member.told_tally = last.told_severity, last.told_tally
            found.append((group, member, is_new))
        return found

    def _prune(self, group: Group, now: datetime, *, keep: Alert | None = None) -> None:
        # The alert that was just reported is active already; it is looked at as it was before.
        for name, member in list(group.members.items()):
            was_active = member.alert.is_active and member.alert is not keep
            if not was_active and member.due is None and member.rested(now) and member.told != "firing":
                del group.members[name]
        if not group.members:
            group.rhythm = None

    def _members_of(self, alert: Alert, now: datetime) -> list[tuple[Group, Member]]:
        return [
            (group, member)
            for group in self.groups.values()
            if (member := group.members.get(alert.name)) is not None
            and not (member.is_forgotten(now) and not alert.is_active and member.told != "firing")
        ]

    def _becomes_due(self, group: Group, member: Member, due: datetime, now: datetime) -> None:
        others = [one for one in group.members.values() if one is not member]
        is_open = any(one.due is not None or one.told == "firing" for one in others)
        if not is_open and member.due is None and member.told != "firing":
            group.opened_at, group.letter_at, group.nth = now, None, 0
        member.due = due

    def _member_becomes_active(self, group: Group, member: Member, now: datetime) -> None:
        member.told_tally = 0
        if member.told == "firing":  # its recovery was not told yet
            member.due = None
            self._member_while_active(group, member, now)
            return
        if not member.alert.by_event:
            due = now if member.told_at is None else max(now, member.told_at + member.alert.kind.interval)
            if self._rose(member):
                due = now
            self._becomes_due(group, member, due, now)
            self.clauses.append("throttled" if due > now else "new")
        elif member.rested(now) or self._rose(member):
            self._becomes_due(group, member, now, now)
            self.clauses.append("new")
        else:
            self.clauses.append("throttled")

    def _rose(self, member: Member) -> bool:
        told = member.told_severity
        return told is not None and member.alert.severity.rank > told.rank

    def _member_while_active(
        self, group: Group, member: Member, now: datetime, *, is_flapping: bool = False
    ) -> None:
        if self._rose(member):
            self._becomes_due(group, member, now, now)
            self.clauses.append("worse")
        elif is_flapping:
            self.clauses.append("flapping")
        elif member.told != "firing":
            if member.alert.by_event and member.due is None and member.rested(now):
                self._becomes_due(group, member, now, now)
                self.clauses.append("again")
            else:
                self.clauses.append("counted")
        elif member.alert.by_event and member.rested(now):
            if member.due is None:
                self._becomes_due(group, member, now, now)
            self.clauses.append("again")
        else:
            self.clauses.append("counted" if member.alert.by_event else "updated")

    def _free_at(self, member: Member, at: datetime) -> datetime | float:
        """Return the first instant from ``at`` on at which it is not muted, as things stand."""
        alert = member.alert
        while True:
            ends = [end for fits, end in self.silences.values() if fits(alert.labels) and at < end]
            if ends:
                at = max(ends)
                continue
            if alert.is_active and self._is_inhibited(alert):
                return inf
            if alert.is_active and alert.acked and (alert.acked_until is None or at < alert.acked_until):
                if alert.acked_until is None:
                    return inf
                at = alert.acked_until
                continue
            return at

    def _held(self, now: datetime) -> list[Member]:
        """Return the members that are inhibited although it is their time."""
        return [
            member
            for group in self.groups.values()
            for member in group.members.values()
            if member.due is not None
            and max(member.due, group.gate) < now
            and member.alert.is_active
            and self._is_inhibited(member.alert)
        ]

    def _is_inhibited(self, alert: Alert) -> bool:
        return any(
            target(alert.labels) and self._sources(number).get(values_of(equal, alert), set()) - {alert.name}
            for number, (_, target, equal) in enumerate(self.world.inhibitions)
        )

    def _sources(self, number: int) -> dict[Name, set[Name]]:
        """Return what inhibits by one rule, by the values of its labels; looked up once for each change."""
        found = self.sources.get(number)
        if found is None:
            source, _, equal = self.world.inhibitions[number]
            found = self.sources[number] = {}
            for other in self.alerts.values():
                if other.is_active and source(other.labels):
                    found.setdefault(values_of(equal, other), set()).add(other.name)
        return found

    def _repeating(self, group: Group) -> list[Member]:
        return [
            member
            for member in group.members.values()
            if member.alert.is_active and member.told == "firing" and not member.alert.by_event
        ]

    def _look_at(self, group: Group) -> datetime | None:
        instants = []
        for member in group.members.values():
            if member.due is not None:
                at = max(member.due, group.gate, self.now)
                instants.append(self._free_at(member, at))
        if (repeat_at := group.repeat_at) is not None:
            at = max(repeat_at, self.now)
            instants += [self._free_at(member, at) for member in self._repeating(group)]
        found = [at for at in instants if isinstance(at, datetime)]
        return min(found, default=None)

    def _look(self, group: Group, now: datetime) -> None:
        group.is_stale = True
        free = [member for member in group.members.values() if self._free_at(member, now) == now]
        is_past = now >= group.gate
        news = [member for member in free if member.due is not None and member.due <= now and is_past]
        repeat_at = group.repeat_at
        repeated = []
        if repeat_at is not None and repeat_at <= now:
            repeated = [member for member in self._repeating(group) if member in free]
        if not news and not repeated:
            return
        group.letter_at = now
        told = [*news, *repeated]
        listed = frozenset(member.alert.name for member in free if member.alert.is_active)
        for member in told:
            if member.alert.is_active:
                member.told, member.told_at = "firing", now
                member.told_severity, member.told_tally = member.alert.severity, member.alert.tally
            else:
                member.told = "resolved"
            if member in news:
                member.due = None
        mail = Mail(
            at=now,
            kind="alert",
            receiver=group.branch.receiver,
            recipients=(),
            news=frozenset((one.alert.name, state_of(one.alert)) for one in news),
            listed=listed,
            active=sum(member.alert.is_still_so for member in group.members.values()),
            nth=group.nth + 1,
        )
        self.post.send(group, mail, news or repeated, told)
