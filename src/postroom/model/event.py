"""What happened, one row a change, never altered: the story that the API, webhooks and a person read.

An event says what changed and why; the evidence (reply, step, duration) is in the attempts it belongs to.
Recipients that changed in the same way at the same moment share one event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId


class EventKind(StrEnum):
    """What changed, in the words of the API."""

    MESSAGE_QUEUED = "message.queued"
    """Stored; the message may be sent when it is due."""
    MESSAGE_RESCHEDULED = "message.rescheduled"
    MESSAGE_REWRITTEN = "message.rewritten"
    """A transport sends it with another From than was wished; once for each transport."""
    MESSAGE_REPORT_WISHED = "message.report_wished"
    """Its sender asks to hear of success or delay (RFC 3461); one that asks for failures alone has no such
    event."""
    MESSAGE_REPORT_PASSED_ON = "message.report_passed_on"
    """The next server took over to report its success."""
    MESSAGE_REPORTED = "message.reported"
    """A report went to its sender: in ``data`` to whom, of what, and the id of the report."""
    MESSAGE_REDUCED = "message.reduced"
    """A webhook's form has no place for some of it; once for each transport."""
    RECIPIENT_ACCEPTED = "recipient.accepted"
    """The next server took responsibility."""
    RECIPIENT_CAPTURED = "recipient.captured"
    RECIPIENT_DEFERRED = "recipient.deferred"
    RECIPIENT_REFUSED = "recipient.refused"
    RECIPIENT_UNCERTAIN = "recipient.uncertain"
    RECIPIENT_HELD = "recipient.held"
    RECIPIENT_QUEUED = "recipient.queued"
    """Again: released from a hold, retried or resolved by a person, or given to another transport."""
    RECIPIENT_SUPPRESSED = "recipient.suppressed"
    RECIPIENT_CANCELLED = "recipient.cancelled"
    RECIPIENT_EXPIRED = "recipient.expired"
    RECIPIENT_BOUNCED = "recipient.bounced"
    TRANSPORT_CREATED = "transport.created"
    """By a person, as the next two."""
    TRANSPORT_CHANGED = "transport.changed"
    TRANSPORT_REMOVED = "transport.removed"
    TRANSPORT_OPENED = "transport.breaker_opened"
    """Nothing is sent by it for a while; one event for an outage."""
    TRANSPORT_CLOSED = "transport.breaker_closed"
    TRANSPORT_SUSPENDED = "transport.suspended"
    """By a person."""
    TRANSPORT_RESUMED = "transport.resumed"
    LIMIT_LEARNT = "transport.limit_learnt"
    """The server asked for less; the pace was lowered."""
    QUOTA_NEAR_END = "transport.quota_near_end"
    UNCERTAIN_AGED = "uncertain.aged"
    """The oldest uncertain recipient has waited long for a person."""
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_REMOVED = "suppression.removed"
    HOOK_DISABLED = "webhook.disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event before the store has numbered it."""

    at: datetime
    kind: EventKind
    tenant: TenantId = DEFAULT_TENANT
    message_id: MessageId | None = None
    recipients: tuple[int, ...] = ()
    """Numbers in the envelope; empty when the event is of the whole message or of no message."""
    transport: str = ""
    cause: str = ""
    """A cause id, or a phrase for holds, notes and pauses."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Small extras: ``author``, ``note``, ``until``, ``text``, ``from``. Never content, never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(NewEvent):
    """A stored event."""

    number: int
    """Grows by the order of storing; the cursor of every list."""
    addresses: tuple[str, ...] = ()
    """Of ``recipients``, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list; ``None`` and empty mean any."""

    tenant: TenantId | None
    """``None`` for the operator's own eyes and for hooks: events of every tenant."""
    kinds: tuple[EventKind, ...] = ()
    message_id: MessageId | None = None
    transport: str | None = None
    after: int | None = None
    """Cursor, oldest first: only events with larger numbers."""
    before: int | None = None
    """Cursor, newest first: only events with smaller numbers. Not together with ``after``."""
    limit: int = 50
