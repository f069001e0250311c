"""The shape of App Builder's plug-in: inputs to a mail, outcomes to outputs, errors by their names."""

from typing import Any

import pytest

from postroom.errors import Problem
from postroom.schema.app_builder import PluginFile, PluginInput, PluginOutput, mail_of, output_of, refusal_of


def recipient(state: str, step: str = "", code: int | None = None, text: str = "", *, cause: str = "") -> Any:
    attempts = [{"step": step, "code": code, "text": text}] if step else []
    return {
        "address": "a@example.org",
        "state": state,
        "cause": cause,
        "meaning": "What it means.",
        "remedy": "What to do.",
        "attempts": attempts,
    }


def outputs(*recipients: Any, is_open: bool = False) -> tuple[bool, int | None, int | None, str]:
    found = output_of({"id": "20261121041009.x", "open": is_open, "recipients": list(recipients)})
    assert PluginOutput.model_validate(found).messageId == "20261121041009.x"
    return (
        found["responseSent"],
        found["responseErrorCode"],
        found["responseStatusCode"],
        found["responseMessage"],
    )


@pytest.mark.parametrize(
    ("step", "code", "expected"),
    [
        ("data", 554, 0),
        ("body", 552, 0),
        ("body_end", 550, 0),
        ("mail", 553, 1),
        ("rcpt", 550, 2),
        ("auth", 535, 3),
        ("greeting", 554, 3),
    ],
)
def test_the_codes_are_those_of_mailkit(step: str, code: int, expected: int) -> None:
    """Message, sender, recipient, anything else; with the number and the words of the server."""
    sent, error, status, text = outputs(recipient("refused", step, code, "5.1.0 no", cause="some-cause"))
    assert (False, expected, code) == (sent, error, status)
    for part in (f"{code} 5.1.0 no", "some-cause", "What it means.", "What to do."):
        assert part in text


def test_without_a_reply_there_are_no_codes() -> None:
    """A connection that was refused has neither code nor number."""
    assert (True, None, None) == outputs(
        recipient("queued", "connect", None, "connection refused", cause="net-refused"), is_open=True
    )[:3]


def test_sent_is_false_only_when_nobody_will_get_it() -> None:
    """What waits, and what reached one of two, must not be repeated by the caller."""
    accepted = recipient("accepted", "body_end", 250, "2.0.0 queued")
    refused = recipient("refused", "rcpt", 550, "no")
    waiting = recipient("deferred", "rcpt", 450, "later")
    assert (True, None, 250, "250 2.0.0 queued") == outputs(accepted)
    assert (True, 2, 550) == outputs(accepted, refused)[:3]
    assert "not sent to all" in outputs(accepted, refused)[3]
    assert (True, 2, 450) == outputs(waiting, is_open=True)[:3]
    assert "stored" in outputs(waiting, is_open=True)[3]
    assert (False, 2, 550) == outputs(refused, refused)[:3]
    assert (True, None, None) == outputs(recipient("captured"))[:3]


def test_authentication_required_has_its_name() -> None:
    """530 is the fourth error of the document; the real reply stands behind it."""
    text = outputs(
        recipient("queued", "mail", 530, "Authentication required", cause="auth-needed"), is_open=True
    )[3]
    assert "Authentication Required 530 Authentication required" in text


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("from-missing", "Value cannot be null. Parameter name: fromAddress"),
        ("recipients-missing", "No recipients have been specified."),
    ],
)
def test_what_was_not_taken_has_its_name(code: str, named: str) -> None:
    """The words of the original, then the cause and what to do."""
    problem = Problem(code=code, field="from", cause="the cause", fix="The fix.")
    found = refusal_of([problem], "detail")
    assert found["responseMessage"] == f"{named} from: the cause. The fix."
    assert (False, None, None, "") == (
        found["responseSent"],
        found["responseErrorCode"],
        found["responseStatusCode"],
        found["messageId"],
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<p>x</p>", "html"),
        ("Hello<br/>you", "html"),
        ("<!DOCTYPE html><html>", "html"),
        ("1 < 2 and 3 > 2", "text"),
        ("see <https://example.com>", "text"),
        ("<" * 10_000, "text"),
    ],
)
def test_a_body_with_a_tag_is_html(body: str, kind: str) -> None:
    """One input is both in the original."""
    assert body == mail_of(PluginInput(to="a@example.org", body=body))[kind]


def test_inputs_become_a_mail() -> None:
    """Commas part addresses, a trailing one is nothing; a file is an object or its base64 alone."""
    given = PluginInput.model_validate(
        {
            "to": "a@example.org, b@example.org,",
            "cc": "",
            "from": "c@example.org",
            "subject": "s",
            "pdfattachment": "eA==",
        }
    )
    assert {
        "to": ["a@example.org", "b@example.org"],
        "from": "c@example.org",
        "subject": "s",
        "attachments": [{"filename": "attachment.pdf", "content": "eA=="}],
    } == mail_of(given)
    file = PluginFile(filename="x.csv", content="eA==", content_type="text/csv")
    assert mail_of(PluginInput(to="a@example.org", pdfattachment=file))["attachments"] == [
        {"filename": "x.csv", "content": "eA==", "content_type": "text/csv"}
    ]
