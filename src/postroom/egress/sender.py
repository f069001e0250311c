"""The sender process from inside: takes attempts from its socket, has them made, tells what happened.

It holds no state that outlives it and opens no store: files of attachments are read, nothing is written.
It ends when the engine's end of the socket closes, at once for what has not reached its final dot.
"""

import asyncio
import socket
from collections.abc import Callable

from postroom.clock import Clock
from postroom.egress.asked_tokens import AskedTokens
from postroom.egress.channel import Channel
from postroom.egress.frames import (
    ALLOW,
    ATTEMPT,
    COMMIT,
    DROP,
    GO,
    STOP,
    STOPPED,
    TOKEN,
    WAY,
    Frame,
    packed,
    packed_report,
    work_of,
)
from postroom.egress.pool import NOT_BEGUN
from postroom.egress.reports import same_for_all
from postroom.errors import InvariantError
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.ports import TokenSource, Transport
from postroom.telemetry import logger

log = logger("sender")


class Sender:
    """Serves one engine."""

    def __init__(
        self,
        build: Callable[[bytes, TokenSource], Transport],
        *,
        clock: Clock,
        forget: Callable[[Transport], None] = lambda _: None,
    ) -> None:
        """Take what makes a transport of a spec as a frame carries it, and of where tokens are asked for.

        ``forget`` is told of a transport that has stopped for good.
        """
        self._forget = forget
        self._clock = clock
        self._build = build
        self._transports: dict[int, Transport] = {}
        self._tokens = AskedTokens(self._send)
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._leaves: dict[int, asyncio.Future[bool]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._end = self._loop.create_future()

    async def serve(self, end: socket.socket) -> None:
        """Work until the engine closes its end of the socket pair."""
        _, self._channel = await self._loop.create_unix_connection(
            lambda: Channel(self._take, self._ended), sock=end
        )
        await self._end
        for task in list(self._attempts.values()):
            task.cancel()

    def _ended(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    def _send(self, frame: bytes) -> None:
        if self._channel is not None:
            self._channel.send(frame)

    def _take(self, frame: Frame) -> None:
        kind, number = frame[0], frame[1]
        if kind == ATTEMPT:
            self._attempts[number] = self._loop.create_task(self._attempt(frame))
        elif kind == GO:
            leave = self._leaves.pop(number, None)
            if leave is not None and not leave.done():
                leave.set_result(frame[2])
        elif kind == DROP:
            if (task := self._attempts.get(number)) is not None:
                task.cancel()
        elif kind == TOKEN:
            self._tokens.take(frame)
        else:
            self._take_of_way(frame)

    def _take_of_way(self, frame: Frame) -> None:
        kind, way = frame[0], frame[1]
        if kind == ALLOW:
            if (transport := self._transports.get(way)) is not None:
                transport.allow(frame[2])
        elif kind == WAY:
            self._transports[way] = self._build(frame[2], self._tokens)
        elif kind == STOP:
            stopping = self._loop.create_task(self._stop(way, frame[2]))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
        else:
            raise InvariantError(f"a frame of kind {kind}")

    async def _attempt(self, frame: Frame) -> None:
        number = frame[1]

        had_leave = False

        async def commit() -> bool:
            nonlocal had_leave
            leave: asyncio.Future[bool] = self._loop.create_future()
            self._leaves[number] = leave
            self._send(packed(COMMIT, number))
            had_leave = await leave
            return had_leave

        work = work_of(frame, commit)
        try:
            transport = self._transports.get(frame[2])
            report = NOT_BEGUN if transport is None else await transport.attempt(work)
        except Exception as error:  # supervision: the engine must hear of an end
            log.exception("attempt failed inside", message_id=work.message_id)
            fault = Fault(kind=FaultKind.LOCAL, text=f"internal error: {type(error).__name__}")
            step = Step.BODY_END if had_leave else Step.BODY
            report = same_for_all(work, Evidence(step=step, fault=fault), self._clock.now())
        finally:
            self._leaves.pop(number, None)
            del self._attempts[number]
        self._send(packed_report(number, report))

    async def _stop(self, way: int, grace_s: float) -> None:
        if (transport := self._transports.get(way)) is not None:
            await transport.stop(grace_s=grace_s)
            if self._transports.pop(way, None) is not None:
                self._forget(transport)
        self._send(packed(STOPPED, way))
