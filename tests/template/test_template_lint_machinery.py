"""The check around its rules: places, switching off, what mail programs support, getters, reports."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.template import Finding, Severity, SourceForm
from postroom.template.lint import reports as lint_reports
from postroom.template.lint.case import Checked
from postroom.template.lint.clients import USUAL, chosen, support
from postroom.template.lint.contrast import ratio
from postroom.template.lint.css import Cascade, sheet_of
from postroom.template.lint.getters import read_getters
from postroom.template.lint.linting import lint, lint_all
from postroom.template.lint.page import Text, mask, read_page
from postroom.template.lint.rules import RULES
from template.lint_pages import checked, page

FAINT = '<p style="color: #aaaaaa">Faint</p>'
DATA = Path(__file__).resolve().parents[2] / "src" / "postroom" / "template" / "lint" / "data"


def places(one: Checked, code: str) -> list[tuple[str, int, int]]:
    return [(found.file, found.line, found.column) for found in lint(one) if found.code == code]


def test_places_are_exact_where_the_source_is_the_page() -> None:
    """In a page that is its own source, below front matter too, they are those of the thing."""
    html = page(f"{FAINT}\n  {FAINT.replace('#aaaaaa', '#bbbbbb')}")
    lines = html.splitlines()
    wanted = [(number, line.index("Faint") + 1) for number, line in enumerate(lines, 1) if "Faint" in line]

    plain = places(checked(html), "contrast")
    below = places(checked(html, source=f"---\nsubject: a\n---\n{html}"), "contrast")

    assert [("order.html", *place) for place in wanted] == plain
    assert [("order.html", line + 3, column) for line, column in wanted] == below


def test_places_are_found_by_words_elsewhere() -> None:
    """In a source in the component language, and in its components, the words of a thing are found."""
    html = page(
        '<a href="http://acme.example/{{ name }}">Track</a><a href="http://acme.example/logo">Logo</a>'
    )
    front = "---\ntitle: http://acme.example/@{{name}}\n---\n"
    source = f"{front}<x-card>\n  <a\n href='http://acme.example/@{{{{ name  }}}}'>T</a>"
    lent = {"components/card": "<div>\n<a href='http://acme.example/logo'>Logo</a></div>"}

    found = places(checked(html, source=source, form=SourceForm.COMPONENTS, components=lent), "link-insecure")

    assert [("order.html", 6, 8), ("components/card.html", 2, 10)] == sorted(found, reverse=True)


def test_components_that_are_not_used_have_no_part_in_places() -> None:
    """What another layout holds too is not said of it, nor is a layout's element of a file's own."""
    html = page('<div role="note"><div>One</div></div>')
    lent = {
        "layouts/letter": "<html>\n<div><yield /></div></html>",
        "components/note": "<div><yield /></div>",
    }

    def told(source: str) -> set[str]:
        one = checked(html, source=source, form=SourceForm.COMPONENTS, components=lent)
        return {found.file for found in lint(one) if "role" in found.cause and found.line}

    assert set() == told("<x-default />")
    assert set() == told("<x-default><x-note /></x-default>")
    assert {"layouts/letter.html"} == told("<x-letter><x-note /></x-letter>")


def test_a_comment_switches_a_rule_off_for_one_line() -> None:
    """A comment holds for the codes it names, on the next line that is not blank, and nowhere else."""
    two = page(
        f"<!-- lint-disable-next-line contrast, small-text -->\n\n{FAINT}\n{FAINT.replace('#a', '#b')}"
    )
    jinja = two.replace("<!--", "{#").replace("-->", "#}")
    other = two.replace("contrast,", "image-alt,")

    assert [1, 1, 2] == [len(places(checked(one), "contrast")) for one in (two, jinja, other)]
    assert "unknown-lint-code" not in {one.code for one in lint(checked(two))}


def test_a_code_that_does_not_exist_is_told_with_the_nearest() -> None:
    """A slip in a code is found where it stands."""
    found = [
        one
        for one in lint(checked(page("<!-- lint-disable-next-line contrst -->\n" + FAINT)))
        if one.code == "unknown-lint-code"
    ]

    assert ["Did you mean contrast?"] == [one.fix for one in found]
    assert found[0].line == 6


def test_errors_of_the_compiler_are_passed_on() -> None:
    """A source that does not compile has its errors, and a filter that there is not is named and placed."""
    error = Finding(
        code="jinja",
        severity=Severity.ERROR,
        file="order.html",
        cause="No filter named 'currncy'. (in the html: {{ total|currncy }})",
        fix="Correct the expression.",
    )
    broken = Checked(
        source=checked("", source="<p>\n@{{ total|currncy }}", form=SourceForm.COMPONENTS).source,
        errors=[error],
    )

    found = lint(broken)

    assert [("unknown-filter", 2, 11, "Did you mean currency?")] == [
        (one.code, one.line, one.column, one.fix) for one in found
    ]


def test_the_order_of_findings_is_that_of_the_file() -> None:
    """Findings come by line, and the same is not said twice."""
    found = lint(checked(page(f'{FAINT}<img src="http://acme.example/a.png">' * 3)))

    assert found == sorted(found, key=lambda one: (one.line, one.column))
    assert len(found) == len(set(found))


# What mail programs support.


def test_the_data_has_a_letter_for_each_client() -> None:
    """The vendored data is whole, names its source, version and date, and its licence lies beside it."""
    data = support()
    licence = (DATA / "client_support.LICENSE.txt").read_text()

    assert {len(data.clients)} == {len(letters) for letters in data.letters.values()}
    assert set("yanu") >= set("".join(data.letters.values()))
    assert re.fullmatch(r"caniemail [0-9.]+ \(npm\)", data.package)
    assert re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", data.updated)
    assert "MIT License" in licence
    assert "HTeuMeuLeu" in licence


def test_clients_can_be_chosen() -> None:
    """A family, one program of it, or all can be asked about; others are refused with what is known."""
    flex = checked(page('<div style="display: flex">a</div>'))

    def lacking(*names: str) -> list[str]:
        return [one.cause for one in lint(flex, clients=chosen(names)) if one.code == "client-layout"]

    assert ["display:flex: not in Outlook (Windows), Outlook (Windows Mail)"] == lacking(*USUAL)
    assert ["display:flex: not in Outlook (Windows)"] == lacking("outlook.windows", "gmail")
    assert [] == lacking("gmail", "apple-mail")
    assert chosen(["all"]) == set(support().clients)
    with pytest.raises(ValueError, match="no mail program 'netscape'; known are aol, apple-mail"):
        chosen(["netscape"])


@each(
    ("body", "title"),
    [
        ("<style>@media (min-width: 5px) { a:hover { color: red } }</style>", "@media"),
        ("<style>a:hover { color: red }</style>", ":hover"),
        ("<style>a > b { color: red }</style>", "Child combinator"),
        ("<style>a b { color: red }</style>", "Descendant combinator"),
        ("<style>.a.b { color: red }</style>", "Chaining selectors"),
        ("<style>a[href] { color: red }</style>", "Attribute selector"),
        ('<p style="width: calc(1px + 2px)">a</p>', "CSS calc() function"),
        ('<p style="width: 5vw">a</p>', "vw unit"),
        ('<p style="width: max-content">a</p>', "fit-content, min-content, max-content"),
        ('<p style="background: linear-gradient(red, blue)">a</p>', "linear-gradient()"),
        ('<p style="grid-template-columns: 1fr">a</p>', "grid-template-* properties"),
        ('<input type="checkbox">', '<input type="checkbox"> element'),
        ('<img src="data:image/png;base64,AA" alt="" width="9">', "Base 64 image format"),
        (
            '<img src="https://acme.example/a.WebP?x=1" alt="" width="9" srcset="a 2x">',
            "srcset and sizes attributes",
        ),
        ('<a href="#a">a</a>', "Local anchors"),
    ],
)
def test_features_are_known_by_their_signs(body: str, title: str) -> None:
    """Selectors, at-rules, values, elements, attributes, links and image formats are recognised."""
    found = lint(checked(page(body)), clients=chosen(["all"]))

    assert [one for one in found if one.cause.startswith(f"{title}: not in ")]


def test_what_is_in_a_conditional_comment_is_outlooks_business() -> None:
    """Nothing is claimed about what Outlook alone reads."""
    body = '<!--[if mso]><table><tr><td style="display: flex"><img></td></tr></table><![endif]-->'

    assert [] == lint(checked(page(body)))


# Getters.


def test_getters_are_read_without_running_them() -> None:
    """What a getter passes is known by its source; one that passes what cannot be seen tells nothing."""
    found = read_getters(
        "import nothing_like_this\nraise SystemExit\n",
        "def (",
        """
