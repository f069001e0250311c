"""What a caller hands in and what is stored of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from postroom.model.address import Address, Mailbox
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.template import TemplatePin


class MailClass(StrEnum):
    """Sets expiry, retry span, uncertain policy and priority (the table is in ``policy.retry``)."""

    CODE = "code"
    ALERT = "alert"
    TRANSACTIONAL = "transactional"
    BULK = "bulk"


class UncertainPolicy(StrEnum):
    """What happens to a recipient whose outcome is uncertain."""

    RETRY = "retry"
    """Again after the normal delay, same bytes, marked as maybe a duplicate."""
    WAIT = "wait"
    """Stay uncertain until 15 minutes after the final dot, then as ``RETRY``."""
    ASK = "ask"
    """Stay uncertain for a person."""


class Door(StrEnum):
    """The way a message came in."""

    HTTP = "http"
    NEXUS = "nexus"
    CLI = "cli"
    SMTP = "smtp"
    SENDMAIL = "sendmail"
    HAP = "hap"
    APP_BUILDER = "app-builder"
    ALERTS = "alerts"
    """Postroom itself: an alert of another program. What becomes of it is told like of anybody's mail."""
    POSTROOM = "postroom"
    """Postroom itself: a notice to its operator. What becomes of it is never noticed in turn."""


class Disposition(StrEnum):
    """How a part is shown (RFC 2183)."""

    ATTACHMENT = "attachment"
    INLINE = "inline"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A file in the blob store, named by its content."""

    sha256: str
    """64 lower-case hex digits."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attached or inline file."""

    filename: str
    content_type: str
    """``type/subtype`` without parameters, checked."""
    blob: BlobRef
    content_id: str | None = None
    """Without angle brackets; given for inline images."""
    disposition: Disposition = Disposition.ATTACHMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file to be fetched before the first attempt and attached under this name."""

    filename: str
    url: str
    """``http`` or ``https``; never fetched past the egress guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMail:
    """A mail in its own bytes, as a client wrote it; what a door removes is gone from it."""

    head: bytes
    """The header fields, each ended by CR LF, without the empty line after them."""
    body: bytes | BlobRef
    """What follows the empty line, lines ended by CR LF, no dots stuffed; a file when it is large."""
    needs_8bit: bool = False
    """A line has a byte above 127 (RFC 6152)."""
    needs_smtputf8: bool = False
    """An address in the header has a byte above 127, or the client asked for SMTPUTF8 (RFC 6532)."""
    trace: str = ""
    """Of a submission: what its Received field says before id and date; acceptance writes it in front."""
    is_dated: bool = True
    """Of a submission: the head has a Date field. Acceptance adds one when it has none."""

    @property
    def size(self) -> int:
        """Bytes of the whole mail."""
        return len(self.head) + 2 + (len(self.body) if isinstance(self.body, bytes) else self.body.size)


class Notify(StrEnum):
    """When the sender of a mail wants a report on a recipient (RFC 3461 section 4.1)."""

    NEVER = "never"
    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"


_MORE = frozenset({Notify.SUCCESS, Notify.DELAY})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWish:
    """Who hears what became of a mail that came by SMTP or sendmail, and how (RFC 3461)."""

    to: Address
    """The reverse path the client gave; never the null one."""
    full: bool | None = None
    """RET: the whole mail (true) or its header (false); ``None``: not said, the header."""
    envelope_id: str = ""
    """ENVID, decoded."""
    notify: Mapping[Address, frozenset[Notify]] = field(default_factory=dict)
    """By recipient; a recipient that is not named wants to hear of failures."""
    original: Mapping[Address, str] = field(default_factory=dict)
    """ORCPT by recipient: ``type;address`` as it was given, decoded."""
    late_at: datetime | None = None
    """BY in mode N: when what waits is late; ``None``: after the time that the settings name."""
    is_limited: bool = False
    """BY in mode R: the sender set the time after which the mail was given back."""

    @property
    def has_parameters(self) -> bool:
        """Whether the sender said more than where reports go: something that can be passed on."""
        return bool(self.full is not None or self.envelope_id or self.notify or self.original)

    @property
    def is_watched(self) -> bool:
        """Whether the sender wants to hear of more than failures, for some recipient."""
        return bool(self.notify) and any(wanted & _MORE for wanted in self.notify.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a caller handed in, validated field by field at the edge."""

    tenant: TenantId = DEFAULT_TENANT
    door: Door = Door.HTTP
    from_: Mailbox | None = None
    """``None`` takes the transport's default sender."""
    sender: Mailbox | None = None
    """MAIL FROM, and a Sender header when it differs from From."""
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Extra headers in order; names the writer owns are refused at the edge."""
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None
    """A message id without angle brackets."""
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    mail_class: MailClass = MailClass.TRANSACTIONAL
    uncertain_policy: UncertainPolicy | None = None
    """``None`` takes the policy of the class."""
    send_at: datetime | None = None
    expires_at: datetime | None = None
    relative: Mapping[str, timedelta] = field(default_factory=dict)
    """Which of these two times the caller counted from its arrival, and how long. A repeat of it comes to
    another time and is the same mail."""
    idempotency_key: str | None = None
    idempotency_life: timedelta | None = None
    """How long a key is kept that a door made and no caller; ``None``: as long as callers' keys."""
    message_id_domain: str | None = None
    """Right side of the Message-ID; ``None`` takes From's domain."""
    remote_files: tuple[RemoteFile, ...] = ()
    """Fetched as the first stage of delivery; the mail is never sent without them."""
    raw: RawMail | None = None
    """The mail itself. Then the recipients stand in ``bcc``, whatever the header says, ``from_``, ``subject``
    and the Message-ID are those of the header, and texts, headers and attachments are empty."""
    message_id: str | None = None
    """Of a raw mail: its Message-ID without angle brackets."""
    reports: ReportWish | None = None
    template: TemplatePin | None = None
    """What subject and texts were rendered from; they are in place already."""
    template_asked: Mapping[str, str] | None = None
    """Of a submission with a template: digests, by field, of what its caller wrote: template, locale,
    variables, a subject or text of his own. In repeats they stand for pin and texts, which a newer version
    of the template changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Everything the MIME writer needs; frozen at acceptance, so that every retry sends identical bytes."""

    message_id: str
    """The Message-ID header value without angle brackets."""
    date: datetime
    boundary: str
    """Seed of every boundary in the message; unguessable, so that no content can contain it."""
    from_: Mailbox
    sender: Mailbox | None = None
    """MAIL FROM as the caller wished it, and the Sender header when it differs from From."""
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    remote_files: tuple[RemoteFile, ...] = ()
    """Not fetched yet; empty before anything is rendered for sending."""
    raw: RawMail | None = None
    """The mail itself; the fields above are then only what people and rules see of it."""

    @property
    def blobs(self) -> tuple[BlobRef, ...]:
        """The files it is made of."""
        refs = tuple([attachment.blob for attachment in self.attachments])
        if self.raw is not None and isinstance(self.raw.body, BlobRef):
            return (*refs, self.raw.body)
        return refs


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Reverse path and recipients as SMTP sees them."""

    reverse_path: Address
    recipients: tuple[Address, ...]
    """At least one, no doubles; a recipient's number is its index here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A stored submission."""

    id: MessageId
    tenant: TenantId
    door: Door
    mail_class: MailClass
    created_at: datetime
    send_at: datetime
    """When the first attempt is due; ``created_at`` unless scheduled."""
    expires_at: datetime
    uncertain_policy: UncertainPolicy
    envelope: Envelope
    content: Content
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    reports: ReportWish | None = None
    template: TemplatePin | None = None
