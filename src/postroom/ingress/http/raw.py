"""The door for mail in its own bytes: ``POST /v1/messages/raw``.

The body is the mail, lines ended by CR LF; who sends and who receives stands in the query or is taken from
its header. It is read as it comes: what is larger than ``SMALL_BODY`` goes into a file. The answers are those
of ``POST /v1/messages``, and so are limits, idempotency and routes.
"""

import asyncio
import socket
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.grammar import HOST_NAME
from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.ingress.http.messages import MessageDoors
from postroom.ingress.http.replies import idempotency_header
from postroom.ingress.http.table import SUBMIT_HEADERS
from postroom.model.message import BlobRef, Submission
from postroom.ports import StagedBlob
from postroom.schema import answers
from postroom.schema.raw_query import RAW_PARAMETERS, read_raw_query
from postroom.schema.raw_submission import SMALL_BODY, Arrival, RawReader, raw_submission
from postroom.web.auth import Caller
from postroom.web.budget import ByteBudget, Hold
from postroom.web.gate import Operation, caller_of
from postroom.web.uploads import WRITE_BATCH, read_chunks

MEDIA_TYPE = "message/rfc822"


class RawDoors:
    """``POST /v1/messages/raw``."""

    def __init__(
        self, service: Service, budget: ByteBudget, *, messages: MessageDoors, max_body: int
    ) -> None:
        """Take the service, the byte budget of the process and the doors whose answers these are."""
        self._service = service
        self._budget = budget
        self._messages = messages
        self._max_body = max_body
        name = socket.gethostname().lower()
        self._own_name = name if HOST_NAME.match(name) else "localhost"

    def operations(self) -> list[Operation]:
        """Return the operation."""
        return [
            Operation(
                method="POST",
                path="/v1/messages/raw",
                endpoint=self.submit,
                needs="send",
                summary="Send one mail in its own bytes",
                description="The body is the whole mail (RFC 5322), every line ended by CR LF. It goes out "
                "as it is: only Bcc, Return-Path and X-Postroom fields are removed, and Received, and Date "
                "and Message-ID where they lack, are added. X-Postroom-Tag, -Class, -Send-At, -Expires-At, "
                "-Idempotency-Key and -Metadata-NAME say what fields of POST /v1/messages say.",
                media_types=frozenset({MEDIA_TYPE}),
                max_body=self._max_body,
                parameters=[*SUBMIT_HEADERS, ACCEPT_LANGUAGE, *RAW_PARAMETERS],
                answers={
                    202: ("Stored; it will be sent.", answers.AcceptedAnswer),
                    200: ("With `Prefer: wait`: every recipient has its final state.", answers.MessageAnswer),
                },
            )
        ]

    async def submit(self, request: Request) -> Response:
        """Take one mail."""
        caller = caller_of(request)
        with self._budget.hold() as hold:
            submission = await self._read(request, caller, hold)
            receipt = await self._service.submit(submission, senders=caller.senders)
        return await self._messages.receipt_reply(request, receipt, caller)

    async def _read(self, request: Request, caller: Caller, hold: Hold) -> Submission:
        query = read_raw_query(
            request.query_params.multi_items(), key=idempotency_header(request), limits=self._service.limits
        )
        reader, body = RawReader(), _Body(lambda: self._service.stage(caller.tenant), hold)
        try:
            async for chunk in read_chunks(request, max_body=self._max_body):
                body.take(reader.feed(chunk))
            body.take(reader.finish())
            arrival = Arrival(
                door=query.door,
                tenant=caller.tenant,
                by=self._own_name,
                protocol="HTTPS" if request.url.scheme == "https" else "HTTP",
                peer=caller.peer,
            )
            kept = b"" if reader.problem is not None else await body.kept()
            submission = raw_submission(
                reader, kept, envelope=query.envelope, arrival=arrival, wishes=query.wishes
            )
        finally:
            body.discard()
        return query.with_reports(submission)


class _Body:
    """The body of a mail as it comes: in memory while it is small, else in a file."""

    def __init__(self, stage: Callable[[], StagedBlob], hold: Hold) -> None:
        self._stage = stage
        self._hold = hold
        self._pieces: list[bytes] = []
        self._size = 0
        self._blob: StagedBlob | None = None

    def take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size <= (SMALL_BODY if self._blob is None else WRITE_BATCH):
            if self._blob is None:
                self._hold.grow(len(piece))
            return
        if self._blob is None:
            self._hold.grow(WRITE_BATCH)  # all that is ever kept of a body that goes into a file
            self._blob = self._stage()
        self._blob.write(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0

    async def kept(self) -> bytes | BlobRef:
        """Return the body, its file on stable storage. Raises DiskFullError."""
        rest = b"".join(self._pieces)
        if self._blob is None:
            return rest
        self._blob.write(rest)
        return await asyncio.to_thread(self._blob.commit)

    def discard(self) -> None:
        """Remove a file that was not stored."""
        if self._blob is not None:
            self._blob.discard()
