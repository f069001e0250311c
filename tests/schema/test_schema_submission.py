"""The validator every door shares: whatever passes can be written into a mail, whatever does not is named."""

import contextlib
import dataclasses
import json
import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.engine.limits import MessageLimits
from postroom.errors import InputError, MalformedError, TooLargeError
from postroom.grammar import CONTROL, SURROGATE
from postroom.model.address import Mailbox, parse_mailbox
from postroom.model.message import BlobRef, Disposition, Door, Submission
from postroom.schema.bodies import SubmissionBody
from postroom.schema.json_text import read_json
from postroom.schema.submission import (
    MAX_PROBLEMS,
    FileFacts,
    Problems,
    build_submission,
    media_type_of,
    with_files,
)

LIMITS = MessageLimits()
ANY_TEXT = st.text(st.characters(), max_size=60)
"""Every character there is, lone surrogates included."""


def fields_of(error: InputError) -> set[str]:
    return {problem.field for problem in error.problems}


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_what_passes_is_clean(subject: str, text: str, name: str) -> None:
    """A submission that was built has no control character in a header and no NUL or surrogate anywhere."""
    problems = Problems()
    values = {"to": {"address": "a@example.com", "name": name}, "subject": subject, "text": text}
    with contextlib.suppress(InputError):
        built = build_submission(limits=LIMITS, problems=problems, **values)  # type: ignore[arg-type] # mixed
    if problems.found:
        assert {problem.field for problem in problems.found} <= {"subject", "text", "to.address"}
        return
    assert built.text is not None
    for value in (built.subject, built.to[0].name):
        assert not CONTROL.search(value)
    assert "\0" not in built.text
    assert "\r" not in built.text
    for value in (built.subject, built.to[0].name, built.text):
        assert not SURROGATE.search(value)
        value.encode()


@given(st.text(string.ascii_letters + "\r\n", max_size=40))
def test_line_ends_are_normalised_and_nothing_else(text: str) -> None:
    """Every line end becomes LF; all other characters stay."""
    built = build_submission(limits=LIMITS, to="a@example.com", text=text, html=text)
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert (expected, expected) == (built.text, built.html)


def test_mailboxes_pass_as_they_are() -> None:
    """A door that parses addresses itself hands in mailboxes."""
    box = parse_mailbox("Kim <kim@example.com>")
    built = build_submission(limits=LIMITS, door=Door.NEXUS, to=(box,), from_=box, cc=[box])
    assert (box, (box,), (box,)) == (built.from_, built.to, built.cc)
    assert isinstance(built.to[0], Mailbox)


def test_every_field_can_be_wrong_at_once() -> None:
    """Problems of different fields come together, with those the door found before."""
    problems = Problems()
    problems.add("form-parts", "message", "earlier", "Fix it.")
    with pytest.raises(InputError) as caught:
        build_submission(
            limits=LIMITS,
            from_="x",
            to=["y"],
            subject="\n",
            text="\0",
            mail_class="urgent",
            uncertain_policy="perhaps",
            send_at="soon",
            expires_at=datetime(2030, 1, 1),  # noqa: DTZ001 - without an offset on purpose
            files=[FileFacts(filename="\n", content_type="x")],
            references=["<a b>"],
            tags=[""],
            metadata={"\n": "x"},
            idempotency_key="",
            problems=problems,
        )
    assert {
        "message",
        "from",
        "to.0",
        "subject",
        "text",
        "class",
        "uncertain_policy",
        "send_at",
        "expires_at",
        "attachments.0.filename",
        "attachments.0.content_type",
        "references.0",
        "tags.0",
        "metadata",
        "idempotency_key",
    } == fields_of(caught.value)


def test_the_list_of_problems_ends() -> None:
    """A thousand wrong addresses are a hundred problems."""
    with pytest.raises(InputError) as caught:
        build_submission(limits=LIMITS, to=["x"] * 1000)
    assert MAX_PROBLEMS == len(caught.value.problems)


