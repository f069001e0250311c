"""Every other door: health, status, keys, the inbox, pages and the document; and the gate before them."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from ingress.asgi_client import call
from peers.fake_service import KEY, SOURCE, FakeService
from postroom.ingress.http import markup
from postroom.ingress.http.app import build_app
from postroom.ingress.http.codes import ANSWERS, FIELDS
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.settings import HttpSettings
from postroom.schema import answers, status_answers
from postroom.web.gate import Gate, Operation
from postroom.web.keyless import KeylessRule, parse_networks

ROOT = Path(__file__).resolve().parents[2]
MAIL = {"to": "kim@example.com"}
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SHORT_FORMS = {"variable": 0, "add": 0, "_forbidden": 0, "_refuse": 1, "_error": 1, "_later": 1}
"""Functions that make a problem, and which argument is its code."""
RENDERING = (
    "renderer/worker.py",
    "template/jinja/wrong.py",
    "template/jinja/variables.py",
    "spool/templates.py",
)
"""What a mail from a template can be refused for. Codes of sources stand in docs/templates.md."""


def room(settings: HttpSettings | None = None, **options: Any) -> tuple[FakeService, Gate]:
    service = FakeService(**options)
    return service, build_app(service, settings or HttpSettings())


# --------------------------------------------------------------------------- the gate


def test_every_operation_asks_for_its_scope() -> None:
    """Without a key each operation but the health checks is 401, with a key without scopes 403."""
    service, app = room()
    service.add_key("key-without-any-scope-here")
    for operation in app.operations:
        path = operation.path.replace("{id}", "x").replace("{number}", "1")
        remote = call(app, operation.method, path, key=None, peer="203.0.113.9")
        if path in ("/healthz", "/readyz"):
            assert 200 == remote.status, path
            continue
        assert (401, "key-missing") == (remote.status, remote.json()["code"]), path
        powerless = call(app, operation.method, path, key="key-without-any-scope-here")
        assert (403, "scope-missing") == (powerless.status, powerless.json()["code"]), path
        assert operation.needs is not None
        assert operation.needs in powerless.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": "999999999"}, 413),
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"authorization": "Bearer wrong"}, 401),
    ],
)
def test_the_head_is_judged_before_the_body(headers: dict[str, str], status: int) -> None:
    """A wrong head is answered while no byte of the body was asked for."""
    _, app = room()
    answer = call(
        app,
        "POST",
        "/v1/messages",
        body=[b"{}"] * 5,
        headers={"content-type": "application/json", **headers},
    )
    assert (status, 5) == (answer.status, answer.chunks_left)


def test_unknown_paths_and_methods() -> None:
    """Nothing there is 404, another method is 405 naming those there are; HEAD is GET."""
    _, app = room()
    for path in ("/v2", "/v1/messages/", "/v1/messages/a/b", "/proxy", "/debug/vars", "//"):
        assert (404, "no-such-path") == (call(app, "GET", path).status, call(app, "GET", path).json()["code"])
    wrong = call(app, "PUT", "/v1/messages")
    assert (405, "GET, POST") == (wrong.status, wrong.headers["allow"])
    assert 200 == call(app, "HEAD", "/v1/messages").status
    assert "access-control-allow-origin" not in call(app, "OPTIONS", "/v1/messages").headers


def test_a_page_of_another_site_cannot_use_a_keyless_door() -> None:
    """A door that needs no key takes a program on this machine and refuses a browser's cross-site POST."""

    async def send(_request: object) -> JsonReply:
        return JsonReply({"sent": True})

    door = Operation(
        method="POST",
        path="/send",
        endpoint=send,
        needs="send",
        summary="Send",
        keyless=KeylessRule(is_open=True),
    )
    app = build_app(FakeService(), HttpSettings(), more=[door])
    assert 200 == call(app, "POST", "/send", key=None).status
    for headers in (
        {"origin": "https://evil.example.net", "sec-fetch-site": "cross-site"},
        {"origin": "null"},
        {"sec-fetch-site": "same-site"},
        {"host": "rebound.example.net"},
        {"x-forwarded-for": "203.0.113.9"},
    ):
        assert 401 == call(app, "POST", "/send", key=None, headers=headers).status, headers
    assert 401 == call(app, "POST", "/send", key=None, peer="203.0.113.9").status


# --------------------------------------------------------------------------- operator


