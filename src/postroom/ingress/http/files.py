"""``/files``: the files of mails for whoever holds a signed link; nothing else, and no list of anything.

The signature is the key, so no other one is asked for. What no key of ours signed is not there (404); a link
whose time is over, and a file whose mail was deleted, are gone (410). Ranges (RFC 9110 section 14) let a
download go on where it broke off: one range, several are answered with the whole. Every file is a download
that no browser renders (RFC 6266), under its stored name.

The signature stands in the query, which no log records.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote
from weakref import finalize

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from postroom.clock import Clock
from postroom.engine.mail_files import MailFile, SharedFiles
from postroom.errors import OverloadError, Problem
from postroom.policy.links import FilePlace, LinkKeys
from postroom.web.gate import SECURITY_HEADERS, Operation
from postroom.web.problem import HttpError

CHUNK = 256 * 1024
"""Bytes read at once."""
MAX_IN_MEMORY = 256 * 1024 * 1024
"""Bytes of files that are held decoded (security limit): one link may be asked for any number of times."""
BUSY_S = 5.0
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_NUMBER = re.compile(r"[0-9]{1,4}\Z")
_NOT_ASCII = re.compile(r'[^ !#-\[\]-~]|["\\%]')
"""What stays out of the plain form of a name (RFC 6266 appendix D)."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first`` up to and without ``end``."""

    first: int
    end: int


class FileDoors:
    """The one endpoint."""

    def __init__(self, files: SharedFiles, *, keys: Callable[[], LinkKeys | None], clock: Clock) -> None:
        """Take the files; ``keys`` is asked at each request, in a thread, so that a change holds at once."""
        self._files = files
        self._keys = keys
        self._clock = clock
        self._in_memory = 0
        """Bytes."""

    def operations(self) -> list[Operation]:
        """Return the table."""
        return [
            Operation(
                method="GET",
                path="/files/{tenant}/{message}/{number}/{name}",
                endpoint=self.file,
                needs=None,
                summary="A file of a mail, by a signed link",
                description="Links stand in what webhook transports post. `Range` is honoured; a link ends "
                "30 days after its mail was accepted, or when the mail's content is deleted.",
                parameters=[
                    {
                        "name": "s",
                        "in": "query",
                        "required": True,
                        "description": "The signed part of the link.",
                        "schema": {"type": "string"},
                    }
                ],
                answers={
                    200: ("The file.", "application/octet-stream"),
                    206: ("The part that `Range` asks for.", "application/octet-stream"),
                },
            )
        ]

    async def file(self, request: Request) -> Response:
        """Give the file of a link."""
        place = await self._place(request)
        etag = f'"{place.message}-{place.number}"'
        if request.headers.get("if-none-match", "") == etag:
            return Response(status_code=304, headers={**SECURITY_HEADERS, "etag": etag})
        found = await self._files.opened(place)
        if found is None:
            raise _gone("the mail of this file was deleted", "Send the mail again.")
        try:
            if found.is_in_memory:
                self._keep(found)
            return _answer(request, found, etag)
        except BaseException:
            found.source.close()
            raise

    def _keep(self, found: MailFile) -> None:
        """Count what a file takes for as long as it is there, whatever becomes of its answer."""
        if self._in_memory + found.size > MAX_IN_MEMORY:
            raise OverloadError("too many files are read from mails at once", retry_after_s=BUSY_S)
        self._in_memory += found.size
        finalize(found.source, self._forget, found.size)

    def _forget(self, size: int) -> None:
        self._in_memory -= size

    async def _place(self, request: Request) -> FilePlace:
        """Return what a link names. Raises HttpError for what is no link of ours, and one that is over."""
        path = request.path_params
        keys = await asyncio.to_thread(self._keys)
        if keys is not None and _NUMBER.match(path["number"]):
            place = FilePlace(tenant=path["tenant"], message=path["message"], number=int(path["number"]))
            expires_at = keys.reads(place, request.query_params.get("s", ""))
            if expires_at is not None:
                if expires_at <= self._clock.now():
                    raise _gone(f"the link ended at {expires_at:%Y-%m-%d %H:%M} UTC", "Send the mail again.")
                return place
        cause, fix = "not a link of this server", "Take the whole link, with what follows the question mark."
        raise HttpError(404, Problem(code="no-such-file", field="path", cause=cause, fix=fix))


def _answer(request: Request, found: MailFile, etag: str) -> Response:
    headers = {
        **SECURITY_HEADERS,
        "accept-ranges": "bytes",
        "etag": etag,
        "content-disposition": disposition(found.name),
        "content-security-policy": "sandbox; default-src 'none'",
        "referrer-policy": "no-referrer",
    }
    span, status = Span(0, found.size), 200
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", etag) == etag:
        part = span_of(wanted, found.size)
        if part is not None:
            span, status = part, 206
            headers["content-range"] = f"bytes {part.first}-{part.end - 1}/{found.size}"
    headers["content-length"] = str(span.end - span.first)
    if request.method == "HEAD":
        found.source.close()
        return Response(status_code=status, headers=headers, media_type=found.content_type)
    return StreamingResponse(
        _chunks(found.source, span), status_code=status, headers=headers, media_type=found.content_type
    )


def span_of(wanted: str, size: int) -> Span | None:
    """Return the bytes that a Range field asks for; ``None`` for a form that is answered with the whole.

    Raises HttpError (416) when nothing of it is there.
    """
    match = _RANGE.match(wanted.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if match[1]:
        first, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, end = max(size - int(match[2]), 0), size
    if first >= end:
        cause, fix = f"the file has {size} bytes", "Ask for bytes that it has."
        problem = Problem(code="range-not-there", field="Range", cause=cause, fix=fix)
        raise HttpError(416, problem, {"content-range": f"bytes */{size}"})
    return Span(first, end)


def disposition(name: str) -> str:
    """Return the header that makes a file a download under this name (RFC 6266, RFC 8187)."""
    plain = _NOT_ASCII.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'


def _gone(cause: str, fix: str) -> HttpError:
    return HttpError(410, Problem(code="file-gone", field="path", cause=cause, fix=fix))


async def _chunks(source: BinaryIO, span: Span) -> AsyncIterator[bytes]:
    left = span.end - span.first
    try:
        await asyncio.to_thread(source.seek, span.first)
        while left and (chunk := await asyncio.to_thread(source.read, min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    finally:
        source.close()
