"""The settings of one run, complete and checked: what ``load`` returns and ``bootstrap`` builds from.

Pure values. Every path is absolute, every secret is wrapped, every default is filled in. What each setting
means for a user is in ``docs/settings.md``; how it is written is in ``document``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from postroom.engine.limits import MIB, MessageLimits
from postroom.model.address import Address, Mailbox
from postroom.model.alert_rules import AlertRules
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.route import Route
from postroom.model.secret import Secret
from postroom.model.transport import TransportKind, TransportSpec
from postroom.policy.routing import RouteRule
from postroom.ports import Retention

DEFAULT_RETENTION = Retention(
    content=timedelta(days=30), events=timedelta(days=365), captures=timedelta(days=7)
)


class AbsentLeg(NamedTuple):
    """A leg that the settings do not configure: a transport made by a call may have its name."""

    name: str
    warning: str


class HttpDoor(StrEnum):
    """What an address of the HTTP doors may serve."""

    V1 = "v1"
    """The API of our own, its pages and the metrics."""
    NEXUS = "nexus"
    HAP = "hap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address the HTTP doors listen on."""

    host: str
    """An IP address without brackets, or a name."""
    port: int
    """0 lets the system choose."""
    tls: bool = False
    files: "TlsFiles | None" = None
    """A certificate of its own; else that of the settings."""
    doors: tuple[HttpDoor, ...] = ()
    """What is served beside the health checks; empty: everything."""

    def serves(self, door: HttpDoor) -> bool:
        """Say whether a door is open here."""
        return not self.doors or door in self.doors

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """Return the URL of the door as people write it."""
        return self._url_of(self.host)

    @property
    def local_url(self) -> str:
        """Return the URL by which this machine reaches the door: "every address" becomes loopback."""
        return self._url_of({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host))  # noqa: S104

    def _url_of(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Certificate and key of the HTTP doors, both PEM files that exist."""

    cert: Path
    """With the intermediate certificates after it."""
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """Security limits of the HTTP doors; sizes in bytes."""

    max_connections: int = 1024
    max_connections_per_address: int = 20
    """Loopback and trusted proxies are exempt."""
    max_body: int = 72 * MIB
    """One request body."""
    max_bodies_in_flight: int = 256 * MIB
    """All bodies being read at once; a JSON body counts four times its size."""
    max_parts: int = 200
    """Parts of one multipart body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpListener:
    """One address the SMTP door listens on."""

    host: str
    """An IP address without brackets, or a name."""
    port: int
    """0 lets the system choose."""
    is_implicit: bool = False
    """TLS from the first byte; else STARTTLS is offered."""

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine can connect."""
        return Listener(host=self.host, port=self.port).is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'smtps' if self.is_implicit else 'smtp'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """The SMTP door."""

    listeners: tuple[SmtpListener, ...] = ()
    """Empty: there is no such door."""
    tls: TlsFiles | None = None
    """``None``: a certificate of the local authority."""
    names: tuple[str, ...] = ()
    """Names and addresses for the certificate of the local authority, beside those that are known."""
    keyless: bool = False
    """Peers on loopback need no key."""
    networks: tuple[str, ...] = ()
    """Networks in CIDR form whose peers need no key."""
    max_connections: int = 1024
    max_connections_per_address: int = 20
    """Loopback and ``networks`` are exempt."""
    postmaster: Address | None = None
    """Whom ``<postmaster>`` without a domain means; ``None``: nobody, and it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HapSettings:
    """The HAP doors, and how the files of their mail are fetched."""

    from_: Mailbox | None = None
    """Sender of their mail, under the name each call gives; ``None`` takes the transport's."""
    header: str = "x-hap-token"
    """In lower case."""
    secret: Secret | None = None
    """What the header must hold; ``None``: callers use an API key, or need none."""
    keyless: bool = False
    """Peers on loopback and in ``networks`` need neither. Never beside a secret or ``public_url``."""
    keyless_by_capture: bool = False
    """Nobody said so: it holds only as long as everything is captured."""
    networks: tuple[str, ...] = ()
    """Networks in CIDR form."""
    hosts: tuple[str, ...] = ()
    """What a Host header of a caller without secret and key may name, beside loopback."""
    attachment_hosts: tuple[tuple[str, int | None], ...] = ()
    """Hosts, with a port or for every port, whose addresses may be private."""
    attachment_timeout_s: float = 120.0
    """Seconds for one file."""
    attachment_redirects: int = 0
    ca_file: Path | None = None
    """Authorities trusted for file servers, beside the system's."""
    duplicate_window: timedelta = timedelta(0)
    """The same mail within it is the first one; nought: each call is a mail of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSettings:
    """When intake stops before the disk is full; bytes."""

    reserve: int | None = None
    """``None``: the smaller of 5 % of the volume and 1 GiB."""
    ballast: int | None = None
    """``None``: the smaller of 64 MiB and 1 % of the volume."""
    sending_reserve: int | None = None
    """Below this no attempt begins, because its result could not be stored; ``None``: half of what intake
    keeps free."""


class NexusAnswer(StrEnum):
    """What code 200 of the Nexus doors means."""

    SENT = "sent"
    """The first attempt was made and accepted, or has not ended within ``wait_s``."""
    STORED = "stored"
    """The message is on stable storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusSettings:
    """The Nexus doors."""

    answer: NexusAnswer = NexusAnswer.SENT
    wait_s: float = 10.0
    """Seconds an answer waits for the first attempt."""
    networks: tuple[str, ...] = ()
    """Networks in CIDR form whose peers need no key, beside loopback."""
    hosts: tuple[str, ...] = ()
    """What a Host header of a caller without a key may name, beside loopback; lower case, no brackets."""
    keyless: bool = False
    """Peers on loopback and in ``networks`` need no key. Never beside ``public_url``."""
    keyless_by_capture: bool = False
    """Nobody said so: it holds only as long as everything is captured."""
    tenant_networks: tuple[str, ...] = ()
    """Networks in CIDR form whose callers may bring an account of their own without a key."""
    tenant_ports: tuple[int, ...] = ()
    """Ports such an account may be at, beside those for mail."""
    tenant_plaintext_login: bool = False
    max_tenant_accounts: int = 1000
    domain: str | None = None
    """Right side of the Message-ID; ``None`` takes From's domain."""
    from_: Mailbox | None = None
    """Sender of messages that name none; ``None`` takes the transport's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSettings:
    """What the settings change in one mail class; ``None`` keeps the class's own value."""

    expires: timedelta | None = None
    first_retry: timedelta | None = None
    max_retry: timedelta | None = None
    retry: tuple[float, ...] | None = None
    """Seconds before each repetition, the last one for all later ones; replaces the two above."""
    uncertain: UncertainPolicy | None = None
    uncertain_failover: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSettings:
    """Who is told when mail ends without having been sent, or a transport has an outage."""

    to: tuple[Mailbox, ...] = ()
    """Empty: nobody; the events tell it all the same."""
    every: timedelta = timedelta(minutes=15)
    """At most one digest in this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """What senders hear of mail that came by SMTP or sendmail."""

    send: bool = True
    delayed_after: timedelta = timedelta(hours=4)
    language: str = "en"
    """Where the mail names none."""
    name: str | None = None
    """Our host name; ``None``: that of the SMTP door, else the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How webhook endpoints are told of events."""

    timeout_s: float = 15.0
    """Seconds one POST may take in all."""
    keep_trying: timedelta = timedelta(days=3)
    """A delivery that fails for so long is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """Where templates are and what rendering may cost."""

    directory: Path | None = None
    """Absolute."""
    packages: Mapping[str, Path] = field(default_factory=dict)
    """The directories of installed packages, by name."""
    workers: int = 1
    time_limit_s: float = 1.0
    """Seconds of one rendering (security limit)."""
    memory_bytes: int = 256 * MIB
    """Of a process that renders (security limit)."""
    globals: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Names with an underscore in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything one run needs to know."""

    data: Path
    """The data directory, absolute; it need not exist yet."""
    listeners: tuple[Listener, ...]
    """At least one."""
    tls: TlsFiles | None = None
    """Given when any listener speaks TLS."""
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Networks in CIDR form."""
    transports: tuple[TransportSpec, ...] = ()
    """The first is the default. Empty: everything is captured. ``default_from`` is filled from the
    transport's own ``from``, else the general one, else the account when it is an address."""
    capture: bool = False
    """Capture was asked for, so no transport is used even where one is configured."""
    default_from: Mailbox | None = None
    """The general sender, as configured."""
    bootstrap_key: Secret | None = None
    """A key with all scopes, for containers."""
    secret_key: Secret | None = None
    """Keys that seal stored secrets, the current one first; ``None``: those of the data directory."""
    sender_process: bool | None = None
    """Send from a process of its own; ``None`` decides by the machine."""
    provider_files: tuple[Path, ...] = ()
    """Files of providers, absolute; what they say holds since the settings were read."""
    message_limits: MessageLimits = field(default_factory=MessageLimits)
    door_limits: DoorLimits = DoorLimits()
    retention: Retention = DEFAULT_RETENTION
    disk: DiskSettings = DiskSettings()
    nexus: NexusSettings = NexusSettings()
    hap: HapSettings = HapSettings()
    smtp: SmtpSettings = SmtpSettings()
    classes: Mapping[MailClass, ClassSettings] = field(default_factory=dict)
    """Only the classes that are changed."""
    routes: tuple[RouteRule, ...] = ()
    """In their order; a leg is one of ``transports`` or a stored one. Empty while everything is captured."""
    default_route: Route | None = None
    """Of messages that no rule matches; ``None``: the first transport."""
    failures: FailureSettings = FailureSettings()
    reports: ReportSettings = ReportSettings()
    webhooks: WebhookSettings = WebhookSettings()
    templates: TemplateSettings = field(default_factory=TemplateSettings)
    allowed_networks: tuple[str, ...] = ()
    """Networks in CIDR form that caller-supplied URLs and hosts may lead to although they are not public."""
    blocked: tuple[str, ...] = ()
    """Recipients that are never sent to, in the forms of ``policy.blocking``."""
    alerts: AlertRules = field(default_factory=AlertRules)
    """Those of the file and its ready sets; calls may store more."""
    suppress_automatically: bool = True
    """Suppress an address that a server says does not exist."""
    metrics_public: bool = False
    """``/metrics`` needs no key."""
    uncertain_alarm: timedelta = timedelta(hours=1)
    """An uncertain recipient older than this is an event and a warning."""
    log_json: bool = False
    warnings: tuple[str, ...] = ()
    """Sentences for the log at start; never contain a secret."""
    absent_legs: tuple[AbsentLeg, ...] = ()
    """Legs that ``transports`` has not, also in ``warnings``: whoever opens the store knows better."""

    @property
    def front(self) -> int:
        """Number of the listener that people and the command line call: the first that serves our own API."""
        serving = (number for number, one in enumerate(self.listeners) if one.serves(HttpDoor.V1))
        return next(serving, 0)

    @property
    def is_capturing(self) -> bool:
        """Say whether nothing leaves the machine: no transport is an SMTP account."""
        return all(spec.kind is TransportKind.CAPTURE for spec in self.transports)
