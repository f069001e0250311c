"""Tenants are apart: a key of another tenant sees and changes nothing, at any operation there is."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from peers.desk_room import OTHER, DeskRoom, desk_room
from postroom.model.ids import DEFAULT_TENANT
from postroom.web.gate import Operation

MARK = "zebra"
"""Stands in everything the first tenant has and in nothing else."""
OPEN_TO_ALL = {"/healthz", "/readyz"}
OF_THE_HOUSE = {"/v1/status", "/v1/backup", "/metrics", "/", "/docs", "/openapi.json"}
"""What concerns the process and not mail."""


async def furnished(room: DeskRoom) -> dict[str, str]:
    """Give the first tenant one of everything; return the ids that paths ask for."""
    at = (room.clock.now() + timedelta(days=1)).isoformat()
    mail: dict[str, Any] = {"subject": MARK, "tags": [MARK], "metadata": {MARK: MARK}}
    held = await room.ask("POST", "/v1/holds", {"filter": {"tag": "kept"}, "reason": f"{MARK} hold"})
    message = await room.send(
        f"{MARK}@example.com",
        f"refused@{MARK}.example",
        f"lost@{MARK}.example",
        uncertain_policy="ask",
        **mail,
    )
    await room.send(f"{MARK}-later@example.com", settles=False, send_at=at, **mail)
    await room.send(f"{MARK}-held@example.com", **{**mail, "tags": ["kept"]})
    await room.ask("POST", "/v1/suppressions", {"address": f"{MARK}-gone@example.com", "note": MARK})
    hook = await room.ask("POST", "/v1/webhooks", {"url": f"https://{MARK}.example.com/in"})
    await room.store.hooks.spread(now=room.clock.now(), limit=1000)
    return {
        "/v1/messages": message,
        "/v1/holds": held.json()["id"],
        "/v1/webhooks": hook.json()["id"],
        "/v1/keys": "none",
        "address": f"{MARK}-gone@example.com",
        "name": "main",
        "number": "1",
    }


async def pictured(room: DeskRoom) -> str:
    """Return everything the first tenant can see of its own."""
    pages = ("messages", "events", "holds", "suppressions", "webhooks", "transports")
    found = [
        (
            await room.ask("GET", f"/v1/{page}", query="limit=200" if page in ("messages", "events") else "")
        ).body
        for page in pages
    ]
    listed = json.loads(found[0])["messages"]
    found += [(await room.ask("GET", f"/v1/messages/{one['id']}")).body for one in listed]
    hook = json.loads(found[4])["webhooks"][0]["id"]
    found.append((await room.ask("GET", f"/v1/webhooks/{hook}/deliveries")).body)
    return "\n".join(one.decode() for one in found)


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    """Return an operation's path with the first tenant's ids in it."""
    room = operation.path.partition("/{")[0]
    path = operation.path.replace("{id}", ids.get(room, "none"))
    for name in ("address", "name", "number"):
        path = path.replace(f"{{{name}}}", ids[name])
    return path


BODIES: dict[str, Any] = {
    "/v1/messages/{id}/resolve": {"resolution": "drop", "note": "x"},
    "/v1/messages/{id}/retry": {"confirm_duplicate": True},
    "/v1/messages/{id}": {"send_at": "2030-01-31T00:00:00Z"},
    "/v1/messages/retry": {"filter": {"state": "refused"}},
    "/v1/messages/cancel": {"filter": {"state": "queued"}},
    "/v1/messages/resolve": {"filter": {"state": "uncertain"}, "resolution": "drop", "note": "x"},
    "/v1/messages/release": {"filter": {"state": "held"}},
    "/v1/transports": {"name": "else", "host": "else.example.com"},
    "/v1/transports/{name}": {"subject_prefix": "x"},
    "/v1/diagnose": {"text": "550 5.1.1 User unknown"},
    "/v1/transports/check": {"name": "main", "host": "else.example.com"},
    "/v1/transports/{name}/check": {},
    "/v1/transports/{name}/test": {"to": "else@example.com"},
    "/v1/transports/{name}/suspend": {"reason": "x"},
    "/v1/webhooks/{id}": {"url": "https://else.example.com"},
    "/v1/webhooks/{id}/deliveries/replay": {"first": 1, "last": 1000},
}
"""Bodies by which an operation would reach what the first tenant has."""
OWN = {
    "/v1/holds",
    "/v1/suppressions",
    "/v1/webhooks",
    "/v1/messages",
    "/v1/messages/batch",
    "/v1/messages/raw",
    "/v1/keys",
    "/v1/suppressions/import",
    "/v1/explain",
    "/v1/diagnose",
    "/app-builder/send",
    "/api/Settings/testEmail",
}
"""Where a POST makes something of the caller's own; it is proved below that this changes no other's."""


def test_no_operation_reaches_another_tenant(tmp_path: Path) -> None:
    """Every operation is asked with another tenant's key and the first's ids: nothing is seen or changed."""

    async def story() -> None:
        async with desk_room(tmp_path) as room:
            ids = await furnished(room)
            before = await pictured(room)
            assert MARK in before
            room.clock.advance(1)
            asked = 0
            for operation in room.app.operations:
                if operation.path in OPEN_TO_ALL | OF_THE_HOUSE:
                    continue
                if operation.method == "POST" and operation.path in OWN:
                    continue
                body = BODIES.get(operation.path) if operation.method in ("POST", "PATCH") else None
                query = "note=x" if "{address}" in operation.path else ""
                if operation.path == "/v1/events":
                    query = "after=0&limit=200"
                answer = await room.ask(
                    operation.method, path_of(operation, ids), body, tenant=OTHER, query=query
                )
                name = f"{operation.method} {operation.path}"
                seen = answer.body.decode().replace(ids["address"], "the address that was asked for")
                assert MARK not in seen, name
                if "{" in operation.path or operation.path.startswith("/v1/transports"):
                    assert answer.status in (403, 404), (name, answer.status)
                else:
                    assert 200 == answer.status, (name, answer.body)
                    if operation.method == "POST":
                        assert 0 == answer.json()["recipients"], name
                asked += 1
            assert asked > 25
            assert before == await pictured(room)

    asyncio.run(story())


def test_orders_of_one_tenant_leave_the_other_alone(tmp_path: Path) -> None:
    """Holds, suppressions and bulk actions of one tenant touch no mail of the other, now or later."""

    async def story() -> None:
        async with desk_room(tmp_path) as room:
            address = "later@example.com"
            mine = await room.send(address)
            await room.ask("POST", "/v1/suppressions", {"address": "@example.com"}, tenant=OTHER)
            everyone = {"filter": {"sender": "@example.com"}, "reason": "x"}
            assert 0 == (await room.ask("POST", "/v1/holds", everyone, tenant=OTHER)).json()["held"]
            room.clock.advance(1)
            body: dict[str, Any] = {"filter": {"state": "deferred"}}
            dry = (await room.ask("POST", "/v1/messages/cancel", body, tenant=OTHER)).json()
            assert 0 == dry["recipients"]
            own = (await room.ask("POST", "/v1/messages/cancel", body)).json()
            stolen = await room.ask(
                "POST", "/v1/messages/cancel", {**body, "token": own["token"]}, tenant=OTHER
            )
            assert [("token-invalid", "token")] == stolen.problems()
            assert ["deferred"] == await room.states(mine)
            assert ["accepted"] == await room.states(await room.send("a@example.com"))
            assert ["suppressed"] == await room.states(
                await room.send("a@example.com", tenant=OTHER), tenant=OTHER
            )
            assert DEFAULT_TENANT != OTHER

    asyncio.run(story())


def test_scopes_of_the_desk(tmp_path: Path) -> None:
    """A key that may only read looks at mail and orders, and does nothing."""

    async def story() -> None:
        async with desk_room(tmp_path) as room:
            ids = await furnished(room)
            before = await pictured(room)
            for operation in room.app.operations:
                if operation.needs not in ("read", "operate"):
                    continue
                path = path_of(operation, ids)
                answer = await room.ask(operation.method, path, BODIES.get(operation.path), key=room.read_key)
                if operation.needs == "operate":
                    assert (403, "scope-missing") == (answer.status, answer.json()["code"]), path
                else:
                    assert answer.status in (200, 404), path
                    assert operation.method == "GET" or operation.path == "/v1/diagnose"
            assert before == await pictured(room)

    asyncio.run(story())
