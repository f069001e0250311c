"""Commands that make and change transports, against a scripted server: what they ask; secrets stay in."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_server import ScriptedServer, problem
from cli.test_cli_desk_commands import STORED
from postroom.cli.app import run
from postroom.schema import transport_answers

SECRET = "correct-horse-battery"
Run = Callable[..., tuple[int, str, str]]


def a_transport(name: str = "relay") -> dict[str, Any]:
    value = {
        "mode": "live",
        "name": name,
        "target": "smtps://app:*****@mx.example.com:465",
        "default": True,
        "state": "working",
        "level": 5,
        "pauses": [],
        "pace": [],
        "quota_ends_at": None,
        **STORED,
        "warnings": ["the blanks in the secret were left out"],
    }
    transport_answers.ChangedTransportAnswer.model_validate(value)
    return value


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def ask(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("POSTROOM_URL", server.url)
    monkeypatch.setenv("POSTROOM_API_KEY", "pr_" + "k" * 24)
    monkeypatch.chdir(tmp_path)

    def ask(*words: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = run(["transports", *words])
        out, err = capfd.readouterr()
        return code, out, err

    return ask


def test_create_sends_what_was_said(server: ScriptedServer, ask: Run) -> None:
    """Options and settings are one body; the secret comes from standard input and is shown nowhere."""
    server.script["POST /v1/transports"] = (201, a_transport())
    words = ("create", "relay", "--host", "mx.example.com", "--port", "465", "--user", "app")
    more = ("--set", "rate=100/h", "--set", "timeouts.connect=5", "--password-file", "-")
    code, out, err = ask(*words, *more, typed=f"{SECRET}\n")
    assert 0 == code, err
    assert {
        "name": "relay",
        "host": "mx.example.com",
        "port": 465,
        "username": "app",
        "rate": "100/h",
        "timeouts": {"connect": "5"},
        "password": SECRET,
    } == server.asked[-1].json
    assert SECRET not in out + err
    for line in (
        "timeouts.connect = 5.0",
        "password = *****",
        "verify = true",
        "calls may change it",
        "the blanks",
    ):
        assert line in out


def test_a_secret_is_no_argument(server: ScriptedServer, ask: Run) -> None:
    """--set refuses what holds a secret, and does not repeat it; nothing is asked of the server."""
    for given in (f"password={SECRET}", f"url=smtp://a:{SECRET}@h", f"proxy=http://a:{SECRET}@h", "host"):
        code, out, err = ask("create", "relay", "--set", given)
        assert 2 == code
        assert SECRET not in out + err
    assert [] == server.asked


def test_update_names_only_what_changes(server: ScriptedServer, ask: Run, tmp_path: Path) -> None:
    """A change carries what was given, null for what was taken back; without any it is refused."""
    server.script["PATCH /v1/transports/relay"] = (200, a_transport())
    (tmp_path / "secret").write_text(SECRET)
    code, _, err = ask("update", "relay", "--unset", "proxy", "--password-file", "secret")
    assert 0 == code, err
    assert {"proxy": None, "password": SECRET} == server.asked[-1].json
    assert 2 == ask("update", "relay")[0]


def test_remove_asks_first(server: ScriptedServer, ask: Run) -> None:
    """Without a yes nothing is removed; --move-to names who takes what waits; a refusal says what to do."""
    code, _, _ = ask("remove", "relay", typed="n\n")
    assert 0 != code
    assert [] == server.asked
    server.script["DELETE /v1/transports/relay"] = (409, problem(409, "transport-in-use", "mail waits"))
    code, _, err = ask("remove", "relay", "--yes", "--move-to", "spare")
    assert 0 != code
    assert "mail waits" in err
    assert "/v1/transports/relay?move_to=spare" in server.asked[-1].path


def test_import_makes_each(server: ScriptedServer, ask: Run, tmp_path: Path) -> None:
    """Every description of the file is handed in as it is; a name is for one."""
    server.script["POST /v1/transports"] = (201, a_transport())
    bodies = [{"name": "a", "host": "a.example.com"}, {"name": "b", "host": "b.example.com"}]
    (tmp_path / "ways.json").write_text(json.dumps(bodies))
    code, out, err = ask("import", "ways.json")
    assert 0 == code, err
    assert bodies == [one.json for one in server.asked]
    assert 2 == out.count("relay: working")
    assert 2 == ask("import", "ways.json", "--name", "c")[0]
    assert 2 == ask("import", "none.json")[0]
