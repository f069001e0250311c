"""The SMTP door around a service in memory, on real sockets, and a client that writes what it likes."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from peers.fake_service import KEY, FakeService
from postroom.clock import SystemClock, SystemDice
from postroom.engine.service import Receipt
from postroom.ingress.submission.server import SmtpBinding, SubmissionDoor, SubmissionSetup, serve_submission
from postroom.model.guest import Guest
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.net.authority import OwnCertificate, own_certificate
from postroom.web.listening import TlsPair

LOGIN = b"AUTH PLAIN " + b64encode(b"\0app\0" + KEY.encode()) + b"\r\n"
ENVELOPE = b"MAIL FROM:<app@example.com>\r\nRCPT TO:<someone@example.org>\r\n"
MAIL = b"From: app@example.com\r\nSubject: Hi\r\n\r\nDear reader,\r\nbye\r\n.\r\n"


class GatedService(FakeService):
    """Stores nothing while its gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stopping = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_reached = asyncio.Event()

    async def submit(
        self,
        submission: Submission,
        *,
        senders: Sequence[str] = (),
        route: Route | None = None,
        guest: Guest | None = None,
    ) -> Receipt:
        self.is_reached.set()
        await self.gate.wait()
        return await super().submit(submission, senders=senders, route=route, guest=guest)


@dataclass(slots=True)
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> bytes:
        """Read one reply; ``b""`` when the server has closed."""
        lines = b""
        async with asyncio.timeout(10):
            while True:
                try:
                    line = await self.reader.readline()
                except ConnectionError:
                    return b""
                lines += line
                if line[3:4] != b"-":
                    return lines

    async def ask(self, command: bytes) -> bytes:
        self.send(command)
        return await self.reply()

    async def replies(self, count: int) -> list[int]:
        return [int((await self.reply())[:3] or 0) for _ in range(count)]

    async def is_closed(self) -> bool:
        """Read what is left, and wait for the end."""
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await self.reader.read()
        return True


@dataclass(slots=True)
class Room:
    """A running door."""

    door: SubmissionDoor
    service: GatedService
    own: OwnCertificate
    exits: Callable[[], Coroutine[Any, Any, None]]

    def port(self, index: int = 0) -> int:
        return int(self.door.urls[index].rpartition(":")[2])

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.own.authority))

    @asynccontextmanager
    async def client(self, *, index: int = 0, is_greeted: bool = True) -> AsyncIterator[Client]:
        """Connect; with ``is_greeted`` after the greeting and EHLO."""
        tls = self.trust() if index == 1 else None
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port(index), ssl=tls, server_hostname=name
        )
        one = Client(reader, writer)
        try:
            if is_greeted:
                assert (await one.reply()).startswith(b"220 ")
                assert (await one.ask(b"EHLO client.example.com\r\n")).startswith(b"250-")
            yield one
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    @asynccontextmanager
    async def known(self) -> AsyncIterator[Client]:
        """Connect and log in."""
        async with self.client() as one:
            assert (await one.ask(LOGIN)).startswith(b"235")
            yield one

    def check_deadlines(self) -> None:
        self.door.household.check_deadlines()


@asynccontextmanager
async def opened(directory: Path, **changes: Any) -> AsyncIterator[Room]:
    """Open a door with a plain and an implicit listener; ``changes`` are of its setup."""
    own = own_certificate(directory, ("localhost", "127.0.0.1"), now=datetime.now(UTC), dice=SystemDice())
    service = GatedService()
    setup = replace(
        SubmissionSetup(host="door.example.com", tls=TlsPair(cert=own.cert, key=own.key)), **changes
    )
    bindings = [
        SmtpBinding(host="127.0.0.1", port=0),
        SmtpBinding(host="127.0.0.1", port=0, is_implicit=True),
    ]
    manager = serve_submission(bindings, service, setup, clock=SystemClock())
    door = await manager.__aenter__()
    ended = False

    async def exits() -> None:
        nonlocal ended
        if not ended:
            ended = True
            await manager.__aexit__(None, None, None)

    try:
        yield Room(door, service, own, exits)
    finally:
        service.gate.set()
        await exits()


def run(scene: Coroutine[Any, Any, None], *, on_uvloop: bool = True) -> None:
    """Run a scene in a loop of its own."""
    (uvloop.run if on_uvloop else asyncio.run)(scene)


async def until(holds: Callable[[], object]) -> None:
    """Return when something holds that no event tells of."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)
