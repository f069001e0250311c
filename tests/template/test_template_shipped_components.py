"""The shipped layouts and components: structure, attributes with defaults, measures, parts for Outlook."""

import re
from functools import cache

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode
from tools.shipped_mails import AT, GLOBALS

from postroom.mime.html import html_to_text
from postroom.model.template import Shelf, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.template.jinja.rendering import load

GUIDE = """---
preheader: Welcome to @{{ _product_name }}! Please create your account.
---
<x-default>
<x-button-card
title="Welcome to @{{ _product_name }}!"
url="@{{ creation_url }}"
button="Create your account"
>
You have been invited to join @{{ _product_name }}!
</x-button-card>
<x-spacer height="24px" />
<x-button-card
lang="fr"
title="Bienvenue sur @{{ _product_name }} !"
url="@{{ creation_url }}"
button="Créer votre compte"
>
Tu as été invité à rejoindre @{{ _product_name }} !
</x-button-card>
</x-default>"""
"""The form in which authors of other systems write a mail of two languages."""

URL = "https://app.example.com/create?id=1"
LATER = AT.replace(year=2031)
"""Not the year of the build."""
FILLER = "\u2007\ufeff\u034f"
TRIPLES = re.compile(rf"(?:\s*{FILLER}){{150}}\s*\Z")


@cache
def rendered(source: str, *, is_bare: bool = False) -> str:
    template = compile_source(TemplateSource(name="one", text=source), Shelf())
    names = {} if is_bare else GLOBALS
    variables = dict.fromkeys(template.schema["properties"], URL)
    return load(template, html_to_text).render(variables, names, LATER).html


def page(body: str, *, front: str = "", is_bare: bool = False) -> LexborHTMLParser:
    front = f"---\n{front}\n---\n" if front else ""
    return LexborHTMLParser(rendered(front + body, is_bare=is_bare))


