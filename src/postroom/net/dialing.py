"""From an account to a connection: the name, the race, the proxy, implicit TLS.

``dial`` does all of it; each part can be used alone by who wants to look at it or take its time. The limit
for connecting covers the race and the proxy together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import replace

from postroom.clock import Clock
from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import Proxy, SmtpAccount, StepTimeouts, TlsMode
from postroom.net.addresses import SocketAddress, race, reachable_from, resolve
from postroom.net.connection import Connection
from postroom.net.faults import NetFault, socket_fault
from postroom.net.proxies import Ask, negotiation, proxy_fault
from postroom.telemetry import logger

LookUp = Callable[..., Awaitable[Sequence[SocketAddress]]]

_log = logger("net")


async def dial(
    account: SmtpAccount,
    timeouts: StepTimeouts,
    *,
    clock: Clock,
    avoid: Container[str] = (),
    look_up: LookUp | None = None,
) -> Connection:
    """Connect to an account's server: resolve, race, pass the proxy, handshake when TLS comes first.

    Addresses in ``avoid`` are passed over. ``look_up`` says where a host may be met, nowhere else.

    Raises:
        NetFault: at step RESOLVE, CONNECT, PROXY or TLS; cause ``tls-on-plain`` when an implicit-TLS
            account's port speaks plain.
    """
    if not account.verify and account.pin is None and account.tls is not TlsMode.NONE:
        _log.warning("the certificate will not be verified", host=account.host, port=account.port)
    addresses = await addresses_of(account, timeouts.connect, avoid=avoid, look_up=look_up)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeouts.connect
    connection = await connect(account, addresses, timeouts, clock=clock)
    await pass_proxy(connection, deadline - loop.time())
    if account.tls is TlsMode.IMPLICIT:
        await connection.encrypt(timeouts.tls)
    return connection


async def addresses_of(
    account: SmtpAccount, timeout_s: float, *, avoid: Container[str] = (), look_up: LookUp | None = None
) -> Sequence[SocketAddress]:
    """Return where to connect to for an account: its server, or its proxy.

    Raises:
        NetFault: at step RESOLVE, PROXY (``proxy-unreachable``) or CONNECT (no address is left, or none goes
            with the source address).
    """
    goal = account.proxy or account
    try:
        resolved = await (look_up or resolve)(goal.host, goal.port, timeout_s=timeout_s)
    except NetFault as failure:
        raise _of_proxy(account, failure) from None
    addresses = [address for address in resolved if address.ip not in avoid]
    if not addresses:
        fault = Fault(kind=FaultKind.UNREACHABLE, text=f"no other address of {goal.host} is left")
        raise _connect_fault(fault, goal.host)
    if account.source_address is not None:
        return reachable_from(account.source_address, addresses)
    return addresses


async def connect(
    account: SmtpAccount, addresses: Sequence[SocketAddress], timeouts: StepTimeouts, *, clock: Clock
) -> Connection:
    """Return the connection that won the race to ``addresses``; ``peer_address`` tells which that is.

    Raises:
        NetFault: at step CONNECT, or PROXY (``proxy-unreachable``).
    """
    loop = asyncio.get_running_loop()
    goal = account.proxy or account
    source = (account.source_address, 0) if account.source_address is not None else None

    async def reach(address: SocketAddress) -> Connection:
        try:
            async with asyncio.timeout(timeouts.connect_per_address):
                _, connection = await loop.create_connection(
                    lambda: Connection(account, address),
                    address.ip,
                    address.port,
                    family=address.family,
                    local_addr=source,
                )
        except TimeoutError:
            raise _connect_fault(_no_answer(goal, f" ({address})"), str(address)) from None
        except OSError as error:
            raise _connect_fault(socket_fault(error, str(address)), str(address)) from None
        return connection

    try:
        async with asyncio.timeout(timeouts.connect):
            return await race(addresses, reach, clock=clock)
    except TimeoutError:
        raise _of_proxy(account, _connect_fault(_no_answer(goal, ""), goal.host)) from None
    except NetFault as failure:
        raise _of_proxy(account, failure) from None


async def pass_proxy(connection: Connection, timeout_s: float) -> None:
    """Let the account's proxy connect us to the server; nothing to do without one. Aborts when it fails.

    Raises:
        NetFault: at step PROXY, with one of the causes of ``net.proxies``.
    """
    account = connection.account
    proxy = account.proxy
    if proxy is None:
        return
    deadline = asyncio.get_running_loop().time() + timeout_s
    received = b""
    try:
        talk = negotiation(proxy, account.host, account.port)
        ask = next(talk)
        while True:
            connection.write(ask.say)
            while (size := ask.measure(received)) is None:
                received += await _said_by(proxy, connection, ask, deadline)
            answer, received = received[:size], received[size:]
            ask = talk.send(answer)
    except StopIteration:
        connection.put_back(received)
    except BaseException:
        connection.abort()  # also when cancelled: no socket is left
        raise


async def _said_by(proxy: Proxy, connection: Connection, ask: Ask, deadline: float) -> bytes:
    left = deadline - asyncio.get_running_loop().time()
    try:
        if received := await connection.receive(max(left, 0.0)):
            return received
    except NetFault as failure:
        words = "did not answer in time" if failure.fault.kind is FaultKind.TIMEOUT else "hung up"
        raise proxy_fault(proxy, words, cause=ask.silence, kind=failure.fault.kind) from None
    raise proxy_fault(proxy, "hung up without an answer", cause=ask.silence, kind=FaultKind.CLOSED)


def _of_proxy(account: SmtpAccount, failure: NetFault) -> NetFault:
    """Return a failure to connect as what it is: the proxy's when there is one, unless it is our own."""
    fault = failure.fault
    if account.proxy is None or fault.kind is FaultKind.LOCAL:
        return failure
    text = f"the proxy was not reached: {fault.text}"
    return NetFault(Step.PROXY, replace(fault, text=text, cause="proxy-unreachable"), failure.peer)


def _connect_fault(fault: Fault, peer: str) -> NetFault:
    return NetFault(Step.CONNECT, fault, peer)


def _no_answer(goal: SmtpAccount | Proxy, where: str) -> Fault:
    text = f"timed out while connecting to {goal.host}:{goal.port}{where}"
    return Fault(kind=FaultKind.TIMEOUT, text=text)
