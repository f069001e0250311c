"""What a request's head already says against its body: too large, in a coding or of a type we do not take.

Decided before a byte of the body is read, so that a refusal costs nothing (reliability rule F3).
"""

from collections.abc import Sequence

from postroom.errors import Problem, TooLargeError
from postroom.web.problem import HttpError

ANY = frozenset({"*/*"})
"""For operations that look at the media type themselves."""


def refuse_body(headers: Sequence[tuple[bytes, bytes]], *, max_body: int, media_types: frozenset[str]) -> str:
    """Check a request's head and return its media type, in lower case without parameters.

    Args:
        headers: Names in lower case.
        max_body: Bytes.
        media_types: What the operation reads; empty when it reads no body at all, with ``""`` in it when
            a request may come without one; ``ANY`` refuses none.

    Raises:
        TooLargeError: The announced length is above ``max_body``.
        HttpError: 415, a Content-Encoding or a Content-Type the operation does not read.
    """
    content_type = b""
    for name, value in headers:
        if name == b"content-length" and int(value) > max_body:
            raise TooLargeError(
                Problem(
                    code="too-large",
                    field="body",
                    cause=f"the body is announced with {int(value)} bytes, {max_body} are allowed",
                    fix="Send less, or put large files elsewhere and mail a link.",
                )
            )
        if name == b"content-encoding" and value.lower() != b"identity":
            raise _unsupported(
                "content-encoding", "compressed request bodies are not read", "Send the body uncompressed."
            )
        if name == b"content-type":
            content_type = value
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if media_types and kind not in media_types and media_types != ANY:
        known = " or ".join(sorted(filter(None, media_types)))
        raise _unsupported(
            "content-type", f"the body is {kind[:100]!r}, read is {known}", f"Send Content-Type: {known}."
        )
    return kind


def _unsupported(name: str, cause: str, fix: str) -> HttpError:
    return HttpError(415, Problem(code="unsupported-media-type", field=name, cause=cause, fix=fix))
