"""``postroom check``: what each target means, what is shown and what is not, and the exit code."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from cli.terminal import Terminal
from cli.test_cli_setup import serving
from peers.doctor_room import ADDRESS, PASSWORD, Peer, ca_file, certified
from peers.postroom_process import PostroomProcess, free_port
from postroom.cli.app import run
from postroom.net import tls
from postroom.schema.checkup_answers import CheckupAnswer

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A mail server with TLS from the first byte; it must never be told DATA by a check."""
    with serving(Peer(implicit=certified(ADDRESS))) as running:
        yield running
    assert not any(command.upper().startswith("DATA") for command in running.commands)


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    tls._context.cache_clear()  # the authorities of the system, for this test ours, are read once
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", ca_file())
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def check(*words: str) -> tuple[int, str]:
        code = run(["check", *words])
        out, err = capfd.readouterr()
        assert PASSWORD not in out + err
        return code, out if code in {0, 1} and out else out + err

    yield check
    tls._context.cache_clear()


def url(peer: Peer, user: str = "app%40example.com") -> str:
    return f"smtps://{user}:{PASSWORD}@{ADDRESS}:{peer.port}"


def settings(path: Path, peer: Peer, *, port: int | None = None) -> None:
    row = f'host = "{ADDRESS}"\nusername = "app@example.com"\npassword = "{PASSWORD}"\n'
    (path / "postroom.toml").write_text(
        f'[[transports]]\nname = "main"\nport = {peer.port}\nencryption = "tls"\n{row}'
        f'[[transports]]\nname = "spare"\nport = {port or peer.port}\nencryption = "tls"\n{row}'
    )


def one(text: str) -> Mapping[str, Any]:
    """Return the one JSON value that was printed, as the API has it."""
    CheckupAnswer.model_validate_json(text)
    found: Mapping[str, Any] = json.loads(text)
    return found


def test_a_url(check: Run, peer: Peer) -> None:
    """A URL needs neither server nor settings; JSON is exactly that of the API."""
    code, out = check(url(peer), "--json")
    found = one(out)
    assert (0, True) == (code, found["ok"])
    assert f"smtps://app@example.com:*****@{ADDRESS}:{peer.port}" == found["target"]
    assert {"ok", "cause", "target", "stages"} == found.keys()
    code, out = check(url(peer), "--lang", "de")
    assert 0 == code
    assert "Anmeldung" in out


def test_what_is_shared_names_nobody(check: Run, peer: Peer) -> None:
    """--share masks logins and addresses, as text and as JSON."""
    for more in ((), ("--json",)):
        code, out = check(url(peer, "mallory%40example.com"), "--share", *more)
        assert 0 == code
        assert "mallory" not in out
        assert "m***@example.com" in out


def test_a_failure_is_told_and_counts(check: Run) -> None:
    """Exit code 1, the cause first; a test mail is sent after a good check only."""
    refusing = Peer(implicit=certified(ADDRESS), replies={"AUTH": b"535 5.7.8 no\r\n"})
    with serving(refusing):
        code, out = check(url(refusing), "--send-to", "you@example.org")
    assert 1 == code
    assert out.splitlines()[3].startswith("Login: failed (auth-wrong)")
    assert not any(command.startswith(("MAIL", "DATA")) for command in refusing.commands)


def test_host_and_port(check: Run, peer: Peer) -> None:
    """A port alone is looked at without a login; both spellings; 25 is warned about first."""
    for words in ((ADDRESS, str(peer.port)), (f"{ADDRESS}:{peer.port}",)):
        code, out = check(*words, "--json")
        assert not any(stage["stage"] == "auth" for stage in one(out)["stages"])
        assert code in {0, 1}
    assert not any(command.startswith("AUTH") for command in peer.commands)
    code, out = check(ADDRESS, "25")
    assert 1 == code
    assert out.startswith("Port 25 is for mail between servers.")


def test_a_host_alone(check: Run) -> None:
    """Four ports side by side; good when one of them is."""
    code, out = check(ADDRESS, "--json")
    found = json.loads(out)
    assert (1, False, 4) == (code, found["ok"], len(found["checks"]))
    assert [25, 465, 587, 2525] == [int(each["target"].rpartition(":")[2]) for each in found["checks"]]


def test_transports_of_the_settings(check: Run, peer: Peer, tmp_path: Path) -> None:
    """Without a server names, the default and --all are those of the settings; a fix is lines to copy."""
    settings(tmp_path, peer)
    assert (0, True) == (check()[0], one(check("spare", "--json")[1])["ok"])
    code, out = check("--all", "--json")
    found = json.loads(out)
    assert (0, True, ["main", "spare"]) == (code, found["ok"], [each["name"] for each in found["checks"]])
    assert 1 == check("nobody")[0]
    settings(tmp_path, peer, port=9)
    code, out = check("--all")
    assert 1 == code
    assert "spare:" in out


