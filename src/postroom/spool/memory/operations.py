"""The port ``Operations`` in memory: each verb looks at every message and is done at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from postroom.errors import InvariantError
from postroom.model.address import Address
from postroom.model.event import EventKind
from postroom.model.hold import Hold, HoldEnd, Suppression
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import FINAL_STATES, OPEN_STATES, RecipientState
from postroom.model.message import MailClass
from postroom.model.outcome import OutcomeKind
from postroom.model.selection import Changed, Resolution, Selection
from postroom.policy.matching import first_hold, folded, selects_message
from postroom.spool import choosing
from postroom.spool.choosing import MAY_BE_HELD, TAKES, Act, Fate, Order, Seen
from postroom.spool.codec import instant, micros
from postroom.spool.groups import CANCELLABLE, EVENT_OF
from postroom.spool.memory.ledger import MemoryLedger
from postroom.spool.memory.orders import MemoryOrders
from postroom.spool.memory.records import Group, Record
from postroom.spool.ordering import traits_of

Planned = tuple[list[tuple[Sequence[int], Fate]], int]
"""Who gets which fate, and how many are left."""


class MemoryOperations:
    """What an operator may do, and the standing orders."""

    def __init__(self, ledger: MemoryLedger, orders: MemoryOrders) -> None:
        """Take what is remembered of messages, and the orders that acceptance asks."""
        self._ledger = ledger
        self._orders = orders

    # ------------------------------------------------------------------ verbs on selections

    async def count(
        self, wanted: Selection, *, verb: str, confirm_duplicate: bool = False, now: datetime | None = None
    ) -> Changed:
        """Say what a verb would change."""
        order = choosing.order(Act(verb), wanted, confirm_duplicate=confirm_duplicate)
        nothing = choosing.cancelled(author="")
        plans = [self._plan(record, order, nothing, now) for record in self._meant(order)]
        return _sum(plans)

    async def retry(
        self, wanted: Selection, *, at: datetime, now: datetime, author: str, confirm_duplicate: bool = False
    ) -> Changed:
        """Queue recipients once more, due ``at``."""
        order = choosing.order(Act.RETRY, wanted, confirm_duplicate=confirm_duplicate)
        return self._carry_out(order, choosing.retried(due_at=micros(max(at, now)), author=author), now)

    async def cancel_all(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Cancel queued, deferred and held recipients."""
        return self._carry_out(choosing.order(Act.CANCEL, wanted), choosing.cancelled(author=author), now)

    async def resolve(
        self, wanted: Selection, *, resolution: Resolution, note: str, author: str, now: datetime
    ) -> Changed:
        """Do with uncertain recipients what a person says."""
        fate = choosing.resolved(resolution, now=micros(now), note=note, author=author)
        return self._carry_out(choosing.order(Act.RESOLVE, wanted, queues=not fate.is_final), fate, now)

    async def release(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Queue held recipients, due now or when their message is scheduled."""
        fate = choosing.released(now=micros(now), author=author)
        return self._carry_out(choosing.order(Act.RELEASE, wanted), fate, now)

    async def reschedule(
        self,
        message_id: MessageId,
        *,
        tenant: TenantId,
        send_at: datetime | None,
        expires_at: datetime | None,
        now: datetime,
        author: str,
    ) -> bool:
        """Give a message new times that nothing has claimed yet."""
        record = self._ledger.record(message_id, tenant)
        if record is None or record.attempts or not OPEN_STATES & set(record.states):
            return False
        ends_at = expires_at or record.message.expires_at
        if send_at is not None and ends_at <= send_at:
            ends_at = send_at + self._ledger.settings.lifetimes[record.message.mail_class]
        data = {"author": author, "expires_at": ends_at.isoformat()}
        record.message = replace(record.message, expires_at=ends_at)
        if send_at is not None:
            record.message = replace(record.message, send_at=send_at)
            record.send_at = micros(send_at)
            data["send_at"] = send_at.isoformat()
            for group in record.groups.values():
                if group.state is RecipientState.QUEUED:
                    group.due_at = micros(send_at)
        self._tell(record, EventKind.MESSAGE_RESCHEDULED, (), now=micros(now), data=data)
        return True

    # ------------------------------------------------------------------ holds

    async def add_hold(self, hold: Hold) -> Changed:
        """Store a standing hold and hold what waits. Raises InvariantError when the id is taken."""
        if hold.id in self._orders.holds:
            raise InvariantError(f"hold {hold.id} is stored already")
        self._orders.holds[hold.id] = hold
        fate = choosing.held(hold)

        def plan(record: Record) -> Planned:
            traits = traits_of(record.message, record.transport)
            meant = [
                seen
                for seen in _recipients(record)
                if seen.state in MAY_BE_HELD
                and first_hold((hold,), traits, seen.address, now=hold.created_at) is not None
            ]
            taken = [seen.number for seen in meant if not seen.is_leased]
            return [(taken, fate)], len(meant) - len(taken)

        return self._change(self._ledger.records.values(), plan, hold.created_at)

    async def end_hold(self, hold_id: str, *, tenant: TenantId, now: datetime, author: str) -> Changed | None:
        """End a hold and release what it keeps."""
        hold = self._orders.holds.get(hold_id)
        if hold is None or hold.tenant != tenant or hold.ended_at is not None:
            return None
        return self._end(hold, HoldEnd.RELEASE, now=now, author=author)

    async def end_due_holds(self, *, now: datetime) -> int:
        """End holds past their end."""
        due = [hold for hold in self._orders.standing() if hold.until is not None and hold.until <= now]
        for hold in due:
            self._end(hold, hold.then, now=now, author="")
        return len(due)

    def _end(self, hold: Hold, end: HoldEnd, *, now: datetime, author: str) -> Changed:
        others = [other for other in self._orders.standing() if other.id != hold.id]
        self._orders.holds[hold.id] = replace(hold, ended_at=now, ended_by=author)
        free = choosing.released(now=micros(now), author=author, hold=hold.id)

        def plan(record: Record) -> Planned:
            traits = traits_of(record.message, record.transport)
            fates: dict[str, tuple[list[int], Fate]] = {}
            for seen in _recipients(record):
                if seen.number not in _kept(record, hold):
                    continue
                key, fate = "", choosing.expired(hold.id)
                if end is HoldEnd.RELEASE:
                    other = first_hold(others, traits, seen.address, now=now)
                    key, fate = ("", free) if other is None else (other.id, choosing.held(other))
                fates.setdefault(key, ([], fate))[0].append(seen.number)
            return list(fates.values()), 0

        return self._change(self._ledger.records.values(), plan, now)

    async def holds(self, tenant: TenantId, *, is_open: bool = True) -> Sequence[Hold]:
        """Return the holds that stand, or those that ended, newest first."""
        found = [
            replace(hold, held=sum(len(_kept(record, hold)) for record in self._ledger.records.values()))
            for hold in self._orders.holds.values()
            if hold.tenant == tenant and (hold.ended_at is None) == is_open
        ]
        return sorted(found, key=lambda hold: (hold.created_at, hold.id), reverse=True)

    # ------------------------------------------------------------------ suppressions

    async def suppress(self, suppressions: Sequence[Suppression], *, now: datetime) -> int:
        """Store suppressions and apply those that a person gave to what waits."""
        for one in suppressions:
            stored = replace(one, address=folded(one.address))
            self._orders.suppressions[stored.tenant, stored.address, stored.mail_class] = stored
            data = {"address": stored.address, "scope": stored.mail_class or "all"}
            data |= {"author": stored.author} if stored.author else {}
            data |= {"note": stored.note} if stored.note else {}
            data |= {"until": stored.until.isoformat()} if stored.until is not None else {}
            caused_by = stored.message_id and self._ledger.record(stored.message_id, stored.tenant)
            self._ledger.note(
                EventKind.SUPPRESSION_ADDED,
                at=micros(stored.created_at),
                tenant=stored.tenant,
                seq=caused_by.seq if caused_by else None,
                cause=stored.reason,
                data=data,
            )
        if given := {folded(one.address) for one in suppressions if one.message_id is None}:
            self._apply(given, now)
        return len(suppressions)

    def _apply(self, given: set[str], now: datetime) -> None:
        def plan(record: Record) -> Planned:
            message = record.message
            waiting = [
                seen.number
                for seen in _recipients(record)
                if seen.state in CANCELLABLE and not seen.is_leased
            ]
            stopped = self._orders.stopped(message, waiting, now=now)
            return [(order.members, choosing.suppressed(order.cause)) for order in stopped], 0

        def is_named(record: Record) -> bool:
            return any(
                folded(address.spec) in given or f"@{address.domain}" in given
                for address in record.message.envelope.recipients
            )

        self._change(filter(is_named, self._ledger.records.values()), plan, now)

    async def unsuppress(
        self,
        address: str,
        *,
        tenant: TenantId,
        mail_class: MailClass | None,
        note: str,
        author: str,
        now: datetime,
    ) -> bool:
        """Remove a suppression, the note in its event."""
        key = (tenant, folded(address), mail_class)
        if self._orders.suppressions.pop(key, None) is None:
            return False
        data = {"address": key[1], "scope": mail_class or "all", "author": author, "note": note}
        self._ledger.note(EventKind.SUPPRESSION_REMOVED, at=micros(now), tenant=tenant, data=data)
        return True

    async def suppressions(
        self, tenant: TenantId, *, after: str = "", limit: int = 100, address: str | None = None
    ) -> Sequence[Suppression]:
        """Return suppressions in order of address; every scope of the last address is on its page."""
        found = sorted(
            (one for one in self._orders.suppressions.values() if one.tenant == tenant),
            key=lambda one: (one.address.encode(), one.mail_class or ""),
        )
        if address is not None:
            return [one for one in found if one.address == folded(address)]
        page = [one for one in found if one.address.encode() > after.encode()]
        last = page[limit - 1].address if len(page) >= limit else None
        return [one for number, one in enumerate(page) if number < limit or one.address == last]

    async def suppressed(
        self, addresses: Sequence[Address], *, tenant: TenantId, mail_class: MailClass, now: datetime
    ) -> Mapping[Address, Suppression]:
        """Return which of these addresses mail of this class would not go to, and why."""
        found = (
            (address, self._orders.suppression(tenant, mail_class, address, now=now)) for address in addresses
        )
        return {address: stop for address, stop in found if stop is not None}

    # ------------------------------------------------------------------ message by message

    def _meant(self, order: Order) -> Iterator[Record]:
        wanted = order.wanted
        states = TAKES[order.verb] if wanted.state is None else TAKES[order.verb] & {wanted.state}
        for record in list(self._ledger.records.values()):
            if wanted.message_id is None and not states & set(record.states):
                continue
            is_named = wanted.message_id in (None, record.message.id)
            if is_named and selects_message(wanted, traits_of(record.message, record.transport)):
                yield record

    def _plan(self, record: Record, order: Order, fate: Fate, now: datetime | None) -> Planned:
        message = record.message

        def is_suppressed(seen: Seen) -> bool:
            address = message.envelope.recipients[seen.number]
            stop = self._orders.suppression(message.tenant, message.mail_class, address, now=now)
            return stop is not None

        taken, left = choosing.choose(
            order, _recipients(record), has_content=record.has_content, is_suppressed=is_suppressed
        )
        return [(taken, fate)], left

    def _carry_out(self, order: Order, fate: Fate, now: datetime) -> Changed:
        def plan(record: Record) -> Planned:
            return self._plan(record, order, fate, now)

        return self._change(self._meant(order), plan, now)

    def _change(self, records: Iterable[Record], plan: Callable[[Record], Planned], now: datetime) -> Changed:
        plans = []
        for record in list(records):
            planned = plan(record)
            plans.append(planned)
            for numbers, fate in planned[0]:
                if numbers:
                    self._give(record, tuple(numbers), fate, micros(now))
        return _sum(plans)

    def _give(self, record: Record, numbers: tuple[int, ...], fate: Fate, now: int) -> None:
        """Give unleased recipients of a message their fate."""
        due_at = fate.due_at
        if due_at is not None and fate.keeps_schedule:
            due_at = max(due_at, record.send_at)
        if fate.renews and due_at is not None and record.expires_at <= due_at:
            lifetime: timedelta = self._ledger.settings.lifetimes[record.message.mail_class]
            record.message = replace(record.message, expires_at=instant(due_at) + lifetime)
        parts = [*_taken_out(record, numbers), *_restored(record, numbers)]
        if not fate.is_final:
            _wait(record, parts, fate, due_at)
        for number in numbers:
            record.move(number, fate.state, fate.cause)
        self._tell(record, fate.event, numbers, now=now, cause=fate.why, data=fate.data)

    def _tell(
        self,
        record: Record,
        kind: EventKind,
        numbers: tuple[int, ...],
        *,
        now: int,
        cause: str = "",
        data: Mapping[str, str],
    ) -> None:
        record.changed_at = max(record.changed_at, now)
        self._ledger.note(
            kind,
            at=now,
            tenant=record.message.tenant,
            seq=record.seq,
            members=numbers,
            transport=record.transport,
            cause=cause,
            data=data,
        )


def _sum(plans: Iterable[Planned]) -> Changed:
    recipients = messages = left = 0
    for changes, some_left in plans:
        size = sum(len(numbers) for numbers, _ in changes)
        recipients += size
        messages += bool(size)
        left += some_left
    return Changed(recipients=recipients, messages=messages, left=left)


def _recipients(record: Record) -> list[Seen]:
    leased = {
        member for group in record.groups.values() if group.lease is not None for member in group.members
    }
    return [
        Seen(number, address.spec, record.states[number], number in leased)
        for number, address in enumerate(record.message.envelope.recipients)
    ]


def _kept(record: Record, hold: Hold) -> set[int]:
    return {member for group in record.groups.values() if group.hold == hold.id for member in group.members}


def _taken_out(record: Record, numbers: Sequence[int]) -> list[Group]:
    """Take recipients out of their groups; the others of a group go on as they were."""
    parts = []
    for number, group in list(record.groups.items()):
        taken = tuple(member for member in group.members if member in numbers)
        if not taken:
            continue
        parts.append(replace(group, members=taken))
        group.members = tuple(member for member in group.members if member not in numbers)
        if not group.members:
            del record.groups[number]
    return parts


def _restored(record: Record, numbers: Sequence[int]) -> list[Group]:
    """Say how recipients wait that were final: what was handed over once stays as it was."""
    parts = []
    for number in numbers:
        if record.states[number] not in FINAL_STATES:
            continue
        part = Group(
            transport=record.transport,
            route=record.route,
            state=RecipientState.QUEUED,
            due_at=None,
            members=(number,),
        )
        for _, attempt in sorted(record.attempts.items()):
            if attempt.digest is not None and number in attempt.members:
                part.transport, part.digest = attempt.transport, attempt.digest
            if any(
                result.recipient == number and result.verdict.outcome is OutcomeKind.UNCERTAIN
                for result in attempt.results
            ):
                part.maybe_duplicate = True
        parts.append(part)
    return parts


def _wait(record: Record, parts: Iterable[Group], fate: Fate, due_at: int | None) -> None:
    """Put recipients into new groups; what becomes queued begins its schedule anew."""
    waiting: list[Group] = []
    for part in parts:
        part.state, part.due_at, part.hold = fate.state, due_at, fate.hold
        if fate.state is RecipientState.QUEUED:
            part.tries = 0
        same = next((other for other in waiting if replace(other, members=part.members) == part), None)
        if same is None:
            waiting.append(part)
        else:
            same.members = tuple(sorted((*same.members, *part.members)))
    for part in waiting:
        record.groups[record.next_group()] = part


def without_suppressed(ledger: MemoryLedger, record: Record, number: int, *, now: int) -> bool:
    """Take out of a due group whoever is suppressed by now; ``False`` when nobody is left."""
    group = record.groups[number]
    if group.state is RecipientState.UNCERTAIN:
        return True
    for order in ledger.orders.stopped(record.message, group.members, now=instant(now)):
        for member in order.members:
            record.move(member, order.state, order.cause)
        group.members = tuple(member for member in group.members if member not in order.members)
        record.changed_at = max(record.changed_at, now)
        ledger.note(
            EVENT_OF[order.state],
            at=now,
            tenant=record.message.tenant,
            seq=record.seq,
            members=order.members,
            transport=group.transport,
            cause=order.cause,
        )
    if not group.members:
        del record.groups[number]
    return bool(group.members)
