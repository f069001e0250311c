"""The Nexus doors for tests: a scripted engine, calls without a socket, and a server on a real one."""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message

from postroom.engine.limits import MessageLimits
from postroom.engine.service import Receipt, Service, Words
from postroom.ingress.http.nexus import NexusDoors, NexusSetup, TenantRule
from postroom.model.guest import Guest
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Door, MailClass, Submission
from postroom.model.route import Route
from postroom.model.view import ApiKey, AttemptView, MessageView, RecipientView
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate
from postroom.web.keyless import KeylessRule, parse_networks

MESSAGE_ID = MessageId("20261121041009.22aaaaaaaaaaaaaaaaaaaa")
NOW = datetime(2026, 11, 21, 4, 10, 9, tzinfo=UTC)


KEY = "pr_test-key-of-enough-characters"
KEYLESS = KeylessRule(is_open=True)
TENANTS = NexusSetup(tenants=TenantRule(networks=parse_networks(["127.0.0.0/8"])))
"""Callers on this machine may bring accounts."""


def app_of(
    service: "ScriptedService", setup: NexusSetup | None = None, *, keyless: KeylessRule = KEYLESS
) -> ASGIApp:
    """Return the doors behind the gate, with one key of scope ``send`` that may send as example.com."""
    key = ApiKey(
        id="k1",
        name="k1",
        sha256=b"",
        scopes=frozenset({"send"}),
        tenant=DEFAULT_TENANT,
        senders=("@example.com",),
        created_at=NOW,
    )
    doors = NexusDoors(service=service, budget=service.budget, setup=setup or TENANTS)
    doorkeeper = Doorkeeper(lambda secret: key if secret == KEY else None)
    return Gate(doors.operations(keyless), doorkeeper)


def recipient(
    number: int = 0, state: RecipientState = RecipientState.ACCEPTED, *, cause: str = "", text: str = ""
) -> RecipientView:
    attempt = AttemptView(
        at=NOW,
        transport="main",
        step="rcpt",
        code=550,
        enhanced=None,
        text=text,
        outcome="refused",
        duration_ms=3,
        cause=cause,
        host="mx.example.net",
    )
    return RecipientView(
        number=number,
        address=f"r{number}@example.com",
        state=state,
        cause=cause,
        due_at=None,
        attempts=(attempt,) if text else (),
    )


def view_of(*recipients: RecipientView) -> MessageView:
    return MessageView(
        id=MESSAGE_ID,
        tenant=DEFAULT_TENANT,
        door=Door.NEXUS,
        mail_class=MailClass.TRANSACTIONAL,
        transport="main",
        created_at=NOW,
        expires_at=NOW,
        next_attempt_at=None,
        sender="postroom@example.com",
        subject="s",
        tags=(),
        metadata={},
        recipients=recipients,
    )


class MemoryBlob:
    """A staged blob in memory that remembers its end."""

    def __init__(self) -> None:
        self.data = b""
        self.end = ""

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> BlobRef:
        self.end = "stored"
        return BlobRef(hashlib.sha256(self.data).hexdigest(), len(self.data))

    def discard(self) -> None:
        self.end = self.end or "discarded"


class ScriptedService(Service):
    """An engine that notes what it is given and answers as the test says."""

    def __init__(self) -> None:
        self.limits = MessageLimits()
        self.budget = ByteBudget()
        self.said_mode = "live"
        self.submissions: list[Submission] = []
        self.guests_given: list[Guest | None] = []
        self.senders: list[tuple[str, ...]] = []
        self.blobs: list[MemoryBlob] = []
        self.waits: list[float] = []
        self.submit_fails: Exception | None = None
        self.first_attempt_fails: Exception | None = None
        self.is_replay = False
        self.after_attempt = view_of(recipient())

    @property
    def mode(self) -> str:
        return self.said_mode

    def stage(self, tenant: TenantId) -> MemoryBlob:
        assert tenant == DEFAULT_TENANT
        self.blobs.append(MemoryBlob())
        return self.blobs[-1]

    async def submit(
        self,
        submission: Submission,
        *,
        senders: Sequence[str] = (),
        route: Route | None = None,
        guest: Guest | None = None,
    ) -> Receipt:
        assert route is None
        if self.submit_fails is not None:
            raise self.submit_fails
        self.submissions.append(submission)
        self.guests_given.append(guest)
        self.senders.append(tuple(senders))
        is_capture = self.said_mode == "capture"
        return Receipt(
            message_id=MESSAGE_ID, transport="main", is_capture=is_capture, is_replay=self.is_replay
        )

    async def first_attempt(self, message_id: MessageId, *, tenant: TenantId, wait_s: float) -> MessageView:
        assert (message_id, tenant) == (MESSAGE_ID, DEFAULT_TENANT)
        self.waits.append(wait_s)
        if self.first_attempt_fails is not None:
            raise self.first_attempt_fails
        return self.after_attempt

    def words(self, cause: str, *, language: str = "en") -> Words:
        assert language == "en"
        return Words(meaning=f"Meaning of {cause}.", remedy=f"Remedy for {cause}.")


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Call:
    """One POST, made straight into the application."""

    path: str = "/email/send"
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] = (b"",)
    ends: bool = True
    peer: str = "127.0.0.1"
    method: str = "POST"
    query: str = ""

    def scope(self) -> dict[str, Any]:
        headers = {"host": "127.0.0.1:8587", **self.headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": (self.peer, 50000),
            "server": ("127.0.0.1", 8587),
        }

    def into(self, app: ASGIApp) -> Answered:
        events: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in self.chunks
        ]
        last: Message = {"type": "http.request", "body": b"", "more_body": False}
        events.append(last if self.ends else {"type": "http.disconnect"})
        sent: list[Message] = []

        async def receive() -> Message:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async def run() -> None:
            await app(self.scope(), receive, send)

        asyncio.run(run())
        return Answered(
            status=sent[0]["status"],
            headers={name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]},
            body=b"".join(message.get("body", b"") for message in sent[1:]),
        )


def form_body(parts: Iterable[tuple[str, bytes, str | None]], boundary: str = "b") -> bytes:
    """Return a form of ``(name, content, filename or None)``."""
    body = b""
    for name, content, filename in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """Run the application under uvicorn on a free port of 127.0.0.1 and yield the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", http="httptools"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            # The listening socket takes connections before the server is up, so nothing waits for a start.
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def exchange(port: int, request: bytes, *, size: int = 1 << 20) -> Answered:
    """Send the bytes of one request over a socket, ``size`` at a time, and read its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), size):
            connection.sendall(request[start : start + size])
        data = b""
        while b"\r\n\r\n" not in data:
            data += _received(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100 "):
            while b"\r\n\r\n" not in body:
                body += _received(connection)
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        while len(body) < int(headers["content-length"]):
            body += _received(connection)
    return Answered(status=int(lines[0].split()[1]), headers=headers, body=body)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the server closed the connection without a whole answer"
    return data
