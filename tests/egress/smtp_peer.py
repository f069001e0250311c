"""A small SMTP server for tests: real sockets, every reply can be replaced, every message is kept."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 10000000", "SMTPUTF8")
Answer = Callable[[str, "Dialogue"], bytes | None]
"""From a command to the reply, ``None`` for the usual one, ``b""`` for no reply and an end."""
_ROUNDS = 5
"""Turns of the event loop after which an aborted connection is closed."""


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Dialogue:
    """One connection as the server saw it."""

    lines: list[str] = field(default_factory=list)
    flights: int = 0
    accepted: list[str] = field(default_factory=list)
    sender: str = ""
    messages: int = 0


@dataclass
class SmtpPeer:
    """What the server does and what it saw."""

    extensions: tuple[str, ...] = EXTENSIONS
    greeting: bytes = b"220 mail.example.com\r\n"
    answer: Answer = lambda _command, _dialogue: None
    mails: list[Mail] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    port: int = 0
    silent_at: str = "never"
    """Commands that begin so get no reply."""
    reads_slowly: bool = False
    breaks_content_with: bytes = b""
    """Said, with an end, as soon as the content has begun."""
    transports: list[asyncio.Transport] = field(default_factory=list)
    wires: list[asyncio.Transport] = field(default_factory=list)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something that was received makes it true."""
        async with asyncio.timeout(5):
            while not is_true():
                self.stirred.clear()
                await self.stirred.wait()

    def say(self, data: bytes) -> None:
        """Say something on the newest connection."""
        self.transports[-1].write(data)

    def say_and_close(self, data: bytes) -> None:
        """Say something on the newest connection and end it."""
        self.say(data)
        self.transports[-1].close()


class ServerSide(asyncio.Protocol):
    def __init__(self, peer: SmtpPeer) -> None:
        self.peer = peer
        self.dialogue = Dialogue()
        self.buffer = b""
        self.in_data = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.peer.transports.append(self.transport)
        self.peer.wires.append(wire(transport))
        self.peer.stirred.set()
        self.peer.dialogues.append(self.dialogue)
        self.transport.write(self.peer.greeting)

    def data_received(self, data: bytes) -> None:
        self.dialogue.flights += 1
        self.buffer += data
        self.peer.stirred.set()
        replies = []
        while not self.transport.is_closing():
            reply = self._content() if self.in_data else self._command()
            if reply is None:
                break
            if self.dialogue.lines[-1].startswith(self.peer.silent_at):
                continue
            replies.append(reply)
            if reply == b"":
                self.transport.write(b"".join(replies))
                self.transport.close()
                return
        self.transport.write(b"".join(replies))
        if self.peer.reads_slowly:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _content(self) -> bytes | None:
        if self.peer.breaks_content_with and self.buffer:
            self.transport.write(self.peer.breaks_content_with)
            return b""
        end = 0 if self.buffer.startswith(b".\r\n") else self.buffer.find(b"\r\n.\r\n") + 2
        if end == 1:
            return None
        content, self.buffer = self.buffer[:end], self.buffer[end + 3 :]
        self.in_data = False
        dialogue = self.dialogue
        dialogue.lines.append(".")
        reply = self.peer.answer(".", dialogue)
        if reply is None:
            reply = b"250 2.0.0 queued\r\n"
            dialogue.messages += 1
            plain = (b"\r\n" + content).replace(b"\r\n..", b"\r\n.")[2:]
            self.peer.mails.append(Mail(dialogue.sender, list(dialogue.accepted), plain))
        self._forget()
        return reply

    def _command(self) -> bytes | None:
        line, found, rest = self.buffer.partition(b"\r\n")
        if not found:
            return None
        self.buffer = rest
        command = line.decode()
        self.dialogue.lines.append(command)
        reply = self.peer.answer(command, self.dialogue)
        if reply is None:
            reply = self._usual(command)
        if command.upper() == "DATA" and reply.startswith(b"354"):
            self.in_data = True
        return reply

    def _forget(self) -> None:
        self.dialogue.sender = ""
        self.dialogue.accepted.clear()

    def _usual(self, command: str) -> bytes:
        verb = command.upper().split(" ")[0].split(":")[0]
        match verb:
            case "EHLO":
                words = ["mail.example.com", *self.peer.extensions]
                return b"".join(b"250-%s\r\n" % word.encode() for word in words[:-1]) + (
                    b"250 %s\r\n" % words[-1].encode()
                )
            case "MAIL":
                self.dialogue.sender = command
                return b"250 2.1.0 ok\r\n"
            case "RCPT" if not self.dialogue.sender:
                return b"503 5.5.1 MAIL first\r\n"
            case "RCPT":
                self.dialogue.accepted.append(command[8:].partition(">")[0].strip("<"))
                return b"250 2.1.5 ok\r\n"
            case "DATA":
                return b"354 go on\r\n" if self.dialogue.accepted else b"503 5.5.1 valid RCPT first\r\n"
            case "RSET":
                self._forget()
                return b"250 ok\r\n"
            case "QUIT":
                return b"221 bye\r\n"
            case _:
                return b"500 5.5.2 what?\r\n"


@asynccontextmanager
async def listening(peer: SmtpPeer) -> AsyncIterator[int]:
    """Serve on a free loopback port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServerSide(peer), "127.0.0.1", 0, ssl=peer.tls)
    peer.port = int(server.sockets[0].getsockname()[1])
    try:
        yield peer.port
    finally:
        server.close()
        await end(peer.wires)


def wire(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return what is below TLS: the transport above, closed twice, forgets it and aborts nothing.

    aiosmtpd closes so, and while STARTTLS shakes hands it has no transport at all.
    """
    layer = getattr(transport, "_ssl_protocol", None)
    return cast("asyncio.Transport", transport if layer is None else layer._transport)


async def end(wires: Sequence[asyncio.Transport]) -> None:
    """Abort the connections of a closed server, which no test leaves to the collector of garbage."""
    await _some_turns()  # what was just accepted gets its dialogue first
    for one in wires:
        one.abort()
    await _some_turns()


async def _some_turns() -> None:
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
