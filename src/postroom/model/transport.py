"""A configured way out, as a parsed value (forms of the URL: ``docs/transports.md``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from postroom.model.address import Address, AddressError, Mailbox, parse_address
from postroom.model.secret import Secret


class TransportKind(StrEnum):
    """What stands at the other end."""

    SMTP = "smtp"
    WEBHOOK = "webhook"
    CAPTURE = "capture"


class TlsMode(StrEnum):
    """How a connection is encrypted."""

    IMPLICIT = "tls"
    """TLS from the first byte. A port that turns out to speak plain is used with STARTTLS *required*."""
    STARTTLS = "starttls"
    """STARTTLS required."""
    OPPORTUNISTIC = "starttls-if-offered"
    """STARTTLS when offered; with a password and off loopback a server without it is refused."""
    NONE = "none"
    """Plain; explicit only."""


class ProxyKind(StrEnum):
    """What kind of proxy stands between."""

    SOCKS5 = "socks5"
    """RFC 1928 with user and password of RFC 1929; the proxy resolves the server's name."""
    HTTP = "http"
    """HTTP CONNECT (RFC 9110 section 9.3.6) with Basic credentials; the proxy resolves the server's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy of one transport."""

    kind: ProxyKind
    host: str
    port: int
    username: str | None = None
    password: Secret | None = None


class GrantKind(StrEnum):
    """How a token for the login is obtained (RFC 6749, RFC 7523)."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a kind, not a password
    CLIENT_CREDENTIALS = "client_credentials"
    SERVICE_ACCOUNT = "service_account"
    """A signed assertion (RFC 7523), as Google's service accounts do it; ``secret`` is the JSON key file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthGrant:
    """Where the token of a login comes from."""

    kind: GrantKind
    token_url: str
    client_id: str = ""
    client_secret: Secret | None = None
    secret: Secret | None = None
    """The refresh token, or the service account's key file; ``None`` for client credentials."""
    scope: str = ""


class FromPolicy(StrEnum):
    """What happens to a From that is not the account."""

    KEEP = "keep"
    REWRITE = "rewrite"
    """From becomes the account; the wished sender stays as display name and in Reply-To."""
    REFUSE = "refuse"


class TransportOrigin(StrEnum):
    """Where a transport is configured."""

    FILE = "file"
    ENVIRONMENT = "environment"
    STORED = "stored"
    """By a call or ``postroom setup``; the only kind that calls may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpAccount:
    """Where to connect and who we are there."""

    host: str
    port: int
    tls: TlsMode
    username: str | None = None
    password: Secret | None = None
    allow_plaintext_login: bool = False
    """Send the password without TLS; imports never set this silently."""
    ca_file: str | None = None
    """PEM file with the authorities to trust instead of the system's."""
    verify: bool = True
    """Check the certificate and its name; ``False`` is loud."""
    auth: str | None = None
    """Force one SASL mechanism; ``None`` chooses."""
    oauth: OAuthGrant | None = None
    """Log in with a token instead of a password."""
    proxy: Proxy | None = None
    source_address: str | None = None
    """IP address of this machine to connect from."""
    server_name: str | None = None
    """Name in TLS (SNI) and in the certificate, when it is not ``host``."""
    pin: str | None = None
    """SHA-256 (64 lower-case hex digits) of the server's certificate or of its public key; a certificate
    that has it needs no authority and no name, one that has not is refused."""
    provider: str | None = None
    """Id of the provider, given or found by the host."""
    mailbox: Address | None = None
    """Address of the mailbox where the login is not it, as with providers that log in by the local part."""

    @property
    def address(self) -> Address | None:
        """Return the address that is logged in as; ``None`` where the login names none (``apikey``)."""
        return self.mailbox or login_address(self.username)


