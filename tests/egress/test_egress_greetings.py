"""A host with several addresses of which one says that there is no service here."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, cast

import pytest

from postroom.clock import SystemClock
from postroom.egress.dialer import Dialer
from postroom.egress.link import Link
from postroom.model.outcome import Evidence
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.net import dialing
from postroom.net.addresses import SocketAddress


class _Greeter(asyncio.Protocol):
    """Greets, and says yes to whatever comes."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._greeting + b"\r\n")

    def data_received(self, data: bytes) -> None:
        del data
        self._transport.write(b"250 mail.example.com\r\n")


async def _greeter(ip: str, port: int, greeting: bytes) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: _Greeter(greeting), ip, port)


def _opened(
    monkeypatch: pytest.MonkeyPatch, greetings: Sequence[tuple[str, bytes]]
) -> tuple[Link | Evidence, str]:
    """Open a link to a host with these addresses and greetings; return it and the address it has."""

    async def story() -> tuple[Link | Evidence, str]:
        servers = [await _greeter(greetings[0][0], 0, greetings[0][1])]
        port = servers[0].sockets[0].getsockname()[1]
        servers += [await _greeter(ip, port, greeting) for ip, greeting in greetings[1:]]

        async def resolve(*_: Any, **__: Any) -> Sequence[SocketAddress]:
            return [SocketAddress(family=socket.AF_INET, ip=ip, port=port) for ip, _ in greetings]

        monkeypatch.setattr(dialing, "resolve", resolve)
        account = SmtpAccount(host="mail.example.com", port=port, tls=TlsMode.NONE)
        spec = TransportSpec(name="t", kind=TransportKind.SMTP, account=account)
        found = await Dialer(spec, account, clock=SystemClock()).open()
        address = ""
        if isinstance(found, Link):
            address = found.connection.peer_address
            found.connection.abort()
        for server in servers:
            server.close()
            await server.wait_closed()
        return found, address

    return asyncio.run(story())


def test_an_address_without_service_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5321 section 3.1: 554 is of this host; the next address takes the mail."""
    greetings = [("127.0.0.1", b"554 no service here"), ("127.0.0.2", b"220 mail.example.com")]
    assert _opened(monkeypatch, greetings)[1] == "127.0.0.2"


def test_when_no_address_serves_the_first_refusal_is_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is asked once."""
    greetings = [("127.0.0.1", b"554 5.3.2 first"), ("127.0.0.2", b"554 5.3.2 second")]
    found, _ = _opened(monkeypatch, greetings)
    assert isinstance(found, Evidence)
    assert found.reply is not None
    assert found.reply.text == "5.3.2 first"
