"""The port ``Events`` in memory."""

from collections.abc import Sequence

from postroom.model.event import Event, EventFilter, NewEvent
from postroom.model.ids import TenantId
from postroom.spool.codec import instant, micros
from postroom.spool.memory.ledger import MemoryLedger, StoredEvent


class MemoryEvents:
    """The story, newest last."""

    def __init__(self, ledger: MemoryLedger) -> None:
        """Take the store's ledger."""
        self._ledger = ledger

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Store events that no other verb stores."""
        for event in events:
            record = None if event.message_id is None else self._ledger.record(event.message_id, event.tenant)
            self._ledger.note(
                event.kind,
                at=micros(event.at),
                tenant=event.tenant,
                seq=None if record is None else record.seq,
                members=event.recipients,
                transport=event.transport,
                cause=event.cause,
                data=event.data,
            )

    async def page(self, wanted: EventFilter) -> Sequence[Event]:
        """Return one page: oldest first with ``after``, else newest first."""
        ordered = self._ledger.events if wanted.after is not None else reversed(self._ledger.events)
        found = [shown for event in ordered if is_wanted(shown := self.shown(event), wanted)]
        return found[: wanted.limit]

    def all(self) -> Sequence[Event]:
        """Return every event, oldest first."""
        return [self.shown(event) for event in self._ledger.events]

    async def newest(self) -> int:
        """Return the number of the newest event, 0 when there is none."""
        return self._ledger.events[-1].number if self._ledger.events else 0

    def shown(self, event: StoredEvent) -> Event:
        """Return the picture of a stored event."""
        record = None if event.seq is None else self._ledger.records.get(event.seq)
        recipients = record.message.envelope.recipients if record is not None else ()
        return Event(
            number=event.number,
            at=instant(event.at),
            kind=event.kind,
            tenant=TenantId(event.tenant),
            message_id=None if record is None else record.message.id,
            recipients=event.members,
            addresses=tuple(recipients[member].spec for member in event.members) if recipients else (),
            transport=event.transport,
            cause=event.cause,
            data=event.data,
        )


def is_wanted(event: Event, wanted: EventFilter) -> bool:
    """Say whether an event passes a filter."""
    return (
        wanted.tenant in (None, event.tenant)
        and (not wanted.kinds or event.kind in wanted.kinds)
        and wanted.message_id in (None, event.message_id)
        and wanted.transport in (None, event.transport)
        and (wanted.after is None or event.number > wanted.after)
        and (wanted.before is None or event.number < wanted.before)
    )
