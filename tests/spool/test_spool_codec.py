"""The stored form of a message: what went in comes out, and forms of earlier programs stay readable."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from postroom.model.address import Address
from postroom.model.message import BlobRef, Content, Message, Notify, RawMail, ReportWish
from postroom.spool.codec import decode_message, encode_message
from spool.spool_room import a_message

KEPT_1 = (
    b'{"v":1,"id":"20300131090507.22aaaaaaaaaaaaaaaaaaaa","tenant":"default","door":"http",'
    b'"mail_class":"transactional","created_at":1896080707000000,"send_at":1896080707000000,'
    b'"expires_at":1896339907000000,"uncertain_policy":"wait","reverse_path":"a@example.com",'
    b'"recipients":["b@example.org"],"message_id":"x@example.com","date":[1896080707000000,0],'
    b'"boundary":"bbbbbbbbbbbbbbbb","from":["a@example.com","Ann"],"subject":"Gr\xc3\xbc\xc3\x9fe","text":"Hi"}'
)
"""As the first program wrote it."""
HEAD = b"From: a@example.com\r\nSubject: \xff\r\n"
KEPT_2 = (
    KEPT_1.replace(b'"v":1', b'"v":2').replace(b'"http"', b'"smtp"').replace(b',"text":"Hi"}', b"")
    + b',"reports":{"to":"a@example.com","notify":[["b@example.org","delay","failure"]]},'
    + b'"raw":[%d,true,false,null]}\0' % len(HEAD)
    + HEAD
    + b"body\0\xff\r\n"
)
"""A raw mail as the first program that knew them wrote it."""


def test_the_first_form_is_read_and_still_written() -> None:
    """A message that needs nothing new is written as the first program wrote it."""
    message = decode_message(KEPT_1)
    assert ("Grüße", "Hi", None) == (message.content.subject, message.content.text, message.content.raw)
    assert datetime(2030, 1, 31, 9, 5, 7, tzinfo=UTC) == message.created_at
    assert KEPT_1 == encode_message(message)


def test_the_form_of_raw_mail_is_read() -> None:
    """The bytes behind the JSON are the mail, whatever they are."""
    message = decode_message(KEPT_2)
    assert RawMail(head=HEAD, body=b"body\0\xff\r\n", needs_8bit=True) == message.content.raw
    assert message.reports is not None
    assert {Address("b", "example.org"): {Notify.DELAY, Notify.FAILURE}} == message.reports.notify
    assert KEPT_2 == encode_message(message)


@given(
    st.binary(max_size=100),
    st.binary(max_size=100) | st.just(BlobRef("f" * 64, 70_000)),
    st.booleans(),
    st.sets(st.sampled_from(Notify)),
)
def test_what_goes_in_comes_out(head: bytes, body: bytes | BlobRef, eight: bool, notify: set[Notify]) -> None:
    """Head, body, needs and wishes of a raw mail survive the store octet by octet."""
    to = Address("a", "example.com")
    plain = a_message()
    wish = ReportWish(
        to=to,
        full=eight,
        envelope_id="e",
        notify={to: frozenset(notify)},
        original={to: "rfc822;a@b"},
        late_at=None if eight else plain.created_at,
        is_limited=eight,
    )
    content: Content = replace(
        plain.content, raw=RawMail(head=head, body=body, needs_8bit=eight, needs_smtputf8=not eight)
    )
    message: Message = replace(plain, content=content, reports=wish)
    assert message == decode_message(encode_message(message))
