"""A raw mail read to fields: what a person would see of it. Nothing here raises, whatever the bytes are.

Readers of mail differ, so this is one reading, for showing and for ways out that post fields; what is sent by
SMTP is never made from it. Texts that are not attached and have no file name are the text; everything else is
a file, a mail inside the mail too (it is not opened). Of several texts the plain ones are joined, and so are
the HTML ones. Files are decoded when they are asked for.

Bounds: ``MAX_DEPTH`` multiparts inside each other, ``MAX_PARTS`` parts, ``MAX_TEXT`` octets of a text; what
is beyond is left out and ``is_whole`` is false. The mail may be an ``mmap``: only texts, and files that are
asked for, are copied.

Does not write, check signatures, open winmail.dat, or make sense of uuencode.

Sources: RFC 2045, RFC 2046, RFC 2047, RFC 2183, RFC 2231, RFC 5322.
"""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mimetypes import MimeTypes
from mmap import mmap
from urllib.parse import unquote_to_bytes

from postroom.grammar import MEDIA_TYPE
from postroom.mime.address_fields import read_mailboxes
from postroom.mime.decoded_words import codec_of, decode_words, one_line
from postroom.mime.filenames import safe_filename
from postroom.model.address import AddressError, Mailbox
from postroom.model.message import Disposition

MAX_DEPTH = 20
"""Multiparts inside each other (security limit); mail programs write three or four."""
MAX_PARTS = 500
"""Parts in all (security limit)."""
MAX_TEXT = 4 * 1024 * 1024
"""Octets of one text that are decoded (security limit)."""
_MAX_PART_HEAD = 64 * 1024
_MAX_VALUE = 16 * 1024
"""Octets of one field's value that are looked at."""
_MAX_CONTINUATIONS = 100

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_UNFOLD = re.compile(rb"\r?\n(?=[ \t])")
_TYPE = re.compile(r"\s*([^\s;]+)")
_PARAMETER = re.compile(r';\s*+([^\s=;"]{1,60}+)\s*+=\s*+("(?:[^"\\]|\\.)*+"?|[^;"]*+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CONTINUED = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?\Z")
_TYPES = MimeTypes()
"""The interpreter's own table."""
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")

Source = bytes | mmap


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """One file of a mail."""

    filename: str
    """Safe to store under: one harmless component."""
    content_type: str
    """``type/subtype`` in lower case; ``application/octet-stream`` when none that can be is given."""
    content_id: str | None
    """Without angle brackets."""
    disposition: Disposition
    source: Source = field(repr=False)
    start: int
    end: int
    coding: str

    def content(self) -> bytes:
        """Return the decoded file; what does not decode is left out."""
        return _decoded(self.source[self.start : self.end], self.coding)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMail:
    """What a person would see of a mail."""

    subject: str
    from_: tuple[Mailbox, ...]
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    """Each empty when it is missing or cannot be read."""
    text: str | None
    html: str | None
    """Line ends are LF; ``None`` when there is no such text."""
    files: tuple[ReadFile, ...]
    is_whole: bool
    """No limit cut anything off."""


def read_mail(head: bytes, body: Source) -> ReadMail:
    """Read a mail; ``head`` is the header fields without the empty line after them."""
    fields = _fields(head)
    walk = _Walk(body)
    walk.part(fields, 0, len(body))
    return ReadMail(
        subject=decode_words(_text_of(fields.get("subject", b""))),
        from_=_boxes(fields, "from"),
        to=_boxes(fields, "to"),
        cc=_boxes(fields, "cc"),
        reply_to=_boxes(fields, "reply-to"),
        text="\n".join(walk.plain) if walk.plain else None,
        html="\n".join(walk.pages) if walk.pages else None,
        files=tuple(walk.files),
        is_whole=walk.is_whole,
    )


class _Walk:
    """Goes through the parts of one mail."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.plain: list[str] = []
        self.pages: list[str] = []
        self.files: list[ReadFile] = []
        self.is_whole = True
        self._parts = 0

    def part(self, fields: Mapping[str, bytes], start: int, end: int, depth: int = 0) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            self.is_whole = False
            return
        kind, parameters = _parameters(fields.get("content-type", b"text/plain"))
        if kind.startswith("multipart/") and (boundary := parameters.get("boundary")):
            if depth == MAX_DEPTH:
                self.is_whole = False
                return
            for inner, inner_end in self._children(boundary, start, end):
                head, body = self._head(inner, inner_end)
                self.part(head, body, inner_end, depth + 1)
            return
        self._leaf(fields, (kind, parameters), start, end)

    def _children(self, boundary: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each part of a multipart begins and ends, preamble and epilogue left out."""
        mark = b"--" + boundary.encode("utf-8", "replace")
        source, opened = self.source, -1
        at = start if source[start : start + len(mark)] == mark else self._next(mark, start, end)
        while at >= 0 and self._parts <= MAX_PARTS:
            after = source.find(b"\n", at, end)
            after = end if after < 0 else after
            line = source[at:after].rstrip(b"\r \t")
            if line in (mark, mark + b"--"):
                if opened >= 0:
                    yield opened, self._before_line_end(opened, at)
                if line != mark:
                    return
                opened = min(after + 1, end)
            at = self._next(mark, after, end)
        if opened >= 0:
            yield opened, end

    def _next(self, mark: bytes, start: int, end: int) -> int:
        """Return where a line begins with ``mark``, the line end before it not before ``start``."""
        found = self.source.find(b"\n" + mark, start, end)
        return found if found < 0 else found + 1

    def _before_line_end(self, start: int, at: int) -> int:
        """Return the end of a part before the delimiter at ``at``, whose line end is the delimiter's."""
        end = at - 1
        if end > start and self.source[end - 1 : end] == b"\r":
            end -= 1
        return max(end, start)

    def _head(self, start: int, end: int) -> tuple[Mapping[str, bytes], int]:
        """Return the fields of a part and where its body begins."""
        for empty in (b"\r\n", b"\n"):
            if self.source[start : start + len(empty)] == empty:
                return {}, start + len(empty)
        match = _BLANK_LINE.search(self.source, start, min(end, start + _MAX_PART_HEAD))
        if match is None:
            return _fields(self.source[start : min(end, start + _MAX_PART_HEAD)]), end
        return _fields(self.source[start : match.start()]), match.end()

    def _leaf(
        self, fields: Mapping[str, bytes], typed: tuple[str, Mapping[str, str]], start: int, end: int
    ) -> None:
        """Take a part that is no multipart, as text or as a file."""
        kind, parameters = typed
        shown, more = _parameters(fields.get("content-disposition", b""))
        name = decode_words(more.get("filename") or parameters.get("name") or "")
        coding = _text_of(fields.get("content-transfer-encoding", b"")).lower()
        is_text = kind in ("text/plain", "text/html") and shown != "attachment" and not name
        if is_text:
            if end - start > MAX_TEXT:
                self.is_whole = False
            data = _decoded(self.source[start : min(end, start + MAX_TEXT)], coding)
            (self.plain if kind == "text/plain" else self.pages).append(
                _characters(data, parameters.get("charset", ""))
            )
            return
        content_id = _text_of(fields.get("content-id", b"")).removeprefix("<").removesuffix(">")
        is_inline = shown == "inline" or (content_id and shown != "attachment")
        number = len(self.files) + 1
        self.files.append(
            ReadFile(
                filename=safe_filename(name or f"attachment-{number}{_suffix(kind)}", number),
                content_type=kind if MEDIA_TYPE.match(kind) else "application/octet-stream",
                content_id=content_id or None,
                disposition=Disposition.INLINE if is_inline else Disposition.ATTACHMENT,
                source=self.source,
                start=start,
                end=end,
                coding=coding,
            )
        )


def _suffix(kind: str) -> str:
    """Return the end of a name for a file that has none."""
    if kind == "message/rfc822":
        return ".eml"
    return _TYPES.guess_extension(kind) or ".bin"


def _fields(head: bytes) -> Mapping[str, bytes]:
    """Return the first value of each field by its name in lower case; lines that are no field are skipped."""
    found: dict[str, bytes] = {}
    for line in _UNFOLD.sub(b"", head).splitlines():
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.strip().lower().decode("ascii", "replace"), value[:_MAX_VALUE].strip())
    return found


