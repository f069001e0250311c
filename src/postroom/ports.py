"""The seams: what the engine needs from the world, in verbs of the domain.

The engine imports these and never an adapter; ``bootstrap`` puts adapter and engine together. Each
protocol has one conformance suite in ``tests/`` that every adapter passes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from postroom.mime.rendered import RenderedMessage, Variant
from postroom.model.address import Address
from postroom.model.attempt import Claimed, Lease, Settlement
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Message
from postroom.model.outcome import Evidence
from postroom.model.view import (
    ApiKey,
    CapturedMail,
    MessageFilter,
    MessageSummary,
    MessageView,
    QueueCounts,
    TransportPause,
)

# --------------------------------------------------------------------------- spool


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyClaim:
    """A caller's key with the digest of each field of the canonical submission."""

    key: str
    fields: Mapping[str, str]
    """Field name to a short digest of its canonical value."""
    keep_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The message is on stable storage."""

    message_id: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The idempotency key was used before with the same content; nothing was stored now."""

    message_id: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReused:
    """The idempotency key was used before with other content; nothing was stored."""

    fields: tuple[str, ...]
    """Names of the fields that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a start found left over from the life before."""

    freed: int
    """Attempts that were open: their recipients are due again."""
    uncertain: int
    """Recipients whose attempt was committing: now uncertain, by the policy of their message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept after their last change."""

    content: timedelta
    events: timedelta
    captures: timedelta


class Spool(Protocol):
    """Messages on stable storage and the queue of what waits. Every method may be called from one event loop.

    All writes go through one writer and are group-committed; a method returns only after its commit.
    Raises ``StoreError`` when the store fails for good, ``DiskFullError`` below the watermark and
    ``UnknownOutcomeError`` when a commit failed at or after the attempt to commit.
    """

    async def accept(
        self, message: Message, *, transport: str, idempotency: IdempotencyClaim | None = None
    ) -> Stored | Replayed | KeyReused:
        """Store a message and queue its recipients as one group for ``transport``, due at ``send_at``.

        Every blob the content names must have been committed to ``Blobs``; the writer checks that the
        files are there in the same transaction and raises ``InvariantError`` when one is not.
        """
        ...

    async def claim(
        self, *, transport: str, limit: int, now: datetime, lease_until: datetime, max_recipients: int
    ) -> Sequence[Claimed]:
        """Lease up to ``limit`` due groups of ``transport``, by priority then due time, oldest first.

        Writes an attempt row (stage open) for each in the same transaction. A group larger than
        ``max_recipients`` is claimed in part; the rest stays queued and due. Groups whose message has
        expired are not claimed (``expire`` settles them). Rows that cannot be read back intact
        (content hash) are held with cause ``content-damaged`` and never handed out.
        """
        ...

    async def mark_committing(self, lease: Lease, *, digest: str, now: datetime) -> bool:
        """Record durably that the final dot is about to be sent, with the digest of the bytes.

        Returns ``False``, and changes nothing, when the lease is over.
        """
        ...

    async def settle(self, settlement: Settlement) -> bool:
        """Record an attempt's results and move its recipients, in one transaction.

        Recipients of the lease without a move return to their earlier state, due at once. Moves to open
        states with different due times split the group. The queue row goes when nothing waits any more.
        Returns ``False``, and changes nothing, when the lease is over.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give back leases whose attempt never began: the attempt rows vanish, the groups are due at once."""
        ...

    async def recover(self, *, now: datetime, wait: timedelta) -> Recovery:
        """Void every lease (the caller holds the exclusive lock). Called once at start.

        Open attempts are settled as ``released``; committing ones become uncertain: policy retry is due
        now, wait is due ``wait`` after the dot, ask is never due.
        """
        ...

    async def next_due_at(self, transport: str) -> datetime | None:
        """Return when the next unleased group of ``transport`` is due, ``None`` when none waits."""
        ...

    async def cancel(
        self, message_id: MessageId, *, tenant: TenantId, now: datetime
    ) -> Mapping[int, RecipientState]:
        """Cancel queued, deferred and held recipients; return the state of every recipient afterwards.

        An empty mapping means there is no such message. Recipients under a lease are left alone.
        """
        ...

    async def expire(self, *, now: datetime, limit: int) -> Sequence[MessageId]:
        """Move queued, deferred and held recipients past their message's expiry to expired (never uncertain).

        Groups under a lease are left alone. Returns the ids of the messages touched.
        """
        ...

    async def reroute(self, *, known: Sequence[str], to: str) -> int:
        """Give groups whose transport is not in ``known`` to ``to``; return how many."""
        ...

    async def view(self, message_id: MessageId, *, tenant: TenantId) -> MessageView | None:
        """Return one message with its recipients and attempts."""
        ...

    async def message(self, message_id: MessageId, *, tenant: TenantId) -> Message | None:
        """Return the stored message itself, ``None`` when unknown or its content is purged."""
        ...

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return at most ``wanted.limit`` messages, newest first."""
        ...

    async def counts(self) -> QueueCounts:
        """Count recipients by state (leased ones as sending)."""
        ...

    async def has_sent_real_mail(self) -> bool:
        """Say whether any attempt over a transport other than capture was ever recorded."""
        ...

    async def pause(self, pause: TransportPause) -> None:
        """Store a transport's pause, replacing an earlier one."""
        ...

    async def resume(self, transport: str) -> None:
        """Remove a transport's pause."""
        ...

    async def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        ...

    async def purge(self, *, now: datetime, retention: Retention, limit: int) -> int:
        """Delete what is past its retention, at most ``limit`` messages; return how many rows went.

        Messages with an open recipient are never touched. Also sweeps blobs no row names and older than
        a day, forgets expired idempotency keys, and gives free pages back to the file system.
        """
        ...

    async def backup(self, target: Path) -> None:
        """Copy the database, online and consistent, to ``target`` (a file that must not exist)."""
        ...


