"""What evidence means: every cell of the table, then real replies, then anything at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from policy.evidence import EVIDENCE, failed, replied
from postroom.model.outcome import Action, Evidence, FaultKind, OutcomeKind
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.policy import classify as module
from postroom.policy.classify import (
    ACCEPTED,
    CAPTURED,
    PASSING_FLOORS_S,
    PAUSE_S,
    PAUSES,
    classify,
    remote_hint_s,
)
from postroom.providers.replies import Rule

A, K = Action, OutcomeKind
MESSAGE_STEPS = (Step.MAIL, Step.RCPT, Step.DATA, Step.BODY, Step.BODY_END, Step.RSET, Step.QUIT)


def plant(
    monkeypatch: pytest.MonkeyPatch, action: Action, delay_s: float | None, *, is_final: bool = False
) -> None:
    planted = Rule(
        id="planted",
        meaning="",
        remedy="",
        action=action,
        min_delay_s=delay_s,
        is_final=is_final,
    )
    monkeypatch.setattr(module, "find_rule", lambda **_: planted)


AT_4XX = {
    A.RETRY: (A.RETRY, 0),
    A.RETRY_SLOW: (A.RETRY_SLOW, 77),
    A.THROTTLE: (A.THROTTLE, 77),
    A.RECONNECT: (A.RECONNECT, 0),
    A.SPLIT_RECIPIENTS: (A.SPLIT_RECIPIENTS, 0),
    A.DOWNGRADE: (A.DOWNGRADE, 0),
    A.REFRESH_TOKEN: (A.REFRESH_TOKEN, 0),
    A.UNCERTAIN: (A.RETRY, 0),
    A.FAIL_RECIPIENT: (A.RETRY_SLOW, 77),
    A.FAIL_MESSAGE: (A.RETRY_SLOW, 77),
    A.PAUSE_TRANSPORT: (A.PAUSE_TRANSPORT, 77),
    A.PAUSE_UNTIL_QUOTA: (A.PAUSE_UNTIL_QUOTA, 77),
    A.IGNORE: (A.RETRY, 0),
}
"""Rule's action to the verdict's action and least delay, for a 4xx after AUTH; the rule says 77 s."""


@each("action", Action)
@each("step", MESSAGE_STEPS)
def test_a_4xx_after_auth_is_deferred_whatever_its_rule_says(
    monkeypatch: pytest.MonkeyPatch, action: Action, step: Step
) -> None:
    """Guard one: no 4xx is final through a rule."""
    plant(monkeypatch, action, 77)
    verdict = classify(replied(step, 450), is_later_recipient=True)
    expected = AT_4XX[action]
    if action is A.SPLIT_RECIPIENTS and step is not Step.RCPT:
        expected = (A.RETRY_SLOW, 0)
    assert (K.DEFERRED, *expected) == (verdict.outcome, verdict.action, verdict.min_delay_s)


@pytest.mark.parametrize("action", [A.FAIL_MESSAGE, A.FAIL_RECIPIENT])
def test_a_4xx_that_never_succeeds_is_final_by_name(monkeypatch: pytest.MonkeyPatch, action: Action) -> None:
    """Only a rule with final = true makes a 4xx final."""
    plant(monkeypatch, action, None, is_final=True)
    verdict = classify(replied(Step.MAIL, 440))
    assert (K.REFUSED, action) == (verdict.outcome, verdict.action)


@each("action", Action)
@each("step", [Step.RCPT, Step.DATA, Step.BODY_END])
def test_a_5xx_after_auth_fails_pauses_or_passes_three_times(
    monkeypatch: pytest.MonkeyPatch, action: Action, step: Step
) -> None:
    """Guard two: what a rule calls passing ends after three more attempts; pauses and splits do not."""
    plant(monkeypatch, action, 77)
    verdicts = [classify(replied(step, 550), refusals=count, is_later_recipient=True) for count in range(5)]
    outcomes = [verdict.outcome for verdict in verdicts]
    if action in {A.FAIL_MESSAGE, A.FAIL_RECIPIENT}:
        assert [K.REFUSED] * 5 == outcomes
        assert action is verdicts[0].action
    elif action in PAUSES or (action is A.SPLIT_RECIPIENTS and step is Step.RCPT):
        assert [K.DEFERRED] * 5 == outcomes
    else:
        assert [K.DEFERRED] * 3 + [K.REFUSED] * 2 == outcomes
        assert [77.0, *PASSING_FLOORS_S[1:]] == [verdict.min_delay_s for verdict in verdicts[:3]]
        assert (A.FAIL_RECIPIENT if step is Step.RCPT else A.FAIL_MESSAGE) is verdicts[3].action


def test_a_throttled_account_at_mail_is_never_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 5xx throttle at MAIL concerns the account: no message's attempts are counted for it."""
    plant(monkeypatch, A.THROTTLE, 77)
    verdict = classify(replied(Step.MAIL, 550), refusals=99)
    assert (K.DEFERRED, A.THROTTLE, 77) == (verdict.outcome, verdict.action, verdict.min_delay_s)


