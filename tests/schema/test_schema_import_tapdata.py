"""What TapData says about alerts becomes types, routes and receivers that give its behaviour."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.sources import Flags
from postroom.policy.alerting.routing import Router
from postroom.policy.alerting.types import Kind, Kinds
from postroom.schema.import_tapdata import import_tapdata
from postroom.schema.toml_text import toml_text

ACCOUNT = {
    "smtp.server.host": "smtp.example.com", "smtp.server.user": "app@example.com",
    "smtp.server.password": "x", "smtp.server.port": "465", "email.server.tls": "SSL",
    "email.send.address": "app@example.com", "email.receivers": "ops@example.com,dba@example.com",
}  # fmt: skip


def loaded(tmp_path: Path, **parts: Any) -> tuple[Settings, dict[str, str]]:
    """Return the settings that an export comes to, and what is left with the reason."""
    found = import_tapdata(json.dumps({"settings": ACCOUNT, **parts}).encode(), "export.json")
    text = toml_text({**found.sections, "transports": [found.transport]})
    (tmp_path / "postroom.toml").write_text(text, "utf-8")
    return load(Flags(), {}, tmp_path), dict(found.left)


def kind(settings: Settings, key: str, task: str = "") -> Kind:
    return Kinds(settings.alerts).settings(key, task)


def test_a_row_that_is_switched_on_is_mailed(tmp_path: Path) -> None:
    """The page's own proof: the row of deleted tasks is on, and their events are mailed to the receivers."""
    rows = [{"label": "jobDeleted", "notice": True, "email": True}, {"label": "jobPaused", "email": False}]
    account = {**ACCOUNT, "notification": json.dumps({"runNotification": rows})}
    settings, _ = loaded(tmp_path, settings=account)
    assert (True, False) == (kind(settings, "jobDeleted").mail, kind(settings, "jobPaused").mail)
    [branch] = Router(settings.alerts).branches({"key": "jobDeleted"})
    assert ("default", timedelta(0)) == (branch.receiver, branch.group_interval)
    assert ["ops@example.com", "dba@example.com"] == [
        one.address for one in settings.alerts.receivers["default"].recipients
    ]


