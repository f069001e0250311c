"""Reads a rendered message back and compares it with what was asked for, before it is accepted.

The second pair of eyes on the writer: shares no code with it, reads bytes, and requires exactly the
expected fields in their order, the expected address in every place of every address field, the expected
parts with the expected fields, CR LF alone as line end, no NUL and no line above 998 octets. A difference
is a bug of ours and raises InvariantError; the message is then not accepted.

Does not decode encoded words or bodies: the tests do that with the standard library's parser.

Sources: RFC 5322 sections 2.1, 2.2 and 3.4, RFC 2046 section 5.1.
"""

import re
from collections.abc import Iterable, Sequence

from postroom.errors import InvariantError
from postroom.mime.raw_writer import check_raw
from postroom.mime.rendered import DEFAULT_VARIANT, RenderedMessage, Segment, Variant
from postroom.model.address import Mailbox
from postroom.model.message import Content

_MAX_LINE = 998
_MAX_NESTING = 3
"""mixed, related, alternative."""

_OTHER_OCTETS = bytes(octet for octet in range(256) if octet not in b"\r\n\0")
_MAILBOX = re.compile(
    rb'\s*+(?:(?:"(?:[^"\\]|\\.)*+"|[^\s"(),:;<>@\\]++|\s++)*+<([^\s"(),:;<>@\\]++@[^\s"(),:;<>@\\]++)>'
    rb'|([^\s"(),:;<>@\\]++@[^\s"(),:;<>@\\]++))\s*+(?:,|\Z)',
    re.DOTALL,
)
"""One mailbox and the comma or end after it; a name is quoted strings, atoms and blanks."""
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_FILENAME = re.compile(rb"\s*(?:filename|filename\*(?:[0-9]+\*)?)=")
_BOUNDARY = re.compile(rb'\s*multipart/[a-z]+;.*\sboundary="([^"]+)"\Z', re.DOTALL)

_TEXT_FIELDS = [b"Content-Type", b"Content-Transfer-Encoding"]
_FILE_FIELDS = [b"Content-Type", b"Content-Disposition", b"Content-Transfer-Encoding"]
_IMAGE_FIELDS = [b"Content-Type", b"Content-Disposition", b"Content-ID", b"Content-Transfer-Encoding"]

_Fields = list[tuple[bytes, bytes]]
_Leaf = tuple[_Fields, bytes]
"""A part that is no multipart: its fields and its body, of a file the name of its blob."""


def check(rendered: RenderedMessage, content: Content, variant: Variant = DEFAULT_VARIANT) -> None:
    """Compare a rendered message with its content. Raises InvariantError naming the first difference."""
    if content.raw is not None:
        check_raw(rendered, content, content.raw, variant)
        return
    whole = _joined(rendered.segments)
    lines = whole.splitlines()
    _check_lines(whole, len(lines))
    fields = _fields(lines[: lines.index(b"")] if b"" in lines else lines)
    expected = _expected(content, variant)
    for (name, value), (wanted, boxes) in zip(fields, expected, strict=False):
        if name != wanted:
            raise InvariantError(f"the header {wanted.decode()} was expected, {_shown(name)} was written")
        if boxes is not None:
            _check_mailboxes(name, value, boxes)
    tail = fields[len(expected) :]
    if len(fields) <= len(expected) or tail[0][0] != b"Content-Type":
        raise InvariantError("the header does not end with its content type")
    if content.html is None and not content.attachments:
        if [name for name, _ in tail] != _TEXT_FIELDS:
            raise InvariantError("the only part of a message has not the fields of a text")
        return
    leaves: list[_Leaf] = []
    _walk(tail, whole.partition(b"\r\n\r\n")[2], leaves, 0)
    _check_leaves(leaves, content)


def _joined(segments: Sequence[Segment]) -> bytes:
    """Join the segments, a file as one line with the name of its blob."""
    if len(segments) == 1 and isinstance(segments[0], bytes):
        whole = segments[0]
    else:
        whole = b"".join(
            [
                segment if isinstance(segment, bytes) else segment.ref.sha256.encode() + b"\r\n"
                for segment in segments
            ]
        )
    if not whole.endswith(b"\r\n"):
        raise InvariantError("a message that does not end with CR LF")
    return whole


def _check_lines(whole: bytes, breaks: int) -> None:
    """Check line ends, NUL and line lengths; ``breaks`` counts CR LF, bare CR and bare LF once each."""
    if whole.translate(None, _OTHER_OCTETS) != b"\r\n" * breaks:
        raise InvariantError("a NUL or a line end other than CR LF")
    start = 0
    while len(whole) - start > _MAX_LINE + 2:
        start = whole.rfind(b"\n", start, start + _MAX_LINE + 2) + 1
        if start == 0:
            raise InvariantError(f"a line of more than {_MAX_LINE} octets")


