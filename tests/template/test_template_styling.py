"""Styles of pages: utility classes, inlining, what stays in the head, what comes out unchanged.

``styles/NAME.html`` are our own pages, ``styles/NAME.expected.html`` what Maizzle 5.0.8 made of them once
(``css.inline``, ``css.purge``, ``css.shorthand``; tailwindcss-preset-email 1.4.0; ``{{`` written ``@{{``).
"""

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postroom.mime.html import html_to_text
from postroom.model.template import Severity
from postroom.template.errors import SourceError
from postroom.template.jinja.tokens import constructs
from postroom.template.styles.styling import styled
from postroom.template.styles.utilities import utility_rules
from postroom.template.styles.utilities_data import catalogue
from postroom.template.styles.utilities_variants import variant_named
from template.style_maps import attributes, element_styles, head_rules

PAGES = Path(__file__).parent / "styles"
SHELF = {"global.css": "a { @apply text-slate-950 underline; }"}
THEME = {"colors": {"primary": "#f97316"}}
_PAGE = """<!DOCTYPE html>
<html><head><style>
  @import "mail/global.css";
  @tailwind utilities;
  %s
</style></head><body class="m-0">%s</body></html>
"""


@cache
def recorded(name: str) -> tuple[str, str]:
    source = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    return (PAGES / f"{name}.expected.html").read_text(encoding="utf-8"), styled(
        source, styles=SHELF, theme=THEME
    ).html


def page(content: str, css: str = "") -> str:
    return styled(_PAGE % (css, content), styles=SHELF, theme=THEME).html


def body(content: str, css: str = "") -> str:
    text = page(content, css)
    return text[text.index("<body") : text.rindex("</body>")].partition(">")[2]


def head(content: str, css: str = "") -> str:
    text = page(content, css)
    return text[: text.index("<body")]


@pytest.mark.parametrize("name", ["card", "rules", "shapes"])
def test_elements_have_the_styles_of_the_original(name: str) -> None:
    """Each element has the same style, classes and attributes, and the head has the same rules."""
    expected, actual = recorded(name)
    assert element_styles(expected) == element_styles(actual)
    assert attributes(expected) == attributes(actual)
    assert head_rules(expected) == head_rules(actual)
    assert len(actual) < len(expected)


def test_what_cannot_be_inlined_stays_in_the_head() -> None:
    """Rules for hovering and for small screens stay, under names that every client reads."""
    text = page('<p class="p-6 sm:p-4 hover:bg-primary/90">x</p>')
    assert ".hover-bg-primary-90:hover { background-color: rgb(249 115 22 / 0.9) !important }" in text
    assert "@media (max-width: 600px) {\n.sm-p-4 { padding: 16px !important }\n}" in text
    assert '<p class="sm-p-4 hover-bg-primary-90" style="padding:24px">x</p>' in text


def test_variables_of_composed_utilities_are_worked_out() -> None:
    """Gradients and transforms are composed of several classes, and end without variables."""
    text = body(
        '<p class="bg-gradient-to-r from-red-500 to-blue-500">x</p><p class="rotate-6 translate-x-2">x</p>'
    )
    assert "background-image:linear-gradient(to right, #ef4444, #3b82f6)" in text
    assert "transform:translate(8px, 0) rotate(6deg)" in text
    assert "var(" not in text
    assert "margin-top:8px;margin-bottom:0" in body('<div class="space-y-2"><p>1</p><p>2</p></div>')


def test_classes_under_a_condition_are_not_inlined() -> None:
    """What Jinja may leave out cannot be inlined: its rules stay in the head, and win there."""
    text = page(
        '<p class="m-0 {% if x %}p-4{% else %}own{% endif %}">x</p><p {% if y %}class="p-2"{% endif %}>y</p>',
        ".own { color: red }",
    )
    squeezed = re.sub(r" +", " ", text).replace('" {', '"{')
    assert '<p class="{% if x %} p-4 {% else %} own {% endif %}" style="margin:0">' in squeezed.replace(
        '" {', '"{'
    )
    assert ".p-4 { padding: 16px !important }" in text
    assert ".own { color: red !important }" in text
    assert 'class="p-2"' in text
    assert ".p-2 { padding: 8px !important }" in text


