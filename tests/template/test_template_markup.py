# ruff: noqa: E501 -- lists of small sources
"""The tolerant reader: byte for byte, with places, in linear time."""

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.template.errors import SourceError
from postroom.template.language.expressions import pieces
from postroom.template.language.markup import MAX_NESTING, Element, Node, read, write

PARTS = st.sampled_from(
    [
        "<", ">", "/", "<p", "<p>", "</p>", "<x-a b=\"{{ 'c' > 1 }}\">", "</x-a>", "<if", "</if>", "<fill:a>", "<br>",
        "<br/>", "<td>", "<li>", "<!--", "-->", "<!--[if mso]>", "<![endif]-->", "<!doctype html>", "<?xml", "<![CDATA[",
        "]]>", "<script>", "</script>", "</script", "<style>", "</style >", "{{", "}}", "@{{", "{{{", "}}}", "{%", "%}", "{#",
        "#}", "'", '"', "=", " ", "\n", "a", "&amp;", "é", "<a href=x/>", "<a {% if b %}c=d{% endif %}>", "`", "\\", "\0",
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=60).map("".join))
def test_nothing_is_lost(text: str) -> None:
    """Reading and writing gives the source again, whatever it is; so do the pieces of a text."""
    assert text == write(read(text, "a").nodes)
    assert text == "".join(piece.source for piece in pieces(text))


def outline(nodes: tuple[Node, ...]) -> str:
    """Show tags and what they hold."""
    return "".join(
        f"{node.tag}({outline(node.children)})" if isinstance(node, Element) else "" for node in nodes
    )


@each(
    ("text", "tree"),
    [
        ("<div><x-a.b /><p>a</p></div>", "div(x-a.b()p())"),
        ("<ul><li>a<li>b</ul>", "ul(li()li())"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "table(tr(td()td())tr(td()))"),
        ("<p>a<p>b<div>c</div>", "p()p()div()"),
        ("<div>a</p></div><b>", "div()b()"),
        ("<div><if><p></div></if>c</div>", "div(if(p()))"),
        ("<fill:a.b><slot:c/></fill:a.b>", "fill:a.b(slot:c())"),
        ("<DIV><Br><X-A></x-a></div>", "DIV(Br()X-A())"),
        ("<script>if (a < b) '<p>'</script><p>", "script()p()"),
        ("<style>a > b {}</style ><title><b></title>", "style()title()"),
        ("<!--<p>--><!--><p><!---->", "p()"),
        ("a < b <3 <- <p>", "p()"),
        ("{{ '<b>' }}<i>{% if a <b %}</i>", "i()"),
        ("<a title='>' href=a/>b</a><img src=x/>", "a()img()"),
        ("<a href='x'/>b<p/>", "a()p()"),
    ],
)
def test_trees(text: str, tree: str) -> None:
    """Tags nest as HTML says where end tags are left out; what closes nothing is text."""
    assert tree == outline(read(text, "a").nodes)


def test_attributes() -> None:
    """Attributes keep names and values as written: quotes and ``>`` in expressions, none, bare, Jinja between."""
    text = (
        '<x-a one two=\'2\' three="{{ a > "b" ? \'c\' : "}}" }}" four=4/5 @click.x="y" {% if a > b %} k="{% if c %}'
        'd{% endif %}" {% endif %} {{ name }}=v six = 6>'
    )
    (node,) = read(text, "a").nodes
    assert isinstance(node, Element)
    assert [
        ("one", None), ("two", "2"), ("three", "{{ a > \"b\" ? 'c' : \"}}\" }}"), ("four", "4/5"), ("@click.x", "y"),
        ("{% if a > b %}", None), ("k", "{% if c %}d{% endif %}"), ("{% endif %}", None), ("{{ name }}", "v"), ("six", "6"),
    ] == [(one.name, one.value) for one in node.attributes]  # fmt: skip


def test_places() -> None:
    """Every node and attribute knows its file, line and column, counted from the first line given."""
    nodes = read("a\n<p>\n  <b\n   id=x>c</b></p>", "mail.html", first_line=5).nodes
    text, paragraph = nodes
    assert ("mail.html", 5, 1) == text.place
    assert isinstance(paragraph, Element)
    assert ("mail.html", 6, 1) == paragraph.place
    bold = paragraph.children[1]
    assert isinstance(bold, Element)
    assert ("mail.html", 7, 3) == bold.place
    assert ("mail.html", 8, 4) == bold.attributes[0].place
    assert ("mail.html", 8, 9) == bold.children[0].place


def test_open_tags_are_told() -> None:
    """A tag that is never closed is a warning, one whose end may be left out is none."""
    found = read("<p>a<div><li>b\n<x-a></div><q", "a").findings
    assert [("unclosed-element", 2), ("unclosed-element", 2)] == [(one.code, one.line) for one in found]


def test_nesting_is_bounded() -> None:
    """Elements within elements end with an error at a bound; siblings do not."""
    assert read("<b>" * MAX_NESTING, "a").nodes
    assert len(read("<p>" * 5000, "a").nodes) == 5000
    with pytest.raises(SourceError, match="element 151 within elements"):
        read("<b>" * (MAX_NESTING + 1), "a")


@pytest.mark.parametrize(
    "unit",
    [
        "<a ", "<a b='", '<a b="{{', "<!--", "</a", "{{", "{{ '", "@{{{", "{%", "{% ", "<b></i>", "<a b=c d='{{ e }}'>",
        "<p {{", "<script>", "</script ", "<td>", "<a {% if b %}c{% endif %}>", '{{ "', "{{ {", "<x-a>{{ b }}</x-a>", "<!", "a\n",
        "<a b='{{c}}", "<style></styl",
    ],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    """Eight times as much of what makes readers slow takes no more than about eight times as long."""

    def seconds(count: int, times: int) -> float:
        text = unit * count
        best = 1e9
        for _ in range(times):
            start = time.process_time()
            try:
                read(text, "a")
                list(pieces(text))
            except SourceError:
                pass
            best = min(best, time.process_time() - start)
        return best

    count = 6_000 // len(unit)
    gc.disable()  # it looks through what all tests left, at one of both measurements
    try:
        assert seconds(8 * count, 1) < 30 * seconds(count, 2) + 0.05
    finally:
        gc.enable()
