"""A content while it comes in, by DATA or by BDAT: which bytes are its own, and when it is over.

Rules: behind DATA every byte is content until its end; behind BDAT as many as it says, even when they are
thrown away because the command was refused, so that the next command is where the client puts it. A DATA
with a bare line end, or far above the limit, ends the session; a BDAT only refuses the mail.
"""

from dataclasses import dataclass, replace

from postroom.errors import InvariantError
from postroom.smtp.server_content import Content, DotReader
from postroom.smtp.server_lines import Incoming
from postroom.smtp.server_replies import ServerReply


@dataclass(slots=True)
class End:
    """A DATA or a BDAT is over."""

    refusal: ServerReply | None
    """Why the mail is refused; it may end the session."""
    is_last: bool
    """The mail is complete."""
    size: int
    """Bytes of the mail; of a BDAT that is not the last, its own."""


@dataclass(slots=True)
class _Chunk:
    """A BDAT that is being read."""

    size: int
    left: int
    is_last: bool
    refusal: ServerReply | None


class Taking:
    """The content of one mail; see the rules above.

    Attributes:
        is_open: the next bytes are content.
        has_chunks: the mail comes by BDAT, of which one was begun.
    """

    __slots__ = ("_chunk", "_content", "_dots", "has_chunks", "is_open")

    def __init__(self, max_size: int) -> None:
        """Take the limit in bytes. No content is begun."""
        self.is_open = False
        self.has_chunks = False
        self._content = Content(max_size)
        self._dots: DotReader | None = None
        self._chunk: _Chunk | None = None

    def begin_data(self) -> None:
        """Take all that comes for content."""
        self._dots = DotReader()
        self.is_open = True

    def begin_chunk(self, size: int, *, is_last: bool, refusal: ServerReply | None) -> None:
        """Take the next ``size`` bytes for content, or throw them away and say ``refusal``."""
        self._chunk = _Chunk(size, size, is_last, refusal)
        self.is_open = self.has_chunks = True

    def refuse_chunk(self, refusal: ServerReply) -> None:
        """Throw the rest of the chunk away."""
        if self._chunk is None:
            raise InvariantError("no BDAT is open")
        self._chunk.refusal = refusal

    def read(self, incoming: Incoming) -> tuple[bytes, End | None] | None:
        """Return what can be handed on and whether it is over; None when there was nothing to read."""
        content = self._content
        if self._chunk is not None:
            return self._read_chunk(self._chunk, incoming)
        if self._dots is None or incoming.is_empty:
            return None
        body, rest = self._dots.feed(incoming.take())
        content.take(body)
        refusal = content.refusal
        if refusal is not None:
            body = b""
            if content.is_endless:
                refusal = replace(refusal, closes=True)
        if rest is None:
            return body, End(refusal, True, content.size) if refusal is not None and refusal.closes else None
        if rest:
            incoming.put_back(rest)
        self._dots = None
        self.is_open = False
        return body, End(refusal, True, content.size)

    def _read_chunk(self, chunk: _Chunk, incoming: Incoming) -> tuple[bytes, End | None] | None:
        content = self._content
        if chunk.left and incoming.is_empty:
            return None
        data = incoming.take(chunk.left)
        chunk.left -= len(data)
        is_over = not chunk.left
        if chunk.refusal is None:
            content.take(data)
            if is_over and chunk.is_last:
                data += content.finish()
            if (refusal := content.refusal) is not None:
                chunk.refusal = replace(refusal, closes=False)
        if chunk.refusal is not None:
            data = b""
        if not is_over:
            return data, None
        self._chunk = None
        self.is_open = False
        return data, End(chunk.refusal, chunk.is_last, content.size if chunk.is_last else chunk.size)
