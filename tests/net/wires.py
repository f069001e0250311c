"""Servers and accounts for the tests of connections."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trustme

from postroom.clock import SystemClock
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode
from postroom.net.faults import NetFault

TIMEOUTS = StepTimeouts()
CLOCK = SystemClock()
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run = Callable[[Coroutine[object, object, None]], None]


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@asynccontextmanager
async def listening(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    talks: list[asyncio.Task[None] | None] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client or the test is done
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(closing, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for talk in talks:
            if talk is not None:
                talk.cancel()
        await asyncio.sleep(0)


def account(port: int, tls: TlsMode = TlsMode.NONE, **changes: object) -> SmtpAccount:
    plain = SmtpAccount(host="127.0.0.1", port=port, tls=tls)
    return replace(plain, **changes)  # type: ignore[arg-type]  # field by field in the test


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mx.example.com\r\n")
    while line := await reader.readline():
        writer.write(b"250 " + line)


async def fault_of(work: Awaitable[object]) -> NetFault:
    with pytest.raises(NetFault) as caught:
        await work
    return caught.value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
