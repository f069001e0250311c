"""What a template reads, as a schema, and what a mail's variables lack."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from each_row import each
from postroom.template.getter_types import Types
from postroom.template.jinja.inference import Reads, reads
from postroom.template.jinja.variables import MAX_PROBLEMS, defaults, problems
from postroom.template.language.front_matter import VariableNote

PRINTED = ["string", "number"]


def read(*sources: str, **declared: VariableNote) -> Reads:
    return reads([Environment(autoescape=True).parse(source) for source in sources], declared or None)


def schema(*sources: str, **declared: VariableNote) -> dict[str, Any]:
    found = read(*sources, **declared).schema
    return {"properties": found["properties"], "required": found["required"]}


@each(
    ("source", "properties", "required"),
    [
        ("{{ a }}", {"a": {"type": PRINTED}}, ["a"]),
        ('<a href="{{ a }}">', {"a": {"type": "string", "format": "uri-reference"}}, ["a"]),
        ("{{ a|date }}", {"a": {"type": PRINTED, "format": "date"}}, ["a"]),
        ("{{ a|duration }}{{ a }}", {"a": {"type": "number"}}, ["a"]),
        ("{% if a == 'x' %}{% endif %}", {"a": {"type": "string"}}, ["a"]),
        ("{% if a > 3 %}{% endif %}{{ a + 1 }}", {"a": {"type": "number"}}, ["a"]),
        ("{% if a %}{{ a }}{% endif %}", {"a": {"type": PRINTED}}, []),
        ("{% if a and b %}{{ a }}{{ b }}{% endif %}", {"a": {"type": PRINTED}, "b": {"type": PRINTED}}, []),
        ("{% if a or b %}{{ a }}{% endif %}", {"a": {"type": PRINTED}, "b": {}}, ["a"]),
        ("{% if not a %}x{% elif b %}{{ a }}{% endif %}", {"a": {"type": PRINTED}, "b": {}}, []),
        ("{{ a|default('x')|upper }}{{ b if b else 'c' }}", {"a": {}, "b": {}}, []),
        ("{% if a is defined %}{{ a }}{% endif %}", {"a": {"type": PRINTED}}, []),
        ("{% set x = a.b %}{{ x }}", {"a": {"type": "object", "properties": {"b": {"type": PRINTED}},
         "required": ["b"]}}, ["a"]),
        ("{% for x in a %}{{ x.n }}{% if x.m %}{{ x.m }}{% endif %}{{ loop.index }}{% endfor %}",
         {"a": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": PRINTED},
          "m": {"type": PRINTED}}, "required": ["n"]}}}, ["a"]),
        ("{% for k, v in a.items() %}{{ k }}{{ v }}{% endfor %}", {"a": {"type": "object"}}, ["a"]),
        ("{% for x in a if x.ok %}{{ x.n }}{% else %}{{ b }}{% endfor %}",
         {"a": {"type": "array", "items": {"type": "object", "properties": {"ok": {}, "n": {"type": PRINTED}},
          "required": ["n"]}}, "b": {"type": PRINTED}}, ["a", "b"]),
        ("{% macro m(x, y=a) %}{{ x }}{{ caller() }}{% endmacro %}{% call m(b) %}{{ c }}{% endcall %}",
         {"a": {}, "b": {}, "c": {"type": PRINTED}}, ["a", "b", "c"]),
        ("{{ a[0].b }}{{ c['d-e'] }}", {"a": {"type": "array", "items": {"type": "object", "properties":
         {"b": {"type": PRINTED}}, "required": ["b"]}}, "c": {"type": "object", "properties": {"d-e":
         {"type": PRINTED}}, "required": ["d-e"]}}, ["a", "c"]),
        ("{% with x = a %}{{ x|join(', ') }}{% endwith %}{{ range(3) }}", {"a": {"type": "array"}}, ["a"]),
        ("{{ 'x' ~ a }}{{ b.upper() }}", {"a": {"type": PRINTED}, "b": {"type": "string"}}, ["a", "b"]),
    ],
)  # fmt: skip
def test_what_is_read(source: str, properties: dict[str, Any], required: list[str]) -> None:
    """Names, keys, items, types and what may be missing follow from how a value is used."""
    found = schema(source)
    assert properties == found["properties"]
    assert sorted(required) == sorted(found["required"])


def test_what_the_author_says() -> None:
    """Descriptions, examples, types and defaults of the front matter go before what is guessed."""
    found = schema(
        "{{ a }}{{ b|currency('EUR') }}{{ c }}{{ d }}",
        a=VariableNote(example="Kim", description="who"),
        b=VariableNote(example="12.50"),
        c=VariableNote(default=3, has_default=True, required=False),
        d=VariableNote(type="integer", required=False),
        e=VariableNote(example=True),
    )
    assert {
        "a": {"type": "string", "description": "who", "examples": ["Kim"]},
        "b": {"type": PRINTED, "examples": ["12.50"]},
        "c": {"type": "number", "format": "int64", "default": 3},
        "d": {"type": "integer"},
        "e": {"type": "boolean", "examples": [True]},
    } == found["properties"]
    assert ["a", "b"] == found["required"]
    assert {"c": 3} == defaults(found)


def test_a_whole_example_is_a_hint() -> None:
    """A whole number as an example is whole in typed getters, and refuses no fraction; nor does a filter."""
    found = schema(
        "{{ a }}{{ b }}{{ c|currency('EUR') }}{{ d }}{{ e|number }}{{ e + 1 }}",
        a=VariableNote(example=24),
        b=VariableNote(example=24.5),
        c=VariableNote(example=24),
        d=VariableNote(example=24, type="number"),
        e=VariableNote(example=24),
    )
    types = {name: Types().of(one, "X") for name, one in found["properties"].items()}
    assert {"a": "int", "b": "float", "c": "str | float", "d": "float", "e": "float"} == types
    assert [] == problems(found, dict.fromkeys("abcde", 3.5))


def test_globals_are_listed_beside() -> None:
    """Names with an underscore are no variables; those that may be missing are told apart."""
    found = read("{{ _a }}{% if _b %}{{ _b }}{% endif %}{{ c }}", "{{ _d|default('') }}")
    assert (("_a", "_b", "_d"), ("_a",), ["c"]) == (
        found.globals,
        found.required_globals,
        list(found.schema["properties"]),
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcn"), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_value_can_be_checked(value: Any) -> None:
    """Whatever JSON a caller sends, the check ends with problems that have a path."""
    wanted = read("{{ a }}{% for x in b %}{{ x.n }}{% endfor %}{{ c.n|duration }}").schema
    given = value if isinstance(value, dict) else {"a": value, "b": value, "c": value}
    for problem in problems(wanted, given):
        assert problem.field.startswith("variables.")
        assert problem.code in {"variable-missing", "variable-unknown", "variable-type"}


def test_problems_are_few_and_helpful() -> None:
    """A thousand wrong items are not all told; the fix has the description and an example."""
    wanted = read(
        "{% for x in a %}{{ x }}{% endfor %}{{ b }}", b=VariableNote(example="Kim", description="who")
    )
    assert MAX_PROBLEMS == len(problems(wanted.schema, {"a": [True] * 1000, "b": "x"}))
    (problem,) = problems(wanted.schema, {"a": []})
    assert 'Give a value (who), for example "Kim".' == problem.fix
    assert [] == problems({}, {"any": 1})
    assert [] == problems(wanted.schema, {"a": [], "b": "x", "_own": 1})
