"""The capture inbox as a way out: the message is written down as it would have gone, and nothing leaves.

It keeps the order of a real transport: everything is prepared, then ``commit``, then the mail is taken. What
it reports after that has neither reply nor fault, because nobody replied; policy calls it captured.
"""

import asyncio
from functools import partial

from postroom.clock import Clock
from postroom.errors import DiskFullError, InvariantError
from postroom.mime.rendered import variant_of
from postroom.mime.writer import wire_chunks
from postroom.model.message import BlobRef
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import TransportSpec
from postroom.model.view import CapturedMail
from postroom.ports import Blobs, Captures, Report, ReportLine, Work

HOST = "capture"
CAPACITY = 16
"""Mails written at once: each waits for the disk in a thread of its own."""
MAX_RECIPIENTS = 1000
"""All recipients of a message (the largest intake allows) stand in one captured mail."""


class CaptureTransport:
    """The capture inbox (the ``Transport`` port)."""

    is_capture = True
    capacity = CAPACITY
    max_recipients = MAX_RECIPIENTS

    def __init__(self, spec: TransportSpec, *, blobs: Blobs, captures: Captures, clock: Clock) -> None:
        """Take the name and the subject prefix from ``spec``."""
        self.name = spec.name
        self.variant = variant_of(spec)
        self._blobs = blobs
        self._captures = captures
        self._clock = clock
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0

    async def attempt(self, work: Work) -> Report:
        """Take one message; passes on what ``work.commit`` and the store raise."""
        if self._is_stopping:
            return Report(lines=())
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._take(work)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def allow(self, connections: int) -> None:
        """There are no connections to bound."""

    async def stop(self, *, grace_s: float) -> None:
        """Take no new mail; wait up to ``grace_s`` seconds for what is being written."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            pass  # what is not committed was not begun, the rest is uncertain at the next start

    async def _take(self, work: Work) -> Report:
        started = self._clock.monotonic()
        try:
            source = await asyncio.to_thread(self._write, work)
        except (OSError, DiskFullError, InvariantError) as error:
            text = f"the mail could not be written down: {error}"
            fault = Fault(kind=FaultKind.LOCAL, text=text)
            return self._report(work, Evidence(step=Step.BODY, fault=fault, host=HOST), started)
        if not await work.commit():
            return Report(lines=())
        await self._captures.add(
            CapturedMail(
                number=0,
                message_id=work.message_id,
                captured_at=self._clock.now(),
                reverse_path=work.reverse_path.spec,
                recipients=tuple([address.spec for _, address in work.recipients]),
                subject=work.subject,
                sender=work.sender,
                source=source,
            )
        )
        return self._report(work, Evidence(step=Step.BODY_END, host=HOST), started)

    def _write(self, work: Work) -> BlobRef:
        """Store the wire bytes as a blob. Blocking."""
        staged = self._blobs.stage(work.tenant)
        try:
            for chunk in wire_chunks(work.rendered, partial(self._blobs.open, work.tenant)):
                staged.write(chunk)
            return staged.commit()
        finally:
            staged.discard()

    def _report(self, work: Work, evidence: Evidence, started: float) -> Report:
        at = self._clock.now()
        duration_ms = round((self._clock.monotonic() - started) * 1000)
        return Report(
            lines=tuple(
                [
                    ReportLine(recipient=number, evidence=evidence, at=at, duration_ms=duration_ms)
                    for number, _ in work.recipients
                ]
            )
        )
