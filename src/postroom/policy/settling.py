"""The end of an attempt: what becomes of each recipient, and whether the transport pauses.

The moves:

    accepted, captured, refused    final
    deferred                       due again by the class's schedule, the rule's floor or the server's hint
    uncertain                      by the message's policy: after the normal delay, 15 minutes after the
                                   dot, or never by itself
    the transport is to blame      no move (queued as before) when nothing was said about the message;
                                   queued until the pause ends when the message met it, so that another
                                   message is the probe

A recipient whose next time lies after the expiry waits for the expiry: age ends a message, not a decision
here. An uncertain one never expires; past the expiry it stays for a person.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from postroom.model.attempt import Claimed, Move, Settlement
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.model.outcome import Action, Evidence, OutcomeKind, RecipientResult, Verdict
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import TransportPause
from postroom.policy.classify import classify, concerns_account
from postroom.policy.pausing import longer, pause_s
from postroom.policy.retry import WAIT_AFTER_DOT_S, ClassRules, delay_after, next_delay

_FINAL = {
    OutcomeKind.ACCEPTED: RecipientState.ACCEPTED,
    OutcomeKind.CAPTURED: RecipientState.CAPTURED,
    OutcomeKind.REFUSED: RecipientState.REFUSED,
}


class Line(Protocol):
    """What happened to one recipient, as a transport reports it."""

    @property
    def recipient(self) -> int:
        """Number in the envelope."""
        ...

    @property
    def evidence(self) -> Evidence:
        """The facts."""
        ...

    @property
    def at(self) -> datetime:
        """When it ended."""
        ...

    @property
    def duration_ms(self) -> int:
        """How long it took."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to store, and the pause when there is one."""

    settlement: Settlement
    pause: TransportPause | None
    """With ``failures`` counted up; ``pausing.longer`` weighs it against one that is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What every line of one attempt shares."""

    claimed: Claimed
    transport: str
    rules: ClassRules
    now: datetime
    roll: float
    failures: int


def decide(
    claimed: Claimed,
    lines: Iterable[Line],
    *,
    transport: str,
    rules: ClassRules,
    now: datetime,
    roll: float,
    failures: int = 0,
    is_capture: bool = False,
) -> Decision:
    """Return what becomes of the recipients of an attempt. Never raises.

    Args:
        claimed: the work that was claimed.
        lines: what the transport reported; a recipient without a line was not begun and stays queued.
        transport: its name.
        rules: of the message's class.
        now: the wall time.
        roll: a dice roll in ``[0, 1)``, one for the attempt, so that its recipients stay together.
        failures: pauses in a row of this transport before this attempt.
        is_capture: the transport is the capture inbox.
    """
    results: list[RecipientResult] = []
    moves: list[Move] = []
    still_open: list[tuple[Line, Verdict]] = []
    first = claimed.recipients[0]
    for line in lines:
        evidence = line.evidence
        recipient = line.recipient
        verdict = classify(
            evidence, tries=claimed.tries, is_later_recipient=recipient != first, is_capture=is_capture
        )
        results.append(
            RecipientResult(
                recipient=recipient,
                evidence=evidence,
                verdict=verdict,
                duration_ms=line.duration_ms,
                at=line.at,
            )
        )
        state = _FINAL.get(verdict.outcome)
        if state is None:
            still_open.append((line, verdict))
        else:
            moves.append(Move(recipient=recipient, state=state, cause=verdict.cause))
    counts = bool(moves)
    pause = None
    if still_open:
        facts = _Facts(
            claimed=claimed, transport=transport, rules=rules, now=now, roll=roll, failures=failures
        )
        pause = _pause_of(still_open, facts)
        moves += _open_moves(still_open, facts, pause)
        counts = counts or any(_is_attempt(line, verdict) for line, verdict in still_open)
    settlement = Settlement(
        lease=claimed.lease, settled_at=now, results=tuple(results), moves=tuple(moves), counts=counts
    )
    return Decision(settlement=settlement, pause=pause)


