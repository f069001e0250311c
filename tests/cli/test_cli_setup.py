"""``postroom setup`` at a pseudo-terminal, against a real server of ours and scripted mail servers."""

import asyncio
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.terminal import Terminal
from peers.doctor_room import ADDRESS, Peer, ca_file, certified
from peers.postroom_process import PostroomProcess

RIGHT, WRONG = "abcd-right-code", "abcd-wrong-code"
OTHERS = ("LC_ALL", "LC_MESSAGES")


@contextmanager
def serving(peer: Peer) -> Iterator[Peer]:
    """Let a scripted server listen in a thread of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        async with peer.listening():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield peer
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def login_of(command: str) -> tuple[str, str]:
    """Return user name and secret of AUTH PLAIN."""
    _, name, secret = b64decode(command.rsplit(maxsplit=1)[-1]).split(b"\0")
    return name.decode(), secret.decode()


def acme(*names: str) -> Peer:
    """Return a provider's server that knows one code and these user names, and takes mail."""

    def auth(command: str) -> bytes:
        name, secret = login_of(command)
        is_known = name in names and secret == RIGHT
        return b"235 2.7.0 welcome\r\n" if is_known else b"535 5.7.8 Error: authentication failed\r\n"

    return Peer(
        implicit=certified(ADDRESS), replies={"AUTH": auth, "DATA": b"451 4.3.0 not in this test\r\n"}
    )


class Place:
    """A directory with a file of providers whose host is the scripted server."""

    def __init__(self, path: Path, peer: Peer, *, kind: str = "authorization_code") -> None:
        self.path = path
        (path / "acme.toml").write_text(
            f"""
[[provider]]
id = "acme"
name = "Acme Mail"
host = "{ADDRESS}"
domains = ["acme.example"]
tls = [{peer.port}]
prefer = [{peer.port}, "tls"]
username = "full_address"
username_alt = "local_part"
secret = ["{kind}"]
from = "equals_account"
steps = ["Ask the office for a code."]
""",
        )
        (path / "postroom.toml").write_text('[providers]\nfiles = ["acme.toml"]\n')
        self.environ = {
            "SSL_CERT_FILE": ca_file(),
            "POSTROOM_CONFIG": str(path / "postroom.toml"),
            "POSTROOM_DATA": str(path / "room"),
        }

    def terminal(self, *args: str) -> Terminal:
        return Terminal("setup", *args, cwd=self.path, environ=self.environ)

    def server(self) -> PostroomProcess:
        return PostroomProcess(self.path / "room", environ=self.environ)


def assert_no_secret(place: Place, terminal: Terminal) -> None:
    assert RIGHT not in terminal.shown
    assert WRONG not in terminal.shown
    for path in place.path.rglob("*"):
        if path.is_file():
            assert RIGHT.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_from_an_address_to_a_working_account(tmp_path: Path) -> None:
    """Two typed fields, a wrong code and a right one, a fix with a yes, a test mail; stored and in use."""
    with serving(acme("app")) as peer:
        place = Place(tmp_path, peer)
        with place.server() as server:
            with place.terminal() as terminal:
                terminal.answers("Mail address", "app@acme.example")
                terminal.waits_for("Ask the office for a code.")
                terminal.answers("Password or code", WRONG)
                terminal.answers("Shall this be done?", "n")  # the other user name: not the reason yet
                terminal.answers("Type another password or code?", "y")
                terminal.answers("Password or code", RIGHT)
                terminal.waits_for("Log in with the part of the address before the @.")
                terminal.answers("Shall this be done?", "y")
                terminal.waits_for("Stored as acme")
                assert not any(command.startswith("DATA") for command in peer.commands)
                terminal.answers("Send a test mail to app@acme.example?", "y")
            assert 1 == terminal.code  # the scripted server takes no content
            assert any(command.startswith("DATA") for command in peer.commands)
            status, shown = server.call("GET", "/v1/transports/acme")
            assert (200, "app", "stored") == (status, shown["settings"]["username"], shown["origin"])
            assert "live" == shown["mode"]
            with place.terminal("app@acme.example", "--yes") as second:
                second.answers("Password or code", RIGHT)
                second.waits_for("Stored as acme-2")
        assert_no_secret(place, terminal)
        assert_no_secret(place, second)
        assert ("app", RIGHT) == login_of([one for one in peer.commands if one.startswith("AUTH")][-1])


@pytest.mark.slow
def test_without_a_server_nothing_is_kept_unless_asked(tmp_path: Path) -> None:
    """It says how to start one; with --write the settings are written for their owner alone."""
    with serving(acme("app@acme.example")) as peer:
        place = Place(tmp_path, peer)
        with place.terminal("app@acme.example", "--lang", "de") as terminal:
            terminal.answers("wird nicht angezeigt", RIGHT)
            terminal.answers("Testmail", "n")
        assert 3 == terminal.code
        assert "postroom serve" in terminal.shown
        assert_no_secret(place, terminal)
        with place.terminal("app@acme.example", "--write", "mail.toml") as terminal:
            terminal.answers("Password or code", RIGHT)
            terminal.answers("Send a test mail", "n")
        assert 0 == terminal.code
        written = tmp_path / "mail.toml"
        assert 0o600 == written.stat().st_mode & 0o777
        assert f'password = "{RIGHT}"' in written.read_text()
        assert RIGHT not in terminal.shown
        assert not any(command.startswith("DATA") for command in peer.commands)


@pytest.mark.slow
def test_broken_off_or_refused(tmp_path: Path) -> None:
    """Ctrl-C, an address that is none, a provider of tokens only: nothing is asked of a server or kept."""
    with serving(acme()) as peer:
        place = Place(tmp_path, peer, kind="oauth2")
        with place.terminal() as terminal:
            terminal.answers("Mail address", "app@acme.example")
        assert 1 == terminal.code
        assert "OAuth 2.0" in terminal.shown
        with place.terminal("nobody") as terminal:
            pass
        assert 2 == terminal.code
        place = Place(tmp_path, peer)
        with place.terminal("app@acme.example") as terminal:
            terminal.breaks_off("Password or code")
        assert terminal.code not in {0, None}
        assert "Traceback" not in terminal.shown
        assert 0 == peer.connections
        assert not (tmp_path / "room").exists()


def test_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where nobody can answer it refuses at once and says what to use instead."""
    import io  # noqa: PLC0415 - one use

    from postroom.cli.app import run  # noqa: PLC0415 - with its fixture

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("app@acme.example\n"))
    assert 2 == run(["setup"])
    err = capfd.readouterr().err
    assert "no terminal" in err
    assert "transports create" in err
