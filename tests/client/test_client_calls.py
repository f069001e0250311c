"""The Python client: what it sends, what it makes of answers, and that repeating never doubles."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import httpx2
import pytest

from peers.postroom_process import KEY, PostroomProcess
from postroom_client import (
    AsyncPostroomClient,
    Attachment,
    ConflictError,
    InvalidError,
    Message,
    NotConfiguredError,
    NotFoundError,
    PostroomClient,
    PostroomError,
    RefusedKeyError,
    ServerError,
    UnavailableError,
    UnreachableError,
    client,
    exchange,
)

STORED = {"id": "20261121041009.225azdNMK66MuCV6GXi5xQ", "mode": "live", "state": "queued"}
URL = "http://postroom.example"
Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(client, "POLL_S", 0.0)
    monkeypatch.delenv("POSTROOM_URL", raising=False)
    monkeypatch.delenv("POSTROOM_API_KEY", raising=False)


def asked(answer: Answer) -> tuple[PostroomClient, list[httpx2.Request]]:
    seen: list[httpx2.Request] = []

    def record(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return answer(request)

    return PostroomClient(URL, "k" * 20, transport=httpx2.MockTransport(record)), seen


def test_a_mail_becomes_the_body_of_the_api() -> None:
    """Every argument has its place in the JSON; files are base64, instants have an offset."""
    postroom, seen = asked(lambda _: httpx2.Response(202, json=STORED))
    with postroom:
        message = postroom.send(
            from_="App <app@example.com>",
            to=["a@example.com", "B <b@example.com>"],
            subject="Hi",
            html="<p>x</p>",
            attachments=[Attachment(filename="a.bin", content=b"\x00\xff")],
            headers=[("X-One", "1")],
            mail_class="code",
            expires_at=datetime(2030, 1, 2, tzinfo=UTC),
            wait=4.2,
        )
    (request,) = seen
    expected = {
        "from": "App <app@example.com>",
        "to": ["a@example.com", "B <b@example.com>"],
        "subject": "Hi",
        "html": "<p>x</p>",
        "attachments": [{"filename": "a.bin", "content": "AP8="}],
        "headers": [["X-One", "1"]],
        "class": "code",
    }
    body = json.loads(request.content)
    assert datetime(2030, 1, 2, tzinfo=UTC) == datetime.fromisoformat(body.pop("expires_at"))
    assert expected == body
    assert ("POST", f"{URL}/v1/messages") == (request.method, str(request.url))
    assert ("wait=5", f"Bearer {'k' * 20}") == (request.headers["prefer"], request.headers["authorization"])
    assert (STORED["id"], "queued", True) == (message.id, message.state, message.is_open)


def test_a_template_and_its_variables_go_as_they_are() -> None:
    """A mail from a template, a batch with defaults, a preview and a test are what the API reads."""
    shown = {
        "template": {"name": "welcome", "version": "3", "locale": "fr"},
        **{name: name for name in ("subject", "preheader", "html", "text")},
        "size": 900,
    }
    line = {
        "template": "welcome",
        "version": "3",
        "origin": "store",
        "locales": ["en", "fr"],
        "subject": "Hi",
    }
    refused = {"status": 422, "detail": "no", "code": "variable-missing", "errors": []}
    answers: dict[str, object] = {
        "/v1/messages/batch": {
            "mode": "live",
            "messages": [{"status": 202, "id": "1", "state": "queued"}, {"status": 422, "problem": refused}],
        },
        "/v1/templates": {"templates": [{**line, "variables": {"type": "object"}}]},
        "/v1/templates/preview": shown,
    }
    postroom, seen = asked(lambda request: httpx2.Response(200, json=answers.get(request.url.path, STORED)))
    postroom.send(to="a@example.com", template="welcome", variables={"name": "Ann"}, locale="fr")
    sent, wrong = postroom.send_batch(
        [{"to": "a@example.com"}, {"to": "b@example.com"}],
        defaults={"template": "welcome", "variables": {"name": "Ann"}},
        idempotency_key="batch-1",
    )
    preview = postroom.preview(template="welcome", examples=True)
    (template,) = postroom.templates()
    postroom.send_test("a@example.com", template="welcome", examples=True, wait=1)
    bodies = [json.loads(request.content) for request in seen if request.content]
    assert {
        "to": "a@example.com",
        "template": "welcome",
        "variables": {"name": "Ann"},
        "locale": "fr",
    } == bodies[0]
    assert {
        "messages": [{"to": "a@example.com"}, {"to": "b@example.com"}],
        "defaults": {"template": "welcome", "variables": {"name": "Ann"}},
    } == bodies[1]
    assert "batch-1" == seen[1].headers["idempotency-key"]
    assert isinstance(sent, Message)
    assert isinstance(wrong, InvalidError)
    assert ("1", "variable-missing") == (sent.id, wrong.code)
    assert {"template": "welcome", "examples": True} == bodies[2]
    assert ("subject", "3", "fr", 900) == (preview.subject, preview.version, preview.locale, preview.size)
    assert ("welcome", "store", ("en", "fr")) == (template.name, template.origin, template.locales)
    assert {"template": "welcome", "examples": True, "to": "a@example.com"} == bodies[3]
    postroom.close()


def test_every_call_has_its_own_key_unless_one_is_given() -> None:
    """Two calls are two mails; a key that is given goes as it is."""
    postroom, seen = asked(lambda _: httpx2.Response(202, json=STORED))
    postroom.send(to="a@example.com")
    postroom.send(to="a@example.com")
    postroom.send(to="a@example.com", idempotency_key="order-7")
    first, second, third = (request.headers["idempotency-key"] for request in seen)
    assert first != second
    assert third == "order-7"
    postroom.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (401, RefusedKeyError),
        (403, RefusedKeyError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidError),
        (422, InvalidError),
        (429, UnavailableError),
        (500, ServerError),
        (503, UnavailableError),
        (507, UnavailableError),
    ],
)
def test_a_refusal_is_an_error_with_the_words_of_the_server(status: int, kind: type[PostroomError]) -> None:
    """Cause, fix, code and every wrong field of the problem document are on the error."""
    wrong = {"code": "address-syntax", "field": "to.0", "cause": "no @ in it", "fix": "Add the domain."}
    document = {"status": status, "detail": "to.0: no @ in it", "code": "address-syntax", "errors": [wrong]}
    postroom, _ = asked(lambda _: httpx2.Response(status, json=document, headers={"retry-after": "77"}))
    with postroom, pytest.raises(kind) as raised:
        postroom.send(to="nobody")
    error = raised.value
    assert ("no @ in it", "Add the domain.", "address-syntax") == (error.cause, error.fix, error.code)
    assert (status, 77.0, "to.0") == (error.status, error.retry_after, error.problems[0].field)
    assert "to.0: no @ in it. Add the domain." == str(error)


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b"{}", b'{"id": 1}', b"\xff", b'{"errors": 5}', b'{"errors": null}']
)
def test_an_answer_of_something_else_is_an_error(content: bytes) -> None:
    """A 200 that is no message, as of a proxy's page, never looks like success."""
    postroom, _ = asked(lambda _: httpx2.Response(200, content=content))
    with postroom, pytest.raises(ServerError):
        postroom.send(to="a@example.com")


