"""The Nexus doors over a scripted engine: what is stored, what is answered."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message
from tools.draw_openapi import openapi_document

from ingress.nexus_doors import (
    KEYLESS,
    MESSAGE_ID,
    Answered,
    Call,
    ScriptedService,
    app_of,
    form_body,
    recipient,
    view_of,
)
from postroom.errors import (
    DiskFullError,
    InputError,
    InvariantError,
    NotFoundError,
    OverloadError,
    Problem,
    StoreError,
    TooLargeError,
    UnknownOutcomeError,
)
from postroom.ingress.http.nexus import PATHS, NexusDoors, NexusSetup
from postroom.model.address import parse_mailbox
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Disposition, Door
from postroom.schema.nexus import TEXTS, Code
from postroom.web.budget import ByteBudget
from postroom.web.uploads import FormLimits

GOOD = {"to": "<a@example.com>", "subject": "제목"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


def post_json(service: ScriptedService, *, setup: NexusSetup | None = None, **members: Any) -> Answered:
    body = json.dumps({**GOOD, **members}).encode()
    return Call(headers=JSON, chunks=[body]).into(app_of(service, setup))


def post_form(
    service: ScriptedService, *parts: tuple[str, bytes, str | None], setup: NexusSetup | None = None
) -> Answered:
    body = form_body([("to", b"<a@example.com>", None), ("subject", "제목".encode(), None), *parts])
    return Call(path="/email/multipart/send", headers=FORM, chunks=[body]).into(app_of(service, setup))


# --------------------------------------------------------------------------- what is stored


def test_json_call_becomes_a_submission(service: ScriptedService) -> None:
    """Every member of a JSON call reaches the engine, the answer has the document's shape."""
    answer = post_json(
        service,
        to="<a@example.com>,Kim <b@example.com>,",
        cc="c@example.com",
        bcc='"<d@example.com>"',
        body="<p>본문</p>",
        replay_id="3B5560140957@example.net",
        unknown=[1],
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json)[:2] == ["code", "message_id"]
    assert answer.json == {"code": "200", "message_id": MESSAGE_ID, "message": "발송 성공"}
    (stored,) = service.submissions
    assert stored.door is Door.NEXUS
    assert stored.to == (parse_mailbox("a@example.com"), parse_mailbox("Kim <b@example.com>"))
    assert stored.cc == (parse_mailbox("c@example.com"),)
    assert stored.bcc == (parse_mailbox("d@example.com"),)
    assert stored.subject == "제목"
    assert (stored.html, stored.text) == ("<p>본문</p>", None)
    assert stored.in_reply_to == "3B5560140957@example.net"
    assert stored.references == ("3B5560140957@example.net",)
    assert stored.from_ is None
    assert stored.message_id_domain is None
    assert stored.idempotency_key is None


def test_plain_text_body(service: ScriptedService) -> None:
    """``use_html`` false makes the body text."""
    post_json(service, body="가\r\n나", use_html=False)
    assert (service.submissions[0].html, service.submissions[0].text) == (None, "가\n나")


@pytest.mark.parametrize("members", [{}, {"body": ""}, {"body": None}, {"use_html": "n"}])
def test_absent_body(service: ScriptedService, members: dict[str, Any]) -> None:
    """A call without a body is a mail with an empty text."""
    assert post_json(service, **members).code == "200"
    assert (service.submissions[0].html, service.submissions[0].text) == (None, "")


def test_reply_id_in_brackets(service: ScriptedService) -> None:
    """``reply_id`` may carry its angle brackets."""
    post_json(service, reply_id="<x.y@example.net>")
    assert service.submissions[0].in_reply_to == "x.y@example.net"


def test_setup_reaches_the_submission(service: ScriptedService) -> None:
    """Sender and Message-ID domain of the settings stand in every submission of the doors."""
    sender = parse_mailbox("nexus@example.com")
    post_json(service, setup=NexusSetup(from_=sender, message_id_domain="mail.example.com"))
    assert service.submissions[0].from_ == sender
    assert service.submissions[0].message_id_domain == "mail.example.com"


