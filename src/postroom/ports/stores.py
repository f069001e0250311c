"""Blob files, the capture inbox and API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from postroom.model.guest import StoredGuest
from postroom.model.ids import TenantId
from postroom.model.message import BlobRef
from postroom.model.transport import StoredTransport
from postroom.model.view import ApiKey, CapturedMail


class StagedBlob(Protocol):
    """A blob being written. Not thread-safe; used from one task or one worker thread."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Append; hashed while written. Raises ``DiskFullError``."""
        ...

    def commit(self) -> BlobRef:
        """Fsync the file, move it to its content's name, fsync the directory. Blocking."""
        ...

    def discard(self) -> None:
        """Remove the temporary file; does nothing after ``commit``."""
        ...


class BlobSource(Protocol):
    """Content-addressed files, per tenant, for reading."""

    def open(self, tenant: TenantId, ref: BlobRef) -> BinaryIO:
        """Open for reading. Raises ``FileNotFoundError``."""
        ...

    def is_intact(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Read the file and say whether size and hash are as named. Blocking."""
        ...


class Blobs(BlobSource, Protocol):
    """Content-addressed files, per tenant. A file whose row was never committed is swept after a day."""

    def stage(self, tenant: TenantId) -> StagedBlob:
        """Begin a blob in a temporary file on the same file system."""
        ...


class Captures(Protocol):
    """The capture inbox."""

    async def add(self, mail: CapturedMail) -> None:
        """Store one captured mail; its ``number`` is given by the store and ignored here."""
        ...

    async def page(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        """Return captured mails, newest first, with numbers below ``before``."""
        ...

    async def one(self, number: int) -> CapturedMail | None:
        """Return one captured mail."""
        ...


class Keys(Protocol):
    """API keys, stored as SHA-256."""

    async def add(self, key: ApiKey) -> None:
        """Store a key."""
        ...

    async def all(self) -> Sequence[ApiKey]:
        """Return every key, revoked ones included, oldest first."""
        ...

    async def revoke(self, key_id: str, *, at: datetime) -> bool:
        """Revoke a key; ``False`` when there is none with this id or name."""
        ...


class TransportRecords(Protocol):
    """Transports that were made by calls; their secrets are sealed at rest."""

    async def all(self) -> Sequence[StoredTransport]:
        """Return every record, oldest first; one whose secrets cannot be read has ``problem`` set."""
        ...

    async def put(self, record: StoredTransport) -> None:
        """Store a record, in place of one of the same name. Raises ``SecretKeyError`` without a key."""
        ...

    async def remove(self, name: str) -> bool:
        """Remove a record; ``False`` when there is none."""
        ...


class GuestRecords(Protocol):
    """Accounts that callers brought; ``Spool.accept`` stores them with the mail that brings them."""

    async def all(self) -> Sequence[StoredGuest]:
        """Return every guest, oldest first."""
        ...

    async def awaited(self) -> Sequence[str]:
        """Return the names of the guests that mail waits for, stored or not."""
        ...

    async def end(self, names: Sequence[str]) -> Sequence[str]:
        """Delete those that nothing waits for, for good; return their names, stored or not."""
        ...
