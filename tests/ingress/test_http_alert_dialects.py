"""The doors for other programs, with what their documentation publishes."""

import json
from pathlib import Path
from typing import Any

from each_row import each
from ingress.alert_doors_room import AlertDoorsRoom, on_doors
from ingress.asgi_client import Answer
from peers import alert_payloads as published
from peers.fake_service import KEY

JSON = {"content-type": "application/json"}
ROWS = Path(__file__).resolve().parents[1] / "attacks" / "attacks.jsonl"


async def keys(room: AlertDoorsRoom) -> list[tuple[str, str]]:
    """Return door and key of every report, newest first."""
    events = (await room.ask("GET", "/v1/alerts/events")).json()["events"]
    return [(one["door"], one["key"]) for one in events]


def test_published_payloads_are_taken() -> None:
    """Each dialect's own example becomes a stored report."""

    async def scenario(room: AlertDoorsRoom) -> None:
        for path, payload, key, count in (
            ("alertmanager", published.ALERTMANAGER, "ProbeFailure", 1),
            ("grafana", published.GRAFANA, "High CPU usage", 2),
            ("grafana", published.GRAFANA_LEGACY, "Panel Title alert", 1),
            ("tapdata", published.TAPDATA, "TASK_STATUS_ERROR", 1),
        ):
            answer = await room.ask("POST", f"/v1/alerts/{path}", payload)
            assert (202, count) == (answer.status, answer.json()["accepted"])
            assert (path, key) == (await keys(room))[0]
        answer = await room.ask("POST", "/api/v2/alerts", published.PROMETHEUS)
        assert (200, b"") == (answer.status, answer.body)
        assert ("prometheus", "InstanceDown") == (await keys(room))[0]
        answer = await room.ask("POST", "/api/v2/alerts", [])
        assert (200, b"", 6) == (answer.status, answer.body, len(await keys(room)))
        refused = await room.ask("POST", "/v1/alerts/alertmanager", {"alerts": [{"labels": []}]})
        assert (422, [("wrong-type", "alerts.0.labels")]) == (refused.status, refused.problems())
        await room.looked_at()

    on_doors(scenario)


def test_a_ping_of_tapdata_is_answered_and_not_stored() -> None:
    """Whatever its body, the header says that it is none; other events in the header are alarms."""

    async def scenario(room: AlertDoorsRoom) -> None:
        for event, value in (("PING", {}), ("webhook.ping", {"title": "x"}), ("", {"action": "PING"})):
            answer = await room.ask("POST", "/v1/alerts/tapdata", value, headers={"x-event": event})
            assert (200, 0) == (answer.status, answer.json()["accepted"])
        assert [] == await keys(room)
        body = json.dumps({"title": "Done"}).encode()
        headers = {"x-event": "TASK_FULL_COMPLETE", "content-type": "text/plain;charset=utf-8"}
        assert 202 == (await room.ask("POST", "/v1/alerts/tapdata", body=body, headers=headers)).status
        assert [("tapdata", "TASK_FULL_COMPLETE")] == await keys(room)

    on_doors(scenario)


def test_pagerdutys_door_takes_the_key_from_the_body() -> None:
    """The routing key is a key with the scope send; refusals have PagerDuty's form."""

    async def scenario(room: AlertDoorsRoom) -> None:
        room.service.add_key("reader", "read")
        room.service.add_key("far", "send", networks=("192.0.2.0/24",))
        room.add_tenant("theirs")

        async def ask(**change: Any) -> Answer:
            return await room.ask("POST", "/v2/enqueue", {**published.PAGERDUTY, **change}, key=None)

        taken = await ask(routing_key=KEY)
        assert (202, {"status": "success", "message": "Event processed", "dedup_key": "samplekeyhere"}) == (
            taken.status,
            taken.json(),
        )
        await room.looked_at()
        await ask(routing_key=KEY, event_action="acknowledge", payload=None)
        await room.looked_at()
        (alert,) = (await room.ask("GET", "/v1/alerts")).json()["alerts"]
        assert ("Sample Monitoring Service", 1) == (alert["acknowledged_by"], alert["tally"])
        await ask(routing_key=KEY, event_action="resolve", payload=None)
        await room.looked_at()
        assert [] == (await room.ask("GET", "/v1/alerts")).json()["alerts"]
        made = (await ask(routing_key=KEY, dedup_key=None)).json()["dedup_key"]
        assert made == (await ask(routing_key=KEY, dedup_key="")).json()["dedup_key"]
        refusals = [
            (await ask(routing_key=key)).status
            for key in ("nothing", None, 3, "reader", "far", "theirs", "\ud800")
        ]
        assert [400, 400, 400, 403, 403, 403, 400] == refusals
        refused = await ask(routing_key=KEY, payload={"severity": "bad"})
        assert (400, "invalid event", "Event object is invalid") == (
            refused.status,
            refused.json()["status"],
            refused.json()["message"],
        )
        assert ["payload.summary", "payload.source", "payload.severity"] == [
            one.partition(":")[0] for one in refused.json()["errors"]
        ]
        for body in (b"{", b"[]", b"", b"3"):
            answer = await room.ask("POST", "/v2/enqueue", body=body, headers=JSON, key=None)
            assert (400, "invalid event") == (answer.status, answer.json()["status"])
        large = await room.ask("POST", "/v2/enqueue", body=b" " * (512 * 1024 + 1), headers=JSON, key=None)
        assert (413, "invalid event") == (large.status, large.json()["status"])

    on_doors(scenario)


