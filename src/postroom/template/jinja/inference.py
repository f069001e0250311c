"""What a template reads: a JSON Schema of its variables, found in the tree of its Jinja sources.

* A variable is required when it is used anywhere but under a test of itself (``is defined``, ``if x``) or
  with ``default``; a test alone does not require it.
* Types are guessed from use: printed means text or number, looped over means list, a key means object, and
  filters want what they want. What the author declared in the front matter goes before every guess.
* Names with ``_`` in front are globals: they are listed beside the schema.

Does not run anything. A value under another name (``{% set %}``, the item of a loop) is followed to where it
came from; what an expression makes is not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from postroom.template.jinja.marking import link_expressions
from postroom.template.jinja.sandbox import DICT_METHODS, GLOBALS, STR_METHODS
from postroom.template.language.front_matter import VariableNote

Path = tuple[str, ...]
"""Keys from the variable's name; ``[]`` is an item of a list."""
Scope = dict[str, "Path | None"]
"""What local names stand for; ``None``: something made."""
ITEM = "[]"
WHOLE = "int64"
"""The format of a number whose example is whole: a hint for typed getters, which refuses no fraction."""
SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_PRINTED = frozenset({"string", "number"})
_OBJECT = frozenset({"object"})
_STRING = frozenset({"string"})
_BY_FILTER: dict[str, frozenset[str]] = {
    **dict.fromkeys(("number", "percent", "currency", "plural"), frozenset({"number", "string"})),
    **dict.fromkeys(("filesize", "duration"), frozenset({"number"})),
    **dict.fromkeys(("abs", "round"), frozenset({"number"})),
    **dict.fromkeys(("date", "time", "datetime"), frozenset({"string", "number"})),
    **dict.fromkeys(
        (
            "capitalize",
            "lower",
            "upper",
            "title",
            "trim",
            "truncate",
            "replace",
            "wordwrap",
            "striptags",
            "safe",
        ),
        frozenset({"string"}),
    ),
    **dict.fromkeys(
        ("join", "sum", "sort", "map", "select", "reject", "selectattr", "rejectattr", "groupby", "unique"),
        frozenset({"array"}),
    ),
    **dict.fromkeys(("list", "batch", "slice", "reverse"), frozenset({"array"})),
    **dict.fromkeys(("dictsort", "items"), frozenset({"object"})),
    "localised": frozenset({"object", "string"}),
}
_DATES = frozenset({"date", "datetime"})


