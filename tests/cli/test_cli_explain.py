"""``postroom explain`` against a scripted server: what it asks, what a person reads, how it exits."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.scripted_server import ScriptedServer
from postroom.cli.app import app
from postroom.schema.explained import ExplainAnswer

KEY = "test-key-s3cret-0123456789"
EXPLAINED: dict[str, Any] = {
    "mode": "live",
    "accepted": True,
    "problems": [],
    "rule": "invoices",
    "route": "failover(main spare)",
    "transport": "spare",
    "legs": [
        {
            "transport": "main",
            "chosen": False,
            "state": "down",
            "waits": [
                {
                    "kind": "login",
                    "until": "2030-01-31T08:15:00Z",
                    "cause": "auth-wrong",
                    "meaning": "The login was refused.",
                    "remedy": "Use an authorization code.",
                }
            ],
            "pace": [{"window_s": 86400, "allowed": 2000, "used": 1999}],
            "paced_until": "2030-02-01T00:00:00Z",
            "quota_ends_at": "2030-01-31T08:01:00Z",
        },
        {
            "transport": "spare",
            "chosen": True,
            "state": "working",
            "waits": [],
            "pace": [],
            "paced_until": None,
            "quota_ends_at": None,
        },
    ],
    "from": "app <login@example.com>",
    "from_wished": "app@example.com",
    "reverse_path": "login@example.com",
    "size": 321,
    "max_size": 75497472,
    "not_before": "2030-01-31T08:00:00Z",
    "expires_at": "2030-02-03T08:00:00Z",
    "class": {
        "name": "transactional",
        "retries": [[30.0, 60.0], [60.0, 120.0]],
        "uncertain_policy": "wait",
        "uncertain_failover": False,
    },
    "recipients": [
        {"address": "a@example.com", "state": "queued", "suppressed": None, "held": None},
        {
            "address": "b@example.com",
            "state": "suppressed",
            "suppressed": {"reason": "gone\x1b[2J", "until": None, "then": None, "kind": "hard_bounce"},
            "held": None,
        },
        {
            "address": "c@example.com",
            "state": "held",
            "suppressed": None,
            "held": {"reason": "audit", "until": "2030-02-01T00:00:00Z", "then": "release", "kind": None},
        },
    ],
    "idempotency": {"use": "new", "message_id": None, "fields": [], "kept_until": "2030-02-03T08:00:00Z"},
}
READ = """\
would be accepted
rule: invoices
route: failover(main spare)
     main down
       login until 2030-01-31T08:15:00Z: The login was refused.
       Use an authorization code.
       1999 of 2000 used in this day
       its pace lets the next one go at 2030-02-01T00:00:00Z
       the day's quota ends at 2030-01-31T08:01:00Z at this pace
  -> spare working
from: app <login@example.com>
rewritten from: app@example.com
MAIL FROM: login@example.com
sent not before: 2030-01-31T08:00:00Z
given up at: 2030-02-03T08:00:00Z
size: 321 bytes on the wire, at most 75497472
  a@example.com queued
  b@example.com suppressed: hard_bounce gone\\x1b[2J
  c@example.com held until 2030-02-01T00:00:00Z: audit
class transactional: tried again after 30-60 s, 60-120 s
  when nobody knows whether it arrived: wait, never by another transport
idempotency key: new, kept until 2030-02-03T08:00:00Z
"""


def explained(answer: dict[str, Any], *args: str) -> tuple[int, str, ScriptedServer]:
    with ScriptedServer(script={"POST /v1/explain": (200, answer)}) as server:
        environ = {"POSTROOM_URL": server.url, "POSTROOM_API_KEY": KEY}
        done = CliRunner().invoke(app, ["explain", *args], env=environ)
    assert KEY not in done.output
    return done.exit_code, done.stdout, server


def test_a_person_reads_the_whole_decision() -> None:
    """Rule, legs and what they wait for, sender, times, size, recipients, class, key; no cursor moves."""
    ExplainAnswer.model_validate(EXPLAINED)
    code, out, _ = explained(EXPLAINED, "--to", "a@example.com", "--message", "x")
    assert (0, READ) == (code, out)


def test_a_machine_reads_the_answer_itself() -> None:
    """``--json`` prints what the server said."""
    code, out, _ = explained(EXPLAINED, "--to", "a@example.com", "--json")
    assert (0, EXPLAINED) == (code, json.loads(out))


def test_a_refusal_exits_with_two() -> None:
    """What would be refused is a usage error, with each problem and its fix."""
    problem = {"code": "from-missing", "field": "from", "cause": "no sender given", "fix": "Give `from`."}
    unmade = dict.fromkeys(
        ("from", "from_wished", "reverse_path", "size", "not_before", "expires_at", "idempotency")
    )
    answer = {**EXPLAINED, **unmade, "accepted": False, "problems": [problem], "recipients": []}
    ExplainAnswer.model_validate(answer)
    code, out, _ = explained(answer, "--to", "a@example.com")
    assert 2 == code
    assert out.startswith("would be refused\n  from: no sender given\n    Give `from`.\nrule: invoices\n")
    assert "None" not in out


@pytest.mark.parametrize(
    ("use", "line"),
    [
        (
            {"use": "replay", "message_id": "20300131.22x"},
            "known, message 20300131.22x would be answered again",
        ),
        ({"use": "refused", "fields": ["subject", "to"]}, "used for another mail, different in subject, to"),
    ],
)
def test_what_a_key_would_do_is_said(use: dict[str, Any], line: str) -> None:
    """A known key names its message, a reused one the fields that differ."""
    answer = {**EXPLAINED, "idempotency": {**EXPLAINED["idempotency"], **use}}
    _, out, _ = explained(answer, "--to", "a@example.com")
    assert f"idempotency key: {line}\n" in out


def test_it_asks_with_the_body_of_send(tmp_path: Path) -> None:
    """Every option reaches the body as with ``send``; without a key none is made up; files make a form."""
    file = tmp_path / "a.txt"
    file.write_text("content")
    mail = ("--to", "a@example.com", "--from", "b@example.com", "--tag", "t", "--class", "code")
    _, _, server = explained(EXPLAINED, *mail, "--message", "Hello")
    assert server.asked[0].json == {
        "to": ["a@example.com"],
        "from": "b@example.com",
        "tags": ["t"],
        "class": "code",
        "text": "Hello",
    }
    _, _, server = explained(EXPLAINED, *mail, "--attach", str(file))
    assert server.asked[0].headers["Content-Type"].startswith("multipart/form-data")
    assert b"content" in server.asked[0].body
