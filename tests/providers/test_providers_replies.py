"""The table of reply rules and its look-up."""

import ast
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.alert import Clause
from postroom.model.outcome import Action, FaultKind
from postroom.model.step import Step
from postroom.policy.alerting.links import AlertDeed
from postroom.policy.alerting.reason_words import ENGLISH
from postroom.providers.replies import Rule, find_by_stage, find_rule, group_of, rules, words
from postroom.providers.words import fix_sentence

SOURCE = Path(str(files("postroom")))
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+\Z")
TABLE = tomllib.loads((files("postroom.providers") / "data" / "replies.toml").read_text(encoding="utf-8"))
LOCAL = tomllib.loads((files("postroom.providers") / "data" / "local.toml").read_text(encoding="utf-8"))


@each("row", rules())
def test_every_sample_finds_its_own_rule(row: Rule) -> None:
    """A rule's sample, at its first stage, finds that rule and no earlier one."""
    group = row.provider
    stage = row.stages[0] if row.stages[0] != "any" else "mail"
    port = min(row.ports, default=587)
    code, text = None, row.sample
    if row.codes:
        code, text = int(row.sample[:3]), row.sample[4:]
    found = find_by_stage(group, port, stage, code=code, text=text)
    assert found is not None
    assert row.id == found.id


def test_ids_are_unique_over_both_files() -> None:
    """No cause id stands twice."""
    ids = [row["id"] for row in TABLE["rule"] + LOCAL["rule"]]
    assert len(ids) == len(set(ids)) == 246 + len(LOCAL["rule"])


def test_rows_are_complete() -> None:
    """Each row has words, a known provider, known sources and a grade."""
    for row in rules():
        assert row.meaning, row.id
        assert row.remedy, row.id
        assert row.provider in {*TABLE["hosts"], "*"}, row.id
        assert row.grade in {"documented", "community"}, row.id
        assert row.sources, row.id
        assert set(row.sources) <= set(TABLE["sources"]), row.id
        assert re.compile(row.match), row.id


@each(
    ("host", "group"),
    [
        ("smtp.qq.com", "qq"),
        ("SMTP.EXMAIL.QQ.COM.", "qq"),
        ("smtpdm.aliyun.com", "directmail"),
        ("smtp.qiye.aliyun.com", "alimail"),
        ("notqq.com", "*"),
        ("smtp.gmail.com", "google"),
        ("mail.example.com", "*"),
        ("", "*"),
        ("192.0.2.1", "*"),
    ],
)
def test_the_group_is_the_first_suffix(host: str, group: str) -> None:
    """Suffixes match at a dot; directmail stands before alimail."""
    assert group == group_of(host)


@each(
    ("host", "port", "step", "code", "text", "cause"),
    [
        (
            "smtp.qq.com",
            465,
            Step.AUTH,
            535,
            "Login fail. Please enter your authorization code",
            "qq-auth-code",
        ),
        ("mx.example.com", 25, Step.AUTH, 535, "5.7.8 authentication failed", "auth-wrong"),
        ("mx.example.com", 25, Step.RCPT, 550, "5.1.1 user unknown", "rcpt-unknown"),
        ("mx.example.com", 25, Step.BODY_END, 421, "bye", "service-closing"),
        ("mx.example.com", 25, Step.RSET, 451, "x", "any-4xx"),
        ("mx.example.com", 587, Step.RESOLVE, None, "name or service not known (x)", "net-dns"),
        ("mx.example.com", 587, Step.CONNECT, None, "connection refused (192.0.2.1:587)", "net-refused"),
        ("localhost", 587, Step.CONNECT, None, "connection refused ([::1]:587)", "net-loopback"),
        ("mx.example.com", 25, Step.CONNECT, None, "timed out while connecting to x:25", "net-port25"),
        ("mx.example.com", 587, Step.CONNECT, None, "timed out while connecting to x:587", "net-timeout"),
        ("mx.example.com", 465, Step.GREETING, None, "timed out waiting for x:465", "greet-implicit"),
        ("mx.example.com", 587, Step.GREETING, None, "timed out waiting for x:587", None),
        ("mx.example.com", 587, Step.BODY, None, "connection reset by peer", "conn-lost"),
        ("mx.example.com", 587, Step.BODY_END, None, "connection reset by peer", "conn-lost-body"),
        ("mx.example.com", 587, Step.MAIL, 250, "ok", None),
    ],
)
def test_examples_find_their_cause(  # noqa: PLR0917 - the columns of the table
    host: str, port: int, step: Step, code: int | None, text: str, cause: str | None
) -> None:
    """Replies and faults as the wire gives them find the rule that names them."""
    found = find_rule(host=host, port=port, step=step, code=code, text=text)
    assert cause == (found and found.id)


