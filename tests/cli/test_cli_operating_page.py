"""The page about operating is true: its examples run, its table of events is the program's."""

import re
import subprocess
from pathlib import Path

import pytest

from peers.ledger_sink import Command, LedgerSink, Say, Then
from peers.postroom_process import KEY, PostroomProcess
from postroom.model.event import EventKind
from postroom.policy.wording import kind_sentence

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_event_is_on_the_page() -> None:
    """The table has each kind with the sentence that the program says, and no other."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert [(kind.value, kind_sentence(kind)) for kind in EventKind] == rows


def says(command: Command) -> Say | bytes | None:
    """Refuse who is called kim, and take mail for those called lost without a word."""
    if command.verb == "RCPT" and "kim" in command.argument:
        return b"550 5.7.1 not wanted here\r\n"
    is_lost = command.verb == "." and any(one.startswith("lost") for one in command.recipients)
    return Say(then=Then.RESET, is_taken=True) if is_lost else None


@pytest.mark.slow
def test_every_example_runs(tmp_path: Path) -> None:
    """Each line of the page's shell blocks is run by bash and curl against a server, and is answered well."""
    with LedgerSink(script=says) as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}", "POSTROOM_FROM": "app@example.com"}
        with PostroomProcess(tmp_path / "room", environ=environ) as server:

            def made(path: str, body: object) -> str:
                status, answer = server.call("POST", path, body, headers={"Prefer": "wait=20"})
                assert status in (200, 201, 202), answer
                return str(answer["id"])

            mail = {"text": "x", "class": "bulk"}
            names = {
                "ID": made("/v1/messages", {"to": "kim@example.com", **mail}),
                "OLDER": made("/v1/messages", {"to": "kim@example.com", **mail}),
                "LOST": made("/v1/messages", {"to": "lost@example.com", **mail}),
                "SCHEDULED": made(
                    "/v1/messages", {"to": "a@example.com", "send_at": "2099-01-31T08:00:00Z", **mail}
                ),
                "HOLD": made("/v1/holds", {"filter": {"tag": "x"}, "reason": "a look"}),
                "HOOK": made("/v1/webhooks", {"url": "https://hooks.example.com/in"}),
                "POSTROOM": server.url,
                "KEY": KEY,
            }
            made("/v1/messages", {"to": "lost@example.com", **mail})
            script = "set -euo pipefail\n" + "\n".join(BLOCKS)
            script = script.replace("curl -sS", "curl -sS --fail-with-body")
            done = subprocess.run(
                ["bash", "-c", script],
                env={"PATH": "/usr/bin:/bin", **names},
                capture_output=True,
                check=False,
            )
            assert 0 == done.returncode, (done.stdout[-2000:], done.stderr)
            shown = server.call("GET", f"/v1/messages/{names['LOST']}")[1]
            assert "accepted" == shown["state"]
            listed = server.call("GET", "/v1/suppressions")[1]["suppressions"]
            assert ["b@example.com"] == [one["address"] for one in listed]
