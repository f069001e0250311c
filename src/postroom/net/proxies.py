"""What is said to a proxy until it has connected us: SOCKS5 and HTTP CONNECT. No input or output here.

A negotiation is a generator of ``Ask``: say these bytes, then give me the answer of that size. It returns
when the proxy has connected and raises ``NetFault`` at step PROXY when it will not. Whoever drives it keeps
what came behind the last answer: those bytes are the server's (SMTP servers speak first).

Rules: the proxy resolves the server's name; a name that could end a line or a field early is refused; no
credential is ever in a fault. Other 2xx than 200 connect too, and the header fields of the answer, a
Content-Length among them, mean nothing (RFC 9110 section 9.3.6). An HTTP proxy is spoken to in plain TCP.

Sources: RFC 1928, RFC 1929, RFC 9110 sections 9.3.6 and 15.5.8, RFC 7617.
"""

import re
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import idna

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import Proxy, ProxyKind
from postroom.net.destination import literal
from postroom.net.faults import NetFault
from postroom.telemetry.redaction import MASK

MAX_HEAD = 16 * 1024
"""Bytes of an HTTP proxy's status line and fields (security limit); what browsers take is 256 KB, and
proxies send a few hundred."""
MAX_INTERIM = 8
"""Interim answers before the one that counts (security limit); else a proxy could go on for ever."""
_MAX_FIELD = 255
"""Bytes of a name, user or password in SOCKS5: each has a length of one byte."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?\Z")
"""A host name for a proxy: nothing that could be read as more than a name. Underscores occur in intranets."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
_STATUS_BEGIN = b"HTTP/1."

