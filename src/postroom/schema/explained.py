"""The answer of explain: the model for the OpenAPI document, and the function that writes it.

It is written for whoever sends mail: why a transport waits is said by cause and remedy, while what a server
said about other mail stays with the operator (``/v1/transports``).
"""

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from postroom.engine.explain import ExplainedRecipient, Explanation, KeyUse, Leg, Made
from postroom.model.hold import HoldEnd, SuppressionReason
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.view import FOREVER, PauseKind, TransportPause
from postroom.ports import KeyReused, Replayed
from postroom.schema.answers import Json, Mode, ProblemItem, TemplateAnswer, Wording, instant, pinned
from postroom.schema.transport_answers import state_of


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WaitAnswer(_Answer):
    """What a transport waits for; ``until`` is null when a person must end it."""

    kind: PauseKind
    until: str | None
    cause: str
    meaning: str
    remedy: str


class PaceNowAnswer(_Answer):
    """Messages in a window: how many may go, how many went."""

    window_s: int
    allowed: int
    used: int


class LegAnswer(_Answer):
    """One transport of the route; `absent` is one that does not exist and is passed over."""

    transport: str
    chosen: bool
    state: str
    waits: list[WaitAnswer]
    pace: list[PaceNowAnswer]
    paced_until: str | None
    quota_ends_at: str | None


class StopAnswer(_Answer):
    """Why a recipient would not be sent to: ``suppressed`` for good, ``held`` for a person."""

    reason: str
    until: str | None
    then: HoldEnd | None = None
    kind: SuppressionReason | None = None


class ExplainedRecipientAnswer(_Answer):
    """One recipient, in the state it would be stored in."""

    address: str
    state: str
    suppressed: StopAnswer | None
    held: StopAnswer | None


class ExplainedClassAnswer(_Answer):
    """What the mail class sets; ``retries`` are the least and most seconds of each wait."""

    name: MailClass
    retries: list[tuple[float, float]]
    uncertain_policy: UncertainPolicy | None
    uncertain_failover: bool


class KeyUseAnswer(_Answer):
    """What the idempotency key would do: ``new``, ``replay`` of a message, or ``refused`` by other fields."""

    use: str
    message_id: str | None
    fields: list[str]
    kept_until: str


class ExplainAnswer(_Answer):
    """What would become of this mail now; nothing was stored."""

    mode: Mode
    accepted: bool
    problems: list[ProblemItem]
    rule: str
    route: str
    transport: str
    legs: list[LegAnswer]
    from_: str | None = Field(alias="from")
    from_wished: str | None
    """Given when the transport rewrites it."""
    reverse_path: str | None
    size: int | None
    max_size: int
    not_before: str | None
    expires_at: str | None
    mail_class: ExplainedClassAnswer = Field(alias="class")
    recipients: list[ExplainedRecipientAnswer]
    idempotency: KeyUseAnswer | None
    template: TemplateAnswer | None = None


def explanation(found: Explanation, mode: str, words: Callable[[str], Wording]) -> Json:
    """Write the answer."""
    made = found.made
    return {
        "mode": mode,
        "accepted": not found.problems,
        "problems": [
            {"code": one.code, "field": one.field, "cause": one.cause, "fix": one.fix}
            for one in found.problems
        ],
        "rule": found.rule,
        "route": found.route,
        "transport": next(leg.name for leg in found.legs if leg.is_chosen),
        "legs": [_leg(leg, found.at, words) for leg in found.legs],
        "from": None if made is None else str(made.from_),
        "from_wished": None if made is None or made.wished is None else str(made.wished),
        "reverse_path": None if made is None else str(made.reverse_path),
        "size": None if made is None else made.size,
        "max_size": found.max_size,
        "not_before": None if made is None else _or_never(made.not_before),
        "expires_at": None if made is None else instant(made.expires_at),
        "class": {
            "name": found.mail_class,
            "retries": [list(wait) for wait in found.retries],
            "uncertain_policy": None if made is None else made.uncertain_policy,
            "uncertain_failover": found.uncertain_failover,
        },
        "recipients": [] if made is None else _recipients(made),
        "idempotency": None if made is None or made.key is None else _key(made.key),
        "template": None if found.template is None else pinned(found.template),
    }


def _leg(leg: Leg, now: datetime, words: Callable[[str], Wording]) -> Json:
    return {
        "transport": leg.name,
        "chosen": leg.is_chosen,
        "state": "absent" if leg.is_absent else state_of(leg.pauses, now),
        "waits": [_wait(pause, words) for pause in leg.pauses if pause.until > now],
        "pace": [{"window_s": one.window_s, "allowed": one.allowed, "used": one.used} for one in leg.limits],
        "paced_until": None if leg.paced_until is None else instant(leg.paced_until),
        "quota_ends_at": None if leg.quota_ends_at is None else instant(leg.quota_ends_at),
    }


def _wait(pause: TransportPause, words: Callable[[str], Wording]) -> Json:
    wording = words(pause.cause)
    return {
        "kind": pause.kind,
        "until": _or_never(pause.until),
        "cause": pause.cause,
        "meaning": wording.meaning,
        "remedy": wording.remedy,
    }


def _recipients(made: Made) -> list[Json]:
    return [
        {
            "address": str(one.address),
            "state": "suppressed" if one.suppression else "held" if one.hold else "queued",
            "suppressed": _suppressed(one),
            "held": _held(one),
        }
        for one in made.recipients
    ]


def _suppressed(recipient: ExplainedRecipient) -> Json | None:
    found = recipient.suppression
    if found is None:
        return None
    until = None if found.until is None else instant(found.until)
    return {"reason": found.note, "until": until, "then": None, "kind": found.reason}


def _held(recipient: ExplainedRecipient) -> Json | None:
    found = recipient.hold
    if found is None:
        return None
    until = None if found.until is None else instant(found.until)
    return {"reason": found.reason, "until": until, "then": found.then, "kind": None}


def _key(use: KeyUse) -> Json:
    earlier = use.earlier
    return {
        "use": "new" if earlier is None else "replay" if isinstance(earlier, Replayed) else "refused",
        "message_id": earlier.message_id if isinstance(earlier, Replayed) else None,
        "fields": list(earlier.fields) if isinstance(earlier, KeyReused) else [],
        "kept_until": instant(use.keep_until),
    }


def _or_never(at: datetime) -> str | None:
    return None if at >= FOREVER else instant(at)
