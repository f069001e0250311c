# ruff: noqa: E501 -- lists of small sources
"""JavaScript at compile time: names, bounds, and no way out."""

import pytest

from each_row import each
from postroom.template.language.script import Call, Engine, Fault, Scope, ScriptFailure


def failure(engine: Engine, scope: Scope, code: str) -> ScriptFailure:
    """Run code that fails."""
    with pytest.raises(ScriptFailure) as error:
        engine.printed(scope, code)
    return error.value


@each(
    ("code", "printed"),
    [
        ("page.title", "T"),
        ("page.list[1].toUpperCase()", "B"),
        ("1 + 1", "2"),
        ("undefined", None),
        ("null", None),
        ("''", ""),
        ("[1, {a: 2}]", '[1,{"a":2}]'),
        ("({a: 1})", '{"a":1}'),
        ("{a: 1}", '{"a":1}'),
        ("let x = 2; x * 3", "6"),
        ("page.none?.deep", None),
        ("'a\\u0000b\\ud800'", "a\ufffdb\ufffd"),
        ("new Date(0).getUTCFullYear()", "1970"),
        ("NaN", "NaN"),
        ("'a'.repeat(1e5) + 'b'.repeat(1e5)", "a" * 100_000 + "b" * 100_000),
        ("10n ** 20n", "1" + "0" * 20),
    ],
)
def test_what_expressions_print(code: str, printed: str | None) -> None:
    """Expressions print as in the language they come from; nothing, NUL and half characters are harmless."""
    engine = Engine()
    assert printed == engine.printed(engine.page({"title": "T", "list": ["a", "b"]}), code)


@pytest.mark.parametrize("code", ["(1234.5).toLocaleString('de')", "new Date(0).toLocaleDateString('de')"])
def test_what_needs_a_language_is_refused(code: str) -> None:
    """Numbers and dates are not written as one language has them, whatever was asked for."""
    engine = Engine()
    error = failure(engine, engine.page({}), code)
    assert Fault.FAILED is error.fault
    assert "|number" in error.cause


@each(
    ("code", "fault", "words"),
    [
        ("user", Fault.UNKNOWN, "user is not known here"),
        ("user.name", Fault.UNKNOWN, "user is not known here"),
        ("escape", Fault.UNKNOWN, "escape is not known here"),
        ("constructor", Fault.UNKNOWN, "constructor is not known here"),
        ("process.env", Fault.UNKNOWN, "process is not known here"),
        ("std.open('a')", Fault.UNKNOWN, "std is not known here"),
        ("class", Fault.UNKNOWN, "class is not known here"),
        ("1 +", Fault.SYNTAX, "is not JavaScript"),
        ("page.a.b.c", Fault.FAILED, "reads b of something that has no value"),
        ("(() => 1)", Fault.FAILED, "is a function, not a value"),
        ("throw new Error('no')", Fault.FAILED, "no"),
        ("throw 1", Fault.FAILED, "1"),
        ("throw null", Fault.FAILED, ""),
        ("throw Symbol('a')", Fault.FAILED, ""),
        ("throw {toString() { throw 1 }}", Fault.FAILED, ""),
        ("({toJSON() { throw new Error('x') }})", Fault.FAILED, "x"),
        ("let a = {}; a.a = a; a", Fault.FAILED, "circular"),
        ("while (true) {}", Fault.LIMIT, "takes more than 0.1 s"),
        ("(function f() { return f() + 1 })()", Fault.LIMIT, "calls itself too deeply"),
        (
            "let a = []; while (true) a.push('x'.repeat(1e7) + a.length)",
            Fault.LIMIT,
            "needs more than 32 MiB",
        ),
        ("import('fs')", None, ""),
    ],
)
def test_what_fails(code: str, fault: Fault | None, words: str) -> None:
    """Code that fails says why in an author's words; what is not a limit leaves the engine usable."""
    engine = Engine(max_seconds=0.1 if "true" in code else 1)
    page = engine.page({})
    if fault is None:
        assert "{}" == engine.printed(page, code), "a promise that nobody runs"
        return
    found = failure(engine, page, code)
    assert fault is found.fault
    assert words in found.cause
    if fault is not Fault.LIMIT:
        assert "2" == engine.printed(page, "1 + 1")


def test_all_code_together_is_bounded() -> None:
    """Many expressions that are each short enough end when they have taken the time of one compilation."""
    engine = Engine(max_seconds=0.1)
    page = engine.page({})

    def run() -> None:
        for _ in range(100):
            engine.printed(page, "let n = 0; while (n < 3e6) n++; 'x'")

    with pytest.raises(ScriptFailure) as error:
        run()
    assert Fault.LIMIT is error.value.fault


def test_components_do_not_see_each_other() -> None:
    """What one component's script changes is its own: props, page's copy and globals it overwrites stay usable."""
    engine = Engine()
    page = engine.page({"title": "T"})
    rude = (
        "props.a = 1; JSON.parse = null; Object.assign = null; module.exports = {a: props.a, title: props.b}"
    )
    first = engine.component(page, engine.unaware(), Call(attributes=[("b", "2"), ("class", "c")]), [rude])
    second = engine.component(page, engine.unaware(), Call(attributes=[("b", "[3]")]), [])
    assert ("1", "2") == (
        engine.printed(first.scope, "a"),
        engine.printed(first.scope, "title + 0 === '20' ? 2 : title"),
    )
    assert {"b": "2", "class": "c"} == first.landing
    assert {"a", "title"} <= first.declared
    assert "3" == engine.printed(second.scope, "b[0]")
    assert Fault.UNKNOWN is failure(engine, second.scope, "a").fault


def test_ways_to_declare() -> None:
    """A script may set ``module.exports``, ``exports``, end with an object, or assign to ``props``."""
    engine = Engine()
    page = engine.page({})
    for code in (
        "module.exports = {x: props.y + 1}",
        "exports.x = props.y + 1",
        "({x: props.y + 1})",
        "props.x = props.y + 1",
    ):
        made = engine.component(page, engine.unaware(), Call(attributes=[("y", "1")]), [code])
        assert "2" == engine.printed(made.scope, "x"), code


def test_nothing_differs_between_runs() -> None:
    """Dice and ids of scripts give the same in every compilation."""

    def numbers() -> str | None:
        engine = Engine()
        code = "module.exports = {n: [Math.random(), uniqueId('a'), uniqueId()].join()}"
        made = engine.component(engine.page({}), engine.unaware(), Call(), [code])
        return engine.printed(made.scope, "n")

    assert numbers() == numbers()