def test_attributes_that_jinja_writes_leave_their_rules_in_the_head() -> None:
    """Whether such a rule matches is known only when the mail is rendered."""
    css = '[dir="rtl"] p { color: red } #n1 { top: 0 } [lang] { left: 0 }'
    found = head('<div dir="{{ dir }}" lang="en"><p id="n{{ i }}">x</p></div>', css)
    assert '[dir="rtl"] p { color: red !important }\n#n1 { top: 0 !important }' in found
    assert "left" not in found


def test_calculations_of_one_unit_are_worked_out() -> None:
    """What clients without calc() would lose is written as its result; the rest stays short."""
    values = {
        "calc(4px + 2 * 3px)": "10px",
        "calc((4px + 6px) / 4)": "2.5px",
        "calc(100% - 2 * 8px)": "calc(100% - 16px)",
        "calc(8px * calc(1 - 0))": "8px",
        "calc(1px / 0)": "calc(1px / 0)",
        "max(0px, 1em)": "max(0px, 1em)",
        "0px": "0",
    }
    assert list(values.values()) == [
        body(f'<p style="width: {value}">x</p>').split('"')[1].removeprefix("width:") for value in values
    ]


def test_neighbours_in_a_loop_are_left_to_the_client() -> None:
    """A loop makes one row of the source many: rules about the first or the next one stay in the head."""
    rows = "<table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>"
    css = "tr:first-child td { color: red }"
    assert "tr:first-child td { color: red }" in head(rows, css)
    assert "color:red" not in body(rows, css)
    assert "color:red" in body("<table><tr><td>1</td></tr></table>", css)


def test_rows_and_their_loops_stay_where_they_are() -> None:
    """Text between rows is not moved out of its table, and tables get no element they did not have."""
    row = '<tr>\n <td class="p-2">{{ r }}</td>\n </tr>'
    assert (
        '<table cellpadding="0" cellspacing="0" role="none">{% for r in rows %}'
        '<tr><td style="padding:8px">{{ r }}</td></tr>{% endfor %}</table>'
    ) == body(f"<table>\n {{% for r in rows %}}\n {row}\n {{% endfor %}}\n</table>")


def test_what_is_no_tag_comes_out_as_it_went_in() -> None:
    """Doctype, entities, conditional comments, VML and Jinja are kept to the letter."""
    kept = [
        "&#8199;&#65279;&#847; &zwj;&emsp;&nbsp;&copy;\u200d",
        '<!--[if mso]><v:rect fill="t" style="width:9pt"><v:fill src="{{ u }}" /><![endif]-->',
        "<!--[if !mso]><!--><i>x</i><!--<![endif]-->",
        '<a href="{{ u }}?a=1&amp;b={{ "}}<b>"|urlencode }}">x</a>',
        "{% raw %}  {{ <not a tag }}  {% endraw %}",
        "<pre>  two\n   lines </pre>",
    ]
    text = styled(f'<!doctype HTML PUBLIC "x">\n<html><body>{" ".join(kept)}</body></html>').html
    assert text.startswith('<!doctype HTML PUBLIC "x">')
    for piece in kept:
        assert piece in text


def test_classes_in_conditional_comments_are_inlined() -> None:
    """Outlook's own elements get what their classes say, and nothing else in the comment changes."""
    assert (
        '<!--[if mso]><i style="mso-font-width:150%;mso-text-raise:31px" hidden>&emsp;</i>'
        '<v:rect  fill="t"/><![endif]-->'
    ) == body(
        '<!--[if mso]><i class="mso-font-width-[150%]" style="mso-text-raise: 31px" hidden>&emsp;</i>'
        '<v:rect  fill="t"/><![endif]-->'
    )
    ghost = body('<!--[if mso]><table class="w-full"><tr><td class="td x"><![endif]-->', "td .x { top: 0 }")
    assert '<table style="width:100%" cellpadding="0" cellspacing="0" role="none"><tr><td class="x">' in ghost


def test_comments_for_authors_and_indentation_go() -> None:
    """Ordinary comments are left out, blanks become one; words never run together."""
    assert "<p>one <b>two</b>\nthree</p>" in body("<!-- note -->   <p>one   <b>two</b>\n\n     three</p>")
    assert "<!-- {% if x %} -->" in body("<!-- {% if x %} -->a<!-- {% endif %} -->")


def test_a_style_with_jinja_in_it_is_kept() -> None:
    """A style that Jinja composes stays as it is, behind what the rules give."""
    text = body('<p class="m-0" style="{% if x %}color: red;{% endif %} width: {{ w }}px">x</p>')
    assert 'style="margin:0;{% if x %}color: red;{% endif %} width: {{ w }}px"' in text
    assert 'style="color:{{ c }};margin:0"' in body('<p class="m-0" style="color: {{ c }}">x</p>')
    assert '<p style="{{ s }}">' in body('<p style="{{ s }}">x</p>')


