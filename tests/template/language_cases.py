# ruff: noqa: E501 -- a source is read as a whole
"""Small sources that use one thing of the component language each, and the shape their results are compared in.

``fixtures/language.json`` holds what Maizzle 5.0.8 makes of them (see the README beside it).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

Shape = str | list["Shape | dict[str, str]"]
_CONDITION = re.compile(r"^\[if |\[endif\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One source, and the components it uses."""

    source: str
    components: Mapping[str, str] = field(default_factory=dict)
    differs: str = ""
    """Why our result is another one than the recorded one; empty: it is the same."""


def shape(html: str) -> list[Shape]:
    """Parse HTML into nested lists: tag, attributes, children; blanks collapsed, remarks left out."""
    root = LexborHTMLParser(f"<!doctype html><body>{html}").root
    assert root is not None
    return _children(root)


def _children(node: LexborNode) -> list[Shape]:
    out: list[Shape] = []
    child = node.child
    while child is not None:
        if child.tag == "-text":
            text = " ".join((child.text_content or "").split())
            if text:
                out.append(text)
        elif child.tag == "-comment":
            comment = " ".join((child.comment_content or "").replace("'", '"').split())
            if _CONDITION.search(comment):
                out.append(["<!--", comment])
        elif child.tag is not None and not child.tag.startswith(("!", "-")):
            out.append([child.tag, _attributes(child), *_children(child)])
        child = child.next
    return out


def _attributes(node: LexborNode) -> dict[str, str]:
    found = {name: value or "" for name, value in node.attributes.items()}
    if "class" in found:
        found["class"] = " ".join(found["class"].split())
    if "style" in found:
        parts = (one.partition(":") for one in found["style"].split(";") if one.strip())
        found["style"] = "; ".join(f"{name.strip()}: {value.strip()}" for name, _, value in parts)
    return {name: value for name, value in sorted(found.items()) if value or name not in ("class", "style")}


BOX = "<div class='box'><yield /></div>"
PROPS = "<script props>module.exports = {title: props.title || 'none', size: props.size}</script>"

