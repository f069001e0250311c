"""The file by which the command line finds its server."""

from pathlib import Path

import pytest

from postroom.config.cli_key import FILE_NAME, CliKey, read_cli_key, write_cli_key
from postroom.model.secret import Secret

KEY = CliKey(url="http://127.0.0.1:8587", key=Secret("k" * 30))


def test_written_and_read_back(tmp_path: Path) -> None:
    """What is written is read back, over an older file too, and only the owner may read it."""
    (tmp_path / FILE_NAME).write_text("older")
    (tmp_path / FILE_NAME).chmod(0o644)
    for cli_key in (KEY, CliKey(url="https://[::1]:1", key=Secret("x"), certificate="/c.pem")):
        write_cli_key(tmp_path, cli_key)
        assert cli_key == read_cli_key(tmp_path)
        assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("content", ["", "x", "[]", "{}", '{"url": "u"}', "null"])
def test_not_of_this_form(tmp_path: Path, content: str) -> None:
    """A file of another form is as good as none."""
    assert read_cli_key(tmp_path) is None
    (tmp_path / FILE_NAME).write_text(content)
    assert read_cli_key(tmp_path) is None
