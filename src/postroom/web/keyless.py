"""Who may use a door without a key. Pure.

A door without a key is for programs on this machine (or in networks somebody listed) and for nobody's
browser: a web page must not be able to send mail by making its visitor post to a loopback address
(cross-site requests), nor by pointing its own name at 127.0.0.1 (DNS rebinding), nor may a proxy lend its
loopback address to the world. Every condition must hold; the first that fails is the reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_FORWARDED = frozenset({"forwarded", "x-real-ip"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeylessRule:
    """What a door asks for when there is no key. The default admits nobody."""

    is_open: bool = False
    """Capture mode, or a setting that says so; false: every caller needs a key."""
    is_behind_proxy: bool = False
    """``public_url`` or ``trusted_proxies`` is set."""
    networks: tuple[Network, ...] = ()
    """Peers allowed besides loopback."""
    hosts: frozenset[str] = frozenset()
    """Host names allowed besides those of loopback, in lower case without port."""
    while_so: Callable[[], bool] = lambda: True
    """Asked at each request: what opened the door may not hold any more."""
    judges_origin: bool = True
    """False for pages that only show something: following a link to them is no danger."""


NEVER_KEYLESS = KeylessRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeylessDecision:
    """Whether no key is needed, and why it is."""

    is_allowed: bool
    reason: str
    """Why a key is needed, for the caller; ``""`` when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """How a request came: the facts the decision needs."""

    peer: str
    """The address of the socket's other end."""
    scheme: str
    host: str
    """The Host header."""
    origin: str | None = None
    fetch_site: str | None = None
    """The Sec-Fetch-Site header."""
    is_forwarded: bool = False
    """A Forwarded, X-Forwarded-* or X-Real-IP header is present."""


def approach_of(peer: str, scheme: str, headers: Sequence[tuple[bytes, bytes]]) -> Approach:
    """Gather the facts from a request's headers (names in lower case)."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return Approach(
        peer=peer,
        scheme=scheme,
        host=found.get("host", ""),
        origin=found.get("origin"),
        fetch_site=found.get("sec-fetch-site"),
        is_forwarded=any(name in _FORWARDED or name.startswith("x-forwarded") for name in found),
    )


def keyless_allowed(rule: KeylessRule, approach: Approach) -> KeylessDecision:
    """Decide whether a request may do without a key."""
    reason = _objection(rule, approach)
    return KeylessDecision(is_allowed=not reason, reason=reason)


def _objection(rule: KeylessRule, approach: Approach) -> str:
    host = host_name(approach.host)
    own_origin = f"{approach.scheme}://{approach.host}"
    conditions = (
        (rule.is_open and rule.while_so(), "this door needs a key"),
        (not rule.is_behind_proxy, "behind a proxy or a public URL every caller needs a key"),
        (
            is_loopback(approach.peer) or is_within(approach.peer, rule.networks),
            f"callers from {approach.peer} need a key",
        ),
        (not approach.is_forwarded, "the request was forwarded by a proxy"),
        (
            host in _LOOPBACK_NAMES or host in rule.hosts,
            "the Host header names neither this machine nor a listed host",
        ),
        (
            not rule.judges_origin or approach.origin in (None, own_origin),
            "the request comes from a page of another origin",
        ),
        (
            not rule.judges_origin or approach.fetch_site in (None, "same-origin"),
            "the request comes from a page of another site",
        ),
    )
    return next((reason for holds, reason in conditions if not holds), "")


def is_loopback(peer: str) -> bool:
    """Say whether an address is this machine's own (IPv4 in IPv6 form counts)."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def is_within(peer: str, networks: Sequence[Network]) -> bool:
    """Say whether an address is in one of the networks (IPv4 in IPv6 form counts)."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse networks in CIDR form. Raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


def host_name(host: str) -> str:
    """Return the name of a Host header: lower case, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def effective_peer(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the address a request came from: past trusted proxies, the last one none of them vouches for.

    ``forwarded_for`` is the X-Forwarded-For header; it is read only when the socket's peer is trusted.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()] if trusted else []
    while hops and is_within(peer, trusted):
        peer = hops.pop()
    return peer
