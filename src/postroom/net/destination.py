"""The one reading of a URL that somebody gave us, stricter than RFC 3986.

Two parsers that read one URL in two ways are how guards are passed, so here only one form is taken and
nothing is repaired: ``http`` or ``https``, a host name or a canonical address, a port of the list, a path in
ASCII. Refused are user information, fragments, trailing dots, backslashes, blanks, zone ids, and numbers that
a resolver would read as an address (``2130706433``, ``0x7f000001``, ``127.1``).
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from postroom.grammar import HOST_NAME, MAX_DOMAIN

MAX_URL = 2048
"""Characters (security limit); what browsers and proxies take without trouble."""
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/?#\\]*)(?P<target>.*)\Z", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?\Z")
_TARGET = re.compile(r"(?:[/?](?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?\Z")
"""RFC 3986 section 3.3 and 3.4: path and query."""
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
"""A last label that resolvers read as (part of) an IPv4 address."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FIRST_USER_PORT = 1024
_OTHER_PROTOCOLS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669}
    | {6679, 6697, 10080, 11211}
)
"""Ports of servers that might take a request for commands of theirs: the list of the Fetch standard
(section 2.9) from 1024 on, Redis and Memcached."""


class DestinationError(ValueError):
    """A URL is not one we call; the text is a lower-case phrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a URL leads, valid by construction through ``parse_url``."""

    is_tls: bool
    host: str
    """A host name (A-labels, lower case) or an address without brackets."""
    port: int
    target: str
    """Path and query as sent, at least ``/``."""

    @property
    def authority(self) -> str:
        """The value of the Host header; the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == (443 if self.is_tls else 80)
        return host if is_default else f"{host}:{self.port}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host when it is an address."""
        return literal(self.host)


def parse_url(url: str, *, most: int = MAX_URL) -> Destination:
    """Read a URL of at most so many characters. Raises DestinationError."""
    if len(url) > most:
        raise DestinationError(f"the URL has {len(url)} characters, at most {most}")
    match = _URL.match(url)
    if match is None:
        raise DestinationError("not a URL such as https://example.com/path")
    scheme, authority, target = match["scheme"].lower(), match["authority"], match["target"]
    if scheme not in _DEFAULT_PORTS:
        raise DestinationError(f"the scheme is {scheme}, allowed are http and https")
    if "@" in authority:
        raise DestinationError("the URL has a user part; credentials do not belong in it")
    parts = _AUTHORITY.match(authority)
    if parts is None:
        raise DestinationError("the host cannot be read")
    if not _TARGET.match(target):
        raise DestinationError("the path has a fragment or characters that must be percent-encoded")
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORTS[scheme]
    if not is_web_port(port):
        raise DestinationError(f"port {port} is not one for web servers: 80, 443, or from 1024 on")
    return Destination(
        is_tls=scheme == "https",
        host=parse_host(parts["host"]),
        port=port,
        target=target if target.startswith("/") else f"/{target}",
    )


def is_web_port(port: int) -> bool:
    """Say whether a port may be called over HTTP."""
    return port in (80, 443) or (_FIRST_USER_PORT <= port <= 65535 and port not in _OTHER_PROTOCOLS)


def parse_place(text: str) -> tuple[str, int | None]:
    """Read ``HOST`` or ``HOST:PORT``; without a port every one is meant. Raises DestinationError."""
    parts = _AUTHORITY.match(text)
    if parts is None:
        raise DestinationError("not HOST or HOST:PORT, for example files.example.com:8880")
    port = int(parts["port"]) if parts["port"] else None
    if port is not None and not is_web_port(port):
        raise DestinationError(f"port {port} is not one for web servers: 80, 443, or from 1024 on")
    return parse_host(parts["host"]), port


def parse_host(text: str) -> str:
    """Return a host name with A-labels in lower case, or a canonical address. Raises DestinationError."""
    if text.startswith("["):
        try:
            return str(_without_zone(IPv6Address(text[1:-1])))
        except AddressValueError:
            raise DestinationError("the IPv6 address cannot be read") from None
    try:
        host = text.lower() if text.isascii() else idna.encode(text).decode("ascii").lower()
    except idna.IDNAError:
        raise DestinationError("the host is not a name of RFC 5891") from None
    if len(host) > MAX_DOMAIN or not HOST_NAME.match(host):
        raise DestinationError("the host is not a name such as example.com")
    if _NUMBER.match(host.rsplit(".", 1)[-1]):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise DestinationError(
                "the host is a number; an IPv4 address has four, such as 192.0.2.1"
            ) from None
    return host


def _without_zone(address: IPv6Address) -> IPv6Address:
    if address.scope_id is not None:
        raise AddressValueError
    return address


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host of ``parse_host`` is, ``None`` for a name."""
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return None
