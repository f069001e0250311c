"""Servers and settings that nobody planned for: nothing is hammered, left open, shown or waited for ever."""

import asyncio
import ssl
from dataclasses import replace
from typing import Any

import pytest
import trustme

from egress.smtp_peer import Dialogue, SmtpPeer, listening
from egress.works import running, told, work
from postroom.clock import SystemClock
from postroom.egress.dialer import Dialer
from postroom.egress.link import Link
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.net.connection import Connection
from postroom.net.dialing import dial

LOGIN: dict[str, Any] = {
    "username": "me@example.com",
    "password": Secret("planted-word"),
    "allow_plaintext_login": True,
}


@pytest.mark.parametrize("after", ["EHLO", "AUTH"])
def test_a_server_that_says_too_much_is_not_dialled_again_and_again(after: str) -> None:
    """A reply more than was asked for, in one flight with the last of the opening, is the evidence."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        if command.startswith(after):
            return (
                b"250 mail.example.com\r\n421 4.3.2 closing\r\n"
                if after == "EHLO"
                else (b"235 2.7.0 ok\r\n421 4.3.2 closing\r\n")
            )
        return None

    async def main() -> None:
        peer = SmtpPeer(extensions=("AUTH PLAIN",), answer=answer)
        login: dict[str, Any] = LOGIN if after == "AUTH" else {}
        async with listening(peer) as port, running(port, **login) as transport:
            async with asyncio.timeout(3):
                report = await transport.attempt(work())
        assert [(after.lower(), "protocol")] == told(report)
        assert 1 == len(peer.dialogues)

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {**LOGIN, "password": Secret("not-utf-8-\udcff")},
        {"ehlo_name": "two words"},
    ],
)
def test_a_mistake_of_ours_while_opening_is_evidence(settings: dict[str, Any]) -> None:
    """It ends the attempts that wait, and the server is not dialled again for them."""

    async def main() -> None:
        peer = SmtpPeer(extensions=("AUTH PLAIN",))
        async with listening(peer) as port, running(port, **settings) as transport:
            async with asyncio.timeout(3):
                reports = await asyncio.gather(transport.attempt(work()), transport.attempt(work()))
        assert [[("connect", "local")], []] == [told(report) for report in reports]
        assert 1 == len(peer.dialogues)

    asyncio.run(main())


class _Ports:
    """Leads dials in plain to one peer, those with TLS at once to another; the first may be kept back."""

    def __init__(self, plain: SmtpPeer, encrypted: SmtpPeer) -> None:
        self.plain = plain
        self.encrypted = encrypted
        self.made: list[Connection] = []
        self.both = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def dial(self, account: SmtpAccount, *rest: Any, **named: Any) -> Connection:
        peer = self.encrypted if account.tls is TlsMode.IMPLICIT else self.plain
        connection = await dial(replace(account, port=peer.port), *rest, **named)
        self.made.append(connection)
        if len(self.made) == 1:
            await self.go_on.wait()
        if account.tls is TlsMode.IMPLICIT:
            self.both.set()
        return connection

    def dialer(self) -> Dialer:
        account = SmtpAccount(host="127.0.0.1", port=587, tls=TlsMode.OPPORTUNISTIC, verify=False)
        account = replace(account, username="me@example.com", password=Secret("planted-word"))
        spec = TransportSpec(name="relay", kind=TransportKind.SMTP, account=account)
        return Dialer(spec, account, clock=SystemClock(), greeting_probe_s=0.3, dial=self.dial)


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mail.example.com").configure_cert(context)
    return context


def _usual(command: str, _dialogue: Dialogue) -> bytes | None:
    return b"235 2.7.0 ok\r\n" if command.startswith("AUTH") else None


def test_a_cancelled_opening_leaves_no_socket_though_the_port_wanted_tls() -> None:
    """The connection that took the place of the first one ends too."""

    async def main() -> None:
        silent, encrypted = SmtpPeer(greeting=b""), SmtpPeer(greeting=b"", tls=_tls())
        async with listening(silent), listening(encrypted), asyncio.timeout(5):
            ports = _Ports(silent, encrypted)
            opening = asyncio.create_task(ports.dialer().open())
            await ports.both.wait()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await asyncio.gather(*(each.receive(5) for each in ports.made), return_exceptions=True)
            assert [True, True] == [each.is_closed for each in ports.made]

    asyncio.run(main())


def test_what_another_opening_learnt_is_not_believed_of_a_plain_connection() -> None:
    """One that was dialled in plain asks for STARTTLS before the login, whatever is adopted since."""

    async def main() -> None:
        plain = SmtpPeer(greeting=b"", extensions=("STARTTLS", "AUTH PLAIN"), answer=_usual)
        encrypted = SmtpPeer(extensions=("AUTH PLAIN",), answer=_usual, tls=_tls())
        async with listening(plain), listening(encrypted), asyncio.timeout(5):
            ports = _Ports(plain, encrypted)
            ports.go_on.clear()
            dialer = ports.dialer()
            first = asyncio.create_task(dialer.open())
            await plain.until(lambda: bool(plain.dialogues))
            second = await dialer.open()
            assert isinstance(second, Link)
            plain.transports[0].write(b"220 mail.example.com\r\n")
            ports.go_on.set()
            await first
            second.connection.abort()
        assert [True, False] == [
            any(line.startswith(word) for line in plain.dialogues[0].lines) for word in ("STARTTLS", "AUTH")
        ]

    asyncio.run(main())
