"""Write a page with as few blanks as HTML allows, and without comments that nobody reads.

Runs of blanks become one, a line end where there was one (mail wants short lines). Around rows and cells
of tables, and in the head, they go. Nothing changes in ``pre`` and ``textarea``, in elements with a
``white-space`` that shows blanks, and in what Jinja hides. Conditional comments stay, without their
indentation; others go, unless they have Jinja in them.

Rules: pure; the text of a page stays the same as browsers show it. Sources: CSS Text Module Level 3
section 4.1, HTML Living Standard section 13.1.2.6.
"""

import re
from collections.abc import Sequence

from postroom.template.html_names import VOID
from postroom.template.styles.elements import Tokens
from postroom.template.styles.page import Comment, Piece, Tag

_BLANKS = re.compile(r"[ \t\r\n\f]+")
_INDENT = re.compile(r"[ \t\r\f]*\n[ \t\r\n\f]*")
_SHOWN = re.compile(r"white-space\s*:\s*(?:pre|break-spaces)", re.IGNORECASE)
_SHOWING = frozenset({"pre", "textarea", "listing", "xmp"})
_TABLE = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup", "col"})
_CELLS = frozenset({"td", "th", "caption"})
_HEAD = frozenset({"html", "head", "meta", "title", "link", "style", "base", "body", "script"})
_CONDITIONAL = re.compile(r"<!--\s*(?:\[if|<!\[endif)", re.IGNORECASE)


def written_page(pieces: Sequence[Piece], tokens: Tokens) -> str:
    """Write a page."""
    out: list[str] = []
    showing: list[str] = []
    for index, piece in enumerate(pieces):
        if isinstance(piece, Tag):
            _track(piece, showing)
            out.append(str(piece))
        elif isinstance(piece, Comment):
            out.append(_comment(piece.source, tokens))
        elif piece.raw or showing:
            out.append(piece.source)
        else:
            before = pieces[index - 1] if index else None
            after = pieces[index + 1] if index + 1 < len(pieces) else None
            out.append(_text(piece.source, before, after))
    return "".join(out).strip() + "\n"


def _track(tag: Tag, showing: list[str]) -> None:
    """Note where an element begins and ends in which every blank counts."""
    if tag.key in VOID:
        return
    if tag.is_end:
        if tag.key in showing:
            while showing.pop() != tag.key:
                pass
        return
    style = tag.attribute("style")
    if showing or tag.key in _SHOWING or (style and _SHOWN.search(style.value or "")):
        showing.append(tag.key)


def _comment(source: str, tokens: Tokens) -> str:
    if source.startswith("<!--") and not _CONDITIONAL.match(source) and not tokens.hidden(source):
        return ""
    return _INDENT.sub("\n", source)


def _text(source: str, before: Piece | None, after: Piece | None) -> str:
    text = _BLANKS.sub(lambda match: "\n" if "\n" in match[0] else " ", source)
    if _swallows(before, is_before=True):
        text = text.lstrip(" \n")
    if text and _swallows(after, is_before=False):
        text = text.rstrip(" \n")
    return text


def _swallows(piece: Piece | None, *, is_before: bool) -> bool:
    """Whether blanks beside a tag are never shown."""
    if not isinstance(piece, Tag):
        return False
    if piece.key in _HEAD:
        return True
    if piece.key in _CELLS:
        return True
    if piece.key == "table":
        return piece.is_end is not is_before
    return piece.key in _TABLE
