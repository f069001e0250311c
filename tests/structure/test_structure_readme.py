"""The README's commands work, typed as they stand, in a clean copy of the repository."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peers.postroom_process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("readme")]
ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEY = re.compile(r"\bpr_[\w-]{40,}")
START_S = 240.0
"""Long enough for a slow mirror: the first start installs everything."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A clean copy, its server and the key that was printed."""

    directory: Path
    port: int
    environment: dict[str, str]

    def run(self, command: str, **variables: str) -> str:
        """Run one command of the README as a shell would, on this copy's port; return what it printed."""
        command = command.replace("127.0.0.1:8587", f"127.0.0.1:{self.port}")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def commands() -> list[str]:
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [
        line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()
    ]


def command(beginning: str, *, containing: str = "") -> str:
    return next(line for line in commands() if line.startswith(beginning) and containing in line)


def clean_copy(target: Path) -> Path:
    """Copy what a clone would have: tracked files, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """Type the README's first command in a clean copy; end the server afterwards."""
    directory = clean_copy(tmp_path_factory.mktemp("clone"))
    port = free_port()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSTROOM_", "SMTP_", "MAKE"))
    }
    environment = kept | {"POSTROOM_HTTP": f"127.0.0.1:{port}", "PYTHON": sys.executable}
    log = directory / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", command("make run")],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        # It listens a moment before it has said so.
        while not (is_ready(port) and (key := KEY.search(log.read_text()))):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Copy(directory, port, environment | {"POSTROOM_API_KEY": key[0]})
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_the_first_mail_of_the_readme_is_taken_and_shown(copy: Copy) -> None:
    """The printed key and the README's two calls hand a mail in and show what became of it."""
    accepted = json.loads(copy.run(command("curl", containing="-d")))
    assert accepted["mode"] == "capture"

    shown = json.loads(copy.run(command("curl", containing="$ID"), ID=accepted["id"]))

    assert accepted["id"] == shown["id"]


def test_the_commands_of_the_readme_work_without_a_key(copy: Copy) -> None:
    """``postroom send`` and ``postroom status`` find the server of their own machine."""
    environment = {name: value for name, value in copy.environment.items() if name != "POSTROOM_API_KEY"}
    local = Copy(copy.directory, copy.port, environment)

    assert local.run(command(".venv/bin/postroom send"))
    assert local.run(command(".venv/bin/postroom status"))
    assert "Total" in local.run(command(".venv/bin/postroom templates"))
    assert local.run(command(".venv/bin/postroom send", containing="--template"))


def test_a_second_start_installs_nothing(copy: Copy) -> None:
    """Once the lock is installed, make has nothing to do before the server."""
    planned = copy.run("make --no-print-directory --dry-run run")

    assert planned.split() == ["exec", ".venv/bin/postroom", "serve"]
