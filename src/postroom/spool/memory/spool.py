"""The port ``Spool`` in memory.

The same answers as the stores on disk, in plain Python; every method is done without waiting, so each is
one transaction. ``crash`` is what a kill leaves: everything, with the leases still held.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from postroom.errors import InvariantError, StoreError
from postroom.model.attempt import Claimed, Lease, Settlement, Stage
from postroom.model.event import EventKind
from postroom.model.guest import StoredGuest, is_guest_name
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Attachment, MailClass, Message
from postroom.model.outcome import OutcomeKind
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
from postroom.spool import groups
from postroom.spool.codec import instant, instant_or_none, micros, micros_or_none
from postroom.spool.groups import EVENT_OF
from postroom.spool.memory import claiming, ending
from postroom.spool.memory.inbox import MemoryBlobs
from postroom.spool.memory.ledger import MINUTE, MemoryLedger
from postroom.spool.memory.pauses import MemoryPauses
from postroom.spool.memory.records import Group, Record, is_wanted, summary_of, view_of

_SENT_KEPT = 2 * 24 * 60 * MINUTE


class MemorySpool:
    """Messages and their queue."""

    def __init__(
        self,
        ledger: MemoryLedger,
        blobs: MemoryBlobs,
        purge_captures: Callable[[datetime, int], int],
        put_guest: Callable[[StoredGuest], None],
    ) -> None:
        """Take what is remembered; other parts of the store may write to it as well."""
        self._ledger = ledger
        self._blobs = blobs
        self._purge_captures = purge_captures
        self._put_guest = put_guest
        self._uses: dict[tuple[TenantId, str], tuple[MessageId, dict[str, str], int]] = {}
        self._pauses = MemoryPauses()

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
        """Store a message and queue its recipients."""
        if idempotency is not None:
            earlier = self._earlier(idempotency, message.tenant, message.created_at)
            if earlier is not None:
                return earlier
        for ref in message.content.blobs:
            if not self._blobs.has(message.tenant, ref):
                raise InvariantError(f"attachment {ref.sha256} was not committed")
        ledger = self._ledger
        if message.id in ledger.seqs:
            raise InvariantError(f"accept failed: message {message.id} is stored already")
        if guest is not None:
            self._put_guest(guest)
        ledger.last_seq += 1
        recipients = len(message.envelope.recipients)
        at = micros(message.created_at)
        record = Record(
            seq=ledger.last_seq,
            message=message,
            transport=transport,
            route=route,
            states=[RecipientState.QUEUED] * recipients,
            causes=[""] * recipients,
            changed_at=at,
            send_at=micros(message.send_at),
        )
        ledger.records[record.seq] = record
        ledger.seqs[message.id] = record.seq
        ledger.note(
            EventKind.MESSAGE_QUEUED, at=at, tenant=message.tenant, seq=record.seq, transport=transport
        )
        if message.reports is not None and message.reports.is_watched:
            kind = EventKind.MESSAGE_REPORT_WISHED
            ledger.note(kind, at=at, tenant=message.tenant, seq=record.seq, transport=transport)
        if members := self._obey(record):
            fresh = Group(
                transport=transport,
                route=route,
                state=RecipientState.QUEUED,
                due_at=record.send_at,
                members=members,
            )
            record.groups = {0: fresh, **record.groups}  # in the order of their numbers
        if idempotency is not None:
            use = (message.id, dict(idempotency.fields), micros(idempotency.keep_until))
            self._uses[message.tenant, idempotency.key] = use
        return Stored(message_id=message.id)

    def _obey(self, record: Record) -> tuple[int, ...]:
        """Do with a new message as the standing orders say; return the members that are left."""
        message, ledger = record.message, self._ledger
        orders = ledger.orders.of(message, transport=record.transport)
        left = set(range(len(record.states)))
        for number, order in enumerate(orders, 1):
            left.difference_update(order.members)
            for member in order.members:
                record.move(member, order.state, order.cause)
            if order.state is RecipientState.HELD:
                record.groups[number] = Group(
                    transport=record.transport,
                    route=record.route,
                    state=order.state,
                    due_at=None,
                    members=order.members,
                    hold=order.hold,
                )
            ledger.note(
                EVENT_OF[order.state],
                at=record.changed_at,
                tenant=message.tenant,
                seq=record.seq,
                members=order.members,
                transport=record.transport,
                cause=order.cause,
                data=order.data,
            )
        return tuple(sorted(left))

    async def earlier_use(
        self, claim: IdempotencyClaim, *, tenant: TenantId, now: datetime
    ) -> Replayed | KeyReused | None:
        """Say what ``accept`` would answer to this key."""
        return self._earlier(claim, tenant, now)

    def _earlier(
        self, claim: IdempotencyClaim, tenant: TenantId, now: datetime
    ) -> Replayed | KeyReused | None:
        use = self._uses.get((tenant, claim.key))
        if use is None or use[2] <= micros(now):
            return None
        return groups.replay_or_reuse(use[0], use[1], claim)

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
        """Lease due groups and write their attempts."""
        wish = claiming.Claim(
            transport=transport,
            limit=limit,
            now=micros(now),
            lease_until=micros(lease_until),
            max_recipients=max_recipients,
            reserved=reserved,
        )
        return claiming.claim(self._ledger, wish)

    async def mark_committing(self, lease: Lease, *, digest: str, now: datetime) -> bool:
        """Record that the final dot is next, under a lease that still runs."""
        found = ending.leased(self._ledger, lease)
        if found is None or (found[1].due_at or 0) <= micros(now):
            return False
        attempt = found[0].attempts[lease.attempt]
        if attempt.stage is not Stage.OPEN:
            return False
        attempt.stage, attempt.digest, attempt.committing_at = Stage.COMMITTING, digest, micros(now)
        return True

    async def settle(self, settlement: Settlement) -> bool:
        """Record an attempt's results and move its recipients."""
        return ending.settle(self._ledger, settlement)

    async def release(self, leases: Sequence[Lease], *, due_at: datetime | None = None) -> None:
        """Give leases back whose attempt never began; one that was committing becomes uncertain."""
        for lease in leases:
            ending.release(self._ledger, lease, due_at=micros_or_none(due_at))

    async def complete(self, lease: Lease, attachments: Sequence[Attachment]) -> bool:
        """Put fetched files into the message of a lease and give the lease back."""
        found = ending.leased(self._ledger, lease)
        if found is None:
            return False
        record = found[0]
        message = record.message
        if message.content.remote_files:
            for attachment in attachments:
                if not self._blobs.has(message.tenant, attachment.blob):
                    raise InvariantError(f"file {attachment.blob.sha256} was not committed")
            together = message.content.attachments + tuple(attachments)
            content = replace(message.content, attachments=together, remote_files=())
            record.message = replace(message, content=content)
        ending.release(self._ledger, lease)
        return True

    # ------------------------------------------------------------------ duties

    async def recover(self, *, now: datetime, wait: timedelta) -> Recovery:
        """Void every lease."""
        freed = uncertain = 0
        for record, number, group in self._ledger.groups():
            if group.lease is not None:
                one, some = ending.free(
                    self._ledger, record, number, now=micros(now), crashed=True, wait=wait
                )
                freed += one
                uncertain += some
        self._ledger.turns.clear()
        return Recovery(freed=freed, uncertain=uncertain)

    async def cancel(
        self, message_id: MessageId, *, tenant: TenantId, now: datetime
    ) -> Mapping[int, RecipientState]:
        """Cancel what waits of a message."""
        record = self._ledger.record(message_id, tenant)
        if record is None:
            return {}
        for number, group in list(record.groups.items()):
            if group.lease is None and group.state in groups.CANCELLABLE:
                ending.finish(self._ledger, record, number, RecipientState.CANCELLED, now=micros(now))
        return dict(enumerate(record.shown_states()))

    async def expire(self, *, now: datetime, limit: int) -> Sequence[MessageId]:
        """Expire what is past its end."""
        at = micros(now)
        found = [
            (record, number, group)
            for record, number, group in self._ledger.groups()
            if record.expires_at <= at
            and (group.state is not RecipientState.UNCERTAIN or group.due_at is not None)
            and (group.lease is None or (group.due_at or 0) <= at)
        ]
        touched: dict[MessageId, None] = {}
        for record, number, group in found[:limit]:
            if group.lease is not None:
                ending.free(self._ledger, record, number, now=at, crashed=False)
            if group.state in groups.CANCELLABLE:
                ending.finish(self._ledger, record, number, RecipientState.EXPIRED, now=at)
                touched[record.message.id] = None
            else:
                group.due_at = None
        return list(touched)

    async def reroute(self, *, known: Sequence[str], to: str) -> int:
        """Give the groups of unknown transports to ``to``."""
        moved = 0
        for record, _, group in self._ledger.groups():
            if group.lease is None and group.transport not in known and not is_guest_name(group.transport):
                group.transport = record.transport = to
                if group.state is RecipientState.UNCERTAIN:
                    group.due_at = None
                moved += 1
        return moved

    async def routes_waiting(self, transport: str) -> Sequence[str]:
        """Return the routes of what waits for a transport."""
        found = {
            group.route
            for _, _, group in self._ledger.groups()
            if group.transport == transport and group.due_at is not None
        }
        return sorted(found - {""})

    async def fail_over(
        self,
        transport: str,
        *,
        route: str,
        to: str,
        now: datetime,
        even_uncertain: Collection[MailClass] = (),
    ) -> int:
        """Give what waits to another leg."""
        moved, at = 0, micros(now)
        found = [
            (claiming.lane_of(record, group), group.due_at, record.seq, number)
            for record, number, group in self._ledger.groups()
            if (group.transport, group.route) == (transport, route)
            and group.due_at is not None
            and group.lease is None
            and (
                record.message.mail_class in even_uncertain
                or (group.state is not RecipientState.UNCERTAIN and group.digest is None)
            )
        ]
        for _, _, seq, number in sorted(found):
            record = self._ledger.records[seq]
            group = record.groups[number]
            self._ledger.note(
                EventKind.RECIPIENT_QUEUED,
                at=at,
                tenant=record.message.tenant,
                seq=seq,
                members=group.members,
                transport=transport,
                cause=groups.FAILOVER,
                data={"to": to},
            )
            group.transport = record.transport = to
            group.due_at = max(at, record.send_at)
            moved += len(group.members)
        return moved

    async def pause(self, pause: TransportPause) -> None:
        """Store a pause."""
        self._pauses.pause(pause)

    async def resume(self, transport: str, *, kind: PauseKind | None = None) -> None:
        """Remove pauses: of one kind, or of every kind but a person's."""
        self._pauses.resume(transport, kind)

    async def worked_until(self, transport: str) -> datetime | None:
        """Return when a server last took mail by a transport."""
        found = [
            result.at
            for record in self._ledger.records.values()
            for attempt in record.attempts.values()
            if attempt.transport == transport
            for result in attempt.results
            if result.verdict.outcome is OutcomeKind.ACCEPTED
        ]
        return found[-1] if found else None

    async def sent(self, transport: str, *, since: datetime) -> Sequence[tuple[datetime, int]]:
        """Return how many attempts began in each minute."""
        first = micros(since) // MINUTE
        return [
            (instant(minute * MINUTE), count)
            for (name, minute), count in sorted(self._ledger.sent.items())
            if name == transport and minute >= first and count > 0
        ]

    async def store_limit(self, limit: LearntLimit) -> None:
        """Store a learnt limit."""
        self._pauses.store_limit(limit)

    async def forget_limit(self, transport: str, window_s: int) -> None:
        """Remove a learnt limit."""
        self._pauses.forget_limit(transport, window_s)

    async def limits(self) -> Sequence[LearntLimit]:
        """Return every learnt limit."""
        return self._pauses.limits()

    async def purge(self, *, now: datetime, retention: Retention, limit: int) -> int:
        """Delete what is past its retention."""
        ledger = self._ledger
        contents = self._finished_before(micros(now - retention.content), limit, with_content=True)
        for record in contents:
            record.has_content = False
        events_before = micros(now - retention.events)
        messages = self._finished_before(events_before, limit, with_content=False)
        for record in messages:
            del ledger.records[record.seq]
            del ledger.seqs[record.message.id]
        gone = {record.seq for record in messages}
        ledger.events = [event for event in ledger.events if event.seq not in gone]
        old = {event.number for event in ledger.events[:limit] if event.at < events_before}
        ledger.events = [event for event in ledger.events if event.number not in old]
        others = ledger.purge_deliveries(limit)
        others += ledger.orders.purge(now=now, before=now - retention.events, limit=limit)
        for key in [key for key in ledger.sent if key[1] < (micros(now) - _SENT_KEPT) // MINUTE]:
            del ledger.sent[key]
        past = sorted((use[2], key) for key, use in self._uses.items() if use[2] <= micros(now))[:limit]
        for _, use_key in past:
            del self._uses[use_key]
        captures = self._purge_captures(now - retention.captures, limit)
        return len(contents) + len(messages) + len(old) + len(past) + captures + others

    def _finished_before(self, before: int, limit: int, *, with_content: bool) -> list[Record]:
        return [
            record
            for record in self._ledger.records.values()
            if not record.groups
            and record.last_change() < before
            and (record.has_content or not with_content)
        ][:limit]

    async def backup(self, target: Path) -> None:
        """Refuse: there is no database. Raises StoreError."""
        raise StoreError(f"a store in memory cannot be copied to {target}")

    # ------------------------------------------------------------------ looking

    async def waiting(self, transport: str) -> int:
        """Count what waits for a transport or is in its work."""
        return sum(group.transport == transport for _, _, group in self._ledger.groups())

    async def hurry(self, transport: str, *, now: datetime) -> None:
        """Let queued groups be due now."""
        at = micros(now)
        for record, _, group in self._ledger.groups():
            if (
                group.transport == transport
                and group.state is RecipientState.QUEUED
                and group.lease is None
                and (group.due_at or 0) > at
            ):
                group.due_at = max(at, record.send_at)

    async def next_due_at(self, transport: str) -> datetime | None:
        """Return when the next unleased group of a transport is due."""
        due = [
            group.due_at
            for _, _, group in self._ledger.groups()
            if group.transport == transport and group.lease is None and group.due_at is not None
        ]
        return instant_or_none(min(due, default=None))

    async def view(self, message_id: MessageId, *, tenant: TenantId) -> MessageView | None:
        """Return one message with its recipients and attempts."""
        record = self._ledger.record(message_id, tenant)
        return None if record is None else view_of(record)

    async def message(self, message_id: MessageId, *, tenant: TenantId) -> Message | None:
        """Return the stored message."""
        record = self._ledger.record(message_id, tenant)
        return record.message if record is not None and record.has_content else None

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return one page of messages, newest first."""
        end = self._ledger.last_seq + 1 if wanted.before is None else self._ledger.seqs.get(wanted.before, 0)
        found = [
            summary_of(record)
            for record in reversed(self._ledger.records.values())
            if record.seq < end and is_wanted(record, wanted)
        ]
        return found[: wanted.limit]

    async def counts(self) -> QueueCounts:
        """Count recipients by state."""
        by_state: Counter[RecipientState] = Counter()
        for record in self._ledger.records.values():
            by_state.update(record.shown_states())
        waiting = next((record for record in self._ledger.records.values() if record.groups), None)
        oldest = None if waiting is None else waiting.message.created_at
        return QueueCounts(by_state=by_state, oldest_open_at=oldest)

    async def has_sent_real_mail(self) -> bool:
        """Say whether an attempt over a real transport was ever recorded."""
        return self._ledger.has_sent_real_mail

    async def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        return self._pauses.pauses()
