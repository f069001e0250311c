# ruff: noqa: E501 -- sources and lists of small sources
"""The component language: the same results as the tool chain it comes from, and what is ours on purpose."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from each_row import each
from postroom.model.template import Finding, Severity, Shelf, TemplateSource
from postroom.template.errors import SourceError
from postroom.template.language import expansion
from postroom.template.language.expansion import Expanded, expand
from postroom.template.shelves import with_shipped
from template.language_cases import CASES, shape

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "language.json").read_text(encoding="utf-8"))

LANGUAGE = [
    Path(expansion.__file__).with_name(f"{name}.py")
    for name in ("front_matter", "markup", "evaluation", "expansion", "cupboard", "slots", "script")
]
NO_CODES = {"not-outlook"}


def made(source: str, **components: str) -> Expanded:
    """Expand a source with components by name."""
    shelf = Shelf(components={f"components/{name}": text for name, text in components.items()})
    return expand(TemplateSource(name="mail", file="emails/mail.html", text=source), shelf)


def refused(source: str, **components: str) -> tuple[Finding, ...]:
    """Expand a source that is wrong, and return what is found."""
    with pytest.raises(SourceError) as error:
        made(source, **components)
    return error.value.findings


def test_later_values_of_scripts() -> None:
    """What a script gives may hold values that come with the mail, wherever it is printed."""
    card = """<script props>module.exports = { a: props.a, b: '<b>@{{ k }}</b>', l: ['@{{ l|join(", ") }}'] }</script>
        <p title="{{ a }} {{ l[0] }}">{{ b }}{{{ b }}}<each loop="i in l">{{ i }}</each></p>"""
    page = made('<x-card a="@{{ x }}" />', card=card).html.strip()
    body = """&lt;b&gt;{{ k }}&lt;/b&gt;<b>{{ k }}</b>{{ l|join(", ") }}"""
    assert f"""<p title="{{{{ x }}}} {{{{ l|join(", ") }}}}">{body}</p>""" == page


@each("name", CASES)
def test_same_structure_as_the_original(name: str) -> None:
    """A source that uses one thing of the language gives the structure its own tool chain gives."""
    case = CASES[name]
    html = expand(TemplateSource(name="case", text=case.source), Shelf(components=case.components)).html
    if case.differs:
        assert RECORDED[name].strip() != html.strip(), "it does not differ any more"
    else:
        assert shape(RECORDED[name]) == shape(html)


def test_the_guides_example() -> None:
    """Front matter, a component with props, its body, a slot and a condition come out as plain HTML."""
    card = """<script props>module.exports = { title: props.title, lang: props.lang || "en" }</script>
        <table><tr><td><h1>{{ title }}</h1><yield />
        <if condition="lang === 'fr'">Merci,</if><else>Thanks,</else>
        <if condition="$slots.footer?.filled"><hr><slot:footer /></if></td></tr></table>"""
    page = made(
        "---\npreheader: Welcome to @{{\n  _product_name }}!\n---\n"
        '<x-card title="Hello @{{name}}" lang="fr">Body<fill:footer>Foot</fill:footer></x-card>',
        card=card,
    )
    assert "Welcome to {{ _product_name }}!" == page.front.preheader
    assert ("components/card",) == page.used
    assert '<table lang="fr"><tr><td><h1>Hello {{ name }}</h1>Body' in page.html.replace("\n", "")
    assert "Merci," in page.html
    assert "Thanks," not in page.html
    assert "<hr>Foot</td>" in page.html
    assert () == page.findings


def test_jinja_passes_through_everywhere() -> None:
    """Expressions for the rendering stay whole in texts, attributes, among attributes and through props."""
    box = "<script props>module.exports = {t: props.t}</script><p title='{{ t }}'>{{ t }}</p>"
    source = (
        '{% if a < b %}<i>@{{ x|default("you") }}</i>{% endif %}{# <x-none> #}'
        '<td {% if wide %}width="5"{% endif %} class="@{{ k }}">@{{a}}</td>'
        """<x-box t="@{{ user['name']|default("nobody") }}" />"""
    )
    html = made(source, box=box).html
    assert '{% if a < b %}<i>{{ x|default("you") }}</i>{% endif %}{# <x-none> #}' in html
    assert '<td {% if wide %} width="5" {% endif %} class="{{ k }}">{{ a }}</td>' in html
    assert """<p title="{{ user['name']|default("nobody") }}">""" in html
    assert """>{{ user['name']|default("nobody") }}</p>""" in html


def test_quotes_and_marks_inside_expressions() -> None:
    """An expression may hold quotes, ``>``, braces and strings that look like its end."""
    assert (
        '<p title="x &gt; y 1 a">}}</p>'
        == made("""<p title="{{ "x > y" }} {{ {a: 1}.a }} {{ `a` }}">{{ "}}" }}</p>""").html
    )


def test_the_year_is_that_of_the_rendering() -> None:
    """``new Date().getFullYear()`` is filled in when mail is rendered, also through props and templates."""
    box = (
        "<script props>module.exports = {y: new Date().getFullYear()}</script><b>{{ y }} {{ `(c) ${y}` }}</b>"
    )
    html = made(
        "&copy; {{ new Date().getFullYear() }} 2020-{{ '' + new Date().getFullYear() }}<x-box />", box=box
    ).html
    assert "&copy; {{ _year }} 2020-{{ _year }}<b>{{ _year }} (c) {{ _year }}</b>" == html
    assert "2020" == made("{{ new Date('2020-02-01').getFullYear() }}").html


@pytest.mark.parametrize(
    "code", ["new Date().getMonth()", "Date.now()", "+new Date()", "new Date().getFullYear() - 1", "Date()"]
)
def test_the_day_of_compiling_is_refused(code: str) -> None:
    """What else the build's day would print is an error that says so."""
    (found,) = refused(f"{{{{ {code} }}}}")
    assert "script-failed" == found.code
    assert "the day of compiling is no part of a template" in found.cause


