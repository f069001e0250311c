"""The transport URL: ``smtps://USER:SECRET@HOST:PORT``, ``smtp://...?starttls=always``, ``capture:``.

Pure. Meaning of scheme, port and ``starttls`` follows MailKit's ``Connect(Uri)``, with three choices of ours:
port 465 under ``smtp://`` is implicit TLS, since nothing else answers there; an unknown ``starttls`` value is
an error instead of silently "when available"; user and secret are taken from the URL.

The authority ends at the first ``/``, ``?`` or ``#`` and is split at its last ``@``, so a user name that is
an address may stand as it is. No error, warning or representation made here contains any part of what stands
before the host. Sources: RFC 3986 section 3.2, RFC 8314 section 3.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes

import idna

from postroom.config.quantities import did_you_mean, nearest
from postroom.errors import ConfigError, Problem
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind

SMTP_PORT = 25
SMTPS_PORT = 465
SUBMISSION_PORT = 587

STARTTLS_WORDS = {
    "always": TlsMode.STARTTLS,
    "true": TlsMode.STARTTLS,
    "yes": TlsMode.STARTTLS,
    "when-available": TlsMode.OPPORTUNISTIC,
    "never": TlsMode.NONE,
    "false": TlsMode.NONE,
    "no": TlsMode.NONE,
}
"""Values of ``?starttls=``, compared without case."""

SCHEMES = ("smtp", "smtps", "capture")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.\-]{0,15}\Z")
"""RFC 3986 section 3.1, bounded; without ``+``, which stands before a provider."""
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]{0,253}[A-Za-z0-9_.])?\Z")
"""Wider than a mail domain: container networks use names with an underscore."""
_LITERAL = re.compile(r"\[([^\]]*)\](?::(.*))?\Z", re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportUrl:
    """What a transport URL says."""

    kind: TransportKind
    account: SmtpAccount | None = None
    """Given exactly when ``kind`` is SMTP."""
    warnings: tuple[str, ...] = ()
    """Sentences about what was understood otherwise than written."""


def parse_transport_url(text: str, *, field: str) -> TransportUrl:
    """Read a transport URL; ``field`` is where it was written, for the errors.

    Raises ConfigError with every problem found.
    """
    text = text.strip()
    if text.lower() in {"capture:", "capture://"}:
        return TransportUrl(kind=TransportKind.CAPTURE)
    scheme, found, rest = text.partition("://")
    if not found:
        raise ConfigError([_problem("url-not-absolute", field, "not a transport URL", _FORM)])
    if "+" in scheme and _SCHEME.match(scheme.partition("+")[0]):
        raise ConfigError([_no_provider(field)])
    if scheme.lower() not in {"smtp", "smtps"}:
        raise ConfigError([_unknown_scheme(scheme, field)])
    return _Reading(field).read(rest, is_implicit=scheme.lower() == "smtps")


def build_transport_url(account: SmtpAccount) -> str:
    """Return the URL that ``parse_transport_url`` reads back as ``account``, its secret included."""
    scheme, query = _WRITTEN[account.tls]
    host = f"[{account.host}]" if ":" in account.host else account.host
    user = ""
    if account.username is not None:
        secret = account.password.reveal() if account.password is not None else ""
        user = f"{quote(account.username, safe='')}:{quote(secret, safe='')}@"
    return f"{scheme}://{user}{host}:{account.port}{query}"


_FORM = "Write smtps://USER:SECRET@HOST, smtp://USER:SECRET@HOST:587?starttls=always, or capture:"
_ENCODE = (
    "In a user name or secret write / as %2F, ? as %3F, # as %23 and % as %25; `postroom transport-url` does."
)
_IMPLICIT_ON_587 = "port 587 usually speaks plain first; if it does, smtps:// becomes STARTTLS required"
_WRITTEN = {
    TlsMode.IMPLICIT: ("smtps", ""),
    TlsMode.STARTTLS: ("smtp", "?starttls=always"),
    TlsMode.OPPORTUNISTIC: ("smtp", ""),
    TlsMode.NONE: ("smtp", "?starttls=never"),
}


def _problem(code: str, field: str, cause: str, fix: str) -> Problem:
    return Problem(code=code, field=field, cause=cause, fix=fix)


def _no_provider(field: str) -> Problem:
    fix = f"Write the provider's own server. {_FORM}"
    return _problem("provider-not-available", field, "providers are not available in this version", fix)


def _unknown_scheme(scheme: str, field: str) -> Problem:
    """Not repeated: what stands there may be a secret in the wrong place."""
    near = nearest(scheme, SCHEMES)
    fix = f"Did you mean {near}? {_FORM}" if near else _FORM
    return _problem("url-scheme", field, "unknown scheme; allowed are smtp, smtps and capture", fix)


class _Reading:
    """One URL being read: its parts are independent, so every problem is found."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._problems: list[Problem] = []
        self._warnings: list[str] = []

    def read(self, rest: str, *, is_implicit: bool) -> TransportUrl:
        end = re.search(r"[/?#]", rest)
        authority, tail = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
        if "@" in tail:
            self._report("url-unencoded", "a '/', '?' or '#' stands before the last '@'", _ENCODE)
            raise ConfigError(self._problems)
        userinfo, at, hostport = authority.rpartition("@")
        username, password = self._login(userinfo) if at else (None, None)
        host, port = self._host(hostport, default=SMTPS_PORT if is_implicit else SMTP_PORT)
        starttls = self._query(tail)
        if self._problems:
            raise ConfigError(self._problems)
        account = SmtpAccount(
            host=host,
            port=port,
            tls=self._mode(starttls, port, is_implicit=is_implicit),
            username=username,
            password=password,
        )
        return TransportUrl(kind=TransportKind.SMTP, account=account, warnings=tuple(self._warnings))

    def _report(self, code: str, cause: str, fix: str) -> None:
        self._problems.append(_problem(code, self._field, cause, fix))

    def _login(self, userinfo: str) -> tuple[str | None, Secret | None]:
        user, colon, secret = userinfo.partition(":")
        if not (user and colon and secret):
            self._report("url-login", "the part before '@' is not USER:SECRET", "Give both or neither.")
            return None, None
        name, password = self._decoded(user), self._decoded(secret)
        return (name, Secret(password)) if name is not None and password is not None else (None, None)

    def _decoded(self, part: str) -> str | None:
        if _BAD_PERCENT.search(part):
            self._report("url-percent", "a '%' is not followed by two hexadecimal digits", _ENCODE)
            return None
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            self._report("url-percent", "the percent-encoded bytes are not UTF-8", _ENCODE)
            return None
        if _CONTROL.search(text):
            self._report("url-control", "user name or secret holds a control character", "Remove it.")
            return None
        return text

    def _host(self, hostport: str, *, default: int) -> tuple[str, int]:
        if hostport.startswith("["):
            return self._ipv6(hostport, default=default)
        host, _, digits = hostport.partition(":")
        port = self._port(digits, default)
        if not host:
            self._report("url-host", "the host name is empty", _FORM)
            return "", port
        try:
            host = host if host.isascii() else idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            host = ""
        if not _HOST.match(host):
            self._report("url-host", "not a host name", "Write a name, an IPv4 address or [IPv6] after '@'.")
        return host.lower(), port

    def _ipv6(self, hostport: str, *, default: int) -> tuple[str, int]:
        match = _LITERAL.match(hostport)
        try:
            host = str(IPv6Address(match[1] if match else ""))
        except ValueError:
            self._report("url-host", "not an IPv6 address in brackets", "Write [2001:db8::1]:PORT.")
            return "", default
        return host, self._port(match[2] if match and match[2] else "", default)

    def _port(self, digits: str, default: int) -> int:
        if not digits:
            return default
        if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535:
            return int(digits)
        self._report(
            "url-port", "the port is not a number from 1 to 65535", f"{_ENCODE} Else correct the port."
        )
        return default

    def _query(self, tail: str) -> TlsMode | None:
        path, _, query = tail.partition("?")
        if path not in {"", "/"} or "#" in tail:
            self._report("url-path", "a path or '#' stands after the host", f"Remove it. {_ENCODE}")
            return None
        mode = None
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            if name.lower() == "provider":
                self._problems.append(_no_provider(self._field))
            elif name.lower() != "starttls":
                self._report("url-option", "unknown option after '?'", "The only one is starttls.")
            elif mode is not None:
                self._report("url-option", "starttls is given twice", "Give it once.")
            elif (mode := STARTTLS_WORDS.get(value.lower())) is None:
                self._report("url-starttls", "unknown starttls value", did_you_mean(value, STARTTLS_WORDS))
        return mode

    def _mode(self, starttls: TlsMode | None, port: int, *, is_implicit: bool) -> TlsMode:
        if is_implicit:
            if starttls is not None:
                self._warn("starttls has no meaning under smtps:// and is ignored")
            if port == SUBMISSION_PORT:
                self._warn(_IMPLICIT_ON_587)
            return TlsMode.IMPLICIT
        if port == SMTPS_PORT and starttls is not TlsMode.NONE:
            self._warn("port 465 speaks TLS from the first byte; it is used like smtps://")
            return TlsMode.IMPLICIT
        return starttls if starttls is not None else TlsMode.OPPORTUNISTIC

    def _warn(self, sentence: str) -> None:
        self._warnings.append(f"{self._field}: {sentence}")
