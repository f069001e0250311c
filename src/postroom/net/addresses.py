"""From a host name to its addresses, and the race between them (RFC 8305).

uvloop has no happy eyeballs, so the race is ours: the next address starts 250 ms after the one before it,
or at once when that one failed; the first connection wins and the others are closed.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Protocol, TypeVar

from postroom.clock import Clock
from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.net.destination import literal
from postroom.net.faults import NetFault

STAGGER_S = 0.25
"""Seconds between two starts, RFC 8305 section 5."""
MAX_ADDRESSES = 8
"""Addresses of one name that are tried; more would only lengthen a failure (security limit)."""


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """Where a socket can be connected to."""

    family: socket.AddressFamily
    ip: str
    port: int

    def __str__(self) -> str:
        """Return ``ip:port``, IPv6 in brackets."""
        return f"[{self.ip}]:{self.port}" if self.family is socket.AF_INET6 else f"{self.ip}:{self.port}"


Found = Sequence[tuple[Any, ...]]
"""What ``getaddrinfo`` returns."""
LookUp = Callable[[str, int], Awaitable[Found]]


class Closable(Protocol):
    """What the race can throw away."""

    def abort(self) -> None:
        """Close at once."""
        ...


Racer = TypeVar("Racer", bound=Closable)


def asked(host: str, port: int) -> "asyncio.Future[Found]":
    """Ask the system's resolver in a thread of its own, which nothing waits for, the program's end neither.

    It cannot be told to stop: the event loop's few threads would be held by a silent name server.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Found] = loop.create_future()

    def end(found: Found, error: Exception | None) -> None:
        if answer.done():
            return  # whoever asked gave up
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)
            answer.exception()  # told to whoever still waits; nobody is no mistake

    def work() -> None:
        found: Found = []
        error: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError) as failure:
            error = failure
        try:
            loop.call_soon_threadsafe(end, found, error)
        except RuntimeError:
            return  # the loop has ended meanwhile

    threading.Thread(target=work, name=f"lookup {host}", daemon=True).start()
    return answer


async def _look_up(host: str, port: int) -> Found:
    return await asked(host, port)


async def resolve(
    host: str, port: int, *, timeout_s: float, look_up: LookUp | None = None
) -> Sequence[SocketAddress]:
    """Return the addresses of ``host`` in the order to try them, both families.

    ``look_up`` asks the system's resolver; ``None`` does it in a thread of its own.

    Raises:
        NetFault: at step RESOLVE.
    """
    try:
        async with asyncio.timeout(timeout_s):
            found = await (look_up or _look_up)(host, port)
    except TimeoutError:
        raise _name_fault(host, f"getaddrinfo timed out after {timeout_s:g} s") from None
    except UnicodeError:
        raise _name_fault(host, "name does not resolve: not a host name") from None
    except OSError as error:  # socket.gaierror is one
        raise _name_fault(host, (error.strerror or str(error)).lower()) from None
    unique = dict.fromkeys(
        SocketAddress(family=socket.AddressFamily(family), ip=str(address[0]), port=int(address[1]))
        for family, _type, _proto, _name, address in found
        if family in (socket.AF_INET, socket.AF_INET6)
    )
    if not unique:
        raise _name_fault(host, "no address associated with hostname")
    return interleaved(list(unique))[:MAX_ADDRESSES]


def interleaved(addresses: Sequence[SocketAddress]) -> Sequence[SocketAddress]:
    """Alternate the families, beginning with the one the resolver put first (RFC 8305 section 4)."""
    first = addresses[0].family
    ours = [address for address in addresses if address.family is first]
    others = [address for address in addresses if address.family is not first]
    return [address for address in chain.from_iterable(zip_longest(ours, others)) if address is not None]


def reachable_from(source: str, addresses: Sequence[SocketAddress]) -> Sequence[SocketAddress]:
    """Return those of ``addresses`` that an address of this machine can connect to.

    Raises:
        NetFault: at step CONNECT, LOCAL with cause ``source-address-unusable``: it is not this machine's, or
            no address is of its family.
    """
    found = literal(source)
    if found is None:
        raise _source_fault(source, "is no IP address")
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((source, 0))
    except OSError as error:
        raise _source_fault(source, f"is not usable here: {(error.strerror or str(error)).lower()}") from None
    fitting = [address for address in addresses if address.family is family]
    if not fitting:
        tried = ", ".join(address.ip for address in addresses)
        raise _source_fault(source, f"is IPv{found.version}, the server's addresses are not ({tried})")
    return fitting


async def race(
    addresses: Sequence[SocketAddress], connect: Callable[[SocketAddress], Awaitable[Racer]], *, clock: Clock
) -> Racer:
    """Return the first connection that ``connect`` makes; ``connect`` raises NetFault.

    Raises:
        NetFault: when every address failed; the texts of all of them, the kind of the first that answered.
    """
    loop = asyncio.get_running_loop()
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[Racer]] = set()
    faults: list[NetFault] = []
    winner: Racer | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_started(connect, waiting.pop()), name="dial"))
            if (won := await _next_end(running, faults, clock if waiting else None)) is not None:
                winner = won
                return winner
        raise _summary(faults)
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(late, BaseException) and late is not winner:
                late.abort()


async def _started(connect: Callable[[SocketAddress], Awaitable[Racer]], address: SocketAddress) -> Racer:
    return await connect(address)


async def _next_end(
    running: set[asyncio.Task[Racer]], faults: list[NetFault], clock: Clock | None
) -> Racer | None:
    """Wait until an attempt ends, or the stagger when ``clock`` is given; note faults, return a winner."""
    pause = None if clock is None else asyncio.create_task(clock.sleep(STAGGER_S), name="stagger")
    waits: set[asyncio.Task[Racer] | asyncio.Task[None]] = {*running}
    if pause is not None:
        waits.add(pause)
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if pause is not None:
            pause.cancel()
    for task in [task for task in running if task.done()]:
        try:
            winner = task.result()
        except NetFault as fault:
            running.discard(task)
            faults.append(fault)
        else:
            return winner
    return None


def _summary(faults: Sequence[NetFault]) -> NetFault:
    told = next((fault for fault in faults if fault.fault.kind is not FaultKind.UNREACHABLE), faults[0])
    text = "; ".join(dict.fromkeys(fault.fault.text for fault in faults))
    return NetFault(told.step, Fault(kind=told.fault.kind, text=text), told.peer)


def _source_fault(source: str, words: str) -> NetFault:
    text = f"the source address {source} {words}"
    return NetFault(
        Step.CONNECT, Fault(kind=FaultKind.LOCAL, text=text, cause="source-address-unusable"), source
    )


def _name_fault(host: str, words: str) -> NetFault:
    return NetFault(Step.RESOLVE, Fault(kind=FaultKind.NAME, text=f"{words} ({host})"), host)
