"""The capture inbox over HTTP: mails that never left this machine, and their bytes."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from postroom.engine.service import Service
from postroom.ingress.http.replies import JsonReply, path_number
from postroom.schema import answers
from postroom.schema.filters import read_captured_page
from postroom.web.gate import SECURITY_HEADERS

CHUNK = 256 * 1024
"""Bytes read from the source file at once."""


class InboxDoors:
    """Endpoints under ``/v1/captured``."""

    def __init__(self, service: Service) -> None:
        """Take the service."""
        self._service = service

    async def page(self, request: Request) -> Response:
        """Show one page of captured mails."""
        before, limit = read_captured_page(request.query_params.multi_items())
        mails = await self._service.captured(before=before, limit=limit)
        answer = {
            "mode": self._service.mode,
            "captured": [answers.captured(mail) for mail in mails],
            "next": mails[-1].number if len(mails) == limit else None,
        }
        return JsonReply(answer)

    async def one(self, request: Request) -> Response:
        """Show one captured mail."""
        mail, source = await self._service.captured_source(path_number(request, "number"))
        source.close()
        return JsonReply({"mode": self._service.mode, **answers.captured(mail)})

    async def source(self, request: Request) -> Response:
        """Give the bytes as they would have gone over the wire, as a download no browser renders."""
        mail, source = await self._service.captured_source(path_number(request, "number"))
        headers = {
            **SECURITY_HEADERS,
            "content-disposition": f'attachment; filename="captured-{mail.number}.eml"',
            "content-security-policy": "sandbox; default-src 'none'",
            "content-length": str(mail.source.size),
        }
        return StreamingResponse(_chunks(source), headers=headers, media_type="message/rfc822")


async def _chunks(source: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await asyncio.to_thread(source.read, CHUNK):
            yield chunk
    finally:
        source.close()
