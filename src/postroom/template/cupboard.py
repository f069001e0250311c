"""Components as they are found on a shelf and read: once for each compilation."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

from postroom.model.template import Shelf
from postroom.template.evaluation import Report
from postroom.template.markup import Element, Node, read, write
from postroom.template.places import Place
from postroom.template.targets import for_production

FOLDERS = ("layouts", "emails", "templates", "components")
"""Where ``<x-NAME>`` is looked for, in this order."""
MAX_COMPONENT = 256 * 1024
"""Characters of one component (security limit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component as its author wrote it."""

    path: str
    """On the shelf: ``components/button``."""
    text: str
    nodes: tuple[Node, ...]
    """Without its scripts."""
    scripts: tuple[str, ...]
    place: Place
    """Of the first script."""

    @property
    def file(self) -> str:
        """The path to show."""
        return f"{self.path}.html"

    def mentions(self, name: str) -> bool:
        """Tell whether the source says this name at all: what it never says, it cannot use."""
        return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.text) is not None


class Cupboard:
    """The components of a shelf, by the tags that name them."""

    def __init__(self, shelf: Shelf, report: Report) -> None:
        """Take the shelf; components are read when they are first used."""
        self._shelf = shelf
        self._report = report
        self._read: dict[str, Component] = {}

    @property
    def used(self) -> tuple[str, ...]:
        """Paths of the components that were taken, in the order of their first use."""
        return tuple(self._read)

    def component(self, node: Element) -> Component:
        """Return the component a tag names. Raises GivenUp: there is none."""
        path = self._path(node)
        found = self._read.get(path)
        if found is None:
            found = self._read[path] = self._component(path, node)
        return found

    def file_of(self, node: Element) -> str | None:
        """Return the file a tag names in ``src``, when it names a component at all."""
        source = node.value("src")
        if source is None or not (node.name == "component" or source.endswith(".html")):
            return None
        path = source.removesuffix(".html").removeprefix("./").removeprefix("/").removeprefix("src/")
        return path if node.name == "component" or path in self._shelf.components else None

    def _path(self, node: Element) -> str:
        components = self._shelf.components
        file = self.file_of(node)
        if file is not None:
            if file in components:
                return file
            self._unknown(node, f"{node.value('src')}", file)
        name = node.tag[2:].replace("::", "/").replace(".", "/")
        for last in (name, f"{name}/index"):
            for folder in FOLDERS:
                if f"{folder}/{last}" in components:
                    return f"{folder}/{last}"
        return self._unknown(node, f"<{node.tag[:80]}>", name)

    def _unknown(self, node: Element, shown: str, name: str) -> NoReturn:
        known = {path.partition("/")[2].removesuffix("/index"): path for path in self._shelf.components}
        near = get_close_matches(name, known, 1, 0.5)
        fix = "Write the file components/" + name[:80] + ".html."
        if near:
            fix = (
                f"Did you mean <x-{near[0].replace('/', '.')}>? Otherwise write components/{name[:80]}.html."
            )
        self._report.refuse("unknown-component", node.place, f"there is no component for {shown}", fix)

    def _component(self, path: str, node: Element) -> Component:
        text = self._shelf.components[path].removeprefix("\ufeff")
        if len(text) > MAX_COMPONENT:
            self._report.refuse(
                "too-large",
                node.place,
                f"{path} has more than {MAX_COMPONENT // 1024} KiB",
                "Cut it into parts.",
            )
        document = read(text, f"{path}.html")
        self._report.note(document.findings)
        nodes, scripts = without_scripts(for_production(document.nodes), ("props", "locals"))
        return Component(
            path=path,
            text=text,
            nodes=nodes,
            scripts=tuple(write(one.children) for one in scripts),
            place=scripts[0].place if scripts else Place(f"{path}.html", 1, 1),
        )


def without_scripts(
    nodes: tuple[Node, ...], marks: tuple[str, ...]
) -> tuple[tuple[Node, ...], list[Element]]:
    """Take the scripts that bear one of the marks out of a source, wherever they stand."""
    out: list[Node] = []
    scripts: list[Element] = []
    for node in nodes:
        if not isinstance(node, Element):
            out.append(node)
        elif node.name == "script" and any(node.attribute(mark) is not None for mark in marks):
            scripts.append(node)
        elif node.children:
            children, below = without_scripts(node.children, marks)
            scripts.extend(below)
            out.append(node.with_children(children))
        else:
            out.append(node)
    return tuple(out), scripts
