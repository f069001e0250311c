"""The port ``Spool`` on SQLite: every write an operation of the one writer, every read a reader's."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import apsw

from postroom.errors import InvariantError, StoreError
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
from postroom.ports import IdempotencyClaim, KeyReused, Recovery, Replayed, Retention, Stored
from postroom.spool.blobs import FileBlobs, sync_directory
from postroom.spool.codec import encode_message, instant_or_none, micros, micros_or_none
from postroom.spool.disk import DiskWatch
from postroom.spool.groups import PRIORITIES
from postroom.spool.sqlite import (
    claiming,
    completing,
    delivery,
    duties,
    ending,
    intake,
    pauses,
    purge,
    queries,
    routes,
)
from postroom.spool.sqlite.connection import open_for_reading
from postroom.spool.sqlite.guests import PutGuest
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.writer import Rank, Verb, Writer

SWEEP_CHUNK = 500
"""Blob files looked at in one read."""

_CLAIM = Verb(name="claim", rank=Rank.CLAIM, apply=claiming.claim)
_MARK = Verb(name="mark committing", rank=Rank.COMMITTING, apply=delivery.mark_committing)
_SETTLE = Verb(name="settle", rank=Rank.SETTLE, apply=delivery.settle)
_RELEASE = Verb(name="release", rank=Rank.RELEASE, apply=ending.release)
_RECOVER = Verb(name="recover", rank=Rank.DUTY, apply=duties.recover)
_CANCEL = Verb(name="cancel", rank=Rank.DUTY, apply=duties.cancel)
_EXPIRE = Verb(name="expire", rank=Rank.DUTY, apply=duties.expire)
_REROUTE = Verb(name="reroute", rank=Rank.DUTY, apply=routes.reroute)
_HURRY = Verb(name="hurry", rank=Rank.DUTY, apply=routes.hurry)
_PAUSE = Verb(name="pause", rank=Rank.DUTY, apply=pauses.pause)
_RESUME = Verb(name="resume", rank=Rank.DUTY, apply=pauses.resume)
_FAIL_OVER = Verb(name="fail over", rank=Rank.DUTY, apply=routes.fail_over)
_STORE_LIMIT = Verb(name="store limit", rank=Rank.DUTY, apply=pauses.store_limits)
_FORGET_LIMIT = Verb(name="forget limit", rank=Rank.DUTY, apply=pauses.forget_limits)
_PURGE = Verb(name="purge", rank=Rank.DUTY, apply=purge.purge)
_SWEEP = Verb(name="sweep", rank=Rank.DUTY, apply=purge.sweep)
_VACUUM = Verb(name="vacuum", rank=Rank.DUTY, apply=purge.vacuum)


class SqliteSpool:
    """Messages and their queue; one event loop calls it."""

    def __init__(
        self,
        *,
        writer: Writer,
        reader: Reader,
        blobs: FileBlobs,
        disk: DiskWatch,
        path: Path,
        put_guest: PutGuest,
    ) -> None:
        """Take the parts; ``path`` is the database file."""
        self._put_guest = put_guest
        self._writer = writer
        self._reader = reader
        self._blobs = blobs
        self._disk = disk
        self._path = path
        self._accept = Verb(name="accept", rank=Rank.INTAKE, apply=self._accept_all)
        self._complete = Verb(name="complete", rank=Rank.INTAKE, apply=self._complete_all)

    def _accept_all(self, ledger: Ledger, intakes: Sequence[intake.Intake]) -> Sequence[intake.Verdict]:
        return intake.accept(ledger, intakes, has_blob=self._blobs.has, put_guest=self._put_guest)

    def _complete_all(
        self, ledger: Ledger, completions: Sequence[completing.Completion]
    ) -> Sequence[bool | InvariantError]:
        return completing.complete(ledger, completions, has_blob=self._blobs.has)

    # ------------------------------------------------------------------ the way of a message

    async def accept(
        self,
        message: Message,
        *,
        transport: str,
        route: str = "",
        idempotency: IdempotencyClaim | None = None,
        guest: StoredGuest | None = None,
    ) -> Stored | Replayed | KeyReused:
        """Store a message and queue its recipients; returns after the commit."""
        body = encode_message(message)
        self._disk.admit(len(body))
        try:
            verdict: Stored | Replayed | KeyReused = await self._writer.submit(
                self._accept,
                intake.Intake(
                    message=message,
                    body=body,
                    sha256=hashlib.sha256(body).digest(),
                    transport=transport,
                    route=route,
                    idempotency=idempotency,
                    guest=guest,
                ),
            )
        finally:
            self._disk.stored(len(body))
        return verdict

    async def earlier_use(
        self, claim: IdempotencyClaim, *, tenant: TenantId, now: datetime
    ) -> Replayed | KeyReused | None:
        """Say what ``accept`` would answer to this key."""
        return await self._reader.read(lambda db: intake.earlier_use(db, claim, tenant, now))

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
        """Lease due groups and write their attempts.

        Raises DiskFullError when so little is free that results could not be stored.
        """
        self._disk.admit_attempts()
        wish = claiming.Claim(
            transport=transport,
            limit=limit,
            now=micros(now),
            lease_until=micros(lease_until),
            max_recipients=max_recipients,
            reserved=reserved,
        )
        claimed: Sequence[Claimed] = await self._writer.submit(_CLAIM, wish)
        return claimed

    async def mark_committing(self, lease: Lease, *, digest: str, now: datetime) -> bool:
        """Record durably that the final dot is next."""
        wish = delivery.Commit(lease=lease, digest=digest, now=micros(now))
        marked: bool = await self._writer.submit(_MARK, wish)
        return marked

    async def settle(self, settlement: Settlement) -> bool:
        """Record an attempt's results and move its recipients. Raises InvariantError for an illegal move."""
        settled: bool = await self._writer.submit(_SETTLE, settlement)
        return settled

    async def release(self, leases: Sequence[Lease], *, due_at: datetime | None = None) -> None:
        """Give leases back whose attempt never began."""
        if leases:
            wish = ending.Release(leases=tuple(leases), due_at=micros_or_none(due_at))
            await self._writer.submit(_RELEASE, wish)

    async def complete(self, lease: Lease, attachments: Sequence[Attachment]) -> bool:
        """Put fetched files into the message of a lease and give the lease back."""
        wish = completing.Completion(lease=lease, attachments=tuple(attachments))
        completed: bool = await self._writer.submit(self._complete, wish)
        return completed

    # ------------------------------------------------------------------ duties

    async def recover(self, *, now: datetime, wait: timedelta) -> Recovery:
        """Void every lease."""
        recovery: Recovery = await self._writer.submit(_RECOVER, duties.Start(now=micros(now), wait=wait))
        return recovery

    async def cancel(
        self, message_id: MessageId, *, tenant: TenantId, now: datetime
    ) -> Mapping[int, RecipientState]:
        """Cancel what waits of a message."""
        wish = duties.Cancellation(message_id=message_id, tenant=tenant, now=micros(now))
        states: Mapping[int, RecipientState] = await self._writer.submit(_CANCEL, wish)
        return states

    async def expire(self, *, now: datetime, limit: int) -> Sequence[MessageId]:
        """Expire what is past its end.

        A reader looks for it, so that no index on the end is paid for by every message; the writer looks
        at what was found once more.
        """
        at = micros(now)
        found = await self._reader.read(lambda db: queries.expired(db, at, limit))
        if not found:
            return ()
        touched: Sequence[MessageId] = await self._writer.submit(_EXPIRE, duties.Expiry(now=at, groups=found))
        return touched

    async def reroute(self, *, known: Sequence[str], to: str) -> int:
        """Give the groups of unknown transports to ``to``."""
        moved: int = await self._writer.submit(_REROUTE, routes.Reroute(known=tuple(known), to=to))
        return moved

    async def pause(self, pause: TransportPause) -> None:
        """Store a pause."""
        await self._writer.submit(_PAUSE, pause)

    async def resume(self, transport: str, *, kind: PauseKind | None = None) -> None:
        """Remove pauses: of one kind, or of every kind but a person's."""
        await self._writer.submit(_RESUME, (transport, kind))

    async def routes_waiting(self, transport: str) -> Sequence[str]:
        """Return the routes of what waits for a transport."""
        return await self._reader.read(lambda db: routes.waiting_routes(db, transport))

    async def fail_over(
        self,
        transport: str,
        *,
        route: str,
        to: str,
        now: datetime,
        even_uncertain: Collection[MailClass] = (),
    ) -> int:
        """Give what waits to another leg, in chunks, so that other work goes on between them."""
        wish = routes.FailOver(
            transport=transport,
            route=route,
            to=to,
            now=micros(now),
            even_uncertain=json.dumps([PRIORITIES[mail_class] for mail_class in even_uncertain]),
        )
        moved = 0
        while True:
            groups: int
            recipients: int
            groups, recipients = await self._writer.submit(_FAIL_OVER, wish)
            moved += recipients
            if groups < routes.CHUNK:
                return moved

    async def sent(self, transport: str, *, since: datetime) -> Sequence[tuple[datetime, int]]:
        """Return how many attempts began in each minute."""
        return await self._reader.read(lambda db: pauses.sent(db, transport, since))

    async def worked_until(self, transport: str) -> datetime | None:
        """Return when a server last took mail by a transport."""
        return await self._reader.read(lambda db: pauses.worked_until(db, transport))

    async def store_limit(self, limit: LearntLimit) -> None:
        """Store a learnt limit."""
        await self._writer.submit(_STORE_LIMIT, limit)

    async def forget_limit(self, transport: str, window_s: int) -> None:
        """Remove a learnt limit."""
        await self._writer.submit(_FORGET_LIMIT, (transport, window_s))

    async def limits(self) -> Sequence[LearntLimit]:
        """Return every learnt limit."""
        return await self._reader.read(pauses.limits)

    async def purge(self, *, now: datetime, retention: Retention, limit: int) -> int:
        """Delete what is past its retention, sweep blobs, give free pages back."""
        wish = purge.Purge(
            now=micros(now),
            content_before=micros(now - retention.content),
            events_before=micros(now - retention.events),
            captures_before=micros(now - retention.captures),
            limit=limit,
        )
        gone: int = await self._writer.submit(_PURGE, wish)
        await self._sweep((now - self._blobs.grace).timestamp())
        if gone:
            await self._writer.submit(_VACUUM, None)
        return gone

    async def _sweep(self, limit_s: float) -> None:
        """Delete blobs older than ``limit_s`` that no row names: readers look, the writer looks again."""
        old = self._blobs.older_than(limit_s)
        while chunk := await self._reader.run(lambda: list(islice(old, SWEEP_CHUNK))):
            unnamed = await self._reader.read(partial(queries.unnamed_blobs, blobs=chunk))
            if unnamed:
                sweep = purge.Sweep(blobs=self._blobs, candidates=unnamed, limit_s=limit_s)
                await self._writer.submit(_SWEEP, sweep)

    async def backup(self, target: Path) -> None:
        """Copy the database to a new file. Raises StoreError when the file exists or cannot be written."""
        await self._reader.run(lambda: _back_up(self._path, target))

    # ------------------------------------------------------------------ looking

    async def next_due_at(self, transport: str) -> datetime | None:
        """Return when the next unleased group of a transport is due."""
        lanes = self._writer.lanes(transport)
        return instant_or_none(await self._reader.read(lambda db: queries.next_due(db, transport, lanes)))

    async def waiting(self, transport: str) -> int:
        """Count what waits for a transport or is in its work."""
        return await self._reader.read(lambda db: routes.waiting(db, transport))

    async def hurry(self, transport: str, *, now: datetime) -> None:
        """Let queued groups be due now."""
        await self._writer.submit(_HURRY, (transport, micros(now)))

    async def view(self, message_id: MessageId, *, tenant: TenantId) -> MessageView | None:
        """Return one message with its recipients and attempts."""
        return await self._reader.read(lambda db: queries.view(db, message_id, tenant))

    async def message(self, message_id: MessageId, *, tenant: TenantId) -> Message | None:
        """Return the stored message. Raises StoreError when its bytes are damaged."""
        return await self._reader.read(lambda db: queries.message(db, message_id, tenant))

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return one page of messages, newest first."""
        return await self._reader.read(lambda db: queries.list_messages(db, wanted))

    async def counts(self) -> QueueCounts:
        """Count recipients by state."""
        return await self._reader.read(queries.counts)

    async def has_sent_real_mail(self) -> bool:
        """Say whether an attempt over a real transport was ever recorded."""
        return await self._reader.read(queries.has_sent_real_mail)

    async def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        return await self._reader.read(pauses.pauses)


def _back_up(source: Path, target: Path) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        reading = open_for_reading(source)
        writing = apsw.Connection(str(target))
        try:
            # In one step: a copy in steps would start over with every commit of the writer.
            with writing.backup("main", reading, "main") as copy:
                copy.step(-1)
            writing.pragma("journal_mode", "DELETE")
        finally:
            writing.close()
            reading.close()
        sync_directory(target.absolute().parent)
    except (OSError, apsw.Error) as error:
        raise StoreError(f"cannot back up to {target}: {error}") from error