def test_health() -> None:
    """Alive is always said; ready with mode and durability, else 503 with the reasons."""
    service, app = room(mode="capture")
    assert {"status": "alive"} == call(app, "GET", "/healthz", key=None).json()
    ready = call(app, "GET", "/readyz", key=None)
    status_answers.ReadyAnswer.model_validate(ready.json())
    assert (200, "capture", "fsync before every answer") == (
        ready.status,
        ready.json()["mode"],
        ready.json()["durability"],
    )
    service.is_ready = False
    stopping = call(app, "GET", "/readyz", key=None)
    assert (503, ["<the server> is stopping"]) == (stopping.status, stopping.json()["problems"])
    assert "retry-after" in stopping.headers


def test_status() -> None:
    """The status shows every state's count and the transports."""
    _, app = room()
    shown = call(app, "GET", "/v1/status").json()
    status_answers.StatusAnswer.model_validate(shown)
    assert (3, 0) == (shown["counts"]["queued"], shown["counts"]["refused"])


def test_keys_are_made_shown_and_revoked() -> None:
    """A new key's secret is shown once and works; lists never show it; a revoked one is dead."""
    _, app = room()
    made = call(app, "POST", "/v1/keys", value={"name": "app", "scopes": ["send"], "networks": ["::1/128"]})
    answers.NewKeyAnswer.model_validate(made.json())
    assert 201 == made.status
    secret = made.json()["key"]
    assert 202 == call(app, "POST", "/v1/messages", value=MAIL, key=secret, peer="::1").status
    listed = call(app, "GET", "/v1/keys")
    answers.KeyListAnswer.model_validate(listed.json())
    assert secret not in listed.body.decode()
    assert 204 == call(app, "DELETE", f"/v1/keys/{made.json()['id']}").status
    assert 401 == call(app, "POST", "/v1/messages", value=MAIL, key=secret, peer="::1").status
    assert 404 == call(app, "DELETE", "/v1/keys/none").status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a", "scopes": ["all"]}, "scopes.0"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "", "scopes": ["send"]}, "name"),
        ({"name": "a", "scopes": ["send"], "networks": ["10.0.0.0/40"]}, "networks"),
        ({"name": "a", "scopes": ["send"], "sender": []}, "sender"),
        ({"scopes": ["send"]}, "name"),
    ],
)
def test_wrong_keys_are_refused_by_field(body: dict[str, object], field: str) -> None:
    """A key that could not work is refused by its wrong field."""
    _, app = room()
    answer = call(app, "POST", "/v1/keys", value=body)
    assert (422, field) == (answer.status, answer.problems()[0][1])


def test_backup_goes_to_an_absolute_new_path(tmp_path: Path) -> None:
    """A path in a directory that exists is taken; relative ones and unknown directories are refused."""
    service, app = room()
    target = tmp_path / "copy.db"
    assert 201 == call(app, "POST", "/v1/backup", value={"path": str(target)}).status
    assert [target] == service.backups
    for path in ("copy.db", "../copy.db", str(tmp_path / "none" / "copy.db"), "", f"{target}\0"):
        assert 422 == call(app, "POST", "/v1/backup", value={"path": path}).status


# --------------------------------------------------------------------------- inbox


def test_inbox_pages_and_source() -> None:
    """Captured mails are listed with a cursor; the source is a download no browser renders."""
    _, app = room(mode="capture")
    listed = call(app, "GET", "/v1/captured", query="limit=2")
    answers.CapturedListAnswer.model_validate(listed.json())
    assert ([3, 2], 2) == ([mail["number"] for mail in listed.json()["captured"]], listed.json()["next"])
    answers.CapturedOneAnswer.model_validate(call(app, "GET", "/v1/captured/2").json())
    source = call(app, "GET", "/v1/captured/2/source", headers={"range": "bytes=" + "0-," * 5000})
    assert (200, SOURCE) == (source.status, source.body)
    assert "message/rfc822" == source.headers["content-type"]
    assert source.headers["content-disposition"].startswith("attachment;")
    assert "nosniff" == source.headers["x-content-type-options"]
    for number in ("9", "x", "-1", "1e3", "9" * 30):
        assert 404 == call(app, "GET", f"/v1/captured/{number}").status
    for query in ("limit=0", "limit=201", "before=x", "page=1"):
        assert 422 == call(app, "GET", "/v1/captured", query=query).status


# --------------------------------------------------------------------------- pages


