"""A check as JSON and as text."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from postroom.model.address import parse_mailbox
from postroom.model.checkup import Checkup, Fix, Stage, StageResult, StageStatus
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.policy import doctor_fixes as fixes
from postroom.policy.doctor_case import case_of
from postroom.providers.words import LANGUAGES, fix_sentence
from postroom.schema.checkup_answers import CheckupAnswer, checkup
from postroom.schema.checkup_text import shareable, text_of
from postroom.schema.transport_fields import TransportFields

FOUND = Checkup(
    target="smtps://1234@qq.com:*****@smtp.qq.com:465",
    stages=(
        StageResult(stage=Stage.NAME, status=StageStatus.OK, evidence="smtp.qq.com:465, login 1234@qq.com"),
        StageResult(stage=Stage.TCP, status=StageStatus.OK, ms=12, evidence="192.0.2.1 port 465"),
        StageResult(
            stage=Stage.AUTH,
            status=StageStatus.FAILED,
            ms=104,
            evidence="535 Login fail for 1234@qq.com",
            cause="login-expired",
            fix=Fix(id="use-provider-host", patch={"host": "smtp.exmail.qq.com", "port": 465}),
            docs="https://example.com/help",
            worked_until=datetime(2026, 11, 1, tzinfo=UTC),
        ),
        StageResult(stage=Stage.MAIL, status=StageStatus.SKIPPED, evidence="not reached: auth failed"),
        StageResult(
            stage=Stage.SPF,
            status=StageStatus.WARNING,
            cause="spf-missing",
            evidence="no record",
            found={"expected": "v=spf1 include:spf.mail.qq.com ~all"},
        ),
    ),
)
GOOD = Checkup(
    target="smtp://mail.example.com:25", stages=(StageResult(stage=Stage.TCP, status=StageStatus.OK),)
)


def test_the_answer_has_the_promised_members() -> None:
    """Of the check and of each stage; it is JSON and fits its model."""
    answer = checkup(FOUND)
    assert {"ok", "cause", "target", "stages"} == set(answer)
    promised = {"stage", "status", "ms", "evidence", "cause", "meaning", "remedy", "fix", "docs"}
    assert all(promised <= set(stage) for stage in answer["stages"])
    assert (False, "login-expired") == (answer["ok"], answer["cause"])
    assert "2026-11-01T00:00:00" in answer["stages"][2]["worked_until"]
    assert CheckupAnswer.model_validate(json.loads(json.dumps(answer)))


def test_a_warning_is_named_when_nothing_failed() -> None:
    """And without one there is no cause."""
    warned = Checkup(target="x", stages=FOUND.stages[3:])
    assert (True, "spf-missing") == (checkup(warned)["ok"], checkup(warned)["cause"])
    assert (True, "") == (checkup(GOOD)["ok"], checkup(GOOD)["cause"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_in_the_readers_language(language: str) -> None:
    """Meaning, remedy, title and fix have words in each."""
    stage = checkup(FOUND, language=language)["stages"][2]
    assert stage["meaning"]
    assert stage["remedy"]
    assert stage["title"]
    assert stage["fix"]["sentence"]
    assert stage["evidence"] in text_of(FOUND, language=language)


def test_the_text_tells_the_failure_first_and_then_every_stage() -> None:
    """In aligned lines; what a record should be stands below it."""
    lines = text_of(FOUND).splitlines()
    assert FOUND.target == lines[0]
    assert lines[3].startswith("Login: failed (login-expired)")
    assert any("use-provider-host" in line for line in lines)
    rows = lines[-6:]
    assert ["ok", "ok", "failed", "skipped", "warning"] == [row.split()[0] for row in rows[:-1]]
    assert "v=spf1 include:spf.mail.qq.com ~all" == rows[-1].strip()
    assert 1 == len({row.index(" ms  ") for row in rows[:-1]})


def test_a_good_check_says_so() -> None:
    """With its stages and nothing else."""
    assert "Everything works." in text_of(GOOD)


def test_what_is_shared_names_nobody() -> None:
    """Neither the login nor a mailbox; domains and hosts stay."""
    shared = shareable(FOUND)
    told = text_of(shared) + json.dumps(checkup(shared))
    assert "1234" not in told
    assert "1***@qq.com" in told
    assert "smtps://1***@qq.com:*****@smtp.qq.com:465" == shared.target
    assert "smtp.qq.com:465" in told


def test_a_login_that_is_no_address_is_masked_too() -> None:
    """Wherever it stands as a word."""
    one = Checkup(
        target="smtps://warehouse:*****@mail.example.com:465",
        stages=(
            StageResult(
                stage=Stage.AUTH,
                status=StageStatus.FAILED,
                evidence="535 warehouse is locked",
                fix=Fix(id="full-address-login", patch={"username": "warehouse@example.com"}),
            ),
        ),
    )
    assert "warehouse" not in repr(shareable(one))


def test_every_fix_is_a_patch_of_a_transport_and_has_a_sentence() -> None:
    """Each key and value is one that the description of a transport takes."""
    account = SmtpAccount(
        host="smtp.163.com", port=25, tls=TlsMode.STARTTLS, username="me@163.com", password=Secret("s3cret")
    )
    spec = TransportSpec(
        name="main",
        kind=TransportKind.SMTP,
        account=account,
        default_from=parse_mailbox("shop@example.com"),
    )
    case = case_of(spec, account)
    own = replace(account, host="mail.example.com")
    unknown = case_of(replace(spec, account=own), own)
    other = replace(account, host="smtp.qq.com")
    offered = [
        fixes.use_implicit_tls(),
        fixes.use_starttls(),
        fixes.other_port(case),
        fixes.other_port(unknown, [587]),
        fixes.sender_as_account(case),
        fixes.slower(case),
        fixes.user_name(case),
        fixes.own_host(case_of(replace(spec, account=other), other)),
        fixes.certificate_name(unknown, ["mx.example.com"]),
        fixes.pinned(unknown, "ab" * 32),
    ]
    for fix in offered:
        assert fix is not None
        assert TransportFields.model_validate({"name": "main", **fix.patch})
        assert fix_sentence(fix.id)
