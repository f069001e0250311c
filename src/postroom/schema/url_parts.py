"""The authority of a URL that carries a login: user and secret, host and port.

Pure. It ends at the first ``/``, ``?`` or ``#`` and is split at its last ``@``, the login at its first ``:``,
so that a user name may be an address as it is. No problem contains any part of the login. Source: RFC 3986
section 3.2, but for the ``@`` in a user name.
"""

import re
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes

import idna

from postroom.errors import Problem
from postroom.model.secret import Secret

ENCODE = (
    "In a user name or secret write / as %2F, ? as %3F, # as %23 and % as %25; `postroom transport-url` does."
)

_END = re.compile(r"[/?#]")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]{0,253}[A-Za-z0-9_.])?\Z")
"""Wider than a mail domain: container networks use names with an underscore."""
_LITERAL = re.compile(r"\[([^\]]*)\](?::(.*))?\Z", re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def plain_host(host: str) -> str | None:
    """Return a host name as A-label or an address without brackets, in lower case; ``None`` when neither."""
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        try:
            return str(IPv6Address(bare))
        except ValueError:
            return None
    try:
        name = bare if bare.isascii() else idna.encode(bare, uts46=True).decode()
    except idna.IDNAError:
        return None
    return name.lower() if _HOST.match(name) else None


class Authority:
    """What stands between ``://`` and the path; problems are collected, each with a code of its kind."""

    def __init__(self, rest: str, *, field: str, code: str) -> None:
        """Take what follows ``://``; codes are ``url-login`` and so on for ``code`` "url"."""
        end = _END.search(rest)
        authority, self.tail = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
        self._userinfo, at, self._hostport = authority.rpartition("@")
        self._has_login = bool(at)
        self._field = field
        self._code = code
        self.problems: list[Problem] = []
        self.had_line_end = False
        """A line end after the user name or the secret was left out."""

    def report(self, code: str, cause: str, fix: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(code=code, field=self._field, cause=cause, fix=fix))

    def login(self) -> tuple[str | None, Secret | None]:
        """Return user and secret; both ``None`` where there is no login, or a wrong one."""
        if not self._has_login:
            return None, None
        user, colon, secret = self._userinfo.partition(":")
        if not (user and colon and secret):
            self._report("login", "the part before '@' is not USER:SECRET", "Give both or neither.")
            return None, None
        name, password = self._decoded(user), self._decoded(secret)
        return (name, Secret(password)) if name is not None and password is not None else (None, None)

    def host(self, *, may_be_empty: bool = False) -> tuple[str, int | None]:
        """Return the host without brackets and the port, ``None`` when it is not given."""
        literal = _LITERAL.match(self._hostport)
        if self._hostport.startswith("["):
            host, digits = (literal[1], literal[2] or "") if literal else ("", "")
        else:
            host, _, digits = self._hostport.partition(":")
        port = self._port(digits)
        if not self._hostport.startswith("[") and not host:
            if not may_be_empty:
                fix = "Write the server's name after '@' or '://'."
                self._report("host", "the host name is empty", fix)
            return "", port
        plain = plain_host(f"[{host}]" if literal else host)
        if plain is None or (self._hostport.startswith("[") and ":" not in plain):
            fix = "Write a name, an IPv4 address, or an IPv6 address in brackets such as [2001:db8::1]:587."
            self._report("host", "not a host name or address", fix)
            return "", port
        return plain, port

    def _report(self, part: str, cause: str, fix: str) -> None:
        self.report(f"{self._code}-{part}", cause, fix)

    def _decoded(self, part: str) -> str | None:
        if _BAD_PERCENT.search(part):
            self._report("percent", "a '%' is not followed by two hexadecimal digits", ENCODE)
            return None
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            self._report("percent", "the percent-encoded bytes are not UTF-8", ENCODE)
            return None
        stripped = text.rstrip("\r\n")
        if _CONTROL.search(stripped) or not stripped:
            self._report("control", "user name or secret holds a control character", "Remove it.")
            return None
        self.had_line_end = self.had_line_end or stripped != text
        return stripped

    def _port(self, digits: str) -> int | None:
        if not digits:
            return None
        if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535:
            return int(digits)
        self._report("port", "the port is not a number from 1 to 65535", f"{ENCODE} Else correct the port.")
        return None
