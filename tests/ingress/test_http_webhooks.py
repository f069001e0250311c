"""Webhook endpoints, through the application on a real store."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from peers.desk_room import DeskRoom, desk_room
from postroom.schema import desk_answers
from postroom.spool.sealing import KEY_BYTES, SealingKeys

URL = "https://hooks.example.com/in"


def run(path: Path, story: Callable[[DeskRoom], Awaitable[None]]) -> None:
    """Tell a story in a room."""

    async def told() -> None:
        async with desk_room(path) as room:
            await story(room)

    asyncio.run(told())


async def made(room: DeskRoom, **body: object) -> tuple[str, str]:
    """Make an endpoint; return its id and secret."""
    answer = await room.ask("POST", "/v1/webhooks", {"url": URL, **body})
    assert 201 == answer.status, answer.json()
    desk_answers.NewHookAnswer.model_validate(answer.json())
    return answer.json()["id"], answer.json()["secret"]


def test_a_secret_is_shown_once(tmp_path: Path) -> None:
    """The answer that makes an endpoint has its secret; no other answer has it."""

    async def story(room: DeskRoom) -> None:
        hook_id, secret = await made(room, kinds=["recipient.refused", "recipient.refused"])
        assert secret.startswith("whsec_")
        assert 32 == len(base64.b64decode(secret.removeprefix("whsec_")))
        listed = await room.ask("GET", "/v1/webhooks")
        desk_answers.HookListAnswer.model_validate(listed.json())
        (hook,) = listed.json()["webhooks"]
        assert (hook_id, ["recipient.refused"], True) == (hook["id"], hook["kinds"], hook["enabled"])
        changed = await room.ask("PATCH", f"/v1/webhooks/{hook_id}", {"kinds": []})
        desk_answers.OneHookAnswer.model_validate(changed.json())
        for answer in (listed, changed, await room.ask("GET", f"/v1/webhooks/{hook_id}/deliveries")):
            assert secret not in answer.body.decode()

    run(tmp_path, story)


def test_a_test_is_signed_and_rotation_has_no_gap(tmp_path: Path) -> None:
    """A test is posted with a signature of each secret that holds: the old one for 24 hours, then no more."""

    async def story(room: DeskRoom) -> None:
        hook_id, first = await made(room)
        rotated = await room.ask("POST", f"/v1/webhooks/{hook_id}/rotate")
        desk_answers.NewHookAnswer.model_validate(rotated.json())
        second = rotated.json()["secret"]
        assert first != second
        for secrets in ([second, first], [second]):
            answer = await room.ask("POST", f"/v1/webhooks/{hook_id}/test")
            desk_answers.HookTestAnswer.model_validate(answer.json())
            assert (True, 204) == (answer.json()["delivered"], answer.json()["status"])
            url, headers, body = room.poster.posted[-1]
            assert (URL, "webhook.test") == (url, json.loads(body)["type"])
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            expected = [
                "v1,"
                + base64.b64encode(
                    hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
                ).decode()
                for secret in secrets
            ]
            assert expected == headers["webhook-signature"].split()
            room.clock.advance(24 * 3600)

    run(tmp_path, story)


def test_deliveries_are_listed_and_replayed(tmp_path: Path) -> None:
    """Events since the endpoint was made become deliveries; one or a range is due again on request."""

    async def story(room: DeskRoom) -> None:
        await room.send("a@example.com")
        hook_id, _ = await made(room)
        await room.send("b@example.com")
        await room.store.hooks.spread(now=room.clock.now(), limit=100)
        listed = await room.ask("GET", f"/v1/webhooks/{hook_id}/deliveries")
        desk_answers.DeliveryListAnswer.model_validate(listed.json())
        numbers = [one["event"] for one in listed.json()["deliveries"]]
        whole = (await room.ask("GET", "/v1/events", query="limit=200")).json()["events"]
        newer = [one["number"] for one in whole if one["number"] >= min(numbers)]
        assert newer == numbers
        path = f"/v1/webhooks/{hook_id}/deliveries/replay"
        one = await room.ask("POST", path, {"event": numbers[0]})
        assert (202, 1) == (one.status, one.json()["deliveries"])
        desk_answers.ReplayAnswer.model_validate(one.json())
        ranged = await room.ask("POST", path, {"first": 1, "last": numbers[0]})
        assert len(whole) == ranged.json()["deliveries"]
        page = await room.ask("GET", f"/v1/webhooks/{hook_id}/deliveries", query="limit=1&state=pending")
        assert numbers[0] == page.json()["next"]
        for wrong in ({}, {"event": 1, "first": 1}, {"first": 5, "last": 1}, {"last": 1}):
            assert [("replay-range", "event")] == (await room.ask("POST", path, wrong)).problems()

    run(tmp_path, story)


def test_an_endpoint_is_switched_off_and_on(tmp_path: Path) -> None:
    """A disabled endpoint is not replayed to; enabled again it is told of what happens from then on."""

    async def story(room: DeskRoom) -> None:
        hook_id, _ = await made(room)
        path = f"/v1/webhooks/{hook_id}"
        off = (await room.ask("PATCH", path, {"enabled": False})).json()
        assert (False, "by kim-default") == (off["enabled"], off["disabled_why"])
        await room.send("a@example.com")
        refused = await room.ask("POST", f"{path}/deliveries/replay", {"event": 1})
        assert [("webhook-disabled", "id")] == refused.problems()
        on = (await room.ask("PATCH", path, {"enabled": True})).json()
        newest = (await room.ask("GET", "/v1/events", query="limit=1")).json()["events"][0]["number"]
        assert (True, None, newest) == (on["enabled"], on["disabled_at"], on["told_up_to"])
        assert 204 == (await room.ask("DELETE", path)).status
        for method, end in (
            ("DELETE", ""),
            ("PATCH", ""),
            ("POST", "/rotate"),
            ("POST", "/test"),
            ("GET", "/deliveries"),
        ):
            body: dict[str, str] | None = {} if method == "PATCH" else None
            assert 404 == (await room.ask(method, path + end, body)).status

    run(tmp_path, story)


def test_urls_that_may_not_be_called(tmp_path: Path) -> None:
    """The poster's judgement is told by the field, also of a change; there are not endlessly many."""

    async def story(room: DeskRoom) -> None:
        for url in ("http://hooks.example.com", "file:///etc/passwd"):
            answer = await room.ask("POST", "/v1/webhooks", {"url": url})
            assert [("webhook-url", "url")] == answer.problems()
        hook_id, _ = await made(room)
        wrong = await room.ask("PATCH", f"/v1/webhooks/{hook_id}", {"url": "http://x.example.com"})
        assert [("webhook-url", "url")] == wrong.problems()
        for _ in range(49):
            await made(room)
        assert 422 == (await room.ask("POST", "/v1/webhooks", {"url": URL})).status

    run(tmp_path, story)


def test_without_its_key_an_endpoint_is_not_signed_for(tmp_path: Path) -> None:
    """The endpoint shows the cause, a test is refused with it, nothing is posted; a new secret works."""

    async def story(room: DeskRoom) -> None:
        hook_id, _ = await made(room)
        room.store.hooks._vault.keys = SealingKeys([b"\x07" * KEY_BYTES])  # a start with another key
        (hook,) = (await room.ask("GET", "/v1/webhooks")).json()["webhooks"]
        assert ("secret-key-missing", True) == (hook["problem"], hook["enabled"])
        refused = await room.ask("POST", f"/v1/webhooks/{hook_id}/test")
        assert (503, "secret-key-missing") == (refused.status, refused.json()["code"])
        assert "60" == refused.headers["retry-after"]
        assert [] == room.poster.posted
        rotated = (await room.ask("POST", f"/v1/webhooks/{hook_id}/rotate")).json()
        assert ("", None) == (rotated["problem"], rotated["old_secret_until"])
        assert 200 == (await room.ask("POST", f"/v1/webhooks/{hook_id}/test")).status
        assert 1 == len(room.poster.posted[-1][1]["webhook-signature"].split())

    run(tmp_path, story)
