"""Content for the tests of the MIME room, and the standard library's reading of what was written."""

import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any, BinaryIO, cast

from postroom.mime.rendered import DEFAULT_VARIANT, Variant
from postroom.mime.writer import render, wire_chunks
from postroom.model.address import Mailbox, parse_mailbox
from postroom.model.message import Attachment, BlobRef, Content

ANN = parse_mailbox("Ann Example <ann@example.com>")
BOB = parse_mailbox("bob@example.org")


def content(**fields: Any) -> Content:
    """Make a small valid content, fields replaced as given."""
    given: dict[str, Any] = {
        "message_id": "20260102030405.22abcdefghijkmnopqrstu@example.com",
        "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "boundary": "6QzV9wTn3KcY8mRb",
        "from_": ANN,
        "to": (BOB,),
        "subject": "Hello",
        "text": "Hello Bob.\n",
    }
    return Content(**(given | fields))


class BlobFiles:
    """Blobs in memory: makes attachments, opens them for the writer."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def attachment(self, data: bytes, **fields: Any) -> Attachment:
        """Store ``data`` and name it in an attachment."""
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data))
        self._files[ref.sha256] = data
        given: dict[str, Any] = {
            "filename": "file.bin",
            "content_type": "application/octet-stream",
            "blob": ref,
        }
        return Attachment(**(given | fields))

    def open(self, ref: BlobRef) -> BinaryIO:
        """Open a blob for reading."""
        return io.BytesIO(self._files[ref.sha256])


def wire(message: Content, files: BlobFiles | None = None, variant: Variant = DEFAULT_VARIANT) -> bytes:
    """Render to the bytes of the wire."""
    rendered = render(message, variant)
    data = b"".join(wire_chunks(rendered, (files or BlobFiles()).open))
    assert rendered.size == len(data)
    return data


def read(data: bytes) -> EmailMessage:
    """Parse with the standard library, the independent reader of these tests."""
    return message_from_bytes(data, policy=policy.default)


def names_of(data: bytes) -> list[str]:
    """Return the field names of the top header as they stand on the wire."""
    head = data.partition(b"\r\n\r\n")[0]
    return [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in {b" ", b"\t"}]


def addresses(message: EmailMessage, name: str) -> list[tuple[str, str]]:
    """Return the display names and addresses of a field.

    By the older of the library's parsers: the newer one puts blanks between encoded words of a phrase.
    """
    old = message_from_bytes(message.as_bytes(policy=policy.compat32), policy=policy.compat32)
    found = getaddresses(["".join(str(old[name]).splitlines())])
    return [(str(make_header(decode_header(phrase))), spec) for phrase, spec in found]


def assert_wire_form(data: bytes) -> None:
    """Require CR LF alone as line end, no NUL, no line above 998 octets, an end with CR LF."""
    assert data.endswith(b"\r\n")
    bare = data.replace(b"\r\n", b"")
    assert not set(bare) & {0, 10, 13}
    assert max(len(line) for line in data.split(b"\r\n")) <= 998


def shape(message: EmailMessage) -> Any:
    """Return the content types of a message as nested lists."""
    if not message.is_multipart():
        return message.get_content_type()
    return [message.get_content_type(), *(shape(cast("EmailMessage", part)) for part in message.iter_parts())]


def parameters(header: Any) -> Mapping[str, str]:
    """Return the parameters of a content type or disposition."""
    return dict(header.params)


def box(text: str) -> Mailbox:
    """Parse a mailbox."""
    return parse_mailbox(text)