@pytest.mark.slow
def test_a_test_mail_follows_a_good_check(check: Run) -> None:
    """Without a server too: one small mail to the address, after the check; nothing is left behind."""
    kept: list[tuple[str, list[str], bytes]] = []

    class Keeper:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - aiosmtpd's names
            kept.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            return "250 kept"

    controller = Controller(Keeper(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        place = f"smtp://127.0.0.1:{controller.port}?starttls=never"
        code, out = check(place, "--send-to", "you@example.org", "--lang", "fr")
    finally:
        controller.stop()
    assert 0 == code, out
    ((sender, recipients, content),) = kept
    assert ("you@example.org", ["you@example.org"]) == (sender, recipients)
    assert b"Subject: Message de test" in content
    assert "you@example.org" in out.splitlines()[-1]


def test_targets_that_make_no_sense(check: Run) -> None:
    """They are refused with what is allowed."""
    for words in (("a", "b", "c"), ("--all", "x"), ("mx.example.com", "0"), ("mx.example.com", "x")):
        assert 2 == check(*words)[0], words
    assert 2 == check("smtp://")[0]
    assert 2 == check("x", "--lang", "tlh")[0]


@pytest.mark.slow
def test_against_a_server(check: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named transports are looked at by the server: check, fix with a yes, check again, send."""

    def auth(command: str) -> bytes:
        from cli.test_cli_setup import login_of  # noqa: PLC0415 - one use

        return b"235 ok\r\n" if login_of(command)[0] == "apikey" else b"535 Authentication failed\r\n"

    row = (
        '[[provider]]\nid = "acme"\nname = "Acme"\nhost = "{host}"\ntls = [{port}]\nprefer = '
        '[{port}, "tls"]\nusername = "literal:apikey"\nsecret = ["api_key"]\nfrom = "any"\n'
    )
    with serving(Peer(implicit=certified(ADDRESS), replies={"AUTH": auth})) as peer:
        (tmp_path / "acme.toml").write_text(row.format(host=ADDRESS, port=peer.port))
        (tmp_path / "postroom.toml").write_text('[providers]\nfiles = ["acme.toml"]\n')
        environ = {"SSL_CERT_FILE": ca_file(), "POSTROOM_CONFIG": str(tmp_path / "postroom.toml")}
        with PostroomProcess(tmp_path / "room", environ=environ) as server:
            monkeypatch.setenv("POSTROOM_DATA", str(tmp_path / "room"))
            code, out = check("--all")
            assert 1 == code
            assert "there is no transport" in out
            assert 0 == check()[0]  # the capture inbox: nothing can be wrong with it
            body = {"name": "acme", "provider": "acme", "username": "app", "password": PASSWORD}
            assert 201 == server.call("POST", "/v1/transports", {**body, "from": "app@example.com"})[0]
            code, out = check("acme")
            assert (1, True) == (code, "Login: failed" in out)
            code, out = check("acme", "--fix", "--yes", "--json")
            assert (0, True) == (code, one(out)["ok"])
            assert "apikey" == server.call("GET", "/v1/transports/acme")[1]["settings"]["username"]
            assert 0 == check("--all")[0]
            assert not any(command.startswith("DATA") for command in peer.commands)
            assert 1 == check("unheard-of")[0]


@pytest.mark.slow
def test_an_address_at_a_terminal(peer: Peer, tmp_path: Path) -> None:
    """The provider is found and the secret asked for; without one only the way there is looked at."""
    row = (
        f'[[provider]]\nid = "acme"\nname = "Acme"\nhost = "{ADDRESS}"\ndomains = ["acme.example"]\n'
        f'tls = [{peer.port}]\nprefer = [{peer.port}, "tls"]\nusername = "full_address"\n'
        'secret = ["app_password"]\nfrom = "equals_account"\n'
    )
    (tmp_path / "acme.toml").write_text(row)
    (tmp_path / "postroom.toml").write_text('[providers]\nfiles = ["acme.toml"]\n')
    for typed, logs_in in ((PASSWORD, True), ("", False)):
        peer.commands.clear()
        with Terminal(
            "check", "app@acme.example", cwd=tmp_path, environ={"SSL_CERT_FILE": ca_file()}
        ) as terminal:
            terminal.answers("it is not shown): ", typed)
        assert PASSWORD not in terminal.shown
        assert logs_in is any(command.startswith("AUTH") for command in peer.commands)


def test_diagnose(check: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A text as argument or on standard input; the JSON of the API; 1 when nothing is known."""
    del check  # only its environment

    def diagnose(*words: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = run(["diagnose", *words])
        return code, capfd.readouterr().out

    text = "Wert darf nicht null sein. Parametername: Von Adresse"
    code, out = diagnose(text, "--lang", "de")
    assert (0, "from-missing") == (code, out.splitlines()[0])
    code, out = diagnose("--json", "--host", "smtp.163.com", typed="535 Error: authentication failed\n")
    assert (0, "netease-auth") == (code, json.loads(out)["cause"])
    assert 1 == diagnose("Hello")[0]
