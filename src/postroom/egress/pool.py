"""The connections of one SMTP transport and the attempts that wait for them.

One worker task for each connection, started when work waits and ended when it has long been idle; work waits
in one queue, by priority. A worker repeats: take an attempt, run its commands, ask leave before the dot,
write the content, and, when the server bears it, begin the next attempt in the same flight.

Rules:

* ``allow`` bounds the connections; one above the bound ends with its attempt, an idle one at once.
* While no connection is open only one is tried: a wrong password must not be tried ten times.
* A connection that cannot be opened while others work means "no more than these" for a while; when it is the
  only one, the attempt that waits longest gets the evidence and all others go back as not begun.
* An attempt whose connection is to blame (gone stale, closed by 421, out of step through grouping) is begun
  again on a fresh one, in lockstep, at most ``MAX_REPEATS`` times; never after its final dot.
* Nothing is awaited between the leave to send the dot and the dot.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

from postroom.clock import Clock
from postroom.egress.dialer import Dialer
from postroom.egress.link import Job, Link
from postroom.egress.waiting import Waiting
from postroom.errors import InvariantError, PostroomError
from postroom.mime.rendered import RenderedMessage
from postroom.mime.writer import wire_chunks
from postroom.model.message import ReportWish
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import EnhancedCode, Reply
from postroom.model.step import Step
from postroom.model.transport import TransportSpec
from postroom.ports import BlobSource, Report, ReportLine, Work
from postroom.smtp.client import Done, SendBody
from postroom.smtp.data import DotStuffer, stuffed
from postroom.smtp.hosts import BAD_FOR_S, HostMemory, Mode
from postroom.smtp.transaction import Transaction
from postroom.telemetry import logger

MAX_REPEATS = 2
"""Once for a connection gone stale, once more for a server that does not bear grouping."""
CEILING_S = 300.0
"""Seconds for which no more connections are opened than the server was seen to take."""
CHUNK = 64 * 1024
"""Bytes of content handed to the socket at once."""
NOT_BEGUN = Report(lines=())
_PARAMETER_UNKNOWN = 555
"""A parameter of MAIL is not known (RFC 5321 section 4.1.1.11)."""
_SYNTAX = frozenset({501, 504})
_BAD_ARGUMENT = EnhancedCode(5, 5, 4)
"""Invalid command arguments (RFC 3463 section 3.6)."""
_RIDING = Mode.RIDING

log = logger("egress")


class Pool:
    """Up to ``spec.max_connections`` connections and one queue."""

    def __init__(self, spec: TransportSpec, dialer: Dialer, *, clock: Clock, blobs: BlobSource) -> None:
        """Open nothing yet."""
        self._spec = spec
        self._dialer = dialer
        self._clock = clock
        self._blobs = blobs
        self._memory = HostMemory()
        self._pending = Waiting()
        self._allowed = spec.max_connections
        self._idle: list[Link] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._links: dict[asyncio.Task[None], Link] = {}
        self._surplus: set[asyncio.Task[None]] = set()
        """Workers that end because fewer connections are allowed."""
        self._ceiling = spec.max_connections
        self._ceiling_until = 0.0
        self._is_stopping = False
        self._no_size_until = 0.0
        """Until then SIZE is not given: the server announced it and refused it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of the first attempt; asking for it costs a system call in CPython 3.11."""

    def deliver(self, work: Work) -> "asyncio.Future[Report]":
        """Make one attempt on some connection."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Report] = self._loop.create_future()
        if self._is_stopping:
            future.set_result(NOT_BEGUN)
        else:
            self._pending.add(Job(work, future, self._clock.monotonic()))
            self._call_a_worker()
        return future

    def allow(self, connections: int) -> None:
        """Use at most so many connections from now on, at least one."""
        self._allowed = max(min(connections, self._spec.max_connections), 1)
        for link in self._idle[: max(len(self._workers) - self._allowed, 0)]:
            link.wake(True)  # it sees the bound and leaves
        for _ in range(len(self._pending)):
            self._call_a_worker()

    async def stop(self, *, grace_s: float) -> None:
        """End everything: at once before the dot, after it within ``grace_s``."""
        self._is_stopping = True
        self._give_back_pending()
        for idle in self._idle:
            idle.wake(True)  # it says QUIT
        for worker in list(self._workers):
            link = self._links.get(worker)
            if link is None or not (link.session.is_past_dot or link.is_committing or link.session.can_begin):
                worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace_s)
        for worker in list(self._workers):
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    # ------------------------------------------------------------- workers

    def _call_a_worker(self) -> None:
        while self._idle:
            if self._idle.pop().wake(True):
                return
        if len(self._workers) >= self._allowed:
            return
        limit = self._allowed if self._links else 1
        if self._clock.monotonic() < self._ceiling_until:
            limit = min(limit, self._ceiling)
        opening = len(self._workers) - len(self._links)
        if len(self._workers) < limit and opening < len(self._pending):
            worker = asyncio.create_task(self._work(), name=f"smtp {self._spec.name}")
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: "asyncio.Task[None]") -> None:
        self._workers.discard(worker)
        self._surplus.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            log.error("connection worker failed", transport=self._spec.name, exc_info=error)
        if self._pending and not self._is_stopping:
            self._call_a_worker()

    async def _work(self) -> None:
        """Open connections and serve on them as long as work waits."""
        task = asyncio.current_task()
        if task is None:
            raise InvariantError("a worker that is no task")
        while self._pending and not self._is_stopping and not self._is_surplus():
            opened = await self._opened()
            if isinstance(opened, Evidence):
                self._on_unopened(opened)
                return
            self._limit(opened)
            self._links[task] = opened
            for _ in range(len(self._pending) - 1):
                self._call_a_worker()
            try:
                await self._serve(opened)
            except Exception as error:  # the supervision point of one connection: its attempts must end
                fault = Fault(kind=FaultKind.LOCAL, text=f"internal error: {type(error).__name__}")
                opened.session.lose(fault)
                raise
            finally:
                del self._links[task]
                self._close(opened)

    async def _opened(self) -> Link | Evidence:
        """Open a connection; whatever goes wrong ends the attempts that wait for one."""
        try:
            return await self._dialer.open()
        except Exception as error:  # supervision: else the next worker dials again at once, for ever
            log.exception("a connection could not be opened", transport=self._spec.name)
            fault = Fault(kind=FaultKind.LOCAL, text=f"internal error: {type(error).__name__}")
            return Evidence(step=Step.CONNECT, fault=fault)

    def _is_surplus(self) -> bool:
        """Say whether the worker that asks must end, since fewer are allowed than work."""
        if len(self._workers) <= self._allowed:
            return False
        task = asyncio.current_task()
        if task is not None and len(self._workers) - len(self._surplus) > self._allowed:
            self._surplus.add(task)
        return task in self._surplus

    def _limit(self, link: Link) -> None:
        """Tell a fresh connection what the settings and the server allow."""
        extensions, spec = link.session.extensions, self._spec
        link.may_group = extensions.pipelining and spec.pipelining
        link.max_messages = min(spec.max_messages, extensions.max_messages or spec.max_messages)

    def _on_unopened(self, evidence: Evidence) -> None:
        if self._links:
            self._ceiling = len(self._links)
            self._ceiling_until = self._clock.monotonic() + CEILING_S
            log.warning(
                "no further connection could be opened", transport=self._spec.name, open=self._ceiling
            )
            return
        if (job := self._pending.take(self._clock.monotonic())) is not None:
            self._report(job, [evidence] * len(job.work.recipients))
        self._give_back_pending()

    def _close(self, link: Link) -> None:
        session = link.session
        if link.idle_timer is not None:
            link.idle_timer.cancel()
        session.abandon()
        while (event := session.next_event()) is not None:
            if isinstance(event, Done):
                self._finish(event.transaction)
        self._learn_from(link)
        if not link.has_left:
            link.connection.abort()

    def _learn_from(self, link: Link) -> None:
        session, now = link.session, self._clock.monotonic()
        if session.trouble is not None:
            log.warning("the server does not bear grouped commands", transport=self._spec.name)
            self._memory = self._memory.after_trouble(session.trouble, now=now)
        elif session.suspect is not None:
            self._memory = self._memory.after_sudden_end(session.suspect, now=now)

    # ------------------------------------------------------------- one connection

    async def _serve(self, link: Link) -> None:
        session = link.session
        while True:
            await link.exchange()
            while (event := session.next_event()) is not None:
                if isinstance(event, Done):
                    self._finish(event.transaction)
                elif isinstance(event, SendBody):
                    await self._send_content(link, event.transaction.key)
            if session.is_over:
                return
            if session.waiting_step is None and not await self._begin_next(link):
                return

    async def _begin_next(self, link: Link) -> bool:
        """Begin the next attempt, waiting for one if need be; ``False``: the connection is not needed."""
        while not (link.has_idled and link.is_stale):
            now = self._clock.monotonic()
            if not self._has_room(link, now) or self._is_surplus():
                break
            if (job := self._pending.take(now)) is not None:
                self._begin(link, job, self._mode(link, job, now), now)
                return True
            if self._is_stopping or not await self._wait(link, now):
                break
        if not link.is_stale:
            await link.leave()
        return False

    async def _wait(self, link: Link, now: float) -> bool:
        """Wait for work as long as a connection may idle; say whether there may be some."""
        link.has_idled = True
        loop = link.loop
        waiting: asyncio.Future[bool] = loop.create_future()
        link.waiting = waiting
        age = now - link.opened_at
        link.idle_until = loop.time() + min(self._spec.max_idle_s, self._spec.max_age_s - age)
        if link.idle_timer is None or link.idle_timer.when() > link.idle_until:
            _watch(link)
        self._idle.append(link)
        try:
            return await waiting
        finally:
            link.waiting = None
            if link in self._idle:
                self._idle.remove(link)

    def _has_room(self, link: Link, now: float) -> bool:
        return link.messages < link.max_messages and now - link.opened_at < self._spec.max_age_s

    def _mode(self, link: Link, job: Job, now: float) -> Mode:
        """Say how an attempt may be sent now; one that is begun again goes in lockstep."""
        return self._memory.mode(is_announced=link.may_group and not job.repeats, now=now)

    def _begin(self, link: Link, job: Job, mode: Mode, now: float) -> None:
        session, work = link.session, job.work
        session.mode = mode
        link.messages += 1
        job.begun_at = now
        transaction = Transaction(
            job,
            reverse_path=work.reverse_path,
            recipients=[address for _, address in work.recipients],
            size=work.rendered.size,
            smtputf8=work.rendered.needs_smtputf8,
            eight_bit=work.rendered.needs_8bit,
            reports=_passable(work),
        )
        transaction.may_size = now >= self._no_size_until
        try:
            session.begin(transaction)
        except InvariantError as error:
            fault = Fault(kind=FaultKind.LOCAL, text=str(error))
            self._report(job, [Evidence(step=Step.MAIL, fault=fault)] * len(work.recipients))

    async def _send_content(self, link: Link, job: Job) -> None:
        """Send the content, the final dot and, when they may ride, the next attempt's commands."""
        session, connection = link.session, link.connection
        rendered = job.work.rendered
        content = rendered.segments[0]
        try:
            if isinstance(content, bytes) and len(content) == rendered.size <= CHUNK:
                last = stuffed(content)
            else:
                last = await self._send_most(link, job.work)
        except InvariantError as error:
            session.lose(Fault(kind=FaultKind.LOCAL, text=str(error)))
        except OSError as error:
            text = f"the content cannot be read: {error.strerror}"
            session.lose(Fault(kind=FaultKind.LOCAL, text=text, cause="content-damaged"))
        if session.is_over:
            return
        link.is_committing = True
        try:
            may_send = not job.future.done() and await job.work.commit()
        except PostroomError as error:
            may_send = False
            if not job.future.done():
                job.future.set_exception(error)
        finally:
            link.is_committing = False
        if not may_send:
            session.abandon()
            connection.abort()
            return
        if connection.has_unread or connection.is_closed:
            await link.notice()
            if session.is_over:
                return
        session.end_body()
        self._ride(link)
        connection.write(last + session.data_to_send())

    def _ride(self, link: Link) -> None:
        """Begin the next attempt behind the final dot when one waits and the server bears it."""
        if not self._pending or self._is_stopping or len(self._workers) > self._allowed:
            return
        now = self._clock.monotonic()
        job = self._pending.peek(now)
        if job is not None and self._has_room(link, now) and self._mode(link, job, now) is _RIDING:
            self._pending.take(now)
            self._begin(link, job, _RIDING, now)

    async def _send_most(self, link: Link, work: Work) -> bytes:
        """Send the stuffed content but for its last chunk, which is returned."""
        rendered = work.rendered
        stuffer = DotStuffer()
        last = b""
        chunks = (
            _slices(rendered)
            if rendered.is_whole
            else wire_chunks(rendered, partial(self._blobs.open, work.tenant))
        )
        while True:
            chunk = next(chunks, None) if rendered.is_whole else await asyncio.to_thread(next, chunks, None)
            if chunk is None:
                stuffer.finish()
                return last
            if last:
                await link.send_chunk(last)
                if link.session.is_over:
                    return b""
            last = stuffer.feed(chunk)

    # ------------------------------------------------------------- results

    def _give_back_pending(self) -> None:
        while (job := self._pending.take(self._clock.monotonic())) is not None:
            job.future.set_result(NOT_BEGUN)

    def _finish(self, transaction: Transaction[Job]) -> None:
        job = transaction.key
        if transaction.may_repeat and self._is_stopping:
            self._report(job, [])
        elif transaction.may_repeat and job.repeats < MAX_REPEATS:
            job.repeats += 1
            self._pending.add_again(job)
        elif self._refused_size(transaction):
            self._no_size_until = self._clock.monotonic() + BAD_FOR_S
            self._pending.add_again(job)
        else:
            self._report(job, transaction.results, passed_wishes=transaction.passes_wishes)
            memory = self._memory.after_success(transaction.mode)
            if memory is not self._memory and any(map(_is_final_reply, transaction.results)):
                self._memory = memory

    def _refused_size(self, transaction: Transaction[Job]) -> bool:
        """Say whether MAIL was refused for a parameter, or every RCPT: SIZE and wishes can be left out."""
        if not transaction.may_size or self._is_stopping:
            return False
        steps = {Step.MAIL, Step.RCPT} if transaction.passes_wishes else {Step.MAIL}
        told = [evidence for evidence in transaction.results if evidence is not None]
        return all(evidence.step in steps and _names_parameter(evidence.reply) for evidence in told) and bool(
            told
        )

    def _report(self, job: Job, results: Sequence[Evidence | None], *, passed_wishes: bool = False) -> None:
        if job.future.done():
            return
        now = self._clock.now()
        duration_ms = int((self._clock.monotonic() - job.begun_at) * 1000)
        lines = [
            ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=duration_ms)
            for (number, _), evidence in zip(job.work.recipients, results, strict=False)
            if evidence is not None
        ]
        job.future.set_result(Report(lines=tuple(lines), passed_wishes=passed_wishes))


