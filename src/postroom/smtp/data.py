r"""Content on the wire: dot-stuffing on bytes, across chunk borders (RFC 5321 section 4.5.2).

The content must already be canonical: a bare CR or LF is a bug of the writer that made it and raises, it is
never repaired here, because line ends that two programs read differently let one message become two.
Content without ``\n.`` goes through as it is, without a copy.
"""

from postroom.errors import InvariantError


def stuffed(content: bytes) -> bytes:
    """Return whole content, which ends with CR LF, with its leading dots doubled. Raises InvariantError."""
    stuffer = DotStuffer()
    result = stuffer.feed(content)
    stuffer.finish()
    return result


class DotStuffer:
    """Doubles the dot at the start of each line of content that comes in chunks."""

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self._last = b"\r\n"
        """The last two bytes so far; the content begins as if after a line end."""

    def feed(self, chunk: bytes) -> bytes:
        """Return ``chunk`` as it goes over the wire. Raises InvariantError on a bare CR or LF."""
        if not chunk:
            return chunk
        pairs = chunk.count(b"\r\n")
        lone_cr = chunk.count(b"\r") - pairs
        lone_lf = chunk.count(b"\n") - pairs
        # only a pair that a chunk border cuts in two leaves one of each, at the very edges
        is_cut_before = self._last[-1:] == b"\r"
        if lone_lf != is_cut_before or (is_cut_before and chunk[:1] != b"\n"):
            raise InvariantError("a bare CR or LF in the content")
        if lone_cr and (lone_cr > 1 or chunk[-1:] != b"\r"):
            raise InvariantError("a bare CR in the content")
        is_at_line_start = self._last == b"\r\n"
        self._last = (self._last + chunk)[-2:] if len(chunk) < 2 else chunk[-2:]
        if b"\n." in chunk:
            chunk = chunk.replace(b"\n.", b"\n..")
        return b"." + chunk if is_at_line_start and chunk[:1] == b"." else chunk

    def finish(self) -> None:
        """Check that the content ended with a line. Raises InvariantError."""
        if self._last != b"\r\n":
            raise InvariantError("the content does not end with CR LF")
