"""Guests in memory; their secrets are sealed here too."""

from collections.abc import Sequence
from typing import Any

from postroom.model.guest import StoredGuest, is_guest_name
from postroom.spool.guests import guest_row, stored_guest
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.vault import NOTHING_SEALED, Vault

_SECRETS, _CREATED = 3, 4


class MemoryGuests:
    """The port ``GuestRecords``."""

    def __init__(self, ledger: MemoryLedger, vault: Vault) -> None:
        """Take what waits, and what seals."""
        self._ledger = ledger
        self._vault = vault
        self._rows: dict[str, tuple[Any, ...]] = {}

    async def all(self) -> Sequence[StoredGuest]:
        """Return every guest, oldest first."""
        rows = sorted(self._rows.values(), key=lambda row: (row[_CREATED], row[0]))
        return [stored_guest(row, self._vault) for row in rows]

    async def awaited(self) -> Sequence[str]:
        """Return the names of the guests that mail waits for, stored or not."""
        return sorted(self._awaited())

    async def end(self, names: Sequence[str]) -> Sequence[str]:
        """Delete those that nothing waits for; return their names, stored or not."""
        awaited = self._awaited()
        ended = [name for name in names if name not in awaited]
        for name in ended:
            self._rows.pop(name, None)
        return ended

    def put(self, record: StoredGuest) -> None:
        """Store a guest unless it is stored. Raises SecretKeyError."""
        if record.name not in self._rows:
            self._rows[record.name] = guest_row(record, self._vault, self._is_anything_sealed)

    def _awaited(self) -> set[str]:
        return {group.transport for _, _, group in self._ledger.groups() if is_guest_name(group.transport)}

    def _is_anything_sealed(self) -> bool:
        return any(row[_SECRETS] != NOTHING_SEALED for row in self._rows.values())
