"""The operations of ``/v1`` and the health checks: what each needs, reads and answers."""

from postroom.ingress.http.inbox import InboxDoors
from postroom.ingress.http.language import ACCEPT_LANGUAGE
from postroom.ingress.http.messages import MessageDoors
from postroom.ingress.http.operator import OperatorDoors
from postroom.ingress.http.settings import HttpSettings
from postroom.ingress.http.state import StateDoors
from postroom.schema import answers, status_answers
from postroom.schema.bodies import BackupBody, BatchBody, KeyBody, SubmissionBody
from postroom.schema.filters import CAPTURED_PARAMETERS, MESSAGE_PARAMETERS
from postroom.web.gate import Operation

_JSON = frozenset({"application/json"})
_JSON_OR_FORM = frozenset({"application/json", "multipart/form-data"})
SUBMIT_HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same for every repetition of one message; kept for 24 hours at least.",
        "schema": {"type": "string", "maxLength": 256},
    },
    {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`wait=N` answers after the first attempt, or after N seconds (at most 30).",
        "schema": {"type": "string"},
    },
]


def v1_operations(
    messages: MessageDoors,
    inbox: InboxDoors,
    operator: OperatorDoors,
    state: StateDoors,
    *,
    settings: HttpSettings,
) -> list[Operation]:
    """Return the table."""
    return [
        *_submit_operations(messages, settings),
        *_message_operations(messages),
        *_inbox_operations(inbox),
        *_admin_operations(operator),
        *_state_operations(state, settings),
    ]


def _submit_operations(messages: MessageDoors, settings: HttpSettings) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/v1/messages",
            endpoint=messages.submit,
            needs="send",
            summary="Send one mail",
            description="Answers 202 when the mail is on stable storage. As multipart/form-data the JSON is "
            "the part `message` and each file a part named by an attachment's `upload`.",
            media_types=_JSON_OR_FORM,
            max_body=settings.max_body,
            body=SubmissionBody,
            parameters=[*SUBMIT_HEADERS, ACCEPT_LANGUAGE],
            answers={
                202: ("Stored; it will be sent.", answers.AcceptedAnswer),
                200: ("With `Prefer: wait`: every recipient has its final state.", answers.MessageAnswer),
            },
        ),
        Operation(
            method="POST",
            path="/v1/messages/batch",
            endpoint=messages.submit_batch,
            needs="send",
            summary="Send up to 500 mails",
            description="Each item is accepted or refused by itself. With an Idempotency-Key each item's key "
            "is `KEY/NUMBER`, counted from 0, unless the item has one of its own.",
            media_types=_JSON,
            max_body=settings.max_body,
            body=BatchBody,
            parameters=SUBMIT_HEADERS[:1],
            answers={
                202: ("All were stored.", answers.BatchAnswer),
                207: ("Some were refused; each item says why.", answers.BatchAnswer),
            },
        ),
    ]


def _message_operations(messages: MessageDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/messages",
            endpoint=messages.page,
            needs="read",
            summary="List messages",
            parameters=MESSAGE_PARAMETERS,
            answers={200: ("One page, newest first.", answers.ListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/messages/{id}",
            endpoint=messages.view,
            needs="read",
            summary="What became of a mail",
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("The truth about each recipient.", answers.MessageAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/messages/{id}",
            endpoint=messages.cancel,
            needs="send",
            summary="Cancel what still waits",
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("The message afterwards.", answers.MessageAnswer)},
        ),
    ]


def _inbox_operations(inbox: InboxDoors) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/captured",
            endpoint=inbox.page,
            needs="read",
            summary="List captured mails",
            parameters=CAPTURED_PARAMETERS,
            answers={200: ("One page, newest first.", answers.CapturedListAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/captured/{number}",
            endpoint=inbox.one,
            needs="read",
            summary="One captured mail",
            answers={200: ("The mail.", answers.CapturedOneAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/captured/{number}/source",
            endpoint=inbox.source,
            needs="read",
            summary="The bytes of a captured mail",
            answers={200: ("As they would have gone over the wire.", "message/rfc822")},
        ),
    ]


def _admin_operations(operator: OperatorDoors) -> list[Operation]:
    return [
        Operation(
            method="POST",
            path="/v1/keys",
            endpoint=operator.create_key,
            needs="admin",
            summary="Create a key",
            media_types=_JSON,
            body=KeyBody,
            answers={201: ("The key, its secret shown this once.", answers.NewKeyAnswer)},
        ),
        Operation(
            method="GET",
            path="/v1/keys",
            endpoint=operator.keys,
            needs="admin",
            summary="List keys",
            answers={200: ("Every key.", answers.KeyListAnswer)},
        ),
        Operation(
            method="DELETE",
            path="/v1/keys/{id}",
            endpoint=operator.revoke_key,
            needs="admin",
            summary="Revoke a key by id or name",
            answers={204: ("Revoked.", "application/json")},
        ),
        Operation(
            method="POST",
            path="/v1/backup",
            endpoint=operator.backup,
            needs="admin",
            summary="Write an online copy of the store",
            media_types=_JSON,
            body=BackupBody,
            answers={201: ("The copy is complete.", answers.BackupAnswer)},
        ),
    ]


def _state_operations(state: StateDoors, settings: HttpSettings) -> list[Operation]:
    return [
        Operation(
            method="GET",
            path="/v1/status",
            endpoint=state.status,
            needs="read",
            summary="How everything stands, and what to do next",
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("The state now.", status_answers.StatusAnswer)},
        ),
        Operation(
            method="GET",
            path="/metrics",
            endpoint=state.metrics,
            needs=None if settings.metrics_are_public else "read",
            summary="Every metric, for monitoring",
            description="Names and meanings are in `docs/metrics.md`.",
            answers={200: ("Prometheus' text format, version 0.0.4.", "text/plain")},
        ),
        Operation(
            method="GET",
            path="/healthz",
            endpoint=state.alive,
            needs=None,
            summary="The process answers",
            answers={200: ("Alive.", answers.AliveAnswer)},
        ),
        Operation(
            method="GET",
            path="/readyz",
            endpoint=state.ready,
            needs=None,
            summary="New mail is taken",
            description="`degraded` takes mail of which some cannot leave now.",
            answers={
                200: ("Ready, or degraded.", status_answers.ReadyAnswer),
                503: ("Not ready, with the reasons.", status_answers.ReadyAnswer),
            },
        ),
    ]
