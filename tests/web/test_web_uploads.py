"""Forms: what is kept, what is refused, and that nothing staged is left behind."""

import asyncio
import hashlib
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from each_row import each
from postroom.errors import MalformedError, OverloadError, PostroomError, TooLargeError
from postroom.model.message import BlobRef
from postroom.web.budget import ByteBudget
from postroom.web.problem import HttpError
from postroom.web.uploads import Form, FormLimits, boundary_of, read_body, read_form


class MemoryBlob:
    """A staged blob in memory that remembers its end."""

    def __init__(self) -> None:
        self.data = b""
        self.writes = 0
        self.end = ""

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.data += data

    def commit(self) -> BlobRef:
        self.end = "stored"
        return BlobRef(hashlib.sha256(self.data).hexdigest(), len(self.data))

    def discard(self) -> None:
        if not self.end:
            self.end = "discarded"


class Upload:
    """One request whose body arrives in given chunks, and the blobs it staged."""

    def __init__(
        self,
        chunks: Sequence[bytes],
        *,
        content_type: str = "multipart/form-data; boundary=b",
        ends: bool = True,
    ) -> None:
        self.blobs: list[MemoryBlob] = []
        self.budget = ByteBudget()
        self._events: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        self._events.append(
            {"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"}
        )
        headers = [(b"content-type", content_type.encode("latin-1"))]
        self.request = Request({"type": "http", "method": "POST", "headers": headers}, self._receive)

    async def _receive(self) -> Message:
        return self._events.pop(0)

    def stage(self) -> MemoryBlob:
        self.blobs.append(MemoryBlob())
        return self.blobs[-1]

    def read(self, limits: FormLimits | None = None, text_parts: frozenset[str] = frozenset()) -> Form:
        async def run() -> Form:
            with self.budget.hold() as hold:
                return await read_form(
                    self.request,
                    stage=self.stage,
                    limits=limits or FormLimits(),
                    hold=hold,
                    text_parts=text_parts,
                )

        return asyncio.run(run())


def part(name: str, data: bytes, *, filename: str | None = None, headers: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{headers}\r\n'.encode()
        + data
        + b"\r\n"
    )


END = b"--b--\r\n"
BODY = (
    part("to", "받는 사람 <a@example.com>".encode())
    + part(
        "files",
        b"\x00\r\n--c is no boundary\r\n--",
        filename="견적.pdf",
        headers="Content-Type: application/pdf\r\n",
    )
    + part("to", b"second")
    + END
)


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_form_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    """Fields and files do not depend on how the body is cut into chunks."""
    edges = sorted({0, *cuts, len(BODY)})
    upload = Upload([BODY[start:end] for start, end in itertools.pairwise(edges)])
    form = upload.read()
    assert [("to", "받는 사람 <a@example.com>"), ("to", "second")] == form.fields
    assert [("files", "견적.pdf", "application/pdf")] == [
        (file.name, file.filename, file.content_type) for file in form.files
    ]
    assert b"\x00\r\n--c is no boundary\r\n--" == upload.blobs[0].data
    assert 0 == upload.budget.used


@given(st.integers(0, len(BODY) - len(END) + 4))
def test_truncated_form_leaves_nothing(size: int) -> None:
    """A form cut anywhere before the end of its closing boundary is refused and every file discarded."""
    for ends in (True, False):
        upload = Upload([BODY[:size]], ends=ends)
        with pytest.raises(MalformedError):
            upload.read()
        assert {"discarded"} >= {blob.end for blob in upload.blobs}


def test_store_commits_every_file_in_order() -> None:
    """``store`` returns one reference a file, in the order of the form."""
    form = Upload([part("a", b"one", filename="1") + part("b", b"two", filename="2") + END]).read()
    refs = asyncio.run(form.store())
    assert [BlobRef(hashlib.sha256(data).hexdigest(), 3) for data in (b"one", b"two")] == refs