def test_a_sum_with_the_year_is_refused() -> None:
    """Adding to the year would print a wrong one: it is an error that shows the Jinja way."""
    (found,) = refused("{{ new Date().getFullYear() + 1 }}")
    assert "year-sum" == found.code
    assert "@{{ _year + 1 }}" in found.fix


def test_unknown_names() -> None:
    """A name nobody knows is an error with its place that shows how to write a value of the mail."""
    (found,) = refused("---\nsubject: s\n---\n\n<p>a\n b {{ user.name }}</p>")
    assert ("unknown-name", "emails/mail.html", 6, 4) == (found.code, found.file, found.line, found.column)
    assert "@{{ user }}" in found.fix
    (condition,) = refused('<if condition="vip">a</if>')
    assert "unknown-name" == condition.code
    assert "{% if name %}" in condition.fix
    (loop,) = refused('<each loop="line in lines">a</each>')
    assert "{% for line in lines %}" in loop.fix


def test_values_that_are_not_there() -> None:
    """A known name without value is an error in a text and in a link, and leaves out other attributes."""
    box = "<script props>module.exports = {t: props.t}</script>"
    (text,) = refused("<x-box />", box=box + "<p>{{ t }}</p>")
    assert ("undefined-value", "emails/mail.html", 1) == (text.code, text.file, text.line)
    assert "<x-box>: t has no value here (components/box.html line 1)" == text.cause
    (link,) = refused("<x-box />", box=box + '<a href="{{ t }}">l</a>')
    assert "href" in link.cause
    assert "<p>x</p>" == made("<x-box />", box=box + '<p title="{{ t }}">x</p>').html
    partly = made("<x-box />", box=box + '<p class="a {{ t }}">x</p>')
    assert '<p class="a ">x</p>' == partly.html
    assert ["undefined-value"] == [one.code for one in partly.findings]


def test_what_a_component_lacks_is_told_where_the_template_calls_it() -> None:
    """Each call is named, also one in another component's content, and not the layout around it."""
    box = "<script props>module.exports = {t: props.t}</script><p>{{ t }}</p>"
    source = "<x-outer>\n<x-box />\n<x-box t='a' />\n<x-box />\n</x-outer>"
    found = refused(source, box=box, outer="<div><yield /></div>")
    assert [("emails/mail.html", 2), ("emails/mail.html", 4)] == [(one.file, one.line) for one in found]
    (inner,) = refused("\n<x-outer />", box=box, outer="<div>\n\n<x-box /></div>")
    assert ("emails/mail.html", 2) == (inner.file, inner.line)
    assert "<x-outer>: t has no value here (components/box.html line 1)" == inner.cause