CASES: dict[str, Case] = {
    "yield": Case(source="<x-box><p>in</p></x-box>", components={"components/box": BOX}),
    "yield-fallback": Case(
        source="<x-box /><x-box></x-box><x-box>own</x-box>",
        components={"components/box": "<div><yield>nothing</yield></div>"},
    ),
    "yield-twice": Case(
        source="<x-box><b>twice</b></x-box>",
        components={"components/box": "<i><yield /></i><u><yield /></u>"},
    ),
    "nested-folders": Case(
        source="<x-a.b.c>deep</x-a.b.c>", components={"components/a/b/c": "<em><yield /></em>"}
    ),
    "index-file": Case(source="<x-a.b />", components={"components/a/b/index": "<em>index</em>"}),
    "layout-and-component": Case(
        source="<x-page><x-box>one</x-box></x-page>",
        components={"layouts/page": "<main><yield /></main>", "components/box": BOX},
    ),
    "layouts-go-first": Case(
        source="<x-box />", components={"layouts/box": "<i>layout</i>", "components/box": "<b>component</b>"}
    ),
    "component-tag": Case(
        source='<component src="components/box.html">by path</component>', components={"components/box": BOX}
    ),
    "component-in-component": Case(
        source="<x-outer>text</x-outer>",
        components={"components/outer": "<section><x-box><yield /></x-box></section>", "components/box": BOX},
    ),
    "props-given-and-default": Case(
        source='<x-card title="Given" size="3" /><x-card />',
        components={
            "components/card": PROPS + '<h1>{{ title }}</h1><if condition="size"><p>{{ size + 1 }}</p></if>'
        },
    ),
    "props-json": Case(
        source="""<x-list items='["a", "b"]' more='{"k": {"deep": 1}}' count="2" on="true" />""",
        components={
            "components/list": "<script props>module.exports = {items: props.items, more: props.more,"
            " n: props.count + 1, on: props.on === true ? 'yes' : 'no'}</script>"
            '<ul><each loop="one in items"><li>{{ one }}</li></each></ul>{{ more.k.deep }} {{ n }} {{ on }}'
        },
    ),
    "props-attribute": Case(
        source="""<x-card props='{"title": "By props", "size": 2}' />""",
        components={"components/card": PROPS + "<h1>{{ title }} {{ size }}</h1>"},
    ),
    "props-assigned": Case(
        source='<x-card a="1" />',
        components={
            "components/card": "<script props>props.a = props.a + 1; props.b = 'new';"
            " module.exports = {sum: props.a, b: props.b}</script><p>{{ sum }} {{ b }}</p>"
        },
    ),
    "props-helpers": Case(
        source='<x-card name="q" />',
        components={
            "components/card": "<script props>const up = word => word.toUpperCase();\n"
            "module.exports = {up, name: props.name, bare: isUndefined(props.missing), got: get(props, 'x.y', 7)}"
            "</script><p>{{ up(name) }} {{ bare }} {{ got }}</p>"
        },
    ),
    "attribute-without-value": Case(
        source="<x-card wide /><x-card />",
        components={
            "components/card": "<script props>module.exports = {wide: props.wide === ''}</script>"
            '<if condition="wide"><b>wide</b></if><else><i>narrow</i></else>'
        },
    ),
    "undeclared-attribute": Case(
        source='<x-card id="k" title="T" />', components={"components/card": "<p>x</p>"}
    ),
    "undeclared-unknown": Case(source='<x-card wobble="k" />', components={"components/card": "<p>x</p>"}),
    "declared-does-not-land": Case(
        source='<x-card title="T" id="k" />', components={"components/card": PROPS + "<p>{{ title }}</p>"}
    ),
    "class-merges": Case(
        source='<x-card class="b c" />', components={"components/card": '<p class="a">x</p>'}
    ),
    "class-without-own": Case(source='<x-card class="b" />', components={"components/card": "<p>x</p>"}),
    "class-override": Case(
        source='<x-card override:class="z" />', components={"components/card": '<p class="a">x</p>'}
    ),
    "style-merges": Case(
        source='<x-card style="color: red; margin: 0" />',
        components={"components/card": '<p style="color: blue; padding: 1px">x</p>'},
    ),
    "attributes-mark": Case(
        source='<x-card class="b" data-x="1" />',
        components={"components/card": '<div><p attributes class="a">x</p><b>y</b></div>'},
    ),
    "data-and-aria": Case(
        source='<x-card data-a="1" aria-label="L" role="note" />', components={"components/card": "<p>x</p>"}
    ),
    "table-takes-align": Case(
        source='<x-card align="center" width="9" />',
        components={"components/card": "<table><tr><td>x</td></tr></table>"},
    ),
    "slot": Case(
        source="<x-card>body<fill:foot><i>foot</i></fill:foot></x-card>",
        components={"components/card": "<div><yield /></div><footer><slot:foot /></footer>"},
    ),
    "slot-fallback": Case(
        source="<x-card>body</x-card>",
        components={"components/card": "<div><yield /></div><footer><slot:foot>default</slot:foot></footer>"},
    ),
    "slot-append": Case(
        source="<x-card><fill:foot append>more</fill:foot></x-card>",
        components={"components/card": "<footer><slot:foot><b>default</b></slot:foot></footer>"},
    ),
    "slot-prepend": Case(
        source="<x-card><fill:foot prepend>more</fill:foot></x-card>",
        components={"components/card": "<footer><slot:foot><b>default</b></slot:foot></footer>"},
    ),
    "slot-once": Case(
        source="<x-card><fill:foot>f</fill:foot></x-card>",
        components={"components/card": "<i><slot:foot /></i><b><slot:foot /></b>"},
    ),
    "slot-aware": Case(
        source="<x-card><fill:foot aware>f</fill:foot></x-card>",
        components={"components/card": "<i><slot:foot /></i><b><slot:foot /></b>"},
    ),
    "slots-filled": Case(
        source="<x-card><fill:foot>f</fill:foot></x-card><x-card />",
        components={
            "components/card": '<if condition="$slots.foot?.filled"><i><slot:foot /></i></if><else>empty</else>'
        },
    ),
    "slots-props": Case(
        source='<x-card><fill:foot colour="red" size="2">f</fill:foot></x-card>',
        components={
            "components/card": "<i>{{ $slots.foot.props.colour }} {{ $slots.foot.props.size + 1 }}</i>"
        },
    ),
    "slots-source": Case(
        source="<x-card><fill:foot><b>f</b></fill:foot></x-card>",
        components={"components/card": "<i>{{{ $slots.foot.source }}}</i>"},
    ),
    "slot-handed-on": Case(
        source="<x-outer>body<fill:foot><b>deep</b></fill:foot></x-outer>",
        components={
            "components/outer": "<x-inner><yield /></x-inner>",
            "components/inner": "<div><yield /></div><footer><slot:foot>none</slot:foot></footer>",
        },
    ),
    "fill-in-component": Case(
        source="<x-outer><fill:extra>E</fill:extra></x-outer>",
        components={
            "components/outer": "<x-inner><p>p</p><fill:foot><b>own</b><slot:extra /></fill:foot></x-inner>",
            "components/inner": "<div><yield /></div><footer><slot:foot>none</slot:foot></footer>",
        },
    ),
    "slot-leak": Case(
        source="<x-page><x-card>c<fill:foot>card's</fill:foot></x-card></x-page>",
        components={
            "layouts/page": "<main><yield /></main><address><slot:foot>page's</slot:foot></address>",
            "components/card": "<div><yield /><slot:foot /></div>",
        },
        differs="a fill belongs to the component it is written in, not to the layouts around it as well",
    ),
    "stack": Case(
        source='<x-page><x-card /><push name="head"><meta name="b"></push></x-page>',
        components={
            "layouts/page": '<section><stack name="head" /></section><main><yield /></main>',
            "components/card": '<push name="head"><meta name="a"></push><p>x</p>',
        },
    ),
    "stack-once-prepend": Case(
        source='<x-page><x-card /><x-card /><push name="head" prepend><meta name="b"></push></x-page>',
        components={
            "layouts/page": '<section><stack name="head">lost</stack></section><main><yield /></main>',
            "components/card": '<push name="head" once><meta name="a"></push><p>x</p>',
        },
    ),
    "aware": Case(
        source='<x-outer aware:colour="red"><x-inner /></x-outer><x-inner />',
        components={
            "components/outer": "<div><yield /></div>",
            "components/inner": "<script props>module.exports = {colour: props.colour || 'none'}</script>"
            "<b>{{ colour }}</b>",
        },
    ),
    "merge-prefix": Case(
        source="""<x-card merge:props='{"a": 1}' b="2" />""",
        components={
            "components/card": "<script props>module.exports = {a: props.a, b: props.b}</script>{{ a }}{{ b }}"
        },
    ),
    "if-else": Case(
        source='<if condition="1 > 2">a</if><elseif condition="2 > 1">b</elseif><else>c</else>'
        '<if condition="false">d</if> <else>e</else><if condition="false">f</if>'
    ),
    "if-nested": Case(
        source='<if condition="true"><if condition="false">a</if><else><b>b</b></else></if><else>c</else>'
    ),
    "if-unknown-in-component": Case(
        source="<x-card /><x-card note='n' />",
        components={"components/card": '<p>x<if condition="note"><b>{{ note }}</b></if></p>'},
    ),
    "if-unknown-else": Case(
        source="<x-card />",
        components={"components/card": '<p><if condition="note">a</if><else>b</else></p>'},
        differs="a name nobody gave is false, so the else is shown; Maizzle shows neither",
    ),
    "switch": Case(
        source="<switch expression=\"'b'\"><case n=\"'a'\">A</case><case n=\"'b'\">B</case><default>C</default></switch>"
        '<switch expression="9"><case n="1">A</case><default>D</default></switch>'
    ),
    "each-list": Case(source="<each loop=\"item, i in ['a', 'b']\"><li>{{ i }}{{ item }}</li></each>"),
    "each-object": Case(
        source="""<x-o map='{"x": 1, "y": 2}' />""",
        components={
            "components/o": "<script props>module.exports = {map: props.map}</script>"
            '<each loop="value, key in map"><li>{{ key }}={{ value }}</li></each>'
        },
    ),
    "each-meta": Case(
        source='<each loop="x in [7, 8, 9]"><i>{{ loop.index }} {{ loop.remaining }} {{ loop.first }} {{ loop.last }}'
        " {{ loop.length }}</i></each>"
    ),
    "each-nested": Case(
        source='<each loop="row in [[1, 2], [3]]"><p><each loop="cell in row"><b>{{ cell }}</b></each></p></each>'
    ),
    "each-empty": Case(source='<p><each loop="x in []">{{ x }}</each></p>'),
    "each-times": Case(source='<each loop="x in Array.from(Array(3))"><br></each>'),
    "for-tag": Case(source='<for loop="x in [1, 2]"><i>{{ x }}</i></for>'),
    "each-component": Case(
        source="<each loop=\"x in ['a', 'b']\"><x-card title=\"{{ x }}\" /></each>",
        components={"components/card": PROPS + "<h1>{{ title }}</h1>"},
    ),
    "scope": Case(
        source="---\nauthor:\n  name: Ada\n  born: 1815\n---\n"
        '<scope with="page.author"><p>{{ name }} {{ born }}</p></scope>'
    ),
    "raw": Case(source="<raw>{{ left }} <b>{{{ alone }}}</b></raw>{{ 1 + 1 }}"),
    "expression-escaped": Case(
        source="---\nmarks: a > b & 'c'\n---\n<p title='{{ page.marks }}'>{{ page.marks }}</p><p>{{{ page.marks }}}</p>"
    ),
    "expression-with-tags": Case(
        source="<p>{{ '<b>'.length }}</p>", differs="an expression may hold what looks like a tag"
    ),
    "expression-types": Case(
        source="<p>{{ 1 / 4 }} {{ !false }} {{ [1, 'a'].join('-') }} {{{ JSON.stringify([1]) }}}</p>"
    ),
    "expression-in-attribute": Case(source='<p class="a {{ 1 + 1 }} {{ \'c\' }}" title="{{ `t` }}">x</p>'),
    "expression-in-comment": Case(source="<!--[if mso]><i>{{ 1 + 1 }} @{{ later }}</i><![endif]-->"),
    "expression-in-style": Case(source="<title>{{ 1 + 2 }}</title><p>x</p>"),
    "page": Case(
        source="---\ntitle: T\nnumber: 3\nlist: [a, b]\ndeep:\n  one: 1\nflag: true\n---\n"
        "<p>{{ page.title }} {{ page.number + 1 }} {{ page.list.length }} {{ page.deep.one }}</p>"
        '<if condition="page.flag">on</if><x-box />',
        components={"components/box": "<b>{{ page.title }}</b>"},
    ),
    "page-missing": Case(source="<p lang=\"{{ page.language || 'en' }}\">{{ page.title || 'none' }}</p>"),
    "page-expression": Case(
        source="---\ntitle: Hello @{{ name }}\n---\n<p title='{{ page.title }}'>{{{ page.title }}}</p>"
    ),
    "later": Case(
        source='<p title="@{{ a }}">@{{ b }} @{{c}} and {{ "now" }}</p><x-card title="@{{ d }}" />',
        components={"components/card": PROPS + '<h1 title="{{ title }}">{{ title }} @{{ e }}</h1>'},
        differs="the expression has one blank on either side",
    ),
    "later-lines": Case(source="<p>for @{{\n  name }}. @{{ other\n}}</p>"),
    "attribute-entities": Case(
        source='<x-card title="A &amp; B" />',
        components={"components/card": PROPS + "<h1>{{ title }}</h1>"},
        differs="an entity in an attribute is not escaped again",
    ),
    "conditional-comments": Case(
        source="<!--[if mso]><table><tr><td><![endif]--><x-box>a</x-box><!--[if mso]></td></tr></table><![endif]-->"
        "<!--[if !mso]><!--><b>not</b><!--<![endif]-->",
        components={"components/box": BOX},
    ),
    "outlook": Case(
        source='<outlook><x-box>o</x-box></outlook><not-outlook><p>n</p></not-outlook><outlook only="2013,2016">v</outlook>'
        '<outlook not="2013">w</outlook><outlook gt="2010" lte="2016">r</outlook><outlook lt="2013">l</outlook>',
        components={"components/box": BOX},
    ),
    "environment": Case(
        source="<env:production><p>prod</p></env:production><env:local><p>local</p></env:local>"
        '<img src="a.png" src-production="b.png"><x-card href="x" href-production="y" />',
        components={
            "components/card": "<script props>module.exports = {href: props.href}</script><a href='{{ href }}'>l</a>"
            "<env:production>in</env:production>"
        },
    ),
    "null-attribute": Case(
        source="<x-card />",
        components={
            "components/card": "<script props>module.exports = {id: 'null', title: 'undefined'}</script>"
            '<p id="{{ id }}" title="{{ title }}">x</p>'
        },
    ),
    "trim": Case(source="<span trim>  a  </span>"),
    "template-tag": Case(
        source="<template><p>a</p></template><x-box><template>b</template></x-box>",
        components={"components/box": BOX},
    ),
    "attribute-by-expression": Case(
        source="<td {{{ 'width' }}}='5' {{ '' }} class='{{ \"a\" }}'>x</td>",
        differs="an expression may stand for an attribute's name, and an empty one for none",
    ),
    "content-tag": Case(
        source="<x-box>old</x-box>",
        components={"components/box": "<div><content /></div>"},
        differs="what Maizzle 4 called yield works too",
    ),
    "implied-ends": Case(source="<ul><li>a<li>b</ul><p>c<p>d<table><tr><td>e<td>f</table>"),
    "self-closing": Case(source='<div class="a" /><p>after</p><x-box/>', components={"components/box": BOX}),
    "unquoted": Case(
        source="<x-card title=plain size=4 />",
        components={"components/card": PROPS + "<p>{{ title }} {{ size }}</p>"},
    ),
    "script-locals": Case(
        source="<script locals>module.exports = {who: 'me'}</script><p>{{ who }}</p>",
        differs="the script is not left in the mail",
    ),
}


def described() -> dict[str, dict[str, object]]:
    """Return the cases as the recorder reads them."""
    return {
        name: {"source": case.source, "components": dict(case.components)} for name, case in CASES.items()
    }


if __name__ == "__main__":
    print(json.dumps(described()))
