"""The transport URL: ``smtps://USER:SECRET@HOST:PORT``, ``smtp://...?starttls=always``, ``provider+ID://...``.

Pure. Meaning of scheme, port and ``starttls`` follows MailKit's ``Connect(Uri)``, with three choices of ours:
port 465 under ``smtp://`` is implicit TLS, since nothing else answers there; an unknown ``starttls`` value is
an error instead of silently "when available"; user and secret are taken from the URL.

``provider+ID://LOGIN:SECRET@`` takes host, port and encryption from the provider; ``?provider=ID`` says whose
server it is where the host does not; ``?proxy=`` is the URL of a proxy. ``capture:`` is the capture inbox.

The authority ends at the first ``/``, ``?`` or ``#`` and is split at its last ``@``, so a user name that is
an address may stand as it is. No error, warning or representation made here contains any part of what stands
before the host, or of a proxy. Sources: RFC 3986 section 3.2, RFC 8314 section 3.
"""

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from postroom.errors import ConfigError, Problem
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, ProxyKind, SmtpAccount, TlsMode, TransportKind
from postroom.providers.catalogue import by_host
from postroom.providers.provider import Provider
from postroom.schema.known_providers import endpoint_of, hostless_problem, known_provider
from postroom.schema.quantities import did_you_mean, nearest
from postroom.schema.url_parts import ENCODE, Authority

SMTP_PORT = 25
SMTPS_PORT = 465
SUBMISSION_PORT = 587
SOCKS_PORT = 1080

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

SCHEMES = ("smtp", "smtps", "provider+ID", "hap+https", "hap+http", "capture")
PROXY_SCHEMES = {"socks5": ProxyKind.SOCKS5, "socks5h": ProxyKind.SOCKS5, "http": ProxyKind.HTTP}
"""``socks5h`` is how other programs say that the proxy resolves names; ours always does."""
GROUP = re.compile(r"\s*(failover|roundrobin)\s*\((.*)\)\s*\Z", re.DOTALL | re.IGNORECASE)
"""Several URLs in one text; the settings read it, a single transport cannot be one."""
_PROVIDER = "provider+"
_OPTIONS = ("starttls", "provider", "proxy")
_PROXY_OPTION = re.compile(r"(?<=[?&])proxy=[^&]*", re.IGNORECASE)


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
    scheme = scheme.lower()
    if not found:
        raise ConfigError([_problem("url-not-absolute", field, "not a transport URL", _FORM)])
    if scheme.startswith(_PROVIDER):
        return _Reading(field).read(rest, provider_id=scheme.removeprefix(_PROVIDER))
    if scheme not in {"smtp", "smtps"}:
        raise ConfigError([_unknown_scheme(scheme, field)])
    return _Reading(field).read(rest, is_implicit=scheme == "smtps")


def build_transport_url(account: SmtpAccount) -> str:
    """Return the URL that ``parse_transport_url`` reads back as ``account``, its secrets included."""
    scheme, starttls = _WRITTEN[account.tls]
    found = by_host(account.host)
    is_found = account.provider == (found.id if found is not None else None)
    options = {
        "starttls": starttls,
        "provider": "" if is_found else account.provider,
        "proxy": quote(build_proxy_url(account.proxy), safe="") if account.proxy is not None else "",
    }
    query = "&".join(f"{name}={value}" for name, value in options.items() if value)
    host = f"[{account.host}]" if ":" in account.host else account.host
    login = _login(account.username, account.password)
    return f"{scheme}://{login}{host}:{account.port}{'?' if query else ''}{query}"


def without_proxy(url: str) -> tuple[str, str | None]:
    """Return the URL without the option ``proxy``, and the URL of the proxy."""
    found = _PROXY_OPTION.search(url, max(url.rfind("?", 0, url.lower().find("proxy=")), 0))
    if found is None:
        return url, None
    value = found[0].partition("=")[2]
    kept = (url[: found.start()] + url[found.end() :].removeprefix("&")).rstrip("?&")
    return kept, value if "://" in value else unquote(value)


