"""Claims about whole messages, with the standard library as reader, and golden files."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from each_row import each
from mime.messages import (
    ANN,
    BOB,
    BlobFiles,
    addresses,
    assert_wire_form,
    box,
    content,
    names_of,
    read,
    shape,
    wire,
)
from postroom.errors import InvariantError
from postroom.mime.parseback import check
from postroom.mime.rendered import BlobSegment, Variant
from postroom.mime.writer import render, wire_chunks
from postroom.model.message import BlobRef, Content, Disposition

GOLDEN = Path(__file__).parent / "golden"
LOGO = b"\x89PNG\r\n\x1a\n" + bytes(range(100))
INLINE = {"content_type": "image/png", "content_id": "logo@example.com", "disposition": Disposition.INLINE}


def invoice(files: BlobFiles) -> Content:
    """Make a message with every kind of part."""
    return content(
        from_=box('"Example, Ann" <ann@example.com>'),
        sender=box("robot@example.com"),
        reply_to=(box("\u738b\u4f1f <wang@example.com>"),),
        cc=(box("carol@example.org"), box('"D. \\"Dee\\"" <dee@example.org>')),
        subject="Ihre Rechnung 4711 \u00fcber 9,99 \u20ac",
        text="Guten Tag,\n\nanbei die Rechnung.\n",
        html='<p>Guten Tag,</p><p>anbei die Rechnung.</p><img src="cid:logo@example.com" alt="Logo">',
        headers=(("List-Unsubscribe", "<https://example.com/u/1>"), ("Auto-Submitted", "auto-generated")),
        in_reply_to="parent@example.org",
        references=("root@example.org", "parent@example.org"),
        attachments=(
            files.attachment(LOGO, filename="logo.png", **INLINE),
            files.attachment(
                b"%PDF-1.7 ...\n" * 20, filename="\u53d1\u7968 4711.pdf", content_type="application/pdf"
            ),
            files.attachment(b"", filename='empty "file".txt', content_type="text/plain"),
        ),
    )


def golden_messages(files: BlobFiles) -> dict[str, Content]:
    return {
        "plain": content(),
        "hidden-recipients": content(to=(), subject=""),
        "derived-text": content(
            text=None,
            html="<h1>\u8ba2\u5355 4711</h1><p>Now <a href='https://example.com/4711'>on its way</a>.</p>",
        ),
        "cjk": content(
            subject="\u60a8\u7684\u8ba2\u5355\u5df2\u7ecf\u53d1\u8d27\uff0c\u8bf7\u6ce8\u610f\u67e5\u6536\uff0c"
            * 3,
            to=(box("\u738b\u4f1f <wang@example.org>"),),
            text="\u60a8\u7684\u8ba2\u5355\u5df2\u7ecf\u53d1\u8d27\u3002\n" * 4,
        ),
        "invoice": invoice(files),
    }


@pytest.mark.parametrize("name", ["plain", "hidden-recipients", "derived-text", "cjk", "invoice"])
def test_golden_files(name: str) -> None:
    """The bytes of known messages do not change by accident: stored digests depend on them."""
    files = BlobFiles()
    assert (GOLDEN / f"{name}.eml").read_bytes() == wire(golden_messages(files)[name], files)


def test_every_part_reads_back_equal() -> None:
    """Texts, names, addresses, files and structure read back as they were handed in."""
    files = BlobFiles()
    given_content = invoice(files)
    data = wire(given_content, files)
    message = read(data)
    assert_wire_form(data)
    expected_shape = [
        "multipart/mixed",
        ["multipart/related", ["multipart/alternative", "text/plain", "text/html"], "image/png"],
        "application/pdf",
        "text/plain",
    ]
    assert expected_shape == shape(message)
    assert given_content.subject == message["Subject"]
    assert [("Example, Ann", "ann@example.com")] == addresses(message, "From")
    assert [("\u738b\u4f1f", "wang@example.com")] == addresses(message, "Reply-To")
    assert [("", "carol@example.org"), ('D. "Dee"', "dee@example.org")] == addresses(message, "Cc")
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert [given_content.text, given_content.html] == [
        leaf.get_content().replace("\r\n", "\n").rstrip("\n") + "\n" * number
        for number, leaf in zip((1, 0), leaves[:2], strict=True)
    ]
    assert ["logo.png", "\u53d1\u7968 4711.pdf", 'empty "file".txt'] == [
        leaf.get_filename() for leaf in leaves[2:]
    ]
    assert [LOGO, b"%PDF-1.7 ...\n" * 20, b""] == [leaf.get_payload(decode=True) for leaf in leaves[2:]]
    assert "<logo@example.com>" == leaves[2]["Content-ID"]


def test_the_header_has_each_field_once_and_in_order() -> None:
    """The top header holds exactly the expected fields; Bcc is not among them."""
    files = BlobFiles()
    expected = [
        "From",
        "Sender",
        "Reply-To",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Message-ID",
        "In-Reply-To",
        "References",
    ]
    expected += ["MIME-Version", "List-Unsubscribe", "Auto-Submitted", "Content-Type"]
    assert expected == names_of(wire(invoice(files), files))
    expected = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ]
    assert expected == names_of(wire(content()))


def test_without_to_and_cc_the_recipients_are_undisclosed() -> None:
    """A message to hidden recipients has the empty group, one with Cc alone has no To."""
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in wire(content(to=()))
    assert "To" not in names_of(wire(content(to=(), cc=(BOB,))))


def test_sender_is_written_only_when_it_differs_from_the_author() -> None:
    """The Sender header appears when its address is not From's, also after From was replaced."""
    robot = box("robot@example.com")
    assert "Sender" in names_of(wire(content(sender=robot)))
    assert "Sender" not in names_of(wire(content(sender=box("Robot Ann <ann@example.com>"))))
    assert "Sender" not in names_of(wire(content(sender=robot), variant=Variant(account=robot.address)))


