"""The doors for messages, in process: what is taken, what is answered, what is refused and by which field."""

import asyncio
import base64
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from ingress.asgi_client import Answer, call
from peers.fake_service import FakeService
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.ingress.http.app import build_app
from postroom.ingress.http.messages import LARGE_JSON, beside
from postroom.ingress.http.settings import HttpSettings
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Disposition, MailClass
from postroom.schema import answers
from postroom.schema.bodies import SubmissionBody

MAIL = {"to": "Kim <kim@example.com>", "subject": "Hello", "text": "It works."}


def room(**options: Any) -> tuple[FakeService, Any]:
    service = FakeService(**options)
    return service, build_app(service, HttpSettings())


def post(value: object, service: FakeService | None = None, **options: Any) -> Answer:
    return call(
        build_app(service or FakeService(), HttpSettings()), "POST", "/v1/messages", value=value, **options
    )


def form(message: object, *files: tuple[str, str, bytes]) -> bytes:
    parts = [b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n' + json.dumps(message).encode()]
    parts += [
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode() + data
        for name, filename, data in files
    ]
    return b"".join(part + b"\r\n" for part in parts) + b"--b--\r\n"


FORM = {"content-type": "multipart/form-data; boundary=b"}


# --------------------------------------------------------------------------- taken


def test_a_mail_is_accepted_after_it_is_stored() -> None:
    """202 names the id, the place to look and the mode, and the submission is what was sent."""
    service, app = room()
    answer = call(app, "POST", "/v1/messages", value=MAIL)
    ((message_id, submission),) = service.submissions.items()
    assert 202 == answer.status
    assert {"id": message_id, "mode": "live", "state": "queued"} == answer.json()
    assert f"/v1/messages/{message_id}" == answer.headers["location"]
    assert ("kim@example.com", "Kim") == (submission.to[0].address.spec, submission.to[0].name)
    answers.AcceptedAnswer.model_validate(answer.json())


def test_every_field_arrives() -> None:
    """Each field of the body stands in the submission."""
    service = FakeService()
    answer = post(
        {
            "from": {"address": "shop@example.com", "name": "Shop"},
            "sender": "bounce@example.com",
            "to": ["a@example.com", {"address": "b@example.com"}],
            "cc": "c@example.com",
            "bcc": ["d@example.com"],
            "reply_to": '"Help, please" <help@example.com>',
            "subject": "견적 🚀",
            "text": "one\r\ntwo\rthree",
            "html": "<p>one</p>",
            "headers": {"X-Order": "42"},
            "in_reply_to": "<one@example.com>",
            "references": "<zero@example.com> <one@example.com>",
            "tags": ["order"],
            "metadata": {"order": "42"},
            "class": "alert",
            "uncertain_policy": "ask",
            "send_at": "2030-01-31T12:00:00+09:00",
            "expires_at": "2030-02-01T00:00:00Z",
            "idempotency_key": "order-42",
        },
        service,
    )
    assert 202 == answer.status, answer.body
    (one,) = service.submissions.values()
    assert one.from_ is not None
    assert one.sender is not None
    assert one.send_at is not None
    assert "Shop" == one.from_.name
    assert "bounce@example.com" == one.sender.address.spec
    assert ["a", "b", "c", "d"] == [box.address.local for box in (*one.to, *one.cc, *one.bcc)]
    assert "Help, please" == one.reply_to[0].name
    assert ("견적 🚀", "one\ntwo\nthree", "<p>one</p>") == (one.subject, one.text, one.html)
    assert (("X-Order", "42"),) == one.headers
    assert ("one@example.com", ("zero@example.com", "one@example.com")) == (one.in_reply_to, one.references)
    assert (("order",), {"order": "42"}) == (one.tags, one.metadata)
    assert (MailClass.ALERT, "ask") == (one.mail_class, one.uncertain_policy)
    assert "2030-01-31T03:00:00+00:00" == one.send_at.isoformat()
    assert "order-42" == one.idempotency_key


def test_capture_mode_is_said_in_every_answer() -> None:
    """Without a transport each answer carries the mode."""
    service, app = room(mode="capture")
    message_id = call(app, "POST", "/v1/messages", value=MAIL).json()["id"]
    for path in (
        "/v1/messages",
        f"/v1/messages/{message_id}",
        "/v1/captured",
        "/v1/captured/2",
        "/v1/status",
        "/v1/keys",
        "/readyz",
    ):
        assert "capture" == call(app, "GET", path).json()["mode"], path
    batch = call(app, "POST", "/v1/messages/batch", value={"messages": [MAIL]})
    assert "capture" == batch.json()["mode"]
    assert 2 == len(service.submissions)


def test_base64_attachments_are_stored_before_the_message() -> None:
    """A file in base64 becomes a blob; its type is guessed from its name, an inline one has its id."""
    service = FakeService()
    content = base64.b64encode(b"\x89PNG").decode()
    answer = post(
        {
            **MAIL,
            "attachments": [
                {"filename": "견적.pdf", "content": base64.b64encode(b"%PDF").decode()},
                {"filename": "logo", "content": content, "content_type": "image/png", "content_id": "logo"},
            ],
        },
        service,
    )
    assert 202 == answer.status, answer.body
    (one,) = service.submissions.values()
    assert ["application/pdf", "image/png"] == [file.content_type for file in one.attachments]
    assert [Disposition.ATTACHMENT, Disposition.INLINE] == [file.disposition for file in one.attachments]
    assert [b"%PDF", b"\x89PNG"] == [service.blobs[file.blob.sha256] for file in one.attachments]


def test_a_form_carries_files_as_parts() -> None:
    """The part ``message`` is the JSON; each file part is named by ``upload``, mixed with base64."""
    service, app = room()
    message = {
        **MAIL,
        "attachments": [
            {"upload": "second"},
            {"filename": "inline.txt", "content": "aGk="},
            {"upload": "first", "filename": "renamed.bin", "content_type": "application/pdf"},
        ],
    }
    body = form(message, ("first", "1.bin", b"one"), ("second", "2.txt", b"two"))
    answer = call(app, "POST", "/v1/messages", body=body, headers=FORM)
    assert 202 == answer.status, answer.body
    (one,) = service.submissions.values()
    assert [("2.txt", "text/plain"), ("inline.txt", "text/plain"), ("renamed.bin", "application/pdf")] == [
        (file.filename, file.content_type) for file in one.attachments
    ]
    assert [b"two", b"hi", b"one"] == [service.blobs[file.blob.sha256] for file in one.attachments]
    assert isinstance(one.attachments[0].blob, BlobRef)


def test_idempotency_replays_and_refuses_other_content() -> None:
    """The same key and mail is answered with the first id and its present state; another mail is 422."""
    service, app = room()
    headers = {"idempotency-key": "order-42"}
    first = call(app, "POST", "/v1/messages", value=MAIL, headers=headers)
    service.state = RecipientState.ACCEPTED
    again = call(app, "POST", "/v1/messages", value=MAIL, headers=headers)
    assert "idempotency-replayed" not in first.headers
    assert "true" == again.headers["idempotency-replayed"]
    assert (first.json()["id"], "accepted") == (again.json()["id"], again.json()["state"])
    other = call(app, "POST", "/v1/messages", value={**MAIL, "to": "x@example.com"}, headers=headers)
    assert (422, [("idempotency-key-reused", "to")]) == (other.status, other.problems())


def test_prefer_wait_answers_with_the_outcome() -> None:
    """200 with the whole message once it is final, 202 while it is open; the preference is confirmed."""
    service, app = room()
    headers = {"prefer": "respond-async, wait=99"}
    open_one = call(app, "POST", "/v1/messages", value=MAIL, headers=headers)
    assert (202, "wait=30") == (open_one.status, open_one.headers["preference-applied"])
    service.state = RecipientState.REFUSED
    final = call(app, "POST", "/v1/messages", value=MAIL, headers=headers)
    assert 200 == final.status
    recipient = final.json()["recipients"][0]
    assert ("refused", "unknown-user (en)", "Ask.") == (
        recipient["state"],
        recipient["meaning"],
        recipient["remedy"],
    )
    answers.MessageAnswer.model_validate(final.json())


def test_view_has_the_documented_shape() -> None:
    """The answer about one message has exactly the documented members."""
    service, app = room()
    service.state = RecipientState.REFUSED
    message_id = call(app, "POST", "/v1/messages", value=MAIL).json()["id"]
    shown = call(app, "GET", f"/v1/messages/{message_id}").json()
    answers.MessageAnswer.model_validate(shown)
    assert {"refused": 1} == shown["counts"]
    assert not shown["open"]
    assert {"at", "transport", "step", "code", "enhanced", "text", "outcome", "duration_ms"} == set(
        shown["recipients"][0]["attempts"][0]
    )


def test_unknown_message_is_404() -> None:
    """An id nobody has is 404, whatever it looks like."""
    _, app = room()
    for message_id in ("20300131120000.22aaaaaaaaaaaaaaaaaaaaaa", "x", "%00", "..%2f"):
        assert 404 == call(app, "GET", f"/v1/messages/{message_id}").status


def test_cancel_and_its_conflict() -> None:
    """What waits is cancelled; a second time is 409 with the state of every recipient."""
    _, app = room()
    message_id = call(app, "POST", "/v1/messages", value=MAIL).json()["id"]
    assert "cancelled" == call(app, "DELETE", f"/v1/messages/{message_id}").json()["state"]
    again = call(app, "DELETE", f"/v1/messages/{message_id}")
    assert 409 == again.status
    assert [{"address": "kim@example.com", "state": "cancelled"}] == again.json()["recipients"]


def test_batch_items_stand_alone() -> None:
    """Each item is accepted or refused by itself; keys derive from the batch's key."""
    service, app = room()
    answer = call(
        app,
        "POST",
        "/v1/messages/batch",
        value={"messages": [MAIL, {"to": "nobody"}, 7, MAIL]},
        headers={"idempotency-key": "night"},
    )
    shown = answer.json()
    assert (207, 2, 2) == (answer.status, shown["accepted"], shown["refused"])
    assert [202, 422, 422, 202] == [item["status"] for item in shown["messages"]]
    assert "address-invalid" == shown["messages"][1]["problem"]["code"]
    assert ["night/0", "night/3"] == [one.idempotency_key for one in service.submissions.values()]
    answers.BatchAnswer.model_validate(shown)
    for size in (0, 501):
        many = call(app, "POST", "/v1/messages/batch", value={"messages": [MAIL] * size})
        assert (422, [("limit-exceeded", "messages")]) == (many.status, many.problems())


def test_a_key_of_a_batch() -> None:
    """The longest key bears numbers too, an item's own key is its own, and a wrong one is told once."""
    service, app = room()
    headers = {"idempotency-key": "k" * 256}
    value = {"messages": [MAIL, {**MAIL, "idempotency_key": "order-42"}]}
    answer = call(app, "POST", "/v1/messages/batch", value=value, headers=headers)
    assert (202, 2) == (answer.status, answer.json()["accepted"])
    assert ["k" * 256 + "/0", "order-42"] == [one.idempotency_key for one in service.submissions.values()]
    wrong = call(app, "POST", "/v1/messages/batch", value=value, headers={"idempotency-key": "k" * 257})
    assert (422, [("idempotency-key-syntax", "idempotency_key")]) == (wrong.status, wrong.problems())


def test_list_filters_and_pages() -> None:
    """Filters reach the store, the cursor of a full page leads on, and a page is bounded."""
    service, app = room()
    for _ in range(3):
        call(app, "POST", "/v1/messages", value=MAIL)
    shown = call(
        app, "GET", "/v1/messages", query="state=queued&tag=a%20b&since=2030-01-01T00:00:00Z&limit=2"
    )
    answers.ListAnswer.model_validate(shown.json())
    assert (2, RecipientState.QUEUED, "a b") == (
        service.asked[0].limit,
        service.asked[0].state,
        service.asked[0].tag,
    )
    assert shown.json()["messages"][-1]["id"] == shown.json()["next"]
    wrong = call(
        app, "GET", "/v1/messages", query="limit=1000000000&offset=1&stat=x&state=lost&cursor=%00&limit=2"
    )
    assert 422 == wrong.status
    assert {"limit", "offset", "stat", "state", "cursor"} == {field for _, field in wrong.problems()}
    assert "Did you mean state?" in wrong.body.decode()


# --------------------------------------------------------------------------- refused


@each(
    ("change", "expected"),
    [
        ({"subject": "Hello\nBcc: x@example.net"}, ("control-character", "subject")),
        ({"subject": "Hello\r\n"}, ("control-character", "subject")),
        ({"subject": "A\x0bB\x0cC\x1cD"}, ("control-character", "subject")),
        ({"subject": "A\x85Bcc: x"}, ("control-character", "subject")),
        ({"subject": "A\u2028Bcc: x"}, ("control-character", "subject")),
        ({"subject": "\ud800"}, ("control-character", "subject")),
        ({"subject": "x" * 999}, ("too-long", "subject")),
        ({"text": "a\0b"}, ("control-character", "text")),
        ({"html": "\udfff"}, ("control-character", "html")),
        ({"to": "Kim\r\nBcc: x@example.net <kim@example.com>"}, ("address-invalid", "to")),
        ({"to": {"address": "kim@example.com", "name": "a\u202eb"}}, ("address-invalid", "to.address")),
        (
            {"to": ["kim@example.com", "a@example.com>\r\nRCPT TO:<b@example.com"]},
            ("address-invalid", "to.1"),
        ),
        ({"to": "a@example.com, b@example.com"}, ("address-invalid", "to")),
        ({"to": "user@[127.0.0.1]"}, ("address-invalid", "to")),
        ({"to": '"a b"@example.com'}, ("address-invalid", "to")),
        ({"to": {"$gt": ""}}, ("wrong-type", "to")),
        ({"to": []}, ("recipients-missing", "to")),
        ({"cc": ["<>"]}, ("address-invalid", "cc.0")),
        ({"to": [None]}, ("address-invalid", "to.0")),
        ({"to": ["a@example.com"] * 1001}, ("too-many-recipients", "to")),
        ({"to": ["a@example.com"] * 10001}, ("too-many-recipients", "to")),
        ({"subject": 1}, ("wrong-type", "subject")),
        ({"attachments": "x"}, ("wrong-type", "attachments")),
        ({"attachments": [{"filename": "a", "content": "aGk"}]}, ("base64-syntax", "attachments.0.content")),
        ({"attachments": [{"filename": "a"}]}, ("attachment-source", "attachments.0.content")),
        (
            {"attachments": [{"filename": "a\r\nb", "content": "aGk="}]},
            ("control-character", "attachments.0.filename"),
        ),
        (
            {"attachments": [{"filename": "a", "content": "aGk=", "content_type": "text/html\r\nX: y"}]},
            ("media-type-syntax", "attachments.0.content_type"),
        ),
        (
            {"attachments": [{"filename": "a", "content": "aGk=", "content_id": "a>\r\nX: y"}]},
            ("content-id-syntax", "attachments.0.content_id"),
        ),
        ({"attachments": [{"upload": "missing"}]}, ("upload-missing", "attachments.0.upload")),
        ({"headers": {"Bcc": "x@example.net"}}, ("header-not-allowed", "headers.Bcc")),
        ({"headers": {"X-A": "b\r\nBcc: x"}}, ("header-not-allowed", "headers.X-A")),
        ({"headers": [["Content-Type", "text/html"]]}, ("header-not-allowed", "headers.Content-Type")),
        ({"headers": {"X-A\r\nBcc": "x"}}, ("header-not-allowed", "headers.0")),
        ({"headers": [["X-A"]]}, ("wrong-type", "headers")),
        ({"in_reply_to": "<a@b>\r\nBcc: x@example.net"}, ("message-id-syntax", "in_reply_to")),
        ({"references": ["=?utf-8?q?=0ABcc:?="]}, ("message-id-syntax", "references.0")),
        ({"tags": ["a\nb"]}, ("control-character", "tags.0")),
        ({"metadata": {"a": "b\0"}}, ("control-character", "metadata.a")),
        ({"metadata": {"a": 1}}, ("wrong-type", "metadata.a")),
        ({"class": "urgent"}, ("unknown-value", "class")),
        ({"send_at": "2030-01-31T12:00:00"}, ("instant-syntax", "send_at")),
        ({"send_at": "9999-12-31T23:59:59-12:00"}, ("instant-syntax", "send_at")),
        ({"expires_at": "tomorrow"}, ("instant-syntax", "expires_at")),
        ({"idempotency_key": "a\nb"}, ("idempotency-key-syntax", "idempotency_key")),
        ({"subjet": "x"}, ("unknown-field", "subjet")),
        (
            {"attachments": [{"filename": "a", "content": "aGk=", "contnt": ""}]},
            ("unknown-field", "attachments.0.contnt"),
        ),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], expected: tuple[str, str]) -> None:
    """Each wrong field is refused with 422 by its path, and nothing is stored."""
    service = FakeService()
    answer = post({**MAIL, **change}, service)
    assert (422, [expected]) == (answer.status, answer.problems())
    assert "application/problem+json" == answer.headers["content-type"]
    assert not service.submissions
    assert not service.blobs
    for problem in answer.json()["errors"]:
        assert problem["cause"]
        assert problem["fix"]


@each(
    "change",
    [
        {"subject": "🚀 launch 𠀀"},
        {"subject": "Re: Bcc: not a header"},
        {"subject": "A\u200eB\u200f"},
        {"to": {"address": "bob@example.com", "name": 'O\'Neill, "Bob" (Sales)'}},
        {"subject": "=?UTF-8?Q?A=0D=0ABcc:_x@example.net?="},
        {"text": "A\n.\nMAIL FROM:<x@example.net>\n"},
        {"text": "A\x0b.\x85B"},
        {"to": "victim%example.net@example.com"},
        {"text": "Price {{ 5 }} {% off %} %s ${jndi:ldap://x}"},
        {"references": []},
    ],
)
def test_harmless_texts_pass(change: dict[str, object]) -> None:
    """What only looks dangerous is taken as the text it is."""
    assert 202 == post({**MAIL, **change}).status


def test_all_problems_come_at_once_with_the_nearest_name() -> None:
    """Several wrong fields are told together; a misspelt one names the field that was meant."""
    answer = post({"to": "nobody", "subjct": "x", "subject": 7, "tags": "order"})
    assert {"subject", "subjct", "tags", "to"} == {field for _, field in answer.problems()}
    assert "invalid-fields" == answer.json()["code"]
    assert "Did you mean subject?" in answer.body.decode()
    answer = post({"to": ["x", "y"], "subject": "a\n", "headers": {"To": "z"}})
    assert {"to.0", "to.1", "subject", "headers.To"} == {field for _, field in answer.problems()}


@each(
    "body",
    [
        b"",
        b"{",
        b'{"to": "a@example.com"',
        b'{"to": NaN}',
        b'{"x": 1e999}',
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"to": "a@example.com", "to": "b@example.net"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"subject": "\xff"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_unreadable_json_is_400(body: bytes) -> None:
    """What is not JSON, or says one thing twice, is 400 and never a failure of ours."""
    _, app = room()
    answer = call(app, "POST", "/v1/messages", body=body, headers={"content-type": "application/json"})
    assert (400, "malformed-json") == (answer.status, answer.json()["code"])


def test_a_million_names_are_refused() -> None:
    """An object with more names than any body has is refused as too large."""
    _, app = room()
    body = ("{" + ",".join(f'"{number}":1' for number in range(100_000)) + "}").encode()
    answer = call(app, "POST", "/v1/messages", body=body, headers={"content-type": "application/json"})
    assert 413 == answer.status


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(JSON_VALUES, st.sampled_from([None, *sorted(SubmissionBody.model_json_schema()["properties"])]))
def test_any_json_is_answered(value: object, field: str | None) -> None:
    """Whatever JSON comes, as a whole or as any field, is answered with 422 or taken; never a 500."""
    whole = {"nothing": value} if field is None else {**MAIL, field: value}
    answer = post(whole)
    assert answer.status == 422 or (answer.status == 202 and field is not None)


def test_truncated_bodies_store_nothing() -> None:
    """A form without its closing boundary is 400, its files are discarded, nothing is stored."""
    service, app = room()
    body = form({**MAIL, "attachments": [{"upload": "f"}]}, ("f", "f.bin", b"x" * 1000))
    answer = call(app, "POST", "/v1/messages", body=body[:-8], headers=FORM)
    assert (400, "truncated-body") == (answer.status, answer.json()["code"])
    assert [True] == [blob.is_discarded for blob in service.staged]
    assert not service.submissions


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (form(MAIL, ("f", "f", b"x")), ("upload-unused", "f")),
        (
            form({**MAIL, "attachments": [{"upload": "f"}]}, ("f", "1", b"x"), ("f", "2", b"x")),
            ("form-parts", "message"),
        ),
        (
            form({**MAIL, "subject": "a\nb", "attachments": [{"upload": "f"}]}, ("f", "1", b"x")),
            ("control-character", "subject"),
        ),
    ],
)
def test_wrong_forms_store_nothing(body: bytes, expected: tuple[str, str]) -> None:
    """A form whose JSON or parts are wrong is 422 and its files are discarded, not stored."""
    service, app = room()
    answer = call(app, "POST", "/v1/messages", body=body, headers=FORM)
    assert (422, [expected]) == (answer.status, answer.problems())
    assert not service.blobs
    assert all(blob.is_discarded for blob in service.staged)


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry_after"),
    [
        (OverloadError("full", retry_after_s=1.5), 503, "overloaded", "2"),
        (DiskFullError("1 byte left"), 507, "disk-full", "60"),
        (UnknownOutcomeError("sync"), 503, "unknown-outcome", "5"),
        (StoreError("/secret/path is damaged"), 503, "store-unavailable", "30"),
        (RuntimeError("secret-canary"), 500, "internal-error", None),
    ],
)
def test_failures_have_their_status(
    failure: Exception, status: int, code: str, retry_after: str | None
) -> None:
    """Each failure below has its status and time to come back, and shows nothing of the inside."""
    service, app = room()
    service.failure = failure
    answer = call(app, "POST", "/v1/messages", value=MAIL)
    assert (status, code) == (answer.status, answer.json()["code"])
    assert retry_after == answer.headers.get("retry-after")
    assert "secret" not in answer.body.decode()
    assert "Traceback" not in answer.body.decode()


def test_unknown_outcome_says_how_to_repeat() -> None:
    """When nobody knows whether the mail is stored the answer names the idempotency key as the way out."""
    service, app = room()
    service.failure = UnknownOutcomeError("sync failed")
    assert "same Idempotency-Key" in call(app, "POST", "/v1/messages", value=MAIL).json()["detail"]


def test_a_large_body_is_read_beside_the_event_loop() -> None:
    """What takes long for a hostile body keeps no other call waiting."""

    async def threads() -> list[int]:
        return [await beside(body, threading.get_ident) for body in (b"{}", b"x" * LARGE_JSON)]

    small, large = asyncio.run(threads())
    assert threading.get_ident() == small != large
