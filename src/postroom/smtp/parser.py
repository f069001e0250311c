"""Replies from bytes (RFC 5321 section 4.2).

Rules: only CR LF ends a line. A bare LF is an error at once, not a line end: a reply that two readers could
cut in two places shifts every later reply by one, and a server that writes bare LF is found out at its
greeting, before anything is at stake. A bare CR stays a character of the text. The code of all lines of a
reply must agree. What the peer sends never raises: ``next_reply`` returns ``Malformed``, and goes on
returning it, because nothing after it can be trusted.

Texts are decoded as UTF-8, else by the charset guess of the host, else as Latin-1; control and bidi
characters are shown as visible escapes, so that a text is inert in a terminal, a page and a log. The raw
bytes are kept as they came.
"""

import re
from dataclasses import dataclass

from postroom.grammar import BIDI_CONTROL, CONTROL
from postroom.model.reply import Reply

MAX_LINES = 64
"""Lines of one reply; the longest EHLO replies seen have about 25 (security limit)."""
MAX_LINE = 4096
"""Octets of one line with its CR LF; RFC 5321 section 4.5.3.1.5 promises 512 (security limit)."""

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
"""RFC 5321 section 4.2 Reply-line; a code without a text is allowed there too."""
_MAX_KNOWN = 32
"""Different one-line replies of a session that are remembered whole: those to MAIL, RCPT and DATA are the
same for every message."""
_CODES = {b"%d" % code: code for code in range(200, 600)}


@dataclass(frozen=True, slots=True)
class Malformed:
    """The bytes are not a reply."""

    text: str
    """A lower-case phrase that quotes the line."""


class ReplyParser:
    """Bytes in, complete replies out."""

    def __init__(self, charset: str = "latin-1") -> None:
        """Take the charset to try after UTF-8: ``gb18030``, ``cp949`` or ``latin-1``."""
        self._charset = charset
        self._buffer = b""
        self._at = 0
        self._code = b""
        self._lines: list[str] = []
        self._raw: list[bytes] = []
        self._malformed: Malformed | None = None
        self._known: dict[bytes, Reply] = {}

    @property
    def has_bytes(self) -> bool:
        """Whether bytes wait that are not part of a reply already returned."""
        return bool(self._lines) or self._at < len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add bytes in the order they came."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next_reply(self) -> Reply | Malformed | None:
        """Return the next complete reply, ``None`` when more bytes are needed."""
        end = self._buffer.find(b"\n", self._at) + 1
        if end and not self._lines and (known := self._known.get(self._buffer[self._at : end])) is not None:
            self._at = end
            return known
        return self._next_unknown()

    def _next_unknown(self) -> Reply | Malformed | None:
        while self._malformed is None:
            end = self._buffer.find(b"\n", self._at) + 1
            if (end or len(self._buffer)) - self._at > MAX_LINE:
                return self._break(f"a reply line is longer than {MAX_LINE} octets")
            if not end:
                return None
            raw = self._buffer[self._at : end]
            self._at = end
            if (reply := self._take_line(raw)) is not None:
                return reply
        return self._malformed

    def _take_line(self, raw: bytes) -> Reply | Malformed | None:
        if not raw.endswith(b"\r\n"):
            return self._break(f"a reply line ends with a bare LF: {self._quoted(raw)}")
        match = _LINE.match(raw, 0, len(raw) - 2)
        if match is None:
            return self._break(f"not an SMTP reply: {self._quoted(raw)}")
        code, mark, text = match.groups(b"")
        if self._lines and code != self._code:
            return self._break(f"a reply changes its code: {self._quoted(raw)}")
        decoded = self._decode(text)
        if mark != b"-":
            if not self._lines:
                reply = Reply(_CODES[code], (decoded,), raw)
                if len(self._known) < _MAX_KNOWN:
                    self._known[raw] = reply
                return reply
            reply = Reply(_CODES[code], (*self._lines, decoded), b"".join((*self._raw, raw)))
            self._lines, self._raw = [], []
            return reply
        if len(self._lines) == MAX_LINES - 1:
            return self._break(f"a reply has more than {MAX_LINES} lines")
        self._code = code
        self._lines.append(decoded)
        self._raw.append(raw)
        return None

    def _break(self, text: str) -> Malformed:
        self._malformed = Malformed(text)
        self._buffer = b""
        self._at = 0
        return self._malformed

    def _quoted(self, raw: bytes) -> str:
        return self._decode(raw[:120].rstrip(b"\r\n"))

    def _decode(self, text: bytes) -> str:
        for charset in ("utf-8", self._charset):
            try:
                return inert(text.decode(charset))
            except UnicodeDecodeError:
                continue
        return inert(text.decode("latin-1"))


def inert(text: str) -> str:
    """Return ``text`` with control and bidi characters as visible escapes; TAB becomes a space."""
    if text.isprintable():
        return text
    return BIDI_CONTROL.sub(_escape, CONTROL.sub(_escape, text))


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return " " if char == "\t" else char.encode("unicode_escape").decode("ascii")