class A:
    def plain(self, a, b):
        return self.env.get_template("a-b.html").render({"_x": 1}, a=a, b=b)
    def hidden(self, **values):
        return self.env.get_template("c.html").render(**values)
    def chosen(self, name):
        return self.env.get_template(name).render()
""",
    )

    assert {"a-b": frozenset({"a", "b"})} == {name: one.passed for name, one in found.by_template.items()}
    assert {"_x"} == found.globals


# Pages, style sheets, colours.


@given(
    st.lists(
        st.sampled_from(["<", ">", "{{ a", "}}", "{%", "%}", "'", '"', "<p", "</p>", "<!--", "é\n", "a=b "])
    )
)
def test_the_reader_never_raises_and_keeps_places(parts: list[str]) -> None:
    """Whatever the junk, the mask is as long as the text, and every element begins where it says."""
    text = "".join(parts)
    found = read_page(text)

    assert len(text) == len(found.masked)
    assert text.count("\n") == found.masked.count("\n")
    assert all(text[one.at] == "<" for one in found.elements())


def test_expressions_may_hold_quotes_and_angles() -> None:
    """An expression ends where Jinja ends it, wherever it stands."""
    found = read_page(
        "<a href=\"{{ u(\"a>b\") }}\" {% if x > 1 %}class='b'{% endif %}>{{ '<i>' }}</a>"
        "{% raw %}{{ n }}{% endraw %}"
    )
    link = next(found.elements("a"))

    assert {"href": '{{ u("a>b") }}', "class": "b"} == {
        name: one.value for name, one in link.attributes.items()
    }
    assert ["{{ '<i>' }}"] == [one.value for one in link.children if isinstance(one, Text)]
    assert [] == list(found.elements("i"))
    assert mask("{% raw %}{{ n }}{% endraw %}")[0].count("{{ n }}") == 1


def test_end_tags_may_be_left_out_where_html_says_so() -> None:
    """List items, rows, cells and paragraphs end by what follows; nothing of it is told."""
    found = read_page("<ul><li>a<li>b</ul><table><tr><td>a<td>b<tr><td>c</table><p>a<p>b<div>c</div>")

    assert [] == found.unclosed
    assert {"ul"} == {one.parent.name for one in found.elements("li") if one.parent}
    assert ["tr", "tr", "tr"] == [one.parent.name for one in found.elements("td") if one.parent]


def test_the_cascade_is_that_of_css() -> None:
    """Weight, order, importance and the style attribute decide; rules of a screen size do not count."""
    found = read_page(
        "<style>p { color: red; width: 1px } .a { color: green } #i { color: blue } .a { width: 2px }"
        "@media (max-width: 600px) { p { color: black !important } } div .a { height: 3px !important }"
        "@media (prefers-color-scheme: dark) { .a\\:b { color: white !important } }"
        "td .a { top: 1px }</style>"
        '<div><p class="a a:b" id="i" style="height: 4px; left: 1px">x</p></div>'
    )
    element = next(found.elements("p"))
    light, dark = (Cascade.of(sheet_of(found), dark=dark).styles(element) for dark in (False, True))

    assert {"color": "blue", "width": "2px", "height": "3px", "left": "1px"} == light
    assert {**light, "color": "white"} == dark


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [((0, 0, 0), (1, 1, 1), 21.0), ((1, 1, 1), (1, 1, 1), 1.0), ((119 / 255,) * 3, (1, 1, 1), 4.48)],
)
def test_the_contrast_ratio_is_that_of_wcag(one: Any, other: Any, wanted: float) -> None:
    """Black on white is 21:1, and #777777 on white just misses 4.5:1."""
    assert wanted == pytest.approx(ratio(one, other), abs=0.005)
    assert ratio(one, other) == ratio(other, one)


