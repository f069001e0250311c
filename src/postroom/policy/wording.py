"""One plain sentence for each event, for the API, the command line, webhooks and mail to an operator.

Pure: it knows kinds and members of an event, nothing else. What a cause means and what to do about it is
in ``providers.replies``; here stands what happened.
"""

from collections.abc import Mapping

from postroom.model.event import EventKind, NewEvent

K = EventKind

KIND_TEXTS: Mapping[EventKind, str] = {
    K.MESSAGE_QUEUED: "Stored; it is sent when it is due.",
    K.MESSAGE_RESCHEDULED: "Its times were changed{by}.",
    K.MESSAGE_REWRITTEN: "Sent{via} as the account, the only sender that it takes{change}{answers}.",
    K.MESSAGE_REPORT_WISHED: "Its sender asks for a report of success or delay.",
    K.MESSAGE_REPORT_PASSED_ON: "The next server{via} takes over to report success to the sender.",
    K.MESSAGE_REPORTED: "Its sender was sent a report{what}{path}.",
    K.MESSAGE_REDUCED: "Posted{via} without what its form has no place for{lost}.",
    K.RECIPIENT_ACCEPTED: "Accepted by the next server{via}{by}.",
    K.RECIPIENT_CAPTURED: "Kept in the capture inbox; nothing left this machine.",
    K.RECIPIENT_DEFERRED: "Not taken now{via}{cause}; it is tried again.",
    K.RECIPIENT_REFUSED: "Refused for good{via}{cause}.",
    K.RECIPIENT_UNCERTAIN: "Handed over{via} without an answer{cause}; nobody knows whether it arrived.",
    K.RECIPIENT_HELD: "Held for a person{by}{cause}.",
    K.RECIPIENT_QUEUED: "Queued again{via}{by}{cause}.",
    K.RECIPIENT_SUPPRESSED: "Not sent: the address is on the suppression list{cause}.",
    K.RECIPIENT_CANCELLED: "Cancelled{by}{cause}.",
    K.RECIPIENT_EXPIRED: "Its time ended before it could be sent{cause}.",
    K.RECIPIENT_BOUNCED: "Came back after it had been accepted{cause}.",
    K.TRANSPORT_CREATED: "Sending{via} was set up{by}.",
    K.TRANSPORT_CHANGED: "Sending{via} was set up anew{by}{note}.",
    K.TRANSPORT_REMOVED: "Sending{via} was ended{by}{note}.",
    K.TRANSPORT_OPENED: "Nothing is sent{via} for a while{cause}.",
    K.TRANSPORT_CLOSED: "Mail is sent{via} again.",
    K.TRANSPORT_SUSPENDED: "Sending{via} was suspended{by}{cause}.",
    K.TRANSPORT_RESUMED: "Sending{via} was resumed{by}.",
    K.LIMIT_LEARNT: "The server asked for less{via}{cause}; the pace was lowered.",
    K.QUOTA_NEAR_END: "The quota{via} is nearly used up{cause}.",
    K.UNCERTAIN_AGED: "The oldest uncertain recipient has waited long for a person.",
    K.SUPPRESSION_ADDED: "{address} was put on the suppression list{by}{cause}.",
    K.SUPPRESSION_REMOVED: "{address} was taken off the suppression list{by}{note}.",
    K.HOOK_DISABLED: "A webhook endpoint was disabled{by}{cause}.",
}
"""Kind to its sentence; the parts in braces are left out when the event does not say them."""


_BY_A_PERSON: Mapping[tuple[EventKind, str], str] = {
    (K.RECIPIENT_ACCEPTED, "resolved"): "A person said that it arrived{by}{note}.",
    (K.RECIPIENT_QUEUED, "resolved"): "Queued again after a person looked{by}{note}.",
    (K.RECIPIENT_QUEUED, "retried"): "Queued again{by}.",
    (K.RECIPIENT_QUEUED, "released"): "Released from its hold{by}.",
    (K.RECIPIENT_CANCELLED, "resolved"): "Given up after a person looked{by}{note}.",
    (K.RECIPIENT_CANCELLED, "cancelled"): "Cancelled{by}.",
    (K.TRANSPORT_SUSPENDED, "transport-suspended"): "Sending{via} was suspended{by}{note}.",
}
"""Kind and cause to the sentence of what a person did."""


def sentence(event: NewEvent) -> str:
    """Return what happened as one sentence."""
    text = _BY_A_PERSON.get((event.kind, event.cause), KIND_TEXTS[event.kind])
    return text.format_map(_parts(event))


def kind_sentence(kind: EventKind) -> str:
    """Return the sentence of a kind without the members of one event, for documents."""
    return KIND_TEXTS[kind].format_map(_parts(None))


def _parts(event: NewEvent | None) -> Mapping[str, str]:
    data = event.data if event is not None else {}
    transport = event.transport if event is not None else ""
    cause = event.cause or data.get("text", "") if event is not None else ""
    return {
        "via": f" by {transport}" if transport else "",
        "by": f" ({data['author']})" if data.get("author") else "",
        "cause": f": {cause}" if cause else "",
        "note": f": {data['note']}" if data.get("note") else "",
        "change": f": {data['from']} became {data['to']}" if "to" in data else "",
        "answers": f"; answers go to {data['reply_to']}" if data.get("reply_to") else "",
        "what": f" ({data['what']})" if data.get("what") else "",
        "path": f", at {data['reverse_path']}" if data.get("reverse_path") else "",
        "lost": f": {data['lost']}" if data.get("lost") else "",
        "address": data.get("address", "An address"),
    }
