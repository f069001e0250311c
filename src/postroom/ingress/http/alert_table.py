"""The operations of alerts: what each needs, reads and answers."""

from postroom.engine.service import Service
from postroom.ingress.http.acting import JSON, JSON_OR_NOTHING
from postroom.ingress.http.alert_dialects import SCOPE, DialectDoors, pagerduty_refusal
from postroom.ingress.http.alert_pages import AlertPageDoors
from postroom.ingress.http.alerts import MAX_BODY, AlertDoors, AlertRoom
from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.schema import alert_answers, alert_bodies, alert_rule_answers, alert_trial_answers, filters
from postroom.schema.alert_dialects.pagerduty import MAX_BODY as MAX_PAGERDUTY
from postroom.schema.alert_rules import AlertRuleBody
from postroom.schema.alerts import AlertReport
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation
from postroom.web.limits import ANY

_TAKEN = {202: ("Stored; what becomes of them is decided next.", alert_answers.TakenAlertsAnswer)}
_ONE = {200: ("The alert as it stands.", alert_answers.OneAlertAnswer)}
_FORM = frozenset({"application/x-www-form-urlencoded", ""})


def alert_operations(service: Service, room: AlertRoom, budget: ByteBudget) -> list[Operation]:
    """Return the table."""
    doors = AlertDoors(service, room, budget)
    return [
        *_report_operations(doors),
        *_alert_operations(doors),
        *_silence_operations(doors),
        *_rule_operations(doors),
        *_dialect_operations(DialectDoors(service, room, budget, doors)),
        *_page_operations(AlertPageDoors(room)),
    ]


def _report_operations(doors: AlertDoors) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/v1/alerts",
            endpoint=doors.report,
            needs=SCOPE,
            summary="Report one alert, or up to 1000",
            description="One object, a list of them, or an object with a list in `alerts`. All are stored, "
            "or none. Answered before anything is decided: `GET /v1/alerts/{id}/why` says what became of it.",
            media_types=JSON,
            max_body=MAX_BODY,
            body=AlertReport,
            answers=_TAKEN,
        ),
        Operation(
            method="GET",
            path="/v1/alerts/events",
            endpoint=doors.events,
            needs="read",
            summary="List reports as they came",
            parameters=filters.ALERT_EVENT_PARAMETERS,
            answers={200: ("One page, newest first.", alert_answers.AlertEventListAnswer)},
        ),
    ]


