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
from pathlib import Path

from starlette.types import ASGIApp

from postroom.clock import Clock
from postroom.errors import ConfigError, Problem
from postroom.telemetry import logger
from postroom.web.acceptor import BACKLOG, Acceptor
from postroom.web.connection import Connection, no_seat
from postroom.web.household import Household, Seat, ServerLimits
from postroom.web.keyless import Network

_log = logger("http")

_CERTIFICATE_CHECK_S = 30
"""Seconds between looks at the certificate files."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPair:
    """Certificate (with its chain) and key, PEM files."""

    cert: Path
    key: Path


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
    contexts = [(binding.tls, _context(binding.tls)) for binding in bindings if binding.tls is not None]
    by_pair = dict(contexts)
    server = HttpServer(household)
    acceptors: list[Acceptor] = []
    ticker = asyncio.create_task(
        _tick(household, contexts, clock, lambda: _look(acceptors, descriptor_reserve)), name="http-ticker"
    )
    try:
        for binding in bindings:
            context = None if binding.tls is None else by_pair[binding.tls]
            opened = [_acceptor(binding, listener, household, context) for listener in await _listen(binding)]
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


async def _listen(binding: Binding) -> list[socket.socket]:
    """Open a socket for each address of the host. Raises ConfigError."""
    listeners: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            binding.host, binding.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, number, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, number)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the IPv4 address of the same name has a socket of its own
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        cause = f"cannot listen on {binding.host} port {binding.port}: {error.strerror or error}"
        fix = "End the other program there, or choose another address with --http."
        problem = Problem(code="listen-failed", field="http", cause=cause, fix=fix)
        raise ConfigError([problem]) from error
    return listeners


def _context(pair: TlsPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(pair.cert, pair.key)
    except (OSError, ssl.SSLError) as error:
        cause = f"{pair.cert} and {pair.key} cannot be used: {error}"
        fix = "Give PEM files of a certificate with its chain and of its key, without a pass phrase."
        problem = Problem(code="certificate-unusable", field="tls_cert", cause=cause, fix=fix)
        raise ConfigError([problem]) from error
    return context


async def _tick(
    household: Household,
    contexts: Sequence[tuple[TlsPair, ssl.SSLContext]],
    clock: Clock,
    look: Callable[[], None],
) -> None:
    """Once a second: the Date header, the deadlines of every connection, now and then the certificates."""
    seen = [_changed_at(pair) for pair, _ in contexts]
    beat = 0
    while True:
        household.date_line = _date_line(clock)
        household.check_deadlines()
        look()
        beat += 1
        if beat % _CERTIFICATE_CHECK_S == 0:
            for number, (pair, context) in enumerate(contexts):
                changed_at = _changed_at(pair)
                if changed_at != seen[number]:
                    seen[number] = changed_at
                    _reload(pair, context)
        await asyncio.sleep(1)


def _changed_at(pair: TlsPair) -> tuple[int, ...]:
    with suppress(OSError):
        return (pair.cert.stat().st_mtime_ns, pair.key.stat().st_mtime_ns)
    return ()


def _reload(pair: TlsPair, context: ssl.SSLContext) -> None:
    try:
        context.load_cert_chain(pair.cert, pair.key)
        _log.info("certificate reloaded", cert=str(pair.cert))
    except (OSError, ssl.SSLError) as error:
        _log.error("certificate not reloaded, the earlier one stays", cert=str(pair.cert), error=str(error))


def _date_line(clock: Clock) -> bytes:
    return b"date: %b\r\n" % http_date(clock.now()).encode()


def http_date(at: datetime) -> str:
    """Write an instant in UTC as IMF-fixdate (RFC 9110 section 5.6.7)."""
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} GMT"
