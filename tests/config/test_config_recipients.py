"""``[recipients]``: what is taken, and what is refused at start."""

from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings
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
