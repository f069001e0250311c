"""What holds for a key and an object."""

import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.alert import Severity
from postroom.model.alert_rules import (
    AlertRules,
    AlertType,
    ObjectSettings,
    Repeat,
    SampleRule,
    TypeSettings,
)
from postroom.policy.alerting.types import Kinds, fits

HOUR = timedelta(hours=1)
TASK = AlertType(
    key="task",
    settings=TypeSettings(
        interval=HOUR, severity=Severity.ERROR, receivers=("a@example.com",), resolved=False
    ),
    objects=(
        ObjectSettings(object="pay-*", settings=TypeSettings(mail=False, resolved=True)),
        ObjectSettings(object="pay-now", settings=TypeSettings(interval=timedelta(0))),
        ObjectSettings(object="now", settings=TypeSettings(interval=timedelta(0), receivers=())),
    ),
)
RULES = AlertRules(
    types={"task": TASK, "*": AlertType(key="*", settings=TypeSettings(is_open=False, repeat=Repeat.EVENT))}
)


def test_an_object_overrides_its_type_member_by_member() -> None:
    """The first entry whose name fits holds, then the type, then the default."""
    kinds = Kinds(RULES)
    plain, pay, now = (
        kinds.settings("task", "x"),
        kinds.settings("task", "pay-now"),
        kinds.settings("task", "now"),
    )
    assert (HOUR, True, False) == (plain.interval, plain.mail, plain.resolved)
    assert (HOUR, False, True) == (pay.interval, pay.mail, pay.resolved)
    assert (timedelta(0), True, ()) == (now.interval, now.mail, now.receivers)
    assert (("a@example.com",), Severity.ERROR, Repeat.ACTIVE) == (pay.receivers, pay.severity, pay.repeat)
    assert TASK is pay.type
    assert pay is kinds.settings("task", "pay-now")


def test_a_key_without_an_entry_has_the_entry_of_the_star_or_the_defaults() -> None:
    """Where neither is there every default holds."""
    other = Kinds(RULES).settings("other")
    assert (False, Repeat.EVENT, "*") == (other.is_open, other.repeat, other.type.key)
    bare = Kinds(AlertRules()).settings("other", "x")
    assert (True, True, timedelta(minutes=5), Severity.WARNING) == (
        bare.is_open, bare.mail, bare.interval, bare.severity,
    )  # fmt: skip
    assert (None, Repeat.ACTIVE, (), None, None) == (
        bare.resolved, bare.repeat, bare.receivers, bare.rule, bare.resolve_after,
    )  # fmt: skip


def test_a_rule_of_an_object_replaces_the_one_of_the_type() -> None:
    """Rules are not mixed."""
    own, general = SampleRule(threshold=1), SampleRule(threshold=2, points=3)
    entry = AlertType(
        key="k",
        settings=TypeSettings(rule=general, resolve_after=HOUR),
        objects=(ObjectSettings(object="o", settings=TypeSettings(rule=own)),),
    )
    kinds = Kinds(AlertRules(types={"k": entry}))
    assert (own, HOUR) == (kinds.settings("k", "o").rule, kinds.settings("k", "o").resolve_after)
    assert general is kinds.settings("k").rule


def test_answers_kept_are_bounded() -> None:
    """Many objects do not fill the memory, and answers stay right."""
    kinds = Kinds(RULES)
    for index in range(5000):
        assert kinds.settings("task", f"pay-{index}").mail is False
    assert len(kinds._kept) <= 4096


@each(
    ("pattern", "name", "expected"),
    [("*", "", True), ("a*", "a", True), ("a*a", "a", False), ("a*b*c", "abbc", True), ("a**", "ab", True),
     ("*.log", "x.logs", False), ("A", "a", False), ("", "", True), ("[a]", "a", False), ("?", "a", False)],
)  # fmt: skip
def test_only_the_star_has_a_meaning(pattern: str, name: str, expected: bool) -> None:
    """It stands for any characters, also none."""
    assert expected is fits(pattern, name)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=10))
def test_stars_fit_as_patterns_do(pattern: str, name: str) -> None:
    """The walk over the parts gives what a regular expression gives."""
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
    assert expected is fits(pattern, name)
