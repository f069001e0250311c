"""The native body of alerts: what is read, and how everything wrong is told at once."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import CallerError, InputError
from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.alert_parts import SEVERITIES, is_link
from postroom.schema.alerts import read_alerts


def read(value: object) -> list[NewAlertEvent]:
    return read_alerts(json.dumps(value).encode(), tenant=DEFAULT_TENANT)


def wrong(value: object) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        read(value)
    return [(one.code, one.field) for one in caught.value.problems]


def test_every_member_becomes_the_same_one_of_the_event() -> None:
    """One object, a list and an object with a list say the same."""
    full = {
        "key": "disk-low",
        "category": "system",
        "severity": "P1",
        "source": "host1",
        "object": "/dev/sda1",
        "node": "inodes",
        "title": "Disk low",
        "text": "2 % left\nof 1 TB",
        "labels": {"team": "ops", "note": "line\nline"},
        "details": {"runbook": "https://example.com/r"},
        "values": {"value": 2, "part": 0.5, "full": False, "mount": "/"},
        "state": "firing",
        "dedup": "disk-1",
        "occurred_at": "2030-01-31T09:00:00+09:00",
        "ends_at": "2030-01-31T10:00:00Z",
        "link": "https://example.com/d?x=1",
        "receivers": ["Kim <kim@example.com>", "kim@example.com", "ops@BÜCHER.example"],
        "acknowledged_by": "kim",
    }
    expected = NewAlertEvent(
        key="disk-low",
        category="system",
        severity=Severity.CRITICAL,
        is_severity_said=True,
        source="host1",
        object="/dev/sda1",
        node="inodes",
        title="Disk low",
        text="2 % left\nof 1 TB",
        labels={"team": "ops", "note": "line\nline"},
        details={"runbook": "https://example.com/r"},
        values={"value": 2, "part": 0.5, "full": False, "mount": "/"},
        state=AlertState.FIRING,
        dedup="disk-1",
        occurred_at=datetime(2030, 1, 31, tzinfo=UTC),
        ends_at=datetime(2030, 1, 31, 10, tzinfo=UTC),
        link="https://example.com/d?x=1",
        receivers=("kim@example.com", "ops@xn--bcher-kva.example"),
        acknowledged_by="kim",
    )
    assert [expected] == read(full) == read([full]) == read({"alerts": [full]})
    assert [full["values"]] == [dict(one.values) for one in read(full)]
    (least,) = read({"key": "k"})
    assert NewAlertEvent(key="k") == least
    assert (Severity.WARNING, False, None) == (least.severity, least.is_severity_said, least.state)


def test_everything_that_is_wrong_is_told_with_its_place() -> None:
    """Wrong shapes and wrong values of three items are one answer."""
    bad: dict[str, Any] = {
        "key": "",
        "title": "a\u202eb",
        "source": "a\nb",
        "text": "\0",
        "values": {"x": None, "bool": [], "long": "q" * 2001, "fine": 1},
        "labels": {"": "x", "k": 1, "b\n": "x"},
        "texte": 1,
        "severity": "critcal",
        "state": "on",
        "link": "javascript:alert(1)",
        "occurred_at": "2030-01-31T09:00:00",
        "receivers": ["kim@example.com", "nobody"],
    }
    assert [
        ("empty", "alerts.1.key"),
        ("control-character", "alerts.1.source"),
        ("control-character", "alerts.1.title"),
        ("control-character", "alerts.1.text"),
        ("empty", "alerts.1.labels"),
        ("wrong-type", "alerts.1.labels.k"),
        ("control-character", "alerts.1.labels"),
        ("wrong-type", "alerts.1.values.x"),
        ("wrong-type", "alerts.1.values.bool"),
        ("too-long", "alerts.1.values.long"),
        ("unknown-field", "alerts.1.texte"),
        ("unknown-value", "alerts.1.severity"),
        ("unknown-value", "alerts.1.state"),
        ("url-syntax", "alerts.1.link"),
        ("instant-syntax", "alerts.1.occurred_at"),
        ("address-invalid", "alerts.1.receivers.1"),
        ("wrong-type", "alerts.2"),
    ] == wrong({"alerts": [{"key": "fine"}, bad, 3]})
    with pytest.raises(InputError) as caught:
        read({"key": "k", "recievers": [], "severity": "critcal"})
    assert ["Did you mean receivers?", "Use critical."] == [one.fix for one in caught.value.problems]
    with pytest.raises(InputError) as caught:
        read([])
    assert ["Send one."] == [one.fix for one in caught.value.problems]


@each(
    ("value", "expected"),
    [
        ([], [("limit-exceeded", "alerts")]),
        ({"alerts": []}, [("limit-exceeded", "alerts")]),
        ([{"key": "k"}] * 1001, [("limit-exceeded", "alerts")]),
        ({"alerts": 1}, [("wrong-type", "alerts")]),
        (3, [("wrong-type", "body")]),
        ({"alerts": [{"key": "k"}], "key": "k"}, [("unknown-field", "key")]),
        ({"key": "k", "alerts": [{"key": "k"}]}, [("unknown-field", "key")]),
        ({}, [("missing-field", "key")]),
        ({"key": "k", "labels": {str(n): "" for n in range(65)}}, [("limit-exceeded", "labels")]),
        ({"key": "k", "text": "x" * 16385}, [("too-long", "text")]),
        ({"key": "k", "text": "\ud800"}, [("control-character", "text")]),
        ([{"key": "k", "severity": "x"}], [("unknown-value", "alerts.0.severity")]),
    ],
)
def test_shapes_that_are_none(value: object, expected: list[tuple[str, str]]) -> None:
    """Each wrong shape of a request has its code and place."""
    assert expected == wrong(value)


def test_numbers_that_json_does_not_have_are_refused() -> None:
    """NaN and infinities are no measured values; broken JSON is told with its place."""
    for body in (
        b'{"key": "k", "values": {"x": NaN}}',
        b'{"key": "k", "values": {"x": 1e999}}',
        b'{"key"',
        b"",
    ):
        with pytest.raises(CallerError):
            read_alerts(body, tenant=DEFAULT_TENANT)


def test_severities_of_other_programs_are_understood() -> None:
    """Every word in every case means one of the five; pages and priorities too."""
    known = {word: read({"key": "k", "severity": word.upper()})[0].severity for word in SEVERITIES}
    assert known == SEVERITIES
    assert [Severity.EMERGENCY, Severity.CRITICAL, Severity.ERROR, Severity.INFO] == [
        known[word] for word in ("panic", "page", "high", "p4")
    ]


def test_links_are_addresses_of_the_web() -> None:
    """What could run, or break out of an attribute, is none."""
    assert all(map(is_link, ("http://example.com", "HTTPS://example.com:8443/a?b=c#d")))
    bad = (
        "javascript:1",
        "//example.com",
        "https://",
        "https:///x",
        'http://a"b',
        "http://a b",
        "http://a\n",
        "",
    )
    assert [] == [one for one in bad if is_link(one)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {"key": st.just("k") | _JSON},
        optional=dict.fromkeys(
            ("labels", "values", "severity", "state", "occurred_at", "link", "receivers", "text"), _JSON
        ),
    )
)
def test_any_body_is_read_or_refused(value: dict[str, Any]) -> None:
    """No JSON leads to anything but events or problems, and what is read can be stored."""
    try:
        (event,) = read(value)
    except CallerError:
        return
    event.text.encode()
    assert len(event.labels) <= 64
