"""What other programs send as alerts, read from what their documentation publishes."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers import alert_payloads as published
from postroom.errors import CallerError, InputError
from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import DEFAULT_TENANT as TENANT
from postroom.policy.alerting.identity import alert_id
from postroom.schema.alert_dialects import alertmanager, cloudevents, grafana, pagerduty, tapdata

FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED


def fields(read: Callable[[], object]) -> list[str]:
    with pytest.raises(InputError) as caught:
        read()
    return [one.field for one in caught.value.problems]


def test_alertmanagers_webhook() -> None:
    """The labels are the alert, the annotations its words; resolved is the same alert."""
    (event,) = alertmanager.read_webhook(published.ALERTMANAGER, tenant=TENANT)
    assert (
        NewAlertEvent(
            key="ProbeFailure",
            severity=Severity.CRITICAL,
            is_severity_said=True,
            source="alertmanager",
            object="https://server.example.org",
            title="BlackBox Probe Failure: https://server.example.org",
            text="Instance https://server.example.org has been down for over 5m.",
            labels={
                "instance": "https://server.example.org",
                "job": "http_checks",
                "monitor": "master",
                "severity": "critical",
            },
            state=FIRING,
            occurred_at=datetime(2023, 2, 6, 13, 8, 45, 828000, tzinfo=UTC),
            link="http://prometheus.example.org:9090/graph?g0.expr=probe_success+%3D%3D+0&g0.tab=1",
            door="alertmanager",
        )
        == event
    )
    ended = {**published.ALERTMANAGER["alerts"][0], "status": "resolved", "endsAt": "2023-02-06T13:18:45Z"}
    over = {**published.ALERTMANAGER, "alerts": [ended], "truncatedAlerts": 12}
    (resolved,) = alertmanager.read_webhook(over, tenant=TENANT)
    assert (RESOLVED, alert_id(event)) == (resolved.state, alert_id(resolved))
    assert datetime(2023, 2, 6, 13, 18, 45, tzinfo=UTC) == resolved.occurred_at
    assert {"truncatedAlerts": "12"} == resolved.details


def test_prometheus_says_by_the_end_whether_it_is_over() -> None:
    """An end ahead is firing until then, an end that has passed is over, none is five minutes."""
    starts_at = datetime(2018, 8, 3, 7, 52, 26, 739266, tzinfo=UTC)
    (event,) = alertmanager.read_alerts(published.PROMETHEUS, now=starts_at, tenant=TENANT)
    assert (FIRING, starts_at, starts_at + timedelta(minutes=4)) == (
        event.state,
        event.occurred_at,
        event.ends_at,
    )
    assert (Severity.CRITICAL, "prometheus", {"runbook_url": "https://example.com/r/1"}) == (
        event.severity,
        event.source,
        event.details,
    )
    later = starts_at + timedelta(hours=1)
    (over,) = alertmanager.read_alerts(published.PROMETHEUS, now=later, tenant=TENANT)
    assert (RESOLVED, None, alert_id(event)) == (over.state, over.ends_at, alert_id(over))
    assert starts_at + timedelta(minutes=4) == over.occurred_at
    endless = [{"labels": {"alertname": "X", "empty": ""}, "endsAt": "0001-01-01T00:00:00Z"}]
    (event,) = alertmanager.read_alerts(endless, now=later, tenant=TENANT)
    assert (FIRING, later + timedelta(minutes=5), {}) == (event.state, event.ends_at, event.labels)


def test_wrong_alerts_of_alertmanager_are_named() -> None:
    """What has no labels is no alert; every one that is wrong is told."""
    items = [{"labels": {}}, 3, {"labels": {"alertname": "X", "a": {}}}]
    expected = ["0.labels", "1", "2.labels.a"]
    assert expected == fields(lambda: alertmanager.read_alerts(items, now=datetime.now(UTC), tenant=TENANT))
    assert ["alerts"] == fields(lambda: alertmanager.read_webhook({"version": "4"}, tenant=TENANT))


def test_grafanas_webhook() -> None:
    """Values and links come with the alert; the page of the rule is the link where no panel is named."""
    event, other = grafana.read(published.GRAFANA, tenant=TENANT)
    assert ("High CPU usage", "eu-1") == (other.key, other.labels["zone"])
    assert alert_id(event) != alert_id(other)
    assert ("High memory usage", "This alert was triggered for zone us-1") == (event.key, event.title)
    assert {"B": 44.23943737541908, "C": 1} == event.values
    assert {"team": "blue", "zone": "us-1"} == event.labels
    assert {"runbook_url", "silenceURL"} == set(event.details)
    assert ("https://play.example.org/alerting/1afz29v7z/edit", FIRING) == (event.link, event.state)
    alert = {
        **published.GRAFANA["alerts"][0],
        "status": "resolved",
        "panelURL": "https://play.example.org/d/1?viewPanel=2",
        "imageURL": "https://play.example.org/i.png",
        "valueString": "[ metric='' labels={} value=14151.331895396988 ]",
    }
    (over,) = grafana.read({**published.GRAFANA, "alerts": [alert]}, tenant=TENANT)
    assert (RESOLVED, alert["panelURL"], alert_id(event)) == (over.state, over.link, alert_id(over))
    assert {"runbook_url", "silenceURL", "imageURL", "valueString", "generatorURL"} == set(over.details)


def test_grafanas_older_webhook() -> None:
    """A rule is one alert by its number; ok ends it, no_data does not."""
    (event,) = grafana.read(published.GRAFANA_LEGACY, tenant=TENANT)
    assert ("Panel Title alert", "[Alerting] Panel Title alert", "Notification Message") == (
        event.key,
        event.title,
        event.text,
    )
    assert ({"Count": 1}, {"tag name": "tag value"}, "grafana/1/1") == (
        event.values,
        event.labels,
        event.dedup,
    )
    assert published.GRAFANA_LEGACY["ruleUrl"] == event.link
    states = [
        grafana.read({**published.GRAFANA_LEGACY, "state": state}, tenant=TENANT)[0].state
        for state in ("ok", "paused", "alerting", "pending", "no_data")
    ]
    assert [RESOLVED, RESOLVED, FIRING, FIRING, FIRING] == states


def test_tapdatas_default_template() -> None:
    """Metric, task and node are the alarm; members without a value are none, and are no variables."""
    (event,) = tapdata.read(published.TAPDATA, "TASK_STATUS_ERROR", tenant=TENANT)
    assert ("TASK_STATUS_ERROR", "orders", "warehouse", "tapdata/orders/TASK_STATUS_ERROR/warehouse") == (
        event.key,
        event.object,
        event.node,
        event.dedup,
    )
    assert (FIRING, Severity.CRITICAL, "tapdata") == (event.state, event.severity, event.source)
    assert ("Task error", "The task orders stopped with an error") == (event.title, event.text)
    assert datetime(2024, 8, 3, 1, 59, 59, tzinfo=UTC) == event.occurred_at
    assert ("orders", "Connection refused", "1722650399000", "3") == tuple(
        event.values[name] for name in ("taskName", "errorLog", "errorTime", "tally")
    )
    assert not {"currentValue", "threshold", "recoveryTime", "closeTime"} & event.values.keys()
    for status in ("RECOVER", "CLOESE", "CLOSED"):
        data = {**published.TAPDATA["actionData"], "status": status}
        (over,) = tapdata.read({**published.TAPDATA, "actionData": data}, "TaskAlter", tenant=TENANT)
        assert (RESOLVED, alert_id(event)) == (over.state, alert_id(over))


def test_customised_templates_of_tapdata() -> None:
    """What a template left out comes from the header, or is left out; one that says nothing is refused."""
    (event,) = tapdata.read({"title": "Boom"}, "TASK_FULL_COMPLETE", tenant=TENANT)
    assert ("TASK_FULL_COMPLETE", "Boom", None, "") == (event.key, event.title, event.state, event.dedup)
    assert not event.is_severity_said
    (event,) = tapdata.read({"metric": "M", "name": "t", "level": "WARN"}, "", tenant=TENANT)
    assert ("M", "t", Severity.WARNING, "tapdata/t/M/") == (
        event.key,
        event.object,
        event.severity,
        event.dedup,
    )
    assert ["actionData.metric"] == fields(
        lambda: tapdata.read({"action": "TaskAlter"}, "TaskAlter", tenant=TENANT)
    )
    assert (
        [] == tapdata.read({}, "PING", tenant=TENANT) == tapdata.read({"action": "PING"}, "", tenant=TENANT)
    )


def test_pagerdutys_events() -> None:
    """Trigger, acknowledge and resolve with one key are one alert."""
    event = pagerduty.read(published.PAGERDUTY, tenant=TENANT)
    assert ("deploy", "prod-datapipe", "postgres", "samplekeyhere", Severity.INFO) == (
        event.key,
        event.category,
        event.object,
        event.dedup,
        event.severity,
    )
    assert datetime(2015, 7, 17, 8, 42, 58, 315000, tzinfo=UTC) == event.occurred_at
    assert {"ping time": "1500ms", "load avg": 0.75} == event.values
    assert {
        "ping time": "1500ms",
        "load avg": "0.75",
        "client": "Sample Monitoring Service",
        "client_url": "https://monitoring.example.com",
        "Link text": "https://example.com/",
        "Example text": "https://www.example.com/logo.png",
        "Example text (link)": "https://example.com/",
    } == event.details
    assert ("https://example.com/", FIRING, "") == (event.link, event.state, event.acknowledged_by)
    trigger = pagerduty.read({**published.PAGERDUTY, "dedup_key": "dedupkeyhere"}, tenant=TENANT)
    acknowledge = pagerduty.read(published.PAGERDUTY_ACKNOWLEDGE, tenant=TENANT)
    resolve = pagerduty.read(published.PAGERDUTY_RESOLVE, tenant=TENANT)
    assert alert_id(trigger) == alert_id(acknowledge) == alert_id(resolve) != alert_id(event)
    assert ("PagerDuty", FIRING, RESOLVED) == (acknowledge.acknowledged_by, acknowledge.state, resolve.state)


def test_pagerdutys_key_is_made_where_there_is_none() -> None:
    """The same trigger has the same key, another summary another one."""
    keyless = {name: one for name, one in published.PAGERDUTY.items() if name != "dedup_key"}
    made = pagerduty.read(keyless, tenant=TENANT).dedup
    assert 20 == len(made)
    assert made == pagerduty.read({**keyless, "client": "Other"}, tenant=TENANT).dedup
    other = {**keyless, "payload": {**keyless["payload"], "summary": "x" * 1024}}
    event = pagerduty.read(other, tenant=TENANT)
    assert (made != event.dedup, 500, "x" * 1024) == (True, len(event.title), event.text)
    assert ["payload.summary", "payload.source", "payload.severity"] == fields(
        lambda: pagerduty.read({"event_action": "trigger", "payload": {}}, tenant=TENANT)
    )
    assert ["dedup_key"] == fields(lambda: pagerduty.read({"event_action": "resolve"}, tenant=TENANT))
    assert ["event_action", "dedup_key", "payload"] == fields(
        lambda: pagerduty.read({"dedup_key": "x" * 256, "payload": 3}, tenant=TENANT)
    )


def structured(value: object, kind: str = cloudevents.STRUCTURED) -> list[NewAlertEvent]:
    return cloudevents.read(kind, (), json.dumps(value).encode(), tenant=TENANT)


def binary(headers: dict[str, str], body: bytes) -> NewAlertEvent:
    raw = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    kind = headers.get("content-type", "").partition(";")[0]
    return cloudevents.read(kind, raw, body, tenant=TENANT)[0]


def test_structured_and_batched_cloudevents() -> None:
    """Type, source and subject are key, source and object; unknown data is shown to people."""
    (event,) = structured(published.CLOUDEVENT)
    assert ("com.example.someevent", "/mycontext", "", None) == (
        event.key,
        event.source,
        event.object,
        event.state,
    )
    assert {
        "id": "C234-1234-1234",
        "appinfoA": "abc",
        "appinfoB": "123",
        "appinfoC": "true",
        "comexampleextension1": "value",
        "comexampleothervalue": "5",
    } == event.details
    assert ['<much wow="xml"/>', "I'm just a string"] == [
        structured(one)[0].text for one in (published.CLOUDEVENT_XML, published.CLOUDEVENT_TEXT)
    ]
    assert [] == structured([], cloudevents.BATCH)
    batch = structured([published.CLOUDEVENT, published.CLOUDEVENT_TEXT], cloudevents.BATCH)
    assert [event.key] * 2 == [one.key for one in batch]
    data = {
        "severity": "crit",
        "state": "firing",
        "title": "T",
        "text": "X",
        "labels": {"a": "b"},
        "more": [1],
    }
    (event,) = structured({**published.CLOUDEVENT, "subject": "disk", "data": data})
    assert (Severity.CRITICAL, FIRING, "T", "X", {"a": "b"}, "disk") == (
        event.severity,
        event.state,
        event.title,
        event.text,
        event.labels,
        event.object,
    )
    assert "[1]" == event.details["more"]
    coded = base64.b64encode(json.dumps(data).encode()).decode()
    without = {name: one for name, one in published.CLOUDEVENT.items() if name != "data"}
    assert structured({**without, "subject": "disk", "data_base64": coded}) == [event]


def test_binary_cloudevents() -> None:
    """Headers are percent-decoded once, quotes taken off; bytes that are not UTF-8 are refused."""
    headers = published.CLOUDEVENT_HEADERS
    event = binary(headers, b'{"severity": "error"}')
    (same,) = structured(
        {
            **{name[3:]: one for name, one in headers.items() if name.startswith("ce-")},
            "data": {"severity": "error"},
        }
    )
    assert same == event
    euro = binary({**headers, "ce-subject": "Euro%20%E2%82%AC%20%f0%9f%98%80"}, b"")
    assert "Euro \u20ac \U0001f600" == euro.object
    assert 'a "b" c' == binary({**headers, "ce-subject": r'"a \"b\" c"'}, b"").object
    plain = binary({**headers, "content-type": "text/plain"}, b"It broke")
    assert "It broke" == plain.text
    image = binary({**headers, "content-type": "image/png"}, b"\x89PNG")
    assert "4 bytes of image/png" == image.details["data"]
    assert ["ce-subject"] == fields(lambda: binary({**headers, "ce-subject": "%C0%A0"}, b""))
    assert ["ce-subject"] == fields(lambda: binary({**headers, "ce-subject": "%ff"}, b""))
    assert {"error": Severity.ERROR, "FATAL": Severity.CRITICAL} == {
        text: binary({**headers, "ce-severitytext": text}, b"").severity for text in ("error", "FATAL")
    }
    numbers = [
        binary({**headers, "ce-severitynumber": text}, b"").severity for text in ("22", "17", "14", "1")
    ]
    assert [Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.INFO] == numbers


def test_events_that_are_no_cloudevents_are_refused() -> None:
    """Missing attributes, another version and two kinds of data are each named, with their place."""
    assert ["specversion", "type", "source", "id"] == fields(lambda: structured({}))
    bad = [{**published.CLOUDEVENT, "specversion": "0.3"}, {**published.CLOUDEVENT, "data_base64": "!"}, 3]
    expected = ["0.specversion", "1.data", "1.data_base64", "2"]
    assert expected == fields(lambda: structured(bad, cloudevents.BATCH))


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["firing", "\ud800", "\0\u202e", "1" * 13]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_PUBLISHED: list[tuple[Callable[[Any], list[NewAlertEvent]], Any]] = [
    (lambda value: alertmanager.read_webhook(value, tenant=TENANT), published.ALERTMANAGER),
    (
        lambda value: alertmanager.read_alerts(value, now=datetime(2030, 1, 1, tzinfo=UTC), tenant=TENANT),
        published.PROMETHEUS,
    ),
    (lambda value: grafana.read(value, tenant=TENANT), published.GRAFANA),
    (lambda value: grafana.read(value, tenant=TENANT), published.GRAFANA_LEGACY),
    (lambda value: tapdata.read(value, "", tenant=TENANT), published.TAPDATA),
    (lambda value: [pagerduty.read(value, tenant=TENANT)], published.PAGERDUTY),
    (structured, published.CLOUDEVENT),
]


def _changed(value: Any, path: list[int], new: object) -> Any:
    """Return the value with one of its members replaced, chosen by numbers."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    if isinstance(value, list):
        return [_changed(value[0], path[1:], new), *value[1:]]
    name = list(value)[path[0] % len(value)]
    return {**value, name: _changed(value[name], path[1:], new)}


@given(
    st.sampled_from(range(len(_PUBLISHED))),
    st.lists(st.integers(0, 20), max_size=4),
    _JSON,
)
def test_any_change_of_a_payload_is_read_or_refused(which: int, path: list[int], new: object) -> None:
    """No member of any dialect leads to anything but events in bounds, or problems."""
    read, payload = _PUBLISHED[which]
    try:
        events = read(_changed(payload, path, new))
    except CallerError:
        return
    for event in events:
        lines = (event.key, event.title, event.object, event.source, event.node, event.category)
        assert all(one.isprintable() and len(one) <= 500 for one in lines)
        assert 0 < len(event.key) <= 200
        assert max(len(event.labels), len(event.details), len(event.values)) <= 64
        json.dumps([dict(event.labels), dict(event.details), dict(event.values), event.text]).encode()
        assert not any("\ud800" <= char <= "\udfff" or char == "\0" for char in event.text)
        replace(event, tenant=TENANT)