class HookForm(StrEnum):
    """The shape of what a webhook transport posts."""

    HAP = "hap"
    """The body of Mingdao HAP's e-mail webhook, exactly."""
    MAPPED = "mapped"
    """What a mapping file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTarget:
    """Where a webhook transport posts, and in what form. The URL is the operator's word, not a caller's."""

    url: str
    form: HookForm = HookForm.HAP
    headers: Mapping[str, Secret] = field(default_factory=dict)
    """Values may be secrets, so all of them are treated as such."""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    """Of the mapped form, read from its file and checked."""
    signing_secret: Secret | None = None
    """``whsec_`` secret: each call is signed as Standard Webhooks says."""
    timeout_s: float = 30.0
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """A pace: at most so many messages in any window of that length."""

    window_s: int
    """Seconds; 1, 60, 3600 and 86400 have names in the settings."""
    allowed: int
    """Messages; at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """One configured transport."""

    name: str
    kind: TransportKind
    account: SmtpAccount | None = None
    """Given exactly when ``kind`` is SMTP."""
    hook: HookTarget | None = None
    """Given exactly when ``kind`` is WEBHOOK."""
    is_guest: bool = False
    """Brought by a caller for its own mail: never listed, never a default, gone when nothing waits for it."""
    default_from: Mailbox | None = None
    from_policy: FromPolicy = FromPolicy.KEEP
    receivers: tuple[Mailbox, ...] = ()
    """Who gets test mails and, later, alerts that name nobody."""
    origin: TransportOrigin = TransportOrigin.FILE
    subject_prefix: str = ""
    """Put verbatim before the subject."""
    ehlo_name: str | None = None
    max_connections: int = 10
    """Concurrent connections; providers cap this (Microsoft 365: 3, QQ: 4)."""
    max_recipients: int = 100
    """Recipients of one transaction, the rest in the next (RFC 5321 section 4.5.3.1.8: at least 100)."""
    max_messages: int = 1000
    """Messages on one connection before it is replaced."""
    max_idle_s: float = 30.0
    """An idle connection is closed after this; servers cut at 60 s to 5 min."""
    max_age_s: float = 600.0
    """A connection is replaced after this, so that DNS changes are followed."""
    rates: tuple[Rate, ...] = ()
    """What the provider allows; one a window. Empty: as fast as the server takes it."""
    pipelining: bool = True
    """Use PIPELINING when announced; ``False`` forces lockstep."""
    timeouts: "StepTimeouts | None" = None
    """``None`` takes the defaults."""

    @property
    def identity(self) -> Address | None:
        """The address that may send here: the login when it is one, else the default sender's."""
        login = login_address(self.account.username) if self.account is not None else None
        return login or (self.default_from.address if self.default_from is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimeouts:
    """Seconds each step may take without progress (delivery practice; RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    connect_per_address: float = 15.0
    greeting: float = 60.0
    tls: float = 30.0
    ehlo: float = 30.0
    starttls: float = 30.0
    auth: float = 60.0
    mail: float = 120.0
    rcpt: float = 120.0
    data: float = 120.0
    body: float = 180.0
    body_end: float = 600.0
    """Never shorter: ending this wait early makes duplicates (RFC 1047)."""
    rset: float = 30.0
    quit: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTransport:
    """A transport as the store keeps it: what a person said, in the form of ``POST /v1/transports``."""

    name: str
    fields: Mapping[str, Any]
    """JSON values without any secret."""
    secrets: Mapping[str, Secret]
    """By the field's path (``password``, ``proxy.password``, ``oauth.secret``); sealed at rest. Empty when
    ``problem`` is set."""
    problem: str = ""
    """Cause id why the secrets cannot be read (``secret-key-missing``, ``secret-key-wrong``); nothing is
    sent by it meanwhile."""
    created_at: datetime
    changed_at: datetime
    author: str = ""
    """Name of the key that changed it last."""


def login_address(username: str | None) -> Address | None:
    """Return the login when it is an address; one that is none (``apikey``) never becomes a sender."""
    if not username:
        return None
    try:
        return parse_address(username)
    except AddressError:
        return None


def redacted_url(account: SmtpAccount) -> str:
    """Return the account as a URL for people, the password as ``*****``."""
    scheme = "smtps" if account.tls is TlsMode.IMPLICIT else "smtp"
    user = f"{account.username}:*****@" if account.username else ""
    host = f"[{account.host}]" if ":" in account.host else account.host
    return f"{scheme}://{user}{host}:{account.port}"
