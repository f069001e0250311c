"""What the parameters of MAIL mean for a mail."""

from datetime import UTC, datetime, timedelta

from each_row import each
from postroom.model.address import parse_address
from postroom.model.message import MailClass, Notify
from postroom.policy.submitting import Terms, and_of_delay, objection_to, terms_of
from postroom.smtp.server_events import NO_WISHES, DeliverBy, Wishes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_no_wishes_change_nothing() -> None:
    """A mail without parameters takes everything from elsewhere."""
    assert Terms() == terms_of(NO_WISHES, now=NOW)
    assert objection_to(NO_WISHES, now=NOW, max_hold=DAY) is None


def test_a_held_mail_is_sent_later() -> None:
    """HOLDFOR counts from now, HOLDUNTIL is an instant."""
    assert NOW + HOUR == terms_of(Wishes(hold_for=HOUR), now=NOW).send_at
    assert NOW - HOUR == terms_of(Wishes(hold_until=NOW - HOUR), now=NOW).send_at


def test_times_that_count_from_the_arrival_are_told_apart() -> None:
    """HOLDFOR and BY with mode R do, HOLDUNTIL does not."""
    counted = Wishes(hold_for=HOUR, deliver_by=DeliverBy(seconds=86400, returns=True))
    assert {"send_at": HOUR, "expires_at": DAY} == terms_of(counted, now=NOW).relative
    assert {} == terms_of(Wishes(hold_until=NOW + HOUR), now=NOW).relative


def test_by_mode_r_is_an_expiry_and_n_is_none() -> None:
    """Only mode R gives a mail back when its time is over."""
    returns = Wishes(deliver_by=DeliverBy(seconds=3600, returns=True))
    notes = Wishes(deliver_by=DeliverBy(seconds=-5, returns=False))
    assert NOW + HOUR == terms_of(returns, now=NOW).expires_at
    assert terms_of(notes, now=NOW).expires_at is None
    assert (None, NOW - timedelta(seconds=5)) == (
        terms_of(returns, now=NOW).late_at,
        terms_of(notes, now=NOW).late_at,
    )


def test_mode_n_adds_the_wish_for_a_delay() -> None:
    """To what each recipient's sender wants to hear anyway, also where nothing was said; but not to NEVER."""
    a, b, c = (parse_address(f"{name}@example.org") for name in "abc")
    said = {a: frozenset({Notify.SUCCESS}), b: frozenset({Notify.NEVER})}
    assert {
        a: {Notify.SUCCESS, Notify.DELAY},
        b: {Notify.NEVER},
        c: {Notify.FAILURE, Notify.DELAY},
    } == and_of_delay(said, [a, b, c])


@each("priority", range(-9, 10))
def test_every_priority_has_its_class(priority: int) -> None:
    """Priorities from 3 on are alerts, from -3 down bulk, and those between change nothing."""
    expected = MailClass.ALERT if priority >= 3 else MailClass.BULK if priority <= -3 else None
    assert expected == terms_of(Wishes(priority=priority), now=NOW).mail_class


def test_a_mail_is_held_for_as_long_as_was_announced_and_no_longer() -> None:
    """The bound holds for both forms, to the second."""
    for wishes in (Wishes(hold_for=DAY), Wishes(hold_until=NOW + DAY)):
        assert objection_to(wishes, now=NOW, max_hold=DAY) is None
        refusal = objection_to(wishes, now=NOW, max_hold=DAY - timedelta(seconds=1))
        assert refusal is not None
        assert (501, "5.5.4") == (refusal.code, refusal.enhanced)


def test_a_mail_may_not_expire_before_its_release() -> None:
    """BY that ends while the mail is held is refused at MAIL, not found out at the end of its content."""
    too_short = Wishes(hold_for=HOUR, deliver_by=DeliverBy(seconds=3600, returns=True))
    long_enough = Wishes(hold_for=HOUR, deliver_by=DeliverBy(seconds=3601, returns=True))
    notes_only = Wishes(hold_for=HOUR, deliver_by=DeliverBy(seconds=1, returns=False))
    assert objection_to(too_short, now=NOW, max_hold=DAY) is not None
    assert objection_to(long_enough, now=NOW, max_hold=DAY) is None
    assert objection_to(notes_only, now=NOW, max_hold=DAY) is None
