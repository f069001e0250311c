"""SMTP transports whose work is done by a sender process, seen from the engine's process.

The engine's process owns the store and takes mail in; dialogues, TLS and hashing of files happen in a process
of their own, so that two processors share the work. The port is the same, and so is the order of things: the
sender asks for leave before each final dot, leave is given after the store has recorded it.

When the sender process dies, an attempt that had leave is uncertain and any other did not begin; a new one is
started, and what was in the old one is attempted one at a time (``suspects``). When this process dies, the
kernel kills the sender.
"""

import asyncio
import enum
import os
import pickle
import socket
import subprocess
from collections.abc import Mapping, Sequence

from postroom.clock import Clock
from postroom.egress.channel import Channel
from postroom.egress.frames import (
    ALLOW,
    ASK_TOKEN,
    COMMIT,
    DROP,
    GO,
    REPORT,
    STOP,
    STOPPED,
    WAY,
    Frame,
    packed,
    packed_token,
    packed_work,
    report_of,
)
from postroom.egress.pool import NOT_BEGUN
from postroom.egress.reports import same_for_all
from postroom.egress.smtp import checked_account
from postroom.egress.suspects import Suspects
from postroom.errors import InvariantError
from postroom.mime.rendered import variant_of
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import TransportSpec
from postroom.net.faults import NetFault
from postroom.ports import Report, TokenSource, Work
from postroom.telemetry import catalogue, logger
from postroom.telemetry.process import resident_bytes_of

RESTART_FIRST_S = 0.5
RESTART_CAP_S = 30.0
"""Pause before a sender process that ended is started again; doubled while it ends without having worked."""
DIED = "the sending process ended"
DIED_AFTER_DOT = "the sending process ended after the final dot"
_SETTINGS = ("POSTROOM_", "SMTP_")
"""Beginnings of the names of environment variables that are settings."""
END_S = 5.0
"""How long a sender process may take to end after its last frame."""

log = logger("sender")


class Said(enum.Enum):
    """What comes of an attempt beside its report."""

    MAY_I = enum.auto()
    """The final dot is next."""
    GONE = enum.auto()
    """The sender process is no more."""
    LOST = enum.auto()
    """It was no more before it could be given leave: no final dot was sent."""


Answer = asyncio.Future[Report | Said]


