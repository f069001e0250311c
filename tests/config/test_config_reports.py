"""``[reports]``: what it says, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import ReportSettings
from postroom.config.sources import Flags
from postroom.errors import ConfigError


def reports(tmp_path: Path, text: str) -> ReportSettings:
    (tmp_path / "postroom.toml").write_text(f"[reports]\n{text}", "utf-8")
    return load(Flags(), {}, tmp_path).reports


def test_nothing_set(tmp_path: Path) -> None:
    """Reports are sent, delays are told after four hours, in English, under the machine's name."""
    assert ReportSettings() == reports(tmp_path, "")
    assert timedelta(hours=4) == ReportSettings().delayed_after


def test_everything_set(tmp_path: Path) -> None:
    """Each setting arrives, the time in any unit."""
    text = 'send = false\ndelayed_after = "30m"\nlanguage = "ko"\nname = "mail.example.com"\n'
    expected = ReportSettings(
        send=False, delayed_after=timedelta(minutes=30), language="ko", name="mail.example.com"
    )

    assert expected == reports(tmp_path, text)


@pytest.mark.parametrize("text", ['language = "sv"', 'name = "not a host"', "delayed_after = 0", 'to = "x"'])
def test_what_cannot_be(tmp_path: Path, text: str) -> None:
    """Each wrong setting is refused by its name."""
    with pytest.raises(ConfigError) as caught:
        reports(tmp_path, text)

    assert [f"reports.{text.split(maxsplit=1)[0]}"] == [problem.field for problem in caught.value.problems]