# Reports.

FOUND = [
    Finding(
        code="contrast",
        severity=Severity.WARNING,
        file="a b.html",
        line=3,
        column=7,
        cause='"x" <on> & \x1b is 2:1',
        fix="Darken it.",
    ),
    Finding(code="link-empty", severity=Severity.ERROR, file="a b.html", cause="empty", fix="Fill it."),
    Finding(code="own-code", severity=Severity.NOTE, file="c.html", line=1, cause="other", fix="None."),
]


def test_sarif_has_what_the_standard_requires() -> None:
    """Required members of SARIF 2.1.0 are there, rules have help, and results point to them by number."""
    log = json.loads(lint_reports.as_sarif(FOUND, version="1.0"))
    (run,) = log["runs"]
    driver = run["tool"]["driver"]

    assert ("2.1.0", "postroom templates lint") == (log["version"], driver["name"])
    assert [*RULES, "own-code"] == [rule["id"] for rule in driver["rules"]]
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in driver["rules"])
    assert [one.code for one in FOUND] == [driver["rules"][one["ruleIndex"]]["id"] for one in run["results"]]
    assert ["warning", "error", "note"] == [one["level"] for one in run["results"]]
    assert all(one["message"]["text"] for one in run["results"])
    where = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert {"uri": "a%20b.html"} == where[0]["artifactLocation"]
    assert {"startLine": 3, "startColumn": 7} == where[0]["region"]
    assert "region" not in where[1]
    assert {"startLine": 1, "startColumn": 1} == where[2]["region"]


