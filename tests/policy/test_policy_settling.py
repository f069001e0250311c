"""What becomes of the recipients of an attempt."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from policy.evidence import EVIDENCE, failed, replied
from postroom.model.address import Address, Mailbox
from postroom.model.attempt import Claimed, Lease, Move
from postroom.model.ids import DEFAULT_TENANT, AttemptId, LeaseToken, MessageId
from postroom.model.lifecycle import MOVES, RecipientState
from postroom.model.message import Content, Door, Envelope, MailClass, Message, UncertainPolicy
from postroom.model.outcome import Evidence, FaultKind
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import PauseKind
from postroom.policy.retry import CLASS_RULES
from postroom.policy.settling import NO_REFUSALS, Decision, Trouble, Via, decide, lost
from postroom.ports import ReportLine

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RULES = CLASS_RULES[MailClass.TRANSACTIONAL]
SENDER = Address("a", "example.com")
S = RecipientState

MESSAGE = Message(
    id=MessageId("20260101000000.22222222222222222222aa"),
    tenant=DEFAULT_TENANT,
    door=Door.HTTP,
    mail_class=MailClass.TRANSACTIONAL,
    created_at=NOW - timedelta(hours=1),
    send_at=NOW - timedelta(hours=1),
    expires_at=NOW + timedelta(days=2),
    uncertain_policy=UncertainPolicy.WAIT,
    envelope=Envelope(reverse_path=SENDER, recipients=(SENDER,) * 3),
    content=Content(message_id="x@example.com", date=NOW, boundary="b", from_=Mailbox(SENDER)),
)
CLAIMED = Claimed(
    lease=Lease(message_id=MESSAGE.id, group=0, attempt=AttemptId(1), token=LeaseToken(1)),
    message=MESSAGE,
    recipients=(0, 1, 2),
    tries=0,
    digest=None,
)
LOST = failed(Step.BODY_END, FaultKind.CLOSED, "connection reset by peer")
OK = replied(Step.BODY_END, 250)


def settled(
    *evidence: Evidence,
    claimed: Claimed = CLAIMED,
    failures: int = 0,
    is_capture: bool = False,
    refusals: Mapping[int, int] = NO_REFUSALS,
) -> Decision:
    lines = [
        ReportLine(recipient=number, evidence=item, at=NOW, duration_ms=5)
        for number, item in enumerate(evidence)
    ]
    return decide(
        claimed,
        lines,
        via=Via(transport="t", failures=dict.fromkeys(PauseKind, failures), is_capture=is_capture),
        rules=RULES,
        now=NOW,
        roll=0.0,
        refusals=refusals,
    )


def moves_of(decision: Decision) -> list[tuple[RecipientState, float | None]]:
    """Return state and seconds until due of each move."""
    return [
        (move.state, (move.due_at - NOW).total_seconds() if move.due_at is not None else None)
        for move in decision.settlement.moves
    ]


def test_an_accepted_recipient_is_final_and_counts() -> None:
    """A plain acceptance: one result, one move, no pause."""
    decision = settled(OK, claimed=replace(CLAIMED, recipients=(0,)))
    settlement = decision.settlement
    assert (Move(recipient=0, state=S.ACCEPTED),) == settlement.moves
    assert (CLAIMED.lease, NOW, True) == (settlement.lease, settlement.settled_at, settlement.counts)
    assert (0, OK, 5) == (
        settlement.results[0].recipient,
        settlement.results[0].evidence,
        settlement.results[0].duration_ms,
    )
    assert decision.pause is None


def test_each_recipient_has_its_own_truth() -> None:
    """Accepted, refused and deferred in one transaction."""
    decision = settled(OK, replied(Step.RCPT, 550, "5.1.1 user unknown"), replied(Step.RCPT, 451))
    assert [(S.ACCEPTED, None), (S.REFUSED, None), (S.DEFERRED, 30.0)] == moves_of(decision)
    assert ["", "rcpt-unknown", "any-4xx"] == [move.cause for move in decision.settlement.moves]
    assert decision.settlement.counts


def test_the_capture_inbox_makes_captured() -> None:
    """Evidence without a reply from the capture inbox is captured."""
    assert [(S.CAPTURED, None)] == moves_of(settled(Evidence(step=Step.BODY_END), is_capture=True))


def test_recipients_without_a_line_have_no_move() -> None:
    """What was not begun stays as it was."""
    decision = settled(OK)
    assert [0] == [move.recipient for move in decision.settlement.moves]
    assert ((), False) == (settled().settlement.moves, settled().settlement.counts)


@pytest.mark.parametrize(
    ("policy", "tries", "due_s"),
    [
        (UncertainPolicy.RETRY, 0, 30.0),
        (UncertainPolicy.RETRY, 2, 120.0),
        (UncertainPolicy.WAIT, 0, 900.0),
        (UncertainPolicy.ASK, 0, None),
    ],
)
def test_uncertain_follows_the_messages_policy(
    policy: UncertainPolicy, tries: int, due_s: float | None
) -> None:
    """Retry after the delay, wait 15 minutes after the dot, or ask a person."""
    claimed = replace(CLAIMED, message=replace(MESSAGE, uncertain_policy=policy), tries=tries)
    decision = settled(LOST, claimed=claimed)
    assert [(S.UNCERTAIN, due_s)] == moves_of(decision)
    assert decision.settlement.counts


@pytest.mark.parametrize("policy", UncertainPolicy)
def test_an_uncertain_recipient_past_the_expiry_waits_for_a_person(policy: UncertainPolicy) -> None:
    """It is not repeated after the expiry, and it does not expire."""
    message = replace(MESSAGE, uncertain_policy=policy, expires_at=NOW + timedelta(seconds=10))
    assert [(S.UNCERTAIN, None)] == moves_of(settled(LOST, claimed=replace(CLAIMED, message=message)))


def test_other_bytes_than_before_are_a_case_for_a_person() -> None:
    """bytes-changed is never repeated by itself."""
    changed = failed(Step.BODY_END, FaultKind.LOCAL, "differ", "bytes-changed")
    message = replace(MESSAGE, uncertain_policy=UncertainPolicy.RETRY)
    assert [(S.UNCERTAIN, None)] == moves_of(settled(changed, claimed=replace(CLAIMED, message=message)))


def test_a_deferral_past_the_expiry_waits_for_the_expiry() -> None:
    """Age ends a message: due when it expires, never expired here."""
    message = replace(MESSAGE, expires_at=NOW + timedelta(seconds=10))
    claimed = replace(CLAIMED, message=message)
    assert [(S.DEFERRED, 10.0)] == moves_of(settled(replied(Step.RCPT, 451), claimed=claimed))
    late = replied(Step.MAIL, 450, "4.7.1 blocked using spamhaus")
    assert [(S.QUEUED, 10.0)] == moves_of(settled(late, claimed=claimed))


@each("step", sorted(TRANSPORT_STEPS))
def test_a_transports_failure_is_nobodys_attempt(step: Step) -> None:
    """Up to and including AUTH: no move, not counted, and a pause with the evidence."""
    decision = settled(*[failed(step, FaultKind.TIMEOUT, "timed out")] * 3, failures=1)
    assert ((), False) == (decision.settlement.moves, decision.settlement.counts)
    assert len(decision.settlement.results) == 3
    pause = decision.pause
    assert pause is not None
    assert ("t", NOW, 2, step, "timed out", "mx.example.com") == (
        pause.transport,
        pause.since,
        pause.failures,
        pause.step,
        pause.text,
        pause.host,
    )
    assert pause.until > NOW


def test_a_refused_login_pauses_for_a_quarter_of_an_hour_and_longer() -> None:
    """535 pauses 15 minutes, then 30, then an hour."""
    refusal = replied(Step.AUTH, 535, "5.7.8 no")
    pauses = [settled(refusal, failures=count).pause for count in range(3)]
    assert [15, 30, 60] == [(pause.until - NOW).total_seconds() / 60 for pause in pauses if pause]
    assert ["535 5.7.8 no"] * 3 == [pause.text for pause in pauses if pause]


def test_a_message_that_met_the_pause_is_not_the_probe() -> None:
    """After AUTH the recipient is queued until the pause ends, uncounted; the longest pause holds."""
    decision = settled(
        replied(Step.RCPT, 554, "5.7.1 blocked using spamhaus"), replied(Step.RCPT, 530, "auth first")
    )
    assert not decision.settlement.counts
    assert decision.pause is not None
    assert decision.pause.cause == "blocklist"
    assert [(S.QUEUED, 3600.0), (S.QUEUED, 3600.0)] == moves_of(decision)


def test_a_throttled_body_defers_the_message_and_pauses_the_transport() -> None:
    """The provider slows the account: the message counts, the others wait too."""
    decision = settled(replied(Step.BODY_END, 450, "4.7.1 too much mail"))
    assert [(S.DEFERRED, 900.0)] == moves_of(decision)
    assert decision.settlement.counts
    assert decision.pause is not None
    assert decision.pause.until == NOW + timedelta(seconds=900)


def test_a_throttled_recipient_does_not_pause_the_transport() -> None:
    """At RCPT it may be one mailbox's limit."""
    decision = settled(replied(Step.RCPT, 450, "4.7.1 too much mail"))
    assert decision.pause is None
    assert [(S.DEFERRED, 900.0)] == moves_of(decision)