_VERSION, _LOGIN_VERSION = 5, 1
_NO_LOGIN, _USER_PASSWORD, _NO_METHOD = 0, 2, 255
_CONNECT = 1
_IPV4, _NAMED, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}
_REASONS = {
    1: "general failure",
    2: "connection not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}
"""RFC 1928 section 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One turn: what to say, and what answer is awaited."""

    say: bytes = b""
    size: int | None
    """Bytes of the answer; ``None`` for the head of an HTTP answer, to its empty line."""
    silence: str = "proxy-refused"
    """Cause when the proxy keeps silent or hangs up instead."""

    def measure(self, received: bytes) -> int | None:
        """Return how much of ``received`` is the answer, ``None`` when it is not whole yet."""
        if self.size is not None:
            return self.size if len(received) >= self.size else None
        if not received.startswith(_STATUS_BEGIN[: len(received)]):
            return len(received)  # no HTTP: the reader says so, and nobody waits for an empty line
        end = received.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end >= 0:
            return end + 4
        return len(received) if len(received) >= MAX_HEAD else None


Negotiation = Generator[Ask, bytes, None]


def negotiation(proxy: Proxy, host: str, port: int) -> Negotiation:
    """Return what to say to ``proxy`` to be connected to a host.

    Raises:
        NetFault: at step PROXY, here or while it runs: ``proxy-refused``, ``proxy-auth`` or
            ``proxy-protocol``; LOCAL when the host's name or the credentials cannot be sent.
    """
    return _socks5(proxy, host, port) if proxy.kind is ProxyKind.SOCKS5 else _http(proxy, host, port)


def proxy_fault(proxy: Proxy, text: str, *, cause: str, kind: FaultKind = FaultKind.REFUSED) -> NetFault:
    """Return a fault at step PROXY; ``text`` is completed with the proxy's address."""
    where = f"[{proxy.host}]:{proxy.port}" if ":" in proxy.host else f"{proxy.host}:{proxy.port}"
    whole = f"the {'socks5' if proxy.kind is ProxyKind.SOCKS5 else 'http'} proxy {text} ({where})"
    return NetFault(Step.PROXY, Fault(kind=kind, text=whole, cause=cause), where)


# ---------------------------------------------------------------- SOCKS5


def _socks5(proxy: Proxy, host: str, port: int) -> Negotiation:
    target = _socks_target(proxy, host) + port.to_bytes(2, "big")
    login = _socks_login(proxy)
    methods = bytes([_NO_LOGIN, _USER_PASSWORD] if login else [_NO_LOGIN])
    hello = bytes([_VERSION, len(methods)]) + methods
    version, method = yield Ask(say=hello, size=2, silence="proxy-unreachable")
    if version != _VERSION or method not in {*methods, _NO_METHOD}:
        raise _no_socks(proxy)
    if method == _NO_METHOD:
        words = (
            "takes no login with user and password" if login else "wants a login, and the transport has none"
        )
        raise proxy_fault(proxy, words, cause="proxy-auth")
    if method == _USER_PASSWORD:
        version, status = yield Ask(say=login, size=2, silence="proxy-auth")
        if version not in {_LOGIN_VERSION, _VERSION}:  # some answer with the version of SOCKS
            raise _no_socks(proxy)
        if status:
            raise proxy_fault(proxy, f"refused the login with status {status}", cause="proxy-auth")
    version, reply, _, kind = yield Ask(say=bytes([_VERSION, _CONNECT, 0]) + target, size=4)
    if version != _VERSION:
        raise _no_socks(proxy)
    if reply:
        reason = _REASONS.get(reply, "unknown reason")
        raise proxy_fault(proxy, f"answered {reply:#04x} {reason} for {host}:{port}", cause="proxy-refused")
    # the address the proxy connects from: read, because the server's bytes follow it
    size = _ADDRESS_SIZES.get(kind)
    if kind == _NAMED:
        size = (yield Ask(size=1))[0]
    if size is None:
        raise _no_socks(proxy)
    yield Ask(size=size + 2)


def _socks_target(proxy: Proxy, host: str) -> bytes:
    address = _address(host)
    if address is not None:
        return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed
    name = _name(proxy, host).encode("ascii")
    return bytes([_NAMED, len(name)]) + name


def _socks_login(proxy: Proxy) -> bytes:
    if not proxy.username:
        return b""
    fields = [text.encode() for text in (proxy.username, _password(proxy))]
    if any(len(text) > _MAX_FIELD for text in fields):
        words = f"has a user name or password of more than {_MAX_FIELD} bytes"
        raise proxy_fault(proxy, words, cause="proxy-auth", kind=FaultKind.LOCAL)
    return bytes([_LOGIN_VERSION]) + b"".join(bytes([len(text)]) + text for text in fields)


def _no_socks(proxy: Proxy) -> NetFault:
    return proxy_fault(
        proxy, "answered something that is no SOCKS5", cause="proxy-protocol", kind=FaultKind.PROTOCOL
    )


# ---------------------------------------------------------------- HTTP CONNECT


def _http(proxy: Proxy, host: str, port: int) -> Negotiation:
    address = _address(host)
    name = _name(proxy, host) if address is None else str(address)
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    login = _basic(proxy)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if login:
        lines.append(f"Proxy-Authorization: Basic {login}")
    head = yield Ask(say="\r\n".join([*lines, "", ""]).encode("ascii"), size=None)
    code, reason = _status(proxy, head, login)
    interim = 0
    while code < 200 and code != 101 and interim < MAX_INTERIM:  # RFC 9110 section 15.2
        code, reason = _status(proxy, (yield Ask(size=None)), login)
        interim += 1
    if 200 <= code < 300:
        return
    if code in {407, 401}:  # the second is what tinyproxy says to a wrong login
        words = "refused the login" if login else "wants a login, and the transport has none"
        raise proxy_fault(proxy, f"{words}: {code} {reason}".rstrip(), cause="proxy-auth")
    raise proxy_fault(proxy, f"answered {code} {reason} for {authority}", cause="proxy-refused")


def _status(proxy: Proxy, head: bytes, login: str) -> tuple[int, str]:
    """Return code and phrase; a proxy that repeats what was said to it does not get credentials shown."""
    found = _STATUS.match(head)
    if found is None or not head.endswith(b"\r\n\r\n"):
        raise proxy_fault(
            proxy, "answered something that is no HTTP", cause="proxy-protocol", kind=FaultKind.PROTOCOL
        )
    phrase = found[2] or b""
    for secret in (login, _password(proxy)):
        phrase = phrase.replace(secret.encode(), MASK.encode()) if secret else phrase
    words = phrase[:80].decode("utf-8", "replace")
    return int(found[1]), "".join(char if char.isprintable() else "?" for char in words)


def _basic(proxy: Proxy) -> str:
    if not proxy.username:
        return ""
    if ":" in proxy.username:
        words = "cannot be told a user name with a colon"
        raise proxy_fault(proxy, words, cause="proxy-auth", kind=FaultKind.LOCAL)
    return b64encode(f"{proxy.username}:{_password(proxy)}".encode()).decode("ascii")


# ---------------------------------------------------------------- both


def _password(proxy: Proxy) -> str:
    return proxy.password.reveal() if proxy.password is not None else ""


def _address(host: str) -> IPv4Address | IPv6Address | None:
    return None if "%" in host else literal(host)  # a zone means nothing elsewhere, and may hold anything


def _name(proxy: Proxy, host: str) -> str:
    """Return a host name that can be told a proxy."""
    try:
        name = host if host.isascii() else idna.encode(host).decode("ascii")
    except idna.IDNAError:
        name = ""
    if len(name) > _MAX_FIELD or not _NAME.match(name):
        words = "was not asked: the server's name is no host name"
        raise proxy_fault(proxy, words, cause="proxy-refused", kind=FaultKind.LOCAL)
    return name
