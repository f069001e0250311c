"""Rules of alerts that are stored by calls: read by the same models, fitted to those of the file."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import InputError
from postroom.model.alert import Severity
from postroom.model.alert_rules import (
    ROOT,
    AlertRoute,
    AlertRules,
    AlertType,
    ObjectSettings,
    Receiver,
    TypeSettings,
    WeekWindow,
)
from postroom.schema.alert_fields import parse_window, window_text
from postroom.schema.alert_fitting import merged
from postroom.schema.quantities import parse_span

HOUR = timedelta(hours=1)
READY = AlertType(
    key="ready", label={"en": "Ready"}, subject="{a}", variables=("a",), origin="tapdata",
    settings=TypeSettings(interval=HOUR, mail=False),
    objects=(ObjectSettings(object="o", settings=TypeSettings(mail=True)),),
)  # fmt: skip
SETTINGS = AlertRules(
    types={"file": AlertType(key="file"), "ready": READY},
    receivers={"ops": Receiver(name="ops")},
    root=replace(ROOT, routes=(AlertRoute(name="first"), AlertRoute(name="set", origin="tapdata"))),
    time_zone="Europe/Berlin",
)


def stored(*entries: tuple[str, str, object]) -> Sequence[tuple[str, str, str]]:
    return [(kind, name, json.dumps(body)) for kind, name, body in entries]


def wrong(*entries: tuple[str, str, object]) -> dict[str, str]:
    """Return field and code of each problem."""
    with pytest.raises(InputError) as raised:
        merged(SETTINGS, stored(*entries))
    return {one.field: one.code for one in raised.value.problems}


def test_stored_entries_stand_beside_those_of_the_file() -> None:
    """Each kind; routes hang below those of the file, in their order, and before those of a ready set."""
    rules = merged(
        SETTINGS,
        stored(
            ("route", "db", {"matchers": ['team="db"'], "receiver": "dba", "repeat": "1 HOUR"}),
            ("route", "web", {"matchers": {"team": "web"}, "mute": ["night"]}),
            ("receiver", "dba", {"to": "dba@example.com", "groups": ["ops"]}),
            ("table", "night", {"windows": "22:00-07:00"}),
            ("type", "lag", {"rule": {"below": 0, "points": 3}, "key": "lag"}),
            ("inhibition", "down", {"source": 'key="down"', "target": {"key": "late"}, "equal": ["node"]}),
        ),
    )
    assert ["first", "db", "web", "set"] == [one.name for one in rules.root.routes]
    assert ((HOUR,), "store", "dba") == (
        rules.root.routes[1].repeat, rules.root.routes[1].origin, rules.root.routes[1].receiver,
    )  # fmt: skip
    assert ("Europe/Berlin", "store") == (rules.tables["night"].time_zone, rules.tables["night"].origin)
    assert "dba@example.com" == rules.receivers["dba"].recipients[0].address
    assert (False, 0, 3) == tuple(
        getattr(rules.types["lag"].settings.rule, name) for name in ("is_above", "threshold", "points")
    )
    assert ("down", ("node",), "store") == tuple(
        getattr(rules.inhibitions[0], name) for name in ("name", "equal", "origin")
    )
    assert SETTINGS == merged(SETTINGS, [])


def test_a_stored_type_says_only_what_differs_from_the_ready_set() -> None:
    """What it does not say, the ready set says; its objects are asked first."""
    body = {"mail": True, "severity": "error", "objects": [{"object": "o", "every": 0}]}
    found = merged(SETTINGS, stored(("type", "ready", body))).types["ready"]
    assert (HOUR, True, Severity.ERROR) == (
        found.settings.interval, found.settings.mail, found.settings.severity,
    )  # fmt: skip
    assert ({"en": "Ready"}, "{a}", "store") == (found.label, found.subject, found.origin)
    assert [timedelta(0), None] == [one.settings.interval for one in found.objects]


def test_entries_of_the_file_cannot_be_replaced() -> None:
    """Those of each kind; a ready set's can."""
    assert {"type.file": "read-only", "receiver.ops": "read-only", "route.first": "read-only"} == wrong(
        ("type", "file", {}), ("receiver", "ops", {}), ("route", "first", {}), ("route", "set", {}),
    )  # fmt: skip


def test_everything_wrong_is_told_with_the_entry_it_stands_in() -> None:
    """Values, unknown settings, another's name, references that lead nowhere, text that is no object."""
    assert {
        "route.a.matchers": "setting-value",
        "route.b.receiver": "alert-receiver",
        "route.b.routes.0.mute": "alert-table",
        "receiver.c.from": "unknown-setting",
        "receiver.d.groups": "alert-receiver",
        "type.e.key": "setting-value",
        "table.f.windows": "setting-missing",
        "table.g": "setting-value",
    } == wrong(
        ("route", "a", {"matchers": "a=~("}),
        ("route", "b", {"receiver": "opps", "routes": [{"mute": "x"}]}),
        ("receiver", "c", {"from": "x"}),
        ("receiver", "d", {"groups": "d"}),
        ("type", "e", {"key": "f"}),
        ("table", "f", {}),
        ("table", "g", []),
    )
    with pytest.raises(InputError, match="not an object"):
        merged(SETTINGS, [("type", "x", "{")])


def test_a_receiver_that_is_still_named_cannot_go() -> None:
    """The rest is looked at as a whole."""
    assert {"route.db.receiver": "alert-receiver"} == wrong(("route", "db", {"receiver": "dba"}))


DAYS = st.frozensets(st.integers(1, 7), max_size=7)
CLOCK = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@given(DAYS, st.none() | st.tuples(CLOCK, CLOCK))
def test_times_of_the_week_are_read_as_they_are_written(
    days: frozenset[int], clocks: tuple[time, time] | None
) -> None:
    """Any window has a text, which is read as the same window, but that no day and every day are one."""
    begins, ends = clocks or (None, None)
    window = WeekWindow(days=days, begins=begins, ends=ends)
    found = parse_window(window_text(window))
    every_day = not days and not clocks
    assert replace(window, days=frozenset(range(1, 8)) if every_day else days) == found


@each(
    ("written", "seconds"),
    [(30, 30), ("500 MS", 0.5), ("300 SECOND", 300), ("5 Minute", 300), ("12 HOUR", 43200), ("1 DAY", 86400),
     ("1 WEEK", 604800), ("1 w", 604800), ("2 weeks", 1209600), ("1 min", 60), ("0", 0)],
)  # fmt: skip
def test_spans_take_written_units(written: object, seconds: float) -> None:
    """TapData's units in any case, and those of all other settings."""
    assert timedelta(seconds=seconds) == parse_span(written)


@each("written", ["", "1 month", "soon", True, None, -1, "11 years", 1e14])
def test_what_is_no_span(written: object) -> None:
    """Months have no length; ten years are the most."""
    with pytest.raises(ValueError, match=r"."):
        parse_span(written)


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("type", {"expect": {"every": "1 h", "objects": ["\ud800"]}}),
        ("inhibition", {"source": 'a="\ud800"', "target": 'a="b"'}),
        ("route", {"matchers": ["\udfff\ud800"]}),
    ],
)
def test_what_is_no_unicode_is_refused(kind: str, rule: dict[str, object]) -> None:
    """The book could not be stored with it, and no alert would be told any more; an emoji is Unicode."""
    with pytest.raises(InputError) as refused:
        merged(SETTINGS, [(kind, "own", json.dumps(rule))])
    assert ["setting-value"] == [one.code for one in refused.value.problems]
    assert "own" in merged(SETTINGS, [("type", "own", json.dumps({"label": "\U0001f600"}))]).types
