"""The doors to stored mail for a person: retry, reschedule, resolve, release; many at once; events."""

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.desk import Desk, Order, Verb
from postroom.engine.service import Service
from postroom.errors import ConflictError, InputError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.language import tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.model.event import Event
from postroom.model.ids import MessageId
from postroom.schema import answers, desk_answers
from postroom.schema.bodies import read_as
from postroom.schema.filters import read_event_filter
from postroom.schema.operating import (
    BulkBody,
    BulkResolveBody,
    BulkRetryBody,
    ReleaseBody,
    RescheduleBody,
    ResolveBody,
    RetryBody,
)
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.problem import problem_of


class DeskDoors:
    """Endpoints under ``/v1/messages`` and ``/v1/events``."""

    def __init__(self, service: Service, desk: Desk, budget: ByteBudget) -> None:
        """Take the service, the desk and the byte budget of the process."""
        self._service = service
        self._desk = desk
        self._budget = budget

    # ------------------------------------------------------------------ one message

    async def retry(self, request: Request) -> Response:
        """Send again."""
        body = read_as(RetryBody, await said(request, self._budget))
        order = Order(verb=Verb.RETRY, at=body.at, confirm_duplicate=body.confirm_duplicate)
        return await self._change(request, order, body.recipients)

    async def resolve(self, request: Request) -> Response:
        """Take down what a person found out about uncertain recipients."""
        body = read_as(ResolveBody, await said(request, self._budget))
        order = Order(verb=Verb.RESOLVE, resolution=body.resolution, note=body.note)
        return await self._change(request, order, body.recipients)

    async def release(self, request: Request) -> Response:
        """Let held recipients go."""
        body = read_as(ReleaseBody, await said(request, self._budget))
        return await self._change(request, Order(verb=Verb.RELEASE), body.recipients)

    async def _change(self, request: Request, order: Order, chosen: list[str | int]) -> Response:
        actor, message_id = actor_of(request), request.path_params["id"]
        try:
            view, changed = await self._desk.change(message_id, order, actor, chosen=chosen)
        except ConflictError as error:
            return await self._conflict(request, error)
        tongue = tongue_of(request, self._service)
        shown = answers.message(view, self._service.mode, tongue.words)
        return JsonReply({**shown, "changed": desk_answers.changed(changed)}, headers=tongue.headers)

    async def reschedule(self, request: Request) -> Response:
        """Give a message that nobody has begun to send new times."""
        body = read_as(RescheduleBody, await said(request, self._budget))
        if body.send_at is None and body.expires_at is None:
            problem = Problem(
                code="missing-field",
                field="send_at",
                cause="neither send_at nor expires_at is given",
                fix="Give the one that changes, or both.",
            )
            raise InputError([problem])
        try:
            view = await self._desk.reschedule(
                request.path_params["id"],
                actor_of(request),
                send_at=body.send_at,
                expires_at=body.expires_at,
            )
        except ConflictError as error:
            return await self._conflict(request, error)
        tongue = tongue_of(request, self._service)
        return JsonReply(answers.message(view, self._service.mode, tongue.words), headers=tongue.headers)

    async def _conflict(self, request: Request, error: ConflictError) -> Response:
        """Show the state of every recipient beside the conflict."""
        view = await self._service.view(request.path_params["id"], tenant=caller_of(request).tenant)
        recipients = [{"address": one.address, "state": one.state} for one in view.recipients]
        return problem_of(error).as_response(recipients=recipients)

    # ------------------------------------------------------------------ many messages

    async def retry_all(self, request: Request) -> Response:
        """Retry many, or count them."""
        body = read_as(BulkRetryBody, await said(request, self._budget))
        return await self._bulk(request, Order(verb=Verb.RETRY, at=body.at), body)

    async def cancel_all(self, request: Request) -> Response:
        """Cancel many, or count them."""
        body = read_as(BulkBody, await said(request, self._budget))
        return await self._bulk(request, Order(verb=Verb.CANCEL), body)

    async def resolve_all(self, request: Request) -> Response:
        """Resolve many, or count them."""
        body = read_as(BulkResolveBody, await said(request, self._budget))
        order = Order(verb=Verb.RESOLVE, resolution=body.resolution, note=body.note)
        return await self._bulk(request, order, body)

    async def release_all(self, request: Request) -> Response:
        """Release many, or count them."""
        body = read_as(BulkBody, await said(request, self._budget))
        return await self._bulk(request, Order(verb=Verb.RELEASE), body)

    async def _bulk(self, request: Request, order: Order, body: BulkBody) -> Response:
        actor = actor_of(request)
        wanted = body.filter.selection(actor.tenant)
        if body.token is None:
            run = await self._desk.count(order, wanted)
            return JsonReply(desk_answers.dry_run(run, self._service.mode))
        changed = await self._desk.change_all(order, wanted, actor, token=body.token)
        return JsonReply(desk_answers.done(changed, self._service.mode))

    # ------------------------------------------------------------------ events

    async def events(self, request: Request) -> Response:
        """Show one page of events."""
        wanted = read_event_filter(request.query_params.multi_items(), tenant=caller_of(request).tenant)
        page = await self._desk.events(wanted)
        return self._told(request, page, wanted.limit)

    def _told(self, request: Request, page: Sequence[Event], limit: int) -> Response:
        tongue = tongue_of(request, self._service)
        shown = desk_answers.events(page, self._service.mode, tongue.words, limit=limit)
        return JsonReply(shown, headers=tongue.headers)

    async def message_events(self, request: Request) -> Response:
        """Show one page of a message's events."""
        actor, message_id = actor_of(request), MessageId(request.path_params["id"])
        wanted = read_event_filter(
            request.query_params.multi_items(), tenant=actor.tenant, message_id=message_id
        )
        page = await self._desk.events_of(message_id, replace(wanted, message_id=None), actor)
        return self._told(request, page, wanted.limit)
