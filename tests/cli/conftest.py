"""A scripted server, and a runner of commands against it."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cli.scripted_answers import KEY, Run
from cli.scripted_server import ScriptedServer
from postroom.cli.app import run


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def postroom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Return a runner of commands in an empty directory; it proves that no key is ever shown.

    A command that works without a server sets up the log of this process: afterwards it is as it was.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def runner(
        *args: str, url: str | None = None, key: str | None = KEY, stdin: str = ""
    ) -> tuple[int, str, str]:
        if url is not None:
            monkeypatch.setenv("POSTROOM_URL", url)
        if url is not None and key is not None:
            monkeypatch.setenv("POSTROOM_API_KEY", key)
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run(args)
        out, err = capfd.readouterr()
        assert KEY not in out + err
        return code, out, err

    before = structlog.get_config()
    yield runner
    structlog.configure(**before)
