"""``[alerts]``: what it comes to, and everything that is refused at start, all at once."""

import json
from datetime import time, timedelta
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.shown import shown
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.alert import Severity
from postroom.model.alert_rules import (
    ROOT,
    AlertRules,
    AlertType,
    Expectation,
    Matcher,
    MatchKind,
    Recipient,
    Repeat,
    SampleRule,
    TypeSettings,
    WeekWindow,
)

HOUR = timedelta(hours=1)
EVERYTHING = """
[alerts]
time_zone = "Europe/Berlin"
language = "de"

[[alerts.receivers]]
name = "default"
to = ["a@Example.com", { address = "b@example.com", time_zone = "Asia/Tokyo", digest = "0 9 * * mon-fri" }]
quiet = ["22:00-07:00", "sat,sun"]
pierce = "emergency"
subject_prefix = "[ops] "
route = "failover(main spare)"

[[alerts.receivers]]
name = "all"
groups = "default"
from_label = "owner"

[[alerts.tables]]
name = "office"
windows = "mon-fri 09:00-17:30"

[[alerts.tables]]
name = "night"
windows = ["fri-mon 20:00-24:00", "wed"]
time_zone = "UTC"

[alerts.root]
group_by = ["key", "object"]
repeat = "never"

[[alerts.routes]]
name = "db"
matchers = 'team="db", severity!="info"'
receiver = "all"
continue = true
repeat = "1 HOUR, 2 DAY, 1 WEEK"
mute = ["night"]

[[alerts.routes.routes]]
matchers = { env = "test" }
active = "office"
group_wait = "30 s"
resolved = false

[[alerts.types]]
key = "lag"
label = { en = "Lag", de = "Verzug" }
severity = "critical"
every = "500 MS"
repeat = "event"
rule = { value = "lag_ms", above = 60000, points = 60 }
objects = [{ object = "pay-*", mail = false, receivers = "pay@example.com; boss@example.com" }]
subject = "{task} is late"
variables = ["task"]

[[alerts.types]]
key = "backup"
expect = { cron = "0 3 * * *", grace = "1 h" }

[[alerts.inhibitions]]
source = 'key="down"'
target = ['key=~"slow|late"', 'severity="warning"']
equal = "source"

[alerts.storm]
mails = 5
[alerts.flapping]
changes = 0
"""


def loaded(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "postroom.toml").write_text(text)
    return load(Flags(), {}, tmp_path)


def refused(tmp_path: Path, text: str) -> dict[str, str]:
    """Return field and cause of each problem."""
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)
    return {one.field: f"{one.code}: {one.cause}. {one.fix}" for one in raised.value.problems}


def test_without_the_section_every_default_holds(tmp_path: Path) -> None:
    """Nothing is mailed then: there is no receiver."""
    assert AlertRules() == loaded(tmp_path, "").alerts


def test_everything_is_read(tmp_path: Path) -> None:
    """Receivers, tables, the tree, types, inhibitions and bounds come to the values that decide."""
    settings = loaded(tmp_path, EVERYTHING)
    rules = settings.alerts
    night = WeekWindow(begins=time(22), ends=time(7))
    default, everybody = rules.receivers["default"], rules.receivers["all"]
    b = Recipient(address="b@example.com", time_zone="Asia/Tokyo", digest="0 9 * * mon-fri")
    assert (Recipient(address="a@example.com"), b) == default.recipients
    assert ((night, WeekWindow(days=frozenset({6, 7}))), (Severity.EMERGENCY,)) == (
        default.quiet, default.pierce,
    )  # fmt: skip
    assert ("[ops] ", "failover(main spare)", "") == (
        default.subject_prefix, default.route, default.language,
    )  # fmt: skip
    assert (("default",), "owner", True) == (everybody.groups, everybody.from_label, everybody.takes_lists)

    office, late = rules.tables["office"], rules.tables["night"]
    assert ("Europe/Berlin", "UTC", "Europe/Berlin", "de") == (
        office.time_zone, late.time_zone, rules.time_zone, rules.language,
    )  # fmt: skip
    weekend = WeekWindow(days=frozenset({5, 6, 7, 1}), begins=time(20), ends=time())
    assert (weekend, WeekWindow(days=frozenset({3}))) == late.windows

    [db] = rules.root.routes
    [test] = db.routes
    assert (("key", "object"), (), ROOT.group_interval, "default") == (
        rules.root.group_by, rules.root.repeat, rules.root.group_interval, rules.root.receiver,
    )  # fmt: skip
    assert (
        Matcher("team", MatchKind.EQUAL, "db"),
        Matcher("severity", MatchKind.NOT_EQUAL, "info"),
    ) == db.matchers
    assert ("all", True, (HOUR, 48 * HOUR, 168 * HOUR), ("night",), None) == (
        db.receiver, db.is_continued, db.repeat, db.mute, db.group_by,
    )  # fmt: skip
    assert (("office",), timedelta(seconds=30), False, None) == (
        test.active, test.group_wait, test.resolved, test.receiver,
    )  # fmt: skip

    lag, backup = rules.types["lag"], rules.types["backup"]
    assert TypeSettings(
        interval=timedelta(milliseconds=500), severity=Severity.CRITICAL, repeat=Repeat.EVENT,
        rule=SampleRule(value="lag_ms", threshold=60000, points=60),
    ) == lag.settings  # fmt: skip
    [pay] = lag.objects
    assert (False, ("pay@example.com", "boss@example.com")) == (pay.settings.mail, pay.settings.receivers)
    assert Expectation(cron="0 3 * * *", grace=HOUR, time_zone="Europe/Berlin") == backup.expect

    [inhibition] = rules.inhibitions
    assert (2, ("source",)) == (len(inhibition.target), inhibition.equal)
    assert (5, 0, 600) == (rules.storm.mails, rules.flapping.changes, rules.storm.within.total_seconds())
    assert (
        "22:00:00"
        == json.loads(json.dumps(shown(settings)))["alerts"]["receivers"]["default"]["quiet"][0]["begins"]
    )


