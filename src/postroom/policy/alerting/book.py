"""The book of alerts: every alert, group and clock, and what an event or an instant makes of them.

It is plain state in memory and asks for nothing: who holds it brings the events and the time, and stores
what ``drain`` returns; ``load`` makes the same book of it again. The exact rules stand in
``docs/alert-clocks.md``. Before anything else happens at an instant, everything that was due by then has
acted, at its own instant.

What does not belong here: storing, sending, words for people.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from postroom.model.alert import (
    AlertDecision,
    AlertEvent,
    AlertId,
    AlertView,
    BookRow,
    GroupId,
    Letter,
    Silence,
)
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting import hearing, lives, loading, rows, ruling, telling
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.muting import Stilled


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much the book holds."""

    active: int
    remembered: int
    """Alerts that are over."""
    groups: int
    silences: int
    digests: int


class Book:
    """Everything that is known of alerts."""

    def __init__(self, rules: AlertRules, *, at: datetime) -> None:
        """Begin an empty one. Raises MatcherError for rules that were not checked."""
        self.looking_at: tuple[str, str] | None = None
        """The clock that is looked at, its kind and id; stays when the look fails."""
        self.passed_over: frozenset[tuple[str, str]] = frozenset()
        """Clocks at which looks failed: left alone as long as this book lives."""
        self._ledger = Ledger(rules, at=at)
        ruling.watch(self._ledger, at)
        ruling.sign(self._ledger)

    @classmethod
    def load(cls, rules: AlertRules, stored: Iterable[BookRow], *, at: datetime) -> "Book":
        """Return the book of which these are all entries; when the rules were others, all is routed again."""
        book = cls.__new__(cls)
        book.looking_at, book.passed_over = None, frozenset()
        book._ledger = loading.load(rules, stored, at=at)  # noqa: SLF001 - its own class
        return book

    @property
    def next_at(self) -> datetime | None:
        """When ``tick`` has something to do, at the earliest."""
        found = self._ledger.next_look()
        return None if found is None else found[0]

    def weight(self, now: datetime) -> int:
        """Return how many alerts the next look is about; 0 when none is due."""
        found = self._ledger.next_look()
        if found is None or found[0] > now:
            return 0
        _, kind, number = found
        match kind:
            case "group":
                return len(self._ledger.groups[GroupId(number)].members) or 1
            case "digest":
                return len(self._ledger.digests[number].entries) or 1
        return 1

    @property
    def changes(self) -> int:
        """How many entries ``drain`` has to write."""
        return len(self._ledger.changed)

    @property
    def counts(self) -> Counts:
        """How much there is, for metrics; walks every alert."""
        ledger = self._ledger
        # A copy, made in one step: a look at very many alerts changes them in another thread.
        active = sum(alert.is_active for alert in tuple(ledger.alerts.values()))
        return Counts(
            active=active,
            remembered=len(ledger.alerts) - active,
            groups=len(ledger.groups),
            silences=len(ledger.muting.silences),
            digests=len(ledger.digests),
        )

    def take(self, event: AlertEvent, now: datetime) -> None:
        """Look at an event, after every clock that is due."""
        self.tick(now)
        hearing.hear(self._ledger, event, now)
        self.tick(now)

    def tick(self, now: datetime, *, limit: int | None = None) -> bool:
        """Let every clock act that is due, each at its instant, or so many; say whether more may be due."""
        looked = 0
        while limit is None or looked < limit:
            found = self._ledger.woken(now)
            if found is None:
                self._ledger.now = max(self._ledger.now, now)
                return False
            at, kind, number = found
            looked += 1
            if (kind, number) not in self.passed_over:
                self.looking_at = kind, number
                self._look(kind, number, at)
                self.looking_at = None
        return True

    def _look(self, kind: str, number: str, now: datetime) -> None:
        ledger = self._ledger
        match kind:
            case "alert":
                lives.look(ledger, ledger.alerts[AlertId(number)], now)
            case "group":
                telling.Look(ledger, ledger.groups[GroupId(number)], now).take()
            case "sample":
                hearing.forget_sample(ledger, ledger.samples[number], now)
            case "expected":
                hearing.missing(ledger, ledger.watches[number], now)
            case "digest":
                telling.write_digest(ledger, ledger.digests[number], now)
            case _:
                self._look_at_silence(ledger.muting.silences[number], now)

    def adopt(self, rules: AlertRules, now: datetime) -> None:
        """Hold to other rules from now on. Raises MatcherError: nothing has changed then."""
        if rules == self._ledger.rules:
            return
        self.tick(now)
        ruling.adopt(self._ledger, rules, now)
        self.tick(now)

    def silence(self, silence: Silence, now: datetime) -> None:
        """Add a silence, or put it in place of the one with its id. Raises MatcherError."""
        stilled = Stilled(silence)
        self.tick(now)
        ledger = self._ledger
        ledger.muting.silences[silence.id] = stilled
        ledger.changed["silence", silence.id] = silence
        ledger.look_again(self._held(), now)
        ledger.wake(Rank.END, "silence", silence.id, stilled.next_at(now))
        self.tick(now)

    def end_silence(self, number: str, now: datetime) -> bool:
        """End a silence; say whether there was one."""
        self.tick(now)
        stilled = self._ledger.muting.silences.get(number)
        if stilled is not None:
            self._drop_silence(stilled, now)
            self.tick(now)
        return stilled is not None

    def acknowledge(self, number: AlertId, by: str, until: datetime | None, now: datetime) -> bool:
        """Note that somebody works on an alert (``None``: until it is over); say whether it is active."""
        self.tick(now)
        alert = self._ledger.alerts.get(number)
        if alert is None or not alert.is_active:
            return False
        hearing.acknowledge(self._ledger, alert, by, now=now, until=until)
        self.tick(now)
        return True

    def set_rhythm(self, number: GroupId, every: timedelta, by: str, now: datetime) -> bool:
        """Let a group repeat at other times, as long as it is remembered; say whether there is one."""
        self.tick(now)
        group = self._ledger.groups.get(number)
        if group is None:
            return False
        group.rhythm, group.rhythm_by = every, by
        self._ledger.changed["group", number] = group
        self._ledger.look_again([number], now)
        self.tick(now)
        return True

    def drain(self) -> tuple[Sequence[BookRow], Sequence[AlertDecision], Sequence[Letter]]:
        """Return what has changed since the last time, each entry once, and forget that it has.

        Which rules hold is returned with other entries only: an idle start stores nothing, and where there
        are no alerts nothing is routed again.
        """
        ledger = self._ledger
        if ledger.changed.keys() == {ruling.SIGNATURE}:
            decisions, letters = ledger.decisions, ledger.letters
            ledger.decisions, ledger.letters = [], []
            return (), decisions, letters
        changed = [
            BookRow(kind=kind, id=number, data=None if entry is None else rows.written(kind, entry))
            for (kind, number), entry in ledger.changed.items()
        ]
        decisions, letters = ledger.decisions, ledger.letters
        ledger.changed, ledger.decisions, ledger.letters = {}, [], []
        return changed, decisions, letters

    def view(self, number: AlertId, now: datetime) -> AlertView | None:
        """Return one alert, active or remembered."""
        alert = self._ledger.alerts.get(number)
        return None if alert is None else self._ledger.view(alert, now)

    def views(self, now: datetime) -> Iterator[AlertView]:
        """Walk all alerts, active and remembered. The book must not change meanwhile."""
        return (self._ledger.view(alert, now) for alert in self._ledger.alerts.values())

    def alerts(self, numbers: Iterable[AlertId]) -> Iterator[Alert]:
        """Walk those that are still known, as the book has them: to look at, not to keep or change."""
        held = self._ledger.alerts
        return (held[number] for number in numbers if number in held)

    @property
    def ids(self) -> Sequence[AlertId]:
        """Of all alerts, active and remembered."""
        return tuple(self._ledger.alerts)

    def silences(self) -> Sequence[Silence]:
        """Return those that have not ended."""
        return [one.silence for one in self._ledger.muting.silences.values()]

    def groups_of(self, number: AlertId) -> Mapping[GroupId, str]:
        """Return the groups an alert is a member of, with the path of their route."""
        alert = self._ledger.alerts.get(number)
        members = () if alert is None else alert.members
        return {one.group.id: one.group.branch.path for one in members}

    def _held(self) -> Iterator[GroupId]:
        """Walk the groups in which something is muted."""
        return (group.id for group in self._ledger.groups.values() if group.is_held)

    def _look_at_silence(self, stilled: Stilled, now: datetime) -> None:
        silence = stilled.silence
        if silence.ends_at <= now:
            self._drop_silence(stilled, now)
            return
        self._ledger.look_again(self._held(), now)
        self._ledger.wake(Rank.END, "silence", silence.id, silence.ends_at)

    def _drop_silence(self, stilled: Stilled, now: datetime) -> None:
        ledger, number = self._ledger, stilled.silence.id
        del ledger.muting.silences[number]
        ledger.changed["silence", number] = None
        ledger.look_again(ledger.muting.waiting.get((number,), set()), now)
