"""The animals: mail servers, proxies and ports that behave as one row of the zoo says.

A server answers command by command; what it says to one of them, and how (hanging, dripping, hanging up), is
the row's. Everything it hears is kept: no row may ever make it hear DATA, and nothing of a login that it
heard may be seen in what the check tells.
"""

import asyncio
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import trustme

from peers.doctor_room import ADDRESS, authority

EHLO_HOST = "mail.example.com"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Animal:
    """A mail server of the zoo."""

    greeting: bytes = b"220 mail.example.com ESMTP\r\n"
    extensions: Sequence[str] = ("SIZE 10000000", "8BITMIME", "AUTH PLAIN LOGIN")
    after_tls: Sequence[str] | None = None
    """Extensions under TLS when they are others."""
    at: str = ""
    """The command whose answer is the row's: GREETING, EHLO, ..., LOGIN for the last answer of a login."""
    says: bytes = b""
    does: str = ""
    """How it says it: ``hangs`` instead, ``hangs-up`` or is ``deaf`` after it, ``drips``; else rightly."""
    implicit: ssl.SSLContext | None = None
    starttls: ssl.SSLContext | None = None
    knows_ehlo: bool = True
    heard: list[str] = field(default_factory=list)
    """Commands, and the answers to the challenges of a login."""
    blobs: list[str] = field(default_factory=list)
    """What of a login went over the line in base64."""
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Animal"]:
        """Serve on a free port of loopback."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _Talk(self, reader, writer).run()

        async with serving(talk, tls=self.implicit) as self.port:
            yield self


@asynccontextmanager
async def serving(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Have a talk with everybody who connects to a free port of loopback; end them all at the end."""
    guests: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def until_its_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client has what it wanted, or the row is over.
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.append((asyncio.create_task(until_its_end(reader, writer)), writer))

    limit = 5 if tls else None
    server = await asyncio.start_server(meet, ADDRESS, 0, ssl=tls, ssl_handshake_timeout=limit)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task, writer in guests:
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in guests), return_exceptions=True)


