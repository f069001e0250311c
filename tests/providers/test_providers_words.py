"""Words for people: the reader's language, phrases, and the files of the translations."""

import string

from hypothesis import example, given
from hypothesis import strategies as st
from tools import compile_catalogues

from each_row import each
from postroom.model.checkup import Stage, StageStatus
from postroom.providers import words
from postroom.providers.words import LANGUAGES, fix_sentence, language_of, stage_word, status_word, translated


@each(
    ("wishes", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at", "de"),
        ("zh-Hant-TW", "zh"),
        ("zh_CN.UTF-8", "zh"),
        ("ko_KR.eucKR", "ko"),
        ("fr_FR@euro", "fr"),
        ("C", "en"),
        ("POSIX", "en"),
        ("C.UTF-8", "en"),
        ("sv_SE:de_DE:en", "de"),
        ("sv, fr;q=0.3, ko;q=0.7", "ko"),
        ("sv;q=1, *;q=0.1", "en"),
        ("*", "en"),
        ("en;q=0, *", "zh"),
        ("de;q=0", "en"),
        ("de;q=0.0, fr;q=0.001", "fr"),
        ("de ; q=0.2 , fr ; q=0.3", "fr"),
        ("de;q=0.5, fr;q=0.5", "de"),
        ("de;q=0.5, en;q=0.4, de-CH;q=0.1", "de"),
        ("de;q=2, fr;q=0.1", "fr"),
        ("de;q=abc", "en"),
        ("de;Q=1.000", "de"),
        ("deutsch", "en"),
        (",,;;=,de", "de"),
        ("x" * 2000 + ",de", "en"),
    ],
)
def test_the_readers_language_follows_from_the_wish(wishes: str, language: str) -> None:
    """Weights, regions, locales of the environment and nonsense lead to one of the five."""
    assert language == language_of(wishes)


@given(st.text(alphabet="dezhkofr*;q=.,:-_@ 0159", max_size=60) | st.text(max_size=60))
@example("*;q=0")
def test_any_wish_leads_to_a_language(wishes: str) -> None:
    """Whatever somebody sends, the answer is one of the five."""
    assert language_of(wishes) in LANGUAGES


@given(
    st.lists(
        st.tuples(st.sampled_from(LANGUAGES), st.integers(0, 1000)),
        unique_by=lambda pair: pair[0],
        min_size=1,
    )
)
def test_the_heaviest_wish_wins(pairs: list[tuple[str, int]]) -> None:
    """The first wish of the highest weight is granted, nothing of weight 0 unless nothing else is left."""
    header = ", ".join(f"{name};q={weight / 1000:.3f}" for name, weight in pairs)
    name, weight = max(pairs, key=lambda pair: pair[1])
    assert (name if weight else "en") == language_of(header)


def test_every_stage_status_and_fix_has_words() -> None:
    """Nothing the doctor says is without words, and an unknown fix has none."""
    assert all(map(stage_word, Stage))
    assert all(map(status_word, StageStatus))
    assert fix_sentence("use-starttls").startswith("Connect in plain")
    assert not fix_sentence("no-such-fix")


def test_what_has_no_translation_is_said_in_english() -> None:
    """An unknown key or language gives the English text."""
    assert ("text", "text", "") == (
        translated("no.key", "text", "de"),
        translated("no.key", "text", "sv"),
        translated("no.key", "", "zh"),
    )


def test_the_catalogues_are_what_the_texts_say() -> None:
    """Translations name what the English text names, and the compiled files are those of the sources."""
    for language in compile_catalogues.TRANSLATED:
        assert [] == compile_catalogues.faults(language)
        compiled = compile_catalogues.files_of(compile_catalogues.catalogue_of(language))[".mo"]
        assert compiled == compile_catalogues.path_of(language, ".mo").read_bytes(), language


def test_names_in_braces_are_known() -> None:
    """Every step can be filled in."""
    known = {"name", "site", "host", "port", "word", "docs", "to", "domain", "target"}
    known |= {"subject", "mta", "date", "text", "count", "id"}
    for key, text in (*words.setup_texts().items(), *words.phrases().items()):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name is not None} <= known, key
