"""A small model of lease, attempt and uncertain: every state that can be reached keeps the promise.

One recipient, a dispatcher, a store, a peer and crashes at any moment. A state is what is on disk, what is
in memory, and what the peer has; a step is one durable write, one exchange with the peer, one crash or one
decision. The walk visits every state. The promise:

* a message that was acknowledged can always still reach an end (nothing is lost, nothing is stuck);
* the peer has two copies only when an attempt was declared uncertain, and three only after two of them;
* what is called accepted, the peer has; what is called refused, expired or cancelled after no uncertain
  attempt, it does not have;
* every change of the stored state is a move of ``model.lifecycle``.

The negative controls leave out one rule each and must break the promise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import pytest

from postroom.model.lifecycle import FINAL_STATES, MOVES, RecipientState
from postroom.model.message import UncertainPolicy

S = RecipientState
MOST_COPIES = 3
"""The walk stops counting here; that is enough to see an undeclared copy."""


class Stage(Enum):
    """Of the attempt on disk."""

    NONE = "none"
    OPEN = "open"
    COMMITTING = "committing"


class Wire(Enum):
    """Of the dialogue in memory; a crash takes it away."""

    IDLE = "idle"
    TALKING = "talking"
    """Claimed, up to the body."""
    MAY_SEND = "may send"
    """The leave to send the dot was given."""
    SENT = "sent"
    """The dot is with the socket; the peer may or may not get it."""
    TAKEN = "taken"
    """The peer has it; its reply is under way."""


@dataclass(frozen=True, slots=True)
class State:
    """The whole world of one recipient."""

    stored: RecipientState = S.QUEUED
    stage: Stage = Stage.NONE
    wire: Wire = Wire.IDLE
    copies: int = 0
    declared: int = 0
    """Attempts recorded as uncertain."""
    is_expired: bool = False

    @property
    def shown(self) -> RecipientState:
        """What the API says: a lease makes sending."""
        return self.stored if self.stage is Stage.NONE else S.SENDING


@dataclass(frozen=True, slots=True)
class Rules:
    """What is done; each can be left out to see that the walk notices."""

    policy: UncertainPolicy = UncertainPolicy.RETRY
    marks_before_dot: bool = True
    declares_after_crash: bool = True
    declares_after_loss: bool = True
    recovers: bool = True


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Yield every step from a state."""
    if state.stage is Stage.NONE:
        yield from _waiting(state, rules)
    elif state.wire is Wire.IDLE:
        if rules.recovers:
            yield "start again", _recovered(state, rules)
    else:
        yield from _at_work(state, rules)
        yield "crash", replace(state, wire=Wire.IDLE)
    if not state.is_expired:
        yield "time passes", replace(state, is_expired=True)


