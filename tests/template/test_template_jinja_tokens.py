"""Hiding Jinja from HTML and CSS tools."""

from hypothesis import given
from hypothesis import strategies as st

from postroom.template.jinja.tokens import constructs, shield

_PIECES = st.sampled_from(
    [
        *("{{ a }}", "{{", "}}", "{% if x %}", "{% endif %}", "{%", "%}", "{# note #}", "{#", "#}", "'", '"'),
        *(
            "{{ '}}' }}",
            '{{ {"a": {"b": 1}} }}',
            "{% raw %}",
            "{% endraw %}",
            "{%- raw -%}",
            "{{ x|f('%}') }}",
        ),
        *("<table>", "</table>", "<tr>", "<td class='", "<td ", ">", "=", " ", "\n", "<style>", "</style>"),
        *("<!--[if mso]>", "<![endif]-->", "-->", "zj0z", "zj", "<!--zj0z-->", '=""', "--zj1z:0;", "@zj0z;"),
        *("<a href=", 'style="', 'class="', ";", ":", "{", "}", "<html>", "<head>", "<body>", "</body>", "é"),
    ]
)


@given(st.lists(_PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_unshielding_gives_the_source_back(source: str) -> None:
    """What is shielded and unshielded again is the very same text, whatever it is."""
    for for_text in (False, True):
        shielded = shield(source, for_text=for_text)
        assert source == shielded.unshield(shielded.text)
        assert [source[a:b] for a, b in constructs(source)] == [token.source for token in shielded.tokens]


def test_constructs_end_where_jinja_ends_them() -> None:
    """Closing marks in strings and brackets do not end a construct, and raw blocks are one."""
    assert ["{{ '}}' }}"] == _found("a {{ '}}' }} b")
    assert ['{{ {"a": {"b": 1}} }}'] == _found('{{ {"a": {"b": 1}} }} }}')
    assert ["{% if a == '%}' %}", "{{ x[{1: 2}[1]] }}"] == _found("{% if a == '%}' %}{{ x[{1: 2}[1]] }}")
    assert ["{%- raw %} {{ x }} {% endif %} {%- endraw -%}"] == _found(
        "{%- raw %} {{ x }} {% endif %} {%- endraw -%} {{"
    )
    assert ["{# {{ x }} {% #}"] == _found("{# {{ x }} {% #}")
    assert [] == _found("{{ never closed ' }}' <p>")


def test_tokens_take_a_form_their_place_allows() -> None:
    """Between rows and in the head a token is a comment, in a tag an attribute, elsewhere a word."""
    text = shield(
        '<html><head>{% set a = 1 %}</head><body {{ x }} id="{{ i }}"><p>{{ a }}</p>'
        "<table>{% for r in rows %}<tr {% if r %}bgcolor='red'{% endif %}><td>{{ r }}</td></tr>"
        "{% endfor %}</table>"
        "</body>{{ z }}</html>"
    ).text
    assert (
        '<html><head><!--zj0z--></head><body   zj1z   id="zj2z"><p>zj3z</p>'
        "<table><!--zj4z--><tr   zj5z  bgcolor='red'  zj6z  ><td>zj7z</td></tr><!--zj8z--></table>"
        "</body><!--zj9z--></html>" == text
    )


def test_tokens_in_styles_are_css() -> None:
    """In a style sheet and a style attribute a token is a value, a declaration or a rule."""
    text = shield(
        "<style>{% if d %}.a { color: {{ c }}; {% if x %}width: {{ w }}px;{% endif %} }{% endif %}</style>"
        '<p style="{% if a %}color: {{ c }};{% endif %}" class="a {% if x %}b{% endif %}">'
    ).text
    assert (
        "<style>@zj0z;.a { color: zj1z; --zj2z:0;width: zj3zpx;--zj4z:0; }@zj5z;</style>"
        '<p style="--zj6z:0;color: zj7z;--zj8z:0;" class="a  zj9z b zj10z ">' == text
    )


def _found(text: str) -> list[str]:
    return [text[start:end] for start, end in constructs(text)]
