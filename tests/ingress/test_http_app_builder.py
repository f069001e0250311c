"""The App Builder door: who may call, what is stored, and how a refusal is worded."""

import pytest

from ingress.asgi_client import call
from peers.fake_service import FakeService
from postroom.errors import OverloadError
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.message import Door
from postroom.model.view import MessageView

PATH = "/app-builder/send"
MAIL = {"to": "a@example.org", "subject": "s", "body": "x", "pdfattachment": "JVBERi0="}


def test_a_mail_is_stored_with_its_door_and_file() -> None:
    """The submission names the door; the file is attached; the answer has the five members."""
    service = FakeService()
    answer = call(build_app(service, HttpSettings()), "POST", PATH, value=MAIL)
    ((message_id, submission),) = service.submissions.items()
    assert (200, message_id) == (answer.status, answer.json()["messageId"])
    assert (Door.APP_BUILDER, "attachment.pdf") == (submission.door, submission.attachments[0].filename)
    assert submission.attachments[0].content_type == "application/pdf"


def test_the_same_key_is_the_same_mail() -> None:
    """An Idempotency-Key is obeyed as at /v1."""
    service = FakeService()
    app = build_app(service, HttpSettings())
    first, second = (
        call(app, "POST", PATH, value=MAIL, headers={"idempotency-key": "order-1"}) for _ in range(2)
    )
    assert first.json()["messageId"] == second.json()["messageId"]
    assert second.headers["idempotency-replayed"] == "true"


def test_refusals() -> None:
    """Wrong fields in the plug-in's members, a missing key and an unknown member as everywhere."""
    app = build_app(FakeService(), HttpSettings())
    wrong = call(app, "POST", PATH, value={"to": "nobody", "subject": "s"})
    assert (422, False) == (wrong.status, wrong.json()["responseSent"])
    assert "to.0" in wrong.json()["responseMessage"]
    assert call(app, "POST", PATH, value=MAIL, key=None).status == 401
    unknown = call(app, "POST", PATH, value={**MAIL, "bodi": "x"})
    assert (422, False) == (unknown.status, unknown.json()["responseSent"])
    assert call(app, "POST", PATH, body=b"{", headers={"content-type": "application/json"}).status == 400


def test_nothing_after_the_commit_unsays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored mail whose story cannot be read is answered as stored: an error would be sent twice."""
    service = FakeService()

    async def failing(*_: object, **__: object) -> MessageView:
        raise OverloadError("the store is busy", retry_after_s=1.0)

    monkeypatch.setattr(service, "first_attempt", failing)
    answer = call(build_app(service, HttpSettings()), "POST", PATH, value=MAIL)
    (message_id,) = service.submissions
    assert (200, True, message_id) == (
        answer.status,
        answer.json()["responseSent"],
        answer.json()["messageId"],
    )
