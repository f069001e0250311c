"""A proxy in a thread of the test process that harms connections by a plan.

It can cut the wire after any byte in either direction (by FIN, by RST, or one way only), delay, split
writes, keep back the n-th reply, refuse connections, and freeze as a stopped peer does: what is sent to it
is acknowledged by the kernel and read by nobody. It knows lines and replies only to count them.
"""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self

from peers.ledger_sink import LINGER_RESET

CHUNK = 65536
GO_AHEAD = re.compile(rb"(?m)^354 [^\r\n]*\r\n")
LAST_LINE = re.compile(rb"(?m)^\d{3}(?: [^\r\n]*)?\r\n")


class Cut(Enum):
    """How a wire ends."""

    CLOSE = "close"
    RESET = "reset"
    HALF = "half"
    """Only the direction that was counted ends; the other goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to one connection; the default is nothing."""

    up: int | None = None
    """Bytes from the client that pass before the cut."""
    down: int | None = None
    """Bytes from the server that pass before the cut."""
    cut: Cut = Cut.CLOSE
    delay_s: float = 0.0
    """Before each write, in both directions."""
    split: int = CHUNK
    """Bytes of each write."""
    swallow: int = 0
    """Number of the server's reply, from 1 for the greeting, that never arrives."""


NOTHING = Plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What a connection carried before its end."""

    plan: Plan
    up: bytes
    down: bytes

    @property
    def bodies(self) -> int:
        """Count the bodies that the server asked for."""
        return len(GO_AHEAD.findall(self.down))


@dataclass(eq=False)
class _Wire:
    """One connection: both sockets, and what passed each way."""

    plan: Plan
    client: socket.socket
    server: socket.socket
    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    replies: int = 0

    def end(self) -> None:
        for end in (self.client, self.server):
            if self.plan.cut is Cut.RESET:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            end.close()

    def kept(self, data: bytes) -> bytes:
        """Return what of the server's bytes may pass: all but the reply that is kept back."""
        if not self.plan.swallow:
            return data
        passed, start = b"", 0
        for match in LAST_LINE.finditer(data):
            self.replies += 1
            if self.replies != self.plan.swallow:
                passed += data[start : match.end()]
            start = match.end()
        return passed + data[start:]


@dataclass(eq=False)
class FaultProxy:
    """``with FaultProxy(port, plan) as proxy``: ``proxy.port`` leads to ``port`` on loopback.

    ``plan`` is asked with the number of each connection, from 1.
    """

    target: int
    plan: Callable[[int], Plan] = lambda _number: NOTHING
    port: int = 0
    connections: int = 0
    ended: list["Passed"] = field(default_factory=list)
    """Of each connection that has ended: what passed."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: socket.socket | None = None
        self._listener: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def refuse(self) -> None:
        """Refuse connections from now on, and end those that are open."""
        self._call(self._stop())

    def restore(self) -> None:
        """Take connections again, on the same port."""
        self._call(self._listen())

    def freeze(self) -> None:
        """Read and write nothing more, as a stopped process: the kernel goes on for it."""
        self._loop.call_soon_threadsafe(self._thawed.clear)

    def thaw(self) -> None:
        """Go on."""
        self._loop.call_soon_threadsafe(self._thawed.set)

    # ------------------------------------------------------------- in the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(1000)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._listening = listening
        self._listener = asyncio.create_task(self._accept(listening))

    async def _stop(self) -> None:
        tasks = [*self._tasks, *([self._listener] if self._listener else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            await self._thawed.wait()
            client, _ = await self._loop.sock_accept(listening)
            self.connections += 1
            task = asyncio.create_task(self._carry(client, self.plan(self.connections)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: socket.socket, plan: Plan) -> None:
        server = socket.socket()
        wire = _Wire(plan, client, server)
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, ("127.0.0.1", self.target))
            if plan.up == 0 or plan.down == 0:
                return
            ways = [asyncio.create_task(self._pump(wire, is_up=is_up)) for is_up in (True, False)]
            try:
                await asyncio.wait(
                    ways,
                    return_when=asyncio.ALL_COMPLETED if plan.cut is Cut.HALF else asyncio.FIRST_COMPLETED,
                )
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            return
        finally:
            wire.end()
            self.ended.append(Passed(plan=plan, up=bytes(wire.up), down=bytes(wire.down)))

    async def _pump(self, wire: _Wire, *, is_up: bool) -> None:
        """Carry one direction to its end or its cut."""
        plan = wire.plan
        source, target = (wire.client, wire.server) if is_up else (wire.server, wire.client)
        limit = plan.up if is_up else plan.down
        left = limit if limit is not None else 1 << 62
        with contextlib.suppress(OSError):
            while left > 0:
                await self._thawed.wait()
                if not (data := await self._loop.sock_recv(source, CHUNK)):
                    break
                await self._thawed.wait()
                data = (data if is_up else wire.kept(data))[:left]
                left -= len(data)
                (wire.up if is_up else wire.down).extend(data)
                for start in range(0, len(data), plan.split):
                    await asyncio.sleep(plan.delay_s)
                    await self._loop.sock_sendall(target, data[start : start + plan.split])
            target.shutdown(socket.SHUT_WR)