def test_intervals_and_thresholds_are_taken_in_every_unit(tmp_path: Path) -> None:
    """Twelve hours are twelve hours, a day is a day; the lag is a rule over raw measurements."""
    notification = {
        "runNotification": [
            {"label": "jobEncounterError", "email": True, "Interval": 6, "util": "hour"},
            {"label": "CDCLagTime", "email": True, "lagTimeInterval": 30, "lagTimeUtil": "second",
             "noticeIntervalInterval": 90, "noticeIntervalUtil": "second"},
        ]
    }  # fmt: skip
    units = {"MS": 0.001, "SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400, "WEEK": 604800}
    alarms = [{"key": f"OWN_{one}", "notify": ["EMAIL"], "interval": 2000, "unit": one} for one in units]
    alarms.append({"key": "ENGINE_OFFLINE", "notify": ["EMAIL"], "open": False})
    settings, left = loaded(tmp_path, settings={**ACCOUNT, "notification": notification}, alarms=alarms)
    assert timedelta(hours=6) == kind(settings, "jobEncounterError").interval
    lag = kind(settings, "CDCLagTime")
    assert lag.rule is not None
    assert (timedelta(seconds=90), "sample", 30, 1) == (
        lag.interval, lag.rule.value, lag.rule.threshold, lag.rule.points,
    )  # fmt: skip
    for unit, seconds in units.items():
        every = timedelta(seconds=2000 * seconds)
        expected = every if every < timedelta(days=3660) else timedelta(minutes=5)
        assert expected == kind(settings, f"OWN_{unit}").interval
    assert (False, True) == (kind(settings, "ENGINE_OFFLINE").is_open, kind(settings, "ENGINE_OFFLINE").mail)
    assert {"notification notice"} == set(left)


def test_rules_are_points_in_a_row_beyond_a_threshold(tmp_path: Path) -> None:
    """``equalsFlag`` is the side; the limit is the one of ``ms``, ``value`` and ``times`` that is set."""
    rules: list[dict[str, Any]] = [
        {"key": "TASK_INCREMENT_DELAY", "point": 36, "equalsFlag": 1, "ms": 90000, "times": 0},
        {
            "key": "API_SERVER_CONNECTION_POOL_IDLE_WARN",
            "point": 24,
            "equalsFlag": -1,
            "value": "7.5",
            "unit": "%",
        },
        {"key": "TASK_RETRY_WARN", "times": 3, "equalsFlag": 1},
        {"key": "API_SERVER_P95_WARN", "point": 12, "equalsFlag": 1, "ms": 1000},
        {"key": "ENGINE_OFFLINE", "point": 1, "equalsFlag": 1},
    ]
    settings, left = loaded(tmp_path, rules=rules)
    found = [kind(settings, one["key"]).rule for one in rules]
    assert [(True, 90000, 36), (False, 7.5, 24), (True, 3, 1), (True, 1000, 12)] == [
        (one.is_above, one.threshold, one.points) for one in found if one is not None
    ]
    assert "tapdata" == settings.alerts.types["API_SERVER_P95_WARN"].origin
    assert {"ENGINE_OFFLINE rule": "no threshold"} == left


def test_texts_are_taken_and_their_slips_mended(tmp_path: Path) -> None:
    """Subject, body and variables; a bracket that never opened, and a variable of another name."""
    alarms: list[dict[str, Any]] = [
        {"key": "TASK_FULL_COMPLETE", "notify": ["EMAIL"], "emailAlarmTitle": "Done】{taskName}",
         "emailAlarmContent": "<p>{taskName} at {completionTime}</p>",
         "variables": [{"name": "taskName"}, {"name": "completeTime"}]},
        {"key": "TASK_INSPECT_DIFFERENCE", "notify": ["SYSTEM"], "emailAlarmContent": "<p>{diffToTs}</p>",
         "variables": [{"name": "taskName"}]},
    ]  # fmt: skip
    settings, left = loaded(tmp_path, alarms=alarms)
    done, differs = (settings.alerts.types[one["key"]] for one in alarms)
    assert ("【Done】{taskName}", "<p>{taskName} at {completeTime}</p>", ("taskName", "completeTime")) == (
        done.subject, done.body, done.variables[:2],
    )  # fmt: skip
    assert ("【Done】{taskName}", "Initial sync complete") == (done.subject_in("zh"), done.label["en"])
    assert ("<p>{diffToTs}</p>", "<p>{diffToTs}</p>") == (differs.body, differs.body_in("zh"))
    assert {} == left


def test_a_task_has_settings_rules_and_receivers_of_its_own(tmp_path: Path) -> None:
    """They go before the global ones, also where those say no; other tasks keep the global ones."""
    tasks = [
        {
            "name": "orders",
            "emailReceivers": ["orders@example.com", "nobody", "Boss <boss@example.com>"],
            "alarmSettings": [
                {"key": "TASK_STATUS_ERROR", "open": True, "notify": ["EMAIL"], "interval": 1, "unit": "DAY"}
            ],
            "dag": {"nodes": [{"alarmRules": [{"key": "TASK_RETRY_WARN", "times": 99, "equalsFlag": 1}]}]},
        },
        {"name": "a*", "emailReceivers": ["x@example.com"]},
        {"name": "quiet", "emailReceivers": []},
    ]
    alarms = [{"key": "TASK_STATUS_ERROR", "open": False, "notify": ["SYSTEM"]}]
    settings, left = loaded(tmp_path, tasks=tasks, alarms=alarms)
    own, other = (kind(settings, "TASK_STATUS_ERROR", name) for name in ("orders", "quiet"))
    assert (True, True, timedelta(days=1)) == (own.is_open, own.mail, own.interval)
    assert (False, False, timedelta(seconds=300)) == (other.is_open, other.mail, other.interval)
    rules = [kind(settings, "TASK_RETRY_WARN", name).rule for name in ("orders", "quiet")]
    assert [99, 10] == [one.threshold for one in rules if one is not None]
    router = Router(settings.alerts)
    [branch] = router.branches({"key": "TASK_STATUS_ERROR", "object": "orders", "node": "n"})
    receiver = settings.alerts.receivers[branch.receiver]
    assert ["orders@example.com", "boss@example.com"] == [one.address for one in receiver.recipients]
    assert (timedelta(0), False) == (branch.group_interval, branch.resolved)
    assert ["default"] == [one.receiver for one in router.branches({"key": "jobPaused", "object": "quiet"})]
    assert {"task a*", "task orders emailReceivers"} == set(left)


def test_what_is_no_setting_of_alerts_is_named(tmp_path: Path) -> None:
    """Records without keys, tasks without names, other channels, text that is no JSON."""
    _, left = loaded(
        tmp_path,
        settings={**ACCOUNT, "notification": "{"},
        alarms=[{"notify": []}, {"key": "A", "notify": ["SMS", "EMAIL"], "emailAlarmTitle": "a\x00b"}],
        rules=[{}],
        tasks=[7],
    )
    assert {"notification", "alarms", "A notify", "A subject.en", "alarm rules", "tasks"} == set(left)
    assert "alerts" not in import_tapdata(json.dumps(ACCOUNT).encode(), "keys.json").sections
