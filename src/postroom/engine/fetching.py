"""The first stage of mail that names files by URL: they are fetched, then the mail is whole and waits again.

A claimed mail whose files are missing comes here instead of to its transport. Its lease is kept while the
files are fetched into blobs; then the stored message is completed and its lease given back in one
transaction, and the next claim finds an ordinary mail. What fails is settled as an attempt at step ``fetch``:
tried again by the schedule of its class, or held for a person (``policy.fetching``). It pauses no transport,
takes none of its connections and none of its pace.

Only so many mails are fetched for at once, and only so many from one host, so that a slow file server keeps
neither other mail nor other hosts waiting. A mail that finds no place goes back to the queue, each a moment
later than the one before it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from postroom.clock import Clock, Dice
from postroom.engine import measuring
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import proven, size_problem
from postroom.engine.signals import Signals
from postroom.errors import DiskFullError, OverloadError
from postroom.mime.rendered import DEFAULT_VARIANT
from postroom.model.attempt import Claimed
from postroom.model.ids import MessageId
from postroom.model.message import Attachment, MailClass, Message, RemoteFile
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.policy import fetching, settling
from postroom.policy.retry import ClassRules
from postroom.ports import Blobs, Download, Fetcher, ReportLine, Spool
from postroom.telemetry import logger

MAX_MAILS = 64
"""Mails that are fetched for at once; each holds one connection and 256 KiB."""
MAX_PER_HOST = 16
"""Of these from one host: what a slow one may keep busy."""
STAGE_S = 1800.0
"""Seconds for all files of one mail: half of the time its lease lasts."""
TURN = timedelta(milliseconds=20)
"""Between two mails that come back for a place: fifty looks a second cost little."""
FIRST_TURN = timedelta(seconds=1)
BUSY = timedelta(seconds=5)
"""When the store has no room or no time for it now."""

Fetched = Download | tuple[Attachment, ...]
"""The files, or what came of the first that could not be fetched."""

log = logger("fetching")


class Wake(Protocol):
    """Says that a mail is due for a transport."""

    def __call__(self, transport: str, *, due_at: datetime | None = None, is_urgent: bool = False) -> None:
        """Say it; ``due_at`` is ``None`` for now."""
        ...


class Fetching:
    """Fetches what claimed mail still lacks. ``stop`` gives back what is under way."""

    def __init__(
        self,
        *,
        spool: Spool,
        blobs: Blobs,
        fetcher: Fetcher,
        rules: Mapping[MailClass, ClassRules],
        limits: MessageLimits,
        signals: Signals,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """Take the parts."""
        self._spool = spool
        self._blobs = blobs
        self._fetcher = fetcher
        self._rules = rules
        self._limits = limits
        self._signals = signals
        self._clock = clock
        self._dice = dice
        self.wake: Wake = _wake_nobody
        """Set by the dispatcher."""
        self._places = _Places()
        self._turn_at: datetime | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Break off what is under way; it is given back."""
        self._stopping.set()

    async def complete(self, transport: str, claimed: Claimed) -> None:
        """Fetch for a claimed mail and end its lease, one way or another; it comes back by the queue."""
        try:
            await self._turn(transport, claimed)
        except (OverloadError, DiskFullError) as error:
            log.warning("files not fetched now", message_id=claimed.message.id, error=str(error))
            await self._give_back(transport, claimed, due_at=self._clock.now() + BUSY)

    async def _turn(self, transport: str, claimed: Claimed) -> None:
        message = claimed.message
        place = self._places.take(message)
        if place is None:
            await self._give_back(transport, claimed, due_at=self._next_turn())
            return
        begun = self._clock.monotonic()
        try:
            found = await self._unless_stopped(self._fetched(message))
        finally:
            self._places.leave(place)
        if found is None:
            await self._give_back(transport, claimed)
        elif isinstance(found, Download):
            await self._failed(transport, claimed, found, seconds=self._clock.monotonic() - begun)
        else:
            await self._spool.complete(claimed.lease, found)
            self.wake(transport, is_urgent=message.mail_class is MailClass.CODE)

    async def _unless_stopped(self, work: Coroutine[Any, Any, Fetched]) -> Fetched | None:
        """Return what the work brings, ``None`` when it was broken off."""
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
            return None if task.cancelled() else task.result()
        finally:
            stopped.cancel()

    # ------------------------------------------------------------------ fetching

    async def _fetched(self, message: Message) -> Fetched:
        files, content = message.content.remote_files, message.content
        texts = (content.text or "", content.html or "")
        left = self._limits.max_content - sum(len(text.encode()) for text in texts)
        left -= sum(one.blob.size for one in content.attachments)
        attachments: list[Attachment] = []
        try:
            async with asyncio.timeout(STAGE_S):
                for file in files:
                    got = await self._one(message, file, left)
                    if isinstance(got, Download):
                        return got
                    left -= got.blob.size
                    attachments.append(got)
        except TimeoutError:
            text = f"the {len(files)} files were not there within {STAGE_S:g} s together"
            return Download(fault=Fault(kind=FaultKind.TIMEOUT, text=text, cause=fetching.TIMEOUT))
        if (fault := await self._wire_fault(message, attachments)) is not None:
            return Download(fault=fault)
        return tuple(attachments)

    async def _one(self, message: Message, file: RemoteFile, left: int) -> Download | Attachment:
        blob = self._blobs.stage(message.tenant)
        try:
            download = await self._fetcher.fetch(file.url, into=blob, max_bytes=max(left, 0))
            if (fault := download.fault) is not None:
                where = f" from {download.host}" if download.host else ""
                return replace(download, fault=replace(fault, text=f"{file.filename}{where}: {fault.text}"))
            ref = await asyncio.to_thread(blob.commit)
        finally:
            blob.discard()
        kind = fetching.media_type(download.content_type, file.filename)
        return Attachment(filename=file.filename, content_type=kind, blob=ref)

    async def _wire_fault(self, message: Message, fetched: list[Attachment]) -> Fault | None:
        """Prove that the whole mail can be written, and within the limit, before it is stored."""
        together = message.content.attachments + tuple(fetched)
        whole = replace(message.content, attachments=together, remote_files=())
        rendered = await proven(whole, DEFAULT_VARIANT)
        if (problem := size_problem(rendered, self._limits)) is None:
            return None
        return Fault(kind=FaultKind.LOCAL, text=problem.cause, cause=fetching.TOO_LARGE)

    # ------------------------------------------------------------------ the end of a turn

    async def _failed(self, transport: str, claimed: Claimed, download: Download, *, seconds: float) -> None:
        """Settle what could not be fetched as an attempt that met no mail server."""
        message, now = claimed.message, self._clock.now()
        evidence = Evidence(step=Step.FETCH, fault=download.fault, host=download.host, port=download.port)
        duration_ms = round(seconds * 1000)
        decision = settling.decide(
            claimed,
            [
                ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=duration_ms)
                for number in claimed.recipients
            ],
            via=settling.Via(transport=transport),
            rules=self._rules[message.mail_class],
            now=now,
            roll=self._dice.roll(),
        )
        await self._spool.settle(decision.settlement)
        measuring.settled(transport, decision.settlement)
        for move in decision.settlement.moves:
            if move.due_at is not None:
                self.wake(transport, due_at=move.due_at)
        self._signals.attempted(message.id)

    async def _give_back(self, transport: str, claimed: Claimed, *, due_at: datetime | None = None) -> None:
        await self._spool.release([claimed.lease], due_at=due_at)
        self.wake(transport, due_at=due_at)

    def _next_turn(self) -> datetime:
        """Return when a mail without a place looks again: after all others that wait for one."""
        first = self._clock.now() + FIRST_TURN
        self._turn_at = first if self._turn_at is None else max(first, self._turn_at + TURN)
        return self._turn_at


class _Places:
    """Who is fetched for now: bounded as a whole and by host; no mail twice."""

    def __init__(self) -> None:
        self._mails: dict[MessageId, str] = {}
        self._by_host: Counter[str] = Counter()

    def take(self, message: Message) -> MessageId | None:
        """Take a place for a mail; ``None`` when there is none, or another group of it has one."""
        host = host_of(message.content.remote_files[0].url)
        is_full = len(self._mails) >= MAX_MAILS or self._by_host[host] >= MAX_PER_HOST
        if is_full or message.id in self._mails:
            return None
        self._mails[message.id] = host
        self._by_host[host] += 1
        return message.id

    def leave(self, message_id: MessageId) -> None:
        """Give a place back."""
        self._by_host -= Counter([self._mails.pop(message_id)])


def host_of(url: str) -> str:
    """Return the host and port of a URL, as one text to compare."""
    return url.partition("//")[2].partition("/")[0].lower()


def _wake_nobody(transport: str, *, due_at: datetime | None = None, is_urgent: bool = False) -> None:
    del transport, due_at, is_urgent