@each("action", Action)
@each("step", sorted(TRANSPORT_STEPS))
@each("code", [220, 334, 421, 554])
def test_what_fails_up_to_auth_pauses_the_transport(
    monkeypatch: pytest.MonkeyPatch, action: Action, step: Step, code: int
) -> None:
    """No reply up to and including AUTH refuses a message."""
    plant(monkeypatch, action, 77)
    verdict = classify(replied(step, code), refusals=99)
    expected = A.PAUSE_UNTIL_QUOTA if action is A.PAUSE_UNTIL_QUOTA and code >= 400 else A.PAUSE_TRANSPORT
    assert (K.DEFERRED, expected) == (verdict.outcome, verdict.action)


@pytest.mark.parametrize(
    ("step", "action", "floor_s"),
    [
        (Step.AUTH, A.PAUSE_TRANSPORT, PAUSE_S),
        (Step.GREETING, A.FAIL_MESSAGE, PAUSE_S),
        (Step.MAIL, A.PAUSE_UNTIL_QUOTA, PAUSE_S),
        (Step.CONNECT, A.PAUSE_TRANSPORT, 0.0),
        (Step.GREETING, A.RETRY, 0.0),
        (Step.RCPT, A.RETRY_SLOW, 0.0),
        (Step.RCPT, A.FAIL_MESSAGE, 0.0),
    ],
)
def test_a_pause_without_a_delay_takes_a_quarter_of_an_hour(
    monkeypatch: pytest.MonkeyPatch, step: Step, action: Action, floor_s: float
) -> None:
    """A rule that names no delay gives pauses 15 minutes, except before anything was said to a server."""
    plant(monkeypatch, action, None)
    assert floor_s == classify(replied(step, 450)).min_delay_s


@each("step", Step)
@each("kind", FaultKind)
def test_a_fault_is_uncertain_after_the_dot_and_safe_before_it(step: Step, kind: FaultKind) -> None:
    """Every cell of step and kind of fault."""
    verdict = classify(failed(step, kind), refusals=99)
    if step is Step.BODY_END:
        assert (K.UNCERTAIN, A.UNCERTAIN) == (verdict.outcome, verdict.action)
    elif step in TRANSPORT_STEPS:
        assert (K.DEFERRED, A.PAUSE_TRANSPORT) == (verdict.outcome, verdict.action)
    elif kind is FaultKind.CAPABILITY:
        assert (K.REFUSED, A.FAIL_MESSAGE) == (verdict.outcome, verdict.action)
    else:
        assert K.DEFERRED is verdict.outcome
    assert verdict.cause


@pytest.mark.parametrize("cause", ["content-damaged", "from-missing", "uri-scheme-unknown", "size"])
def test_a_fault_of_ours_is_never_permanent(cause: str) -> None:
    """LOCAL defers even when the cause's own rule would refuse."""
    verdict = classify(failed(Step.BODY, FaultKind.LOCAL, cause=cause))
    assert (K.DEFERRED, A.RETRY, cause) == (verdict.outcome, verdict.action, verdict.cause)


@each(
    ("evidence", "outcome", "action", "cause"),
    [
        (replied(Step.AUTH, 535, "5.7.8 authentication failed"), K.DEFERRED, A.PAUSE_TRANSPORT, "auth-wrong"),
        (replied(Step.AUTH, 454, "4.7.0 busy"), K.DEFERRED, A.PAUSE_TRANSPORT, "auth-temp"),
        (replied(Step.GREETING, 554, "no"), K.DEFERRED, A.PAUSE_TRANSPORT, "any-5xx"),
        (replied(Step.RCPT, 550, "5.1.1 user unknown"), K.REFUSED, A.FAIL_RECIPIENT, "rcpt-unknown"),
        (replied(Step.RCPT, 450, "4.2.0 Greylisted"), K.DEFERRED, A.RETRY, "greylist"),
        (replied(Step.BODY_END, 552, "5.3.4 too large"), K.REFUSED, A.FAIL_MESSAGE, "size"),
        (replied(Step.BODY_END, 451, "4.3.0 later"), K.DEFERRED, A.RETRY, "any-4xx"),
        (replied(Step.BODY_END, 354, "go on"), K.DEFERRED, A.RECONNECT, "reply-unexpected"),
        (replied(Step.DATA, 250, "ok"), K.DEFERRED, A.RECONNECT, "reply-unexpected"),
        (
            replied(Step.BODY_END, 550, "Ip frequency limited", host="smtp.qq.com"),
            K.DEFERRED,
            A.THROTTLE,
            "qq-frequency",
        ),
        (
            replied(
                Step.MAIL,
                440,
                "mail from account doesn't conform with authentication",
                host="smtp.aliyun.com",
            ),
            K.REFUSED,
            A.FAIL_MESSAGE,
            "ali-from-mismatch",
        ),
        (
            failed(Step.MAIL, FaultKind.CAPABILITY, "the server offers no SMTPUTF8", "smtputf8-needed"),
            K.REFUSED,
            A.FAIL_RECIPIENT,
            "smtputf8-needed",
        ),
        (
            failed(Step.STARTTLS, FaultKind.CAPABILITY, "no", "starttls-not-offered"),
            K.DEFERRED,
            A.PAUSE_TRANSPORT,
            "starttls-not-offered",
        ),
        (failed(Step.MAIL, FaultKind.CLOSED, "connection reset by peer"), K.DEFERRED, A.RETRY, "conn-lost"),
        (failed(Step.BODY, FaultKind.TIMEOUT, "timed out"), K.DEFERRED, A.RETRY, "conn-lost"),
        (failed(Step.BODY_END, FaultKind.TIMEOUT, "timed out"), K.UNCERTAIN, A.UNCERTAIN, "conn-lost-body"),
        (
            failed(Step.TLS, FaultKind.TLS, "certificate verify failed: certificate has expired"),
            K.DEFERRED,
            A.PAUSE_TRANSPORT,
            "tls-expired",
        ),
    ],
)
def test_known_evidence_has_its_meaning(
    evidence: Evidence, outcome: OutcomeKind, action: Action, cause: str
) -> None:
    """Replies and faults as servers and systems give them."""
    verdict = classify(evidence)
    assert (outcome, action, cause) == (verdict.outcome, verdict.action, verdict.cause)


