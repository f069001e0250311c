"""The shape of the source tree: sizes, names and docstrings, as ratchets."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "postroom"
CLIENT = ROOT / "clients" / "python" / "src"

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60

FILE_EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""File below ``src/postroom``, or of the client, to the lines it may have and the reason."""

FUNCTION_EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""``file::qualified.name`` to the lines it may have and the reason."""

FORBIDDEN_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "manager", "common", "core", "base", "misc"}
)


def modules() -> list[Path]:
    return sorted([*SOURCE.rglob("*.py"), *CLIENT.rglob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(CLIENT if path.is_relative_to(CLIENT) else SOURCE).as_posix()


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield prefix + node.name, (node.end_lineno or first) - first + 1
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):  # no function is defined in an expression
            yield from functions(node, prefix)


@cache
def shape(path: Path) -> tuple[bool, dict[str, int]]:
    """Tell whether a module begins with a docstring, and how long its functions are; it is parsed once."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Of functions of one name (a property and its setter) the longest counts, which a dict has last.
    return bool(ast.get_docstring(tree)), dict(sorted(functions(tree), key=lambda one: one[1]))


def test_no_file_is_longer_than_allowed() -> None:
    """No source file exceeds its bound, and no exception is wider than what it excuses."""
    found = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}

    too_long = {
        name: lines
        for name, lines in found.items()
        if lines > FILE_EXCEPTIONS.get(name, (MAX_FILE_LINES, ""))[0]
    }
    stale = [name for name in FILE_EXCEPTIONS if found.get(name, 0) <= MAX_FILE_LINES]

    assert {} == too_long
    assert [] == stale


def test_no_function_is_longer_than_allowed() -> None:
    """No function exceeds its bound, and no exception is wider than what it excuses."""
    found: dict[str, int] = {}
    for path in modules():
        found |= {f"{name_of(path)}::{name}": lines for name, lines in shape(path)[1].items()}

    too_long = {
        name: lines
        for name, lines in found.items()
        if lines > FUNCTION_EXCEPTIONS.get(name, (MAX_FUNCTION_LINES, ""))[0]
    }
    stale = [name for name in FUNCTION_EXCEPTIONS if found.get(name, 0) <= MAX_FUNCTION_LINES]

    assert {} == too_long
    assert [] == stale


@pytest.mark.parametrize("table", [FILE_EXCEPTIONS, FUNCTION_EXCEPTIONS], ids=["files", "functions"])
def test_exceptions_carry_a_reason(table: dict[str, tuple[int, str]]) -> None:
    """Raising a bound takes a sentence that says why."""
    assert [] == [name for name, (_, reason) in table.items() if len(reason.split()) < 4]


def test_function_lengths_are_counted_with_decorators() -> None:
    """The measure sees nested functions, methods and decorators."""
    tree = ast.parse(
        "class A:\n    @x\n    def m(self):\n        def n():\n            pass\n        return n\n"
    )

    assert [("A.m", 5), ("A.m.n", 2)] == list(functions(tree))


def test_every_module_says_what_it_is() -> None:
    """Every module and package begins with a docstring."""
    silent = [name_of(path) for path in modules() if not shape(path)[0]]

    assert [] == silent


def test_every_directory_is_a_package() -> None:
    """A directory with modules has an ``__init__.py``: nothing is importable by accident."""
    bare = sorted({name_of(path.parent) for path in modules() if not (path.parent / "__init__.py").is_file()})

    assert [] == bare


def test_no_name_says_nothing() -> None:
    """No module or package has a name that would take anything."""
    vague = [
        name_of(path) for path in modules() if {*Path(name_of(path)).with_suffix("").parts} & FORBIDDEN_NAMES
    ]

    assert [] == vague
