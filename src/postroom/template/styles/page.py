"""A page as the styling sees it: its tags with their attributes, its style sheets, and the text between.

The page is cut, not parsed: every piece keeps its wording, so that a doctype, entities, conditional
comments, VML and whatever stands in tables come out as they went in. Only tags whose attributes change
are written anew.

Rules: never fails, linear time. The text is shielded: Jinja stands in it as tokens. Comments are one
piece and are not looked into, but for the class names in conditional ones.

Sources: HTML Living Standard section 13.1.2 (syntax).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from postroom.template.html_names import VOID

_MARK = re.compile(r"<(?:!--|[!?]|(?P<close>/?)(?P<name>[A-Za-z][^\s/>]*))")
_REST = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
"""To the end of a tag, over the quoted values of its attributes."""
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_CONDITIONAL = re.compile(r"(<!--\[if [^\]]*\]>)(.*)(<!\[endif\]-->)", re.DOTALL | re.IGNORECASE)
_HAS_CLASS = re.compile(r"\sclass\s*=", re.IGNORECASE)
_RAW = re.compile(r"(?:style|script|title|textarea|xmp)", re.IGNORECASE)
_EXPANDED = ("inline", "expand")
"""On a link: its sheet is wanted in the page."""
_QUOTABLE = re.compile(r"[^\"\\\n<]+")
_REMOTE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Attribute:
    """One attribute of a tag."""

    name: str
    value: str | None
    """``None``: it stands without a value."""


@dataclass(slots=True, kw_only=True)
class Tag:
    """A start or an end tag; its attributes may be changed."""

    name: str
    """As written."""
    is_end: bool
    is_closed: bool
    """Whether it ends in ``/>``."""
    attributes: list[Attribute] = field(default_factory=list)
    source: str
    number: int = -1
    """Of a start tag, from 0."""

    @property
    def key(self) -> str:
        """The name in lower case."""
        return self.name.lower()

    def attribute(self, name: str) -> Attribute | None:
        """Return the first attribute of a name in lower case."""
        return next((each for each in self.attributes if each.name.lower() == name), None)

    def put(self, name: str, value: str) -> None:
        """Set an attribute."""
        if found := self.attribute(name):
            found.value = value
        else:
            self.attributes.append(Attribute(name=name, value=value))

    def drop(self, name: str) -> None:
        """Remove an attribute."""
        self.attributes = [each for each in self.attributes if each.name.lower() != name]

    def __str__(self) -> str:
        """Write the tag with single blanks."""
        if self.is_end:
            return f"</{self.name}>"
        slash = " /" if self.is_closed and self.key not in VOID else ""
        return f"<{self.name}{''.join(map(_written_attribute, self.attributes))}{slash}>"


@dataclass(slots=True, kw_only=True)
class Comment:
    """A comment with its marks, or a declaration."""

    source: str
    inside: "list[Piece]" = field(default_factory=list)
    """Of a conditional comment whose elements have classes: its pieces, the marks too."""

    def settle(self) -> None:
        """Write the tags inside that have, or had, classes."""
        if self.inside:
            self.source = "".join(
                str(piece) if isinstance(piece, Tag) and "class" in piece.source else piece.source
                for piece in self.inside
            )


@dataclass(slots=True, kw_only=True)
class Text:
    """What stands between tags, or the content of an element that holds no tags."""

    source: str
    raw: str = ""
    """The element whose content it is: ``style``, ``script``, ``title``."""


Piece = Tag | Comment | Text


def pieces(page: str) -> list[Piece]:
    """Cut a page."""
    return _Cutting(page).cut()


def with_sheets(page: Sequence[Piece]) -> list[Piece]:
    """Turn ``<link rel="stylesheet" href="brand.css" inline>`` into a sheet that imports the file."""
    found: list[Piece] = []
    for piece in page:
        found.extend(_sheet(piece) if isinstance(piece, Tag) and piece.key == "link" else (piece,))
    return found


def _sheet(link: Tag) -> Sequence[Piece]:
    values = {each.name.lower(): each.value or "" for each in link.attributes}
    href = values.get("href", "")
    is_meant = values.get("rel", "").lower() == "stylesheet" and not values.keys().isdisjoint(_EXPANDED)
    if not is_meant or not href or not _QUOTABLE.fullmatch(href):
        return (link,)
    for name in _EXPANDED:
        link.drop(name)
    if _REMOTE.match(href):
        return (link,)
    return (
        Tag(name="style", is_end=False, is_closed=False, source="<style>", number=link.number),
        Text(source=f'@import "{href}";', raw="style"),
        Tag(name="style", is_end=True, is_closed=False, source="</style>"),
    )


def data_tables(page: Iterable[Piece]) -> set[int]:
    """Return the numbers of the tables with a caption, a head or cells that say what they head.

    Tables for layout have none of these, though some have ``<th>``.
    """
    found: set[int] = set()
    around: list[int] = []
    for piece in page:
        if not isinstance(piece, Tag):
            continue
        if piece.key == "table":
            if not piece.is_end:
                around.append(piece.number)
            elif around:
                around.pop()
        elif around and (
            piece.key in ("caption", "thead") or (piece.key == "th" and piece.attribute("scope") is not None)
        ):
            found.add(around[-1])
    return found


class _Cutting:
    """One pass over a page. No search is repeated once it has failed."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._found: list[Piece] = []
        self._position = 0
        self._number = 0
        self._quotes_are_closed = True

    def cut(self) -> list[Piece]:
        """Return the pieces."""
        page = self._page
        text_from = position = 0
        while match := _MARK.search(page, position):
            end = self._end(match)
            if end <= 0:
                break
            if match.start() > text_from:
                self._found.append(Text(source=page[text_from : match.start()]))
            position = text_from = self._piece(match, end)
        if text_from < len(page):
            self._found.append(Text(source=page[text_from:]))
        return self._found

    def _end(self, match: re.Match[str]) -> int:
        """Return the end of what begins here; 0 when it has none."""
        page = self._page
        if match[0] == "<!--":
            if short := re.compile(r"-?>").match(page, match.end()):
                return short.end()
            end = page.find("-->", match.end())
            return end + 3 if end >= 0 else len(page)
        if match["name"] is not None and self._quotes_are_closed:
            if rest := _REST.match(page, match.end()):
                return rest.end()
            self._quotes_are_closed = False
        return page.find(">", match.end()) + 1

    def _piece(self, match: re.Match[str], end: int) -> int:
        """Take one tag or comment; return where to go on."""
        page = self._page
        if match["name"] is None:
            self._found.append(_comment(page[match.start() : end]))
            return end
        tag = _tag(match, page[match.end() : end - 1], page[match.start() : end])
        self._found.append(tag)
        if tag.is_end:
            return end
        tag.number = self._number
        self._number += 1
        if not _RAW.fullmatch(tag.name) or tag.is_closed:
            return end
        closing = re.compile(rf"</{tag.name}(?=[\s/>])", re.IGNORECASE).search(page, end)
        stop = closing.start() if closing else len(page)
        self._found.append(Text(source=page[end:stop], raw=tag.key))
        return stop


def _comment(source: str) -> Comment:
    match = _CONDITIONAL.fullmatch(source)
    if match is None or not _HAS_CLASS.search(match[2]):
        return Comment(source=source)
    return Comment(source=source, inside=[Text(source=match[1]), *pieces(match[2]), Text(source=match[3])])


def _tag(match: re.Match[str], rest: str, source: str) -> Tag:
    is_end = bool(match["close"])
    return Tag(
        name=match["name"],
        is_end=is_end,
        is_closed=rest.rstrip().endswith("/"),
        attributes=[] if is_end else [_attribute(each) for each in _ATTRIBUTE.finditer(rest)],
        source=source,
    )


def _attribute(match: re.Match[str]) -> Attribute:
    value = next((value for value in match.groups()[1:] if value is not None), None)
    return Attribute(name=match[1], value=value)


def _written_attribute(attribute: Attribute) -> str:
    value = attribute.value
    if value is None:
        return f" {attribute.name}"
    quote = "'" if '"' in value else '"'
    return f" {attribute.name}={quote}{value}{quote}"
