"""What an answer of a file server means for a mail that waits for a file. Pure.

What passes by itself (a server that is down or slow) is tried again as any deferral. What a person must mend
(a setting, a link that leads nowhere) keeps the mail: it is held, and fetched again when it is released. A
mail is never sent without its files.
"""

import mimetypes
from http import HTTPStatus

from postroom.grammar import MEDIA_TYPE
from postroom.model.outcome import Fault, FaultKind

REFUSED = "fetch-refused"
FORBIDDEN = "fetch-forbidden"
GONE = "fetch-gone"
REDIRECT = "fetch-redirect"
TOO_LARGE = "fetch-too-large"
UNREADABLE = "fetch-unreadable"
FAILED = "fetch-failed"
TIMEOUT = "fetch-timeout"
CERTIFICATE = "fetch-certificate"

HELD = frozenset({REFUSED, FORBIDDEN, GONE, REDIRECT, TOO_LARGE, UNREADABLE})
"""Causes that wait for a person."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
_GONE = frozenset({404, 410})
_GENERIC = frozenset({"application/octet-stream", "binary/octet-stream", "application/x-download"})
"""What file servers say when they know nothing; the suffix may know more."""
_TYPES = mimetypes.MimeTypes()
"""The interpreter's own table; the machine's files do not decide what we send."""


def status_fault(status: int) -> Fault | None:
    """Return what a status that is no redirect means, ``None`` for a file that follows."""
    if status == HTTPStatus.OK:
        return None
    text = _phrase(status)
    if status in _GONE:
        return Fault(kind=FaultKind.PROTOCOL, text=text, cause=GONE)
    if status >= 500 or status in _PASSING:
        return Fault(kind=FaultKind.UNREACHABLE, text=text, cause=FAILED)
    if status >= 400:
        return Fault(kind=FaultKind.PROTOCOL, text=text, cause=FORBIDDEN)
    return Fault(kind=FaultKind.PROTOCOL, text=f"{text}, which is no file", cause=UNREADABLE)


def body_fault(*, coding: str, has_length: bool) -> Fault | None:
    """Return why a body cannot be taken as the file.

    Args:
        coding: the Content-Encoding, empty without one: none was asked for and none is undone.
        has_length: it can be told where the body ends; else half of it would look like all of it.
    """
    if coding.strip().lower() not in {"", "identity"}:
        text = f"sent in the coding {coding[:20]!r}, which was not asked for"
        return Fault(kind=FaultKind.PROTOCOL, text=text, cause=UNREADABLE)
    if not has_length:
        text = "sent without its length, so that nobody can tell whether all of it came"
        return Fault(kind=FaultKind.PROTOCOL, text=text, cause=UNREADABLE)
    return None


def media_type(answered: str, filename: str) -> str:
    """Return ``type/subtype`` of a fetched file: as answered, else by its name's suffix.

    A ``multipart`` or ``message`` becomes ``application/octet-stream``: files are sent as base64, which is
    forbidden for these (RFC 2046 section 5.2.1, RFC 2045 section 6.4).
    """
    kind = answered
    if not MEDIA_TYPE.match(kind) or kind in _GENERIC:
        kind = _TYPES.guess_type(filename)[0] or "application/octet-stream"
    return "application/octet-stream" if kind.startswith(("message/", "multipart/")) else kind


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase.lower()}"
    except ValueError:
        return str(status)
