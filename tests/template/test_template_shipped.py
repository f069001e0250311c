"""The ready templates: ten of them in five languages, alike in all but their words, and readable."""

import re
from importlib.resources import files

import pytest
from selectolax.lexbor import LexborHTMLParser
from tools.shipped_mails import AT, LANGUAGES, compiled, mail, names, samples

from postroom.mime.html import html_to_text
from postroom.model.template import Shelf
from postroom.template.jinja.rendering import load
from postroom.template.shelves import shipped_shelf, shipped_sources, with_shipped

NAMES = [
    "account-activation",
    "alert",
    "alert-digest",
    "alert-letter",
    "email-change",
    "invitation",
    "one-time-code",
    "password-reset",
    "receipt",
    "workflow-notification",
]
COMPONENTS = {
    *("alert", "badge", "button", "button-card", "card", "code", "copyright", "divider", "footer", "image"),
    *("info-card", "list", "row", "rows", "spacer", "v-fill"),
}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shipped")]  # all are compiled, once for the group


def test_the_package_brings_layouts_components_and_templates() -> None:
    """As data of the package, by path without suffix; each template has a default variant and four more."""
    assert {*(f"components/{name}" for name in COMPONENTS), "layouts/default", "layouts/main"} == set(
        shipped_shelf().components
    )
    assert NAMES == names()
    variants = [(source.name, source.locale) for source in shipped_sources()]
    assert [(name, locale) for name in NAMES for locale in ("", "de", "fr", "ko", "zh")] == variants
    assert (files("postroom.template") / "shipped" / "layouts" / "main.html").is_file()


def test_a_shelf_of_an_author_goes_before_the_shipped_one() -> None:
    """Components and colours of the same name are the author's; the others stay."""
    own = Shelf(
        components={"components/card": "mine"}, theme={"colors": {"primary": "#f97316"}, "spacing": {}}
    )
    both = with_shipped(own)
    assert "mine" == both.components["components/card"]
    assert shipped_shelf().components["layouts/main"] == both.components["layouts/main"]
    assert {"colors": {"primary": "#f97316"}, "spacing": {}} == both.theme
    assert "#4338ca" == with_shipped(Shelf(theme={"colors": {"ink": "#000"}})).theme["colors"]["primary"]


@pytest.mark.parametrize("name", NAMES)
def test_a_template_renders_in_every_language(name: str) -> None:
    """No finding, one set of variables, subject, preheader and text; the languages are those it says."""
    first = compiled(name, "en")
    for language in LANGUAGES:
        template = compiled(name, language)
        assert ((), language) == (template.findings, template.locale)
        assert first.schema["required"] == template.schema["required"]
        assert {key: value["type"] for key, value in first.schema["properties"].items()} == {
            key: value["type"] for key, value in template.schema["properties"].items()
        }
        assert all(schema.get("description") for schema in template.schema["properties"].values())
        made = mail(name, language)
        assert made.subject
        assert made.preheader
        tree = LexborHTMLParser(made.html)
        assert {language} == {node.attributes["lang"] for node in tree.css("[lang]")}
        text = made.text
        assert "© 2026 Example Cooperative" in text
        assert not re.search(r"{{|{%|@{|undefined|None", made.subject + made.preheader + made.html + text)
        for node in tree.css("h1, p"):
            assert " ".join(node.text().split())
        for node in tree.css("td.card h1"):
            assert node.text().strip() in text


@pytest.mark.parametrize("name", NAMES)
def test_a_template_needs_no_global_and_nothing_optional(name: str) -> None:
    """Without globals and with the required variables alone nothing empty is shown."""
    for language in LANGUAGES:
        template = compiled(name, language)
        given = {key: value for key, value in samples(template).items() if key in template.schema["required"]}
        made = load(template, html_to_text).render(given, {}, AT)
        tree = LexborHTMLParser(made.html)
        assert [] == tree.css('img:not([src^="cid:"]), a[href=""], a:not([href])')
        assert not re.search(r"\(\s*\)|\s[.,]|  ", made.subject)
        assert "©" not in made.text
        for node in tree.css("h1, p, th"):
            assert node.text().strip()


def test_a_receipt_has_amounts_of_its_language() -> None:
    """The currency filter writes them as the variant's readers do."""
    rows = {language: mail("receipt", language).text for language in LANGUAGES}
    assert "€54.50" in rows["en"]
    assert "54,50\xa0€" in rows["de"]
    assert "54,50\xa0€" in rows["fr"]
    assert "€54.50" in rows["zh"]
    assert "₩54" in mail("receipt", "ko", currency="KRW").text


def test_times_are_told_in_the_zone_that_is_named() -> None:
    """UTC unless the caller names another; the zone stands beside the time."""
    assert "22.11.2026 15:05 (Europe/Berlin)" in mail("alert", "de").text
    assert "22.11.2026 14:05 (UTC)" in mail("alert", "de", time_zone="UTC").text


@pytest.mark.parametrize(
    ("severity", "subject", "ground"),
    [
        ("critical", "[Critical] ", "#fef2f2"),
        ("warning", "[Warning] ", "#fffbeb"),
        ("success", "[Resolved] ", "#f0fdf4"),
        ("info", "[Information] ", "#f0f9ff"),
    ],
)
def test_an_alert_shows_its_severity_alone(severity: str, subject: str, ground: str) -> None:
    """One box of the severity's colour, and its word in front of the subject."""
    made = mail("alert", "en", severity=severity)
    assert made.subject.startswith(subject)
    grounds = [
        one for one in ("#fef2f2", "#fffbeb", "#f0fdf4", "#f0f9ff") if f"background-color:{one}" in made.html
    ]
    assert [ground] == grounds


def test_a_digest_says_what_is_still_active() -> None:
    """Alerts stand under their group, each with severity and state; repeated ones with their count."""
    text = mail("alert-digest", "en").text
    order = [
        "Storage",
        "Disk almost full",
        "Critical Still active",
        "Backup is late",
        "Warning Resolved",
        "Web",
    ]
    places = [text.index(part) for part in [*order, "Answers are slow (4×)"]]  # noqa: RUF001 - times, not x
    assert sorted(places) == places
    assert "Unsubscribe <https://monitor.example.com/unsubscribe/77>" in text
    assert "Unsubscribe" not in mail("alert-digest", "en", unsubscribe_url="").text


@pytest.mark.parametrize("name", NAMES)
def test_no_english_is_left_in_other_languages(name: str) -> None:
    """No phrase of a component or template was forgotten."""
    english = re.compile(r"\b(?:the|your?|this|please|thanks|with|rights|once)\b", re.IGNORECASE)
    assert english.search(mail(name, "en").text)
    for language in ("fr", "de", "zh", "ko"):
        made = mail(name, language)
        assert not english.search(f"{made.subject} {made.preheader} {made.text}")
