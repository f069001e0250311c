"""What may stand in the settings file, as models: names, types, bounds and the sentence for the docs.

Parsing only: a value here is as written, made typed. Defaults that depend on other settings, merging and
checks are in ``load``. Error texts of these models never contain the value that was refused.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from postroom.config.alerts_section import AlertsSection
from postroom.config.hap_section import HapSection
from postroom.config.http_section import HttpSection
from postroom.config.recipients_section import RecipientsSection
from postroom.config.reports_section import ReportsSection
from postroom.config.settings import NexusAnswer
from postroom.config.smtp_section import SmtpSection
from postroom.config.sources import DEFAULT_DATA
from postroom.config.templates_section import TemplatesSection
from postroom.engine.limits import MIB
from postroom.model.address import parse_address
from postroom.model.message import MailClass, UncertainPolicy
from postroom.schema.quantities import parse_duration
from postroom.schema.transport_fields import MAX_PREFIX, TransportFields
from postroom.schema.written import (
    Count,
    Duration,
    Hidden,
    HostName,
    Networks,
    Schedule,
    Section,
    Sender,
    Senders,
    Size,
    domain_name,
    listed,
    one_line,
)


def _one_or_more(value: object) -> object:
    """One entry is a list too; commas may belong to it."""
    return [value] if isinstance(value, str) else value


def _auto(value: object) -> object:
    """Leave it to the machine."""
    return None if value == "auto" else value


def _from_or_domain(text: str) -> str:
    """An address or ``@domain``, in the form that is compared: lower case, A-labels."""
    if text.startswith("@"):
        return f"@{parse_address(f'x{text}').domain}"
    return parse_address(text).spec.lower()


def _mail_domain(text: str) -> str:
    return parse_address(f"x@{text.removeprefix('@')}").domain


Froms = Annotated[tuple[Annotated[str, AfterValidator(_from_or_domain)], ...], BeforeValidator(listed)]
MailDomains = Annotated[tuple[Annotated[str, AfterValidator(_mail_domain)], ...], BeforeValidator(listed)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
Port = Annotated[int, Field(ge=1, le=65535)]
Classes = Annotated[tuple[MailClass, ...], BeforeValidator(listed)]


class RouteSection(Section):
    """One rule. All its conditions must hold; of a list, one entry."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,39}$")] | None = None
    """Its name in answers; else `rule-1` for the first, and so on."""
    sender: Froms = ()
    """From: addresses or `@domain`; one or a list."""
    recipient_domain: MailDomains = ()
    """Domains of the recipients; one or a list."""
    recipients: Literal["every", "any"] = "every"
    """Whether `every` recipient, or `any` one, must be in `recipient_domain`."""
    tag: Texts = ()
    """Tags; one or a list."""
    class_: Annotated[Classes, Field(alias="class")] = ()
    """Mail classes; one or a list."""
    over: Size | None = None
    """Texts and attachments together are larger than this."""
    under: Size | None = None
    """Texts and attachments together are smaller than this."""
    tenant: Texts = ()
    """Tenants; one or a list."""
    to: str = ""
    """The transport, `failover(a b)` or `roundrobin(a b)`."""
    subject_prefix: Annotated[str, Field(max_length=MAX_PREFIX), AfterValidator(one_line)] = ""
    """Put verbatim before the subject, behind the prefix of the transport."""


class LimitsSection(Section):
    """Bounds of messages and doors; sizes take units such as `50 MiB`."""

    max_content: Size = 50 * MIB
    """Texts and attachments of one message, decoded."""
    max_wire: Size = 72 * MIB
    """One message as it is sent."""
    max_text: Size = 2 * MIB
    """`text` and `html`, each."""
    max_recipients: Count = 1000
    """Recipients of one message."""
    max_attachments: Count = 100
    """Attachments of one message."""
    max_headers: Count = 100
    """Extra headers of one message."""
    max_batch: Count = 500
    """Messages of one batch."""
    max_tags: Count = 20
    """Tags of one message."""
    max_metadata: Count = 50
    """Metadata entries of one message."""
    max_body: Size = 72 * MIB
    """One request body."""
    max_bodies_in_flight: Size = 256 * MIB
    """All request bodies being read at once; a JSON body counts four times its size."""
    max_parts: Count = 200
    """Parts of one multipart body."""
    max_connections: Count = 1024
    """HTTP connections at once."""
    max_connections_per_address: Count = 20
    """HTTP connections at once from one address; loopback and trusted proxies are exempt."""


class RetentionSection(Section):
    """How long things are kept after their last change, in days."""

    content: Annotated[float, Field(ge=0, le=36500)] = 30
    """Texts and attachments."""
    events: Annotated[float, Field(ge=0, le=36500)] = 365
    """What happened to each recipient, and what was reported and told of alerts."""
    captures: Annotated[float, Field(ge=0, le=36500)] = 7
    """The capture inbox."""


class DiskSection(Section):
    """When intake stops before the disk is full."""

    reserve: Size | None = None
    """Intake stops when less than this is free; else the smaller of 5 % of the volume and 1 GiB."""
    ballast: Size | None = None
    """A file given up in an emergency; else the smaller of 64 MiB and 1 % of the volume."""
    sending_reserve: Size | None = None
    """No attempt begins when less than this is free; else half of what intake keeps free, never more."""


