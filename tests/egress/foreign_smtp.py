"""aiosmtpd in the test's own event loop, with logins and TLS; it leaves no connection behind."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from egress.smtp_peer import end, wire
from postroom.model.secret import Secret

PASSWORD = "correct-horse-battery"
LOGIN: dict[str, Any] = {"username": "user@example.com", "password": Secret(PASSWORD)}
REFUSED = "nobody@example.net"


class Kept:
    """aiosmtpd's handler: keeps every message and whether it came over TLS and after a login."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool, bool]] = []
        self.sessions: set[int] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address == REFUSED:
            return "550 5.1.1 no such person"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 known"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.original_content
        self.sessions.add(id(session))
        self.messages.append((content or b"", session.ssl is not None, bool(session.authenticated)))
        return "250 2.0.0 kept"


def context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(made)
    return made


def authenticate(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=data == LoginPassword(b"user@example.com", PASSWORD.encode()), handled=False)


@asynccontextmanager
async def aiosmtpd(
    kept: Kept, *, implicit: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[int]:
    """Serve aiosmtpd on a free loopback port."""
    loop = asyncio.get_running_loop()
    wires: list[asyncio.Transport] = []

    class Dialogue(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            wires.append(wire(transport))
            super().connection_made(transport)

    server = await loop.create_server(
        lambda: Dialogue(kept, loop=loop, authenticator=authenticate, **options),
        "127.0.0.1",
        0,
        ssl=implicit,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await end(wires)
