"""The HTTP of a call to a caller's URL: httpcore2 with a network backend that asks the egress guard.

httpcore2, the engine of httpx2, is used by itself: it follows no redirect, reads no environment, no netrc and
no cookies, and undoes no content coding, so none of that has to be turned off. Its network backend is
replaced by one that asks the guard where to connect; the name stays in TLS (SNI and certificate) and in the
Host header. A connection is used again for the same origin; it goes where the guard let it go.

An answer is read up to ``MAX_ANSWER`` bytes and shown cut.
"""

import asyncio
import ssl
from collections.abc import Mapping

import httpcore2

from postroom.net.destination import Destination
from postroom.net.faults import NetFault, tls_fault
from postroom.net.guard import Guard
from postroom.net.guarded import CONNECT_S, GuardedBackend, deepest

MAX_ANSWER = 16 * 1024
"""Bytes of an answer that are read (security limit)."""
MAX_TEXT = 500
"""Characters of an answer that are kept."""
IDLE_S = 15.0
"""A connection without work is closed after this."""
MAX_IDLE = 32
_PEER_FAULTS = (
    NetFault,
    TimeoutError,
    OSError,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
)


class Answer:
    """What has come of an answer so far."""

    __slots__ = ("content", "fields", "phrase", "status")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.status: int | None = None
        self.fields: Mapping[bytes, str] = {}
        self.content = b""
        self.phrase = ""

    @property
    def text(self) -> str:
        """The answer's text for people, or the phrase of why there is no answer."""
        if self.status is None:
            return self.phrase[:MAX_TEXT]
        coding = self.fields.get(b"content-encoding", "identity").lower()
        if coding != "identity":
            return f"({coding[:20]}, not read)"
        text = self.content.decode("utf-8", "replace")
        return "".join(one if one.isprintable() else " " for one in text[:MAX_TEXT]).strip()


class Calls:
    """Makes calls over connections that are kept. ``stop`` closes what is idle."""

    def __init__(self, guard: Guard, *, ca_file: str | None) -> None:
        """Take the guard; blocking, for it reads the authorities to trust."""
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,  # who posts bounds it, by endpoint
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=IDLE_S,
            network_backend=GuardedBackend(guard),
        )

    async def post(
        self, destination: Destination, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Answer:
        """Make one POST and return what came of its answer in time. Never raises for what a peer does."""
        answer = Answer()
        try:
            async with asyncio.timeout(timeout_s):
                await self._exchange(destination, headers, body, answer)
        except _PEER_FAULTS as error:
            answer.phrase = _phrase(error, timeout_s)
        return answer

    async def _exchange(
        self, destination: Destination, headers: Mapping[str, str], body: bytes, answer: Answer
    ) -> None:
        url = httpcore2.URL(
            scheme=b"https" if destination.is_tls else b"http",
            host=destination.host.encode("ascii"),
            port=destination.port,
            target=destination.target.encode("ascii"),
        )
        sent = {
            "host": destination.authority,
            "user-agent": "Postroom",
            "accept-encoding": "identity",
            **headers,
            "content-length": str(len(body)),
        }
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]
        limits = {"timeout": {"connect": CONNECT_S}}
        async with self._pool.stream(
            "POST", url, headers=fields, content=body, extensions=limits
        ) as response:
            answer.status = response.status
            answer.fields = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            async for chunk in response.aiter_stream():
                answer.content += chunk[: MAX_ANSWER - len(answer.content)]
                if len(answer.content) >= MAX_ANSWER:
                    break  # leaving the block closes the connection

    async def stop(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def _phrase(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, NetFault):
        return error.fault.text
    tls = deepest(error, ssl.SSLError)
    if tls is not None:
        return tls_fault(tls).text
    if isinstance(error, TimeoutError | httpcore2.TimeoutException):
        return f"no answer within {timeout_s:g} s"
    return str(error).rstrip(".").lower() or "the connection was closed before the answer"
