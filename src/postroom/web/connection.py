"""One HTTP connection and its deadlines; ``web.server`` has the rules."""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from postroom.errors import Problem
from postroom.web.keyless import Network, is_loopback, is_within
from postroom.web.problem import HttpError, problem_of

LINGER_BYTES = 1024 * 1024
"""Bytes dropped after an early answer before the connection is cut."""
LINGER_S = 2.0
"""Seconds for the same: enough for a caller to notice the answer and stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Security limits of connections; seconds and bytes."""

    max_connections: int = 1024
    max_per_address: int = 20
    head_s: float = 10.0
    """From the first byte of a request's head (or the connection's begin) to its end."""
    min_rate: int = 500
    """Bytes a second of a body, measured after ``grace_s``."""
    grace_s: float = 10.0
    keep_alive_s: int = 75
    """Idle between requests."""
    stalled_s: float = 60.0
    """A caller that does not read our answer is cut after this."""
    max_head: int = 64 * 1024
    """Request line and headers together."""
    max_headers: int = 100
    stop_s: float = 10.0
    """For running requests at the end."""


class Household:
    """Every connection of one server, counted."""

    def __init__(self, limits: ServerLimits, exempt: tuple[Network, ...]) -> None:
        """Begin without connections. ``exempt`` networks have no limit per address."""
        self.limits = limits
        self.state = ServerState()
        self.open: set[Connection] = set()
        self.per_address: Counter[str] = Counter()
        self._exempt = exempt

    def admit(self, connection: "Connection", peer: str) -> bool:
        """Count a new connection, unless a bound is reached."""
        counts = not (is_loopback(peer) or is_within(peer, self._exempt))
        if len(self.open) >= self.limits.max_connections or (
            counts and self.per_address[peer] >= self.limits.max_per_address
        ):
            return False
        self.open.add(connection)
        if counts:
            self.per_address[peer] += 1
            connection.counted_as = peer
        return True

    def forget(self, connection: "Connection") -> None:
        """Count a connection out."""
        self.open.discard(connection)
        if connection.counted_as:
            self.per_address[connection.counted_as] -= 1
            if not self.per_address[connection.counted_as]:
                del self.per_address[connection.counted_as]
            connection.counted_as = ""

    @property
    def is_stressed(self) -> bool:
        """Four fifths of the connections are in use: slow heads get a fifth of their time."""
        return 5 * len(self.open) >= 4 * self.limits.max_connections

    def check_deadlines(self) -> None:
        """Cut the connections that are past a deadline."""
        for connection in tuple(self.open):
            connection.check_deadlines()

    async def finish(self) -> None:
        """Let running requests end, then close every connection."""
        for connection in tuple(self.open):
            connection.shutdown()
        if self.state.tasks:
            await asyncio.wait(tuple(self.state.tasks), timeout=self.limits.stop_s)
        for connection in tuple(self.open):
            connection.transport.close()
        # One turn of the loop, so that closed transports are gone before their loop may be.
        await asyncio.sleep(0)


