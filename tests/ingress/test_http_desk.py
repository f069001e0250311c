"""What a person does to stored mail, through the application on a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from peers.desk_room import DeskRoom, desk_room
from postroom.schema import answers, desk_answers

REFUSED, LATER, LOST, GOOD = "refused@example.com", "later@example.com", "lost@example.com", "a@example.com"


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    """Tell a story in a room."""

    async def told() -> None:
        async with desk_room(path) as room:
            await story(room)

    asyncio.run(told())


# --------------------------------------------------------------------------- one message


def test_only_the_chosen_are_sent_again(tmp_path: Path) -> None:
    """A retry by address or number reaches those recipients and never one that was accepted."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(REFUSED, GOOD, "Refused@example.net", LATER)
        answer = await room.ask("POST", f"/v1/messages/{sent}/retry", {"recipients": [REFUSED.upper()]})
        assert 200 == answer.status, answer.json()
        desk_answers.ChangedMessageAnswer.model_validate(answer.json())
        assert {"recipients": 1, "messages": 1, "left": 0} == answer.json()["changed"]
        await room.settled(sent)
        assert [2, 1, 1, 1] == [room.copies(one) for one in (REFUSED, GOOD, "Refused@example.net", LATER)]
        numbered = await room.ask("POST", f"/v1/messages/{sent}/retry", {"recipients": [1]})
        assert (409, "nothing-to-change") == (numbered.status, numbered.json()["code"])
        assert "accepted" == numbered.json()["recipients"][1]["state"]
        assert 1 == room.copies(GOOD)

    run(tmp_path, story)


def test_a_retry_without_a_body_takes_all_that_fit(tmp_path: Path) -> None:
    """A POST of nothing retries what was refused and deferred; what was accepted stays."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(REFUSED, GOOD, LATER)
        answer = await room.ask("POST", f"/v1/messages/{sent}/retry")
        assert 2 == answer.json()["changed"]["recipients"]
        await room.settled(sent)
        assert [2, 1, 2] == [room.copies(one) for one in (REFUSED, GOOD, LATER)]

    run(tmp_path, story)


def test_a_retry_at_a_time_waits_for_it(tmp_path: Path) -> None:
    """With `at` nothing is sent before that time."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(REFUSED)
        at = room.clock.now() + timedelta(hours=1)
        answer = await room.ask("POST", f"/v1/messages/{sent}/retry", {"at": at.isoformat()})
        assert ("queued", answers.instant(at)) == (answer.json()["state"], answer.json()["next_attempt_at"])
        assert 1 == room.copies(REFUSED)
        room.later(3600)
        await room.settled(sent)
        assert 2 == room.copies(REFUSED)

    run(tmp_path, story)


def test_a_possible_copy_is_confirmed(tmp_path: Path) -> None:
    """An uncertain recipient is retried only by who says that a second copy is fine."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(LOST, uncertain_policy="ask")
        assert ["uncertain"] == await room.states(sent)
        refused = await room.ask("POST", f"/v1/messages/{sent}/retry", {})
        assert (409, "nothing-to-change") == (refused.status, refused.json()["code"])
        taken = await room.ask("POST", f"/v1/messages/{sent}/retry", {"confirm_duplicate": True})
        assert 1 == taken.json()["changed"]["recipients"]
        await room.settled(sent)
        assert 2 == room.copies(LOST)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("resolution", "state", "copies"),
    [("arrived", "accepted", 1), ("drop", "cancelled", 1), ("send_again", "uncertain", 2)],
)
def test_a_person_resolves(tmp_path: Path, resolution: str, state: str, copies: int) -> None:
    """It arrived: accepted with the note; drop: cancelled; send again: another attempt, same bytes."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(LOST, GOOD, uncertain_policy="ask")
        body = {"resolution": resolution, "note": "they rang"}
        answer = await room.ask("POST", f"/v1/messages/{sent}/resolve", body)
        assert {"recipients": 1, "messages": 1, "left": 1} == answer.json()["changed"]
        await room.settled(sent)
        assert [state, "accepted"] == await room.states(sent)
        assert [copies, 1] == [room.copies(LOST), room.copies(GOOD)]
        events = (await room.ask("GET", f"/v1/messages/{sent}/events")).json()["events"]
        notes = [one["data"].get("note") for one in events if one["data"].get("author") == "kim-default"]
        assert ["they rang"] == notes
        bodies = {work.rendered.digest for one in room.transports.values() for work in one.works}
        assert 1 == len(bodies)

    run(tmp_path, story)


