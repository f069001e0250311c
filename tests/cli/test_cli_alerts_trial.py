"""``postroom alerts test`` without a server, and the whole group against a real one."""

import json
import shlex
import time
from pathlib import Path

import pytest

from cli.scripted_answers import Run
from cli.scripted_server import ScriptedServer
from peers.postroom_process import PostroomProcess
from postroom.schema.alert_trial_answers import TraceAnswer

SETTINGS = """
[[alerts.types]]
key = "disk"
severity = "error"
objects = [{ object = "/dev/*", severity = "critical" }]

[[alerts.types]]
key = "off"
open = false

[[alerts.receivers]]
name = "default"
to = ["ops@example.com"]

[[alerts.receivers]]
name = "db"
digest = "0 9 * * *"
to = ["kim@example.com", { address = "jo@example.com", language = "zh" }]

[[alerts.routes]]
name = "db"
matchers = ['team="db"']
receiver = "db"
group_wait = "30 s"
active = ["weekdays", "weekend"]
continue = true

[[alerts.routes]]
name = "zones"
matchers = ['severity="critical"', 'zone!=""']
group_by = ["zone"]
repeat = "1 h, 1 d"

[[alerts.tables]]
name = "weekdays"
windows = ["mon-fri"]

[[alerts.tables]]
name = "weekend"
windows = ["sat,sun"]

[[alerts.inhibitions]]
name = "host-down"
source = ['key="host-down"']
target = ['team="db"']
equal = ["source", "zone"]
"""


@pytest.fixture
def ask(postroom: Run, tmp_path: Path) -> Run:
    """Run the test of a report under these settings."""
    (tmp_path / "rules.toml").write_text(SETTINGS)

    def asked(words: str) -> tuple[int, str, str]:
        return postroom("alerts", "test", "--config", "rules.toml", *shlex.split(words), key=None)

    return asked


def test_the_way_of_a_report(ask: Run) -> None:
    """Each route that was asked with the matcher that decided, the type, the receivers and the clocks."""
    words = "--set key=disk --set object=/dev/sda1 --set team=db --set zone=x"
    code, out, err = ask(words)
    assert (0, "") == (code, err)
    for text in (
        "critical\n",
        "severity critical (object /dev/*)",
        "by default: open yes; mail yes; every 5 min; repeat active",
        'db: yes by team="db", takes it, and the next ones are asked too',
        'zones: yes by severity="critical", zone!="", takes it',
        "-> root / db, receiver db",
        "kim@example.com",
        "(zh, UTC)",
        "quiet hours, digests and storms do not hold for this severity",
        "first mail after 30 s",
        "one thread for zone=x\n",
        "first mail at once, news after 5 min, repeated every 1 h, later 1 d; that it",
        "ops@example.com at once (en, UTC)",
        'not told while another alert is active with key="host-down", no source,',
        "told only at weekdays: mon,tue,wed,thu,fri UTC; now is",
        "are seen with --server",
    ):
        assert text in out
    found = json.loads(ask(f"{words} --json")[1])
    assert "offline" == found["mode"]
    TraceAnswer.model_validate({**found, "mode": "live"})


def test_what_does_not_match(ask: Run) -> None:
    """A route says which of its matchers failed, and what that met; a digest says when."""
    out = ask("--set key=disk --set team=db")[1]
    assert 'zones: no, severity="critical", and it is error' in out
    assert "kim@example.com in the digest, 20" in out
    assert 'db: no, team="db", and it is not there' in ask("--set key=disk")[1]


def test_nobody(ask: Run, postroom: Run) -> None:
    """The exit code says it, and the words say why."""
    code, out, _ = ask("--set key=off")
    assert (1, True) == (code, "nobody would hear of it: its type is off" in out)
    code, out, _ = postroom("alerts", "test", "--set", "key=x", key=None)
    assert (1, True) == (code, "no address in receiver default; write one" in out)
    assert "no type: the defaults hold" in out


