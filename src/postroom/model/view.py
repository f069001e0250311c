"""What the read side returns: plain pictures of stored facts, for every door and the console."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Door, MailClass
from postroom.model.template import TemplatePin


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt as one recipient saw it."""

    at: datetime
    transport: str
    step: str
    code: int | None
    enhanced: str | None
    text: str
    """The reply's text, or the local fault's phrase."""
    outcome: str
    """An ``OutcomeKind``, or ``open``/``committing`` for an attempt that is under way."""
    duration_ms: int
    cause: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientView:
    """One recipient of one message."""

    number: int
    address: str
    state: RecipientState
    cause: str
    """Id of the last cause; ``""`` when there is none."""
    due_at: datetime | None
    attempts: tuple[AttemptView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message with every recipient and attempt."""

    id: MessageId
    tenant: TenantId
    door: Door
    mail_class: MailClass
    transport: str
    created_at: datetime
    expires_at: datetime
    next_attempt_at: datetime | None
    sender: str
    subject: str
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    recipients: tuple[RecipientView, ...]
    route: str = ""
    """Written form of the route; empty when there is none besides ``transport``."""
    template: TemplatePin | None = None
    """What it was rendered from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSummary:
    """One line of a list."""

    id: MessageId
    mail_class: MailClass
    transport: str
    created_at: datetime
    next_attempt_at: datetime | None
    sender: str
    subject: str
    tags: tuple[str, ...]
    counts: Mapping[RecipientState, int]
    route: str = ""
    """As of the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages to list; ``None`` and empty mean any."""

    tenant: TenantId
    state: RecipientState | None = None
    """Messages with any recipient in this state."""
    mail_class: MailClass | None = None
    tag: str | None = None
    sender: str | None = None
    recipient: str | None = None
    transport: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: MessageId | None = None
    """Cursor: only messages accepted before this one (newest first)."""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedMail:
    """One mail the capture inbox took."""

    number: int
    message_id: MessageId
    captured_at: datetime
    reverse_path: str
    recipients: tuple[str, ...]
    subject: str
    sender: str
    source: BlobRef
    """The bytes as they would have gone over the wire, before dot-stuffing."""


class PauseKind(StrEnum):
    """The class of error that a transport waits for; it may wait for several at once."""

    LOGIN = "login"
    """The credential was refused: opens at once and is asked rarely, providers lock accounts."""
    CONNECT = "connect"
    """No way to the server, up to its greeting and TLS, or it closes on us."""
    THROTTLE = "throttle"
    """The server asked for patience."""
    QUOTA = "quota"
    """The day's or hour's amount is used up."""
    SUSPENDED = "suspended"
    """By a person."""
    SECRETS = "secrets"
    """Its stored secrets cannot be read, so that nothing may be tried; never stored, found at each start."""


FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of a suspension that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportPause:
    """A transport that waits: its cause stands on every message that waits for it."""

    transport: str
    kind: PauseKind = PauseKind.CONNECT
    is_open: bool = True
    """The breaker is open: an outage that is told and failed over from. ``False`` for the first, short
    waits after a failure, which may be nothing."""
    author: str = ""
    """Who suspended it; empty for all other kinds."""
    since: datetime
    until: datetime
    cause: str
    step: str
    text: str
    """The evidence line: reply code and text, or the local phrase."""
    host: str
    failures: int
    """Failures in a row; sets how long the next pause is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored: never the key itself."""

    id: str
    name: str
    sha256: bytes
    scopes: frozenset[str]
    tenant: TenantId
    senders: tuple[str, ...] = ()
    """Addresses or ``@domain`` this key may send as; empty means any."""
    networks: tuple[str, ...] = ()
    """Networks in CIDR form a caller must come from; empty means any."""
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How many recipients are in each state, and the oldest that is open."""

    by_state: Mapping[RecipientState, int]
    oldest_open_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntLimit:
    """A pace learnt from a server that asked for less."""

    transport: str
    window_s: int
    """Seconds of the window: 1, 60, 3600 or 86400."""
    allowed: int
    """Messages in any window of that length, from now on."""
    seen: int
    """Messages in the window when the server objected."""
    learnt_at: datetime
    text: str
    """The evidence: what the server said."""
