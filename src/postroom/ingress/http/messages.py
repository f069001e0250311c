"""The doors for messages: hand in one or many, look, list, cancel.

Rules: an accepting answer is given only after the commit (reliability rule A1); files are stored before
the message that names them; what is wrong with a request is said completely and before anything is stored.
"""

import asyncio
import binascii
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Receipt, Service
from postroom.errors import ConflictError, InputError, Problem
from postroom.ingress.http.filling import Content, UnrenderedError, read_filled, rendering
from postroom.ingress.http.language import tongue_of
from postroom.ingress.http.replies import JsonReply, idempotency_header, wait_preference
from postroom.model.lifecycle import message_state
from postroom.model.message import BlobRef, Submission
from postroom.model.view import MessageView
from postroom.ports import StagedBlob
from postroom.schema import answers
from postroom.schema.bodies import NO_UPLOADS, AttachmentBody, BatchBody, read_as, read_submission
from postroom.schema.filters import read_message_filter
from postroom.schema.json_text import read_json
from postroom.schema.submission import FileFacts, Problems, read_key, with_files
from postroom.schema.templates import has_template, with_defaults
from postroom.web.auth import Caller
from postroom.web.budget import MIB, ByteBudget, Hold
from postroom.web.gate import caller_of, media_type_of
from postroom.web.problem import problem_of
from postroom.web.uploads import WRITE_BATCH, Form, FormLimits, read_body, read_form

MESSAGE_PART = "message"
"""Name of the form part that carries the JSON."""
LARGE_JSON = 256 * 1024
"""Bytes from which JSON is parsed in a thread (reliability rule F6)."""
FILLED_AT_ONCE = 64
"""Mails of a batch that are rendered and stored at a time: enough for every worker and one commit, and a
small body that means a large batch is not in memory as a whole."""
MAX_MESSAGE_PART = 16 * MIB
"""Bytes of the JSON in a form: two texts of 2 MiB, every character escaped, fit."""

Result = TypeVar("Result")


