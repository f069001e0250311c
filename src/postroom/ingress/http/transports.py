"""The doors to the ways out: how each is and why, and the two things a person may do about it.

Transports belong to the house, not to a tenant: what a server said about one may quote anybody's mail, and a
suspension stops everybody's. Keys of other tenants are refused.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.clock import Clock
from postroom.engine.accounts import Accounts, version_of
from postroom.engine.health import Health
from postroom.engine.service import Service
from postroom.engine.ways import Way, Ways
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.language import Tongue, tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.transport import StoredTransport, redacted_url
from postroom.model.view import PauseKind
from postroom.schema import transport_answers
from postroom.schema.answers import Json
from postroom.schema.bodies import read_as
from postroom.schema.operating import SuspendBody
from postroom.schema.transport_body import read_stored
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.problem import HttpError


class TransportDoors:
    """Endpoints under ``/v1/transports``."""

    def __init__(
        self,
        service: Service,
        ways: Ways,
        health: Health,
        accounts: Accounts,
        *,
        budget: ByteBudget,
        clock: Clock,
    ) -> None:
        """Take the service, the ways out, how and what they are, the bytes of the process and the clock."""
        self._service = service
        self._accounts = accounts
        self._ways = ways
        self._health = health
        self._budget = budget
        self._clock = clock

    async def all(self, request: Request) -> Response:
        """Show every transport."""
        refuse_tenants(request)
        records, tongue = await self._accounts.all(), tongue_of(request, self._service)
        shown = [self._shown(way, records, tongue) for way in self._ways]
        absent = [
            name for name in (*self._accounts.ground.configured, *records) if not self._ways.named(name)
        ]
        shown += [self._unused(name, records) for name in dict.fromkeys(absent)]
        return JsonReply({"mode": self._service.mode, "transports": shown}, headers=tongue.headers)

    async def one(self, request: Request) -> Response:
        """Show one transport."""
        refuse_tenants(request)
        return await self._reply(request, request.path_params["name"])

    async def changed(
        self,
        request: Request,
        name: str,
        warnings: Sequence[str],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Show a transport after a change."""
        more = {"warnings": list(warnings)}
        return await self._reply(request, name, more, status=status, headers=headers)

    async def suspend(self, request: Request) -> Response:
        """Send nothing by it until a person resumes it or its end has come."""
        refuse_tenants(request)
        body = read_as(SuspendBody, await said(request, self._budget))
        way = self._working(request)
        _refuse_past(body.until, self._clock.now())
        await self._health.suspend(
            way.name, reason=body.reason, author=actor_of(request).name, until=body.until
        )
        return await self._reply(request, way.name)

    async def resume(self, request: Request) -> Response:
        """End a suspension, and let every other pause be probed now."""
        refuse_tenants(request)
        way = self._working(request)
        if not await self._health.resume(way.name, author=actor_of(request).name):
            raise ConflictError(_not_resumed(way))
        return await self._reply(request, way.name)

    def _working(self, request: Request) -> Way:
        way = self._ways.named(request.path_params["name"])
        if way is None:
            raise NotFoundError(f"there is no transport {request.path_params['name'][:100]!r}")
        return way

    async def _reply(
        self,
        request: Request,
        name: str,
        more: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        tongue = tongue_of(request, self._service)
        headers = {**tongue.headers, **(headers or {})}
        records, way = await self._accounts.all(), self._ways.named(name)
        if way is not None:
            shown = self._shown(way, records, tongue)
        elif name in records or name in self._accounts.ground.configured:
            shown = self._unused(name, records)
        else:
            raise NotFoundError(f"there is no transport {name[:100]!r}")
        if (version := shown["version"]) is not None:
            headers["etag"] = f'"{version}"'
        return JsonReply({"mode": self._service.mode, **shown, **(more or {})}, status, headers)

    def _unused(self, name: str, records: Mapping[str, StoredTransport]) -> Json:
        described = self._described(name, records, is_used=False)
        account = None if described.spec is None else described.spec.account
        target = "capture" if account is None else redacted_url(account)
        return transport_answers.unused(name, target, described)

    def _described(
        self, name: str, records: Mapping[str, StoredTransport], *, is_used: bool
    ) -> transport_answers.Described:
        ground = self._accounts.ground
        if (spec := ground.configured.get(name)) is not None:
            return transport_answers.Described(spec=spec, is_used=is_used)
        if (record := records.get(name)) is None:
            return transport_answers.Described(is_used=is_used)
        read = read_stored(record, default_from=ground.default_from)
        return transport_answers.Described(
            spec=read.spec, record=record, version=version_of(record), is_used=is_used
        )

    def _shown(self, way: Way, records: Mapping[str, StoredTransport], tongue: Tongue) -> Json:
        shown = transport_answers.transport(
            way.name,
            target=way.target,
            is_default=way is self._ways.default,
            pauses=self._health.pauses(way.name),
            limits=self._health.limits(way.name),
            level=self._health.level(way.name),
            quota_ends_at=self._health.forecast(way.name),
            now=self._clock.now(),
            words=tongue.words,
        )
        return {**shown, **self._described(way.name, records, is_used=True).members()}


def refuse_tenants(request: Request, what: str = "transports") -> None:
    """Refuse keys of other tenants: transports and alerts belong to the house."""
    if caller_of(request).tenant != DEFAULT_TENANT:
        problem = Problem(
            code="house-only",
            field="authorization",
            cause=f"{what} belong to the house, and this key to a tenant",
            fix="Ask the person who runs the server.",
        )
        raise HttpError(403, problem)


def _not_resumed(way: Way) -> Problem:
    cause = f"{way.name} is neither suspended nor paused"
    fix = "Look at what waits: GET /v1/messages?state=queued and a message itself say why."
    if PauseKind.SECRETS in way.pauses:
        cause = f"{way.name} cannot be used as it is stored, and resuming it mends nothing"
        fix = f"GET /v1/transports/{way.name} has the cause and its remedy; PATCH it with what is missing."
    return Problem(code="nothing-to-resume", field="name", cause=cause, fix=fix)


def _refuse_past(until: datetime | None, now: datetime) -> None:
    if until is not None and until <= now:
        problem = Problem(
            code="until-passed",
            field="until",
            cause="an instant that has passed",
            fix="Give a later one, or none.",
        )
        raise InputError([problem])
