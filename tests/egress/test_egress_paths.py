"""One suite of deliveries over every path: direct, through SOCKS5 and through HTTP CONNECT, TLS 1.2 and 1.3.

The proxies and the servers are others' work. The proxies want a login and resolve the server's name.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from egress.foreign_smtp import LOGIN, REFUSED, Kept, aiosmtpd, context
from egress.works import CONTENT, running, told, work
from peers import postfix, proxies
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, TlsMode

LARGE = CONTENT + b"".join(b"%07d %s\r\n" % (number, b"x" * 60) for number in range(30_000))
HOST = "localhost"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def standing() -> Iterator[proxies.Proxies]:
    with proxies.running() as found:
        yield found


@pytest.fixture(params=["direct", "socks5", "connect"])
def proxy(request: pytest.FixtureRequest, standing: proxies.Proxies) -> Proxy | None:
    made: dict[str, Proxy | None] = {
        "direct": None,
        "socks5": standing.socks5(),
        "connect": standing.connect(),
    }
    return made[request.param]


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"])
def tls(request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext:
    made = context(authority, HOST)
    made.minimum_version = made.maximum_version = request.param
    return made


async def implicit(kept: Kept, tls: ssl.SSLContext, account: dict[str, Any]) -> None:
    """Messages follow each other on one connection, TLS from the first byte, after a login."""
    async with (
        aiosmtpd(kept, implicit=tls, auth_require_tls=False) as port,
        running(port, tls=TlsMode.IMPLICIT, **account, **LOGIN) as transport,
    ):
        for _ in range(3):
            assert [("body_end", 250)] == told(await transport.attempt(work()))
    assert [(CONTENT, True)] * 3 == [(content, is_known) for content, _, is_known in kept.messages]
    assert len(kept.sessions) == 1


async def starttls(kept: Kept, tls: ssl.SSLContext, account: dict[str, Any]) -> None:
    """STARTTLS, a login, then some recipients refused and all of them refused."""
    async with (
        aiosmtpd(kept, tls_context=tls, require_starttls=True, auth_required=True) as port,
        running(port, tls=TlsMode.STARTTLS, **account, **LOGIN) as transport,
    ):
        some = await transport.attempt(work("a@example.net", REFUSED, "b@example.net"))
        assert [("body_end", 250), ("rcpt", 550), ("body_end", 250)] == told(some)
        assert [("rcpt", 550)] == told(await transport.attempt(work(REFUSED)))
        assert [("body_end", 250)] == told(await transport.attempt(work()))
    assert [(CONTENT, True, True)] * 2 == kept.messages


async def large(kept: Kept, tls: ssl.SSLContext, account: dict[str, Any]) -> None:
    """A body of two megabytes arrives byte for byte."""
    async with (
        aiosmtpd(kept, tls_context=tls) as port,
        running(port, tls=TlsMode.STARTTLS, **account) as transport,
    ):
        assert [("body_end", 250)] == told(await transport.attempt(work(content=LARGE)))
    assert [LARGE] == [content for content, _, _ in kept.messages]


async def wrong_password(kept: Kept, tls: ssl.SSLContext, account: dict[str, Any]) -> None:
    """A refused login is evidence of the server, with neither password in it."""
    login: dict[str, Any] = {"username": "user@example.com", "password": Secret("planted-and-wrong")}
    async with (
        aiosmtpd(kept, tls_context=tls) as port,
        running(port, tls=TlsMode.STARTTLS, **account, **login) as transport,
    ):
        report = await transport.attempt(work())
    assert [("auth", 535)] == told(report)
    assert "planted-and-wrong" not in repr(report)
    assert proxies.PASSWORD not in repr(report)


async def plain_under_implicit(kept: Kept, tls: ssl.SSLContext, account: dict[str, Any]) -> None:
    """A port that turns out to speak plain is used with STARTTLS required."""
    async with (
        aiosmtpd(kept, tls_context=tls) as port,
        running(port, tls=TlsMode.IMPLICIT, **account) as transport,
    ):
        assert [("body_end", 250)] == told(await transport.attempt(work()))
    assert [(CONTENT, True, False)] == kept.messages


Delivery = Callable[[Kept, ssl.SSLContext, dict[str, Any]], Awaitable[None]]


@pytest.mark.parametrize("delivery", [implicit, starttls, large, wrong_password, plain_under_implicit])
def test_deliveries_over_every_path(
    delivery: Delivery, proxy: Proxy | None, tls: ssl.SSLContext, ca_file: str
) -> None:
    """Each delivery ends in the same way over each path and each version of TLS."""

    async def main() -> None:
        await delivery(Kept(), tls, {"host": HOST, "ca_file": ca_file, "proxy": proxy})

    asyncio.run(main())


def test_a_password_needs_tls_behind_a_proxy_on_this_machine(standing: proxies.Proxies) -> None:
    """A proxy on loopback does not make its server one: without STARTTLS the password stays here."""

    async def main() -> None:
        kept = Kept()
        for proxy, expected in [(None, "body_end"), (standing.socks5(), "starttls")]:
            async with (
                aiosmtpd(kept, auth_require_tls=False) as port,
                running(port, host=HOST, proxy=proxy, tls=TlsMode.OPPORTUNISTIC, **LOGIN) as transport,
            ):
                report = await transport.attempt(work())
            assert [expected] == [step for step, _ in told(report)]
        assert 1 == len(kept.messages)

    asyncio.run(main())


def postfix_tls(directory: Path, authority: trustme.CA, mode: TlsMode, version: str) -> dict[str, str]:
    pem = directory / "server.pem"
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(pem))
    wrapper = {"smtpd_tls_wrappermode": "yes"} if mode is TlsMode.IMPLICIT else {}
    return wrapper | {
        "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, permit_mynetworks, reject",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": str(pem),
        "smtpd_tls_mandatory_protocols": f">=TLSv{version}, <=TLSv{version}",
        "smtpd_tls_loglevel": "1",
    }


@pytest.mark.slow
@pytest.mark.postfix
@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix's master needs root")
@pytest.mark.parametrize(("mode", "version"), [(TlsMode.IMPLICIT, "1.2"), (TlsMode.STARTTLS, "1.3")])
def test_postfix_over_every_path(  # noqa: PLR0917 - fixtures
    mode: TlsMode,
    version: str,
    standing: proxies.Proxies,
    authority: trustme.CA,
    ca_file: str,
    tmp_path: Path,
) -> None:
    """Postfix takes riding messages with some refused over each path, and finds no fault."""
    refused = "person@unqualified"
    messages = [(f"r{number}@example.net", refused) if number % 2 else (refused,) for number in range(6)]
    taken, no = ("body_end", 250), ("rcpt", 504)

    async def main(port: int) -> None:
        for proxy in (None, standing.socks5(), standing.connect()):
            account: dict[str, Any] = {"host": HOST, "ca_file": ca_file, "proxy": proxy, "tls": mode}
            async with running(port, max_connections=2, **account) as transport:
                reports = await asyncio.gather(*(transport.attempt(work(*names)) for names in messages))
            assert [[no], [taken, no]] * 3 == [told(report) for report in reports]

    with postfix.running(relay_to=None, settings=postfix_tls(tmp_path, authority, mode, version)) as relay:
        asyncio.run(main(relay.port))
        log = relay.log
    assert f"TLSv{version}" in log
    for word in ("improper", "pipelin", "too many errors", "timeout"):
        assert word not in log
