"""Replies and faults that were collected without a look at the rules: the right deed, and no wrong cause."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroom.model.outcome import Action, Evidence, Fault, FaultKind, OutcomeKind, Verdict
from postroom.model.reply import Reply
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.policy.classify import classify, concerns_account, pauses
from postroom.providers.replies import rule

SAID_NOTHING = frozenset({"any-4xx", "any-5xx", "any-rcpt-5xx", "policy", "service-closing", "rcpt-rejected"})
"""Causes that claim nothing: never wrong, only less helpful."""

Case = tuple[Evidence, str, str]
"""What happened, causes that are right, what must be done."""


def reply_of(host: str, step: str, reply: str) -> Evidence:
    lines = reply.split("\n")
    read = Reply(int(lines[0][:3]), tuple(line[4:] for line in lines), b"")
    return Evidence(step=Step(step), reply=read, host=host, port=587)


def cases() -> Iterator[Case]:
    text = Path(__file__).with_name("replies_field.toml").read_text(encoding="utf-8")
    for server in tomllib.loads(text).values():
        for step, reply, causes, deed in server.get("replies", ()):
            yield reply_of(server["host"], step, reply), causes, deed
        for step, host, port, kind, words, causes, deed in server.get("faults", ()):
            fault = Fault(kind=FaultKind(kind), text=words)
            yield Evidence(step=Step(step), fault=fault, host=host, port=port), causes, deed


FIELD = list(cases())


def name_of(case: Case) -> str:
    evidence = case[0]
    said = evidence.reply.text if evidence.reply else evidence.fault.text if evidence.fault else ""
    return f"{evidence.step}-{said[:40]}"


def deed_of(verdict: Verdict, step: Step) -> str:
    if verdict.outcome is OutcomeKind.REFUSED:
        return "fail-recipient" if verdict.action is Action.FAIL_RECIPIENT else "fail-message"
    if verdict.outcome is OutcomeKind.UNCERTAIN:
        return "uncertain"
    return "pause" if pauses(step, verdict.action) else "retry"


def wrong(case: Case) -> tuple[str, str, str, Case] | None:
    """Return what was said, cause and deed when one of the two is not as it should be."""
    evidence, causes, wanted = case
    verdict = classify(evidence)
    deed = deed_of(verdict, evidence.step)
    is_answered = any(deed == one or deed.partition("-")[0] == one for one in wanted.split("|"))
    is_sound = is_answered and verdict.cause in {*causes.split("|"), *SAID_NOTHING}
    return None if is_sound else (name_of(case), verdict.cause, deed, case)


def test_what_is_done_is_right_and_the_cause_not_wrong() -> None:
    """The deed is one of the right ones; the cause is one of the right ones or claims nothing."""
    assert [] == [found for case in FIELD if (found := wrong(case))]


def test_the_cause_is_named_nearly_always() -> None:
    """At least 19 of 20 have their own cause, the others one that claims nothing; the field is large."""
    named = [case for case in FIELD if classify(case[0]).cause in case[1].split("|")]
    assert len(FIELD) >= 900
    assert len(named) >= 0.95 * len(FIELD)


def test_the_guards_hold_for_every_row() -> None:
    """No 4xx is final unless its rule says so, no step up to the login refuses, a passing 5xx ends."""
    for evidence, _, _ in FIELD:
        first = classify(evidence)
        if evidence.step in TRANSPORT_STEPS:
            assert first.outcome is OutcomeKind.DEFERRED
            assert pauses(evidence.step, first.action)
        if evidence.reply is None:
            continue
        found = rule(first.cause)
        assert found is not None
        if not evidence.reply.is_permanent and not found.is_final:
            assert first.outcome is OutcomeKind.DEFERRED
        if first.outcome is OutcomeKind.DEFERRED and evidence.reply.is_permanent:
            last = classify(evidence, refusals=3)
            ends = evidence.step not in TRANSPORT_STEPS and not concerns_account(evidence.step, first.action)
            assert ends is (last.outcome is OutcomeKind.REFUSED)


@pytest.mark.parametrize("text", ["2.0.0 Ok: queued", "spam user unknown quota", "Relay access denied"])
def test_a_2xx_to_the_final_dot_is_an_acceptance(text: str) -> None:
    """Whatever else it says."""
    evidence = Evidence(step=Step.BODY_END, reply=Reply(250, (text,), b""), host="smtp.qq.com", port=465)
    assert classify(evidence).outcome is OutcomeKind.ACCEPTED
