"""The story of what changed, the endpoints that are told of it, and the way to tell them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from postroom.model.event import Event, EventFilter, NewEvent
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import TenantId


class Events(Protocol):
    """Append-only. Changes of messages are appended by the spool's own verbs in their transactions."""

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Store events that no other verb stores: of transports, of ages."""
        ...

    async def page(self, wanted: EventFilter) -> Sequence[Event]:
        """Return one page: oldest first with ``after``, else newest first."""
        ...

    async def newest(self) -> int:
        """Return the number of the newest event, 0 when there is none."""
        ...


class Hooks(Protocol):
    """Webhook endpoints and the log of deliveries."""

    async def add(self, hook: Hook) -> None:
        """Store an endpoint; it is told of events after ``told_up_to``."""
        ...

    async def change(self, hook: Hook) -> bool:
        """Replace an endpoint by its id; ``False`` when there is none."""
        ...

    async def remove(self, hook_id: str, *, tenant: TenantId) -> bool:
        """Remove an endpoint with its log."""
        ...

    async def all(self, tenant: TenantId | None = None) -> Sequence[Hook]:
        """Return the endpoints of a tenant, or every one, oldest first."""
        ...

    async def spread(self, *, now: datetime, limit: int) -> int:
        """Make pending deliveries of events that enabled endpoints were not told of; return how many.

        At most ``limit`` events a call, and ``told_up_to`` moves in the same transaction: a crash between
        neither loses an event nor tells it twice by two deliveries.
        """
        ...

    async def due(
        self, *, now: datetime, limit: int, hook_id: str | None = None
    ) -> Sequence[tuple[Hook, Delivery, Event]]:
        """Return pending deliveries that are due, the longest due first; with ``hook_id`` of that endpoint.

        Each endpoint is asked for by itself, so that what waits for a slow one never hides the others.
        """
        ...

    async def record(self, delivery: Delivery) -> None:
        """Store what became of a try (the delivery is named by ``hook_id`` and ``event``)."""
        ...

    async def next_due_at(self, hook_id: str | None = None) -> datetime | None:
        """Return when the next pending delivery is due, of all or of one endpoint."""
        ...

    async def log(
        self, hook_id: str, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, newest event first."""
        ...

    async def replay(self, hook_id: str, *, first: int, last: int, now: datetime) -> int:
        """Make the events ``first`` to ``last`` that the endpoint asks for due again; return how many."""
        ...


class Marks(Protocol):
    """How far a reader of the events has come, by the reader's name; survives restarts."""

    async def mark(self, name: str) -> str:
        """Return what was stored last, ``""`` when nothing was."""
        ...

    async def set_mark(self, name: str, text: str) -> None:
        """Store, replacing what was stored before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """What one POST brought."""

    status: int | None
    """``None`` when no answer came."""
    text: str
    """First 500 characters of the answer, or the local phrase."""
    retry_after_s: float | None
    duration_ms: int


class HookPoster(Protocol):
    """Posts to a URL that a caller supplied, through the egress guard."""

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> HookAnswer:
        """Make one POST without redirects, proxies or cookies. Never raises for what a peer does."""
        ...

    def problem_with(self, url: str) -> str:
        """Return why this URL may never be called, ``""`` when it may; resolves nothing."""
        ...
