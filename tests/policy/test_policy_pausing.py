"""How long a transport waits, and when that is an outage."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from policy.evidence import EVIDENCE, failed, replied
from postroom.model.outcome import Action, Evidence, FaultKind, OutcomeKind, Verdict
from postroom.model.step import Step
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.classify import classify
from postroom.policy.pausing import failures_before, is_outage, kind_of, longer, pause_s, ruling

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_pause(kind: PauseKind, minutes: float, failures: int = 1) -> TransportPause:
    return TransportPause(
        transport="t",
        kind=kind,
        since=NOW,
        until=NOW + timedelta(minutes=minutes),
        cause="",
        step="rcpt",
        text="",
        host="",
        failures=failures,
    )


@each(
    ("kind", "floor_s", "pauses", "outage_from"),
    [
        (PauseKind.CONNECT, 0, [2, 5, 30, 60, 120, 240, 480, 900, 900], 2),
        (PauseKind.CONNECT, 10, [10, 10, 30, 60, 120, 240, 480, 900, 900], 2),
        (PauseKind.CONNECT, 3600, [3600] * 3, 0),
        (PauseKind.LOGIN, 0, [900, 1800, 3600, 3600], 0),
        (PauseKind.LOGIN, 7200, [7200, 7200], 0),
        (PauseKind.THROTTLE, 5, [15, 30, 60, 120, 240, 480, 900, 900], 3),
        (PauseKind.THROTTLE, 1800, [1800, 1800], 0),
        (PauseKind.QUOTA, 21600, [21600, 21600], 0),
        (PauseKind.QUOTA, 0, [900, 900], 0),
    ],
)
def test_each_kind_has_its_own_patience(
    kind: PauseKind, floor_s: float, pauses: list[float], outage_from: int
) -> None:
    """Logins are asked rarely, connections often at first; a rule's delay is a floor."""
    assert pauses == [pause_s(kind, floor_s=floor_s, failures=count) for count in range(len(pauses))]
    outages = [is_outage(kind, seconds, failures=count) for count, seconds in enumerate(pauses)]
    assert [count >= outage_from for count in range(len(pauses))] == outages


@given(kind=st.sampled_from(PauseKind), failures=st.integers(-5, 10**9), floor_s=st.floats(0, 10**6))
def test_every_pause_is_finite(kind: PauseKind, failures: int, floor_s: float) -> None:
    """Any number of failures gives a pause between 2 seconds and the larger of an hour and the floor."""
    assert 2 <= pause_s(kind, floor_s=floor_s, failures=failures) <= max(3600, floor_s)


@each(
    ("evidence", "action", "kind"),
    [
        (replied(Step.AUTH, 535), Action.PAUSE_TRANSPORT, PauseKind.LOGIN),
        (replied(Step.AUTH, 454), Action.PAUSE_TRANSPORT, PauseKind.LOGIN),
        (failed(Step.AUTH, FaultKind.TIMEOUT), Action.PAUSE_TRANSPORT, PauseKind.CONNECT),
        (failed(Step.AUTH, FaultKind.CAPABILITY, cause="auth-mech"), Action.PAUSE_TRANSPORT, PauseKind.LOGIN),
        (failed(Step.RESOLVE, FaultKind.NAME), Action.PAUSE_TRANSPORT, PauseKind.CONNECT),
        (replied(Step.GREETING, 421), Action.PAUSE_TRANSPORT, PauseKind.CONNECT),
        (replied(Step.MAIL, 530), Action.PAUSE_TRANSPORT, PauseKind.LOGIN),
        (replied(Step.MAIL, 450), Action.THROTTLE, PauseKind.THROTTLE),
        (replied(Step.AUTH, 454), Action.PAUSE_UNTIL_QUOTA, PauseKind.QUOTA),
    ],
)
def test_the_kind_says_what_must_change_before_the_next_try(
    evidence: Evidence, action: Action, kind: PauseKind
) -> None:
    """An account that is refused, a server that is not reached, patience, a quota."""
    assert kind is kind_of(evidence, Verdict(outcome=OutcomeKind.DEFERRED, action=action, cause="x"))


@given(evidence=EVIDENCE)
def test_no_failure_suspends(evidence: Evidence) -> None:
    """Only a person does."""
    assert kind_of(evidence, classify(evidence)) is not PauseKind.SUSPENDED


def test_of_several_pauses_the_longest_rules() -> None:
    """A short pause never cuts a long one, of its kind or of another."""
    short, long = a_pause(PauseKind.THROTTLE, 1), a_pause(PauseKind.LOGIN, 15)
    assert long is longer(None, long)
    assert long is longer(short, long)
    assert long is longer(long, short)
    assert long is ruling([short, long])
    assert ruling([]) is None


def test_failures_during_a_pause_are_the_same_failure() -> None:
    """What fell together counts once; what fails after the end counts on."""
    pauses = {PauseKind.LOGIN: a_pause(PauseKind.LOGIN, 15, failures=3)}
    assert failures_before(pauses, NOW) == {PauseKind.LOGIN: 2}
    assert failures_before(pauses, NOW + timedelta(minutes=15)) == {PauseKind.LOGIN: 3}
