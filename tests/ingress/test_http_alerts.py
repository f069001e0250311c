"""The doors of alerts: report, list, ask why, silence, acknowledge, rules; over the real engine."""

from datetime import timedelta
from typing import Any

from ingress.alert_doors_room import RULES, AlertDoorsRoom, later, on_doors
from peers.fake_service import NOW
from postroom.schema.alert_trial_answers import TraceAnswer

DISK = {
    "key": "disk-low",
    "severity": "critical",
    "source": "host1",
    "object": "/dev/sda1",
    "title": "Disk low",
    "labels": {"team": "ops"},
    "state": "firing",
}


def test_a_report_becomes_an_alert_that_says_why() -> None:
    """What was reported is listed, found by id and filters, and tells its story with its letter."""

    async def scenario(room: AlertDoorsRoom) -> None:
        alert_id, other = await room.report(DISK, {"key": "login", "severity": "info"})
        shown = (await room.ask("GET", f"/v1/alerts/{alert_id}")).json()
        assert ("disk-low", "critical", "firing", 1) == tuple(
            shown[name] for name in ("key", "severity", "state", "tally")
        )
        listed = (await room.ask("GET", "/v1/alerts")).json()
        assert [alert_id, other] == [one["id"] for one in listed["alerts"]]
        for query in (
            "severity=error",
            "key=disk-low",
            'match=team%3D"ops"',
            "object=/dev/sda1",
            "source=host1",
        ):
            found = (await room.ask("GET", "/v1/alerts", query=query)).json()["alerts"]
            assert [alert_id] == [one["id"] for one in found], query
        first = (await room.ask("GET", "/v1/alerts", query="limit=1")).json()
        second = (await room.ask("GET", "/v1/alerts", query=f"limit=1&cursor={first['next']}")).json()
        assert ([alert_id], [other], None) == (
            [one["id"] for one in first["alerts"]],
            [one["id"] for one in second["alerts"]],
            second["next"],
        )
        story = (await room.ask("GET", f"/v1/alerts/{alert_id}/why", query="after=0")).json()
        assert {"new", "told"} <= {one["clause"] for one in story["steps"]}
        assert all(one["text"] for one in story["steps"])
        (letter,) = {one["letter"] for one in story["steps"] if one["letter"] is not None}
        assert letter in {one.number for one in await room.letters()}
        german = await room.ask(
            "GET", f"/v1/alerts/{alert_id}/why", query="after=0", headers={"accept-language": "de"}
        )
        assert "de" == german.headers["content-language"]
        assert [one["text"] for one in german.json()["steps"]] != [one["text"] for one in story["steps"]]
        events = (await room.ask("GET", "/v1/alerts/events")).json()["events"]
        assert [("login", "http"), ("disk-low", "http")] == [(one["key"], one["door"]) for one in events]
        mine = (await room.ask("GET", "/v1/alerts/events", query=f"alert={alert_id}")).json()["events"]
        assert [alert_id] == [one["alert"] for one in mine]

    on_doors(scenario)


def test_a_wrong_report_stores_nothing() -> None:
    """One wrong alert of many refuses all, and every problem has its place."""

    async def scenario(room: AlertDoorsRoom) -> None:
        answer = await room.ask("POST", "/v1/alerts", [DISK, {**DISK, "severity": "bad", "kye": 1}])
        assert (422, [("unknown-field", "alerts.1.kye"), ("unknown-value", "alerts.1.severity")]) == (
            answer.status,
            answer.problems(),
        )
        assert [] == (await room.ask("GET", "/v1/alerts/events")).json()["events"]
        assert 404 == (await room.ask("GET", "/v1/alerts/nothing")).status
        assert 404 == (await room.ask("GET", "/v1/alerts/nothing/why")).status
        for query in ("state=x", "severity=high", "match=%3D%3D", "limit=0", "cursor=x", "key=a&key=b"):
            assert 422 == (await room.ask("GET", "/v1/alerts", query=query)).status, query
        large = b'{"key": "' + b"x" * (4 * 1024 * 1024) + b'"}'
        headers = {"content-type": "application/json", "content-length": str(len(large))}
        assert 413 == (await room.ask("POST", "/v1/alerts", body=large, headers=headers)).status

    on_doors(scenario)


