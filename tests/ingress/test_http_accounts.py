"""Making, changing and removing transports, through the application on a real store."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingress.asgi_client import Answer
from peers.desk_room import OTHER, DeskRoom, desk_room
from peers.engine_room import BAD_LOGIN
from postroom.model.ids import DEFAULT_TENANT, MessageId, new_message_id
from postroom.model.outcome import Evidence
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.schema import transport_answers

SECRET, OTHER_SECRET = "correct-horse-battery", "wrong-horse-battery"
RELAY = {
    "name": "relay",
    "host": "mail.example.com",
    "encryption": "tls",
    "username": "app@example.com",
    "password": SECRET,
}
NOT_IN = Evidence(step=Step.MAIL, reply=Reply(530, ("5.7.0 Authentication required",), b""))


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]], *names: str) -> None:
    """Tell a story in a room; no answer in it has a secret."""

    async def told() -> None:
        async with desk_room(path, names or ("main", "spare")) as room:
            await story(room)

    asyncio.run(told())


async def asked(room: DeskRoom, method: str, path: str, value: Any = None, **parts: Any) -> Answer:
    answer = await room.ask(method, f"/v1/transports{path}", value, **parts)
    assert SECRET not in answer.body.decode()
    assert OTHER_SECRET not in answer.body.decode()
    return answer


def test_a_transport_is_made_shown_and_used(tmp_path: Path) -> None:
    """What was sent comes back with every setting and without its secret; it is at work, as the last."""

    async def story(room: DeskRoom) -> None:
        made = await asked(room, "POST", "", RELAY)
        assert (201, "/v1/transports/relay") == (made.status, made.headers["location"])
        transport_answers.ChangedTransportAnswer.model_validate(made.json())
        shown = await asked(room, "GET", "/relay")
        transport_answers.OneTransportAnswer.model_validate(shown.json())
        assert f'"{shown.json()["version"]}"' == shown.headers["etag"]
        wanted = {**RELAY, "password": "*****", "port": 465, "max_connections": 10}
        assert wanted.items() <= shown.json()["settings"].items()
        assert ("stored", True, False, "kim-default") == tuple(
            shown.json()[key] for key in ("origin", "used", "default", "author")
        )
        listed = (await asked(room, "GET", "")).json()
        transport_answers.TransportListAnswer.model_validate(listed)
        assert ["main", "spare", "relay"] == [one["name"] for one in listed["transports"]]
        assert ["file", "file", "stored"] == [one["origin"] for one in listed["transports"]]
        again = await asked(room, "POST", "", RELAY)
        assert (409, "transport-exists") == (again.status, again.json()["code"])
        assert "PATCH /v1/transports/relay" in again.json()["errors"][0]["fix"]

    run(tmp_path, story)


def test_a_change_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    """Absent fields and ``*****`` stay, null takes the default, another server needs no new secret."""

    async def story(room: DeskRoom) -> None:
        url = {
            "name": "relay",
            "url": f"smtps://app%40example.com:{SECRET}@mail.example.com",
            "pipelining": False,
        }
        assert 201 == (await asked(room, "POST", "", url)).status
        change = {"port": 587, "encryption": "starttls", "password": "*****", "pipelining": None}
        changed = await asked(room, "PATCH", "/relay", change)
        assert 200 == changed.status, changed.json()
        wanted = {**RELAY, "port": 587, "encryption": "starttls", "password": "*****", "pipelining": True}
        assert wanted.items() <= changed.json()["settings"].items()
        (record,) = await room.store.transports.all()
        assert [SECRET] == [secret.reveal() for secret in record.secrets.values()]
        await asked(room, "PATCH", "/relay", {"password": OTHER_SECRET})
        (record,) = await room.store.transports.all()
        assert [OTHER_SECRET] == [secret.reveal() for secret in record.secrets.values()]

    run(tmp_path, story)


def test_two_who_change_at_once(tmp_path: Path) -> None:
    """Whoever saw an older state is told, by ETag or by version, and nothing is overwritten."""

    async def story(room: DeskRoom) -> None:
        seen = (await asked(room, "POST", "", RELAY)).json()["version"]
        tag = {"if-match": f'"{seen}"'}
        first = await asked(room, "PATCH", "/relay", {"max_connections": 3}, headers=tag)
        assert 200 == first.status, first.json()
        late = await asked(room, "PATCH", "/relay", {"max_connections": 4}, headers=tag)
        assert (412, "transport-changed") == (late.status, late.json()["code"])
        late = await asked(room, "PATCH", "/relay", {"max_connections": 4, "version": seen})
        assert (409, "transport-changed") == (late.status, late.json()["code"])
        late = await asked(room, "DELETE", "/relay", headers=tag)
        assert 412 == late.status
        now = (await asked(room, "GET", "/relay")).json()
        assert 3 == now["settings"]["max_connections"]
        both = await asyncio.gather(
            *(
                asked(room, "PATCH", "/relay", {"max_connections": number, "version": now["version"]})
                for number in (5, 6)
            )
        )
        assert [200, 409] == sorted(one.status for one in both)

    run(tmp_path, story)


def test_what_the_settings_configure_is_read_only(tmp_path: Path) -> None:
    """A refusal says where it is configured, and carries the lines that make the change, without a secret."""

    async def story(room: DeskRoom) -> None:
        change = {"password": SECRET, "max_connections": 3, "from": None}
        for method, path, value in (
            ("PATCH", "/main", change),
            ("POST", "", {**RELAY, "name": "main"}),
            ("DELETE", "/main", None),
        ):
            answer = await asked(room, method, path, value)
            assert (409, "transport-read-only") == (answer.status, answer.json()["code"])
            assert 'name = "main"' in answer.json()["patch"]
        answer = await asked(room, "PATCH", "/main", change)
        for line in ("max_connections = 3", "# without from", 'password = "*****"'):
            assert line in answer.json()["patch"]

    run(tmp_path, story)


def test_all_problems_at_once_and_nothing_stored(tmp_path: Path) -> None:
    """Each wrong field is named with its path; nothing is stored, made or shown of what was sent."""

    async def story(room: DeskRoom) -> None:
        bad = {"name": "No Name", "host": "h", "port": 0, "encryption": "maybe", "passwort": SECRET}
        answer = await asked(room, "POST", "", bad)
        assert 422 == answer.status
        fields = {problem["field"] for problem in answer.json()["errors"]}
        assert {"name", "port", "encryption", "passwort"} <= fields
        assert [] == list(await room.store.transports.all())
        values: list[Any] = [[], "x", {"name": "relay"}, {**RELAY, "password": "*****"}]
        for value in values:
            assert 422 == (await asked(room, "POST", "", value)).status
        assert 201 == (await asked(room, "POST", "", RELAY)).status
        for change in ({"name": "other"}, {"port": "x"}, {"version": 7}):
            assert 422 == (await asked(room, "PATCH", "/relay", change)).status
        assert 404 == (await asked(room, "PATCH", "/none", {"port": 1})).status
        assert 404 == (await asked(room, "DELETE", "/none")).status
        assert 422 == (await asked(room, "DELETE", "/relay", query="to=x")).status

    run(tmp_path, story)


def test_only_the_house_s_admins_change_transports(tmp_path: Path) -> None:
    """Keys of other tenants and keys without the scope are refused."""

    async def story(room: DeskRoom) -> None:
        for method, path in (("POST", ""), ("PATCH", "/main"), ("DELETE", "/main")):
            value = None if method == "DELETE" else RELAY
            answer = await asked(room, method, path, value, tenant=OTHER)
            assert (403, "house-only") == (answer.status, answer.json()["code"])
            answer = await asked(room, method, path, value, key=room.read_key)
            assert (403, "scope-missing") == (answer.status, answer.json()["code"])

    run(tmp_path, story)


@pytest.mark.parametrize("evidence", [BAD_LOGIN, NOT_IN], ids=["login", "sender"])
def test_a_mended_account_is_tried_at_once(evidence: Evidence, tmp_path: Path) -> None:
    """After a change mail goes at once, though it had to wait: for the login, or because of its sender."""

    async def story(room: DeskRoom) -> None:
        await asked(room, "POST", "", RELAY)
        await room.dispatcher.roster.leave("main", to="relay")
        room.transports["relay"].script = lambda _work, _number: evidence
        mail = {"to": "a@example.com", "text": "It works."}
        answer = await room.ask("POST", "/v1/messages", mail, headers={"prefer": "wait=20"})
        waiting = answer.json()["id"]
        assert ["queued"] == await room.states(waiting)
        assert "down" == (await asked(room, "GET", "/relay")).json()["state"]
        changed = await asked(room, "PATCH", "/relay", {"password": OTHER_SECRET})
        assert ("working", []) == (changed.json()["state"], changed.json()["pauses"])
        await room.settled(waiting)
        assert ["accepted"] == await room.states(waiting)
        events = (await room.ask("GET", "/v1/events", query="transport=relay")).json()["events"]
        assert "Sending by relay was set up anew (kim-default): password." in [one["text"] for one in events]

    run(tmp_path, story, "main")


def test_removing_what_is_needed(tmp_path: Path) -> None:
    """Mail that waits keeps its transport until another is named to take it; late mail goes there too."""

    async def story(room: DeskRoom) -> None:
        await asked(room, "POST", "", RELAY)
        await room.dispatcher.roster.leave("main", to="relay")
        await asked(room, "POST", "", {**RELAY, "name": "spare"})
        await asked(room, "POST", "/relay/suspend", {"reason": "it is to go"})
        waiting = await room.send("a@example.com", settles=False)
        answer = await asked(room, "DELETE", "/relay")
        assert (409, "transport-in-use") == (answer.status, answer.json()["code"])
        answer = await asked(room, "DELETE", "/relay", query="move_to=relay")
        assert (409, "transport-unknown") == (answer.status, answer.json()["code"])
        assert 204 == (await asked(room, "DELETE", "/relay", query="move_to=spare")).status
        await room.settled(waiting)
        assert "spare" == (await room.message(waiting))["transport"]
        message = await room.spool.message(MessageId(waiting), tenant=DEFAULT_TENANT)
        assert message is not None
        late = replace(message, id=new_message_id(room.clock.now(), bytes(20)))
        await room.spool.accept(late, transport="relay")  # chosen before, stored after
        room.dispatcher.wake("relay")
        await room.settled(str(late.id))
        assert "spare" == (await room.message(str(late.id)))["transport"]

    run(tmp_path, story, "main")


def test_a_transport_without_a_name_is_named(tmp_path: Path) -> None:
    """After its provider, else its host, and by a number when the name is taken; never `default`."""

    async def story(room: DeskRoom) -> None:
        made = []
        gmail = {"provider": "gmail", "username": "app@gmail.com", "password": SECRET}
        for body in (gmail, gmail, {"host": "Mail.Example.com"}, {"url": "capture:"}):
            answer = await asked(room, "POST", "", body)
            assert 201 == answer.status, answer.json()
            assert f"/v1/transports/{answer.json()['name']}" == answer.headers["location"]
            made.append(answer.json()["name"])
        assert ["gmail", "gmail-2", "mail-example-com", "capture"] == made
        assert {*made} == {record.name for record in await room.store.transports.all()}

    run(tmp_path, story)


def test_a_change_in_the_words_of_another_program(tmp_path: Path) -> None:
    """What TapData keeps may be sent again as a whole; its problems are told in its own words."""
    tapdata = {
        "smtp.server.host": "mail.example.com",
        "smtp.server.port": "587",
        "smtp.server.user": "app@example.com",
        "smtp.server.password": "*****",
        "email.server.tls": "TLS",
    }

    async def story(room: DeskRoom) -> None:
        await asked(room, "POST", "", RELAY)
        changed = await asked(room, "PATCH", "/relay", tapdata)
        assert (200, 587, "starttls") == (
            changed.status,
            changed.json()["settings"]["port"],
            changed.json()["settings"]["encryption"],
        )
        (record,) = await room.store.transports.all()
        assert [SECRET] == [secret.reveal() for secret in record.secrets.values()]
        wrong = await asked(room, "PATCH", "/relay", {**tapdata, "smtp.server.port": "x"})
        assert (422, "smtp.server.port") == (wrong.status, wrong.json()["errors"][0]["field"])

    run(tmp_path, story)


def test_no_mail_that_was_to_leave_is_captured(tmp_path: Path) -> None:
    """Neither by giving what waits to a capture inbox, nor by making one of its account."""
    inbox = {"url": "capture:"}

    async def story(room: DeskRoom) -> None:
        await asked(room, "POST", "", RELAY)
        await asked(room, "POST", "", {"name": "inbox", **inbox})
        await room.dispatcher.roster.leave("main", to="relay")
        await asked(room, "POST", "/relay/suspend", {"reason": "it is to go"})
        waiting = await room.send("a@example.com", settles=False)
        answer = await asked(room, "DELETE", "/relay", query="move_to=inbox")
        assert (409, "transport-captures", "move_to") == _refused(answer)
        answer = await asked(room, "PATCH", "/relay", inbox)
        assert (409, "transport-captures", "url") == _refused(answer)
        await asked(room, "POST", "/relay/resume")
        await room.settled(waiting)
        assert "relay" == (await room.message(waiting))["transport"]
        answer = await asked(room, "PATCH", "/relay", inbox)
        assert (409, "transport-last", "name") == _refused(answer)
        await asked(room, "POST", "", {**RELAY, "name": "spare"})
        assert 200 == (await asked(room, "PATCH", "/relay", inbox)).status

    run(tmp_path, story, "main")


def _refused(answer: Answer) -> tuple[int, str, str]:
    problem = answer.json()["errors"][0]
    return answer.status, problem["code"], problem["field"]
