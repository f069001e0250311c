"""The SMTP account that a Nexus call brings: where its mail goes, how it is encrypted, who logs in.

Pure. The URL is read as libcurl reads it, because the original gives it to libcurl: ``smtp`` unless it says
``smtps``, ports 25 and 465 unless it says another, and a path is the name to greet with. What else libcurl
would take is refused by name: user information with its ``;AUTH=`` (``user`` and ``password`` are members of
their own), queries, fragments, other schemes. Encryption:

    ssl      smtps or port 465    any other port
    true     TLS at once          STARTTLS required
    false    TLS at once          plain
    absent   TLS at once          STARTTLS when offered

Sources: curl's URL syntax page, RFC 8314 section 3.3 (port 465), RFC 5321 section 4.1.1.1 (EHLO).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from postroom.errors import InputError, Problem
from postroom.grammar import CONTROL, HOST_NAME
from postroom.model.address import Address, AddressError, parse_address
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.net.destination import DestinationError, parse_host

PORTS = frozenset({25, 465, 587, 2525})
"""Where mail servers listen; another port is more likely another service that a caller should not reach."""
_DEFAULT_PORTS = {"smtp": 25, "smtps": 465}
_MAX_URL = 2048
"""Characters (security limit), as of any URL a caller gives."""
_MAX_PASSWORD = 1024
"""Characters (security limit): longer is no password but a file."""
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?\Z")
_LITERAL = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]\Z|\[IPv6:[0-9A-Fa-f:.]{2,45}\]\Z")
_SHOW = "Send it as smtp://HOST:PORT or smtps://HOST:PORT."
_SEPARATE = "Send the login as user and password."


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The members of a call that name an account, as text."""

    smtp_url: str
    user: str
    password: str
    ssl: bool | None = None
    """``None``: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtAccount:
    """What they come to."""

    account: SmtpAccount
    sender: Address
    """The user: From and MAIL FROM of the mail."""
    ehlo_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    is_implicit: bool
    host: str
    port: int
    ehlo_name: str | None


def read_account(
    brought: Brought, *, ports: Collection[int], needs_password: bool, allow_plaintext_login: bool
) -> tuple[BroughtAccount | None, list[Problem]]:
    """Return the account, or ``None`` and everything that is wrong with its members."""
    problems: list[Problem] = []
    target = _target(brought.smtp_url, ports, problems)
    sender = _sender(brought.user, problems)
    if needs_password and not brought.password:
        problems.append(_problem("missing", "password", "missing or empty", "Give the user's password."))
    elif CONTROL.search(brought.password) or len(brought.password) > _MAX_PASSWORD:
        cause = f"has a control character or more than {_MAX_PASSWORD} characters"
        problems.append(_problem("not-a-password", "password", cause, "Type it again."))
    if target is None or sender is None or problems:
        return None, problems
    account = SmtpAccount(
        host=target.host,
        port=target.port,
        tls=_mode(brought.ssl, is_implicit=target.is_implicit),
        username=sender.spec if brought.password else None,
        password=Secret(brought.password) if brought.password else None,
        allow_plaintext_login=allow_plaintext_login and brought.ssl is False,
    )
    return BroughtAccount(account=account, sender=sender, ehlo_name=target.ehlo_name), []


def _mode(ssl: bool | None, *, is_implicit: bool) -> TlsMode:
    if is_implicit:
        return TlsMode.IMPLICIT
    return _MODES[ssl]


_MODES: Mapping[bool | None, TlsMode] = {
    True: TlsMode.STARTTLS,
    False: TlsMode.NONE,
    None: TlsMode.OPPORTUNISTIC,
}


def _sender(user: str, problems: list[Problem]) -> Address | None:
    bare = user[1:-1].strip() if user.startswith("<") and user.endswith(">") else user
    if not bare:
        fix = "Give the login at smtp_url, an address."
        problems.append(_problem("missing", "user", "missing or empty", fix))
        return None
    try:
        return parse_address(bare)
    except AddressError as error:
        fix = "The mail is sent as this user, so it is an address such as a@example.com."
        problems.append(_problem("not-an-address", "user", error.cause, fix))
        return None


def _target(text: str, ports: Collection[int], problems: list[Problem]) -> _Target | None:
    try:
        return _parsed(text, ports)
    except InputError as error:
        problems.extend(error.problems)
        return None


def _parsed(text: str, ports: Collection[int]) -> _Target:
    if not text:
        raise _wrong("missing", "missing or empty", _SHOW)
    if len(text) > _MAX_URL:
        raise _wrong("too-long", f"{len(text)} characters, at most {_MAX_URL}", _SHOW)
    scheme, parted, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if parted else ("smtp", text)
    if scheme not in _DEFAULT_PORTS:
        raise _wrong("smtp-url", "its scheme is neither smtp nor smtps", _SHOW)
    authority, slash, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise _wrong("smtp-url", "has a '?' or '#' part", f"Leave it out. {_SHOW}")
    if "@" in authority or "@" in path:
        raise _wrong("smtp-url", "has a user part (or ;AUTH= in one)", f"{_SEPARATE} {_SHOW}")
    parts = _AUTHORITY.match(authority)
    if parts is None:
        raise _wrong("smtp-url", "its host or port cannot be read", _SHOW)
    try:
        host = parse_host(parts["host"])
    except DestinationError as error:
        raise _wrong("smtp-url", str(error), _SHOW) from None
    port = int(parts["port"] or _DEFAULT_PORTS[scheme])
    if port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        fix = "Use one of these; the setting nexus.tenant_ports allows others."
        raise _wrong("smtp-port", f"port {port} is not one for mail: {allowed}", fix)
    name = path if slash else ""
    if name and not (HOST_NAME.match(name) or _LITERAL.match(name)):
        fix = "Its path is the name to greet with, a host name; leave it out."
        raise _wrong("smtp-url", "its path is no host name", fix)
    is_implicit = scheme == "smtps" or port == _DEFAULT_PORTS["smtps"]
    return _Target(is_implicit=is_implicit, host=host, port=port, ehlo_name=name or None)


def _wrong(code: str, cause: str, fix: str) -> InputError:
    return InputError([_problem(code, "smtp_url", cause, fix)])


def _problem(code: str, field: str, cause: str, fix: str) -> Problem:
    return Problem(code=code, field=field, cause=cause, fix=fix)
