"""What an endpoint is told of an event, how it is signed, and what follows from its answer.

Standard Webhooks 1.0.0: the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; the
signature is HMAC-SHA256 over ``id.timestamp.body``, one for each secret of the endpoint, so that a rotation
has no gap. The body is small: what happened to which message and recipients, never the content of a mail.

Only a 2xx is success. 410 disables the endpoint. A Retry-After up to an hour replaces the schedule of
``WAITS_S``; a delivery has failed when three days have gone by and it had the schedule's tries for them (a
replay of an old event has them all again). An endpoint that takes nothing at all is asked more and more
slowly, and after five days not any more.
"""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from postroom.model.event import Event
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.secret import Secret
from postroom.policy import wording
from postroom.providers import replies

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
NEW_SECRET_BYTES = 32
"""The standard wants 24 to 64."""
MAX_RECIPIENTS = 100
"""Addresses named in one body: keeps it below the 20 KB that the standard advises; the count is whole."""

WAITS_S = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 75600.0)
"""Seconds after each failed try before the next: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 21 h, more
than three days together; the standard's example with a shorter end."""
JITTER = 0.2
"""A wait grows by up to this share, so that what failed together does not come back together."""
GIVE_UP_AFTER = timedelta(days=3)
HOPELESS_AFTER = timedelta(days=5)
"""An endpoint that took nothing for so long is disabled; others take a day to five."""
FIRST_REST_S, MAX_REST_S = 1.0, 300.0
"""Seconds an endpoint is left alone after a round in which it took nothing, doubled by each such round."""
MAX_RETRY_AFTER_S = 3600.0
"""A hint beyond it is cut (reliability rule E5)."""
MIN_RETRY_AFTER_S = 1.0
"""``Retry-After: 0`` is no reason to hammer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterTry:
    """What follows from one try."""

    delivery: Delivery
    is_gone: bool = False
    """The endpoint said 410: it is to be disabled."""


def new_secret(entropy: bytes) -> Secret:
    """Return ``NEW_SECRET_BYTES`` unguessable bytes in the written form of a secret."""
    return Secret(SECRET_PREFIX + b64encode(entropy).decode("ascii"))


def headers(secrets: Sequence[Secret], *, webhook_id: str, body: bytes, now: datetime) -> Mapping[str, str]:
    """Return the headers of one try."""
    timestamp = int(now.timestamp())
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature(secret, webhook_id=webhook_id, timestamp=timestamp, body=body) for secret in secrets
        ),
    }


def signature(secret: Secret, *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,`` and the Base64 of the HMAC."""
    key = b64decode(secret.reveal().removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + b64encode(digest).decode("ascii")


def webhook_id(hook: Hook, event: Event) -> str:
    """Return the id of a delivery: the same at every try and replay, another for each endpoint."""
    return f"evt_{event.number}_{hook.id}"


def body(event: Event) -> bytes:
    """Return the JSON text of an event, the same at every try."""
    meaning, remedy = replies.words(event.cause) if event.cause else ("", "")
    data: dict[str, object] = {
        "event": event.number,
        "message_id": event.message_id,
        "recipients": [
            {"number": number, "address": address}
            for number, address in zip(
                event.recipients[:MAX_RECIPIENTS], event.addresses[:MAX_RECIPIENTS], strict=False
            )
        ],
        "recipient_count": len(event.recipients) or None,
        "transport": event.transport,
        "text": wording.sentence(event),
        "cause": event.cause,
        "meaning": meaning,
        "remedy": remedy,
        "details": dict(event.data),
    }
    told = {
        "type": event.kind.value,
        "timestamp": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {name: value for name, value in data.items() if value},
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def retry_after_s(text: str, now: datetime) -> float | None:
    """Read a Retry-After field: seconds or a date (RFC 9110 section 10.2.3); ``None`` when it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max((at - now).total_seconds(), 0.0)


def after_try(
    delivery: Delivery,
    *,
    status: int | None,
    retry_after: float | None,
    now: datetime,
    roll: float,
    keep_trying: timedelta = GIVE_UP_AFTER,
) -> AfterTry:
    """Decide what follows from a try that ended now.

    Args:
        delivery: As it was before the try.
        status: Of the answer; ``None`` when none came.
        retry_after: Seconds the endpoint asked for.
        now: The end of the try.
        roll: A dice roll in ``[0, 1)``.
        keep_trying: A delivery that fails for so long is given up.
    """
    tried = replace(delivery, tries=delivery.tries + 1, last_at=now, status=status, due_at=None)
    if status is not None and 200 <= status < 300:
        return AfterTry(delivery=replace(tried, state=DeliveryState.DELIVERED))
    failed = replace(tried, state=DeliveryState.FAILED)
    if status == 410:
        return AfterTry(delivery=failed, is_gone=True)
    if tried.tries >= _tries_within(keep_trying) and now >= delivery.created_at + keep_trying:
        return AfterTry(delivery=failed)
    wait_s = WAITS_S[min(tried.tries, len(WAITS_S)) - 1]
    if retry_after is not None:
        wait_s = min(max(retry_after, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)
    due_at = now + timedelta(seconds=wait_s * (1 + JITTER * roll))
    return AfterTry(delivery=replace(tried, state=DeliveryState.PENDING, due_at=due_at))


def _tries_within(span: timedelta) -> int:
    """Return how many tries the schedule has up to the first one past ``span``."""
    passed_s = 0.0
    for tries, wait_s in enumerate(WAITS_S, start=2):
        passed_s += wait_s
        if passed_s >= span.total_seconds():
            return tries
    return len(WAITS_S) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an endpoint as a whole does: what nobody takes is offered ever more slowly, then no more."""

    failing_since: datetime | None = None
    """Of the first failure after the last success."""
    rest_s: float = 0.0
    """Seconds before the endpoint is asked again."""

    def is_hopeless(self, now: datetime) -> bool:
        """Say whether it is time to disable the endpoint."""
        return self.failing_since is not None and now >= self.failing_since + HOPELESS_AFTER


def health_after(health: Health, *, is_any_taken: bool, retry_after: float | None, now: datetime) -> Health:
    """Return the health after a round of tries.

    Args:
        health: Before the round.
        is_any_taken: Whether any try of the round was a success.
        retry_after: The longest hint of the round in seconds, for the whole endpoint.
        now: The end of the round.
    """
    asked_s = 0.0 if retry_after is None else min(retry_after, MAX_RETRY_AFTER_S)
    if is_any_taken:
        return Health(rest_s=asked_s)
    rest_s = min(max(2 * health.rest_s, FIRST_REST_S), MAX_REST_S)
    return Health(failing_since=health.failing_since or now, rest_s=max(rest_s, asked_s))
