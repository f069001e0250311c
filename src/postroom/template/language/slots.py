"""What is put where: ``<yield>``, ``<fill:NAME>`` into ``<slot:NAME>``, ``<push>`` onto ``<stack>``.

A fill belongs to the innermost component it is written in that has such a slot. One that reaches another
component through a ``<yield>`` belongs to that one too, which is how a layout hands a slot on to the layout
below it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.template.language.evaluation import Report
from postroom.template.language.markup import Element, Node

YIELDS = ("yield", "content")
"""``<content>`` is what Maizzle 4 called it."""
_FLAGS = ("append", "prepend", "aware")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What a caller puts into a slot."""

    element: Element
    aware: bool
    """Every slot of that name takes it, not only the first one."""


def is_component(node: Element) -> bool:
    """Tell whether a tag uses a component."""
    return node.name.startswith("x-") or node.name == "component"


def part_name(node: Element, part: str) -> str | None:
    """Return NAME of ``<part:NAME>``, ``None`` for other tags."""
    return node.tag[len(part) + 1 :] if node.name.startswith(f"{part}:") else None


def fills(caller: Element, takes: Callable[[Element, str], bool]) -> dict[str, Fill]:
    """Return the fills a component is given, by name; ``takes``: whether a tag's component has a slot."""
    found: dict[str, Fill] = {}

    def collect(nodes: Sequence[Node], inside: tuple[Element, ...]) -> None:
        for node in nodes:
            if not isinstance(node, Element):
                continue
            name = part_name(node, "fill")
            if name is None:
                collect(node.children, (*inside, node) if is_component(node) else inside)
            elif not any(one.place.file == node.place.file and takes(one, name) for one in inside):
                found[name] = Fill(element=node, aware=node.attribute("aware") is not None)

    collect(caller.children, ())
    return found


def described(given: Mapping[str, Fill], report: Report) -> dict[str, dict[str, Any]]:
    """Return what ``$slots`` tells about them."""
    return {
        name: {
            "attributes": [
                (one.name, one.value or "") for one in fill.element.attributes if one.name not in _FLAGS
            ],
            "source": report.written(fill.element.children, fill.element.place),
        }
        for name, fill in given.items()
    }


class Filling:
    """Puts a caller's content and fills into what a component makes."""

    def __init__(self, caller: Element, given: Mapping[str, Fill], report: Report) -> None:
        """Take the tag that uses the component, and its fills."""
        self._report = report
        self._content = caller.children
        self._fills = given
        self._rendered: set[str] = set()

    def nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """Replace every yield and slot."""
        out: list[Node] = []
        for node in nodes:
            if not isinstance(node, Element):
                out.append(node)
            elif node.name in YIELDS:
                for one in self._content:
                    # What is put in often is counted as often.
                    self._report.count(one.place)
                out.extend(self._content or self.nodes(node.children))
            elif (name := part_name(node, "slot")) is not None:
                out.extend(self._slot(name, node))
            elif node.children:
                out.append(node.with_children(tuple(self.nodes(node.children))))
            else:
                out.append(node)
        return out

    def _slot(self, name: str, node: Element) -> list[Node]:
        fill = self._fills.get(name)
        if fill is None:
            return self.nodes(node.children)
        if name in self._rendered:
            return []
        if not fill.aware:
            self._rendered.add(name)
        content = list(fill.element.children)
        if node.children and fill.element.attribute("append") is not None:
            return [*self.nodes(node.children), *content]
        if node.children and fill.element.attribute("prepend") is not None:
            return [*content, *self.nodes(node.children)]
        return content


class Stacks:
    """Gathers what is pushed, and puts it where the stacks are."""

    def __init__(self, report: Report) -> None:
        """Take the report."""
        self._report = report
        self._pushed: dict[str, list[tuple[Node, ...]]] = {}
        self._written: dict[str, set[str]] = {}

    def push(self, node: Element) -> None:
        """Gather one push. Raises GivenUp: it has no name."""
        name = self._name(node)
        written = self._report.written(node.children, node.place)
        seen = self._written.setdefault(name, set())
        if node.attribute("once") is not None and written in seen:
            return
        seen.add(written)
        waiting = self._pushed.setdefault(name, [])
        waiting.insert(0 if node.attribute("prepend") is not None else len(waiting), node.children)

    def content(self, node: Element) -> list[Node]:
        """Return what a stack holds."""
        content = [one for children in self._pushed.get(self._name(node), ()) for one in children]
        for one in content:
            self._report.count(one.place)
        return content

    def _name(self, node: Element) -> str:
        name = node.value("name")
        if not name:
            self._report.refuse(
                "attribute-missing", node.place, f"<{node.tag}> has no name", 'Write name="head".'
            )
        return name
