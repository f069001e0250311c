"""Sources made of components to one page of HTML: the component language as a whole.

``expand`` reads the front matter, evaluates the template, puts every ``<x-NAME>`` in place from the shelf,
fills slots and stacks, and leaves ``@{{ name }}`` as ``{{ name }}`` for the rendering; ``{% %}`` passes
through. It is a function of source and shelf alone: no files, no clock, no dice. Whatever it is given, it
raises nothing but SourceError, with every error it could find.

It does not style (``styling``), render (``rendering``) or check names of variables.

Sources: the documentation of Maizzle 5, posthtml-component 2.1 and posthtml-expressions 1.11, whose language
this is. What differs on purpose stands in docs/templates.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from postroom.model.template import Finding, Shelf, TemplateSource
from postroom.template.errors import SourceError
from postroom.template.language.cupboard import Component, Cupboard, without_scripts
from postroom.template.language.evaluation import Evaluator, GivenUp, Report
from postroom.template.language.expressions import Kind, later, pieces
from postroom.template.language.front_matter import UNREADABLE, FrontMatter, read_front_matter
from postroom.template.language.landing import is_html, landed
from postroom.template.language.markup import Element, Node, read, write
from postroom.template.language.script import Aware, Call, Engine, Fault, Locals, Scope, ScriptFailure
from postroom.template.language.slots import (
    YIELDS,
    Fill,
    Filling,
    Stacks,
    described,
    fills,
    is_component,
    part_name,
)
from postroom.template.language.targets import ENVIRONMENT, finished, for_production
from postroom.template.places import Place, error

MAX_USES = 2000
"""Components that are put in place in one compilation."""
MAX_CHAIN = 24
"""Components within components; layouts, cards and buttons make five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A template without components: HTML with Jinja expressions, style classes not yet resolved."""

    html: str
    front: FrontMatter
    """With its expressions evaluated."""
    used: tuple[str, ...] = ()
    """Paths of the components, in the order of their first use."""
    findings: tuple[Finding, ...] = ()
    """Warnings and notes."""


def expand(source: TemplateSource, shelf: Shelf) -> Expanded:
    """Expand one source with the components of a shelf. Raises SourceError with every error found."""
    file = source.file or source.name
    try:
        return _Expansion(shelf).expanded(_readable(source.text, file), file)
    except RecursionError:
        # Elements within elements through many components: each bound holds, all together do not.
        place = Place(file, 0, 0)
        raise _error(
            "nested-too-deeply", place, "elements and components nest too deeply", "Flatten it."
        ) from None


def _readable(text: str, file: str) -> str:
    """Return a text that every later stage can hold. Raises SourceError: NUL or lone surrogates."""
    found = UNREADABLE.search(text)
    if found is not None:
        place = Place(file, text.count("\n", 0, found.start()) + 1)
        raise _error("source-characters", place, "a NUL or half of a character", "Save the file as UTF-8.")
    return text


def _error(code: str, place: Place, cause: str, fix: str) -> SourceError:
    return SourceError([error(code, place, cause=cause, fix=fix)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What a component stands in."""

    aware: Aware
    chain: tuple[str, ...] = ()
    call: tuple[str, Place] | None = None
    """The tag in the template itself that brings all of this, and its place."""


