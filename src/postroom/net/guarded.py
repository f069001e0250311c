"""A network backend for httpcore2 that asks the egress guard where to connect, and connects to nothing else.

The name stays in TLS (SNI and certificate) and in the Host header.
"""

from collections.abc import Iterable
from typing import TypeVar

import httpcore2

from postroom.net.addresses import SocketAddress
from postroom.net.faults import socket_fault
from postroom.net.guard import Guard

CONNECT_S = 5.0
"""Seconds for one address of several; a live server answers in one round trip."""

_Found = TypeVar("_Found", bound=OSError)


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that the guard returns, and to nothing else."""

    def __init__(self, guard: Guard) -> None:
        """Take the guard."""
        self._guard = guard
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(  # noqa: PLR0917 - the signature is httpcore2's
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers. Raises NetFault for a name that may not be called."""
        timeout_s = CONNECT_S if timeout is None else timeout
        fault: Exception | None = None
        for address in await self._guard.addresses(host, port, timeout_s=timeout_s):
            try:
                return await self._sockets.connect_tcp(
                    address.ip, port, timeout_s, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = fault or httpcore2.ConnectError(_connect_phrase(error, address))
        raise fault or httpcore2.ConnectError(f"no address ({host})")


def _connect_phrase(error: Exception, address: SocketAddress) -> str:
    found = deepest(error, OSError)
    if found is None or isinstance(found, TimeoutError) or not found.errno:
        return f"no connection to {address}"
    return socket_fault(found, str(address)).text


def deepest(error: BaseException, kind: type[_Found]) -> _Found | None:
    """Return the innermost cause of a kind: libraries wrap what the system said."""
    found: _Found | None = None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            found = seen
        seen = seen.__cause__ or seen.__context__
    return found