def build_provider_url(
    provider: str, *, username: str | None, password: Secret | None, proxy: Proxy | None = None
) -> str:
    """Return the URL that names a provider instead of its server, its secrets included."""
    option = f"?proxy={quote(build_proxy_url(proxy), safe='')}" if proxy is not None else ""
    return f"{_PROVIDER}{provider}://{_login(username, password)}{option}"


def parse_proxy_url(text: str, *, field: str) -> Proxy:
    """Read ``socks5://USER:SECRET@HOST:1080`` or ``http://HOST:3128``. Raises ConfigError."""
    scheme, found, rest = text.strip().partition("://")
    kind = PROXY_SCHEMES.get(scheme.lower())
    if not found or kind is None:
        cause = "not the URL of a proxy; its scheme is socks5 or http"
        raise ConfigError([_problem("proxy-url", field, cause, _PROXY_FORM)])
    authority = Authority(rest.removesuffix("/"), field=field, code="proxy")
    if authority.tail:
        authority.report("proxy-url", "a path, '?' or '#' stands after the proxy", f"Remove it. {ENCODE}")
    username, password = authority.login()
    host, port = authority.host()
    if kind is ProxyKind.HTTP and port is None and not authority.problems:
        authority.report("proxy-url", "an HTTP proxy without a port", "Write http://HOST:3128, its own port.")
    if authority.problems:
        raise ConfigError(authority.problems)
    return Proxy(kind=kind, host=host, port=port or SOCKS_PORT, username=username, password=password)