def test_every_error_is_named_at_once() -> None:
    """Errors in several places are all found in one go, each in its file and line."""
    found = refused(
        "<x-buton />\n<p>{{ a }}</p>\n<else>b</else>\n<x-box />\n<switch expression='1'><p></p></switch>",
        button="<b></b>",
        box="<p>\n{{ 1 + }}</p>",
    )
    assert {
        ("unknown-component", "emails/mail.html", 1),
        ("unknown-name", "emails/mail.html", 2),
        ("stray-else", "emails/mail.html", 3),
        ("script-syntax", "components/box.html", 2),
        ("switch-content", "emails/mail.html", 5),
    } == {(one.code, one.file, one.line) for one in found}
    assert "Did you mean <x-button>?" in next(one.fix for one in found if one.code == "unknown-component")


def test_recursion_names_its_chain() -> None:
    """A component that uses itself without end is an error that names who used whom."""
    (found,) = refused("<x-a />", a="<p><x-b /></p>", b="<i><x-a /></i>")
    assert "component-recursion" == found.code
    assert "components/a > components/b" in found.cause
    tree = (
        "<script props>module.exports = {n: props.n}</script><i>{{ n }}</i>"
        "<if condition='n > 1'><x-t n='{{ n - 1 }}' /></if>"
    )
    assert "<i>3</i><i>2</i><i>1</i>" == made('<x-t n="3" />', t=tree).html


@pytest.mark.parametrize(
    ("source", "code", "column"),
    [
        ("<p><if>x</if></p>", "attribute-missing", 4),
        ("<p><stack /></p>", "attribute-missing", 4),
        ('<p><scope with="1">x</scope></p>', "scope-object", 4),
        ("<div>" * 200, "nested-too-deeply", 751),
        ("<p>{{ [...Array(1e8)].length }}</p>", "script-limit", 4),
    ],
)
def test_tags_and_code_that_cannot_be(source: str, code: str, column: int) -> None:
    """Each has its own code, and the place in the file."""
    found = refused(source)[0]
    assert (code, 1, column) == (found.code, found.line, found.column)


def test_three_braces_for_later_are_a_warning() -> None:
    """A value of the mail is escaped however many braces it has, and the author is told."""
    page = made("<p>@{{{ x }}}</p>")
    assert ["triple-braces"] == [one.code for one in page.findings]
    assert "<p>{{ x }}</p>" in page.html


def test_unknown_attributes() -> None:
    """An attribute that a component with props never mentions is a warning; HTML's and used ones are not."""
    box = "<script props>module.exports = {colour: props.colour, w: props['m-w']}</script><p>{{ w }}</p>"
    page = made(
        '<x-box color-x="1" colour="red" m-w="2" title="t" data-a="b" aria-b="c" bgcolor="d" />', box=box
    )
    assert [("unknown-attribute", "<x-box> takes no attribute color-x")] == [
        (f.code, f.cause) for f in page.findings
    ]
    assert Severity.WARNING is page.findings[0].severity
    assert () == made('<x-box anything="1" />', box="<p></p>").findings


def test_lang_is_announced() -> None:
    """``lang`` of a component is on its outermost element, unless that has one; also through a component."""
    plain = "<script props>module.exports = {lang: props.lang || 'en'}</script><!-- a --><p>{{ lang }}</p>"
    assert '<p lang="fr">fr</p>' == made('<x-a lang="fr" />', a=plain).html
    assert "<p>en</p>" == made("<x-a />", a=plain).html
    assert (
        '<p lang="de">x</p>'
        == made('<x-a lang="fr" />', a=plain[: plain.index("<!--")] + '<p lang="de">x</p>').html
    )
    outer = "<script props>module.exports = {lang: props.lang || 'en'}</script><x-a lang='{{ lang }}' />"
    assert '<p lang="fr">fr</p>' == made('<x-b lang="fr" />', a=plain, b=outer).html
    assert '<p lang="@">en</p>'.replace("@", "{{ l }}") == made('<x-a lang="@{{ l }}" />', a="<p>en</p>").html


