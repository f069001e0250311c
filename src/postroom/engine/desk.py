"""The operator's desk: what a person may do to stored mail and by standing orders.

Rules: every verb belongs to one tenant and names who acted; a verb on one message that finds nothing to
change is a conflict, a verb on many that does so is a count of nought; many are changed only with the token
of a dry run, and only those the dry run could mean.

Not here: transports (``engine.health``), webhook endpoints (``engine.endpoints``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from postroom.clock import Clock, Dice
from postroom.engine.dryrun import DryRuns
from postroom.engine.service import Service
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.model.event import Event, EventFilter
from postroom.model.hold import Hold, HoldEnd, HoldFilter, Suppression
from postroom.model.ids import TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Changed, Resolution, Selection
from postroom.model.view import MessageView
from postroom.ports import Events, Operations

Wake = Callable[[datetime], None]
"""Tells the dispatcher that something was queued, due then, for any transport."""


MOST_SCOPES = len(MailClass) + 1
"""Entries one address may have on the suppression list: one for each class, one for all mail."""


class Verb(StrEnum):
    """What can be done to many recipients at once."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE = "resolve"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and on whose mail."""

    tenant: TenantId
    name: str
    """Name of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done to recipients."""

    verb: Verb
    at: datetime | None = None
    """For a retry; ``None`` is now."""
    confirm_duplicate: bool = False
    """For a retry of one message: uncertain recipients too."""
    resolution: Resolution | None = None
    """For resolving, always given then."""
    note: str = ""

    @property
    def meant(self) -> str:
        """The verb and what it makes of the recipients, which a token is bound to."""
        return f"{self.verb} {self.resolution}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What an order would change now, and the token to do it with."""

    changed: Changed
    token: str
    until: datetime
    """Only mail accepted before this is meant."""
    ends_at: datetime
    """End of the token's life."""


