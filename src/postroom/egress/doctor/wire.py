"""Connections of a check: made in steps, so that each step is timed and told by itself."""

from collections.abc import Container
from contextlib import suppress
from dataclasses import replace

from postroom.clock import Clock
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode
from postroom.net.connection import Connection
from postroom.net.dialing import addresses_of, connect, pass_proxy
from postroom.net.faults import NetFault
from postroom.policy.doctoring import TlsSeen


def timeouts_of(seconds: float) -> StepTimeouts:
    """Return time limits for connecting within ``seconds``."""
    return StepTimeouts(connect=seconds, connect_per_address=seconds * 0.8)


async def reach(
    account: SmtpAccount, seconds: float, *, clock: Clock, avoid: Container[str] = ()
) -> Connection:
    """Connect, through the proxy when there is one, without TLS. Raises NetFault."""
    addresses = await addresses_of(account, seconds, avoid=avoid)
    connection = await connect(account, addresses, timeouts_of(seconds), clock=clock)
    try:
        await pass_proxy(connection, seconds)
    except BaseException:
        connection.abort()  # a cancelled check must not leave a socket
        raise
    return connection


async def reach_encrypted(account: SmtpAccount, seconds: float, *, clock: Clock) -> Connection:
    """Connect and make the handshake at once. Raises NetFault."""
    connection = await reach(replace(account, tls=TlsMode.IMPLICIT), seconds, clock=clock)
    try:
        await connection.encrypt(seconds)
    except BaseException:
        connection.abort()  # as above
        raise
    return connection


async def is_open(account: SmtpAccount, port: int, seconds: float, *, clock: Clock) -> bool:
    """Say whether another port of the same host takes a connection."""
    with suppress(NetFault):
        (await reach(replace(account, port=port), seconds, clock=clock)).abort()
        return True
    return False


def seen_of(connection: Connection) -> TlsSeen:
    """Return what the handshake of a connection showed."""
    certificate = connection.certificate
    version, cipher = connection.tls_version or "", connection.tls_cipher
    if certificate is None:
        return TlsSeen(version=version, cipher=cipher)
    return TlsSeen(
        version=version,
        cipher=cipher,
        subject=certificate.subject,
        issuer=certificate.issuer,
        names=certificate.names,
        not_after=certificate.not_after,
        digest=certificate.digest,
    )
