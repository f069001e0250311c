"""A small SMTP sink in a thread of the test process: it keeps a ledger of what it was given.

It lives outside the process under test, so a kill there loses nothing here. It announces PIPELINING and
answers every command in order, so all modes of the client can be used on it.
"""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

MESSAGE_ID = re.compile(rb"(?mi)^message-id:\s*<([^@>]+)@")
RCPT = re.compile(rb"(?i)^rcpt to:<([^>]*)>")


class _Session(asyncio.Protocol):
    def __init__(self, sink: "LedgerSink") -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = False
        self._recipients: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.open.add(transport)
        self._transport.write(b"220 sink.example.net ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sink.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        looked_at = max(0, len(self._buffer) - 4)  # a large body comes in many pieces
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n", looked_at)
            if end < 0:
                return
            looked_at = 0
            if self._in_data:
                body = bytes(self._buffer[: end + 2])
                del self._buffer[: end + 5]
                self._in_data = False
                self._transport.write(self._sink.took(body, tuple(self._recipients)))
                self._recipients = []
            else:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._transport.write(self._answer(line))

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-sink.example.net\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250 8BITMIME\r\n"
        if verb == b"RCPT":
            match = RCPT.match(line)
            assert match is not None
            address = match[1].decode("ascii")
            refusal = self._sink.refuse(address)
            if refusal is None:
                self._recipients.append(address)
                return b"250 2.1.5 ok\r\n"
            return refusal
        if verb == b"DATA":
            if not self._recipients:
                return b"503 5.5.1 no valid recipients\r\n"
            self._in_data = True
            return b"354 go ahead\r\n"
        if verb == b"QUIT":
            return b"221 2.0.0 bye\r\n"
        if verb == b"RSET":
            self._recipients = []
        return b"250 2.0.0 ok\r\n"


class LedgerSink:
    """``with LedgerSink() as sink``: ``sink.port``, and ``sink.copies`` of (message id, recipient)."""

    def __init__(self, refuse: Callable[[str], bytes | None] | None = None) -> None:
        self.refuse: Callable[[str], bytes | None] = refuse or (lambda _address: None)
        self.copies: Counter[tuple[str, str]] = Counter()
        self.bodies: dict[str, bytes] = {}
        self.keep_bodies = False
        self.arrived = threading.Condition()
        self.open: set[asyncio.Transport] = set()
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger sink", daemon=True)

    def took(self, body: bytes, recipients: tuple[str, ...]) -> bytes:
        match = MESSAGE_ID.search(body)
        name = match[1].decode("ascii") if match else "?"
        with self.arrived:
            for recipient in recipients:
                self.copies[name, recipient] += 1
            if self.keep_bodies:
                self.bodies[name] = body.replace(b"\r\n..", b"\r\n.")
            self.arrived.notify_all()
        return b"250 2.0.0 queued\r\n"

    def wait_for(self, count: int, *, timeout_s: float) -> bool:
        """Wait until ``count`` recipients were delivered to."""
        with self.arrived:
            return self.arrived.wait_for(lambda: self.copies.total() >= count, timeout_s)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Session(self), "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        for transport in tuple(self.open):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