class _Expansion:
    def __init__(self, shelf: Shelf) -> None:
        self._report = Report()
        self._engine = Engine()
        self._evaluator = Evaluator(engine=self._engine, report=self._report)
        self._cupboard = Cupboard(shelf, self._report)
        self._stacks = Stacks(self._report)
        self._uses = 0
        self._page: Scope = self._engine.page({})

    def expanded(self, text: str, file: str) -> Expanded:
        front, body, offset = read_front_matter(text, file=file)
        front = self._evaluated(front, file)
        self._page = self._engine.page({"env": ENVIRONMENT, **front.page})
        document = read(body, file, first_line=offset + 1)
        self._report.note(document.findings)
        written, scripts = without_scripts(for_production(document.nodes), ("locals",))
        nodes = self._evaluator.nodes(written, self._names(scripts), owner="")
        nodes = self._nodes(nodes, _Around(aware=self._engine.unaware()))
        nodes = self._stacked(self._unpushed(nodes))
        html = self._report.written(finished(nodes), Place(file, 0))
        return Expanded(
            html=html.lstrip("\r\n"), front=front, used=self._cupboard.used, findings=self._report.done()
        )

    def _names(self, scripts: Sequence[Element]) -> Scope:
        """Return the names of the template itself: ``page``, and what its ``<script locals>`` gives."""
        if not scripts:
            return self._page
        code = [write(one.children) for one in scripts]
        try:
            names = self._engine.component(self._page, self._engine.unaware(), Call(), code)
        except ScriptFailure as failure:
            cause = f"the script: {failure.cause}"
            self._report.stop(failure.fault.value, scripts[0].place, cause, "Correct the script.")
        return names.scope

    def _evaluated(self, front: FrontMatter, file: str) -> FrontMatter:
        """Evaluate the front matter's texts, which see each other as they are written."""
        scope = self._engine.page({"env": ENVIRONMENT, **front.page})

        def value(data: Any, place: Place) -> Any:
            if isinstance(data, str):
                return self._unescaped(data, scope, place)
            if isinstance(data, list):
                return [value(one, place) for one in data]
            if isinstance(data, dict):
                return {key: value(one, place) for key, one in data.items()}
            return data

        page: dict[str, Any] = {}
        for key, data in front.page.items():
            place = Place(file, front.lines.get(key, 1), 1)
            page[key] = data if key == "variables" else value(data, place)
        return front.with_page(page)

    def _unescaped(self, text: str, scope: Scope, place: Place) -> str:
        """Evaluate a text that is no HTML yet: a subject is printed as it is."""
        if "{" not in text:
            return text
        parts = []
        for piece in pieces(text):
            if piece.kind is Kind.ESCAPED:
                piece = replace(piece, kind=Kind.RAW)  # noqa: PLW2901 -- the same without escaping
            parts.append(
                later(piece.code)
                if piece.kind is Kind.LATER
                else self._evaluator.piece(piece, scope, place, text)
            )
        return "".join(parts)

    def _nodes(self, nodes: Sequence[Node], around: _Around) -> list[Node]:
        """Put components in place. Fills that nobody took are dropped, slots show what they hold."""
        out: list[Node] = []
        for node in nodes:
            self._report.count(node.place)
            if not isinstance(node, Element):
                out.append(node)
            elif is_component(node):
                try:
                    out.extend(self._component(node, around))
                except GivenUp:
                    # The error is noted; other components are still worth looking at.
                    continue
            elif part_name(node, "fill") is not None:
                continue
            elif node.name in YIELDS or part_name(node, "slot") is not None:
                out.extend(self._nodes(node.children, around))
            elif node.children:
                out.append(node.with_children(tuple(self._nodes(node.children, around))))
            else:
                out.append(node)
        return out

    def _component(self, node: Element, around: _Around) -> list[Node]:
        self._uses += 1
        if self._uses > MAX_USES:
            self._report.stop(
                "too-large", node.place, f"more than {MAX_USES} components", "Use fewer of them."
            )
        component = self._cupboard.component(node)
        chain = (*around.chain, component.path)
        if len(chain) > MAX_CHAIN:
            shown = " > ".join(chain[-4:])
            self._report.stop(
                "component-recursion",
                node.place,
                f"more than {MAX_CHAIN} components within each other: … > {shown}",
                "End the recursion with an <if>, or use other components.",
            )
        given = fills(node, self._cupboard.takes)
        names = self._locals(node, component, given, around)
        is_own = around.call is None or node.place.file == around.call[1].file
        call = (node.tag, node.place) if is_own else around.call
        self._report.call = call
        nodes = self._evaluator.nodes(component.nodes, names.scope, owner=node.tag)
        self._report.call = None
        nodes = Filling(node, given, self._report).nodes(nodes)
        nodes = self._nodes(nodes, _Around(aware=names.aware, chain=chain, call=call))
        self._check_attributes(node, component, names)
        lang = node.value("lang")
        return landed(nodes, names.landing, lang=lang)

    def _locals(
        self, node: Element, component: Component, given: Mapping[str, Fill], around: _Around
    ) -> Locals:
        plain: list[tuple[str, str]] = []
        prefixed: dict[str, list[tuple[str, str]]] = {"aware": [], "merge": []}
        source = self._cupboard.file_of(node)
        for one in node.attributes:
            if one.name.startswith("{") or (one.name == "src" and source is not None):
                continue
            prefix, _, name = one.name.partition(":")
            into = prefixed.get(prefix, plain)
            value = (one.value or "").replace("&quot;", '"')
            into.append((one.name if into is plain else name, value))
        call = Call(
            # Those with a prefix come last: given both ways, they are what counts.
            attributes=[*plain, *prefixed["aware"], *prefixed["merge"]],
            aware=[name for name, _ in prefixed["aware"]],
            merge=[name for name, _ in prefixed["merge"]],
            slots=described(given, self._report),
        )
        try:
            return self._engine.component(self._page, around.aware, call, component.scripts)
        except ScriptFailure as failure:
            fix = f"Correct the script; <{node.tag}> in {node.place.file} line {node.place.line} runs it."
            if failure.fault is Fault.LIMIT:
                self._report.stop(failure.fault.value, component.place, f"the script {failure.cause}", fix)
            self._report.refuse(failure.fault.value, component.place, f"the script: {failure.cause}", fix)

    def _check_attributes(self, node: Element, component: Component, names: Locals) -> None:
        """Warn of attributes that a component with declared props neither takes nor passes on."""
        if not component.scripts:
            return
        for one in node.attributes:
            name = one.name.rpartition(":")[2]
            if (
                one.name.startswith("{")
                or name in ("props", "locals")
                or name in names.declared
                or is_html(name)
            ):
                continue
            if component.mentions(name):
                continue
            near = get_close_matches(name, names.declared, 1, 0.5)
            self._report.warn(
                "unknown-attribute",
                one.place,
                f"<{node.tag}> takes no attribute {name[:60]}",
                f"Did you mean {near[0]}?" if near else "Leave it out.",
            )

    def _unpushed(self, nodes: Sequence[Node]) -> list[Node]:
        out: list[Node] = []
        for node in nodes:
            if not isinstance(node, Element):
                out.append(node)
            elif node.name == "push":
                inner = replace(node, children=tuple(self._unpushed(node.children)))
                try:
                    self._stacks.push(inner)
                except GivenUp:
                    # Noted; what was pushed is not shown.
                    continue
            elif node.children:
                out.append(node.with_children(tuple(self._unpushed(node.children))))
            else:
                out.append(node)
        return out

    def _stacked(self, nodes: Sequence[Node]) -> list[Node]:
        out: list[Node] = []
        for node in nodes:
            if not isinstance(node, Element):
                out.append(node)
            elif node.name == "stack":
                try:
                    out.extend(self._stacks.content(node))
                except GivenUp:
                    # Noted; a stack without a name is empty.
                    continue
            elif node.children:
                out.append(node.with_children(tuple(self._stacked(node.children))))
            else:
                out.append(node)
        return out
