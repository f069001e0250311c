"""What the typed getters of a package pass to its templates, read from its Python source without running it.

A getter is a method that asks for a file by name and renders it: ``get_template("x.html").render(globals,
name=value)``. Globals are the keys of the dictionaries with literal keys that the class makes. A source that
does it in another way tells nothing, and nothing is claimed.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from postroom.model.template import Finding
from postroom.template.lint.case import Case
from postroom.template.lint.variables import names_in

_SUFFIXES = (".html", ".jinja", ".j2", ".txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Getter:
    """One method that renders a template."""

    name: str
    template: str
    """The file's name without suffix."""
    passed: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Getters:
    """Everything a package's source says."""

    by_template: Mapping[str, Getter]
    globals: frozenset[str]


def read_getters(*sources: str) -> Getters:
    """Read Python sources; one that is no Python has no getters."""
    found: dict[str, Getter] = {}
    names: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                found.update((one.template, one) for one in _renderings(node))
            elif isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                names.update(key for key in keys if isinstance(key, str) and key.startswith("_"))
    return Getters(by_template=found, globals=frozenset(names))


def _renderings(function: ast.FunctionDef) -> Iterator[Getter]:
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        loaded = node.func.value
        if node.func.attr != "render" or not isinstance(loaded, ast.Call) or not loaded.args:
            continue
        file = loaded.args[0]
        if isinstance(file, ast.Constant) and isinstance(file.value, str):
            stem = next((file.value.removesuffix(end) for end in _SUFFIXES if file.value.endswith(end)), "")
            passed = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
            if stem and all(keyword.arg is not None for keyword in node.keywords):
                yield Getter(name=function.name, template=stem, passed=frozenset(passed))


def unpassed(case: Case, getters: Getters) -> Iterator[Finding]:
    """Yield the variables of a file that its getter forgets, and arguments that the file does not read."""
    getter = getters.by_template.get(case.checked.source.name)
    if getter is None or case.checked.compiled is None:
        return
    reads = names_in((case.checked.compiled.html,))
    for name in sorted(reads - getter.passed - getters.globals):
        expression = f"{{{{ {name} }}}}"
        addresses = [
            one
            for one in case.page.elements("a", "img")
            if name in names_in((one.get("href") or one.get("src"),))
        ]
        what = "a link is empty" if addresses else "there is a hole in the text"
        cause = f"{getter.name}() never passes {name}: {what}"
        yield case.found("unpassed-variable", cause, at=addresses[0] if addresses else expression)
    for name in sorted(getter.passed - reads):
        yield case.found("unread-argument", f"{getter.name}() passes {name}, which is not read")
