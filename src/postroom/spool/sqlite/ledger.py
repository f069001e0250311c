"""What the operations of the writer thread work on: the connection, the numbers and the tally.

Belongs to whoever has the connection. Numbers of messages, attempts, events, and of events and decisions of
alerts, are never given twice, also when a transaction is rolled back (gaps are harmless) or old rows are
purged (the marks are stored). Changes of the tally, events and what was begun by minute are collected and
written once per transaction.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import apsw

from postroom.errors import StoreError
from postroom.model.event import EventKind
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message
from postroom.policy.fairness import Turns
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.lanes import Lanes
from postroom.spool.sqlite.last_commit import Numbers
from postroom.spool.sqlite.orders import StandingOrders
from postroom.spool.sqlite.statement import statement

_ADD_TO_TALLY = statement("add_to_tally")
_RAISE_TALLY = statement("raise_tally")
_TALLY_VALUE = statement("tally_value")
_INSERT_EVENT = statement("insert_event")
_ADD_SENT = statement("add_sent")

LAST_SEQ = "last_seq"
LAST_ATTEMPT = "last_attempt"
LAST_EVENT = "last_event"
LAST_ALERT_EVENT = "last_alert_event"
LAST_ALERT_DECISION = "last_alert_decision"
COMMITS = "commits"
REAL_MAIL = "real_mail"
"""Marks in the tally beside the states."""

MINUTE = 60_000_000
"""Microseconds."""


class Group(NamedTuple):
    """A row of ``queue``."""

    seq: int
    grp: int
    transport: str
    priority: int
    state: str
    due_at: int | None
    lease: int | None
    members: str
    tries: int
    crashes: int
    digest: str | None
    maybe_duplicate: int
    expires_at: int
    tenant: str
    route: str
    standing: int
    hold: str | None
    """The standing hold that keeps it."""


class _Snapshot(NamedTuple):
    tally: dict[str, int]
    sent: dict[tuple[str, int], int]
    events: int


class Recent:
    """Messages stored lately, until their first claim, bounded by the bytes of their stored form.

    A claim that finds its message here hands out the very object that was accepted, so nothing has to be
    read back and compared with its hash; every other claim reads, compares and decodes.
    """

    def __init__(self, max_bytes: int) -> None:
        """Take the bound."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._messages: OrderedDict[int, tuple[Message, int]] = OrderedDict()

    def put(self, seq: int, message: Message, size: int) -> None:
        """Keep a message; the oldest go when the bound is crossed."""
        self._messages[seq] = (message, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, gone) = self._messages.popitem(last=False)
            self._bytes -= gone

    def take(self, seq: int) -> Message | None:
        """Return a message and forget it."""
        found = self._messages.pop(seq, None)
        if found is None:
            return None
        self._bytes -= found[1]
        return found[0]


