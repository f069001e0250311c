"""Reports as mail: what a reader of the standard library finds in them, and what never gets into them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy as email_policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mime.rendered import RawSegment, RenderedMessage
from postroom.mime.report import MAX_GROUPS, MAX_RETURNED, raw_report, wished_languages
from postroom.model.address import Address, Mailbox, parse_address
from postroom.model.ids import MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, RawMail
from postroom.model.report import MailReport, ReportAction, ReportedRecipient

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ID = MessageId("20261121120000.2222222222222222222222")
HEAD = b"From: sender@example.com\r\nSubject: Hello\r\n"
MAIL = HEAD + b"\r\nHello, world.\r\n"
GATEWAY = Mailbox(parse_address("relay@example.com"), "Mail gateway")


def refused(address: str = "gone@example.org", **others: Any) -> ReportedRecipient:
    known = {
        "number": 0,
        "address": parse_address(address),
        "state": RecipientState.REFUSED,
        "action": ReportAction.FAILED,
        "status": "5.1.1",
        "cause": "recipient-unknown",
        "code": 550,
        "text": "5.1.1 no such user",
        "host": "mx.example.org",
        "last_attempt_at": AT + timedelta(minutes=1),
    }
    return ReportedRecipient(**{**known, **others})


def report(*recipients: ReportedRecipient, **others: Any) -> MailReport:
    known = {
        "mail_id": ID,
        "to": parse_address("sender@example.com"),
        "mta": "mail.example.com",
        "arrived_at": AT,
        "subject": "Hello",
        "message_id": "hello@example.com",
    }
    return MailReport(recipients=recipients or (refused(),), **{**known, **others})


def rendered(mail: bytes, **others: Any) -> RenderedMessage:
    return RenderedMessage(segments=(mail,), size=len(mail), digest="", needs_smtputf8=False, **others)


def written(what: MailReport, *, mail: bytes = MAIL, text: str = "It failed.\n", **others: Any) -> RawMail:
    known: dict[str, Any] = {"subject": "Mail could not be sent: Hello", "is_full": False}
    known |= {"returned": rendered(mail), "from_": GATEWAY}
    return raw_report(what, text=text, **{**known, **others})


def whole(raw: RawMail) -> bytes:
    assert isinstance(raw.body, bytes)
    return raw.head + b"\r\n" + raw.body


def parsed(raw: RawMail) -> EmailMessage:
    message = BytesParser(policy=email_policy.default).parsebytes(whole(raw))
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert [] == part.defects
    return message


def groups(message: EmailMessage) -> list[Any]:
    """Return the groups of fields of the part for programs."""
    part = list(message.iter_parts())[1]
    assert "message/delivery-status" == part.get_content_type()
    payload = part.get_payload()
    assert isinstance(payload, list)
    return payload


def test_a_report_is_what_the_standards_say() -> None:
    """Type, three parts, the fields of RFC 3464, an answer to the mail that no program answers."""
    message = parsed(written(report(envelope_id="QQ314159")))
    text, _, header = message.iter_parts()
    mail, recipient = groups(message)

    assert ("multipart/report", "delivery-status") == (
        message.get_content_type(),
        message["Content-Type"].params["report-type"],
    )
    assert ["text/plain", "text/rfc822-headers"] == [text.get_content_type(), header.get_content_type()]
    assert "auto-replied" == message["Auto-Submitted"]
    assert ("sender@example.com", "Mail gateway <relay@example.com>") == (message["To"], message["From"])
    assert {"<hello@example.com>"} == {message["In-Reply-To"], message["References"]}
    assert f"<report.{ID}@example.com>" == message["Message-ID"]
    assert [
        ("Original-Envelope-Id", "QQ314159"),
        ("Reporting-MTA", "dns; mail.example.com"),
        ("Arrival-Date", "Sat, 21 Nov 2026 12:00:00 +0000"),
        ("X-Postroom-ID", ID),
    ] == mail.items()
    assert [
        ("Final-Recipient", "rfc822; gone@example.org"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.example.org"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
        ("Last-Attempt-Date", "Sat, 21 Nov 2026 12:01:00 +0000"),
    ] == recipient.items()
    assert HEAD.decode().splitlines() == header.get_content().splitlines()


def test_the_original_recipient_comes_first() -> None:
    """ORCPT is given back with its type, before the final recipient."""
    message = parsed(written(report(refused(original="rfc822;list@example.net"))))

    assert ("Original-Recipient", "rfc822; list@example.net") == groups(message)[1].items()[0]


def test_a_delay_says_until_when() -> None:
    """Of a mail that waits it stands until when it is tried; of one that failed it does not."""
    late = refused(action=ReportAction.DELAYED, status="4.2.0")
    until = AT + timedelta(days=3)
    delayed = parsed(written(report(late, tried_until=until)))
    failed = parsed(written(report(tried_until=until)))

    assert "Tue, 24 Nov 2026 12:00:00 +0000" == groups(delayed)[1]["Will-Retry-Until"]
    assert groups(failed)[1]["Will-Retry-Until"] is None
    assert f"<delayed.{ID}@example.com>" == delayed["Message-ID"]


def returned(raw: RawMail) -> Any:
    return list(parsed(raw).iter_parts())[2]


def test_what_comes_back() -> None:
    """RET=FULL returns a small ASCII mail that failed, as it is; else the header comes back."""
    relayed = refused(action=ReportAction.RELAYED, status="2.0.0")
    large = MAIL + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (MAX_RETURNED // 72)
    ref = BlobRef("0" * 64, 9)
    in_file = RenderedMessage(
        segments=(HEAD + b"\r\n", RawSegment(ref)), size=99, digest="", needs_smtputf8=False
    )
    full = returned(written(report(), is_full=True))

    assert "message/rfc822" == full.get_content_type()
    assert MAIL.replace(b"\r\n", b"\n") == full.get_payload(0).as_bytes()
    for raw in (
        written(report()),
        written(report(relayed), is_full=True),
        written(report(), is_full=True, mail=large),
        written(report(), is_full=True, returned=in_file),
        written(report(), is_full=True, returned=rendered(MAIL, needs_8bit=True)),
    ):
        assert "text/rfc822-headers" == returned(raw).get_content_type()
        assert "Hello, world" not in whole(raw).decode()


def test_a_header_that_is_not_ascii_is_encoded() -> None:
    """The body of a report is ASCII, whatever the mail was, and reads back as it stood."""
    raw = written(report(), mail="Subject: Grüße\r\nX-Bad: ".encode() + b"\xff\r\n\r\nbody\r\n")
    assert isinstance(raw.body, bytes)

    assert raw.body.isascii()
    assert (False, False) == (raw.needs_8bit, raw.needs_smtputf8)
    assert b"message/global-headers" in raw.body


def test_an_address_that_is_not_ascii_makes_an_international_report() -> None:
    """The part for programs is that of RFC 6533, encoded, and holds the address as it is written."""
    raw = written(report(refused("用户@example.org")))
    message = BytesParser(policy=email_policy.default).parsebytes(
        whole(raw).replace(b"message/global-delivery-status", b"text/plain; charset=utf-8")
    )
    assert isinstance(raw.body, bytes)
    part = list(message.iter_parts())[1]

    assert raw.body.isascii()
    assert "Final-Recipient: utf-8; 用户@example.org" in part.get_content()


def test_a_reverse_path_that_is_not_ascii_asks_for_smtputf8() -> None:
    """Only the header of such a report is not ASCII, and it says what it needs."""
    raw = written(report(to=parse_address("用户@example.com")))

    assert (True, True) == (raw.needs_smtputf8, raw.needs_8bit)
    assert "To: 用户@example.com\r\n".encode() in raw.head


def test_a_foreign_reply_is_encoded_and_reads_back() -> None:
    """What a server said in another script stands as encoded words in an ASCII field."""
    said = "5.1.1 收件人不存在"
    message = parsed(written(report(refused(text=said))))

    assert f"smtp; 550 {said}" == groups(message)[1]["Diagnostic-Code"]


def test_a_finding_of_ours_is_not_said_to_be_a_reply() -> None:
    """Without a reply the code has a type of our own."""
    ours = refused(code=None, host="", text="the message has 9 bytes, the server takes 8")
    fields = groups(parsed(written(report(ours))))[1]

    assert "X-Postroom; the message has 9 bytes, the server takes 8" == fields["Diagnostic-Code"]
    assert fields["Remote-MTA"] is None


def test_a_storm_is_bounded() -> None:
    """A thousand recipients with long replies stay below half a megabyte; more are not all listed."""
    long = [refused(f"user{n}@example.org", number=n, text="5.1.1 " + "no " * 2000) for n in range(1000)]
    raw = written(report(*long))
    message = parsed(raw)
    more = parsed(written(report(*long, *long)))

    assert 1 + 1000 == len(groups(message))
    assert len(whole(raw)) < 512 * 1024
    assert 1 + MAX_GROUPS == len(groups(more))


text = st.text(max_size=120)
"""Anything a server or a sender may say, control characters and line ends of every kind among it."""


@given(given_texts=st.lists(text, min_size=7, max_size=7))
def test_nothing_that_was_said_makes_a_field(given_texts: list[str]) -> None:
    """Whatever stands in what others gave, the fields are those we write, in lines that may be sent."""
    said, envelope_id, original, subject, host, message_id, person = given_texts
    one = refused(text=said, original=original, host=host)
    raw = written(
        report(one, envelope_id=envelope_id, subject=subject, message_id=message_id),
        text=person,
        subject=subject,
    )
    lines = whole(raw).split(b"\r\n")
    names = {line.partition(b":")[0] for line in raw.head.split(b"\r\n") if line and line[:1] not in b" \t"}

    assert names <= {
        *(b"From", b"To", b"Subject", b"Message-ID", b"In-Reply-To", b"References"),
        *(b"Auto-Submitted", b"MIME-Version", b"Content-Type"),
    }
    assert all(len(line) <= 998 and not set(line) & {0, 10, 13} for line in lines)
    assert isinstance(raw.body, bytes)
    assert 3 == raw.body.count(f"--=_{ID}.report\r\n".encode())
    if original.isascii():
        expected = {"final-recipient", "action", "status", "remote-mta", "diagnostic-code"}
        found = groups(parsed(raw))
        allowed = expected | {"last-attempt-date", "original-recipient"}
        assert 2 == len(found)
        assert {name.lower() for name in found[1]} <= allowed


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Accept-Language: zh-CN, en-US\r\nContent-Language: de\r\n", "zh-CN, en-US,en;q=0.001"),
        (b"content-language:  ko\r\n", "ko,en;q=0.001"),
        (b"Subject: Accept-Language: de\r\n", "en"),
        (b"From: a@example.com\r\n", "en"),
        (b"Accept-Language: \xff\r\n", "\N{REPLACEMENT CHARACTER},en;q=0.001"),
    ],
)
def test_the_language_of_the_author(head: bytes, expected: str) -> None:
    """Accept-Language of the mail, else Content-Language, else what the settings say."""
    assert expected == wished_languages(rendered(head + b"\r\nAccept-Language: fr\r\n"), "en")


def test_the_same_report_has_the_same_bytes() -> None:
    """Nothing in it is left to chance, and its date is not ours to add."""
    assert not written(report()).is_dated
    assert written(report()) == written(report())
    assert written(report()) != written(replace(report(), envelope_id="x"))


def test_the_null_domain_is_never_an_author() -> None:
    """The author's domain is the right side of the Message-ID."""
    raw = written(report(), from_=Mailbox(Address("MAILER-DAEMON", "example.net")))

    assert b"From: MAILER-DAEMON@example.net\r\n" in raw.head
    assert f"Message-ID: <report.{ID}@example.net>".encode() in raw.head
