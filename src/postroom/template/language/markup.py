"""A tolerant reader of HTML source: to a tree with places, and back byte for byte.

It reads what people write for mail: tags of any name (``x-card``, ``fill:footer``, ``o:p``), self-closing
ones, attributes without value or with expressions that hold quotes and ``>``, conditional comments, doctypes,
Jinja blocks between attributes. End tags that may be left out close as HTML says; what fits nowhere (an end
tag without a start, a ``<`` that begins no tag) is text. Nothing is decoded, lowered or dropped, so writing
the tree gives the source again.

It is linear in the source, and bounded in depth (MAX_NESTING). It is no validator and no HTML5 tree builder.

Sources: WHATWG HTML section 13.1.2 (elements), 13.1.2.4 (optional tags), 13.2.5 (tokenization).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import is_

from postroom.model.template import Finding
from postroom.template.errors import SourceError
from postroom.template.html_names import ENDS_PARAGRAPH, VOID
from postroom.template.language.expressions import opaque_end, quoted
from postroom.template.places import Place, error, warning

MAX_NESTING = 150
"""Elements within elements in one file; tables for Outlook reach 30."""
MAX_FINDINGS = 100
"""More help nobody."""
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])[^<>]*>", re.IGNORECASE) for name in ("script", "style", "title")
}
_CLOSES: dict[str, frozenset[str]] = {
    **dict.fromkeys(ENDS_PARAGRAPH, frozenset(("p",))),
    **dict.fromkeys(("td", "th"), frozenset(("td", "th", "p"))),
    **dict.fromkeys(("tbody", "tfoot"), frozenset(("td", "th", "tr", "thead", "tbody", "p"))),
    **dict.fromkeys(("dt", "dd"), frozenset(("dt", "dd", "p"))),
    "tr": frozenset(("td", "th", "tr", "p")),
    "li": frozenset(("li", "p")),
    "option": frozenset(("option",)),
    "body": frozenset(("head",)),
}
"""By the tag that begins: elements it ends when they are the innermost ones."""
_OPTIONAL_END = frozenset(
    [
        "p",
        "td",
        "th",
        "tr",
        "tbody",
        "tfoot",
        "thead",
        "dt",
        "dd",
        "li",
        "option",
        "head",
        "body",
        "html",
        "colgroup",
    ]
)
_CONTROL = frozenset(
    [
        "if",
        "elseif",
        "else",
        "each",
        "for",
        "scope",
        "switch",
        "case",
        "default",
        "raw",
        "push",
        "outlook",
        "not-outlook",
    ]
)
_MARK = re.compile(r"<[a-zA-Z!?/]|@?\{\{|\{[%#]")
_TAG = re.compile(r"<([a-zA-Z][^\s/>{]*)")
_END_TAG = re.compile(r"</([a-zA-Z][^\s/>]*)[^<>]*>")
_GAP = re.compile(r"[\s/]*")
_NAME_STOP = re.compile(r"[\s/>=]|\{[{%#]")
_EQUALS = re.compile(r"\s*=\s*")
_OPAQUE = re.compile(r"\{[{%#]")
_BARE_STOP = re.compile(r"[\s>]|\{\{")
_MARKUP_END = {"<!--": "-->", "<![CDATA[": "]]>"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute, or a Jinja block that stands among them (as a name)."""

    name: str
    value: str | None
    """As written, without quotes; ``None``: there is no ``=``."""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Characters between tags, expressions included."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """A comment, doctype or other declaration."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A tag with what is in it."""

    tag: str
    attributes: tuple[Attribute, ...] = ()
    children: "tuple[Node, ...]" = ()
    place: Place
    opening: str | None = None
    """The start tag as written; ``None``: it was changed and is written anew."""
    closing: str = ""
    """The end tag as written; empty when there is none."""

    @property
    def name(self) -> str:
        """The tag in lower case."""
        return self.tag.lower()

    def attribute(self, name: str) -> Attribute | None:
        """Return an attribute by name."""
        return next((one for one in self.attributes if one.name == name), None)

    def value(self, name: str) -> str | None:
        """Return an attribute's value, empty when it has none; ``None`` when there is no such attribute."""
        found = self.attribute(name)
        return None if found is None else found.value or ""

    def with_children(self, children: "tuple[Node, ...]") -> "Element":
        """Return the element with other children; itself when they are the same ones."""
        same = len(children) == len(self.children) and all(map(is_, children, self.children))
        return self if same else replace(self, children=children)