def build_proxy_url(proxy: Proxy) -> str:
    """Return the URL that ``parse_proxy_url`` reads back, its secret included."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    return f"{proxy.kind.value}://{_login(proxy.username, proxy.password)}{host}:{proxy.port}"


LINE_END = "the line end after the secret was left out"
"""Pasted along; servers refuse such a login."""
_FORM = "Write smtps://USER:SECRET@HOST, smtp://USER:SECRET@HOST:587?starttls=always, or capture:"
_PROXY_FORM = "Write socks5://HOST:1080, socks5://USER:SECRET@HOST:1080 or http://HOST:3128."
_IMPLICIT_ON_587 = "port 587 usually speaks plain first; if it does, smtps:// becomes STARTTLS required"
_WRITTEN = {
    TlsMode.IMPLICIT: ("smtps", ""),
    TlsMode.STARTTLS: ("smtp", "always"),
    TlsMode.OPPORTUNISTIC: ("smtp", ""),
    TlsMode.NONE: ("smtp", "never"),
}


def _login(username: str | None, password: Secret | None) -> str:
    if username is None:
        return ""
    secret = password.reveal() if password is not None else ""
    return f"{quote(username, safe='')}:{quote(secret, safe='')}@"


def _problem(code: str, field: str, cause: str, fix: str) -> Problem:
    return Problem(code=code, field=field, cause=cause, fix=fix)


def _unknown_scheme(scheme: str, field: str) -> Problem:
    """Not repeated: what stands there may be a secret in the wrong place."""
    near = nearest(scheme, SCHEMES)
    fix = f"Did you mean {near}? {_FORM}" if near else _FORM
    cause = "unknown scheme; allowed are smtp, smtps, provider+ID, hap+https and capture"
    if scheme in {"http", "https"}:
        fix = 'Write hap+https://HOST/PATH for a webhook, or add kind = "webhook".'
    return _problem("uri-scheme-unknown", field, cause, fix)


class _Reading:
    """One URL being read: its parts are independent, so every problem is found."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._provider_id: str | None = None
        self._proxy: Proxy | None = None

    def read(self, rest: str, *, is_implicit: bool = False, provider_id: str | None = None) -> TransportUrl:
        self._provider_id = provider_id
        authority = Authority(rest, field=self._field, code="url")
        if "@" in _PROXY_OPTION.sub("", authority.tail):
            cause = "a '/', '?' or '#' stands before the last '@'"
            raise ConfigError([_problem("url-unencoded", self._field, cause, ENCODE)])
        username, password = authority.login()
        if authority.had_line_end:
            self._warn(LINE_END)
        starttls = self._query(authority.tail)
        named = self._named_provider()
        host, port = authority.host(may_be_empty=self._provider_id is not None)
        self._problems[:0] = authority.problems
        if not host and named is not None and not named.host:
            self._problems.append(hostless_problem(named, self._field))
        if self._problems:
            raise ConfigError(self._problems)
        provider = named or by_host(host)
        account = SmtpAccount(
            host=host or (named.host if named is not None else ""),
            port=port or (SMTPS_PORT if is_implicit else SMTP_PORT),
            tls=TlsMode.OPPORTUNISTIC,
            username=username,
            password=password,
            proxy=self._proxy,
            provider=provider.id if provider is not None else None,
        )
        if named is not None and (provider_id is not None or not host):
            end = endpoint_of(named, port=port, mode=TlsMode.IMPLICIT if is_implicit else starttls)
            account = replace(account, port=end.port, tls=end.mode)
        else:
            mode = self._mode(starttls, account.port, provider, is_implicit=is_implicit)
            account = replace(account, tls=mode)
        return TransportUrl(kind=TransportKind.SMTP, account=account, warnings=tuple(self._warnings))

    def _report(self, code: str, cause: str, fix: str) -> None:
        self._problems.append(_problem(code, self._field, cause, fix))

    def _named_provider(self) -> Provider | None:
        if self._provider_id is None:
            return None
        found, problem = known_provider(self._provider_id, self._field)
        if problem is not None:
            self._problems.append(problem)
        return found

    def _query(self, tail: str) -> TlsMode | None:
        path, _, query = tail.partition("?")
        if path not in {"", "/"} or "#" in tail:
            self._report("url-path", "a path or '#' stands after the host", f"Remove it. {ENCODE}")
            return None
        given: dict[str, str] = {}
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            name = name.lower()
            if name not in _OPTIONS:
                fix = f"The options are {', '.join(_OPTIONS)}."
                self._report("url-option", "unknown option after '?'", fix)
            elif name in given or (name == "provider" and self._provider_id is not None):
                self._report("url-option", f"{name} is given twice", "Give it once.")
            given[name] = value
        self._provider_id = given.get("provider", self._provider_id)
        if "proxy" in given:
            self._proxy = self._read_proxy(given["proxy"])
        mode = STARTTLS_WORDS.get(given.get("starttls", "").lower())
        if mode is None and "starttls" in given:
            fix = did_you_mean(given["starttls"], STARTTLS_WORDS)
            self._report("url-starttls", "unknown starttls value", fix)
        return mode

    def _read_proxy(self, value: str) -> Proxy | None:
        try:
            return parse_proxy_url(value if "://" in value else unquote(value), field=self._field)
        except ConfigError as error:
            self._problems.extend(error.problems)
            return None

    def _mode(
        self, starttls: TlsMode | None, port: int, provider: Provider | None, *, is_implicit: bool
    ) -> TlsMode:
        if is_implicit:
            if starttls is not None:
                self._warn("starttls has no meaning under smtps:// and is ignored")
            if port == SUBMISSION_PORT:
                self._warn(_IMPLICIT_ON_587)
            return TlsMode.IMPLICIT
        if starttls is not TlsMode.NONE:
            if port == SMTPS_PORT:
                self._warn("port 465 speaks TLS from the first byte; it is used like smtps://")
                return TlsMode.IMPLICIT
            if provider is not None and port in provider.tls:
                self._warn(f"port {port} of {provider.id} speaks TLS from the first byte; used like smtps://")
                return TlsMode.IMPLICIT
        return starttls if starttls is not None else TlsMode.OPPORTUNISTIC

    def _warn(self, sentence: str) -> None:
        self._warnings.append(f"{self._field}: {sentence}")