def test_the_short_forms_are_a_receiver_and_types(tmp_path: Path) -> None:
    """Addresses alone are ``default``; an event is a type with two settings."""
    text = '[alerts]\nreceivers = "a@example.com; b@example.com"\n[alerts.events.jobPaused]\nmail = false\n'
    rules = loaded(tmp_path, text + '[alerts.events.TASK_STATUS_ERROR]\nevery = "1 d"\n').alerts
    assert ["a@example.com", "b@example.com"] == [
        one.address for one in rules.receivers["default"].recipients
    ]
    assert {
        "jobPaused": AlertType(key="jobPaused", settings=TypeSettings(mail=False, interval=HOUR / 12)),
        "TASK_STATUS_ERROR": AlertType(
            key="TASK_STATUS_ERROR", settings=TypeSettings(mail=True, interval=HOUR * 24)
        ),
    } == rules.types
    assert {} == loaded(tmp_path, "[alerts]\nreceivers = []\n").alerts.receivers


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    """Wrong values and names that lead nowhere, each with its place, its cause and what to do."""
    found = refused(
        tmp_path,
        """
        [alerts]
        time_zone = "Europe/Berlim"
        sets = "tabdata"
        [alerts.events.soon]
        every = "soon"
        [alerts.root]
        receiver = "oops"
        [[alerts.receivers]]
        name = "ops"
        to = ["nobody", "a@example.com"]
        groups = ["opz"]
        digest = "0 0 30 2 *"
        quiet = "mon-sun"
        route = "failover()"
        [[alerts.receivers]]
        name = "ops"
        [[alerts.receivers]]
        to = "a@example.com"
        [[alerts.routes]]
        receiver = "opz"
        matchers = 'a=~"("'
        [[alerts.routes]]
        repeat = ["1 d", "1 h"]
        active = "ofice"
        [[alerts.routes.routes]]
        name = "x"
        mute = ["nights"]
        group_by = ["a", "..."]
        [[alerts.routes.routes]]
        name = "x"
        reciever = "ops"
        [[alerts.types]]
        key = "soon"
        rule = { above = 1, below = 2 }
        [[alerts.types]]
        key = "late"
        expect = { every = "1 h", cron = "* * * * *" }
        variables = ["task"]
        subject = "{tsk}: {severity}"
        objects = [{ mail = false }]
        [[alerts.tables]]
        name = "office"
        windows = "mon-fry"
        [[alerts.tables]]
        name = "empty"
        [[alerts.inhibitions]]
        source = 'a="b"'
        """,
    )
    expected = {
        "alerts.time_zone": "did you mean Europe/Berlin?",
        "alerts.sets.0": "setting-value",
        "alerts.events.soon.every": "not a number with an optional unit",
        "alerts.root.receiver": "there is no receiver 'oops'",
        "alerts.receivers.0.to.0.address": "no @ sign",
        "alerts.receivers.0.groups": "Did you mean ops?",
        "alerts.receivers.0.digest": "bad day-of-month",
        "alerts.receivers.0.quiet": "quiet all the week",
        "alerts.receivers.0.route": "setting-value",
        "alerts.receivers.1.name": "alert-name",
        "alerts.receivers.2.name": "setting-missing",
        "alerts.routes.0.receiver": "Did you mean ops?",
        "alerts.routes.0.matchers": "missing )",
        "alerts.routes.1.repeat": "not rising",
        "alerts.routes.1.active": "Did you mean office?",
        "alerts.routes.1.routes.0.mute": "there is no table 'nights'",
        "alerts.routes.1.routes.0.group_by": "stands alone",
        "alerts.routes.1.routes.1.name": "alert-name",
        "alerts.routes.1.routes.1.reciever": "Did you mean receiver?",
        "alerts.types.0.key": "alert-name",
        "alerts.types.0.rule": "one of the two",
        "alerts.types.1.expect": "one of the two",
        "alerts.types.1.subject": "{tsk} is not among its variables. Did you mean task?",
        "alerts.types.1.objects.0.object": "setting-missing",
        "alerts.tables.0.windows.0": "not times of the week",
        "alerts.tables.1.windows": "setting-missing",
        "alerts.inhibitions.0.target": "setting-missing",
    }
    assert set(expected) == set(found)
    assert [] == [field for field, words in expected.items() if words not in found[field]]


