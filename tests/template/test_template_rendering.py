"""Rendering strictly: what is named, what is escaped, what is bounded."""

from datetime import UTC, datetime
from typing import Any

import pytest

from postroom.errors import InputError, Problem
from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate, Rendered, Shelf, SourceForm, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.template.errors import SourceError
from postroom.template.jinja.rendering import MAX_PART, load
from postroom.template.jinja.sandbox import MAX_ITERATIONS
from postroom.template.jinja.variables import out_of_bounds, too_large
from postroom.template.jinja.wrong import missing_value

AT = datetime(2026, 3, 1, tzinfo=UTC)


def compiled(text: str, **fields: Any) -> CompiledTemplate:
    source = TemplateSource(name="mail", form=SourceForm.JINJA, text=text, **fields)
    return compile_source(source, Shelf())


def rendered(text: str, variables: dict[str, Any] | None = None, **names: Any) -> Rendered:
    return load(compiled(text), html_to_text).render(variables or {}, names, AT)


def problems(text: str, variables: dict[str, Any] | None = None, **names: Any) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        rendered(text, variables, **names)
    return list(caught.value.problems)


def named(text: str, variables: dict[str, Any] | None = None, **names: Any) -> list[tuple[str, str]]:
    return [(one.code, one.field.removeprefix("variables.")) for one in problems(text, variables, **names)]


def test_one_pass_gives_four_texts() -> None:
    """Subject, preheader, HTML and text come from one call; only the HTML is escaped."""
    source = "---\nsubject: Order for @{{ name }}\npreheader: Hi {{ name }}\n---\n"
    source += "<h1>For {{ name }}</h1><p>{{ _year }}</p>"
    assert Rendered(
        subject="Order for <Kim> & co",
        preheader="Hi <Kim> & co",
        html="<h1>For &lt;Kim&gt; &amp; co</h1><p>2026</p>",
        text="For <Kim> & co\n\n2026",
    ) == rendered(source, {"name": "<Kim> & co"})


def test_everything_wrong_is_named_at_once() -> None:
    """Missing, unknown and wrong values are named together, with the nearest name."""
    source = (
        "{{ name }} {{ order.total|currency('EUR') }} {% for a in order.lines %}{{ a.title }}{% endfor %} "
        "{{ _product_name }} {{ count|duration }}"
    )
    found = problems(source, {"nmae": "Kim", "order": {"lines": [{"title": "a"}, {}]}, "count": "many"})
    assert [
        ("variable-missing", "name"),
        ("variable-unknown", "nmae"),
        ("variable-missing", "order.total"),
        ("variable-missing", "order.lines.1.title"),
        ("variable-type", "count"),
        ("variable-missing", "_product_name"),
    ] == [(one.code, one.field.removeprefix("variables.")) for one in found]
    assert "Did you mean name?" == found[1].fix
    assert [("variable-missing", "name")] == named("{{ name }}", {"name": None})


def test_optional_values() -> None:
    """A value is optional under a test of itself, with a default, or when the author says so."""
    assert "" == rendered("{% if a %}{{ a }}{% endif %}").html
    assert "-" == rendered("{% if a is defined %}{{ a }}{% else %}-{% endif %}").html
    assert "-" == rendered("{{ a|default('-') }}", {"a": None}).html
    assert "-" == rendered("{% if not a %}-{% else %}{{ a }}{% endif %}").html
    assert "b" == rendered("{{ a if a else 'b' }}{{ 'x' if a }}").html
    assert "" == rendered("{% if a and a.b %}{{ a.b }}{% endif %}").html
    assert "Kim" == rendered("---\nvariables:\n  a: {default: Kim}\n---\n{{ a }}").html
    assert [("variable-missing", "a")] == named("{% if b %}x{% else %}{{ a }}{% endif %}")
    assert [("variable-missing", "a")] == named("{% if a %}{% endif %}{{ a }}")
    source = "---\nvariables:\n  a: {required: false}\n---\n{{ a }}"
    assert [("variable-missing", "a")] == named(source)  # still not printed as nothing