def _alert_operations(doors: AlertDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/alerts",
            endpoint=doors.page,
            needs="read",
            summary="List alerts",
            parameters=filters.ALERT_PARAMETERS,
            answers={200: ("One page, the worst first.", alert_answers.AlertListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/alerts/{id}",
            endpoint=doors.one,
            needs="read",
            summary="One alert",
            answers=_ONE,
        ),
        Operation(
            method="GET",
            path="/v1/alerts/{id}/why",
            endpoint=doors.why,
            needs="read",
            summary="Why it was told, or was not",
            description="Every decision with the clause that made it, as a sentence.",
            parameters=[*filters.WHY_PARAMETERS, ACCEPT_LANGUAGE],
            answers={200: ("One page of its story.", alert_answers.WhyAnswer)},
        ),
        *_deed_operations(doors),
    ]


def _deed_operations(doors: AlertDoors) -> list[Operation]:
    """Return what people do about one alert."""
    return [
        Operation(
            method="POST",
            path="/v1/alerts/{id}/acknowledge",
            endpoint=doors.acknowledge,
            needs="operate",
            summary="Say that somebody works on it",
            description="It is not told again until it is over, gets worse, or `until` has come.",
            media_types=JSON_OR_NOTHING,
            body=alert_bodies.AcknowledgeBody,
            answers=_ONE,
        ),
        Operation(
            method="POST",
            path="/v1/alerts/{id}/silence",
            endpoint=doors.silence_one,
            needs="operate",
            summary="Tell nobody of one alert for a while",
            description="A silence that matches every label of the alert but its severity.",
            media_types=JSON,
            body=alert_bodies.QuietBody,
            answers={201: ("The silence.", alert_answers.NewSilenceAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/alerts/{id}/rhythm",
            endpoint=doors.rhythm,
            needs="operate",
            summary="Repeat the mails about an alert at another interval",
            description="For every group that it is told with, until nothing of that is active any more.",
            media_types=JSON,
            body=alert_bodies.RhythmBody,
            answers={200: ("The groups.", alert_answers.RhythmAnswer)},
        ),
    ]


def _silence_operations(doors: AlertDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/alerts/silences",
            endpoint=doors.silences,
            needs="read",
            summary="List silences",
            answers={200: ("Those that hold or will.", alert_answers.SilenceListAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/alerts/silences",
            endpoint=doors.silence,
            needs="operate",
            summary="Tell nobody of alerts that match",
            media_types=JSON,
            body=alert_bodies.SilenceBody,
            answers={201: ("The silence.", alert_answers.NewSilenceAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/alerts/silences/{id}",
            endpoint=doors.unsilence,
            needs="operate",
            summary="End a silence",
            answers={204: ("Ended.", "application/json")},
        ),
    ]


def _rule_operations(doors: AlertDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/alerts/rules",
            endpoint=doors.rules,
            needs="read",
            summary="Everything that decides",
            answers={
                200: ("Types, routes, receivers, tables, inhibitions.", alert_rule_answers.RuleListAnswer)
            },
        ),
        Operation(
            method="GET",
            path="/v1/alerts/types",
            endpoint=doors.types,
            needs="read",
            summary="The catalogue of event types",
            answers={200: ("By key.", alert_rule_answers.TypeListAnswer)},
        ),
        Operation(
            method="PUT",
            path="/v1/alerts/rules/{kind}/{name}",
            endpoint=doors.put_rule,
            needs="operate",
            summary="Store a rule",
            description="`kind` is type, route, receiver, table or inhibition; the members are those of "
            "`[[alerts.types]]` and the others in the settings. It holds when this is answered. An entry of "
            "the settings is 409.",
            media_types=JSON,
            body=AlertRuleBody,
            answers={200: ("The rule that holds now.", alert_rule_answers.OneRuleAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/alerts/rules/{kind}/{name}",
            endpoint=doors.remove_rule,
            needs="operate",
            summary="Remove a stored rule",
            answers={204: ("Removed.", "application/json")},
        ),
        Operation(
            method="POST",
            path="/v1/alerts/test",
            endpoint=doors.test,
            needs="read",
            summary="What would become of a report with these labels",
            description="Its type, every route that is asked, whom it reaches and when; nothing is stored or "
            "told.",
            media_types=JSON,
            body=alert_bodies.LabelsBody,
            answers={200: ("What the rules say.", alert_trial_answers.TraceAnswer)},
        ),
    ]


def _dialect_operations(dialects: DialectDoors) -> list[Operation]:
    webhooks = (
        (
            "/v1/alerts/alertmanager",
            dialects.alertmanager,
            "Alertmanager's webhook",
            "Version 4, as `webhook_configs` posts it.",
        ),
        (
            "/v1/alerts/grafana",
            dialects.grafana,
            "Grafana's webhook",
            "Unified alerting, and the older form of dashboard alerts.",
        ),
        (
            "/v1/alerts/tapdata",
            dialects.tapdata,
            "TapData's webhook alarms",
            "The default template or a customised one, in JSON; a PING is answered with 200.",
        ),
        (
            "/v1/alerts/cloudevents",
            dialects.cloudevents,
            "CloudEvents 1.0",
            "Structured, batched or binary.",
        ),
    )
    return [
        *(
            Operation(
                method="POST",
                path=path,
                endpoint=endpoint,
                needs=SCOPE,
                summary=summary,
                description=description,
                media_types=_MEDIA_TYPES.get(path, JSON),
                max_body=MAX_BODY,
                answers=_TAKEN,
            )
            for path, endpoint, summary, description in webhooks
        ),
        *_foreign_operations(dialects),
    ]


_MEDIA_TYPES = {"/v1/alerts/tapdata": ANY, "/v1/alerts/cloudevents": ANY}
"""What looks at the media type itself, or is sent with whatever a template's author chose."""


def _foreign_operations(dialects: DialectDoors) -> list[Operation]:
    """Return the operations that stand where the programs look for them, and answer as those expect."""
    return [
        Operation(
            method="OPTIONS",
            path="/v1/alerts/cloudevents",
            endpoint=dialects.handshake,
            needs=None,
            summary="Whether events are wanted here",
            description="The handshake of Web Hooks for Event Delivery, section 4.",
            answers={200: ("`WebHook-Allowed-Origin` says yes.", "text/plain")},
        ),
        Operation(
            method="POST",
            path="/api/v2/alerts",
            endpoint=dialects.prometheus,
            needs=SCOPE,
            summary="What Prometheus posts to an Alertmanager",
            media_types=JSON,
            max_body=MAX_BODY,
            answers={200: ("Stored.", "text/plain")},
        ),
        Operation(
            method="POST",
            path="/v2/enqueue",
            endpoint=dialects.pagerduty,
            needs=None,
            summary="PagerDuty's Events API v2",
            description="`routing_key` is a key of this server with the scope `send`. Refusals have "
            "PagerDuty's form.",
            media_types=JSON,
            max_body=MAX_PAGERDUTY,
            answers={202: ("Stored.", "application/json")},
            dialect=pagerduty_refusal,
        ),
    ]


def _page_operations(pages: AlertPageDoors) -> list[Operation]:
    link = [
        {
            "name": "s",
            "in": "query",
            "required": True,
            "description": "The signed part of a link in an alert mail.",
            "schema": {"type": "string"},
        },
        ACCEPT_LANGUAGE,
    ]
    return [
        Operation(
            method="GET",
            path="/alerts/act",
            endpoint=pages.show,
            needs=None,
            summary="What a link of an alert mail would do",
            description="The link is the key. Nothing is changed: scanners of mail open every link.",
            parameters=link,
            answers={200: ("A page with one button.", "text/html")},
            dialect=pages.refusal,
        ),
        Operation(
            method="POST",
            path="/alerts/act",
            endpoint=pages.act,
            needs=None,
            summary="Do what a link of an alert mail says",
            media_types=_FORM,
            parameters=link,
            answers={200: ("A page that says what was done.", "text/html")},
            dialect=pages.refusal,
        ),
    ]
