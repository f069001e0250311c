"""What the verbs of the store in memory work on: the messages, the events and the counts.

The same names as the ledger of the store on SQLite, without transactions: every verb is done without waiting.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from postroom.model.event import EventKind
from postroom.model.ids import MessageId, TenantId
from postroom.policy.fairness import Turns
from postroom.spool.memory.orders import MemoryOrders
from postroom.spool.memory.records import Group, Record
from postroom.spool.settings import SpoolSettings

MINUTE = 60_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A row of the story; instants in microseconds."""

    number: int
    at: int
    kind: EventKind
    tenant: TenantId
    seq: int | None
    members: tuple[int, ...]
    transport: str
    cause: str
    data: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class MemoryLedger:
    """Everything the store remembers of messages."""

    settings: SpoolSettings
    records: dict[int, Record] = field(default_factory=dict)
    """By row number, oldest first."""
    seqs: dict[MessageId, int] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Attempts begun, by transport and minute."""
    turns: dict[str, Turns] = field(default_factory=dict)
    orders: MemoryOrders = field(default_factory=MemoryOrders)
    purge_deliveries: Callable[[int], int] = field(default=lambda _: 0)
    """Forgets deliveries to webhooks whose events are gone, a chunk at a time."""
    last_seq: int = 0
    last_attempt: int = 0
    last_event: int = 0
    has_sent_real_mail: bool = False

    def record(self, message_id: MessageId, tenant: TenantId) -> Record | None:
        """Return a tenant's message."""
        record = self.records.get(self.seqs.get(message_id, 0))
        return record if record is not None and record.message.tenant == tenant else None

    def groups(self) -> Iterator[tuple[Record, int, Group]]:
        """Return everything that waits, with its message and number; a copy."""
        return iter(
            [
                (record, number, group)
                for record in self.records.values()
                for number, group in record.groups.items()
            ]
        )

    def note(
        self,
        kind: EventKind,
        *,
        at: int,
        tenant: TenantId,
        seq: int | None = None,
        members: Sequence[int] = (),
        transport: str = "",
        cause: str = "",
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Append an event."""
        self.last_event += 1
        self.events.append(
            StoredEvent(
                number=self.last_event,
                at=at,
                kind=kind,
                tenant=tenant,
                seq=seq,
                members=tuple(sorted(members)),
                transport=transport,
                cause=cause,
                data=dict(data or {}),
            )
        )

    def note_sent(self, transport: str, at: int, change: int) -> None:
        """Count attempts as begun in the minute of ``at``, or give them back."""
        key = (transport, at // MINUTE)
        self.sent[key] = max(self.sent[key] + change, 0)
