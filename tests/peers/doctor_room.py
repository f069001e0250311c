r"""A room for checks: scripted mail servers and name servers on loopback, and a doctor who is in a hurry.

The card::

    peer = Peer(replies={"AUTH": b"535 5.7.8 no\r\n"})       what it says; see the fields
    checkup = await examine(peer, spec_of("smtp.qq.com", 465, TlsMode.IMPLICIT, username="1@qq.com"))
    checkup.cause                                        the cause that is named first
    peer.commands                                        what it was told; never DATA

``host`` and ``port`` are what the account says (rules of providers go by them); connections go to the peer.
Names of other ports lead nowhere unless ``also`` has a peer for them.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast
from unittest import mock

import trustme

from postroom.clock import Clock, SystemClock
from postroom.egress.doctor.chart import CheckLimits
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.egress.doctor.names import Names
from postroom.model.address import Address, parse_mailbox
from postroom.model.checkup import Checkup, Stage, StageResult, StageStatus
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.net import dialing
from postroom.net.addresses import SocketAddress

ADDRESS = "127.0.0.2"
"""Loopback, but not the address by which accounts that point at this machine by mistake are recognised."""
PASSWORD = "correct-horse-battery"
HURRIED = CheckLimits(
    total=1.5, names=0.5, connect=1.0, tls=1.0, step=0.5, silence=0.05, beside=0.4, leave=0.05
)
"""Everything answers at once here; what is silent stays so."""

Reply = bytes | Callable[[str], bytes] | None
"""What is said to a command; ``None`` is silence, ``b""`` hangs up."""


@dataclass
class Peer:
    """A server and what it says."""

    greeting: bytes | None = b"220 mail.example.com ESMTP\r\n"
    """``None`` is silence, ``b""`` hangs up."""
    extensions: Sequence[str] = ("SIZE 10000000", "8BITMIME", "AUTH PLAIN LOGIN")
    replies: Mapping[str, Reply] = field(default_factory=dict)
    """By the first word of a command in capitals; the whole reply, line ends included."""
    implicit: ssl.SSLContext | None = None
    """TLS from the first byte."""
    starttls: ssl.SSLContext | None = None
    """STARTTLS is announced, and made with this."""
    after_starttls: bytes = b""
    """Put behind the 220 of STARTTLS, as somebody on the line would."""
    answers_anything: bytes = b""
    """Said to whatever comes first, before hanging up: a service that is not SMTP."""
    is_tarpit: bool = False
    """Greets the first connection when a second one has come, and that one never."""
    drips: float = 0.0
    """Seconds between two bytes of everything it says."""
    commands: list[str] = field(default_factory=list)
    port: int = 0
    second: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    talks: list["asyncio.Task[None]"] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Peer"]:
        """Serve on a free port of loopback."""
        limit = 2 if self.implicit else None
        server = await asyncio.start_server(
            self.talk, ADDRESS, 0, ssl=self.implicit, ssl_handshake_timeout=limit
        )
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            waiting = [task for task in self.talks if not task.done()]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Have one connection's dialogue."""
        task = asyncio.current_task()
        assert task is not None
        self.talks.append(task)
        try:
            await _Talk(self, reader, writer).run()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has what it wanted, or the test is over
        finally:
            writer.transport.abort()


class _Talk:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.is_encrypted = False

    async def run(self) -> None:
        if self.peer.answers_anything:
            await self.reader.read(1)
            await self.say(self.peer.answers_anything)
        elif await self.greets():
            while line := await self.reader.readline():
                if not await self.answers(line.decode("latin-1").rstrip("\r\n")):
                    return

    async def greets(self) -> bool:
        self.peer.connections += 1
        is_first = self.peer.connections == 1
        if self.peer.is_tarpit and not is_first:
            self.peer.second.set()
        elif self.peer.is_tarpit:
            await self.peer.second.wait()
        if self.peer.greeting is None or (self.peer.is_tarpit and not is_first):
            await self.reader.read()
            return False
        await self.say(self.peer.greeting)
        return bool(self.peer.greeting)

    async def answers(self, command: str) -> bool:
        """Answer a command; say whether the dialogue goes on."""
        self.peer.commands.append(command)
        word = command.upper().replace(":", " ").partition(" ")[0]
        reply = self.peer.replies.get(word, self.usual(word))
        if callable(reply):
            reply = reply(command)
        if reply is None:
            await self.reader.read()
            return False
        await self.say(reply)
        if word == "STARTTLS" and reply.startswith(b"220") and self.peer.starttls is not None:
            await self.writer.start_tls(self.peer.starttls, ssl_handshake_timeout=2)
            self.is_encrypted = True
        return bool(reply)

    def usual(self, word: str) -> bytes:
        match word:
            case "EHLO" | "HELO":
                lines = ["mail.example.com", *self.peer.extensions]
                if self.peer.starttls is not None and not self.is_encrypted:
                    lines.append("STARTTLS")
                return b"".join(b"250-%s\r\n" % one.encode() for one in lines[:-1]) + (
                    b"250 %s\r\n" % lines[-1].encode()
                )
            case "STARTTLS":
                return b"220 go on\r\n" + self.peer.after_starttls
            case "AUTH":
                return b"235 2.7.0 welcome\r\n"
            case "QUIT":
                return b"221 bye\r\n"
            case _:
                return b"250 2.0.0 ok\r\n"

    async def say(self, data: bytes) -> None:
        pieces = [data] if not self.peer.drips else [data[at : at + 1] for at in range(len(data))]
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if self.peer.drips:
                await asyncio.sleep(self.peer.drips)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def ca_file() -> str:
    path = Path(mkdtemp(prefix="doctor-room-")) / "ca.pem"
    path.write_bytes(authority().cert_pem.bytes())
    return str(path)


