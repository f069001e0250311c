"""One attempt: from a claimed group to the facts of what happened, whatever happens.

A bug in one attempt is that message's local fault, never a recipient's and never another message's.
"""

from collections.abc import Mapping

from postroom.clock import Clock
from postroom.engine.rendering import RenderedMessages
from postroom.engine.ways import Way
from postroom.errors import StoreError, UnknownOutcomeError
from postroom.model.attempt import Claimed
from postroom.model.message import MailClass
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.policy.retry import ClassRules
from postroom.ports import Report, ReportLine, Spool, Work
from postroom.telemetry import logger

FATAL = (StoreError, UnknownOutcomeError)
"""What ends the process: after these nobody knows what is stored."""

log = logger("dispatcher")


class Attempts:
    """Makes attempts."""

    def __init__(
        self, *, spool: Spool, rules: Mapping[MailClass, ClassRules], rendered: RenderedMessages, clock: Clock
    ) -> None:
        """Take the parts."""
        self._spool = spool
        self._rules = rules
        self._rendered = rendered
        self._clock = clock

    async def make(self, way: Way, claimed: Claimed) -> Report:
        """Make one attempt and return its facts. Raises only what ends the process."""
        message, lease = claimed.message, claimed.lease
        past_commit = False

        async def commit() -> bool:
            nonlocal past_commit
            past_commit = await self._spool.mark_committing(
                lease, digest=rendered.digest, now=self._clock.now()
            )
            return past_commit

        recipients = tuple([(number, message.envelope.recipients[number]) for number in claimed.recipients])
        try:
            rendered = self._rendered.take(message, way.transport.variant)
            if claimed.digest is not None and claimed.digest != rendered.digest:
                return self._local_fault(
                    claimed, Step.BODY_END, "the bytes differ from those sent before", "bytes-changed"
                )
            return await way.transport.attempt(
                Work(
                    message_id=message.id,
                    tenant=message.tenant,
                    reverse_path=message.envelope.reverse_path,
                    recipients=recipients,
                    rendered=rendered,
                    subject=message.content.subject,
                    sender=message.content.from_.address.spec,
                    priority=self._rules[message.mail_class].priority,
                    commit=commit,
                )
            )
        except FATAL:
            raise
        except Exception as error:  # supervision: a bug in one attempt is this message's local fault, no more
            log.exception("attempt failed inside", message_id=message.id, transport=way.name)
            step = Step.BODY_END if past_commit else Step.BODY
            return self._local_fault(claimed, step, f"internal error: {type(error).__name__}", None)

    def _local_fault(self, claimed: Claimed, step: Step, text: str, cause: str | None) -> Report:
        evidence = Evidence(step=step, fault=Fault(kind=FaultKind.LOCAL, text=text, cause=cause))
        now = self._clock.now()
        return Report(
            lines=tuple(
                ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=0)
                for number in claimed.recipients
            )
        )
