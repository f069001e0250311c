"""Bytes of a client, kept until they are asked for: as lines of commands, or as content.

Only CR LF ends a line. A line with a bare CR, a bare LF or a NUL is refused together with all that follows,
and so is one that does not end. Lines are UTF-8 without control characters (RFC 6531 section 3.3).
"""

from postroom.smtp import server_replies as replies
from postroom.smtp.server_replies import ServerReply

MAX_LINE = 12288
"""Octets of a line of a login with CR LF, RFC 4954 section 4; the longest that any line may be."""


class LineFault(Exception):  # noqa: N818 - what a client sent is no error of ours
    """What came is no line that a command can stand in."""

    def __init__(self, reply: ServerReply) -> None:
        """Take what to say."""
        super().__init__(reply.text)
        self.reply = reply


class Incoming:
    """What came and was not read yet."""

    __slots__ = ("_at", "_buffer", "_pieces")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._buffer = b""
        self._at = 0
        """Where the part of the buffer begins that was not read."""
        self._pieces: list[bytes] = []
        """Came after the buffer; joined when they are needed, so that many small ones cost one copy."""

    def add(self, data: bytes) -> None:
        """Take what came."""
        if self._at == len(self._buffer) and not self._pieces:
            self._buffer, self._at = data, 0
        else:
            self._pieces.append(data)

    def clear(self) -> None:
        """Forget what was not read."""
        self._buffer, self._at, self._pieces = b"", 0, []

    @property
    def is_empty(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._buffer) and not self._pieces

    @property
    def size(self) -> int:
        """Bytes that were not read."""
        return len(self._buffer) - self._at + sum(map(len, self._pieces))

    def line(self) -> str | None:
        """Return the next line without CR LF, None when it has not come whole. Raises LineFault."""
        if self._pieces:
            self._gather()
        buffer, start = self._buffer, self._at
        end = buffer.find(b"\n", start)
        if end < 0:
            if len(buffer) - start > MAX_LINE:
                raise LineFault(replies.LINE_ENDLESS)
            return None
        if end - start >= MAX_LINE:
            raise LineFault(replies.LINE_ENDLESS)
        if end == start or buffer[end - 1] != 13:
            raise LineFault(replies.BARE_LINE_END)
        self._at = end + 1
        # A byte that is no UTF-8 becomes a surrogate, which is not printable.
        text = buffer[start : end - 1].decode("utf-8", "surrogateescape")
        if not text.isprintable():
            has_line_end = "\r" in text or "\0" in text
            raise LineFault(replies.BARE_LINE_END if has_line_end else replies.NOT_TEXT)
        return text

    def take(self, size: int | None = None) -> bytes:
        """Return what came, at most ``size`` bytes of it."""
        if self._pieces:
            self._gather()
        buffer, start = self._buffer, self._at
        if size is None or start + size >= len(buffer):
            self._buffer, self._at = b"", 0
            return buffer[start:] if start else buffer
        self._at = start + size
        return buffer[start : start + size]

    def put_back(self, data: bytes) -> None:
        """Give back the end of what ``take`` returned, which was all."""
        self._buffer, self._at = data, 0

    def _gather(self) -> None:
        self._buffer = b"".join((self._buffer[self._at :], *self._pieces))
        self._at = 0
        self._pieces = []
