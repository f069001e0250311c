"""``postroom alert`` against a scripted server: what it reports, shows and exits with."""

import io
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_server import ScriptedServer
from postroom.cli.app import run

ALERTS = "POST /v1/alerts"
ANSWER = {"alerts": [{"event": 7, "alert": "0a" * 10}]}
UNITS = Path(__file__).resolve().parents[2] / "contrib" / "systemd"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(script={ALERTS: (202, ANSWER)}) as running:
        yield running


@pytest.fixture
def ask(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTROOM_URL", server.url)
    monkeypatch.setenv("POSTROOM_API_KEY", "test-key-0123456789")

    def asked(*args: str) -> tuple[int, str, str]:
        code = run(["alert", *args])
        out, err = capfd.readouterr()
        return code, out, err

    return asked


def reported(server: ScriptedServer) -> dict[str, Any]:
    (asked,) = server.asked
    value: dict[str, Any] = asked.json
    return value


def test_every_option_is_a_field(server: ScriptedServer, ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given stands in the event, numbers as numbers, bytes that are no text marked."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"two\nl\xffnes\0\n")))
    words = (
        "disk-full --object /srv --node a --severity critical --state firing --source s1 --title T --text -"
    )
    more = "--label team=shop --label a=b=c --value free=2 --value used=9.5 --value note=x --value lag=nan"
    code, out, _ = ask(
        *shlex.split(words),
        *shlex.split(more),
        "--link",
        "https://example.com/d",
        "--to",
        "a@example.com",
        "--dedup",
        "d",
    )
    assert (0, f"{'0a' * 10} event 7\n") == (code, out)
    assert {
        "key": "disk-full",
        "object": "/srv",
        "node": "a",
        "severity": "critical",
        "state": "firing",
        "source": "s1",
        "title": "T",
        "text": "two\nl\ufffdnes\ufffd\n",
        "labels": {"team": "shop", "a": "b=c"},
        "values": {"free": 2, "used": 9.5, "note": "x", "lag": "nan"},
        "dedup": "d",
        "link": "https://example.com/d",
        "receivers": ["a@example.com"],
    } == reported(server)


def test_the_least_event(server: ScriptedServer, ask: Run) -> None:
    """A key is enough; the source is this host."""
    assert 0 == ask("deployed")[0]
    assert {"key", "source"} == set(reported(server))


def test_a_command_that_fails(server: ScriptedServer, ask: Run) -> None:
    """Its output and code are passed on, and the event has the end of the one and the other."""
    code, out, _ = ask("backup", "--object", "db", "--", "sh", "-c", "echo copying; echo full >&2; exit 3")
    assert (3, "copying\nfull\n") == (code, out)
    event = reported(server)
    assert ("firing", "error", "sh ended with 3", "copying\nfull\n", 3) == (
        event["state"],
        event["severity"],
        event["title"],
        event["text"],
        event["values"]["exit_code"],
    )


def test_a_command_that_succeeds(server: ScriptedServer, ask: Run) -> None:
    """It resolves the alert; what is given goes before what is made up."""
    assert 0 == ask("backup", "--severity", "critical", "--", "true")[0]
    event = reported(server)
    assert ("resolved", "critical") == (event["state"], event["severity"])


def test_a_command_that_does_not_run(server: ScriptedServer, ask: Run) -> None:
    """As a shell says it, and it is reported."""
    assert 127 == ask("backup", "--", "no-such-program-here")[0]
    assert 137 == ask("backup", "--", "sh", "-c", "kill -9 $$")[0]
    titles = ["no-such-program-here ended with 127", "sh was killed by SIGKILL"]
    assert titles == [one.json["title"] for one in server.asked]


def test_a_server_that_is_away(server: ScriptedServer, ask: Run) -> None:
    """The report fails aloud; a command's own code stays."""
    server.script[ALERTS] = None
    code, _, err = ask("deployed")
    assert code != 0
    assert err
    code, _, err = ask("backup", "--", "sh", "-c", "exit 9")
    assert 9 == code
    assert err


def test_a_label_without_a_name(server: ScriptedServer, ask: Run) -> None:
    """It is named, and nothing is reported."""
    code, _, err = ask("deployed", "--label", "shop")
    assert 2 == code
    assert "--label" in err
    assert [] == server.asked


def test_the_units_call_what_is_there(server: ScriptedServer, ask: Run) -> None:
    """The commands of the shipped units are taken, whatever the name of the unit."""
    for unit in ("postroom-alert@.service", "postroom-alert-over@.service"):
        line = next(one for one in (UNITS / unit).read_text().splitlines() if one.startswith("ExecStart="))
        words = shlex.split(
            line.partition("postroom alert ")[2].replace("' sh %i", "").replace("--text -", "")
        )
        assert 0 == ask(*[word.replace("%i", "a.service").replace("$1", "a.service") for word in words])[0]
    assert ["firing", "resolved"] == [one.json["state"] for one in server.asked]
    assert ["a.service"] * 2 == [one.json["object"] for one in server.asked]
