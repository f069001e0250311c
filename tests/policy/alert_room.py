"""A room in which a book of alerts lives: hand it events and instants, see what it says and writes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from postroom.model.alert import (
    AlertDecision,
    AlertEvent,
    AlertId,
    AlertState,
    BookRow,
    Clause,
    Letter,
    Severity,
    Silence,
)
from postroom.model.alert_rules import (
    ROOT,
    AlertRoute,
    AlertRules,
    AlertType,
    Receiver,
    Recipient,
    TypeSettings,
)
from postroom.policy.alerting.book import Book

MONDAY = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED
OPS = Receiver(name="default", recipients=(Recipient(address="ops@example.org"),))


def route(**settings: Any) -> AlertRoute:
    """Return a root with other settings than the shipped one."""
    inherited = {name: getattr(ROOT, name) for name in AlertRoute.__dataclass_fields__}
    return AlertRoute(**{**inherited, **settings})


def rules(*types: AlertType, receivers: tuple[Receiver, ...] = (OPS,), **settings: Any) -> AlertRules:
    """Return rules with these types and receivers."""
    return AlertRules(
        types={one.key: one for one in types},
        receivers={one.name: one for one in receivers},
        **settings,
    )


def kind(key: str = "disk", **settings: Any) -> AlertType:
    """Return a type."""
    return AlertType(key=key, settings=TypeSettings(**settings))


class Room:
    """One book, what it stored, said and wrote."""

    def __init__(self, held: AlertRules | None = None, *, at: datetime = MONDAY) -> None:
        self.rules = rules() if held is None else held
        self.now = at
        self.book = Book(self.rules, at=at)
        self.stored: dict[tuple[str, str], BookRow] = {}
        self.decisions: list[AlertDecision] = []
        self.letters: list[Letter] = []
        self.numbers = 0
        self._drain()

    def event(self, key: str = "disk", **parts: Any) -> AlertEvent:
        """Return the next event."""
        self.numbers += 1
        if "severity" in parts:
            parts.setdefault("is_severity_said", True)
        return AlertEvent(key=key, number=self.numbers, arrived_at=self.now, **parts)

    def report(self, key: str = "disk", *, after: timedelta = timedelta(0), **parts: Any) -> list[str]:
        """Let time go on and report an event; return the clauses of everything that came of it."""
        self.wait(after)
        return self.take(self.event(key, **parts))

    def take(self, event: AlertEvent) -> list[str]:
        """Hand in an event."""
        return self.see(lambda: self.book.take(event, self.now))

    def fire(self, key: str = "disk", **parts: Any) -> list[str]:
        """Report that something is so."""
        return self.report(key, state=FIRING, **parts)

    def resolve(self, key: str = "disk", **parts: Any) -> list[str]:
        """Report that it is over."""
        return self.report(key, state=RESOLVED, **parts)

    def wait(self, span: timedelta) -> list[str]:
        """Let time go on, looking whenever the book asks for it."""
        until = self.now + span
        return self.see(lambda: self._tick(until))

    def see(self, act: Callable[[], object]) -> list[str]:
        """Do something; return the clauses of what came of it."""
        act()
        return self._drain()

    def restart(self, held: AlertRules | None = None, *, after: timedelta = timedelta(0)) -> None:
        """Begin with a book made of what is stored, after a while in which nobody looked."""
        self.now += after
        self.rules = self.rules if held is None else held
        self.book = Book.load(self.rules, list(self.stored.values()), at=self.now)
        self.see(lambda: self.book.tick(self.now))

    def silence(self, *matchers: str, lasts: timedelta, number: str = "s1") -> list[str]:
        """Silence what matches."""
        silence = Silence(
            id=number,
            matchers=matchers,
            starts_at=self.now,
            ends_at=self.now + lasts,
            author="Ann",
            reason="work",
            created_at=self.now,
        )
        return self.see(lambda: self.book.silence(silence, self.now))

    def sent(self) -> list[tuple[timedelta, tuple[str, ...]]]:
        """Return when letters were written, since the beginning, and their news."""
        return [
            (one.at - MONDAY, tuple(item.alert.object for item in one.items if item.is_news))
            for one in self.letters
        ]

    def only(self) -> AlertId:
        """Return the only alert."""
        (one,) = self.book.views(self.now)
        return one.id

    def last(self, clause: Clause) -> Mapping[str, str]:
        """Return what the last decision by a clause says beside it."""
        return next(one.data for one in reversed(self.decisions) if one.clause is clause)

    def _tick(self, until: datetime) -> None:
        while (at := self.book.next_at) is not None and at <= until:
            self.now = max(self.now, at)
            self.book.tick(self.now)
        self.now = until
        self.book.tick(until)

    def _drain(self) -> list[str]:
        rows, decisions, letters = self.book.drain()
        assert len({(row.kind, row.id) for row in rows}) == len(rows)
        for row in rows:
            if row.data is None:
                self.stored.pop((row.kind, row.id), None)
            else:
                self.stored[row.kind, row.id] = row
        self.decisions += decisions
        self.letters += letters
        return [str(one.clause) for one in decisions]


SEVERITIES = tuple(Severity)