@pytest.mark.parametrize(
    ("code", "text", "is_later", "action", "outcome"),
    [
        (452, "4.3.0 no more", True, A.SPLIT_RECIPIENTS, K.DEFERRED),
        (552, "no more", True, A.SPLIT_RECIPIENTS, K.DEFERRED),
        (452, "4.5.3 too many recipients", True, A.SPLIT_RECIPIENTS, K.DEFERRED),
        (452, "4.5.3 too many recipients", False, A.RETRY_SLOW, K.DEFERRED),
        (452, "4.3.0 no more", False, A.RETRY, K.DEFERRED),
        (552, "no more", False, A.FAIL_RECIPIENT, K.REFUSED),
        (552, "5.2.2 mailbox full", True, A.RETRY_SLOW, K.DEFERRED),
    ],
)
def test_too_many_recipients_is_said_to_the_later_ones_only(  # noqa: PLR0917 - the columns of the table
    code: int, text: str, is_later: bool, action: Action, outcome: OutcomeKind
) -> None:
    """452 and 552 at the second or a later RCPT mean the rest goes in another transaction."""
    verdict = classify(replied(Step.RCPT, code, text), is_later_recipient=is_later)
    assert (outcome, action) == (verdict.outcome, verdict.action)


@each(
    ("text", "seconds"),
    [
        ("4.7.0 Try again in 5 minutes", 300.0),
        ("please retry after 30 seconds", 30.0),
        ("wait 90s", 90.0),
        ("come back in 2 hours", 3600.0),
        ("greylisted, try again in 99999 minutes", 3600.0),
        ("try again in 0 seconds", None),
        ("try again later", None),
        ("5 minutes of your time", None),
        ("try again in 5 months", None),
        ("", None),
    ],
)
def test_hints_are_read_up_to_an_hour(text: str, seconds: float | None) -> None:
    """A server that says when to try again is believed up to an hour."""
    assert seconds == remote_hint_s(text)


def test_a_hint_replaces_schedule_and_floor() -> None:
    """The verdict carries the server's own delay."""
    verdict = classify(replied(Step.RCPT, 450, "4.2.0 greylisted, try again in 7 minutes"))
    assert (True, 420.0) == (verdict.replaces_schedule, verdict.min_delay_s)


def test_the_capture_inbox_accepts_without_a_reply() -> None:
    """Neither reply nor fault after the dot is captured there, and uncertain anywhere else."""
    nothing = Evidence(step=Step.BODY_END)
    assert CAPTURED is classify(nothing, is_capture=True)
    assert K.UNCERTAIN is classify(nothing).outcome
    assert ACCEPTED is classify(replied(Step.BODY_END, 250), is_capture=True)


@given(evidence=EVIDENCE, refusals=st.integers(0, 50), is_later=st.booleans(), is_capture=st.booleans())
def test_whatever_happens_has_a_meaning(
    evidence: Evidence, refusals: int, is_later: bool, is_capture: bool
) -> None:
    """Nothing raises; uncertain only after the end without a reply; accepted only by 2xx to the dot."""
    verdict = classify(evidence, refusals=refusals, is_later_recipient=is_later, is_capture=is_capture)
    reply = evidence.reply
    at_end = evidence.step is Step.BODY_END
    assert (verdict.outcome is K.ACCEPTED) == (at_end and reply is not None and reply.is_positive)
    if verdict.outcome is K.UNCERTAIN:
        assert evidence.step in {Step.BODY_END, Step.ANSWER}
        assert reply is None
    if at_end and evidence.fault is not None:
        assert verdict.outcome is K.UNCERTAIN
    if verdict.outcome is K.REFUSED:
        assert evidence.step not in TRANSPORT_STEPS
        assert evidence.fault is None or evidence.fault.kind is FaultKind.CAPABILITY
    assert verdict.min_delay_s >= 0
