"""Hide Jinja from tools that read HTML and CSS: every construct becomes an opaque token, and back.

Constructs are found by Jinja's own lexer rules: ``{{ }}`` and ``{% %}`` end at the first closing mark
outside strings and brackets, ``{# #}`` at the first ``#}``, and ``{% raw %}`` hides all up to its end. What
is never closed stays text. The form of a token depends on where it stands, so that a parser keeps it there:

* a word in text, attribute values, names and comments,
* an attribute of its own between the attributes of a tag,
* a comment in tables (text between rows would be moved out of the table), in the head and after the body,
* a declaration or an at-rule in style sheets, where one of these must stand.

Rules: ``unshield(shield(x)) == x`` for every text; never raises. Tokens are lower-case letters and digits,
and their first letters occur nowhere else in the page. Does not check Jinja's grammar.

Sources: Jinja 3.1 (``jinja2.lexer``), HTML Living Standard sections 13.2.5 (tokenization) and 13.2.6.4.9
(tables).
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_OPENING = re.compile(r"\{[{%#]")
_IN_EXPRESSION = {
    "{{": re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()\[\]{]|[-+]?\}\}|\}""", re.DOTALL),
    "{%": re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()\[\]{}]|[-+]?%\}""", re.DOTALL),
}
"""What decides where a construct ends: strings are stepped over, brackets are counted."""
_RAW_BEGIN = re.compile(r"\{%[-+]?\s*raw\s*-?%\}")
_RAW_END = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")

_TAG_BEGIN = re.compile(r"/?[A-Za-z]")
_NAME_END = re.compile(r"[\s/>]")
_NAME_GOES_ON = re.compile(r"\s*=|[^\s/>]")
_UNQUOTED_END = re.compile(r"[\s>]")
_ATTRIBUTE_END = re.compile(r"[\s/>=]")
_DOCUMENT = re.compile(r"<!doctype|<html|<head|<body", re.IGNORECASE)
_CSS_MARK = re.compile(r"[{};]")
_CSS_GOES_ON = re.compile(r"[^;{}]*[:{]|[\w.#-]")
_GROUPING = ("@media", "@supports", "@layer", "@screen", "@container")
_TAG_STEP = re.compile(r"[\s/]+|>|=\s*|[^\s/>=]+")
_ROWS = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup", "select"})
"""Elements in which text cannot stand."""
_CELLS = frozenset({"td", "th", "caption", "option"})
_CLOSED_BY = {
    "tr": frozenset({"tr", "td", "th", "caption", "colgroup"}),
    "td": frozenset({"td", "th"}),
    "th": frozenset({"td", "th"}),
    "thead": frozenset({"thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"}),
    "tbody": frozenset({"thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"}),
    "tfoot": frozenset({"thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"}),
    "option": frozenset({"option"}),
}
_RAW_TEXT = frozenset({"style", "script", "title", "textarea", "xmp", "iframe", "noframes"})
_HEAD = frozenset(
    {"html", "head", "meta", "title", "link", "style", "script", "base", "noscript", "template", "xml"}
)
"""Elements before the body begins; those with a colon in their name belong to ``<xml>``."""


class Form(StrEnum):
    """How a token is written; ``#`` stands for its word."""

    WORD = "#"
    PADDED = " # "
    """Between classes: a blank on both sides is its own."""
    ATTRIBUTE = "  #  "
    """Between attributes: serializers make it ``#=""``."""
    COMMENT = "<!--#-->"
    DECLARATION = "--#:0;"
    AT_RULE = "@#;"


