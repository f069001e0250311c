"""The story of what happened: appended in the transaction of the change, the same on every store."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.model.attempt import Move
from postroom.model.event import EventFilter, EventKind, NewEvent
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.spool.sqlite.statement import statement
from spool.spool_room import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    Room,
    a_message,
    accepted,
    deferred,
    every_store,
    play,
    uncertain,
)
from spool.sqlite_room import database, filled, on, open_

ANY = EventFilter(tenant=None, limit=100)


def a_transport_event(minutes: int = 0, transport: str = "main") -> NewEvent:
    return NewEvent(
        at=NOW + minutes * MINUTE,
        kind=EventKind.TRANSPORT_OPENED,
        transport=transport,
        cause="login-refused",
        data={"text": "535 5.7.8 nein, größer"},
    )


@every_store
def test_a_settlement_is_one_event_for_each_fate(kind: str, tmp_path: Path) -> None:
    """Recipients that changed in the same way share an event; those that wait on have none."""

    async def scenario(room: Room) -> None:
        message = a_message(7)
        await room.accept(message)
        lease = (await room.claim_one()).lease
        moves = [accepted(0), deferred(1), accepted(2), deferred(3, cause="busy"), deferred(4)]
        requeued = Move(recipient=5, state=RecipientState.QUEUED, due_at=NOW, cause="no-way")
        await room.settle(lease, *moves, requeued, at=NOW + MINUTE)
        assert [
            ("message.queued", (), ""),
            ("recipient.accepted", (0, 2), ""),
            ("recipient.deferred", (1, 4), "greylisted"),
            ("recipient.deferred", (3,), "busy"),
        ] == await room.story(message.id)
        (event,) = await room.store.events.page(replace(ANY, kinds=(EventKind.RECIPIENT_ACCEPTED,)))
        assert (NOW + MINUTE, "main", message.id) == (event.at, event.transport, event.message_id)
        assert ("bob0@example.org", "bob2@example.org") == event.addresses

    play(kind, tmp_path / "data", scenario)


@every_store
def test_every_end_of_waiting_is_told(kind: str, tmp_path: Path) -> None:
    """Cancelled, expired, and uncertain after a death: each verb appends its event itself."""

    async def scenario(room: Room) -> None:
        cancelled, expired, lost, lapsed = a_message(2), a_message(life=HOUR), a_message(), a_message()
        policy = UncertainPolicy.ASK
        lost, lapsed = (replace(message, uncertain_policy=policy) for message in (lost, lapsed))
        await room.accept(lapsed)
        await room.commit((await room.claim_one(until=MINUTE)).lease)
        await room.claim(NOW + MINUTE)
        for message in (lost, cancelled, expired):
            await room.accept(message)
        await room.commit((await room.claim_one()).lease)
        await room.spool.recover(now=NOW, wait=timedelta())
        await room.spool.cancel(cancelled.id, tenant=DEFAULT_TENANT, now=NOW)
        await room.spool.expire(now=NOW + HOUR, limit=10)
        ends = [(await room.story(message.id))[1:] for message in (cancelled, expired, lost, lapsed)]
        assert [
            [("recipient.cancelled", (0, 1), "")],
            [("recipient.expired", (0,), "")],
            [("recipient.uncertain", (0,), "conn-lost-body")],
            [("recipient.uncertain", (0,), "conn-lost-body")],
        ] == ends

    play(kind, tmp_path / "data", scenario)


@every_store
def test_what_did_not_happen_is_not_told(kind: str, tmp_path: Path) -> None:
    """A settlement under a lease that is over, a released attempt and a replayed call leave no event."""

    async def scenario(room: Room) -> None:
        message = a_message()
        await room.accept(message)
        lease = (await room.claim_one()).lease
        await room.spool.release([lease])
        assert not await room.settle(lease, accepted())
        assert 1 == await room.store.events.newest()
        assert [("message.queued", (), "")] == await room.story(message.id)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_pages_go_forward_and_back(kind: str, tmp_path: Path) -> None:
    """Numbers grow by one order for all; ``after`` reads the oldest first, else the newest come first."""

    async def scenario(room: Room) -> None:
        assert 0 == await room.store.events.newest()
        assert [] == list(await room.store.events.page(ANY))
        await room.store.events.append([a_transport_event(number) for number in range(5)])
        await room.store.events.append([])

        async def numbers(**changes: object) -> list[int]:
            wanted = replace(ANY, **changes)  # type: ignore[arg-type]  # members of the filter
            return [event.number for event in await room.store.events.page(wanted)]

        assert 5 == await room.store.events.newest()
        assert [1, 2] == await numbers(after=0, limit=2)
        assert [3, 4, 5] == await numbers(after=2)
        assert [5, 4] == await numbers(limit=2)
        assert [3, 2, 1] == await numbers(before=4)
        assert [] == await numbers(after=5)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_filters_of_the_story(kind: str, tmp_path: Path) -> None:
    """By tenant, by kinds usual and unusual, by message and by transport; each alone and together."""

    async def scenario(room: Room) -> None:
        mine, other = a_message(), a_message(tenant=TenantId("other"))
        await room.accept(mine)
        await room.accept(other, transport="spare")
        await room.settle((await room.claim_one()).lease, accepted())
        await room.spool.cancel(other.id, tenant=TenantId("other"), now=NOW)
        note = NewEvent(
            at=NOW,
            kind=EventKind.RECIPIENT_QUEUED,
            message_id=mine.id,
            recipients=(0,),
            data={"author": "ann"},
        )
        await room.store.events.append([a_transport_event(), note, a_transport_event(1, "spare")])

        async def found(**members: object) -> list[int]:
            wanted = EventFilter(**{"tenant": None, "after": 0, **members})  # type: ignore[arg-type]  # as above
            return [event.number for event in await room.store.events.page(wanted)]

        opened, queued, cancelled = (
            EventKind.TRANSPORT_OPENED,
            EventKind.MESSAGE_QUEUED,
            EventKind.RECIPIENT_CANCELLED,
        )
        assert [1, 3, 5, 6, 7] == await found(tenant=DEFAULT_TENANT)
        assert [2, 4] == await found(tenant=TenantId("other"))
        assert [5, 7] == await found(kinds=(opened,))
        assert [4, 5, 7] == await found(kinds=(opened, cancelled))
        assert [1, 2, 4] == await found(kinds=(queued, cancelled))
        assert [4, 7] == await found(kinds=(opened, cancelled), transport="spare")
        assert [4, 5] == await found(kinds=(opened, cancelled), limit=2)
        assert [1, 3, 6] == await found(message_id=mine.id)
        assert [] == await found(message_id=mine.id, tenant=TenantId("other"))
        assert [6] == await found(message_id=mine.id, kinds=(EventKind.RECIPIENT_QUEUED, cancelled))
        (event,) = await room.store.events.page(replace(ANY, before=6, limit=1))
        assert {"text": "535 5.7.8 nein, größer"} == event.data
        assert (None, (), ()) == (event.message_id, event.recipients, event.addresses)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_the_story_goes_with_its_retention(kind: str, tmp_path: Path) -> None:
    """Events of a purged message go with it, others by their age; no number is ever given again."""

    async def scenario(room: Room) -> None:
        done, waiting = a_message(), a_message(life=1000 * DAY)
        await room.accept(done)
        await room.accept(waiting)
        await room.spool.cancel(done.id, tenant=DEFAULT_TENANT, now=NOW)
        await room.store.events.append([a_transport_event()])
        purge = room.spool.purge
        assert 4 == await purge(now=NOW + 366 * DAY, retention=RETENTION, limit=10)
        assert [] == list(await room.store.events.page(ANY))
        await room.store.events.append([a_transport_event()])
        assert 5 == await room.store.events.newest()

    play(kind, tmp_path / "data", scenario)


def test_numbers_are_not_given_again_after_a_start(tmp_path: Path) -> None:
    """Also when the newest events were purged before the stop."""
    filled(tmp_path, a_message())

    async def purge(room: Room) -> None:
        await room.settle((await room.claim_one()).lease, accepted())
        await room.spool.purge(now=NOW + 400 * DAY, retention=RETENTION, limit=10)
        assert 0 == await room.store.events.newest()

    async def again(room: Room) -> None:
        await room.store.events.append([a_transport_event()])
        assert 3 == await room.store.events.newest()

    on(open_(tmp_path), purge)
    on(open_(tmp_path), again)


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ("AND event.seq = (SELECT seq FROM message WHERE id = 'x')", "event_message (seq=?)"),
        (
            (
                "AND event.kind = 'recipient.held' AND event.kind <> 'message.queued'"
                " AND event.kind <> 'recipient.accepted' AND event.kind <> 'recipient.captured'"
            ),
            "event_unusual (kind=?)",
        ),
    ],
)
def test_stories_are_found_by_an_index(tmp_path: Path, changes: str, index: str) -> None:
    """The events of a message, and rare kinds, are found without walking over all events."""
    filled(tmp_path)
    text = statement("event_page").replace("{conditions}", changes).replace("{order}", "DESC")
    with database(tmp_path) as db:
        plan = [str(row[3]) for row in db.execute("EXPLAIN QUERY PLAN " + text, {"limit": 1})]
    assert f"SEARCH event USING INDEX {index}" == plan[0]
    assert not [step for step in plan if "TEMP B-TREE" in step]


def test_uncertain_is_told_of_each_group(tmp_path: Path) -> None:
    """A settlement that leaves recipients in doubt tells it with the cause, once."""

    async def scenario(room: Room) -> None:
        message = a_message(3, policy=UncertainPolicy.ASK)
        await room.accept(message)
        await room.settle((await room.claim_one()).lease, uncertain(0), uncertain(2), accepted(1))
        assert ("recipient.uncertain", (0, 2), "conn-lost-body") == (await room.story(message.id))[1]

    play("sqlite", tmp_path / "data", scenario)
