"""The commands against a scripted server: what they ask, what they show, how they exit."""

import io
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from cli.scripted_server import ScriptedServer, problem
from postroom.bootstrap import direct, serve
from postroom.bootstrap.serve import Started
from postroom.cli.app import run
from postroom.config.cli_key import CliKey, write_cli_key
from postroom.config.settings import Settings
from postroom.errors import InputError, Problem, StoreError
from postroom.model.secret import Secret
from postroom.schema import answers, status_answers

KEY = "test-key-s3cret-0123456789"
ID = "20300131080000.22aaaaaaaaaaaaaaaaaaaa"
Run = Callable[..., tuple[int, str, str]]


def message(state: str, **changes: Any) -> dict[str, Any]:
    attempt = {
        "at": "2030-01-31T08:00:01Z",
        "transport": "main",
        "step": "rcpt",
        "code": 550,
        "enhanced": "5.1.1",
        "text": "5.1.1 no such user\x1b[2J",
        "outcome": state,
        "duration_ms": 12,
    }
    recipient = {
        "address": "a@example.com",
        "state": state,
        "cause": "mailbox-unknown",
        "meaning": "There is no such mailbox.",
        "remedy": "Check the address.",
        "attempts": [attempt],
    }
    value = {
        "id": ID,
        "mode": "live",
        "state": state,
        "open": state in {"queued", "sending", "deferred", "held", "uncertain"},
        "class": "transactional",
        "counts": {state: 1},
        "transport": "main",
        "route": "main",
        "created_at": "2030-01-31T08:00:00Z",
        "next_attempt_at": None,
        "expires_at": "2030-02-03T08:00:00Z",
        "from": "b@example.com",
        "subject": "Hi",
        "tags": [],
        "metadata": {},
        "recipients": [recipient],
        **changes,
    }
    answers.MessageAnswer.model_validate(value)
    return value


