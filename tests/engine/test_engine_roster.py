"""Ways that come, are replaced and go at the worst moments."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from peers.desk_room import DeskRoom, desk_room
from postroom.engine.roster import PART_GRACE_S
from postroom.errors import DiskFullError
from postroom.model.transport import StepTimeouts
from postroom.ports import Spool
from postroom.spool.sqlite.spool import SqliteSpool

RELAY = {"name": "relay", "host": "mail.example.com", "encryption": "none"}


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    """Tell a story in a room whose default transport is a stored one."""

    async def told() -> None:
        async with desk_room(path, ["main"]) as room:
            for name in ("relay", "spare"):
                made = await room.ask("POST", "/v1/transports", {**RELAY, "name": name})
                assert 201 == made.status
            await room.dispatcher.roster.leave("main", to="relay")
            await story(room)

    asyncio.run(told())


def full_once(verb: str, patch: pytest.MonkeyPatch) -> list[str]:
    """Let a verb of the store find the disk full, once; return where it is noted."""
    whole, met = getattr(SqliteSpool, verb), list[str]()

    async def full(spool: Spool, *args: Any, **parts: Any) -> Any:
        if not met:
            met.append(verb)
            raise DiskFullError("the disk is full")
        return await whole(spool, *args, **parts)

    patch.setattr(SqliteSpool, verb, full)
    return met


@pytest.mark.parametrize("verb", ["pauses", "limits", "hurry"])
def test_a_full_disk_leaves_no_mail_behind(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step of a change finds the disk full, what is handed in next is sent."""

    async def story(room: DeskRoom) -> None:
        with monkeypatch.context() as patch:
            met = full_once(verb, patch)
            await room.ask("PATCH", "/v1/transports/relay", {"host": "other.example.com"})
            assert [verb] == met
        sent = await room.send("a@example.org")
        assert ("relay", ["accepted"]) == ((await room.message(sent))["transport"], await room.states(sent))

    run(tmp_path, story)


def test_what_could_not_be_given_away_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A way is removed while the disk is full: its mail goes by the heir as soon as there is room."""

    async def story(room: DeskRoom) -> None:
        await room.ask("POST", "/v1/transports/relay/suspend", {"reason": "it is to go"})
        waiting = await room.send("a@example.org", settles=False)
        met = full_once("reroute", monkeypatch)
        assert 204 == (await room.ask("DELETE", "/v1/transports/relay", query="move_to=spare")).status
        assert ["reroute"] == met
        assert "spare" == (await room.settled(waiting))["transport"]

    run(tmp_path, story)


def test_no_line_begins_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that meets the server's end is recorded, and nothing is claimed for it any more."""

    async def story(room: DeskRoom) -> None:
        reached, on = asyncio.Event(), asyncio.Event()
        pauses = SqliteSpool.pauses

        async def late(spool: SqliteSpool) -> Any:
            reached.set()
            await on.wait()
            return await pauses(spool)

        monkeypatch.setattr(SqliteSpool, "pauses", late)
        change = {"host": "other.example.com"}
        changing = asyncio.create_task(room.ask("PATCH", "/v1/transports/relay", change))
        await reached.wait()
        await room.dispatcher.stop(grace_s=1)
        on.set()
        assert 200 == (await changing).status
        line = room.dispatcher.roster.named("relay")
        assert line is None or line.is_leaving
        stored = {record.name: record.fields["host"] for record in await room.store.transports.all()}
        assert "other.example.com" == stored["relay"]

    run(tmp_path, story)


def test_nothing_hurries_what_is_past_its_dot(tmp_path: Path) -> None:
    """An attempt that waits for the reply to its dot outlives the change of its account.

    Cut, it would be uncertain and might arrive twice.
    """

    async def story(room: DeskRoom) -> None:
        old, graces = room.transports["relay"], list[float]()
        old.gate = asyncio.Event()
        sent = await room.send("a@example.org", settles=False)
        async with old.given:
            await old.given.wait_for(lambda: bool(old.works))

        async def stop(*, grace_s: float) -> None:
            graces.append(grace_s)

        old.stop = stop  # type: ignore[method-assign] # the server is slow, not hung
        assert 200 == (await room.ask("PATCH", "/v1/transports/relay", {"rate": "100/s"})).status
        old.gate.set()
        await room.settled(sent)
        assert ["accepted"] == await room.states(sent)
        assert [PART_GRACE_S] == graces
        assert StepTimeouts().body_end < PART_GRACE_S

    run(tmp_path, story)
