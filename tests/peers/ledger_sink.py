"""A scriptable SMTP sink in a thread of the test process: it keeps a ledger of what it was given.

It lives outside the process under test, so a kill there loses nothing here. It announces PIPELINING and
answers every command in order, so all modes of the client can be used on it. A script may replace any reply,
keep it back, or end the connection; only what was answered with a 2xx counts as taken.
"""

import asyncio
import re
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

MESSAGE_ID = re.compile(rb"(?mi)^message-id:\s*<([^@>]+)@")
RCPT = re.compile(rb"(?i)^rcpt to:<([^>]*)>")
LINGER_RESET = struct.pack("ii", 1, 0)


class Then(Enum):
    """What follows a scripted reply."""

    GO_ON = "go on"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Say:
    """A scripted reply; without bytes nothing is said."""

    reply: bytes = b""
    then: Then = Then.GO_ON
    is_taken: bool = False
    """At the final dot: the mail counts as taken, whatever is said about it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the client said; at the final dot ``verb`` is ``.`` and ``message_id`` is known."""

    verb: str
    argument: str
    session: int
    recipients: tuple[str, ...] = ()
    message_id: str = ""


Script = Callable[[Command], Say | bytes | None]


class _Session(asyncio.Protocol):
    def __init__(self, sink: "LedgerSink") -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = False
        self._recipients: list[str] = []
        sink.sessions += 1
        self._number = sink.sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.open.add(transport)
        self._sink.most_open = max(self._sink.most_open, len(self._sink.open))
        self._answer("CONNECT", "", b"220 sink.example.net ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sink.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        looked_at = max(0, len(self._buffer) - 4)  # a large body comes in many pieces
        self._buffer += data
        while not self._transport.is_closing():
            end = self._buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n", looked_at)
            if end < 0:
                return
            looked_at = 0
            if self._in_data:
                body = bytes(self._buffer[: end + 2])
                del self._buffer[: end + 5]
                self._in_data = False
                self._take(body)
            else:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._hear(line)

    def _hear(self, line: bytes) -> None:
        word, _, argument = line.decode("utf-8", "replace").partition(" ")
        verb = word.upper()
        if verb == "RCPT":
            match = RCPT.match(line)
            assert match is not None
            address = match[1].decode("ascii")
            said = self._answer(verb, address, self._sink.refuse(address) or b"250 2.1.5 ok\r\n")
            if said.startswith(b"2"):
                self._recipients.append(address)
            else:
                self._sink.replies[address].append(said[:3].decode())
        elif verb == "DATA":
            usual = b"354 go ahead\r\n" if self._recipients else b"503 5.5.1 no valid recipients\r\n"
            self._in_data = self._answer(verb, argument, usual).startswith(b"354")
        else:
            if verb in {"RSET", "MAIL", "EHLO"}:
                self._recipients = []
            self._answer(verb, argument, self._sink.usual.get(verb, b"250 2.0.0 ok\r\n"))

    def _take(self, body: bytes) -> None:
        match = MESSAGE_ID.search(body)
        name = match[1].decode("ascii") if match else "?"
        recipients, self._recipients = tuple(self._recipients), []
        usual = b"250 2.0.0 queued\r\n"
        say = self._sink.told(Command(".", "", self._number, recipients, name), usual)
        if say.is_taken or say.reply.startswith(b"2"):
            self._sink.took(name, body, recipients)
        for recipient in recipients:
            self._sink.replies[recipient].append(say.reply[:3].decode())
        self._say(say)

    def _answer(self, verb: str, argument: str, usual: bytes) -> bytes:
        say = self._sink.told(Command(verb, argument, self._number, tuple(self._recipients)), usual)
        self._say(say)
        return say.reply

    def _say(self, say: Say) -> None:
        if say.reply:
            self._transport.write(say.reply)
        if say.then is Then.CLOSE:
            self._transport.close()
        elif say.then is Then.RESET:
            real = self._transport.get_extra_info("socket")
            real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self._transport.abort()


class LedgerSink:
    """``with LedgerSink() as sink``: ``sink.port``, and ``sink.copies`` of (message id, recipient)."""

    def __init__(
        self,
        refuse: Callable[[str], bytes | None] | None = None,
        *,
        script: Script | None = None,
        extensions: tuple[str, ...] = ("PIPELINING", "SIZE 100000000", "8BITMIME"),
    ) -> None:
        """Take what is said to a recipient, and to any command; both may be replaced at any time."""
        self.refuse: Callable[[str], bytes | None] = refuse or (lambda _address: None)
        self.script: Script = script or (lambda _command: None)
        ehlo = ["sink.example.net", *extensions]
        lines = [f"250-{word}\r\n" for word in ehlo[:-1]] + [f"250 {ehlo[-1]}\r\n"]
        self.usual = {
            "EHLO": "".join(lines).encode(),
            "AUTH": b"235 2.7.0 welcome\r\n",
            "QUIT": b"221 2.0.0 bye\r\n",
        }
        self.copies: Counter[tuple[str, str]] = Counter()
        self.replies: defaultdict[str, list[str]] = defaultdict(list)
        """Of each recipient the codes it met, at RCPT when refused there and else at the final dot."""
        self.said: defaultdict[str, list[float]] = defaultdict(list)
        """Of each verb the monotonic times at which it was heard; ``CONNECT`` is a connection."""
        self.sessions = 0
        self.most_open = 0
        self.bodies: dict[str, bytes] = {}
        self.keep_bodies = False
        self.arrived = threading.Condition()
        self.open: set[asyncio.Transport] = set()
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger sink", daemon=True)

    def told(self, command: Command, usual: bytes) -> Say:
        """Return what is said to a command, and note when it came."""
        self.said[command.verb].append(time.monotonic())
        scripted = self.script(command)
        if scripted is None:
            then = Then.CLOSE if command.verb == "QUIT" else Then.GO_ON
            return Say(usual, then)
        return Say(scripted) if isinstance(scripted, bytes) else scripted

    def took(self, name: str, body: bytes, recipients: tuple[str, ...]) -> None:
        """Note one mail that was taken."""
        with self.arrived:
            for recipient in recipients:
                self.copies[name, recipient] += 1
            if self.keep_bodies:
                self.bodies[name] = body.replace(b"\r\n..", b"\r\n.")
            self.arrived.notify_all()

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