def certified(*names: str, issuer: trustme.CA | None = None, **terms: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate; ``terms`` go to ``issue_cert`` (``not_after``)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (issuer or authority()).issue_cert(*names, **terms).configure_cert(context)
    return context


@asynccontextmanager
async def hosts(leads: Mapping[tuple[str, int], int]) -> AsyncIterator[None]:
    """Lead host and port of an account to a port of loopback; ports that are not named are closed."""
    with socket.socket() as closed:
        closed.bind((ADDRESS, 0))  # bound and not listening: refuses
        nowhere = int(closed.getsockname()[1])

        async def resolve(host: str, port: int, **_: object) -> Sequence[SocketAddress]:
            real = leads.get((host, port), nowhere)
            return [SocketAddress(family=socket.AF_INET, ip=ADDRESS, port=real)]

        with mock.patch.object(dialing, "resolve", resolve):
            yield


def spec_of(
    host: str = "mail.example.com",
    port: int = 587,
    tls: TlsMode = TlsMode.STARTTLS,
    *,
    username: str | None = "app@example.com",
    sender: str | None = None,
    spec: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TransportSpec:
    """Return a transport; ``changes`` are fields of the account, ``spec`` of the transport."""
    values: dict[str, Any] = {"ca_file": ca_file(), "password": Secret(PASSWORD) if username else None}
    account = SmtpAccount(host=host, port=port, tls=tls, username=username, **{**values, **changes})
    return TransportSpec(
        name="main",
        kind=TransportKind.SMTP,
        account=account,
        default_from=parse_mailbox(sender) if sender else None,
        **(spec or {}),
    )


async def examine(
    peer: Peer,
    spec: TransportSpec | None = None,
    *,
    also: Mapping[int, Peer] | None = None,
    dns: "NameServer | None" = None,
    limits: CheckLimits = HURRIED,
    clock: Clock | None = None,
    recipient: Address | None = None,
    **terms: Any,
) -> Checkup:
    """Check a transport whose host is this peer. Without ``dns`` no record is looked at."""
    spec = spec or spec_of()
    account = spec.account
    assert account is not None
    async with AsyncExitStack() as stack:
        peers = {account.port: peer, **(also or {})}
        for each in peers.values():
            await stack.enter_async_context(each.listening())
        leads = {(account.host, port): each.port for port, each in peers.items()}
        await stack.enter_async_context(hosts(leads))
        servers = [] if dns is None else [await stack.enter_async_context(dns.listening())]
        doctor = AccountDoctor(clock=clock or SystemClock(), names=Names(servers), limits=limits)
        checkup = await doctor.check(spec, recipient=recipient, with_records=dns is not None, **terms)
    assert not any(command.upper().startswith("DATA") for command in peer.commands)
    return checkup


def stage_of(checkup: Checkup, stage: Stage) -> StageResult:
    return next(one for one in checkup.stages if one.stage is stage)


def statuses(checkup: Checkup) -> Mapping[Stage, StageStatus]:
    return {one.stage: one.status for one in checkup.stages}


@dataclass
class NameServer:
    """A DNS server: TXT, MX, A by name; what is not there does not exist."""

    records: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    is_silent: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[str, int]]:
        """Serve on a free UDP port of loopback."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Dns(self), local_addr=("127.0.0.1", 0)
        )
        try:
            yield "127.0.0.1", int(transport.get_extra_info("sockname")[1])
        finally:
            transport.close()


class _Dns(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        import dns.flags  # noqa: PLC0415 - only tests with records need it
        import dns.message  # noqa: PLC0415 - as above
        import dns.rcode  # noqa: PLC0415 - as above
        import dns.rdatatype  # noqa: PLC0415 - as above
        import dns.rrset  # noqa: PLC0415 - as above

        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.server.asked.append((name, kind))
        if self.server.is_silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if found := self.server.records.get((name, kind)):
            texts = [f'"{one}"' if kind == "TXT" else one for one in found]
            response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.server.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(response.to_wire(), addr)


@dataclass
class HttpProxy:
    """A proxy that connects everybody to one peer, or says something else."""

    peer: Peer
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    heads: list[bytes] = field(default_factory=list)
    """What it was asked, credentials included."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Serve on a free port of loopback."""
        talks: list[asyncio.Task[None] | None] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.current_task())
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answer)
                if b" 200 " in self.answer:
                    await self._carry(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client has what it wanted, or the test is over
            finally:
                writer.close()

        server = await asyncio.start_server(talk, ADDRESS, 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in talks:
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(task for task in talks if task is not None), return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(ADDRESS, self.peer.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)

        pumps = [asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.transport.abort()
