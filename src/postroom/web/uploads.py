"""Reads request bodies: whole (JSON) or as a form whose files stream into the blob store.

Rules: nothing is kept beyond a limit that was crossed; a form counts only with its closing boundary
(a truncated upload stores nothing, reliability rule A8); text is UTF-8 and nothing else; a file is
hashed while it is written and reaches its final name only by ``Form.store``, after everything else
about the request was found right.

Not here: what the fields mean. Who may upload is decided before the first byte is read (``web.auth``).

Sources: RFC 7578 (multipart/form-data), RFC 2046 section 5.1.1 (boundaries).
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from postroom.errors import MalformedError, Problem, TooLargeError
from postroom.grammar import MEDIA_TYPE
from postroom.model.message import BlobRef
from postroom.ports import StagedBlob
from postroom.web.budget import JSON_WEIGHT, MIB, Hold
from postroom.web.problem import HttpError

if TYPE_CHECKING:  # the parser's module defines this name for type checkers only
    from python_multipart.multipart import MultipartCallbacks

WRITE_BATCH = 256 * 1024
"""Bytes gathered before a blocking write: hashing and writing them takes well under a millisecond."""
MAX_CONTENT_TYPE = 1024
"""Octets of the request's Content-Type (security limit: option parsers are not linear)."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]\Z")
"""RFC 2046 section 5.1.1 boundary."""
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})

# The parser logs each complaint with bytes of the caller and then raises; the raise is enough.
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """Security limits of one form; sizes in bytes."""

    max_files: int = 50 * MIB
    """All files together."""
    max_field: int = 2 * MIB
    """One text field."""
    max_fields: int = 8 * MIB
    """All text fields together."""
    max_parts: int = 200
    max_body: int = 60 * MIB
    """The whole body, with boundaries and part headers."""
    max_part_headers: int = 8
    max_part_header: int = 4096
    """One header line of a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """One file part."""

    name: str
    """Name of the form field."""
    filename: str
    """As sent, UTF-8; may be empty and is never a path to use."""
    content_type: str
    """``type/subtype`` in lower case without parameters."""
    blob: StagedBlob


@dataclass(slots=True)
class Form:
    """A complete form. ``store`` or ``discard`` it."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[UploadedFile] = field(default_factory=list)

    async def store(self) -> list[BlobRef]:
        """Bring every file to stable storage, in the order of ``files``, without blocking the loop."""
        if not self.files:
            return []
        return await asyncio.to_thread(lambda: [file.blob.commit() for file in self.files])

    def discard(self) -> None:
        """Remove the files that were not stored."""
        for file in self.files:
            file.blob.discard()


async def read_body(request: Request, *, max_body: int, hold: Hold, weight: int = JSON_WEIGHT) -> bytes:
    """Return the whole body, charged ``weight`` times its size to ``hold``.

    Raises TooLargeError as soon as ``max_body`` bytes are crossed, OverloadError over the budget,
    MalformedError when the connection ends before the body does.
    """
    chunk, more = await _chunk(request, 0, max_body)
    hold.grow(len(chunk) * weight)
    if not more:  # as nearly always: it came with the head
        return chunk
    chunks, size = [chunk], len(chunk)
    while more:
        chunk, more = await _chunk(request, size, max_body)
        size += len(chunk)
        hold.grow(len(chunk) * weight)
        chunks.append(chunk)
    return b"".join(chunks)


async def read_chunks(request: Request, *, max_body: int) -> AsyncIterator[bytes]:
    """Yield a body as it comes; the caller charges what it keeps.

    Raises TooLargeError when ``max_body`` bytes are crossed, MalformedError when the connection ends first.
    """
    size, more = 0, True
    while more:
        chunk, more = await _chunk(request, size, max_body)
        size += len(chunk)
        yield chunk


async def read_lines(request: Request, *, max_body: int, max_line: int) -> AsyncIterator[bytes]:
    """Yield the lines of a body without their LF; of a longer one the first ``max_line`` bytes and one more.

    Raises TooLargeError when ``max_body`` bytes are crossed, MalformedError when the connection ends first.
    """
    size, more, rest, is_cut = 0, True, b"", False
    while more:
        chunk, more = await _chunk(request, size, max_body)
        size += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not is_cut:
                yield line[: max_line + 1]
            is_cut = False
        if is_cut or len(rest) > max_line:
            if not is_cut:
                yield rest[: max_line + 1]
            rest, is_cut = b"", True
    if rest:
        yield rest


async def _chunk(request: Request, size: int, max_body: int) -> tuple[bytes, bool]:
    """Return what comes after ``size`` bytes of a body, and whether there is more."""
    event = await request.receive()
    if event["type"] == "http.disconnect":
        raise _truncated()
    chunk: bytes = event.get("body", b"")
    if size + len(chunk) > max_body:
        raise _too_large("body", size + len(chunk), max_body)
    return chunk, event.get("more_body", False)


async def read_form(
    request: Request,
    *,
    stage: Callable[[], StagedBlob],
    limits: FormLimits,
    hold: Hold,
    text_parts: frozenset[str] = frozenset(),
) -> Form:
    """Read a multipart/form-data body; files are staged, not yet stored.

    A part with a filename is a file, unless its name is in ``text_parts``. On any failure every staged
    file is discarded before the exception leaves.

    Raises:
        HttpError: 415, the body is not multipart/form-data.
        MalformedError: broken or cut short, a part that RFC 7578 forbids, text that is not UTF-8.
        TooLargeError: a limit was crossed.
        OverloadError: the byte budget is used up.
        DiskFullError: the disk is too full to take the file.
    """
    reader = _FormReader(
        boundary_of(request.headers.get("content-type", "")), stage, limits, hold, text_parts
    )
    hold.grow(WRITE_BATCH)
    try:
        size, more = 0, True
        while more:
            chunk, more = await _chunk(request, size, limits.max_body)
            size += len(chunk)
            reader.feed(chunk)
        return reader.finish()
    except BaseException:
        reader.form.discard()
        raise


