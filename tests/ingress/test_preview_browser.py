"""The pages of the preview server in a real browser, in a closed network."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from delivery.test_delivery_browser import FLAGS
from ingress.test_preview_server import PAGE, served

pytestmark = [pytest.mark.slow, pytest.mark.chromium]
_AT_REST = ("--window-size=1440,1000", "--virtual-time-budget=2500")


def _browse(url: str, profile: Path) -> tuple[str, str]:
    """Open a page until its scripts and frames have come to rest; return its document and the console."""
    seen = subprocess.run(
        ["chromium", *FLAGS, f"--user-data-dir={profile}", *_AT_REST, "--dump-dom", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    console = "\n".join(line for line in seen.stderr.splitlines() if ":CONSOLE" in line)
    return seen.stdout, console


def test_the_page_shows_a_mail_and_a_broken_one(tmp_path: Path) -> None:
    """Both widths with their measured height, the inbox line and the form; a broken file shows its line."""
    place = tmp_path / "mails"
    place.mkdir()
    (place / "hello.jinja").write_text(PAGE.replace("<script>alert(1)</script>", ""))
    (place / "broken.jinja").write_text("<p>{{ name }}</p>\n<p>{{ name }</p>\n")
    (place / "script.jinja").write_text(PAGE)
    with served(place) as preview:
        base = f"http://127.0.0.1:{preview.port}/?"
        page, console = _browse(base + urlencode({"name": "hello", "scheme": "dark"}), tmp_path / "profile")
        assert console == ""
        assert "<strong>Hello Ann</strong><span> \N{EN DASH} For you</span>" in page
        frames = re.findall(r"<iframe[^>]*>", page)
        assert len(frames) == 2
        for frame in frames:
            assert 'sandbox="allow-same-origin"' in frame
            assert "scheme=dark" in frame
            height = re.search(r"height: (\d+)px", frame)
            assert height is not None
            assert 0 < int(height[1]) < 600
        assert '<input name="name"' in page
        assert 'aria-current="page"' in page

        page, console = _browse(base + "name=broken", tmp_path / "profile")
        assert console == ""
        assert "This template is broken." in page
        assert re.search(r'<li class="bad"[^>]*>&lt;p&gt;{{ name }&lt;/p&gt;</li>', page) is not None

        _, console = _browse(base + "name=script", tmp_path / "profile")
        assert "Blocked script execution" in console
        assert all("Blocked script execution" in line for line in console.splitlines())
