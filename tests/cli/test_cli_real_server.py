"""The commands against a real server on a real store."""

import json
from pathlib import Path

import pytest

from peers.postroom_process import PostroomProcess
from postroom.cli.app import run


@pytest.mark.slow
def test_a_day_with_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Send, look, make and revoke a key, back up, and miss the server when it is gone."""
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    data = tmp_path / "room"
    (tmp_path / "report.pdf").write_bytes(b"%PDF\xff")

    def ask(*args: str) -> tuple[int, str]:
        code = run([*args, "--data", str(data)])
        out, err = capfd.readouterr()
        return code, out or err

    with PostroomProcess(data, is_from_shell=True) as server:
        mail = (
            "send",
            "--to",
            "a@example.com",
            "--subject",
            "Hi",
            "--message",
            "Hello",
            "--wait",
            "20",
            "--json",
        )
        code, out = ask(*mail, "--attach", "report.pdf")
        sent = json.loads(out)
        assert (0, "captured") == (code, sent["state"])
        code, out = ask("status", sent["id"])
        assert code == 0
        assert "a@example.com captured" in out
        assert ask("status")[0] == 0
        assert "Hi" in ask("captured")[1]
        assert "Subject: Hi\r\n" in ask("captured", "show", "1", "--source")[1]
        assert ask("captured", "show", "99")[0] == 1
        code, out = ask("send", "--to", "nobody", "--message", "x")
        assert code == 2
        assert "to.0" in out

        key = ask("keys", "create", "app", "--scope", "send")[1].splitlines()[-1]
        monkeypatch.setenv("POSTROOM_API_KEY", key)
        assert ask("send", "--to", "a@example.com", "--message", "x")[0] == 0
        assert ask("keys", "list")[0] == 4
        monkeypatch.delenv("POSTROOM_API_KEY")
        assert ask("keys", "revoke", "app")[0] == 0
        monkeypatch.setenv("POSTROOM_API_KEY", key)
        assert ask("send", "--to", "a@example.com", "--message", "x")[0] == 4
        monkeypatch.delenv("POSTROOM_API_KEY")

        assert ask("backup", "copy.db")[0] == 0
        assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3\0")
        assert ask("backup", "copy.db")[0] in {1, 2}
        url = server.url
    code, out = ask("status")
    assert code == 3
    assert url in out


@pytest.mark.slow
def test_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One mail and a backup straight from the command line, on one store."""
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert run(["backup", "none.db"]) == 1
    assert "there is no data directory" in capfd.readouterr().err
    assert run(["send", "--direct", "--to", "a@example.com", "--message", "x", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "captured"
    assert run(["backup", "copy.db"]) == 0
    assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3\0")
