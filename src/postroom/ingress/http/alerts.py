"""The doors of alerts for people and our own clients: report, list, ask why, silence, change the rules.

Alerts belong to the house: keys of other tenants are refused. Reports of other programs come by
``alert_dialects``, what readers of alert mails do by ``alert_pages``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.clock import Clock
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.forms import NewSilence, RuleKind
from postroom.engine.service import Service
from postroom.errors import InputError, NotFoundError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.language import headers_in, language_asked
from postroom.ingress.http.messages import beside
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.transports import refuse_tenants
from postroom.model.alert import NewAlertEvent
from postroom.policy.links import LinkKeys
from postroom.schema import alert_answers, alert_rule_answers, alert_trial_answers, filters
from postroom.schema.alert_bodies import AcknowledgeBody, LabelsBody, QuietBody, RhythmBody, SilenceBody
from postroom.schema.alerts import read_alerts
from postroom.schema.bodies import read_as
from postroom.web.budget import MIB, ByteBudget
from postroom.web.uploads import read_body

MAX_BODY = 4 * MIB
"""Bytes of one request of reports: a thousand with 4 KB each."""
WEIGHT = 2
"""A body of reports is held as bytes and as parsed values."""
NOBODY = "a caller without a key"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRoom:
    """What the doors of alerts stand before."""

    alerts: Alerts
    clock: Clock
    keys: Callable[[], LinkKeys | None]
    """What signed the links of mails; asked at each use of one, in a thread."""


class AlertDoors:
    """Endpoints under ``/v1/alerts``."""

    def __init__(self, service: Service, room: AlertRoom, budget: ByteBudget) -> None:
        """Take the service, what is behind the doors, and the byte budget of the process."""
        self._service = service
        self._alerts = room.alerts
        self._clock = room.clock
        self._budget = budget

    # ------------------------------------------------------------------ reports

    async def report(self, request: Request) -> Response:
        """Take reports; all are stored, or none."""
        tenant = actor_of(request).tenant
        refuse_tenants(request, "alerts")
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=MAX_BODY, hold=hold, weight=WEIGHT)
            events = await beside(body, partial(read_alerts, body, tenant=tenant))
            return await self.taken(events)

    async def taken(self, events: list[NewAlertEvent]) -> Response:
        """Store reports and say which alerts they belong to."""
        numbers = await self._alerts.accept(events) if events else ()
        return JsonReply(alert_answers.taken(events, numbers, self._service.mode), 202)

    async def events(self, request: Request) -> Response:
        """Show one page of reports as they came."""
        refuse_tenants(request, "alerts")
        query = request.query_params.multi_items()
        wanted = filters.read_alert_event_filter(query, tenant=actor_of(request).tenant)
        page = await self._alerts.events(wanted)
        return JsonReply(alert_answers.events(page, self._service.mode, limit=wanted.limit))

    # ------------------------------------------------------------------ alerts

    async def page(self, request: Request) -> Response:
        """Show one page of alerts."""
        refuse_tenants(request, "alerts")
        query = request.query_params.multi_items()
        wanted = filters.read_alert_filter(query, tenant=actor_of(request).tenant)
        return JsonReply(alert_answers.alerts(await self._alerts.list(wanted), self._service.mode))

    async def one(self, request: Request) -> Response:
        """Show one alert."""
        refuse_tenants(request, "alerts")
        view = await self._alerts.view(request.path_params["id"], tenant=actor_of(request).tenant)
        return JsonReply({"mode": self._service.mode, **alert_answers.alert(view)})

    async def why(self, request: Request) -> Response:
        """Tell the story of an alert."""
        refuse_tenants(request, "alerts")
        language, query = language_asked(request), request.query_params.multi_items()
        wanted = filters.read_why_filter(query, tenant=actor_of(request).tenant, language=language)
        story = await self._alerts.why(request.path_params["id"], wanted)
        answer = alert_answers.why(story, self._service.mode, limit=wanted.limit)
        return JsonReply(answer, headers=headers_in(language))

    async def acknowledge(self, request: Request) -> Response:
        """Say that somebody works on an alert."""
        refuse_tenants(request, "alerts")
        body, actor = read_as(AcknowledgeBody, await said(request, self._budget)), actor_of(request)
        view = await self._alerts.acknowledge(
            request.path_params["id"],
            by=body.by or actor.name or NOBODY,
            until=body.end(self._clock.now()),
            tenant=actor.tenant,
        )
        return JsonReply({"mode": self._service.mode, **alert_answers.alert(view)})

    async def rhythm(self, request: Request) -> Response:
        """Repeat the mails about an alert at another interval."""
        refuse_tenants(request, "alerts")
        body, actor = read_as(RhythmBody, await said(request, self._budget)), actor_of(request)
        groups = await self._alerts.set_rhythm_of(
            request.path_params["id"], body.every, by=body.by or actor.name or NOBODY, tenant=actor.tenant
        )
        return JsonReply(alert_answers.rhythm(groups, body.every, self._service.mode))

    # ------------------------------------------------------------------ silences

    async def silence_one(self, request: Request) -> Response:
        """Tell nobody of one alert."""
        refuse_tenants(request, "alerts")
        body, actor = read_as(QuietBody, await said(request, self._budget)), actor_of(request)
        made = await self._alerts.silence_alert(
            request.path_params["id"],
            ends_at=self._end(body),
            author=body.author or actor.name or NOBODY,
            reason=body.reason or "",
            tenant=actor.tenant,
        )
        return JsonReply({"mode": self._service.mode, **alert_answers.silence(made)}, 201)

    async def silence(self, request: Request) -> Response:
        """Tell nobody of what matches."""
        refuse_tenants(request, "alerts")
        body, actor = read_as(SilenceBody, await said(request, self._budget)), actor_of(request)
        made = await self._alerts.silence(
            NewSilence(
                tenant=actor.tenant,
                matchers=tuple(body.matchers),
                starts_at=body.starts_at,
                ends_at=self._end(body, body.starts_at),
                author=body.author or actor.name or NOBODY,
                reason=body.reason or "",
            )
        )
        return JsonReply({"mode": self._service.mode, **alert_answers.silence(made)}, 201)

    def _end(self, body: QuietBody, starts_at: datetime | None = None) -> datetime:
        return body.end(starts_at or self._clock.now())

    async def silences(self, request: Request) -> Response:
        """Show the silences."""
        refuse_tenants(request, "alerts")
        found = await self._alerts.silences(tenant=actor_of(request).tenant)
        shown = [alert_answers.silence(one) for one in found]
        return JsonReply({"mode": self._service.mode, "silences": shown})

    async def unsilence(self, request: Request) -> Response:
        """End a silence."""
        refuse_tenants(request, "alerts")
        actor = actor_of(request)
        await self._alerts.unsilence(request.path_params["id"], by=actor.name or NOBODY, tenant=actor.tenant)
        return Response(status_code=204)

    # ------------------------------------------------------------------ rules

    async def rules(self, request: Request) -> Response:
        """Show everything that decides."""
        refuse_tenants(request, "alerts")
        held = self._alerts.rules(tenant=actor_of(request).tenant)
        return JsonReply(alert_rule_answers.rules(held, self._service.mode))

    async def types(self, request: Request) -> Response:
        """Show the catalogue."""
        refuse_tenants(request, "alerts")
        held = self._alerts.rules(tenant=actor_of(request).tenant)
        shown = alert_rule_answers.of_kind(held, RuleKind.TYPE)
        return JsonReply({"mode": self._service.mode, "types": shown})

    async def put_rule(self, request: Request) -> Response:
        """Store a rule."""
        refuse_tenants(request, "alerts")
        kind, name = _rule_of(request)
        rule = await said(request, self._budget)
        if not isinstance(rule, dict):
            problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send an object.")
            raise InputError([problem])
        _refuse_other_name(rule, kind, name)
        held = await self._alerts.put_rule(kind, name, json.dumps(rule), tenant=actor_of(request).tenant)
        shown = next(one for one in alert_rule_answers.of_kind(held, kind) if one["name"] == name)
        return JsonReply({"mode": self._service.mode, **shown})

    async def remove_rule(self, request: Request) -> Response:
        """Remove a stored rule."""
        refuse_tenants(request, "alerts")
        kind, name = _rule_of(request)
        await self._alerts.remove_rule(kind, name, tenant=actor_of(request).tenant)
        return Response(status_code=204)

    async def test(self, request: Request) -> Response:
        """Say what would become of a report."""
        refuse_tenants(request, "alerts")
        body = read_as(LabelsBody, await said(request, self._budget))
        found = await self._alerts.test(body.labels, tenant=actor_of(request).tenant)
        return JsonReply(alert_trial_answers.trial(found, self._service.mode))


def _rule_of(request: Request) -> tuple[RuleKind, str]:
    kind, name = request.path_params["kind"], request.path_params["name"]
    if kind not in list(RuleKind):
        raise NotFoundError(f"there are no alert rules of the kind {kind[:50]!r}: {', '.join(RuleKind)}")
    return RuleKind(kind), name


def _refuse_other_name(rule: dict[str, Any], kind: RuleKind, name: str) -> None:
    """The path names a rule; a body that names it too must agree."""
    field = "key" if kind is RuleKind.TYPE else "name"
    if rule.get(field, name) != name:
        fix = "Leave it out, or store it under that name."
        problem = Problem(code="name-differs", field=field, cause="not the name in the path", fix=fix)
        raise InputError([problem])
