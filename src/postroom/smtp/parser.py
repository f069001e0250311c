"""Replies from bytes (RFC 5321 section 4.2).

Rules: only CR LF ends a line. A bare LF is an error at once, not a line end: a reply that two readers could
cut in two places shifts every later reply by one, and a server that writes bare LF is found out at its
greeting, before anything is at stake. A bare CR stays a character of the text. The code of all lines of a
reply must agree. What the peer sends never raises: ``replies`` yields ``Malformed``, and goes on yielding
it, because nothing after it can be trusted.

Texts are decoded as UTF-8, else by the charset guess of the host, else as Latin-1; control and bidi
characters are shown as visible escapes, so that a text is inert in a terminal, a page and a log. The raw
bytes are kept as they came.
"""

import re
from collections.abc import Iterator
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
_TOO_LONG = f"a reply line is longer than {MAX_LINE} octets"
_CODES = {b"%d" % code: code for code in range(200, 600)}


@dataclass(frozen=True, slots=True)
class Malformed:
    """The bytes are not a reply."""

    text: str
    """A lower-case phrase that quotes the line."""
    is_foreign: bool = False
    """The first line has no reply code: something else than SMTP is spoken."""


class ReplyParser:
    """Bytes in, complete replies out."""

    def __init__(self, charset: str = "latin-1") -> None:
        """Take the charset to try after UTF-8: ``gb18030``, ``cp949`` or ``latin-1``."""
        self._charset = charset
        self._rest = b""
        """The beginning of a line."""
        self._left = 0
        """Lines not yet looked at."""
        self._code = b""
        self._lines: list[str] = []
        self._raw: list[bytes] = []
        self._malformed: Malformed | None = None
        self._known: dict[bytes, Reply] = {}
        """By the line without its LF."""

    @property
    def has_bytes(self) -> bool:
        """Whether bytes wait that are not part of a reply already yielded."""
        return bool(self._left or self._rest or self._lines)

    def replies(self, data: bytes) -> Iterator[Reply | Malformed]:
        """Add bytes in the order they came and yield each reply that they complete.

        All lines are split off at once: four replies take 1.9 us, with a search for each line 3.8 us.
        """
        if self._malformed is not None:
            yield self._malformed
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        self._left = len(lines)
        for line in lines:
            self._left -= 1
            reply: Reply | Malformed | None = None if self._lines else self._known.get(line)
            if reply is None and (reply := self._take_line(line + b"\n")) is None:
                continue
            yield reply
            if self._malformed is not None:
                return
        if len(self._rest) > MAX_LINE:
            yield self._break(_TOO_LONG)

    def _take_line(self, raw: bytes) -> Reply | Malformed | None:
        if len(raw) > MAX_LINE:
            return self._break(_TOO_LONG)
        if not raw.endswith(b"\r\n") and raw[:3].isdigit():
            return self._break(f"a reply line ends with a bare LF: {self._quoted(raw)}")
        match = _LINE.match(raw, 0, len(raw) - 2)
        if match is None:
            words = f"not an SMTP reply: {self._quoted(raw)}"
            return self._break(words, is_foreign=not self._lines and not raw[:3].isdigit())
        code, mark, text = match.groups(b"")
        if self._lines and code != self._code:
            return self._break(f"a reply changes its code: {self._quoted(raw)}")
        decoded = self._decode(text)
        if mark != b"-":
            if not self._lines:
                reply = Reply(_CODES[code], (decoded,), raw)
                if len(self._known) < _MAX_KNOWN:
                    self._known[raw[:-1]] = reply
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

    def _break(self, text: str, *, is_foreign: bool = False) -> Malformed:
        self._malformed = Malformed(text, is_foreign)
        self._rest = b""
        self._left = 0
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
