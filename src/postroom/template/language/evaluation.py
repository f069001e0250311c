"""Expressions and the tags that decide: a tree as written to a tree of plain HTML, in one scope of names.

Every text of a source is evaluated exactly once, where it was written: what a component is given has been
evaluated by its caller before. ``<if>``, ``<switch>`` and ``<each>`` evaluate only what they keep, ``<raw>``
nothing. Inside a component a name nobody gave is false in a condition and an empty list in a loop, as
optional attributes are; in a template itself it is an error, for there it is somebody who expects a value
that comes with the mail.

Sources: the documentation of posthtml-expressions 1.11, whose language this is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from postroom.model.template import Finding, Severity
from postroom.template.errors import SourceError
from postroom.template.language.expressions import Kind, Piece, escaped, later, pieces
from postroom.template.language.markup import (
    MAX_FINDINGS,
    Attribute,
    Element,
    Node,
    Text,
    Verbatim,
    changed,
    measured,
    read,
    write,
)
from postroom.template.language.script import YEAR, Engine, Fault, Scope, ScriptFailure
from postroom.template.places import Place, error, warning

MAX_NODES = 200_000
"""Nodes that all steps of one compilation make; a mail of 100 kB has 2,000 of them."""
MAX_PRINTED = 4 * 1024 * 1024
"""Characters that all expressions of one compilation print."""
MAX_OUTPUT = 2 * 1024 * 1024
"""Characters of a page; clients clip a mail at a twentieth of that."""
MAX_TURNS = 10_000
"""Turns of one loop."""
_DECIDING = frozenset(
    ("elseif", "else", "switch", "each", "for", "scope", "raw", "fetch", "markdown", "md", "extends")
)
_NEEDED = frozenset(("href", "src", "action", "background"))
"""Attributes that are wrong without a value."""
_IN = re.compile(r"\sin\s")
_YEAR_SUM = re.compile(re.escape(YEAR) + r"\d|\d" + re.escape(YEAR) + r"\d")


class GivenUp(Exception):  # noqa: N818 -- control flow; the error is in the report
    """What was worked on is wrong; it has been noted."""


class Report:
    """Findings so far, and what was used up."""

    def __init__(self) -> None:
        """Start with nothing found and nothing used."""
        self.call: tuple[str, Place] | None = None
        """The component that is being evaluated, and where the template calls it."""
        self._found: dict[tuple[str, Place, Place | None], Finding] = {}
        self._nodes = 0
        self._characters = 0

    def warn(self, code: str, place: Place, cause: str, fix: str) -> None:
        """Note something that does not stop the work, once for each place."""
        if len(self._found) < MAX_FINDINGS:
            self._found.setdefault((code, place, None), warning(code, place, cause=cause, fix=fix))

    def note(self, findings: Iterable[Finding]) -> None:
        """Take warnings of the reader."""
        for one in findings:
            self.warn(one.code, Place(one.file, one.line, one.column), one.cause, one.fix)

    def refuse(self, code: str, place: Place, cause: str, fix: str) -> NoReturn:
        """Note an error and give up what it is about; the rest of the source is still looked at.

        A value that a component lacks is told where the template calls it: the file of the component may
        be one that comes with Postroom.
        """
        shown = place
        if self.call is not None and code == "undefined-value":
            tag, shown = self.call
            cause = f"<{tag}>: {cause} ({place.file} line {place.line})"
        self._found[code, place, shown] = error(code, shown, cause=cause, fix=fix)
        if len(self._found) >= 2 * MAX_FINDINGS:
            raise SourceError(tuple(self._found.values()))
        raise GivenUp

    def stop(self, code: str, place: Place, cause: str, fix: str) -> NoReturn:
        """Stop everything. Raises SourceError."""
        raise SourceError([*self._found.values(), error(code, place, cause=cause, fix=fix)])

    def done(self) -> tuple[Finding, ...]:
        """Return the warnings. Raises SourceError when there was an error."""
        found = tuple(self._found.values())
        if any(one.severity is Severity.ERROR for one in found):
            raise SourceError(found)
        return found

    def count(self, place: Place) -> None:
        """Count a node. Raises SourceError: too many."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.stop(
                "too-large", place, f"more than {MAX_NODES} elements and texts", "Make the loops shorter."
            )

    def grow(self, characters: int, place: Place) -> None:
        """Count what expressions print. Raises SourceError: too much."""
        self._characters += characters
        if self._characters > MAX_PRINTED:
            self.stop(
                "too-large", place, f"expressions print more than {MAX_PRINTED} characters", "Print less."
            )

    def written(self, nodes: Sequence[Node], place: Place) -> str:
        """Write nodes. Raises SourceError: more than a page may have, which is found before it is made."""
        size = measured(nodes)
        if size > MAX_OUTPUT:
            self.stop(
                "too-large",
                place,
                f"{size} characters of HTML",
                f"Make it shorter; {MAX_OUTPUT} are allowed.",
            )
        return write(nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Evaluates the sources of one compilation."""

    engine: Engine
    report: Report

    def nodes(self, nodes: Sequence[Node], scope: Scope, *, owner: str) -> list[Node]:
        """Evaluate nodes; ``owner`` is the component's tag, empty in a template itself."""
        out: list[Node] = []
        chain_end = 0
        for index, node in enumerate(nodes):
            if index < chain_end:
                continue
            self.report.count(node.place)
            try:
                if isinstance(node, Text):
                    self._text(node, scope, out)
                elif isinstance(node, Verbatim):
                    if is_kept(node.text):
                        out.append(replace(node, text=self.string(node.text, scope, node.place)))
                elif node.name == "if":
                    chain = _chain(nodes, index)
                    chain_end = chain[-1] + 1
                    branch = self._branch([nodes[one] for one in chain], scope, owner)
                    out.extend(self.nodes(branch, scope, owner=owner))
                elif node.name in _DECIDING:
                    self._decided(node, scope, owner, out)
                else:
                    children = self.nodes(node.children, scope, owner=owner) if node.children else ()
                    out.append(self._element(node, tuple(children), scope))
            except GivenUp:
                # The error is noted; those behind it are worth knowing too.
                continue
        return out

    def _decided(self, node: Element, scope: Scope, owner: str, out: list[Node]) -> None:
        match node.name:
            case "switch":
                out.extend(self.nodes(self._case(node, scope), scope, owner=owner))
            case "each" | "for":
                self._loop(node, scope, owner, out)
            case "scope":
                out.extend(self._scoped(node, scope, owner))
            case "raw":
                out.extend(node.children)
            case "fetch" | "markdown" | "md" | "extends":
                fix = (
                    "Use a layout: <x-NAME>."
                    if node.name == "extends"
                    else "Write what it stands for as HTML."
                )
                self.report.refuse("unsupported-tag", node.place, f"<{node.tag}> is not supported", fix)
            case _:
                self.report.refuse(
                    "stray-else", node.place, f"<{node.tag}> does not follow an <if>", "Put it behind </if>."
                )

    def string(self, text: str, scope: Scope, place: Place) -> str:
        """Evaluate what is in a text. Raises SourceError."""
        if "{" not in text:
            return text
        return "".join(self.piece(piece, scope, place, text) for piece in pieces(text))

    def _text(self, node: Text, scope: Scope, out: list[Node]) -> None:
        if "{" not in node.text:
            out.append(node)
            return
        done: list[str] = []
        for piece in pieces(node.text):
            printed = self.piece(piece, scope, node.place, node.text)
            if piece.kind is Kind.RAW and "<" in printed:
                place = _moved(node.place, node.text, piece.at)
                # What is put in as HTML is read as HTML: it may hold components.
                out.append(Text(text="".join(done), place=node.place))
                out.extend(read(printed, place.file, first_line=place.line).nodes)
                done = []
            else:
                done.append(printed)
        out.append(Text(text="".join(done), place=node.place))

    def piece(self, piece: Piece, scope: Scope, place: Place, text: str) -> str:
        """Return what a piece of a text prints; nothing for what is wrong, which is noted."""
        if piece.kind in (Kind.TEXT, Kind.BLOCK):
            return piece.source
        try:
            printed = self._printed(piece, scope, place, text)
            if printed is None:
                self.report.refuse(
                    "undefined-value",
                    _moved(place, text, piece.at),
                    f"{_short(piece.code)} has no value here",
                    f"Give it one, or write {{{{ {_short(piece.code)} || '' }}}}; a value that comes with the"
                    " mail is written @{{ name }}.",
                )
        except GivenUp:
            return ""
        return printed

    def _printed(self, piece: Piece, scope: Scope, place: Place, text: str) -> str | None:
        """Return what a piece prints; ``place`` is that of the whole text."""
        if piece.kind in (Kind.TEXT, Kind.BLOCK):
            return piece.source
        if piece.kind is Kind.LATER:
            if piece.source.startswith("@{{{") and piece.source.endswith("}}}"):
                self.report.warn(
                    "triple-braces",
                    _moved(place, text, piece.at),
                    f"{_short(piece.source)} is escaped like @{{{{ }}}}",
                    "Write two braces; a value that is HTML is not put in as HTML.",
                )
            return later(piece.code)
        try:
            printed = self.engine.printed(scope, piece.code)
        except ScriptFailure as failure:
            self.fail(failure, piece.code, _moved(place, text, piece.at))
        if printed is None:
            return None
        self.report.grow(len(printed), place)
        if "@{{" in printed:  # of a value that was written elsewhere, in a script
            found = pieces(printed)
            printed = "".join(later(one.code) if one.kind is Kind.LATER else one.source for one in found)
        if YEAR in printed and _YEAR_SUM.search(printed):
            self.report.refuse(
                "year-sum",
                _moved(place, text, piece.at),
                "the year is filled in when mail is rendered, it cannot be added to",
                "Write @{{ _year + 1 }}.",
            )
        return escaped(printed) if piece.kind is Kind.ESCAPED else printed

    def fail(self, failure: ScriptFailure, code: str, place: Place) -> NoReturn:
        """Turn a failure of code into a finding. Raises SourceError."""
        fix = "Correct the expression."
        if failure.fault is Fault.UNKNOWN:
            fix = f"Write @{{{{ {failure.name} }}}} for a value that comes with the mail."
        elif failure.fault is Fault.LIMIT:
            self.report.stop(
                failure.fault.value, place, f"{_short(code)}: {failure.cause}", "Make it smaller."
            )
        self.report.refuse(failure.fault.value, place, f"{_short(code)}: {failure.cause}", fix)

    def _element(self, node: Element, children: tuple[Node, ...], scope: Scope) -> Element:
        if not any("{" in one.name or (one.value and "{" in one.value) for one in node.attributes):
            return node.with_children(children)
        attributes = []
        for one in node.attributes:
            name = one.name if "{" not in one.name else self.string(one.name, scope, one.place)
            if not name.strip():
                continue
            value = one.value
            if value is not None and "{" in value:
                value = self._value(one, scope)
                if value is None:
                    continue
            attributes.append(replace(one, name=name, value=value))
        return changed(node, attributes=tuple(attributes), children=children)

    def _value(self, attribute: Attribute, scope: Scope) -> str | None:
        """Evaluate an attribute; ``None``: it is left out, for its expression has no value."""
        text = attribute.value or ""
        found = list(pieces(text))
        parts = []
        for piece in found:
            try:
                printed = self._printed(piece, scope, attribute.place, text)
            except GivenUp:
                printed = ""
            if printed is None or (len(found) == 1 and printed in ("null", "undefined")):
                if attribute.name.lower() in _NEEDED:
                    self.report.refuse(
                        "undefined-value",
                        attribute.place,
                        f"{attribute.name} is {_short(piece.source)}, which has no value here",
                        "Give the attribute it comes from.",
                    )
                if len(found) == 1:
                    return None
                self.report.warn(
                    "undefined-value",
                    attribute.place,
                    f"{_short(piece.source)} in {attribute.name} has no value here",
                    f"Write {{{{ {_short(piece.code)} || '' }}}}.",
                )
                printed = ""
            parts.append(printed)
        return "".join(parts)

    def _needed(self, node: Element, name: str, scope: Scope) -> str:
        found = node.attribute(name)
        if found is None or not found.value:
            self.report.refuse(
                "attribute-missing", node.place, f'<{node.tag}> has no {name}="…"', "Write the attribute."
            )
        return self.string(found.value, scope, found.place).replace("&quot;", '"').replace("&#039;", "'")

    def _holds(self, node: Element, scope: Scope, owner: str) -> bool:
        code = (
            self._needed(node, "condition", scope)
            .replace("&amp;", "&")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
        )
        try:
            return self.engine.is_true(scope, code)
        except ScriptFailure as failure:
            if owner and failure.fault in (Fault.UNKNOWN, Fault.FAILED):
                return False
            if "{" in code or failure.fault is Fault.UNKNOWN:
                self.report.refuse(
                    failure.fault.value,
                    node.place,
                    f'condition="{_short(code)}": {failure.cause}',
                    "It is decided when the template is compiled; write {% if name %}…{% endif %} for a value"
                    " that comes with the mail (@{{ name }} prints one).",
                )
            self.fail(failure, code, node.place)

    def _branch(self, chain: Sequence[Node], scope: Scope, owner: str) -> Sequence[Node]:
        """Return what a chain of ``<if>``, ``<elseif>``, ``<else>`` keeps."""
        for node in chain:
            if isinstance(node, Element) and (node.name == "else" or self._holds(node, scope, owner)):
                return node.children
        return ()

    def _case(self, node: Element, scope: Scope) -> Sequence[Node]:
        code = self._needed(node, "expression", scope)
        cases: list[Element] = []
        default: Element | None = None
        for child in node.children:
            if not isinstance(child, Element):
                continue
            if child.name == "case":
                cases.append(child)
            elif child.name == "default":
                default = child
            else:
                self.report.refuse(
                    "switch-content",
                    child.place,
                    f"<{child.tag}> stands in <switch>",
                    'Put it into <case n="…"> or <default>.',
                )
        try:
            found = self.engine.which(scope, code, [self._needed(case, "n", scope) for case in cases])
        except ScriptFailure as failure:
            self.fail(failure, code, node.place)
        if found >= 0:
            return cases[found].children
        return default.children if default is not None else ()

    def _loop(self, node: Element, scope: Scope, owner: str, out: list[Node]) -> None:
        statement = self._needed(node, "loop", scope)
        match = _IN.search(statement)
        names = [one.strip(" ()\n\t") for one in statement[: match.start()].split(",")] if match else []
        if match is None or not names[0]:
            self.report.refuse(
                "loop-syntax", node.place, f'loop="{_short(statement)}"', 'Write loop="item, index in list".'
            )
        code = statement[match.end() :].strip()
        try:
            turns = self.engine.begin_loop(scope, code)
        except ScriptFailure as failure:
            if owner and failure.fault is Fault.UNKNOWN:
                return
            if failure.fault is Fault.UNKNOWN:
                self.report.refuse(
                    failure.fault.value,
                    node.place,
                    f'loop="{_short(statement)}": {failure.cause}',
                    f"Write {{% for {names[0]} in {failure.name} %}} for a list that comes with the mail,"
                    f" with @{{{{ {names[0]} }}}} inside.",
                )
            self.fail(failure, code, node.place)
        if turns == -2 or turns > MAX_TURNS:
            cause = "is no list and no object" if turns < 0 else f"has {turns} items, {MAX_TURNS} are allowed"
            self.report.refuse("loop-list", node.place, f"{_short(code)} {cause}", "Give a shorter list.")
        if turns < 0:
            return
        try:
            for turn in range(turns):
                inner = self.engine.item(scope, turn, names[0], names[1] if len(names) > 1 else "")
                out.extend(self.nodes(node.children, inner, owner=owner))
        except ScriptFailure as failure:
            self.fail(failure, code, node.place)
        self.engine.end_loop(scope)

    def _scoped(self, node: Element, scope: Scope, owner: str) -> list[Node]:
        code = self._needed(node, "with", scope)
        try:
            inner = self.engine.within(scope, code)
        except ScriptFailure as failure:
            self.fail(failure, code, node.place)
        if inner is None:
            self.report.refuse("scope-object", node.place, f"{_short(code)} is no object", "Give an object.")
        return self.nodes(node.children, inner, owner=owner)


def is_kept(markup: str) -> bool:
    """Tell a doctype or conditional comment from an author's remark, which does not belong into a mail."""
    return not markup.startswith("<!--") or "[if" in markup or "[endif]" in markup


def _chain(nodes: Sequence[Node], start: int) -> list[int]:
    """Return where the parts of an ``<if>`` stand; blanks and comments between do not end it."""
    chain = [start]
    for index in range(start + 1, len(nodes)):
        node = nodes[index]
        if isinstance(node, Element):
            if node.name not in ("elseif", "else"):
                break
            chain.append(index)
            if node.name == "else":
                break
        elif isinstance(node, Text) and node.text.strip():
            break
    return chain


def _moved(place: Place, text: str, at: int) -> Place:
    lines = text.count("\n", 0, at)
    if not lines:
        return Place(place.file, place.line, place.column + at)
    return Place(place.file, place.line + lines, at - text.rfind("\n", 0, at))


def _short(code: str) -> str:
    one = " ".join(code.split())
    return one if len(one) <= 60 else one[:59] + "…"
