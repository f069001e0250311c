"""Webhook endpoints, their deliveries and the marks of readers, the same on every store."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from postroom.errors import InvariantError
from postroom.model.event import EventKind, NewEvent
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.secret import Secret
from postroom.ports import Hooks
from spool.orders_room import Desk, play_at_desk
from spool.spool_room import DAY, HOUR, MINUTE, NOW, RETENTION, every_store

OPENED, CLOSED = EventKind.TRANSPORT_OPENED, EventKind.TRANSPORT_CLOSED


def a_hook(hook_id: str = "hook1", **changed: Any) -> Hook:
    hook = Hook(
        id=hook_id,
        tenant=DEFAULT_TENANT,
        url="https://hooks.example.org/mail",
        kinds=(),
        secrets=(Secret("whsec_bmV3"), Secret("whsec_b2xk")),
        created_at=NOW,
        old_secrets_until=NOW + DAY,
    )
    return replace(hook, **changed)


async def happen(
    desk: Desk, *kinds: EventKind, at: datetime = NOW, tenant: TenantId = DEFAULT_TENANT
) -> None:
    await desk.store.events.append(
        [NewEvent(at=at, kind=kind, transport="main", tenant=tenant) for kind in kinds]
    )


async def due(hooks: Hooks, now: datetime = NOW, **more: Any) -> list[tuple[str, int]]:
    """Return endpoint and event of what is due; each is whole."""
    found = await hooks.due(now=now, limit=100, **more)
    for hook, delivery, event in found:
        assert (hook.id, event.number) == (delivery.hook_id, delivery.event)
        assert delivery.state is DeliveryState.PENDING
    return [(delivery.hook_id, delivery.event) for _, delivery, _ in found]


def tried(hook_id: str, event: int, state: DeliveryState, due_at: datetime | None = None) -> Delivery:
    return Delivery(
        hook_id=hook_id,
        event=event,
        state=state,
        tries=1,
        created_at=NOW,
        due_at=due_at,
        last_at=NOW,
        status=503,
        text="busy",
        duration_ms=7,
    )


@every_store
def test_an_endpoint_is_kept_as_it_was_given(kind: str, tmp_path: Path) -> None:
    """Every field comes back, secrets included; ids are unique; a tenant sees its own."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        one = a_hook(kinds=(OPENED,), told_up_to=3)
        other = a_hook("hook2", tenant=TenantId("other"), created_at=NOW + MINUTE)
        await hooks.add(one)
        await hooks.add(other)
        with pytest.raises(InvariantError):
            await hooks.add(one)
        assert [one, other] == list(await hooks.all())
        assert [other] == list(await hooks.all(TenantId("other")))
        changed = replace(one, url="https://hooks.example.net/", kinds=(), secrets=(Secret("whsec_YQ=="),))
        assert await hooks.change(changed)
        assert [changed] == list(await hooks.all(DEFAULT_TENANT))
        assert not await hooks.change(a_hook("nobody"))
        assert not await hooks.remove("hook1", tenant=TenantId("other"))
        assert await hooks.remove("hook1", tenant=DEFAULT_TENANT)
        assert not await hooks.remove("hook1", tenant=DEFAULT_TENANT)
        assert [other] == list(await hooks.all())

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_new_events_are_spread_once_to_those_who_ask_for_them(kind: str, tmp_path: Path) -> None:
    """Each endpoint gets the events behind its mark that are of its kinds and tenant, and none twice."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, OPENED, CLOSED, OPENED)
        await hooks.add(a_hook("all", told_up_to=1))
        await hooks.add(a_hook("some", kinds=(CLOSED,)))
        await hooks.add(a_hook("other", tenant=TenantId("other")))
        await hooks.add(a_hook("off", disabled_at=NOW, disabled_why="410"))
        assert 3 == await hooks.spread(now=NOW, limit=10)
        expected = [("all", 2), ("some", 2), ("all", 3)]
        assert sorted(expected) == sorted(await due(hooks))
        assert 0 == await hooks.spread(now=NOW, limit=10)
        assert sorted(expected) == sorted(await due(hooks))
        assert {"all": 3, "some": 3, "other": 3, "off": 0} == {
            hook.id: hook.told_up_to for hook in await hooks.all()
        }
        await happen(desk, OPENED, tenant=TenantId("other"))
        assert 1 == await hooks.spread(now=NOW, limit=10)
        assert [("other", 4)] == await due(hooks, hook_id="other")

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_spread_looks_at_no_more_than_it_was_asked_to(kind: str, tmp_path: Path) -> None:
    """The rest comes with the next call, also for an endpoint that lags behind."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, *[OPENED] * 5)
        await hooks.add(a_hook("behind"))
        await hooks.add(a_hook("ahead", told_up_to=4))
        looked_at = [await hooks.spread(now=NOW, limit=2) for _ in range(4)]
        assert [2, 2, 1, 0] == looked_at
        assert [("ahead", 5)] == await due(hooks, hook_id="ahead")
        assert [("behind", number) for number in range(1, 6)] == await due(hooks, hook_id="behind")

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_what_became_of_a_try_is_stored(kind: str, tmp_path: Path) -> None:
    """A failed try is due later, a finished one never; the log shows every field, newest first."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, OPENED, CLOSED)
        await hooks.add(a_hook())
        await hooks.spread(now=NOW, limit=10)
        assert NOW == await hooks.next_due_at()
        later = tried("hook1", 1, DeliveryState.PENDING, NOW + HOUR)
        done = tried("hook1", 2, DeliveryState.DELIVERED)
        await hooks.record(later)
        await hooks.record(done)
        await hooks.record(tried("nobody", 1, DeliveryState.DELIVERED))
        assert [] == await due(hooks)
        assert NOW + HOUR == await hooks.next_due_at()
        assert NOW + HOUR == await hooks.next_due_at("hook1")
        assert await hooks.next_due_at("nobody") is None
        assert [("hook1", 1)] == await due(hooks, NOW + HOUR)
        assert [done, later] == list(await hooks.log("hook1", state=None, before=None, limit=10))
        assert [later] == list(await hooks.log("hook1", state=None, before=2, limit=10))
        assert [done] == list(await hooks.log("hook1", state=DeliveryState.DELIVERED, before=None, limit=10))
        assert [done] == list(await hooks.log("hook1", state=None, before=None, limit=1))

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_disabled_endpoint_is_not_told(kind: str, tmp_path: Path) -> None:
    """What waited for it has failed; enabled again it is told of what it has not been told of yet."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, OPENED)
        await hooks.add(a_hook())
        await hooks.spread(now=NOW, limit=10)
        await hooks.change(a_hook(disabled_at=NOW, disabled_why="gone (410)"))
        assert [] == await due(hooks)
        assert await hooks.next_due_at() is None
        (failed,) = await hooks.log("hook1", state=None, before=None, limit=10)
        assert (DeliveryState.FAILED, "gone (410)") == (failed.state, failed.text)
        await happen(desk, CLOSED)
        assert 0 == await hooks.spread(now=NOW, limit=10)
        await hooks.change(a_hook())
        assert 1 == await hooks.spread(now=NOW, limit=10)
        assert [("hook1", 2)] == await due(hooks)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_range_of_events_is_replayed(kind: str, tmp_path: Path) -> None:
    """Events that the endpoint asks for are due again, told before or not; others are not."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, *[OPENED, CLOSED] * 600)
        await hooks.add(a_hook(kinds=(CLOSED,), told_up_to=2))
        await hooks.record(tried("hook1", 2, DeliveryState.DELIVERED))
        assert 2 == await hooks.replay("hook1", first=1, last=4, now=NOW + HOUR)
        assert [("hook1", 2), ("hook1", 4)] == await due(hooks, NOW + HOUR)
        await hooks.record(tried("hook1", 2, DeliveryState.FAILED))
        assert 600 == await hooks.replay("hook1", first=0, last=10_000, now=NOW + HOUR)
        (again,) = [one for one in await hooks.log("hook1", state=None, before=3, limit=10) if one.event == 2]
        assert (DeliveryState.PENDING, 0, None) == (again.state, again.tries, again.status)
        assert 0 == await hooks.replay("nobody", first=1, last=4, now=NOW)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_deliveries_go_with_their_events(kind: str, tmp_path: Path) -> None:
    """After the retention of events neither is left, and nothing is due any more."""

    async def scenario(desk: Desk) -> None:
        hooks = desk.store.hooks
        await happen(desk, OPENED)
        await happen(desk, CLOSED, at=NOW + 300 * DAY)
        await hooks.add(a_hook())
        await hooks.spread(now=NOW, limit=10)
        await desk.spool.purge(now=NOW + 366 * DAY, retention=RETENTION, limit=10)
        assert [2] == [one.event for one in await hooks.log("hook1", state=None, before=None, limit=10)]
        assert [("hook1", 2)] == await due(hooks, NOW + 366 * DAY)

    play_at_desk(kind, tmp_path / "data", scenario)


@every_store
def test_a_reader_of_events_keeps_its_place(kind: str, tmp_path: Path) -> None:
    """A mark is empty at first and then what was stored last."""

    async def scenario(desk: Desk) -> None:
        marks = desk.store.marks
        assert "" == await marks.mark("notices")
        await marks.set_mark("notices", "17")
        await marks.set_mark("notices", "18")
        assert "18" == await marks.mark("notices")

    play_at_desk(kind, tmp_path / "data", scenario)
