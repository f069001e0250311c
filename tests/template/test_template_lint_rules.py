"""Every rule of the check: a page on which it fires, and its neighbour on which it stays silent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from each_row import each
from postroom.model.template import Finding, Rendered, Severity, SourceForm
from postroom.template.lint.case import Checked
from postroom.template.lint.getters import Getters, read_getters
from postroom.template.lint.linting import lint_all
from postroom.template.lint.rules import RULES
from template.lint_pages import WORDS, checked, page

COMPONENTS = SourceForm.COMPONENTS
IMAGE = '<img src="https://cdn.acme.example/a.png" alt="A parcel" width="70">'
DARK = "<style>@media (prefers-color-scheme: dark) { .note { color: %s !important } }</style>"
DARK_NOT = DARK.replace(".note", 'p[style^="background"]:not([class*="dark"])')
DARK_BACK = "<style>@media (prefers-color-scheme: dark) { .note { background: %s !important } }</style>"


def link(href: str, text: str = "Follow the parcel") -> str:
    return f'<p><a href="{href}">{text}</a></p>'


def body(*parts: str, **options: Any) -> list[Checked]:
    return [checked(page("\n".join(parts)), **options)]


def head(text: str, *parts: str) -> list[Checked]:
    return [checked(page("\n".join(parts), head=text))]


def front(values: dict[str, Any], *parts: str, source: str = "", **options: Any) -> list[Checked]:
    return [checked(page(*parts), source=source, front=values, form=COMPONENTS, **options)]


def languages(*parts: str) -> list[Checked]:
    locales = ("", "fr", "de")
    return [checked(page(part), locale=locale) for locale, part in zip(locales, parts, strict=False)]


def others(locale: str) -> list[Checked]:
    """Three templates, of which the last has the language or not."""
    made = [checked(page(), name=name, locale=one) for name in ("a", "b") for one in ("", "fr")]
    return [*made, checked(page(), name="c"), checked(page(), name="c", locale=locale)]


def sized(size: int) -> list[Checked]:
    return [checked(page("<p>" + "word " * (size // 5) + "</p>"))]


def shown(subject: str = "Your order", preheader: str = "", html: str = "", text: str = "x") -> Rendered:
    return Rendered(subject=subject, preheader=preheader, html=html, text=text)


CASES: dict[str, tuple[list[Checked], list[Checked]]] = {
    "unclosed-element": (body("<div><span>one</div>"), body("<div><span>one</span></div><ul><li>one</ul>")),
    "stray-end-tag": (body("<p>one</p></div>"), body("<div><p>one</p></div>")),
    "unknown-front-matter": (
        front({"preheadr": "Soon"}, source="---\npreheadr: Soon\n---\n"),
        front(
            {"preheadr": "Soon", "colour": "red", "getter": "a", "description": "b"},
            source="---\npreheadr: Soon\n---\n{{ page.preheadr }}",
        ),
    ),
    "unknown-lint-code": (
        front({"lint": {"ignore": ["contrst"]}}, source="contrst"),
        front({"lint": {"ignore": ["contrast", "small-text"]}}),
    ),
    "jinja": (body("{% if name %}yes"), body("{% if name %}yes{% endif %}")),
    "unknown-filter": (body("{{ name|shout }}"), body("{{ name|upper }} {{ 5|filesize }}")),
    "example-fails": (body(example_error="total is missing"), body()),
    "undeclared-variable": (
        front({"variables": {"total": 1}}, "{{ name }} {{ total }}"),
        front({"variables": {"name": "Ann"}}, "{{ name }} {{ _year }}"),
    ),
    "unused-variable": (
        front({"variables": {"name": "Ann", "total": 1}}, "{{ name }}"),
        front({"variables": {"name": "Ann"}}, subject="For {{ name }}"),
    ),
    "locale-variable": (languages("{{ name }}", "Bonjour"), languages("{{ name }}", "{{ name }} !")),
    "locale-structure": (
        languages("<h1>a</h1>" + IMAGE, "<h1>b</h1>"),
        languages("<h1>a</h1>" + IMAGE, "<h1>b</h1>" + IMAGE),
    ),
    "locale-missing": (others("de"), others("fr")),
    "unpassed-variable": (body("{{ note }}"), body("{{ name }} {{ _product_name }}")),
    "unread-argument": (body("none"), body("{{ name }}")),
    "unescaped-variable": (body("{{ note|safe }}"), body("{{ note }} {{ safe }}")),
    "variable-in-code": (
        [
            *body("<script>var a = '{{ name }}'</script>"),
            *head("<style>.a { color: {{ name }} }</style>"),
            *body('<p onclick="go({{ name }})">a</p>'),
            *body("<p title={{ name }}>a</p>"),
            *body("<p {{ name }}>a</p>"),
            *front({}, "", source="<p title=@{{ name }}>a</p>"),
        ],
        [
            *body('<p title="{{ name }}">{{ name }}</p>'),
            *front({}, "", source="<p title={{ page.title }}>a</p>"),
        ],
    ),
    "variable-in-style": (body('<p style="color: {{ name }}">a</p>'), body('<p style="color: #000">a</p>')),
    "link-empty": (
        [*body(link("")), *body(link(" ")), *body('<img src="" alt="a" width="1">')],
        body(link("{{ page_url }}")),
    ),
    "link-may-be-empty": (
        [*body(link("{{ note }}")), *body(link("{{ name|default('') }}"))],
        [
            *body(link("{{ page_url }}")),
            *body("{% if note %}" + link("{{ note }}") + "{% endif %}"),
            *body(link("{{ name|default('https://acme.example') }}")),
        ],
    ),
    "link-syntax": (
        [
            *body(link("orders/1")),
            *body(link("https://")),
            *body(link("https://acme example/")),
            *body(link("https://acme.example:x/")),
            *body(link("https://acme..example/")),
            *body(link("acme.example:443/a")),
        ],
        [
            *body(link("https://acme.example/a?b=c&d={{ name }}#e")),
            *body(link("{{ page_url }}/a")),
            *body(link("https://{{ name }}.acme.example/")),
            *body(link("tel:+4930123")),
            *body(link("https://acme.example:8443/")),
            *body(link("#terms")),
        ],
    ),
    "link-placeholder": (
        [*body(link("#")), *body(link("https://example.com/a"))],
        body(link("https://www.w3.org/")),
    ),
    "link-script": (
        [*body(link("javascript:go()")), *body(link("JavaScript:go()")), *body(link("data:text/html,a"))],
        body(link("https://acme.example/javascript:")),
    ),
    "link-insecure": (body(link("http://acme.example/")), body(link("https://acme.example/http://"))),
    "link-private": (
        [
            *body(link("http://localhost:8000/")),
            *body(link("https://192.168.1.2/")),
            *body(link("https://[::1]/")),
            *body(link("https://wiki.internal/")),
            *body(link("https://intranet/")),
        ],
        body(link("https://acme.example/localhost")),
    ),
    "link-mailto": (
        [*body(link("mailto:")), *body(link("mailto:?subject=a")), *body(link("mailto:ann"))],
        [*body(link("mailto:ann@acme.example?subject=a")), *body(link("mailto:{{ name }}"))],
    ),
    "link-mismatch": (
        [
            *body(link("https://acme.example/", "https://bank.example/login")),
            *body(link("https://acme.example/", "www.bank.example")),
        ],
        [
            *body(link("https://acme.example/", "acme.example/login")),
            *body(link("https://www.acme.example/", "https://acme.example")),
            *body(link("https://login.acme.example/", "acme.example")),
            *body(link("https://acme.example/", "Version 2.0 of the terms")),
        ],
    ),
    "link-shortener": (body(link("https://bit.ly/3abc")), body(link("https://orbit.ly/3abc"))),
    "text-lost-link": (
        body(link("{{ page_url }}"), text="Follow the parcel."),
        [*body(link("{{ page_url }}"), text="Follow: {{page_url}}"), *body(link("mailto:a@acme.example"))],
    ),
    "image-alt": (
        [
            *body('<img src="https://acme.example/a.png" width="9">'),
            *body(
                '<a href="https://acme.example/"><img src="https://acme.example/a.png" alt="" width="9"></a>'
            ),
        ],
        [
            *body('<img src="https://acme.example/a.png" alt="" width="9">'),
            *body(
                '<a href="https://acme.example/"><img src="https://acme.example/a" alt="" width="9">Up</a>'
            ),
        ],
    ),
    "image-width": (
        body('<img src="https://acme.example/a.png" alt="" style="width: 70px">'),
        body('<img src="https://acme.example/a.png" alt="" width="70">'),
    ),
    "tracking-pixel": (
        [
            *body('<img src="https://acme.example/p" alt="" width="1" height="1">'),
            *body('<img src="https://acme.example/p" alt="" height="1" style="width: 1px">'),
        ],
        body('<img src="https://acme.example/p" alt="" width="100" height="1">'),
    ),
    "contrast": (
        [
            *body('<p style="color: #94a3b8">faint</p>'),
            *body('<div style="background-color: #f97316"><p style="color: #fff">faint</p></div>'),
            *body('<p style="color: #949494; font-size: 23px">faint</p>'),
            *head("<style>.faint { color: #aaa }</style>", '<p class="faint">faint</p>'),
            *body('<table bgcolor="#333" role="none"><tr><td style="color: #444">faint</td></tr></table>'),
            *body('<p style="color: rgba(0, 0, 0, 0.4)">faint</p>'),
        ],
        [
            *body('<p style="color: #595959">clear</p>'),
            *body('<p style="color: #949494; font-size: 24px">large</p>'),
            *body('<p style="color: #949494; font-size: 14pt; font-weight: 700">large</p>'),
            *body('<h2 style="color: #949494">large</h2>'),
            *body('<p style="color: {{ name }}">unknown</p>'),
            *body('<div style="background: url(a.png)"><p style="color: #eee">unknown</p></div>'),
            *body('<p style="color: #eee; display: none">hidden</p>'),
            *body('<p style="color: #fefefe">&zwj;&#8199;&#847;</p>'),
            *body('<div style="background: #000 none"><p style="color: #fff">clear</p></div>'),
        ],
    ),
    "contrast-dark": (
        [
            *head(DARK % "#444", '<p class="note" style="background: #222; color: #fff">a</p>'),
            *head(DARK_NOT % "#444", '<p style="background: #222; color: #fff">a</p>'),
            *head(DARK_BACK % "#222", '<p class="note" style="background: #fff; color: #333">a</p>'),
        ],
        [
            *head(DARK % "#eee", '<p class="note" style="background: #222; color: #fff">a</p>'),
            *head(DARK_NOT % "#444", '<p class="dark-a" style="background: #222; color: #fff">a</p>'),
            *head(DARK_NOT % "#444", '<p style="color: #eee; background: #222">a</p>'),
            *head(DARK_BACK % "#eee", '<p class="note" style="background: #fff; color: #333">a</p>'),
        ],
    ),
    "small-text": (
        [*body('<p style="font-size: 11px">a</p>'), *body('<p style="font-size: 0.7em">a</p>')],
        [*body('<p style="font-size: 12px">a</p>'), *body('<p style="font-size: 9pt">a</p>')],
    ),
    "layout-table": (
        body("<table><tr><td>a</td></tr></table>"),
        [
            *body('<table role="presentation"><tr><td>a</td></tr></table>'),
            *body("<table><tr><th>a</th></tr></table>"),
        ],
    ),
    "duplicate-id": (body('<p id="a">a</p><p id="a">b</p>'), body('<p id="a">a</p><p id="b">b</p>')),
    "active-content": (
        [
            *body("<script>go()</script>"),
            *body('<iframe src="https://acme.example/"></iframe>'),
            *body('<p onclick="go()">a</p>'),
        ],
        body('<script type="application/ld+json">{}</script>'),
    ),
    "form": (body('<form action="https://acme.example/"></form>'), body("<p>form</p>")),
    "media": (body('<video src="https://acme.example/a.mp4"></video>'), body(IMAGE)),
    "remote-font": (
        [
            *head('<link rel="stylesheet" href="https://fonts.acme.example/a.css">'),
            *head("<style>@import url(https://fonts.acme.example/a);</style>"),
            *head("<style>@font-face { font-family: A; src: url(a.woff) }</style>"),
        ],
        head("<style>p { font-family: Inter, sans-serif }</style>"),
    ),
    "remote-style": (
        [
            *head('<link rel="stylesheet" href="https://acme.example/a.css">'),
            *head('<style>@import "https://acme.example/a.css";</style>'),
        ],
        head('<link rel="preconnect" href="https://acme.example/">'),
    ),
    "client-css": (body('<p style="border-radius: 4px">a</p>'), body('<p style="padding: 4px">a</p>')),
    "client-html": (body("<p><meter value='1'></meter></p>"), body("<p>a</p>")),
    "client-image": (
        body('<img src="https://acme.example/a.avif" alt="" width="9">'),
        body('<img src="https://acme.example/a.png" alt="" width="9">'),
    ),
    "client-layout": (
        [
            *body('<div style="display: flex">a</div>'),
            *body("<svg></svg>"),
            *body('<p style="color: var(--a)">a</p>'),
        ],
        body('<div style="display: block">a</div>'),
    ),
    "missing-subject": (front({}, subject=""), front({}, subject="Your order")),
    "missing-preheader": (front({}, preheader=" "), front({}, preheader="Soon")),
    "missing-title": ([checked(page(title=" "))], [checked(page(title="Your order"))]),
    "missing-lang": ([checked(page(html="<html>"))], [checked(page(html='<html lang="fr">'))]),
    "long-subject": (
        [*body(subject="a" * 79), *body(subject="{{ name }}", rendered=shown(subject="a" * 79))],
        [*body(subject="a" * 66 + "{{ name | default('another one') }}"), *body(subject="a" * 78)],
    ),
    "long-preheader": (
        body(preheader="a" * 131),
        [*body(preheader="a" * 130), *body(preheader="a" * 131, rendered=shown(preheader="a"))],
    ),
    "size-clipped": (sized(103_000), sized(90_000)),
    "size-near-clip": (sized(95_000), [*sized(80_000), *sized(103_000)]),
    "text-empty": (
        [*body(rendered=shown(text=" \n")), *front({"text": ""}, text="")],
        [*body(rendered=shown()), *body(text=""), *front({"text": "Your order"})],
    ),
    "literal-year": (
        [*body("<p>© 2024 Acme</p>"), *body("<p>Copyright &copy;\n 2024</p>")],
        [*body("<p>© {{ _year }} Acme</p>"), *body("<p>Founded in 2024</p>")],
    ),
    "list-unsubscribe": (
        [*body(link("{{ page_url }}", "Unsubscribe")), *front({"class": "bulk"})],
        [
            *body(link("{{ page_url }}", "Unsubscribe"), front={"listUnsubscribe": True}),
            *body(link("{{ page_url }}")),
        ],
    ),
    "bulk-unsubscribe": (
        front({"class": "bulk"}),
        [*front({"class": "bulk"}, link("{{ page_url }}", "Abmelden")), *front({"class": "alert"})],
    ),
    "spam-capitals": (
        body(subject="YOUR ORDER {{ name }}"),
        [
            *body(subject="Your OTP code"),
            *body(subject="IBM: 5"),
            *body(subject="您的订单已经发出并且很快送达"),
        ],
    ),
    "spam-exclamation": (
        [*body(subject="New! Today!"), *body("<p>Now!!</p>"), *body("<p>快\uff01\uff01</p>")],
        [*body(subject="New!"), *body("<p>Now! Here!</p>{% if name != 1 %}a{% endif %}")],
    ),
    "spam-phrase": (
        [
            *body("<p>Act now, it is a free\n gift.</p>"),
            *body(subject="Cliquez ici"),
            *body("<p>恭喜您中奖了</p>"),
            *body("<p>지금 구매하세요</p>"),
            *body("<p>Nur für kurze Zeit</p>"),
        ],
        body("<p>The contract now acts.</p>"),
    ),
    "hidden-text": (
        body('<p style="display: none">cheap pills</p>'),
        [
            [checked(page().replace("<p>", '<div style="display:none">Soon</div><p>', 1))][0],
            *head(
                "<style>@media (max-width: 600px) { .sm { display: block !important } }</style>",
                '<p class="sm" style="display: none">on a phone</p>',
            ),
        ],
    ),
    "image-only": (
        [checked(page(IMAGE).replace(f"<p>{WORDS}</p>", ""))],
        [checked(page(IMAGE))],
    ),
    "image-share": (body(IMAGE * 3), body(IMAGE)),
}
FIRES = [
    pytest.param(code, [one] if code[:6] != "locale" else bad, id=f"{code}-{number}")
    for code, (bad, _) in CASES.items()
    for number, one in enumerate(bad if code[:6] != "locale" else bad[:1])
]
SILENT = [pytest.param(code, good, id=code) for code, (_, good) in CASES.items()]
GETTERS = read_getters(
    """
