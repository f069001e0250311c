"""What names a template and a language, and which variant is chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.engine.catalogue import Reference, chosen, locale_chain, parse_reference
from postroom.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("welcome", Reference(name="welcome")),
        ("welcome@12", Reference(name="welcome", number=12)),
        ("calypsso:account-activation", Reference(package="calypsso", name="account-activation")),
    ],
)
def test_a_reference_is_read_and_written_the_same(text: str, expected: Reference) -> None:
    """The three forms are read, and written as they were."""
    assert (expected, text) == (parse_reference(text), str(expected))


@each(
    "text",
    [
        "",
        "x{__import__('os')}.html",
        "Welcome",
        "../welcome",
        "a" * 65,
        "welcome@",
        "welcome@x",
        "welcome@-1",
        "welcome@\u0661",
        "welcome@1@2",
        "welcome\n",
        ":welcome",
        "a b:welcome",
        "../x:welcome",
        "calypsso:welcome@1",
        "a:b:c/d",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """A name that could mean something to Jinja, Python or a file system is refused before it is used."""
    with pytest.raises(InputError) as refused:
        parse_reference(text)
    assert ["template-name"] == [problem.code for problem in refused.value.problems]


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    """No text does anything else, and what is taken is written back the same but for leading zeros."""
    try:
        found = parse_reference(text)
    except InputError:
        return
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", ()),
        ("fr", ("fr",)),
        ("fr-CA", ("fr-CA", "fr")),
        ("zh_Hant_TW", ("zh-Hant-TW", "zh-Hant", "zh")),
        ("de-CH-x-mail", ("de-CH-x-mail", "de-CH", "de")),
    ],
)
def test_a_locale_falls_back_part_by_part(asked: str, expected: tuple[str, ...]) -> None:
    """RFC 4647 section 3.4: from the end, and singletons go with what they introduce."""
    assert expected == locale_chain(asked)


@pytest.mark.parametrize("asked", ["f", "fr-", "français", "x" * 300, "fr;rm", "-", "en-" + "a" * 9])
def test_what_is_no_locale_is_refused(asked: str) -> None:
    """A tag has the form of BCP 47."""
    with pytest.raises(InputError, match="language tag"):
        locale_chain(asked)


def test_the_nearest_locale_is_chosen_and_the_way_is_told() -> None:
    """The most special variant wins, letter case aside; without one the default is taken."""
    known = ["", "fr", "fr-CA", "pt-BR"]
    for asked, expected in {
        "fr-ca": (2, ("fr-ca",)),
        "fr-BE": (1, ("fr-BE", "fr")),
        "pt": (0, ("pt",)),
        "": (0, ()),
    }.items():
        assert expected == chosen(known, asked)
