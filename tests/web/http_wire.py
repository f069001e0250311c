"""Raw HTTP/1.1 over real sockets: a server in a running loop, and a client that writes what it likes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import uvloop
from starlette.types import ASGIApp

from postroom.clock import SystemClock
from postroom.web.household import ServerLimits
from postroom.web.server import Binding, HttpServer, serve


@dataclass(slots=True)
class Wire:
    """One client connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: int = field(default=0)

    def send(self, data: bytes) -> None:
        self.writer.write(data)
        self.sent += len(data)

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer; status and body. A closed connection is ``(0, b"")``."""
        async with asyncio.timeout(10):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, b""
            size = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            return int(head.split(b" ")[1]), await self.reader.readexactly(size)

    async def is_closed(self) -> bool:
        """Wait until the server has closed."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def running(app: ASGIApp, limits: ServerLimits | None = None) -> AsyncIterator[HttpServer]:
    binding = Binding(host="127.0.0.1", port=0, app=app)
    async with serve([binding], clock=SystemClock(), limits=limits) as server:
        yield server


@asynccontextmanager
async def wire(server: HttpServer) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.bound[0].port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def on_the_wire(
    app: ASGIApp, talk: Callable[[Wire], Awaitable[None]], limits: ServerLimits | None = None
) -> None:
    """Serve ``app`` on the loop of production and let ``talk`` use one connection to it."""

    async def run() -> None:
        async with running(app, limits) as server, wire(server) as client:
            await talk(client)

    uvloop.run(run())
