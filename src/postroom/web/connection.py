"""One HTTP connection and its deadlines; ``web.server`` has the rules, ``web.exchange`` the requests.

The parser is httptools (llhttp, strict); what it calls back is judged here.
"""

import asyncio
import re
from collections import deque
from typing import cast
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp

from postroom.errors import Problem
from postroom.telemetry.catalogue import ANSWERS, CONNECTIONS_CUT
from postroom.web.exchange import STATUS_LINES, Exchange
from postroom.web.household import Household, Seat, ServerLimits
from postroom.web.problem import HttpError, problem_of

MAX_HELD = 64 * 1024
"""Bytes of a body that arrived before the application asked; then nothing more is read."""
LINGER_BYTES = 1024 * 1024
"""Bytes dropped after an early answer before the connection is cut."""
LINGER_S = 2.0
"""Seconds for the same: enough for a caller to notice the answer and stop."""


class Connection(asyncio.Protocol):
    """A caller's connection: feeds the parser, starts one exchange after the other, keeps the deadlines."""

    transport: asyncio.Transport

    def __init__(self, app: ASGIApp, household: Household, seat: Seat) -> None:
        """Take the application, and the household with the seat the connection is counted by."""
        self._app = app
        self._household = household
        self._seat = seat
        self._errors = 0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._scheme = "http"
        # the request whose head or body comes in
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._hosts = 0
        self._expects_continue = False
        self._head_since: float | None = None
        self._head_size = 0
        """Bytes of reads in which the head did not end."""
        self._read_size = self._received = 0
        """Bytes of this read, and of all since the one in which the last head ended: no head is longer."""
        self._in_head = True
        self._incoming: Exchange | None = None
        self._body_since = 0.0
        self._body_size = 0
        # the request that is answered, and those that wait for it
        self._running: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        # the connection
        self.drained: asyncio.Future[None] | None = None
        self._is_read_paused = False
        self._idle_since: float | None = None
        self._stalled_since: float | None = None
        self._is_deaf = False
        self._linger_until: float | None = None
        self._linger_left = LINGER_BYTES
        self._refusal: HttpError | None = None

    @property
    def _limits(self) -> ServerLimits:
        return self._household.limits

    @property
    def date_line(self) -> bytes:
        """Return the Date header, one for all connections."""
        return self._household.date_line

    # ------------------------------------------------------------------ begin and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self.transport = cast("asyncio.Transport", transport)
        peer, name = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = (peer[0], peer[1]) if peer else None
        self._server = (name[0], name[1]) if name else None
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._head_since = self._loop.time()
        self._household.guests.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Count the connection out; nobody reads the answers that were still to come."""
        self._household.guests.discard(self)
        self._household.leave(self._seat)
        for exchange in (self._running, self._incoming):
            if exchange is not None:
                exchange.is_disconnected = True
                exchange.wake()
        self._queue.clear()
        self.resume_writing()

    def shutdown(self) -> None:
        """End after the answer that is under way."""
        if self._running is None:
            self.transport.close()
        else:
            self._running.keeps_alive = False

    # ------------------------------------------------------------------ bytes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the last answer was given already."""
        if self._linger_until is not None:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                CONNECTIONS_CUT.count(("flood",))
                self.transport.abort()
            return
        if self._is_deaf:
            return
        self._idle_since = None
        self._read_size = len(data)
        self._received += len(data)
        if self._in_head and self._head_since is None:
            self._head_since = self._loop.time()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._answer_refusal()
            return
        if self._in_head and self._head_since is not None:
            self._head_size += len(data)
            if self._head_size > self._limits.max_head:
                self._refuse(431, "head-too-large", f"the head has more than {self._limits.max_head} bytes")
                self._answer_refusal()

    def _parse(self, data: bytes) -> None:
        """Feed the parser. Nothing is ever upgraded (RFC 9110 section 7.8 lets a server ignore the offer).

        After a head with an Upgrade the parser takes what follows for another protocol and stops, also when
        a body was announced. So a second one is given the same head without that line, and then the rest.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
                version = self._parser.get_http_version().encode("ascii")
                lines = [b"%s %s HTTP/%s\r\n" % (self._parser.get_method(), self._url, version)]
                lines += [b"%s: %s\r\n" % pair for pair in self._headers if pair[0] != b"upgrade"]
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(b"".join([*lines, b"\r\n"]))
            else:
                return

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._url = b""
        self._headers = []
        self._hosts = 0
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and note those that say how to go on."""
        name = name.lower()
        self._headers.append((name, value))
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Judge the head; an exception here makes the parser stop and the refusal is sent."""
        parser = self._parser
        method = parser.get_method().decode("ascii")
        if parser.should_upgrade() and method != "CONNECT":
            return  # _parse gives this head to a second parser
        version = parser.get_http_version()
        self._in_head = False
        self._head_since = None
        self._head_size = 0
        self._judge_head(version)
        self._received = self._read_size
        target, _, query = self._url.partition(b"#")[0].partition(b"?")
        path = target.decode("ascii")
        exchange = Exchange(
            self,
            {
                "type": "http",
                "asgi": _ASGI,
                "http_version": version,
                "method": method,
                "scheme": self._scheme,
                "path": unquote(path) if "%" in path else path,
                "raw_path": target,
                "query_string": query,
                "root_path": "",
                "headers": self._headers,
                "client": self._client,
                "server": self._server,
            },
            keeps_alive=version != "1.0" and parser.should_keep_alive(),
            expects_continue=self._expects_continue,
        )
        self._incoming = exchange
        self._body_since = self._loop.time()
        self._body_size = 0
        if self._running is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)
            self._pause_reading()

    def _judge_head(self, version: str) -> None:
        if self._is_head_large() or len(self._headers) > self._limits.max_headers:
            self._refuse(431, "head-too-large", "too many or too long headers")
        elif self._hosts != 1 and not (self._hosts == 0 and version == "1.0"):
            self._refuse(400, "host-header", "exactly one Host header is needed")
        elif not self._url.startswith(b"/"):
            self._take_authority()
        if self._refusal is not None:
            raise self._refusal

    def _is_head_large(self) -> bool:
        if self._received <= self._limits.max_head:  # the head is a part of that
            return False
        size = len(self._url) + sum([len(name) + len(value) for name, value in self._headers])
        return size > self._limits.max_head

    def _take_authority(self) -> None:
        """Let the authority of an absolute target stand for the Host (RFC 9112 section 3.2.2)."""
        match = _ABSOLUTE.match(self._url)
        if match is None:
            self._refuse(400, "target-form", "the target is neither a path nor an http URL without userinfo")
            return
        self._headers[:] = [pair for pair in self._headers if pair[0] != b"host"]
        self._headers.append((b"host", match[1]))
        rest = self._url[match.end() :]
        self._url = rest if rest.startswith(b"/") else b"/" + rest

    def on_body(self, body: bytes) -> None:
        """Give a piece of the body to its exchange; more than a little stays with the caller."""
        exchange = self._incoming
        self._body_size += len(body)
        if exchange is None or exchange.is_complete:
            return
        exchange.take(body)
        if exchange.held > MAX_HELD:
            self._pause_reading()

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        if self._parser.should_upgrade():
            return
        self._in_head = True
        if self._incoming is not None:
            self._incoming.end()
            self._incoming = None

    def _pause_reading(self) -> None:
        if not self._is_read_paused:
            self._is_read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Let more bytes come in."""
        if self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = False
            self.transport.resume_reading()

    # ------------------------------------------------------------------ answers

    def _start(self, exchange: Exchange) -> None:
        self._running = exchange
        exchange.task = self._loop.create_task(exchange.run(self._app), name="request")
        self._household.exchanges.add(exchange)  # the loop itself holds tasks weakly

    def finish(self, exchange: Exchange) -> None:
        """Go on after a whole answer: with the next request, or with the end when its body was not read."""
        self._running = None
        if self.transport.is_closing():
            return
        if exchange.more_body or not exchange.keeps_alive:
            self._close_politely(exchange)
        elif self._queue:
            self._start(self._queue.popleft())
        else:
            self._idle_since = self._loop.time()
            self.resume_reading()

    def bears(self, status: int) -> bool:
        """Say whether the connection may go on after an answer with this status."""
        limits = self._household.limits
        if status >= 400:
            self._errors += 1
            if self._errors >= limits.max_errors:
                CONNECTIONS_CUT.count(("errors",))
                return False
        return limits.keep_alive_s > 0

    def forget(self, exchange: Exchange) -> None:
        """Count out an exchange whose application has ended."""
        self._household.exchanges.discard(exchange)

    def break_off(self, exchange: Exchange) -> None:
        """End the connection without a whole answer, with 500 when none has begun."""
        self._running = None
        if self.transport.is_closing():
            return
        if not exchange.release_head():
            self._write_refusal(
                _error(500, "internal-error", "a fault of this program; the log has the details")
            )
        self._close_politely(exchange)

    def _close_politely(self, exchange: Exchange) -> None:
        """Close; with a body still coming drop it for a moment, so that the answer is not reset away."""
        self._is_deaf = True
        self._queue.clear()
        if not exchange.more_body:
            self.transport.close()
            return
        self._linger_until = self._loop.time() + LINGER_S
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _answer_refusal(self) -> None:
        """Refuse what cannot be read, after the answers that are owed to requests before it; then close."""
        self._is_deaf = True
        self._queue.clear()
        running = self._running
        if running is not None and not running.more_body:
            running.keeps_alive = False
            return
        if running is None or not running.release_head():
            self._write_refusal(self._refusal or _error(400, "malformed-request", "not an HTTP/1.1 request"))
        self.transport.close()

    def _write_refusal(self, error: HttpError) -> None:
        self.transport.write(refusal_of(error, self.date_line))

    def _refuse(self, status: int, code: str, cause: str) -> None:
        self._refusal = _error(status, code, cause)

    def pause_writing(self) -> None:
        """Let answers wait: the caller does not read."""
        if self.drained is None:
            self.drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let answers go on."""
        if self.drained is not None:
            self.drained.set_result(None)
            self.drained = None

    # ------------------------------------------------------------------ deadlines

    def check_deadlines(self) -> None:
        """Cut the connection when it is past a deadline; called once a second."""
        now = self._loop.time()
        limits = self._limits
        if self._linger_until is not None:
            if now > self._linger_until:
                self.transport.abort()
            return
        if self.transport.is_closing():
            return
        if self._head_since is not None and now - self._head_since > limits.head_s:
            cause = f"the head was not complete after {limits.head_s:.0f} seconds"
            self._refuse(408, "head-too-slow", cause)
            CONNECTIONS_CUT.count(("slow-head",))
            self._answer_refusal()
            return
        if self._idle_since is not None and now - self._idle_since > limits.keep_alive_s:
            self.transport.close()
            return
        if self._incoming is not None and self._is_body_slow(now):
            CONNECTIONS_CUT.count(("slow-body",))
            self.transport.abort()
            return
        if self.drained is None:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > limits.stalled_s:
            CONNECTIONS_CUT.count(("stalled",))
            self.transport.abort()

    def _is_body_slow(self, now: float) -> bool:
        if self._is_read_paused:  # we do not read: the caller's time begins anew
            self._body_since = now
            self._body_size = 0
        elapsed = now - self._body_since
        return elapsed > self._limits.grace_s and self._body_size < self._limits.min_rate * elapsed


_ASGI = {"version": "3.0", "spec_version": "2.3"}
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#@\s]+)(?=[/?#]|\Z)")
"""RFC 9112 section 3.2.2 absolute-form, with its authority (RFC 9110 section 4.2.4: no userinfo)."""


def refusal_of(error: HttpError, date_line: bytes) -> bytes:
    """Write a whole answer of a connection that has no exchange, and ends with it."""
    ANSWERS.count((str(error.status),))
    response = problem_of(error).as_response()
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return STATUS_LINES[response.status_code] + date_line + lines + b"\r\n" + bytes(response.body)


def no_seat(date_line: bytes) -> bytes:
    """Write the answer to a caller for whom there is no seat."""
    problem = Problem(
        code="too-many-connections",
        field="",
        cause="too many connections",
        fix="Close connections that are not used, and come back.",
    )
    return refusal_of(HttpError(503, problem, {"retry-after": "2"}), date_line)


def _error(status: int, code: str, cause: str) -> HttpError:
    problem = Problem(code=code, field="", cause=cause, fix="Send a complete HTTP/1.1 request in time.")
    return HttpError(status, problem)
