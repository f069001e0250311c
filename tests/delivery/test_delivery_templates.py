"""Templates in a directory while the real program runs: edits, mail that waits, and the processes' end."""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.fork_server import ForkServer
from peers.postroom_process import PostroomProcess

pytestmark = pytest.mark.slow

SOURCE = "---\nsubject: Hello {{ name }}\n---\n<p>WORD {{ name }}</p>"
MAIL = {"from": "app@example.com", "to": "ann@example.org", "variables": {"name": "Ann"}}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


def until(is_so: Callable[[], Any], *, bound_s: float = 20.0) -> None:
    """Look until it is so; an AssertionError after the bound."""
    deadline = time.monotonic() + bound_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def put(folder: Path, word: str, name: str = "hello.jinja") -> None:
    (folder / name).write_text(SOURCE.replace("WORD", word))


def a_server(tmp_path: Path, forks: ForkServer) -> PostroomProcess:
    folder = tmp_path / "templates"
    folder.mkdir()
    put(folder, "first")
    return PostroomProcess(tmp_path / "data", environ={"POSTROOM_TEMPLATES": str(folder)}, forks=forks)


def sent(server: PostroomProcess, **fields: Any) -> dict[str, Any]:
    status, answer = server.call("POST", "/v1/messages", {"template": "hello", **MAIL, **fields})
    assert 202 == status, answer
    assert isinstance(answer, dict)
    return answer


def shown(server: PostroomProcess, word: str) -> bool:
    body = {"template": "hello", "variables": {"name": "Ann"}}
    status, answer = server.call("POST", "/v1/templates/preview", body)
    return status == 200 and f"{word} Ann" in json.dumps(answer)


def workers(server: PostroomProcess) -> list[int]:
    """Return the numbers of the processes that compile and render."""
    assert server.process is not None
    found = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        for pid in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"postroom.renderer.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def test_edits_are_live_and_waiting_mail_stays_as_it_was(tmp_path: Path, forks: ForkServer) -> None:
    """An edit is used by the next mail, a broken one is told and not used; mail that waits stays."""
    with a_server(tmp_path, forks) as server:
        folder = tmp_path / "templates"
        waiting = sent(server, send_at="2126-01-01T00:00:00Z")["id"]
        put(folder, "second")
        until(lambda: shown(server, "second"))
        (folder / "hello.jinja").write_text("<p>{{ name</p>")
        until(lambda: "hello.jinja" in json.dumps(server.call("GET", "/v1/templates/hello")[1]["findings"]))
        assert shown(server, "second")
        assert "hello.jinja" in json.dumps(server.call("GET", "/v1/status")[1]["problems"])
        (folder / "hello.jinja").unlink()
        until(lambda: server.call("POST", "/v1/messages", {"template": "hello", **MAIL})[0] == 422)
        view = server.call("GET", f"/v1/messages/{waiting}")[1]
        assert ("Hello Ann", "hello") == (view["subject"], view["template"]["name"])
        assert 0 == server.stop()
        server.start()
        again = server.call("GET", f"/v1/messages/{waiting}")[1]
        assert view["template"] == again["template"]
        put(folder, "third")
        until(lambda: shown(server, "third"))
        assert "first Ann" in stored_text(server)


def stored_text(server: PostroomProcess) -> str:
    """Return what the store has of every mail."""
    return (server.data / "postroom.sqlite-wal").read_bytes().decode("utf-8", "replace") + (
        server.data / "postroom.sqlite"
    ).read_bytes().decode("utf-8", "replace")


def test_what_is_wrong_at_the_start_is_told(tmp_path: Path, forks: ForkServer) -> None:
    """The start warns of templates that do not compile, and serves all the same."""
    server = a_server(tmp_path, forks)
    (tmp_path / "templates" / "bad.jinja").write_text("<p>{{ name</p>")
    with server:
        assert sent(server)["id"]
        until(lambda: b"bad.jinja" in server.log.read_bytes())


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_server(tmp_path: Path, forks: ForkServer, ending: signal.Signals) -> None:
    """However a server ends, the processes for templates end with it; without templates there are none."""
    with PostroomProcess(tmp_path / "plain", forks=forks) as server:
        assert not workers(server)
    with a_server(tmp_path, forks) as server:
        sent(server)
        found = workers(server)
        assert found
        metrics = server.call("GET", "/metrics")[1].decode()
        (memory,) = [
            line for line in metrics.splitlines() if line.startswith("postroom_template_resident_memory")
        ]
        assert float(memory.split()[1]) > 1e6
        assert 'postroom_template_compilations_total{result="good"}' in metrics
        assert "postroom_template_render_seconds_count 1" in metrics
        assert server.process is not None
        server.process.send_signal(ending)
        server.process.wait(30)
        until(lambda: all(map(is_gone, found)))