# --------------------------------------------------------------------------- blobs, captures, keys


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


class Blobs(Protocol):
    """Content-addressed files, per tenant. A file whose row was never committed is swept after a day."""

    def stage(self, tenant: TenantId) -> StagedBlob:
        """Begin a blob in a temporary file on the same file system."""
        ...

    def open(self, tenant: TenantId, ref: BlobRef) -> BinaryIO:
        """Open for reading. Raises ``FileNotFoundError``."""
        ...

    def is_intact(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Read the file and say whether size and hash are as named. Blocking."""
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


# --------------------------------------------------------------------------- transports


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt, ready to be made."""

    message_id: MessageId
    tenant: TenantId
    reverse_path: Address
    recipients: tuple[tuple[int, Address], ...]
    """Number in the envelope and address, of the recipients of this attempt."""
    rendered: RenderedMessage
    subject: str
    sender: str
    commit: Callable[[], Awaitable[bool]]
    """Record durably that the final dot is next; awaited exactly once, after the last reply before the
    body's end and before the final dot is handed to the socket. ``False``: do not send the dot, drop the
    connection, report nothing for this work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """What happened to one recipient."""

    recipient: int
    evidence: Evidence
    at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Facts of one attempt. A recipient without a line was not begun and may be tried again freely."""

    lines: tuple[ReportLine, ...]


class Transport(Protocol):
    """A way out. ``attempt`` may be called many times at once, up to ``capacity``."""

    @property
    def name(self) -> str:
        """The configured name."""
        ...

    @property
    def capacity(self) -> int:
        """How many attempts it can usefully hold at once (connections, and one more each to ride)."""
        ...

    @property
    def max_recipients(self) -> int:
        """Recipients of one transaction."""
        ...

    @property
    def variant(self) -> Variant:
        """How messages are rendered for it."""
        ...

    @property
    def is_capture(self) -> bool:
        """Whether nothing leaves the machine."""
        ...

    async def attempt(self, work: Work) -> Report:
        """Make one attempt. Never raises for what a peer does."""
        ...

    async def stop(self, *, grace_s: float) -> None:
        """Take no new attempt; before the dot abort (not begun), after the dot wait up to ``grace_s``."""
        ...
