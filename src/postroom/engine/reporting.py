"""Reports to the senders of mail that came by SMTP or sendmail: what failed, is late, or was passed on.

It reads the events after its place, which the store keeps, and keeps the mails of which something may still
be told in the same place. A report is a mail of ours through the normal intake: durable, with attempts and
states like any other, by the route of the mail it is about, with the null reverse path.

Never two: a report has an idempotency key made of the mail's id, and after it was handed in, an event of the
mail tells so. The place is stored after both. A crash at any instruction so neither loses a report nor sends
it twice, and a mail that a person sends again is not reported again.

A report waits while no leg of its route works. One that fails itself is a line in the log and nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from postroom.mime.report import raw_report, report_message_id, wished_languages
from postroom.mime.writer import render
from postroom.model.address import NULL_PATH, Address, Mailbox
from postroom.model.event import Event, EventFilter, EventKind, NewEvent
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import Door, MailClass, Message, Submission, UncertainPolicy
from postroom.model.report import MailReport, ReportAction, ReportedRecipient
from postroom.model.route import Route
from postroom.model.view import MessageView
from postroom.policy import reporting
from postroom.policy.failover import Fitness
from postroom.policy.report_words import report_words
from postroom.policy.reporting import ReportPlace
from postroom.policy.routing import parse_route
from postroom.ports import Events, Marks, Spool
from postroom.telemetry import logger

MARK = "reports"
TAG = "postroom-report"
POLL_S = 5.0
BUSY_S = 30.0
WAIT_FOR_WAY = timedelta(seconds=30)
KEY_LIFE = timedelta(days=30)
"""Longer than a server is down between handing a report in and telling so; content is kept as long."""
PAGE = 500
MAX_WAITING = 10_000
"""Mails that are kept in mind. Above it no new events are looked at until some are done."""
SAVE_EVERY = 10_000
"""Events without anything to tell after which the place is stored, so that no start reads far back."""
FATAL = (StoreError, UnknownOutcomeError)
_SENDER = "Mail gateway"

log = logger("reports")

Key = tuple[MessageId, TenantId]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportManner:
    """How reports are made, by the settings."""

    mta: str
    """Our name in them."""
    delayed_after: timedelta = timedelta(hours=4)
    """How long a mail may wait before that is told to a sender who asked for it."""
    language: str = "en"
    """Where the mail names none."""


async def forget(marks: Marks) -> None:
    """Have no place: reports that are switched on later begin with what happens then."""
    if await marks.mark(MARK):
        await marks.set_mark(MARK, "")


class Reports:
    """Runs until stopped."""

    def __init__(
        self,
        manner: ReportManner,
        *,
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
            manner: How reports are made.
            events: What is read, and where it is told that a report was made.
            marks: Where the place is kept.
            spool: The mails.
            ways: To know whether one works.
            intake: Takes the report.
            clock: Time and waiting.
            fatal: Called when the store fails and the process must end.
        """
        self._manner = manner
        self._events = events
        self._marks = marks
        self._spool = spool
        self._ways = ways
        self._intake = intake
        self._clock = clock
        self._fatal = fatal
        self._after: int | None = None
        self._waiting: dict[Key, datetime] = {}
        """When to look again, by mail."""
        self._stored = ReportPlace(after=0)
        self._is_full = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._serve(), name="reports")

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
                log.warning("reports put off", error=str(error))
            except Exception:  # supervision: reporting never ends by a bug; the next turn comes
                log.exception("reports put off")
            await self._clock.sleep(wait_s)

    async def _turn(self) -> float:
        """Do what is to be done now; return the seconds until the next look."""
        after = self._after
        if after is None:
            after = await self._found_place()
        after, found = await self._next_page(after)
        now = self._clock.now()
        keys = {_key(event): event.kind in reporting.LOST for event in found}
        keys |= {key: False for key, at in self._waiting.items() if at <= now and key not in keys}
        for key, is_lost in keys.items():
            look_at = await self._look(key, is_lost=is_lost)
            if look_at is None:
                self._waiting.pop(key, None)
            else:
                self._waiting[key] = look_at
        await self._move(after)
        return 0.0 if len(found) == PAGE else POLL_S

    async def _found_place(self) -> int:
        stored = await self._marks.mark(MARK)
        if stored:
            self._stored = ReportPlace.parse(stored)
        else:  # the first life: what was before is no news
            self._stored = ReportPlace(after=await self._events.newest())
            await self._marks.set_mark(MARK, str(self._stored))
        now = self._clock.now()
        self._waiting = dict.fromkeys(self._stored.waiting, now)
        self._after = self._stored.after
        return self._after

    async def _next_page(self, after: int) -> tuple[int, Sequence[Event]]:
        """Return the events to look at, and up to which number all of them are then seen."""
        is_full = len(self._waiting) >= MAX_WAITING
        if is_full and not self._is_full:
            log.warning("reports wait for mails to end", waiting=len(self._waiting))
        self._is_full = is_full
        newest = await self._events.newest()
        if is_full or newest <= after:
            return after, ()
        page = await self._events.page(
            EventFilter(tenant=None, kinds=reporting.CALLS, after=after, limit=PAGE)
        )
        found = [event for event in page if event.number <= newest and event.message_id is not None]
        return (page[-1].number if len(page) == PAGE else newest), found

    async def _move(self, after: int) -> None:
        """Store the place when it tells something that the stored one does not."""
        self._after = after
        place = ReportPlace(after=after, waiting=tuple(sorted(self._waiting)))
        is_far = after - self._stored.after >= SAVE_EVERY
        if is_far or place.waiting != self._stored.waiting:
            await self._marks.set_mark(MARK, str(place))
            self._stored = place

    # ------------------------------------------------------------------ one mail

    async def _look(self, key: Key, *, is_lost: bool) -> datetime | None:
        """Report what there is to report of a mail; return when to look again."""
        message_id, tenant = key
        try:
            message = await self._spool.message(message_id, tenant=tenant)
        except StoreError as error:  # damaged content: it is told elsewhere, and there is nothing to return
            log.critical("a mail cannot be reported", message_id=message_id, error=str(error))
            return None
        if message is None:
            return None
        if message.door is Door.POSTROOM and TAG in message.tags and is_lost:
            log.warning("a report did not arrive", message_id=message_id)
        if message.reports is None:
            return None
        while (view := await self._spool.view(message_id, tenant=tenant)) is not None:
            found = reporting.finding(
                message,
                view,
                before=await self._told(message),
                delayed_after=self._manner.delayed_after,
                now=self._clock.now(),
            )
            if not found.recipients:
                return found.look_at
            route = self._working(view)
            if route is None:
                return self._clock.now() + WAIT_FOR_WAY
            if not await self._report(message, found.recipients, message.reports.to, route):
                return None
        return None

    async def _told(self, message: Message) -> reporting.Told:
        # Two reports, and a wish that was passed on with each recipient; after a lost reply perhaps twice.
        most = 2 + 2 * len(message.envelope.recipients)
        wanted = EventFilter(tenant=message.tenant, kinds=reporting.DONE, message_id=message.id, limit=most)
        return reporting.told(await self._events.page(wanted))

    def _working(self, view: MessageView) -> Route | None:
        """Return the route of a mail over the legs that work now; ``None`` while none does.

        A mail whose transports are gone is reported by any other.
        """
        now = self._clock.now()
        legs = parse_route(view.route or view.transport, field="route").legs
        known = [way for leg in legs if (way := self._ways.named(leg)) is not None] or list(self._ways)
        working = tuple(way.name for way in known if way.fitness(now) is Fitness.WORKS)
        return Route(working) if working else None

    async def _report(
        self, message: Message, recipients: tuple[ReportedRecipient, ...], to: Address, route: Route
    ) -> bool:
        """Hand a report in and tell so; ``False`` when that can never be done."""
        wish = message.reports
        report = MailReport(
            mail_id=message.id,
            to=to,
            mta=self._manner.mta,
            arrived_at=message.created_at,
            tried_until=message.expires_at,
            envelope_id="" if wish is None else wish.envelope_id,
            subject=message.content.subject,
            message_id=message.content.message_id,
            recipients=recipients,
        )
        is_delay = report.action is ReportAction.DELAYED
        way = self._ways.named(route.legs[0]) or self._ways.default
        try:
            key = _once(message.id, is_delay=is_delay)
            # Not in the loop: a thousand recipients take a tenth of a second.
            submission = await asyncio.to_thread(self._submission, message, report, way, key=key)
            report_id, _, _ = await self._intake.submit(submission, senders=(), route=route)
        except InputError as error:
            if not any(problem.code == "idempotency-key-reused" for problem in error.problems):
                log.critical("a report cannot be sent", message_id=message.id, error=str(error))
                return False
            report_id = MessageId("")  # handed in before a crash, by another way or in other words
        except (CallerError, InvariantError) as error:  # once more it would fail again
            log.critical("a report cannot be sent", message_id=message.id, error=str(error))
            return False
        told = NewEvent(
            at=self._clock.now(),
            kind=EventKind.MESSAGE_REPORTED,
            tenant=message.tenant,
            message_id=message.id,
            recipients=tuple(recipient.number for recipient in recipients),
            transport=way.name,
            data={reporting.WHAT: report.action.value, "reverse_path": to.spec, "report": report_id},
        )
        await self._events.append([told])
        log.info("report", message_id=message.id, report=report_id, what=report.action.value)
        return True

    def _submission(self, message: Message, report: MailReport, way: Way, *, key: str) -> Submission:
        """Write a report and say how it is sent: after everybody's mail, and never to be reported."""
        returned = render(message.content)
        language = wished_languages(returned, self._manner.language)
        said = report_words(report, language)
        from_ = Mailbox(
            way.sending.identity or Address("MAILER-DAEMON", message.content.from_.address.domain), _SENDER
        )
        return Submission(
            tenant=message.tenant,
            door=Door.POSTROOM,
            from_=from_,
            sender=Mailbox(NULL_PATH),
            bcc=(Mailbox(report.to),),
            subject=said.subject,
            raw=raw_report(
                report,
                from_=from_,
                subject=said.subject,
                text=said.text,
                returned=returned,
                is_full=message.reports is not None and message.reports.full is True,
            ),
            message_id=report_message_id(report, from_.address.domain),
            tags=(TAG,),
            mail_class=MailClass.BULK,
            uncertain_policy=UncertainPolicy.WAIT,
            idempotency_key=key,
            idempotency_life=KEY_LIFE,
        )


def _key(event: Event) -> Key:
    if event.message_id is None:
        raise AssertionError("events of no message are left out")
    return event.message_id, event.tenant


def _once(message_id: MessageId, *, is_delay: bool) -> str:
    """Return the key under which a report is handed in once."""
    return f"postroom-{'delay' if is_delay else 'report'}-{message_id}"