def test_new_times_until_it_is_claimed(tmp_path: Path) -> None:
    """A scheduled message takes new times; after its first attempt it is a conflict that shows the states."""

    async def story(room: DeskRoom) -> None:
        now = room.clock.now()
        at = (now + timedelta(days=1)).isoformat()
        sent = await room.send(GOOD, settles=False, send_at=at)
        sooner = now + timedelta(hours=1)
        body = {"send_at": sooner.isoformat(), "expires_at": (now + timedelta(days=2)).isoformat()}
        answer = await room.ask("PATCH", f"/v1/messages/{sent}", body)
        assert 200 == answer.status, answer.json()
        answers.MessageAnswer.model_validate(answer.json())
        assert answers.instant(sooner) == answer.json()["next_attempt_at"]
        assert answers.instant(now + timedelta(days=2)) == answer.json()["expires_at"]
        wrong = {"expires_at": (now + timedelta(minutes=5)).isoformat(), "send_at": sooner.isoformat()}
        early = await room.ask("PATCH", f"/v1/messages/{sent}", wrong)
        assert (422, "expires-too-early") == (early.status, early.json()["code"])
        assert [("missing-field", "send_at")] == (
            await room.ask("PATCH", f"/v1/messages/{sent}", {})
        ).problems()
        room.later(3600)
        await room.settled(sent)
        late = await room.ask("PATCH", f"/v1/messages/{sent}", {"send_at": at})
        assert (409, "too-late") == (late.status, late.json()["code"])
        assert [{"address": GOOD, "state": "accepted"}] == late.json()["recipients"]

    run(tmp_path, story)