class MessageDoors:
    """Endpoints under ``/v1/messages``."""

    def __init__(self, service: Service, budget: ByteBudget, *, max_body: int, max_parts: int) -> None:
        """Take the service, the byte budget of the process and the limits of one body."""
        self._service = service
        self._budget = budget
        self._max_body = max_body
        self._form_limits = FormLimits(
            max_files=service.limits.max_content,
            max_field=MAX_MESSAGE_PART,
            max_fields=MAX_MESSAGE_PART,
            max_parts=max_parts,
            max_body=max_body,
        )

    # ------------------------------------------------------------------ hand in

    async def submit(self, request: Request) -> Response:
        """Take one message."""
        caller = caller_of(request)
        with self._budget.hold() as hold:
            stage = partial(self._service.stage, caller.tenant)
            try:
                submission = await self.read(request, caller, hold, stage=stage)
            except UnrenderedError as error:
                receipt = await self._earlier(error, None)
            else:
                receipt = await self._service.submit(submission, senders=caller.senders)
        return await self.receipt_reply(request, receipt, caller)

    async def read(
        self, request: Request, caller: Caller, hold: Hold, *, stage: Callable[[], StagedBlob]
    ) -> Submission:
        """Read one message, as JSON or as a form; its files go where ``stage`` says."""
        key = idempotency_header(request)
        if media_type_of(request) == "multipart/form-data":
            form = await read_form(
                request,
                stage=stage,
                limits=self._form_limits,
                hold=hold,
                text_parts=frozenset({MESSAGE_PART}),
            )
            try:
                return await self._from_form(form, caller, key, stage)
            finally:
                form.discard()
        body = await read_body(request, max_body=self._max_body, hold=hold)
        value = read_json(body) if len(body) < LARGE_JSON else await parsed(body)
        submission, files, sources = await self._read(value, caller, key)
        return await complete(submission, files, sources, stage) if files else submission

    async def submit_batch(self, request: Request) -> Response:
        """Take many messages; each is accepted or refused by itself.

        With a key for the batch each item has it with its number, unless it has one of its own.
        """
        caller = caller_of(request)
        key = idempotency_header(request)
        if key is not None:
            problems = Problems()
            read_key(key, problems)
            problems.raise_any()
        limit = self._service.limits.max_batch
        with self._budget.hold() as hold:
            value = await parsed(await read_body(request, max_body=self._max_body, hold=hold))
            batch = read_as(BatchBody, value)
            items: Sequence[object] = batch.messages
            if not 1 <= len(items) <= limit:
                problem = Problem(
                    code="limit-exceeded",
                    field="messages",
                    cause=f"{len(items)} messages, 1 to {limit} are allowed",
                    fix="Send several batches.",
                )
                raise InputError([problem])
            items = with_defaults(batch.defaults, items)
            is_small = batch.defaults is None and not any(map(has_template, items))
            turns = asyncio.Semaphore(limit if is_small else FILLED_AT_ONCE)
            results = await asyncio.gather(
                *(
                    self._item(item, caller, None if key is None else f"{key}/{number}", turns)
                    for number, item in enumerate(items)
                )
            )
        accepted = sum("id" in result for result in results)
        answer = {
            "mode": self._service.mode,
            "accepted": accepted,
            "refused": len(results) - accepted,
            "messages": results,
        }
        return JsonReply(answer, 202 if accepted == len(results) else 207)

    async def _item(
        self, value: object, caller: Caller, key: str | None, turns: asyncio.Semaphore
    ) -> answers.Json:
        try:
            async with turns:
                receipt = await self._item_stored(value, caller, key)
        except Exception as error:  # noqa: BLE001 - supervision point: one item never decides about another
            document = problem_of(error)
            return {"status": document.status, "problem": document.as_json()}
        return {"status": 202, "id": receipt.message_id, "state": await self._state(receipt, caller)}

    async def _item_stored(self, value: object, caller: Caller, key: str | None) -> Receipt:
        stage = partial(self._service.stage, caller.tenant)
        try:
            submission = await complete(*await self._read(value, caller, None), stage)
        except UnrenderedError as error:
            return await self._earlier(error, key)
        if submission.idempotency_key is None:
            submission = replace(submission, idempotency_key=key)
        return await self._service.submit(submission, senders=caller.senders)

    async def _read(
        self,
        value: object,
        caller: Caller,
        key: str | None,
        uploads: Mapping[str, tuple[str, str]] = NO_UPLOADS,
    ) -> Content:
        def read(value: object) -> Content:
            return read_submission(
                value,
                limits=self._service.limits,
                tenant=caller.tenant,
                idempotency_key=key,
                uploads=uploads,
            )

        if has_template(value):
            return await read_filled(value, read, rendering(self._service.templates, caller.tenant))
        return read(value)

    async def _earlier(self, error: UnrenderedError, key: str | None) -> Receipt:
        """Return the mail that one with a template repeats, whatever became of the template since."""
        submission = error.submission
        if submission.idempotency_key is None:
            submission = replace(submission, idempotency_key=key)
        receipt = await self._service.earlier(submission)
        if receipt is None:
            raise error
        return receipt

    async def _from_form(
        self, form: Form, caller: Caller, key: str | None, stage: Callable[[], StagedBlob]
    ) -> Submission:
        texts = [value for name, value in form.fields if name == MESSAGE_PART]
        uploads = {file.name: (file.filename, file.content_type) for file in form.files}
        if len(texts) != 1 or len(form.fields) != 1 or len(uploads) != len(form.files):
            problem = Problem(
                code="form-parts",
                field=MESSAGE_PART,
                cause="a form has one part `message` and file parts with different names, nothing else",
                fix="Send the JSON in the part `message` and each file in a part of its own name.",
            )
            raise InputError([problem])
        value = await parsed(texts[0].encode())
        submission, files, sources = await self._read(value, caller, key, uploads)
        refs = await _store_base64(sources, stage)
        by_name = dict(zip(uploads, await form.store(), strict=True))
        stored = [
            by_name[source.upload] if source.upload is not None else refs[number]
            for number, source in enumerate(sources)
        ]
        return with_files(submission, files, stored)

    async def receipt_reply(self, request: Request, receipt: Receipt, caller: Caller) -> Response:
        """Answer for one stored message, at once or after its first attempt."""
        headers = {"location": f"/v1/messages/{receipt.message_id}"}
        if receipt.is_replay:
            headers["idempotency-replayed"] = "true"
        wait_s = wait_preference(request)
        if wait_s is None:
            state = await self._state(receipt, caller) if receipt.is_replay else "queued"
            accepted = f'{{"id":"{receipt.message_id}","mode":"{self._service.mode}","state":"{state}"}}'
            return JsonReply(accepted.encode(), 202, headers)  # names and words of ours need no escape
        headers["preference-applied"] = f"wait={wait_s}"
        view = await self._service.first_attempt(receipt.message_id, tenant=caller.tenant, wait_s=wait_s)
        tongue = tongue_of(request, self._service)
        shown = answers.message(view, self._service.mode, tongue.words)
        return JsonReply(shown, 202 if shown["open"] else 200, {**headers, **tongue.headers})

    async def _state(self, receipt: Receipt, caller: Caller) -> str:
        """Return the state to show: a new message is queued, a replayed one is where it is by now."""
        if not receipt.is_replay:
            return "queued"
        view = await self._service.view(receipt.message_id, tenant=caller.tenant)
        return message_state(recipient.state for recipient in view.recipients)

    # ------------------------------------------------------------------ look, list, cancel

    async def view(self, request: Request) -> Response:
        """Show one message."""
        view = await self._service.view(request.path_params["id"], tenant=caller_of(request).tenant)
        return self._shown(request, view)

    def _shown(self, request: Request, view: MessageView) -> Response:
        tongue = tongue_of(request, self._service)
        shown = answers.message(view, self._service.mode, tongue.words)
        return JsonReply(shown, headers=tongue.headers)

    async def page(self, request: Request) -> Response:
        """Show one page of messages."""
        wanted = read_message_filter(request.query_params.multi_items(), tenant=caller_of(request).tenant)
        views = await self._service.list(wanted)
        return JsonReply(answers.page(views, self._service.mode, wanted.limit))

    async def cancel(self, request: Request) -> Response:
        """Cancel what waits; a conflict shows the state of every recipient."""
        message_id, tenant = request.path_params["id"], caller_of(request).tenant
        try:
            view = await self._service.cancel(message_id, tenant=tenant)
        except ConflictError as error:
            view = await self._service.view(message_id, tenant=tenant)
            recipients = [{"address": one.address, "state": one.state} for one in view.recipients]
            return problem_of(error).as_response(recipients=recipients)
        return self._shown(request, view)


