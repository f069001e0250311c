"""Connections over real sockets, on both event loops."""

import asyncio
import socket

from net.wires import (
    CLOCK,
    TIMEOUTS,
    Run,
    account,
    fault_of,
    listening,
)
from postroom.model.outcome import FaultKind
from postroom.net.connection import MAX_UNREAD
from postroom.net.dialing import dial


def test_a_plain_dialogue_goes_both_ways(run: Run) -> None:
    """What the server says is received and what is written arrives; the end is an empty read."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.write(b"250 " + await reader.readline())

    async def main() -> None:
        async with listening(once) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"220 hello\r\n"
            wire.write(b"EHLO me\r\n")
            await wire.drain(5)
            assert await wire.receive(5) == b"250 EHLO me\r\n"
            assert await wire.receive(5) == b""
            assert wire.is_closed
            assert (wire.tls_version, wire.peer_address) == (None, "127.0.0.1")
            wire.close()

    run(main())


def test_waits_end_at_their_deadline_and_the_timer_serves_the_next(run: Run) -> None:
    """A wait times out; a shorter wait after a long one does too; bytes that come later are read."""

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"first")
        await reader.readline()
        writer.write(b"second")
        await reader.read()

    async def main() -> None:
        async with listening(later) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(60) == b"first"
            for _ in range(2):
                failure = await fault_of(wire.receive(0.02))
                assert failure.fault.kind is FaultKind.TIMEOUT
                assert "timed out" in failure.fault.text
            wire.write(b"go\r\n")
            assert await wire.receive(60) == b"second"
            wire.close()

    run(main())


def test_a_reset_is_told_after_the_bytes_that_came_before_it(run: Run) -> None:
    """A connection reset while nobody reads is CLOSED at the next wait."""

    async def main() -> None:
        ready = asyncio.Event()

        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
            ready.set()

        async with listening(reset) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            wire.write(b"x")
            failure = await fault_of(wire.receive(5))
            assert (failure.fault.kind, ready.is_set()) == (FaultKind.CLOSED, True)
            assert "connection reset by peer" in failure.fault.text
            assert (await fault_of(wire.drain(5))).fault.kind is FaultKind.CLOSED
            wire.write(b"into the void")
            wire.close()

    run(main())


def test_a_reader_who_does_not_take_stops_a_flood(run: Run) -> None:
    """The socket is left alone above the limit and read on when the reader comes."""
    total = MAX_UNREAD * 8

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * total)
        await reader.readline()

    async def main() -> None:
        async with listening(flood) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            while wire._is_reading:  # noqa: ASYNC110 - a state of the code under test
                await asyncio.sleep(0)
            got = 0
            while got < total:
                chunk = await wire.receive(5)
                got += len(chunk)
                assert len(chunk) <= MAX_UNREAD * 2
            assert total == got
            wire.close()

    run(main())


def test_draining_ends_at_its_deadline(run: Run) -> None:
    """A peer that does not read makes drain time out, not hang."""

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a ReadTransport too
        await asyncio.Event().wait()

    async def main() -> None:
        async with listening(deaf) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            wire.write(b"x" * 30_000_000)
            failure = await fault_of(wire.drain(0.05))
            assert failure.fault.kind is FaultKind.TIMEOUT
            wire.abort()

    run(main())
