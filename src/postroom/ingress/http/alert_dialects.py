"""The doors by which other programs report alerts, each in its own words; the engine behind is the same.

Keys travel as Bearer, as at every other door; PagerDuty's senders put theirs into the body, as
``routing_key``. CloudEvents' handshake against abuse (OPTIONS) is answered without a key: it asks whether
events are wanted here, and lets nobody in.

Source of the handshake: HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4. A token in the query, which
that asks for too, is not taken: queries are logged on the way.
"""

import re
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import InputError, Problem
from postroom.ingress.http.alerts import MAX_BODY, AlertDoors, AlertRoom
from postroom.ingress.http.messages import beside
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.transports import refuse_tenants
from postroom.model.alert import NewAlertEvent
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.schema import alert_answers
from postroom.schema.alert_dialects import alertmanager, cloudevents, grafana, pagerduty, tapdata
from postroom.schema.json_text import read_json
from postroom.web.auth import caller_with
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of, media_type_of
from postroom.web.problem import HttpError, problem_of
from postroom.web.uploads import read_body

SCOPE = "send"
_ORIGIN = re.compile(r"[A-Za-z0-9*](?:[A-Za-z0-9.\-*]{0,251}[A-Za-z0-9*])?\Z")
"""A DNS expression; an address of the web is sent by some and has other characters."""
_ORIGIN_URL = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]{1,253}\Z")

Read = Callable[[object], list[NewAlertEvent]]


class DialectDoors:
    """One endpoint for each dialect."""

    def __init__(self, service: Service, room: AlertRoom, budget: ByteBudget, doors: AlertDoors) -> None:
        """Take the service, what is behind the doors, the byte budget, and the doors of our own form."""
        self._service = service
        self._alerts = room.alerts
        self._clock = room.clock
        self._budget = budget
        self._doors = doors

    async def alertmanager(self, request: Request) -> Response:
        """Take Alertmanager's webhook."""
        events = await self._read(request, partial(alertmanager.read_webhook, tenant=_tenant(request)))
        return await self._doors.taken(events)

    async def prometheus(self, request: Request) -> Response:
        """Take what Prometheus posts to Alertmanagers; 200 and nothing else, as there."""
        now = self._clock.now()
        reading = partial(alertmanager.read_alerts, now=now, tenant=_tenant(request))
        if events := await self._read(request, reading):
            await self._alerts.accept(events)
        return Response(status_code=200, headers={"cache-control": "no-store"})

    async def grafana(self, request: Request) -> Response:
        """Take Grafana's webhook."""
        events = await self._read(request, partial(grafana.read, tenant=_tenant(request)))
        return await self._doors.taken(events)

    async def tapdata(self, request: Request) -> Response:
        """Take TapData's webhook; a PING is answered and not stored."""
        event = request.headers.get("x-event", "")
        events = await self._read(request, partial(tapdata.read, event=event, tenant=_tenant(request)))
        if not events:
            return JsonReply(alert_answers.taken((), (), self._service.mode))
        return await self._doors.taken(events)

    async def cloudevents(self, request: Request) -> Response:
        """Take events in any of the three modes."""
        tenant, kind, headers = _tenant(request), media_type_of(request), request.scope["headers"]
        structured = kind in (cloudevents.STRUCTURED, cloudevents.BATCH)
        if not structured and (
            kind.startswith("application/cloudevents") or not cloudevents.is_binary(headers)
        ):
            raise _not_an_event(kind)
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=MAX_BODY, hold=hold)
            reading = partial(cloudevents.read, kind, headers, body, tenant=tenant)
            return await self._doors.taken(await beside(body, reading))

    async def handshake(self, request: Request) -> Response:
        """Say that events are wanted here, from whom and how many a minute."""
        origin = request.headers.get("webhook-request-origin", "")
        headers = {"allow": "OPTIONS, POST", "cache-control": "no-store"}
        if _ORIGIN.match(origin) or _ORIGIN_URL.match(origin):
            headers |= {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*"}
        return Response(status_code=200, headers=headers)

    async def pagerduty(self, request: Request) -> Response:
        """Take an event of PagerDuty's API; the key stands in its body."""
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=pagerduty.MAX_BODY, hold=hold)
            value = await beside(body, partial(read_json, body))
            key = self._service.key_for(pagerduty.routing_key_of(value))
            if key is None:
                fix = "Put a key of this server into routing_key; `postroom keys create` makes one."
                problem = Problem(
                    code="key-unknown", field="routing_key", cause="invalid routing key", fix=fix
                )
                raise HttpError(400, problem)
            caller = caller_with(key, needs=SCOPE, peer=caller_of(request).peer)
            if caller.tenant != DEFAULT_TENANT:
                cause, fix = "alerts belong to the house, and this key to a tenant", "Use another key."
                problem = Problem(code="house-only", field="routing_key", cause=cause, fix=fix)
                raise HttpError(403, problem)
            event = pagerduty.read(value, tenant=caller.tenant)
            await self._alerts.accept([event])
        return JsonReply(pagerduty.accepted(event.dedup), 202)

    async def _read(self, request: Request, reading: Read) -> list[NewAlertEvent]:
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=MAX_BODY, hold=hold)
            return await beside(body, lambda: reading(read_json(body)))


def pagerduty_refusal(error: Exception) -> Response:
    """Answer in PagerDuty's members; an event that is wrong has its status too."""
    document = problem_of(error)
    causes = [f"{one.field}: {one.cause}" if one.field else one.cause for one in document.errors]
    status = 400 if isinstance(error, InputError) else document.status
    return JsonReply(pagerduty.refused(causes or [document.detail]), status, document.headers)


def _tenant(request: Request) -> TenantId:
    refuse_tenants(request, "alerts")
    return caller_of(request).tenant


def _not_an_event(kind: str) -> HttpError:
    problem = Problem(
        code="unsupported-media-type",
        field="content-type",
        cause=f"the body is {kind[:100]!r}, and no ce- headers make it an event",
        fix=f"Send {cloudevents.STRUCTURED}, {cloudevents.BATCH}, or the ce- headers of binary mode.",
    )
    return HttpError(415, problem)
