"""How the commands find their server, and what becomes of a refusal or a server that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_answers import KEY, STATUS, Run
from cli.scripted_server import ScriptedServer, problem
from postroom.config.cli_key import CliKey, write_cli_key
from postroom.model.secret import Secret

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


def test_a_key_that_may_not(postroom: Run, server: ScriptedServer) -> None:
    """A key from the environment that lacks a scope: another one lies in the data directory."""
    field = {"code": "scope-missing", "field": "authorization", "cause": "no admin", "fix": "Use another."}
    server.script["GET /v1/status"] = (403, problem(403, "scope-missing", "no admin", (field,)))
    assert "Without POSTROOM_API_KEY the key in" in postroom("status", url=server.url)[2]


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
