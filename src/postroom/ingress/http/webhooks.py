"""The doors to webhook endpoints: what is told, to whom, and what became of it."""

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.endpoints import Endpoints
from postroom.engine.service import Service
from postroom.errors import InputError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.replies import JsonReply
from postroom.schema import desk_answers
from postroom.schema.bodies import read_as
from postroom.schema.filters import read_delivery_page
from postroom.schema.operating import HookBody, HookChangeBody, ReplayBody
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of


class WebhookDoors:
    """Endpoints under ``/v1/webhooks``."""

    def __init__(self, service: Service, endpoints: Endpoints, budget: ByteBudget) -> None:
        """Take the service, the endpoints and the byte budget of the process."""
        self._service = service
        self._endpoints = endpoints
        self._budget = budget

    async def add(self, request: Request) -> Response:
        """Make an endpoint; its secret is in this answer and nowhere else."""
        body = read_as(HookBody, await said(request, self._budget))
        hook, secret = await self._endpoints.add(body.url, body.kinds, caller_of(request).tenant)
        shown = {"mode": self._service.mode, **desk_answers.hook(hook), "secret": secret.reveal()}
        return JsonReply(shown, 201)

    async def all(self, request: Request) -> Response:
        """Show every endpoint."""
        hooks = await self._endpoints.all(caller_of(request).tenant)
        return JsonReply(
            {"mode": self._service.mode, "webhooks": [desk_answers.hook(hook) for hook in hooks]}
        )

    async def change(self, request: Request) -> Response:
        """Change what the body gives."""
        body = read_as(HookChangeBody, await said(request, self._budget))
        hook = await self._endpoints.change(
            request.path_params["id"],
            actor_of(request),
            url=body.url,
            kinds=body.kinds,
            is_enabled=body.enabled,
        )
        return JsonReply({"mode": self._service.mode, **desk_answers.hook(hook)})

    async def remove(self, request: Request) -> Response:
        """Remove an endpoint with its log."""
        await self._endpoints.remove(request.path_params["id"], caller_of(request).tenant)
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """Make a new secret; it is in this answer and nowhere else."""
        hook, secret = await self._endpoints.rotate(request.path_params["id"], caller_of(request).tenant)
        return JsonReply({"mode": self._service.mode, **desk_answers.hook(hook), "secret": secret.reveal()})

    async def test(self, request: Request) -> Response:
        """Post a test to an endpoint now."""
        said_back = await self._endpoints.test(request.path_params["id"], caller_of(request).tenant)
        answer = {
            "mode": self._service.mode,
            "delivered": said_back.status is not None and 200 <= said_back.status < 300,
            "status": said_back.status,
            "text": said_back.text,
            "duration_ms": said_back.duration_ms,
        }
        return JsonReply(answer)

    async def deliveries(self, request: Request) -> Response:
        """Show one page of an endpoint's deliveries."""
        state, before, limit = read_delivery_page(request.query_params.multi_items())
        page = await self._endpoints.deliveries(
            request.path_params["id"],
            caller_of(request).tenant,
            state=state,
            before=before,
            limit=limit,
        )
        answer = {
            "mode": self._service.mode,
            "deliveries": [desk_answers.delivery(one) for one in page],
            "next": page[-1].event if len(page) == limit else None,
        }
        return JsonReply(answer)

    async def replay(self, request: Request) -> Response:
        """Tell one event or a range again."""
        first, last = _range(read_as(ReplayBody, await said(request, self._budget)))
        count = await self._endpoints.replay(
            request.path_params["id"], caller_of(request).tenant, first=first, last=last
        )
        return JsonReply({"mode": self._service.mode, "deliveries": count}, 202)


def _range(body: ReplayBody) -> tuple[int, int]:
    match body.event, body.first, body.last:
        case int(event), None, None:
            return event, event
        case None, int(first), int(last) if first <= last:
            return first, last
    problem = Problem(
        code="replay-range",
        field="event",
        cause="neither one event nor a range from first to last",
        fix='Send {"event": 17}, or {"first": 17, "last": 40}.',
    )
    raise InputError([problem])
