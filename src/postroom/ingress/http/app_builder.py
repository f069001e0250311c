"""The App Builder door: ``POST /app-builder/send`` takes the inputs of its mail plug-in, answers its outputs.

The answer comes after the first attempt, or after ``WAIT_S``: 200 whenever the mail was stored, 4xx with the
same members when it could not be taken. Who may call and how much is as at ``/v1/messages``; what members
mean is in ``schema.app_builder``.
"""

from dataclasses import replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import InputError
from postroom.ingress.http.filling import Content
from postroom.ingress.http.language import ACCEPT_LANGUAGE, tongue_of
from postroom.ingress.http.messages import beside, complete, parsed
from postroom.ingress.http.replies import JsonReply, idempotency_header
from postroom.model.message import Door
from postroom.schema import answers
from postroom.schema.app_builder import PluginInput, PluginOutput, mail_of, output_of, refusal_of, stored_of
from postroom.schema.bodies import read_as, read_submission
from postroom.telemetry import logger
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation, caller_of
from postroom.web.problem import problem_of
from postroom.web.uploads import read_body

PATH = "/app-builder/send"
WAIT_S = 10.0
"""Seconds until the outputs are told as they stand."""

_log = logger("app-builder")


class AppBuilderDoor:
    """The endpoint."""

    def __init__(self, service: Service, budget: ByteBudget, *, max_body: int) -> None:
        """Take the service, the byte budget of the process and the limit of one body."""
        self._service = service
        self._budget = budget
        self._max_body = max_body

    def operation(self) -> Operation:
        """Return the one operation."""
        return Operation(
            method="POST",
            path=PATH,
            endpoint=self.send,
            needs="send",
            summary="Send one mail (App Builder dialect)",
            description="The inputs and outputs of App Builder's SMTP plug-in. `responseSent` is false only "
            "when nobody will get the mail.",
            media_types=frozenset({"application/json"}),
            max_body=self._max_body,
            body=PluginInput,
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("Stored; the outputs tell how far it is.", PluginOutput)},
            dialect=_refused,
        )

    async def send(self, request: Request) -> Response:
        """Take one mail."""
        caller, service = caller_of(request), self._service
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=self._max_body, hold=hold)
            value = await parsed(body)
            key = idempotency_header(request)

            def reading() -> Content:
                mail = mail_of(read_as(PluginInput, value))
                return read_submission(mail, limits=service.limits, tenant=caller.tenant, idempotency_key=key)

            submission, files, sources = await beside(body, reading)
            submission = replace(submission, door=Door.APP_BUILDER)
            submission = await complete(submission, files, sources, partial(service.stage, caller.tenant))
            receipt = await service.submit(submission, senders=caller.senders)
        tongue = tongue_of(request, service)
        headers = {**tongue.headers, **({"idempotency-replayed": "true"} if receipt.is_replay else {})}
        try:
            view = await service.first_attempt(receipt.message_id, tenant=caller.tenant, wait_s=WAIT_S)
        except Exception as error:  # noqa: BLE001 - supervision point: nothing after the commit unsays it
            _log.error("outcome unknown to the caller", message_id=receipt.message_id, exc_info=error)
            return JsonReply(stored_of(receipt.message_id), headers=headers)
        return JsonReply(output_of(answers.message(view, service.mode, tongue.words)), headers=headers)


def _refused(error: Exception) -> Response:
    """Answer wrong fields in the words of App Builder, everything else as a problem."""
    document = problem_of(error)
    if not isinstance(error, InputError):
        return document.as_response()
    return JsonReply(refusal_of(document.errors, document.detail), document.status, document.headers)