def _text_of(value: bytes) -> str:
    return one_line(value.decode("utf-8", "replace"))


def _boxes(fields: Mapping[str, bytes], name: str) -> tuple[Mailbox, ...]:
    try:
        return read_mailboxes(_text_of(fields.get(name, b"")))
    except AddressError:
        return ()


def _parameters(value: bytes) -> tuple[str, Mapping[str, str]]:
    """Return the first word of a structured value, in lower case, and its parameters (RFC 2231 joined)."""
    text = value.decode("utf-8", "replace")
    match = _TYPE.match(text)
    kind = match[1].lower() if match else ""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for found in _PARAMETER.finditer(text):
        name, given = found[1].lower(), found[2].strip()
        if given.startswith('"'):
            given = _ESCAPE.sub(r"\1", given[1:].removesuffix('"'))
        part = _CONTINUED.match(name)
        if part is None or "*" not in name:
            plain.setdefault(name, given)
        elif int(part[2] or 0) < _MAX_CONTINUATIONS:
            pieces.setdefault(part[1], {}).setdefault(int(part[2] or 0), (given, part[3] is not None))
    return kind, plain | {name: _joined(numbered) for name, numbered in pieces.items()}


def _joined(numbered: Mapping[int, tuple[str, bool]]) -> str:
    """Join the pieces of one parameter and decode them in the charset that the first one names."""
    charset, octets = "", b""
    for number in sorted(numbered):
        given, is_extended = numbered[number]
        if is_extended and number == 0 and given.count("'") >= 2:
            charset, _, given = given.split("'", 2)
        octets += unquote_to_bytes(given) if is_extended else given.encode("utf-8", "replace")
    return one_line(_characters(octets, charset))


def _decoded(data: bytes, coding: str) -> bytes:
    if coding == "quoted-printable":
        return a2b_qp(data)
    if coding != "base64":
        return data
    try:
        return a2b_base64(data)
    except Error:
        letters = _NOT_BASE64.sub(b"", data)
        return a2b_base64(letters[: len(letters) // 4 * 4])


def _characters(data: bytes, charset: str) -> str:
    codec = codec_of(charset) or "utf-8"
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        text = data.decode(codec if codec_of(charset) else "latin-1", "replace")
    return text.replace("\r\n", "\n")


def files_by_content_id(files: Sequence[ReadFile]) -> Mapping[str, ReadFile]:
    """Return the files that an HTML text can name by ``cid:``, the first of each name."""
    found: dict[str, ReadFile] = {}
    for one in files:
        if one.content_id is not None:
            found.setdefault(one.content_id, one)
    return found