def test_recipients_over_the_servers_limit_go_at_once_in_another_transaction() -> None:
    """The later ones are queued again, the first one keeps its outcome."""
    decision = settled(
        OK, replied(Step.RCPT, 452, "4.5.3 too many"), replied(Step.RCPT, 452, "4.5.3 too many")
    )
    assert [(S.ACCEPTED, None), (S.QUEUED, 0.0), (S.QUEUED, 0.0)] == moves_of(decision)


def test_a_hint_is_the_delay() -> None:
    """What the server asks for replaces the schedule."""
    decision = settled(replied(Step.RCPT, 450, "greylisted, try again in 7 minutes"))
    assert [(S.DEFERRED, 420.0)] == moves_of(decision)


@given(
    evidence=st.lists(EVIDENCE, max_size=3),
    tries=st.integers(0, 50),
    failures=st.integers(0, 10**6),
    policy=st.sampled_from(UncertainPolicy),
    is_capture=st.booleans(),
)
def test_every_settlement_is_legal(  # noqa: PLR0917 - drawn by name
    evidence: list[Evidence], tries: int, failures: int, policy: UncertainPolicy, is_capture: bool
) -> None:
    """Nothing raises; moves are legal from sending; open recipients come back, final ones do not."""
    claimed = replace(CLAIMED, tries=tries, message=replace(MESSAGE, uncertain_policy=policy))
    decision = settled(*evidence, claimed=claimed, failures=failures, is_capture=is_capture)
    assert len(evidence) == len(decision.settlement.results)
    for move in decision.settlement.moves:
        assert move.state in MOVES[S.SENDING]
        if move.state in {S.QUEUED, S.DEFERRED}:
            assert move.due_at is not None
            assert NOW <= move.due_at <= MESSAGE.expires_at
        elif move.state is not S.UNCERTAIN:
            assert move.due_at is None
    without_move = len(evidence) - len(decision.settlement.moves)
    assert decision.pause is not None or without_move == 0
    if decision.pause is not None:
        assert NOW < decision.pause.until