def _is_attempt(line: Line, verdict: Verdict) -> bool:
    """Say whether a recipient that stays open had an attempt of its own: something was said about it."""
    is_account = concerns_account(line.evidence.step, verdict.action)
    return not is_account and verdict.action is not Action.SPLIT_RECIPIENTS


def _pause_of(still_open: Iterable[tuple[Line, Verdict]], facts: _Facts) -> TransportPause | None:
    """Return the longest pause that any of the recipients met."""
    pause: TransportPause | None = None
    for line, verdict in still_open:
        step, action = line.evidence.step, verdict.action
        if concerns_account(step, action) or _slows_transport(step, action):
            pause = longer(pause, _pause(line.evidence, verdict, facts))
    return pause


def _open_moves(
    still_open: Iterable[tuple[Line, Verdict]], facts: _Facts, pause: TransportPause | None
) -> Iterator[Move]:
    for line, verdict in still_open:
        blame = pause if concerns_account(line.evidence.step, verdict.action) else None
        if (move := _open_move(line, verdict, facts, blame)) is not None:
            yield move


def _open_move(line: Line, verdict: Verdict, facts: _Facts, pause: TransportPause | None) -> Move | None:
    """Return the move of a recipient that stays open; ``pause`` is given when the transport is to blame."""
    cause = verdict.cause
    if verdict.outcome is OutcomeKind.UNCERTAIN:
        due_at = _uncertain_due_at(line, facts)
        return Move(recipient=line.recipient, state=RecipientState.UNCERTAIN, due_at=due_at, cause=cause)
    if pause is not None:
        if line.evidence.step in TRANSPORT_STEPS:
            return None
        due_at = _before_expiry(facts, pause.until)
        return Move(recipient=line.recipient, state=RecipientState.QUEUED, due_at=due_at, cause=cause)
    if verdict.action is Action.SPLIT_RECIPIENTS:
        return Move(recipient=line.recipient, state=RecipientState.QUEUED, due_at=facts.now, cause=cause)
    delay_s = delay_after(verdict, facts.rules, tries=facts.claimed.tries, roll=facts.roll)
    due_at = _before_expiry(facts, facts.now + timedelta(seconds=delay_s))
    return Move(recipient=line.recipient, state=RecipientState.DEFERRED, due_at=due_at, cause=cause)


def _before_expiry(facts: _Facts, due_at: datetime) -> datetime:
    return min(due_at, facts.claimed.message.expires_at)


def _uncertain_due_at(line: Line, facts: _Facts) -> datetime | None:
    message = facts.claimed.message
    fault = line.evidence.fault
    if fault is not None and fault.cause == "bytes-changed":
        return None  # never other bytes after the first dot: a case for a person
    match message.uncertain_policy:
        case UncertainPolicy.ASK:
            return None
        case UncertainPolicy.WAIT:
            due_at = max(facts.now, line.at + timedelta(seconds=WAIT_AFTER_DOT_S))
        case UncertainPolicy.RETRY:
            delay_s = next_delay(facts.rules, facts.claimed.tries, facts.roll)
            due_at = facts.now + timedelta(seconds=delay_s)
        case _:
            assert_never(message.uncertain_policy)
    return due_at if due_at < message.expires_at else None


def _slows_transport(step: Step, action: Action) -> bool:
    """Say whether a throttle is the account's; at RCPT it may be one mailbox's."""
    return action is Action.THROTTLE and step in {Step.DATA, Step.BODY, Step.BODY_END}


def _pause(evidence: Evidence, verdict: Verdict, facts: _Facts) -> TransportPause:
    seconds = pause_s(evidence.step, verdict, failures=facts.failures)
    return TransportPause(
        transport=facts.transport,
        since=facts.now,
        until=facts.now + timedelta(seconds=seconds),
        cause=verdict.cause,
        step=evidence.step,
        text=evidence_text(evidence),
        host=evidence.host,
        failures=facts.failures + 1,
    )


def evidence_text(evidence: Evidence) -> str:
    """Return the one line that shows the evidence: reply code and text, or the local phrase."""
    if evidence.reply is not None:
        return f"{evidence.reply.code} {evidence.reply.text}"
    return evidence.fault.text if evidence.fault is not None else ""