class Ledger:
    """The writer's state."""

    def __init__(
        self,
        db: apsw.Connection,
        settings: SpoolSettings,
        *,
        committed: Callable[[Numbers], None] | None = None,
    ) -> None:
        """Read the marks; ``committed`` is told them after every commit.

        Raises StoreError when rows are newer than the marks.
        """
        self.db = db
        self.settings = settings
        self.run = db.execute
        self.run_many = db.executemany
        self.recent = Recent(settings.recent_bytes)
        self.last_seq = self._mark(LAST_SEQ)
        self.last_attempt = self._mark(LAST_ATTEMPT)
        self.last_event = self._mark(LAST_EVENT)
        self.last_alert_event = self._mark(LAST_ALERT_EVENT)
        self.last_alert_decision = self._mark(LAST_ALERT_DECISION)
        self.commits = self._mark(COMMITS)
        self._tell_committed = committed
        self.has_sent_real_mail = bool(self._mark(REAL_MAIL))
        self.lanes = Lanes(db)
        self.turns: dict[str, Turns] = {}
        """Of each transport: how far its lanes are from their turn."""
        self.orders = StandingOrders(db, settings.blocked)
        """Asked at every acceptance and claim, in their transactions."""
        self._tally: dict[str, int] = {}
        self._sent: dict[tuple[str, int], int] = {}
        self._events: list[tuple[int | str | None, ...]] = []
        self._marks: set[str] = set()
        self._check_marks()

    def _mark(self, name: str) -> int:
        row = self.run(_TALLY_VALUE, (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def _check_marks(self) -> None:
        newest = self.run("SELECT max(seq) FROM message").fetchone()
        if newest is not None and (newest[0] or 0) > self.last_seq:
            raise StoreError(
                f"the store is damaged: message {newest[0]} is newer than its mark {self.last_seq}"
            )

    @property
    def numbers(self) -> Numbers:
        """The numbers that only grow."""
        return Numbers(self.commits, self.last_seq, self.last_attempt, self.last_event)

    def next_seq(self) -> int:
        """Give the next message its row number."""
        self.last_seq += 1
        self._marks.add(LAST_SEQ)
        return self.last_seq

    def next_attempt(self) -> int:
        """Give the next attempt its number."""
        self.last_attempt += 1
        self._marks.add(LAST_ATTEMPT)
        return self.last_attempt

    def next_alert_events(self, size: int) -> int:
        """Give alert events their numbers; return the first."""
        self.last_alert_event += size
        self._marks.add(LAST_ALERT_EVENT)
        return self.last_alert_event - size + 1

    def next_alert_decisions(self, size: int) -> int:
        """Give decisions on alerts their numbers; return the first."""
        self.last_alert_decision += size
        self._marks.add(LAST_ALERT_DECISION)
        return self.last_alert_decision - size + 1

    def note(
        self,
        kind: EventKind,
        *,
        at: int,
        tenant: str,
        seq: int | None = None,
        members: str = "",
        transport: str = "",
        cause: str = "",
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Append an event in the running transaction; it is written with the others at its end."""
        self.last_event += 1
        self._events.append(
            (
                self.last_event,
                at,
                kind,
                tenant,
                seq,
                members,
                transport,
                cause,
                json.dumps(dict(data), ensure_ascii=False) if data else None,
            )
        )

    def note_sent(self, transport: str, at: int, change: int) -> None:
        """Count attempts as begun in the minute of ``at``, or give them back."""
        key = (transport, at // MINUTE)
        self._sent[key] = self._sent.get(key, 0) + change

    def note_real_mail(self) -> None:
        """Remember for ever that an attempt over a real transport was recorded."""
        self.has_sent_real_mail = True
        self._marks.add(REAL_MAIL)

    def count(self, state: str, change: int) -> None:
        """Add to the number of recipients in a state."""
        tally = self._tally
        tally[state] = tally.get(state, 0) + change

    def recount(self, old: str, new: str, recipients: int) -> None:
        """Move recipients from one state to another."""
        tally = self._tally
        tally[old] = tally.get(old, 0) - recipients
        tally[new] = tally.get(new, 0) + recipients

    def lease_counts(self, state: str, recipients: int) -> None:
        """Count recipients of a state as sending."""
        self.recount(state, RecipientState.SENDING, recipients)

    def begin(self) -> None:
        """Forget what was collected; marks of a failed transaction stay, they only grow."""
        self._tally.clear()
        self._sent.clear()
        self._events.clear()
        self.lanes.begin()

    def snapshot(self) -> _Snapshot:
        """Return what was collected, to put back when one operation fails."""
        return _Snapshot(dict(self._tally), dict(self._sent), len(self._events))

    def restore(self, snapshot: _Snapshot) -> None:
        """Put back what was collected."""
        self._tally, self._sent = snapshot.tally, snapshot.sent
        del self._events[snapshot.events :]

    def write_collected(self) -> None:
        """Write what was collected."""
        if changes := [item for item in self._tally.items() if item[1]]:
            self.run_many(_ADD_TO_TALLY, changes)
        if self._sent:
            self.run_many(_ADD_SENT, [(*key, change) for key, change in self._sent.items() if change])
        if self._events:
            self.run_many(_INSERT_EVENT, self._events)
            self._marks.add(LAST_EVENT)
        self.commits += 1
        values = {
            COMMITS: self.commits,
            LAST_SEQ: self.last_seq,
            LAST_ATTEMPT: self.last_attempt,
            LAST_EVENT: self.last_event,
            LAST_ALERT_EVENT: self.last_alert_event,
            LAST_ALERT_DECISION: self.last_alert_decision,
            REAL_MAIL: int(self.has_sent_real_mail),
        }
        self._marks.add(COMMITS)
        self.run_many(_RAISE_TALLY, [(name, values[name]) for name in self._marks])

    def committed(self) -> None:
        """Forget what is now stored."""
        self.lanes.committed()
        self._marks.clear()
        if self._tell_committed is not None:
            self._tell_committed(self.numbers)
        self.begin()

    def groups(self, name: str, bindings: tuple[int | str, ...]) -> Iterable[Group]:
        """Run a statement that selects rows of ``queue``."""
        return map(Group._make, self.run(statement(name), bindings))
