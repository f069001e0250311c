"""What is known about one provider, as a value.

A row of ``data/providers.toml`` or of a file of one's own (``docs/providers.md``) becomes a ``Provider``. No
look-up here (``catalogue``) and no words for people (``words``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from postroom.model.transport import TlsMode

MODES: Mapping[str, TlsMode] = {
    "tls": TlsMode.IMPLICIT,
    "starttls": TlsMode.STARTTLS,
    "plain": TlsMode.NONE,
}
"""Encryption by its name in a row."""
LITERAL = "literal:"
"""Beginning of a user name that is the same word for everybody."""


class UsernameRule(StrEnum):
    """What the login is."""

    FULL_ADDRESS = "full_address"
    LOCAL_PART = "local_part"
    """The part before the ``@``."""
    LITERAL = "literal"
    """The same word for everybody (``apikey``)."""
    API_CREDENTIAL = "api_credential"
    """A name that the provider made together with the secret."""
    ACCOUNT_LOGIN = "account_login"
    """Whatever the person logs in with."""


class SecretKind(StrEnum):
    """What is typed as password."""

    ACCOUNT_PASSWORD = "account_password"  # noqa: S105 - a kind, not a password
    AUTHORIZATION_CODE = "authorization_code"
    APP_PASSWORD = "app_password"  # noqa: S105 - as above
    API_KEY = "api_key"
    SMTP_PASSWORD = "smtp_password"  # noqa: S105 - as above
    OAUTH2 = "oauth2"
    NONE = "none"


class FromRule(StrEnum):
    """Which From the provider takes."""

    EQUALS_ACCOUNT = "equals_account"
    ACCOUNT_OR_ALIAS = "account_or_alias"
    VERIFIED_SENDER = "verified_sender"
    ANY_ALLOWED_DOMAIN = "any_allowed_domain"
    ANY = "any"


class Grade(StrEnum):
    """How well something is known."""

    DOCUMENTED = "documented"
    COMMUNITY = "community"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the provider allows; ``None`` is unknown, not unlimited."""

    per_second: int | None = None
    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None
    """Messages, as the three above."""
    rcpt_per_day: int | None = None
    rcpt_per_message: int | None = None
    connections: int | None = None
    messages_per_connection: int | None = None
    size_mb: int | None = None
    """Megabytes of one message."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A port and how it is encrypted."""

    port: int
    mode: TlsMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One row."""

    id: str
    name: str
    name_local: str = ""
    """Name in the provider's own language."""
    reference: bool = False
    domains: tuple[str, ...] = ()
    """Domains of its mailboxes."""
    mx_suffix: tuple[str, ...] = ()
    """Ends of MX names, each with its leading dot."""
    host: str = ""
    """Empty for servers of one's own."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Other hosts by what they are for (a region, a plan)."""
    host_template: str = ""
    """Host with ``{region}`` in it."""
    regions: tuple[str, ...] = ()
    regions_smtp: tuple[str, ...] = ()
    regions_note: str = ""
    tls: tuple[int, ...] = ()
    """Ports with TLS from the first byte."""
    starttls: tuple[int, ...] = ()
    plain: tuple[int, ...] = ()
    """Ports that somebody lists without TLS; STARTTLS is used there when offered."""
    prefer: Endpoint
    username: UsernameRule
    username_literal: str = ""
    username_alt: UsernameRule | None = None
    """The other form that some accounts want."""
    username_grade: str = ""
    secrets: tuple[SecretKind, ...]
    """First what most people need."""
    auth: tuple[str, ...] = ()
    """SASL mechanisms."""
    oauth2_scope: str = ""
    from_rule: FromRule
    from_note: str = ""
    limits: Limits = Limits()
    limits_note: str = ""
    ehlo: tuple[str, ...] = ()
    """Extensions of a public transcript."""
    ehlo_year: int | None = None
    ipv6: str = "unknown"
    setup: str = ""
    note: str = ""
    grade: Mapping[str, str] = field(default_factory=dict)
    """Area (endpoint, auth, from, limits, ehlo) to ``Grade``."""
    docs: str = ""
    docs_grade: str = ""
    sources: tuple[str, ...] = ()
    """Keys of ``catalogue.sources()``; of a file of one's own its path."""

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host by name, the default first; those of a template are not listed."""
        return tuple(dict.fromkeys(host for host in (self.host, *self.hosts.values()) if host))

    def mode_of(self, port: int) -> TlsMode | None:
        """Return how a port is encrypted here; ``None`` when the provider has no such port."""
        if port in self.tls:
            return TlsMode.IMPLICIT
        if port in self.starttls:
            return TlsMode.STARTTLS
        if port in self.plain:
            return TlsMode.NONE if port == self.prefer.port else TlsMode.OPPORTUNISTIC
        return None

    def login_of(self, address: str) -> str | None:
        """Return the user name that follows from an address; ``None`` when a person must say it."""
        return self._login(self.username, address)

    def other_login_of(self, address: str) -> str | None:
        """Return the other form of the user name; ``None`` when there is none."""
        return self._login(self.username_alt, address) if self.username_alt is not None else None

    def _login(self, rule: UsernameRule, address: str) -> str | None:
        if rule is UsernameRule.LITERAL:
            return self.username_literal
        if "@" not in address:
            return None
        if rule is UsernameRule.FULL_ADDRESS:
            return address
        return address.rpartition("@")[0] if rule is UsernameRule.LOCAL_PART else None


FIELDS = frozenset(one.name for one in fields(Provider)) - {"username_literal", "secrets", "from_rule"} | {
    "secret",
    "from",
}
"""Keys that a row may have."""


def provider_of(row: Mapping[str, Any]) -> Provider:
    """Turn a row into a provider.

    Raises KeyError, ValueError or TypeError for a row that is not one; ``files`` checks what people wrote.
    """
    values = {key: _frozen(value) for key, value in row.items()}
    port, mode = values.pop("prefer")
    name, literal = _username(values.pop("username"))
    alt = values.pop("username_alt", None)
    return Provider(
        prefer=Endpoint(port, MODES[mode]),
        username=name,
        username_literal=literal,
        username_alt=None if alt is None else UsernameRule(alt),
        secrets=tuple(map(SecretKind, values.pop("secret"))),
        from_rule=FromRule(values.pop("from")),
        limits=Limits(**values.pop("limits", {})),
        **values,
    )


def _username(text: str) -> tuple[UsernameRule, str]:
    if text.startswith(LITERAL):
        return UsernameRule.LITERAL, text.removeprefix(LITERAL)
    return UsernameRule(text), ""


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
