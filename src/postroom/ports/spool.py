"""The queue of what waits, and the messages on stable storage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from postroom.model.attempt import Claimed, Lease, Settlement
from postroom.model.guest import StoredGuest
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Attachment, MailClass, Message
from postroom.model.view import (
    LearntLimit,
    MessageFilter,
    MessageSummary,
    MessageView,
    PauseKind,
    QueueCounts,
    TransportPause,
)


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
        self,
        message: Message,
        *,
        transport: str,
        route: str = "",
        idempotency: IdempotencyClaim | None = None,
        guest: StoredGuest | None = None,
    ) -> Stored | Replayed | KeyReused:
        """Store a message and queue its recipients for ``transport``, due at ``send_at``.

        ``route`` is the written form of the route that ``transport`` is a leg of, empty for none.
        Recipients that a suppression of the store names are stored as suppressed, those that a standing
        hold names as held; the rest is one group.

        ``guest`` is stored in the same transaction, unless it is already; ``transport`` is its name. Raises
        SecretKeyError when it cannot be sealed; nothing is stored then.

        Every blob the content names must have been committed to ``Blobs``; the writer checks that the
        files are there in the same transaction and raises ``InvariantError`` when one is not.
        """
        ...

    async def earlier_use(
        self, claim: IdempotencyClaim, *, tenant: TenantId, now: datetime
    ) -> Replayed | KeyReused | None:
        """Say what ``accept`` would answer to this key, ``None`` when it is new; nothing is stored."""
        ...

    async def claim(
        self,
        *,
        transport: str,
        limit: int,
        now: datetime,
        lease_until: datetime,
        max_recipients: int,
        reserved: int = 0,
    ) -> Sequence[Claimed]:
        """Lease up to ``limit`` due groups of ``transport``, shared among its lanes by ``policy.fairness``.

        The last ``reserved`` of the limit are for groups of priority 1 (one-time codes) alone. A group that
        was in work at the death of a process (a suspect) is claimed only while no other suspect of the store
        has been in work for less than a minute; any orderly end of an attempt clears it.

        Writes an attempt row (stage open) for each in the same transaction. A group larger than
        ``max_recipients`` is claimed in part; the rest stays queued and due. Groups whose message has
        expired are not claimed (``expire`` settles them). Rows that cannot be read back intact
        (content hash) are held with cause ``content-damaged`` and never handed out. Raises DiskFullError
        below the second watermark: a result could not be stored.
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

    async def release(self, leases: Sequence[Lease], *, due_at: datetime | None = None) -> None:
        """Give back leases whose attempt never began: the attempt rows vanish, the groups are due at once.

        With ``due_at`` they are due then.
        """
        ...

    async def complete(self, lease: Lease, attachments: Sequence[Attachment]) -> bool:
        """Put files that were fetched into the stored message, in place of those it names by URL.

        In the same transaction the lease is given back as by ``release``: the next claim hands out the
        message as it is then. Every blob must have been committed to ``Blobs``; raises InvariantError when
        one is not there. Returns ``False``, and changes nothing, when the lease is over; a message whose
        files came by another lease keeps those.
        """
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

    async def waiting(self, transport: str) -> int:
        """Count the groups of recipients that wait for ``transport`` or are in its work, held ones too."""
        ...

    async def hurry(self, transport: str, *, now: datetime) -> None:
        """Let queued groups of ``transport`` that wait for a later time be due ``now``.

        Scheduled mail waits for its time; what a server deferred and what is uncertain keeps its own.
        """
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
        """Give groups whose transport is not in ``known`` to ``to``, but for guests'; return how many.

        Uncertain ones wait for a person from then on: another account may not know what the first one did.
        """
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
        """Store a transport's pause, replacing an earlier one of the same kind."""
        ...

    async def resume(self, transport: str, *, kind: PauseKind | None = None) -> None:
        """Remove a transport's pauses of one kind; ``None`` removes all but a person's suspension."""
        ...

    async def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        ...

    async def routes_waiting(self, transport: str) -> Sequence[str]:
        """Return the written routes of what waits for ``transport``, each once, ``""`` left out."""
        ...

    async def fail_over(
        self,
        transport: str,
        *,
        route: str,
        to: str,
        now: datetime,
        even_uncertain: Collection[MailClass] = (),
    ) -> int:
        """Give what waits for ``transport`` by ``route`` to another leg; return how many recipients.

        It is due now, scheduled mail at its time. Groups under a lease and held ones stay, and so do
        uncertain ones and those whose bytes were handed over once (a digest is stored), unless
        their class is in ``even_uncertain``: never a silent second copy.
        """
        ...

    async def sent(self, transport: str, *, since: datetime) -> Sequence[tuple[datetime, int]]:
        """Return how many attempts began in each minute since then, oldest first: the pace after a start."""
        ...

    async def worked_until(self, transport: str) -> datetime | None:
        """Return when a server last took mail by a transport, ``None`` when it did not for long.

        Looks through the newest messages only (some 100,000), so that the question stays cheap.
        """
        ...

    async def store_limit(self, limit: LearntLimit) -> None:
        """Store a learnt limit, replacing that of the same transport and window."""
        ...

    async def forget_limit(self, transport: str, window_s: int) -> None:
        """Remove a learnt limit."""
        ...

    async def limits(self) -> Sequence[LearntLimit]:
        """Return every learnt limit."""
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
