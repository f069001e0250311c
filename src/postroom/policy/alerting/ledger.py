"""Everything that is remembered of alerts, and what of it has changed.

The clocks are one heap. A clock that moves ahead leaves its entry where it is: whoever is woken too early
looks, finds nothing due and is put back. So an update of an alert costs no entry.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Protocol

from postroom.model.alert import AlertDecision, AlertId, AlertView, Clause, GroupId, Letter
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.digests import Digest, Entry
from postroom.policy.alerting.expecting import Watch
from postroom.policy.alerting.groups import Group, Member
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.muting import Mute, Muting
from postroom.policy.alerting.recipients import Directory, Letters
from postroom.policy.alerting.routing import Router
from postroom.policy.alerting.samples import Sample
from postroom.policy.alerting.types import Kinds

NO_DATA: Mapping[str, str] = {}
_FEW = 1_000
"""Entries of the heap that are never worth tidying."""


class Rank(IntEnum):
    """What goes first of what is due at the same instant."""

    END = 0
    CALM = 1
    EXPECTED = 2
    GROUP = 3
    DIGEST = 4


class Clocked(Protocol):
    """Something with a clock."""

    clock_at: datetime | None
    """Of its entry in the heap."""


class Ledger:
    """The state of the book."""

    def __init__(self, rules: AlertRules, *, at: datetime) -> None:
        """Begin without alerts. Raises MatcherError."""
        self.now = at
        """The last instant at which anything acted; what was due before acts now."""
        self.alerts: dict[AlertId, Alert] = {}
        self.groups: dict[GroupId, Group] = {}
        self.samples: dict[str, Sample] = {}
        self.watches: dict[str, Watch] = {}
        self.digests: dict[str, Digest] = {}
        self.summaries: dict[str, str] = {}
        """Of storms: the digest that waits, by the address in lower case."""
        self.sent: dict[str, Letters] = {}
        self.muting = Muting(rules)
        self.last_letter = 0
        self.changed: dict[tuple[str, str], object] = {}
        """Entries since the last ``drain``, with what they are; ``None``: forgotten."""
        self.decisions: list[AlertDecision] = []
        self.letters: list[Letter] = []
        self._heap: list[tuple[datetime, Rank, str, str]] = []
        self.take_rules(rules)

    def take_rules(self, rules: AlertRules) -> None:
        """Hold to other rules from now on."""
        self.rules = rules
        self.kinds = Kinds(rules)
        self.router = Router(rules)
        self.directory = Directory(rules)
        self.muting.adopt(rules)

    def wake(self, rank: Rank, kind: str, number: str, at: datetime | None) -> None:
        """Let something be looked at at an instant at the latest."""
        one = self.clocked(kind, number)
        if one is None or at is None:
            return
        at = max(at, self.now)
        if one.clock_at is not None and one.clock_at <= at:
            return
        one.clock_at = at
        heappush(self._heap, (at, rank, number, kind))
        if len(self._heap) > _FEW + 4 * (len(self.alerts) + len(self.groups) + len(self.samples)):
            self._heap = [entry for entry in self._heap if self._is_valid(entry)]
            heapify(self._heap)

    def next_look(self) -> tuple[datetime, str, str] | None:
        """Return what is to be looked at next: when, kind and id."""
        heap = self._heap
        while heap and not self._is_valid(heap[0]):
            heappop(heap)
        if not heap:
            return None
        at, _, number, kind = heap[0]
        return at, kind, number

    def woken(self, now: datetime) -> tuple[datetime, str, str] | None:
        """Take the first clock that is due, and let it be its instant: that, kind and id."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, number, kind = heappop(heap)
            one = self.clocked(kind, number)
            if one is not None and one.clock_at == at:
                one.clock_at = None
                self.now = at
                return at, kind, number
        return None

    def clocked(self, kind: str, number: str) -> Clocked | None:
        """Return what has a clock."""
        match kind:
            case "alert":
                return self.alerts.get(AlertId(number))
            case "group":
                return self.groups.get(GroupId(number))
            case "sample":
                return self.samples.get(number)
            case "expected":
                return self.watches.get(number)
            case "digest":
                return self.digests.get(number)
        return self.muting.silences.get(number)

    def say(
        self,
        now: datetime,
        alert: Alert,
        clause: Clause,
        *,
        event: int | None = None,
        letter: int | None = None,
        data: Mapping[str, str] = NO_DATA,
    ) -> None:
        """Add a decision about an alert."""
        self.decisions.append(
            AlertDecision(
                tenant=alert.tenant,
                at=now,
                alert=alert.id,
                clause=clause,
                event=event,
                letter=letter,
                data=data,
            )
        )

    def say_of(
        self,
        now: datetime,
        member: Member,
        clause: Clause,
        *,
        event: int | None = None,
        letter: int | None = None,
        data: Mapping[str, str] = NO_DATA,
    ) -> None:
        """Add a decision about a member of a group."""
        branch = member.group.branch
        data = {"route": branch.path, "receiver": branch.receiver, **data}
        self.decisions.append(
            AlertDecision(
                tenant=member.alert.tenant,
                at=now,
                alert=member.alert.id,
                clause=clause,
                event=event,
                letter=letter,
                group=member.group.id,
                data=data,
            )
        )

    def settle(self, member: Member) -> None:
        """Count a member that has changed, and let its group look in time."""
        group, was_repeating = member.group, member.is_repeating
        group.settle(member)
        self.changed["member", member.id] = member
        if member.is_repeating and not was_repeating:
            self.wake(Rank.GROUP, "group", group.id, group.repeat_at())

    def make_due(self, member: Member, due: datetime, now: datetime) -> None:
        """Let a member be news from an instant on; the first one of a group begins an incident."""
        group = member.group
        if not group.is_open:
            group.open(now)
            self.changed["group", group.id] = group
        if member.due is None:
            member.reason = ""
        member.due = due
        self.settle(member)
        self.wake(Rank.GROUP, "group", group.id, max(due, group.gate))

    def look_again(self, groups: Iterable[GroupId], now: datetime) -> None:
        """Let groups look now."""
        for number in list(groups):
            self.wake(Rank.GROUP, "group", number, now)

    def mute_of(self, alert: Alert, now: datetime, outside: Mute | None = None) -> Mute | None:
        """Return why nobody is told of an alert now; ``outside`` is what the tables of its route say."""
        muting = self.muting
        labels = None if muting.is_blind else labels_of(alert)
        if labels is not None and (silence := muting.silenced(labels, now)):
            return silence
        if alert.is_active:
            if labels is not None and (found := muting.inhibited(alert.id, labels)):
                name, source = found
                key = self.alerts[source].key
                return Mute(
                    clause=Clause.INHIBITED, data={"rule": name, "source": key, "source_alert": source}
                )
            if alert.is_acknowledged(now):
                return Mute(
                    clause=Clause.ACKNOWLEDGED,
                    until=alert.acknowledged_until,
                    data={"by": alert.acknowledged_by},
                )
        return outside

    def view(self, alert: Alert, now: datetime) -> AlertView:
        """Return an alert for those who read."""
        mute = self.mute_of(alert, now)
        sample = self.samples.get(alert.id)
        history = () if sample is None else tuple(sample.history)
        return alert.view(now, muted="" if mute is None else str(mute.clause), history=history)

    def summary_at(self, address: str) -> datetime | None:
        """Return when the summary comes that waits for an address, if there is one."""
        digest = self.digests.get(self.summaries.get(address.lower(), ""))
        return None if digest is None else digest.due_at

    def add_digest(self, digest: Digest) -> None:
        """Remember a letter to come."""
        self.digests[digest.id] = digest
        if digest.cause is Clause.STORM:
            self.summaries[digest.address.lower()] = digest.id

    def forget_digest(self, digest: Digest) -> None:
        """Forget a letter that was written."""
        del self.digests[digest.id]
        if digest.cause is Clause.STORM:
            self.summaries.pop(digest.address.lower(), None)

    def enter(self, digest: Digest, alert: Alert, now: datetime) -> None:
        """Put an alert into a digest, once more."""
        entry = digest.entries.get(alert.id)
        if entry is None:
            entry = digest.entries[alert.id] = Entry(digest, alert, now)
            alert.digests += 1
        entry.count += alert.is_active
        self.changed["entry", entry.id] = entry

    def forget_member(self, member: Member) -> None:
        """Forget a member, and its group when it was the last one."""
        group = member.group
        group.remove(member)
        member.alert.members = tuple(one for one in member.alert.members if one is not member)
        self.changed["member", member.id] = None
        if not group.members:
            self.muting.unwait(group.id, group.waits)
            del self.groups[group.id]
            self.changed["group", group.id] = None

    def _is_valid(self, entry: tuple[datetime, Rank, str, str]) -> bool:
        at, _, number, kind = entry
        one = self.clocked(kind, number)
        return one is not None and one.clock_at == at
