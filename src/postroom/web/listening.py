"""Sockets that listen, and the certificates they show; for every door of the process."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from postroom.errors import ConfigError, Problem
from postroom.telemetry import logger
from postroom.web.acceptor import BACKLOG

CERTIFICATE_CHECK_S = 30
"""Seconds between looks at the certificate files."""

_log = logger("doors")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPair:
    """Certificate (with its chain) and key, PEM files."""

    cert: Path
    key: Path


class Certificate:
    """A pair of files and the context that was made of them; handshakes use what was loaded last."""

    def __init__(self, pair: TlsPair, context: ssl.SSLContext) -> None:
        """Take a context that holds the pair."""
        self.pair = pair
        self.context = context
        self._seen = self._changed_at()

    def look(self) -> None:
        """Load the files again when they changed; one that cannot be used leaves the earlier one in place."""
        changed_at = self._changed_at()
        if changed_at == self._seen:
            return
        self._seen = changed_at
        cert = str(self.pair.cert)
        try:
            self.context.load_cert_chain(self.pair.cert, self.pair.key)
            _log.info("certificate reloaded", cert=cert)
        except (OSError, ssl.SSLError) as error:
            _log.error("certificate not reloaded, the earlier one stays", cert=cert, error=str(error))

    def _changed_at(self) -> tuple[int, ...]:
        with suppress(OSError):
            return (self.pair.cert.stat().st_mtime_ns, self.pair.key.stat().st_mtime_ns)
        return ()


def certificate(pair: TlsPair, *, protocol: str = "", field: str = "tls_cert") -> Certificate:
    """Load a certificate for a server of one ``protocol`` (its ALPN name, if it has one).

    Raises ConfigError naming the setting ``field``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if protocol:
        context.set_alpn_protocols([protocol])
    try:
        context.load_cert_chain(pair.cert, pair.key)
    except (OSError, ssl.SSLError) as error:
        cause = f"{pair.cert} and {pair.key} cannot be used: {error}"
        fix = "Give PEM files of a certificate with its chain and of its key, without a pass phrase."
        raise ConfigError(
            [Problem(code="certificate-unusable", field=field, cause=cause, fix=fix)]
        ) from error
    return Certificate(pair, context)


async def listen(host: str, port: int, *, flag: str) -> list[socket.socket]:
    """Open a socket for each address of a host. Raises ConfigError, which names the ``flag`` to change."""
    listeners: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, number, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind | socket.SOCK_NONBLOCK, number)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the IPv4 address of the same name has a socket of its own
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        cause = f"cannot listen on {host} port {port}: {error.strerror or error}"
        fix = f"End the other program there, or choose another address with {flag}."
        problem = Problem(code="listen-failed", field=flag.removeprefix("--"), cause=cause, fix=fix)
        raise ConfigError([problem]) from error
    return listeners
