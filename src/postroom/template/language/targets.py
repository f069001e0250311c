"""What a source says about where it is built for and read in: environments and Outlook.

Templates are always built for production: ``<env:production>`` keeps what is in it, other environments are
left out, and ``src-production="…"`` takes the place of ``src``. ``<outlook>`` becomes the conditional comment
that Word's engine reads, ``<not-outlook>`` the one that everybody else does. ``<template>`` is a mere
bracket, ``<plaintext>`` is not for the HTML.

Sources: the documentation of Maizzle 5 (environments, Outlook tags); Microsoft's conditional comments.
"""

from collections.abc import Sequence
from dataclasses import replace

from postroom.template.html_names import VOID
from postroom.template.language.markup import Element, Node, Verbatim, changed

ENVIRONMENT = "production"
_SUFFIX = f"-{ENVIRONMENT}"
_VERSIONS = {
    "2000": 9,
    "2002": 10,
    "2003": 11,
    "2007": 12,
    "2010": 14,
    "2013": 15,
    "2016": 16,
    "2019": 16,
}
"""Word's version by the year in Outlook's name."""


def for_production(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Resolve environments in a source as it was read."""
    out: list[Node] = []
    for node in nodes:
        if not isinstance(node, Element):
            out.append(node)
            continue
        children = for_production(node.children) if node.children else ()
        if node.name.startswith("env:"):
            if node.name == f"env:{ENVIRONMENT}":
                out.extend(children)
            continue
        if any(one.name.endswith(_SUFFIX) for one in node.attributes):
            node = _resolved(node)  # noqa: PLW2901 -- the node as it goes on
        out.append(node.with_children(children))
    return tuple(out)


def _resolved(node: Element) -> Element:
    instead = {
        one.name.removesuffix(_SUFFIX): replace(one, name=one.name.removesuffix(_SUFFIX))
        for one in node.attributes
        if one.name.endswith(_SUFFIX)
    }
    attributes = [instead.pop(one.name, one) for one in node.attributes if not one.name.endswith(_SUFFIX)]
    return changed(node, attributes=(*attributes, *instead.values()), children=node.children)


def finished(nodes: Sequence[Node]) -> list[Node]:
    """Turn Outlook's tags into comments, trim what asks for it, close what HTML leaves open."""
    out: list[Node] = []
    for node in nodes:
        if not isinstance(node, Element):
            out.append(node)
            continue
        children = tuple(finished(node.children)) if node.children else ()
        if node.name in ("outlook", "not-outlook"):
            opening, closing = _comments(node)
            out.append(Verbatim(text=opening, place=node.place))
            out.extend(_trimmed(children) if node.attribute("trim") is not None else children)
            out.append(Verbatim(text=closing, place=node.place))
            continue
        if node.name in ("template", "not-plaintext", "plaintext") and node.attribute("preserve") is None:
            out.extend(children if node.name != "plaintext" else ())
            continue
        if node.attribute("trim") is not None:
            rest = tuple(one for one in node.attributes if one.name != "trim")
            node = changed(node, attributes=rest, children=node.children)  # noqa: PLW2901 -- as it goes on
            children = tuple(_trimmed(children))
        if _needs_end(node):
            node = changed(node, attributes=node.attributes, children=children)  # noqa: PLW2901 -- as above
        out.append(node.with_children(children))
    return out


def _needs_end(node: Element) -> bool:
    """Tell whether a self-closing tag would be read as open: of HTML's, not of VML's."""
    if node.opening is None or not node.opening.endswith("/>") or node.closing:
        return False
    return node.name not in VOID and ":" not in node.tag


def _trimmed(nodes: Sequence[Node]) -> list[Node]:
    out = list(nodes)
    for index, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if out and not isinstance(out[index], Element):
            first = out[index]
            assert not isinstance(first, Element)  # noqa: S101 -- for the type checker
            out[index] = replace(first, text=strip(first.text))
    return out


def _comments(node: Element) -> tuple[str, str]:
    if node.name == "not-outlook":
        return "<!--[if !mso]><!-->", "<!--<![endif]-->"
    condition = "mso"
    for name in ("only", "not"):
        years = [
            _VERSIONS[one.strip()] for one in (node.value(name) or "").split(",") if one.strip() in _VERSIONS
        ]
        words = [f"mso {one}" for one in dict.fromkeys(years)]
        if words:
            joined = words[0] if len(words) == 1 else "|".join(f"({one})" for one in words)
            negated = f"!({joined})" if len(words) > 1 else f"!{joined}"
            return f"<!--[if {negated if name == 'not' else joined}]>", "<![endif]-->"
    bounds = [
        f"{one.name} mso {_VERSIONS[(one.value or '').strip()]}"
        for one in node.attributes
        if one.name in ("lt", "lte", "gt", "gte") and (one.value or "").strip() in _VERSIONS
    ]
    if bounds:
        condition = bounds[0] if len(bounds) == 1 else "&".join(f"({one})" for one in bounds)
    return f"<!--[if {condition}]>", "<![endif]-->"
