"""Opening a store in memory."""

from dataclasses import dataclass

from postroom.clock import Dice, SystemDice
from postroom.spool.memory.alerts import MemoryAlerts
from postroom.spool.memory.events import MemoryEvents
from postroom.spool.memory.guests import MemoryGuests
from postroom.spool.memory.hooks import MemoryHooks
from postroom.spool.memory.inbox import MemoryBlobs, MemoryCaptures, MemoryKeys
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.memory.operations import MemoryOperations
from postroom.spool.memory.spool import MemorySpool
from postroom.spool.memory.templates import MemoryTemplates
from postroom.spool.memory.transports import MemoryTransports
from postroom.spool.sealing import KEY_BYTES, SealingKeys
from postroom.spool.settings import SpoolSettings
from postroom.spool.vault import Vault

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
    transports: MemoryTransports
    guests: MemoryGuests
    templates: MemoryTemplates
    alerts: MemoryAlerts
    durability: str

    async def close(self) -> None:
        """Do nothing: what is in memory goes with it."""


def open_memory(*, settings: SpoolSettings | None = None, dice: Dice | None = None) -> MemoryStore:
    """Return an empty store; ``dice`` are for keys and nonces, ``None`` the system's."""
    dice = dice or SystemDice()
    vault = Vault(None, make=lambda: SealingKeys([dice.token(KEY_BYTES)]), dice=dice)
    blobs, captures = MemoryBlobs(), MemoryCaptures()
    ledger = MemoryLedger(settings=settings or SpoolSettings())
    ledger.orders.blocked = ledger.settings.blocked
    events = MemoryEvents(ledger)
    hooks = MemoryHooks(events.all)
    ledger.purge_deliveries = hooks.purge
    guests = MemoryGuests(ledger, vault)
    return MemoryStore(
        spool=MemorySpool(ledger, blobs, captures.purge, guests.put),
        blobs=blobs,
        captures=captures,
        keys=MemoryKeys(),
        events=events,
        operations=MemoryOperations(ledger, ledger.orders),
        hooks=hooks,
        marks=hooks,
        transports=MemoryTransports(vault),
        guests=guests,
        templates=MemoryTemplates(),
        alerts=MemoryAlerts(),
        durability=DURABILITY,
    )