def one(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    """Return the only match."""
    found = tree.css(selector)
    assert 1 == len(found), selector
    return found[0]


def style(node: LexborNode) -> dict[str, str]:
    """Return the inline declarations, blanks evened out."""
    pairs = [part.split(":", 1) for part in (node.attributes.get("style") or "").split(";") if part.strip()]
    return {name.strip(): " ".join(value.split()) for name, value in pairs}


def has(node: LexborNode, **wanted: str) -> None:
    """Hold the named declarations; a name's ``_`` is a dash."""
    found = style(node)
    assert {key.replace("_", "-"): value for key, value in wanted.items()} == {
        key.replace("_", "-"): found.get(key.replace("_", "-")) for key in wanted
    }


def shown(node: LexborNode) -> str:
    return " ".join(node.text().split())


def cards(tree: LexborHTMLParser) -> list[LexborNode]:
    return tree.css("td.card")


def test_the_layout_main_has_head_and_parts_for_outlook() -> None:
    """Doctype, VML namespace, the metas, 96 ppi and Segoe UI in a comment for Outlook, no remote request."""
    source = rendered(GUIDE)
    tree = LexborHTMLParser(source)
    html = one(tree, "html")
    assert source.lstrip().lower().startswith("<!doctype html>")
    assert ("en", "urn:schemas-microsoft-com:vml") == (html.attributes["lang"], html.attributes["xmlns:v"])
    metas = {node.attributes.get("name"): node.attributes.get("content") for node in tree.css("meta[name]")}
    assert {
        "x-apple-disable-message-reformatting": None,
        "viewport": "width=device-width, initial-scale=1",
        "format-detection": "telephone=no, date=no, address=no, email=no, url=no",
        "color-scheme": "light dark",
        "supported-color-schemes": "light dark",
    } == metas
    assert "utf-8" == one(tree, "meta[charset]").attributes["charset"]
    outlook = source[source.index("<!--[if mso]>") : source.index("<![endif]-->")]
    for part in ("<o:PixelsPerInch>96<", '"Segoe UI"', "mso-line-height-rule: exactly", ".mso-break-all"):
        assert part in outlook
    assert [] == tree.css("link, script, iframe, title")
    assert {URL, GLOBALS["_entity_site_url"]} == {node.attributes["href"] for node in tree.css("a[href]")}
    assert {GLOBALS["_logo_url"]} == {node.attributes["src"] for node in tree.css("[src]")}


def test_the_layout_main_has_one_breakpoint_and_dark_rules() -> None:
    """Small screens begin at 600 px; the button's hover and the dark colours stay in the head."""
    sheet = "\n".join(node.text() for node in LexborHTMLParser(rendered(GUIDE)).css("style"))
    assert {"(max-width: 600px)", "(prefers-color-scheme: dark)"} == set(
        re.findall(r"@media ([^{]+?)\s*{", sheet)
    )
    assert re.search(r":hover\s*{\s*background-color: rgb\(67 56 202 / 0\.9\)", sheet)
    assert "@apply" not in sheet
    assert "@tailwind" not in sheet


def test_the_preheader_is_hidden_and_filled_with_150_triples() -> None:
    """Text, then figure space, U+FEFF and U+034F 150 times; without a preheader there is no such element."""
    first = one(page(GUIDE), "body > div:first-child")
    assert "none" == style(first)["display"]
    text = first.text().strip(" \n")
    assert text.startswith("Welcome to Example! Please create your account.")
    assert TRIPLES.search(text)
    assert 150 == text.count(FILLER)
    assert FILLER not in page("<x-default>x</x-default>").html  # type: ignore[operator] # a page has HTML


def test_the_body_is_an_article_with_title_and_language() -> None:
    """role, aria-roledescription, aria-label (title or empty), lang; page.* of the front matter is read."""
    body = one(page(GUIDE), "body")
    has(body, margin="0", width="100%", background_color="#f8fafc", word_break="break-word")
    article = one(page(GUIDE), "[role=article]")
    assert ("email", "", "en") == tuple(
        article.attributes.get(name) or "" for name in ("aria-roledescription", "aria-label", "lang")
    )
    front = "title: Hallo\nlanguage: de\nbodyClass: bg-red-50\nfont: https://fonts.example.com/inter.css"
    tree = page("<x-default><x-card title='T'>x</x-card></x-default>", front=front)
    article = one(tree, "[role=article]")
    assert ("Hallo", "de") == (article.attributes["aria-label"], article.attributes["lang"])
    assert ("Hallo", "de") == (one(tree, "title").text(), one(tree, "html").attributes["lang"])
    has(one(tree, "body"), background_color="#fef2f2")
    assert "https://fonts.example.com/inter.css" == one(tree, "link[rel=stylesheet]").attributes["href"]
    assert ["de", "de"] == [node.attributes["lang"] for node in tree.css("table[lang]")]
    assert "Vielen Dank" in shown(one(tree, "td.card"))


def test_the_layout_default_is_552_pixels_in_the_middle() -> None:
    """Wrapper with its own ground and the font stack, centred table, spacer, body, copyright of the year."""
    tree = page(GUIDE)
    wrapper = one(tree, "[role=article] > div")
    has(wrapper, background_color="#f8fafc")
    assert style(wrapper)["font-family"].startswith("Inter, ui-sans-serif, system-ui")
    assert "sm-px-4" in (wrapper.attributes["class"] or "")
    assert "center" == one(wrapper, "div > table").attributes["align"]
    cell = one(tree, "[role=article] > div > table > tbody > tr > td")
    has(cell, width="552px", max_width="100%")
    has(one(cell, "td > [role=separator]:first-child"), line_height="24px")
    notice = tree.css("td > p")[-1]
    has(notice, font_size="12px", color="#64748b", margin="0")
    assert "© 2031 Example Cooperative. All rights reserved." == shown(notice)


def test_a_card_has_logo_title_body_and_closing() -> None:
    """Measures and colours of the card, the linked logo, the thanks with the entity in bold; no footer."""
    tree = page('<x-default><x-card title="T &amp; U"><p>Body</p></x-card></x-default>')
    cell = one(tree, "td.card")
    has(
        cell, background_color="#fffffe", border_radius="8px", border="1px solid #e2e8f0", padding="24px 36px"
    )
    assert "sm-p-6" in (cell.attributes["class"] or "")
    table = one(tree, "table[lang]:has(td.card)")
    assert ("en", "100%") == (table.attributes["lang"], style(table)["width"])
    image = one(cell, f'a[href="{GLOBALS["_entity_site_url"]}"] > img')
    assert ("70", GLOBALS["_logo_url"], "Example Logo") == tuple(
        image.attributes[name] for name in ("width", "src", "alt")
    )
    has(image, max_width="100%", vertical_align="middle")
    has(one(cell, "h1"), font_size="24px", line_height="32px", font_weight="600", color="#0f172a")
    assert "T & U" == shown(one(cell, "h1"))
    closing = cell.css("p")[-1]
    has(closing, font_size="16px", line_height="24px", color="#475569", margin="0")
    assert ("Thanks,", "Example Cooperative") == (
        shown(closing).split(" ", 1)[0],
        shown(one(closing, "span")),
    )
    has(one(closing, "br + span"), font_weight="600")
    assert 2 == len(cell.css("[role=separator]"))


def test_a_card_without_globals_leaves_out_what_they_stand_for() -> None:
    """No logo, no link, no name, no copyright: nothing empty is shown."""
    tree = page('<x-default><x-card title="T"><p>Body</p></x-card></x-default>', is_bare=True)
    assert [] == tree.css("a, img")
    assert "T Body Thanks" == shown(one(tree, "td.card")).replace("\u200d ", "")
    assert "©" not in shown(one(tree, "body"))


def test_the_footer_slot_comes_after_a_divider() -> None:
    """A filled slot adds the line and its content; closing="none" leaves the thanks out."""
    slot = "<fill:footer><i>F</i></fill:footer>"
    source = f'<x-default><x-card title="T" closing="none">B{slot}</x-card></x-default>'
    cell = one(page(source), "td.card")
    line = cell.css("[role=separator]")[-1]
    has(line, height="1px", line_height="1px", background_color="#cbd5e1", margin_top="24px")
    assert shown(cell).endswith("F")
    assert "Thanks" not in shown(cell)


def test_a_button_card_is_a_card_with_paragraph_button_and_address() -> None:
    """One paragraph, the primary button, the small print with the address as text, in English and French."""
    english, french = cards(page(GUIDE))
    paragraph = english.css("p")[0]
    has(paragraph, margin="0 0 24px", font_size="16px", line_height="24px", color="#475569")
    assert "You have been invited to join Example!" == shown(paragraph)
    button, link = english.css(f'a[href="{URL}"]')
    has(button, background_color="#4338ca", color="#fffffe", padding="16px 24px", border_radius="4px")
    assert "Create your account" == shown(button)
    small = english.css("p")[-1]
    assert "mso-break-all text-slate-600" == small.attributes["class"]
    has(small, font_size="12px", line_height="20px", color="#475569")
    has(link, color="#020617", text_decoration="underline")
    assert (
        'If you\'re having trouble clicking the "Create your account" button, copy and paste the following'
        f" URL into your web browser: {URL}"
    ) == shown(small)
    assert (
        'Si vous ne pouvez pas cliquer sur le bouton "Créer votre compte", copiez et collez l\'url suivante'
        f" sur votre navigateur : {URL}"
    ) == shown(french.css("p")[-1])
    assert "Merci, Example Cooperative" == shown(french.css("p")[-2])
    assert ["en", "fr"] == [
        node.attributes["lang"] for node in page(GUIDE).css("table:has(> tbody > tr > td.card)")
    ]


@pytest.mark.parametrize(
    ("lang", "closing", "hint", "rights"),
    [
        ("de", "Vielen Dank", "„B“", "Alle Rechte vorbehalten."),
        ("zh-CN", "谢谢！", "“B”", "保留所有权利。"),  # noqa: RUF001 - as Chinese writes it
        ("ko", "감사합니다.", "‘B’", "모든 권리 보유."),  # noqa: RUF001 - as Korean writes it
        ("fr-CA", "Merci,", '"B"', "Tous droits réservés."),
        ("sv", "Thanks,", '"B"', "All rights reserved."),
    ],
)
def test_phrases_follow_the_language(lang: str, closing: str, hint: str, rights: str) -> None:
    """Five languages, a region falls back to its language, any other to English; the block says its own."""
    card = f'<x-button-card lang="{lang}" title="T" url="@{{{{ u }}}}" button="B">x</x-button-card>'
    tree = page(f'<x-default>{card}<x-copyright lang="{lang}" /></x-default>')
    cell = one(tree, "td.card")
    assert shown(cell.css("p")[-2]).startswith(closing)
    assert hint in shown(cell.css("p")[-1])
    assert rights in shown(one(tree, "body"))
    assert lang == one(tree, "table:has(> tbody > tr > td.card)").attributes["lang"]


def test_complementary_information_stands_below_the_button() -> None:
    """The slot adds a spacer of 24 px and a paragraph."""
    slot = "<fill:complementary_info>More</fill:complementary_info>"
    card = f'<x-button-card title="T" url="@{{{{ u }}}}" button="B">x{slot}</x-button-card>'
    paragraphs = [shown(node) for node in one(page(f"<x-default>{card}</x-default>"), "td.card").css("p")]
    assert ["x", "More", "Thanks, Example Cooperative"] == paragraphs[:3]


def test_an_info_card_is_a_card_with_one_paragraph() -> None:
    """Its body is the paragraph."""
    cell = one(page('<x-default><x-info-card lang="fr" title="T">Body</x-info-card></x-default>'), "td.card")
    assert ["Body", "Merci, Example Cooperative"] == [shown(node) for node in cell.css("p")]


def test_a_button_takes_colours_alignment_and_other_attributes() -> None:
    """Defaults: #4338ca, #fffffe, 16px and 31px for Outlook; a bg- class takes the place of the colour."""
    tree = page('<x-main><x-button href="https://example.com/a" data-id="7">Go</x-button></x-main>')
    link = one(tree, "a")
    has(
        link,
        display="inline-block",
        text_decoration="none",
        padding="16px 24px",
        font_size="16px",
        line_height="1",
        border_radius="4px",
        color="#fffffe",
        background_color="#4338ca",
    )
    assert "7" == link.attributes["data-id"]
    assert "text-align" not in style(one(tree, "[role=article] > div"))
    has(one(link, "span"), mso_text_raise="16px")
    source = one(tree, "a").html or ""
    assert 2 == source.count("<!--[if mso]><i")
    assert "mso-font-width: 150%; mso-text-raise: 31px" in source
    other = (
        '<x-main><x-button href="https://example.com/a" align="right" color="#000" bg-color="#ff0"'
        ' mso-pt="9px" mso-pb="20px">Go</x-button></x-main>'
    )
    tree = page(other)
    has(one(tree, "[role=article] > div"), text_align="right")
    assert ("#000", "#ff0") == tuple(
        style(one(tree, "a")).get(name) for name in ("color", "background-color")
    )
    assert "mso-text-raise: 20px" in (one(tree, "a").html or "")
    has(one(tree, "a > span"), mso_text_raise="9px")
    green = page('<x-main><x-button href="https://example.com/a" class="bg-green-700">Go</x-button></x-main>')
    has(one(green, "a"), background_color="#15803d")


def test_spacers_and_dividers_take_their_measures() -> None:
    """A separator each, holding a joiner; heights, margins and colours as told."""
    spacers = page('<x-main><x-spacer height="9px" mso-height="7px" /><x-spacer /></x-main>').css(
        "[role=separator]"
    )
    has(spacers[0], line_height="9px", mso_line_height_alt="7px")
    assert ({}, "\u200d") == (style(spacers[1]), spacers[0].text())
    wanted = '<x-divider height="3px" color="#f00" space-y="8px" space-x="4px" bottom="0" left="2px" />'
    lines = page(f"<x-main>{wanted}<x-divider /><x-divider class='bg-green-700' /></x-main>").css(
        "[role=separator]"
    )
    has(lines[0], height="3px", line_height="3px", background_color="#f00", margin="8px 4px 0 2px")
    has(lines[1], height="1px", background_color="#cbd5e1", margin_top="24px", margin_bottom="24px")
    has(lines[2], background_color="#15803d")


def test_rows_are_a_table_of_data() -> None:
    """A head of the row for each label, so that a screen reader and the text part say both."""
    rows = '<x-row label="Number" value="7" /><x-row label="Total" align="right" strong>8</x-row>'
    source = f"<x-main>{{% if 1 %}}<x-rows>{rows}</x-rows>{{% endif %}}</x-main>"
    table = one(page(source), "table")
    assert "table" == table.attributes["role"]
    assert [("Number", "7"), ("Total", "8")] == [
        (shown(one(row, "th[scope=row]")), shown(one(row, "td"))) for row in table.css("tr")
    ]
    first, second = table.css("td")
    has(first, text_align="left", border_bottom="1px solid #e2e8f0")
    has(second, text_align="right", font_weight="600")


def test_a_code_is_one_word_and_read_digit_by_digit() -> None:
    """The visible text has no blanks, the name for screen readers has them, a click selects all."""
    template = compile_source(
        TemplateSource(name="one", text='<x-main><x-code value="@{{ code }}" /></x-main>'), Shelf()
    )
    html = load(template, html_to_text).render({"code": "482913"}, {}, AT).html
    span = one(LexborHTMLParser(html), "[role=img]")
    assert ("482913", "4 8 2 9 1 3", "ltr") == (
        shown(span),
        span.attributes["aria-label"],
        span.attributes["dir"],
    )
    has(span, user_select="all", letter_spacing="6px", font_size="30px", font_weight="600")
    fixed = one(page('<x-main><x-code value="A1B2" /></x-main>'), "[role=img]")
    assert ("A1B2", "A 1 B 2") == (shown(fixed), fixed.attributes["aria-label"])


@pytest.mark.parametrize(
    ("severity", "label", "ground"),
    [
        ("info", "Information", "#f0f9ff"),
        ("success", "Resolved", "#f0fdf4"),
        ("warning", "Warning", "#fffbeb"),
        ("critical", "Critical", "#fef2f2"),
        ("unheard-of", "Information", "#f0f9ff"),
    ],
)
def test_an_alert_says_its_severity_in_words_and_colour(severity: str, label: str, ground: str) -> None:
    """Not by colour alone; an unknown severity is information."""
    cell = one(page(f'<x-main><x-alert severity="{severity}" title="T">Body</x-alert></x-main>'), "td")
    has(cell, background_color=ground)
    assert [label, "T", "Body"] == [shown(node) for node in cell.css("div")]


def test_a_footer_ends_subscriptions_in_its_language() -> None:
    """The link is there when an address is; the postal address follows."""
    footer = '<x-footer lang="de" unsubscribe="@{{ u }}" address="Example Street 1">Why</x-footer>'
    tree = page(f"<x-main>{footer}</x-main>")
    assert "Why Abmelden Example Street 1" == shown(one(tree, "p"))
    assert URL == one(tree, "a").attributes["href"]
    assert [] == page("<x-main><x-footer>Why</x-footer></x-main>").css("a")


def test_lists_and_images() -> None:
    """Items stay items; a picture has its alternative text, a width, and may be a link."""
    tree = page("<x-main><x-list><li>a</li><li>b</li></x-list><x-list ordered><li>c</li></x-list></x-main>")
    assert (["a", "b"], ["c"]) == tuple(
        [shown(node) for node in tree.css(f"{tag} > li")] for tag in ("ul", "ol")
    )
    more = 'width="300" align="center" href="https://example.com"'
    picture = f'<x-image src="https://example.com/a.png" alt="A" {more} />'
    tree = page(f"<x-main>{picture}<x-image src='https://example.com/b.png' /></x-main>")
    first, second = tree.css("img")
    assert ("A", "300", "") == (
        first.attributes["alt"],
        first.attributes["width"],
        second.attributes["alt"] or "",
    )
    has(first, height="auto", max_width="100%")
    assert "https://example.com" == one(tree, "a").attributes["href"]
    assert not second.attributes.get("width")


def test_a_picture_behind_content_is_vml() -> None:
    """Only Outlook reads it; the defaults are those of the table."""
    tree = page('<x-main><x-v-fill image="https://example.com/a.png"><p>In</p></x-v-fill></x-main>')
    source = one(tree, "[role=article]").html or ""
    for part in (
        'style="width: 600px"',
        '<v:fill type="frame" src="https://example.com/a.png"',
        'inset="0,0,0,0"',
        'stroke="f"',
        'fill="t"',
        'fillcolor="none"',
    ):
        assert part in source
    assert "In" == shown(one(tree, "[role=article] > p"))
