"""The commands against a scripted server: what they ask, what they show, how they exit."""

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from cli.scripted_answers import ACCEPTED, CAPTURED, CAPTURED_MESSAGE, ID, KEY, NEW_KEY, STATUS, Run, message
from cli.scripted_server import ScriptedServer, problem
from postroom.bootstrap import direct, serve
from postroom.bootstrap.serve import Started
from postroom.config.cli_key import CliKey, write_cli_key
from postroom.config.settings import Settings
from postroom.errors import InputError, Problem, StoreError
from postroom.model.secret import Secret
from postroom.schema import status_answers


def test_send_asks_for_what_was_said(postroom: Run, server: ScriptedServer) -> None:
    """Every option reaches the body under its API name, with the key and an idempotency key of its own."""
    server.script["POST /v1/messages"] = (202, ACCEPTED)
    code, out, _ = postroom(
        *("send", "--to", "a@example.com", "--to", "C <c@example.com>", "--cc", "d@example.com"),
        *("--bcc", "e@example.com", "--from", "b@example.com", "--reply-to", "r@example.com"),
        *("--subject", "Hi", "--message", "Hello", "--html", "-", "--header", "X-A: 1: 2", "--tag", "t"),
        *("--class", "code", "--send-at", "2030-01-31T08:00:00Z", "--idempotency-key", "k-1"),
        url=server.url,
        stdin="<p>Hello</p>",
    )
    assert (0, f"{ID} queued\n") == (code, out)
    asked = server.asked[0]
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert "Prefer" not in asked.headers
    assert asked.json == {
        "to": ["a@example.com", "C <c@example.com>"],
        "cc": ["d@example.com"],
        "bcc": ["e@example.com"],
        "from": "b@example.com",
        "reply_to": ["r@example.com"],
        "subject": "Hi",
        "text": "Hello",
        "html": "<p>Hello</p>",
        "headers": [["X-A", "1: 2"]],
        "tags": ["t"],
        "class": "code",
        "send_at": "2030-01-31T08:00:00Z",
        "idempotency_key": "k-1",
    }


def test_send_with_files_is_multipart(postroom: Run, server: ScriptedServer, tmp_path: Path) -> None:
    """The message is the first part, each file a part named by its upload."""
    server.script["POST /v1/messages"] = (202, ACCEPTED)
    (tmp_path / "a.pdf").write_bytes(b"%PDF\x00\xff")
    (tmp_path / "b.unknown-kind").write_bytes(b"b")
    code, _, _ = postroom(
        *("send", "--to", "a@example.com", "--attach", "a.pdf", "--attach", "b.unknown-kind"), url=server.url
    )
    assert code == 0
    body = server.asked[0].body
    assert server.asked[0].headers["Content-Type"].startswith("multipart/form-data; boundary=")
    names = re.findall(rb'form-data; name="([^"]+)"', body)
    assert names == [b"message", b"file0", b"file1"]
    sent = json.loads(body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0])
    assert sent["attachments"] == [
        {"filename": "a.pdf", "content_type": "application/pdf", "upload": "file0"},
        {"filename": "b.unknown-kind", "content_type": "application/octet-stream", "upload": "file1"},
    ]
    assert b"\r\n\r\n%PDF\x00\xff\r\n" in body


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("accepted", 0),
        ("captured", 0),
        ("refused", 1),
        ("expired", 1),
        ("queued", 5),
        ("deferred", 5),
        ("uncertain", 5),
    ],
)
def test_exit_codes_of_a_mail(postroom: Run, server: ScriptedServer, state: str, code: int) -> None:
    """With --wait, and of status ID: 0 good, 1 failed, 5 still open."""
    server.script["POST /v1/messages"] = (200, message(state))
    server.script[f"GET /v1/messages/{ID}"] = (200, message(state))
    sent = postroom("send", "--to", "a@example.com", "--message", "x", "--wait", "5", url=server.url)
    assert code == sent[0]
    assert server.asked[0].headers["Prefer"] == "wait=5"
    looked = postroom("status", ID, url=server.url)
    assert code == looked[0]


def test_a_message_for_people(postroom: Run, server: ScriptedServer) -> None:
    """State, cause, meaning, remedy and evidence are shown; foreign text moves no cursor."""
    server.script[f"GET /v1/messages/{ID}"] = (200, message("refused"))
    _, out, _ = postroom("status", ID, url=server.url)
    for words in (
        ID,
        "a@example.com refused",
        "mailbox-unknown",
        "There is no such mailbox.",
        "Check the address.",
    ):
        assert words in out
    assert "refused at rcpt by main, 12 ms: 550 5.1.1 no such user\\x1b[2J" in out
    assert "\x1b" not in out


