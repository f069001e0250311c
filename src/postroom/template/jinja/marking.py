"""Rewrite the tree of a Jinja template, so that what it does at run time is checked and named.

* what is printed passes through ``_printed`` (or ``_link`` when it is all of an ``href`` or ``src``), with
  the path of the variable as the template says it,
* what a loop goes through passes through ``_counted``,
* what is joined with ``~`` or given to a filter of texts may not be ``null``,
* our own filters, and ``join``, are told the path of what they are given,
* ``{{ a if b }}`` without ``else`` prints nothing when ``b`` does not hold.

Whatever would read another file (``include``, ``import``, ``extends``) is refused. Works on the tree alone;
the checks themselves are in ``sandbox``.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError

from postroom.template.jinja.filters import NAMES as OURS

OF_TEXTS = frozenset({"capitalize", "e", "escape", "float", "forceescape", "indent", "int", "lower"}) | {
    *("replace", "safe", "string", "striptags", "title", "trim", "truncate", "upper", "urlencode"),
    *("wordcount", "wordwrap"),
}
"""Filters that make a text or number even of ``null``: ``None``, or 0."""
_OPENED = re.compile(r"""(?<![\w-])(?:href|src)\s*=\s*(["']?)\s*\Z""", re.IGNORECASE)
"""The end of literal HTML behind which the value of a link begins."""
_REFUSED = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
}


def marked(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """Return the tree with its checks in place. Raises TemplateSyntaxError."""
    found = _by_kind(tree)
    for kind, word in _REFUSED.items():
        for node in found[kind]:
            raise TemplateSyntaxError(
                f"{word} is not available: a template is one text; share parts as components", node.lineno
            )
    _close_gaps(found[nodes.CondExpr])
    links = _links_of(found[nodes.Output])
    for output in found[nodes.Output]:
        output.nodes = [
            node
            if isinstance(node, nodes.TemplateData)
            else _through("_link" if id(node) in links else "_printed", node)
            for node in output.nodes
        ]
    for loop in found[nodes.For]:
        loop.iter = _through("_counted", loop.iter)
    for joined in found[nodes.Concat]:
        joined.nodes = [
            node if isinstance(node, nodes.Const) else _through("_printed", node) for node in joined.nodes
        ]
    for used in found[nodes.Filter]:
        if used.name in OURS or used.name == "join":
            used.kwargs = [*used.kwargs, nodes.Keyword("of", nodes.Const(path_in(used.node)))]
        elif used.name in OF_TEXTS and used.node is not None and path_in(used.node):
            used.node = _through("_given", used.node)
    return tree.set_environment(environment)  # type: ignore[return-value] # Jinja returns itself


def path_in(node: nodes.Node | None) -> str:
    """Return the path of the variable that an expression is about: ``order.total``; empty without one."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            before = path_in(node.node)
            return f"{before}.{node.attr}" if before else ""
        case nodes.Getitem(arg=nodes.Const(value=value)) if isinstance(value, str | int):
            before = path_in(node.node)
            return f"{before}.{value}" if before else ""
        case nodes.Const() | None:
            return ""
    for child in node.iter_child_nodes():
        if path := path_in(child):
            return path
    return ""


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    """Wrap an expression into one of the checks."""
    path = nodes.Const(path_in(node), lineno=node.lineno)
    return nodes.Filter(node, name, [path], [], None, None, lineno=node.lineno)


def _close_gaps(choices: Iterable[nodes.CondExpr]) -> None:
    for choice in choices:
        if choice.expr2 is None:
            choice.expr2 = nodes.Const("", lineno=choice.lineno)


def _by_kind(tree: nodes.Template) -> Mapping[type[nodes.Node], list[Any]]:
    """Return every node by its class, in the order of the source. Jinja's own search is far slower."""
    found: defaultdict[type[nodes.Node], list[Any]] = defaultdict(list)
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        found[type(node)].append(node)
        inner: list[nodes.Node] = []
        for name in node.fields:
            value = getattr(node, name, None)
            if isinstance(value, nodes.Node):
                inner.append(value)
            elif type(value) is list:
                inner += [one for one in value if isinstance(one, nodes.Node)]
        waiting += reversed(inner)
    return found


def link_expressions(tree: nodes.Template) -> set[int]:
    """Return the ids of the expressions that are the whole value of a link or an image."""
    return _links_of(_by_kind(tree)[nodes.Output])


def _links_of(outputs: Iterable[nodes.Output]) -> set[int]:
    found: set[int] = set()
    for output in outputs:
        pieces = output.nodes
        for before, node, after in zip(pieces, pieces[1:], pieces[2:], strict=False):
            if isinstance(node, nodes.TemplateData) or not (
                isinstance(before, nodes.TemplateData) and isinstance(after, nodes.TemplateData)
            ):
                continue
            opened = _OPENED.search(before.data)
            rest = after.data.lstrip()
            if opened and (rest.startswith(opened[1]) if opened[1] else after.data[:1] in (" ", ">", "/")):
                found.add(id(node))
    return found


def open_links(tree: nodes.Template) -> list[str]:
    """Return the variables in links that are made of several pieces, all of which may come out empty."""
    whole = link_expressions(tree)
    found: list[str] = []
    opened = ""
    for piece in _pieces(tree):
        if not isinstance(piece, nodes.TemplateData):
            if opened and id(piece) not in whole:
                found.append(path_in(piece))
            continue
        if opened and (opened in piece.data or piece.data.strip()):
            opened = ""
        if match := _OPENED.search(piece.data):
            opened = match[1] or ">"
    return found


def _pieces(node: nodes.Node) -> "list[nodes.Node]":
    """Return what is printed, in the order of the page."""
    if isinstance(node, nodes.Output):
        return list(node.nodes)
    return [piece for child in node.iter_child_nodes() for piece in _pieces(child)]