def test_recipients_that_are_not_there(tmp_path: Path) -> None:
    """Every address and number that is no recipient is named, and nothing is changed."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(REFUSED)
        chosen = {"recipients": [REFUSED, "b@example.com", 7, -1]}
        answer = await room.ask("POST", f"/v1/messages/{sent}/retry", chosen)
        assert 422 == answer.status
        assert {("recipient-unknown", f"recipients.{place}") for place in (1, 2, 3)} == set(answer.problems())
        assert 1 == room.copies(REFUSED)
        for path, body in (
            ("retry", {}),
            ("resolve", {"resolution": "drop", "note": "x"}),
            ("release", None),
        ):
            assert 404 == (await room.ask("POST", f"/v1/messages/no/{path}", body)).status, path
        assert 404 == (await room.ask("GET", "/v1/messages/no/events")).status

    run(tmp_path, story)


# --------------------------------------------------------------------------- many messages


async def counted(room: DeskRoom, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await room.ask("POST", f"/v1/messages/{verb}", body)
    assert 200 == answer.status, answer.json()
    desk_answers.BulkAnswer.model_validate(answer.json())
    value: dict[str, Any] = answer.json()
    return value


def test_many_are_counted_and_then_changed_once(tmp_path: Path) -> None:
    """The dry run changes nothing; its token does what was counted, leaves later mail, works once."""

    async def story(room: DeskRoom) -> None:
        before = [await room.send(REFUSED, GOOD) for _ in range(3)]
        await room.send(REFUSED, tags=["other"])
        body: dict[str, Any] = {"filter": {"state": "refused", "recipient": "@EXAMPLE.com"}}
        room.clock.advance(1)
        dry = await counted(room, "retry", body)
        assert (True, 4, 4, 0) == (dry["dry_run"], dry["recipients"], dry["messages"], dry["left"])
        assert 4 == room.copies(REFUSED)
        room.clock.advance(1)
        late = await room.send(REFUSED)
        done = await counted(room, "retry", {**body, "token": dry["token"]})
        assert (False, 4, None) == (done["dry_run"], done["recipients"], done["token"])
        for sent in before:
            assert ["refused", "accepted"] == [
                one["state"] for one in (await room.settled(sent))["recipients"]
            ]
        assert ["refused"] == await room.states(late)
        again = await room.ask("POST", "/v1/messages/retry", {**body, "token": dry["token"]})
        assert (409, "token-used") == (again.status, again.json()["code"])
        assert [9, 3] == [room.copies(REFUSED), room.copies(GOOD)]

    run(tmp_path, story)


def test_a_token_used_twice_at_once_is_one_action(tmp_path: Path) -> None:
    """Of many requests with one token at the same time one acts, the others are conflicts."""

    async def story(room: DeskRoom) -> None:
        await room.send(REFUSED)
        room.clock.advance(1)
        body: dict[str, Any] = {"filter": {"state": "refused"}}
        dry = await counted(room, "retry", body)
        both = await asyncio.gather(
            *(room.ask("POST", "/v1/messages/retry", {**body, "token": dry["token"]}) for _ in range(8))
        )
        assert [200, *[409] * 7] == sorted(one.status for one in both)
        room.later(1)
        events = (await room.ask("GET", "/v1/events", query="kinds=recipient.queued")).json()["events"]
        assert 1 == len(events)

    run(tmp_path, story)


def test_a_person_is_let_in_when_the_server_is_behind(tmp_path: Path) -> None:
    """Under overload new mail is told to come back, and what could end the overload is done."""

    async def story(room: DeskRoom) -> None:
        room.app._is_overloaded = lambda: True
        assert 503 == (await room.ask("POST", "/v1/messages", {"to": GOOD, "text": "x"})).status
        hold = {"filter": {"class": "bulk"}, "reason": "too much at once"}
        assert 201 == (await room.ask("POST", "/v1/holds", hold)).status
        assert 200 == (await room.ask("POST", "/v1/transports/main/suspend", {"reason": "x"})).status

    run(tmp_path, story)


def test_uncertain_mail_of_an_account_is_resolved_together(tmp_path: Path) -> None:
    """What one account left uncertain is counted and resolved by one filter, with a note on each."""

    async def story(room: DeskRoom) -> None:
        lost = [await room.send(LOST, GOOD, uncertain_policy="ask") for _ in range(2)]
        room.clock.advance(1)
        listed = await room.ask("GET", "/v1/messages", query="state=uncertain")
        assert set(lost) == {one["id"] for one in listed.json()["messages"]}
        body: dict[str, Any] = {
            "filter": {"state": "uncertain", "transport": "main"},
            "resolution": "arrived",
            "note": "the log of the account has them",
        }
        dry = await counted(room, "resolve", body)
        assert (2, 2) == (dry["recipients"], dry["messages"])
        other = await room.ask(
            "POST", "/v1/messages/resolve", {**body, "resolution": "drop", "token": dry["token"]}
        )
        assert [("token-invalid", "token")] == other.problems()
        assert 2 == (await counted(room, "resolve", {**body, "token": dry["token"]}))["recipients"]
        for sent in lost:
            assert ["accepted", "accepted"] == await room.states(sent)

    run(tmp_path, story)


def test_all_mail_is_never_meant_by_omission(tmp_path: Path) -> None:
    """A filter without a member is refused for each verb, and so is a bulk retry of uncertain mail."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(LATER)
        more = {"resolve": {"resolution": "drop", "note": "x"}}
        for verb in ("retry", "cancel", "resolve", "release"):
            for empty in ({}, {"state": None}):
                answer = await room.ask(
                    "POST", f"/v1/messages/{verb}", {"filter": empty, **more.get(verb, {})}
                )
                assert [("filter-empty", "filter")] == answer.problems(), verb
        doubtful = await room.ask("POST", "/v1/messages/retry", {"filter": {"state": "uncertain"}})
        assert [("uncertain-not-retried", "filter.state")] == doubtful.problems()
        assert ["deferred"] == await room.states(sent)

    run(tmp_path, story)


