"""What a report says to a person: bounded, in the reader's language, and true to what was said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.address import parse_address
from postroom.model.ids import MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.report import MailReport, ReportAction, ReportedRecipient
from postroom.policy.report_words import MAX_CAUSES, MAX_LINES, report_words
from postroom.providers import replies, words

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
S = RecipientState


def recipient(number: int = 0, **others: Any) -> ReportedRecipient:
    known = {
        "number": number,
        "address": parse_address(f"user{number}@example.org"),
        "state": S.REFUSED,
        "action": ReportAction.FAILED,
        "status": "5.1.1",
        "cause": "size",
        "code": 550,
        "text": "5.1.1 no such user",
        "host": "mx.example.org",
        "last_attempt_at": AT,
    }
    return ReportedRecipient(**{**known, **others})


def report(*recipients: ReportedRecipient, subject: str = "Invoice 17") -> MailReport:
    return MailReport(
        mail_id=MessageId("20261121120000.2222222222222222222222"),
        to=parse_address("app@example.com"),
        mta="mail.example.com",
        arrived_at=AT,
        tried_until=AT + timedelta(days=3),
        subject=subject,
        recipients=recipients or (recipient(),),
    )


def test_a_failure_is_told_with_everything_a_person_needs() -> None:
    """Which mail, which recipient, what the server said, when, what it means, what to do, whom to ask."""
    said = report_words(report(), "en")
    meaning, remedy = replies.words("size")

    assert "Mail could not be sent: Invoice 17" == said.subject
    for part in (
        "mail.example.com",
        "2026-11-21 12:00:00 UTC: Invoice 17",
        "user0@example.org",
        "The server mx.example.org said: 550 5.1.1 no such user",
        "Last tried: 2026-11-21 12:00:00 UTC",
        meaning,
        remedy,
        "Nothing more is tried",
        "20261121120000.2222222222222222222222",
    ):
        assert part
        assert part in said.text


@each("language", words.LANGUAGES)
@each("action", ReportAction)
def test_every_language_says_it_all(language: str, action: ReportAction) -> None:
    """No name in braces is left, the address and the words of the server stand in every language."""
    said = report_words(report(recipient(action=action)), language)
    english = report_words(report(recipient(action=action)), "en")

    assert not set("{}") & set(said.text + said.subject)
    assert "user0@example.org" in said.text
    assert (action is not ReportAction.RELAYED) == ("550 5.1.1 no such user" in said.text)
    assert (language == "en") == (said.subject == english.subject)


@pytest.mark.parametrize("state", [S.EXPIRED, S.SUPPRESSED, S.BOUNCED])
def test_an_end_without_a_refusal_has_a_sentence(state: S) -> None:
    """What no reply explains is explained."""
    name = {S.EXPIRED: "expired", S.SUPPRESSED: "suppressed", S.BOUNCED: "bounced"}[state]
    silent = recipient(state=state, cause="", code=None, text="", host="", last_attempt_at=None)

    assert words.phrase(f"report.{name}") in report_words(report(silent), "en").text


def test_a_delay_says_until_when() -> None:
    """And that nothing need be done."""
    said = report_words(report(recipient(action=ReportAction.DELAYED)), "en").text

    assert "It is tried again until 2026-11-24 12:00:00 UTC. You need not send it again." in said


def test_many_recipients_are_few_lines() -> None:
    """Of each cause some are named and all are counted; of many causes the largest are told."""
    same = [recipient(number) for number in range(1000)]
    all_different = [recipient(number, cause=f"cause-{number}") for number in range(1000)]

    assert f"and {1000 - MAX_LINES} more" in report_words(report(*same), "en").text
    assert f"and {1000 - MAX_CAUSES} more" in report_words(report(*all_different), "en").text
    assert len(report_words(report(*same), "en").text) < 8192


def test_mixed_ends_have_a_section_each() -> None:
    """The failure gives the subject, and both are told."""
    taken = recipient(1, action=ReportAction.RELAYED, state=S.ACCEPTED)
    said = report_words(report(taken, recipient()), "en")

    assert said.subject.startswith("Mail could not be sent")
    assert said.text.index("user0@example.org") < said.text.index("user1@example.org")


@given(text=st.text(max_size=200), subject=st.text(max_size=200), host=st.text(max_size=20))
def test_what_others_said_breaks_no_line(text: str, subject: str, host: str) -> None:
    """The number of lines does not depend on what a server or a sender said, nor do braces do anything."""
    usual = report_words(report(recipient(text="x"), subject="x"), "en")
    said = report_words(report(recipient(text=f"x{text}", host=f"h{host}"), subject=f"x{subject}"), "en")

    assert len(usual.text.splitlines()) == len(said.text.splitlines())
    assert len(said.subject) <= 130
    assert "\n" not in said.subject


def test_a_mail_without_a_subject_leaves_no_colon() -> None:
    """The subject of the report ends with a word."""
    assert "Mail could not be sent" == report_words(report(subject=""), "en").subject