@pytest.mark.parametrize(
    "line",
    [
        'to = ["a@example.com"]\nquiet = "25:00-07:00"', 'to = ["a@example.com"]\nquiet = ""',
        'digest = "@daily"', 'pierce = "bad"', 'language = "english"', 'subject_prefix = "a\\nb"',
        'time_zone = "../zone"', 'groups = ["r"]',
    ],
)  # fmt: skip
def test_wrong_values_of_a_receiver_are_refused(tmp_path: Path, line: str) -> None:
    """Hours, days, schedules, severities, languages, line ends, zones, a group of itself."""
    assert 1 == len(refused(tmp_path, f'[[alerts.receivers]]\nname = "r"\n{line}\n'))


@pytest.mark.parametrize(
    "line",
    ['every = "11 years"', "every = 1e12", 'resolve_after = "-1"', "rule = { above = nan }",
    "mail = 'perhaps'",
     "rule = { above = true }",
     "rule = { above = 1, points = 0 }", "expect = { every = 0 }", 'severity = "bad"',
     "expect = {}", 'label = { x_y = "z" }', 'repeat = "often"', 'body = "a\\u0000b"'],
)  # fmt: skip
def test_wrong_values_of_a_type_are_refused(tmp_path: Path, line: str) -> None:
    """Spans, thresholds, counts, severities, languages, control characters."""
    assert 1 == len(refused(tmp_path, f'[[alerts.types]]\nkey = "k"\n{line}\n'))


def test_addresses_beside_tables_are_told_what_to_write(tmp_path: Path) -> None:
    """A list of addresses and tables is refused with the way to write it."""
    (tmp_path / "postroom.toml").write_text('[alerts]\nreceivers = ["a@example.com", { name = "b" }]\n')
    with pytest.raises(ConfigError) as error:
        load(Flags(), {}, tmp_path)
    (problem,) = error.value.problems
    assert ("alerts.receivers", True) == (problem.field, 'name = "default"' in problem.cause)


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        ('receivers = [{ name = "ops", to = "a@example.com" }]', True),
        ('receivers = [{ name = "ops", to = "a@example.com" }]\n[alerts.root]\nreceiver = "ops"', False),
        ('receivers = "a@example.com"', False),
        ('sets = ["tapdata"]', False),
    ],
)
def test_receivers_that_hear_of_nothing_are_told(lines: str, is_told: bool, tmp_path: Path) -> None:
    """Where there are receivers and the root has none of them, the start warns."""
    (tmp_path / "postroom.toml").write_text(f"[alerts]\n{lines}\n")
    warnings = load(Flags(), {}, tmp_path).warnings
    assert is_told == any("told to nobody" in warning for warning in warnings)


def test_routes_are_not_nested_without_end(tmp_path: Path) -> None:
    """Twenty below each other are enough."""
    name, text = "alerts.routes", ""
    for _ in range(21):
        text += f"[[{name}]]\n"
        name += ".routes"
    assert ["alerts.routes" + ".0.routes" * 20 + ".0"] == list(refused(tmp_path, text))


def test_fallbacks_are_named_in_their_order(tmp_path: Path) -> None:
    """A webhook by its URL, sendmail and the log; anything else is refused, and its URL is not repeated."""
    ways = ("webhook:https://chat.example.com/hook?a=b", "sendmail", "journal")
    settings = loaded(tmp_path, f"[alerts]\nfallback = {json.dumps(ways)}\n")
    assert ways == settings.alerts.fallback
    assert ["webhook:https://chat.example.com", *ways[1:]] == shown(settings)["alerts"]["fallback"]
    for wrong in ("pager", "webhook:", "webhook:ftp://secret.example.com/", "webhook:https://a b"):
        found = refused(tmp_path, f'[alerts]\nfallback = "{wrong}"\n')
        assert ["alerts.fallback.0"] == list(found)
        assert "secret" not in str(found)
