"""Sees to it that failures reach somebody: a throttled digest by mail to the operator's addresses.

It reads the events after its place, which the store keeps; what is to be told becomes a message of ours
through the normal intake, so it is durable and has attempts, states and events like any other. Its place is
moved in two steps, and the message carries an idempotency key made of the two numbers: a crash at any
instruction neither loses a notice nor sends it twice.

The way out is one that works and, where there is a choice, none that the notice is about. When none works the
notice waits: the log says so loudly, ``/readyz`` is degraded by the outage itself, webhooks tell it, and what
happened is told as soon as something works again.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from postroom.clock import Clock
from postroom.engine.intake import Intake
from postroom.engine.ways import Way, Ways
from postroom.errors import (
    CallerError,
    DiskFullError,
    InputError,
    InvariantError,
    OverloadError,
    StoreError,
    UnknownOutcomeError,
)
from postroom.model.address import Mailbox
from postroom.model.event import Event, EventFilter
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import Door, MailClass, Submission
from postroom.model.route import Route
from postroom.policy.failover import Fitness
from postroom.policy.noticing import NOTICED, Notice, Place, notice
from postroom.ports import Events, Marks, Spool
from postroom.telemetry import logger

MARK = "notices"
TAG = "postroom-notice"
POLL_S = 5.0
"""Half of the time that is waited to gather what belongs together."""
BUSY_S = 30.0
PAGE = 500
MAX_EVENTS = 5000
"""Events of one notice; what is beyond comes with the next one."""
SAVE_EVERY = 10_000
"""Events without anything to tell after which the place is stored, so that no start reads far back."""
FATAL = (StoreError, UnknownOutcomeError)

log = logger("notices")


class Notices:
    """Runs until stopped."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        to: Sequence[Mailbox],
        every: timedelta,
        name: str,
        events: Events,
        marks: Marks,
        spool: Spool,
        ways: Ways,
        intake: Intake,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts.

        Args:
            to: Whom to tell, at least one.
            every: At most one notice in this time.
            name: Of this installation, for subjects.
            events: What is read.
            marks: Where the place is kept.
            spool: To know a notice by its door.
            ways: To choose one that works.
            intake: Takes the notice.
            clock: Time and waiting.
            fatal: Called when the store fails and the process must end.
        """
        self._to = tuple(to)
        self._every = every
        self._name = name
        self._events = events
        self._marks = marks
        self._spool = spool
        self._ways = ways
        self._intake = intake
        self._clock = clock
        self._fatal = fatal
        self._place: Place | None = None
        self._saved_after = 0
        self._seen_at: datetime | None = None
        """When the first event was found that the next notice tells of."""
        self._is_stuck = False
        """No way works, and that was said."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._serve(), name="notices")

    async def stop(self) -> None:
        """End; what was not told yet is told by the next life."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            wait_s = BUSY_S
            try:
                wait_s = await self._turn()
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.warning("notice put off", error=str(error))
            except Exception:  # supervision: noticing never ends by a bug; the next turn comes
                log.exception("notice put off")
            await self._clock.sleep(wait_s)

    async def _turn(self) -> float:
        """Do what is to be done now; return the seconds until the next look."""
        place = await self._found_place()
        if place.upto is None:
            now = self._clock.now()
            if not await self._is_something_new(place):
                return POLL_S
            self._seen_at = self._seen_at or now
            ready_at = place.ready_at(self._seen_at, self._every)
            if now < ready_at:
                return min((ready_at - now).total_seconds(), POLL_S)
        working = self._working()
        if working:
            await self._tell(place, working)
        elif not self._is_stuck:
            log.critical("no transport works: failures are told when one does", to=len(self._to))
        self._is_stuck = not working
        return POLL_S

    async def _found_place(self) -> Place:
        if self._place is None:
            stored = await self._marks.mark(MARK)
            if stored:
                self._place = Place.parse(stored)
                self._saved_after = self._place.after
            else:  # the first life: what was before is no news
                await self._move(Place(after=await self._events.newest()))
        if self._place is None:
            raise AssertionError("the place was just set")
        return self._place

    async def _move(self, place: Place, *, is_stored: bool = True) -> None:
        if is_stored:
            await self._marks.set_mark(MARK, str(place))
            self._saved_after = place.after
        self._place = place

    async def _is_something_new(self, place: Place) -> bool:
        """Say whether there is something to tell; else move on past what there is."""
        newest = await self._events.newest()
        if newest > place.after:
            if await self._page(place.after, newest, limit=1):
                return True
            await self._move(place.moved(newest), is_stored=newest - self._saved_after >= SAVE_EVERY)
        return False

    async def _page(self, after: int, upto: int, *, limit: int) -> Sequence[Event]:
        found = await self._events.page(EventFilter(tenant=None, kinds=NOTICED, after=after, limit=limit))
        return [event for event in found if event.number <= upto]

    async def _tell(self, place: Place, working: Sequence[str]) -> None:
        """Hand in the notice of everything after the place, and move it."""
        if place.upto is None:
            found = await self._between(place.after, await self._events.newest())
            if not found:  # purged meanwhile
                return
            place = Place(after=place.after, upto=found[-1].number, sent_at=place.sent_at)
            await self._move(place)
        upto = place.upto or place.after
        events = await self._foreign(await self._between(place.after, upto))
        told = notice(events, place=self._name)
        if told is not None:
            message_id = await self._submit(
                told, _around(working, events), key=f"postroom-notice-{place.after}-{upto}"
            )
            log.info("notice", message_id=message_id, subject=told.subject)
            place = Place(after=place.after, upto=upto, sent_at=self._clock.now())
        self._seen_at = None
        await self._move(place.moved(upto))

    async def _between(self, after: int, upto: int) -> list[Event]:
        events: list[Event] = []
        while len(events) < MAX_EVENTS:
            page = await self._page(events[-1].number if events else after, upto, limit=PAGE)
            events += page
            if len(page) < PAGE:
                break
        return events

    async def _foreign(self, events: Sequence[Event]) -> list[Event]:
        """Leave out what happened to notices and to reports (reliability rule D10)."""
        own: dict[tuple[MessageId, TenantId], tuple[str, ...] | None] = {}
        for event in events:
            if event.message_id is not None and (event.message_id, event.tenant) not in own:
                view = await self._spool.view(event.message_id, tenant=event.tenant)
                is_own = view is not None and view.door is Door.POSTROOM
                own[event.message_id, event.tenant] = view.tags if view is not None and is_own else None
        foreign = []
        for event in events:
            tags = None if event.message_id is None else own[event.message_id, event.tenant]
            if tags is None:
                foreign.append(event)
            elif TAG in tags:
                log.critical("a notice did not arrive", message_id=event.message_id, cause=event.cause)
        return foreign

    def _working(self) -> Sequence[str]:
        """Return the transports that work now; the capture inbox only where there is nothing else."""
        now = self._clock.now()
        real = [way for way in self._ways if not way.transport.is_capture]
        return [way.name for way in real or self._ways if way.fitness(now) is Fitness.WORKS]

    async def _submit(self, told: Notice, route: Route, *, key: str) -> str:
        """Hand a notice in; one that was handed in before a crash is not handed in again."""
        way = self._ways.named(route.legs[0]) or self._ways.default
        submission = Submission(
            door=Door.POSTROOM,
            from_=_sender(way, self._to),
            to=self._to,
            subject=told.subject,
            text=told.text,
            html=told.html,
            headers=(("Auto-Submitted", "auto-generated"),),
            tags=(TAG,),
            mail_class=MailClass.ALERT,
            idempotency_key=key,
        )
        try:
            message_id, _, _ = await self._intake.submit(submission, senders=(), route=route)
        except InputError as error:
            if any(problem.code == "idempotency-key-reused" for problem in error.problems):
                return "handed in before"  # in other words, by another version of this program
            log.critical("the notice cannot be sent", error=str(error), subject=told.subject)
            return ""
        except (CallerError, InvariantError) as error:  # telling it again would fail again
            log.critical("the notice cannot be sent", error=str(error), subject=told.subject)
            return ""
        return message_id


def _around(working: Sequence[str], events: Sequence[Event]) -> Route:
    """Return a route over what works, with the transports that the notice is about at its end."""
    named = {event.transport for event in events}
    return Route(tuple(sorted(working, key=lambda name: name in named)))


def _sender(way: Way, to: Sequence[Mailbox]) -> Mailbox | None:
    """Return the sender where the way has none of its own: the operator."""
    if way.default_from is not None:
        return None
    return Mailbox(way.account) if way.account is not None else to[0]
