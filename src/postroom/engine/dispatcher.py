"""The only caller of transports: claim what is due, make attempts, settle what happened.

One line of work for each way out. A line claims in batches when it has room, hands every claimed group to
its transport as one attempt, asks ``policy`` what the report means and settles that in the store. Nothing is
decided here: the dispatcher only carries facts to policy and decisions to the spool.

A line that is paused claims nothing until the pause ends, then one group as a probe: a real queued message,
never a synthetic one. Failures of the store end the process (``fatal``); failures of one attempt never do.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from postroom.clock import Clock, Dice
from postroom.engine.rendering import RenderedMessages
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import DiskFullError, OperatorError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.attempt import Claimed
from postroom.model.message import MailClass
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.policy import pausing, settling
from postroom.policy.retry import ClassRules
from postroom.ports import Report, ReportLine, Spool, Work
from postroom.telemetry import logger

LEASE = timedelta(hours=1)
"""Longer than any attempt may take: 72 MiB at the slowest accepted pace, then 600 s for the final reply.
One process owns the store, so a lease never has to end for another to take over."""
FATAL = (StoreError, UnknownOutcomeError)
"""What ends the process: after these nobody knows what is stored."""
BUSY_S = 5.0
"""A line whose claim was refused for now tries again after this."""
POLL_S = 30.0
"""A line looks at its queue at least this often, should a hint have been missed."""

log = logger("dispatcher")


class _Line:
    """The work of one way out: what is under way, and when to look again."""

    __slots__ = ("due_at", "looked", "outstanding", "wake", "way", "window")

    def __init__(self, way: Way) -> None:
        self.way = way
        self.window = way.transport.capacity * 2
        """Claimed at once: what the transport holds, and as much again between two commits."""
        self.outstanding = 0
        self.wake = asyncio.Event()
        self.due_at: datetime | None = None
        """The earliest known time at which something waiting becomes due."""
        self.looked = False
        """Whether ``due_at`` was ever read from the store; later it is kept up to date by hints."""

    def room(self, now: datetime) -> int:
        """Return how many groups may be claimed now."""
        if self.way.pause is not None:  # over or not: one probe at a time until something gets past it
            return 0 if self.way.is_paused(now) or self.outstanding else 1
        return self.window - self.outstanding if self.outstanding <= self.window // 2 else 0

    def expect(self, due_at: datetime) -> None:
        """Note that something becomes due then."""
        if self.due_at is None or due_at < self.due_at:
            self.due_at = due_at
            self.wake.set()


class Dispatcher:
    """Makes the attempts. ``start`` once, ``stop`` as often as you like."""

    def __init__(
        self,
        *,
        spool: Spool,
        ways: Ways,
        rules: Mapping[MailClass, ClassRules],
        rendered: RenderedMessages,
        signals: Signals,
        clock: Clock,
        dice: Dice,
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts; ``fatal`` is called when the store fails and the process must end."""
        self._spool = spool
        self._rules = rules
        self._rendered = rendered
        self._signals = signals
        self._clock = clock
        self._dice = dice
        self._fatal = fatal
        self._lines = {way.name: _Line(way) for way in ways}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Take up the stored pauses and begin to work."""
        for pause in await self._spool.pauses():
            if (line := self._lines.get(pause.transport)) is not None:
                line.way.pause = pause
        self._servers = [
            asyncio.create_task(self._serve(line), name=f"line {name}") for name, line in self._lines.items()
        ]

    async def stop(self, *, grace_s: float) -> None:
        """Claim nothing more; let attempts past their dot end within ``grace_s``, give back the others."""
        self._stopping = True
        for line in self._lines.values():
            line.wake.set()
        await asyncio.gather(*(line.way.transport.stop(grace_s=grace_s) for line in self._lines.values()))
        await asyncio.gather(*self._servers, *self._tasks)
        await self._end_pauses()

    async def _end_pauses(self) -> None:
        """Let the next start probe at once: who stops a server in order has often mended the account.

        After a crash the pause goes on, so that a server that dies at once never hammers a login.
        """
        now = self._clock.now()
        for line in self._lines.values():
            if line.way.pause is not None and line.way.is_paused(now):
                line.way.pause = replace(line.way.pause, until=now)
                with suppress(OperatorError, UnknownOutcomeError):  # a store that failed stops all the same
                    await self._spool.pause(line.way.pause)

    def wake(self, transport: str, *, due_at: datetime | None = None) -> None:
        """Say that something was queued for ``transport``, due now or at ``due_at``."""
        line = self._lines[transport]
        if due_at is None or due_at <= self._clock.now():
            line.wake.set()
        else:
            line.expect(due_at)

    # ------------------------------------------------------------------ a line

    async def _serve(self, line: _Line) -> None:
        try:
            while not self._stopping:
                line.wake.clear()
                now = self._clock.now()
                room = line.room(now)
                claimed = await self._claim_or_wait(line, room, now) if room else 0
                if claimed < room or not room:
                    await self._idle(line, now)
        except FATAL as error:
            self._fatal(error)

    async def _claim_or_wait(self, line: _Line, room: int, now: datetime) -> int:
        """Claim; when the store has no room or no time for it now, come back a little later."""
        try:
            return await self._claim(line, room, now)
        except FATAL:
            raise
        except (OverloadError, DiskFullError) as error:
            log.warning("nothing claimed", transport=line.way.name, error=str(error))
        except Exception:  # supervision: a line never ends by a bug; it comes back
            log.exception("nothing claimed", transport=line.way.name)
        await self._clock.sleep(BUSY_S)
        return room

    async def _claim(self, line: _Line, room: int, now: datetime) -> int:
        way = line.way
        batch = await self._spool.claim(
            transport=way.name,
            limit=room,
            now=now,
            lease_until=now + LEASE,
            max_recipients=way.transport.max_recipients,
        )
        if self._stopping:
            await self._spool.release([claimed.lease for claimed in batch])
            return 0
        for claimed in batch:
            line.outstanding += 1
            task = asyncio.create_task(self._attempt(line, claimed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(batch) < room and (not line.looked or (line.due_at is not None and line.due_at <= now)):
            line.looked, line.due_at = True, None
            found = await self._spool.next_due_at(way.name)
            # A hint that came meanwhile may be newer than what was read: the earlier one holds.
            if found is not None and (line.due_at is None or found < line.due_at):
                line.due_at = found
        return len(batch)

    async def _idle(self, line: _Line, now: datetime) -> None:
        """Wait for a wake-up, the next due time, the end of a pause or the poll."""
        if line.wake.is_set():
            return
        until = now + timedelta(seconds=POLL_S)
        if line.way.pause is not None and line.way.is_paused(now):
            until = min(until, line.way.pause.until)
        elif line.due_at is not None and line.due_at > now:
            until = min(until, line.due_at)
        try:
            async with asyncio.timeout(max((until - now).total_seconds(), 0.001)):
                await line.wake.wait()
        except TimeoutError:
            return

    # ------------------------------------------------------------------ an attempt

    async def _attempt(self, line: _Line, claimed: Claimed) -> None:
        try:
            await self._settle(line, claimed, await self._make(line.way, claimed))
        except FATAL as error:
            self._fatal(error)
        except Exception:  # supervision: the lease stays and ends by itself; other messages go on
            log.exception("attempt not settled", message_id=claimed.message.id, transport=line.way.name)
        finally:
            line.outstanding -= 1
            if line.outstanding <= line.window // 2:
                line.wake.set()

    async def _make(self, way: Way, claimed: Claimed) -> Report:
        """Make the attempt and return its facts, whatever happens."""
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

    async def _settle(self, line: _Line, claimed: Claimed, report: Report) -> None:
        way, message = line.way, claimed.message
        if not report.lines:
            await self._spool.release([claimed.lease])
            return
        now = self._clock.now()
        decision = settling.decide(
            claimed,
            report.lines,
            rules=self._rules[message.mail_class],
            is_capture=way.transport.is_capture,
            failures=way.failures(now),
            transport=way.name,
            now=now,
            roll=self._dice.roll(),
        )
        if decision.pause is not None:
            pause = way.pause = pausing.longer(way.pause, decision.pause)
            await self._spool.pause(pause)
            log.warning("transport paused", transport=way.name, cause=pause.cause, text=pause.text)
        await self._spool.settle(decision.settlement)
        for move in decision.settlement.moves:
            if move.due_at is not None:
                line.expect(move.due_at)
        if decision.pause is not None:
            self._signals.paused(way.name)
        elif way.pause is not None and now >= way.pause.until and _got_past_login(report):
            way.pause = None
            await self._spool.resume(way.name)
            log.info("transport resumed", transport=way.name)
        self._signals.attempted(message.id)


def _got_past_login(report: Report) -> bool:
    return any(line.evidence.step not in TRANSPORT_STEPS for line in report.lines)
