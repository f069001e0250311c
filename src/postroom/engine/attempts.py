"""One attempt: from a claimed group to the facts of what happened, whatever happens.

A bug in one attempt is that message's local fault, never a recipient's and never another message's. When a
way out sends as its account instead of the wished From, the story of the message says so.
"""

from collections.abc import Mapping, Sequence

from postroom.clock import Clock
from postroom.engine.rendering import RenderedMessages
from postroom.engine.ways import Way
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.attempt import Claimed
from postroom.model.event import EventFilter, EventKind, NewEvent
from postroom.model.ids import MessageId
from postroom.model.message import Content, MailClass, Message
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.policy.reporting import taken_over
from postroom.policy.retry import ClassRules
from postroom.ports import Events, Report, ReportLine, Spool, Work
from postroom.telemetry import logger

FATAL = (StoreError, UnknownOutcomeError)
"""What ends the process: after these nobody knows what is stored."""

MAX_TOLD = 10_000
"""Messages that are remembered as told; of those forgotten the store is asked."""

log = logger("dispatcher")


class Attempts:
    """Makes attempts."""

    def __init__(
        self,
        *,
        spool: Spool,
        rules: Mapping[MailClass, ClassRules],
        rendered: RenderedMessages,
        clock: Clock,
        events: Events | None = None,
    ) -> None:
        """Take the parts; without ``events`` the story does not tell what was rewritten."""
        self._spool = spool
        self._events = events
        self._rules = rules
        self._rendered = rendered
        self._clock = clock
        self._told: dict[tuple[MessageId, str, EventKind], None] = {}
        """Message, transport and kind of what was told, the oldest first."""

    async def make(self, way: Way, claimed: Claimed) -> Report:
        """Make one attempt and return its facts. Raises only what ends the process."""
        message, lease, sending = claimed.message, claimed.lease, way.sending
        past_commit = False

        async def commit() -> bool:
            nonlocal past_commit
            past_commit = await self._spool.mark_committing(lease, digest=digest, now=self._clock.now())
            return past_commit

        recipients = tuple([(number, message.envelope.recipients[number]) for number in claimed.recipients])
        try:
            rendered = await self._rendered.take(message, way.transport.variant)
            content = way.transport.variant.applied(message.content)
            digest = rendered.digest if way.digest is None else way.digest(content, rendered)
            if claimed.digest is not None and claimed.digest != digest:
                return self._bytes_changed(claimed)
            if content.from_ is not message.content.from_:
                await self._tell_once(claimed, self._rewritten(way, message, content))
            if way.loses is not None and (lost := way.loses(content)):
                await self._tell_once(claimed, self._reduced(way, message, lost))
            report = await way.transport.attempt(
                Work(
                    message_id=message.id,
                    tenant=message.tenant,
                    reverse_path=sending.reverse_path(message.content, message.door),
                    recipients=recipients,
                    rendered=rendered,
                    subject=message.content.subject,
                    sender=content.from_.address.spec,
                    content=content,
                    reports=message.reports,
                    priority=self._rules[message.mail_class].priority,
                    commit=commit,
                )
            )
            return await self._passed_on(way, message, report) if report.passed_wishes else report
        except FATAL:
            raise
        except Exception as error:  # supervision: a bug in one attempt is this message's local fault, no more
            log.exception("attempt failed inside", message_id=message.id, transport=way.name)
            step = Step.BODY_END if past_commit else Step.BODY
            text = f"internal error: {type(error).__name__}"
            return self._failed(claimed, step, Fault(kind=FaultKind.LOCAL, text=text))

    async def _passed_on(self, way: Way, message: Message, report: Report) -> Report:
        """Tell that the next server reports success; untold, the sender hears it from us as well."""
        numbers = taken_over(message, [line.recipient for line in report.lines if _is_taken(line)])
        if self._events is None or not numbers:
            return report
        event = NewEvent(
            at=self._clock.now(),
            kind=EventKind.MESSAGE_REPORT_PASSED_ON,
            tenant=message.tenant,
            message_id=message.id,
            recipients=numbers,
            transport=way.name,
        )
        try:
            await self._events.append([event])
        except (OverloadError, DiskFullError) as error:
            log.warning("a wish that was passed on is not told", message_id=message.id, error=str(error))
        return report

    def refused(self, way: Way, claimed: Claimed) -> Report:
        """Return the facts of what this way out must not send; once its bytes left, nobody knows."""
        if claimed.digest is not None:
            return self._bytes_changed(claimed)
        text = (
            f"{way.name} sends only as {way.sending.identity}, not as {claimed.message.content.from_.address}"
        )
        fault = Fault(kind=FaultKind.CAPABILITY, text=text, cause="from-not-account")
        return self._failed(claimed, Step.MAIL, fault)

    async def _tell_once(self, claimed: Claimed, event: NewEvent) -> None:
        """Tell once for each transport what it does to a mail; the mail goes out even untold.

        Whether an earlier run told it is asked only when the message was attempted before.
        """
        events, message = self._events, claimed.message
        told = (message.id, event.transport, event.kind)
        if events is None or told in self._told:
            return
        try:
            if not (claimed.tries and await self._was_told(events, event)):
                await events.append([event])
        except (OverloadError, DiskFullError) as error:
            log.warning("a change of the mail is not told yet", message_id=message.id, error=str(error))
            return
        self._told[told] = None
        if len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]

    async def _was_told(self, events: Events, event: NewEvent) -> bool:
        wanted = EventFilter(
            tenant=event.tenant,
            kinds=(event.kind,),
            message_id=event.message_id,
            transport=event.transport,
            limit=1,
        )
        return bool(await events.page(wanted))

    def _rewritten(self, way: Way, message: Message, content: Content) -> NewEvent:
        return NewEvent(
            at=self._clock.now(),
            kind=EventKind.MESSAGE_REWRITTEN,
            tenant=message.tenant,
            message_id=message.id,
            transport=way.name,
            data={
                "from": str(message.content.from_),
                "to": str(content.from_),
                "reply_to": ", ".join(map(str, content.reply_to)),
                "why": "from_policy is rewrite",
            },
        )

    def _reduced(self, way: Way, message: Message, lost: Sequence[str]) -> NewEvent:
        return NewEvent(
            at=self._clock.now(),
            kind=EventKind.MESSAGE_REDUCED,
            tenant=message.tenant,
            message_id=message.id,
            transport=way.name,
            data={"lost": ", ".join(lost)},
        )

    def _bytes_changed(self, claimed: Claimed) -> Report:
        text = "the bytes differ from those sent before"
        fault = Fault(kind=FaultKind.LOCAL, text=text, cause="bytes-changed")
        return self._failed(claimed, Step.BODY_END, fault)

    def _failed(self, claimed: Claimed, step: Step, fault: Fault) -> Report:
        return self.failed(claimed, Evidence(step=step, fault=fault))

    def failed(self, claimed: Claimed, evidence: Evidence) -> Report:
        """Return the facts of an attempt that one piece of evidence ends for every recipient."""
        now = self._clock.now()
        return Report(
            lines=tuple(
                ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=0)
                for number in claimed.recipients
            )
        )


def _is_taken(line: ReportLine) -> bool:
    """Say whether the server took the mail for this recipient."""
    evidence = line.evidence
    return evidence.step is Step.BODY_END and evidence.reply is not None and evidence.reply.is_positive