class Desk:
    """Verbs on messages, holds and suppressions; events to look at."""

    def __init__(
        self,
        *,
        service: Service,
        operations: Operations,
        events: Events,
        wake: Wake,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """Take the parts."""
        self._service = service
        self._operations = operations
        self._events = events
        self._wake = wake
        self._clock = clock
        self._dice = dice
        self._dry_runs = DryRuns(clock=clock, dice=dice)

    # ------------------------------------------------------------------ one message

    async def change(
        self, message_id: str, order: Order, actor: Actor, *, chosen: Sequence[str | int] = ()
    ) -> tuple[MessageView, Changed]:
        """Do an order to recipients of one message, chosen by address or number, or to all it fits.

        Raises NotFoundError, InputError (no such recipient), ConflictError (nothing to change).
        """
        view = await self._service.view(message_id, tenant=actor.tenant)
        numbers = _numbers(view, chosen)
        wanted = Selection(tenant=actor.tenant, message_id=view.id, recipients=numbers)
        changed = await self._do(order, wanted, actor)
        if not changed.recipients:
            raise ConflictError(_nothing(order, view))
        return await self._service.view(message_id, tenant=actor.tenant), changed

    async def reschedule(
        self,
        message_id: str,
        actor: Actor,
        *,
        send_at: datetime | None,
        expires_at: datetime | None,
    ) -> MessageView:
        """Give a message that nobody has begun to send new times.

        Raises NotFoundError, InputError (it would expire first), ConflictError (it is too late).
        """
        now = self._clock.now()
        view = await self._service.view(message_id, tenant=actor.tenant)
        if (expires_at or view.expires_at) <= max(now, send_at or now):
            problem = Problem(
                code="expires-too-early",
                field="expires_at",
                cause="the mail would expire before it could be sent",
                fix="Give an expires_at that is later than now and than send_at.",
            )
            raise InputError([problem])
        is_done = await self._operations.reschedule(
            view.id,
            tenant=actor.tenant,
            send_at=send_at,
            expires_at=expires_at,
            now=now,
            author=actor.name,
        )
        if not is_done:
            cause = f"sending has begun or nothing waits ({_states(view)})"
            fix = "Only mail that no attempt has claimed can be rescheduled; retry takes a time too."
            raise ConflictError(Problem(code="too-late", field="id", cause=cause, fix=fix))
        self._wake(max(now, send_at or now))
        return await self._service.view(message_id, tenant=actor.tenant)

    # ------------------------------------------------------------------ many messages

    async def count(self, order: Order, wanted: Selection) -> DryRun:
        """Say what an order would change now; change nothing. Raises InputError."""
        _refuse_unmeant(order, wanted)
        token, fixed, ends_at = self._dry_runs.issue(order.meant, wanted)
        changed = await self._operations.count(
            fixed, verb=order.verb, confirm_duplicate=order.confirm_duplicate, now=self._clock.now()
        )
        return DryRun(changed=changed, token=token, until=fixed.until or ends_at, ends_at=ends_at)

    async def change_all(self, order: Order, wanted: Selection, actor: Actor, *, token: str) -> Changed:
        """Do what a dry run counted. Raises InputError, ConflictError (the token was used)."""
        _refuse_unmeant(order, wanted)
        return await self._do(order, self._dry_runs.redeem(token, order.meant, wanted), actor)

    async def _do(self, order: Order, wanted: Selection, actor: Actor) -> Changed:
        now, author = self._clock.now(), actor.name
        match order.verb:
            case Verb.RETRY:
                due_at = max(now, order.at or now)
                changed = await self._operations.retry(
                    wanted, at=due_at, now=now, author=author, confirm_duplicate=order.confirm_duplicate
                )
                self._wake(due_at)
                return changed
            case Verb.CANCEL:
                return await self._operations.cancel_all(wanted, now=now, author=author)
            case Verb.RELEASE:
                changed = await self._operations.release(wanted, now=now, author=author)
            case Verb.RESOLVE:
                changed = await self._operations.resolve(
                    wanted,
                    resolution=order.resolution or Resolution.DROP,
                    note=order.note,
                    author=author,
                    now=now,
                )
        self._wake(now)
        return changed

    # ------------------------------------------------------------------ holds

    async def add_hold(
        self, wanted: HoldFilter, actor: Actor, *, reason: str, until: datetime | None, then: HoldEnd
    ) -> tuple[Hold, Changed]:
        """Hold what waits and what comes and matches. Raises InputError."""
        now = self._clock.now()
        problems = _past(until, now)
        if wanted == HoldFilter():
            problems.append(_no_filter())
        if problems:
            raise InputError(problems)
        hold = Hold(
            id=f"hold_{self._dice.token(6).hex()}",
            tenant=actor.tenant,
            filter=wanted,
            reason=reason,
            author=actor.name,
            created_at=now,
            until=until,
            then=then,
        )
        changed = await self._operations.add_hold(hold)
        return replace(hold, held=changed.recipients), changed

    async def end_hold(self, hold_id: str, actor: Actor) -> Changed:
        """End a hold and release what it holds. Raises NotFoundError."""
        now = self._clock.now()
        changed = await self._operations.end_hold(hold_id, tenant=actor.tenant, now=now, author=actor.name)
        if changed is None:
            raise NotFoundError(f"there is no open hold {hold_id[:100]!r}")
        self._wake(now)
        return changed

    async def holds(self, actor: Actor, *, is_open: bool) -> Sequence[Hold]:
        """Return the holds, newest first."""
        return await self._operations.holds(actor.tenant, is_open=is_open)

    # ------------------------------------------------------------------ suppressions

    async def suppress(self, wanted: Sequence[Suppression]) -> int:
        """Store suppressions and apply them to what waits. Raises InputError for an end that has passed."""
        now = self._clock.now()
        if problems := [problem for one in wanted for problem in _past(one.until, now)]:
            raise InputError(problems)
        return await self._operations.suppress(wanted, now=now)

    async def unsuppress(
        self, address: str, actor: Actor, *, mail_class: MailClass | None, note: str
    ) -> None:
        """Take an address off the list. Raises NotFoundError."""
        is_gone = await self._operations.unsuppress(
            address,
            tenant=actor.tenant,
            mail_class=mail_class,
            note=note,
            author=actor.name,
            now=self._clock.now(),
        )
        if not is_gone:
            scope = f"mail of class {mail_class}" if mail_class else "all mail"
            raise NotFoundError(f"{address!r} is not on the suppression list for {scope}")

    async def suppressions(
        self, actor: Actor, *, after: str = "", limit: int, address: str | None = None
    ) -> tuple[Sequence[Suppression], str | None]:
        """Return a page of the list in order of address, and the cursor of the page after it.

        The entries of one address are never apart: a page may be longer by the classes of its last one.
        """
        found = await self._operations.suppressions(
            actor.tenant, after=after, limit=limit + MOST_SCOPES, address=address
        )
        end = limit
        while 0 < end < len(found) and found[end].address == found[end - 1].address:
            end += 1
        return found[:end], found[end - 1].address if end < len(found) else None

    # ------------------------------------------------------------------ events

    async def events(self, wanted: EventFilter) -> Sequence[Event]:
        """Return one page of events."""
        return await self._events.page(wanted)

    async def events_of(self, message_id: str, wanted: EventFilter, actor: Actor) -> Sequence[Event]:
        """Return one page of a message's events. Raises NotFoundError."""
        view = await self._service.view(message_id, tenant=actor.tenant)
        return await self._events.page(replace(wanted, message_id=view.id))


def _numbers(view: MessageView, chosen: Sequence[str | int]) -> tuple[int, ...]:
    """Return the numbers of chosen recipients. Raises InputError naming each that is not there."""
    by_address = {recipient.address.lower(): recipient.number for recipient in view.recipients}
    by_address |= {recipient.address: recipient.number for recipient in view.recipients}
    known = set(by_address.values())
    problems = []
    numbers = []
    for place, one in enumerate(chosen):
        number = by_address.get(one, by_address.get(one.lower())) if isinstance(one, str) else one
        if number in known and number is not None:
            numbers.append(number)
            continue
        cause = f"{str(one)[:100]!r} is no recipient of this message"
        fix = "GET /v1/messages/{id} lists the recipients."
        problems.append(Problem(code="recipient-unknown", field=f"recipients.{place}", cause=cause, fix=fix))
    if problems:
        raise InputError(problems)
    return tuple(dict.fromkeys(numbers))


_FITS = {
    Verb.RETRY: "refused, expired, deferred or held with its content kept and its address not suppressed "
    "(uncertain needs confirm_duplicate)",
    Verb.CANCEL: "queued, deferred or held",
    Verb.RESOLVE: "uncertain",
    Verb.RELEASE: "held",
}


def _nothing(order: Order, view: MessageView) -> Problem:
    return Problem(
        code="nothing-to-change",
        field="id",
        cause=f"no recipient that was meant is {_FITS[order.verb]} ({_states(view)})",
        fix="Look at the states of the recipients; one that is being sent is left alone.",
    )


def _states(view: MessageView) -> str:
    return ", ".join(f"{recipient.address}: {recipient.state}" for recipient in view.recipients[:20])


def _refuse_unmeant(order: Order, wanted: Selection) -> None:
    if wanted == Selection(tenant=wanted.tenant):
        raise InputError([_no_filter()])
    if order.verb is Verb.RETRY and wanted.state is RecipientState.UNCERTAIN:
        problem = Problem(
            code="uncertain-not-retried",
            field="filter.state",
            cause="uncertain recipients may get a second copy by a retry",
            fix="Use POST /v1/messages/resolve with the resolution send_again.",
        )
        raise InputError([problem])


def _no_filter() -> Problem:
    return Problem(
        code="filter-empty",
        field="filter",
        cause="no member is given, so that all mail would be meant",
        fix="Give at least one member, such as state, transport or tag.",
    )


def _past(until: datetime | None, now: datetime) -> list[Problem]:
    if until is None or until > now:
        return []
    cause = "an instant that has passed"
    return [Problem(code="until-passed", field="until", cause=cause, fix="Give a later one, or none.")]
