"""The end of an attempt: what becomes of each recipient, and what it says about the transport.

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

About the transport it says: a pause, when the failure concerns it alone; trouble, when the server failed,
which lowers the number of connections; success, when it served us. A recipient that refused one address is
none of these, for it may be one mailbox. An address that a server knows not to exist is named, so that nobody
sends to it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol, assert_never

from postroom.model.attempt import Claimed, Move, Settlement
from postroom.model.guest import GONE
from postroom.model.lifecycle import RecipientState
from postroom.model.message import UncertainPolicy
from postroom.model.outcome import Action, Evidence, FaultKind, OutcomeKind, RecipientResult, Verdict
from postroom.model.reply import EnhancedCode
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import PauseKind, TransportPause
from postroom.policy import fetching
from postroom.policy.classify import classify, concerns_account, pauses
from postroom.policy.pausing import SHORT_WAITS_S, SPREAD, is_outage, kind_of, longer, pause_s
from postroom.policy.retry import WAIT_AFTER_DOT_S, ClassRules, delay_after, next_delay

_HOLDS = frozenset({"crash-loop", "content-damaged", "public-url-missing"}) | fetching.HELD
"""Local causes that trying again does not cure: the message waits for a person."""
_FINAL = {
    OutcomeKind.ACCEPTED: RecipientState.ACCEPTED,
    OutcomeKind.CAPTURED: RecipientState.CAPTURED,
    OutcomeKind.REFUSED: RecipientState.REFUSED,
}
_NO_SUCH_ADDRESS = frozenset({EnhancedCode(5, 1, 1), EnhancedCode(5, 1, 6), EnhancedCode(5, 1, 10)})
"""RFC 3463: no such mailbox, mailbox moved, no mail at this domain (RFC 7505)."""
_BROKEN = frozenset({FaultKind.CLOSED, FaultKind.TIMEOUT, FaultKind.PROTOCOL})
GUEST_ENDS = frozenset({"egress-refused", GONE})
"""Findings of ours that end the mail of a guest."""
NO_REFUSALS: Mapping[int, int] = MappingProxyType({})


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
class Trouble:
    """A failure of the server, whoever is to blame for the message."""

    evidence: Evidence
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to store, and what was learnt about the transport."""

    settlement: Settlement
    pause: TransportPause | None
    """With ``failures`` counted up; ``pausing.longer`` weighs it against one that is on."""
    trouble: Trouble | None = None
    is_success: bool = False
    """The server served us: took a message, or refused it by name."""
    suppress: tuple[int, ...] = ()
    """Numbers of recipients whose address does not exist."""
    refused_login: Evidence | None = None
    """How a guest's server refused the account for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """The transport of an attempt, as it was before."""

    transport: str
    is_capture: bool = False
    failures: Mapping[PauseKind, int] = field(default_factory=dict)
    """Pauses in a row, by kind."""
    provider: str | None = None
    """Id of the provider whose server it is, when one is known."""
    is_guest: bool = False
    """A caller brought it: what only a person could mend ends its mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What every line of one attempt shares."""

    claimed: Claimed
    via: Via
    rules: ClassRules
    now: datetime
    roll: float


def decide(
    claimed: Claimed,
    lines: Iterable[Line],
    *,
    via: Via,
    rules: ClassRules,
    now: datetime,
    roll: float,
    refusals: Mapping[int, int] = NO_REFUSALS,
) -> Decision:
    """Return what becomes of the recipients of an attempt. Never raises.

    Args:
        claimed: the work that was claimed.
        lines: what the transport reported; a recipient without a line was not begun and stays queued.
        via: the transport.
        rules: of the message's class.
        now: the wall time.
        roll: a dice roll in ``[0, 1)``, one for the attempt, so that its recipients stay together.
        refusals: passing 5xx replies that a recipient got in earlier attempts; none is 0.
    """
    results: list[RecipientResult] = []
    moves: list[Move] = []
    still_open: list[tuple[Line, Verdict]] = []
    unknown: list[int] = []
    refused_login: Evidence | None = None
    for line in lines:
        evidence, recipient = line.evidence, line.recipient
        verdict, ends_guest = _judged(line, claimed, via, refusals.get(recipient, 0))
        if ends_guest:
            refused_login = evidence
        results.append(_result(line, verdict))
        state = _FINAL.get(verdict.outcome)
        if state is None:
            still_open.append((line, verdict))
        else:
            moves.append(Move(recipient=recipient, state=state, cause=verdict.cause))
            if state is RecipientState.REFUSED and _does_not_exist(evidence, verdict):
                unknown.append(recipient)
    is_success = counts = bool(moves)
    pause = trouble = None
    if still_open:
        facts = _Facts(claimed=claimed, via=via, rules=rules, now=now, roll=roll)
        pause, trouble = _met(still_open, facts)
        moves += _open_moves(still_open, facts, pause)
        counts = counts or any(_is_attempt(line, verdict) for line, verdict in still_open)
    return Decision(
        settlement=Settlement(
            lease=claimed.lease, settled_at=now, results=tuple(results), moves=tuple(moves), counts=counts
        ),
        pause=pause,
        trouble=trouble,
        is_success=is_success and trouble is None,
        suppress=tuple(unknown),
        refused_login=refused_login,
    )


def _judged(line: Line, claimed: Claimed, via: Via, refusals: int) -> tuple[Verdict, bool]:
    """Return what a line means, and whether it ends what a guest sends."""
    verdict = classify(
        line.evidence,
        refusals=refusals,
        is_later_recipient=line.recipient != claimed.recipients[0],
        is_capture=via.is_capture,
        provider=via.provider,
    )
    if not via.is_guest or not is_final_for_guest(line.evidence, verdict):
        return verdict, False
    return replace(verdict, outcome=OutcomeKind.REFUSED, action=Action.FAIL_MESSAGE), True


def is_final_for_guest(evidence: Evidence, verdict: Verdict) -> bool:
    """Say whether nobody will mend this for an account that came with a call and goes with its mail.

    A login refused by a 5xx or missed by one, a login the account or the server cannot make, an address that
    may not be connected to, an account that is forgotten. Whatever a network, a name server or a busy server
    does passes.
    """
    if evidence.reply is not None:
        return (
            evidence.reply.is_permanent
            and verdict.action is Action.PAUSE_TRANSPORT
            and kind_of(evidence, verdict) is PauseKind.LOGIN
        )
    if evidence.step not in TRANSPORT_STEPS:
        return False
    fault = evidence.fault
    return fault is not None and (fault.kind is FaultKind.CAPABILITY or verdict.cause in GUEST_ENDS)


def _result(line: Line, verdict: Verdict) -> RecipientResult:
    return RecipientResult(
        recipient=line.recipient,
        evidence=line.evidence,
        verdict=verdict,
        duration_ms=line.duration_ms,
        at=line.at,
    )


def passed_on(settlement: Settlement, *, to: str) -> Settlement:
    """Return the settlement of what one leg refused to send, for another leg to take at once."""
    moves = tuple(
        replace(move, state=RecipientState.QUEUED, due_at=settlement.settled_at)
        if move.state is RecipientState.REFUSED
        else move
        for move in settlement.moves
    )
    return replace(settlement, moves=moves, to=to, counts=False)


def lost(trouble: Trouble, *, via: Via, now: datetime, roll: float) -> TransportPause:
    """Return the pause of a transport whose server answers and serves nobody: an outage at once."""
    kind = PauseKind.CONNECT
    failures = {kind: max(via.failures.get(kind, 0), len(SHORT_WAITS_S))}
    via = Via(transport=via.transport, failures=failures)
    return _pause(kind, trouble, via=via, now=now, roll=roll)


def _does_not_exist(evidence: Evidence, verdict: Verdict) -> bool:
    """Say whether a refusal is of the address itself, by the codes that mean nothing else."""
    reply = evidence.reply
    return (
        evidence.step is Step.RCPT
        and verdict.action is Action.FAIL_RECIPIENT
        and reply is not None
        and reply.enhanced in _NO_SUCH_ADDRESS
    )


def _met(
    still_open: Sequence[tuple[Line, Verdict]], facts: _Facts
) -> tuple[TransportPause | None, Trouble | None]:
    """Return the longest pause that any of the recipients met, and what the server did."""
    trouble = _trouble_of(still_open)
    pause: TransportPause | None = None
    for line, verdict in still_open:
        if pauses(line.evidence.step, verdict.action):
            met = Trouble(evidence=line.evidence, verdict=verdict)
            kind = kind_of(line.evidence, verdict)
            found = _pause(kind, met, via=facts.via, now=facts.now, roll=facts.roll)
            if longer(pause, found) is found:
                pause, trouble = found, met
    return pause, trouble


def _trouble_of(still_open: Iterable[tuple[Line, Verdict]]) -> Trouble | None:
    """Return the first failure of the server itself; a file server is none of its business."""
    for line, verdict in still_open:
        evidence = line.evidence
        reply, fault, step = evidence.reply, evidence.fault, evidence.step
        if step is not Step.FETCH and (
            step in TRANSPORT_STEPS
            or (fault is not None and fault.kind in _BROKEN)
            or (reply is not None and (reply.code == 421 or (reply.is_transient and step is not Step.RCPT)))
        ):
            return Trouble(evidence=evidence, verdict=verdict)
    return None


def _is_attempt(line: Line, verdict: Verdict) -> bool:
    """Say whether a recipient that stays open had an attempt of its own: something was said about it."""
    is_account = concerns_account(line.evidence.step, verdict.action)
    return not is_account and verdict.action is not Action.SPLIT_RECIPIENTS


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
    if cause in _HOLDS:
        return Move(recipient=line.recipient, state=RecipientState.HELD, cause=cause)
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


def _pause(kind: PauseKind, trouble: Trouble, *, via: Via, now: datetime, roll: float) -> TransportPause:
    evidence, verdict = trouble.evidence, trouble.verdict
    failures = via.failures.get(kind, 0)
    seconds = pause_s(kind, floor_s=verdict.min_delay_s, failures=failures)
    return TransportPause(
        transport=via.transport,
        kind=kind,
        is_open=is_outage(kind, seconds, failures=failures),
        since=now,
        until=now + timedelta(seconds=seconds * (1 + roll * SPREAD)),
        cause=verdict.cause,
        step=evidence.step,
        text=evidence_text(evidence),
        host=evidence.host,
        failures=failures + 1,
    )


def evidence_text(evidence: Evidence) -> str:
    """Return the one line that shows the evidence: reply code and text, or the local phrase."""
    if evidence.reply is not None:
        return f"{evidence.reply.code} {evidence.reply.text}"
    return evidence.fault.text if evidence.fault is not None else ""