def boundary_of(content_type: str) -> str:
    """Return the boundary of a multipart/form-data Content-Type. Raises HttpError 415, MalformedError."""
    if len(content_type) > MAX_CONTENT_TYPE:
        raise _malformed(
            "content-type", f"the header has {len(content_type)} characters, {MAX_CONTENT_TYPE} are allowed"
        )
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise HttpError(
            415,
            Problem(
                code="unsupported-media-type",
                field="content-type",
                cause="the body is not multipart/form-data",
                fix="Send multipart/form-data, or JSON where the operation takes JSON.",
            ),
        )
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if content_type.lower().count("boundary=") != 1 or not _BOUNDARY.match(boundary):
        raise _malformed("content-type", "one boundary of 1 to 70 safe characters is required")
    return boundary


class _FormReader:
    """Callbacks of the push parser; one part at a time."""

    def __init__(  # noqa: PLR0917 - built in one place
        self,
        boundary: str,
        stage: Callable[[], StagedBlob],
        limits: FormLimits,
        hold: Hold,
        text_parts: frozenset[str],
    ) -> None:
        self.form = Form()
        self._stage = stage
        self._limits = limits
        self._hold = hold
        self._text_parts = text_parts
        self._parts = self._file_bytes = self._field_bytes = 0
        self._ended = False
        self._name = ""
        self._file: UploadedFile | None = None
        self._data = bytearray()
        self._headers: dict[str, str] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_header_begin": self._header_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_text,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }
        self._parser = MultipartParser(
            boundary,
            callbacks,
            max_header_count=limits.max_part_headers,
            max_header_size=limits.max_part_header,
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed("body", f"not a readable form: {error}") from None

    def finish(self) -> Form:
        if not self._ended:
            raise _truncated()
        return self.form

    def _end(self) -> None:
        self._ended = True

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise _too_large("body", self._parts, self._limits.max_parts, unit="parts")
        self._headers.clear()

    def _header_begin(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_text(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        name = self._header_name.decode("ascii").lower()
        if name in self._headers:
            raise _malformed("body", f"a part has two {name} headers")
        try:
            self._headers[name] = self._header_value.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed("body", f"a part's {name} header is not UTF-8") from None

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition", "").encode())
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("body", "a part has no Content-Disposition: form-data with a name")
        self._name = options[b"name"].decode("utf-8")
        encoding = self._headers.get("content-transfer-encoding", "binary").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise _malformed(self._name, "RFC 7578 section 4.7 forbids Content-Transfer-Encoding in a form")
        kind, parameters = parse_options_header(self._headers.get("content-type", "").encode())
        content_type = kind.decode("latin-1") or (
            "application/octet-stream" if b"filename" in options else "text/plain"
        )
        if content_type.startswith("multipart/") or not MEDIA_TYPE.match(content_type):
            raise _malformed(self._name, "the part's Content-Type is not a plain type/subtype")
        self._data.clear()
        self._file = None
        if b"filename" in options and self._name not in self._text_parts:
            filename = options[b"filename"].decode("utf-8")
            self._file = UploadedFile(
                name=self._name, filename=filename, content_type=content_type, blob=self._stage()
            )
            self.form.files.append(self._file)
        elif parameters.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"us-ascii"}:
            raise _malformed(self._name, "the part's charset is not UTF-8")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        limits = self._limits
        size = end - start
        if self._file is None:
            self._field_bytes += size
            if len(self._data) + size > limits.max_field:
                raise _too_large(self._name, len(self._data) + size, limits.max_field)
            if self._field_bytes > limits.max_fields:
                raise _too_large("body", self._field_bytes, limits.max_fields)
            self._hold.grow(size * JSON_WEIGHT)
            self._data += data[start:end]
            return
        self._file_bytes += size
        if self._file_bytes > limits.max_files:
            raise _too_large(self._name, self._file_bytes, limits.max_files)
        self._data += data[start:end]
        if len(self._data) >= WRITE_BATCH:
            self._file.blob.write(bytes(self._data))
            self._data.clear()

    def _part_end(self) -> None:
        if self._file is not None:
            if self._data:
                self._file.blob.write(bytes(self._data))
            elif not self._file.filename and not self._file.blob.size:
                # A browser sends an empty part for a file input that was left empty.
                self.form.files.remove(self._file)
                self._file.blob.discard()
            return
        try:
            self.form.fields.append((self._name, self._data.decode("utf-8")))
        except UnicodeDecodeError:
            raise _malformed(self._name, "the field is not UTF-8") from None


def _malformed(field_name: str, cause: str) -> MalformedError:
    return MalformedError(
        [
            Problem(
                code="malformed-body", field=field_name, cause=cause, fix="Send a complete, well-formed body."
            )
        ]
    )


def _truncated() -> MalformedError:
    return MalformedError(
        [
            Problem(
                code="truncated-body",
                field="body",
                cause="the body ends before it is complete; nothing was stored",
                fix="Send the whole body, up to its closing boundary and its Content-Length.",
            )
        ]
    )


def _too_large(field_name: str, size: int, limit: int, *, unit: str = "bytes") -> TooLargeError:
    return TooLargeError(
        Problem(
            code="too-large",
            field=field_name,
            cause=f"at least {size} {unit} came, {limit} are allowed",
            fix="Send less, or put large files elsewhere and mail a link.",
        )
    )