def test_sheets_with_jinja_stay_in_the_head() -> None:
    """Rules that Jinja chooses are not inlined; values it prints are."""
    css = (
        "{% if dark %}.q { color: white }{% endif %} .r { color: {{ c }} }"
        " .s { {% if x %}top: 0;{% endif %} }"
    )
    text = page('<p class="q r s">x</p>', css)
    assert "{% if dark %}\n.q { color: white }\n{% endif %}" in text
    assert "{% if x %}" in text
    assert 'style="color:{{ c }}"' in text


def test_layers_and_apply() -> None:
    """A layer stands where its directive is; applied variants become rules of their own."""
    css = """@layer components { .btn { @apply p-4 hover:underline sm:p-2; color: theme(colors.red.500) } }
    .big { @apply btn text-lg !important; }"""
    text = page('<a class="btn p-1">x</a><b class="big">y</b>', css)
    assert "color:#ef4444" in text
    assert ".btn:hover { text-decoration: underline }" in text
    assert "@media (max-width: 600px) {\n.btn { padding: 8px }\n}" in text
    assert "font-size:18px" in text


@pytest.mark.parametrize(
    ("css", "code"),
    [
        ('@import "nowhere.css";', "unknown-import"),
        (".a { @apply no-such-thing }", "unknown-apply"),
        (".a { color: theme(colors.slat.200) }", "unknown-theme-value"),
    ],
)
def test_names_that_do_not_exist_are_errors(css: str, code: str) -> None:
    """What a style sheet asks for and nobody has stops the compilation."""
    with pytest.raises(SourceError) as caught:
        page("", css)
    assert [code] == [finding.code for finding in caught.value.findings]


def test_style_sheets_cannot_reach_files_or_the_network() -> None:
    """Imports name the shelf alone; remote ones and links stay as they are, and circles end."""
    with pytest.raises(SourceError):
        page("", '@import "/etc/passwd";')
    assert "@import url(https://example.com/x.css);" in head("", "@import url(https://example.com/x.css);")
    with pytest.raises(SourceError) as caught:
        styled('<style>@import "a.css";</style>', styles={"a.css": '@import "a.css";'})
    assert "circle" in caught.value.findings[-1].cause


def test_what_css_does_not_allow_is_a_warning_with_its_place() -> None:
    """A declaration that cannot be read is named with file and line, and left out."""
    found = styled(_PAGE % ("", "<p>x</p>"), styles={"global.css": "a {\n  color red;\n  top: 0 }"}).findings
    assert [("css-syntax", Severity.WARNING, "global.css", 2)] == [
        (each.code, each.severity, each.file, each.line) for each in found
    ]


def test_unknown_utilities_are_a_warning() -> None:
    """A class that looks like a utility and is none is named, with the nearest."""
    found = styled(
        _PAGE % (".own { top: 0 }", '<p class="bg-slat-500 own mine">x</p>'), styles=SHELF
    ).findings
    assert [("unknown-class", "Did you mean «bg-slate-500»?")] == [(each.code, each.fix) for each in found]


def test_an_image_without_text_is_a_warning() -> None:
    """It gets an empty alt, so that nobody hears a file name, and its author is told."""
    found = styled('<img src="{{ u }}"><img src="x.png" alt="x"><img>')
    assert '<img src="{{ u }}" alt=""><img src="x.png" alt="x"><img alt="">' == found.html.strip()
    assert ["the image {{ u }} has no alt", "the image without a source has no alt"] == [
        each.cause for each in found.findings
    ]


def test_the_same_page_gives_the_same_bytes() -> None:
    """Nothing depends on the order of a set: classes in another order give the same rules."""
    one = page('<p class="sm:p-4 hover:underline dark:hidden xs:m-0 p-2">x</p>')
    two = page('<p class="p-2 xs:m-0 dark:hidden hover:underline sm:p-4">x</p>')
    assert re.sub(r' class="[^"]*"', "", one) == re.sub(r' class="[^"]*"', "", two)
    assert one == page('<p class="sm:p-4 hover:underline dark:hidden xs:m-0 p-2">x</p>')