def test_idempotency_key(service: ScriptedService) -> None:
    """The header reaches the engine, and a replay says that it is one."""
    service.is_replay = True
    headers = {**JSON, "idempotency-key": "order-7"}
    answer = Call(headers=headers, chunks=[json.dumps(GOOD).encode()]).into(app_of(service))
    assert service.submissions[0].idempotency_key == "order-7"
    assert answer.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in post_json(ScriptedService()).headers


@pytest.mark.parametrize("path", ["/email/send", "/email/multipart/send"])
@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"],
)
def test_json_under_any_type(service: ScriptedService, path: str, content_type: str | None) -> None:
    """JSON is read on both routes, with a charset, without a type and under the type curl puts on ``-d``."""
    headers = {} if content_type is None else {"content-type": content_type}
    body = b"\xef\xbb\xbf" + json.dumps(GOOD, ensure_ascii=False).encode()
    assert Call(path=path, headers=headers, chunks=[body]).into(app_of(service)).code == "200"


@pytest.mark.parametrize("path", ["/email/send", "/email/multipart/send"])
def test_forms_on_both_routes(service: ScriptedService, path: str) -> None:
    """A form is read on both routes, in any number of pieces."""
    body = form_body([(name, value.encode(), None) for name, value in GOOD.items()])
    chunks = [body[i : i + 1] for i in range(len(body))]
    assert Call(path=path, headers=FORM, chunks=chunks).into(app_of(service)).code == "200"


def test_form_with_files(service: ScriptedService) -> None:
    """Files become attachments in order: name and type as sent or by name, content to the last byte."""
    answer = post_form(
        service,
        ("use_html", b'"false"', None),
        ("body", "본문".encode(), None),
        ("bcc", b"d@example.com", None),
        ("files", b"\x89PNG\r\n\x00", "그림 800x400.png"),
        ("files", b"", "leer.json"),
        ("extra", b"x", "no-suffix"),
    )
    assert answer.json["message"] == "발송 성공"
    (stored,) = service.submissions
    assert (stored.text, stored.html) == ("본문", None)
    assert stored.bcc == (parse_mailbox("d@example.com"),)
    assert [each.filename for each in stored.attachments] == ["그림 800x400.png", "leer.json", "no-suffix"]
    assert [each.content_type for each in stored.attachments] == [
        "image/png",
        "application/json",
        "application/octet-stream",
    ]
    assert {each.disposition for each in stored.attachments} == {Disposition.ATTACHMENT}
    assert [each.blob.size for each in stored.attachments] == [7, 0, 1]
    assert [blob.data for blob in service.blobs] == [b"\x89PNG\r\n\x00", b"", b"x"]
    assert {blob.end for blob in service.blobs} == {"stored"}


def test_body_from_a_file(service: ScriptedService) -> None:
    """``-F "body=@letter.html"`` sends the letter as the body, not as an attachment."""
    post_form(service, ("body", "<p>편지</p>".encode(), "letter.html"))
    assert service.submissions[0].html == "<p>편지</p>"
    assert service.submissions[0].attachments == ()


def test_address_fields_add_up(service: ScriptedService) -> None:
    """An address field given twice in a form loses nobody."""
    post_form(service, ("to", b'"<b@example.com>,"', None), ("to", b"", None))
    assert [str(box.address) for box in service.submissions[0].to] == ["a@example.com", "b@example.com"]


