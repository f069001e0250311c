"""The body of HAP's webhook, as other versions and other hands may write it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.engine.limits import MessageLimits
from postroom.errors import InputError, MalformedError, Problem, TooLargeError
from postroom.model.address import parse_mailbox
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Submission
from postroom.net.destination import DestinationError, parse_url
from postroom.schema import hap

FROM = parse_mailbox("Office <office@example.com>")
DOCUMENT: dict[str, Any] = {
    "ToEmails": ["email1@example.com", "email2@example.com"],
    "ReplyToEmails": ["email3@example.com"],
    "CcEmails": ["email5@example.com"],
    "BccEmails": ["email7@example.com"],
    "Signature": "Signature",
    "Subject": "Email Subject",
    "Body": "<p>Email Body</p>",
    "Attachments": {"Attachment Name 1": "https://files.example.com/1"},
}


def built(body: Mapping[str, object], **wishes: Any) -> Submission:
    call, problems = hap.read_call(body, limits=MessageLimits())
    settings = {"from_": FROM, "idempotency_key": None, "duplicate_window": timedelta(0), **wishes}
    return hap.build(call, problems, limits=MessageLimits(), tenant=DEFAULT_TENANT, **settings)


def wrong(body: Mapping[str, object]) -> dict[str, str]:
    """Return the fields that a body is refused for, with their codes."""
    with pytest.raises(InputError) as caught:
        built(body)
    return {problem.field: problem.code for problem in caught.value.problems}


def specs(boxes: Any) -> list[str]:
    return [box.address.spec for box in boxes]


def test_the_document_s_body() -> None:
    """Every member has its place."""
    mail = built(DOCUMENT)
    assert ["email1@example.com", "email2@example.com"] == specs(mail.to)
    assert (["email5@example.com"], ["email7@example.com"]) == (specs(mail.cc), specs(mail.bcc))
    assert ["email3@example.com"] == specs(mail.reply_to)
    assert parse_mailbox("Signature <office@example.com>") == mail.from_
    assert ("Email Subject", "<p>Email Body</p>", None) == (mail.subject, mail.html, mail.text)
    (file,) = mail.remote_files
    assert ("Attachment Name 1", "https://files.example.com/1") == (file.filename, file.url)


@pytest.mark.parametrize("turn", [str.lower, str.upper, lambda name: name[0].lower() + name[1:]])
def test_names_in_any_case(turn: Any) -> None:
    """The same body, whatever its names' case; a second spelling of one is refused."""
    assert built(DOCUMENT) == built({turn(name): value for name, value in DOCUMENT.items()})
    assert {"Subject": "given-twice"} == wrong(DOCUMENT | {"subJECT": "other"})


@pytest.mark.parametrize("empty", [None, "", [], [None], ["", " "]])
def test_empty_lists(empty: object) -> None:
    """Null, empty and blank are no address; one list with somebody is enough."""
    body = dict.fromkeys(("ToEmails", "CcEmails", "ReplyToEmails"), empty)
    mail = built({**body, "BccEmails": ["a@example.com"]})
    assert ([], [], ["a@example.com"], []) == tuple(map(specs, (mail.to, mail.cc, mail.bcc, mail.reply_to)))
    assert {"ToEmails": "recipients-missing"} == wrong(body)


@pytest.mark.parametrize(
    "value",
    ["a@example.com,b@example.com", "a@example.com; b@example.com;", ["a@example.com;b@example.com"]],
)
def test_lists_in_one_text(value: object) -> None:
    """Commas and semicolons part addresses, also inside of a list."""
    assert ["a@example.com", "b@example.com"] == specs(built({"ToEmails": value}).to)


def test_what_is_missing_is_empty() -> None:
    """One recipient is a mail: an empty subject and text, the sender as it is configured."""
    mail = built({"ToEmails": "a@example.com", "Signature": " ", "Body": None, "Attachments": []})
    assert (FROM, "", "", None, ()) == (mail.from_, mail.subject, mail.text, mail.html, mail.remote_files)
    assert built({"ToEmails": "a@example.com", "Signature": "x"}, from_=None).from_ is None


def test_unknown_members_are_named() -> None:
    """They change nothing, and whoever logs them has their names."""
    call, problems = hap.read_call({**DOCUMENT, "Priority": 1, "ccs": []}, limits=MessageLimits())
    assert (("Priority", "ccs"), []) == (call.unknown, problems.found)


def test_wrong_members_are_refused_by_their_names() -> None:
    """All at once, as HAP wrote them."""
    body = {
        "toemails": ["a@example.com", "no address"],
        "CcEmails": {"a": 1},
        "Signature": "two\r\nlines",
        "Subject": 7,
        "Body": ["x"],
        "Attachments": {"a": 5, "b\n": "https://x.example.com/", "c": "ftp://x.example.com/"},
    }
    assert {
        "ToEmails.1": "address-invalid",
        "CcEmails": "wrong-type",
        "Signature": "address-invalid",
        "Subject": "wrong-type",
        "Body": "wrong-type",
        "Attachments.0": "wrong-type",
        "Attachments.1": "control-character",
        "Attachments.2": "link-not-callable",
    } == wrong(body)
    assert {"Attachments": "wrong-type"} == wrong({"ToEmails": "a@example.com", "Attachments": ["x"]})