def test_a_variant_changes_subject_and_sender_alone() -> None:
    """The prefix stands verbatim before the subject, the account in From, the wished sender in Reply-To."""
    plain = wire(content())
    variant = Variant(subject_prefix="[Test] ", account=box("relay@example.net").address)
    expected = plain.replace(b"Subject: Hello", b"Subject: [Test] Hello")
    wished = b"From: Ann Example <ann@example.com>\r\n"
    shown = b"From: Ann Example <relay@example.net>\r\nReply-To: Ann Example <ann@example.com>\r\n"
    assert expected.replace(wished, shown, 1) == wire(content(), variant=variant)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": "t"}, "text/plain"),
        ({"text": None}, "text/plain"),
        ({"text": "t", "html": "<p>h"}, ["multipart/alternative", "text/plain", "text/html"]),
        ({"text": None, "html": "<p>h"}, ["multipart/alternative", "text/plain", "text/html"]),
        ({"text": None, "html": "<img src=x>"}, "text/html"),
        ({"text": " \n", "html": "<p>h"}, "text/html"),
    ],
)
def test_multiparts_with_one_child_are_collapsed(fields: dict[str, Any], expected: object) -> None:
    """There is a multipart only where there are two parts."""
    message = content(**fields)
    assert expected == shape(read(wire(message)))
    check(render(message), message)


@pytest.mark.parametrize(("html", "kind"), [(None, "multipart/mixed"), ("<p>x</p>", "multipart/related")])
def test_an_inline_image_belongs_to_an_html_body(html: str | None, kind: str) -> None:
    """Inline images go beside the HTML body; without one they are files like others."""
    files = BlobFiles()
    message = content(html=html, attachments=(files.attachment(LOGO, **INLINE),))
    parsed = read(wire(message, files))
    assert kind == parsed.get_content_type()
    assert ("related" not in kind) or parsed.get_param("type") == "multipart/alternative"
    check(render(message), message)


def test_attached_messages_are_sent_as_plain_octets() -> None:
    """A type that may not be base64 (RFC 2046 section 5) is replaced, the name kept."""
    files = BlobFiles()
    message = content(
        attachments=(
            files.attachment(b"Subject: x\r\n\r\n", filename="a.eml", content_type="message/rfc822"),
        )
    )
    part = next(iter(read(wire(message, files)).iter_attachments()))
    assert ("application/octet-stream", "a.eml") == (part.get_content_type(), part.get_filename())


NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), min_size=1, max_size=120
).filter(lambda name: not set(name) & set("/\\") and name == name.strip(" ") and name.strip(". "))