def test_who_asks_for_later_is_asked_again_with_the_same_key() -> None:
    """A 503 is repeated; all repetitions of a call have one key."""
    answers = iter([503, 503, 202])
    postroom, seen = asked(lambda _: httpx2.Response(next(answers), json=STORED))
    assert postroom.send(to="a@example.com").id == STORED["id"]
    assert (3, 1) == (len(seen), len({request.headers["idempotency-key"] for request in seen}))
    postroom.close()


def test_repeating_ends() -> None:
    """After the repetitions the last error is raised; a wish beyond ten seconds is not waited for."""
    postroom, seen = asked(lambda _: httpx2.Response(503, json={}))
    with pytest.raises(UnavailableError):
        postroom.send(to="a@example.com")
    assert len(seen) == 4
    postroom.close()
    late, seen = asked(lambda _: httpx2.Response(503, json={}, headers={"retry-after": "11"}))
    with pytest.raises(UnavailableError):
        late.send(to="a@example.com")
    assert len(seen) == 1
    late.close()


def test_the_server_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """POSTROOM_URL and POSTROOM_API_KEY are taken; without a URL the error says what to set."""
    with pytest.raises(NotConfiguredError, match="POSTROOM_URL"):
        PostroomClient()
    monkeypatch.setenv("POSTROOM_URL", "ftp://postroom.example")
    with pytest.raises(NotConfiguredError, match="http"):
        PostroomClient()
    monkeypatch.setenv("POSTROOM_URL", f"{URL}/")
    monkeypatch.setenv("POSTROOM_API_KEY", "from-the-environment")
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(202, json=STORED)

    with PostroomClient(transport=httpx2.MockTransport(answer)) as postroom:
        postroom.send(to="a@example.com")
    assert f"{URL}/v1/messages" == str(seen[0].url)
    assert seen[0].headers["authorization"] == "Bearer from-the-environment"


