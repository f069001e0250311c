"""Holds (messages that wait for a person, by filter) and suppressions (addresses we do not send to)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.ids import MessageId, TenantId
from postroom.model.message import MailClass


class HoldEnd(StrEnum):
    """What becomes of held mail when the hold ends by itself."""

    RELEASE = "release"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFilter:
    """Whom a hold concerns; ``None`` means any, at least one member is given."""

    mail_class: MailClass | None = None
    tag: str | None = None
    sender: str | None = None
    """From's address, or ``@domain``."""
    recipient: str | None = None
    """An address, or ``@domain``: only these recipients are held."""
    transport: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A standing order: what waits or comes and matches is held until a person or ``until`` ends it."""

    id: str
    tenant: TenantId
    filter: HoldFilter
    reason: str
    author: str
    created_at: datetime
    until: datetime | None
    then: HoldEnd = HoldEnd.EXPIRE
    ended_at: datetime | None = None
    ended_by: str = ""
    held: int = 0
    """Recipients held by it now."""


class SuppressionReason(StrEnum):
    """Why an address is not sent to."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address, or a whole ``@domain``, that mail of its scope does not go to."""

    tenant: TenantId
    address: str
    """Compared without case, domain in lower case; ``@domain`` means the whole domain."""
    reason: SuppressionReason
    mail_class: MailClass | None = None
    """The scope: one class, or ``None`` for all."""
    note: str = ""
    author: str = ""
    created_at: datetime
    until: datetime | None = None
    message_id: MessageId | None = None
    """The message whose refusal caused it."""
