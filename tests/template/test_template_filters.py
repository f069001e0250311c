"""The filters: what each says in several languages, and what it refuses by name."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postroom.errors import InputError
from postroom.mime.html import html_to_text
from postroom.model.template import Shelf, SourceForm, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.template.jinja.filters import NAMES, filters_for
from postroom.template.jinja.rendering import load
from postroom.template.jinja.sandbox import sandbox

AT = datetime(2026, 3, 1, tzinfo=UTC)


def said(expression: str, value: Any, locale: str = "en") -> str:
    """Return what ``{{ v|… }}`` prints, with plain blanks."""
    source = TemplateSource(
        name="mail", form=SourceForm.JINJA, text="{{ v|" + expression + " }}", locale=locale
    )
    found = load(compile_source(source, Shelf()), html_to_text).render({"v": value}, {}, AT)
    return found.text.replace("\u202f", " ").replace("\xa0", " ")


def test_dates() -> None:
    """Dates come as ISO 8601 or epoch seconds, and go in the language and the zone that is asked for."""
    assert "Mar 1, 2026" == said("date", "2026-03-01")
    assert "1. März 2026" == said("date('long')", "2026-03-01", "de")
    assert "2026年3月1日" == said("date('long')", "2026-03-01T23:30:00Z", "zh")
    assert "2 mars 2026" == said("date(zone='Europe/Paris')", "2026-03-01T23:30:00Z", "fr-CA")
    assert "Sunday 1" == said("date('EEEE d')", 1772323200)
    assert "9:30 AM" == said("time", "2026-03-01T09:30:00+05:00")
    assert "09:30" == said("time", "09:30", "de")
    assert "Mar 1, 2026, 10:30:00 AM" == said("datetime(zone='Europe/Berlin')", "2026-03-01T09:30:00Z")
    assert "01.03.26, 09:30" == said("datetime('short')", "2026-03-01T09:30", "de")


def test_numbers() -> None:
    """Numbers, ratios and amounts of money, given as numbers or texts, go by the rules of the language."""
    assert ["1,234.5", "1.234,5", "1 234,5"] == [said("number", 1234.5, one) for one in ("en", "de", "fr")]
    assert "1,234.50" == said("number(2)", "1234.5")
    assert ["12%", "12.5%", "12,5 %"] == [
        said("percent", 0.125),
        said("percent(1)", 0.125),
        said("percent(1)", "0.125", "fr"),
    ]
    assert ["€12.50", "12,50 €", "¥12", "CN¥0.10"] == [
        said("currency('EUR')", "12.5"),
        said("currency('EUR')", 12.5, "de"),
        said("currency('JPY')", 12),
        said("currency('CNY')", 0.1),
    ]
    assert "€13" == said("currency('EUR', 0)", "12.6")
    assert ["999 byte", "1.4 MB", "1,4 Mo", "2 GB"] == [
        said("filesize", 999),
        said("filesize", 1_400_000),
        said("filesize", 1_400_000, "fr"),
        said("filesize", 1_999_999_999),
    ]
    assert ["2 hours, 5 minutes", "2 heures et 5 minutes", "45 seconds", "0 seconds", "1 day"] == [
        said("duration", 7500),
        said("duration", 7500, "fr"),
        said("duration", 45),
        said("duration", 0),
        said("duration(1)", 90_000),
    ]


def test_plurals() -> None:
    """Two forms do for languages like English; others name theirs; # is the number."""
    assert ["0 items", "1 item", "1,200 items"] == [
        said("plural('# item', '# items')", one) for one in (0, 1, 1200)
    ]
    assert ["0 article", "2 articles"] == [
        said("plural('# article', '# articles')", one, "fr") for one in (0, 2)
    ]
    polish = "plural(one='# plik', few='# pliki', many='# plików', other='# pliku')"
    assert ["1 plik", "3 pliki", "5 plików", "1,5 pliku"] == [
        said(polish, one, "pl") for one in (1, 3, 5, 1.5)
    ]
    assert "3 件" == said("plural('# 件')", 3, "zh")
    assert "nothing" == said("plural(zero='nothing', one='#', other='#')", 0)