_PIECES = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            '<p class="m-0 sm:p-4">',
            "<table>",
            "<tr>",
            "<td class='p-2'>",
            "</td>",
            "</tr>",
            "</table>",
        ),
        *(
            "<b ",
            ">",
            '"',
            "'",
            "=",
            "<",
            "</",
            "<!--",
            "-->",
            "<!--[if mso]>",
            "<![endif]-->",
            "word",
            " ",
            "\n",
            "&amp;",
        ),
        *(
            "<style>",
            "</style>",
            ".a { color: red }",
            "@tailwind utilities;",
            "@media (x) {",
            "}",
            "{",
            ";",
            "@apply p-4;",
        ),
        *(
            "{{ x }}",
            "{% if x %}",
            "{% endif %}",
            "{% for x in y %}",
            "{% endfor %}",
            "{# c #}",
            'style="color: {{ c }}"',
        ),
        *(
            'style="top: 0',
            'class="',
            "<img src=x>",
            "<pre>",
            "</pre>",
            "<html>",
            "<head>",
            "<body>",
            "</body>",
            "é\u0000",
        ),
    ]
)


@settings(max_examples=2 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_PIECES | st.text(max_size=4), max_size=25).map("".join))
@example('<p style="{{ x }}" class="{{ y }} p-4">')
def test_any_page_can_be_styled(source: str) -> None:
    """Whatever the page, nothing but SourceError is raised, and what is printed by Jinja stays."""
    try:
        text = styled(source).html
    except SourceError:
        return
    if "<style" not in source and "<!--" not in source:
        assert [source[a:b] for a, b in constructs(source)] == [text[a:b] for a, b in constructs(text)]


_WORDS = st.text("abc éß{}", min_size=1, max_size=6).map(lambda text: text.replace("{", "").replace("}", ""))
_FLOW = st.recursive(
    _WORDS | st.sampled_from(["{{ a }}", "&nbsp;", "{% if a %}b{% endif %}", "<br>", " \n "]),
    lambda inner: st.tuples(
        st.sampled_from(["p", "b", "div", "span", "pre", "td"]), st.lists(inner, max_size=3)
    ).map(
        lambda pair: (
            f'<table role="none" class="w-full"><tr><td class="p-4">\n{"".join(pair[1])}</td>\n </tr></table>'
            if pair[0] == "td"
            else f'<{pair[0]} class="m-0 text-sm sm:p-4">{"".join(pair[1])}</{pair[0]}>'
        )
    ),
    max_leaves=12,
)


@given(st.lists(_FLOW, max_size=4).map("".join))
def test_the_text_of_a_page_stays_the_same(content: str) -> None:
    """What a reader sees as text is the same before and after, blanks included."""
    before = _PAGE % ("", content)
    assert html_to_text(before) == html_to_text(styled(before, styles=SHELF, theme=THEME).html)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("<div>" * 500, "page-depth"),
        ("<p>\ud800</p>", "text-encoding"),
        ("<style>.a { @apply b b } .b { @apply a a }</style>", "circular-apply"),
        ("<style>.a { @apply a }</style>", "circular-apply"),
    ],
)
def test_what_would_not_end_is_refused(source: str, code: str) -> None:
    """Nesting without bound, circles and half characters are errors of the source."""
    with pytest.raises(SourceError) as caught:
        styled(source)
    assert code == caught.value.findings[0].code


@pytest.mark.parametrize(
    "source",
    [
        "<style>a{b:" + "(" * 5000 + "</style>",
        "<style>" + "@media x{" * 3000 + "</style>",
        "<a " * 20_000,
        '<a "' * 20_001,
        "{{ " * 20_000,
        "<style>:root{"
        + "".join(f"--v{i}:{f'var(--v{i + 1}) ' * 10};" for i in range(8))
        + "}.a{color:var(--v0)}</style><p class=a>",
        "<style>.a0,.a0.a0{@apply hover:p-1}"
        + "".join(f".a{i},.a{i}.a{i}{{@apply a{i - 1}}}" for i in range(1, 30))
        + "</style><p class=a29>",
    ],
)
@pytest.mark.timeout(10)
def test_hostile_pages_take_no_more_time_than_others(source: str) -> None:
    """What is never closed, nested or multiplied ends in linear time, without a crash."""
    assert styled(source).html


