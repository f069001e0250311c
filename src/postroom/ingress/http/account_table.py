"""The operations that make, change and remove transports."""

from postroom.ingress.http.accounts import AccountDoors
from postroom.ingress.http.acting import JSON
from postroom.schema import transport_answers
from postroom.schema.transport_fields import TransportFields
from postroom.web.gate import Operation

_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that was shown: 412 when somebody changed it since.",
    "schema": {"type": "string"},
}
_MOVE_TO = {
    "name": "move_to",
    "in": "query",
    "required": False,
    "description": "The transport that takes what waits; uncertain mail waits for a person then.",
    "schema": {"type": "string"},
}


def account_operations(accounts: AccountDoors) -> list[Operation]:
    """Return the table."""
    changed = transport_answers.ChangedTransportAnswer
    return [
        Operation(
            method="POST",
            path="/v1/transports",
            endpoint=accounts.create,
            needs="admin",
            summary="Make a way out",
            description="It is stored with its secrets sealed, and in use when this is answered. The first "
            "one of a server without transports is the default from then on, and mail really leaves. "
            "Without `name` it is named after its provider or its host.",
            media_types=JSON,
            body=TransportFields,
            answers={201: ("The transport.", changed)},
        ),
        Operation(
            method="PATCH",
            path="/v1/transports/{name}",
            endpoint=accounts.change,
            needs="admin",
            summary="Change a way out",
            description="A merge patch (RFC 7396): what it does not name stays, `null` takes the default and "
            "`*****` keeps a stored secret. Mail that waits is tried at once. With If-Match or the member "
            "`version` only what was seen is changed. What the settings configure is refused with `patch`, "
            "the lines that make the change there.",
            media_types=JSON,
            body=TransportFields,
            parameters=[_IF_MATCH],
            answers={200: ("The transport afterwards.", changed)},
        ),
        Operation(
            method="DELETE",
            path="/v1/transports/{name}",
            endpoint=accounts.remove,
            needs="admin",
            summary="Remove a way out",
            description="Refused while a route of the settings names it, or mail waits for it and nobody is "
            "named to take that.",
            parameters=[_IF_MATCH, _MOVE_TO],
            answers={204: ("Removed.", "application/json")},
        ),
    ]