def test_text_fields_twice(service: ScriptedService) -> None:
    """Another field given twice is refused: nobody knows which one was meant."""
    assert post_form(service, ("subject", b"other", None)).code == "410"
    assert post_form(service, ("body", b"a", None), ("body", b"b", None)).code == "410"
    assert post_form(service, ("smtp_url", b"", None), ("smtp_url", b"", None)).code == "422"
    assert post_form(service, ("unknown", b"a", None), ("unknown", b"b", None)).code == "200"


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("members", "code", "named"),
    [
        ({"to": "nobody"}, "411", "to.0: "),
        ({"to": "a@example.com,b@"}, "411", "to.1: "),
        ({"to": "<a@example.com> <b@example.com>"}, "411", "to.0: "),
        ({"to": "a@example.com\r\nBcc: x@example.com"}, "411", "to.0: "),
        ({"to": "a@example.com\r\n"}, "411", "to.0: "),
        ({"to": "가" * 513}, "411", "to: 513 characters, at most 512"),
        ({"to": None, "cc": "c@example.com"}, "411", "to: missing"),
        ({"to": "x", "smtp_url": "ftp://smtp.example.com:465"}, "422", "smtp_url: "),
        ({"smtp": "smtp://smtp.example.com:465", "user": "u", "pasword": "p"}, "421", "user: "),
        ({"cc": "nobody"}, "410", "cc.0: "),
        ({"bcc": "nobody"}, "410", "bcc.0: "),
        ({"subject": "a\r\nBcc: x@example.com"}, "410", "subject: contains a line end"),
        ({"subject": "a\x00b"}, "410", "subject: contains"),
        ({"subject": "\ud800"}, "410", "subject: contains"),
        ({"subject": "가" * 513}, "410", "subject: 513 characters, at most 512"),
        ({"subject": None}, "410", "subject: missing"),
        ({"body": "a\x00b"}, "410", "body: contains NUL"),
        ({"body": "\udfff"}, "410", "body: contains NUL"),
        ({"body": 7}, "410", "body: a number"),
        ({"reply_id": "no id"}, "410", "reply_id: not a message id"),
        ({"use_html": "perhaps"}, "410", "use_html: "),
        ({"files": ["aGk="]}, "410", "files: "),
    ],
)
def test_refusals(service: ScriptedService, members: dict[str, Any], code: str, named: str) -> None:
    """What is wrong has its code, the document's words and our cause; nothing is stored."""
    answer = post_json(service, **members)
    assert answer.status == 200
    assert answer.code == code
    assert answer.json["message_id"] == ""
    assert answer.json["message"].startswith(f"{TEXTS[Code(code)]} - ")
    assert f" {named}" in answer.json["message"]
    assert service.submissions == []


def test_wrong_reply_id_is_told_once(service: ScriptedService) -> None:
    """In-Reply-To and References come from one member, so its fault is told once."""
    assert post_json(service, reply_id="no id").json["message"].count("reply_id: not") == 1


def test_512_characters_pass(service: ScriptedService) -> None:
    """512 characters of any width pass in every bounded member."""
    names = ",".join(["가" * 20 + " <a@example.com>"] * 13)
    assert post_json(service, to=names.ljust(512), cc=names, bcc=names, subject="한" * 512).code == "200"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"to"',
        b"to=a",
        b"\xff\xfe",
        b'{"to": NaN}',
        b'{"to": "a", "to": "b"}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        '{"to": "가"}'.encode("cp949"),
    ],
)
def test_unreadable_json(service: ScriptedService, body: bytes) -> None:
    """A body that is not one JSON object is code 410 in the dialect."""
    answer = Call(headers=JSON, chunks=[body]).into(app_of(service))
    assert (answer.status, answer.code) == (200, "410")
    assert service.submissions == []


def test_truncated_form(service: ScriptedService) -> None:
    """A form cut anywhere before its closing boundary is code 410; nothing is stored, every file removed."""
    body = form_body(
        [*((name, value.encode(), None) for name, value in GOOD.items()), ("files", b"x" * 9, "f")]
    )
    app = app_of(service)
    for end in range(1, len(body) - 4):
        answer = Call(headers=FORM, chunks=[body[:end]]).into(app)
        assert (answer.status, answer.code) == (200, "410")
    assert service.submissions == []
    assert {"discarded"} == {blob.end for blob in service.blobs}


