"""Transports made by calls, in memory; their secrets are sealed here too."""

from collections.abc import Sequence
from typing import Any

from postroom.model.transport import StoredTransport
from postroom.spool.codec import micros
from postroom.spool.transports import fields_text, sealed_secrets, stored_transport
from postroom.spool.vault import NOTHING_SEALED, Vault

_SECRETS, _CREATED = 2, 3


class MemoryTransports:
    """The port ``TransportRecords``."""

    def __init__(self, vault: Vault) -> None:
        """Take what seals."""
        self._vault = vault
        self._rows: dict[str, tuple[Any, ...]] = {}

    async def all(self) -> Sequence[StoredTransport]:
        """Return every record, oldest first."""
        rows = sorted(self._rows.values(), key=lambda row: (row[_CREATED], row[0]))
        return [stored_transport(row, self._vault) for row in rows]

    async def put(self, record: StoredTransport) -> None:
        """Store a record; one of the same name is replaced and keeps its ``created_at``."""
        before = self._rows.get(record.name)
        secrets = sealed_secrets(
            record, None if before is None else before[_SECRETS], self._vault, self._is_anything_sealed
        )
        self._rows[record.name] = (
            record.name,
            fields_text(record.fields),
            secrets,
            micros(record.created_at) if before is None else before[_CREATED],
            micros(record.changed_at),
            record.author,
        )

    async def remove(self, name: str) -> bool:
        """Remove a record; ``False`` when there is none."""
        return self._rows.pop(name, None) is not None

    def _is_anything_sealed(self) -> bool:
        return any(row[_SECRETS] != NOTHING_SEALED for row in self._rows.values())