def test_attributes_reach_through_components() -> None:
    """A class for a component whose outermost element is another component's lands there."""
    assert '<p class="a b">x</p>' == made('<x-b class="b" />', a='<p class="a">x</p>', b="<x-a />").html


def test_remarks_are_dropped() -> None:
    """Remarks of authors are no part of a mail, conditional comments are; code in a remark is not run."""
    source = "<!-- {{ oops( }} --><p>x</p><!--[if mso]>{{ 1 + 1 }}<![endif]--><![if !mso]>y<![endif]>"
    assert "<p>x</p><!--[if mso]>2<![endif]--><![if !mso]>y<![endif]>" == made(source).html


def test_unbalanced_parts_stay() -> None:
    """Tags that an author opens in one condition and closes in another come out as they are."""
    source = '<if condition="true"><table><tr></if><td>x</td><if condition="true"></tr></table></if>'
    assert "<table><tr><td>x</td></tr></table>" == made(source).html


def test_characters_nobody_can_hold() -> None:
    """NUL and half characters are refused in a template and in a component, with file and line."""
    assert ("source-characters", 2) == (refused("a\n\0")[0].code, refused("a\nb\ud800")[0].line)
    assert "components/a has a NUL" in refused("<x-a />", a="\udc00")[0].cause


def test_tags_that_are_not_there() -> None:
    """Tags of the original that are not supported are errors, not left in the mail."""
    found = refused("<fetch url='a'></fetch><md>b</md><markdown>c</markdown><extends src='d'></extends>")
    assert ["unsupported-tag"] * 4 == [one.code for one in found]
    assert "<p>x</p>" == made("<plaintext>only text</plaintext><not-plaintext><p>x</p></not-plaintext>").html


def test_loops_over_nothing_and_too_much() -> None:
    """A list that a component was not given is empty; no list, too long and too many are errors."""
    assert "<p></p>" == made("<x-a />", a='<p><each loop="x in items">{{ x }}</each></p>').html
    assert "loop-list" == refused('<each loop="x in 5">a</each>')[0].code
    assert "loop-list" == refused('<each loop="x in Array(1e6)">a</each>')[0].code
    assert "loop-syntax" == refused('<each loop="list">a</each>')[0].code
    many = '<each loop="x in Array(1000)">' + "<b>a</b>" * 200 + "</each>"
    assert "too-large" == refused(many)[-1].code


def test_scripts_that_fail() -> None:
    """A component's script that fails is an error in its file and line, in words an author understands."""
    (found,) = refused("<x-a />", a="<p></p>\n<script props>module.exports = {t: props.a.b}</script>")
    assert ("script-failed", "components/a.html", 2) == (found.code, found.file, found.line)
    assert "reads b of something that has no value" in found.cause
    (modules,) = refused("<x-a />", a="<script props>require('fs')</script>")
    assert "modules are not available" in modules.cause


def test_front_matter_sees_itself() -> None:
    """Texts of the front matter are evaluated without escaping, and are what ``page`` says."""
    page = made(
        "---\nname: A & B\nsubject: Of {{ page.name }} for @{{n}}\nvariables:\n  n: '{{ x }}'\n---\n"
        "{{ page.subject }}"
    )
    assert "Of A & B for {{ n }}" == page.front.subject
    assert "Of A &amp; B for {{ n }}" == page.html
    assert "{{ x }}" == (page.front.variables or {})["n"].example


