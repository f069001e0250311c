"""Raw mail read to fields: as the standard library reads ordinary mail, and never an exception."""

import mmap
import tempfile
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from each_row import each
from postroom.mime.reading import MAX_DEPTH, MAX_PARTS, MAX_TEXT, ReadMail, files_by_content_id, read_mail
from postroom.model.message import Disposition

TEXTS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), include_characters="\n"), max_size=300
).filter(lambda text: text.strip() != "")
NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters='/\\:"'), min_size=1, max_size=60
).map(lambda name: f"f{name}.bin")


def read(data: bytes) -> ReadMail:
    head, _, body = data.partition(b"\r\n\r\n")
    return read_mail(head + b"\r\n", body)


def a_mail(text: str, html: str, files: list[tuple[str, bytes]]) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = '"Ann, Ltd." <ann@example.com>'
    mail["To"] = "bob@example.org, Team <team@example.org>"
    mail["Subject"] = "Grüße aus dem Zoo " * 8 + "!"
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    parts: Any = mail.get_payload()
    parts[1].add_related(b"PNG", "image", "png", cid="<logo@x>")
    for name, data in files:
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail


@settings(max_examples=25)
@given(TEXTS, TEXTS, st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=4))
def test_ordinary_mail_is_read_as_the_standard_library_reads_it(
    text: str, html: str, files: list[tuple[str, bytes]]
) -> None:
    """Texts, file names and contents are those of the oracle, for whatever was written."""
    data = a_mail(text, html, files).as_bytes(policy=policy.SMTP)
    oracle = message_from_bytes(data, policy=policy.default)
    found = read(data)
    plain, page = oracle.get_body(("plain",)), oracle.get_body(("html",))
    assert plain is not None
    assert page is not None
    expected = [part.get_content().replace("\r\n", "\n") for part in (plain, page)]
    assert expected == [found.text, found.html]
    listed = [(part.get_filename(), part.get_content()) for part in oracle.iter_attachments()]
    assert listed == [(one.filename, one.content()) for one in found.files if one.content_id is None]
    logo = files_by_content_id(found.files)["logo@x"]
    assert (b"PNG", "image/png", Disposition.INLINE) == (logo.content(), logo.content_type, logo.disposition)
    assert oracle["subject"] == found.subject
    assert ["Ann, Ltd."] == [box.name for box in found.from_]
    assert ["bob@example.org", "team@example.org"] == [box.address.spec for box in found.to]
    assert found.is_whole


PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\0",
            b"\xff",
            b"--",
            b"--a",
            b"--a--",
            b"=?utf-8?b?",
            b"?=",
            b'"',
            b";",
        ),
        b"Content-Type: multipart/mixed; boundary=a\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename*0*=utf-8''%e4; filename*1=x; filename*99999=y\r\n",
        b'Content-Type: application/x; name="=?iso-2022-jp?b?GyRC?="\r\n',
        b"Content-ID: <x>\r\nSubject: a\r\n",
        b"From: a@b, <c@d>\r\n",
    ]
)


@given(
    st.lists(PIECES | st.binary(max_size=20), max_size=30),
    st.lists(PIECES | st.binary(max_size=20), max_size=60),
)
def test_nothing_raises(head: list[bytes], body: list[bytes]) -> None:
    """Whatever the bytes are, there is a reading, and every file of it can be had."""
    found = read_mail(b"".join(head), b"".join(body))
    for one in found.files:
        one.content()
        assert one.filename.isprintable()
    assert "\n" not in found.subject


def nested() -> Iterator[bytes]:
    for number in range(400):
        yield b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number)


@pytest.mark.parametrize(
    ("data", "files"),
    [
        (b"".join(nested()), 0),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * (2 * MAX_PARTS), 0),
        (b"Content-Type: text/plain\r\n\r\n" + b"x" * (MAX_TEXT + 1), 0),
        (
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
            + b"--a\r\nContent-Type: image/png\r\n\r\nx\r\n" * (2 * MAX_PARTS),
            MAX_PARTS - 1,
        ),
    ],
)
def test_limits_cut_and_say_so(data: bytes, files: int) -> None:
    """Deep nesting, many parts and long texts are cut, quickly, and the reading says that it is not whole."""
    began = time.perf_counter()
    found = read(data)
    assert (False, files) == (found.is_whole, len(found.files))
    assert time.perf_counter() - began < 2
    assert MAX_DEPTH < 400


@each(
    ("field", "name"),
    [
        (b"Content-Disposition: attachment; filename*=utf-8''%e4%bd%a0.txt", "你.txt"),
        (
            b"Content-Disposition: attachment; filename*0*=gb2312''%c4%e3; filename*1*=%ba%c3; filename*2=.x",
            "你好.x",
        ),
        (b'Content-Disposition: attachment; filename="=?gb2312?B?xOO6ww==?=.txt"', "你好.txt"),
        (b'Content-Disposition: attachment; filename="..\\\\..\\\\evil.exe"', "evil.exe"),
        (b'Content-Type: image/png; name="a \\"b\\".png"', 'a "b".png'),
        (b"Content-Disposition: attachment; filename=plain name.txt ; x=y", "plain name.txt"),
        (b"Content-Type: message/rfc822", "attachment-1.eml"),
        (b'Content-Type: image/png; x="\\', "attachment-1.png"),
    ],
)
def test_file_names(field: bytes, name: str) -> None:
    """Every form a name is written in is read, and no path comes out."""
    assert [name] == [one.filename for one in read(field + b"\r\n\r\nx").files]


def test_contents_that_do_not_decode() -> None:
    """Broken base64 gives what can be had of it, an unknown charset a text all the same."""
    broken = read(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJDRE!\r\nVGHIJ")
    assert b"ABCDEF" == broken.files[0].content()
    assert "gr\xfcn" == read(b"Content-Type: text/plain; charset=x-unknown\r\n\r\ngr\xfcn").text


def test_a_mapped_file_is_read_without_copying_it() -> None:
    """A body in a file can be read where it lies."""
    with tempfile.TemporaryFile() as file:
        file.write(b"--a\r\nContent-Type: image/png\r\n\r\nPNG\r\n--a--\r\n")
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            found = read_mail(b"Content-Type: multipart/mixed; boundary=a\r\n", mapped)
            assert [b"PNG"] == [one.content() for one in found.files]
