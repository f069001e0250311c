"""How much one report of an alert may say."""

import json
from typing import Any

import pytest

from postroom.errors import InputError
from postroom.model.alert import NewAlertEvent
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.alert_dialects import alertmanager, cloudevents, grafana, pagerduty, tapdata
from postroom.schema.alert_parts import MAX_PAIRS, MAX_SAID, MAX_VALUE, size_of
from postroom.schema.alerts import read_alerts

MUCH = {f"name-{number}": "x" * MAX_VALUE for number in range(MAX_PAIRS)}
MOST = 2 * MAX_SAID
"""Characters of any event that a dialect makes, about: two hundred of them are read at a time."""


def read(**members: Any) -> NewAlertEvent:
    (event,) = read_alerts(json.dumps({"key": "disk", **members}).encode(), tenant=DEFAULT_TENANT)
    return event


@pytest.mark.parametrize("place", ["labels", "details", "values"])
def test_a_report_of_our_own_form_that_says_too_much_is_refused(place: str) -> None:
    """All pairs together have a bound, and the refusal names it; what is below it is taken whole."""
    with pytest.raises(InputError) as refused:
        read(**{place: MUCH})
    assert [("limit-exceeded", "details")] == [(one.code, one.field) for one in refused.value.problems]
    few = dict(list(MUCH.items())[:31])
    assert few == getattr(read(**{place: few}), place)


def test_other_programs_reports_that_say_too_much_are_shortened() -> None:
    """Nobody can be told to write less, so the first details are kept and the event is taken."""
    binary = [(b"ce-specversion", b"1.0"), (b"ce-type", b"t"), (b"ce-source", b"s"), (b"ce-id", b"1")]
    data = json.dumps({"values": MUCH, "details": MUCH, **MUCH}).encode()
    unified = {"labels": {"alertname": "a"}, "annotations": MUCH, "values": MUCH}
    payload = {"summary": "s", "source": "h", "severity": "info", "custom_details": MUCH}
    trigger = {"routing_key": "k", "event_action": "trigger", "payload": payload}
    for events in (
        alertmanager.read_webhook({"alerts": [unified]}, tenant=DEFAULT_TENANT),
        grafana.read({"alerts": [unified]}, tenant=DEFAULT_TENANT),
        tapdata.read({"actionData": {"metric": "m", **MUCH}}, event="", tenant=DEFAULT_TENANT),
        cloudevents.read("application/json", binary, data, tenant=DEFAULT_TENANT),
        [pagerduty.read(trigger, tenant=DEFAULT_TENANT)],
    ):
        (event,) = events
        assert MAX_SAID // 4 < size_of(event.details) + size_of(event.values) <= MOST
        assert "x" * MAX_VALUE == event.details["name-0"]


def test_labels_that_say_too_much_are_refused() -> None:
    """They are the identity of an alert: shortened, two alerts would be one."""
    with pytest.raises(InputError) as refused:
        alertmanager.read_webhook({"alerts": [{"labels": MUCH}]}, tenant=DEFAULT_TENANT)
    assert ["limit-exceeded"] == [one.code for one in refused.value.problems]


@pytest.mark.parametrize("form", ["{}", "[{}]", '{{"alerts": [{}]}}'])
def test_a_name_that_is_no_unicode_is_refused(form: str) -> None:
    """With everything else that is wrong."""
    body = form.format('{"key": "k", "\\ud800": 1, "state": "on"}')
    with pytest.raises(InputError) as refused:
        read_alerts(body.encode(), tenant=DEFAULT_TENANT)
    assert ["control-character", "unknown-value"] == [one.code for one in refused.value.problems]
