"""What the styling knows of each element: its classes, which of them depend on Jinja, its own style.

A class or a style inside ``{% if %}`` is there only sometimes: it cannot be inlined, its rules stay in
the head.

Rules: pure; a page is read once, tags are changed in place by others.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from postroom.template.html_names import VOID
from postroom.template.jinja.tokens import Shielded
from postroom.template.styles.page import Comment, Piece, Tag

_BLOCK_BEGIN = re.compile(r"\{%[-+]?\s*(?:if|for|call|filter|block|macro|autoescape)\b")
_BLOCK_END = re.compile(r"\{%[-+]?\s*end")
_LOOP = re.compile(r"\{%[-+]?\s*for\b")
MAX_DEPTH = 400
"""Open elements (security limit: css-inline recurses; tables for Outlook reach 60)."""
_MAY_STAY_OPEN = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "option", *VOID})
_UNSTYLED = frozenset({"head", "title", "base", "link", "style", "meta", "script", "noscript"})


@dataclass(slots=True, kw_only=True)
class Element:
    """A start tag with what styles it."""

    tag: Tag
    classes: tuple[str, ...]
    """Those it always has."""
    sometimes: tuple[str, ...] = ()
    """Those it has under a condition."""
    is_fixed: bool = True
    """Whether its own style stands there always."""


@dataclass(slots=True, kw_only=True)
class Elements:
    """All elements of a page, and what of it is settled only when a mail is rendered."""

    all: list[Element] = field(default_factory=list)
    inside: list[Element] = field(default_factory=list)
    """Those in conditional comments that have classes."""
    has_loop: bool = False
    has_open_classes: bool = False
    """Whether a class attribute has an expression in it: any class may occur."""
    open_attributes: set[str] = field(default_factory=set)
    """Names of other attributes whose value Jinja writes."""

    def conditional(self) -> set[str]:
        """Return the classes that cannot be inlined everywhere they occur."""
        return {name for each in (*self.all, *self.inside) for name in each.sometimes}

    def in_comments(self) -> set[str]:
        """Return the classes that occur in conditional comments."""
        return {name for each in self.inside for name in each.classes}

    def used(self) -> set[str]:
        """Return every class that occurs."""
        always = {name for each in self.all for name in each.classes}
        return always | self.conditional() | self.in_comments()

    def styled(self) -> Iterator[Element]:
        """Yield the elements that may have a style."""
        return (each for each in self.all if each.tag.key not in _UNSTYLED)


class Tokens:
    """The words of a shielded page, and what they hide."""

    def __init__(self, shielded: Shielded) -> None:
        """Take the shielded page."""
        self._shielded = shielded
        self._word = re.compile(rf"{shielded.prefix}(\d+)z")

    def source(self, word: str) -> str | None:
        """Return what a word hides; ``None`` when it is a word of the page."""
        match = self._word.fullmatch(word)
        return self._shielded.tokens[int(match[1])].source if match else None

    def hidden(self, text: str) -> list[str]:
        """Return everything hidden in a text."""
        return [self._shielded.tokens[int(number)].source for number in self._word.findall(text)]

    def shown(self, text: str) -> str:
        """Return a text as its author wrote it."""
        return self._shielded.unshield(text)

    def depth(self, text: str) -> int:
        """Return how many blocks a text opens and leaves open; negative: closes."""
        return sum(
            (_BLOCK_BEGIN.match(source) is not None) - (_BLOCK_END.match(source) is not None)
            for source in self.hidden(text)
        )

    @property
    def has_loop(self) -> bool:
        """Whether anything is repeated."""
        return any(_LOOP.match(token.source) for token in self._shielded.tokens)


def read_elements(pieces: Iterable[Piece], tokens: Tokens) -> Elements:
    """Read the elements of a page."""
    found = Elements(has_loop=tokens.has_loop)
    for piece in pieces:
        if isinstance(piece, Comment):
            found.inside.extend(
                _element(tag, tokens, found)
                for tag in piece.inside
                if isinstance(tag, Tag) and tag.attribute("class") is not None
            )
        elif isinstance(piece, Tag) and not piece.is_end:
            found.all.append(_element(piece, tokens, found))
    return found


def _element(tag: Tag, tokens: Tokens, page: Elements) -> Element:
    element = Element(tag=tag, classes=())
    depth = 0
    for attribute in tag.attributes:
        depth += tokens.depth(attribute.name)
        match attribute.name.lower():
            case "class" if attribute.value:
                always, sometimes = _classes(attribute.value, tokens, depth)
                element.classes += always
                element.sometimes += sometimes
                page.has_open_classes |= any(
                    source.startswith("{{") for source in tokens.hidden(attribute.value)
                )
            case "style":
                element.is_fixed = depth == 0
            case name if attribute.value and tokens.hidden(attribute.value):
                page.open_attributes.add(name)
            case _:
                pass
    if not element.is_fixed:
        element.sometimes, element.classes = (*element.classes, *element.sometimes), ()
    return element


def _classes(value: str, tokens: Tokens, depth: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the words of a class attribute into those that are always there, and those that are not."""
    always: list[str] = []
    sometimes: list[str] = []
    for word in value.split():
        if tokens.hidden(word):
            depth += tokens.depth(word)
        elif depth > 0:
            sometimes.append(word)
        else:
            always.append(word)
    return tuple(always), tuple(sometimes)


def depth(pieces: Iterable[Piece]) -> int:
    """Return how many elements are open at once, at most."""
    now = most = 0
    for piece in pieces:
        if isinstance(piece, Tag) and piece.key not in _MAY_STAY_OPEN:
            now += -1 if piece.is_end else 1
            most = max(most, now)
    return most


def skeleton(pieces: Iterable[Piece], elements: Elements, looked_at: frozenset[str]) -> str:
    """Write the tags of a page alone: numbers, classes they always have, what selectors look at."""
    classes = {element.tag.number: " ".join(element.classes) for element in elements.all}
    parts = ["<!DOCTYPE html>"]
    for piece in pieces:
        if not isinstance(piece, Tag) or piece.key in ("style", "link", "script", "template"):
            continue
        if piece.is_end:
            parts.append(f"</{piece.name}>")
            continue
        attributes = "".join(
            f' {each.name}="{(each.value or "").replace(chr(34), "&quot;")}"'
            for each in piece.attributes
            if each.name.lower() in looked_at
        )
        own = classes[piece.number].replace(chr(34), "&quot;")
        slash = "/" if piece.is_closed and piece.key not in VOID else ""
        parts.append(f'<{piece.name} data-n="{piece.number}" class="{own}"{attributes}{slash}>')
    return "".join(parts)
