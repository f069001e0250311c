"""Opening a store in memory."""

from dataclasses import dataclass

from postroom.spool.memory.events import MemoryEvents
from postroom.spool.memory.hooks import MemoryHooks
from postroom.spool.memory.inbox import MemoryBlobs, MemoryCaptures, MemoryKeys
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.memory.operations import MemoryOperations
from postroom.spool.memory.spool import MemorySpool
from postroom.spool.settings import SpoolSettings

DURABILITY = "nothing is durable: this store is in memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStore:
    """The parts of a store in memory."""

    spool: MemorySpool
    blobs: MemoryBlobs
    captures: MemoryCaptures
    keys: MemoryKeys
    events: MemoryEvents
    operations: MemoryOperations
    hooks: MemoryHooks
    marks: MemoryHooks
    durability: str

    async def close(self) -> None:
        """Do nothing: what is in memory goes with it."""


def open_memory(*, settings: SpoolSettings | None = None) -> MemoryStore:
    """Return an empty store."""
    blobs, captures = MemoryBlobs(), MemoryCaptures()
    ledger = MemoryLedger(settings=settings or SpoolSettings())
    events = MemoryEvents(ledger)
    hooks = MemoryHooks(events.all)
    ledger.purge_deliveries = hooks.purge
    return MemoryStore(
        spool=MemorySpool(ledger, blobs, captures.purge),
        blobs=blobs,
        captures=captures,
        keys=MemoryKeys(),
        events=events,
        operations=MemoryOperations(ledger, ledger.orders),
        hooks=hooks,
        marks=hooks,
        durability=DURABILITY,
    )
