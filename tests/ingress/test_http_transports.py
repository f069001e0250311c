"""Ways out, through the application on a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from peers.desk_room import OTHER, DeskRoom, by_name, desk_room
from peers.engine_room import BAD_LOGIN
from postroom.model.lifecycle import RecipientState
from postroom.schema import answers, transport_answers

GOOD = "a@example.com"


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    """Tell a story in a room."""

    async def told() -> None:
        async with desk_room(path) as room:
            await story(room)

    asyncio.run(told())


def test_a_suspended_transport_sends_nothing(tmp_path: Path) -> None:
    """Mail waits for a suspended transport with the reason on it, and goes when a person resumes it."""

    async def story(room: DeskRoom) -> None:
        until = room.clock.now() + timedelta(hours=2)
        body = {"reason": "the account is under review", "until": until.isoformat()}
        answer = await room.ask("POST", "/v1/transports/main/suspend", body)
        assert 200 == answer.status, answer.json()
        transport_answers.OneTransportAnswer.model_validate(answer.json())
        assert "suspended" == answer.json()["state"]
        (pause,) = answer.json()["pauses"]
        assert ("suspended", "kim-default", "the account is under review", answers.instant(until)) == (
            pause["kind"],
            pause["author"],
            pause["evidence"],
            pause["until"],
        )
        waiting = await room.send(GOOD, settles=False)
        shown = await room.message(waiting)
        assert RecipientState.QUEUED.value == shown["state"]
        assert "transport-suspended" == shown["recipients"][0]["cause"]
        resumed = await room.ask("POST", "/v1/transports/main/resume")
        assert "working" == resumed.json()["state"]
        await room.settled(waiting)
        assert 1 == room.copies(GOOD)
        events = (await room.ask("GET", "/v1/events", query="transport=main")).json()["events"]
        told = [one["text"] for one in events if one["kind"].startswith("transport.")][::-1]
        assert [
            "Sending by main was suspended (kim-default): the account is under review.",
            "Sending by main was resumed (kim-default).",
        ] == told

    run(tmp_path, story)


def test_no_instant_is_made_up_for_a_suspension_without_end(tmp_path: Path) -> None:
    """Mail that waits for a person has no next attempt, however far away."""

    async def story(room: DeskRoom) -> None:
        await room.ask("POST", "/v1/transports/main/suspend", {"reason": "a test"})
        shown = await room.message(await room.send(GOOD, settles=False))
        assert ("queued", None) == (shown["state"], shown["next_attempt_at"])

    run(tmp_path, story)


def test_an_outage_says_what_to_do(tmp_path: Path) -> None:
    """A refused login is shown with the server's words, their meaning and the remedy; a person may resume."""

    async def story(room: DeskRoom) -> None:
        room.transports["main"].script = lambda _work, _number: BAD_LOGIN
        mail = {"to": GOOD, "text": "It works."}
        answer = await room.ask("POST", "/v1/messages", mail, headers={"prefer": "wait=20"})
        sent = answer.json()["id"]
        shown = (await room.ask("GET", "/v1/transports/main")).json()
        transport_answers.OneTransportAnswer.model_validate(shown)
        (pause,) = shown["pauses"]
        assert ("down", "login", True) == (shown["state"], pause["kind"], pause["open"])
        assert "535" in pause["evidence"]
        assert pause["meaning"]
        assert pause["remedy"]
        room.transports["main"].script = by_name
        assert 200 == (await room.ask("POST", "/v1/transports/main/resume")).status
        await room.settled(sent)
        assert ["accepted"] == await room.states(sent)

    run(tmp_path, story)


def test_transports_are_the_house_s(tmp_path: Path) -> None:
    """A key of another tenant neither sees nor suspends one; unknown names and idle resumes are told."""

    async def story(room: DeskRoom) -> None:
        listed = (await room.ask("GET", "/v1/transports")).json()
        transport_answers.TransportListAnswer.model_validate(listed)
        assert [("main", True), ("spare", False)] == [
            (one["name"], one["default"]) for one in listed["transports"]
        ]
        for method, path in (
            ("GET", "/v1/transports"),
            ("GET", "/v1/transports/main"),
            ("POST", "/v1/transports/main/suspend"),
            ("POST", "/v1/transports/main/resume"),
        ):
            body = {"reason": "x"} if path.endswith("suspend") else None
            answer = await room.ask(method, path, body, tenant=OTHER)
            assert (403, "house-only") == (answer.status, answer.json()["code"])
        assert 404 == (await room.ask("GET", "/v1/transports/none")).status
        idle = await room.ask("POST", "/v1/transports/main/resume")
        assert (409, "nothing-to-resume") == (idle.status, idle.json()["code"])
        past = {"reason": "x", "until": room.clock.now().isoformat()}
        refused = await room.ask("POST", "/v1/transports/main/suspend", past)
        assert [("until-passed", "until")] == refused.problems()

    run(tmp_path, story)
