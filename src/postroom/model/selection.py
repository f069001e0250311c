"""Which recipients an operator means: by message, by filter, or both, and what may become of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Recipients; ``None`` and empty mean any. Every given member must hold."""

    tenant: TenantId
    message_id: MessageId | None = None
    recipients: tuple[int, ...] = ()
    """Numbers in the envelope; only with ``message_id``."""
    state: RecipientState | None = None
    mail_class: MailClass | None = None
    tag: str | None = None
    sender: str | None = None
    """From's address, or ``@domain``."""
    recipient: str | None = None
    """An address, or ``@domain``."""
    transport: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Acceptance time, exclusive. A dry run fixes it, so that mail that comes later is not meant."""


class Resolution(StrEnum):
    """What a person says about an uncertain recipient."""

    ARRIVED = "arrived"
    """It becomes accepted, with the note."""
    SEND_AGAIN = "send_again"
    """It is queued, marked as maybe a duplicate."""
    DROP = "drop"
    """It becomes cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a verb of an operator did."""

    recipients: int
    messages: int
    left: int = 0
    """Recipients that were meant and could not be changed: under a lease, final, or without content."""
