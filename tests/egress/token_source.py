"""Tokens of one account that ask an identity server on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from peers.hook_server import HookServer, Request, plain
from peers.manual import ManualClock
from postroom.egress.tokens import Tokens
from postroom.model.secret import Secret
from postroom.model.transport import GrantKind, OAuthGrant, SmtpAccount, TlsMode
from postroom.net.guard import Guard
from postroom.ports import Report

LOOPBACK = ["127.0.0.0/8"]
REFRESH = OAuthGrant(
    kind=GrantKind.REFRESH_TOKEN,
    token_url="http://127.0.0.1/token",
    client_id="client-1",
    client_secret=Secret("planted+client/secret"),
    secret=Secret("planted-refresh-token"),
    scope="mail.send",
)
ACCOUNT = SmtpAccount(
    host="mail.example.com", port=587, tls=TlsMode.STARTTLS, username="me@example.com", oauth=REFRESH
)
PLANTED = ("planted+client/secret", "planted-refresh-token", "planted%2Bclient%2Fsecret")


def granted(token: str = "token-1", **more: object) -> bytes:  # noqa: S107 - a token of a test
    return plain(200, json.dumps({"access_token": token, "expires_in": 3600} | more).encode())


def counted(_request: Request, *, seen: list[int]) -> bytes:
    seen.append(1)
    return granted(f"token-{len(seen)}")


def counting() -> Callable[[Request], bytes]:
    """Return a server's script that never gives a token twice."""
    seen: list[int] = []
    return lambda request: counted(request, seen=seen)


@asynccontextmanager
async def source(
    server: HookServer, grant: OAuthGrant = REFRESH, **settings: Any
) -> AsyncIterator[tuple[Tokens, ManualClock]]:
    """Run tokens of the transport ``mail`` that ask ``server``."""
    clock = ManualClock()
    tokens = Tokens(Guard(LOOPBACK), clock=clock, **settings)
    tokens.keep("mail", account_of(server, grant))
    try:
        yield tokens, clock
    finally:
        await tokens.stop()


def account_of(server: HookServer, grant: OAuthGrant = REFRESH) -> SmtpAccount:
    return replace(ACCOUNT, oauth=replace(grant, token_url=server.url))


def run(main: Coroutine[object, object, None]) -> None:
    asyncio.run(main)


def only_line(report: Report) -> Any:
    [line] = report.lines
    return line.evidence
