"""Routes, failing over, pauses, learnt limits and the pace, the same on every store."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.model.attempt import Move
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.view import LearntLimit, MessageFilter, PauseKind, TransportPause
from postroom.spool.sqlite import routes
from spool.spool_room import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    RETENTION,
    Room,
    a_message,
    a_settlement,
    accepted,
    deferred,
    every_store,
    play,
    uncertain,
)

PAIR = "failover(main spare)"
WAIT = timedelta(minutes=15)


@every_store
def test_what_waits_goes_over_the_next_leg(kind: str, tmp_path: Path) -> None:
    """Of one route and one leg all that waits moves, is due at once, and is shown where it is."""

    async def scenario(room: Room) -> None:
        moved, later, other, elsewhere = a_message(2), a_message(), a_message(), a_message()
        for message in (moved, later):
            await room.accept(message, route=PAIR)
        await room.accept(other, route="failover(main third)")
        await room.accept(elsewhere, route=PAIR, transport="spare")
        assert sorted([PAIR, "failover(main third)"]) == list(await room.spool.routes_waiting("main"))
        (lease,) = [one.lease for one in await room.claim() if one.message.id == later.id]
        await room.settle(lease, deferred(until=NOW + HOUR))
        await room.spool.recover(now=NOW, wait=WAIT)
        assert 3 == await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW)
        assert ["failover(main third)"] == list(await room.spool.routes_waiting("main"))
        assert [PAIR] == list(await room.spool.routes_waiting("spare"))
        claimed = [*await room.claim(transport="spare"), *await room.claim(transport="spare")]
        assert {moved.id, later.id, elsewhere.id} == {one.message.id for one in claimed}
        assert ("spare", PAIR) == ((view := await room.view(moved.id)).transport, view.route)
        summary = await room.spool.list(MessageFilter(tenant=DEFAULT_TENANT, transport="main"))
        assert [(other.id, "failover(main third)")] == [(one.id, one.route) for one in summary]

    play(kind, tmp_path / "data", scenario)


@every_store
def test_scheduled_mail_fails_over_without_being_early(kind: str, tmp_path: Path) -> None:
    """Another leg is no reason to send before the time that was asked for."""

    async def scenario(room: Room) -> None:
        message = a_message(send_at=NOW + HOUR)
        await room.accept(message, route=PAIR)
        assert 1 == await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW)
        assert NOW + HOUR == await room.spool.next_due_at("spare")
        assert await room.spool.next_due_at("main") is None

    play(kind, tmp_path / "data", scenario)


@every_store
def test_what_waits_for_a_mended_account_is_hurried(kind: str, tmp_path: Path) -> None:
    """Queued groups are due now, scheduled ones at their time; what a server deferred keeps its own."""

    async def scenario(room: Room) -> None:
        waiting, scheduled, greylisted = a_message(), a_message(send_at=NOW + HOUR), a_message()
        for message in (waiting, scheduled, greylisted):
            await room.accept(message)
        other = a_message()
        await room.accept(other, transport="spare")
        for claimed in await room.claim():
            state = RecipientState.QUEUED if claimed.message.id == waiting.id else RecipientState.DEFERRED
            move = Move(recipient=0, state=state, due_at=NOW + DAY, cause="sender-refused")
            await room.settle(claimed.lease, move)
        assert (3, 1) == (await room.spool.waiting("main"), await room.spool.waiting("spare"))
        await room.spool.hurry("main", now=NOW + MINUTE)
        due = {
            message.id: (await room.view(message.id)).recipients[0].due_at
            for message in (waiting, scheduled, greylisted)
        }
        assert [NOW + MINUTE, NOW + HOUR, NOW + DAY] == list(due.values())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_what_may_have_arrived_stays_with_its_leg(kind: str, tmp_path: Path) -> None:
    """Uncertain mail, mail whose bytes were handed over once, leased and held mail do not fail over."""

    async def scenario(room: Room) -> None:
        kinds = dict.fromkeys(["uncertain", "handed over", "held", "leased"])
        messages = {name: a_message(policy=UncertainPolicy.RETRY) for name in kinds}
        for message in messages.values():
            await room.accept(message, route=PAIR)
        leases = {one.message.id: one.lease for one in await room.claim()}
        for name, move in (
            ("uncertain", uncertain(until=NOW)),
            ("handed over", deferred(until=NOW)),
            ("held", Move(recipient=0, state=RecipientState.HELD, cause="bytes-changed")),
        ):
            lease = leases[messages[name].id]
            if name != "held":
                await room.commit(lease)
            await room.settle(lease, move)
        assert 0 == await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW)
        only = [MailClass.TRANSACTIONAL]
        none = await room.spool.fail_over(
            "main", route=PAIR, to="spare", now=NOW, even_uncertain=[MailClass.BULK]
        )
        some = await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW, even_uncertain=only)
        assert (0, 2) == (none, some)
        claimed = await room.claim(transport="spare")
        assert {messages["uncertain"].id, messages["handed over"].id} == {one.message.id for one in claimed}
        assert all(one.digest for one in claimed)

    play(kind, tmp_path / "data", scenario)


@every_store
def test_failing_over_is_told_per_message(kind: str, tmp_path: Path) -> None:
    """The story of a message says from where and to where it was given."""

    async def scenario(room: Room) -> None:
        message = a_message(2)
        await room.accept(message, route=PAIR)
        await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW + MINUTE)
        assert [("message.queued", (), ""), ("recipient.queued", (0, 1), "failover")] == await room.story(
            message.id
        )

    play(kind, tmp_path / "data", scenario)


def test_failing_over_goes_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two chunks other work is done, and none is passed over."""
    monkeypatch.setattr(routes, "CHUNK", 10)

    async def scenario(room: Room) -> None:
        for _ in range(35):
            await room.accept(route=PAIR)
        assert 35 == await room.spool.fail_over("main", route=PAIR, to="spare", now=NOW)
        assert 35 == len(await room.claim(transport="spare", limit=100))

    play("sqlite", tmp_path / "data", scenario)