class _Talk:
    """One connection."""

    def __init__(self, animal: Animal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.animal = animal
        self.reader = reader
        self.writer = writer
        self.is_encrypted = animal.implicit is not None
        self.secrets = ["", ""]
        """Login and its base64 form, as far as heard: what a server could repeat."""

    async def run(self) -> None:
        going = await self.answer("GREETING", self.animal.greeting)
        while going and (line := await self.reader.readline()):
            command = line.decode("latin-1").rstrip("\r\n")
            self.animal.heard.append(command)
            going = await self.obey(command)

    async def obey(self, command: str) -> bool:
        word = command.upper().replace(":", " ").partition(" ")[0]
        match word:
            case "EHLO" | "HELO":
                return await self.greet_back(word)
            case "STARTTLS":
                return await self.encrypt()
            case "AUTH":
                return await self.log_in(command)
            case "QUIT":
                await self.answer(word, b"221 bye\r\n")
                return False
            case "MAIL" | "RCPT" | "RSET":
                return await self.answer(word, b"250 2.0.0 ok\r\n")
            case _:
                return await self.answer(word, b"500 5.5.1 what?\r\n")

    async def greet_back(self, word: str) -> bool:
        animal = self.animal
        if word == "EHLO" and not animal.knows_ehlo:
            return await self.say(b"502 5.5.1 command not implemented\r\n")
        if word == "HELO":
            return await self.answer("HELO", b"250 mail.example.com\r\n")
        features = animal.after_tls if self.is_encrypted and animal.after_tls is not None else None
        lines = [EHLO_HOST, *(features if features is not None else animal.extensions)]
        if animal.starttls is not None and not self.is_encrypted:
            lines.append("STARTTLS")
        body = "".join(f"250-{one}\r\n" for one in lines[:-1]) + f"250 {lines[-1]}\r\n"
        return await self.answer("EHLO", body.encode())

    async def encrypt(self) -> bool:
        going = await self.answer("STARTTLS", b"220 2.0.0 go on\r\n")
        animal = self.animal
        if not going or animal.starttls is None or (animal.at == "STARTTLS" and animal.says[:3] != b"220"):
            return going
        await self.writer.start_tls(animal.starttls, ssl_handshake_timeout=5)
        self.is_encrypted = True
        return True

    async def log_in(self, command: str) -> bool:
        """Take a login of any form; each is welcome unless the row says otherwise."""
        if self.animal.at == "AUTH":
            self.note(command.split(" ")[2:])
            return await self.answer("AUTH", b"")
        words = command.split(" ")
        if words[1].upper() == "LOGIN" and len(words) == 2:
            for challenge in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
                if not await self.say(challenge) or not await self.hear():
                    return False
        elif words[1].upper() == "CRAM-MD5":
            challenge = b64encode(b"<1896.697170952@mail.example.com>")
            if not await self.say(b"334 " + challenge + b"\r\n") or not await self.hear():
                return False
        elif len(words) == 2:
            if not await self.say(b"334 \r\n") or not await self.hear():
                return False
        else:
            self.note(words[2:])
        return await self.answer("LOGIN", b"235 2.7.0 welcome\r\n")

    async def hear(self) -> bool:
        line = (await self.reader.readline()).decode("latin-1").rstrip("\r\n")
        self.animal.heard.append(line)
        self.note([line])
        return bool(line)

    def note(self, blobs: Sequence[str]) -> None:
        for blob in filter(None, blobs):
            self.animal.blobs.append(blob)
            with suppress(ValueError):
                self.secrets = [b64decode(blob).decode("latin-1").rpartition("\0")[2], blob]

    async def answer(self, word: str, usual: bytes) -> bool:
        """Say what the row says to this command, else the usual; tell whether the dialogue goes on."""
        animal = self.animal
        if animal.at != word:
            return await self.say(usual)
        said = animal.says or usual
        for mark, heard in zip((b"{heard}", b"{blob}"), self.secrets, strict=True):
            said = said.replace(mark, heard.encode("latin-1"))
        match animal.does:
            case "hangs":
                await self.reader.read()
                return False
            case "hangs-up":
                await self.say(animal.says)
                return False
            case "deaf":
                await self.say(said)
                await self.reader.read()
                return False
            case "drips":
                for at in range(len(said)):
                    await self.say(said[at : at + 1])
                    await asyncio.sleep(0.05)
                return True
            case _:
                return await self.say(said) and not said.startswith(b"421")

    async def say(self, data: bytes) -> bool:
        self.writer.write(data)
        await self.writer.drain()
        return True


@dataclass
class Script:
    """A port that waits for something and answers with the next bytes, then carries to a server or ends."""

    answers: Sequence[bytes]
    opening: bytes = b""
    """Said before anything is heard."""
    goal: Animal | None = None
    is_silent_after: bool = False
    heard: list[bytes] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Script"]:
        """Serve on a free port of loopback."""
        async with serving(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.opening)
        for answer in self.answers:
            self.heard.append(await reader.read(4096))
            writer.write(answer)
            await writer.drain()
        if self.is_silent_after:
            await reader.read()
        elif self.goal is not None:
            await _carry(reader, writer, self.goal.port)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    far_reader, far_writer = await asyncio.open_connection(ADDRESS, port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)

    pumps = [asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        far_writer.close()
        for each in pumps:
            each.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Give a port whose queue is full: a connection to it is never answered, as behind a firewall."""
    with socket.socket() as full:
        full.bind((ADDRESS, 0))
        full.listen(0)
        port = int(full.getsockname()[1])
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect((ADDRESS, port))
        try:
            yield port
        finally:
            for each in fillers:
                each.close()


# ------------------------------------------------------------- certificates


@cache
def stranger() -> trustme.CA:
    return trustme.CA()


@cache
def context(host: str, kind: str) -> ssl.SSLContext:
    """Return a server's context with a certificate for ``host`` that is good, or wrong in one way."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.now(UTC)
    terms: dict[str, Any] = {}
    name, issuer = host, authority()
    match kind:
        case "expired":
            terms = {"not_before": now - timedelta(days=90), "not_after": now - timedelta(days=1)}
        case "ends-soon":
            terms = {"not_after": now + timedelta(days=5)}
        case "not-yet":
            terms = {"not_before": now + timedelta(days=2), "not_after": now + timedelta(days=90)}
        case "other-name":
            name = "www.example.net"
        case "sibling-name":
            name = f"mx1.{host.partition('.')[2]}"
        case "other-authority":
            issuer = stranger()
        case "tls-1.2":
            made.maximum_version = ssl.TLSVersion.TLSv1_2
        case "self-signed":
            _self_signed(made, host)
            return made
        case _:
            assert kind == "good", kind
    issuer.issue_cert(name, **terms).configure_cert(made)
    return made


def _self_signed(made: ssl.SSLContext, host: str) -> None:
    """Load a certificate that is its own issuer, as servers make themselves at installation."""
    from cryptography import x509  # noqa: PLC0415 - one row needs it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with trustme.Blob(pem + certificate.public_bytes(serialization.Encoding.PEM)).tempfile() as path:
        made.load_cert_chain(path)
