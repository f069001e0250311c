"""The operations of a person at the desk: what each needs, reads and answers."""

from dataclasses import dataclass

from postroom.clock import Clock
from postroom.engine.accounts import Accounts
from postroom.engine.desk import Desk
from postroom.engine.endpoints import Endpoints
from postroom.engine.health import Health
from postroom.engine.service import Service
from postroom.engine.trials import Trials
from postroom.engine.ways import Ways
from postroom.ingress.http.account_table import account_operations
from postroom.ingress.http.accounts import AccountDoors
from postroom.ingress.http.acting import JSON, JSON_OR_NOTHING
from postroom.ingress.http.check_table import check_operations
from postroom.ingress.http.checks import CheckDoors
from postroom.ingress.http.desk import DeskDoors
from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.ingress.http.orders import MAX_IMPORT, OrderDoors
from postroom.ingress.http.providers import provider_operations
from postroom.ingress.http.tapdata import TapdataDoor
from postroom.ingress.http.transports import TransportDoors
from postroom.ingress.http.webhooks import WebhookDoors
from postroom.ports.doctor import Doctor
from postroom.schema import answers, desk_answers, filters, operating, transport_answers
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation

_IN_TWO_STEPS = (
    "Without a token nothing is changed: the answer counts what is meant and gives a token that does it, "
    "once, within ten minutes. Mail accepted after the dry run is never meant."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRoom:
    """What the doors of a person at the desk stand before."""

    desk: Desk
    endpoints: Endpoints
    ways: Ways
    health: Health
    accounts: Accounts
    doctor: Doctor
    clock: Clock


def desk_operations(service: Service, room: DeskRoom, budget: ByteBudget) -> list[Operation]:
    """Return the table."""
    transports = TransportDoors(
        service, room.ways, room.health, room.accounts, budget=budget, clock=room.clock
    )
    checks = CheckDoors(service, room.accounts, room.health, room.doctor, budget=budget, clock=room.clock)
    tapdata = TapdataDoor(service, checks, room.ways, Trials(service, room.clock), budget=budget)
    return [
        *mail_operations(DeskDoors(service, room.desk, budget)),
        *order_operations(OrderDoors(service, room.desk, budget, room.clock)),
        *webhook_operations(WebhookDoors(service, room.endpoints, budget)),
        *transport_operations(transports),
        *account_operations(AccountDoors(room.accounts, transports, budget=budget)),
        *check_operations(checks),
        tapdata.operation(),
        *provider_operations(),
    ]


def mail_operations(desk: DeskDoors) -> list[Operation]:
    """Return the operations on stored mail and its events."""
    return [*_one_operations(desk), *_bulk_operations(desk), *_event_operations(desk)]


def _one_operations(desk: DeskDoors) -> list[Operation]:
    changed = {200: ("The message afterwards.", desk_answers.ChangedMessageAnswer)}
    return [
        Operation(
            method="POST",
            path="/v1/messages/{id}/retry",
            endpoint=desk.retry,
            needs="operate",
            summary="Send again",
            description="Takes refused, expired, suppressed, deferred and held recipients, and uncertain "
            "ones with `confirm_duplicate`; accepted ones never.",
            media_types=JSON_OR_NOTHING,
            body=operating.RetryBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=changed,
        ),
        Operation(
            method="PATCH",
            path="/v1/messages/{id}",
            endpoint=desk.reschedule,
            needs="operate",
            summary="Change when a message is sent and when it expires",
            description="Until an attempt has claimed it; then it is 409 with the states of its recipients.",
            media_types=JSON,
            body=operating.RescheduleBody,
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("The message afterwards.", answers.MessageAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/messages/{id}/resolve",
            endpoint=desk.resolve,
            needs="operate",
            summary="Say what became of uncertain recipients",
            description="`arrived` makes them accepted, `send_again` queues them, `drop` cancels them.",
            media_types=JSON,
            body=operating.ResolveBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=changed,
        ),
        Operation(
            method="POST",
            path="/v1/messages/{id}/release",
            endpoint=desk.release,
            needs="operate",
            summary="Let held recipients go",
            media_types=JSON_OR_NOTHING,
            body=operating.ReleaseBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=changed,
        ),
    ]


def _bulk_operations(desk: DeskDoors) -> list[Operation]:
    done = {200: ("What would be changed, or was.", desk_answers.BulkAnswer)}
    return [
        Operation(
            method="POST",
            path=f"/v1/messages/{verb}",
            endpoint=endpoint,
            needs="operate",
            summary=summary,
            description=_IN_TWO_STEPS,
            media_types=JSON,
            body=body,
            answers=done,
        )
        for verb, endpoint, summary, body in (
            ("retry", desk.retry_all, "Send many again", operating.BulkRetryBody),
            ("cancel", desk.cancel_all, "Cancel many", operating.BulkBody),
            ("resolve", desk.resolve_all, "Resolve many uncertain recipients", operating.BulkResolveBody),
            ("release", desk.release_all, "Let many held recipients go", operating.BulkBody),
        )
    ]


def _event_operations(desk: DeskDoors) -> list[Operation]:
    page = {200: ("One page.", desk_answers.EventListAnswer)}
    return [
        Operation(
            method="GET",
            path="/v1/messages/{id}/events",
            endpoint=desk.message_events,
            needs="read",
            summary="What happened to a message",
            description="Newest first, or oldest first with `after`.",
            parameters=[*filters.MESSAGE_EVENT_PARAMETERS, ACCEPT_LANGUAGE],
            answers=page,
        ),
        Operation(
            method="GET",
            path="/v1/events",
            endpoint=desk.events,
            needs="read",
            summary="What happened",
            description="Newest first, or oldest first with `after` (0 is the beginning).",
            parameters=[*filters.EVENT_PARAMETERS, ACCEPT_LANGUAGE],
            answers=page,
        ),
    ]


def order_operations(orders: OrderDoors) -> list[Operation]:
    """Return the operations on holds and suppressions."""
    return [*_hold_operations(orders), *_suppression_operations(orders), *_csv_operations(orders)]


def _hold_operations(orders: OrderDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/holds",
            endpoint=orders.holds,
            needs="read",
            summary="List holds",
            parameters=filters.HOLD_PARAMETERS,
            answers={200: ("Newest first.", desk_answers.HoldListAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/holds",
            endpoint=orders.add_hold,
            needs="operate",
            summary="Hold what waits and what comes",
            media_types=JSON,
            body=operating.HoldBody,
            answers={201: ("The hold, with how many it holds.", desk_answers.NewHoldAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/holds/{id}",
            endpoint=orders.end_hold,
            needs="operate",
            summary="End a hold and release what it holds",
            answers={200: ("What was released.", desk_answers.EndedAnswer)},
        ),
    ]


def _suppression_operations(orders: OrderDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/suppressions",
            endpoint=orders.suppressions,
            needs="read",
            summary="List suppressions",
            parameters=filters.SUPPRESSION_PARAMETERS,
            answers={200: ("One page in order of address.", desk_answers.SuppressionListAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/suppressions",
            endpoint=orders.suppress,
            needs="operate",
            summary="Send nothing to an address or domain",
            description="An entry of the same address and class is replaced; what waits is suppressed.",
            media_types=JSON,
            body=operating.SuppressionBody,
            answers={201: ("Stored.", desk_answers.NewSuppressionAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/suppressions/{address}",
            endpoint=orders.unsuppress,
            needs="operate",
            summary="Take an address off the list",
            parameters=filters.REMOVAL_PARAMETERS,
            answers={204: ("Removed.", "application/json")},
        ),
    ]


def _csv_operations(orders: OrderDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/suppressions.csv",
            endpoint=orders.export,
            needs="read",
            summary="The suppression list as CSV",
            description="A cell that a spreadsheet would calculate has an apostrophe before it.",
            answers={200: ("The whole list.", "text/csv")},
        ),
        Operation(
            method="POST",
            path="/v1/suppressions/import",
            endpoint=orders.import_rows,
            needs="operate",
            summary="Put many addresses on the list",
            description="CSV in UTF-8; the first line names the columns, of which only address is needed. "
            "Good rows are stored as they come, the others are told with their numbers.",
            media_types=frozenset({"text/csv"}),
            max_body=MAX_IMPORT,
            answers={200: ("What became of the rows.", desk_answers.ImportAnswer)},
        ),
    ]


def webhook_operations(webhooks: WebhookDoors) -> list[Operation]:
    """Return the operations on webhook endpoints."""
    return [*_hook_operations(webhooks), *_delivery_operations(webhooks)]


def _hook_operations(webhooks: WebhookDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/webhooks",
            endpoint=webhooks.all,
            needs="operate",
            summary="List webhook endpoints",
            answers={200: ("Oldest first.", desk_answers.HookListAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/webhooks",
            endpoint=webhooks.add,
            needs="operate",
            summary="Tell an endpoint of events",
            media_types=JSON,
            body=operating.HookBody,
            answers={201: ("The endpoint, its secret shown this once.", desk_answers.NewHookAnswer)},
        ),
        Operation(
            method="PATCH",
            path="/v1/webhooks/{id}",
            endpoint=webhooks.change,
            needs="operate",
            summary="Change, disable or enable an endpoint",
            media_types=JSON,
            body=operating.HookChangeBody,
            answers={200: ("The endpoint afterwards.", desk_answers.OneHookAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/webhooks/{id}",
            endpoint=webhooks.remove,
            needs="operate",
            summary="Remove an endpoint with its log",
            answers={204: ("Removed.", "application/json")},
        ),
        Operation(
            method="POST",
            path="/v1/webhooks/{id}/rotate",
            endpoint=webhooks.rotate,
            needs="operate",
            summary="Give an endpoint a new secret",
            description="The one before signs too for 24 hours.",
            answers={200: ("The new secret, shown this once.", desk_answers.NewHookAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/webhooks/{id}/test",
            endpoint=webhooks.test,
            needs="operate",
            summary="Post a test to an endpoint now",
            description="One signed POST of the type `webhook.test`, not repeated and not in the log.",
            answers={200: ("What the endpoint answered.", desk_answers.HookTestAnswer)},
        ),
    ]


def _delivery_operations(webhooks: WebhookDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/webhooks/{id}/deliveries",
            endpoint=webhooks.deliveries,
            needs="operate",
            summary="What became of deliveries",
            parameters=filters.DELIVERY_PARAMETERS,
            answers={200: ("One page, newest event first.", desk_answers.DeliveryListAnswer)},
        ),
        Operation(
            method="POST",
            path="/v1/webhooks/{id}/deliveries/replay",
            endpoint=webhooks.replay,
            needs="operate",
            summary="Tell events again",
            media_types=JSON,
            body=operating.ReplayBody,
            answers={202: ("They are due.", desk_answers.ReplayAnswer)},
        ),
    ]


def transport_operations(transports: TransportDoors) -> list[Operation]:
    """Return the operations on ways out."""
    one = {200: ("The transport as it is now.", transport_answers.OneTransportAnswer)}
    return [
        Operation(
            method="GET",
            path="/v1/transports",
            endpoint=transports.all,
            needs="read",
            summary="List ways out",
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("In configured order.", transport_answers.TransportListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/transports/{name}",
            endpoint=transports.one,
            needs="read",
            summary="One way out: its pauses, its pace, what was learnt",
            parameters=[ACCEPT_LANGUAGE],
            answers=one,
        ),
        Operation(
            method="POST",
            path="/v1/transports/{name}/suspend",
            endpoint=transports.suspend,
            needs="operate",
            summary="Send nothing by a transport",
            description="Until a person resumes it or `until` has come. What waits goes by the other legs of "
            "its route.",
            media_types=JSON,
            body=operating.SuspendBody,
            parameters=[ACCEPT_LANGUAGE],
            answers=one,
        ),
        Operation(
            method="POST",
            path="/v1/transports/{name}/resume",
            endpoint=transports.resume,
            needs="operate",
            summary="Send by a transport again",
            description="Ends a suspension, and lets one message probe at once where the transport waits.",
            parameters=[ACCEPT_LANGUAGE],
            answers=one,
        ),
    ]