async def complete(
    submission: Submission,
    files: list[FileFacts],
    sources: list[AttachmentBody],
    stage: Callable[[], StagedBlob],
) -> Submission:
    """Store the files that came as base64 and name them in the submission."""
    if not files:
        return submission
    refs = await _store_base64(sources, stage)
    return with_files(submission, files, [refs[number] for number in range(len(files))])


async def _store_base64(
    sources: Sequence[AttachmentBody], stage: Callable[[], StagedBlob]
) -> dict[int, BlobRef]:
    contents = {number: source.content for number, source in enumerate(sources) if source.content is not None}
    return await asyncio.to_thread(store_base64, stage, contents)


async def parsed(body: bytes) -> object:
    """Parse JSON; a large one in a thread. Raises MalformedError, TooLargeError."""
    return await beside(body, partial(read_json, body))


async def beside(body: bytes, reading: Callable[[], Result]) -> Result:
    """Return what a reading of this body finds; of a large one beside the event loop."""
    return reading() if len(body) < LARGE_JSON else await asyncio.to_thread(reading)


def store_base64(stage: Callable[[], StagedBlob], contents: Mapping[int, str]) -> dict[int, BlobRef]:
    """Decode and store files by their number. Blocking; stores nothing unless every content is base64.

    Raises InputError naming each wrong one, DiskFullError.
    """
    decoded: dict[int, bytes] = {}
    problems = []
    for number, content in contents.items():
        try:
            decoded[number] = a2b_base64(content, strict_mode=True)
        except (binascii.Error, ValueError):
            problems.append(
                Problem(
                    code="base64-syntax",
                    field=f"attachments.{number}.content",
                    cause="not base64 with padding and without line breaks",
                    fix="Encode the file as base64 (RFC 4648 section 4).",
                )
            )
    if problems:
        raise InputError(problems)
    return {number: _store(stage(), data) for number, data in decoded.items()}


def _store(blob: StagedBlob, data: bytes) -> BlobRef:
    try:
        for start in range(0, len(data), WRITE_BATCH):
            blob.write(data[start : start + WRITE_BATCH])
        return blob.commit()
    finally:
        blob.discard()