def test_what_is_never_printed() -> None:
    """Null, true, lists and objects are refused by the path of the variable, in every way to print."""
    for expression in ("{{ o.v }}", "{{ o.v ~ 'x' }}", "{{ o.v|upper }}", "{{ o.v|safe }}", "{{ o.v|date }}"):
        source = expression + "{% if o.v is none %}{% endif %}"
        assert [("variable-missing", "o.v")] == named(source, {"o": {"v": None}}), expression
    for value in (True, [1], {"a": 1}):
        assert [("variable-type", "v")] == named("{{ v }}", {"v": value})
        assert [("variable-type", "o.v")] == named("{% set x = o['v'] %}{{ o['v'] }}", {"o": {"v": value}})
    assert [("variable-missing", "user.name")] == named("{% set u = user %}{{ u.name }}", {"user": {}})


def test_null_is_never_printed_behind_a_filter() -> None:
    """Neither a filter of texts, nor one of numbers, nor a list makes ``None`` or 0 of ``null``."""
    nulls = {"items": ["a", None]}
    assert [("variable-missing", "items.1")] == named("{{ items|join(', ') }}", nulls)
    for source in (
        "{{ items|last|upper }}",
        "{{ items|last|string }}",
        "{{ items|last|int }}",
        "{{ (items|last or items|last)|e }}",
        "{{ items|map('upper')|join }}",
        "{{ items|batch(2)|first|join('-') }}",
    ):
        assert ["variable-missing"] == [code for code, _ in named(source, nulls)], source
    assert [("variable-missing", "user.get")] == named("{{ user.get('b')|title }}", {"user": {"a": 1}})
    assert [("variable-type", "items")] == named("{{ items|list }}", nulls)
    assert "a, b" == rendered("{{ items|join(', ') }}", {"items": ["a", "b"]}).text


def test_links_are_never_empty() -> None:
    """A link or an image with an empty URL is refused by the name of its variable."""
    for tag in ('<a href="{{ u }}">', "<img src='{{ u }}'>", "<a href={{ u }}>", '<a href=" {{ u }} ">'):
        assert [("link-empty", "u")] == named(tag, {"u": " "})
        assert "https" in rendered(tag, {"u": "https://example.com/"}).html
    several = '<a href="{% if u %}{{ u }}{% endif %}">'
    assert [("link-empty", "u")] == named(several, {"u": ""})
    assert "/x" in rendered('<a href="{{ u }}/x">', {"u": ""}).html
    assert '<a data-href="">' == rendered('<a data-href="{{ u }}">', {"u": ""}).html


def test_links_run_no_scripts() -> None:
    """A value that is all of a link is no script, however it is written; pictures may stand in the mail."""
    for scheme in ("javascript:alert(1)", " java\tScript:alert(1)", "VBSCRIPT:x", "data:text/html,<script>"):
        assert [("link-script", "u")] == named('<a href="{{ u }}">x</a>', {"u": scheme})
    for address in (
        "https://example.com/javascript:x",
        "data:image/png;base64,AA==",
        "mailto:a@example.com",
    ):
        assert address in rendered('<img src="{{ u }}">', {"u": address}).html


def test_values_are_no_source() -> None:
    """Template syntax in a value is shown as it is."""
    value = "{{ 7*7 }}{% raw %}@{{ x }}"
    found = rendered('---\nsubject: "{{ v }}"\n---\n<p>{{ v }}</p>', {"v": value})
    assert (value, f"<p>{value}</p>", value) == (found.subject, found.html, found.text)


def test_subject_is_one_line() -> None:
    """A subject of several lines is one; a line end that a value brings is left for the mail's own check."""
    source = '---\nsubject: |\n  a  {{ v }}\n  b\npreheader: "{{ v }}"\n---\n'
    assert "a x b" == rendered(source, {"v": "x"}).subject
    found = rendered(source, {"v": "x\r\nBcc: y\u2028z\n"})
    assert ("a x\r\nBcc: y\u2028z\n b", "x Bcc: y z") == (found.subject, found.preheader)