@pytest.mark.parametrize("headers", [JSON, FORM])
def test_lost_connection(service: ScriptedService, headers: dict[str, str]) -> None:
    """A connection that ends before the body stores nothing, even when what came is whole."""
    whole = form_body([(name, value.encode(), None) for name, value in GOOD.items()])
    chunk = whole if headers is FORM else json.dumps(GOOD).encode()
    assert Call(headers=headers, chunks=[chunk], ends=False).into(app_of(service)).code == "410"
    assert service.submissions == []


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=a;boundary=b"],
)
def test_form_without_a_boundary(service: ScriptedService, content_type: str) -> None:
    """A form nobody can read is code 410."""
    answer = Call(headers={"content-type": content_type}, chunks=[b"--b--"]).into(app_of(service))
    assert (answer.status, answer.code) == (200, "410")


def test_files_of_a_refused_form_are_removed(service: ScriptedService) -> None:
    """A form whose fields are wrong leaves no file behind."""
    assert post_form(service, ("cc", b"nobody", None), ("files", b"x", "f.txt")).code == "410"
    assert [blob.end for blob in service.blobs] == ["discarded"]


def test_bad_file_names(service: ScriptedService) -> None:
    """A file name with a control character is code 410 and named as a file."""
    answer = post_form(service, ("files", b"x", "a\x01b.txt"))
    assert answer.code == "410"
    assert "files.0.filename" in answer.json["message"]


# --------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("state", "code", "start"),
    [
        (RecipientState.ACCEPTED, "200", "발송 성공"),
        (RecipientState.CAPTURED, "200", "발송 성공 (captured"),
        (RecipientState.QUEUED, "200", "not sent yet: "),
        (RecipientState.DEFERRED, "200", "not sent yet: "),
        (RecipientState.UNCERTAIN, "200", "not sent yet: "),
        (RecipientState.REFUSED, "500", "[Error] Server - "),
        (RecipientState.EXPIRED, "500", "[Error] Server - "),
    ],
)
def test_outcomes(service: ScriptedService, state: RecipientState, code: str, start: str) -> None:
    """Both routes answer every outcome alike; a stored message shows its id whatever became of it."""
    service.after_attempt = view_of(recipient(state=state, cause="c-1", text="later"))
    for answer in (post_json(service), post_form(service)):
        assert (answer.status, answer.code) == (200, code)
        assert answer.json["message_id"] == MESSAGE_ID
        assert answer.json["message"].startswith(start)
        if state not in (RecipientState.ACCEPTED, RecipientState.CAPTURED):
            assert "[550 later]. Meaning of c-1. Remedy for c-1." in answer.json["message"]
    assert service.waits == [10.0, 10.0]


def test_stored_answers_at_the_commit(service: ScriptedService) -> None:
    """With ``answer = "stored"`` nobody waits for an attempt."""
    for answer in (
        post_json(service, setup=NexusSetup(waits=False)),
        post_form(service, setup=NexusSetup(waits=False)),
    ):
        assert answer.json == {"code": "200", "message_id": MESSAGE_ID, "message": "stored, not sent yet"}
    assert service.waits == []


def test_wait_is_a_setting(service: ScriptedService) -> None:
    """The wait for the first attempt is the one of the settings."""
    post_json(service, setup=NexusSetup(wait_s=2.5))
    assert service.waits == [2.5]


def test_capture_mode_is_said(service: ScriptedService) -> None:
    """In capture mode every answer says so, refusals too."""
    service.said_mode = "capture"
    service.after_attempt = view_of(recipient(state=RecipientState.CAPTURED))
    assert post_json(service).json["mode"] == "capture"
    assert post_json(service, to="").json["mode"] == "capture"
    service.said_mode = "live"
    assert "mode" not in post_json(service).json


