"""``postroom alerts``: what it asks a server for and shows, and the test of the rules without one."""

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.scripted_answers import Run
from cli.scripted_server import ScriptedServer
from each_row import each
from postroom.cli.alerts_rules import KINDS
from postroom.engine.alerting.forms import AlertPage, RuleKind, Step, Why
from postroom.model.alert import (
    AlertEvent,
    AlertId,
    AlertState,
    AlertView,
    Clause,
    GroupId,
    Severity,
    Silence,
    StoredDecision,
)
from postroom.model.alert_rules import AlertRules, AlertType, TypeSettings
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema import alert_answers, alert_rule_answers

ID = "0a" * 10
THEN = datetime(2030, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
VIEW = AlertView(
    id=AlertId(ID),
    tenant=DEFAULT_TENANT,
    key="disk",
    category="",
    severity=Severity.CRITICAL,
    source="db-1",
    object="/srv",
    node="",
    title="/srv is full\x1b[2J",
    text="two\nlines",
    labels={"team": "db"},
    details={},
    values={"free": 2},
    link="https://example.com/d",
    state=AlertState.FIRING,
    is_occurrence=False,
    first_at=THEN,
    last_at=THEN,
    tally=3,
    muted="silenced",
    last_event=7,
)
EVENT = AlertEvent(key="disk", title="full", number=7, arrived_at=THEN, values={"free": 2})
STEP = Step(
    decision=StoredDecision(number=4, at=THEN, alert=AlertId(ID), clause=Clause.NEW, event=7),
    sentence="It is news.",
)
SILENCE = Silence(
    id="s1",
    matchers=('key="disk"',),
    starts_at=THEN,
    ends_at=THEN + timedelta(hours=2),
    author="kim",
    reason="it is being replaced",
    created_at=THEN,
)
RULES = AlertRules(
    types={
        "disk": AlertType(
            key="disk", label={"en": "Full"}, settings=TypeSettings(interval=timedelta(hours=1))
        )
    }
)
ONE = {"mode": "live", **alert_answers.alert(VIEW)}
SCRIPT: dict[str, tuple[int, Any] | None] = {
    "GET /v1/alerts": (200, alert_answers.alerts(AlertPage(alerts=(VIEW,), after="-1.x"), "live")),
    f"GET /v1/alerts/{ID}": (200, ONE),
    f"GET /v1/alerts/{ID}/why": (
        200,
        alert_answers.why(Why(id=AlertId(ID), alert=VIEW, steps=(STEP,)), "live", limit=1),
    ),
    "GET /v1/alerts/events": (200, alert_answers.events([EVENT], "live", limit=1)),
    "GET /v1/alerts/types": (
        200,
        {"mode": "live", "types": alert_rule_answers.of_kind(RULES, RuleKind.TYPE)},
    ),
    "GET /v1/alerts/rules": (200, alert_rule_answers.rules(RULES, "live")),
    "GET /v1/alerts/silences": (200, {"mode": "live", "silences": [alert_answers.silence(SILENCE)]}),
    f"POST /v1/alerts/{ID}/silence": (201, {"mode": "live", **alert_answers.silence(SILENCE)}),
    "POST /v1/alerts/silences": (201, {"mode": "live", **alert_answers.silence(SILENCE)}),
    "DELETE /v1/alerts/silences/s1": (204, b""),
    f"POST /v1/alerts/{ID}/acknowledge": (200, {**ONE, "acknowledged_by": "kim"}),
    f"POST /v1/alerts/{ID}/rhythm": (
        200,
        alert_answers.rhythm({GroupId("g"): "root / db"}, timedelta(hours=12), "live"),
    ),
    "PUT /v1/alerts/rules/receiver/db": (
        200,
        {
            "mode": "live",
            "kind": "receiver",
            "name": "db",
            "origin": "store",
            "rule": {"to": [{"address": "d@example.com", "language": "de"}]},
        },
    ),
    "DELETE /v1/alerts/rules/receiver/db": (204, b""),
}


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer(script=dict(SCRIPT)) as running:
        yield running


@pytest.fixture
def ask(scripted: ScriptedServer, postroom: Run) -> Run:
    """Run a command of the group; return its exit code, its output and its errors."""

    def asked(words: str, stdin: str = "") -> tuple[int, str, str]:
        return postroom("alerts", *shlex.split(words), url=scripted.url, stdin=stdin)

    return asked


SHOWN = {
    "list --all --severity error --match team=db --match node=a --limit 5": [
        f"{ID}  critical ",
        "disk /srv on db-1: /srv is full\\x1b[2J  (3 reports, silenced)",
        "--after=-1.x",
    ],
    f"show {ID}": [
        "since 2030-01-31T08:00:00Z, 3 reports",
        "    lines",
        "label team: db",
        "https://example.com/d",
    ],
    f"why {ID} --before 9 --limit 1": ["2030-01-31T08:00:00Z  new, event 7", "It is news.", "--before 4"],
    "events --key disk --limit 1": ["7 2030-01-31T08:00:00Z by http", "disk: full", "free 2", "--before 7"],
    "types": ["type disk (file): Full", "every 1 h"],
    "rules": ["receiver default; group_by key", "changes 4; within 6 h", "types: 1"],
    "rules --kind type": ["type disk (file)"],
    "silences": ['s1 key="disk"', "until 2030-01-31T10:00:00Z", "it is being replaced (kim)"],
    f"silence {ID} --for 2h --reason x": [
        "silence s1 until",
        '  of key="disk"',
        "more than 1 active alert matched",
    ],
    "silence team=db node=~a.* --until 2030-01-31T10:00:00Z --reason x": ["silence s1"],
    "unsilence s1": ["ended s1"],
    f"ack {ID} --for 1h": [f"{ID} acknowledged by kim until it is over or gets worse"],
    f"rhythm {ID} 12h": ["told again every 12 h: what is told together by root / db"],
    "rules remove receiver db": ["removed receiver db"],
}


@each("words", SHOWN)
def test_what_people_see(ask: Run, words: str) -> None:
    """Every command says what its answer says, and nothing moves the cursor."""
    code, out, err = ask(words)
    assert (0, "") == (code, err)
    assert [] == [text for text in SHOWN[words] if text not in out]
    assert "\x1b" not in out


def test_json_is_the_answer(ask: Run) -> None:
    """The same for machines."""
    for words, path in (
        ("list", "GET /v1/alerts"),
        (f"show {ID}", f"GET /v1/alerts/{ID}"),
        (f"why {ID}", f"GET /v1/alerts/{ID}/why"),
        ("rules", "GET /v1/alerts/rules"),
    ):
        planned = SCRIPT[path]
        assert planned is not None
        assert planned[1] == json.loads(ask(f"{words} --json")[1])


def test_what_is_asked(scripted: ScriptedServer, ask: Run) -> None:
    """Filters, bodies and names go where the doors expect them."""
    ask("list --all --match team=db --match node=a --after=-1.x")
    ask(f"silence {ID} --for 2h --reason x --author kim --json")
    span = "--from 2030-01-31T08:00:00Z --until 2030-01-31T10:00:00Z"
    ask(f"silence team=db 'node=~\"a.*\"' {span} --reason x --author kim --json")
    ask(f"ack {ID} --until 2030-01-31T10:00:00Z --author kim")
    assert 0 == ask("rules put receiver db -", 'to = ["d@example.com"]\n')[0]
    assert 0 == ask("rules put receiver db -", '{"to": ["d@example.com"]}')[0]
    first, *others = scripted.asked
    assert "/v1/alerts?state=any&match=team%3Ddb%2Cnode%3Da&cursor=-1.x&limit=50" == first.path
    assert [
        {"duration": "2h", "reason": "x", "author": "kim"},
        {
            "matchers": ["team=db", 'node=~"a.*"'],
            "starts_at": "2030-01-31T08:00:00Z",
            "ends_at": "2030-01-31T10:00:00Z",
            "reason": "x",
            "author": "kim",
        },
        {"until": "2030-01-31T10:00:00Z", "by": "kim"},
        {"to": ["d@example.com"]},
        {"to": ["d@example.com"]},
    ] == [one.json for one in others]
    assert set(RuleKind) == set(KINDS)


WRONG = {
    f"silence {ID} --reason x": "--for",
    f"silence {ID} --reason x --for 1h --until 2030-01-31T10:00:00Z": "--for",
    f"silence {ID} --reason x --for 1h --from 2030-01-31T10:00:00Z": "--from",
    f"ack {ID} --for 1h --until 2030-01-31T10:00:00Z": "--for",
    "rules --kind person": "type, route, receiver",
    "rules put receiver db missing.toml": "missing.toml",
    "test --set =x": "--set",
    "test --set key": "NAME=VALUE",
    "test --set severity=bad": "critical",
    "test --set zone=a --set label.zone=b": "zone is given twice",
    "test --set key=x --server --preview": "--preview",
    "test --set key=x --set title=T --server": "--set title",
}


@each("words", WRONG)
def test_what_cannot_be_done_is_named(scripted: ScriptedServer, ask: Run, words: str) -> None:
    """The field and what to write; nothing is asked."""
    code, _, err = ask(words)
    assert 2 == code
    assert WRONG[words] in err
    assert [] == scripted.asked


def test_the_reader_s_language(scripted: ScriptedServer, ask: Run) -> None:
    """Sentences are asked for in the language of --lang; one that is not known is refused."""
    ask(f"why {ID} --lang de")
    assert "de" == scripted.asked[0].headers["Accept-Language"]
    assert 2 == ask(f"why {ID} --lang xx")[0]


def test_a_rule_that_cannot_be_read(ask: Run) -> None:
    """Where the mistake is stands in the error."""
    code, _, err = ask("rules put receiver db -", "to = x\n")
    assert (2, True) == (code, "line 1" in err)