class SenderProcess:
    """The sender process, started again when it ends; one for all SMTP transports."""

    def __init__(
        self, command: Sequence[str], first: bytes, *, clock: Clock, tokens: TokenSource | None = None
    ) -> None:
        """Take the command, to which the number of its end of the socket pair is added, and a first frame."""
        self._command = tuple(command)
        self._first = first
        self._clock = clock
        self._tokens = tokens
        self._questions: set[asyncio.Task[None]] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._numbers = 0
        self._answers: dict[int, Answer] = {}
        self._stopped: dict[int, asyncio.Future[None]] = {}
        self.suspects = Suspects()
        self._ways: dict[int, bytes] = {}
        """The frame that makes each transport, by its number; a process started again gets them all."""
        self._made = 0
        self._allowed: dict[int, int] = {}
        self._pause_s = RESTART_FIRST_S
        self._restart: asyncio.Task[None] | None = None
        self._is_up = asyncio.Event()
        self._is_closing = False

    async def start(self) -> None:
        """Start the process; its work may be given to it at once. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            # Not in a thread: the kernel ties the child's life to the thread that starts it.
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - see above; the wiring's own command
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_without_settings(os.environ),
            )
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: Channel(self._take, self._ended), sock=ours)
        self._channel = channel
        channel.send(self._first)
        for frame in self._ways.values():
            channel.send(frame)
        for way, connections in self._allowed.items():
            channel.send(packed(ALLOW, way, connections))
        self._is_up.set()

    async def start_once(self) -> None:
        """Start the process unless it was started before. Raises OSError."""
        if self._process is None:
            await self.start()

    def show(self) -> None:
        """Fill the gauge of the process."""
        pid = None if self._process is None else self._process.pid
        catalogue.SENDER_RESIDENT.show(0 if pid is None else resident_bytes_of(pid))

    async def close(self) -> None:
        """End the process; its transports were stopped before."""
        self._is_closing = True
        if self._restart is not None:
            self._restart.cancel()
        for question in self._questions:
            question.cancel()
        if self._channel is not None:
            self._channel.close()
        await asyncio.to_thread(self._reap)

    def _reap(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # ------------------------------------------------------------------ transports

    def add(self, spec: TransportSpec) -> int:
        """Take a transport; return its number, which no other one gets."""
        way, self._made = self._made, self._made + 1
        frame = self._ways[way] = packed(WAY, way, pickle.dumps(spec))
        if self._channel is not None:
            self._channel.send(frame)
        return way

    def allow(self, way: int, connections: int) -> None:
        """Bound the connections of a transport."""
        if way in self._ways:
            self._allowed[way] = connections
            if self._channel is not None:
                self._channel.send(packed(ALLOW, way, connections))

    async def stop(self, way: int, grace_s: float) -> None:
        """Stop one transport for good and wait until it has stopped."""
        self._ways.pop(way, None)
        self._allowed.pop(way, None)
        if self._channel is None:
            return
        stopped = self._stopped.get(way)  # a second call, with less patience, ends the first too
        if stopped is None:
            stopped = self._stopped[way] = asyncio.get_running_loop().create_future()
        self._channel.send(packed(STOP, way, grace_s))
        done, _ = await asyncio.wait({stopped}, timeout=grace_s + END_S)
        if not done and self._process is not None:
            log.critical("the sender process does not answer and is ended", transport=way)
            self._process.kill()

    # ------------------------------------------------------------------ attempts

    async def up(self) -> Channel:
        """Return the channel, waiting for the process and for room. One call an attempt."""
        while True:
            if not self._is_up.is_set():
                await self._is_up.wait()
            channel = self._channel
            if channel is None:
                raise InvariantError("a sender process without a channel")
            await channel.room()
            if channel is self._channel:
                return channel

    def begin(self, channel: Channel, way: int, work: Work) -> tuple[int, Answer]:
        """Hand an attempt over."""
        self._numbers += 1
        number = self._numbers
        answer = self._answers[number] = channel.future()
        channel.send(packed_work(number, way, work))
        return number, answer

    def go(self, channel: Channel, number: int, *, may_send: bool) -> Answer:
        """Answer ``MAY_I``; the next answer is the report, or ``LOST`` when the leave reached nobody."""
        answer: Answer = channel.future()
        if channel is self._channel:
            self._answers[number] = answer
            channel.send(packed(GO, number, may_send))
        else:
            answer.set_result(Said.LOST)
        return answer

    def forget(self, channel: Channel, number: int) -> None:
        """Nobody waits for this attempt any more; one that is under way is given up before its dot."""
        if self._answers.pop(number, None) is not None and channel is self._channel:
            channel.send(packed(DROP, number))

    # ------------------------------------------------------------------ what comes

    def _take(self, frame: Frame) -> None:
        kind, number = frame[0], frame[1]
        if kind == STOPPED:
            if (stopped := self._stopped.pop(number, None)) is not None and not stopped.done():
                stopped.set_result(None)
            return
        if kind == ASK_TOKEN:
            question = asyncio.get_running_loop().create_task(self._tell_token(frame), name="token")
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)
            return
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return  # its caller gave up
        if kind == COMMIT:
            answer.set_result(Said.MAY_I)
        elif kind == REPORT:
            self._pause_s = RESTART_FIRST_S
            del self._answers[number]
            answer.set_result(report_of(frame))

    async def _token(self, transport: str, rejected: Secret | None) -> Secret:
        if self._tokens is None:
            raise InvariantError("a sender process asks for a token and nobody has one")
        return await self._tokens.token(transport, rejected=rejected)

    async def _tell_token(self, frame: Frame) -> None:
        _, number, transport, rejected = frame
        channel = self._channel
        found: Secret | NetFault
        try:
            found = await self._token(transport, None if rejected is None else Secret(rejected))
        except NetFault as failure:
            found = failure
        except Exception as error:  # supervision: a login waits for an answer, whatever it is
            log.exception("a token could not be had", transport=transport)
            text = f"internal error: {type(error).__name__}"
            found = NetFault(Step.AUTH, Fault(kind=FaultKind.LOCAL, text=text), transport)
        if channel is not None and channel is self._channel:
            channel.send(packed_token(number, found))

    def _ended(self) -> None:
        self._channel = None
        self._is_up.clear()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_result(Said.GONE)
        stopped, self._stopped = self._stopped, {}
        for one in stopped.values():
            if not one.done():
                one.set_result(None)
        if not self._is_closing:
            log.critical("the sender process ended; another is started", attempts=len(answers))
            self._restart = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        await asyncio.to_thread(self._reap)
        while True:
            await self._clock.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, RESTART_CAP_S)
            try:
                await self.start()
            except OSError as error:
                log.critical("the sender process cannot be started", error=str(error))
            else:
                return


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out what may hold secrets: the process has its settings over the socket pair."""
    return {key: value for key, value in environ.items() if not key.startswith(_SETTINGS)}


