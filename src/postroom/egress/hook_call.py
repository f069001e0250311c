"""The HTTP of a posted mail: one POST whose last byte waits for leave.

httpcore2 is used by itself, as in ``egress.calls``: no redirect, no environment, no cookies. Where to is the
operator's word, so no guard stands between. A connection is made for each call and never used again: one that
its server closes in the moment of a post would make a mail uncertain that was never read.

The order: everything but the last byte of the body is written, then ``may_send`` is awaited, then the last
byte is written and the answer is awaited. What a peer does is a ``HookReply`` or a ``Lost``.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpcore2

from postroom.clock import Clock
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.net.faults import NetFault, tls_fault
from postroom.net.guard import Guard
from postroom.net.guarded import GuardedBackend, deepest
from postroom.policy.hook_outcomes import HookReply, lost, member_of
from postroom.policy.hook_url import HookUrl
from postroom.policy.hooking import retry_after_s
from postroom.telemetry.redaction import redacted

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read (security limit)."""
MAX_TEXT = 300
"""Characters of an answer that are kept."""
CHUNK = 64 * 1024
"""Bytes written at once: a slow receiver is given the timeout for each."""
MAX_CONNECT_S = 30.0
_ANYWHERE = ("0.0.0.0/0", "::/0")
_PEER_FAULTS = (
    NetFault,
    TimeoutError,
    OSError,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
)
_STEPS = {
    "connection.connect_tcp.started": Step.CONNECT,
    "connection.start_tls.started": Step.TLS,
    "http11.send_request_headers.started": Step.BODY,
}


class NoLeaveError(Exception):
    """``may_send`` said no: the last byte was not written."""


class Caller:
    """Makes the posts of one transport."""

    def __init__(
        self, *, clock: Clock, timeout_s: float, ca_file: str | None = None, verify: bool = True
    ) -> None:
        """Take how to call; blocking, for it reads the authorities to trust. Raises OSError, ssl.SSLError."""
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._context = context
        self._clock = clock
        self._timeout_s = timeout_s
        self._guard = Guard(_ANYWHERE)

    async def post(
        self,
        url: HookUrl,
        *,
        headers: Mapping[str, str],
        body: bytes,
        may_send: Callable[[], Awaitable[bool]],
        member: str | None = None,
    ) -> "HookReply | Evidence":
        """Make one POST; return the answer, or the evidence of why there is none that counts.

        ``member`` is what is read of a JSON answer. Raises ``NoLeaveError``, and what ``may_send`` raises.
        """
        return await _Post(self, url, member).made(headers, body, may_send)

    def pool(self) -> httpcore2.AsyncConnectionPool:
        """Return the connection of one call."""
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._context,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(self._guard),
        )

    def reply_of(self, status: int, fields: Mapping[bytes, str]) -> HookReply:
        """Return an answer without its body."""
        given = fields.get(b"retry-after", "")
        return HookReply(status=status, retry_after_s=retry_after_s(given, self._clock.now()))

    @property
    def timeout_s(self) -> float:
        """Seconds for the connection, for each stretch of the body, and for the answer."""
        return self._timeout_s


