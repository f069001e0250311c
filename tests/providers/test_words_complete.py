"""Nothing a person reads is missing in any language."""

import pytest

from postroom.model.checkup import Stage, StageStatus
from postroom.providers import catalogue, replies, words

COMPLETE = words.LANGUAGES
"""Languages whose translation is done."""


@pytest.mark.parametrize("language", COMPLETE)
def test_everything_is_said_in_every_language(language: str) -> None:
    """Causes, remedies, stages, states, fixes and steps of set-up have words of their own in the language."""
    texts = dict(words.phrases()) | dict(words.setup_texts())
    for rule in (*replies.rules(), *replies.local_rules()):
        texts |= {f"{rule.id}.meaning": rule.meaning, f"{rule.id}.remedy": rule.remedy}
    unsaid = {
        key
        for key, text in texts.items()
        if not text or (language != "en" and not words.is_translated(key, language))
    }
    assert set() == unsaid


def test_everything_is_asked_for_by_the_names_of_the_program() -> None:
    """Every stage, state and provider has its texts."""
    assert {f"stage.{each}" for each in Stage} <= set(words.phrases())
    assert {f"status.{each}" for each in StageStatus} <= set(words.phrases())
    assert {one.id for one in catalogue.providers()} == set(words.setups())