_OWN_BLANKS = {Form.PADDED: " ", Form.ATTRIBUTE: "  "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One construct and the form it was given."""

    source: str
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Shielded:
    """A page without Jinja, and the way back."""

    text: str
    tokens: tuple[Token, ...]
    """By number; a word is ``prefix``, the number, ``z``."""
    prefix: str

    def unshield(self, text: str) -> str:
        """Put the constructs back into ``text``: this page, or what a tool made of it."""
        if not self.tokens:
            return text
        word = rf"{self.prefix}(\d+)z"
        pattern = re.compile(
            rf'<!--{word}-->|--{word}\s*:\s*0(?:\s*;)?|@{word};|{word}=""|{word}', re.IGNORECASE
        )
        parts: list[str] = []
        position = 0
        for match in pattern.finditer(text):
            source, own = self._source(match)
            before = text[position : match.start()]
            parts.append(before.removesuffix(own))
            parts.append(source)
            position = match.end() + (len(own) if text.startswith(own, match.end()) else 0)
        parts.append(text[position:])
        return "".join(parts)

    def word(self, number: int) -> str:
        """Return the word of a token."""
        return f"{self.prefix}{number}z"

    def _source(self, match: re.Match[str]) -> tuple[str, str]:
        """Return what stood here, and the blanks on either side that belong to the token."""
        comment, declaration, at_rule, serialized, plain = match.groups()
        token = self.tokens[int(comment or declaration or at_rule or serialized or plain)]
        if plain:
            return token.source, _OWN_BLANKS.get(token.form, "")
        form = (
            (comment and Form.COMMENT)
            or (declaration and Form.DECLARATION)
            or (at_rule and Form.AT_RULE)
            or Form.ATTRIBUTE
        )
        if token.form is form:
            return token.source, ""
        number = comment or declaration or at_rule or serialized
        return re.sub(rf"{self.prefix}{number}z", lambda _: token.source, match[0], flags=re.IGNORECASE), ""


def shield(html: str, *, for_text: bool = False) -> Shielded:
    """Replace every Jinja construct of a page by a token.

    Args:
        html: A whole page or a part of one.
        for_text: For a reader that drops comments but moves nothing: words also in tables.
    """
    lowered = html.lower()
    prefix = next(p for p in _prefixes() if p not in lowered)
    place = _Place()
    place.body = _DOCUMENT.search(html) is None
    parts: list[str] = []
    tokens: list[Token] = []
    position = 0
    for start, end in constructs(html):
        literal = html[position:start]
        place.read(literal)
        parts.append(literal)
        source = html[start:end]
        form = place.form(source, html[end : end + 80])
        if for_text and form is Form.COMMENT:
            form = Form.WORD
        parts.append(form.value.replace("#", f"{prefix}{len(tokens)}z"))
        place.stand(form)
        tokens.append(Token(source=source, form=form))
        position = end
    parts.append(html[position:])
    return Shielded(text="".join(parts), tokens=tuple(tokens), prefix=prefix)


def constructs(text: str) -> list[tuple[int, int]]:
    """Return where each Jinja construct begins and ends, in order.

    What follows a construct that is never closed has none: Jinja refuses such a text as a whole.
    """
    found: list[tuple[int, int]] = []
    position = 0
    while match := _OPENING.search(text, position):
        position = _end_of(text, match)
        if position <= 0:
            break
        found.append((match.start(), position))
    return found


def _prefixes() -> Iterator[str]:
    """Yield first letters of tokens, short ones first."""
    yield "zj"
    for count in itertools.count(1):
        yield "zjx" + "q" * count


def _end_of(text: str, opening: re.Match[str]) -> int:
    """Return the end of the construct that begins here; 0 when it is never closed."""
    start, mark = opening.start(), opening[0]
    if mark == "{#":
        return text.find("#}", start + 2) + 2 if text.find("#}", start + 2) >= 0 else 0
    if mark == "{%" and (raw := _RAW_BEGIN.match(text, start)):
        end = _RAW_END.search(text, raw.end())
        return end.end() if end else 0
    position, depth = start + 2, 0
    while step := _IN_EXPRESSION[mark].search(text, position):
        sign = step[0]
        position = step.end()
        if sign[0] in "([{":
            depth += 1
        elif sign.endswith(("}}", "%}")) and sign[0] not in "'\"":
            if depth == 0:
                return position
            if sign.endswith("}}"):
                depth -= 1
                position = step.end() - 1
        elif sign in (")", "]", "}"):
            depth = max(depth - 1, 0)
    return 0


class _Place:
    """Where in the page the reader stands."""

    def __init__(self) -> None:
        self.body = False
        self._after = False
        self._state = "text"
        self._tag = ""
        self._attribute = ""
        self._quote = ""
        self._value = ""
        self._raw = ""
        self._css = _CssPlace()
        self._stack: list[str] = []

    def form(self, source: str, following: str) -> Form:
        """Return the form of a token that stands here."""
        match self._state:
            case "text":
                is_outside = not self.body or self._after or (self._stack and self._stack[-1] in _ROWS)
                return Form.COMMENT if is_outside else Form.WORD
            case "tag":
                if source.startswith("{{") and _NAME_GOES_ON.match(following):
                    return Form.WORD
                return Form.ATTRIBUTE
            case "value":
                if self._attribute == "class" and not source.startswith("{{"):
                    return Form.PADDED
                if self._attribute == "style" and not source.startswith("{{"):
                    return Form.DECLARATION if self._value in ("", ";") else Form.WORD
                return Form.WORD
            case "raw" if self._raw == "style":
                return self._css.form(source, following)
            case _:
                return Form.WORD

    def stand(self, form: Form) -> None:
        """Step over a token."""
        match self._state:
            case "value":
                self._value = ";" if form is Form.DECLARATION else "z"
            case "raw":
                self._css.read(";" if form in (Form.DECLARATION, Form.AT_RULE) else "z")
            case "tag" if form is Form.WORD:
                self._state = "name"
            case "before-value":
                self._begin_value("")
                self._value = "z"

    def read(self, text: str) -> None:
        """Step over literal text."""
        position = 0
        while position < len(text):
            match self._state:
                case "text":
                    position = self._read_text(text, position)
                case "tag-name" | "name":
                    position = self._read_name(text, position)
                case "tag":
                    position = self._read_tag(text, position)
                case "before-value":
                    position = self._before_value(text, position)
                case "value":
                    position = self._read_value(text, position)
                case "comment":
                    end = text.find("-->", position)
                    self._state = "text" if end >= 0 else "comment"
                    position = end + 3 if end >= 0 else len(text)
                case "odd":
                    end = text.find(">", position)
                    self._state = "text" if end >= 0 else "odd"
                    position = end + 1 if end >= 0 else len(text)
                case _:
                    position = self._read_raw(text, position)

    def _read_text(self, text: str, position: int) -> int:
        start = text.find("<", position)
        if start < 0:
            return len(text)
        if text.startswith("<!--", start):
            self._state = "comment"
            return start + 4
        following = text[start + 1 : start + 3]
        if following[:1] in ("!", "?"):
            self._state = "odd"
        elif _TAG_BEGIN.match(following) or start + 1 + len(following) == len(text):
            self._state, self._tag = "tag-name", ""
        return start + 1

    def _read_name(self, text: str, position: int) -> int:
        """Read on in the name of a tag or of an attribute."""
        if self._state == "name":
            match = _ATTRIBUTE_END.search(text, position)
            end = match.start() if match else len(text)
            self._attribute += text[position:end].lower()
        elif text.startswith("/", position) and not self._tag:
            self._tag = "/"
            return position + 1
        else:
            match = _NAME_END.search(text, position)
            end = match.start() if match else len(text)
            self._tag += text[position:end].lower()
        if match:
            self._state = "tag"
        return end

    def _read_tag(self, text: str, position: int) -> int:
        step = _TAG_STEP.match(text, position)
        if step is None:
            return position + 1
        piece = step[0]
        if piece == ">":
            self._end_of_tag()
        elif piece[0] == "=":
            self._state = "before-value"
        elif piece[0] not in " \t\n\r\f/" and not piece.isspace():
            self._attribute, self._state = piece.lower(), "name"
        return step.end()

    def _before_value(self, text: str, position: int) -> int:
        sign = text[position]
        if sign.isspace():
            return position + 1
        if sign == ">":
            self._end_of_tag()
            return position + 1
        self._begin_value(sign if sign in "\"'" else "")
        return position + len(self._quote)

    def _begin_value(self, quote: str) -> None:
        self._state, self._quote, self._value = "value", quote, ""

    def _read_value(self, text: str, position: int) -> int:
        if self._quote:
            end = text.find(self._quote, position)
            if end < 0:
                self._value = text[position:].rstrip()[-1:] or self._value
                return len(text)
            self._state = "tag"
            return end + 1
        match = _UNQUOTED_END.search(text, position)
        if match is None:
            return len(text)
        self._state = "tag"
        return match.start()

    def _read_raw(self, text: str, position: int) -> int:
        match = re.compile(rf"</{self._raw}(?=[\s/>])", re.IGNORECASE).search(text, position)
        if match is None:
            if self._raw == "style":
                self._css.read(text[position:])
            return len(text)
        self._state, self._tag = "tag", "/" + self._raw
        return match.end()

    def _end_of_tag(self) -> None:
        """Take a whole tag: what may stand after it?"""
        self._state, name = "text", self._tag
        self._attribute = ""
        if name == "body" or not (name.lstrip("/") in _HEAD or ":" in name):
            self.body = True
        if name in ("/body", "/html"):
            self._after = True
        if name in _RAW_TEXT:
            self._state, self._raw, self._css = "raw", name, _CssPlace()
        elif name in _ROWS or name in _CELLS:
            while self._stack and self._stack[-1] in _CLOSED_BY.get(name, frozenset()):
                self._stack.pop()
            self._stack.append(name)
        elif name[:1] == "/" and name[1:] in self._stack:
            while self._stack.pop() != name[1:]:
                pass


class _CssPlace:
    """Where in a style sheet the reader stands."""

    def __init__(self) -> None:
        self._blocks: list[bool] = []
        """Of each open block, whether it holds rules."""
        self._last = ""
        """The last sign that is no blank."""
        self._prelude = ""
        """The first letters since the last block, declaration or rule."""

    def read(self, css: str) -> None:
        """Step over a piece of CSS."""
        position = 0
        for match in _CSS_MARK.finditer(css):
            self._add(css[position : match.start()])
            position = match.end()
            if match[0] == "{":
                self._blocks.append(self._prelude.startswith(_GROUPING))
            elif match[0] == "}" and self._blocks:
                self._blocks.pop()
            self._last, self._prelude = match[0], ""
        self._add(css[position:])

    def _add(self, text: str) -> None:
        if text := text.strip():
            self._last = text[-1]
            self._prelude = (self._prelude + text[:40])[:40]

    def form(self, source: str, following: str) -> Form:
        """Return the form of a token: at the place of a rule, of a declaration, or within one."""
        if self._last not in ("", "{", "}", ";"):
            return Form.WORD
        if source.startswith("{{") and _CSS_GOES_ON.match(following):
            return Form.WORD
        is_among_rules = not self._blocks or self._blocks[-1]
        return Form.AT_RULE if is_among_rules else Form.DECLARATION
