"""The port ``Spool`` in memory.

The same answers as the stores on disk, in plain Python; every method is done without waiting, so each is
one transaction. ``crash`` is what a kill leaves: everything, with the leases still held.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from postroom.errors import InvariantError, StoreError
from postroom.model.attempt import Claimed, Lease, Settlement, Stage
from postroom.model.ids import AttemptId, LeaseToken, MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message, UncertainPolicy
from postroom.model.outcome import (
    Action,
    Evidence,
    Fault,
    FaultKind,
    OutcomeKind,
    RecipientResult,
    Verdict,
)
from postroom.model.step import Step
from postroom.model.transport import TransportKind
from postroom.model.view import MessageFilter, MessageSummary, MessageView, QueueCounts, TransportPause
from postroom.ports import IdempotencyClaim, KeyReused, Recovery, Replayed, Retention, Stored
from postroom.spool import groups
from postroom.spool.codec import instant, instant_or_none, micros
from postroom.spool.memory.inbox import MemoryBlobs
from postroom.spool.memory.records import Attempt, Group, Record, is_wanted, summary_of, view_of
from postroom.spool.settings import SpoolSettings

_MICRO = timedelta(microseconds=1)


class MemorySpool:
    """Messages and their queue."""

    def __init__(
        self, settings: SpoolSettings, blobs: MemoryBlobs, purge_captures: Callable[[datetime, int], int]
    ) -> None:
        """Start empty."""
        self._settings = settings
        self._blobs = blobs
        self._purge_captures = purge_captures
        self._records: dict[int, Record] = {}
        self._seqs: dict[MessageId, int] = {}
        self._uses: dict[tuple[TenantId, str], tuple[MessageId, dict[str, str], int]] = {}
        self._pauses: dict[str, TransportPause] = {}
        self._last_seq = 0
        self._last_attempt = 0
        self._real_mail = False

    # ------------------------------------------------------------------ the way of a message

    async def accept(
        self, message: Message, *, transport: str, idempotency: IdempotencyClaim | None = None
    ) -> Stored | Replayed | KeyReused:
        """Store a message and queue its recipients."""
        if idempotency is not None and (earlier := self._earlier(message, idempotency)) is not None:
            return earlier
        for attachment in message.content.attachments:
            if not self._blobs.has(message.tenant, attachment.blob):
                raise InvariantError(f"attachment {attachment.blob.sha256} was not committed")
        if message.id in self._seqs:
            raise InvariantError(f"accept failed: message {message.id} is stored already")
        self._last_seq += 1
        recipients = len(message.envelope.recipients)
        record = Record(
            seq=self._last_seq,
            message=message,
            transport=transport,
            states=[RecipientState.QUEUED] * recipients,
            causes=[""] * recipients,
            changed_at=micros(message.created_at),
        )
        record.groups[0] = Group(
            transport=transport,
            state=RecipientState.QUEUED,
            due_at=micros(message.send_at),
            members=tuple(range(recipients)),
        )
        self._records[record.seq] = record
        self._seqs[message.id] = record.seq
        if idempotency is not None:
            use = (message.id, dict(idempotency.fields), micros(idempotency.keep_until))
            self._uses[message.tenant, idempotency.key] = use
        return Stored(message_id=message.id)

    def _earlier(self, message: Message, claim: IdempotencyClaim) -> Replayed | KeyReused | None:
        use = self._uses.get((message.tenant, claim.key))
        if use is None or use[2] <= micros(message.created_at):
            return None
        return groups.replay_or_reuse(use[0], use[1], claim)

    async def claim(
        self, *, transport: str, limit: int, now: datetime, lease_until: datetime, max_recipients: int
    ) -> Sequence[Claimed]:
        """Lease due groups and write their attempts."""
        at = micros(now)
        due = self._due(transport, at)[:limit]
        while lapsed := [(record, number) for record, number, group in due if group.lease is not None]:
            for record, number in lapsed:
                self._free(record, number, now=at, crashed=False)
            due = self._due(transport, at)[:limit]
        return [
            self._lease(record, number, now=at, until=micros(lease_until), max_recipients=max_recipients)
            for record, number, _ in due
        ]

    def _due(self, transport: str, at: int) -> list[tuple[Record, int, Group]]:
        found = [
            (groups.PRIORITIES[record.message.mail_class], group.due_at, record.seq, number)
            for record in self._records.values()
            for number, group in record.groups.items()
            if group.transport == transport
            and group.due_at is not None
            and group.due_at <= at < record.expires_at
        ]
        return [
            (self._records[seq], number, self._records[seq].groups[number])
            for _, _, seq, number in sorted(found)
        ]

    def _lease(self, record: Record, number: int, *, now: int, until: int, max_recipients: int) -> Claimed:
        group = record.groups[number]
        if len(group.members) > max_recipients:
            rest = _copy(group, members=group.members[max_recipients:])
            record.groups[record.next_group()] = rest
            group.members = group.members[:max_recipients]
        self._last_attempt += 1
        group.lease, group.due_at = self._last_attempt, until
        record.attempts[group.lease] = Attempt(
            transport=group.transport, members=group.members, opened_at=now
        )
        self._real_mail = self._real_mail or group.transport != TransportKind.CAPTURE
        return Claimed(
            lease=Lease(
                message_id=record.message.id,
                group=number,
                attempt=AttemptId(group.lease),
                token=LeaseToken(record.seq),
            ),
            message=record.message,
            recipients=group.members,
            tries=group.tries,
            digest=group.digest,
            maybe_duplicate=group.maybe_duplicate,
        )

    def _leased(self, lease: Lease) -> tuple[Record, Group] | None:
        record = self._records.get(lease.token)
        group = record.groups.get(lease.group) if record is not None else None
        if record is None or group is None or group.lease != lease.attempt:
            return None
        return record, group

    async def mark_committing(self, lease: Lease, *, digest: str, now: datetime) -> bool:
        """Record that the final dot is next, under a lease that still runs."""
        found = self._leased(lease)
        if found is None or (found[1].due_at or 0) <= micros(now):
            return False
        attempt = found[0].attempts[lease.attempt]
        if attempt.stage is not Stage.OPEN:
            return False
        attempt.stage, attempt.digest, attempt.committing_at = Stage.COMMITTING, digest, micros(now)
        return True

    async def settle(self, settlement: Settlement) -> bool:
        """Record an attempt's results and move its recipients."""
        found = self._leased(settlement.lease)
        if found is None:
            return False
        record, group = found
        at = micros(settlement.settled_at)
        fate = groups.settled(group.members, group.state, settlement.moves, settled_at=at)
        if any(result.recipient not in group.members for result in settlement.results):
            raise InvariantError("a result names a recipient that is not of the lease")
        attempt = record.attempts[settlement.lease.attempt]
        digest = attempt.digest if attempt.stage is Stage.COMMITTING else group.digest
        attempt.stage, attempt.settled_at, attempt.results = Stage.SETTLED, at, settlement.results
        for member, state, cause in fate.changes:
            record.move(member, state, cause)
        del record.groups[settlement.lease.group]
        for waiting in fate.waiting:
            record.groups[record.next_group()] = Group(
                transport=group.transport,
                state=waiting.state,
                due_at=waiting.due_at,
                members=waiting.members,
                tries=group.tries + settlement.counts,
                crashes=group.crashes,
                digest=digest,
                maybe_duplicate=group.maybe_duplicate or waiting.state is RecipientState.UNCERTAIN,
            )
        return True

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back whose attempt never began; one that was committing becomes uncertain."""
        for lease in leases:
            if (found := self._leased(lease)) is None:
                continue
            record, group = found
            attempt = record.attempts[lease.attempt]
            if attempt.stage is Stage.OPEN:
                del record.attempts[lease.attempt]
                group.lease, group.due_at = None, attempt.opened_at
            else:
                at = attempt.committing_at or attempt.opened_at
                self._free(record, lease.group, now=at, crashed=False)

    # ------------------------------------------------------------------ duties

    def _free(
        self, record: Record, number: int, *, now: int, crashed: bool, wait: timedelta | None = None
    ) -> tuple[int, int]:
        group = record.groups[number]
        attempt = record.attempts[group.lease or 0]
        group.crashes += crashed
        limit = self._settings.max_crashes
        is_poisonous = limit is not None and group.crashes >= limit
        record.changed_at = max(record.changed_at, now)
        group.lease = None
        was, attempt.stage, attempt.settled_at = attempt.stage, Stage.SETTLED, now
        if was is Stage.OPEN:
            group.due_at = now
            if is_poisonous:
                self._hold(record, group, groups.CRASH_LOOP)
            return 1, 0
        dot_at = now if attempt.committing_at is None else attempt.committing_at
        after_wait = dot_at + (wait or self._settings.uncertain_wait) // _MICRO
        due = {UncertainPolicy.RETRY: now, UncertainPolicy.WAIT: after_wait, UncertainPolicy.ASK: None}
        group.due_at = None if is_poisonous else due[record.message.uncertain_policy]
        group.state, group.digest = RecipientState.UNCERTAIN, attempt.digest
        group.tries, group.maybe_duplicate = group.tries + 1, True
        text = groups.PROCESS_ENDED if crashed else groups.LEASE_ENDED
        attempt.results = tuple(_lost(member, text, now) for member in group.members)
        for member in group.members:
            record.move(member, RecipientState.UNCERTAIN, groups.CONNECTION_LOST_AFTER_BODY)
        return 0, len(group.members)

    def _hold(self, record: Record, group: Group, cause: str) -> None:
        if group.state is not RecipientState.UNCERTAIN:
            group.state = RecipientState.HELD
        group.due_at = None
        for member in group.members:
            record.move(member, group.state, cause)

    async def recover(self, *, now: datetime, wait: timedelta) -> Recovery:
        """Void every lease."""
        freed = uncertain = 0
        for record in self._records.values():
            for number, group in list(record.groups.items()):
                if group.lease is not None:
                    one, some = self._free(record, number, now=micros(now), crashed=True, wait=wait)
                    freed += one
                    uncertain += some
        return Recovery(freed=freed, uncertain=uncertain)

    async def cancel(
        self, message_id: MessageId, *, tenant: TenantId, now: datetime
    ) -> Mapping[int, RecipientState]:
        """Cancel what waits of a message."""
        record = self._record(message_id, tenant)
        if record is None:
            return {}
        for number, group in list(record.groups.items()):
            if group.lease is None and group.state in groups.CANCELLABLE:
                self._finish(record, number, RecipientState.CANCELLED, micros(now))
        return dict(enumerate(record.shown_states()))

    def _finish(self, record: Record, number: int, state: RecipientState, at: int) -> None:
        for member in record.groups.pop(number).members:
            record.move(member, state)
        record.changed_at = max(record.changed_at, at)

    async def expire(self, *, now: datetime, limit: int) -> Sequence[MessageId]:
        """Expire what is past its end."""
        at = micros(now)
        found = [
            (record, number)
            for record in self._records.values()
            if record.expires_at <= at
            for number, group in record.groups.items()
            if (group.state is not RecipientState.UNCERTAIN or group.due_at is not None)
            and (group.lease is None or (group.due_at or 0) <= at)
        ]
        touched: dict[MessageId, None] = {}
        for record, number in found[:limit]:
            group = record.groups[number]
            if group.lease is not None:
                self._free(record, number, now=at, crashed=False)
            if group.state in groups.CANCELLABLE:
                self._finish(record, number, RecipientState.EXPIRED, at)
                touched[record.message.id] = None
            else:
                group.due_at = None
        return list(touched)

    async def reroute(self, *, known: Sequence[str], to: str) -> int:
        """Give the groups of unknown transports to ``to``."""
        moved = 0
        for record in self._records.values():
            for group in record.groups.values():
                if group.lease is None and group.transport not in known:
                    group.transport = record.transport = to
                    moved += 1
        return moved

    async def pause(self, pause: TransportPause) -> None:
        """Store a pause."""
        self._pauses[pause.transport] = pause

    async def resume(self, transport: str) -> None:
        """Remove a pause."""
        self._pauses.pop(transport, None)

    async def purge(self, *, now: datetime, retention: Retention, limit: int) -> int:
        """Delete what is past its retention."""
        contents = self._finished_before(micros(now - retention.content), limit, with_content=True)
        for record in contents:
            record.has_content = False
        messages = self._finished_before(micros(now - retention.events), limit, with_content=False)
        for record in messages:
            del self._records[record.seq]
            del self._seqs[record.message.id]
        past = [key for key, use in self._uses.items() if use[2] <= micros(now)][:limit]
        for key in past:
            del self._uses[key]
        captures = self._purge_captures(now - retention.captures, limit)
        return len(contents) + len(messages) + len(past) + captures

    def _finished_before(self, before: int, limit: int, *, with_content: bool) -> list[Record]:
        return [
            record
            for record in self._records.values()
            if not record.groups
            and record.last_change() < before
            and (record.has_content or not with_content)
        ][:limit]

    async def backup(self, target: Path) -> None:
        """Refuse: there is no database. Raises StoreError."""
        raise StoreError(f"a store in memory cannot be copied to {target}")

    # ------------------------------------------------------------------ looking

    def _record(self, message_id: MessageId, tenant: TenantId) -> Record | None:
        record = self._records.get(self._seqs.get(message_id, 0))
        return record if record is not None and record.message.tenant == tenant else None

    async def next_due_at(self, transport: str) -> datetime | None:
        """Return when the next unleased group of a transport is due."""
        due = [
            group.due_at
            for record in self._records.values()
            for group in record.groups.values()
            if group.transport == transport and group.lease is None and group.due_at is not None
        ]
        return instant_or_none(min(due, default=None))

    async def view(self, message_id: MessageId, *, tenant: TenantId) -> MessageView | None:
        """Return one message with its recipients and attempts."""
        record = self._record(message_id, tenant)
        return None if record is None else view_of(record)

    async def message(self, message_id: MessageId, *, tenant: TenantId) -> Message | None:
        """Return the stored message."""
        record = self._record(message_id, tenant)
        return record.message if record is not None and record.has_content else None

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return one page of messages, newest first."""
        end = self._last_seq + 1 if wanted.before is None else self._seqs.get(wanted.before, 0)
        found = [
            summary_of(record)
            for record in reversed(self._records.values())
            if record.seq < end and is_wanted(record, wanted)
        ]
        return found[: wanted.limit]

    async def counts(self) -> QueueCounts:
        """Count recipients by state."""
        by_state: Counter[RecipientState] = Counter()
        for record in self._records.values():
            by_state.update(record.shown_states())
        waiting = next((record for record in self._records.values() if record.groups), None)
        oldest = None if waiting is None else waiting.message.created_at
        return QueueCounts(by_state=by_state, oldest_open_at=oldest)

    async def has_sent_real_mail(self) -> bool:
        """Say whether an attempt over a real transport was ever recorded."""
        return self._real_mail

    async def pauses(self) -> Sequence[TransportPause]:
        """Return every stored pause."""
        return [self._pauses[name] for name in sorted(self._pauses)]


def _copy(group: Group, *, members: tuple[int, ...]) -> Group:
    return Group(
        transport=group.transport,
        state=group.state,
        due_at=group.due_at,
        members=members,
        tries=group.tries,
        crashes=group.crashes,
        digest=group.digest,
        maybe_duplicate=group.maybe_duplicate,
    )


def _lost(member: int, text: str, at: int) -> RecipientResult:
    return RecipientResult(
        recipient=member,
        evidence=Evidence(step=Step.BODY_END, fault=Fault(kind=FaultKind.LOCAL, text=text)),
        verdict=Verdict(
            outcome=OutcomeKind.UNCERTAIN,
            action=Action.UNCERTAIN,
            cause=groups.CONNECTION_LOST_AFTER_BODY,
        ),
        duration_ms=0,
        at=instant(at),
    )
