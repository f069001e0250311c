"""Serves ASGI applications over HTTP/1.1 inside a running event loop.

The parser is httptools; the life of a connection is ours, because a public door needs deadlines for what
it receives, and the request cycle too, because a framework's costs more than the engine behind it. Rules:

* A head must be complete within ``head_s`` of its first byte (slow loris), within ``max_head`` bytes and
  ``max_headers`` lines; exactly one Host.
* A body must come at ``min_rate`` bytes a second, time in which we do not read it not counted.
* An answer given before the body was read ends the connection: what still arrives is dropped for a
  moment (so that the caller can read the answer) and never stored.
* Connections are bounded in all and per address; loopback and trusted proxies are exempt from the latter.

Wrong requests are answered, not logged; one record for each request is written in JSON mode only.

Sources: RFC 9112 (HTTP/1.1), RFC 9110 section 6.6.1 (Date), section 9.6 of RFC 9112 (lingering close).
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from starlette.types import ASGIApp

from postroom.clock import Clock
from postroom.web.acceptor import Acceptor
from postroom.web.connection import Connection, no_seat
from postroom.web.household import Household, Seat, ServerLimits
from postroom.web.keyless import Network
from postroom.web.listening import CERTIFICATE_CHECK_S, Certificate, TlsPair, certificate, listen

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One address to listen on and what is served there."""

    host: str
    port: int
    """0 lets the system choose."""
    app: ASGIApp
    tls: TlsPair | None = None
    door: str = ""
    """Its name in metrics; else ``http`` or ``https``."""
    flag: str = "--http"
    """What chooses another address; named when this one is taken."""


@dataclass(slots=True)
class Bound:
    """One address that is listened on."""

    host: str
    port: int
    is_tls: bool

    @property
    def url(self) -> str:
        """Return the address as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


@dataclass(slots=True)
class HttpServer:
    """A running server."""

    household: Household
    bound: list[Bound] = field(default_factory=list)
    """In the order of the bindings."""


@asynccontextmanager
async def serve(
    bindings: Sequence[Binding],
    *,
    clock: Clock,
    limits: ServerLimits | None = None,
    exempt: Sequence[Network] = (),
    descriptor_reserve: int = 0,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[HttpServer]:
    """Listen until the block ends; then close the listeners, finish running requests, close the rest.

    Args:
        bindings: Where to listen.
        clock: Wall time for the Date header.
        limits: Deadlines and bounds.
        exempt: Networks without a limit per address (trusted proxies); loopback always is.
        descriptor_reserve: Nothing is accepted while fewer descriptors are left.
        hurry: Set when running requests shall not be waited for at the end.

    Raises:
        ConfigError: An address cannot be listened on, a certificate or key cannot be used.
    """
    household = Household(limits or ServerLimits(), tuple(exempt))
    household.date_line = _date_line(clock)
    by_pair = {
        binding.tls: certificate(binding.tls, protocol="http/1.1")
        for binding in bindings
        if binding.tls is not None
    }
    server = HttpServer(household)
    acceptors: list[Acceptor] = []
    ticker = asyncio.create_task(
        _tick(household, list(by_pair.values()), clock, lambda: _look(acceptors, descriptor_reserve)),
        name="http-ticker",
    )
    try:
        for binding in bindings:
            context = None if binding.tls is None else by_pair[binding.tls].context
            listeners = await listen(binding.host, binding.port, flag=binding.flag)
            opened = [_acceptor(binding, listener, household, context) for listener in listeners]
            acceptors += opened
            server.bound.append(Bound(*opened[0].address, context is not None))
        yield server
    finally:
        for acceptor in acceptors:
            acceptor.close()
        await household.finish(hurry)
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker


def _look(acceptors: Sequence[Acceptor], reserve: int) -> None:
    for acceptor in acceptors:
        acceptor.look(reserve)


def _acceptor(
    binding: Binding, listener: socket.socket, household: Household, context: ssl.SSLContext | None
) -> Acceptor:
    def connection(seat: Seat) -> Connection:
        return Connection(binding.app, household, seat)

    return Acceptor(
        listener,
        household,
        connection,
        door=binding.door or ("http" if context is None else "https"),
        refusal=lambda: no_seat(household.date_line),
        tls=context,
    )


async def _tick(
    household: Household, certificates: Sequence[Certificate], clock: Clock, look: Callable[[], None]
) -> None:
    """Once a second: the Date header, the deadlines of every connection, now and then the certificates."""
    beat = 0
    while True:
        household.date_line = _date_line(clock)
        household.check_deadlines()
        look()
        beat += 1
        if beat % CERTIFICATE_CHECK_S == 0:
            for one in certificates:
                one.look()
        await asyncio.sleep(1)


def _date_line(clock: Clock) -> bytes:
    return b"date: %b\r\n" % http_date(clock.now()).encode()


def http_date(at: datetime) -> str:
    """Write an instant in UTC as IMF-fixdate (RFC 9110 section 5.6.7)."""
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} GMT"
