"""An operator's commands against a scripted server: what they ask, show and exit with."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_server import ScriptedServer, problem
from postroom.cli.app import run
from postroom.schema import desk_answers, transport_answers

ID = "20300131080000.22aaaaaaaaaaaaaaaaaaaa"
DRY = {
    "mode": "live",
    "dry_run": True,
    "recipients": 3,
    "messages": 2,
    "left": 1,
    "token": "t.o.k.en",
    "until": "2030-01-31T08:00:00Z",
    "token_ends_at": "2030-01-31T08:10:00Z",
}
DONE = {**DRY, "dry_run": False, "token": None, "until": None, "token_ends_at": None}
Run = Callable[..., tuple[int, str, str]]
STORED = {
    "origin": "stored",
    "used": True,
    "provider": None,
    "settings": {"host": "mx.example.com", "password": "*****", "verify": True, "timeouts": {"connect": 5.0}},
    "version": "7",
    "created_at": "2030-01-31T08:00:00Z",
    "changed_at": "2030-01-31T08:00:00Z",
    "author": "cli",
}


def event(number: int, **changes: Any) -> dict[str, Any]:
    value = {
        "number": number,
        "at": "2030-01-31T08:00:00Z",
        "kind": "recipient.refused",
        "text": "Refused for good by main: mailbox-unknown.",
        "message_id": ID,
        "recipients": [f"a{one}@example.com" for one in range(7)],
        "transport": "main",
        "cause": "mailbox-unknown",
        "meaning": "There is no such mailbox.",
        "remedy": "Check the address.",
        "data": {"note": "seen\x1b[2J"},
        **changes,
    }
    desk_answers.EventAnswer.model_validate(value)
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTROOM_URL", server.url)
    monkeypatch.setenv("POSTROOM_API_KEY", "test-key-0123456789")
    desk_answers.BulkAnswer.model_validate(DRY)

    def asked(*args: str) -> tuple[int, str, str]:
        code = run(args)
        out, err = capfd.readouterr()
        return code, out, err

    return asked


def test_many_are_asked_about_twice(
    server: ScriptedServer, ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is shown, a person says yes, and the same order goes again with the token."""
    server.script["POST /v1/messages/retry"] = (200, DRY)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, out, _ = ask(
        "retry", "--state", "refused", "--recipient", "@example.com", "--at", "2099-01-01T00:00:00Z"
    )
    assert 0 == code
    assert "retry means 3 recipients of 2 messages; 1 left alone" in out
    first, second = (asked.json for asked in server.asked)
    wanted = {"filter": {"state": "refused", "recipient": "@example.com"}, "at": "2099-01-01T00:00:00Z"}
    assert wanted == first
    assert {**wanted, "token": "t.o.k.en"} == second


