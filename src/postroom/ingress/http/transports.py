"""The doors to the ways out: how each is and why, and the two things a person may do about it.

Transports belong to the house, not to a tenant: what a server said about one may quote anybody's mail, and a
suspension stops everybody's. Keys of other tenants are refused.
"""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from postroom.clock import Clock
from postroom.engine.health import Health
from postroom.engine.service import Service
from postroom.engine.ways import Way, Ways
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.replies import JsonReply
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema import transport_answers
from postroom.schema.answers import Json
from postroom.schema.bodies import read_as
from postroom.schema.operating import SuspendBody
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.problem import HttpError


class TransportDoors:
    """Endpoints under ``/v1/transports``."""

    def __init__(
        self, service: Service, ways: Ways, health: Health, *, budget: ByteBudget, clock: Clock
    ) -> None:
        """Take the service, the ways out and their health, the byte budget of the process and the clock."""
        self._service = service
        self._ways = ways
        self._health = health
        self._budget = budget
        self._clock = clock

    async def all(self, request: Request) -> Response:
        """Show every transport."""
        _refuse_tenants(request)
        return JsonReply({"mode": self._service.mode, "transports": [self._shown(way) for way in self._ways]})

    async def one(self, request: Request) -> Response:
        """Show one transport."""
        _refuse_tenants(request)
        return self._reply(self._named(request))

    async def suspend(self, request: Request) -> Response:
        """Send nothing by it until a person resumes it or its end has come."""
        _refuse_tenants(request)
        body = read_as(SuspendBody, await said(request, self._budget))
        way = self._named(request)
        _refuse_past(body.until, self._clock.now())
        await self._health.suspend(
            way.name, reason=body.reason, author=actor_of(request).name, until=body.until
        )
        return self._reply(way)

    async def resume(self, request: Request) -> Response:
        """End a suspension, and let every other pause be probed now."""
        _refuse_tenants(request)
        way = self._named(request)
        if not await self._health.resume(way.name, author=actor_of(request).name):
            problem = Problem(
                code="nothing-to-resume",
                field="name",
                cause=f"{way.name} is neither suspended nor paused",
                fix="Look at what waits: GET /v1/messages?state=deferred says why.",
            )
            raise ConflictError(problem)
        return self._reply(way)

    def _named(self, request: Request) -> Way:
        way = self._ways.named(request.path_params["name"])
        if way is None:
            raise NotFoundError(f"there is no transport {request.path_params['name'][:100]!r}")
        return way

    def _reply(self, way: Way) -> Response:
        return JsonReply({"mode": self._service.mode, **self._shown(way)})

    def _shown(self, way: Way) -> Json:
        return transport_answers.transport(
            way.name,
            target=way.target,
            is_default=way is self._ways.default,
            pauses=self._health.pauses(way.name),
            limits=self._health.limits(way.name),
            level=self._health.level(way.name),
            quota_ends_at=self._health.forecast(way.name),
            now=self._clock.now(),
            words=self._service.words,
        )


def _refuse_tenants(request: Request) -> None:
    if caller_of(request).tenant != DEFAULT_TENANT:
        problem = Problem(
            code="house-only",
            field="authorization",
            cause="transports belong to the house, and this key to a tenant",
            fix="Ask the person who runs the server.",
        )
        raise HttpError(403, problem)


def _refuse_past(until: datetime | None, now: datetime) -> None:
    if until is not None and until <= now:
        problem = Problem(
            code="until-passed",
            field="until",
            cause="an instant that has passed",
            fix="Give a later one, or none.",
        )
        raise InputError([problem])
