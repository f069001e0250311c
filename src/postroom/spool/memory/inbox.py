"""Blobs, captured mails and API keys in memory."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from postroom.errors import InvariantError
from postroom.model.ids import TenantId
from postroom.model.message import BlobRef
from postroom.model.view import ApiKey, CapturedMail


class MemoryBlobs:
    """The port ``Blobs``; nothing is swept."""

    def __init__(self) -> None:
        """Start empty."""
        self._contents: dict[tuple[TenantId, str], bytes] = {}

    def stage(self, tenant: TenantId) -> "StagedBytes":
        """Begin a blob."""
        return StagedBytes(self._contents, tenant)

    def open(self, tenant: TenantId, ref: BlobRef) -> BinaryIO:
        """Open for reading. Raises FileNotFoundError."""
        try:
            return io.BytesIO(self._contents[tenant, ref.sha256])
        except KeyError:
            raise FileNotFoundError(ref.sha256) from None

    def is_intact(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Say whether the blob is there with its size; memory does not rot."""
        return self.has(tenant, ref)

    def has(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Say whether the blob is there with its size."""
        content = self._contents.get((tenant, ref.sha256))
        return content is not None and len(content) == ref.size


class StagedBytes:
    """A blob being written."""

    def __init__(self, contents: dict[tuple[TenantId, str], bytes], tenant: TenantId) -> None:
        """Take the place where it will go."""
        self._contents = contents
        self._tenant = tenant
        self._data: bytearray | None = bytearray()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes) -> None:
        """Append."""
        if self._data is None:
            raise InvariantError("a blob cannot be written after its end")
        self._data += data
        self._size += len(data)

    def commit(self) -> BlobRef:
        """Put the content under its hash."""
        if self._data is None:
            raise InvariantError("a blob can be committed once")
        content, self._data = bytes(self._data), None
        ref = BlobRef(hashlib.sha256(content).hexdigest(), len(content))
        self._contents[self._tenant, ref.sha256] = content
        return ref

    def discard(self) -> None:
        """Forget it; does nothing after ``commit``."""
        self._data = None


class MemoryCaptures:
    """The port ``Captures``."""

    def __init__(self) -> None:
        """Start empty."""
        self._mails: dict[int, CapturedMail] = {}
        self._last = 0

    async def add(self, mail: CapturedMail) -> None:
        """Store one captured mail."""
        self._last += 1
        self._mails[self._last] = replace(mail, number=self._last)

    async def page(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        """Return captured mails, newest first."""
        numbers = [
            number for number in sorted(self._mails, reverse=True) if before is None or number < before
        ]
        return [self._mails[number] for number in numbers[:limit]]

    async def one(self, number: int) -> CapturedMail | None:
        """Return one captured mail."""
        return self._mails.get(number)

    def purge(self, before: datetime, limit: int) -> int:
        """Forget mails captured before an instant; return how many."""
        old = [number for number, mail in self._mails.items() if mail.captured_at < before][:limit]
        for number in old:
            del self._mails[number]
        return len(old)


class MemoryKeys:
    """The port ``Keys``."""

    def __init__(self) -> None:
        """Start empty."""
        self._keys: dict[str, ApiKey] = {}

    async def add(self, key: ApiKey) -> None:
        """Store a key. Raises InvariantError when the id is taken."""
        if key.id in self._keys:
            raise InvariantError(f"key id {key.id} is taken")
        self._keys[key.id] = key

    async def all(self) -> Sequence[ApiKey]:
        """Return every key, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str, *, at: datetime) -> bool:
        """Revoke a key by id or name; one revoked before keeps its time."""
        found = [key for key in self._keys.values() if key_id in (key.id, key.name)]
        for key in found:
            self._keys[key.id] = replace(key, revoked_at=key.revoked_at or at)
        return bool(found)