@settings(max_examples=60)
@given(NAMES, st.binary(max_size=300), st.text(max_size=100), st.one_of(st.none(), st.text(max_size=100)))
def test_any_file_reads_back_equal(name: str, data: bytes, text: str, html: str | None) -> None:
    """Name and bytes of an attachment read back equal beside any text, in both forms of the name."""
    files = BlobFiles()
    message = content(text=text, html=html, attachments=(files.attachment(data, filename=f"n-{name}"),))
    written = wire(message, files)
    assert_wire_form(written)
    check(render(message), message)
    part = list(read(written).walk())[-1]
    assert data == part.get_payload(decode=True)
    assert f"n-{name}" == part.get_filename()
    assert {"filename"} == set(dict(part["Content-Disposition"].params))


@each("size", [0, 1, 56, 57, 58, 57 * 832 - 1, 57 * 832, 57 * 832 + 1, 300_000])
def test_files_stream_in_bounded_chunks(size: int) -> None:
    """Chunks stay below 64 KiB, joined they are the announced size and decode to the file."""
    files = BlobFiles()
    data = bytes(range(256)) * (size // 256 + 1)
    message = content(attachments=(files.attachment(data[:size]),))
    rendered = render(message)
    chunks = list(wire_chunks(rendered, files.open))
    assert max(map(len, chunks)) <= 65536
    assert rendered.size == sum(map(len, chunks))
    assert data[:size] == list(read(b"".join(chunks)).walk())[-1].get_payload(decode=True)


@pytest.mark.parametrize("size", [0, 99, 101, 57 * 832 + 100])
def test_a_file_of_another_size_stops_the_message(size: int) -> None:
    """A damaged blob raises before the message could be ended, and is closed."""
    files = BlobFiles()
    message = content(attachments=(files.attachment(b"x" * 100),))
    damaged = io.BytesIO(b"x" * size)
    with pytest.raises(InvariantError):
        list(wire_chunks(render(message), lambda _: damaged))
    assert damaged.closed


def test_messages_without_files_are_whole() -> None:
    """A message without attachments is one segment; each file is a segment between two others."""
    files = BlobFiles()
    assert render(content()).is_whole
    segments = render(invoice(files)).segments
    assert [bytes, BlobSegment] * 3 + [bytes] == [type(segment) for segment in segments]


def test_digests_are_equal_exactly_when_the_bytes_are() -> None:
    """Rendering is repeatable; any change of content, variant or file changes the digest."""
    files = BlobFiles()
    message = invoice(files)
    assert render(message) == render(replace(message))
    other_file = replace(message.attachments[1], blob=BlobRef(hashlib.sha256(b"y").hexdigest(), 260))
    digests = {
        render(message).digest,
        render(replace(message, subject="x")).digest,
        render(message, Variant(subject_prefix="x")).digest,
        render(
            replace(message, attachments=(message.attachments[0], other_file, message.attachments[2]))
        ).digest,
    }
    assert 4 == len(digests)
    assert all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize("field", ["to", "cc", "reply_to", "from_", "sender"])
def test_international_addresses_need_smtputf8(field: str) -> None:
    """A non-ASCII local part in any header sets the mark; international names and domains do not."""
    plain = box("\u738b\u4f1f <wang@\u4f8b\u5b50.\u516c\u53f8>")
    international = box("\u7528\u6237@example.org")
    for mailbox, expected in ((plain, False), (international, True)):
        message = content(**{field: mailbox if field in {"from_", "sender"} else (mailbox,)})
        rendered = render(message)
        assert expected == rendered.needs_smtputf8
        check(rendered, message)
    assert "\u7528\u6237@example.org".encode() in wire(
        content(**{field: international if field in {"from_", "sender"} else (international,)})
    )


def test_what_no_edge_lets_through_is_our_bug() -> None:
    """Surrogates, unsound types, ids and boundaries stop the message."""
    files = BlobFiles()
    for fields in (
        {"text": "a\ud800"},
        {"html": "a\ud800"},
        {"attachments": (files.attachment(b"", content_type="text/plain\r\nX: y"),)},
        {"attachments": (files.attachment(b"", content_id="a>\r\nX: <y"),)},
        {"attachments": (files.attachment(b"", filename="a\r\nX: y"),)},
        {"html": "<p>x", "boundary": 'x"\r\n'},
        {"html": "<p>x", "boundary": ""},
    ):
        with pytest.raises(InvariantError):
            render(content(**fields))


def test_the_author_is_who_wrote_it() -> None:
    """From holds the author's name and address."""
    assert [("Ann Example", ANN.address.spec)] == addresses(read(wire(content())), "From")
