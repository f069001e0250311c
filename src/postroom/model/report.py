"""A report to the sender of a mail on what became of it (RFC 3464): the values that decide and write it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.address import Address
from postroom.model.ids import MessageId
from postroom.model.lifecycle import RecipientState


class ReportAction(StrEnum):
    """What is reported of a recipient (RFC 3464 section 2.3.3); we never know that mail was delivered."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    """Handed to a server that does not report itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """One recipient in a report."""

    number: int
    """In the envelope."""
    address: Address
    original: str = ""
    """ORCPT as the sender gave it, ``type;address``; empty when none was given."""
    state: RecipientState
    action: ReportAction
    status: str
    """class.subject.detail of RFC 3463."""
    cause: str = ""
    """Id of the cause, for its words."""
    code: int | None = None
    """Of the server's reply."""
    text: str = ""
    """What the server said, or our own finding when no server said anything."""
    host: str = ""
    """The server's name."""
    last_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailReport:
    """All that one report says."""

    mail_id: MessageId
    """Of the mail it is about."""
    to: Address
    mta: str
    """Our name (RFC 3464 section 2.2.2)."""
    arrived_at: datetime
    tried_until: datetime | None = None
    """Until then a delayed mail is tried again; ``None`` when nothing is tried any more."""
    envelope_id: str = ""
    """ENVID as the sender gave it, decoded."""
    subject: str = ""
    """Of the mail it is about."""
    message_id: str = ""
    """Message-ID of the mail it is about, without angle brackets."""
    recipients: tuple[ReportedRecipient, ...]
    """At least one."""

    @property
    def action(self) -> ReportAction:
        """What the report is about in the first place: a failure before a delay before a success."""
        actions = {recipient.action for recipient in self.recipients}
        return next(action for action in ReportAction if action in actions)