def test_an_address_that_does_not_exist_is_named() -> None:
    """5.1.1, 5.1.6 and 5.1.10 at RCPT when they refuse the recipient; nothing else."""
    unknown = [replied(Step.RCPT, 550, f"5.1.{detail} user unknown") for detail in (1, 6, 10)]
    assert settled(*unknown).suppress == (0, 1, 2)
    others = [
        replied(Step.RCPT, 550, "5.7.1 rejected by policy"),
        replied(Step.RCPT, 450, "4.1.1 user unknown"),
        replied(Step.BODY_END, 550, "5.1.1 user unknown"),
    ]
    assert settled(*others).suppress == ()


def test_a_passing_5xx_has_three_tries_of_its_own() -> None:
    """Greylisting before it takes none of them away."""
    passing = replied(Step.RCPT, 552, "5.2.2 Mailbox full")
    claimed = replace(CLAIMED, tries=9, recipients=(0,))
    states = [
        moves_of(settled(passing, claimed=claimed, refusals={0: count}))[0][0] for count in (0, 1, 2, 3)
    ]
    assert states == [S.DEFERRED, S.DEFERRED, S.DEFERRED, S.REFUSED]


@each(
    ("evidence", "is_success", "has_trouble"),
    [
        (OK, True, False),
        (replied(Step.RCPT, 550, "5.1.1 user unknown"), True, False),
        (replied(Step.RCPT, 450, "4.2.0 greylisted"), False, False),
        (replied(Step.RCPT, 421, "closing"), False, True),
        (replied(Step.MAIL, 451, "busy"), False, True),
        (replied(Step.BODY_END, 451, "busy"), False, True),
        (failed(Step.DATA, FaultKind.CLOSED, "reset"), False, True),
        (LOST, False, True),
        (failed(Step.CONNECT, FaultKind.REFUSED, "refused"), False, True),
        (failed(Step.BODY, FaultKind.LOCAL, "a bug"), False, False),
    ],
)
def test_what_an_attempt_says_about_the_server(
    evidence: Evidence, *, is_success: bool, has_trouble: bool
) -> None:
    """Served, failed, or neither: one mailbox's deferral and our own faults say nothing."""
    decision = settled(evidence, claimed=replace(CLAIMED, recipients=(0,)))
    assert (is_success, has_trouble) == (decision.is_success, decision.trouble is not None)


def test_a_message_that_one_recipient_met_trouble_with_is_no_success() -> None:
    """Accepted for one, and the connection lost for another."""
    decision = settled(OK, LOST)
    assert not decision.is_success
    assert decision.trouble == Trouble(evidence=LOST, verdict=decision.settlement.results[1].verdict)


def test_a_server_that_serves_nobody_is_an_outage_at_once() -> None:
    """The pause is of the kind connect, open from the first one, and grows with the failures."""
    trouble = settled(replied(Step.MAIL, 451, "busy")).trouble
    assert trouble is not None
    first = lost(trouble, via=Via(transport="t"), now=NOW, roll=0.0)
    assert (first.kind, first.is_open, first.until) == (
        PauseKind.CONNECT,
        True,
        NOW + timedelta(seconds=30),
    )
    again = Via(transport="t", failures={PauseKind.CONNECT: first.failures})
    assert lost(trouble, via=again, now=NOW, roll=0.0).until == NOW + timedelta(seconds=60)


def test_the_ends_of_pauses_are_spread() -> None:
    """Up to a tenth later, never earlier."""
    trouble = settled(replied(Step.MAIL, 451, "busy")).trouble
    assert trouble is not None
    ends = [lost(trouble, via=Via(transport="t"), now=NOW, roll=roll).until for roll in (0.0, 0.5, 1.0)]
    assert [30.0, 31.5, 33.0] == [(end - NOW).total_seconds() for end in ends]