class _Outlet:
    """The transport as the request cycle sees it: a head waits for its body, closing early lingers.

    A head and a small body in one write save a system call, the dearest part of an answer.
    """

    __slots__ = ("_connection", "_has_body", "_head", "is_closing")

    def __init__(self, connection: "Connection", *, has_body: bool) -> None:
        self._connection = connection
        self._has_body = has_body
        self._head = b""
        self.is_closing = connection.transport.is_closing

    def write(self, data: bytes) -> None:
        if self._has_body and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
            self._has_body = False  # what follows is the body, whatever it begins with
            return
        self._connection.transport.write(self._head + data if self._head else data)
        self._head = b""

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._connection.close_politely()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, bounds of the head and a lingering close."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        household: Household,
    ) -> None:
        """Take the household the connection is counted in."""
        super().__init__(config, server_state, app_state, _loop)
        self.counted_as = ""
        self._household = household
        self._limits = household.limits
        self._head_since: float | None = None
        self._head_size = 0
        self._in_head = True
        self._body_since = 0.0
        self._body_size = 0
        self._in_body = False
        self._stalled_since: float | None = None
        self._linger_until: float | None = None
        self._linger_left = LINGER_BYTES
        self._refusal: HttpError | None = None

    # ------------------------------------------------------------------ begin and end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Count the connection or refuse it."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        if not self._household.admit(self, self.client[0] if self.client else ""):
            self._refuse(503, "too-many-connections", "too many connections", retry_after="2")
            self.send_400_response("")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        self._household.forget(self)
        super().connection_lost(exc)

    # ------------------------------------------------------------------ bytes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the answer was given already."""
        if self._linger_until is not None:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.transport.abort()
            return
        if self._in_head and self._head_since is None:
            self._head_since = self.loop.time()
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_head and self._head_since is not None and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > self._limits.max_head:
                self._refuse(431, "head-too-large", f"the head has more than {self._limits.max_head} bytes")
                self.send_400_response("")

    def _parse(self, data: bytes) -> None:
        """Feed the parser. Nothing is ever upgraded (RFC 9110 section 7.8 lets a server ignore the offer).

        After a head with an Upgrade the parser takes what follows for another protocol and stops, also when
        a body was announced. So a second one is given the same head without that line, and then the rest.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
                version = self.parser.get_http_version().encode("ascii")
                lines = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)]
                lines += [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the first one
                self.parser.feed_data(b"".join([*lines, b"\r\n"]))
            else:
                return

    def on_headers_complete(self) -> None:
        """Judge the head; an exception here makes the parser stop and the refusal is sent."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return  # _parse gives this head to a second parser
        self._in_head = False
        self._head_since = None
        self._head_size = 0
        size = len(self.url)
        hosts = 0
        has_body = False
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
            has_body = has_body or name in _BODY_HEADERS
        if size > self._limits.max_head or len(self.headers) > self._limits.max_headers:
            self._refuse(431, "head-too-large", "too many or too long headers")
        elif hosts != 1 and not (hosts == 0 and self.parser.get_http_version() == "1.0"):
            self._refuse(400, "host-header", "exactly one Host header is needed")
        elif not self.url.startswith(b"/"):
            self._take_authority()
        if self._refusal is not None:
            raise self._refusal
        self._in_body = has_body
        self._body_since = self.loop.time()
        self._body_size = 0
        super().on_headers_complete()
        outlet = _Outlet(self, has_body=self.scope["method"] != "HEAD")
        self.cycle.transport = outlet  # type: ignore[assignment] # the three methods it uses

    def _take_authority(self) -> None:
        """Let the authority of an absolute target stand for the Host (RFC 9112 section 3.2.2)."""
        match = _ABSOLUTE.match(self.url)
        if match is None:
            self._refuse(400, "target-form", "the target is neither a path nor an http URL without userinfo")
            return
        self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
        self.headers.append((b"host", match[1]))

    def on_body(self, body: bytes) -> None:
        """Count the bytes of the body."""
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._in_head = True
        super().on_message_complete()

    # ------------------------------------------------------------------ answers

    def on_response_complete(self) -> None:
        """End the connection when the body was not read; else go on."""
        if self._in_body:
            self.server_state.total_requests += 1
            self.close_politely()
            return
        super().on_response_complete()

    def close_politely(self) -> None:
        """Close; with a body still coming drop it for a moment, so that the answer is not reset away."""
        if not self._in_body or self.transport.is_closing():
            self.transport.close()
            return
        if self._linger_until is None:
            self._linger_until = self.loop.time() + LINGER_S
            self.flow.resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, or the refusal noted before; then close."""
        error = self._refusal or _error(400, "malformed-request", msg or "not an HTTP/1.1 request")
        response = problem_of(error).as_response()
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body))
        self.transport.close()

    def _refuse(self, status: int, code: str, cause: str, *, retry_after: str = "") -> None:
        self._refusal = _error(status, code, cause, retry_after=retry_after)

    # ------------------------------------------------------------------ deadlines

    def check_deadlines(self) -> None:
        """Cut the connection when it is past a deadline; called once a second."""
        now = self.loop.time()
        limits = self._limits
        if self._linger_until is not None:
            if now > self._linger_until:
                self.transport.abort()
            return
        if self.transport.is_closing():
            return
        head_s = limits.head_s / 5 if self._household.is_stressed else limits.head_s
        if self._head_since is not None and now - self._head_since > head_s:
            self._refuse(408, "head-too-slow", f"the head was not complete after {head_s:.0f} seconds")
            self.send_400_response("")
            return
        if self._in_body and self._is_body_slow(now):
            self.transport.abort()
            return
        if not self.flow.write_paused:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > limits.stalled_s:
            self.transport.abort()

    def _is_body_slow(self, now: float) -> bool:
        if self.flow.read_paused:  # we do not read: the caller's time begins anew
            self._body_since = now
            self._body_size = 0
        elapsed = now - self._body_since
        return elapsed > self._limits.grace_s and self._body_size < self._limits.min_rate * elapsed


_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#@\s]+)(?=[/?#]|\Z)")
"""RFC 9112 section 3.2.2 absolute-form, with its authority (RFC 9110 section 4.2.4: no userinfo)."""


def _error(status: int, code: str, cause: str, *, retry_after: str = "") -> HttpError:
    problem = Problem(code=code, field="", cause=cause, fix="Send a complete HTTP/1.1 request in time.")
    return HttpError(status, problem, {"retry-after": retry_after} if retry_after else {})
