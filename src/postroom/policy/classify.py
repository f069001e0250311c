"""What a piece of evidence means: reply or fault, to rule, to action. The only opinion about a reply.

Theory: the reply rules name cause and action; two guards keep a wrong rule from doing harm.

* A 4xx is never final through a rule, unless the rule says so by name.
* A 5xx that a rule calls passing gets at most three more attempts, spread over a day; other failures of the
  recipient do not count towards them.

And three facts stand above every rule: a 2xx to the final dot is an acceptance; a fault after the final dot
is uncertain, before it safe to repeat; what fails up to and including AUTH concerns the transport, so it
pauses and never refuses a message. A fault of ours is never a permanent failure.

Sources: RFC 5321 sections 4.2.1 and 4.5.3.1.10 (552 at RCPT), RFC 3463.
"""

import re

from postroom.model.outcome import Action, Evidence, Fault, FaultKind, OutcomeKind, Verdict
from postroom.model.reply import Reply
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.providers.replies import Rule, find_rule, rule

PAUSE_S = 900.0
"""Seconds of a pause whose rule names none."""
PASSING_FLOORS_S = (0.0, 4 * 3600.0, 12 * 3600.0)
"""Least delays before the first, second and third repetition of a passing 5xx; its rule may ask for more."""
MAX_HINT_S = 3600.0
"""A server may ask for at most this much patience."""

ACCEPTED = Verdict(outcome=OutcomeKind.ACCEPTED, action=Action.IGNORE, cause="")
CAPTURED = Verdict(outcome=OutcomeKind.CAPTURED, action=Action.IGNORE, cause="")

_UNKNOWN = Verdict(outcome=OutcomeKind.UNCERTAIN, action=Action.UNCERTAIN, cause="unknown-local")

PAUSES = frozenset({Action.PAUSE_TRANSPORT, Action.PAUSE_UNTIL_QUOTA})
FAILURES = frozenset({Action.FAIL_RECIPIENT, Action.FAIL_MESSAGE})
_FLOORED = frozenset({Action.RETRY_SLOW, Action.THROTTLE, *PAUSES})
"""Actions for which a rule's delay is a floor; for the others the schedule of the class holds."""
_CHEAP_STEPS = frozenset({Step.RESOLVE, Step.CONNECT, Step.PROXY})
"""A pause here may be as short as the breaker says: a knock at a closed door harms no account."""

_TAKING = frozenset({Step.DATA, Step.BODY, Step.BODY_END, Step.ANSWER})
"""Steps at which a throttle is of the server, not of one mailbox."""

_HINT = re.compile(
    r"(?:again|retry|wait|back)\b[^0-9]{0,30}?\b([0-9]{1,5}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
    re.IGNORECASE,
)
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def classify(
    evidence: Evidence,
    *,
    refusals: int = 0,
    is_later_recipient: bool = False,
    is_capture: bool = False,
    provider: str | None = None,
) -> Verdict:
    """Return what ``evidence`` means. Never raises.

    Args:
        evidence: what happened to one recipient.
        refusals: passing 5xx replies to this recipient before this one.
        is_later_recipient: the reply is to the second or a later RCPT of its transaction.
        provider: id of the provider whose server it is, when the transport names one; the host tells else.
        is_capture: the capture inbox reports; neither reply nor fault after the final dot is its acceptance.
    """
    reply = evidence.reply
    if reply is not None:
        if evidence.step is Step.BODY_END and 200 <= reply.code < 300:
            return ACCEPTED
        found = find_rule(
            host=evidence.host,
            port=evidence.port,
            step=evidence.step,
            code=reply.code,
            text=reply.text,
            provider=provider,
        )
        return _of_reply(evidence, reply, found, refusals=refusals, is_later_recipient=is_later_recipient)
    if evidence.fault is not None:
        return _of_fault(evidence, evidence.fault, provider)
    if evidence.step is not Step.BODY_END:
        return _deferred(_scoped(Action.RETRY, evidence.step), "unknown-local")
    return CAPTURED if is_capture else _UNKNOWN


def remote_hint_s(text: str) -> float | None:
    """Return the seconds a server asks to wait ("try again in 5 minutes"), at most an hour."""
    found = _HINT.search(text[:1000])
    if found is None or int(found[1]) == 0:
        return None
    return min(int(found[1]) * _UNIT_S[found[2][0].lower()], MAX_HINT_S)