@each(
    ("values", "field"),
    [
        ({"headers": [("X-A", "b")] * 101}, "headers"),
        ({"references": ["a@b"] * 101}, "references"),
        ({"files": [FileFacts(filename="a")] * 101}, "attachments"),
        ({"tags": ["x" * 101]}, "tags.0"),
        ({"metadata": {"k": "x" * 2001}}, "metadata.k"),
        ({"idempotency_key": "x" * 257}, "idempotency_key"),
        ({"files": [FileFacts(filename="x" * 1001)]}, "attachments.0.filename"),
        ({"files": [FileFacts(filename="a", content_type="multipart/mixed")]}, "attachments.0.content_type"),
    ],
)
def test_bounds(values: dict[str, object], field: str) -> None:
    """What is too much is refused by field."""
    with pytest.raises(InputError) as caught:
        build_submission(limits=LIMITS, to="a@example.com", **values)  # type: ignore[arg-type] # mixed kinds
    assert {field} == fields_of(caught.value)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FileFacts(filename="a.pdf"), "application/pdf"),
        (FileFacts(filename="a.PDF"), "application/pdf"),
        (FileFacts(filename="a"), "application/octet-stream"),
        (FileFacts(filename="a", content_type="Text/CSV; charset=utf-8"), "text/csv"),
        (FileFacts(filename="a.eml", content_type="message/rfc822"), "application/octet-stream"),
    ],
)
def test_media_types(facts: FileFacts, expected: str) -> None:
    """A given type loses its parameters, a missing one is guessed, a message is sent as plain bytes."""
    assert expected == media_type_of(facts)


def test_files_are_joined_with_their_contents() -> None:
    """Facts and stored contents meet in order; without files the submission stays the same object."""
    built = build_submission(limits=LIMITS, to="a@example.com")
    refs = [BlobRef("a" * 64, 1), BlobRef("b" * 64, 2)]
    facts = [FileFacts(filename="1"), FileFacts(filename="2", disposition=Disposition.INLINE)]
    joined = with_files(built, facts, refs)
    assert refs == [attachment.blob for attachment in joined.attachments]
    assert built is with_files(built, [], [])


def test_instants_become_utc() -> None:
    """An instant with any offset is the same instant in UTC."""
    built = build_submission(limits=LIMITS, to="a@example.com", send_at="2030-01-31T01:00:00+09:00")
    assert datetime(2030, 1, 30, 16, tzinfo=UTC) == built.send_at


def test_every_field_of_a_submission_has_a_name_in_the_api() -> None:
    """What a submission holds a caller can say, except what the door itself knows."""
    named = {field.alias or name for name, field in SubmissionBody.model_fields.items()}
    held = {field.name for field in dataclasses.fields(Submission)}
    renamed = {"from_": "from", "mail_class": "class"}
    known_to_the_door = {
        "tenant",
        "door",
        "message_id_domain",
        "idempotency_life",
        "remote_files",
        "raw",
        "message_id",
        "reports",
        "relative",
        "template_asked",
    }
    rendered_before = {"variables", "locale"}
    assert {renamed.get(name, name) for name in held} - known_to_the_door == named - rendered_before


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Bytes are JSON for us exactly when the strict standard reader takes them, doubles and NaN apart."""
    try:
        read_json(body)
        is_read = True
    except MalformedError:
        is_read = False
    try:
        json.loads(body.decode())
        is_json = True
    except ValueError:
        is_json = False
    assert is_json >= is_read


def test_json_members_are_bounded() -> None:
    """An object may have a thousand names."""
    assert 1000 == len(read_json(b"{" + b",".join(b'"%d":1' % at for at in range(1000)) + b"}"))  # type: ignore[arg-type] # a dictionary
    with pytest.raises(TooLargeError):
        read_json(b"{" + b",".join(b'"%d":1' % at for at in range(1001)) + b"}")


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'""', b'"\\""', b'"a,b"'])
def test_the_values_of_a_body_are_bounded(value: bytes) -> None:
    """Millions of small values are refused before they are read; as many commas in one text are not."""
    with pytest.raises(TooLargeError):
        read_json(b'{"to":[' + b",".join([value] * 300_000) + b"]}")
    text = '\\",' * 300_000
    assert {"text": text} == read_json(json.dumps({"text": text}).encode())
