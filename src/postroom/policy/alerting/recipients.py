"""Who a receiver's recipients are, and when each of them hears of a letter."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from postroom.model.alert import Clause, Severity
from postroom.model.alert_rules import AlertRules, Receiver, Recipient, Storm, WeekWindow
from postroom.policy.alerting.times import is_in, next_cron, next_edge

_MAX_KEPT = 4096
"""Answers kept; forgotten all at once (security limit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One address with everything that holds for it."""

    address: str
    language: str
    time_zone: str
    quiet: tuple[WeekWindow, ...]
    digest: str


class Directory:
    """The receivers, ready to be asked."""

    def __init__(self, rules: AlertRules) -> None:
        """Take them."""
        self._rules = rules
        self._kept: dict[tuple[str, tuple[str, ...]], tuple[Person, ...]] = {}

    def people(self, receiver: str, own: tuple[str, ...]) -> tuple[Person, ...]:
        """Return who is told; ``own`` are addresses in place of the receiver's."""
        asked = (receiver, own)
        found = self._kept.get(asked)
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            found = self._kept[asked] = self._find(receiver, own)
        return found

    def pierces(self, receiver: str, severity: Severity) -> bool:
        """Say whether a severity is told at once whatever digests and quiet hours there are."""
        known = self._rules.receivers.get(receiver)
        return known is not None and severity in known.pierce

    def _find(self, receiver: str, own: tuple[str, ...]) -> tuple[Person, ...]:
        if own:
            known = self._rules.receivers.get(receiver, Receiver(name=receiver))
            people: Iterator[Person] = (self._person(known, Recipient(address=one)) for one in own)
        else:
            people = self._walk(receiver, set())
        found: dict[str, Person] = {}
        for person in people:
            found.setdefault(person.address.lower(), person)
        return tuple(found.values())

    def _walk(self, name: str, seen: set[str]) -> Iterator[Person]:
        receiver = self._rules.receivers.get(name)
        if receiver is None or name in seen:
            return
        seen.add(name)
        for recipient in receiver.recipients:
            yield self._person(receiver, recipient)
        for group in receiver.groups:
            yield from self._walk(group, seen)

    def _person(self, receiver: Receiver, recipient: Recipient) -> Person:
        return Person(
            address=recipient.address,
            language=recipient.language or receiver.language or self._rules.language,
            time_zone=recipient.time_zone or receiver.time_zone or self._rules.time_zone,
            quiet=receiver.quiet if recipient.quiet is None else recipient.quiet,
            digest=receiver.digest if recipient.digest is None else recipient.digest,
        )


class Letters:
    """When a receiver had its last letters."""

    __slots__ = ("id", "instants", "summary_at")

    def __init__(self, receiver: str) -> None:
        """Begin without any."""
        self.id = receiver
        self.instants: deque[datetime] = deque()
        self.summary_at: datetime | None = None
        """Of the last summaries; what is due after a start has the instant of the start."""

    def add(self, rules: Storm, now: datetime) -> None:
        """Note one."""
        self.instants.append(now)
        while len(self.instants) > rules.mails:
            self.instants.popleft()

    def add_summary(self, rules: Storm, now: datetime) -> None:
        """Note the summaries of one instant."""
        if self.summary_at != now:
            self.summary_at = now
            self.add(rules, now)

    def storm_until(self, rules: Storm, now: datetime) -> datetime | None:
        """Return when it may have another one; ``None``: now."""
        if rules.mails <= 0 or len(self.instants) < rules.mails:
            return None
        until = self.instants[-rules.mails] + rules.within
        return until if now < until else None


def later(
    person: Person, now: datetime, summary_at: datetime | None
) -> tuple[Clause, datetime | None] | None:
    """Return why and when a person hears of a letter later; ``None``: at once. No instant: never.

    ``summary_at`` is when the summary of a storm comes, if there is one.
    """
    if person.digest:
        return Clause.IN_DIGEST, next_cron(person.digest, person.time_zone, now)
    if person.quiet and is_in(person.quiet, person.time_zone, now):
        return Clause.QUIET_HOURS, next_edge(person.quiet, person.time_zone, now)
    return None if summary_at is None else (Clause.STORM, summary_at)