def test_start_page_shows_the_way_and_nothing_foreign() -> None:
    """The page needs no key here, names the real address and keys, loads nothing and runs nothing."""
    service, app = room(mode="capture")
    service.is_ready = False
    page = call(app, "GET", "/", key=None, headers={"host": "127.0.0.1:9999", "sec-fetch-site": "none"})
    text = page.body.decode()
    assert 200 == page.status
    assert "curl http://127.0.0.1:9999/v1/messages" in text
    assert "Nothing leaves this machine" in text
    assert "<code>all</code>" in text
    assert KEY not in text
    assert "&lt;the server&gt; is stopping" in text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.findall(r"<script|src=|@import|url\(|\bon\w+=", text)
    live = call(room()[1], "GET", "/", key=None).body.decode()
    assert "Nothing leaves" not in live


def test_pages_need_a_key_from_elsewhere() -> None:
    """From another machine, under another name, or behind a proxy, pages and document need a key."""
    _, app = room()
    proxied = room(HttpSettings(public_url="https://mail.example.com"))[1]
    for path in ("/", "/docs", "/openapi.json"):
        assert 401 == call(app, "GET", path, key=None, peer="203.0.113.9").status
        assert 401 == call(app, "GET", path, key=None, headers={"host": "evil.example.net"}).status
        assert 401 == call(proxied, "GET", path, key=None).status
        assert 200 == call(app, "GET", path, peer="203.0.113.9").status
    assert b"https://mail.example.com/v1/messages" in call(proxied, "GET", "/").body


def test_a_trusted_proxy_does_not_lend_its_address() -> None:
    """Behind a trusted proxy on this machine a foreign caller needs a key."""
    _, app = room(HttpSettings(trusted_proxies=parse_networks(["127.0.0.1"])))
    answer = call(app, "GET", "/", key=None, headers={"x-forwarded-for": "203.0.113.9"})
    assert 401 == answer.status


def test_document_describes_every_operation() -> None:
    """The OpenAPI 3.1 document has every path and method, its scope, body and answers; /docs shows them."""
    _, app = room()
    document = call(app, "GET", "/openapi.json", key=None).json()
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {(one.method, one.path) for one in app.operations} == described
    submit = document["paths"]["/v1/messages"]["post"]
    assert [{"key": ["send"]}] == submit["security"]
    assert {"application/json", "multipart/form-data"} == set(submit["requestBody"]["content"])
    assert {"default", "200", "202"} == set(submit["responses"])
    references = set(
        re.findall(r'"#/components/schemas/(\w+)"', call(app, "GET", "/openapi.json").body.decode())
    )
    assert references <= set(document["components"]["schemas"])
    assert {"SubmissionBody", "AttachmentBody", "ProblemAnswer"} <= references
    docs = call(app, "GET", "/docs", key=None).body.decode()
    for path in document["paths"]:
        assert path in docs


def codes_of(path: Path) -> set[str]:
    """Codes of problems in one source file: ``code=`` arguments, and the first text of the short forms."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        places: list[ast.AST] = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        if name in SHORT_FORMS:
            places.append(node.args[SHORT_FORMS[name]])
        texts = [each.value for place in places for each in ast.walk(place) if isinstance(each, ast.Constant)]
        found |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return found


def test_every_code_is_documented() -> None:
    """The table of codes has exactly those the doors can answer; ``docs/errors.md`` and /docs repeat it."""
    rooms = [ROOT / "src/postroom" / room for room in ("web", "schema", "ingress/http", "engine")]
    sources = [
        path
        for room in rooms
        for path in room.rglob("*.py")
        if path.name not in ("nexus.py", "nexus_account.py", "listening.py", "keyring.py", "transport_url.py")
    ]
    sources += [ROOT / "src/postroom" / name for name in RENDERING]
    known = set().union(*map(codes_of, sources)) | {"secret-key-missing", "secret-key-wrong"}
    # listening.py and keyring.py speak to the operator, nexus.py in its own dialect; the codes of
    # transport_url.py stand with its forms in docs/transports.md. The two are causes of SecretKeyError.
    assert known == ANSWERS.keys() | FIELDS.keys()
    page = (ROOT / "docs/errors.md").read_text()
    shown = call(room()[1], "GET", "/docs").body.decode()
    for code, meaning in {**ANSWERS, **FIELDS}.items():
        assert f"| `{code}` | {meaning} |" in page
        assert f'id="{code}"' in shown
        assert markup.prose(meaning) in shown
    assert len(ANSWERS) + len(FIELDS) == len(re.findall(r"^\| `", page, re.MULTILINE))