def _names_parameter(reply: Reply | None) -> bool:
    """Say whether a refusal is of a parameter."""
    return reply is not None and (
        reply.code == _PARAMETER_UNKNOWN or (reply.code in _SYNTAX and reply.enhanced == _BAD_ARGUMENT)
    )


def _passable(work: Work) -> ReportWish | None:
    """Return the sender's wishes that may go on: reports of them come to the reverse path that is given."""
    wish = work.reports
    return wish if wish is not None and wish.has_parameters and wish.to == work.reverse_path else None


def _watch(link: Link) -> None:
    """Set the timer to the end of the wait that is on."""
    if link.idle_timer is not None:
        link.idle_timer.cancel()
    link.idle_timer = link.loop.call_at(link.idle_until, _ring, link)


def _ring(link: Link) -> None:
    """The timer fired: for the wait that is on, for a longer one, or for none."""
    link.idle_timer = None
    if link.waiting is None:
        return
    if link.loop.time() < link.idle_until:
        _watch(link)
    else:
        link.wake(False)


def _is_final_reply(evidence: Evidence | None) -> bool:
    return evidence is not None and evidence.step is Step.BODY_END and evidence.reply is not None


def _slices(rendered: RenderedMessage) -> Iterator[bytes]:
    """Yield the one segment of a message in memory, in chunks."""
    for segment in rendered.segments:
        if isinstance(segment, bytes):
            for start in range(0, len(segment), CHUNK):
                yield segment[start : start + CHUNK]
