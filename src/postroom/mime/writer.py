"""The MIME writer: frozen content to RFC 5322 bytes and blob segments.

Wire bytes are a pure function of (content, variant). The shape, every multipart with one child collapsed:

    multipart/mixed                      only with attachments
      multipart/related                  only with inline images
        multipart/alternative            only with both bodies
          text/plain; charset=utf-8
          text/html; charset=utf-8
        image/png                        Content-ID, disposition inline
      application/pdf                    disposition attachment

Bcc is never written: it is not part of the content. Files are always base64 and stay on disk: a rendered
message names them, and ``wire_chunks`` encodes them while they are sent.

Does not sign, does not stuff dots, does not judge: what the edge must have refused raises InvariantError.

Sources: RFC 5322 section 3.6, RFC 2045, RFC 2046 section 5.1, RFC 2183, RFC 2387, RFC 6532.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO

from postroom.errors import InvariantError
from postroom.grammar import MEDIA_TYPE
from postroom.mime import headers
from postroom.mime.filenames import safe_filename
from postroom.mime.html import html_to_text
from postroom.mime.raw_writer import render_raw
from postroom.mime.rendered import DEFAULT_VARIANT, BlobSegment, RenderedMessage, Segment, Variant
from postroom.mime.text import base64_lines, encode_text
from postroom.model.address import Mailbox
from postroom.model.message import Attachment, BlobRef, Content, Disposition

ENCODER_VERSION = b"postroom-mime-1\n"
"""Begins every digest; raised when the same content would give other bytes."""

_READ_SIZE = 57 * 832
"""Octets read from a blob at once: whole base64 lines, close below 64 KiB on the wire."""
_BOUNDARY_SEED = re.compile(r"[0-9A-Za-z._+\-]{8,60}\Z")
"""With ``=_`` before it no base64 or quoted-printable line can begin like it (RFC 2045 section 6.7)."""
_NOT_BASE64 = ("message/", "multipart/")
"""Types that may not be base64 (RFC 2046 section 5); their files are sent as plain octets."""

_Part = list[str | bytes | BlobRef]
"""Header text and blank line, encoded body or blob, in wire order."""


def render(content: Content, variant: Variant = DEFAULT_VARIANT) -> RenderedMessage:
    """Write a message. Raises InvariantError for what no edge may let through."""
    if content.raw is not None:
        return render_raw(content, content.raw, variant)
    content = variant.applied(content)
    try:
        part = _body(content)
        part.insert(0, _header(content, variant.subject_prefix))
        return _rendered(part, needs_smtputf8=_has_international_address(content))
    except UnicodeEncodeError as error:
        raise InvariantError("a lone surrogate in a message") from error


def wire_chunks(rendered: RenderedMessage, open_blob: Callable[[BlobRef], BinaryIO]) -> Iterator[bytes]:
    """Yield the bytes of a message in order, before dot-stuffing, files in chunks of about 58 KiB.

    ``open_blob`` opens a blob for reading; each file is closed here. Raises InvariantError when a file
    has not the size it was stored with: the message must then not be ended.
    """
    for segment in rendered.segments:
        if isinstance(segment, bytes):
            yield segment
        elif isinstance(segment, BlobSegment):
            yield from _blob_chunks(segment.ref, open_blob)
        else:
            yield from _raw_chunks(segment.ref, open_blob)


def _blob_chunks(ref: BlobRef, open_blob: Callable[[BlobRef], BinaryIO]) -> Iterator[bytes]:
    left = ref.size
    with open_blob(ref) as file:
        while data := file.read(_READ_SIZE):
            left -= len(data)
            if len(data) != _READ_SIZE and left:
                break
            yield base64_lines(data)
    if left:
        raise InvariantError(f"the file of blob {ref.sha256} has not its {ref.size} bytes")


def _raw_chunks(ref: BlobRef, open_blob: Callable[[BlobRef], BinaryIO]) -> Iterator[bytes]:
    left = ref.size
    with open_blob(ref) as file:
        while data := file.read(_READ_SIZE):
            left -= len(data)
            yield data
    if left:
        raise InvariantError(f"the file of blob {ref.sha256} has not its {ref.size} bytes")


def _rendered(part: _Part, *, needs_smtputf8: bool) -> RenderedMessage:
    """Join what is in memory, measure, and take the digest."""
    segments: list[Segment] = []
    memory: list[bytes] = []
    size = 0
    digest = sha256(ENCODER_VERSION)
    for piece in part:
        if isinstance(piece, str):
            memory.append(piece.encode())
        elif isinstance(piece, bytes):
            memory.append(piece)
        else:
            blob = BlobSegment(piece)
            joined = b"".join(memory)
            digest.update(b"%s\n%d:%s\n" % (joined, len(joined), piece.sha256.encode()))
            segments += (joined, blob)
            size += len(joined) + blob.wire_size
            memory.clear()
    if memory:
        joined = b"".join(memory)
        digest.update(joined)
        segments.append(joined)
        size += len(joined)
    return RenderedMessage(
        segments=tuple(segments), size=size, digest=digest.hexdigest(), needs_smtputf8=needs_smtputf8
    )


def _header(content: Content, subject_prefix: str) -> str:
    """Write every field of the top header but those of the content type."""
    author, sender = content.from_, content.sender
    fields = [headers.mailboxes("From", (author,))]
    if sender is not None and sender.address != author.address:
        fields.append(headers.mailboxes("Sender", (sender,)))
    if content.reply_to:
        fields.append(headers.mailboxes("Reply-To", content.reply_to))
    if content.to:
        fields.append(headers.mailboxes("To", content.to))
    elif not content.cc:
        fields.append("To: undisclosed-recipients:;\r\n")
    if content.cc:
        fields.append(headers.mailboxes("Cc", content.cc))
    fields += (
        headers.unstructured("Subject", subject_prefix + content.subject),
        headers.date(content.date),
        headers.message_ids("Message-ID", (content.message_id,)),
    )
    if content.in_reply_to is not None:
        fields.append(headers.message_ids("In-Reply-To", (content.in_reply_to,)))
    if content.references or content.in_reply_to is not None:
        fields.append(headers.message_ids("References", content.references or (content.in_reply_to or "",)))
    fields.append("MIME-Version: 1.0\r\n")
    for name, value in content.headers:
        fields.append(headers.caller_header(name, value))
    return "".join(fields)


def _has_international_address(content: Content) -> bool:
    def is_international(box: Mailbox | None) -> bool:
        return box is not None and not box.address.local.isascii()

    if is_international(content.from_) or is_international(content.sender):
        return True
    return any(
        not box.address.local.isascii()
        for boxes in (content.to, content.cc, content.reply_to)
        for box in boxes
    )


def _body(content: Content) -> _Part:
    """Write the content type and the body of the whole message."""
    images: list[_Part] = []
    files: list[_Part] = []
    for number, attachment in enumerate(content.attachments, start=1):
        is_image = content.html is not None and (
            attachment.disposition is Disposition.INLINE and attachment.content_id is not None
        )
        (images if is_image else files).append(_file(attachment, number))
    part = _texts(content)
    if images:
        part = _multipart(
            f"related; type={headers.quoted_string(_type_of(part))}", "r", content.boundary, [part, *images]
        )
    if files:
        part = _multipart("mixed", "m", content.boundary, [part, *files])
    return part


def _texts(content: Content) -> _Part:
    """Write the plain and the HTML body; a missing plain one is derived."""
    if content.html is None:
        return _text("plain", content.text or "")
    text = html_to_text(content.html) if content.text is None else content.text
    page = _text("html", content.html)
    if not text or text.isspace():
        return page
    return _multipart("alternative", "a", content.boundary, [_text("plain", text), page])


def _type_of(part: _Part) -> str:
    """Return the media type a part announces, for the ``type`` parameter of RFC 2387."""
    first = part[0]
    return first[len("Content-Type: ") :].partition(";")[0] if isinstance(first, str) else ""


def _text(subtype: str, text: str) -> _Part:
    coding, body = encode_text(text)
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
    return [head, body]


def _file(attachment: Attachment, number: int) -> _Part:
    if not MEDIA_TYPE.match(attachment.content_type):
        raise InvariantError("an attachment's content type is not type/subtype")
    content_type = attachment.content_type
    if content_type.lower().startswith(_NOT_BASE64):
        content_type = "application/octet-stream"
    name = safe_filename(attachment.filename, number)
    head = headers.named_file(content_type, attachment.disposition.value, name)
    if attachment.content_id is not None:
        head += headers.content_id(attachment.content_id)
    return [f"{head}Content-Transfer-Encoding: base64\r\n\r\n", attachment.blob]


def _multipart(kind: str, suffix: str, seed: str, children: list[_Part]) -> _Part:
    """Put children into a multipart; each child's last CR LF is its delimiter's (RFC 2046 section 5.1.1)."""
    if not _BOUNDARY_SEED.match(seed):
        raise InvariantError("a boundary seed is not 8 to 60 letters, digits and . _ + -")
    boundary = f"=_{seed}.{suffix}"
    part: _Part = [f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n']
    for child in children:
        part.append(f"--{boundary}\r\n")
        part += child
    part.append(f"--{boundary}--\r\n")
    return part
