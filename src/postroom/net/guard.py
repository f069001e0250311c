"""The egress guard: from a host that somebody gave us to addresses that may be connected to.

Rules (reliability rule I7): a name is resolved once; every answer must pass, one bad answer refuses the
name; the caller connects to the addresses returned here and never gives the name to a resolver again, so
a name that changes its answer between check and connect gains nothing. The name stays what it is for TLS
and for the Host header. A refusal names the setting that opens a network.

Single hosts may be opened by name (``opened``): whatever they resolve to is called, except what no program
has to call (metadata services, multicast) and no setting opens that way.

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

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))

Resolve = Callable[..., Awaitable[Sequence[SocketAddress]]]


class RefusedByGuard(NetFault):
    """An address that may not be called.

    Attributes:
        why: a phrase, ``HOST: ADDRESS is WORD``.
        is_final: no setting that opens a host changes it.
    """

    def __init__(self, host: str, address: IpAddress, why: str) -> None:
        """Take the host, the address it has and why that one may not be called."""
        text = f"{host}: not called, {why}; {SETTING} can open a network"
        super().__init__(Step.RESOLVE, Fault(kind=FaultKind.LOCAL, text=text, cause=CAUSE), host)
        self.why = why if host == str(address) else f"{host}: {why}"
        self.is_final = bool(why_forbidden(address, EVERYWHERE))


def is_own(ip: str) -> bool:
    """Say whether an address is one of this machine's: only those can be bound to."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


class Guard:
    """The verdicts for one set of allowed networks."""

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        opened: Iterable[tuple[str, int | None]] = (),
        resolve: Resolve | None = None,
    ) -> None:
        """Take the operator's networks in CIDR form. Raises ValueError when one is none.

        ``opened`` are hosts, as ``net.destination`` writes them, with their port or for every port.
        """
        self._allowed = tuple(ip_network(text) for text in allowed)
        self._opened = frozenset(opened)
        self._resolve: Resolve = resolve or Lookups()

    def problem_with(self, url: str) -> str:
        """Return why this URL may never be called, ``""`` when it may; resolves nothing."""
        try:
            destination = parse_url(url)
        except DestinationError as error:
            return str(error)
        return self._refusal(destination.address) if destination.address is not None else ""

    def problem_with_host(self, host: str) -> str:
        """Return why a host of ``net.destination`` may never be connected to, ``""`` when it may."""
        address = literal(host)
        return "" if address is None else self._refusal(address)

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
        is_opened = not self._opened.isdisjoint({(host, port), (host, None)})
        allowed = EVERYWHERE if is_opened else self._allowed
        for one in found:
            address = ip_address(one.ip)
            if why := why_forbidden(address, allowed):
                raise RefusedByGuard(host, address, why)
        return found

    async def addresses_elsewhere(self, host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        """Return what ``addresses`` does, and refuse this machine: mail to itself goes round for ever.

        A network that the operator allowed may hold addresses of this machine. Raises NetFault.
        """
        found = await self.addresses(host, port, timeout_s=timeout_s)
        for one in found:
            address = ip_address(one.ip)
            if is_own(one.ip) and not any(address in network for network in self._allowed):
                raise RefusedByGuard(host, address, f"{address} is this machine")
        return found

    def _refusal(self, address: IpAddress) -> str:
        why = why_forbidden(address, self._allowed)
        return f"not called, {why}; {SETTING} can open a network" if why else ""