def test_bounds() -> None:
    """Loops, ranges, powers, repetition and sizes are bounded, and formatting with % is not there."""
    limits = (
        "{% for i in range(9000) %}{% for j in range(9000) %}x{% endfor %}{% endfor %}",
        "{% for i in range(999999999) %}x{% endfor %}",
        "{{ range(10**30)|length }}",
        "{{ 9**(9**9) }}",
        "{{ 'x'*(10**10) }}",
        "{{ [1]*(10**10) }}",
        "{% set n = namespace(v=3) %}{% for i in range(60) %}{% set n.v = n.v*n.v %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(50) %}{{ 'x'*60000 }}{% endfor %}",
    )
    for source in limits:
        assert ["template-limit"] == [one.code for one in problems(source)], source
    assert 3 * 60000 < MAX_PART
    most = "{% for i in range(10) %}{% for j in range(9999) %}{{ 'x' if j == 1 }}{% endfor %}{% endfor %}"
    assert 10 + 10 * 9999 == MAX_ITERATIONS
    assert "x" * 10 == rendered(most).html
    for source in ("{{ '%10000000000d' % 1 }}", "{{ 'x'|center(10) }}", "{{ '{:>9}'.format('x') }}"):
        with pytest.raises((InputError, SourceError)):
            rendered(source)


def test_only_plain_attributes() -> None:
    """No attribute of Python's is reached; keys, a few methods and the loop's own names are."""
    for source in (
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ o._secret }}",
        "{{ [o]|map(attribute='_secret')|list }}",
        "{{ o.clear() }}",
        "{{ ''.join.__self__ }}",
        "{{ range.__init__ }}",
        "{{ lipsum }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{ o|attr('items') }}",
    ):
        with pytest.raises((InputError, SourceError)):
            rendered(source, {"o": {"_secret": "s"}} if "o" in source.split("'")[0] else {})
    loop = "{% for k, v in o.items() %}{{ loop.index }}{{ k }}{{ v.upper() }}{{ ',' if not loop.last }}"
    loop += "{% endfor %}"
    assert "1aX,2bY" == rendered(loop, {"o": {"a": "x", "b": "y"}}).html
    assert "keys" == rendered("{{ o.items }}", {"o": {"items": "keys"}}).html


def test_errors_have_a_place() -> None:
    """What Python raises is told with the line of the part."""
    (found,) = problems("<p>\n{{ 1 // n }}", {"n": 0})
    assert ("template-error", "template") == (found.code, found.field)
    assert "line 2 of the html" in found.cause


def test_globals() -> None:
    """Globals are refused by name when nobody gives them, and a variable goes before a global."""
    assert [("variable-missing", "_product_name")] == named("{{ _product_name }}")
    assert "[templates.globals]" in missing_value("_product_name").problem.fix
    assert "" == rendered("{% if _logo_url %}{{ _logo_url }}{% endif %}").html
    assert "B" == rendered("{{ _product_name }}", {"_product_name": "B"}, _product_name="A").html
    assert "en2026" == rendered("{{ _locale }}{{ _year }}").html


def test_variables_are_bounded() -> None:
    """Values nested too deep and values that are no JSON are refused."""
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    for value in (deep, object(), {1: 2}, {"a": (1,)}):
        problem = out_of_bounds({"a": 1, "v": value})
        assert problem is not None
        assert ("variable-type", "variables.v") == (problem.code, problem.field)
    assert out_of_bounds({"a": {"b": [1, None, "x", True, 1.5]}}) is None
    assert too_large({"a": "é" * 131_060}) is None
    assert "template-limit" == getattr(too_large({"a": "é" * 131_072}), "code", "")


def test_sources_that_are_refused() -> None:
    """No Jinja, other files, too large and too deep: findings with a line, before anything is stored."""
    for source, code, line in (
        ("<p>\n{{ x", "jinja", 2),
        ("\n\n{% include '/etc/passwd' %}", "jinja", 3),
        ("{% extends '../../x' %}", "jinja", 1),
        ("{{ x|unknown }}", "jinja", 1),
        ("{{ x is unknown }}", "jinja", 1),
        ("{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}", "nesting", 0),
        ("{% for i in x %}" * 30 + "{% endfor %}" * 30, "nesting", 0),
        ("{{ x }}" * 200_000, "source-size", 0),
    ):
        with pytest.raises(SourceError) as caught:
            compiled(source, file="dir/mail.jinja")
        (finding,) = caught.value.findings
        assert ("dir/mail.jinja", code, line) == (finding.file, finding.code, finding.line), source[:40]


def test_digest() -> None:
    """Equal sources give equal digests, and whatever changes a rendering changes the digest."""
    one = compiled("{{ a }}")
    assert one == compiled("{{ a }}")
    others = [
        compiled("{{ a }} "),
        compiled("{{ a }}", locale="fr"),
        compiled("{{ a }}", text_part="a {{ a }}"),
    ]
    assert 4 == len({one.digest, *[other.digest for other in others]})
