"""Names, addresses and the race between them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from net.wires import (
    CLOCK,
    TIMEOUTS,
    Run,
    account,
    fault_of,
    free_port,
    greet,
    listening,
)
from postroom.clock import SystemClock
from postroom.model.outcome import FaultKind
from postroom.model.step import Step
from postroom.model.transport import StepTimeouts
from postroom.net import dialing
from postroom.net.addresses import SocketAddress, interleaved, race
from postroom.net.connection import Connection
from postroom.net.dialing import dial
from postroom.net.faults import NetFault, socket_fault


def test_a_closed_port_is_refused_by_name(run: Run) -> None:
    """Nobody listening is REFUSED at CONNECT, with the address in the text."""

    async def main() -> None:
        port = free_port()
        failure = await fault_of(dial(account(port), TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.kind) == (Step.CONNECT, FaultKind.REFUSED)
        assert failure.fault.text == f"connection refused (127.0.0.1:{port})"

    run(main())


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 64 + ".example.com", "a..example.com"])
def test_a_name_that_is_none_fails_at_resolve(run: Run, host: str) -> None:
    """An unknown or impossible name is NAME at RESOLVE."""

    async def main() -> None:
        failure = await fault_of(dial(account(25, host=host), TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.kind, failure.peer) == (Step.RESOLVE, FaultKind.NAME, host)

    run(main())


def test_the_families_alternate() -> None:
    """The resolver's first family begins, the other one is second."""
    six = [SocketAddress(socket.AF_INET6, f"::{n}", 25) for n in (1, 2, 3)]
    four = [SocketAddress(socket.AF_INET, f"192.0.2.{n}", 25) for n in (1, 2)]
    assert interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleaved(four) == four
    assert str(six[0]) == "[::1]:25"


def addresses_of(port: int, *ips: str) -> Sequence[SocketAddress]:
    return [SocketAddress(socket.AF_INET, ip, port) for ip in ips]


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Yield a port of 127.0.0.1 where a connect is neither taken nor refused: its queue is full."""
    with ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


class AtOnce(SystemClock):
    """A clock whose stagger is over at once."""

    async def sleep(self, seconds: float) -> None:
        assert seconds == 0.25
        await asyncio.sleep(0)


def dial_over(
    monkeypatch: pytest.MonkeyPatch, addresses: Sequence[SocketAddress], timeouts: StepTimeouts
) -> Awaitable[Connection]:
    async def resolved(_host: str, _port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        assert timeout_s > 0
        return addresses

    monkeypatch.setattr(dialing, "resolve", resolved)
    return dial(account(addresses[0].port), timeouts, clock=AtOnce())


def test_a_dead_address_does_not_hold_up_the_living(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first address swallows packets the second wins, and the first try is taken back."""

    async def main() -> None:
        async with black_hole() as port, listening(greet, host="127.0.0.2", port=port):
            wire = await dial_over(monkeypatch, addresses_of(port, "127.0.0.1", "127.0.0.2"), TIMEOUTS)
            assert wire.peer_address == "127.0.0.2"
            assert await wire.receive(5) == b"220 mx.example.com\r\n"
            wire.close()
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "dial"] == []

    run(main())


def test_dead_addresses_time_out_each_and_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of one address and the limit of the whole dial both end the wait as TIMEOUT."""

    async def main() -> None:
        async with black_hole() as port:
            for limits in ({"connect_per_address": 0.02}, {"connect": 0.02}):
                short = replace(TIMEOUTS, **limits)
                failure = await fault_of(dial_over(monkeypatch, addresses_of(port, "127.0.0.1"), short))
                assert (failure.step, failure.fault.kind) == (Step.CONNECT, FaultKind.TIMEOUT)
                assert f"timed out while connecting to 127.0.0.1:{port}" in failure.fault.text

    run(main())


def test_refused_addresses_are_tried_to_the_last_and_all_told(run: Run) -> None:
    """A refusal starts the next address at once; when all refuse, the fault names each."""

    class Never(SystemClock):
        async def sleep(self, seconds: float) -> None:
            assert seconds > 0
            await asyncio.Event().wait()

    async def main() -> None:
        port = free_port()
        tried = []

        async def refuse(address: SocketAddress) -> Connection:
            tried.append(address.ip)
            reader, _ = await asyncio.open_connection(address.ip, address.port)
            raise AssertionError(reader)

        async def connect(address: SocketAddress) -> Connection:
            try:
                return await refuse(address)
            except OSError as error:
                fault = socket_fault(error, str(address))
                raise NetFault(Step.CONNECT, fault, str(address)) from None

        ips = ("127.0.0.1", "127.0.0.2")
        failure = await fault_of(race(addresses_of(port, *ips), connect, clock=Never()))
        assert tried == list(ips)
        assert (
            failure.fault.text
            == f"connection refused (127.0.0.1:{port}); connection refused (127.0.0.2:{port})"
        )

    run(main())
