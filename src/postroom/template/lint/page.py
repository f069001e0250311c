"""HTML with Jinja in it as a tree with positions, for the rules of the check.

Rules: never raises, whatever the junk; linear time; every element, attribute and text knows its offset in
what was read. An expression is opaque: it may contain quotes and angle brackets. Elements whose end tag HTML
lets one leave out are closed as browsers do; what else is left open is remembered, because mail programs
repair it in different ways.

It is not the reader of the component language: that one must keep what it does not understand, this one
must know what a mail program will see. Contents of conditional comments are left out: Outlook alone reads
them, and has rules of its own.

Sources: HTML Living Standard sections 13.1.2 and 13.2.5; Jinja, Template Designer Documentation.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from postroom.template.html_names import ENDS_PARAGRAPH, VOID
from postroom.template.language.expressions import opaque_end

VARIABLE = "\ue000"
"""Stands for each character of ``{{ }}`` in ``Page.masked``."""
STATEMENT = "\ue001"
"""Stands for each character of ``{% %}`` and ``{# #}``."""
MAX_DEPTH = 400
"""Open elements (security limit); deeper ones are read as siblings."""

_OPEN = re.compile(r"\{[{%#]")
_RAW_BLOCK = re.compile(r"\{%-?\s*raw\s*-?%\}\Z")
_RAW_END = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_TAG = re.compile(r"</?([A-Za-z][^\s/>]*+)")
_TAG_END = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
_ATTRIBUTE = re.compile(
    r"""([^\s"'>/=\ue001]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++)))?""",
)
_COMMENT_END = {"<!--": "-->", "<!": ">", "<?": ">"}
RAW_TEXT = frozenset({"script", "style", "title", "textarea", "iframe", "noembed", "xmp"})
"""Elements whose content is no markup."""
_OPTIONAL_END = frozenset(
    ["p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "html", "head", "body"]
)
_CLOSES = {
    "li": ({"li"}, {"ul", "ol"}),
    "dt": ({"dt", "dd"}, {"dl"}),
    "dd": ({"dt", "dd"}, {"dl"}),
    "tr": ({"tr", "td", "th"}, {"table"}),
    "td": ({"td", "th"}, {"tr", "table"}),
    "th": ({"td", "th"}, {"tr", "table"}),
    "tbody": ({"thead", "tbody", "tr", "td", "th"}, {"table"}),
    "tfoot": ({"thead", "tbody", "tr", "td", "th"}, {"table"}),
    "body": ({"head"}, {"html"}),
}
"""Which open elements a start tag ends, and which stop the search."""


@dataclass(slots=True, kw_only=True)
class Attribute:
    """One attribute of a start tag."""

    value: str
    """As written, entities decoded, expressions in place."""
    at: int
    """Offset of its name."""
    quoted: bool


@dataclass(slots=True, kw_only=True)
class Text:
    """A run of text, entities decoded, expressions in place."""

    value: str
    at: int
    parent: "Element"


@dataclass(slots=True, kw_only=True, eq=False)
class Element:
    """One element with what is in it."""

    name: str
    at: int = 0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    children: list["Element | Text"] = field(default_factory=list)
    parent: "Element | None" = None
    tag: str = ""
    """The start tag as written."""

    def get(self, name: str) -> str:
        """Return the value of an attribute, empty when there is none."""
        found = self.attributes.get(name)
        return found.value if found else ""

    def walk(self) -> Iterator["Element"]:
        """Yield every element below, in the order of the page."""
        stack = [iter(self.children)]
        while stack:
            for child in stack[-1]:
                if isinstance(child, Element):
                    yield child
                    stack.append(iter(child.children))
                    break
            else:
                stack.pop()

    def above(self) -> Iterator["Element"]:
        """Yield every element around, the nearest first."""
        one = self.parent
        while one is not None:
            yield one
            one = one.parent

    def text(self) -> str:
        """Return the text of everything in it, blanks as written."""
        parts: list[str] = []
        stack: list[Element | Text] = [self]
        while stack:
            one = stack.pop()
            if isinstance(one, Text):
                parts.append(one.value)
            else:
                stack += reversed(one.children)
        return "".join(parts)


@dataclass(slots=True, kw_only=True)
class Token:
    """One Jinja expression or statement."""

    text: str
    """With its braces."""
    at: int


@dataclass(slots=True, kw_only=True)
class Page:
    """What was read."""

    source: str
    masked: str
    """As long as the source: expressions and statements as private characters, line ends kept."""
    tokens: list[Token]
    root: Element
    """Nameless; the elements of the page are its children."""
    unclosed: list[Element]
    """Without an end tag where HTML wants one."""
    stray: list[tuple[str, int]]
    """End tags without a start tag: name and offset."""

    def elements(self, *names: str) -> Iterator[Element]:
        """Yield the elements of these names; without names all of them."""
        wanted = frozenset(names)
        return (one for one in self.root.walk() if not wanted or one.name in wanted)


def read_page(source: str) -> Page:
    """Return the tree of a page, of a part of one, or of a component's source."""
    masked, tokens = mask(source)
    reader = _Reader(source, masked)
    reader.read()
    reader.close(0)
    return Page(
        source=source,
        masked=masked,
        tokens=tokens,
        root=reader.root,
        unclosed=reader.unclosed,
        stray=reader.stray,
    )


def mask(source: str) -> tuple[str, list[Token]]:
    """Return the text with every expression and statement blanked, of the same length, and what they were.

    What follows an expression that never ends is left as it is: it is no Jinja template.
    """
    parts: list[str] = []
    tokens: list[Token] = []
    done = 0
    while found := _OPEN.search(source, done):
        start = found.start()
        end = opaque_end(source, start)
        if end < 0:
            break
        token = source[start:end]
        tokens.append(Token(text=token, at=start))
        letter = VARIABLE if token.startswith("{{") else STATEMENT
        parts += source[done:start], "".join("\n" if char == "\n" else letter for char in token)
        done = end
        if _RAW_BLOCK.match(token):
            close = _RAW_END.search(source, done)
            raw_end = close.start() if close else len(source)
            parts.append(source[done:raw_end])
            done = raw_end
    parts.append(source[done:])
    return "".join(parts), tokens


class _Reader:
    """One pass over the masked text with a stack of open elements."""

    def __init__(self, source: str, masked: str) -> None:
        self._source = source
        self._masked = masked
        self.root = Element(name="")
        self._open = [self.root]
        self.unclosed: list[Element] = []
        self.stray: list[tuple[str, int]] = []

    def read(self) -> None:
        position, masked = 0, self._masked
        while (start := masked.find("<", position)) >= 0:
            self._text(position, start)
            tag = _TAG.match(masked, start)
            if tag is None:
                position = self._other(start)
                continue
            end = _TAG_END.match(masked, tag.end())
            stop = end.end() if end else masked.find(">", tag.end()) + 1 or len(masked)
            if masked[start + 1] == "/":
                self._end_tag(tag[1].lower(), start)
                position = stop
            else:
                position = self._start_tag(tag, stop)
        self._text(position, len(masked))

    def _other(self, start: int) -> int:
        """Step over a comment, a declaration, or a lone angle bracket."""
        for opening, closing in _COMMENT_END.items():
            if self._masked.startswith(opening, start):
                end = self._masked.find(closing, start + len(opening))
                return end + len(closing) if end >= 0 else len(self._masked)
        self._text(start, start + 1)
        return start + 1

    def _text(self, start: int, end: int) -> None:
        if end > start:
            value = self._shown(start, end)
            if value:
                parent = self._open[-1]
                parent.children.append(Text(value=html.unescape(value), at=start, parent=parent))

    def _shown(self, start: int, end: int) -> str:
        """Return the source without its statements."""
        masked = self._masked[start:end]
        if STATEMENT not in masked:
            return self._source[start:end]
        return "".join(
            char for char, hidden in zip(self._source[start:end], masked, strict=True) if hidden != STATEMENT
        )

    def _start_tag(self, tag: re.Match[str], stop: int) -> int:
        name = tag[1].lower()
        self._make_room(name)
        one = Element(name=name, at=tag.start(), parent=self._open[-1], tag=self._source[tag.start() : stop])
        for found in _ATTRIBUTE.finditer(self._masked, tag.end(), stop - 1):
            group = next((number for number in (2, 3, 4) if found[number] is not None), 0)
            value = html.unescape(self._shown(*found.span(group))) if group else ""
            key = self._source[found.start(1) : found.end(1)].lower()
            one.attributes.setdefault(key, Attribute(value=value, at=found.start(), quoted=group in {2, 3}))
        self._open[-1].children.append(one)
        if name in VOID or self._masked[tag.end() : stop].endswith("/>"):
            return stop
        if name in RAW_TEXT:
            return self._raw_text(one, stop)
        if len(self._open) < MAX_DEPTH:
            self._open.append(one)
        return stop

    def _raw_text(self, one: Element, start: int) -> int:
        close = re.compile(rf"</{one.name}(?=[\s/>])[^>]*>", re.IGNORECASE).search(self._masked, start)
        end = close.start() if close else len(self._masked)
        if close is None:
            self.unclosed.append(one)
        if end > start:
            one.children.append(Text(value=self._source[start:end], at=start, parent=one))
        return close.end() if close else end

    def _make_room(self, name: str) -> None:
        """Close what the start tag of this name closes."""
        if name in ENDS_PARAGRAPH:
            self._close_open({"p"}, {"td", "th", "table", "div", "button", "object"})
        if name in _CLOSES:
            ended, stops = _CLOSES[name]
            self._close_open(ended, stops)

    def _close_open(self, ended: set[str], stops: set[str]) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            name = self._open[depth].name
            if name in stops or name.startswith(("x-", "fill:", "slot:")):
                return
            if name in ended:
                self.close(depth - 1)
                return

    def _end_tag(self, name: str, at: int) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].name == name:
                self.close(depth)
                self._open.pop()
                return
        if name not in VOID and name != "p":
            self.stray.append((name, at))

    def close(self, depth: int) -> None:
        """Close whatever is open inside the element at this depth of the stack."""
        for one in self._open[depth + 1 :]:
            if one.name not in _OPTIONAL_END:
                self.unclosed.append(one)
        del self._open[depth + 1 :]
