"""Bodies and signatures of webhooks, checked by a verifier that others wrote, and what follows from a try."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.event import Event, EventKind
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.secret import Secret
from postroom.policy import hooking

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MESSAGE = MessageId("20261121120000.22" + "A" * 20)
REFUSED = Event(
    number=7,
    at=AT,
    kind=EventKind.RECIPIENT_REFUSED,
    message_id=MESSAGE,
    recipients=(0, 2),
    addresses=("a@example.com", "b\u00fccher@example.org"),
    transport="main",
    cause="recipient-unknown",
    data={"note": "\u00e4"},
)
PENDING = Delivery(hook_id="h1", event=7, state=DeliveryState.PENDING, tries=0, created_at=AT, due_at=AT)


def endpoint(*secrets: Secret) -> Hook:
    return Hook(
        id="h1", tenant=DEFAULT_TENANT, url="https://example.com/", kinds=(), secrets=secrets, created_at=AT
    )


def test_the_published_vector() -> None:
    """The signature of the standard's own example is reproduced."""
    signed = hooking.signature(
        Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signed


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text(max_size=200))
def test_each_secret_of_a_rotation_verifies(old: bytes, new: bytes, note: str) -> None:
    """A receiver with either secret accepts the same request, and one with another secret does not."""
    secrets = [hooking.new_secret(new), hooking.new_secret(old)]
    event = Event(number=1, at=AT, kind=EventKind.RECIPIENT_HELD, data={"note": note})
    body = hooking.body(event)
    headers = dict(hooking.headers(secrets, webhook_id="evt_1_h1", body=body, now=datetime.now(UTC)))

    for secret in secrets:
        standardwebhooks.Webhook(secret.reveal()).verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(hashlib.sha256(old + new).digest()).verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secrets[0].reveal()).verify(body + b" ", headers)


def test_a_body_says_what_happened_and_nothing_of_the_mail() -> None:
    """Type, time and data, with the cause in words; members without a value are left out."""
    told = json.loads(hooking.body(REFUSED))

    assert {"type", "timestamp", "data"} == told.keys()
    assert ("recipient.refused", "2026-11-21T12:00:00Z") == (told["type"], told["timestamp"])
    data = told["data"]
    assert [
        {"number": 0, "address": "a@example.com"},
        {"number": 2, "address": "b\u00fccher@example.org"},
    ] == data["recipients"]
    assert (7, MESSAGE, 2, "main") == (
        data["event"],
        data["message_id"],
        data["recipient_count"],
        data["transport"],
    )
    assert {"note": "\u00e4"} == data["details"]
    closed = json.loads(
        hooking.body(Event(number=8, at=AT, kind=EventKind.TRANSPORT_CLOSED, transport="main"))
    )
    assert {"event": 8, "transport": "main", "text": "Mail is sent by main again."} == closed["data"]


def test_a_body_is_small_whatever_the_event() -> None:
    """With a thousand long addresses the body stays below 20 KB and says how many there are."""
    long = tuple(f"{'x' * 60}{number}@{'y' * 50}.example.com" for number in range(1000))
    event = Event(
        number=9, at=AT, kind=EventKind.RECIPIENT_EXPIRED, recipients=tuple(range(1000)), addresses=long
    )
    body = hooking.body(event)

    assert len(body) < 20_000
    assert 1000 == json.loads(body)["data"]["recipient_count"]


def test_the_id_is_constant_and_of_one_endpoint() -> None:
    """Tries of one delivery share an id without a dot; another endpoint or event has another."""
    assert "evt_7_h1" == hooking.webhook_id(endpoint(), REFUSED)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_2xx_is_success(status: int) -> None:
    """Any 2xx ends the delivery."""
    after = hooking.after_try(PENDING, status=status, retry_after=None, now=AT, roll=0.0)

    assert (DeliveryState.DELIVERED, 1, None) == (
        after.delivery.state,
        after.delivery.tries,
        after.delivery.due_at,
    )


@each("status", [None, 100, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int | None) -> None:
    """Redirects, refusals and silence are tried again after five seconds."""
    after = hooking.after_try(PENDING, status=status, retry_after=None, now=AT, roll=0.0)

    assert DeliveryState.PENDING == after.delivery.state
    assert AT + timedelta(seconds=5) == after.delivery.due_at
    assert not after.is_gone


def test_410_ends_the_delivery_and_the_endpoint() -> None:
    """Gone is final."""
    after = hooking.after_try(PENDING, status=410, retry_after=5, now=AT, roll=0.0)

    assert (DeliveryState.FAILED, True) == (after.delivery.state, after.is_gone)


@pytest.mark.parametrize(("asked", "waits"), [(0, 1), (60, 60), (3600, 3600), (86400, 3600)])
def test_retry_after_replaces_the_schedule_up_to_an_hour(asked: float, waits: float) -> None:
    """A hint is obeyed between a second and an hour."""
    after = hooking.after_try(PENDING, status=429, retry_after=asked, now=AT, roll=0.0)

    assert AT + timedelta(seconds=waits) == after.delivery.due_at


@given(st.lists(st.floats(0, 0.999), min_size=10, max_size=10), st.sampled_from([None, 500, 404]))
def test_a_dead_endpoint_is_tried_for_three_days(rolls: list[float], status: int | None) -> None:
    """Ten tries, spread over at least three days and less than four, then the delivery has failed."""
    delivery, now = PENDING, AT
    for number, roll in enumerate(rolls, start=1):
        delivery = hooking.after_try(delivery, status=status, retry_after=None, now=now, roll=roll).delivery
        assert number == delivery.tries
        if delivery.due_at is None:
            break
        now = delivery.due_at

    assert (DeliveryState.FAILED, 10) == (delivery.state, delivery.tries)
    assert timedelta(days=3) <= now - AT < timedelta(days=4)


def test_short_hints_do_not_shorten_the_three_days() -> None:
    """An endpoint that says "in a minute" for three days is asked for three days."""
    delivery, now = PENDING, AT
    while delivery.due_at is not None and delivery.tries < 10_000:
        now = delivery.due_at
        delivery = hooking.after_try(delivery, status=503, retry_after=60, now=now, roll=0.0).delivery

    assert DeliveryState.FAILED == delivery.state
    assert timedelta(days=3) <= now - AT < timedelta(days=3, hours=1)


@pytest.mark.parametrize(("hours", "tries"), [(0.001, 2), (1, 5), (24, 8), (72, 10), (240, 18)])
def test_another_time_may_be_set(hours: float, tries: int) -> None:
    """A delivery is given up at its first try after the time that the settings give it."""
    delivery, now = PENDING, AT
    while delivery.due_at is not None:
        now = delivery.due_at
        after = hooking.after_try(
            delivery, status=500, retry_after=None, now=now, roll=0.0, keep_trying=timedelta(hours=hours)
        )
        delivery = after.delivery

    assert tries == delivery.tries
    assert now >= AT + timedelta(hours=hours)


def test_a_replay_of_an_old_event_has_every_try_again() -> None:
    """A delivery whose tries were set back is not given up for its age alone."""
    late = AT + timedelta(days=30)
    after = hooking.after_try(PENDING, status=500, retry_after=None, now=late, roll=0.0)

    assert DeliveryState.PENDING == after.delivery.state


@each(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sat, 21 Nov 2026 12:02:00 GMT", 120.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("\u0663", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_has_two_forms(text: str, seconds: float | None) -> None:
    """Seconds or a date; anything else is no hint."""
    assert seconds == hooking.retry_after_s(text, AT)