def test_large_file_is_written_in_batches() -> None:
    """A file goes to its blob in batches while it arrives, not in one piece and not per chunk."""
    data = b"x" * 1_000_000
    body = part("files", data, filename="x") + END
    upload = Upload([body[at : at + 16384] for at in range(0, len(body), 16384)])
    upload.read()
    assert data == upload.blobs[0].data
    assert 4 == upload.blobs[0].writes


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"--b\r\nX: " + b"a" * 8_000_000 + b"\r\n\r\nx\r\n" + END, id="8 MB header value"),
        pytest.param(b"".join(b"--b\r\nX%d: y\r\n" % at for at in range(20)), id="headers without end"),
        pytest.param(b"--b\r\n\r\nx\r\n" + END, id="no content-disposition"),
        pytest.param(
            b"--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n" + END, id="not form-data"
        ),
        pytest.param(part("a", b"QUFB", headers="Content-Transfer-Encoding: base64\r\n") + END, id="encoded"),
        pytest.param(
            part("a", b"x", headers="Content-Type: multipart/mixed; boundary=c\r\n") + END, id="nested"
        ),
        pytest.param(
            part("a", b"x", headers="Content-Type: text/plain; charset=euc-kr\r\n") + END, id="charset"
        ),
        pytest.param(part("a", b"\xb0\xa1") + END, id="not UTF-8"),
        pytest.param(part("a", b"x", headers="Content-Disposition: form-data; name=b\r\n") + END, id="twice"),
        pytest.param(b"garbage" * 1000, id="garbage"),
        pytest.param(b"", id="empty"),
    ],
)
def test_malformed_form_is_refused(body: bytes) -> None:
    """What RFC 7578 forbids, and what cannot be read, is refused."""
    upload = Upload([body])
    with pytest.raises(MalformedError):
        upload.read()
    assert 0 == upload.budget.used


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        pytest.param(part("a", b"x") * 20000 + END, FormLimits(), id="parts"),
        pytest.param(part("a", b"x" * 3_000_000) + END, FormLimits(), id="field"),
        pytest.param(part("a", b"x" * 300) * 4 + END, FormLimits(max_fields=1000), id="fields together"),
        pytest.param(part("a", b"x" * 600, filename="f") * 2 + END, FormLimits(max_files=1000), id="files"),
        pytest.param(END + b"\n" * 2000, FormLimits(max_body=1000), id="epilogue"),
    ],
)
def test_limits_end_the_reading_at_once(body: bytes, limits: FormLimits) -> None:
    """A crossed limit is 413 while the rest of the body is still unread."""
    chunks = [body[at : at + 500] for at in range(0, len(body), 500)]
    upload = Upload([*chunks, b"unread"])
    with pytest.raises(TooLargeError):
        upload.read(limits)
    assert upload._events
    assert {"discarded"} >= {blob.end for blob in upload.blobs}


def test_budget_refuses_and_recovers() -> None:
    """Over the byte budget a body is refused with a time to come back, and all charges return."""
    upload = Upload([b"x" * 100] * 3)
    upload.budget.ceiling = 1000

    async def run() -> None:
        with upload.budget.hold() as hold:
            await read_body(upload.request, max_body=1000, hold=hold)

    with upload.budget.hold() as other:
        other.grow(500)
        with pytest.raises(OverloadError):
            asyncio.run(run())
        assert 500 == upload.budget.used
    assert 0 == upload.budget.used


def test_the_largest_body_finds_room_on_an_idle_server() -> None:
    """One body never fills the whole budget, and leaves room for small ones beside it."""
    upload = Upload([b"x" * 100] * 3)
    upload.budget.ceiling = 1000

    async def run() -> None:
        with upload.budget.hold() as hold, upload.budget.hold() as small:
            assert 300 == len(await read_body(upload.request, max_body=1000, hold=hold))
            small.grow(250)
            assert 1000 == upload.budget.used

    asyncio.run(run())
    assert 0 == upload.budget.used


@each(
    "content_type",
    [
        'multipart/form-data; boundary="a\r\nX: y"; boundary=b',
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'b' * 71}",
        'multipart/form-data; boundary="b "',
        "multipart/form-data; boundary=b;c",
        'multipart/form-data; !="' + "\\" * 50000,
    ],
)
def test_boundary_is_strict(content_type: str) -> None:
    """One boundary of 1 to 70 safe characters, found without slow parsing."""
    if content_type.endswith("b;c"):
        assert "b" == boundary_of(content_type)
        return
    with pytest.raises(MalformedError):
        boundary_of(content_type)


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed; boundary=b"])
def test_other_bodies_are_unsupported(content_type: str) -> None:
    """Anything but multipart/form-data is 415."""
    with pytest.raises(HttpError) as caught:
        boundary_of(content_type)
    assert 415 == caught.value.status


def test_plain_filename_wins_and_charset_field_is_nothing_special() -> None:
    """``filename*`` is ignored and ``_charset_`` is a field like any other."""
    body = (
        part("_charset_", b"utf-7")
        + b'--b\r\nContent-Disposition: form-data; name="f"; filename="ok.txt"; '
        + b"filename*=utf-8''evil.exe\r\n\r\nx\r\n"
        + END
    )
    form = Upload([body]).read()
    assert ["ok.txt"] == [file.filename for file in form.files]
    assert [("_charset_", "utf-7")] == form.fields


def test_empty_file_input_is_no_file_and_text_parts_are_text() -> None:
    """A browser's empty file input adds nothing; a named text part stays text even with a filename."""
    body = part("f", b"", filename="") + part("message", b"{}", filename="message.json") + END
    upload = Upload([body])
    form = upload.read(text_parts=frozenset({"message"}))
    assert [] == form.files
    assert [("message", "{}")] == form.fields
    assert ["discarded"] == [blob.end for blob in upload.blobs]


def test_disk_full_while_staging_discards() -> None:
    """A failing write discards what was staged before it."""

    class FullBlob(MemoryBlob):
        def write(self, data: bytes) -> None:
            raise PostroomError(len(data))

    upload = Upload([part("a", b"x", filename="1") + END])
    blob = FullBlob()
    upload.stage = lambda: blob  # type: ignore[method-assign] # the point of the test
    with pytest.raises(PostroomError):
        upload.read()
    assert "discarded" == blob.end