def test_lists_and_choices() -> None:
    """A list reads as a sentence when it is printed; texts by language are chosen along the chain."""
    assert ["a, b, and c", "a, b et c", "a or b", "a"] == [
        said("list", ["a", "b", "c"]),
        said("list", ["a", "b", "c"], "fr"),
        said("list('or')", ["a", "b"]),
        said("list", ["a"]),
    ]
    assert "3" == said("list|length", ["a", "b", "c"])
    assert "A, B" == said("map('upper')|list|join(', ')", ["a", "b"])
    texts = {"en": "Hello", "fr": "Bonjour", "pt-BR": "Olá"}
    assert ["Bonjour", "Hello", "Olá", "Hi"] == [
        said("localised", texts, "fr-CA"),
        said("localised", texts, "ko"),
        said("localised", texts, "pt-BR"),
        said("localised", "Hi", "fr"),
    ]


def test_wrong_values_name_variable_and_filter() -> None:
    """Whatever a filter cannot use is a problem of the variable that says which filter."""
    for expression, value in (
        ("date", "tomorrow"),
        ("date", True),
        ("date(zone='Mars/Base')", "2026-03-01T00:00:00Z"),
        ("date('y' * 100)", "2026-03-01"),
        ("datetime", 10**30),
        ("number", "1,5"),
        ("number", float("nan")),
        ("number(1000)", 1),
        ("percent", "x"),
        ("currency('euro')", 1),
        ("currency", 1),
        ("plural('#', few='#')", 1),
        ("filesize", -1),
        ("duration", -5),
        ("list('nor')", ["a"]),
        ("localised", {}),
    ):
        with pytest.raises(InputError) as caught:
            said(expression, value)
        (problem,) = caught.value.problems
        assert ("variable-type", "variables.v") == (problem.code, problem.field), expression
        if "cannot" in problem.cause:
            assert expression.split("(")[0] in problem.cause


def test_the_language_of_a_block() -> None:
    """Inside an element with another language filters speak that one, in HTML and text alike."""
    page = (
        '<html lang="en"><body lang="en"><p>{{ d|date }}</p><div lang="fr"><p>{{ d|date("long") }} '
        "{{ n|number }}<br>{{ d|date(lang='de') }}</p><p lang='en'>{{ n|number }}</p>"
        "<img alt='{{ n | number }}'>"
        "</div><p>{{ n|number|upper }}{{ n|plural('#', '(x)') }}</p></body></html>"
    )
    source = TemplateSource(name="mail", form=SourceForm.JINJA, text=page)
    found = load(compile_source(source, Shelf()), html_to_text).render(
        {"d": "2026-03-01", "n": 1234.5}, {}, AT
    )
    text = found.text.replace("\u202f", " ")
    assert ["Mar 1, 2026", "1 mars 2026 1 234,5", "01.03.2026", "1,234.5", "1 234,5", "1,234.5(x)"] == [
        line for line in text.split("\n") if line
    ]
    assert 2 == found.html.count("1\u202f234,5")


def test_the_documentation() -> None:
    """Every filter is in the page of templates with an example, and each example says what the page says."""
    page = Path(__file__).parents[2].joinpath("docs/templates.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:`(\w+)[^|]*` )?\| `(.+\\\|.+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert NAMES == {name for name, *_ in rows if name} == filters_for("en").keys()
    for _, example, english, french in rows:
        value, _, expression = example.partition("\\|")
        found = [said(expression, json.loads(value), locale) for locale in ("en", "fr")]
        assert [english, french] == found, example
    listed = page.partition("Of Jinja's own filters these are there:")[2].partition(".\n")[0]
    known = set(sandbox("en", is_html=True, plain=html_to_text).filters) - NAMES
    aliases = {"d", "e", "forceescape"}
    assert {name for name in known if name[0] != "_"} - aliases == set(re.findall(r"`(\w+)`", listed))