def _fields(lines: Iterable[bytes]) -> _Fields:
    """Return names and folded values; the names are compared with the expected ones by those who ask."""
    found: _Fields = []
    for line in lines:
        if line.startswith((b" ", b"\t")) and found:
            name, value = found[-1]
            found[-1] = (name, value + b"\r\n" + line)
        else:
            name, _, value = line.partition(b":")
            found.append((name, value))
    return found


def _expected(content: Content, variant: Variant) -> list[tuple[bytes, Sequence[Mailbox] | None]]:
    """Return the names of the top header in order, without those of the content type, and their mailboxes."""
    author, sender, reply_to = content.from_, content.sender, content.reply_to
    if variant.account is not None:
        sender = None
        if variant.account.spec.lower() != author.address.spec.lower():
            author, reply_to = Mailbox(variant.account), reply_to or (author,)
    wanted: list[tuple[bytes, Sequence[Mailbox] | None]] = [(b"From", (author,))]
    if sender is not None and sender.address != author.address:
        wanted.append((b"Sender", (sender,)))
    if reply_to:
        wanted.append((b"Reply-To", reply_to))
    if content.to or not content.cc:
        wanted.append((b"To", content.to))
    if content.cc:
        wanted.append((b"Cc", content.cc))
    wanted += ((b"Subject", None), (b"Date", None), (b"Message-ID", None))
    if content.in_reply_to is not None:
        wanted.append((b"In-Reply-To", None))
    if content.references or content.in_reply_to is not None:
        wanted.append((b"References", None))
    wanted.append((b"MIME-Version", None))
    if content.headers:
        wanted += [(name.encode(), None) for name, _ in content.headers]
    return wanted


def _check_mailboxes(name: bytes, value: bytes, boxes: Sequence[Mailbox]) -> None:
    if not boxes:
        if value != b" undisclosed-recipients:;":
            raise InvariantError("an empty To is not the empty group")
        return
    if len(boxes) == 1 and value == b" " + boxes[0].address.spec.encode():
        return
    found = []
    position = 0
    while position < len(value):
        match = _MAILBOX.match(value, position)
        if match is None:
            raise InvariantError(f"{name.decode()} cannot be read as mailboxes")
        found.append(match[1] or match[2])
        position = match.end()
    if found != [box.address.spec.encode() for box in boxes]:
        raise InvariantError(f"{name.decode()} holds other addresses than asked for")


def _walk(fields: _Fields, body: bytes, leaves: list[_Leaf], depth: int) -> None:
    """Collect the fields of every part that is no multipart, in order."""
    match = _BOUNDARY.match(fields[0][1]) if fields and fields[0][0] == b"Content-Type" else None
    if match is None:
        leaves.append((fields, body))
        return
    if len(fields) != 1 or depth == _MAX_NESTING:
        raise InvariantError("a multipart with more fields, or nested deeper, than any we write")
    pieces = (b"\r\n" + body).split(b"\r\n--" + match[1])
    if len(pieces) < 4:
        raise InvariantError("a multipart with less than two parts")
    if pieces[0] or pieces[-1] not in {b"--\r\n", b"--"}:
        raise InvariantError("a multipart with text before its first or after its last part")
    for part in pieces[1:-1]:
        if not part.startswith(b"\r\n"):
            raise InvariantError("a boundary inside a line")
        # An empty body shares its blank line with the boundary that follows.
        head, _, inner = (part[2:] + b"\r\n").partition(b"\r\n\r\n")
        _walk(_fields(head.removesuffix(b"\r\n").splitlines()), inner, leaves, depth + 1)


def _check_leaves(leaves: Iterable[_Leaf], content: Content) -> None:
    """Require the texts first and then one part for each attachment, each with the fields of its kind."""
    texts = 0
    files: list[tuple[str, bool]] = []
    for fields, body in leaves:
        names = [name for name, _ in fields]
        if names == _TEXT_FIELDS and not files:
            texts += 1
        elif names in (_FILE_FIELDS, _IMAGE_FIELDS):
            _check_disposition(fields[1][1])
            files.append((body.strip(b"\r\n").decode("ascii", "replace"), names == _IMAGE_FIELDS))
        else:
            raise InvariantError(f"a part with the fields {_shown(b', '.join(names))}")
    if sorted(files) != sorted((one.blob.sha256, one.content_id is not None) for one in content.attachments):
        raise InvariantError("other files than the attachments")
    has_both = content.html is not None and bool(content.text) and not str(content.text).isspace()
    if texts not in ({2} if has_both else {1} if content.html is None else {1, 2}):
        raise InvariantError("more or fewer text parts than texts")


def _check_disposition(value: bytes) -> None:
    """Require nothing but the disposition and one file name, whole or in continuations."""
    kind, *parameters = _QUOTED.sub(b"", value).split(b";")
    if kind not in {b" attachment", b" inline"} or not parameters:
        raise InvariantError("a disposition without a file name")
    if not all(map(_FILENAME.match, parameters)) or (
        len(parameters) > 1 and any(b"*" not in parameter for parameter in parameters)
    ):
        raise InvariantError("a disposition with more than one file name")


def _shown(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")