Node = Text | Verbatim | Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was read."""

    nodes: tuple[Node, ...]
    findings: tuple[Finding, ...] = ()
    """Warnings: tags that are never closed."""


def read(text: str, file: str, *, first_line: int = 1) -> Document:
    """Read a source. Raises SourceError when it nests too deeply."""
    return _Reader(text, file, first_line).document()


def write(nodes: Iterable[Node]) -> str:
    """Write nodes as HTML; those that were not changed give their source."""
    parts: list[str] = []
    waiting: list[Node | str] = [*nodes]
    waiting.reverse()
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Element):
            parts.append(start_tag(node) if node.opening is None else node.opening)
            if node.closing:
                waiting.append(node.closing)
            waiting.extend(reversed(node.children))
        else:
            parts.append(node.text)
    return "".join(parts)


def measured(nodes: Iterable[Node]) -> int:
    """Return how many characters ``write`` gives, without writing it."""
    size = 0
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Element):
            opening = node.opening
            size += len(start_tag(node) if opening is None else opening) + len(node.closing)
            waiting.extend(node.children)
        else:
            size += len(node.text)
    return size


def changed(element: Element, *, attributes: tuple[Attribute, ...], children: "tuple[Node, ...]") -> Element:
    """Return an element with other attributes; a self-closing tag gets an end tag, which HTML wants."""
    closing = element.closing
    if not closing and (element.opening or "").endswith("/>") and element.name not in VOID:
        closing = f"</{element.tag}>"
    return replace(element, attributes=attributes, children=children, opening=None, closing=closing)


def start_tag(element: Element) -> str:
    """Write a start tag anew."""
    parts = [element.tag]
    parts += [
        one.name if one.value is None else f"{one.name}={quoted(one.value)}" for one in element.attributes
    ]
    return f"<{' '.join(parts)}>"


@dataclass(slots=True)
class _Open:
    tag: str
    name: str
    attributes: tuple[Attribute, ...]
    opening: str
    place: Place
    children: list[Node]


class _Reader:
    def __init__(self, text: str, file: str, first_line: int) -> None:
        self._text = text
        self._file = file
        self._first_line = first_line
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._open: list[_Open] = []
        self._top: list[Node] = []
        self._into = self._top
        self._done = 0
        self._findings: list[Finding] = []

    def place(self, at: int) -> Place:
        line = bisect_right(self._lines, at)
        return Place(self._file, line - 1 + self._first_line, at - self._lines[line - 1] + 1)

    def document(self) -> Document:
        at = 0
        text = self._text
        while (match := _MARK.search(text, at)) is not None:
            start = match.start()
            mark = match[0]
            if mark[0] != "<":
                end = opaque_end(text, start)
                at = end if end > 0 else match.end()
            elif mark == "</":
                at = self._end_tag(start)
            elif mark in ("<!", "<?"):
                at = self._markup(start)
            else:
                at = self._start_tag(start)
                if at < 0:
                    self._warn(self.place(start), "a tag that begins here never ends", "Close it with >.")
                    break
        self._flush(len(text))
        while self._open:
            self._close("")
        return Document(nodes=tuple(self._top), findings=tuple(self._findings))

    def _warn(self, place: Place, cause: str, fix: str) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(warning("unclosed-element", place, cause=cause, fix=fix))

    def _flush(self, until: int) -> None:
        if until > self._done:
            self._into.append(Text(text=self._text[self._done : until], place=self.place(self._done)))
            self._done = until

    def _markup(self, start: int) -> int:
        text = self._text
        opening = next((one for one in _MARKUP_END if text.startswith(one, start)), None)
        if opening is None:
            end = text.find(">", start) + 1
        else:
            closing = _MARKUP_END[opening]
            # ``<!-->`` is a whole comment: its dashes belong to both ends.
            found = text.find(closing, start + (2 if opening == "<!--" else len(opening)))
            end = found + len(closing) if found >= 0 else 0
        end = end or len(text)
        self._flush(start)
        self._into.append(Verbatim(text=text[start:end], place=self.place(start)))
        self._done = end
        return end

    def _end_tag(self, start: int) -> int:
        match = _END_TAG.match(self._text, start)
        if match is None:
            return start + 2
        name = match[1].lower()
        depth = 0
        for frame in reversed(self._open):
            depth += 1
            if frame.name == name:
                break
            if frame.name in _CONTROL:
                # What is inside a condition never closes what is outside: it may be the end of a wrapper.
                depth = 0
                break
        else:
            depth = 0
        if not depth:
            return match.end()
        self._flush(start)
        for _ in range(depth - 1):
            self._close("")
        self._close(match[0])
        self._done = match.end()
        return match.end()

    def _start_tag(self, start: int) -> int:
        """Read a start tag and return where it ends, or -1."""
        match = _TAG.match(self._text, start)
        if match is None:
            return start + 1
        attributes: list[Attribute] = []
        at = match.end()
        while True:
            at = _skipped(_GAP, self._text, at)
            if at >= len(self._text):
                return -1
            if self._text[at] == ">":
                break
            at = self._attribute(at, attributes)
        self._flush(start)
        end = at + 1
        self._begin(match[1], tuple(attributes), self._text[start:end], start)
        self._done = end
        name = match[1].lower()
        if (
            self._text[at - 1] == "/" and not (attributes and _ends_bare(self._text, attributes[-1], at))
        ) or name in VOID:
            self._close("")
        elif name in _RAW:
            return self._raw(name, end)
        return end

    def _raw(self, name: str, start: int) -> int:
        found = _RAW[name].search(self._text, start)
        if found is None:
            return len(self._text)
        self._flush(found.start())
        self._close(found[0])
        self._done = found.end()
        return found.end()

    def _attribute(self, at: int, into: list[Attribute]) -> int:
        text = self._text
        start = at
        if text.startswith(("{%", "{#"), at):
            end = opaque_end(text, at)
            if end > 0:
                into.append(Attribute(name=text[at:end], value=None, place=self.place(at)))
                return end
        at += text[at] == "="
        while True:
            stop = _NAME_STOP.search(text, at)
            if stop is None:
                return len(text)
            at = stop.start()
            if stop[0][0] != "{":
                break
            end = opaque_end(text, at)
            at = end if end > 0 else stop.end()
        name = text[start:at]
        equals = _EQUALS.match(text, at)
        if equals is None:
            into.append(Attribute(name=name, value=None, place=self.place(start)))
            return at
        at = equals.end()
        quote = text[at : at + 1]
        if quote in ('"', "'"):
            end = self._quoted_end(at + 1, quote)
            if end < 0:
                return len(text)
            into.append(Attribute(name=name, value=text[at + 1 : end], place=self.place(start)))
            return end + 1
        end = self._bare_end(at)
        into.append(Attribute(name=name, value=text[at:end], place=self.place(start)))
        return end

    def _quoted_end(self, at: int, quote: str) -> int:
        """Return where the value ends; quotes inside an expression do not end it."""
        end = self._text.find(quote, at)
        while end >= 0:
            mark = _OPAQUE.search(self._text, at, end)
            if mark is None:
                break
            after = opaque_end(self._text, mark.start())
            at = after if after > 0 else mark.end()
            if at > end:
                end = self._text.find(quote, at)
        return end

    def _bare_end(self, at: int) -> int:
        text = self._text
        while True:
            stop = _BARE_STOP.search(text, at)
            if stop is None:
                return len(text)
            if stop[0] != "{{":
                return stop.start()
            end = opaque_end(text, stop.start())
            at = end if end > 0 else stop.end()

    def _begin(self, tag: str, attributes: tuple[Attribute, ...], opening: str, start: int) -> None:
        name = tag.lower()
        closes = _CLOSES.get(name)
        if closes is not None:
            while self._open and self._open[-1].name in closes:
                self._close("")
        place = self.place(start)
        if len(self._open) >= MAX_NESTING:
            cause = f"<{tag[:40]}> is element {MAX_NESTING + 1} within elements"
            fix = f"Close the tags that are open; {MAX_NESTING} are allowed."
            raise SourceError([error("nested-too-deeply", place, cause=cause, fix=fix)])
        self._open.append(_Open(tag, name, attributes, opening, place, []))
        self._into = self._open[-1].children

    def _close(self, closing: str) -> None:
        frame = self._open.pop()
        if not closing and not frame.opening.endswith("/>") and frame.name not in VOID | _OPTIONAL_END:
            tag = frame.tag[:40]
            self._warn(frame.place, f"<{tag}> is never closed", f"Write </{tag}> where it ends.")
        self._into = self._open[-1].children if self._open else self._top
        self._into.append(
            Element(
                tag=frame.tag,
                attributes=frame.attributes,
                children=tuple(frame.children),
                place=frame.place,
                opening=frame.opening,
                closing=closing,
            )
        )


def _skipped(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match is not None else at


def _ends_bare(text: str, attribute: Attribute, at: int) -> bool:
    """Tell whether the slash before ``>`` belongs to a value without quotes: ``<a href=/>``."""
    value = attribute.value or ""
    return text.endswith(value, 0, at) and text[at - len(value) - 1] in "= \t\r\n" and value.endswith("/")
