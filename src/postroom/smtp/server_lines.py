"""Bytes of a client, kept until they are asked for: as lines of commands, or as content.

Only CR LF ends a line. A line with a bare CR, a bare LF or a NUL is refused together with all that follows,
and so is one that does not end.
"""

from postroom.smtp import server_replies as replies
from postroom.smtp.server_replies import ServerReply

MAX_LINE = 12288
"""Octets of a line of a login with CR LF, RFC 4954 section 4; the longest that any line may be."""


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
        self._pieces.append(data)

    def clear(self) -> None:
        """Forget what was not read."""
        self._buffer, self._at, self._pieces = b"", 0, []

    def __len__(self) -> int:
        """Return how many bytes were not read."""
        return len(self._buffer) - self._at + sum(map(len, self._pieces))

    def line(self) -> bytes | ServerReply | None:
        """Return the next line without CR LF, the refusal of one, or None when it has not come whole."""
        buffer, start = self._gathered()
        end = buffer.find(b"\n", start)
        if (end + 1 or len(buffer)) - start > MAX_LINE:
            return replies.LINE_ENDLESS
        if end < 0:
            return None
        line = buffer[start : end - 1]
        self._at = end + 1
        if end == start or buffer[end - 1] != 13 or b"\r" in line or b"\0" in line:
            return replies.BARE_LINE_END
        return line

    def take(self, size: int | None = None) -> bytes:
        """Return what came, at most ``size`` bytes of it."""
        buffer, start = self._gathered()
        if size is None:
            size = len(buffer)
        data = buffer[start : start + size]
        self._at = start + len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Give back the end of what ``take`` returned."""
        self._pieces.insert(0, self._buffer[self._at :])
        self._pieces.insert(0, data)
        self._buffer, self._at = b"", 0

    def _gathered(self) -> tuple[bytes, int]:
        if self._pieces:
            self._buffer = b"".join((self._buffer[self._at :], *self._pieces))
            self._at = 0
            self._pieces = []
        return self._buffer, self._at