def test_classes_of_layers_have_variants() -> None:
    """``sm:btn`` is the class of a layer on small screens; others have none, and are told."""
    css = "@layer components { .btn { @apply p-2 hover:underline; color: red } } .own { color: blue }"
    got = head('<p class="btn sm:btn sm:own">x</p>', css)
    assert {
        "color": "red !",
        **{f"padding-{side}": "8px !" for side in ("top", "right", "bottom", "left")},
    } == (head_rules(got)["@media (max-width:600px)", ".sm-btn"])
    assert "sm-own" not in got
    findings = styled(_PAGE % (css, '<p class="sm:own">x</p>'), styles=SHELF).findings
    assert ["unknown-class"] == [finding.code for finding in findings]


def test_an_applied_class_brings_its_states() -> None:
    """What a class does when it is pointed at, ``@apply`` of the class does then, too, and not always."""
    css = ".btn { @apply p-2 hover:underline sm:p-1 } .red { @apply btn; color: red }"
    source = '<p class="red">x</p>'
    assert '<p class="red" style="padding:8px;color:red">x</p>' in body(source, css)
    rules = head_rules(head(source, css))
    assert {"text-decoration": "underline"} == rules["", ".red:hover"]
    assert ("@media (max-width:600px)", ".red") in rules


def test_children_and_media_of_sheets() -> None:
    """``*:p-1`` styles the children; a sheet that is for print alone is not inlined for everybody."""
    assert '<div><b style="padding:4px">x</b></div>' in body('<div class="*:p-1"><b class="p-2">x</b></div>')
    got = styled(
        '<style media="print">p { color: red }</style><style media="Screen">p { top: 0 }</style><p>x</p>'
    )
    assert '<p style="top:0">x</p>' in got.html
    assert '<style media="print">\np { color: red }\n</style>' in got.html


def test_a_link_that_asks_for_its_sheet_is_inlined() -> None:
    """``inline`` or ``expand`` on a link brings the sheet of the directory in; other links stay."""
    sheets = {"css/brand.css": ".q { color: red }", "more.css": ".q { margin: 0 }"}
    source = (
        '<head><link rel="stylesheet" href="css/brand.css" inline>'
        '<link expand rel="stylesheet" href="more.css">'
        '<link rel="stylesheet" href="https://fonts.example/a.css" inline></head><p class="q">x</p>'
    )
    got = styled(source, styles=sheets).html.replace("\n", "")
    assert '<head><link rel="stylesheet" href="https://fonts.example/a.css"></head>' in got
    assert '<p style="color:red;margin:0">x</p>' in got
    with pytest.raises(SourceError, match=r"nowhere\.css"):
        styled('<link rel="stylesheet" href="nowhere.css" inline>', styles=sheets)


def test_tables_of_data_stay_tables_for_readers() -> None:
    """A caption, a head or cells with a scope mean data: the table gets no role, its rows stay lines."""
    inner = "<tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td><td>2 €</td></tr>"
    data = f"<table><thead>{inner}</thead></table>"
    assert '<table cellpadding="0" cellspacing="0">' in styled(data).html
    assert "Item: Price\nTea: 2 €" == html_to_text(styled(data).html).strip()
    assert 'role="none"' in styled(f"<table>{inner}</table>").html
    around = styled(f"<table><tr><td>{data}</td></tr></table>").html
    assert ['role="none"', ""] == [
        each.strip() for each in re.findall(r'<table[^>]*cellspacing="0"([^>]*)', around)
    ]


def test_the_page_about_styles_says_what_is() -> None:
    """The classes, the sheet and the theme of the documentation work as it says."""
    text = (PAGES.parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
    section = text.partition("\n## Styles\n")[2].partition("\n## ")[0]
    theme = tomllib.loads(section.partition("```toml\n")[2].partition("```")[0])
    known = catalogue(theme)
    rows = section.partition("|---|---|\n")[2].partition("\n\n")[0].splitlines()
    named = {name for row in rows[:6] for cell in re.findall(r"`([^`]+)`", row) for name in cell.split()}
    assert 25 < len(named)
    assert set() == {name for name in named if not utility_rules(name, known)}
    clients = re.findall(r"`([a-z0-9-]+):`", rows[6])
    assert 8 == len(clients)
    assert set() == {name for name in clients if variant_named(name, known.screens) is None}
    for name in ("bg-primary/50", "text-brand", "bg-brand-light", "w-13", "md:hidden", "font-display"):
        assert utility_rules(name, known), name
    sheet = section.partition("```html\n")[2].partition("```")[0]
    assert "max-width:100%" in styled(f"{sheet}<img alt=''>", styles=SHELF, theme=theme).html