class RemoteTransport:
    """A way out over SMTP whose dialogues a sender process has (the ``Transport`` port)."""

    is_capture = False

    def __init__(self, spec: TransportSpec, *, sender: SenderProcess, clock: Clock) -> None:
        """Take the spec, and have the sender process take it.

        Raises as ``checked_account``.
        """
        checked_account(spec)
        self.name = spec.name
        self.capacity = spec.max_connections * 2
        self.max_recipients = spec.max_recipients
        self.variant = variant_of(spec)
        self._way = sender.add(spec)
        self._sender = sender
        self._clock = clock

    def allow(self, connections: int) -> None:
        """Use at most so many connections from now on."""
        self._sender.allow(self._way, connections)

    async def attempt(self, work: Work) -> Report:
        """Make one attempt. Never raises for what a peer does; passes on what ``work.commit`` raises."""
        suspects = self._sender.suspects
        if work.message_id not in suspects:
            return await self._attempt(work)
        async with suspects.alone:
            return await self._attempt(work)

    async def _attempt(self, work: Work) -> Report:
        sender = self._sender
        channel = await sender.up()
        number, answer = sender.begin(channel, self._way, work)
        had_leave = False
        try:
            said = await answer
            if said is Said.MAY_I:
                try:
                    had_leave = await work.commit()
                finally:
                    answer = sender.go(channel, number, may_send=had_leave)
                said = await answer
        finally:
            sender.forget(channel, number)
        if isinstance(said, Report):
            sender.suspects.survived(work.message_id)
            return said
        if said is Said.LOST:
            return self._failed(work, Step.MAIL, Fault(kind=FaultKind.LOCAL, text=DIED))
        if had_leave:
            return self._failed(work, Step.BODY_END, Fault(kind=FaultKind.CLOSED, text=DIED_AFTER_DOT))
        if said is Said.MAY_I:
            raise InvariantError("a sender process asked twice for leave to send a final dot")
        if sender.suspects.died_with(work.message_id):
            return self._failed(work, Step.MAIL, Fault(kind=FaultKind.LOCAL, text=DIED, cause="crash-loop"))
        return NOT_BEGUN

    async def stop(self, *, grace_s: float) -> None:
        """Take no new attempt; before the dot abort (not begun), after the dot wait up to ``grace_s``."""
        await self._sender.stop(self._way, grace_s)

    def _failed(self, work: Work, step: Step, fault: Fault) -> Report:
        return same_for_all(work, Evidence(step=step, fault=fault), self._clock.now())
