"""What the verbs of the alerts' desk take and return, beside the values of ``model.alert``."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.alert import (
    AlertEvent,
    AlertId,
    AlertState,
    AlertView,
    Severity,
    Silence,
    StoredDecision,
    StoredLetter,
)
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.policy.alerting.links import AlertDeed


class RuleKind(StrEnum):
    """What can be stored by a call."""

    TYPE = "type"
    ROUTE = "route"
    RECEIVER = "receiver"
    TABLE = "table"
    INHIBITION = "inhibition"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts to list; ``None`` and empty mean any."""

    tenant: TenantId = DEFAULT_TENANT
    state: AlertState | None = AlertState.FIRING
    """``None``: also those that are over and still remembered."""
    key: str | None = None
    severity: Severity | None = None
    """This one and worse ones."""
    source: str | None = None
    object: str | None = None
    matchers: tuple[str, ...] = ()
    """All of them must match; written as in Alertmanager."""
    after: str | None = None
    """Cursor: ``AlertPage.after`` of the page before."""
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPage:
    """The worst first, then the youngest."""

    alerts: tuple[AlertView, ...]
    after: str | None
    """Cursor of the next page; ``None``: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyFilter:
    """Which steps of an alert's story to tell."""

    tenant: TenantId = DEFAULT_TENANT
    event: int | None = None
    """Only what this report led to."""
    after: int | None = None
    """Cursor (``decision.number``), oldest first."""
    before: int | None = None
    """Cursor, newest first. Not together with ``after``."""
    limit: int = 100
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision, told."""

    decision: StoredDecision
    sentence: str
    event: AlertEvent | None = None
    """The report that led to it, while it is kept."""
    letter: StoredLetter | None = None
    """The mail it is about, while it is kept."""
    message_state: str = ""
    """State of the letter's message; empty: it is none yet, or is not kept any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The story of an alert."""

    id: AlertId
    alert: AlertView | None
    """``None``: it is over and forgotten, and only its history is left."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSilence:
    """Nobody is to be told of what matches."""

    tenant: TenantId = DEFAULT_TENANT
    matchers: tuple[str, ...]
    """At least one, one of which does not match the empty value."""
    starts_at: datetime | None = None
    """``None``: now."""
    ends_at: datetime
    author: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What a link of a letter did."""

    deed: AlertDeed
    alerts: tuple[AlertView, ...] = ()
    """Those that it was about, as they were."""
    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCounts:
    """How the alerts stand, for the status and for monitoring."""

    active: int
    events_waiting: int
    letters_waiting: int
    oldest_letter_at: datetime | None
    """Of the letters that wait."""