def test_many_are_cancelled_and_released(tmp_path: Path) -> None:
    """What waits is cancelled by class; what is held is released by tag."""

    async def story(room: DeskRoom) -> None:
        bulk = await room.send(LATER, mail_class="bulk")
        kept = await room.send(LATER)
        hold = await room.ask("POST", "/v1/holds", {"filter": {"tag": "check"}, "reason": "a look"})
        assert 201 == hold.status, hold.json()
        held = await room.send(GOOD, tags=["check"])
        room.clock.advance(1)
        cancel: dict[str, Any] = {"filter": {"class": "bulk"}}
        dry = await counted(room, "cancel", cancel)
        assert 1 == (await counted(room, "cancel", {**cancel, "token": dry["token"]}))["recipients"]
        assert [["cancelled"], ["deferred"]] == [await room.states(bulk), await room.states(kept)]
        release: dict[str, Any] = {"filter": {"tag": "check"}}
        dry = await counted(room, "release", release)
        assert 1 == (await counted(room, "release", {**release, "token": dry["token"]}))["recipients"]
        await room.settled(held)
        assert ["accepted"] == await room.states(held)

    run(tmp_path, story)


def test_a_thousand_recipients_are_one_action(tmp_path: Path) -> None:
    """A large filter is done whole, in chunks, and its count is exact."""

    async def story(room: DeskRoom) -> None:
        at = (room.clock.now() + timedelta(days=1)).isoformat()
        for number in range(4):
            to = [f"r{number}-{one}@example.com" for one in range(300)]
            await room.send(*to, settles=False, send_at=at, tags=["many"])
        room.clock.advance(1)
        body: dict[str, Any] = {"filter": {"tag": "many"}}
        dry = await counted(room, "cancel", body)
        assert (1200, 4) == (dry["recipients"], dry["messages"])
        done = await counted(room, "cancel", {**body, "token": dry["token"]})
        assert (1200, 4) == (done["recipients"], done["messages"])
        assert 0 == (await counted(room, "cancel", body))["recipients"]

    run(tmp_path, story)


# --------------------------------------------------------------------------- events


def test_the_story_of_a_message(tmp_path: Path) -> None:
    """Events come newest first, or oldest first after a number, each with a sentence; cursors meet."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(REFUSED, GOOD)
        await room.ask("POST", f"/v1/messages/{sent}/retry")
        await room.settled(sent)
        whole = (await room.ask("GET", f"/v1/messages/{sent}/events", query="after=0")).json()
        desk_answers.EventListAnswer.model_validate(whole)
        kinds = [one["kind"] for one in whole["events"]]
        assert "message.queued" == kinds[0]
        assert {"recipient.accepted", "recipient.refused", "recipient.queued"} == set(kinds[1:])
        refused = next(one for one in whole["events"] if one["kind"] == "recipient.refused")
        assert [REFUSED] == refused["recipients"]
        assert refused["text"].startswith("Refused for good by main: ")
        assert refused["remedy"]
        numbers = [one["number"] for one in whole["events"]]
        assert sorted(numbers) == numbers
        newest = (await room.ask("GET", f"/v1/messages/{sent}/events")).json()
        assert numbers[::-1] == [one["number"] for one in newest["events"]]
        paged: list[int] = []
        query = "limit=2"
        while query:
            page = (await room.ask("GET", "/v1/events", query=f"{query}&message={sent}")).json()
            paged += [one["number"] for one in page["events"]]
            query = f"limit=2&before={page['next']}" if page["next"] else ""
        assert numbers[::-1] == paged
        only = (await room.ask("GET", "/v1/events", query="kinds=recipient.refused")).json()["events"]
        assert {"recipient.refused"} == {one["kind"] for one in only}

    run(tmp_path, story)


def test_answers_name_the_route(tmp_path: Path) -> None:
    """A message and its line in the list say the route it goes by."""

    async def story(room: DeskRoom) -> None:
        sent = await room.send(GOOD)
        assert "main" == (await room.message(sent))["route"]
        listed = (await room.ask("GET", "/v1/messages")).json()
        answers.ListAnswer.model_validate(listed)
        assert ["main"] == [one["route"] for one in listed["messages"]]

    run(tmp_path, story)
