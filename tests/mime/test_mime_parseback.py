"""Claims about the check that reads a message back before it is accepted."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from mime.messages import BlobFiles, box, content
from postroom.errors import InvariantError
from postroom.mime.parseback import check
from postroom.mime.rendered import BlobSegment, RenderedMessage, Segment, Variant
from postroom.mime.writer import render
from postroom.model.address import Address, Mailbox
from postroom.model.message import Content, Disposition

FILES = BlobFiles()
SIMPLE = content(headers=(("X-Tag", "a"),), to=(box("Bob <bob@example.org>"), box("carol@example.org")))
FULL = content(
    html="<p>x",
    attachments=(
        FILES.attachment(
            b"x", filename="l.png", content_type="image/png", content_id="l", disposition=Disposition.INLINE
        ),
        FILES.attachment(b"y", filename="\u53d1\u7968.pdf" * 20, content_type="application/pdf"),
        FILES.attachment(b"", filename='a"; x="y.txt', content_type="text/plain"),
    ),
)


def edited(message: Content, old: bytes, new: bytes, count: int = 1) -> RenderedMessage:
    """Render, then replace bytes in memory as a faulty writer might have written them."""
    rendered = render(message)
    changed = tuple(
        segment.replace(old, new, count) if isinstance(segment, bytes) else segment
        for segment in rendered.segments
    )
    assert changed != rendered.segments
    return replace(rendered, segments=changed)


def test_what_the_writer_writes_passes() -> None:
    """Messages of every shape and variant pass."""
    for message in (
        SIMPLE,
        FULL,
        content(to=()),
        content(text=None, html="<p>x"),
        content(html="<img>", text=None),
    ):
        check(render(message), message)
        variant = Variant(subject_prefix="p ", account=box("x@example.net").address)
        check(render(message, variant), message, variant)


PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)
LOCAL_PARTS = st.text("ab!#$%&'*+/=^_`{|}~-\u00fc\u738b", min_size=1, max_size=20)
ADDRESSES = st.builds(Address, LOCAL_PARTS, st.just("example.org"))
BODIES = st.one_of(st.none(), st.text(max_size=60))


@given(
    st.lists(
        st.builds(Mailbox, st.builds(Address, LOCAL_PARTS, st.just("example.org")), PRINTABLE), max_size=4
    ),
    PRINTABLE,
    st.tuples(BODIES, BODIES),
    st.lists(PRINTABLE, max_size=2),
)
def test_no_sound_message_is_stopped(
    boxes: list[Mailbox], value: str, bodies: tuple[str | None, str | None], names: list[str]
) -> None:
    """Whatever names, texts and files the edge lets through, the writer's message passes."""
    message = content(
        to=tuple(boxes),
        reply_to=tuple(boxes[:1]),
        subject=value,
        headers=(("X-Value", value),),
        text=bodies[0],
        html=bodies[1],
        attachments=tuple(FILES.attachment(b"x", filename=name) for name in names),
    )
    check(render(message), message)


@each(
    ("old", "new"),
    [
        (b"Subject: Hello\r\n", b"Subject: Hello\r\nBcc: x@evil.test\r\n"),
        (b"Subject: Hello\r\n", b"Subject: Hello\r\nTo: x@evil.test\r\n"),
        (b"Subject: Hello\r\n", b"Subject: Hello\r\n\r\n"),
        (b"Subject: Hello\r\n", b""),
        (b"Subject: Hello\r\n", b"Subject : Hello\r\n"),
        (b"Subject: Hello\r\n", b"subject: Hello\r\n"),
        (b"Subject: Hello\r\n", b"Subject Hello\r\n"),
        (b"Hello\r\n", b"Hello\n"),
        (b"Hello\r\n", b"Hello\r"),
        (b"Hello\r\n", b"Hello\n\r"),
        (b"Hello\r\n", b"He\rll\no\r\n"),
        (b"Hello\r\n", b"Hello\0\r\n"),
        (b"Hello Bob.\r\n", b"Hello Bob."),
        (b"Hello Bob.", b"x" * 999),
        (b"Hello Bob.", b"ok\r\n" + b"x" * 999),
        (b"X-Tag: a\r\n", b"X-Tag: a\r\nX-More: b\r\n"),
        (b"X-Tag: a\r\n", b""),
        (b"X-Tag: a\r\n", b"X-Tag: a\r\nX-Tag: a\r\n"),
        (b"From: Ann", b" From: Ann"),
        (b"<bob@example.org>", b"<bob@example.org>, <eve@evil.test>"),
        (b"<bob@example.org>", b"<eve@evil.test>"),
        (b"<bob@example.org>", b"bob@example.org"),
        (b"To: Bob", b"To: eve@evil.test, Bob"),
        (b"To: Bob", b'To: "Bob'),
        (b"To: Bob", b"To: a@b <c@d>, Bob"),
        (b"To: Bob", b"To: group: Bob"),
        (b"<bob@example.org>, carol@example.org", b"carol@example.org, Bob <bob@example.org>"),
        (b"Content-Type: text/plain", b"Content-Type: text/html\r\nContent-Type: text/plain"),
        (b"Content-Transfer-Encoding: 7bit\r\n", b""),
        (b"Content-Type: text/plain; charset=utf-8\r\n", b""),
        (b"MIME-Version: 1.0\r\n", b""),
    ],
)
def test_a_faulty_header_stops_the_message(old: bytes, new: bytes) -> None:
    """Any added, lost, doubled, renamed or split field, address or line end is found."""
    with pytest.raises(InvariantError):
        check(edited(SIMPLE, old, new), SIMPLE)


