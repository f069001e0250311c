"""From an HTML body to the plain text beside it.

Headings and paragraphs stand apart, lists have dashes or numbers, a link is ``text <url>``, an image its
alternative text, a row of two cells ``key: value``, a quotation ``> ``. A separator is a blank line, and a
line of dashes between two tables of several paragraphs; a link with an image that repeats an earlier one, as
the logo above each card, is left out. Scripts, styles, the head and
hidden elements (preheaders) are left out. Lines are not wrapped. The same HTML always gives the same text.

Rules: never raises, whatever the junk; linear time, so the nesting of what is laid out is bounded and no
search is repeated once it has failed. Does not sanitize: the result is text.

The tokenizer is ours: ``html.parser`` rescans the rest of the page for every construct that is never
closed (quadratic on the Python versions we run on) and takes several times as long on ordinary pages.

Sources: HTML Living Standard sections 13.1.2 (syntax) and 13.2.5 (tokenization), as far as text needs them.
"""

import html
import re
from dataclasses import dataclass, field

MAX_DEPTH = 40
"""Open lists, items, quotations, tables, rows, cells (security limit); deeper ones are plain blocks."""

_TAG_NAME = re.compile(r"</?([A-Za-z][^\s/>]*)")
_TAG_REST = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
"""To the end of a tag, over the quoted values of its attributes."""
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++)))?""")
_BLANKS = re.compile(r"[\t\n\r\f][ \t\n\r\f]*+| [ \t\n\r\f]++")
"""What is more than one blank, or another one (a single blank is left as it is)."""
_BLANK_LINES = re.compile(r"\n{3,}")
_HIDDEN = re.compile(
    r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|opacity\s*:\s*0\s*(?:;|!|$)"
    r"|max-height\s*:\s*0[a-z%]*\s*(?:;|!|$))",
    re.IGNORECASE,
)
"""The styles by which mail hides its preheader."""
_NO_SIZE = re.compile(r"(?:^|[;\s])font-size\s*:\s*0[a-z%]*\s*(?:;|!|$)", re.IGNORECASE)
_CONTAINER = re.compile(r"(?:^|[;\s])(?:text-align|word-break|direction)\s*:", re.IGNORECASE)
"""What MJML says beside ``font-size:0`` of elements in which it closes gaps; their children have a size."""
_JOINERS = "\u034f\u200b\u200c\u200d\u2060\ufeff \n"
"""What cannot be seen: a text of nothing else is the content of a spacer."""
_COLONS = ":\uff1a"
_MAY_HIDE = re.compile(r"hidden|hide|:\s*+(?:none|0)|separator", re.IGNORECASE)
"""What stands in every tag that hides or separates: the attributes of all others need no reading."""

_READ = frozenset({"a", "img", "table"})
"""Elements whose attributes become text or layout."""
_DROPPED = frozenset({"title", "template", "svg", "math", "object", "select"})
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "iframe")
}
"""Elements whose content is no markup."""
_VOID = frozenset(
    {"br", "hr", "img", "input", "meta", "link", "area", "col", "wbr", "source", "track", "embed", "base"}
)
_BREAKS = (
    dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "dl", "figure"), 2)
    | dict.fromkeys(("div", "section", "article", "header", "footer", "main", "nav", "aside", "form"), 1)
    | dict.fromkeys(("address", "fieldset", "legend", "center", "figcaption", "dt", "dd", "caption"), 1)
    | dict.fromkeys(("body", "html", "option", "details", "summary"), 1)
)
"""Line ends before and after a block: 2 leave a blank line. Elements that are not here are inline."""
_FRAMED = frozenset({"ul", "ol", "li", "blockquote", "table", "tr", "td", "th"})
_CLOSED_BY = {
    "li": (("li",), ("ul", "ol")),
    "tr": (("tr", "td", "th"), ("table",)),
    "td": (("td", "th"), ("table", "tr")),
    "th": (("td", "th"), ("table", "tr")),
}
"""Which open frames a start tag ends, and which stop the search (HTML Living Standard section 13.1.2.4)."""


@dataclass(slots=True)
class _Frame:
    """Text under construction that will be laid out as a whole."""

    name: str
    parts: list[str] = field(default_factory=list)
    breaks: int = 0
    """Line ends due before the next text: 1 ends a line, 2 leaves a blank one."""
    cells: list[str] = field(default_factory=list)
    """Of a row: its cells as laid out."""
    items: int = 0
    """Of a list: items so far."""
    is_data: bool = True
    """Of a table: not marked as mere layout."""
    block_end: int = 0
    """How many parts there were when a table of several paragraphs had been put in."""
    is_parted: bool = False
    """A separator followed that table."""


def html_to_text(source: str) -> str:
    """Return the text of an HTML page, without a line end at its end; empty when there is none."""
    walker = _Walker()
    walker.read(source)
    return walker.finished()


class _Walker:
    """One pass over the tokens, with a stack of frames."""

    def __init__(self) -> None:
        self._frames = [_Frame("page")]
        self._link: tuple[int, int, str] | None = None
        """Depth, index into the frame's parts, and URL of the open link; links do not nest."""
        self._has_image = False
        """In the open link."""
        self._shown: set[tuple[str, str]] = set()
        """Texts and URLs of links with an image."""
        self._hidden = ""
        """Name of the element being left out, and how deep in elements of that name."""
        self._hidden_depth = 0
        self._pre = 0

    def read(self, source: str) -> None:
        """Feed a whole page."""
        position = 0
        quotes_are_closed = True
        while (start := source.find("<", position)) >= 0:
            if start > position:
                self._text(html.unescape(source[position:start]))
            if source.startswith("<!--", start):
                end = source.find("-->", start + 4)
                position = end + 3 if end >= 0 else len(source)
                continue
            match = _TAG_NAME.match(source, start)
            if match is None:
                position = self._odd_markup(source, start)
                continue
            rest = _TAG_REST.match(source, match.end()) if quotes_are_closed else None
            end = rest.end() if rest else source.find(">", match.end()) + 1
            if rest is None:
                quotes_are_closed = False
            if end <= 0:
                return
            position = self._tag(source, match, end)
        if position < len(source):
            self._text(html.unescape(source[position:]))

    def finished(self) -> str:
        """Close everything and return the text."""
        while len(self._frames) > 1:
            self._close_frame()
        text = "".join(self._frames[0].parts)
        return _BLANK_LINES.sub("\n\n", "\n".join([line.rstrip() for line in text.split("\n")])).strip("\n")

    def _odd_markup(self, source: str, start: int) -> int:
        """Skip a declaration, read a lone ``<`` as text; return where to go on."""
        if source.startswith(("<!", "<?", "</"), start):
            end = source.find(">", start)
            return end + 1 if end >= 0 else len(source)
        self._text("<")
        return start + 1

    def _tag(self, source: str, match: re.Match[str], end: int) -> int:
        """Take one tag; return where the next token begins."""
        name = match[1].lower()
        if source[match.start() + 1] == "/":
            self._end_tag(name)
            return end
        self._start_tag(name, source[match.end() : end - 1])
        if name in _RAW:
            closing = _RAW[name].search(source, end)
            return closing.start() if closing else len(source)
        return end

    def _start_tag(self, name: str, rest: str) -> None:
        if self._hidden == "p" and (name in _BREAKS or name in _FRAMED):
            self._hidden = ""  # the end tag of a paragraph may be left out
        if self._hidden:
            self._hidden_depth += name == self._hidden
            return
        attributes = _attributes(rest) if rest and (name in _READ or _MAY_HIDE.search(rest)) else {}
        if name in _DROPPED or (attributes and name not in _VOID and _is_hidden(attributes)):
            self._hidden, self._hidden_depth = name, 1
        elif name in _FRAMED:
            self._open_frame(name, attributes)
        elif name == "br":
            self._line_end()
        elif name == "hr":
            self._break(2)
            self._text("-" * 10)
            self._break(2)
        elif name == "img":
            self._has_image = True
            self._text(html.unescape(attributes.get("alt", "")))
        elif name == "a":
            self._end_link()
            url = html.unescape(attributes.get("href", "")).strip()
            self._link = (len(self._frames), len(self._frames[-1].parts), url)
            self._has_image = False
        elif attributes.get("role", "").lower() == "separator":
            frame = self._frames[-1]
            frame.is_parted = 0 < frame.block_end == len(frame.parts)
            self._break(2)
        else:
            self._break(_BREAKS.get(name, 0))
            self._pre += name == "pre"

    def _end_tag(self, name: str) -> None:
        if self._hidden:
            self._hidden_depth -= name == self._hidden
            if self._hidden_depth == 0:
                self._hidden = ""
        elif name == "a":
            self._end_link()
        elif name in _FRAMED:
            self._close_named((name,), ("table",) if name != "table" else ())
        else:
            self._break(_BREAKS.get(name, 0))
            if name == "pre" and self._pre:
                self._pre -= 1

    def _end_link(self) -> None:
        if self._link is None:
            return
        depth, index, url = self._link
        self._link = None
        if not url or url[0] == "#" or url.lower().startswith("javascript:") or depth != len(self._frames):
            return
        parts = self._frames[-1].parts
        shown = "".join(parts[index:]).strip()
        if self._has_image:
            if shown and (shown, url) in self._shown:
                if not parts[index].strip("\n"):  # the line ends that were due before the link
                    self._break(len(parts[index]))
                del parts[index:]
                return
            self._shown.add((shown, url))
        if shown not in {url, url.removeprefix("mailto:"), url.removeprefix("tel:")}:
            self._text(f" <{url}>" if shown else f"<{url}>")

    def _text(self, data: str) -> None:
        if self._hidden or not data:
            return
        frame = self._frames[-1]
        if self._pre:
            data = data.replace("\r\n", "\n").replace("\r", "\n")
        else:
            data = _BLANKS.sub(" ", data)
            if data[0] == " " and (frame.breaks or not frame.parts or frame.parts[-1].endswith((" ", "\n"))):
                data = data[1:]
            if not data or (data[0] > "\u02ff" and not data.strip(_JOINERS)):
                return
        if frame.breaks and frame.parts:
            frame.parts.append("\n" * frame.breaks)
        frame.breaks = 0
        frame.parts.append(data)

    def _line_end(self) -> None:
        frame = self._frames[-1]
        if frame.breaks:
            frame.breaks = 2
        else:
            frame.parts.append("\n")

    def _break(self, breaks: int) -> None:
        frame = self._frames[-1]
        frame.breaks = max(frame.breaks, breaks)

    def _open_frame(self, name: str, attributes: dict[str, str]) -> None:
        if name in _CLOSED_BY:
            self._close_named(*_CLOSED_BY[name], every=True)
        if len(self._frames) > MAX_DEPTH:
            self._break(1)
            return
        frame = _Frame(name)
        if name == "table":
            frame.is_data = attributes.get("role", "").lower() not in {"presentation", "none"}
        self._frames.append(frame)

    def _close_named(self, names: tuple[str, ...], limits: tuple[str, ...], *, every: bool = False) -> None:
        """Close frames down to the nearest of ``names`` (or the outermost), but not beyond a limit."""
        found = 0
        for index in range(len(self._frames) - 1, 0, -1):
            if self._frames[index].name in limits:
                break
            if self._frames[index].name in names:
                found = index
                if not every:
                    break
        while found and len(self._frames) > found:
            self._close_frame()

    def _close_frame(self) -> None:
        """Lay out the innermost frame and put it into the one around it."""
        frame = self._frames.pop()
        around = self._frames[-1]
        text = "".join(frame.parts).strip("\n").rstrip(" ")
        match frame.name:
            case "li":
                around.items += 1
                mark = f"{around.items}. " if around.name == "ol" else "- "
                self._put(_indented(text, mark, " " * len(mark)), 1)
            case "blockquote":
                self._put(_indented(text, "> ", "> "), 2)
            case "td" | "th":
                if around.name == "tr":
                    around.cells.append(text)
                else:
                    self._put(text, 1)
            case "tr":
                if text:
                    frame.cells.append(text)
                self._put(_row(frame.cells, is_data=around.is_data), 1)
            case "ul" | "ol":
                self._put(text, 1 if around.name == "li" else 2)
            case _:
                is_block = "\n\n" in text
                if is_block and around.is_parted and around.block_end == len(around.parts):
                    self._put("-" * 10, 2)
                self._put(text, 2 if frame.is_data or is_block else 1)
                around.block_end = len(around.parts) if is_block else 0

    def _put(self, text: str, breaks: int) -> None:
        """Put laid out text into the innermost frame, with line ends around it."""
        if not text or text.isspace():
            return
        frame = self._frames[-1]
        if frame.parts:
            frame.parts.append("\n" * max(frame.breaks, breaks))
        frame.parts.append(text)
        frame.breaks = breaks


def _row(cells: list[str], *, is_data: bool) -> str:
    """Lay out one row: two short cells as ``key: value``, more in one line, others one below another."""
    cells = [cell for cell in cells if cell.strip()]
    if is_data and len(cells) > 1 and not any("\n" in cell for cell in cells):
        if len(cells) == 2:
            return f"{cells[0].rstrip().rstrip(_COLONS)}: {cells[1]}"
        return " | ".join(cells)
    return "\n".join(cells)


def _indented(text: str, first: str, rest: str) -> str:
    if not text:
        return ""
    return first + text.replace("\n", "\n" + rest)


def _is_hidden(attributes: dict[str, str]) -> bool:
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    if style is None:
        return False
    if _NO_SIZE.search(style) and not _CONTAINER.search(style):
        return True
    return _HIDDEN.search(style) is not None


def _attributes(rest: str) -> dict[str, str]:
    """Return the attributes of a tag, names in lower case, the first of each name."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(rest):
        found.setdefault(match[1].lower(), match[2] or match[3] or match[4] or "")
    return found
