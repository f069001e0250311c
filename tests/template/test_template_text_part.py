"""The text part: derived once, and equal to the text of the HTML that is rendered."""

import itertools
import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from postroom.mime.html import html_to_text
from postroom.model.template import Rendered, Shelf, SourceForm, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.template.jinja.rendering import Loaded, load
from postroom.template.jinja.text_part import derived

AT = datetime(2026, 3, 1, tzinfo=UTC)


@cache
def loaded(html: str, **fields: Any) -> tuple[Loaded, frozenset[str]]:
    """Return a template, ready, and the names of its variables."""
    source = TemplateSource(name="mail", form=SourceForm.JINJA, text=html, **fields)
    compiled = compile_source(source, Shelf())
    return load(compiled, html_to_text), frozenset(compiled.schema["properties"])


def rendered(html: str, variables: dict[str, Any], **fields: Any) -> Rendered:
    template, names = loaded(html, **fields)
    return template.render({name: value for name, value in variables.items() if name in names}, {}, AT)


PIECES = (
    "<h1>{{ title }}</h1>",
    "<p>Hello {{ name }}, you have <b>{{ count }}</b> new.</p>",
    "<p>Dear {% if formal %}{{ name }}{% else %}friend{% endif %},</p>",
    "{% if formal %}<p>One {{ name }}.</p>{% endif %}",
    "<ul><li>A</li>{% if formal %}<li>B {{ name }}</li>{% endif %}<li>C</li></ul>",
    "<ul>{% for item in items %}<li>{{ item.title }}: {{ item.price }}</li>{% endfor %}</ul>",
    (
        "<table><tr><th>Item</th><th>Price</th></tr>{% for item in items %}<tr><td>{{ item.title }}</td>"
        "<td>{{ item.price }}</td></tr>{% endfor %}</table>"
    ),
    "<table>\n{% for item in items %}\n<tr>\n<td>{{ item.title }}</td>\n</tr>\n{% endfor %}\n</table>",
    '<table role="none"><tr><td><a href="{{ url }}">Open</a></td></tr></table>',
    '<p>See <a href="{{ url }}">{{ url }}</a> or <a href="{{url}}">{{ url }}</a>.</p>',
    '<a href="{% if formal %}{{ url }}{% else %}https://example.com/{% endif %}">Go</a>',
    "<blockquote><p>{{ name }}</p>{% if formal %}<p>{{ title }}</p>{% endif %}</blockquote>",
    '<div style="display:none">{{ title }}</div><div role="separator">&zwj;</div>',
    "<ol>{% for item in items %}<li>{{ item.title }}</li>{% endfor %}</ol>",
    "{# nobody reads this #}<p>{{ body|safe }}</p>",
    "<table><tr><td>b</td>{% if formal %}<td>a {{ name }}</td>{% endif %}<td>c</td></tr></table>",
    "<style>{% if formal %}p { color: {{ title }} }{% endif %}</style><p title='{{ title }}'>x</p>",
    "<p>{% raw %}{{ kept }}{% endraw %}</p>",
    "<p>Tom &amp; {{ name }} &lt;3</p>",
)
LOGO = '<p><a href="{{ url }}"><img src="a.png" alt="{% if formal %}{{ name }} {% endif %}Logo"></a></p>'
LOGOS = (
    LOGO + "<p>{{ title }}</p>" + LOGO,
    "{% if formal %}" + LOGO + "{% endif %}<p>{{ title }}</p>" + LOGO,
    "{% if formal %}" + LOGO + "{% endif %}{% if formal %}" + LOGO + "{% endif %}",
    "{% if formal %}{% if url %}" + LOGO + "{% endif %}{% else %}" + LOGO + "{% endif %}",
    LOGO + "{% for url in items %}" + LOGO.replace("url", "url.title") + "{% endfor %}",
    LOGO + "{% set url = 'https://example.com/other' %}" + LOGO,
    "{% for item in items %}" + LOGO + "<p>{{ item.title }}</p>{% endfor %}" + LOGO,
)
WORDS = st.from_regex(r"[A-Za-z<>&\"'][A-Za-z0-9<>&;\"' ]{0,8}[A-Za-z0-9]", fullmatch=True).filter(
    lambda text: "  " not in text
)


def same(html: str, variables: dict[str, Any]) -> None:
    found = rendered(html, variables)
    assert html_to_text(found.html) == re.sub(r"(?<=\S)  +", " ", found.text), html


def test_it_is_the_text_of_the_html() -> None:
    """Every construct, alone and beside each other one, gives the text that its rendered HTML gives."""
    values = {
        "title": "A & B",
        "name": "<Kim>",
        "count": 3,
        "url": "https://example.com/?a=1&b=2",
        "items": [{"title": "Tea & cake", "price": "1.50"}, {"title": "Pot", "price": "20"}],
        "body": "<b>bold</b> &amp; <a href='https://example.org/'>more</a>",
    }
    for one, other, formal in itertools.product(PIECES, PIECES[:8], (True, False)):
        same(one + other, {**values, "formal": formal})
    for html, formal in itertools.product(LOGOS, (True, False)):
        found = rendered(html, {**values, "formal": formal})
        links = {line for line in html_to_text(found.html).split("\n") if "<http" in line}
        assert links == {line for line in found.text.split("\n") if "<http" in line}, html


@given(name=WORDS, title=WORDS, formal=st.booleans(), count=st.integers(1, 3))
def test_whatever_the_values_are(name: str, title: str, formal: bool, count: int) -> None:
    """Values with signs of HTML come out in the text as they are."""
    items = [{"title": f"{title} {number}", "price": number} for number in range(count)]
    same(PIECES[5] + PIECES[3] + PIECES[0], {"name": name, "title": title, "formal": formal, "items": items})


def test_what_the_author_wrote_goes_first() -> None:
    """A text part of its own, or one in the front matter, is taken instead, with its blanks."""
    own = rendered("<p>{{ a }}</p>", {"a": "<x>"}, text_part="Total   {{ a }}\n\n\n\nEnd {{ a|e }}\n")
    assert "Total   <x>\n\nEnd <x>" == own.text
    source = "---\ntext: |\n  From @{{ a }}\n---\n<p>{{ a }}</p>"
    assert "From <x>" == rendered(source, {"a": "<x>"}).text


def test_statements_keep_their_lines() -> None:
    """A line of statements leaves none behind, and a comment is gone."""
    html = "<ul>{% for a in b %}<li>{{ a }}</li>{# c #}{% endfor %}</ul>"
    assert "{% for a in b %}- {{ a }}\n{% endfor %}" == derived(html, html_to_text)


def test_statements_that_do_not_pair() -> None:
    """Where the layout depends on what is printed, the text is made of each rendered page."""
    for html in (PIECES[11], PIECES[13], "<table><tr>{% if a %}<td>x</td>{% endif %}</tr></table>"):
        assert "" == derived(html, html_to_text)
    html = "<table><tr><td>{% if a %}<div hidden>{% endif %}x</div></td></tr></table>"
    found = rendered(html, {"a": False})
    assert ("x", html_to_text(found.html)) == (found.text, found.text)
