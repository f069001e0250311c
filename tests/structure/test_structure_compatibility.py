"""The page of compatibility is whole: every name of the originals, each line with its proof or reason."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from each_row import each

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_PROOFS, _WHY = rf"{PROOF.pattern}(?:, {PROOF.pattern})*", "differs: .{12,}"
END = re.compile(rf"{_PROOFS}(?:; {_WHY})?|{_WHY}")
"""The last cell of a line: proofs, a reason, or both."""

Line = tuple[str, str, str]

NAMED: dict[str, dict[str, Any]] = tomllib.loads((HERE / "compatibility.toml").read_text("utf-8"))
"""What each table has to hold."""


@cache
def sections() -> dict[str, list[Line]]:
    """Return the lines of each table by its heading."""
    found: dict[str, list[Line]] = {}
    heading = ""
    for line in (ROOT / "docs/compatibility.md").read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| ") and not line.startswith("| line of the original"):
            original, here, proof = line.removeprefix("| ").removesuffix(" |").split(" | ")
            found.setdefault(heading, []).append((original, here, proof))
    return found


LINES = [(name, *line) for name, lines in sections().items() for line in lines]


def test_every_section_is_there() -> None:
    """The tables are those of the five systems."""
    assert list(NAMED) == list(sections())


@each("name", NAMED)
def test_a_section_names_everything(name: str) -> None:
    """Each field, option, code and error stands in the first column; no line is lost or there twice."""
    originals = [original for original, _, _ in sections()[name]]
    column = "\n".join(originals)
    assert [] == [word for word in NAMED[name]["named"] if word not in column]
    assert NAMED[name]["lines"] <= len(originals) == len(set(originals))


def test_every_line_has_a_proof_or_a_reason() -> None:
    """The last cell is tests, or *differs* and why; no line is empty in the middle."""
    assert [] == [
        (name, original)
        for name, original, here, proof in LINES
        if not proof or not here.strip() or END.fullmatch(proof) is None
    ]


def test_nothing_comes_later() -> None:
    """No reason puts anything off."""
    assert [] == [
        (name, original)
        for name, original, _, proof in LINES
        if re.search(r"\b(?:later|yet|planned)\b|comes with ", proof)
    ]


@each("name", NAMED)
def test_each_system_is_tried_from_its_own_artefact(name: str) -> None:
    """Its section names the test that begins with the vendor's file or command."""
    assert any(NAMED[name]["artefact"] in proof for _, _, proof in sections()[name])


def test_every_proof_can_fail() -> None:
    """Each named test asserts something, itself or through functions of its file, and is never skipped."""
    named = {(path, test) for *_, proof in LINES for path, test in PROOF.findall(proof)}
    assert len(named) > 150
    assert [] == sorted(f"{path}::{test}" for path, test in named if not can_fail(path, test))


@cache
def functions(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions and methods of a file by name."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name: node for node in ast.walk(tree) if isinstance(node, kinds)}


def can_fail(path: str, test: str) -> bool:
    """Say whether a test reaches an assertion, and bears no mark that keeps it from running."""
    seen: set[str] = set()
    todo = {test}
    while todo:
        name = todo.pop()
        seen.add(name)
        function = functions(path).get(name)
        if function is None:
            continue
        if any(re.search(r"mark\.(?:skip|xfail)\b", ast.unparse(one)) for one in function.decorator_list):
            return False
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr == "raises"):
                return True
            if isinstance(node, ast.Name | ast.Attribute):
                todo |= {node.id if isinstance(node, ast.Name) else node.attr} - seen
    return False
