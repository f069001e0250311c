"""A store with an operator in it: short forms of the verbs on selections, holds, suppressions and events."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from postroom.model.attempt import Claimed, Move
from postroom.model.event import Event, EventFilter, EventKind
from postroom.model.hold import Hold, HoldEnd, HoldFilter, Suppression, SuppressionReason
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Changed, Resolution, Selection
from postroom.ports import Events, GuestRecords, Hooks, Operations, TransportRecords
from postroom.ports.events import Marks
from postroom.spool.settings import SpoolSettings
from spool.spool_room import NOW, Room, Store, accepted, deferred, open_store, uncertain


class FullStore(Store, Protocol):
    @property
    def operations(self) -> Operations: ...
    @property
    def hooks(self) -> Hooks: ...
    @property
    def marks(self) -> Marks: ...
    @property
    def transports(self) -> TransportRecords: ...
    @property
    def guests(self) -> GuestRecords: ...
    @property
    def events(self) -> Events: ...


class Desk(Room):
    """A room with the operator's verbs."""

    store: FullStore

    @property
    def do(self) -> Operations:
        return self.store.operations

    async def retry(self, wanted: Selection | None = None, *, at: datetime = NOW, **more: Any) -> Changed:
        return await self.do.retry(wanted or anyone(), at=at, now=more.pop("now", NOW), author="ann", **more)

    async def cancel(self, wanted: Selection | None = None, *, now: datetime = NOW) -> Changed:
        return await self.do.cancel_all(wanted or anyone(), now=now, author="ann")

    async def resolve(
        self, resolution: Resolution, wanted: Selection | None = None, *, now: datetime = NOW
    ) -> Changed:
        return await self.do.resolve(
            wanted or anyone(), resolution=resolution, note="they called", author="ann", now=now
        )

    async def let_go(self, wanted: Selection | None = None, *, now: datetime = NOW) -> Changed:
        return await self.do.release(wanted or anyone(), now=now, author="ann")

    async def kinds_told(self, message_id: MessageId | None = None) -> list[tuple[str, tuple[int, ...]]]:
        """Return kind and recipients of every event, oldest first."""
        return [(event.kind.value, event.recipients) for event in await self.told(message_id)]

    async def told(self, message_id: MessageId | None = None, *kinds: EventKind) -> list[Event]:
        wanted = EventFilter(tenant=None, message_id=message_id, kinds=kinds, after=0, limit=10_000)
        return list(await self.store.events.page(wanted))

    async def finish(self, *moves: Move, now: datetime = NOW) -> Claimed:
        """Claim one group, hand its bytes over and settle it."""
        claimed = await self.claim_one(now)
        assert await self.commit(claimed.lease, now)
        assert await self.settle(claimed.lease, *moves, at=now)
        return claimed


def play_at_desk(
    kind: str,
    data: Path,
    scenario: Callable[[Desk], Awaitable[None]],
    settings: SpoolSettings | None = None,
) -> None:
    """Run a scenario on a fresh store and close it."""

    async def run() -> None:
        store: Any = open_store(kind, data, settings)
        try:
            await scenario(Desk(store=store))
        finally:
            await store.close()

    asyncio.run(run())


def anyone(**members: Any) -> Selection:
    return Selection(**{"tenant": DEFAULT_TENANT, **members})


def a_hold(hold_id: str = "h1", **changed: Any) -> Hold:
    hold = Hold(
        id=hold_id,
        tenant=DEFAULT_TENANT,
        filter=HoldFilter(mail_class=MailClass.TRANSACTIONAL),
        reason="check the price first",
        author="ann",
        created_at=NOW,
        until=None,
        then=HoldEnd.EXPIRE,
    )
    return replace(hold, **changed)


def a_suppression(address: str = "bob0@example.org", **changed: Any) -> Suppression:
    suppression = Suppression(
        tenant=DEFAULT_TENANT,
        address=address,
        reason=SuppressionReason.MANUAL,
        author="ann",
        created_at=NOW,
    )
    return replace(suppression, **changed)


def refused(recipient: int = 0, cause: str = "no-such-user") -> Move:
    return Move(recipient=recipient, state=RecipientState.REFUSED, cause=cause)


__all__ = ["Desk", "a_hold", "a_suppression", "accepted", "anyone", "deferred", "play_at_desk", "uncertain"]
