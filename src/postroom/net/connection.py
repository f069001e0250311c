"""One outgoing connection as a stream of bytes, plain or TLS, on uvloop and asyncio alike.

Rules: one reader; a wait costs one future and no timer (one lazy timer serves every wait of a connection);
writes go straight to the transport; bytes that came before a TLS handshake are an error (they would be
read as if they had come under TLS: RFC 3207 section 6). It knows nothing of SMTP.
"""

import asyncio
import ssl
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount
from postroom.net.addresses import SocketAddress
from postroom.net.faults import NetFault, socket_fault, tls_fault
from postroom.net.tls import TlsLayer, is_tls

if TYPE_CHECKING:
    from postroom.net.certificates import Certificate

MAX_UNREAD = 256 * 1024
"""Bytes that may wait for the reader before the socket is left alone; a reply has at most 64 lines of
4,096 octets (security limit)."""


class Connection(asyncio.Protocol):
    """A dialled connection. Made by ``net.dialing``; used by one task at a time.

    Attributes:
        account: whose connection it is.
        host: the account's host name.
        port: its port.
        peer_address: the address that answered, the server's or the proxy's.
        tls_version: ``TLSv1.2``, ``TLSv1.3``, or ``None`` while plain.
        tls_cipher: the cipher suite, ``""`` while plain.
        is_resumed: whether TLS took up an earlier session.
    """

    def __init__(self, account: SmtpAccount, address: SocketAddress) -> None:
        """Take the account and the address that is being connected to."""
        self.host = account.host
        self.port = account.port
        self.peer_address = address.ip
        self.tls_version: str | None = None
        self.tls_cipher = ""
        self.is_resumed = False
        self._peer = str(address)
        self.account = account
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tls: TlsLayer | None = None
        self._chunks: list[bytes] = []
        self._unread = 0
        self._is_reading = True
        self._is_ended = False
        self._fault: Fault | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._is_write_paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # ------------------------------------------------------------- for the user

    async def receive(self, timeout_s: float | None) -> bytes:
        """Return what has come, at least one byte, or ``b""`` when the peer has ended.

        ``None`` goes on with the deadline of the call before.

        Raises:
            NetFault: TIMEOUT, CLOSED or TLS; its step is a placeholder that the caller replaces.
        """
        if timeout_s is not None:
            self._deadline = self._loop.time() + timeout_s
        while not self._chunks:
            if self._fault is not None:
                raise NetFault(Step.CONNECT, self._fault, self._peer)
            if self._is_ended:
                return b""
            if self._timer is None or self._timer_at > self._deadline:
                self._arm()
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.take()

    def take(self) -> bytes:
        """Return what has come without waiting, ``b""`` when there is nothing."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._unread = 0
        if not self._is_reading and self._transport is not None:
            self._is_reading = True
            self._transport.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """Give back what was taken and is somebody else's to read."""
        if data:
            self._take(data)

    def write(self, data: bytes) -> None:
        """Hand ``data`` to the socket; a connection that is gone tells it at the next wait."""
        if self._transport is not None and not self._is_ended:
            self._transport.write(data if self._tls is None else self._tls.encrypt(data))

    async def drain(self, timeout_s: float) -> None:
        """Wait until the socket takes more; at once unless much is waiting.

        Raises:
            NetFault: TIMEOUT without progress, CLOSED when the peer is gone (a last reply may be unread).
        """
        if self._is_write_paused and not self._is_ended:
            self._writer = self._loop.create_future()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._writer
            except TimeoutError:
                raise NetFault(Step.CONNECT, self._timeout(), self._peer) from None
            finally:
                self._writer = None
        if self._is_ended:
            fault = self._fault or Fault(
                kind=FaultKind.CLOSED, text=f"connection closed by the peer ({self._peer})"
            )
            raise NetFault(Step.CONNECT, fault, self._peer)

    async def start_tls(self, timeout_s: float) -> None:
        """Make the connection a TLS one; for use after the reply to STARTTLS.

        Raises:
            NetFault: at step TLS; PROTOCOL when bytes are unread (somebody put them before the handshake).
        """
        if self._chunks:
            text = "bytes received before the tls handshake"
            raise self._tls_failure(Fault(kind=FaultKind.PROTOCOL, text=text, cause="starttls-injection"))
        await self._shake_hands(timeout_s, is_implicit=False)

    @property
    def local_address(self) -> str | None:
        """The address of this machine that it goes out from; ``None`` when it is closed."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if name else None

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine; never said of what is behind a proxy."""
        return self.account.proxy is None and ip_address(self.peer_address.partition("%")[0]).is_loopback

    @property
    def certificate(self) -> "Certificate | None":
        """The server's certificate, read anew at each asking; ``None`` while plain or when unreadable."""
        from postroom.net.certificates import read_certificate  # noqa: PLC0415 - see there

        if self._tls is None:
            return None
        try:
            return read_certificate(self._tls.certificate)
        except ValueError:
            return None

    @property
    def channel_binding(self) -> bytes | None:
        """The bytes of ``tls-server-end-point`` (RFC 5929); ``None`` while plain or when undefined."""
        from postroom.net.certificates import end_point_binding  # noqa: PLC0415 - see there

        return end_point_binding(self._tls.certificate) if self._tls is not None else None

    @property
    def has_unread(self) -> bool:
        """Whether bytes wait for ``receive``."""
        return bool(self._chunks)

    @property
    def is_closed(self) -> bool:
        """Whether the peer has ended or the connection is gone."""
        return self._is_ended

    def close(self) -> None:
        """Send what waits, say goodbye in TLS, close."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if self._tls is not None:
                transport.write(self._tls.end())
            transport.close()

    def abort(self) -> None:
        """Close at once and drop what waits."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------- TLS

    async def encrypt(self, timeout_s: float) -> None:
        """Make a fresh connection a TLS one before anything is said: implicit TLS. Aborts when it fails.

        Raises:
            NetFault: at step TLS; cause ``tls-on-plain`` when the port speaks plain.
        """
        try:
            await self._shake_hands(timeout_s, is_implicit=True)
        except BaseException:
            self.abort()  # also when cancelled: no socket is left
            raise

    async def _shake_hands(self, timeout_s: float, *, is_implicit: bool) -> None:
        if self.account.pin is not None:
            await asyncio.to_thread(import_module, "postroom.net.certificates")  # 30 ms and more at first
        deadline = self._loop.time() + timeout_s
        try:
            layer = TlsLayer(self.account)
        except (OSError, ValueError) as error:
            text = f"tls cannot be set up: {error} ({self.account.ca_file or self.host})"
            raise self._tls_failure(Fault(kind=FaultKind.LOCAL, text=text)) from None
        try:
            received = b""
            while not layer.handshake(received):
                self.write(layer.to_send())
                is_first = received == b""
                received = await self._during_handshake(deadline - self._loop.time())
                if is_first and not is_tls(received):
                    raise self._tls_failure(_plain_fault(received, is_implicit=is_implicit))
            if fault := layer.pin_fault():
                raise self._tls_failure(fault)
            self.write(layer.to_send())
            self._tls = layer
            self.tls_version = layer.version
            self.tls_cipher = layer.cipher
            self.is_resumed = layer.is_resumed
            if rest := layer.decrypt(b""):
                self._take(rest)
        except ssl.SSLError as error:
            self.write(layer.to_send())  # the alert
            raise self._tls_failure(tls_fault(error)) from None

    async def _during_handshake(self, timeout_s: float) -> bytes:
        try:
            received = await self.receive(max(timeout_s, 0.0))
        except NetFault as failure:
            raise self._tls_failure(failure.fault) from None
        if not received:
            text = f"connection closed during the tls handshake ({self._peer})"
            raise self._tls_failure(Fault(kind=FaultKind.CLOSED, text=text))
        return received

    def _tls_failure(self, fault: Fault) -> NetFault:
        self.close()
        return NetFault(Step.TLS, fault, self._peer)

    # ------------------------------------------------------------- waiting

    def _arm(self) -> None:
        """Set the timer to the deadline; a later wait with a later deadline leaves it as it is."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        """The timer fired: for the wait that is on, for a longer one, or for none."""
        self._timer = None
        reader = self._reader
        if reader is None or reader.done():
            return
        if self._loop.time() < self._deadline:
            self._arm()
        else:
            reader.set_exception(NetFault(Step.CONNECT, self._timeout(), self._peer))

    def _timeout(self) -> Fault:
        text = f"timed out waiting for {self.host}:{self.port} ({self.peer_address})"
        return Fault(kind=FaultKind.TIMEOUT, text=text)

    def _take(self, data: bytes) -> None:
        self._chunks.append(data)
        self._unread += len(data)
        if self._unread > MAX_UNREAD and self._is_reading and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()

    def _wake(self) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    # ------------------------------------------------------------- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._tls is not None:
            try:
                data = self._tls.decrypt(data)
            except ssl.SSLError as error:
                self._end(tls_fault(error))
                self.abort()
                return
            if answer := self._tls.to_send():  # a key update
                self.write(answer)
            if self._tls.is_ended:
                self._is_ended = True
            if not data:
                if self._is_ended:
                    self._wake()
                return
        self._take(data)
        self._wake()

    def eof_received(self) -> None:
        """Note the end; returning nothing lets the transport close."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end and wake who waits."""
        fault = None
        if exc is not None:
            fault = socket_fault(exc if isinstance(exc, OSError) else OSError(str(exc)), self._peer)
        self._end(fault)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """Note that the socket takes no more."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """Note that the socket takes more again."""
        self._is_write_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _end(self, fault: Fault | None) -> None:
        self._is_ended = True
        if self._fault is None:
            self._fault = fault
        self._wake()
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)


def _plain_fault(received: bytes, *, is_implicit: bool) -> Fault:
    line = received.split(b"\n", 1)[0][:80].decode("latin-1").strip()
    words = "".join(char if char.isprintable() else "?" for char in line)
    return Fault(
        kind=FaultKind.TLS if is_implicit else FaultKind.PROTOCOL,
        text=f'the server answered the tls handshake in plain text ("{words}"): wrong version number',
        cause="tls-on-plain" if is_implicit else None,
    )