def test_what_is_no_id_is_not_asked() -> None:
    """An id cannot lead to another path of the server."""
    postroom, seen = asked(lambda _: httpx2.Response(200, json=STORED))
    with postroom, pytest.raises(ValueError, match="not the id"):
        postroom.message("../keys")
    assert seen == []


def test_errors_and_clients_show_no_key() -> None:
    """The key stands in no error and no representation."""
    postroom, _ = asked(lambda _: (_ for _ in ()).throw(httpx2.ConnectError("refused")))
    with postroom, pytest.raises(UnreachableError) as raised:
        postroom.send(to="a@example.com")
    assert "kkkk" not in f"{raised.value!r} {raised.value} {postroom!r}"


def test_the_distribution_needs_httpx2_only_and_is_typed() -> None:
    """What an application installs is small, and its types are for mypy."""
    needs = [one for one in metadata.requires("postroom-client") or [] if "extra ==" not in one]
    assert [one.split(">")[0] for one in needs] == ["httpx2"]
    package = Path(exchange.__file__).parent
    assert (package / "py.typed").is_file()
    assert metadata.metadata("postroom-client")["License-Expression"] == "Apache-2.0"


class LostAnswers(httpx2.HTTPTransport):
    """A wire that loses the answer to the first POST after the server has stored the mail."""

    lost = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        if self.lost == 0 and request.method == "POST":
            answer.read()
            answer.close()
            self.lost += 1
            raise httpx2.ReadError("the line is cut")
        return answer


class AsyncLostAnswers(httpx2.AsyncHTTPTransport):
    """The same with await."""

    lost = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        if self.lost == 0 and request.method == "POST":
            await answer.aread()
            await answer.aclose()
            self.lost += 1
            raise httpx2.ReadError("the line is cut")
        return answer


@pytest.mark.slow
def test_a_lost_answer_never_doubles(tmp_path: Path) -> None:
    """The server stored the mail, the answer was lost, the call was repeated: one mail, sync and async."""
    with PostroomProcess(tmp_path / "data") as server:
        with PostroomClient(server.url, KEY, transport=LostAnswers()) as postroom:
            first = postroom.send(to="a@example.com", subject="sync", text="x", wait=10)
            done = postroom.wait(first.id)
        assert (True, "captured", False) == (first.is_replay, done.state, done.is_open)
        assert ("a@example.com", "captured") == (done.recipients[0].address, done.recipients[0].state)

        async def work() -> None:
            async with AsyncPostroomClient(server.url, KEY, transport=AsyncLostAnswers()) as postroom:
                second = await postroom.send(to="b@example.com", subject="async", text="x")
                done = await postroom.wait(second.id)
                assert (True, "captured") == (second.is_replay, done.state)
                with pytest.raises(NotFoundError):
                    await postroom.message("20261121041009.225azdNMK66MuCV6GXi5xQ")
                with pytest.raises(InvalidError):
                    await postroom.send(to="nobody")

        asyncio.run(work())
        _, page = server.call("GET", "/v1/messages")
        assert ["async", "sync"] == [one["subject"] for one in page["messages"]]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/python.md", "clients/python/README.md"])
def test_the_example_of_the_page_works(tmp_path: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python blocks of each page, run as they are but for the address and the key."""
    text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    examples = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    with PostroomProcess(tmp_path / "data") as server:
        for example in examples:
            code = example.replace("http://127.0.0.1:8587", server.url).replace("your-api-key", KEY)
            exec(compile(code, page, "exec"), {})  # noqa: S102 - our own page
    assert "captured" in capsys.readouterr().out
