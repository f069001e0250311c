"""What the rules say of a report that nobody reported."""

import tomllib
from datetime import UTC, datetime, timedelta

import pytest

from postroom.config.alerts_section import AlertsSection, alert_rules
from postroom.model.alert import Clause, Severity, Silence
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.trying import event_of, sample_letters, tried

NIGHT = datetime(2030, 1, 31, 3, tzinfo=UTC)
"""A Thursday."""
SETTINGS = """
[[types]]
key = "disk"
every = "1 h"
severity = "error"
objects = [{ object = "/dev/*", every = "2 h" }]

[[types]]
key = "off"
open = false

[[types]]
key = "listed"
receivers = ["list@example.com"]

[[receivers]]
name = "default"
to = ["ops@example.com"]

[[receivers]]
name = "db"
quiet = ["22:00-07:00"]
to = ["kim@example.com", { address = "jo@example.com", language = "zh", digest = "0 9 * * *" }]

[[routes]]
name = "db"
matchers = ['team="db"']
receiver = "db"
active = ["office"]

[[routes]]
name = "late"
matchers = ['team="late"']
receiver = "db"

[[routes]]
name = "never"
matchers = ['team="never"']
active = ["office"]
mute = ["office"]

[[tables]]
name = "office"
windows = ["mon-fri 09:00-17:00"]

[[inhibitions]]
name = "down"
source = ['key="down"']
target = ['severity="error"']
equal = ["node"]
"""


@pytest.fixture(scope="module")
def rules() -> AlertRules:
    found, problems = alert_rules(AlertsSection.model_validate(tomllib.loads(SETTINGS)))
    assert [] == list(problems)
    return found


def test_the_names_of_fields_are_fields() -> None:
    """What a report has as a field is one; what is left, and a severity of somebody else, is a label."""
    event = event_of({"alertname": "disk", "object": "/srv", "severity": "page", "team": "db"})
    assert ("disk", "/srv", False) == (event.key, event.object, event.is_severity_said)
    assert {"severity": "page", "team": "db"} == event.labels
    assert Severity.CRITICAL is event_of({"severity": "critical"}).severity


def test_the_type_says_what_the_report_does_not(rules: AlertRules) -> None:
    """Its severity counts as a label, and each setting says where it comes from."""
    trial = tried(rules, event_of({"key": "disk", "object": "/dev/sda1"}), NIGHT)
    assert {"key": "disk", "alertname": "disk", "object": "/dev/sda1", "severity": "error"} == trial.labels
    assert timedelta(hours=2) == trial.kind.interval
    assert ("object /dev/*", "type", "default") == tuple(
        trial.said_by[name] for name in ("interval", "severity", "mail")
    )
    assert ["down"] == [one.name for one in trial.inhibitions]
    assert trial.is_told


def test_who_hears_when(rules: AlertRules) -> None:
    """The hours of the route, then digests and quiet hours of each person, and what pierces these."""
    (reach,) = tried(rules, event_of({"key": "disk", "team": "late"}), NIGHT).reaches
    assert (None, NIGHT) == (reach.outside, reach.told_at)
    assert [("kim@example.com", Clause.QUIET_HOURS, 7), ("jo@example.com", Clause.IN_DIGEST, 9)] == [
        (one.person.address, one.later, one.at.hour if one.at else None) for one in reach.hearings
    ]
    trial = tried(rules, event_of({"key": "disk", "team": "db", "severity": "critical"}), NIGHT)
    (reach,) = trial.reaches
    assert reach.is_piercing
    assert NIGHT.replace(hour=9) == reach.told_at
    assert [(None, reach.told_at)] * 2 == [(one.later, one.at) for one in reach.hearings]
    assert [("office", False)] == [(table.name, is_now) for table, is_now in trial.tables]


def test_nobody_hears(rules: AlertRules) -> None:
    """Closed types, missing receivers and tables that never allow it; a silence only says that it matches."""
    assert not tried(rules, event_of({"key": "off"}), NIGHT).is_told
    assert not tried(rules, event_of({"key": "x", "team": "never"}), NIGHT).is_told
    assert not tried(AlertRules(), event_of({"key": "off"}), NIGHT).is_told
    silence = Silence(
        id="s",
        matchers=('key="disk"',),
        starts_at=NIGHT,
        ends_at=NIGHT + timedelta(hours=1),
        author="kim",
        reason="",
        created_at=NIGHT,
    )
    silenced = [
        [one.id for one in tried(rules, event_of({"key": key}), at, [silence]).silences]
        for key, at in (("disk", NIGHT), ("off", NIGHT), ("disk", silence.ends_at))
    ]
    assert [["s"], [], []] == silenced


def test_letters_of_a_report(rules: AlertRules) -> None:
    """One for each language, to the addresses of the type where it has some."""
    letters = sample_letters(tried(rules, event_of({"key": "disk", "team": "db"}), NIGHT), NIGHT)
    assert [("en", ("kim@example.com",)), ("zh", ("jo@example.com",))] == [
        (one.language, one.recipients) for one in letters
    ]
    (letter,) = sample_letters(tried(rules, event_of({"key": "listed"}), NIGHT), NIGHT)
    assert ("list@example.com",) == letter.recipients
    assert [Severity.WARNING] == [one.alert.severity for one in letter.items]
