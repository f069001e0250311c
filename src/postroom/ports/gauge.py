"""What a store says about itself when somebody looks; for people and for monitoring."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from postroom.model.lifecycle import RecipientState


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReading:
    """A store at one moment; sizes in bytes."""

    counts: Mapping[RecipientState, int]
    """Recipients by state; states nobody is in are left out."""
    oldest_due_at: Mapping[int, datetime] = field(default_factory=dict)
    """By priority of the mail class: when the group that waits longest became due, or will."""
    uncertain_since: datetime | None = None
    """When the oldest message with an uncertain recipient was accepted."""
    wal_bytes: int = 0
    """What is committed and not yet in the database proper."""
    waiting_operations: int = 0
    disk_free: int = 0
    disk_reserve: int = 0
    """Intake stops when less than this is free."""
    is_intake_stopped: bool = False


class StoreGauge(Protocol):
    """Reads a store without disturbing it."""

    async def reading(self) -> StoreReading:
        """Look now. Raises StoreError, OverloadError."""
        ...
