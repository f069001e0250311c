"""From an address to the server of its account: pure readings of a domain, MX names, SRV and autoconfig.

The order is that of trust: the table of domains, what the domain itself publishes (SRV, autoconfig), then the
provider behind its MX. A proposal that a person must confirm says so (``must_ask``): a password never goes to
a host that was only guessed. Not asked for is a known provider that nothing else could be meant by, and a
host inside the domain of the address.

What it does not do: ask the network (``net.detection``), or guess host names such as ``smtp.<domain>``.

Sources: RFC 6186 section 3.4 and 4, RFC 8314 section 5.1 (SRV); the autoconfig format of Thunderbird.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from xml.parsers import expat

from postroom.model.transport import TlsMode
from postroom.providers import catalogue
from postroom.providers.provider import Provider, UsernameRule

MAX_AUTOCONFIG = 64 * 1024
"""Bytes (security limit); real ones have three thousand."""
MAX_SERVERS = 10
"""Of one autoconfig file or one SRV answer."""
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_MODES = {"SSL": TlsMode.IMPLICIT, "STARTTLS": TlsMode.STARTTLS}
"""Autoconfig's ``plain`` is never proposed: a password would go unencrypted."""
_LOGINS = {"%EMAILADDRESS%": UsernameRule.FULL_ADDRESS, "%EMAILLOCALPART%": UsernameRule.LOCAL_PART}


class FoundBy(StrEnum):
    """Where a proposal comes from."""

    DOMAIN = "domain"
    """The table of mail domains."""
    SRV = "srv"
    AUTOCONFIG = "autoconfig"
    MX = "mx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Srv:
    """One answer for ``_submissions._tcp`` or ``_submission._tcp``."""

    priority: int
    weight: int
    port: int
    target: str
    mode: TlsMode
    """IMPLICIT for ``_submissions``, STARTTLS for ``_submission``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A server that may be the account's."""

    host: str
    port: int
    mode: TlsMode
    username: UsernameRule
    provider: Provider | None
    found_by: FoundBy
    must_ask: bool
    """Whether a person has to say yes before a password goes there."""


def from_domain(domain: str) -> Sequence[Proposal]:
    """Return the provider whose mailboxes are in this domain, as the table has it."""
    found = catalogue.by_domain(domain)
    return [_of(found, FoundBy.DOMAIN, must_ask=False)] if found is not None and found.host else []


def from_mx(names: Iterable[str]) -> Sequence[Proposal]:
    """Return the providers behind MX names; of several a person knows which.

    Those come first that have few mail domains of their own: they serve the domains of others.
    """
    found = sorted((one for one in catalogue.by_mx(names) if one.host), key=lambda one: len(one.domains))
    return [_of(one, FoundBy.MX, must_ask=len(found) > 1) for one in found]


def from_srv(domain: str, answers: Iterable[Srv]) -> Sequence[Proposal]:
    """Return what the domain publishes: by priority, encrypted from the first byte before STARTTLS.

    The lower priority number comes first (RFC 6186 section 3.4); the target ``.`` says that there is none.
    """
    ordered = sorted(answers, key=lambda one: (one.priority, one.mode is not TlsMode.IMPLICIT, -one.weight))
    found = (_at(domain, one.target, one.port, one.mode, FoundBy.SRV) for one in ordered[:MAX_SERVERS])
    return [one for one in found if one is not None]


def from_autoconfig(domain: str, document: bytes) -> Sequence[Proposal]:
    """Return the servers of an autoconfig file in its order; nothing of a file that cannot be read."""
    found = []
    for server in _servers(document):
        mode, port = _MODES.get(server.get("socketType", "").strip().upper()), server.get("port", "").strip()
        if mode is None or not (port.isascii() and port.isdigit() and len(port) <= 5):
            continue
        host = server.get("hostname", "").strip().replace("%EMAILDOMAIN%", domain)
        login = _LOGINS.get(server.get("username", "").strip(), UsernameRule.ACCOUNT_LOGIN)
        one = _at(domain, host, int(port), mode, FoundBy.AUTOCONFIG, login=login)
        found += [one] if one is not None else []
    return found


def ordered(*sources: Iterable[Proposal]) -> Sequence[Proposal]:
    """Return each server once, those that need no question first, else in the order given."""
    each: dict[tuple[str, int], Proposal] = {}
    for one in chain.from_iterable(sources):
        each.setdefault((one.host, one.port), one)
    return sorted(each.values(), key=lambda one: one.must_ask)


def _of(one: Provider, found_by: FoundBy, *, must_ask: bool) -> Proposal:
    return Proposal(
        host=one.host,
        port=one.prefer.port,
        mode=one.prefer.mode,
        username=one.username,
        provider=one,
        found_by=found_by,
        must_ask=must_ask,
    )


def _at(  # noqa: PLR0917 - the parts of an endpoint and where it comes from
    domain: str,
    host: str,
    port: int,
    mode: TlsMode,
    found_by: FoundBy,
    login: UsernameRule = UsernameRule.FULL_ADDRESS,
) -> Proposal | None:
    name = host.strip().lower().rstrip(".")
    if not _HOST.fullmatch(name) or not 1 <= port <= 65535:
        return None
    provider = catalogue.by_host(name)
    own = domain.lower().rstrip(".")
    return Proposal(
        host=name,
        port=port,
        mode=mode,
        username=provider.username if provider is not None else login,
        provider=provider,
        found_by=found_by,
        must_ask=provider is None and name != own and not name.endswith(f".{own}"),
    )


class _Refused(Exception):  # noqa: N818 - it never leaves this module
    """The document has a document type, with which entities begin."""


def _servers(document: bytes) -> Sequence[dict[str, str]]:
    """Return the children of each outgoing SMTP server, as far as the document goes."""
    if len(document) > MAX_AUTOCONFIG:
        return []
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator=None)
    parser.StartDoctypeDeclHandler = reading.refuse
    parser.StartElementHandler = reading.begin
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return []
    return reading.servers[:MAX_SERVERS]


class _Reading:
    """Collects outgoing servers while the parser goes on."""

    def __init__(self) -> None:
        self.servers: list[dict[str, str]] = []
        self._server: dict[str, str] | None = None
        self._path: list[str] = []

    def refuse(self, *_: object) -> None:
        """Take no document type: entities begin with one."""
        raise _Refused

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Note where an element begins."""
        self._path.append(name)
        is_server = self._path[:2] == ["clientConfig", "emailProvider"] and len(self._path) == 3
        if is_server and name == "outgoingServer" and attributes.get("type") == "smtp":
            self._server = {}

    def end(self, name: str) -> None:
        """Keep a server that is complete."""
        self._path.pop()
        if name == "outgoingServer" and self._server is not None and len(self._path) == 2:
            self.servers.append(self._server)
            self._server = None

    def text(self, data: str) -> None:
        """Add text to the child it stands in."""
        if self._server is not None and len(self._path) == 4:
            self._server[self._path[-1]] = self._server.get(self._path[-1], "") + data