@given(
    host=st.sampled_from(["smtp.qq.com", "smtp.gmail.com", "x.example"]),
    step=st.sampled_from(Step),
    code=st.integers(400, 599),
    text=st.text(max_size=200),
)
def test_every_refusal_has_a_rule(host: str, step: Step, code: int, text: str) -> None:
    """Whatever a 4xx or 5xx says, some rule names it."""
    assert find_rule(host=host, port=587, step=step, code=code, text=text) is not None


def test_every_kind_of_fault_has_a_last_resort() -> None:
    """A fault that no rule knows still has words."""
    for kind in FaultKind:
        assert words(f"unknown-{kind}")[0], kind


@pytest.mark.parametrize(
    ("cause", "language", "beginning"),
    [
        ("qq-auth-code", "en", "In the QQ web mailbox"),
        ("qq-auth-code", "zh-CN", "密码处请填授权码"),
        ("qq-auth-code", "zh_TW", "密码处请填授权码"),
        ("qq-auth-code", "pt-BR", "In the QQ web mailbox"),
        ("starttls-not-offered", "sv", "Use the port that speaks TLS"),
        ("nobody-knows", "en", ""),
        ("", "en", ""),
    ],
)
def test_words_come_in_the_readers_language_or_english(cause: str, language: str, beginning: str) -> None:
    """The remedy is translated where the table has it."""
    meaning, remedy = words(cause, language)
    assert remedy.startswith(beginning)
    assert bool(meaning) is bool(beginning)


def test_translations_stand_in_the_catalogues_only() -> None:
    """No row carries words in another language: ``tools/compile_catalogues.py --fill`` takes them."""
    assert [] == [key for row in TABLE["rule"] + LOCAL["rule"] for key in row if key.startswith("remedy_")]


def test_actions_are_the_vocabulary() -> None:
    """Local causes speak the same actions."""
    assert {Action(row["action"]) for row in LOCAL["rule"]} <= set(Action)


NO_CAUSES = {
    *("latin-1", "utf-8", "spool-reader", "starttls-if-offered", "tenant-smtp", "last-commit"),
    *("user-agent", "accept-encoding", "content-length", "content-type"),
    *("webhook-id", "webhook-timestamp", "webhook-signature"),
    *("link-local", "site-local", "discard-only"),
    *("tls-server-end-point", "server-does-support-channel-binding", "channel-bindings-dont-match"),
    *("auto-generated", "postroom-notice", "idempotency-key-reused", "recipients-missing", "egress-refused"),
    *("app-builder", "postroom-report", "idempotency-key", "alert-letter"),
    *("transport-down", "quota-near", "queue-old", "uncertain-aged", "disk-low", "certificate-expiring"),
    "webhook-disabled",
    *AlertDeed,
}
"""Words of the same form that are no causes of an attempt: codecs, a thread, a TLS mode, a scope, a file;
headers; kinds of networks; words of SCRAM; marks of a notice, codes of problems, doors and the built-in
template of alerts; keys of Postroom's own alerts, which carry their sentence; what the links in an alert are
good for, which the words of its mail say."""


def test_every_cause_in_the_source_has_words() -> None:
    """Each hyphenated word in the rooms below the doors is a cause or clause with words, a fix, or listed."""
    found = set()
    for room in ("spool", "engine", "egress", "net", "smtp", "policy", "model"):
        for path in (SOURCE / room).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            codes = {
                id(keyword.value)
                for call in nodes
                if isinstance(call, ast.Call)
                for keyword in call.keywords
                if keyword.arg in {"code", "name"}  # problems of callers, names of tasks
            }
            found |= {
                node.value
                for node in nodes
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and KEBAB.match(node.value)
                and id(node) not in codes
            }
    assert {"content-damaged", "crash-loop", "conn-lost-body", "rcpt-limit"} <= found
    assert set(Clause) == set(ENGLISH.sentences)
    assert set() == {
        each for each in found - NO_CAUSES - set(Clause) if not all(words(each)) and not fix_sentence(each)
    }
