r"""Content as it comes in: where it ends, its dots, and what may not be in it (RFC 5321, RFC 3030).

The end of DATA is CR LF dot CR LF and nothing else (RFC 5321 section 4.1.1.4). Whatever another program might
take for an end of line (a bare CR, a bare LF, a NUL) is a fault before that end, so that no two readers can
cut one content in two places.
A line above 998 octets (RFC 5321 section 4.5.3.1.6) is a fault too: it could not be sent on as it is.

Everything works on whole chunks, with no loop over lines: a content that is passed in pieces of 64 KiB
is searched, checked and unstuffed at several hundred megabytes a second.
"""

from io import IncrementalNewlineDecoder

from postroom.smtp import server_replies as replies
from postroom.smtp.server_replies import ServerReply

_END = b"\r\n.\r\n"
_FEW_DOTS = 32
"""Dots that are looked at one by one before a search for the three bytes pays."""
_MAX_LINE = 998
"""Octets before CR LF."""


class DotReader:
    """Finds the end of DATA and takes the stuffed dots away."""

    def __init__(self) -> None:
        """Begin before the first byte, which is at the start of a line."""
        self._held = b"\r\n"
        """The end of what came, when the end of the content may begin there; not part of a body yet."""
        self._is_first = True

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return the next bytes of the content, and what stands behind its end (``None``: not ended)."""
        data = self._held + data
        rest = None
        dot = _first_dot(data)
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            size = end + 2
            rest = data[end + 5 :]
        else:
            size = len(data) - _overlap(data)
            self._held = data[size:]
        body = data[:size]
        if 0 <= dot < size - 2:
            body = body.replace(b"\r\n.", b"\r\n")
        if self._is_first and body:
            self._is_first = False
            body = body[2:]  # the line end that was put in front of the first line
        return body, rest


def _first_dot(data: bytes) -> int:
    """Return where CR LF dot stands first, -1 when nowhere.

    One byte is found ten times as fast as three, and most content has few dots or, as base64, none.
    """
    at = data.find(b".")
    for _ in range(_FEW_DOTS):
        if at < 0 or data[at - 2 : at] == b"\r\n":
            return at - 2 if at >= 0 else at
        at = data.find(b".", at + 1)
    return data.find(b"\r\n.", max(at - 2, 0)) if at >= 0 else at


def _overlap(data: bytes) -> int:
    """Return how many bytes at the end of ``data`` may be the beginning of the end."""
    tail = data[-4:]
    for size in (4, 3, 2, 1):
        if tail[-size:] == _END[:size]:
            return size
    return 0


class Content:
    """One mail's content, judged in chunks of any size; CR LF may be cut in two between them.

    Attributes:
        size: bytes so far.
        is_bare: a bare CR, a bare LF or a NUL was in it.
        is_endless: it is so far above the limit that its end is not waited for.
    """

    __slots__ = ("_ends", "_has_long_line", "_line", "_max_size", "is_bare", "is_endless", "size")

    def __init__(self, max_size: int) -> None:
        """Begin at the start of a line."""
        self.size = 0
        self.is_bare = False
        self.is_endless = False
        self._max_size = max_size
        self._ends = IncrementalNewlineDecoder(None, translate=False)
        self._has_long_line = False
        self._line = 0
        """Bytes of the line that was not ended yet."""

    @property
    def refusal(self) -> ServerReply | None:
        """Why it is refused, as far as is known."""
        if self.is_bare:
            return replies.BARE_IN_CONTENT
        if self.size > self._max_size:
            return replies.too_large(self._max_size)
        return replies.LONG_LINE if self._has_long_line else None

    def take(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        room = 2 * self._max_size - self.size
        if len(chunk) > room:
            # what lies behind the bound is not looked at, however much came at once
            self.is_endless = True
            chunk = chunk[:room]
        self.size += len(chunk)
        self._ends.decode(chunk.decode("latin-1"))
        if self._ends.newlines not in (None, "\r\n") or 0 in chunk:
            self.is_bare = True
        elif not self._has_long_line:
            self._measure_lines(chunk)

    def finish(self) -> bytes:
        """Note that nothing comes behind; return the line end that the last line lacks."""
        self._ends.decode("", final=True)
        if self._ends.newlines not in (None, "\r\n"):  # a CR at the end
            self.is_bare = True
        if not self._line or self.refusal is not None:
            return b""
        self.take(b"\r\n")
        return b"\r\n"

    def _measure_lines(self, chunk: bytes) -> None:
        """Look for the last line end that each line may have, so that many short lines cost one search."""
        size = len(chunk)
        start = 0
        room = _MAX_LINE + 2 - self._line
        while size - start >= room:
            end = chunk.rfind(b"\n", start, start + room)
            if end < 0:
                self._has_long_line = True
                return
            start = end + 1
            room = _MAX_LINE + 2
        last = chunk.rfind(b"\n", start) + 1
        self._line = size - last if last else self._line * (not start) + size - start
