"""The preview server of templates: what it answers, whom, and that a mail can do nothing in it."""

import asyncio
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from postroom.clock import SystemClock
from postroom.ingress.preview.doors import PreviewDoors, in_scheme
from postroom.ingress.preview.workshop import Workshop
from postroom.renderer.directory import Directory
from postroom.web.server import Binding, serve

PAGE = """---
subject: Hello {{ name }}
preheader: For you
variables: {name: Ann}
---
<html lang="en"><head><style>@media (prefers-color-scheme: dark) { p { color: #fff } }</style></head>
<body><p>Hello {{ name }}, {{ link_url }} {{ _product_name }} {{ _team }}</p>
<script>alert(1)</script></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    port: int

    def get(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def state(self, **asked: str) -> dict[str, Any]:
        status, _, text = self.get("/api/state?" + urlencode(asked))
        assert status == 200
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def served(place: Path) -> Iterator[Preview]:
    """Serve a directory in a thread of its own."""
    clock = SystemClock()
    ready, ports = threading.Event(), []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        end = asyncio.Event()
        stop.append((asyncio.get_running_loop(), end))
        workshop = Workshop(Directory(place, clock=clock).read, clock=clock, names={"_product_name": "Acme"})
        binding = Binding(host="127.0.0.1", port=0, app=PreviewDoors(workshop, "mails").gate())
        async with serve([binding], clock=clock) as server:
            ports.append(server.bound[0].port)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield Preview(port=ports[0])
    finally:
        loop, end = stop[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("mails")
    (found / "hello.jinja").write_text(PAGE)
    (found / "hello.fr.jinja").write_text(PAGE.replace("Hello", "Bonjour"))
    (found / "secret.txt.bak").write_text("SECRET")
    return found


@pytest.fixture(scope="module")
def preview(place: Path) -> Iterator[Preview]:
    with served(place) as running:
        yield running


def test_the_state_is_what_the_page_needs(preview: Preview) -> None:
    """The first template is shown with examples, stand-ins and globals; its texts are those of a mail."""
    state = preview.state()
    current = state["current"]
    assert ["hello"] == [one["name"] for one in state["templates"]]
    assert ("hello", "en", ["en", "fr"]) == (current["name"], current["locale"], current["locales"])
    assert ("Hello Ann", "For you") == (current["subject"], current["preheader"])
    assert "Hello Ann, https://example.com/link_url Acme [_team]" in current["html"]
    assert current["size"] == len(current["html"].encode())
    assert [("name", True), ("link_url", False)] == [
        (one["name"], one["has_example"]) for one in current["variables"]
    ]
    assert ["_product_name", "_team"] == current["globals"]
    french = preview.state(
        name="hello", locale="fr-CA", variables='{"name": "Eve", "link_url": "x", "_team": "T"}'
    )["current"]
    assert ("fr", "Bonjour Eve") == (french["locale"], french["subject"])
    assert preview.state(name="nothing", locale="??")["current"]["name"] == "hello"


def test_what_would_be_refused_is_said(preview: Preview) -> None:
    """Missing and unknown variables are named, and nothing is rendered; no JSON is 422."""
    current = preview.state(name="hello", variables='{"nam": "Eve"}')["current"]
    assert not current["is_rendered"]
    assert {"variables.name", "variables.link_url", "variables.nam", "variables._team"} == {
        one["field"] for one in current["problems"]
    }
    assert preview.get("/frame?name=hello&variables=%7B%7D")[::2] == (200, "")
    assert preview.get("/api/state?variables=%5B%5D")[0] == 422


def test_a_change_of_a_file_is_seen(tmp_path: Path) -> None:
    """The number moves, the new text is rendered; a broken file shows its line, and mends again."""
    (tmp_path / "one.jinja").write_text(PAGE)
    with served(tmp_path) as preview:
        first = preview.state()["generation"]
        assert json.loads(preview.get("/api/generation")[2]) == {"generation": first, "compiled": 1}
        (tmp_path / "one.jinja").write_text(PAGE.replace("Hello", "Howdy"))
        assert json.loads(preview.get("/api/generation")[2])["generation"] > first
        assert preview.state()["current"]["subject"] == "Howdy Ann"
        (tmp_path / "one.jinja").write_text(PAGE.replace("{{ link_url }}", "{{ link_url"))
        broken = preview.state()
        assert broken["templates"][0]["is_broken"]
        assert not broken["current"]["is_rendered"]
        errors = [one for one in broken["current"]["findings"] if one["severity"] == "error"]
        assert ["one.jinja"] == [one["file"] for one in errors]
        assert PAGE.splitlines()[6] not in broken["current"]["source"]
        (tmp_path / "one.jinja").write_text(PAGE)
        assert preview.state()["current"]["subject"] == "Hello Ann"
        (tmp_path / "one.jinja").unlink()
        assert preview.state()["current"] is None


def test_only_this_machine_by_its_own_name_is_answered(preview: Preview) -> None:
    """Another Host, another site's script and a forwarded request are refused, whatever they ask for."""
    for path in ("/", "/frame?name=hello", "/api/state", "/preview.js"):
        assert preview.get(path)[0] == 200
        assert preview.get(path, Host="rebound.example")[0] == 401
        assert preview.get(path, **{"X-Forwarded-For": "192.0.2.1"})[0] == 401
    for path in ("/api/state", "/api/generation", "/preview.js"):
        assert preview.get(path, **{"Sec-Fetch-Site": "cross-site"})[0] == 401
        assert preview.get(path, Origin="https://evil.example")[0] == 401
    assert preview.get("/", **{"Sec-Fetch-Site": "none"})[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt.bak",
        "/../secret.txt.bak",
        "/preview.css/../../doors.py",
        "/assets/preview.css",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/frame/..%2f..%2fsecret.txt.bak",
        "/hello.jinja",
    ],
)
def test_no_path_leads_to_a_file(preview: Preview, path: str) -> None:
    """There are six paths; a name in a query is a name of a template and never a path."""
    status, _, text = preview.get(path)
    assert (404, False) == (status, "SECRET" in text)
    named = preview.state(name=path)
    assert named["current"]["name"] == "hello"
    assert "SECRET" not in json.dumps(named)


