"""Evidence of what happened, and the four outcomes it can mean.

A transport reports evidence (facts: step, reply or local fault, time); ``policy.classify`` says what it
means. Nothing else in the program forms an opinion about a reply.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.reply import Reply
from postroom.model.step import Step


class OutcomeKind(StrEnum):
    """The outcome of one attempt for one recipient."""

    ACCEPTED = "accepted"
    """The next server took responsibility. Never called "delivered"."""
    CAPTURED = "captured"
    """The capture inbox took it; nothing left the machine."""
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    """The final dot was handed to the socket and no reply was read."""


class FaultKind(StrEnum):
    """A local finding where no reply exists."""

    NAME = "name"
    """The host name could not be resolved."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """The peer closed or reset the connection."""
    TLS = "tls"
    PROTOCOL = "protocol"
    """The peer broke the protocol: out of step, reply too long, bytes before the handshake."""
    CAPABILITY = "capability"
    """The server lacks what the message or the settings require (SIZE, SMTPUTF8, STARTTLS, AUTH)."""
    LOCAL = "local"
    """A fault of ours or of this machine; never a permanent failure of a recipient (reliability rule D8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A local finding with its evidence line."""

    kind: FaultKind
    text: str
    """Lower-case phrase with the system's or library's own words; never a secret."""
    cause: str | None = None
    """A cause id when the finder knows it by itself, for example ``starttls-not-offered``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What happened to one recipient in one attempt: a reply or a fault, never both, at one step."""

    step: Step
    reply: Reply | None = None
    fault: Fault | None = None
    host: str = ""
    """The server's host name, for the provider's reply rules."""
    port: int = 0


class Action(StrEnum):
    """What the queue should do, the vocabulary of the reply rules."""

    RETRY = "retry"
    RETRY_SLOW = "retry_slow"
    THROTTLE = "throttle"
    RECONNECT = "reconnect"
    SPLIT_RECIPIENTS = "split_recipients"
    DOWNGRADE = "downgrade"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - an action, not a password
    UNCERTAIN = "uncertain"
    FAIL_RECIPIENT = "fail_recipient"
    FAIL_MESSAGE = "fail_message"
    PAUSE_TRANSPORT = "pause_transport"
    PAUSE_UNTIL_QUOTA = "pause_until_quota"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a piece of evidence means: the opinion of ``policy.classify``."""

    outcome: OutcomeKind
    action: Action
    cause: str
    """Id of the reply rule or local finding, ``""`` for a plain acceptance."""
    min_delay_s: float = 0.0
    """Floor for the next attempt in seconds; for pauses, their length."""
    replaces_schedule: bool = False
    """A remote hint was parsed: ``min_delay_s`` is the delay, not a floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientResult:
    """One recipient's line of an attempt, as stored."""

    recipient: int
    """Number of the recipient in the envelope."""
    evidence: Evidence
    verdict: Verdict
    duration_ms: int
    at: datetime
