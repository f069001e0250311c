"""The egress guard: from a host that somebody gave us to addresses that may be connected to.

Rules (reliability rule I7): a name is resolved once; every answer must pass, one bad answer refuses the
name; the caller connects to the addresses returned here and never gives the name to a resolver again, so
a name that changes its answer between check and connect gains nothing. The name stays what it is for TLS
and for the Host header. A refusal names the setting that opens a network.

What it does not do: it does not keep the operator's own accounts from intranet servers. A transport of the
settings is the operator's word; the guard is for URLs and hosts of callers.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.net.addresses import SocketAddress
from postroom.net.destination import DestinationError, literal, parse_url
from postroom.net.faults import NetFault
from postroom.net.lookups import Lookups
from postroom.net.networks import IpAddress, why_forbidden

SETTING = "egress.allowed_networks"
CAUSE = "egress-refused"

Resolve = Callable[..., Awaitable[Sequence[SocketAddress]]]


class Guard:
    """The verdicts for one set of allowed networks."""

    def __init__(self, allowed: Iterable[str] = (), *, resolve: Resolve | None = None) -> None:
        """Take the operator's networks in CIDR form. Raises ValueError when one is none."""
        self._allowed = tuple(ip_network(text) for text in allowed)
        self._resolve: Resolve = resolve or Lookups()

    def problem_with(self, url: str) -> str:
        """Return why this URL may never be called, ``""`` when it may; resolves nothing."""
        try:
            destination = parse_url(url)
        except DestinationError as error:
            return str(error)
        return self._refusal(destination.address) if destination.address is not None else ""

    async def addresses(self, host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        """Return where to connect, in the order to try. ``host`` came from ``net.destination``.

        Raises:
            NetFault: at step RESOLVE, for a name without an address or with the cause ``egress-refused``.
        """
        address = literal(host)
        if address is not None:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            found: Sequence[SocketAddress] = [SocketAddress(family, host, port)]
        else:
            found = await self._resolve(host, port, timeout_s=timeout_s)
        for one in found:
            if why := self._refusal(ip_address(one.ip)):
                fault = Fault(kind=FaultKind.LOCAL, text=f"{host}: {why}", cause=CAUSE)
                raise NetFault(Step.RESOLVE, fault, host)
        return found

    def _refusal(self, address: IpAddress) -> str:
        why = why_forbidden(address, self._allowed)
        return f"not called, {why}; {SETTING} can open a network" if why else ""
