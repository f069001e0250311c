"""Source addresses: connections go out from where the account says."""

import asyncio
import socket

import pytest

from net.wires import CLOCK, TIMEOUTS, Run, account, fault_of, listening
from peers.proxies import through
from postroom.model.outcome import Evidence, FaultKind
from postroom.model.step import Step
from postroom.model.transport import ProxyKind
from postroom.net.addresses import SocketAddress, reachable_from
from postroom.net.dialing import dial
from postroom.net.faults import NetFault
from postroom.policy.classify import classify

SIX = SocketAddress(socket.AF_INET6, "::1", 25)
FOUR = SocketAddress(socket.AF_INET, "127.0.0.1", 25)


async def tell_peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(str(writer.get_extra_info("peername")[0]).encode() + b"\r\n")
    await reader.read()


def test_a_connection_goes_out_from_its_source(run: Run) -> None:
    """The server sees the source address, and so does the account's user."""

    async def main() -> None:
        async with listening(tell_peer) as port:
            wire = await dial(account(port, source_address="127.0.0.7"), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"127.0.0.7\r\n"
            assert wire.local_address == "127.0.0.7"
            wire.close()

    run(main())


def test_only_addresses_of_its_family_are_tried() -> None:
    """An IPv4 source leaves out what is IPv6."""
    assert reachable_from("127.0.0.1", [SIX, FOUR]) == [FOUR]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("192.0.2.77", "cannot assign requested address"),
        ("2001:db8::77", "is not usable here"),
        ("mail.example.com", "is no IP address"),
        ("127.0.0.1", "is IPv4, the server's addresses are not (::1)"),
    ],
)
def test_a_source_that_cannot_be_used_is_our_fault(source: str, words: str) -> None:
    """An address of somebody else, a name, or one of the other family is a local fault with its own cause."""
    with pytest.raises(NetFault) as caught:
        reachable_from(source, [SIX])
    failure = caught.value
    assert (failure.step, failure.fault.kind) == (Step.CONNECT, FaultKind.LOCAL)
    assert failure.fault.cause == "source-address-unusable"
    assert words in failure.fault.text
    verdict = classify(Evidence(step=failure.step, fault=failure.fault))
    assert verdict.cause == "source-address-unusable"


def test_a_bad_source_is_not_blamed_on_the_proxy(run: Run) -> None:
    """With a proxy between, an unusable source address is still ours."""

    async def main() -> None:
        ours = account(25, proxy=through(ProxyKind.SOCKS5, 1080), source_address="192.0.2.77")
        failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.cause) == (Step.CONNECT, "source-address-unusable")

    run(main())