def test_status_for_people(postroom: Run, server: ScriptedServer) -> None:
    """Readiness, queue and the pause of a transport with its remedy."""
    status_answers.StatusAnswer.model_validate(STATUS)
    server.script["GET /v1/status"] = (200, STATUS)
    code, out, _ = postroom("status", url=server.url)
    assert code == 0
    for words in (
        "degraded",
        "postroom 1.2.3, mode live, up 1 h 6 min",
        "2 queued, 5 accepted",
        "code: the first is due 2030-01-31T08:00:30Z",
        "alerts: 4 active",
        "7 events were not looked at yet",
        "2 letters wait, the oldest since 2030-01-31T08:01:00Z",
        "uncertain: 3, the oldest accepted 2030-01-30",
        "5.0 GiB free, 1.0 GiB kept in reserve",
        "login: until 2030",
        "Use an application password.",
        "next: 2 recipients are held",
        "postroom release --state held",
    ):
        assert words in out
    server.script["GET /v1/status"] = (
        200,
        STATUS | {"status": "not-ready", "ready": False, "problems": ["disk is nearly full"]},
    )
    code, out, _ = postroom("status", url=server.url)
    assert code == 1
    assert "problem: disk is nearly full" in out


JSON_COMMANDS = [
    (("status", "--json"), "GET /v1/status", STATUS),
    (("status", ID, "--json"), f"GET /v1/messages/{ID}", message("accepted")),
    (("send", "--to", "a@example.com", "--json"), "POST /v1/messages", ACCEPTED),
    (("keys", "list", "--json"), "GET /v1/keys", {"mode": "live", "keys": [NEW_KEY]}),
    (("keys", "create", "app", "--json"), "POST /v1/keys", NEW_KEY | {"mode": "live", "key": "shown"}),
    (("captured", "--json"), "GET /v1/captured", {"mode": "live", "captured": [CAPTURED], "next": None}),
    (("captured", "show", "7", "--json"), "GET /v1/captured/7", CAPTURED | {"mode": "live"}),
]


@pytest.mark.parametrize("row", JSON_COMMANDS, ids=lambda row: " ".join(row[0]))
def test_json_is_the_servers_answer(
    postroom: Run, server: ScriptedServer, row: tuple[tuple[str, ...], str, Any]
) -> None:
    """With --json standard output is exactly the server's JSON value and nothing else."""
    args, call, answer = row
    server.script[call] = (200, answer)
    code, out, err = postroom(*args, url=server.url)
    assert (0, answer, "") == (code, json.loads(out), err)


def test_keys(postroom: Run, server: ScriptedServer) -> None:
    """A key is made with its limits and shown once; keys are listed whole and revoked by id."""
    server.script["POST /v1/keys"] = (201, NEW_KEY | {"mode": "live", "key": "the-new-key"})
    server.script["GET /v1/keys"] = (200, {"mode": "live", "keys": [NEW_KEY]})
    server.script["DELETE /v1/keys/a%2Fb"] = (204, b"")
    code, out, _ = postroom(
        *("keys", "create", "app", "--scope", "send", "--scope", "read"),
        *("--sender", "@example.com", "--network", "192.0.2.0/24"),
        url=server.url,
    )
    assert code == 0
    assert out.splitlines()[-1] == "the-new-key"
    assert server.asked[0].json == {
        "name": "app",
        "scopes": ["send", "read"],
        "senders": ["@example.com"],
        "networks": ["192.0.2.0/24"],
    }
    _, out, _ = postroom("keys", "list", url=server.url)
    assert out.splitlines()[1].split() == [
        "k1",
        "app",
        "read",
        "send",
        "@example.com",
        "any",
        "2030-01-31T08:00:00Z",
        "-",
    ]
    assert postroom("keys", "revoke", "a/b", url=server.url)[0] == 0


