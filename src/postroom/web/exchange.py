"""One HTTP request and its answer, in ASGI's shape.

Rules: what has arrived is handed over without waiting, and ``100 Continue`` is sent only to a caller that
is waited for; head and first piece of an answer leave in one write, because a system call is the dearest
part of it; an answer that breaks off ends the connection, so that nobody takes it for whole.

Not here: reading bytes and the life of a connection (``web.connection``).

Sources: the ASGI specification 3.0 (HTTP), RFC 9112 sections 6 and 7, RFC 9110 section 10.1.1 (Expect).
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from postroom.telemetry import logger
from postroom.telemetry.catalogue import ANSWERS
from postroom.telemetry.context import REQUEST, next_request
from postroom.telemetry.logs import access

STATUS_LINES = {status.value: f"HTTP/1.1 {status} {status.phrase}\r\n".encode() for status in HTTPStatus}

_BODILESS = frozenset({204, 304})
_log = logger("http")


class Line(Protocol):
    """What an exchange asks of its connection."""

    transport: asyncio.Transport
    drained: asyncio.Future[None] | None
    """To be awaited before more is written; ``None`` when the caller reads fast enough."""

    @property
    def date_line(self) -> bytes:
        """The Date header with its line end."""

    def resume_reading(self) -> None:
        """Let more bytes come in."""

    def bears(self, status: int) -> bool:
        """Say whether the connection may go on after an answer with this status."""

    def finish(self, exchange: "Exchange") -> None:
        """Go on after a whole answer."""

    def break_off(self, exchange: "Exchange") -> None:
        """End the connection without a whole answer."""

    def forget(self, exchange: "Exchange") -> None:
        """Count out an exchange whose application has ended."""


class Exchange:
    """A request while it is answered."""

    __slots__ = (
        "_chunks",
        "_expects_continue",
        "_head",
        "_is_chunked",
        "_is_handed_over",
        "_is_started",
        "_left",
        "_line",
        "_waiter",
        "held",
        "is_complete",
        "is_disconnected",
        "keeps_alive",
        "more_body",
        "scope",
        "status",
        "task",
    )

    def __init__(self, line: Line, scope: Scope, *, keeps_alive: bool, expects_continue: bool) -> None:
        """Take the connection and the request's head."""
        self._line = line
        self.scope = scope
        self.keeps_alive = keeps_alive
        """Whether the connection lives on after the answer."""
        self._expects_continue = expects_continue
        self._chunks: list[bytes] = []
        self.held = 0
        """Bytes of the body that arrived and are not handed over."""
        self.more_body = True
        """Whether some of the body has still to arrive."""
        self._is_handed_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self._is_started = False
        self._is_chunked = False
        self._left: int | None = None
        """Bytes of the body to come; ``None``: up to the end of the connection."""
        self.is_complete = False
        """The whole answer was written."""
        self.is_disconnected = False
        self.status = 0
        """Of the answer, once it began."""
        self.task: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer."""
        REQUEST.set(next_request())
        begun_at = asyncio.get_running_loop().time() if access.is_on else 0.0
        try:
            await app(self.scope, self.receive, self.send)
            if not (self.is_complete or self.is_disconnected):
                raise RuntimeError("the application ended without a whole answer")  # noqa: TRY301 - the same end
        except Exception as error:  # noqa: BLE001 - supervision point: one answer never ends the server
            _log.error("answer broken off", cause=str(error), exc_info=error)
            self._line.break_off(self)
        except BaseException:
            self._line.break_off(self)
            raise
        finally:
            self._line.forget(self)
            if self.status:
                ANSWERS.count((str(self.status),))
            if access.is_on:
                self._note(begun_at, asyncio.get_running_loop().time())

    def _note(self, begun_at: float, now: float) -> None:
        """Write the access record; the query may hold addresses and stays out."""
        scope = self.scope
        client = scope["client"]
        access.record(
            {
                "method": scope["method"],
                "path": scope["path"][:200],
                "ms": round((now - begun_at) * 1000, 1),
                "peer": client[0] if client else "",
            },
            status=self.status,
            now=now,
        )

    # ------------------------------------------------------------------ the request's body

    def take(self, chunk: bytes) -> None:
        """Keep a piece of the body until it is asked for."""
        self._chunks.append(chunk)
        self.held += len(chunk)
        if self._waiter is not None:
            self.wake()

    def end(self) -> None:
        """Note that the body is whole."""
        self.more_body = False
        if self._waiter is not None:
            self.wake()

    def wake(self) -> None:
        """Let ``receive`` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Message:
        """Return what arrived since the last call; wait for something when there is nothing."""
        while not (self._chunks or self.is_disconnected or self.is_complete) and (
            self.more_body or self._is_handed_over
        ):
            if self._expects_continue:
                self._expects_continue = False
                self._line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self.more_body:
                self._line.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        if self.is_disconnected or self.is_complete:
            return {"type": "http.disconnect"}
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.held = 0
        self._is_handed_over = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    # ------------------------------------------------------------------ the answer

    async def send(self, message: Message) -> None:
        """Write a piece of the answer. Raises RuntimeError when it is none."""
        if self._line.drained is not None:
            await self._line.drained
        if self.is_disconnected:
            return
        if self.is_complete:
            raise RuntimeError("the answer is complete")
        if not self._is_started:
            self._head = self._written_head(message["status"], message.get("headers", ()))
            self._is_started = True
            self._expects_continue = False
            return
        more: bool = message.get("more_body", False)
        body = self._framed(message.get("body", b""), more)
        if self._head or body:
            self._line.transport.write(self._head + body)
            self._head = b""
        if not more:
            self.is_complete = True
            self._line.finish(self)

    def _framed(self, body: bytes, more: bool) -> bytes:
        """Return a piece of the body as it goes over the wire."""
        if self.scope["method"] == "HEAD":
            return b""
        if self._is_chunked:
            return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body has another length than announced")
        return body

    def release_head(self) -> bool:
        """Write a head that waits for its body; say whether an answer has begun."""
        if self._head:
            self._line.transport.write(self._head)
            self._head = b""
        return self._is_started

    def _written_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        self.status = status
        if not self._line.bears(status):
            self.keeps_alive = False
        lines = [STATUS_LINES[status], self._line.date_line]
        length = None
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":  # written below, when the connection ends
                self.keeps_alive = self.keeps_alive and value.lower() != b"close"
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if length is None and status not in _BODILESS and self.scope["method"] != "HEAD":
            if self.scope["http_version"] == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keeps_alive = False  # the end of the connection ends the body
        else:
            self._left = length or 0
        if not self.keeps_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
            raise RuntimeError("a line end or NUL in a header of the answer")
        return head + b"\r\n"
