"""Tokens of dry runs: bound to what was counted, good once, and not for long."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.manual import CountingDice, ManualClock
from postroom.engine.dryrun import DryRuns
from postroom.errors import ConflictError, InputError
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Selection

WANTED = Selection(tenant=DEFAULT_TENANT, state=RecipientState.REFUSED, transport="main")


def test_a_token_means_what_was_counted() -> None:
    """What is done has the end that the dry run fixed, so that mail which came later is not meant."""
    clock = ManualClock()
    runs = DryRuns(clock=clock, dice=CountingDice())
    counted_at = clock.now()
    token, fixed, _ = runs.issue("retry", WANTED)
    clock.advance(60)
    assert replace(WANTED, until=counted_at) == fixed == runs.redeem(token, "retry", WANTED)


def test_an_end_of_the_callers_own_is_kept() -> None:
    """A filter with an end in the past keeps it; one in the future ends at the dry run."""
    clock = ManualClock()
    runs = DryRuns(clock=clock, dice=CountingDice())
    for hours in (-1, 1):
        wanted = replace(WANTED, until=clock.now() + timedelta(hours=hours))
        token, fixed, _ = runs.issue("retry", wanted)
        assert fixed == runs.redeem(token, "retry", wanted)
        assert fixed.until == clock.now() + timedelta(hours=min(hours, 0))


def test_a_token_is_good_once() -> None:
    """The second use is a conflict, also after other tokens were used, until its life is over."""
    clock = ManualClock()
    runs = DryRuns(clock=clock, dice=CountingDice())
    token, _, _ = runs.issue("retry", WANTED)
    runs.redeem(token, "retry", WANTED)
    other, _, _ = runs.issue("cancel", WANTED)
    runs.redeem(other, "cancel", WANTED)
    with pytest.raises(ConflictError):
        runs.redeem(token, "retry", WANTED)
    clock.advance(601)
    with pytest.raises(InputError):
        runs.redeem(token, "retry", WANTED)


@pytest.mark.parametrize(
    ("verb", "wanted"),
    [
        ("cancel", WANTED),
        ("retry", replace(WANTED, transport="other")),
        ("retry", replace(WANTED, transport=None)),
        ("retry", replace(WANTED, mail_class=MailClass.BULK)),
        ("retry", replace(WANTED, tenant=TenantId("other"))),
        ("retry", replace(WANTED, until=ManualClock().now() - timedelta(days=1))),
    ],
)
def test_a_token_is_for_nothing_else(verb: str, wanted: Selection) -> None:
    """Another verb, tenant or filter is refused, and the token stays good for what it was given for."""
    runs = DryRuns(clock=ManualClock(), dice=CountingDice())
    token, fixed, _ = runs.issue("retry", WANTED)
    with pytest.raises(InputError):
        runs.redeem(token, verb, wanted)
    assert fixed == runs.redeem(token, "retry", WANTED)


def test_a_token_does_not_outlive_the_process() -> None:
    """Another key refuses it."""
    token, _, _ = DryRuns(clock=ManualClock(), dice=CountingDice()).issue("retry", WANTED)
    dice = CountingDice()
    dice.token(1)
    with pytest.raises(InputError):
        DryRuns(clock=ManualClock(), dice=dice).redeem(token, "retry", WANTED)


@pytest.mark.slow
@given(st.text() | st.from_regex(r"[0-9a-f]{1,40}\.[0-9]{1,40}\.[0-9a-f]{1,20}\.[A-Za-z]{0,43}"))
def test_no_text_is_a_token(text: str) -> None:
    """Whatever is made up is refused as a wrong field."""
    with pytest.raises(InputError):
        DryRuns(clock=ManualClock(), dice=CountingDice()).redeem(text, "retry", WANTED)