def _of_reply(
    evidence: Evidence, reply: Reply, found: Rule | None, *, refusals: int, is_later_recipient: bool
) -> Verdict:
    step, text = evidence.step, reply.text
    if found is None or reply.code < 400:
        return _deferred(_scoped(Action.RECONNECT, step), "reply-unexpected")
    cause, action = found.id, found.action
    is_later = is_later_recipient and step is Step.RCPT
    if is_later and reply.code in {452, 552} and cause.startswith("any-"):
        cause, action = "rcpt-limit", Action.SPLIT_RECIPIENTS
    elif action is Action.SPLIT_RECIPIENTS and not is_later:
        action = Action.RETRY_SLOW  # splitting what cannot be split would go on for ever
    elif action in {Action.UNCERTAIN, Action.IGNORE}:
        action = Action.RETRY  # meant for faults, and here is a reply
    if action in FAILURES and step not in TRANSPORT_STEPS:
        if reply.is_permanent or found.is_final:
            return Verdict(outcome=OutcomeKind.REFUSED, action=action, cause=cause)
        action = Action.RETRY_SLOW
    action = _scoped(action, step)
    delay_s = _floor_s(found, action, step)
    if action is Action.SPLIT_RECIPIENTS:
        return _deferred(action, cause)
    if reply.is_permanent and action not in PAUSES and not concerns_account(step, action):
        if refusals >= len(PASSING_FLOORS_S):
            failure = Action.FAIL_RECIPIENT if step is Step.RCPT else Action.FAIL_MESSAGE
            return Verdict(outcome=OutcomeKind.REFUSED, action=failure, cause=cause)
        delay_s = max(found.min_delay_s or 0.0, PASSING_FLOORS_S[refusals])
    hint_s = remote_hint_s(text)
    return _deferred(action, cause, delay_s if hint_s is None else hint_s, is_hint=hint_s is not None)


def _of_fault(evidence: Evidence, fault: Fault, provider: str | None) -> Verdict:
    step = evidence.step
    found = rule(fault.cause) if fault.cause else None
    if found is None:
        found = find_rule(
            host=evidence.host, port=evidence.port, step=step, code=None, text=fault.text, provider=provider
        )
    cause = fault.cause or (found.id if found else f"unknown-{fault.kind}")
    if step is Step.BODY_END:
        return Verdict(outcome=OutcomeKind.UNCERTAIN, action=Action.UNCERTAIN, cause=cause)
    action = found.action if found else Action.RETRY
    if step is Step.ANSWER and action is Action.UNCERTAIN:  # a webhook's answer may leave it open too
        return Verdict(outcome=OutcomeKind.UNCERTAIN, action=action, cause=cause)
    if fault.kind is FaultKind.CAPABILITY and step not in TRANSPORT_STEPS and action not in PAUSES:
        failure = action if action in FAILURES else Action.FAIL_MESSAGE
        return Verdict(outcome=OutcomeKind.REFUSED, action=failure, cause=cause)
    if fault.kind is FaultKind.LOCAL or action in {*FAILURES, Action.UNCERTAIN, Action.IGNORE}:
        action = Action.RETRY
    action = _scoped(action, step)
    hint_s = remote_hint_s(fault.text) if step is Step.ANSWER else None
    if hint_s is not None:
        return _deferred(action, cause, hint_s, is_hint=True)
    return _deferred(action, cause, _floor_s(found, action, step))


def concerns_account(step: Step, action: Action) -> bool:
    """Say whether a deferral concerns the transport alone: then it is no attempt of the message."""
    return action in PAUSES or (action is Action.THROTTLE and step is Step.MAIL)


def pauses(step: Step, action: Action) -> bool:
    """Say whether a deferral makes the transport wait; a throttle at RCPT may be one mailbox's."""
    slows = action is Action.THROTTLE and step in _TAKING
    return slows or concerns_account(step, action)


def _scoped(action: Action, step: Step) -> Action:
    """Return the transport's form of an action at a step that concerns the transport alone."""
    return Action.PAUSE_TRANSPORT if step in TRANSPORT_STEPS and action not in PAUSES else action


def _floor_s(found: Rule | None, action: Action, step: Step) -> float:
    """Return the least delay that a rule names or its action implies, in seconds."""
    if found is None or action not in _FLOORED:
        return 0.0
    if found.action in _FLOORED or found.action in FAILURES:
        if found.min_delay_s is not None:
            return found.min_delay_s
        if action in PAUSES and step not in _CHEAP_STEPS:
            return PAUSE_S
    return 0.0


def _deferred(action: Action, cause: str, delay_s: float = 0.0, *, is_hint: bool = False) -> Verdict:
    return Verdict(
        outcome=OutcomeKind.DEFERRED,
        action=action,
        cause=cause,
        min_delay_s=delay_s,
        replaces_schedule=is_hint,
    )