def test_too_many_files_are_refused_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No link of theirs is looked at, and the answer does not grow with them."""
    monkeypatch.setattr(hap, "parse_url", None)
    files = {f"{number}.pdf": "https://x.example.com/" for number in range(101)}
    assert {"Attachments": "limit-exceeded"} == wrong({"ToEmails": "a@example.com", "Attachments": files})


def test_a_file_without_a_link_is_named_in_the_answer() -> None:
    """It cannot be attached, and nobody is told that it was."""
    files = {"a": None, "b": " ", "c": "https://x.example.com/c"}
    call, _ = hap.read_call({**DOCUMENT, "Attachments": files}, limits=MessageLimits())
    assert (["c"], ("a", "b")) == ([file.filename for file in call.files], call.without_link)
    said = hap.stored(call, is_replay=False)
    assert "not attached, because they have no link: a, b" in said


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://x.example.com/a b/合.pdf?n=合 同#top", "/a%20b/%E5%90%88.pdf?n=%E5%90%88%20%E5%90%8C"),
        ("https://x.example.com/a%20b?s=%2F%zz&t=100%", "/a%20b?s=%2F%25zz&t=100%25"),
        ("https://x.example.com/a[1].pdf?q={x}|y", "/a%5B1%5D.pdf?q=%7Bx%7D%7Cy"),
        (" https://x.example.com ", ""),
    ],
)
def test_links_are_encoded_where_they_must_be(link: str, url: str) -> None:
    """What is encoded already stays, what is not becomes so, a fragment goes."""
    assert f"https://x.example.com{url}" == hap.callable_form(link.strip())
    (file,) = built({"ToEmails": "a@example.com", "Attachments": {"a": link}}).remote_files
    assert f"https://x.example.com{url}" == file.url


@given(st.text(max_size=60), st.text(max_size=30) | st.just("x.example.com"))
def test_encoding_a_link_never_changes_where_it_leads(target: str, host: str) -> None:
    """Host and port are what they were, or the link is refused before and after; encoding twice is once."""
    encoded = hap.callable_form(f"http://{host}/{target}")
    assert encoded == hap.callable_form(encoded)
    try:
        found = parse_url(encoded, most=hap.MAX_URL)
    except DestinationError:
        return
    authority = re.split(r"[/?#\\]", f"{host}/", maxsplit=1)[0]
    meant = parse_url(f"http://{authority}/")
    assert (meant.host, meant.port, meant.is_tls) == (found.host, found.port, found.is_tls)
    assert found.target.isascii()


def test_the_same_mail_has_the_same_key() -> None:
    """Only with a window, and never instead of the caller's own key; any other member is another mail."""
    window = timedelta(minutes=10)
    one = built(DOCUMENT, duplicate_window=window)
    assert (one.idempotency_key, window) == (built(DOCUMENT, duplicate_window=window).idempotency_key, window)
    assert window == one.idempotency_life
    assert built(DOCUMENT).idempotency_key is None
    mine = built(DOCUMENT, duplicate_window=window, idempotency_key="mine")
    assert ("mine", None) == (mine.idempotency_key, mine.idempotency_life)
    others = {
        built({**DOCUMENT, name: value}, duplicate_window=window).idempotency_key
        for name, value in {
            "Subject": "x",
            "Body": "x",
            "Signature": "x",
            "BccEmails": [],
            "Attachments": {"Attachment Name 1": "https://files.example.com/2"},
        }.items()
    }
    assert 5 == len(others - {one.idempotency_key})


def test_errors_of_the_engine_have_hap_s_names() -> None:
    """A limit and a missing sender are told in the words of the body and of the settings."""
    problem = Problem(code="limit-exceeded", field="attachments", cause="too many", fix="Fewer.")
    (told,) = hap.in_dialect(InputError([problem])).problems  # type: ignore[attr-defined]  # as it went in
    assert "Attachments" == told.field
    large = hap.in_dialect(TooLargeError(problem))
    assert isinstance(large, TooLargeError)
    assert "Attachments" == large.problem.field
    missing = Problem(code="from-missing", field="from", cause="no sender", fix="Give `from`.")
    (told,) = hap.in_dialect(InputError([missing])).problems  # type: ignore[attr-defined]  # as it went in
    assert "[hap]" in told.fix
    assert isinstance(hap.in_dialect(ValueError()), ValueError)


def test_a_body_that_is_no_json_is_unreadable() -> None:
    """Its error stays the one that is answered with 400, not with 422."""
    problem = Problem(code="malformed-json", field="body", cause="no JSON", fix="Send JSON.")
    assert isinstance(hap.in_dialect(MalformedError([problem])), MalformedError)