@pytest.mark.parametrize("said", ["", "n\n", "\n"])
def test_whoever_does_not_say_yes_changes_nothing(
    server: ScriptedServer, ask: Run, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """No, nothing, and the end of standard input all mean no."""
    server.script["POST /v1/messages/cancel"] = (200, DRY)
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    code, _, _ = ask("cancel", "--class", "bulk")
    assert 1 == code
    assert 1 == len(server.asked)


def test_machines_are_not_asked(server: ScriptedServer, ask: Run) -> None:
    """With --json the count is all; with --yes beside it the order is done."""
    server.script["POST /v1/messages/release"] = (200, DRY)
    code, out, _ = ask("release", "--tag", "x", "--json")
    assert (0, DRY, 1) == (code, json.loads(out), len(server.asked))
    assert 0 == ask("release", "--tag", "x", "--json", "--yes")[0]
    assert "t.o.k.en" == server.asked[-1].json["token"]
    server.script["POST /v1/messages/release"] = (200, {**DRY, "recipients": 0})
    before = len(server.asked)
    assert 0 == ask("release", "--tag", "x", "--yes")[0]
    assert before + 1 == len(server.asked)


def test_refusals_are_told(server: ScriptedServer, ask: Run) -> None:
    """A conflict is a failure with its words; a wrong filter is a usage error with its fix."""
    server.script["POST /v1/messages/resolve"] = (
        422,
        problem(
            422,
            "filter-empty",
            "no",
            ({"code": "filter-empty", "field": "filter", "cause": "c", "fix": "Give one."},),
        ),
    )
    code, _, err = ask("resolve", "--as", "send-again", "--note", "x")
    assert (2, True) == (code, "Give one." in err)
    assert {"filter": {}, "resolution": "send_again", "note": "x"} == server.asked[-1].json
    server.script[f"POST /v1/messages/{ID}/retry"] = (409, problem(409, "nothing-to-change", "nothing fits"))
    code, _, err = ask("retry", ID)
    assert (1, True) == (code, "nothing fits" in err)
    assert {"confirm_duplicate": False} == server.asked[-1].json


def test_events_stay_within_a_terminal(server: ScriptedServer, ask: Run) -> None:
    """Long lists of recipients are counted, texts are wrapped, escapes shown; the oldest comes first."""
    server.script["GET /v1/events"] = (200, {"mode": "live", "events": [event(8), event(7)], "next": None})
    code, out, _ = ask("events", "--kind", "recipient.refused", "--kind", "recipient.held")
    assert 0 == code
    assert max(map(len, out.splitlines())) <= 80
    assert out.index("7 2030") < out.index("8 2030")
    assert "a4@example.com and 2 more" in " ".join(out.split())
    assert "\x1b[2J" not in out
    assert "kinds=recipient.refused%2Crecipient.held" in server.asked[-1].path


def test_following_ends_with_an_interrupt(
    server: ScriptedServer, ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New events are asked for after the last one shown, one JSON value a line, until an interrupt."""
    path = f"GET /v1/messages/{ID}/events"
    server.script[path] = (200, {"mode": "live", "events": [event(7)], "next": None})
    rounds = []

    def wait(seconds: float) -> bool:
        rounds.append(seconds)
        server.script[path] = (200, {"mode": "live", "events": [event(7 + len(rounds))], "next": None})
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr("postroom.cli.events.pause", wait)
    code, out, _ = ask("events", ID, "--follow", "--json")
    assert 0 == code
    assert [7, 7, 8, 9] == [json.loads(line)["number"] for line in out.splitlines()]
    assert ["limit=20", "after=7&limit=200", "after=7&limit=200", "after=8&limit=200"] == [
        asked.path.partition("?")[2] for asked in server.asked
    ]


def test_a_list_is_imported_from_standard_input(
    server: ScriptedServer, ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes go as they are; refused rows are told and make the exit code 1."""
    told = {
        "row": 2,
        "code": "address-invalid",
        "field": "address",
        "cause": "no @ sign",
        "fix": "Write one.",
    }
    answer = {"mode": "live", "rows": 2, "stored": 1, "refused": 1, "problems": [told]}
    desk_answers.ImportAnswer.model_validate(answer)
    server.script["POST /v1/suppressions/import"] = (200, answer)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"address\na@example.com\nnobody\n")))
    code, out, _ = ask("suppress", "import", "-")
    assert (1, "1 of 2 rows stored\n  row 2: address: no @ sign Write one.\n") == (code, out)
    assert "text/csv" == server.asked[-1].headers["Content-Type"]


def test_a_transport_says_what_to_do(server: ScriptedServer, ask: Run) -> None:
    """Pauses with cause, meaning, remedy and evidence, the pace and what was learnt fit a terminal."""
    words = (
        "The server refused the login, as it does when the password was changed or is for another program."
    )
    one = {
        "name": "main",
        "target": "smtps://app@example.com:*****@mx.example.com:465",
        "default": True,
        "state": "down",
        "level": 1,
        "pauses": [
            {
                "kind": "login",
                "open": True,
                "over": False,
                "since": "2030-01-31T08:00:00Z",
                "until": "2030-01-31T08:15:00Z",
                "cause": "login-refused",
                "meaning": words,
                "remedy": words,
                "evidence": "535 5.7.8 no\x07",
                "step": "auth",
                "host": "mx.example.com",
                "author": "",
                "failures": 1,
            }
        ],
        "pace": [
            {
                "window_s": 3600,
                "allowed": 40,
                "used": 12,
                "configured": None,
                "learnt": {"allowed": 40, "seen": 47, "learnt_at": "2030-01-31T07:00:00Z", "evidence": words},
                "ends_in_s": None,
            }
        ],
        "quota_ends_at": "2030-01-31T15:20:00Z",
        **STORED,
    }
    transport_answers.TransportListAnswer.model_validate({"mode": "live", "transports": [one]})
    server.script["GET /v1/transports"] = (200, {"mode": "live", "transports": [one]})
    code, out, _ = ask("transports", "list")
    assert 0 == code
    assert max(map(len, out.splitlines())) <= 80
    for text in (
        "main: down, the default",
        "login: until 2030-01-31T08:15:00Z",
        "in 3600 s: 12 of 40 used",
        "15:20",
    ):
        assert text in out
    assert "\x07" not in out