def test_junit_is_read_by_others() -> None:
    """Each file is a test case; errors fail it, and warnings when that is wished; the text survives XML."""
    plain, strict = (
        ET.fromstring(lint_reports.as_junit(FOUND, ["a b.html", "good.html"], strict=strict))  # noqa: S314 - ours
        for strict in (False, True)
    )

    assert ("3", "1") == (plain.get("tests"), plain.get("failures"))
    cases = {one.get("name"): one for one in strict.iter("testcase")}
    assert ["a b.html", "good.html", "c.html"] == list(cases)
    failure = cases["a b.html"].find("failure")
    assert failure is not None
    assert "2 findings: " in (failure.get("message") or "")
    assert '"x" <on> &  is 2:1' in (failure.text or "")
    assert cases["good.html"].find("failure") is None
    assert cases["c.html"].find("system-out") is not None


def test_json_has_every_finding() -> None:
    """One object with the files, the counts and the findings."""
    value = json.loads(lint_reports.as_json(FOUND, ["a b.html"]))

    assert {"error": 1, "warning": 1, "note": 1} == value["counts"]
    assert [one.cause for one in FOUND] == [one["cause"] for one in value["findings"]]
    assert {"code", "severity", "file", "line", "column", "cause", "fix"} == set(value["findings"][0])


def test_variants_of_one_language_are_not_compared() -> None:
    """A template with one variant has nothing to be compared with."""
    assert [] == lint_all([checked(page("{{ name }}")), checked(page(), name="other")])


def test_a_size_of_nothing_is_inherited_until_another_is_set() -> None:
    """What MJML sets to nothing around its columns hides no text; what stays at nothing is hidden."""
    column = '<div style="font-size: 0px"><div style="font-size: 13px; color: #aaa">Faint</div></div>'
    hidden = '<div style="font-size: 0px"><div>Pills</div></div>'

    assert {"contrast"} == {one.code for one in lint(checked(page(column)))}
    assert {"hidden-text"} == {one.code for one in lint(checked(page(hidden)))}


def test_a_background_in_short_is_a_colour_in_full() -> None:
    """``background`` sets and takes back colours and images, in dark mode by its importance."""
    sheet = "<style>@media (prefers-color-scheme: dark) { %s }</style>"
    body = '<div class="a" style="background-color: #ffffff"><p style="color: #333333">x</p></div>'

    def found(rule: str) -> list[str]:
        return [
            one.cause for one in lint(checked(page(body, head=sheet % rule))) if one.code[:8] == "contrast"
        ]

    assert ['"x": #333333 on #111111 is 1.49:1, less than 4.5:1'] == found(
        ".a { background: #111 !important }"
    )
    assert [] == found(".a { background: #111 }")
    assert [] == found(".a { background: #111 url(a.png) !important }")
    assert [] == found(".a { background: #111 !important } .a p { color: white !important }")


def test_rules_of_a_style_sheet_have_places() -> None:
    """What a style sheet uses is told with its line there."""
    head = "<style>\np { color: red }\n@media (max-width: 9px) {\n  a:hover { color: blue }\n}</style>"

    found = lint(checked(page(head=head)), clients=chosen(["outlook"]))

    assert {("@media", 5, 1), (":hover", 6, 3)} <= {
        (one.cause.partition(": not in")[0], one.line, one.column) for one in found
    }