class NexusSection(Section):
    """The Nexus doors `/email/...`."""

    config: str | None = None
    """INI file of a Nexus mail API to take over."""
    answer: NexusAnswer = NexusAnswer.SENT
    """What code 200 means: `sent` waits for the first attempt, `stored` does not."""
    wait: Annotated[float, BeforeValidator(parse_duration), Field(le=60)] = 10.0
    """How long an answer waits for the first attempt, at most 60 s."""
    networks: Networks = ()
    """Networks whose callers need no key, beside this machine."""
    hosts: Annotated[tuple[HostName, ...], BeforeValidator(listed)] = ()
    """Names by which callers without a key call this machine, beside those of `http.listen`."""
    keyless: bool | None = None
    """Callers on this machine and in `networks` need no key; else only in capture mode or with `config`."""
    tenant_networks: Networks = ()
    """Networks whose callers may bring an SMTP account; else a key needs the scope `tenant-smtp`."""
    tenant_ports: Annotated[tuple[Port, ...], BeforeValidator(listed)] = ()
    """Ports such an account may be at, beside 25, 465, 587 and 2525."""
    tenant_plaintext_login: bool = False
    """Send the password of such an account without TLS where the call says `ssl` false."""
    max_tenant_accounts: Count = 1000
    """Such accounts at once."""
    domain: Annotated[str, AfterValidator(domain_name)] | None = None
    """Right side of the Message-ID; else the domain of From."""
    from_: Annotated[Sender | None, Field(alias="from")] = None
    """Sender of these doors; else the transport's."""


class ClassSection(Section):
    """What is different in one mail class; what is missing keeps the class's own value."""

    expires: Duration | None = None
    """A message not sent after this is given up."""
    first_retry: Duration | None = None
    """Wait before the second attempt; doubles from there."""
    max_retry: Duration | None = None
    """Longest wait between attempts."""
    retry: Schedule | None = None
    """The waits themselves, such as `"1m, 5m*2, 1h*3"`; the last one repeats. Replaces the two above."""
    uncertain: UncertainPolicy | None = None
    """When nobody knows whether a message arrived: `retry`, `wait` 15 minutes, or `ask` a person."""
    uncertain_failover: bool | None = None
    """Let another transport send what may have arrived; else never (`false`)."""


class ClassesSection(Section):
    """Changes to the mail classes."""

    code: ClassSection = ClassSection()
    """One-time codes."""
    alert: ClassSection = ClassSection()
    """Alerts."""
    transactional: ClassSection = ClassSection()
    """The class of messages that name none."""
    bulk: ClassSection = ClassSection()
    """Mail to many."""


class WebhooksSection(Section):
    """Webhook endpoints that are told of events."""

    timeout: Annotated[float, BeforeValidator(parse_duration), Field(ge=1, le=60)] = 15.0
    """How long one call may take, 1 to 60 s."""
    keep_trying: Annotated[float, BeforeValidator(parse_duration), Field(ge=60)] = 259200.0
    """A call that fails for so long is given up (3 days)."""


class EgressSection(Section):
    """Where URLs and hosts that callers supply may lead."""

    allowed_networks: Networks = ()
    """Networks that may be reached although they are not public, such as an intranet's."""


class ProvidersSection(Section):
    """What is known about mail providers."""

    files: Texts = ()
    """Files that add providers or change them; the format is in providers.md."""


class MetricsSection(Section):
    """Figures for a monitoring system, at `/metrics`."""

    public: bool = False
    """Show them without a key; else a key with the scope `read` is needed."""


class LogSection(Section):
    """The log, on standard error."""

    json_: Annotated[bool, Field(alias="json")] = False
    """One JSON object a line instead of lines for people."""


class Document(Section):
    """The whole settings file."""

    data: str = DEFAULT_DATA
    """Directory of the store, relative to the working directory."""
    from_: Annotated[Sender | None, Field(alias="from")] = None
    """Sender of messages that name none; else the account of the transport when it is an address."""
    capture: bool = False
    """Keep every mail in the capture inbox, whatever transports say."""
    hap_config: str | None = None
    """`appextensions.json` of a Mingdao HAP to take over: its webhook becomes the default transport."""
    api_key: Hidden | None = None
    """A key with all scopes, 20 characters or more, for containers. Secret."""
    api_key_file: str | None = None
    """File that holds `api_key`."""
    secret_key: Hidden | None = None
    """Seals the secrets of stored transports: 32 bytes in Base64 or hex; else a file of `data`. Secret."""
    secret_key_file: str | None = None
    """File that holds `secret_key`."""
    sender_process: Annotated[bool | None, BeforeValidator(_auto)] = None
    """Send from a process of its own: `true`, `false`, or `"auto"`, where there are two processors."""
    failures_to: Senders = ()
    """Who gets a digest of mail that failed for good and of outages; one address, several, or a list."""
    failures_every: Duration = 900.0
    """At most one digest in this time."""
    suppress_automatically: bool = True
    """Send no more to an address that a server says does not exist."""
    uncertain_alarm: Duration = 3600.0
    """An uncertain recipient that waits longer than this is told as an event."""
    http: HttpSection = HttpSection()
    smtp: SmtpSection = SmtpSection()
    transports: tuple[TransportFields, ...] = ()
    """Ways out; none means that everything is captured."""
    routes: tuple[RouteSection, ...] = ()
    """Rules that choose among the transports; the first one that matches decides."""
    limits: LimitsSection = LimitsSection()
    retention: RetentionSection = RetentionSection()
    disk: DiskSection = DiskSection()
    nexus: NexusSection = NexusSection()
    hap: HapSection = HapSection()
    classes: ClassesSection = ClassesSection()
    reports: ReportsSection = ReportsSection()
    templates: TemplatesSection = TemplatesSection()
    webhooks: WebhooksSection = WebhooksSection()
    providers: ProvidersSection = ProvidersSection()
    egress: EgressSection = EgressSection()
    recipients: RecipientsSection = RecipientsSection()
    alerts: AlertsSection = AlertsSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