PROBLEM = Problem(code="x", field="attachments", cause="12 bytes, at most 10", fix="Send less.")


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (TooLargeError(PROBLEM), 413, "410", "files: 12 bytes, at most 10. Send less."),
        (OverloadError("the queue is full", retry_after_s=3), 503, "500", "the queue is full"),
        (DiskFullError("disk"), 507, "500", "disk"),
        (StoreError("secret detail"), 200, "500", "store"),
        (UnknownOutcomeError("commit"), 200, "500", "may or may not be stored"),
        (InvariantError("secret detail"), 200, "500", "a fault of this program"),
        (ZeroDivisionError("secret detail"), 200, "500", "a fault of this program"),
        (InputError([replace(PROBLEM, field="from")]), 200, "500", "from: 12 bytes"),
        (InputError([replace(PROBLEM, field="to.2")]), 200, "411", "to.2: 12 bytes"),
        (InputError([replace(PROBLEM, field="html")]), 200, "410", "body: 12 bytes"),
        (
            InputError([replace(PROBLEM, code="idempotency-key-reused", field="to")]),
            200,
            "410",
            "to: 12 bytes",
        ),
    ],
)
def test_engine_refuses(  # noqa: PLR0917 - pytest passes by name
    service: ScriptedService, error: Exception, status: int, code: str, said: str
) -> None:
    """Every way the engine can refuse has its status and code, its cause, and no detail that is ours."""
    service.submit_fails = error
    for answer in (post_json(service), post_form(service)):
        assert (answer.status, answer.code) == (status, code)
        assert answer.json["message_id"] == ""
        assert said in answer.json["message"]
        assert "secret detail" not in answer.json["message"]
        assert ("retry-after" in answer.headers) == (status in (503, 507))


def test_nothing_after_the_commit_unsays_it(service: ScriptedService) -> None:
    """When looking at the outcome fails, the message is stored all the same and the answer says so."""
    for error in (NotFoundError("gone"), StoreError("lost"), RuntimeError("bug")):
        service.first_attempt_fails = error
        answer = post_json(service)
        assert (answer.status, answer.code) == (200, "200")
        assert answer.json["message_id"] == MESSAGE_ID


def test_sizes_are_413(service: ScriptedService) -> None:
    """A body beyond the limits is HTTP 413 in the dialect's shape, and its files are removed."""
    small = NexusSetup(max_json=20, forms=FormLimits(max_files=20))
    answer = post_json(service, setup=small)
    assert (answer.status, answer.code) == (413, "410")
    answer = post_form(service, ("files", b"x" * 21, "f.txt"), setup=small)
    assert (answer.status, answer.code) == (413, "410")
    assert [blob.end for blob in service.blobs] == ["discarded"]
    assert service.submissions == []


def test_cancelled_call_removes_its_files(service: ScriptedService) -> None:
    """A call that is cancelled in the middle of its upload leaves no staged file."""
    app = app_of(service)
    head = form_body([("files", b"x" * 9, "f.txt")])[:-8]

    async def run() -> None:
        started = asyncio.Event()

        async def receive() -> Message:
            if started.is_set():
                await asyncio.Event().wait()
            started.set()
            return {"type": "http.request", "body": head, "more_body": True}

        async def send(message: Message) -> None:
            raise AssertionError(message)

        async def serve() -> None:
            await app(Call(headers=FORM).scope(), receive, send)

        task = asyncio.create_task(serve())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert [blob.end for blob in service.blobs] == ["discarded"]


def test_openapi_document() -> None:
    """The document served under /docs shows both doors with the statuses and the answer they have."""
    doors = NexusDoors(service=ScriptedService(), budget=ByteBudget(), setup=NexusSetup())
    document = openapi_document(doors.operations(KEYLESS))
    assert set(document["paths"]) == set(PATHS)
    for path in document["paths"].values():
        assert set(path["post"]["responses"]) >= {"200", "401", "403", "413", "503", "507"}
        assert all(f"`{name}`" in path["post"]["description"] for name in ("to", "subject", "reply_id"))
    assert document["components"]["schemas"]["Code"]["enum"] == [code.value for code in Code]