@each(
    ("old", "new"),
    [
        (b"Content-ID: <l>\r\n", b""),
        (b"Content-ID: <l>\r\n", b"Content-ID: <l>\r\nX-Injected: 1\r\n"),
        (b'filename="l.png"', b'filename="l.png"; filename="evil.exe"'),
        (b'filename="l.png"', b'name="l.png"'),
        (b'filename="l.png"', b'filename="l.png"; x=y'),
        (b'\r\n filename="l.png"', b""),
        (b"Content-Disposition: inline;", b"Content-Disposition: form-data;"),
        (b"Hello Bob.", b"Hello\r\n--=_6QzV9wTn3KcY8mRb.a\r\nContent-Type: text/plain\r\n\r\nBob."),
        (b"Hello Bob.", b"Hello\r\n--=_6QzV9wTn3KcY8mRb.m\r\n\r\nBob."),
        (b"--=_6QzV9wTn3KcY8mRb.a--\r\n", b""),
        (b"--=_6QzV9wTn3KcY8mRb.m--\r\n", b"--=_6QzV9wTn3KcY8mRb.m--\r\nepilogue\r\n"),
        (b"\r\n\r\n--=_6QzV9wTn3KcY8mRb.m\r\n", b"\r\n\r\npreamble\r\n--=_6QzV9wTn3KcY8mRb.m\r\n"),
        (b"Content-Type: text/html; charset=utf-8\r\n", b""),
        (b'boundary="=_6QzV9wTn3KcY8mRb.m"', b'boundary="=_other"'),
        (b"--=_6QzV9wTn3KcY8mRb.m\r\n", b"--=_6QzV9wTn3KcY8mRb.m x\r\n"),
    ],
)
def test_a_faulty_part_stops_the_message(old: bytes, new: bytes) -> None:
    """Any added, lost or renamed part, boundary, part field or file name is found."""
    with pytest.raises(InvariantError):
        check(edited(FULL, old, new), FULL)


@pytest.mark.parametrize(
    "change",
    [
        lambda segments: segments[:1] + segments[2:],
        lambda segments: (segments[0], BlobSegment(FULL.attachments[1].blob), *segments[2:]),
        lambda segments: segments[1:],
        lambda segments: (segments[0][:-2], *segments[1:]),
    ],
)
def test_other_files_stop_the_message(
    change: Callable[[tuple[Segment, ...]], tuple[Segment, ...]],
) -> None:
    """A lost, doubled or misplaced file is found."""
    rendered = render(FULL)
    with pytest.raises(InvariantError):
        check(replace(rendered, segments=change(rendered.segments)), FULL)


def test_another_content_or_variant_does_not_pass() -> None:
    """A rendering passes for its own content and variant only."""
    for message in (
        replace(SIMPLE, cc=(box("x@example.org"),)),
        replace(SIMPLE, to=SIMPLE.to[:1]),
        replace(SIMPLE, in_reply_to="a@b"),
        replace(SIMPLE, html="<p>x"),
        replace(SIMPLE, from_=box("x@example.org")),
        replace(SIMPLE, sender=box("x@example.org")),
    ):
        with pytest.raises(InvariantError):
            check(render(SIMPLE), message)
    with pytest.raises(InvariantError):
        check(render(SIMPLE), SIMPLE, Variant(account=box("x@example.org").address))


def test_large_messages_are_checked_in_a_moment() -> None:
    """Two megabytes of short lines and a thousand recipients are checked in linear time."""
    boxes = tuple(box(f'"Example, {n}" <user.{n}@mail.example.com>') for n in range(1000))
    message = content(text="a\n" * 1_000_000, html="<p>\n" * 500_000, to=boxes)
    rendered = render(message)
    started = time.process_time()
    check(rendered, message)
    assert time.process_time() - started < 2
