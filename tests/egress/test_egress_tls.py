"""The SMTP transport over TLS and with logins, against aiosmtpd."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from egress.foreign_smtp import LOGIN, Kept, aiosmtpd, context
from egress.smtp_peer import SmtpPeer, listening
from egress.works import CONTENT, running, told, work
from postroom.model.secret import Secret
from postroom.model.transport import StepTimeouts, TlsMode
from postroom.policy.classify import classify


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.parametrize("excluded", [[], ["PLAIN"]])
def test_starttls_and_login(authority: trustme.CA, ca_file: str, excluded: list[str]) -> None:
    """STARTTLS, then PLAIN or LOGIN, then the message."""

    async def main() -> None:
        kept = Kept()
        options: dict[str, Any] = {
            "tls_context": context(authority),
            "require_starttls": True,
            "auth_required": True,
        }
        async with (
            aiosmtpd(kept, auth_exclude_mechanism=excluded, **options) as port,
            running(port, tls=TlsMode.STARTTLS, ca_file=ca_file, **LOGIN) as transport,
        ):
            for _ in range(3):
                assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert [CONTENT] * 3 == [content for content, _, _ in kept.messages]
        assert all(is_encrypted for _, is_encrypted, _ in kept.messages)

    asyncio.run(main())


def test_implicit_tls(authority: trustme.CA, ca_file: str) -> None:
    """TLS from the first byte, then a login."""

    async def main() -> None:
        kept = Kept()
        async with (
            aiosmtpd(kept, implicit=context(authority), auth_require_tls=False) as port,
            running(port, tls=TlsMode.IMPLICIT, ca_file=ca_file, **LOGIN) as transport,
        ):
            assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert [True] == [is_known for _, _, is_known in kept.messages]

    asyncio.run(main())


def test_wrong_password(authority: trustme.CA, ca_file: str) -> None:
    """A refused login is evidence at the step auth, and holds no secret."""

    async def main() -> None:
        kept = Kept()
        login: dict[str, Any] = {"username": "user@example.com", "password": Secret("planted-and-wrong")}
        async with (
            aiosmtpd(kept, tls_context=context(authority)) as port,
            running(port, tls=TlsMode.STARTTLS, ca_file=ca_file, **login) as transport,
        ):
            report = await transport.attempt(work())
        assert [("auth", 535)] == told(report)
        assert "planted-and-wrong" not in repr(report)

    asyncio.run(main())


def test_other_name_in_the_certificate(authority: trustme.CA, ca_file: str) -> None:
    """A certificate for another name ends before the login."""

    async def main() -> None:
        kept = Kept()
        async with (
            aiosmtpd(kept, tls_context=context(authority, "other.example.net")) as port,
            running(port, tls=TlsMode.STARTTLS, ca_file=ca_file, **LOGIN) as transport,
        ):
            report = await transport.attempt(work())
        assert [("tls", "tls")] == told(report)
        assert not kept.messages

    asyncio.run(main())


def test_plain_port_under_implicit_tls(authority: trustme.CA, ca_file: str) -> None:
    """A port that speaks plain is used with STARTTLS required, and that is remembered."""

    async def main() -> None:
        kept = Kept()
        async with (
            aiosmtpd(kept, tls_context=context(authority)) as port,
            running(port, tls=TlsMode.IMPLICIT, ca_file=ca_file, max_messages=1) as transport,
        ):
            for _ in range(2):
                assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert [True, True] == [is_encrypted for _, is_encrypted, _ in kept.messages]

    asyncio.run(main())


def test_plain_port_without_starttls() -> None:
    """A port that speaks plain and offers no STARTTLS is refused, also on loopback and without a password."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, tls=TlsMode.IMPLICIT) as transport:
            report = await transport.attempt(work())
        assert [("starttls", "capability")] == told(report)
        fault = report.lines[0].evidence.fault
        assert fault is not None
        assert "starttls-not-offered" == fault.cause
        assert not peer.mails

    asyncio.run(main())


def test_tls_port_under_plain_settings(authority: trustme.CA, ca_file: str) -> None:
    """A port that greets nobody and speaks TLS at once is used with implicit TLS, and that is remembered."""

    async def main() -> None:
        kept = Kept()
        async with (
            aiosmtpd(kept, implicit=context(authority)) as port,
            running(
                port, tls=TlsMode.OPPORTUNISTIC, ca_file=ca_file, greeting_probe_s=0.3, max_messages=1
            ) as transport,
        ):
            for _ in range(2):
                assert [("body_end", 250)] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_a_silent_port_whose_certificate_is_not_trusted(authority: trustme.CA) -> None:
    """The evidence is the certificate, at once, and no greeting that was waited for in vain."""

    async def main() -> None:
        kept = Kept()
        async with (
            aiosmtpd(kept, implicit=context(authority)) as port,
            running(port, tls=TlsMode.STARTTLS, greeting_probe_s=0.3) as transport,
            asyncio.timeout(5),
        ):
            report = await transport.attempt(work())
        assert [("tls", "tls")] == told(report)
        assert "tls-untrusted" == classify(report.lines[0].evidence).cause

    asyncio.run(main())


def test_slow_greeting_is_waited_for() -> None:
    """A plain server that greets late is not mistaken for a TLS port."""

    async def main() -> None:
        peer = SmtpPeer(greeting=b"")
        async with listening(peer) as port, running(port, greeting_probe_s=0.05) as transport:
            attempt = asyncio.create_task(transport.attempt(work()))
            await peer.until(lambda: len(peer.dialogues) == 2)
            peer.transports[0].write(b"220 at last\r\n")
            assert [("body_end", 250)] == told(await attempt)

    asyncio.run(main())


def test_silent_port() -> None:
    """A port that never says anything ends at the greeting's limit."""

    async def main() -> None:
        peer = SmtpPeer(greeting=b"")
        timeouts = StepTimeouts(greeting=0.1)
        async with (
            listening(peer) as port,
            running(port, greeting_probe_s=0.02, timeouts=timeouts) as transport,
        ):
            assert [("greeting", "timeout")] == told(await transport.attempt(work()))

    asyncio.run(main())
