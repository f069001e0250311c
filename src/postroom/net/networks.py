"""Which addresses may be called on behalf of somebody who gave us a name or a URL.

Our own table, because ``ipaddress.is_global`` answers another question: it is true for multicast, site-local,
NAT64 and ISATAP forms and for a cloud's agent on a public address, and it changes between Python versions.

Rules: an IPv4 address inside an IPv6 one is judged as well, and both must pass. An IPv6 address must be
global unicast (2000::/3) before the list of exceptions is read, so what is not known is refused. An
operator's networks open what is listed here, except what no mail program ever has to call (``_NEVER``) and
the metadata services of clouds, which must be named one by one.

Sources: the IANA special-purpose address registries (RFC 6890), RFC 4291, RFC 6052, RFC 8215, RFC 4380,
RFC 3056, RFC 5214; the clouds' own pages for metadata addresses.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_METADATA = {
    "169.254.169.254/32": "a metadata service",
    "169.254.169.253/32": "a metadata service",
    "169.254.170.2/32": "a metadata service",
    "169.254.170.23/32": "a metadata service",
    "169.254.0.23/32": "a metadata service",
    "100.100.100.200/32": "a metadata service",
    "168.63.129.16/32": "a host agent",
    "192.0.0.192/32": "a metadata service",
    "fd00:ec2::254/128": "a metadata service",
    "fd00:ec2::23/128": "a metadata service",
    "fd20:ce::254/128": "a metadata service",
    "fd00:c1::a9fe:a9fe/128": "a metadata service",
    "fd00:42::42/128": "a metadata service",
}
_NEVER = {
    "0.0.0.0/8": "this network",
    "224.0.0.0/4": "multicast",
    "255.255.255.255/32": "broadcast",
    "::/128": "the unspecified address",
    "ff00::/8": "multicast",
}
_SPECIAL = {
    "10.0.0.0/8": "a private network",
    "100.64.0.0/10": "shared address space",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "a private network",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a 6to4 relay",
    "192.168.0.0/16": "a private network",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "240.0.0.0/4": "reserved",
    "::1/128": "loopback",
    "::/96": "an IPv4-compatible address",
    "64:ff9b:1::/48": "a local NAT64 prefix",
    "100::/64": "discard-only",
    "2001::/32": "a Teredo address",
    "2001::/23": "reserved for protocols",
    "2001:db8::/32": "for documentation",
    "2002::/16": "a 6to4 address",
    "3fff::/20": "for documentation",
    "fc00::/7": "a private network",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
}


def _table(words: dict[str, str]) -> tuple[tuple[IpNetwork, str], ...]:
    return tuple((ip_network(text), word) for text, word in words.items())


METADATA, NEVER, SPECIAL = _table(_METADATA), _table(_NEVER), _table(_SPECIAL)

_GLOBAL = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""Upper half of the interface identifier, RFC 5214 section 6.1."""


def why_forbidden(address: IpAddress, allowed: Sequence[IpNetwork] = ()) -> str:
    """Return why an address may not be called, as ``ADDRESS is WORD``; ``""`` when it may.

    Args:
        address: Where a socket would go.
        allowed: The operator's networks.
    """
    if isinstance(address, IPv4Address):
        return _why(address, allowed)
    for inner in embedded(address):
        if why := _why(inner, allowed):
            return f"{address} carries {why.replace(' is ', ', ', 1)}"
    if address in _MAPPED or address in _NAT64:
        return ""  # these only carry
    return _why(address, allowed)


def _why(address: IpAddress, allowed: Sequence[IpNetwork]) -> str:
    for network, word in METADATA:
        if address in network:
            return "" if network in allowed else f"{address} is {word}"
    for network, word in NEVER:
        if address in network:
            return f"{address} is {word}"
    if any(address in network for network in allowed):
        return ""
    for network, word in SPECIAL:
        if address in network:
            return f"{address} is {word}"
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return f"{address} is not a global address"
    return ""


def embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield every IPv4 address that some network may deliver a packet for ``address`` to."""
    number = int(address)
    if address in _MAPPED or address in _NAT64 or (address in _COMPATIBLE and number > 0xFFFF):
        yield IPv4Address(number & 0xFFFF_FFFF)
    if address in _LOCAL_NAT64:
        yield from _local_nat64(number)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def _local_nat64(number: int) -> Iterator[IPv4Address]:
    """Read the address behind a prefix of 48, 56, 64 or 96 bits, RFC 6052 section 2.2 (octet 8 is skipped).

    A reading that begins with a zero octet is of another length: what is there is the padding.
    """
    readings = (
        (number >> 64 & 0xFFFF) << 16 | (number >> 40 & 0xFFFF),
        (number >> 64 & 0xFF) << 24 | (number >> 32 & 0xFF_FFFF),
        number >> 24 & 0xFFFF_FFFF,
        number & 0xFFFF_FFFF,
    )
    yield from (IPv4Address(reading) for reading in readings if reading >> 24)
