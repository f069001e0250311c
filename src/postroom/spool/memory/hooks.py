"""Webhook endpoints, their deliveries and the marks of readers, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from postroom.errors import InvariantError
from postroom.model.event import Event
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import TenantId


class MemoryHooks:
    """The ports ``Hooks`` and ``Marks``."""

    def __init__(self, events: Callable[[], Sequence[Event]]) -> None:
        """Take where every stored event is, oldest first."""
        self._events = events
        self._hooks: dict[str, Hook] = {}
        self._deliveries: dict[tuple[str, int], Delivery] = {}
        self._marks: dict[str, str] = {}

    async def add(self, hook: Hook) -> None:
        """Store an endpoint. Raises InvariantError when the id is taken."""
        if hook.id in self._hooks:
            raise InvariantError(f"hook {hook.id} is stored already")
        self._hooks[hook.id] = hook

    async def change(self, hook: Hook) -> bool:
        """Replace an endpoint; what waits for one that is disabled has failed.

        Without secrets those that are stored stay.
        """
        before = self._hooks.get(hook.id)
        if before is None:
            return False
        self._hooks[hook.id] = replace(
            hook,
            tenant=before.tenant,
            secrets=hook.secrets or before.secrets,
            created_at=before.created_at,
            told_up_to=max(hook.told_up_to, before.told_up_to),
        )
        if hook.disabled_at is not None:
            for key, delivery in self._deliveries.items():
                if key[0] == hook.id and delivery.state is DeliveryState.PENDING:
                    self._deliveries[key] = replace(
                        delivery, state=DeliveryState.FAILED, due_at=None, text=hook.disabled_why
                    )
        return True

    async def remove(self, hook_id: str, *, tenant: TenantId) -> bool:
        """Remove an endpoint with its log."""
        hook = self._hooks.get(hook_id)
        if hook is None or hook.tenant != tenant:
            return False
        del self._hooks[hook_id]
        self._deliveries = {key: one for key, one in self._deliveries.items() if key[0] != hook_id}
        return True

    async def all(self, tenant: TenantId | None = None) -> Sequence[Hook]:
        """Return the endpoints, oldest first."""
        found = [hook for hook in self._hooks.values() if tenant in (None, hook.tenant)]
        return sorted(found, key=lambda hook: (hook.created_at, hook.id))

    async def spread(self, *, now: datetime, limit: int) -> int:
        """Make deliveries of the next events; return how many events were looked at."""
        enabled = [hook for hook in self._hooks.values() if hook.disabled_at is None]
        told = min((hook.told_up_to for hook in enabled), default=0)
        events = [event for event in self._events() if event.number > told and enabled][:limit]
        for hook in enabled:
            for event in events:
                if event.number > hook.told_up_to and _asks_for(hook, event):
                    key = (hook.id, event.number)
                    self._deliveries.setdefault(key, _pending(hook, event, now))
            last = max([hook.told_up_to, *(event.number for event in events)])
            self._hooks[hook.id] = replace(hook, told_up_to=last)
        return len(events)

    async def due(
        self, *, now: datetime, limit: int, hook_id: str | None = None
    ) -> Sequence[tuple[Hook, Delivery, Event]]:
        """Return pending deliveries that are due."""
        events = {event.number: event for event in self._events()}
        found = [one for one in self._waiting(hook_id) if (one.due_at or now) <= now and one.event in events]
        found.sort(key=lambda one: (one.due_at or now, one.event, one.hook_id))
        return [(self._hooks[one.hook_id], one, events[one.event]) for one in found[:limit]]

    async def record(self, delivery: Delivery) -> None:
        """Store what became of a try."""
        key = (delivery.hook_id, delivery.event)
        before = self._deliveries.get(key)
        if before is not None:
            self._deliveries[key] = replace(delivery, created_at=before.created_at)

    async def next_due_at(self, hook_id: str | None = None) -> datetime | None:
        """Return when the next pending delivery is due."""
        return min((one.due_at for one in self._waiting(hook_id) if one.due_at is not None), default=None)

    async def log(
        self, hook_id: str, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, newest event first."""
        found = [
            one
            for one in self._deliveries.values()
            if one.hook_id == hook_id
            and state in (None, one.state)
            and (before is None or one.event < before)
        ]
        return sorted(found, key=lambda one: -one.event)[:limit]

    async def replay(self, hook_id: str, *, first: int, last: int, now: datetime) -> int:
        """Make a range of events due again."""
        hook = self._hooks.get(hook_id)
        if hook is None:
            return 0
        events = [
            event for event in self._events() if first <= event.number <= last and _asks_for(hook, event)
        ]
        for event in events:
            key = (hook_id, event.number)
            pending = _pending(hook, event, now)
            before = self._deliveries.get(key, pending)
            self._deliveries[key] = replace(pending, created_at=before.created_at)
        return len(events)

    async def mark(self, name: str) -> str:
        """Return how far a reader came."""
        return self._marks.get(name, "")

    async def set_mark(self, name: str, text: str) -> None:
        """Store how far a reader came."""
        self._marks[name] = text

    def purge(self, limit: int) -> int:
        """Forget deliveries older than the oldest event, a chunk for each endpoint; return how many."""
        oldest = min((event.number for event in self._events()), default=None)
        gone = 0
        for hook_id in self._hooks:
            old = sorted(
                key for key in self._deliveries if key[0] == hook_id and (oldest is None or key[1] < oldest)
            )
            for key in old[:limit]:
                del self._deliveries[key]
            gone += len(old[:limit])
        return gone

    def _waiting(self, hook_id: str | None) -> list[Delivery]:
        return [
            one
            for one in self._deliveries.values()
            if one.state is DeliveryState.PENDING
            and hook_id in (None, one.hook_id)
            and self._hooks[one.hook_id].disabled_at is None
        ]


def _asks_for(hook: Hook, event: Event) -> bool:
    return event.tenant == hook.tenant and (not hook.kinds or event.kind in hook.kinds)


def _pending(hook: Hook, event: Event, now: datetime) -> Delivery:
    return Delivery(
        hook_id=hook.id,
        event=event.number,
        state=DeliveryState.PENDING,
        tries=0,
        created_at=now,
        due_at=now,
    )