def test_captured(postroom: Run, server: ScriptedServer) -> None:
    """The inbox is listed in whole lines, one mail is shown, and its source comes byte for byte."""
    server.script["GET /v1/captured"] = (200, {"mode": "capture", "captured": [CAPTURED], "next": None})
    server.script["GET /v1/captured/7"] = (200, CAPTURED | {"mode": "capture"})
    server.script["GET /v1/captured/7/source"] = (200, b"Subject: x\r\n\r\nbody\r\n")
    _, out, _ = postroom("captured", "--limit", "3", url=server.url)
    assert server.asked[0].path == "/v1/captured?limit=3"
    assert out.splitlines()[1].split()[:4] == ["7", "2030-01-31T08:00:00Z", "b@example.com", "a@example.com"]
    assert "Hi \\u2028 there" in out
    _, out, _ = postroom("captured", "show", "7", url=server.url)
    assert "recipients: a@example.com" in out
    _, out, _ = postroom("captured", "show", "7", "--source", url=server.url)
    assert out == "Subject: x\r\n\r\nbody\r\n"
    _, out, _ = postroom("captured", "show", "7", "--part", "text", url=server.url)
    assert out == "body\n"
    code, _, err = postroom("captured", "show", "7", "--part", "html", url=server.url)
    assert (1, True) == (code, "mail 7 has no html part" in err)


# --------------------------------------------------------------------------- failures