CAPTURED_MESSAGE = message("captured", mode="capture")
STATUS: dict[str, Any] = {
    "status": "degraded",
    "mode": "live",
    "ready": True,
    "version": "1.2.3",
    "started_at": "2030-01-31T07:00:00Z",
    "uptime_s": 4000,
    "problems": [],
    "next": [{"text": "2 recipients are held", "command": "postroom release --state held"}],
    "durability": "fsync",
    "counts": {"queued": 2, "accepted": 5},
    "oldest_open_at": "2030-01-31T08:00:00Z",
    "oldest_due_at": {"code": "2030-01-31T08:00:30Z"},
    "uncertain": {"recipients": 3, "oldest_accepted_at": "2030-01-30T08:00:00Z"},
    "store": {
        "disk_free": 5 << 30,
        "disk_reserve": 1 << 30,
        "intake_stopped": False,
        "wal": 4096,
        "waiting_operations": 0,
    },
    "transports": [
        {
            "name": "main",
            "target": "smtps://app@example.com:*****@mx.example.com:465",
            "default": True,
            "state": "down",
            "level": 2,
            "pauses": [
                {
                    "kind": "login",
                    "open": True,
                    "over": False,
                    "since": "2030-01-31T08:00:00Z",
                    "until": "2030-01-31T08:15:00Z",
                    "cause": "login-refused",
                    "meaning": "The server refused the login.",
                    "remedy": "Use an application password.",
                    "evidence": "535 5.7.8 no",
                    "step": "auth",
                    "host": "mx.example.com",
                    "author": "",
                    "failures": 1,
                }
            ],
            "pace": [],
            "quota_ends_at": None,
        }
    ],
}
NEW_KEY = {
    "id": "k1",
    "name": "app",
    "scopes": ["read", "send"],
    "senders": ["@example.com"],
    "networks": [],
    "created_at": "2030-01-31T08:00:00Z",
    "revoked_at": None,
}
CAPTURED = {
    "number": 7,
    "message_id": ID,
    "captured_at": "2030-01-31T08:00:00Z",
    "from": "b@example.com",
    "reverse_path": "b@example.com",
    "recipients": ["a@example.com"],
    "subject": "Hi \u2028 there",
    "size": 321,
    "source": "/v1/captured/7/source",
}
ACCEPTED = {"id": ID, "mode": "live", "state": "queued"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def postroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a runner of commands in an empty directory; it proves that no key is ever shown."""
    monkeypatch.chdir(tmp_path)
    for name in ("POSTROOM_URL", "POSTROOM_API_KEY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def runner(
        *args: str, url: str | None = None, key: str | None = KEY, stdin: str = ""
    ) -> tuple[int, str, str]:
        if url is not None:
            monkeypatch.setenv("POSTROOM_URL", url)
        if url is not None and key is not None:
            monkeypatch.setenv("POSTROOM_API_KEY", key)
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run(args)
        out, err = capfd.readouterr()
        assert KEY not in out + err
        return code, out, err

    return runner


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


# --------------------------------------------------------------------------- failures


FIELD = {"code": "address-syntax", "field": "to.0", "cause": "no domain", "fix": "Write name@example.com."}
REFUSALS = [
    (400, 2),
    (401, 4),
    (403, 4),
    (404, 1),
    (409, 1),
    (413, 2),
    (415, 2),
    (422, 2),
    (429, 3),
    (500, 1),
    (503, 3),
    (507, 3),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_refusals(postroom: Run, server: ScriptedServer, status: int, code: int) -> None:
    """A problem document is shown as field, cause and fix, and its status chooses the exit code."""
    server.script["POST /v1/messages"] = (status, problem(status, "some-code", "not like this", (FIELD,)))
    found, out, err = postroom("send", "--to", "a", "--message", "x", url=server.url)
    assert (code, "") == (found, out)
    for words in ("not like this", "to.0: no domain", "Write name@example.com."):
        assert words in err
    found, out, err = postroom("send", "--to", "a", "--message", "x", "--json", url=server.url)
    assert (code, "") == (found, out)
    assert {"error": "not like this", "exit": code, "problems": [FIELD]}.items() <= json.loads(err).items()


def test_try_again_later(postroom: Run, server: ScriptedServer) -> None:
    """Retry-After becomes words."""
    server.headers["Retry-After"] = "7"
    server.script["GET /v1/status"] = (503, problem(503, "overload", "the queue is full"))
    assert "Try again in 7 s." in postroom("status", url=server.url)[2]


def test_no_server(postroom: Run, tmp_path: Path) -> None:
    """Without a server: which URL was tried, and the command that starts one."""
    with ScriptedServer() as gone:
        url = gone.url
    code, out, err = postroom("status", url=url)
    assert (3, "") == (code, out)
    assert f"no server answers at {url}" in err
    assert f"postroom serve --data {tmp_path / 'postroom-data'}" in err


def test_a_lost_answer(postroom: Run, server: ScriptedServer) -> None:
    """A mail whose answer is lost may be stored: the way to ask again without a second copy is told."""
    server.script["POST /v1/messages"] = None
    code, _, err = postroom("send", "--to", "a@example.com", "--message", "x", url=server.url)
    assert code == 5
    key = server.asked[0].json["idempotency_key"]
    assert len(key) == 32
    assert f"--idempotency-key {key}" in err


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, []), (502, b"bad gateway"), (404, b"nothing")])
def test_something_else_answers(postroom: Run, server: ScriptedServer, answer: tuple[int, Any]) -> None:
    """A web server that is not Postroom is told apart."""
    server.script["GET /v1/status"] = answer
    code, _, err = postroom("status", url=server.url)
    assert code == 3
    assert server.url in err


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8587", "http://[::1"])
def test_a_url_that_cannot_be_used(postroom: Run, url: str) -> None:
    """A wrong POSTROOM_URL is a mistake of usage with the right form."""
    code, _, err = postroom("status", url=url)
    assert code == 2
    assert "http://HOST:PORT" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("send", "--to", "a@example.com", "--attach", "none.pdf"), "none.pdf"),
        (("send", "--to", "a@example.com", "--text", "Hello"), "--message"),
        (("send", "--to", "a@example.com", "--text", "-", "--html", "-"), "standard input"),
        (("send", "--to", "a@example.com", "--text", "-", "--message", "x"), "twice"),
        (("send", "--to", "a@example.com", "--header", "nothing"), "NAME: VALUE"),
        (("send", "--to", "a@example.com", "--wait", "31"), "--wait"),
        (("sned",), "send"),
        (("captured", "show", "x"), "'N'"),
        (("transport-url", "--host", "mx.example.com", "--encryption", "ssl"), "--encryption"),
        (("config", "check", "--config", "none.toml"), "none.toml"),
        (("serve", "--http", "nowhere"), "--http"),
    ],
)
def test_wrong_usage(postroom: Run, args: tuple[str, ...], words: str) -> None:
    """What is wrong with a command is told before anything is asked of a server, with exit code 2."""
    code, out, err = postroom(*args)
    assert (2, "") == (code, out)
    assert words in err


# --------------------------------------------------------------------------- finding the server


def test_the_server_is_found_by_its_data_directory(
    postroom: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    """cli.key in the data directory names URL and key; --data and the settings say where that is."""
    server.script["GET /v1/status"] = (200, STATUS)
    for name in ("postroom-data", "other", "third"):
        (tmp_path / name).mkdir()
        write_cli_key(tmp_path / name, CliKey(url=server.url, key=Secret(f"{name}-{KEY}")))
    (tmp_path / "set.toml").write_text('data = "third"\n')
    for args in ((), ("--data", "other"), ("--config", "set.toml")):
        assert postroom("status", *args)[0] == 0
    used = [
        asked.headers["Authorization"].removeprefix("Bearer ").removesuffix(f"-{KEY}")
        for asked in server.asked
    ]
    assert used == ["postroom-data", "other", "third"]


@pytest.mark.parametrize("key", ["s3cret-\u00e4", "s3cret key", "s3cret\nkey"])
def test_a_key_that_cannot_be_one(postroom: Run, server: ScriptedServer, key: str) -> None:
    """A key that no header can carry is told before anything is asked, and not repeated."""
    code, _, err = postroom("status", url=server.url, key=key)
    assert (2, []) == (code, server.asked)
    assert "POSTROOM_API_KEY" in err
    assert "s3cret" not in err


def test_a_key_goes_only_to_its_own_server(postroom: Run, server: ScriptedServer, tmp_path: Path) -> None:
    """The key of cli.key is not sent to another POSTROOM_URL; a variable's key goes to cli.key's server."""
    server.script["GET /v1/status"] = (200, STATUS)
    (tmp_path / "postroom-data").mkdir()
    write_cli_key(tmp_path / "postroom-data", CliKey(url="http://127.0.0.1:1", key=Secret(KEY)))
    postroom("status", url=server.url, key=None)
    assert "Authorization" not in server.asked[0].headers
    write_cli_key(tmp_path / "postroom-data", CliKey(url=server.url, key=Secret("other")))
    postroom("status", url=f"{server.url}/", key=KEY)
    assert server.asked[1].headers["Authorization"] == f"Bearer {KEY}"


def test_the_variables_may_stand_in_env(postroom: Run, server: ScriptedServer, tmp_path: Path) -> None:
    """POSTROOM_URL is read from .env, and the key from a file."""
    server.script["GET /v1/status"] = (200, STATUS)
    (tmp_path / ".env").write_text(f"POSTROOM_URL={server.url}\nPOSTROOM_API_KEY_FILE=key\n")
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert postroom("status")[0] == 0
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"


# --------------------------------------------------------------------------- without a server


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
    wiring.error = InputError([Problem(**FIELD)])
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