@dataclass(slots=True)
class Use:
    """What was seen of one value."""

    kinds: frozenset[str] | None = None
    """``None``: nothing that says a type."""
    is_required: bool = False
    is_read: bool = False
    """A filter reads it, and takes numbers and texts alike."""
    format: str = ""
    keys: "dict[str, Use]" = field(default_factory=dict)
    item: "Use | None" = None

    def at(self, path: Path) -> "Use":
        """Return what was seen of a value within this one."""
        use = self
        for key in path:
            if key == ITEM:
                use.item = use.item or Use()
                use = use.item
            else:
                use = use.keys.setdefault(key, Use())
        return use

    def is_of(self, kinds: frozenset[str]) -> None:
        """Take a use that wants one of these types."""
        if self.kinds is None or not (self.kinds & kinds):
            self.kinds = kinds if self.kinds is None else self.kinds | kinds
        else:
            self.kinds &= kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What the sources of a template read."""

    schema: dict[str, Any]
    globals: tuple[str, ...]
    required_globals: tuple[str, ...]


def reads(trees: Sequence[nodes.Template], declared: Mapping[str, VariableNote] | None = None) -> Reads:
    """Find out what parsed sources read; ``declared`` is ``variables`` of the front matter."""
    seen = Use()
    for tree in trees:
        _Walker(seen, link_expressions(tree)).walk(tree, {}, frozenset())
    names = sorted(name for name in seen.keys if name[:1] == "_")
    variables = {name: use for name, use in seen.keys.items() if name[:1] != "_"}
    return Reads(
        schema=_schema(variables, declared or {}),
        globals=tuple(names),
        required_globals=tuple(name for name in names if seen.keys[name].is_required),
    )


class _Walker:
    """One pass over a tree with what names mean and what is known to be there."""

    def __init__(self, seen: Use, links: set[int]) -> None:
        self._seen = seen
        self._links = links

    def walk(self, node: nodes.Node, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in a node."""
        _WALKS.get(type(node), _Walker.expression)(self, node, scope, sure)

    def choice(self, node: nodes.CondExpr, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``a if b else c``."""
        self._test(node.test, scope, sure)
        self.walk(node.expr1, scope, sure | _known(node.test, scope, is_true=True))
        if node.expr2 is not None:
            self.walk(node.expr2, scope, sure | _known(node.test, scope, is_true=False))

    def both(self, node: nodes.And | nodes.Or, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``and`` and ``or``: the right side is asked when the left one held, or did not."""
        self._test(node.left, scope, sure)
        also = _known(node.left, scope, is_true=isinstance(node, nodes.And))
        self._test(node.right, scope, sure | also)

    def negation(self, node: nodes.Not, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``not``."""
        self._test(node.node, scope, sure)

    def assignment(self, node: nodes.Assign, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% set a = b %}``."""
        self.walk(node.node, scope, sure)
        self._bind(node.target, _path(node.node, scope), scope)

    def block_assignment(self, node: nodes.AssignBlock, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% set a %}…{% endset %}``."""
        self._all(node.body, scope, sure)
        self._bind(node.target, None, scope)

    def with_names(self, node: nodes.With, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% with a = b %}``."""
        inner = dict(scope)
        for target, value in zip(node.targets, node.values, strict=True):
            self.walk(value, scope, sure)
            self._bind(target, _path(value, scope), inner)
        self._all(node.body, inner, sure)

    def call(self, node: nodes.Call, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in a call: ``x.items()`` is a use of ``x``."""
        function = node.node
        if isinstance(function, nodes.Getattr) and function.attr in DICT_METHODS | STR_METHODS:
            self.walk(function.node, scope, sure)
            self._of(function.node, scope, _OBJECT if function.attr in DICT_METHODS else _STRING)
            self._all((*node.args, *node.kwargs), scope, sure)
        else:
            self.expression(node, scope, sure)

    def output(self, node: nodes.Output, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in what is printed."""
        for piece in node.nodes:
            self._printed(piece, scope, sure)

    def _all(self, body: Iterable[nodes.Node], scope: Scope, sure: frozenset[Path]) -> None:
        for node in body:
            self.walk(node, scope, sure)

    def expression(self, node: nodes.Node, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in anything else: a value that is used, and what is within it."""
        path = _path(node, scope)
        if path is not None:
            self._used(path, sure)
        self._operands(node, scope)
        for child in node.iter_child_nodes():
            if path is None or _path(child, scope) is None:
                self.walk(child, scope, sure)

    def _operands(self, node: nodes.Node, scope: Scope) -> None:
        """Note the types that an operator wants."""
        if isinstance(node, nodes.Compare):
            self._compare(node, scope)
        elif isinstance(node, nodes.Concat):
            for piece in node.nodes:
                self._of(piece, scope, _PRINTED)
        elif isinstance(node, nodes.Add | nodes.Sub | nodes.Mul | nodes.Div | nodes.FloorDiv):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(other, nodes.Const) and isinstance(other.value, int | float):
                    self._of(one, scope, frozenset({"number"}))

    def _used(self, path: Path, sure: frozenset[Path]) -> None:
        """Note that a value is needed, and each one on the way to it, unless it is known to be there."""
        use = self._seen
        for end, key in enumerate(path, 1):
            before, use = use, use.at((key,))
            if key == ITEM:
                before.is_of(frozenset({"array"}))
            elif end > 1:
                before.is_of(frozenset({"object"}))
            if not any(one[:end] == path[:end] for one in sure):
                use.is_required = True

    def _of(self, node: nodes.Node, scope: Scope, kinds: frozenset[str]) -> None:
        """Note the types that a use wants."""
        path = _path(node, scope)
        if path:
            self._seen.at(path).is_of(kinds)

    def _printed(self, node: nodes.Expr, scope: Scope, sure: frozenset[Path]) -> None:
        self.walk(node, scope, sure)
        path = _path(node, scope)
        if path:
            self._seen.at(path).is_of(frozenset({"string"}) if id(node) in self._links else _PRINTED)
            if id(node) in self._links:
                self._seen.at(path).format = "uri-reference"

    def filtered(self, node: nodes.Filter, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``a|filter``."""
        for child in (*node.args, *node.kwargs):
            self.walk(child, scope, sure)
        if node.node is None:
            return
        path = _path(node.node, scope)
        if node.name in ("default", "d") and path:
            self._used(path[:-1], sure)
            self._seen.at(path)
            return
        self.walk(node.node, scope, sure)
        if path and node.name in _BY_FILTER:
            self._seen.at(path).is_of(_BY_FILTER[node.name])
            self._seen.at(path).is_read |= len(_BY_FILTER[node.name]) > 1
            if node.name in _DATES and not self._seen.at(path).format:
                self._seen.at(path).format = "date-time" if node.name == "datetime" else "date"

    def tested(self, node: nodes.Test, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``a is test``."""
        for child in node.args:
            self.walk(child, scope, sure)
        path = _path(node.node, scope)
        if path and node.name in ("defined", "undefined", "none"):
            self._used(path[:-1], sure)
            self._seen.at(path)
        else:
            self.walk(node.node, scope, sure)

    def _compare(self, node: nodes.Compare, scope: Scope) -> None:
        for operand in node.ops:
            for one, other in ((node.expr, operand.expr), (operand.expr, node.expr)):
                if not isinstance(other, nodes.Const) or operand.op in ("in", "notin"):
                    continue
                if isinstance(other.value, bool):
                    self._of(one, scope, frozenset({"boolean"}))
                elif isinstance(other.value, int | float):
                    self._of(one, scope, frozenset({"number"}))
                elif isinstance(other.value, str):
                    self._of(one, scope, frozenset({"string"}))

    def _test(self, node: nodes.Node, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in an expression whose truth is asked for: a bare value may be missing."""
        path = _path(node, scope)
        if path:
            self._used(path[:-1], sure)
            self._seen.at(path)
        else:
            self.walk(node, scope, sure)

    def branches(self, node: nodes.If, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% if %}`` with all its branches."""
        rest = sure
        for branch in (node, *node.elif_):
            self._test(branch.test, scope, rest)
            self._all(branch.body, dict(scope), rest | _known(branch.test, scope, is_true=True))
            rest |= _known(branch.test, scope, is_true=False)
        self._all(node.else_, dict(scope), rest)

    def loop(self, node: nodes.For, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% for %}``."""
        self.walk(node.iter, scope, sure)
        path = _path(node.iter, scope)
        inner: Scope = {**scope, "loop": None}
        if path:
            self._seen.at(path).is_of(frozenset({"array"}))
            self._seen.at((*path, ITEM))
        self._bind(node.target, (*path, ITEM) if path else None, inner)
        if node.test is not None:
            self._test(node.test, inner, sure)
            sure |= _known(node.test, inner, is_true=True)
        self._all(node.body, inner, sure)
        self._all(node.else_, dict(scope), sure)

    def macro(self, node: nodes.Macro | nodes.CallBlock, scope: Scope, sure: frozenset[Path]) -> None:
        """Take in ``{% macro %}`` and ``{% call %}``."""
        self._all(node.defaults, scope, sure)
        if isinstance(node, nodes.CallBlock):
            self.walk(node.call, scope, sure)
        else:
            scope[node.name] = None
        inner: Scope = {**scope, "caller": None, "varargs": None, "kwargs": None}
        for argument in node.args:
            inner[argument.name] = None
        self._all(node.body, inner, sure)

    def _bind(self, target: nodes.Node, path: Path | None, scope: Scope) -> None:
        if isinstance(target, nodes.Name):
            scope[target.name] = path
        elif isinstance(target, nodes.Tuple):
            for item in target.items:
                self._bind(item, None, scope)


_WALKS: dict[type[nodes.Node], Callable[[_Walker, Any, Scope, frozenset[Path]], None]] = {
    nodes.If: _Walker.branches,
    nodes.CondExpr: _Walker.choice,
    nodes.And: _Walker.both,
    nodes.Or: _Walker.both,
    nodes.Not: _Walker.negation,
    nodes.For: _Walker.loop,
    nodes.Assign: _Walker.assignment,
    nodes.AssignBlock: _Walker.block_assignment,
    nodes.With: _Walker.with_names,
    nodes.Macro: _Walker.macro,
    nodes.CallBlock: _Walker.macro,
    nodes.Call: _Walker.call,
    nodes.Output: _Walker.output,
    nodes.Filter: _Walker.filtered,
    nodes.Test: _Walker.tested,
}
"""What takes in each kind of node; all others are expressions."""


def _path(node: nodes.Node | None, scope: Mapping[str, Path | None]) -> Path | None:
    """Return which variable an expression is, or ``None`` when it is something made."""
    match node:
        case nodes.Name():
            if node.name in scope:
                return scope[node.name]
            return None if node.name in GLOBALS else (node.name,)
        case nodes.Getattr():
            before, key = _path(node.node, scope), node.attr
        case nodes.Getitem(arg=nodes.Const(value=str(key))):
            before = _path(node.node, scope)
        case nodes.Getitem(arg=nodes.Const(value=int())):
            before, key = _path(node.node, scope), ITEM
        case _:
            return None
    return (*before, key) if before else None


def _known(test: nodes.Node, scope: Mapping[str, Path | None], *, is_true: bool) -> frozenset[Path]:
    """Return the values that are there when a test holds, or when it does not."""
    match test:
        case nodes.Not():
            return _known(test.node, scope, is_true=not is_true)
        case nodes.And() | nodes.Or():
            left = _known(test.left, scope, is_true=is_true)
            right = _known(test.right, scope, is_true=is_true)
            return left | right if isinstance(test, nodes.And) is is_true else left & right
        case nodes.Test():
            path = _path(test.node, scope)
            if path and ((test.name == "defined" and is_true) or (test.name == "undefined" and not is_true)):
                return frozenset({path})
            return frozenset()
    path = _path(test, scope)
    return frozenset({path}) if path and is_true else frozenset()


def _schema(seen: Mapping[str, Use], declared: Mapping[str, VariableNote]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name in [*declared, *(name for name in seen if name not in declared)]:
        if name[:1] == "_":
            continue
        use, note = seen.get(name, Use()), declared.get(name)
        properties[name] = _of_use(use) if note is None else _together(use, note)
        if use.is_required and (note is None or note.required):
            required.append(name)
    return {
        "$schema": SCHEMA,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _of_use(use: Use) -> dict[str, Any]:
    kinds = use.kinds
    if use.keys and (kinds is None or "object" not in kinds) and not (kinds and "array" in kinds):
        kinds = frozenset({"object"})
    schema: dict[str, Any] = {}
    if kinds:
        schema["type"] = next(iter(kinds)) if len(kinds) == 1 else sorted(kinds, reverse=True)
    if use.format and "string" in (kinds or ()):
        schema["format"] = use.format
    if use.keys and kinds and "object" in kinds:
        schema["properties"] = {name: _of_use(one) for name, one in use.keys.items()}
        schema["required"] = [name for name, one in use.keys.items() if one.is_required]
    if use.item is not None and (kinds is None or "array" in kinds):
        schema["items"] = _of_use(use.item)
    return schema


def _together(use: Use, note: VariableNote) -> dict[str, Any]:
    """Put what was guessed from use and what the author said into one schema; an example is but a hint."""
    guessed, said = _of_use(use), _declared(note)
    kinds = guessed.get("type")
    if not note.type and use.is_read:
        if isinstance(kinds, list) and said.get("type") in kinds:
            said["type"] = kinds
        if said.get("format") == WHOLE:  # such filters are for fractions too
            del said["format"]
    return {**guessed, **said}


def _declared(note: VariableNote) -> dict[str, Any]:
    """Return what the front matter says of one variable."""
    schema: dict[str, Any] = {}
    if note.example is not None:
        schema |= _of_example(note.example) | {"examples": [note.example]}
    elif note.default is not None:
        schema |= _of_example(note.default)
    if note.type:
        schema["type"] = note.type
        schema.pop("format", None)
    if note.description:
        schema["description"] = note.description
    if note.has_default:
        schema["default"] = note.default
    return schema


def _of_example(value: Any) -> dict[str, Any]:
    """Return the type of an example; of texts and numbers, which one may stand for another, none."""
    match value:
        case bool():
            return {"type": "boolean"}
        case list() | tuple():
            return {"type": "array"}
        case Mapping():
            return {"type": "object"}
        case int():
            return {"type": "number", "format": WHOLE}
        case float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
    return {}