def test_settings_that_are_wrong(postroom: Run, tmp_path: Path) -> None:
    """Every problem is named, as with any other command."""
    (tmp_path / "rules.toml").write_text(SETTINGS.replace('receiver = "db"', 'receiver = "dbs"'))
    code, _, err = postroom("alerts", "test", "--config", "rules.toml", "--set", "key=x", key=None)
    assert (2, True) == (code, "there is no receiver 'dbs'" in err)


def test_the_server_is_asked_for_what_it_stores(ask: Run, postroom: Run) -> None:
    """With --server the labels go there, and its answer is shown."""
    answer = json.loads(ask("--set key=off --set label.severity=page --json")[1])
    assert "page" == answer["labels"]["severity"]
    with ScriptedServer(script={"POST /v1/alerts/test": (200, answer)}) as server:
        code, out, _ = postroom("alerts", "test", "--set", "key=off", "--server", url=server.url)
    assert (1, False) == (code, "are seen with" in out)
    assert [{"labels": {"key": "off"}}] == [one.json for one in server.asked]


@pytest.mark.slow
def test_the_mails_of_a_report(ask: Run) -> None:
    """Subject and text for each language, with what the report would say."""
    words = '--set key=disk --set team=db --set title="/srv is full" --set value.free=2 --preview'
    code, out, err = ask(words)
    assert (0, "") == (code, err)
    assert "mail to kim@example.com (en)\n  Subject: [Error] /srv is full\n" in out
    assert "mail to jo@example.com (zh)\n  Subject: [错误] /srv is full\n" in out
    assert "free: 2" in out


@pytest.mark.slow
def test_the_night_of_a_person(postroom: Run, tmp_path: Path) -> None:
    """Look, ask why, silence, acknowledge, change a rule, try it, and undo: against a real server."""
    (tmp_path / "rules.toml").write_text(SETTINGS)
    with PostroomProcess(tmp_path / "postroom-data", args=("--config", str(tmp_path / "rules.toml"))):

        def ask(words: str, stdin: str = "") -> str:
            code, out, err = postroom(*shlex.split(words), stdin=stdin)
            assert (0, "") == (code, err), words
            return out

        alert = ask("alert disk --object /srv --severity critical --state firing --label zone=x").split()[0]
        deadline = time.monotonic() + 20
        while "told," not in (story := ask(f"alerts why {alert}")) and time.monotonic() < deadline:
            pass
        assert "new, event 1" in story
        assert f"{alert}  critical" in ask("alerts list")
        assert "label zone: x" in ask(f"alerts show {alert}")
        assert alert in ask(f"alerts events --alert {alert}")
        assert "type disk (file)" in ask("alerts types")
        assert "Das ist neu" in ask(f"alerts why {alert} --lang de")
        one = ask(f"alerts silence {alert} --for 2h --reason replaced").split()[1]
        many = ask("alerts silence zone=x object=~'/s.*' --for 1h --reason 'a test'").split()[1]
        assert "silenced" in ask("alerts list")
        assert one in ask("alerts silences")
        assert "silenced until" in ask("alerts test --set key=disk --set object=/srv --set zone=x --server")
        for silence in (one, many):
            ask(f"alerts unsilence {silence}")
        assert "acknowledged by" in ask(f"alerts ack {alert} --for 1h")
        assert "every 12 h: what is told together by root / zones" in ask(f"alerts rhythm {alert} 12h")
        ask("alerts rules put receiver late -", 'to = ["late@example.com"]\n')
        ask("alerts rules put route late -", 'matchers = ["team=late"]\nreceiver = "late"\n')
        assert "late@example.com at once" in ask("alerts test --set key=q --set team=late --server")
        assert "route late (store)" in ask("alerts rules")
        assert 1 == postroom("alerts", "rules", "put", "receiver", "db", "-", stdin="to = []\n")[0]
        ask("alerts rules remove route late")
        assert 1 == postroom("alerts", "show", "nothing")[0]