def test_people_acknowledge_and_silence() -> None:
    """The name of the key stands for who gives none; an end is one of two, and lies ahead."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        path = f"/v1/alerts/{alert_id}"
        shown = (await room.ask("POST", f"{path}/acknowledge")).json()
        assert ("all", "acknowledged") == (shown["acknowledged_by"], shown["muted"])
        shown = (await room.ask("POST", f"{path}/acknowledge", {"by": "Kim", "until": later(NOW, 1)})).json()
        assert ("Kim", "2030-01-31T13:00:00Z") == (shown["acknowledged_by"], shown["acknowledged_until"])
        shown = (await room.ask("POST", f"{path}/acknowledge", {"duration": "1 h"})).json()
        assert "2030-01-31T13:00:00Z" == shown["acknowledged_until"]
        twice = {"duration": "1 h", "until": later(NOW, 1)}
        assert 422 == (await room.ask("POST", f"{path}/acknowledge", twice)).status
        assert 422 == (await room.ask("POST", f"{path}/acknowledge", {"until": later(NOW, -1)})).status
        often = (await room.ask("POST", f"{path}/rhythm", {"every": "12 h"})).json()
        assert (43200.0, ["root"]) == (often["every_s"], [one["path"] for one in often["groups"]])
        assert 422 == (await room.ask("POST", f"{path}/rhythm", {"every": "1 s"})).status
        made = await room.ask("POST", f"{path}/silence", {"duration": "1 h", "reason": "we know"})
        assert (201, "2030-01-31T13:00:00Z", "all") == (
            made.status,
            made.json()["ends_at"],
            made.json()["author"],
        )
        assert "silenced" == (await room.ask("GET", path)).json()["muted"]
        assert 422 == (await room.ask("POST", f"{path}/silence", {})).status
        assert 422 == (await room.ask("POST", f"{path}/silence", {"duration": "0 h"})).status
        wanted = {"matchers": ['team="ops"'], "ends_at": later(NOW, 2), "author": "Kim"}
        more = (await room.ask("POST", "/v1/alerts/silences", wanted)).json()
        listed = (await room.ask("GET", "/v1/alerts/silences")).json()["silences"]
        assert [made.json()["id"], more["id"]] == [one["id"] for one in listed]
        for silence in listed:
            assert 204 == (await room.ask("DELETE", f"/v1/alerts/silences/{silence['id']}")).status
        assert 404 == (await room.ask("DELETE", f"/v1/alerts/silences/{more['id']}")).status
        for matchers in (['x=~"("'], ['team=~".*"'], [], [1]):
            bad = {"matchers": matchers, "duration": "1 h"}
            assert 422 == (await room.ask("POST", "/v1/alerts/silences", bad)).status, matchers
        await room.report({**DISK, "state": "resolved"})
        gone = await room.ask("POST", f"{path}/acknowledge")
        assert (409, "alert-not-active") == (gone.status, gone.json()["code"])
        await room.ask("PUT", "/v1/alerts/rules/type/hushed", {"mail": False})
        (hushed,) = await room.report({"key": "hushed", "state": "firing"})
        untold = await room.ask("POST", f"/v1/alerts/{hushed}/rhythm", {"every": "12 h"})
        assert (409, "alert-not-told") == (untold.status, untold.json()["code"])

    on_doors(scenario)


def test_rules_are_stored_and_those_of_the_settings_are_not_changed() -> None:
    """A rule holds when it is answered, comes back as it may be stored again, and is removed."""

    async def scenario(room: AlertDoorsRoom) -> None:
        receiver = {"to": ["db@example.com"], "quiet": ["sat,sun", "22:00-07:00"]}
        put = await room.ask("PUT", "/v1/alerts/rules/receiver/db", receiver)
        assert (200, "store", "db") == (put.status, put.json()["origin"], put.json()["name"])
        route = {"matchers": ['team="db"'], "receiver": "db", "repeat": "1 h, 1 d", "group_wait": "30 s"}
        assert 200 == (await room.ask("PUT", "/v1/alerts/rules/route/db", route)).status
        trace = (await room.ask("POST", "/v1/alerts/test", {"labels": {"team": "db"}})).json()
        assert [("db", 30.0, [3600.0, 86400.0])] == [
            (one["receiver"], one["group_wait_s"], one["repeat_s"]) for one in trace["branches"]
        ]
        assert [True, True] == [one["match"] for one in trace["asked"]]
        assert ["db@example.com"] == [one["address"] for one in trace["branches"][0]["told"]]
        TraceAnswer.model_validate(trace)
        rules = (await room.ask("GET", "/v1/alerts/rules")).json()
        assert {("type", "disk-low", "file"), ("receiver", "db", "store"), ("route", "db", "store")} <= {
            (one["kind"], one["name"], one["origin"]) for one in rules["rules"]
        }
        for one in rules["rules"]:  # what is shown may be stored as it is
            if one["origin"] == "store":
                path = f"/v1/alerts/rules/{one['kind']}/{one['name']}"
                again = await room.ask("PUT", path, one["rule"])
                assert (200, one["rule"]) == (again.status, again.json()["rule"])
        types = (await room.ask("GET", "/v1/alerts/types")).json()["types"]
        assert ["disk-low"] == [one["name"] for one in types]
        held = await room.ask("PUT", "/v1/alerts/rules/type/disk-low", {"mail": False})
        assert (409, "read-only") == (held.status, held.json()["code"])
        assert 409 == (await room.ask("DELETE", "/v1/alerts/rules/receiver/default")).status
        assert 422 == (await room.ask("DELETE", "/v1/alerts/rules/receiver/db")).status  # the route needs it
        assert 204 == (await room.ask("DELETE", "/v1/alerts/rules/route/db")).status
        assert 204 == (await room.ask("DELETE", "/v1/alerts/rules/receiver/db")).status
        assert 404 == (await room.ask("DELETE", "/v1/alerts/rules/receiver/db")).status
        assert 404 == (await room.ask("PUT", "/v1/alerts/rules/thing/x", {})).status
        for path, value, status in (
            ("type/x", {"key": "y"}, 422),
            ("type/x", [], 422),
            ("type/x", {"mial": False}, 422),
            ("route/x", {"receiver": "nobody"}, 422),
        ):
            assert status == (await room.ask("PUT", f"/v1/alerts/rules/{path}", value)).status, (path, value)

    on_doors(scenario)


def test_every_door_asks_for_its_scope_and_its_house() -> None:
    """Without a key 401, with another scope or of a tenant 403; pages and handshakes need none."""

    async def scenario(room: AlertDoorsRoom) -> None:
        room.service.add_key("wrong", "admin")
        room.add_tenant("theirs")
        guarded = [one for one in room.operations if one.needs is not None]
        assert {"send", "read", "operate"} == {one.needs for one in guarded}
        assert {"/alerts/act", "/v2/enqueue", "/v1/alerts/cloudevents"} == {
            one.path for one in room.operations if one.needs is None
        }
        for one in guarded:
            path = one.path.replace("{id}", "x").replace("{kind}", "type").replace("{name}", "x")
            parts: dict[str, Any] = {"value": {}} if one.media_types else {}
            statuses = [
                (await room.ask(one.method, path, key=key, **parts)).status
                for key in (None, "wrong", "theirs")
            ]
            assert [401, 403, 403] == statuses, (one.method, path)

    on_doors(scenario)


def test_a_full_queue_of_reports_says_when_to_come_back() -> None:
    """While too many reports wait, 503 with Retry-After and nothing stored."""

    async def scenario(room: AlertDoorsRoom) -> None:
        await room.evaluator.stop()
        room.evaluator.waiting = 10**9
        answer = await room.ask("POST", "/v1/alerts", DISK)
        assert (503, "10") == (answer.status, answer.headers["retry-after"])
        room.evaluator.waiting = 0

    on_doors(scenario)


def test_what_is_over_is_asked_for() -> None:
    """A list has what fires; `any` and `resolved` also have what is over and still remembered."""

    async def scenario(room: AlertDoorsRoom) -> None:
        (alert_id,) = await room.report(DISK)
        room.clock.advance(timedelta(minutes=1).total_seconds())
        await room.report({**DISK, "state": "resolved"})
        counts = [
            len((await room.ask("GET", "/v1/alerts", query=query)).json()["alerts"])
            for query in ("", "state=resolved", "state=any", "state=firing")
        ]
        assert [0, 1, 1, 0] == counts
        shown = (await room.ask("GET", f"/v1/alerts/{alert_id}")).json()
        assert ("resolved", "2030-01-31T12:01:00Z") == (shown["state"], shown["resolved_at"])

    on_doors(scenario, RULES)
