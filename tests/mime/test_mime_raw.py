"""Raw mail on the wire: its own bytes, and for a variant the named fields alone."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from hashlib import sha256
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.errors import InvariantError
from postroom.mime.parseback import check
from postroom.mime.raw import read_fields, trace_field, trace_words
from postroom.mime.raw_writer import with_subject_prefix
from postroom.mime.rendered import DEFAULT_VARIANT, RawSegment, Variant
from postroom.mime.writer import render, wire_chunks
from postroom.model.address import Address, parse_mailbox
from postroom.model.message import BlobRef, Content, RawMail

AT = datetime(2030, 1, 31, 9, 5, 7, tzinfo=UTC)
ACCOUNT = Address("account", "example.com")
HEAD = (
    b"Received: from a by b; Thu, 31 Jan 2030 09:00:00 +0000\r\nX-Odd:\t two\r\n\tlines \r\n"
    b"From:  =?utf-8?q?J=C3=B6rg?=\r\n <ann@example.com>\r\nSender: robot@example.com\r\n"
    b"SUBJECT: =?utf-8?b?w6RiYw==?=\r\n =?utf-8?b?w7Y=?= plain\r\nTo: bob@example.org\r\n"
)


def content(head: bytes = HEAD, body: bytes | BlobRef = b"Hello\r\n") -> Content:
    return Content(
        message_id="x@example.com",
        date=AT,
        boundary="b" * 16,
        from_=parse_mailbox("Jörg <ann@example.com>"),
        raw=RawMail(head=head, body=body),
    )


def wire(one: Content, variant: Variant = DEFAULT_VARIANT) -> bytes:
    rendered = render(one, variant)
    check(rendered, one, variant)
    return b"".join(wire_chunks(rendered, lambda _: io.BytesIO()))


def fields(data: bytes) -> Sequence[tuple[bytes, bytes]]:
    return read_fields(data.partition(b"\r\n\r\n")[0] + b"\r\n") or []


def test_the_default_variant_is_the_mail_itself() -> None:
    """Nothing is changed where nothing is asked for."""
    assert HEAD + b"\r\nHello\r\n" == wire(content())
    assert HEAD + b"\r\n" == wire(content(body=b""))


def test_a_body_in_a_file_is_read_as_it_is() -> None:
    """The same bytes come out, their size is known before, and the digest is that of the content."""
    body = b"line\r\n" * 30_000
    ref = BlobRef(sha256(body).hexdigest(), len(body))
    rendered = render(content(body=ref))
    assert (False, len(HEAD) + 2 + len(body)) == (rendered.is_whole, rendered.size)
    check(rendered, content(body=ref))
    assert RawSegment(ref) == rendered.segments[1]
    assert HEAD + b"\r\n" + body == b"".join(wire_chunks(rendered, lambda _: io.BytesIO(body)))
    with pytest.raises(InvariantError):
        list(wire_chunks(rendered, lambda _: io.BytesIO(body[:-1])))
    other = render(content(body=BlobRef(sha256(b"x").hexdigest(), len(body))))
    assert other.digest != rendered.digest


@pytest.mark.parametrize(
    ("prefix", "value", "shown"),
    [
        ("[Test] ", b" Hello", "[Test] Hello"),
        ("[Test]", b" =?utf-8?q?=C3=A4?=", "[Test]ä"),
        ("測試 ", b" Hello", "測試 Hello"),
        ("測試", b" =?gb2312?B?xOO6ww==?=\r\n =?gb2312?B?xOO6ww==?=", "測試你好你好"),
        ("[T] ", b" plain\r\n\tfolded", "[T] plain folded"),
        ("[T] ", b"", "[T]"),
        ("[T] ", b" a =?x-unknown?q?b?= c", "[T] a b c"),
    ],
)
def test_a_subject_prefix_edits_the_subject_alone(prefix: str, value: bytes, shown: str) -> None:
    """Readers see the prefix and then what they would have seen; every other field keeps its bytes."""
    head = b"From: ann@example.com\r\nSubject:" + value + b"\r\nX-Odd:\t x \r\n"
    one = replace(content(head), from_=parse_mailbox("ann@example.com"))
    found = wire(one, Variant(subject_prefix=prefix))
    before, after = fields(head + b"\r\n"), fields(found)
    assert [before[0], before[2]] == [after[0], after[2]]
    parsed = message_from_bytes(found, policy=policy.SMTP)
    assert shown == parsed["subject"].strip()


def test_a_mail_without_subject_gets_the_prefix() -> None:
    """The prefix is shown even when there is nothing behind it."""
    head = with_subject_prefix(b"From: ann@example.com\r\n", "[Test]")
    assert b"From: ann@example.com\r\nSubject: [Test]\r\n" == head


def test_from_rewriting_edits_from_and_sender_alone() -> None:
    """From is the account with the old name, Sender goes, Reply-To leads to the author."""
    found = fields(wire(content(), Variant(account=ACCOUNT)))
    before = fields(HEAD + b"\r\n")
    parsed = message_from_bytes(wire(content(), Variant(account=ACCOUNT)), policy=policy.SMTP)
    assert ("Jörg", "account@example.com") == (
        parsed["from"].addresses[0].display_name,
        parsed["from"].addresses[0].addr_spec,
    )
    assert "ann@example.com" == parsed["reply-to"].addresses[0].addr_spec
    assert [before[0], before[1], before[4], before[5]] == [found[0], found[1], found[3], found[4]]
    assert [b"Received", b"X-Odd", b"From", b"SUBJECT", b"To", b"Reply-To"] == [name for name, _ in found]


def test_a_reply_to_of_the_mail_stays() -> None:
    """Where the mail says who answers, rewriting adds nobody."""
    one = content(HEAD + b"reply-TO: team@example.com\r\n")
    found = fields(wire(one, Variant(account=ACCOUNT)))
    assert [(b"reply-TO", b" team@example.com")] == [one for one in found if one[0].lower() == b"reply-to"]


def test_the_account_itself_keeps_its_from() -> None:
    """Beside the account there is no Sender, and From keeps its bytes."""
    found = wire(content(), Variant(account=Address("ann", "example.com")))
    assert HEAD.replace(b"Sender: robot@example.com\r\n", b"") + b"\r\nHello\r\n" == found


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"ann@", b"eve@"),
        HEAD + b"From: eve@example.com\r\n",
        HEAD + b"Bcc: eve@example.com\r\n",
        HEAD + b"nothing\r\n",
        HEAD.replace(b"From:", b"Form:"),
    ],
)
def test_a_header_that_is_another_stops_the_mail(head: bytes) -> None:
    """The second look finds another author, a second From, a Bcc and what is no field."""
    with pytest.raises(InvariantError):
        check(render(content(head)), content(head))


def test_received_says_how_the_mail_came() -> None:
    """The trace names both sides, the protocol, our id and the time, in lines that are folded."""
    words = trace_words(
        by="mx.example.net", protocol="ESMTPSA", helo="c.example.com", peer="2001:db8::1", tls="TLSv1.3 X"
    )
    assert (
        b"Received: from c.example.com ([IPv6:2001:db8::1])\r\n\tby mx.example.net (Postroom)\r\n"
        b"\twith ESMTPSA (TLSv1.3 X)\r\n\tid 20300131.abc;\r\n\tThu, 31 Jan 2030 09:05:07 +0000\r\n"
    ) == trace_field(words, "20300131.abc", AT)


@given(st.lists(st.tuples(st.from_regex(rb"[A-Za-z-]{1,20}", fullmatch=True), st.binary(max_size=60))))
def test_fields_are_read_and_written_exactly(pairs: list[tuple[bytes, bytes]]) -> None:
    """What was read is the header octet by octet, or nothing is read at all."""
    head = b"".join([name + b":" + value + b"\r\n" for name, value in pairs])
    found = read_fields(head)
    if found is not None:
        assert head == b"".join([name + b":" + value + b"\r\n" for name, value in found])
    elif all(octet not in b"\r\n" for _, value in pairs for octet in value):
        raise AssertionError("a header of simple fields was not read")


def test_junk_is_no_header_and_read_once() -> None:
    """A quarter of a megabyte of lines that are almost fields is judged in a moment."""
    begun_s = process_time()
    assert read_fields((b"a" * 76 + b"\r\n") * 3000) is None
    assert process_time() - begun_s < 0.05
