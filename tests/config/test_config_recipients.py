"""``[recipients]`` and ``[alerts]``: what is taken, and what is refused at start."""

from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import AlertEvent, Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError


def loaded(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "postroom.toml").write_text(text)
    return load(Flags(), {}, tmp_path)


def test_blocked_recipients_are_read(tmp_path: Path) -> None:
    """Addresses, domains and patterns, each in the form that is compared."""
    found = loaded(tmp_path, "[recipients]\nblocked = ['a@Example.com', '@Trap.Example', 're:x.*@b']\n")
    assert ("a@example.com", "@trap.example", "re:x.*@b") == found.blocked
    assert ("re:a{1,2}@b",) == loaded(tmp_path, "[recipients]\nblocked = 're:a{1,2}@b'\n").blocked


@pytest.mark.parametrize("entry", ["nobody", "@", "re:(a", r"re:(a)\1", "re:"])
def test_a_wrong_entry_is_refused_by_its_place(tmp_path: Path, entry: str) -> None:
    """The error names the entry's number."""
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, f"[recipients]\nblocked = ['a@example.com', '{entry}']\n")
    assert ["recipients.blocked.1"] == [one.field for one in raised.value.problems]


def test_too_many_patterns_are_refused(tmp_path: Path) -> None:
    """Each costs a walk over every recipient."""
    entries = ", ".join(f"'re:a{number}@b'" for number in range(101))
    with pytest.raises(ConfigError, match="100 patterns"):
        loaded(tmp_path, f"[recipients]\nblocked = [{entries}]\n")


def test_alerts_are_kept(tmp_path: Path) -> None:
    """Receivers and events are there as values; a wrong event is refused by name."""
    text = '[alerts]\nreceivers = "a@example.com; b@example.com"\n[alerts.events.jobPaused]\nmail = false\n'
    found = loaded(tmp_path, text + '[alerts.events.TASK_STATUS_ERROR]\nevery = "1 d"\n').alerts
    assert ["a@example.com", "b@example.com"] == [str(one) for one in found.receivers]
    expected = {
        "jobPaused": AlertEvent(mail=False, every_s=300.0),
        "TASK_STATUS_ERROR": AlertEvent(mail=True, every_s=86400.0),
    }
    assert expected == found.events
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, '[alerts.events.jobPaused]\nevery = "soon"\n')
    assert ["alerts.events.jobPaused.every"] == [one.field for one in raised.value.problems]
