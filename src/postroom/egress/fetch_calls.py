"""The HTTP of fetching a file: httpcore2 with a network backend that asks the egress guard.

As in ``egress.calls`` nothing is followed, read from the environment, remembered or decoded by the library. A
redirect is followed here, as often as the rules say, and is a new destination with all of its checks. A file
counts only when its announced end was reached: by length or by its last chunk.

Memory is bounded by ``WRITE_BATCH`` for each file, whatever its size; writing and hashing happen in a thread.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urljoin

import httpcore2

from postroom.egress.fetch import MAX_URL, FetchRules
from postroom.model.outcome import Fault, FaultKind
from postroom.net.destination import Destination, DestinationError, parse_url
from postroom.net.faults import NetFault, tls_fault
from postroom.net.guard import Guard, RefusedByGuard
from postroom.net.guarded import CONNECT_S, GuardedBackend, deepest
from postroom.policy import fetching
from postroom.ports import Download, StagedBlob

WRITE_BATCH = 256 * 1024
"""Bytes gathered before a write."""
READ_S = 30.0
"""A server that sends nothing for so long has given up."""
IDLE_S = 15.0
MAX_IDLE = 16
_PEER_FAULTS = (
    NetFault,
    TimeoutError,
    ssl.SSLError,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
)


class FetchCalls:
    """Fetches files over connections that are kept for a while. ``stop`` closes what is idle."""

    def __init__(self, guard: Guard, rules: FetchRules) -> None:
        """Take the guard; blocking, for it reads the authorities to trust."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if rules.ca_file is not None:
            context.load_verify_locations(cafile=rules.ca_file)
        self._rules = rules
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,  # who fetches bounds it, by host
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=IDLE_S,
            network_backend=GuardedBackend(guard),
        )

    async def fetch(self, destination: Destination, *, into: StagedBlob, max_bytes: int) -> Download:
        """Fetch one file. Never raises for what a peer does."""
        redirects = 0
        try:
            async with asyncio.timeout(self._rules.timeout_s):
                while True:
                    found = await self._request(destination, into, max_bytes)
                    if isinstance(found, Download):
                        return found
                    redirects += 1
                    next_one = _followed(destination, found, redirects, self._rules.max_redirects)
                    if isinstance(next_one, Fault):
                        return _failed(destination, next_one)
                    destination = next_one
        except _PEER_FAULTS as error:
            return _failed(destination, _fault_of(error, destination, self._rules.timeout_s))

    async def _request(self, destination: Destination, into: StagedBlob, max_bytes: int) -> Download | str:
        """Make one request; return what came of the file, or where a redirect leads."""
        url = httpcore2.URL(
            scheme=b"https" if destination.is_tls else b"http",
            host=destination.host.encode("ascii"),
            port=destination.port,
            target=destination.target.encode("ascii"),
        )
        sent = {
            "host": destination.authority,
            "user-agent": "Postroom",
            "accept": "*/*",
            "accept-encoding": "identity",
        }
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]
        limits = {"timeout": {"connect": CONNECT_S, "read": READ_S, "write": READ_S}}
        async with self._pool.stream("GET", url, headers=fields, extensions=limits) as response:
            answered = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in fetching.REDIRECTS:
                return answered.get(b"location", "")
            fault = fetching.status_fault(response.status) or _body_fault(answered, max_bytes)
            if fault is None:
                fault = await _written(response, into, max_bytes)
            if fault is not None:
                return _failed(destination, fault)
        kind = answered.get(b"content-type", "").partition(";")[0].strip().lower()
        return Download(content_type=kind, host=destination.host, port=destination.port)

    async def stop(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


async def _written(response: httpcore2.Response, into: StagedBlob, max_bytes: int) -> Fault | None:
    """Write the body into the blob; stop when it gets too large."""
    gathered = bytearray()
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > max_bytes:
            return _too_large(f"more than {max_bytes} bytes")
        gathered += chunk
        if len(gathered) >= WRITE_BATCH:
            await asyncio.to_thread(into.write, bytes(gathered))
            gathered.clear()
    await asyncio.to_thread(into.write, bytes(gathered))
    return None


def _body_fault(answered: Mapping[bytes, str], max_bytes: int) -> Fault | None:
    length = answered.get(b"content-length")
    fault = fetching.body_fault(
        coding=answered.get(b"content-encoding", ""),
        has_length=length is not None or b"transfer-encoding" in answered,
    )
    if fault is None and length is not None and int(length) > max_bytes:  # h11 lets digits through only
        return _too_large(f"{int(length)} bytes")
    return fault


def _too_large(size: str) -> Fault:
    text = f"{size}, more than texts and files of one mail may have together (limits.max_content)"
    return Fault(kind=FaultKind.LOCAL, text=text, cause=fetching.TOO_LARGE)


def _followed(here: Destination, location: str, count: int, most: int) -> Destination | Fault:
    """Return where a redirect leads, or why it is not followed."""
    base = f"{'https' if here.is_tls else 'http'}://{here.authority}{here.target}"
    if count > most:
        allowed = "redirects are not followed" if most == 0 else f"more than {most} redirects"
        setting = f"attachment_redirects = {most + 1} below [hap] allows {most + 1}"
        return Fault(kind=FaultKind.PROTOCOL, text=f"{allowed}; {setting}", cause=fetching.REDIRECT)
    try:
        return parse_url(urljoin(base, location.partition("#")[0]), most=MAX_URL)
    except (DestinationError, ValueError) as error:
        text = f"redirected to what is no URL to be called: {error}"
        return Fault(kind=FaultKind.PROTOCOL, text=text, cause=fetching.REDIRECT)


def _failed(destination: Destination, fault: Fault) -> Download:
    return Download(fault=fault, host=destination.host, port=destination.port)


def _fault_of(error: BaseException, destination: Destination, timeout_s: float) -> Fault:
    """Return what a failure to get an answer or all of it means."""
    if isinstance(error, RefusedByGuard):
        return Fault(kind=FaultKind.LOCAL, text=_way_in(error, destination), cause=fetching.REFUSED)
    if isinstance(error, NetFault):
        return Fault(kind=error.fault.kind, text=error.fault.text, cause=fetching.FAILED)
    tls = deepest(error, ssl.SSLError)
    if tls is not None:
        is_certificate = isinstance(tls, ssl.SSLCertVerificationError)
        cause = fetching.CERTIFICATE if is_certificate else fetching.FAILED
        return Fault(kind=FaultKind.TLS, text=tls_fault(tls).text, cause=cause)
    if isinstance(error, TimeoutError | httpcore2.TimeoutException):
        text = f"not there within {timeout_s:g} s, or nothing came for {READ_S:g} s"
        return Fault(kind=FaultKind.TIMEOUT, text=text, cause=fetching.TIMEOUT)
    text = str(error).rstrip(".").lower() or "the connection was closed before the end of the file"
    kind = FaultKind.UNREACHABLE if isinstance(error, httpcore2.ConnectError) else FaultKind.CLOSED
    return Fault(kind=kind, text=text, cause=fetching.FAILED)


def _way_in(error: RefusedByGuard, destination: Destination) -> str:
    """Say why an address is not called and the line that opens it, when one can."""
    if error.is_final:
        return f"{error.why}, which is never called"
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    line = f'attachment_hosts = ["{host}:{destination.port}"]'
    return f"{error.why}; if that is your own file server, write {line} below [hap] and restart"