def test_cloudevents_in_three_modes() -> None:
    """Structured, batched and binary; another format, and what is no event, is 415."""

    async def scenario(room: AlertDoorsRoom) -> None:
        path = "/v1/alerts/cloudevents"

        async def send(kind: str, value: object, **headers: str) -> Answer:
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            return await room.ask(
                "POST", path, body=json.dumps(value).encode(), headers={"content-type": kind, **named}
            )

        kind = "application/cloudevents+json; charset=UTF-8"
        assert 1 == (await send(kind, published.CLOUDEVENT)).json()["accepted"]
        batch = [published.CLOUDEVENT, published.CLOUDEVENT_XML, published.CLOUDEVENT_TEXT]
        assert 3 == (await send("application/cloudevents-batch+json", batch)).json()["accepted"]
        empty = await send("application/cloudevents-batch+json", [])
        assert (202, 0) == (empty.status, empty.json()["accepted"])
        binary = await room.ask(
            "POST",
            path,
            body=b'{"severity": "crit", "state": "firing"}',
            headers={**published.CLOUDEVENT_HEADERS, "ce-subject": "Euro%20%E2%82%AC"},
        )
        await room.looked_at()
        shown = (await room.ask("GET", f"/v1/alerts/{binary.json()['alerts'][0]['alert']}")).json()
        assert ("Euro \u20ac", "critical", "/mycontext/subcontext") == (
            shown["object"],
            shown["severity"],
            shown["source"],
        )
        for other in (
            "application/cloudevents+avro",
            "application/json",
            "",
            "application/cloudevents-batch+avro",
        ):
            assert 415 == (await send(other, published.CLOUDEVENT)).status
        assert 422 == (await send("application/json", {}, ce_specversion="1.0")).status
        assert 400 == (await room.ask("POST", path, body=b"{", headers={"content-type": kind})).status

    on_doors(scenario)


def test_the_handshake_against_abuse() -> None:
    """An origin that names a sender is allowed, without a key; anything else gets no permission."""

    async def scenario(room: AlertDoorsRoom) -> None:
        path = "/v1/alerts/cloudevents"

        async def ask(**headers: str) -> Answer:
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            return await room.ask("OPTIONS", path, headers=named, key=None)

        origin = "eventemitter.example.com"
        answer = await ask(webhook_request_origin=origin, webhook_request_rate="120")
        assert (200, origin, "*", "OPTIONS, POST") == (
            answer.status,
            answer.headers["webhook-allowed-origin"],
            answer.headers["webhook-allowed-rate"],
            answer.headers["allow"],
        )
        for bad in ("", "a b", "x" * 300, "a\u00e9"):
            assert "webhook-allowed-origin" not in (await ask(webhook_request_origin=bad)).headers
        assert 401 == (await room.ask("POST", path, {}, key=None)).status

    on_doors(scenario)


def _attacks() -> list[str]:
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    texts = [one["input"]["text"] for one in rows if one["input"]["kind"] == "text"]
    return texts + [
        text
        for one in rows
        if one["input"]["kind"] == "list"
        for text in one["input"]["values"]
        if isinstance(text, str)
    ]


def test_attacks_in_every_field_of_every_dialect() -> None:
    """No text of the attack rows, in any field or as the body, leads to anything but an answer."""

    async def scenario(room: AlertDoorsRoom) -> None:
        texts = _attacks()
        assert len(texts) > 100
        for text in texts:
            alert = {
                "labels": {"alertname": text, text[:50]: text},
                "annotations": {"summary": text, text: text},
            }
            for path, value in (
                ("/v1/alerts", {"key": "k", "text": text, "labels": {"a": text}, "details": {"b": text}}),
                ("/v1/alerts", {"key": text, "title": text, "link": text, "receivers": [text]}),
                ("/v1/alerts/alertmanager", {"alerts": [{**alert, "generatorURL": text}], "status": text}),
                ("/api/v2/alerts", [{**alert, "startsAt": text, "endsAt": text}]),
                ("/v1/alerts/grafana", {"ruleName": text, "ruleId": text, "tags": {"t": text}}),
                ("/v1/alerts/tapdata", {"title": text, "actionData": {"metric": text, "name": text}}),
                (
                    "/v2/enqueue",
                    {
                        "routing_key": KEY,
                        "event_action": "trigger",
                        "payload": {"summary": text, "source": text, "severity": "info", "class": text},
                    },
                ),
            ):
                answer = await room.ask("POST", path, value)
                assert answer.status in (200, 202, 400, 422), (path, text, answer.body)
            raw = text.encode("utf-8", "surrogatepass")
            for path in ("/v1/alerts", "/v1/alerts/tapdata", "/v2/enqueue"):
                answer = await room.ask("POST", path, body=raw, headers=JSON)
                assert answer.status in (202, 400, 413, 422), (path, text)
        await room.looked_at()
        for event in (await room.ask("GET", "/v1/alerts/events", query="limit=200")).json()["events"]:
            lines = (event["key"], event["title"], event["object"], event["source"])
            assert all(one.isprintable() for one in lines)
            assert event["link"] == "" or event["link"].lower().startswith(("http://", "https://"))

    on_doors(scenario)


@each(
    ("method", "path"),
    [
        ("GET", "/v2/enqueue"),
        ("PUT", "/v1/alerts"),
        ("GET", "/v1/alerts/alertmanager"),
        ("DELETE", "/v1/alerts/rules"),
    ],
)
def test_other_methods_are_refused(method: str, path: str) -> None:
    """What is no verb of a door is 405 or nothing at all, never an answer of the door."""

    async def scenario(room: AlertDoorsRoom) -> None:
        assert (await room.ask(method, path)).status in (404, 405)

    on_doors(scenario)
