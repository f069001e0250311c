"""One helper for every byte parser: the same bytes whole, byte by byte, and with a tail."""

from postroom.model.reply import Reply
from postroom.smtp.parser import Malformed, ReplyParser


def replies(data: bytes, *, charset: str = "latin-1", step: int | None = None) -> list[Reply | Malformed]:
    """Parse ``data`` in pieces of ``step`` bytes; stop at the first malformed line."""
    parser = ReplyParser(charset)
    found: list[Reply | Malformed] = []
    step = step or len(data) or 1
    for start in range(0, len(data), step):
        for reply in parser.replies(data[start : start + step]):
            found.append(reply)
            if isinstance(reply, Malformed):
                return found
    return found


def parsed(data: bytes, *, charset: str = "latin-1") -> list[Reply | Malformed]:
    """Parse ``data`` in every way and return the one answer."""
    whole = replies(data, charset=charset)
    assert whole == replies(data, charset=charset, step=1)
    if not any(isinstance(reply, Malformed) for reply in whole):
        tailed = replies(data + b"250 tail\r\n25", charset=charset)
        assert [*whole, Reply(250, ("tail",), b"250 tail\r\n")] == tailed
    return whole
