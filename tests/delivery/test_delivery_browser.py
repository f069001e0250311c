"""The pages in a real browser: they load by themselves, in a closed network, without an error."""

import subprocess
from pathlib import Path

import pytest

from peers.postroom_process import PostroomProcess

pytestmark = [pytest.mark.slow, pytest.mark.chromium]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def _browse(url: str, profile: Path, *more: str) -> tuple[str, str]:
    """Open a page in headless Chromium; return its document after scripts ran, and the console."""
    seen = subprocess.run(
        ["chromium", *FLAGS, f"--user-data-dir={profile}", *more, "--dump-dom", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    console = "\n".join(line for line in seen.stderr.splitlines() if ":CONSOLE" in line)
    return seen.stdout, console


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_in_a_browser_without_the_internet(tmp_path: Path, path: str) -> None:
    """No console message (a blocked resource would make one), and the user's own address is on the page."""
    with PostroomProcess(tmp_path / "data") as server:
        document, console = _browse(server.url + path, tmp_path / "profile")
        assert console == ""
        assert "Postroom" in document
        if path == "/":
            assert f"curl {server.url}/v1/messages" in document
            assert "Nothing leaves this machine" in document
            assert "POSTROOM_API_KEY" in document  # the key this server was given
