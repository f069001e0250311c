"""The table of classes, the schedule and the pauses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.outcome import Action, OutcomeKind, Verdict
from postroom.policy.retry import CLASS_RULES, ClassRules, delay_after, expiry, next_delay

CODE = CLASS_RULES[MailClass.CODE]
P = UncertainPolicy


def deferred(delay_s: float = 0.0, *, replaces: bool = False) -> Verdict:
    return Verdict(
        outcome=OutcomeKind.DEFERRED,
        action=Action.RETRY_SLOW,
        cause="x",
        min_delay_s=delay_s,
        replaces_schedule=replaces,
    )


@pytest.mark.parametrize(
    ("mail_class", "expires_s", "first_s", "cap_s", "uncertain", "priority"),
    [
        (MailClass.CODE, 900, 5, 60, P.RETRY, 1),
        (MailClass.ALERT, 43_200, 15, 900, P.RETRY, 2),
        (MailClass.TRANSACTIONAL, 259_200, 60, 3600, P.WAIT, 3),
        (MailClass.BULK, 432_000, 60, 14_400, P.ASK, 4),
    ],
)
def test_each_class_has_its_rules(  # noqa: PLR0917 - the columns of the table
    mail_class: MailClass, expires_s: int, first_s: float, cap_s: float, uncertain: P, priority: int
) -> None:
    """The table of classes, cell by cell."""
    expected = ClassRules(
        expires=timedelta(seconds=expires_s),
        first_s=first_s,
        cap_s=cap_s,
        uncertain=uncertain,
        priority=priority,
    )
    assert expected == CLASS_RULES[mail_class]


@pytest.mark.parametrize(
    ("tries", "roll", "seconds"),
    [(0, 0.0, 2.5), (0, 1.0, 5.0), (1, 0.5, 7.5), (3, 0.0, 20.0), (4, 0.0, 30.0), (10_000, 1.0, 60.0)],
)
def test_the_delay_doubles_up_to_the_cap(tries: int, roll: float, seconds: float) -> None:
    """Half of min(cap, first x 2^n) plus a random half."""
    assert seconds == next_delay(CODE, tries, roll)


@given(
    mail_class=st.sampled_from(MailClass),
    tries=st.integers(0, 10**9),
    roll=st.floats(0, 1, exclude_max=True),
    floor_s=st.floats(0, 10**6),
)
def test_the_delay_stays_between_its_bounds(
    mail_class: MailClass, tries: int, roll: float, floor_s: float
) -> None:
    """Between half the first delay and the cap; a floor lifts it, a hint replaces both."""
    rules = CLASS_RULES[mail_class]
    delay_s = next_delay(rules, tries, roll)
    assert rules.first_s / 2 <= delay_s <= rules.cap_s
    assert max(delay_s, floor_s) == delay_after(deferred(floor_s), rules, tries=tries, roll=roll)
    assert floor_s == delay_after(deferred(floor_s, replaces=True), rules, tries=tries, roll=roll)


@pytest.mark.parametrize(
    ("tries", "roll", "seconds"),
    [(0, 0.0, 60), (0, 1.0, 66), (1, 0.0, 300), (2, 0.5, 315), (3, 0.0, 3600), (10_000, 1.0, 3960)],
)
def test_a_written_schedule_is_kept(tries: int, roll: float, seconds: float) -> None:
    """Never earlier than written, at most a tenth later; the last wait repeats, the cap does not count."""
    rules = replace(CODE, schedule=(60, 300, 300, 3600))
    assert seconds == pytest.approx(next_delay(rules, tries, roll))


@given(
    schedule=st.lists(st.floats(1, 10**6), min_size=1, max_size=200).map(tuple),
    tries=st.integers(0, 10**9),
    roll=st.floats(0, 1, exclude_max=True),
    floor_s=st.floats(0, 10**6),
)
def test_a_written_schedule_stays_between_its_bounds(
    schedule: tuple[float, ...], tries: int, roll: float, floor_s: float
) -> None:
    """A floor lifts it and a hint replaces it, as with the doubled one."""
    rules = replace(CODE, schedule=schedule)
    written = schedule[min(tries, len(schedule) - 1)]
    assert written <= next_delay(rules, tries, roll) <= written * 1.1 + 1e-6
    assert max(floor_s, next_delay(rules, tries, roll)) == delay_after(
        deferred(floor_s), rules, tries=tries, roll=roll
    )
    assert floor_s == delay_after(deferred(floor_s, replaces=True), rules, tries=tries, roll=roll)


def test_expiry_is_age() -> None:
    """A message ends its class's time after it was first due."""
    due_at = datetime(2026, 1, 1, tzinfo=UTC)
    assert datetime(2026, 1, 1, 0, 15, tzinfo=UTC) == expiry(CODE, due_at)
