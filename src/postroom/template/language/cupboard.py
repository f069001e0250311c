"""Components as they are found on a shelf, and read."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import NoReturn

from postroom.model.template import Finding, Shelf
from postroom.template.language.evaluation import Report
from postroom.template.language.front_matter import UNREADABLE
from postroom.template.language.markup import Element, Node, read, write
from postroom.template.language.targets import for_production
from postroom.template.places import Place

FOLDERS = ("layouts", "emails", "templates", "components")
"""Where ``<x-NAME>`` is looked for, in this order."""
_TAGS = re.compile(r"<(x-[^\s/>{]+)")
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
        return _says(self.text, name)


class Cupboard:
    """The components of a shelf, by the tags that name them."""

    def __init__(self, shelf: Shelf, report: Report) -> None:
        """Take the shelf; components are read when they are first used."""
        self._shelf = shelf
        self._report = report
        self._without_case = {path.lower(): path for path in shelf.components}
        self._taking: dict[tuple[str | None, str], bool] = {}
        self._read: dict[str, Component] = {}

    @property
    def used(self) -> tuple[str, ...]:
        """Paths of the components that were taken, in the order of their first use."""
        return tuple(self._read)

    def component(self, node: Element) -> Component:
        """Return the component a tag names. Raises GivenUp: there is none."""
        path = self._known_path(node)
        if path is None:
            self._unknown(node)
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

    def takes(self, node: Element, slot: str) -> bool:
        """Tell whether the component a tag names has a slot, itself or in a component it uses."""
        first = self._known_path(node)
        known = self._taking.get((first, slot))
        if known is None:
            known = self._taking[first, slot] = self._reaches(first, slot)
        return known

    def _reaches(self, first: str | None, slot: str) -> bool:
        waiting = [first]
        seen: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path is None or path in seen:
                continue
            seen.add(path)
            text = self._shelf.components[path]
            if _says(text, f"slot:{slot}") or _says(text, f"$slots.{slot}"):
                return True
            waiting.extend(self._path_of(tag) for tag in _TAGS.findall(text))
        return False

    def _known_path(self, node: Element) -> str | None:
        file = self.file_of(node)
        return self._path_of(node.tag) if file is None else file if file in self._shelf.components else None

    def _path_of(self, tag: str) -> str | None:
        """Return where the component of an ``x-`` tag stands."""
        components = self._shelf.components
        name = tag[2:].replace("::", "/").replace(".", "/")
        for last in (name, f"{name}/index"):
            for folder in FOLDERS:
                path = f"{folder}/{last}"
                found = path if path in components else self._without_case.get(path.lower())
                if found is not None:
                    return found
        return None

    def _unknown(self, node: Element) -> NoReturn:
        file = self.file_of(node)
        shown = f"<{node.tag[:80]}>" if file is None else str(node.value("src"))[:80]
        name = (node.tag[2:].replace(".", "/") if file is None else file)[:80]
        known = {path.partition("/")[2].removesuffix("/index"): path for path in self._shelf.components}
        near = get_close_matches(name.rpartition("components/")[2], known, 1, 0.5)
        fix = f"Write the file components/{name.removeprefix('components/')}.html."
        if near:
            fix = f"Did you mean <x-{near[0].replace('/', '.')}>? {fix}"
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
        if UNREADABLE.search(text):
            self._report.refuse(
                "source-characters",
                node.place,
                f"{path} has a NUL or half of a character",
                "Save it as UTF-8.",
            )
        component, findings = _read(path, text)
        self._report.note(findings)
        return component


@lru_cache(maxsize=128)
def _read(path: str, text: str) -> tuple[Component, tuple[Finding, ...]]:
    """Read a component; kept by its content, for the templates of a shelf use the same few."""
    document = read(text, f"{path}.html")
    nodes, scripts = without_scripts(for_production(document.nodes), ("props", "locals"))
    component = Component(
        path=path,
        text=text,
        nodes=nodes,
        scripts=tuple(write(one.children) for one in scripts),
        place=scripts[0].place if scripts else Place(f"{path}.html", 1, 1),
    )
    return component, document.findings


def _says(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


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