def _waiting(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    if state.stored in {S.QUEUED, S.DEFERRED, S.HELD} and state.is_expired:
        yield "expire", replace(state, stored=S.EXPIRED)
    if state.stored in {S.QUEUED, S.DEFERRED}:
        if not state.is_expired:
            yield "claim", replace(state, stage=Stage.OPEN, wire=Wire.TALKING)
        yield "hold", replace(state, stored=S.HELD)
    if state.stored in {S.QUEUED, S.DEFERRED, S.HELD}:
        yield "cancel", replace(state, stored=S.CANCELLED)
    if state.stored is S.HELD:
        yield "release", replace(state, stored=S.QUEUED)
    if state.stored is S.UNCERTAIN:
        yield "a person: it arrived", replace(state, stored=S.ACCEPTED, copies=max(state.copies, 1))
        yield "a person: drop", replace(state, stored=S.CANCELLED)
        if state.declared < MOST_COPIES:
            yield "a person: send again", replace(state, stored=S.QUEUED)
            if rules.policy is not UncertainPolicy.ASK and not state.is_expired:
                yield "claim", replace(state, stage=Stage.OPEN, wire=Wire.TALKING)


def _at_work(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    match state.wire:
        case Wire.TALKING:
            yield "refused", _settled(state, S.REFUSED)
            yield "deferred", _settled(state, S.DEFERRED)
            yield "lost before the dot", _settled(state, S.DEFERRED)
            yield "given back", _settled(state, S.QUEUED)
            stage = Stage.COMMITTING if rules.marks_before_dot else state.stage
            yield "leave for the dot", replace(state, stage=stage, wire=Wire.MAY_SEND)
        case Wire.MAY_SEND:
            yield "the dot", replace(state, wire=Wire.SENT)
        case Wire.SENT:
            yield (
                "the peer takes it",
                replace(state, wire=Wire.TAKEN, copies=min(state.copies + 1, MOST_COPIES)),
            )
            yield "the peer refuses it", _settled(state, S.REFUSED)
            yield "the peer defers it", _settled(state, S.DEFERRED)
            yield "lost after the dot", _lost(state, rules)
        case Wire.TAKEN:
            yield "its reply", _settled(state, S.ACCEPTED)
            yield "lost after the dot", _lost(state, rules)
        case Wire.IDLE:
            return


def _settled(state: State, stored: RecipientState) -> State:
    """A result is stored; what was uncertain before stays so unless the result is final."""
    if state.stored is S.UNCERTAIN and stored in {S.DEFERRED, S.QUEUED}:
        stored = S.UNCERTAIN
    return replace(state, stored=stored, stage=Stage.NONE, wire=Wire.IDLE)


def _lost(state: State, rules: Rules) -> State:
    if not rules.declares_after_loss:
        return _settled(state, S.DEFERRED)
    return replace(state, stored=S.UNCERTAIN, stage=Stage.NONE, wire=Wire.IDLE, declared=state.declared + 1)


def _recovered(state: State, rules: Rules) -> State:
    """A start voids the lease: open is as it was before, committing is uncertain."""
    if state.stage is Stage.COMMITTING and rules.declares_after_crash:
        return replace(state, stored=S.UNCERTAIN, stage=Stage.NONE, declared=state.declared + 1)
    return replace(state, stage=Stage.NONE)


def walk(rules: Rules) -> dict[State, dict[str, State]]:
    """Return every state that can be reached, with its steps."""
    found: dict[State, dict[str, State]] = {}
    waiting = [State()]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        found[state] = dict(steps(state, rules))
        waiting.extend(found[state].values())
    return found


def broken(found: dict[State, dict[str, State]]) -> set[str]:
    """Return which promises some state breaks."""
    can_end = {state for state in found if state.stored in FINAL_STATES}
    while grown := {
        state for state, after in found.items() if state not in can_end and can_end & set(after.values())
    }:
        can_end |= grown
    promises = set()
    for state in found:
        if state not in can_end:
            promises.add("every message can reach an end")
        if state.copies > 1 + state.declared:
            promises.add("a copy more is declared")
        if state.stored is S.ACCEPTED and not state.copies:
            promises.add("what is accepted is there")
        if state.stored in {S.EXPIRED, S.CANCELLED} and state.copies and not state.declared:
            promises.add("what never left is not there")
    return promises


@pytest.mark.parametrize("policy", list(UncertainPolicy))
def test_every_state_keeps_the_promise(policy: UncertainPolicy) -> None:
    """Whatever dispatcher, store, peer and crashes do, in any order."""
    found = walk(Rules(policy=policy))
    assert len(found) > 50
    assert set() == broken(found)


@pytest.mark.parametrize("policy", list(UncertainPolicy))
def test_every_step_is_a_move_of_the_table(policy: UncertainPolicy) -> None:
    """What the model does to a recipient, as the API shows it, is in ``model.lifecycle.MOVES``."""
    moves = {
        (before.shown, after.shown)
        for before, following in walk(Rules(policy=policy)).items()
        for after in following.values()
        if before.shown is not after.shown
    }
    assert set() == {(old, new) for old, new in moves if new not in MOVES[old]}
    assert {old for old, _ in moves} | {new for _, new in moves} == {
        S.QUEUED, S.SENDING, S.DEFERRED, S.HELD, S.UNCERTAIN, S.ACCEPTED, S.REFUSED, S.EXPIRED, S.CANCELLED
    }  # fmt: skip


def test_uncertain_never_expires_by_itself() -> None:
    """From uncertain to expired there is no step, however late it is."""
    for before, following in walk(Rules()).items():
        if before.shown is S.UNCERTAIN:
            assert S.EXPIRED not in {after.shown for after in following.values()}


@pytest.mark.parametrize(
    ("rules", "promise"),
    [
        (Rules(marks_before_dot=False), "a copy more is declared"),
        (Rules(declares_after_crash=False), "a copy more is declared"),
        (Rules(declares_after_loss=False), "a copy more is declared"),
        (Rules(recovers=False), "every message can reach an end"),
    ],
)
def test_the_walk_sees_a_rule_that_is_left_out(rules: Rules, promise: str) -> None:
    """The negative controls: without any one of the rules the promise is broken, and the walk says so."""
    assert promise in broken(walk(rules))