def test_a_mail_can_do_nothing(preview: Preview) -> None:
    """The frame runs no script and loads nothing; images only when they are asked for; nothing is written."""
    _, headers, text = preview.get("/frame?name=hello")
    policy = headers["content-security-policy"]
    for word in ("default-src 'none'", "img-src data:;", "form-action 'none'", "sandbox allow-same-origin"):
        assert word in policy
    assert "script-src" not in policy
    assert "allow-scripts" not in policy
    assert "Hello Ann" in text
    with_images = preview.get("/frame?name=hello&images=1")[1]["content-security-policy"]
    assert "img-src data: http: https:;" in with_images
    page = preview.get("/")[1]["content-security-policy"]
    assert "script-src 'self'" in page
    assert "unsafe" not in page
    connection = http.client.HTTPConnection("127.0.0.1", preview.port, timeout=30)
    connection.request("POST", "/api/state", b"{}")
    assert connection.getresponse().status == 405
    connection.close()


def test_a_scheme_is_answered_in_the_text() -> None:
    """Both questions about colours get the answer that was chosen, in every spelling; links lead nowhere."""
    html = "<HEAD x><style>@media (prefers-color-scheme:dark){} @media ( Prefers-Color-Scheme : light ){}"
    dark, light = in_scheme(html, "dark"), in_scheme(html, "light")
    assert "@media (min-width: 0){} @media (max-width: 0){}" in dark
    assert "@media (max-width: 0){} @media (min-width: 0){}" in light
    assert '<HEAD x><base target="_blank"><style>:root{color-scheme:only dark}</style>' in dark


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_stop(place: Path) -> None:
    """It prints its URL, answers there, and ends at once with 0; a port that is taken is said."""
    program = str(Path(sys.executable).with_name("postroom"))
    command = (program, "templates", "dev", str(place), "--port")
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", running.stdout.readline())
            assert found is not None
            preview = Preview(port=int(found[1]))
            assert preview.state()["current"]["subject"] == "Hello Ann"
            second = subprocess.run(
                [*command, found[1]], capture_output=True, text=True, check=False, timeout=60
            )
            assert second.returncode == 2
            assert "Choose another --port" in second.stderr
            running.send_signal(signal.SIGINT)
            assert running.wait(20) == 0
        finally:
            running.kill()