class _Post:
    """One call while it is made."""

    def __init__(self, caller: Caller, url: HookUrl, member: str | None) -> None:
        self._caller = caller
        self._url = url
        self._member = member
        self._step = Step.RESOLVE
        self._is_posted = False
        """Leave was given: the last byte may be on its way."""
        self._reply: HookReply | None = None

    async def made(
        self, headers: Mapping[str, str], body: bytes, may_send: Callable[[], Awaitable[bool]]
    ) -> HookReply | Evidence:
        try:
            async with asyncio.timeout(None) as limit:

                async def leave() -> None:
                    if not await may_send():
                        raise NoLeaveError
                    self._is_posted = True
                    limit.reschedule(asyncio.get_running_loop().time() + self._caller.timeout_s)

                await self._exchange(headers, body, leave)
        except _PEER_FAULTS as error:
            if self._reply is None:
                return self._evidence(error)
        if self._reply is None:
            return lost(
                "the connection was closed before the answer", is_posted=self._is_posted, at=self._url
            )
        return self._reply

    async def _exchange(
        self, headers: Mapping[str, str], body: bytes, leave: Callable[[], Awaitable[None]]
    ) -> None:
        url, timeout_s = self._url, self._caller.timeout_s
        sent = {"host": url.authority, "user-agent": "Postroom", "accept-encoding": "identity"}
        fields = [
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in {**sent, **headers, "content-length": str(len(body))}.items()
        ]
        limits = {
            "connect": min(timeout_s, MAX_CONNECT_S),
            "read": timeout_s,
            "write": timeout_s,
            "pool": timeout_s,
        }
        target = httpcore2.URL(
            scheme=b"https" if url.is_tls else b"http",
            host=url.host.encode("ascii"),
            port=url.port,
            target=url.target.encode("ascii"),
        )
        extensions: dict[str, Any] = {"timeout": limits, "trace": self._trace}
        async with (
            self._caller.pool() as pool,
            pool.stream(
                "POST", target, headers=fields, content=_chunks(body, leave), extensions=extensions
            ) as response,
        ):
            names = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            reply = self._reply = self._caller.reply_of(response.status, names)
            await self._read(response, reply)

    async def _read(self, response: httpcore2.Response, reply: HookReply) -> None:
        content, is_cut = b"", True
        try:
            async for chunk in response.aiter_stream():
                content += chunk[: MAX_ANSWER - len(content)]
                if len(content) >= MAX_ANSWER:
                    break  # leaving the block closes the connection
            else:
                is_cut = False
        finally:
            self._reply = HookReply(
                status=reply.status,
                text=_shown(content),
                retry_after_s=reply.retry_after_s,
                said=None if self._member is None else _said(content, self._member),
                is_cut=is_cut,
                is_early=not self._is_posted,
            )

    async def _trace(self, name: str, _info: Mapping[str, Any]) -> None:
        self._step = _STEPS.get(name, self._step)

    def _evidence(self, error: BaseException) -> Evidence:
        at = self._url
        if self._step is Step.BODY or self._is_posted:
            is_timeout = isinstance(error, TimeoutError | httpcore2.TimeoutException)
            return lost(self._phrase(error), is_posted=self._is_posted, at=at, is_timeout=is_timeout)
        if isinstance(error, NetFault):
            return Evidence(step=error.step, fault=error.fault, host=at.host, port=at.port)
        return Evidence(step=self._step, fault=self._fault(error), host=at.host, port=at.port)

    def _fault(self, error: BaseException) -> Fault:
        tls = deepest(error, ssl.SSLError)
        if tls is not None:
            return tls_fault(tls)
        kind = FaultKind.CLOSED
        if isinstance(error, TimeoutError | httpcore2.TimeoutException):
            kind = FaultKind.TIMEOUT
        elif self._step is Step.CONNECT:
            refused = "refused" in str(error).lower()
            kind = FaultKind.REFUSED if refused else FaultKind.UNREACHABLE
        return Fault(kind=kind, text=self._phrase(error))

    def _phrase(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError | httpcore2.TimeoutException):
            return f"no answer within {self._caller.timeout_s:g} s"
        text = str(error).rstrip(".").lower()
        return text or "the connection was closed before the answer"


async def _chunks(body: bytes, leave: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    """Yield the body; its last byte after leave was given."""
    for start in range(0, len(body) - 1, CHUNK):
        yield body[start : min(start + CHUNK, len(body) - 1)]
    await leave()
    yield body[-1:]


def _shown(content: bytes) -> str:
    text = redacted(content[: 4 * MAX_TEXT].decode("utf-8", "replace"))  # a server may echo its headers
    return "".join(one if one.isprintable() else " " for one in text).strip()[:MAX_TEXT]


def _said(content: bytes, member: str) -> str | None:
    try:
        return member_of(json.loads(content), member)
    except (ValueError, RecursionError):
        return None
