"""Webhook endpoints that are told of events, and every try to tell them (Standard Webhooks 1.0.0)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from postroom.model.event import EventKind
from postroom.model.ids import TenantId
from postroom.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One endpoint."""

    id: str
    tenant: TenantId
    url: str
    kinds: tuple[EventKind, ...]
    """Empty for every kind."""
    secrets: tuple[Secret, ...]
    """Newest first; each signs while a rotation runs. ``whsec_`` and base64."""
    created_at: datetime
    old_secrets_until: datetime | None = None
    """When all but the newest secret stop signing; ``None`` while there is one secret."""
    disabled_at: datetime | None = None
    disabled_why: str = ""
    told_up_to: int = 0
    """Number of the last event for which deliveries were made."""
    problem: str = ""
    """Cause id why the secrets cannot be read (``secret-key-missing``, ``secret-key-wrong``); there are none
    then, and it is told of nothing meanwhile."""

    def signing_secrets(self, now: datetime) -> tuple[Secret, ...]:
        """Return the secrets that sign at ``now``, newest first."""
        is_over = self.old_secrets_until is not None and now >= self.old_secrets_until
        return self.secrets[:1] if is_over else self.secrets


class DeliveryState(StrEnum):
    """Where a delivery of one event to one endpoint stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Three days of tries, or the endpoint is gone (410) or disabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one endpoint."""

    hook_id: str
    event: int
    """Number of the event; with the hook it names the delivery, and it is the constant ``webhook-id``."""
    state: DeliveryState
    tries: int
    created_at: datetime
    due_at: datetime | None
    last_at: datetime | None = None
    status: int | None = None
    """HTTP status of the last try."""
    text: str = ""
    """First bytes of the last answer, or the local phrase."""
    duration_ms: int = 0
