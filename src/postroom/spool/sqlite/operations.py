"""The port ``Operations`` on SQLite: readers look for what is meant, the writer changes it in chunks."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

import apsw

from postroom.model.address import Address
from postroom.model.hold import Hold, Suppression
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import MailClass
from postroom.model.selection import Changed, Resolution, Selection
from postroom.policy.matching import folded
from postroom.spool import choosing
from postroom.spool.choosing import Act, Fate, Order
from postroom.spool.codec import micros, micros_or_none
from postroom.spool.groups import members_of
from postroom.spool.sqlite import operations_plans as plans
from postroom.spool.sqlite import operations_verbs as verbs
from postroom.spool.sqlite.operations_plans import Found, Job, Plan
from postroom.spool.sqlite.orders import hold_of, open_holds, suppression_from, suppression_of
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer

STORED_AT_ONCE = 500
"""Suppressions stored in one transaction."""
_SCOPES = len(MailClass) + 1
"""Suppressions one address can have."""

_CARRY_OUT = Verb(name="carry out an order", rank=Rank.DUTY, apply=plans.carry_out)
_ADD_HOLD = Verb(name="add a hold", rank=Rank.DUTY, apply=verbs.add_hold)
_END_HOLD = Verb(name="end a hold", rank=Rank.DUTY, apply=verbs.end_hold)
_SUPPRESS = Verb(name="suppress", rank=Rank.DUTY, apply=verbs.suppress)
_UNSUPPRESS = Verb(name="remove a suppression", rank=Rank.DUTY, apply=verbs.unsuppress)
_RESCHEDULE = Verb(name="reschedule", rank=Rank.DUTY, apply=verbs.reschedule)

_NOTHING = Changed(recipients=0, messages=0)


class Walk(Protocol):
    """Looks for what a plan would change, page by page."""

    def __call__(self, db: apsw.Connection, *, after: int, end: int) -> Found:
        """Return the page behind a message, up to another one."""
        ...


class SqliteOperations:
    """What an operator may do, and the standing orders."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Take the store's writer and reader."""
        self._writer = writer
        self._reader = reader

    # ------------------------------------------------------------------ verbs on selections

    async def count(
        self, wanted: Selection, *, verb: str, confirm_duplicate: bool = False, now: datetime | None = None
    ) -> Changed:
        """Say what a verb would change; without ``now`` a suppression that has an end counts as standing."""
        order = choosing.order(Act(verb), wanted, confirm_duplicate=confirm_duplicate)
        plan = plans.by_person(order, choosing.cancelled(author=""), now=0 if now is None else micros(now))
        changed = _NOTHING
        async for found in self._pages(partial(plans.walk, order=order, plan=plan)):
            recipients = sum(size for _, size in found.messages)
            left = found.left + found.left_beside
            changed = _sum(changed, Changed(recipients=recipients, messages=len(found.messages), left=left))
        return changed

    async def retry(
        self, wanted: Selection, *, at: datetime, now: datetime, author: str, confirm_duplicate: bool = False
    ) -> Changed:
        """Queue recipients once more, due ``at``."""
        order = choosing.order(Act.RETRY, wanted, confirm_duplicate=confirm_duplicate)
        fate = choosing.retried(due_at=micros(max(at, now)), author=author)
        return await self._by_person(order, fate, now)

    async def cancel_all(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Cancel queued, deferred and held recipients."""
        return await self._by_person(
            choosing.order(Act.CANCEL, wanted), choosing.cancelled(author=author), now
        )

    async def resolve(
        self, wanted: Selection, *, resolution: Resolution, note: str, author: str, now: datetime
    ) -> Changed:
        """Do with uncertain recipients what a person says."""
        fate = choosing.resolved(resolution, now=micros(now), note=note, author=author)
        order = choosing.order(Act.RESOLVE, wanted, queues=not fate.is_final)
        return await self._by_person(order, fate, now)

    async def release(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Queue held recipients, due now or when their message is scheduled."""
        fate = choosing.released(now=micros(now), author=author)
        return await self._by_person(choosing.order(Act.RELEASE, wanted), fate, now)

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
        wish = verbs.Retiming(
            message_id=message_id,
            tenant=tenant,
            send_at=micros_or_none(send_at),
            expires_at=micros_or_none(expires_at),
            now=micros(now),
            author=author,
        )
        is_done: bool = await self._writer.submit(_RESCHEDULE, wish)
        return is_done

    # ------------------------------------------------------------------ holds

    async def add_hold(self, hold: Hold) -> Changed:
        """Store a standing hold, then hold what waits and matches, in chunks."""
        await self._writer.submit(_ADD_HOLD, hold)
        return await self._waiting(plans.by_hold(hold), hold.created_at)

    async def end_hold(self, hold_id: str, *, tenant: TenantId, now: datetime, author: str) -> Changed | None:
        """Release what a hold keeps, in chunks; with the last one the hold has ended."""
        end = verbs.EndOfHold(hold_id=hold_id, tenant=tenant, now=micros(now), author=author)
        return await self._end(end)

    async def end_due_holds(self, *, now: datetime) -> int:
        """End holds past their end."""
        standing = await self._reader.read(open_holds)
        due = [hold for hold in standing if hold.until is not None and hold.until <= now]
        for hold in due:
            end = verbs.EndOfHold(hold_id=hold.id, tenant=None, now=micros(now), author="")
            await self._end(end)
        return len(due)

    async def _end(self, end: verbs.EndOfHold) -> Changed | None:
        changed, is_ended = _NOTHING, False
        while not is_ended:
            answer: tuple[Changed, bool] | None = await self._writer.submit(_END_HOLD, end)
            if answer is None:
                return None
            some, is_ended = answer
            changed = _sum(changed, some)
        return changed

    async def holds(self, tenant: TenantId, *, is_open: bool = True) -> Sequence[Hold]:
        """Return the holds that stand, or those that ended, newest first."""
        return await self._reader.read(lambda db: _holds(db, tenant, is_open=is_open))

    # ------------------------------------------------------------------ suppressions

    async def suppress(self, suppressions: Sequence[Suppression], *, now: datetime) -> int:
        """Store suppressions and apply them to what waits; return how many were stored.

        What waits is looked through for those that a person gave; the automatic ones, with a message that
        caused them, may be many while much waits: a claim applies them when it comes to their recipients.
        """
        for start in range(0, len(suppressions), STORED_AT_ONCE):
            await self._writer.submit(_SUPPRESS, tuple(suppressions[start : start + STORED_AT_ONCE]))
        given = {folded(one.address) for one in suppressions if one.message_id is None}
        if given:
            plan = plans.by_suppression(now=micros(now))
            await self._waiting(plan, now, addresses=json.dumps(sorted(given)))
        return len(suppressions)

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
        removal = verbs.Removal(
            tenant=tenant, address=address, mail_class=mail_class, note=note, author=author, now=micros(now)
        )
        is_removed: bool = await self._writer.submit(_UNSUPPRESS, removal)
        return is_removed

    async def suppressions(
        self, tenant: TenantId, *, after: str = "", limit: int = 100, address: str | None = None
    ) -> Sequence[Suppression]:
        """Return suppressions in order of address; every scope of the last address is on its page."""
        return await self._reader.read(
            lambda db: _page(db, tenant, after, limit) if address is None else _at(db, tenant, address)
        )

    async def suppressed(
        self, addresses: Sequence[Address], *, tenant: TenantId, mail_class: MailClass, now: datetime
    ) -> Mapping[Address, Suppression]:
        """Return which of these addresses mail of this class would not go to, and why."""

        def work(db: apsw.Connection) -> dict[Address, Suppression]:
            found = (
                (address, suppression_of(db, tenant, mail_class, address.spec, now=micros(now)))
                for address in addresses
            )
            return {address: stop for address, stop in found if stop is not None}

        return await self._reader.read(work)

    # ------------------------------------------------------------------ in chunks

    async def _by_person(self, order: Order, fate: Fate, now: datetime) -> Changed:
        plan = plans.by_person(order, fate, now=micros(now))
        return await self._change(partial(plans.walk, order=order, plan=plan), plan, now)

    async def _waiting(self, plan: Plan, now: datetime, *, addresses: str | None = None) -> Changed:
        walk = partial(plans.walk_waiting, plan=plan, addresses=addresses)
        return await self._change(walk, plan, now)

    async def _change(self, walk: Walk, plan: Plan, now: datetime) -> Changed:
        changed = _NOTHING
        async for found in self._pages(walk):
            changed = _sum(changed, Changed(recipients=0, messages=0, left=found.left))
            for seqs in plans.chunks(found.messages):
                job = Job(seqs=seqs, plan=plan, now=micros(now))
                changed = _sum(changed, await self._writer.submit(_CARRY_OUT, job))
        return changed

    async def _pages(self, walk: Walk) -> AsyncIterator[Found]:
        """Walk up to the message that is the newest now."""
        end = await self._reader.read(plans.newest)
        after: int | None = 0
        while after is not None:
            found = await self._reader.read(partial(walk, after=after, end=end))
            yield found
            after = found.after


def _sum(one: Changed, other: Changed) -> Changed:
    return Changed(
        recipients=one.recipients + other.recipients,
        messages=one.messages + other.messages,
        left=one.left + other.left,
    )


def _holds(db: apsw.Connection, tenant: TenantId, *, is_open: bool) -> list[Hold]:
    found = map(hold_of, db.execute(statement("tenant_holds"), (tenant, is_open)).fetchall())
    return [replace(hold, held=_kept(db, hold)) for hold in found]


def _kept(db: apsw.Connection, hold: Hold) -> int:
    groups = db.execute(statement("kept_by_hold"), (hold.id,))
    return sum(len(members_of(str(members))) * int(str(count)) for members, count in groups)


def _page(db: apsw.Connection, tenant: TenantId, after: str, limit: int) -> list[Suppression]:
    rows = db.execute(statement("suppression_page"), (tenant, after, limit + _SCOPES))
    found = list(map(suppression_from, rows))
    last = found[limit - 1].address if len(found) >= limit else None
    return [one for number, one in enumerate(found) if number < limit or one.address == last]


def _at(db: apsw.Connection, tenant: TenantId, address: str) -> list[Suppression]:
    return list(map(suppression_from, db.execute(statement("suppressions_at"), (tenant, folded(address)))))
