"""Holds and suppressions, through the application on a real store."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from peers.desk_room import DeskRoom, desk_room
from postroom.schema import desk_answers

GOOD, OTHER_GOOD, LATER = "a@example.com", "b@example.net", "later@example.com"
CSV = {"content-type": "text/csv"}


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    """Tell a story in a room."""

    async def told() -> None:
        async with desk_room(path) as room:
            await story(room)

    asyncio.run(told())


# --------------------------------------------------------------------------- holds


def test_a_hold_keeps_what_waits_and_what_comes(tmp_path: Path) -> None:
    """What waits and matches is held at once, what comes too; the end of the hold lets both go."""

    async def story(room: DeskRoom) -> None:
        waiting = await room.send(LATER, OTHER_GOOD)
        made = await room.ask(
            "POST", "/v1/holds", {"filter": {"recipient": "@example.com"}, "reason": "a wrong template"}
        )
        assert 201 == made.status
        desk_answers.NewHoldAnswer.model_validate(made.json())
        assert (1, "kim-default") == (made.json()["held"], made.json()["author"])
        coming = await room.send(GOOD, OTHER_GOOD)
        assert [["held", "accepted"]] * 2 == [await room.states(waiting), await room.states(coming)]
        shown = (await room.message(coming))["recipients"][0]
        assert "a wrong template" == shown["cause"]
        listed = (await room.ask("GET", "/v1/holds")).json()
        desk_answers.HoldListAnswer.model_validate(listed)
        assert [2] == [one["held"] for one in listed["holds"]]
        ended = await room.ask("DELETE", f"/v1/holds/{made.json()['id']}")
        desk_answers.EndedAnswer.model_validate(ended.json())
        assert (200, 2, 2) == (ended.status, ended.json()["recipients"], ended.json()["messages"])
        await room.settled(coming)
        assert ["accepted", "accepted"] == await room.states(coming)
        assert 404 == (await room.ask("DELETE", f"/v1/holds/{made.json()['id']}")).status
        assert [] == (await room.ask("GET", "/v1/holds")).json()["holds"]
        over = (await room.ask("GET", "/v1/holds", query="state=ended")).json()["holds"]
        assert ["kim-default"] == [one["ended_by"] for one in over]

    run(tmp_path, story)


def test_one_held_message_is_released_by_itself(tmp_path: Path) -> None:
    """A release of chosen recipients lets them go and keeps the others."""

    async def story(room: DeskRoom) -> None:
        await room.ask("POST", "/v1/holds", {"filter": {"tag": "check"}, "reason": "a look"})
        held = await room.send(GOOD, OTHER_GOOD, tags=["check"])
        answer = await room.ask("POST", f"/v1/messages/{held}/release", {"recipients": [GOOD]})
        assert 1 == answer.json()["changed"]["recipients"]
        await room.settled(held)
        assert ["accepted", "held"] == await room.states(held)
        nothing = await room.ask("POST", f"/v1/messages/{held}/release", {"recipients": [GOOD]})
        assert "nothing-to-change" == nothing.json()["code"]

    run(tmp_path, story)


def test_wrong_holds(tmp_path: Path) -> None:
    """A hold without a filter, with an end that has passed or a wrong state of the list is refused."""

    async def story(room: DeskRoom) -> None:
        past = (room.clock.now() - timedelta(seconds=1)).isoformat()
        both = await room.ask("POST", "/v1/holds", {"filter": {}, "reason": "x", "until": past})
        assert {("filter-empty", "filter"), ("until-passed", "until")} == set(both.problems())
        assert 422 == (await room.ask("GET", "/v1/holds", query="state=all")).status
        assert 404 == (await room.ask("DELETE", "/v1/holds/none")).status

    run(tmp_path, story)


# --------------------------------------------------------------------------- suppressions


def test_a_suppressed_address_gets_nothing(tmp_path: Path) -> None:
    """What waits and what comes is suppressed, a final state and no error; a removal needs a note."""

    async def story(room: DeskRoom) -> None:
        waiting = await room.send(LATER)
        made = await room.ask("POST", "/v1/suppressions", {"address": LATER, "note": "asked us"})
        assert 201 == made.status
        desk_answers.NewSuppressionAnswer.model_validate(made.json())
        coming = await room.send("Later@EXAMPLE.com", OTHER_GOOD)
        assert ["suppressed"] == await room.states(waiting)
        assert ["suppressed", "accepted"] == await room.states(coming)
        assert 1 == room.copies(LATER)
        path = f"/v1/suppressions/{LATER}"
        assert [("missing-field", "note")] == (await room.ask("DELETE", path)).problems()
        wrong = await room.ask("DELETE", path, query="note=x&class=bulk")
        assert 404 == wrong.status
        assert 204 == (await room.ask("DELETE", path, query="note=asked+again")).status
        assert 404 == (await room.ask("DELETE", path, query="note=asked+again")).status
        assert ["deferred"] == await room.states(await room.send(LATER))
        kinds = (await room.ask("GET", "/v1/events", query="kinds=suppression.removed")).json()["events"]
        assert ["asked again"] == [one["data"]["note"] for one in kinds]

    run(tmp_path, story)


def test_an_address_with_a_slash_can_be_taken_off(tmp_path: Path) -> None:
    """What may stand in an address may stand in a path, encoded."""

    async def story(room: DeskRoom) -> None:
        assert 201 == (await room.ask("POST", "/v1/suppressions", {"address": "a/b%c@example.com"})).status
        path, raw = "/v1/suppressions/a/b%c@example.com", "/v1/suppressions/a%2Fb%25c%40example.com"
        gone = await room.ask("DELETE", path, query="note=x", raw_path=raw)
        assert 204 == gone.status
        assert [] == await listed(room)
        for raw in ("/v1/holds/a%2Fb", "/v1/none/a%2Fb", "/v1/holds/%2"):
            assert 404 == (await room.ask("DELETE", "/v1/x/y/z", raw_path=raw)).status

    run(tmp_path, story)


def test_scopes_and_domains(tmp_path: Path) -> None:
    """A class's suppression leaves other classes alone; a domain's means everybody there."""

    async def story(room: DeskRoom) -> None:
        body = {"address": "@example.com", "class": "bulk", "reason": "unsubscribe"}
        assert 201 == (await room.ask("POST", "/v1/suppressions", body)).status
        bulk = await room.send(GOOD, OTHER_GOOD, mail_class="bulk")
        assert ["suppressed", "accepted"] == await room.states(bulk)
        assert ["accepted"] == await room.states(await room.send(GOOD))

    run(tmp_path, story)


async def listed(room: DeskRoom, query: str = "") -> list[tuple[str, str | None]]:
    """Return every entry of the list, page by page."""
    found: list[tuple[str, str | None]] = []
    after = ""
    while True:
        page = (await room.ask("GET", "/v1/suppressions", query=f"{query}&after={after}")).json()
        desk_answers.SuppressionListAnswer.model_validate(page)
        found += [(one["address"], one["class"]) for one in page["suppressions"]]
        if page["next"] is None:
            return found
        after = page["next"]


def test_pages_leave_nothing_out(tmp_path: Path) -> None:
    """Small pages show every entry once, also where one address has several."""

    async def story(room: DeskRoom) -> None:
        addresses = [f"{letter}@example.com" for letter in "abcdef"]
        for address in addresses:
            for mail_class in (None, "code", "bulk"):
                body = {"address": address, **({"class": mail_class} if mail_class else {})}
                await room.ask("POST", "/v1/suppressions", body)
        for limit in (1, 2, 3, 4, 50):
            found = await listed(room, f"limit={limit}")
            assert 18 == len(set(found)) == len(found)
            assert sorted(address for address, _ in found) == [address for address, _ in found]
        only = await listed(room, "address=B@EXAMPLE.com")
        assert {("b@example.com", None), ("b@example.com", "code"), ("b@example.com", "bulk")} == set(only)

    run(tmp_path, story)


def test_export_and_import_are_the_same_list(tmp_path: Path) -> None:
    """What was exported and imported again is the same list, formulas and commas included."""

    async def story(room: DeskRoom) -> None:
        rows: list[dict[str, Any]] = [
            {"address": "+plus@example.com", "note": '=HYPERLINK("http://evil.example","x")'},
            {"address": "@example.org", "note": "a, b", "class": "bulk", "reason": "complaint"},
            {"address": "o'neill@example.com", "note": "-1+1"},
        ]
        for row in rows:
            assert 201 == (await room.ask("POST", "/v1/suppressions", row)).status
        exported = await room.ask("GET", "/v1/suppressions.csv")
        assert "text/csv; charset=utf-8" == exported.headers["content-type"]
        assert "attachment" in exported.headers["content-disposition"]
        cells = [cell for row in csv.reader(io.StringIO(exported.body.decode())) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t")]
        before = (await room.ask("GET", "/v1/suppressions")).json()["suppressions"]
        for row in rows:
            scope = "&class=bulk" if "class" in row else ""
            path = f"/v1/suppressions/{row['address']}"
            assert 204 == (await room.ask("DELETE", path, query=f"note=x{scope}")).status
        taken = await room.ask("POST", "/v1/suppressions/import", body=exported.body, headers=CSV)
        desk_answers.ImportAnswer.model_validate(taken.json())
        assert (3, 3, 0) == (taken.json()["rows"], taken.json()["stored"], taken.json()["refused"])
        assert before == (await room.ask("GET", "/v1/suppressions")).json()["suppressions"]

    run(tmp_path, story)


def test_good_rows_of_an_import_are_stored(tmp_path: Path) -> None:
    """Wrong rows are told by number and field; the others count, however the upload is cut into pieces."""

    async def story(room: DeskRoom) -> None:
        rows = [f"r{number}@example.com,complaint" for number in range(1200)]
        rows[3], rows[700] = "nobody,complaint", "x@example.com,bounce"
        upload = "\r\n".join(["address,reason", *rows]).encode()
        pieces = [upload[start : start + 997] for start in range(0, len(upload), 997)]
        answer = await room.ask("POST", "/v1/suppressions/import", body=pieces, headers=CSV)
        told = answer.json()
        assert (1200, 1198, 2) == (told["rows"], told["stored"], told["refused"])
        assert [(4, "address"), (701, "reason")] == [(one["row"], one["field"]) for one in told["problems"]]
        assert 1198 == len(await listed(room, "limit=200"))

    run(tmp_path, story)


def test_uploads_that_are_no_list(tmp_path: Path) -> None:
    """Another type, a wrong header, an endless line and more than the largest upload store nothing."""

    async def story(room: DeskRoom) -> None:
        path = "/v1/suppressions/import"
        assert 415 == (await room.ask("POST", path, {"address": GOOD})).status
        wrong = await room.ask("POST", path, body=b"adress\na@example.com\n", headers=CSV)
        assert 422 == wrong.status
        assert "address" in wrong.json()["errors"][0]["fix"]
        huge = {**CSV, "content-length": str(65 * 1024 * 1024)}
        assert 413 == (await room.ask("POST", path, body=b"x", headers=huge)).status
        endless = await room.ask(
            "POST", path, body=[b"address\n", *[b"x" * 65536] * 32, b"\nb@example.com"], headers=CSV
        )
        assert (2, 1) == (endless.json()["rows"], endless.json()["stored"])
        assert [("b@example.com", None)] == await listed(room)

    run(tmp_path, story)