def test_config_check(postroom: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good settings are shown without secrets; wrong ones are all listed with exit code 2."""
    monkeypatch.setenv("POSTROOM_TRANSPORT", f"smtps://app@example.com:{KEY}@mx.example.com")
    code, out, _ = postroom("config", "check")
    assert code == 0
    assert "smtps://app@example.com:*****@mx.example.com:465" in out
    code, out, _ = postroom("config", "check", "--json")
    assert json.loads(out)["transports"][0]["account"]["tls"] == "tls"
    monkeypatch.setenv("POSTROOM_TRANSPORT", f"smtps://app@example.com:{KEY}@mx.example.com:0")
    monkeypatch.setenv("POSTROOM_FORM", "x")
    code, _, err = postroom("config", "check")
    assert code == 2
    assert "POSTROOM_TRANSPORT: the port" in err
    assert "Did you mean POSTROOM_FROM?" in err
    code, _, err = postroom("config", "check", "--json")
    assert [entry["field"] for entry in json.loads(err)["problems"]] == [
        "POSTROOM_FORM",
        "POSTROOM_TRANSPORT",
    ]


def test_config_check_looks_at_templates(
    postroom: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Templates that do not compile and files that are not used are warnings, with their place."""
    (tmp_path / "bad.jinja").write_text("<p>\n{{ name</p>")
    (tmp_path / "good.jinja").write_text("<p>{{ name }}</p>")
    (tmp_path / "latin.html").write_bytes(b"caf\xe9")
    monkeypatch.setenv("POSTROOM_TEMPLATES", str(tmp_path))
    code, out, _ = postroom("config", "check")
    assert 0 == code
    assert "warning: template bad.jinja:" in out
    assert "warning: template latin.html: not UTF-8 at byte 3" in out
    assert "good.jinja" not in out
    warnings = json.loads(postroom("config", "check", "--json")[1])["warnings"]
    assert 2 == len([warning for warning in warnings if warning.startswith("template ")])


def test_transport_url(postroom: Run, tmp_path: Path) -> None:
    """The printed URL has the secret encoded, from a file or from standard input."""
    (tmp_path / "pw").write_text("a/b?c#d%\n")
    host = ("transport-url", "--host", "mx.example.com", "--user", "app@example.com")
    assert postroom(*host, "--password-file", "pw")[:2] == (
        0,
        "smtps://app%40example.com:a%2Fb%3Fc%23d%25@mx.example.com:465\n",
    )
    args = ("--password-file", "-", "--encryption", "starttls")
    assert postroom(*host, *args, stdin="x y\n")[:2] == (
        0,
        "smtp://app%40example.com:x%20y@mx.example.com:587?starttls=always\n",
    )
    assert postroom("transport-url", "--host", "::1", "--port", "25", "--encryption", "none")[:2] == (
        0,
        "smtp://[::1]:25?starttls=never\n",
    )
    code, _, err = postroom("transport-url", "--host", "no host")
    assert code == 2
    assert "not a host name" in err


class Wiring:
    """Stands where the program itself is wired; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    def run_server(self, settings: Settings, announce: Callable[[Started], None]) -> int:
        self.asked.append(("run", settings.listeners[0].url))
        announce(
            Started(
                urls=("http://127.0.0.1:8587",),
                data=settings.data,
                mode="capture",
                durability="fsync",
                targets=("capture: capture",),
                first_key="the-first-key",
                warnings=("beware",),
            )
        )
        return 7

    def send_direct(
        self, settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], *, wait_s: float
    ) -> Mapping[str, Any]:
        if self.error is not None:
            raise self.error
        self.asked.append(("send", settings.capture, message["to"], dict(files), wait_s))
        return CAPTURED_MESSAGE

    def backup_offline(self, settings: Settings, target: Path) -> None:
        self.asked.append(("backup", settings.data, target))


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch) -> Wiring:
    stand_in = Wiring()
    for room, verb in ((serve, "run_server"), (direct, "send_direct"), (direct, "backup_offline")):
        monkeypatch.setattr(room, verb, getattr(stand_in, verb))
    return stand_in


def test_serve(postroom: Run, wiring: Wiring, tmp_path: Path) -> None:
    """The settings reach the server, the person is told where everything is, its exit code is ours."""
    code, out, _ = postroom("serve", "--http", "127.0.0.1:1", "--capture")
    assert (7, [("run", "http://127.0.0.1:1")]) == (code, wiring.asked)
    for words in (
        str(tmp_path / "postroom-data"),
        "CAPTURE MODE",
        "the-first-key",
        "beware",
        "http://127.0.0.1:8587",
    ):
        assert words in out


def test_send_direct(postroom: Run, wiring: Wiring, tmp_path: Path) -> None:
    """Without a server the same message and files go to the program itself; its refusals look the same."""
    (tmp_path / "a.txt").write_text("x")
    code, out, _ = postroom("send", "--direct", "--to", "a@example.com", "--attach", "a.txt")
    assert (0, [("send", False, ["a@example.com"], {"file0": Path("a.txt")}, 30)]) == (code, wiring.asked)
    assert "a@example.com captured" in out
    wiring.error = InputError(
        [Problem(code="address-syntax", field="to.0", cause="no domain", fix="Write it.")]
    )
    code, _, err = postroom("send", "--direct", "--to", "a")
    assert code == 2
    assert "to.0: no domain" in err
    wiring.error = StoreError("the store is locked by another process")
    code, _, err = postroom("send", "--direct", "--to", "a")
    assert code == 1
    assert "locked by another process" in err


def test_backup(postroom: Run, server: ScriptedServer, wiring: Wiring, tmp_path: Path) -> None:
    """The running server makes the copy; without one the store is copied directly; a refusal stands."""
    server.script["POST /v1/backup"] = (200, {"mode": "live", "path": "x"})
    assert postroom("backup", "copy.db", url=server.url)[0] == 0
    assert server.asked[0].json == {"path": str(tmp_path / "copy.db")}
    server.script["POST /v1/backup"] = (403, problem(403, "scope", "the key may not"))
    assert postroom("backup", "copy.db", url=server.url)[0] == 4
    assert wiring.asked == []
    with ScriptedServer() as gone:
        url = gone.url
    assert postroom("backup", "copy.db", url=url)[0] == 1
    (tmp_path / "postroom-data").mkdir()
    assert postroom("backup", "copy.db", url=url)[0] == 0
    assert wiring.asked == [("backup", tmp_path / "postroom-data", tmp_path / "copy.db")]


def test_a_tls_door_is_known_by_its_certificate(postroom: Run, tmp_path: Path) -> None:
    """The certificate that cli.key names is trusted whatever its name, and no other is."""
    authority, stranger = trustme.CA(), trustme.CA()
    (tmp_path / "postroom-data").mkdir()
    issued = authority.issue_cert("gw.example.com")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    with ScriptedServer(tls=context, script={"GET /v1/status": (200, STATUS)}) as server:
        for name, code in (("cert.pem", 0), ("stranger.pem", 3)):
            known = CliKey(url=server.url, key=Secret(KEY), certificate=str(tmp_path / name))
            write_cli_key(tmp_path / "postroom-data", known)
            assert code == postroom("status")[0]


@pytest.mark.slow
def test_help_is_light() -> None:
    """Help loads neither the models nor HTTP nor the server: that is what makes it answer at once."""
    code = "import sys; from postroom.cli.app import run; run(['send', '--help']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(out.splitlines()[-1].split())
    assert "typer" in loaded
    assert (
        loaded & {"httpx2", "rich", "fastapi", "apsw", "postroom.config.load", "postroom.bootstrap"} == set()
    )


def test_version(postroom: Run) -> None:
    """The version is that of the installed distribution."""
    code, out, _ = postroom("version")
    assert code == 0
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+\n", out)
