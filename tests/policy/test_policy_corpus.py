"""Replies as well-known servers word them: the right cause, and above all the right thing to do."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from postroom.model.outcome import Action, Evidence, OutcomeKind, Verdict
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.policy.classify import classify, pauses

Row = tuple[str, str, str, str, str]
"""Host, step, reply, causes, what must be done."""


def rows() -> Iterator[Row]:
    text = Path(__file__).with_name("replies_corpus.toml").read_text(encoding="utf-8")
    for server in tomllib.loads(text).values():
        for step, reply, causes, deed in server["replies"]:
            yield server["host"], step, reply, causes, deed


CORPUS = list(rows())


def judged(host: str, step: str, reply: str) -> Verdict:
    lines = reply.split("\n")
    read = Reply(int(lines[0][:3]), tuple(line[4:] for line in lines), b"")
    return classify(Evidence(step=Step(step), reply=read, host=host, port=587))


def deed_of(verdict: Verdict, step: str) -> str:
    if verdict.outcome is OutcomeKind.REFUSED:
        return "fail-recipient" if verdict.action is Action.FAIL_RECIPIENT else "fail-message"
    return "pause" if pauses(Step(step), verdict.action) else "retry"


def wrong(row: Row) -> tuple[str, str, Row] | None:
    """Return cause and deed of a reply when one of them is not as it should be."""
    host, step, reply, causes, wanted = row
    verdict = judged(host, step, reply)
    deed = deed_of(verdict, step)
    is_answered = any(deed == one or deed.partition("-")[0] == one for one in wanted.split("|"))
    return None if is_answered and verdict.cause in causes.split("|") else (verdict.cause, deed, row)


def test_each_reply_is_named_and_answered_rightly() -> None:
    """The cause is one of the right ones, and so is what the queue does."""
    assert [] == [found for row in CORPUS if (found := wrong(row))]


def test_the_corpus_is_large_and_has_no_doubles() -> None:
    """At least 250 wordings, each once for its server and step."""
    keys = [row[:3] for row in CORPUS]
    assert len(keys) >= 250
    assert len(keys) == len(set(keys))


def is_heard_otherwise(row: Row) -> bool:
    host, step, reply, _, _ = row
    whispered = "\n".join(line[:4] + line[4:].casefold() for line in reply.split("\n"))
    return judged(host, step, reply).outcome != judged(host.upper(), step, whispered).outcome


def test_case_means_nothing() -> None:
    """Shouted or whispered, a reply means the same; hosts and links are known in any case."""
    assert [] == [row for row in CORPUS if is_heard_otherwise(row)]