LETTERS = "abcdefghijklmnopqrstuv"
JUNK = st.lists(
    st.sampled_from(
        [
            "---\n", "a: ", "@{{ x }}", "{{ ", " }}", "{{{ page.a }}}", "{{ 1 }}", "<x-a", "<x-a>", "</x-a>", " t='", "'", ">",
            "<x-b a='{{ y }}' />", "<x-none/>", '<if condition="1">', "<if condition=''>", "<if>", "</if>", "<else>", "</else>",
            "<elseif condition='z'>", "<each loop='q in [1,2]'>", "<each loop='q'>", "</each>", "<switch expression='1'>",
            "<case n='1'>", "</case>", "</switch>", "<fill:s>", "</fill:s>", "<slot:s />", "<yield />", "<yield>", "</yield>",
            "<push name='h'>", "<push>", "</push>", "<stack name='h' />", "<stack>", "<raw>", "</raw>", "<scope with='page'>",
            "</scope>", "<outlook>", "</outlook>", "<env:local>", "<!--", "-->", "<script locals>", "<script props>", "</script>",
            "<component src='components/a.html' />", "<component />", "{% if %}", "\0", "\ud800", "é", "<p class='{{ }}'>", "\n",
            "<x-a aware:t='1' merge:props='{' locals='{\"t\": 2}' />", "<x-self />", "{{ new Date() }}", "<x-a lang='fr' />",
        ]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=3 * settings().max_examples // 2)
@given(JUNK, JUNK)
def test_junk_is_an_error_of_the_source(source: str, component: str) -> None:
    """Whatever a source and a component hold, they expand or are refused with findings in a known file."""
    shelf = Shelf(
        components={
            "components/a": "<script props>module.exports = {t: props.t}</script><p><yield /><slot:s>d</slot:s></p>",
            "components/b": component,
            "components/self": "<i><x-self /></i>",
        }
    )
    page = attempt(source, shelf)
    if isinstance(page, Expanded):
        page.html.encode()
        assert all(one.severity is not Severity.ERROR for one in page.findings)
    else:
        files = {"mail", "components/a.html", "components/b.html", "components/self.html"}
        assert page.findings
        assert {one.file for one in page.findings} <= files
        assert all(one.cause and one.fix for one in page.findings)


def attempt(source: str, shelf: Shelf) -> Expanded | SourceError:
    """Expand a source, whatever it gives."""
    try:
        return expand(TemplateSource(name="mail", text=source), shelf)
    except SourceError as error:
        return error


@pytest.mark.parametrize(
    ("source", "components"),
    [
        ("<x-a><b>x</b></x-a>", {n: f"<x-{m}><yield /><yield /></x-{m}>" for n, m in pairwise(LETTERS)} | {"v": "<yield />"}),
        ("<x-a />", {n: f"<x-{m} />" * 10 for n, m in pairwise(LETTERS)} | {"v": "<b></b>"}),
        ('<each loop="x in Array(9000)">' + "x" * 100_000 + "</each>", {}),
        ("{{ 'x'.repeat(1e6) }}" * 50, {}),
        ("<push name='a'>" + "<b></b>" * 2000 + "</push>" + "<stack name='a' />" * 2000, {}),
        ("<x-a><fill:s aware>" + "y" * 100_000 + "</fill:s></x-a>", {"a": "<slot:s />" * 5000}),
    ],
)  # fmt: skip
def test_bombs_end_early(source: str, components: dict[str, str]) -> None:
    """Content that grows with every level is refused by count and size, before it is made."""
    assert "too-large" == refused(source, **components)[-1].code


def test_the_page_runs() -> None:
    """Templates and components of the reference's page compile with what comes with Postroom."""
    page = Path(__file__).parents[2].joinpath("docs/templates.md").read_text(encoding="utf-8")
    part = page[page.index("\n## Writing a template") : page.index("\n## Styles")]
    blocks = re.findall(r"```html\n(.*?)```", part, re.DOTALL)
    components = {}
    for block in blocks:
        if named := re.match(r"<!-- (\S+)\.html -->\n", block):
            components[named[1]] = block
    sources = [block for block in blocks if block not in components.values()]
    assert (2, 1) == (len(sources), len(components))
    shelf = with_shipped(Shelf(components=components))
    welcome, notice = (expand(TemplateSource(name="page", text=source), shelf) for source in sources)
    assert "Welcome to {{ _product_name }}" == welcome.front.subject
    assert 'lang="fr"' in welcome.html
    assert '<div class="p-6 bg-red-50 rounded" lang="en">' in notice.html
    assert '<a href="{{ url }}">Renew it</a>' in notice.html
    codes = set(re.findall(r'"((?:[a-z]+-)+[a-z]+)"', "".join(one.read_text("utf-8") for one in LANGUAGE)))
    assert codes - NO_CODES <= set(re.findall(r"`([a-z-]+)`", page)), "every code of a finding is explained"
