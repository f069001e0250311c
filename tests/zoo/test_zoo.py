"""The fault zoo: what the doctor finds where real accounts fail, all of it on loopback."""

import asyncio
import fcntl
import os
import pickle
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from postroom.model.checkup import Stage
from postroom.model.outcome import Action, Evidence, OutcomeKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.policy.classify import classify, pauses
from postroom.providers import replies
from postroom.providers.words import LANGUAGES, is_translated
from postroom.smtp.parser import ReplyParser
from zoo.visiting import Row, Visit, rows, visit_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REPORT = Path(__file__).parents[2] / "build" / "zoo.txt"
KEPT = REPORT.with_suffix(".pickle")
GENERIC = (
    "any-",
    "unknown-",
    "policy",
    "auth-wrong",
    "auth-temp",
    "greeting-refused",
    "reply-unexpected",
    "service-closing",
)
"""Causes that name no specific fault."""


@cache
def visited() -> tuple[list[Visit], str]:
    """Visit the whole zoo once in a run: workers beside each other share what the first one saw."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return asyncio.run(visit_all(list(rows())))
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a+b") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        kept.seek(0)
        if kept.readline() == f"{run}\n".encode():
            return cast("tuple[list[Visit], str]", pickle.load(kept))  # noqa: S301 - this run wrote it
        seen = asyncio.run(visit_all(list(rows())))
        kept.truncate(0)
        kept.write(f"{run}\n".encode() + pickle.dumps(seen))
        return seen


def table(visits: Sequence[Visit]) -> str:
    wide = max(len(one.row.name) for one in visits)
    lines = [
        f"{'right' if one.is_right else 'WRONG':5}  {one.row.name:{wide}}  "
        f"expected {one.row.cause or 'nothing'}, found {one.checkup.cause or 'nothing'} ({one.seconds:.2f} s)"
        for one in visits
    ]
    right = sum(one.is_right for one in visits)
    again = sum(one.is_second for one in visits)
    lines.append(f"{again} were visited a second time, alone")
    lines.append(f"{right} of {len(visits)} right ({100 * right / len(visits):.1f} %)")
    return "\n".join(lines)


def is_generic(cause: str) -> bool:
    return cause == "" or cause.startswith(GENERIC)


# ------------------------------------------------------------- what is named


def test_the_zoo_is_large() -> None:
    """At least 120 situations with names of their own, and 40 wordings that are in no table."""
    names = Counter(row.name for row in rows())
    samples = {rule.sample for rule in replies.rules()}
    own = [row for row in rows() if row.says and row.says not in samples]
    assert len(names) >= 120
    assert {1} == set(names.values())
    assert len(own) >= 40


def test_the_right_cause_is_named_first() -> None:
    """In at least 95 of 100 situations; the table is printed and kept."""
    visits, _ = visited()
    report = table(visits)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(report + "\n", encoding="utf-8")
    print(report)
    wrong = [
        f"{one.row.name}: {one.row.cause} expected, {one.checkup.cause} found"
        for one in visits
        if not one.is_right
    ]
    assert len(wrong) <= 0.05 * len(visits), "\n".join(wrong)


def test_no_specific_cause_is_named_where_none_is_known() -> None:
    """A wrong cause is worse than an unknown one."""
    invented = [
        f"{one.row.name}: {one.checkup.cause}"
        for one in visited()[0]
        if all(map(is_generic, one.row.cause.split("|")))
        and not one.is_right
        and not is_generic(one.checkup.cause)
    ]
    assert [] == invented


def test_stage_status_and_fix_are_the_rows() -> None:
    """The headline stands at its stage with its status and its fix, and ``ok`` says whether mail can go."""
    told = {one.row.name: (one.expected, one.found) for one in visited()[0] if one.expected != one.found}
    assert {} == told


def deed_of(row: Row) -> str:
    """Return what the queue does about the reply of a row."""
    step = Step(row.at.lower())
    host, provider = place_of(row)
    charset = {"gb18030": "gb18030", "cp949": "cp949"}.get(row.charset, "latin-1")
    data = row.says.replace("\n", "\r\n").encode(row.charset) + b"\r\n"
    reply = next(iter(ReplyParser(charset).replies(data)))
    assert isinstance(reply, Reply), row.name
    verdict = classify(Evidence(step=step, reply=reply, host=host, port=587), provider=provider)
    if verdict.outcome is OutcomeKind.REFUSED:
        return "fail-recipient" if verdict.action is Action.FAIL_RECIPIENT else "fail-message"
    return "pause" if pauses(step, verdict.action) else "retry"


def place_of(row: Row) -> tuple[str, str | None]:
    visit = next(one for one in visited()[0] if one.row is row or one.row.name == row.name)
    return visit.host, visit.provider


def test_the_queue_does_the_right_thing() -> None:
    """Whether a refusal is repeated, stops the account or ends the message is right for every wording."""
    judged = [
        one.row
        for one in visited()[0]
        if one.row.at in {"MAIL", "RCPT"} and one.row.says[:1] in "45" and one.row.says
    ]
    assert [] == [row.name for row in judged if not row.deed]
    wrong = {
        row.name: (row.deed, deed)
        for row in judged
        if not any((deed := deed_of(row)).startswith(one) for one in row.deed.split("|"))
    }
    assert {} == wrong


# ------------------------------------------------------------- what never happens


def test_no_mail_is_sent() -> None:
    """No server of the zoo hears DATA or BDAT, nor what its row forbids."""
    heard = {
        one.row.name: command
        for one in visited()[0]
        for command in one.heard
        if command.upper().startswith(("DATA", "BDAT", *one.row.never))
    }
    assert {} == heard


def test_no_secret_is_shown() -> None:
    """Not a password, a proxy's, a token, nor anything of a login in base64: in no form, language or log."""
    visits, log = visited()
    shown = {
        one.row.name
        for one in visits
        for secret in one.secrets
        for text in (*one.shown, log)
        if secret in text
    }
    assert set() == shown
    assert all(one.secrets for one in visits)


def test_every_cause_is_explained_in_every_language() -> None:
    """Each stage with a cause has a meaning and a remedy, translated, and a sentence for its fix."""
    stages = [stage for one in visited()[0] for stage in one.checkup.stages]
    causes = {stage.cause for stage in stages if stage.cause}
    keys = {f"{cause}.{part}" for cause in causes for part in ("meaning", "remedy")}
    keys |= {f"fix.{stage.fix.id}" for stage in stages if stage.fix is not None}
    assert all(replies.words(cause) != ("", "") for cause in causes)
    assert [] == [(key, one) for key in sorted(keys) for one in LANGUAGES[1:] if not is_translated(key, one)]


def test_every_check_ends_in_its_time() -> None:
    """Whatever the peer does."""
    late = {one.row.name: one.seconds for one in visited()[0] if one.seconds > one.max_s}
    assert {} == late


def test_every_stage_is_met() -> None:
    """The rows fail at each stage of the dialogue, and warn at each record."""
    met = {head.stage for one in visited()[0] if (head := one.checkup.headline) is not None}
    assert set(Stage) == met