class Mails:
    def __init__(self, product):
        self.names = {"_product_name": product}

    def order(self, name):
        return self.env.get_template("order.html").render(self.names, name=name)
"""
)


def codes(pages: Sequence[Checked], getters: Getters | None = None) -> set[str]:
    return {one.code for one in lint_all(pages, getters=getters)}


def test_every_rule_is_tried() -> None:
    """No rule is without a page on which it fires."""
    assert set(RULES) == set(CASES) | FROM_COMPILER


FROM_COMPILER = {code for code, rule in RULES.items() if rule.from_compiler}


def test_the_clean_page_is_clean() -> None:
    """What the other pages are made of has no findings of its own, not even notes."""
    assert [] == lint_all([checked(page())])
    assert [] == lint_all([checked(page(), source="<x-default></x-default>", form=COMPONENTS)])


@each(("code", "pages"), FIRES)
def test_a_rule_fires(code: str, pages: list[Checked]) -> None:
    """Each rule finds each of its faults, with its own severity, a place in a file and a way out."""
    found = [one for one in lint_all(pages, getters=GETTERS) if one.code == code]

    assert found, f"{code} is silent"
    assert all(isinstance(one, Finding) and one.file and one.cause and one.fix for one in found)
    assert {RULES[code].severity} == {one.severity for one in found}
    assert all(one.fix[-1] in ".?!;" and one.cause[-1] != "." for one in found)


@pytest.mark.parametrize(("code", "pages"), SILENT)
def test_a_rule_stays_silent(code: str, pages: list[Checked]) -> None:
    """No rule finds anything in the neighbours of its faults."""
    sets = [pages] if code.startswith("locale") else [[one] for one in pages]
    for one in sets:
        assert code not in codes(one, GETTERS)


@pytest.mark.parametrize("code", [code for code in CASES if not code.startswith(("locale", "unknown-lint"))])
def test_a_rule_is_switched_off_in_the_front_matter(code: str) -> None:
    """``lint: {ignore: [CODE]}`` silences a rule in its file, and no other."""
    one = CASES[code][0][0]
    off = replace(one, front={**one.front, "lint": {"ignore": [code]}})

    before, after = codes([one], GETTERS), codes([off], GETTERS)

    assert before - {code} == after


def test_severities_say_what_stops_a_mail() -> None:
    """Errors are for what is wrong in every mail: CI stops for nothing else unless it wants to."""
    errors = {
        code for code, rule in RULES.items() if rule.severity is Severity.ERROR and not rule.from_compiler
    }

    assert {
        "active-content",
        "jinja",
        "link-empty",
        "link-mailto",
        "link-script",
        "link-syntax",
        "size-clipped",
        "undeclared-variable",
        "unknown-filter",
        "unpassed-variable",
        "variable-in-code",
    } == errors
