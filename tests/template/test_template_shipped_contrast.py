"""What the shipped templates show can be read, light and dark: WCAG 2.2 success criterion 1.4.3, level AA."""

import re
from dataclasses import dataclass

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode
from tools.shipped_mails import compiled, mail, names

from postroom.model.template import Shelf, TemplateSource
from postroom.renderer.compiling import compile_source

pytestmark = pytest.mark.xdist_group("shipped")

DARK = "(prefers-color-scheme: dark)"
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """One rule of a style sheet for dark colours."""

    selector: str
    declarations: dict[str, str]


def luminance(color: str) -> float:
    """Return the relative luminance (WCAG 2.2, definitions)."""
    digits = color.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def dark_rules(tree: LexborHTMLParser) -> list[Rule]:
    """Return what holds in the dark, in the order of the sheet; its rules are all important."""
    sheet = "\n".join(node.text() for node in tree.css("style"))
    found = []
    for block in re.findall(rf"@media {re.escape(DARK)} {{((?:[^{{}}]*{{[^}}]*}})*)", sheet):
        for selector, body in re.findall(r"([^{}]+){([^}]*)}", block):
            pairs = [part.split(":", 1) for part in body.split(";") if ":" in part]
            declarations = {name.strip(): value.replace("!important", "").strip() for name, value in pairs}
            found += [Rule(one.strip(), declarations) for one in selector.split(",")]
    return found


def specificity(selector: str) -> tuple[int, int]:
    return selector.count("."), len(re.findall(r"(?:^|[\s>])[a-z]", selector))


def color_of(node: LexborNode, name: str, dark: dict[int, dict[str, str]]) -> str | None:
    """Return a colour an element sets itself."""
    if (own := dark.get(node.mem_id, {}).get(name)) is not None:
        return own
    pairs = (part.split(":", 1) for part in (node.attributes.get("style") or "").split(";") if ":" in part)
    return {key.strip(): value.strip() for key, value in pairs}.get(name)


def inherited(node: LexborNode | None, name: str, dark: dict[int, dict[str, str]]) -> str:
    while node is not None and node.tag != "html":
        if (found := color_of(node, name, dark)) is not None and _HEX.match(found):
            return found
        node = node.parent
    raise AssertionError(f"no {name} is set")


def in_the_dark(tree: LexborHTMLParser) -> dict[int, dict[str, str]]:
    """Return the dark colours by element, as the cascade gives them."""
    found: dict[int, dict[str, str]] = {}
    for rule in sorted(dark_rules(tree), key=lambda rule: specificity(rule.selector)):
        for node in tree.css(rule.selector):
            found.setdefault(node.mem_id, {}).update(rule.declarations)
    return found


@pytest.mark.parametrize("name", names())
def test_every_text_has_enough_contrast(name: str) -> None:
    """4.5 to 1 for each text on the ground it stands on, light and dark; severities are tried one by one."""
    severities = ("critical", "warning", "success", "info")
    has_severity = "severity" in compiled(name, "en").schema["properties"]
    for values in [{"severity": one} for one in severities] if has_severity else [{}]:
        tree = LexborHTMLParser(mail(name, "en", **values).html)
        dark = in_the_dark(tree)
        assert dark
        texts = [
            node
            for node in tree.css("[role=article] *")
            if (node.text(deep=False) or "").replace("\u200d", "").strip()
        ]
        assert len(texts) > 4
        for scheme in ({}, dark):
            for node in texts:
                pair = inherited(node, "color", scheme), inherited(node, "background-color", scheme)
                assert contrast(*pair) >= 4.5, (node.html, pair)


def test_dark_is_dark() -> None:
    """Grounds change sides, and what an author writes in light colours into a card changes with them."""
    tree = LexborHTMLParser(mail("account-activation", "en").html)
    dark = in_the_dark(tree)
    for selector in ("body", "[role=article] > div", "td.card"):
        ground = tree.css(selector)[0]
        assert luminance(inherited(ground, "background-color", {})) > 0.9
        assert luminance(inherited(ground, "background-color", dark)) < 0.05
    for node in tree.css("td.card p, td.card h1"):
        assert luminance(inherited(node, "color", dark)) > 0.5


def test_a_colour_that_the_author_chose_stays() -> None:
    """Dark text colours go to the shipped light ones and to texts without one, not to any other."""
    body = """<x-default><x-card title="a">
        <p id="own" class="text-amber-700">a</p> <p id="style" style="color: #b45309">a</p>
        <a id="link" class="text-amber-700" href="https://example.com/">a</a>
        <p id="both" class="text-slate-600 dark:text-amber-700">a</p>
        <p id="none">a</p> <p id="shipped" class="text-slate-600">a</p>
        <h2 id="title" class="text-slate-900">a</h2> <a id="plain" href="https://example.com/">a</a>
        </x-card></x-default>"""
    tree = LexborHTMLParser(compile_source(TemplateSource(name="a", text=body), Shelf()).html)
    dark = in_the_dark(tree)
    found = {
        key: inherited(tree.css(f"#{key}")[0], "color", dark) for key in ("own", "style", "link", "both")
    }
    assert dict.fromkeys(("own", "style", "link", "both"), "#b45309") == found
    for key in ("none", "shipped", "title", "plain"):
        assert luminance(inherited(tree.css(f"#{key}")[0], "color", dark)) > 0.5, key


def test_contrast_is_computed_as_the_recommendation_says() -> None:
    """Black on white is 21 to 1, equal colours 1 to 1, #777 on white just fails."""
    pairs = [("#000000", "#fff"), ("#123456", "#123456"), ("#777777", "#ffffff")]
    assert [21.0, 1.0, 4.48] == [round(contrast(*pair), 2) for pair in pairs]
