"""Templates as users meet them: the commands of the page, the command line, the Python client."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.postroom_process import KEY, PostroomProcess
from postroom_client import InvalidError, Message, PostroomClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/templates.md").read_text("utf-8")
SECTION = PAGE.partition("## Sending, previewing, testing")[2].partition("\n## ")[0]
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostroomProcess]:
    environ = {"POSTROOM_FROM": "app@example.com"}
    with PostroomProcess(tmp_path_factory.mktemp("templates") / "data", environ=environ) as started:
        yield started


def commands() -> list[str]:
    """Return every command of the section."""
    return [
        one.strip()
        for block in CONSOLE.findall(SECTION)
        for one in re.split(r"(?m)^\$ ", block)
        if one.strip()
    ]


def run(command: str, server: PostroomProcess) -> str:
    line = command.replace("http://127.0.0.1:8587", server.url).replace(
        "curl -s", "curl -sS -w '\\n%{http_code}'"
    )
    environ = {**os.environ, "POSTROOM_API_KEY": KEY}
    ended = subprocess.run(
        ["bash", "-c", line], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout


def test_every_command_of_the_page_works(server: PostroomProcess) -> None:
    """In their order each is answered as the page says."""
    answers: dict[str, list[Any]] = {}
    for command in commands():
        content, _, status = run(command, server).rpartition("\n")
        assert status in {"200", "201", "202", "204"}, (command, content)
        path = re.search(r"8587(/\S*)", command)
        assert path is not None
        is_json = content.startswith("{")
        answers.setdefault(path[1], []).append(json.loads(content) if is_json else content)
    assert (2, 0) == tuple(answers["/v1/messages/batch"][0][name] for name in ("accepted", "refused"))
    receipt, mail = answers["/v1/templates/preview"]
    assert ("ko", []) == (receipt["template"]["locale"], receipt["findings"])
    assert "Subject: Hello Ann" in mail
    assert "hello" == answers["/v1/templates/lint"][0]["template"]
    sent = server.call("GET", f"/v1/messages/{answers['/v1/messages'][0]['id']}")[1]
    assert ("postroom:one-time-code", "fr") == (sent["template"]["name"], sent["template"]["locale"])
    assert "482913" in captured(server, "ann@example.com")


def captured(server: PostroomProcess, address: str) -> str:
    """Return the first captured mail to an address."""
    page = server.call("GET", "/v1/captured?limit=100")[1]["captured"]
    number = min(one["number"] for one in page if address in one["recipients"])
    return run(
        f'curl -s {server.url}/v1/captured/{number}/source -H "Authorization: Bearer $POSTROOM_API_KEY"',
        server,
    )


def test_the_command_sends_from_a_template(server: PostroomProcess) -> None:
    """``postroom send`` takes a template, variables and a locale, and names what lacks."""
    program = Path(sys.executable).parent / "postroom"
    environ = {"PATH": os.environ["PATH"], "POSTROOM_API_KEY": KEY, "POSTROOM_URL": server.url}
    base = [str(program), "send", "--to", "kim@example.com", "--template", "postroom:one-time-code"]

    def send(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*base, *more], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    sent = send("--set", "code=123456", "--set", "valid_minutes:=5", "--locale", "de", "--wait", "20")
    assert 0 == sent.returncode, sent.stderr
    assert re.search(r"template: postroom:one-time-code \w+ de\n", sent.stdout)
    wrong = send("--set", "cod=1")
    assert wrong.returncode != 0
    assert "variables.code" in wrong.stderr
    assert "variables.cod " in wrong.stderr.replace(":", " ")


def test_the_client_sends_previews_and_tests(server: PostroomProcess) -> None:
    """The Python client's calls on templates, against a real server."""
    with PostroomClient(server.url, KEY) as postroom:
        assert "postroom:receipt" in {one.name for one in postroom.templates()}
        look = postroom.preview(template="postroom:receipt", examples=True, locale="fr")
        assert ("fr", True) == (look.locale, look.size > len(look.html) + len(look.text))
        test = postroom.send_test("lee@example.com", template="postroom:receipt", examples=True, wait=20)
        assert ("captured", ["template-test"]) == (test.state, test.document["tags"])
        good, bad = postroom.send_batch(
            [{"to": "lee@example.com", "variables": {"code": "1"}}, {"to": "lee@example.com"}],
            defaults={"template": "postroom:one-time-code", "headers": [("X-One", "1")]},
        )
        assert isinstance(good, Message)
        assert isinstance(bad, InvalidError)
        assert ("variable-missing", "variables.code") == (bad.code, bad.problems[0].field)
