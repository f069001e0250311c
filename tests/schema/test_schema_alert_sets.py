"""The ready set of TapData: both of its catalogues with their defaults, mended."""

import re
from datetime import timedelta

from postroom.model.alert_rules import AlertRules, AlertType, Repeat
from postroom.policy.alerting.filling import names_in
from postroom.policy.alerting.routing import Router
from postroom.policy.alerting.types import Kinds
from postroom.schema.alert_fitting import named_by_kind, unfitting, with_sets

RULES = with_sets(AlertRules(), ["tapdata"])
UNMAILED = {"jobStarted", "jobDeleted", "agentStarted", "agentCreated"}
NOTIFICATIONS = {
    *UNMAILED, "jobPaused", "jobStateError", "jobEncounterError", "CDCLagTime", "inspectCount",
    "inspectValue",
    "inspectDelete", "inspectError", "serverDisconnected", "agentStopped", "agentDeleted",
}  # fmt: skip
IN_PAGES = [
    "TASK_STATUS_ERROR",
    "TASK_INSPECT_ERROR",
    "TASK_FULL_COMPLETE",
    "TASK_INCREMENT_START",
    "TASK_STATUS_STOP",
    "TASK_INCREMENT_DELAY",
    "TASK_INSPECT_DIFFERENCE",
    "TASK_RETRY_WARN",
    "TASK_SOURCE_NO_INCREMENTAL_EVENT",
    "DATANODE_CANNOT_CONNECT",
    "DATANODE_AVERAGE_HANDLE_CONSUME",
    "PROCESSNODE_AVERAGE_HANDLE_CONSUME",
    "SYSTEM_FLOW_EGINGE_DOWN",
    "ENGINE_OFFLINE",
    "ENGINE_ONLINE",
    "INSPECT_TASK_ERROR",
    "INSPECT_COUNT_ERROR",
    "INSPECT_VALUE_ERROR",
]
MAILED = [
    "TASK_DDL_WARNING",
    "DATASOURCE_MONITOR_ALTER",
    "API_SERVER_API_DELAY_AVG_WARN",
    "API_SERVER_API_DELAY_P95_ALTER",
    "API_SERVER_API_DELAY_P99_ALTER",
    "API_SERVER_API_ERROR_RATE_ALTER",
    "API_SERVER_API_RESPONSE_SIZE_ALTER",
    "API_SERVER_ALL_API_ERROR_RATE_ALTER",
    "API_SERVER_P95_WARN",
    "API_SERVER_P99_WARN",
    "API_SERVER_ERROR_RATE_WARN",
    "API_SERVER_CONNECTION_POOL_DEFICIENCY_WARN",
    "API_SERVER_CONNECTION_POOL_IDLE_WARN",
]
THRESHOLDS = {
    "CDCLagTime": (True, 12, 1),
    "TASK_INCREMENT_DELAY": (True, 60000, 60),
    "DATANODE_AVERAGE_HANDLE_CONSUME": (True, 5000, 12),
    "PROCESSNODE_AVERAGE_HANDLE_CONSUME": (True, 30000, 60),
    "TASK_RETRY_WARN": (True, 10, 1),
    "API_SERVER_API_DELAY_AVG_WARN": (True, 100, 60),
    "API_SERVER_API_DELAY_P95_ALTER": (True, 100, 60),
    "API_SERVER_API_DELAY_P99_ALTER": (True, 100, 60),
    "API_SERVER_API_ERROR_RATE_ALTER": (True, 50, 60),
    "API_SERVER_API_RESPONSE_SIZE_ALTER": (True, 5, 1),
    "API_SERVER_ALL_API_ERROR_RATE_ALTER": (True, 50, 60),
    "API_SERVER_P95_WARN": (True, 1000, 12),
    "API_SERVER_P99_WARN": (True, 1200, 12),
    "API_SERVER_ERROR_RATE_WARN": (True, 50, 12),
    "API_SERVER_CONNECTION_POOL_DEFICIENCY_WARN": (True, 5, 60),
    "API_SERVER_CONNECTION_POOL_IDLE_WARN": (False, 10, 60),
}


def texts(entry: AlertType) -> list[str]:
    return [*entry.subjects.values(), *entry.bodies.values()]


def test_both_catalogues_are_there_with_their_defaults() -> None:
    """Which are mailed, and at which interval: 12 and 24 hours, 300 s for alarms, nothing held back else."""
    kinds = Kinds(RULES)
    assert not {*NOTIFICATIONS, *IN_PAGES, *MAILED} - set(RULES.types)
    for key in RULES.types:
        found = kinds.settings(key)
        is_mailed = key in MAILED or key in NOTIFICATIONS - UNMAILED
        hours = {"jobEncounterError": 12, "CDCLagTime": 24}.get(key, 0)
        every = timedelta(hours=hours) if key in NOTIFICATIONS else timedelta(seconds=300)
        assert (key, True, is_mailed, every) == (key, found.is_open, found.mail, found.interval)
        assert (Repeat.EVENT, False) == (found.repeat, found.resolved)


def test_rules_have_todays_thresholds() -> None:
    """Points and limits as TapData has them now, over raw measurements and nothing else."""
    found = {key: entry.settings.rule for key, entry in RULES.types.items() if entry.settings.rule}
    assert THRESHOLDS == {key: (one.is_above, one.threshold, one.points) for key, one in found.items()}
    assert {"sample"} == {one.value for one in found.values()}


def test_texts_are_whole_in_both_languages() -> None:
    """Brackets close, every variable is declared, both languages use the same ones."""
    assert [] == list(unfitting(RULES, named_by_kind))
    for key, entry in RULES.types.items():
        assert (key, ["en", "zh"]) == (key, sorted(entry.label))
        assert sorted(entry.bodies) in ([], ["en", "zh"])
        for both in (entry.subjects, entry.bodies):
            assert len({tuple(sorted(names_in(one))) for one in both.values()}) < 2, key
        assert all(one.startswith("【") and one.count("】") == 1 for one in entry.subjects.values())
        assert all(one.count("<p>") == one.count("</p>") >= 1 for one in entry.bodies.values())
        assert "P99" not in key or "P95" not in "".join(texts(entry))
    used = names_in("".join(texts(RULES.types["TASK_FULL_COMPLETE"])))
    assert ("taskName", "completeTime") == used
    assert re.search("[\u4e00-\u9fff]", RULES.types["jobPaused"].label["zh"])
    assert "【TapData Notification:Task error】{taskName}" == RULES.types["TASK_STATUS_ERROR"].subject


def test_each_alert_of_the_set_has_a_mail_of_its_own() -> None:
    """Every key takes the route of the set, at once, and no two objects or nodes share a mail."""
    router = Router(RULES)
    for key in RULES.types:
        one, other = ({"key": key, "object": name, "node": "n"} for name in ("a", "b"))
        [branch] = router.branches(one)
        assert ("root / tapdata", timedelta(0), timedelta(0)) == (
            branch.path, branch.group_wait, branch.group_interval,
        )  # fmt: skip
        assert branch.group != router.branches(other)[0].group
    assert ["root"] == [one.path for one in router.branches({"key": "else"})]