@every_store
def test_rerouting_keeps_the_due_time_and_the_route(kind: str, tmp_path: Path) -> None:
    """Mail of a transport that was taken out of the settings waits for another, as long as before."""

    async def scenario(room: Room) -> None:
        await room.accept(a_message(send_at=NOW + HOUR), transport="gone", route="failover(gone main)")
        assert 1 == await room.spool.reroute(known=["main"], to="main")
        assert NOW + HOUR == await room.spool.next_due_at("main")
        assert ["failover(gone main)"] == list(await room.spool.routes_waiting("main"))

    play(kind, tmp_path / "data", scenario)


# --------------------------------------------------------------------------- pauses and pace


def a_pause(kind: PauseKind, transport: str = "main", *, minutes: int = 1) -> TransportPause:
    return TransportPause(
        transport=transport,
        kind=kind,
        is_open=kind is not PauseKind.CONNECT,
        author="ann" if kind is PauseKind.SUSPENDED else "",
        since=NOW,
        until=NOW + minutes * MINUTE,
        cause="login-refused",
        step="auth",
        text="535 no",
        host="mx.example.org",
        failures=2,
    )


@every_store
def test_a_transport_may_wait_for_several_things(kind: str, tmp_path: Path) -> None:
    """Pauses are kept by kind; success ends all of them but a person's, which ends by its name."""

    async def scenario(room: Room) -> None:
        kinds = sorted(set(PauseKind) - {PauseKind.SECRETS})
        pauses = [a_pause(one) for one in kinds] + [a_pause(PauseKind.LOGIN, "other")]
        for pause in pauses:
            await room.spool.pause(a_pause(pause.kind, pause.transport, minutes=9))
            await room.spool.pause(pause)
        assert pauses == list(await room.spool.pauses())
        await room.spool.resume("main", kind=PauseKind.QUOTA)
        await room.spool.resume("main")
        assert [pauses[3], pauses[5]] == list(await room.spool.pauses())
        await room.spool.resume("main", kind=PauseKind.SUSPENDED)
        assert [pauses[5]] == list(await room.spool.pauses())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_learnt_limits_are_kept_by_window(kind: str, tmp_path: Path) -> None:
    """A new limit replaces that of its window and says what it was learnt from."""

    def learnt(window_s: int, allowed: int) -> LearntLimit:
        text = "450 4.2.1 slow down"
        return LearntLimit(
            transport="main", window_s=window_s, allowed=allowed, seen=60, learnt_at=NOW, text=text
        )

    async def scenario(room: Room) -> None:
        for limit in (learnt(3600, 100), learnt(60, 20), learnt(3600, 50)):
            await room.spool.store_limit(limit)
        assert [learnt(60, 20), learnt(3600, 50)] == list(await room.spool.limits())
        await room.spool.forget_limit("main", 60)
        assert [learnt(3600, 50)] == list(await room.spool.limits())

    play(kind, tmp_path / "data", scenario)


@every_store
def test_attempts_are_counted_by_minute(kind: str, tmp_path: Path) -> None:
    """What began counts in its minute; what never began is given back; two days are kept."""

    async def scenario(room: Room) -> None:
        for _ in range(6):
            await room.accept()
        first = await room.claim(NOW, limit=4)
        second = await room.claim(NOW + MINUTE, limit=2)
        assert [(NOW, 4), (NOW + MINUTE, 2)] == list(await room.spool.sent("main", since=NOW))
        await room.settle(first[0].lease, accepted())
        nowhere = a_settlement(first[1].lease, deferred(), counts=False, at=NOW + 2 * MINUTE)
        await room.spool.settle(replace(nowhere, results=()))
        await room.spool.release([first[2].lease, second[0].lease, second[1].lease])
        assert [(NOW, 2)] == list(await room.spool.sent("main", since=NOW - HOUR))
        assert [] == list(await room.spool.sent("main", since=NOW + MINUTE))
        assert [] == list(await room.spool.sent("other", since=NOW))
        await room.spool.purge(now=NOW + DAY, retention=RETENTION, limit=10)
        assert [(NOW, 2)] == list(await room.spool.sent("main", since=NOW))
        await room.spool.purge(now=NOW + 2 * DAY + MINUTE, retention=RETENTION, limit=10)
        assert [] == list(await room.spool.sent("main", since=NOW))

    play(kind, tmp_path / "data", scenario)
