"""The sentences of decisions, in every language."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

import string

from peers.fake_service import NOW
from postroom.model.alert import AlertDecision, AlertId, Clause
from postroom.policy.alerting.reason_words import ENGLISH, TONGUES
from postroom.policy.alerting.reasons import reason
from postroom.providers.words import LANGUAGES


def decided(clause: Clause, **data: str) -> AlertDecision:
    return AlertDecision(at=NOW, alert=AlertId("a"), clause=clause, data=data)


def test_every_language_says_every_clause() -> None:
    """Each has a sentence of its own for each clause, and words for everything a decision may name."""
    assert set(LANGUAGES) == set(TONGUES)
    for language, tongue in TONGUES.items():
        assert set(Clause) == set(tongue.sentences), language
        assert list(ENGLISH.facts) == list(tongue.facts), language
        for words in tongue.facts.values():
            assert [""] == [name for _, name, _, _ in string.Formatter().parse(words) if name is not None]
        if tongue is not ENGLISH:
            assert [] == [one for one in Clause if tongue.sentences[one] == ENGLISH.sentences[one]], language


def test_what_is_named_stands_in_brackets() -> None:
    """In the marks of the language; a language of a region is that language, another one is English."""
    decision = decided(Clause.SILENCED, until=NOW.isoformat(), author="kim")
    chinese = "与静默规则匹配：静默期间不通知（至 2030-01-31 12:00:00 UTC；由 kim 设置）。"
    assert chinese == reason(decision, "zh-CN")
    assert reason(decision, "fr-CA").startswith("Un silence correspond : ")
    assert reason(decision, "en") == reason(decision, "pt")
    assert "Es ist vorbei: das wird gemeldet." == reason(decided(Clause.RESOLVED), "de")
