"""Front matter: what stands above a source between ``---`` (YAML) or ``+++`` (TOML) lines.

It is data, read the way YAML 1.2's core schema and TOML say, with three things refused by name that only
make it hard to read or to bound: anchors and aliases, tags, and a key given twice. A value may begin with
``@{{`` or ``{{``, which YAML alone would not read. Findings name the line in the file.

Sources: YAML 1.2.2 section 10.3 (core schema), TOML 1.0.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from typing import Any, NoReturn, cast

import yaml

from postroom.template.errors import SourceError
from postroom.template.places import Place, error

MAX_BYTES = 16 * 1024
MAX_DEPTH = 16
MAX_BRACKETS = 64
"""Within each other, wherever they stand: PyYAML's time grows with their square."""
UNREADABLE = re.compile("[\0\ud800-\udfff]")
"""What no mail can hold, and some of the tools would not survive."""
_BRACKET = re.compile(r"[\[\]{}]")
_ABOVE = re.compile(r"(?:[ \t\r]*\n)+")
"""Blank lines; editors and generators leave them above the fence."""
_CUT = re.compile(
    r"(subject|preheader|title):[ \t]+"
    r"(?:@?\{[{%].*?[ \t](?P<braced>#[^\s#{}][^{}]*)$|(?![\"'#|>]|@?\{[{%]).*?[ \t](?P<plain>#[^\s#].*))"
)
"""``subject: Order #1042``: what YAML would leave out, and what a remark rarely looks like."""
_FENCES = {"---": "YAML", "+++": "TOML"}
_BRACED = re.compile(
    r"^(?P<head>\s*(?:-\s+)*(?:(?:[\w.-]+|\"[^\"]*\"|'[^']*'):\s+|-\s+))(?P<value>@?\{[{%].*)$"
)
_REMARK = re.compile(r"\s#[^{}]*$")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOTE_KEYS = frozenset(("type", "description", "example", "default", "required"))
_TEXTS = ("subject", "preheader", "title", "language", "text", "doctype", "charset", "bodyClass")
TYPES = frozenset(("string", "integer", "number", "boolean", "array", "object"))
"""What a variable may be said to be: JSON Schema's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableNote:
    """What the author says about a variable."""

    type: str = ""
    """One of TYPES; empty: as the example is."""
    description: str = ""
    example: Any = None
    default: Any = None
    has_default: bool = False
    required: bool = True
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """The values that are known, and all of them as ``page``. Texts are as the author wrote them."""

    subject: str = ""
    preheader: str = ""
    title: str = ""
    language: str = ""
    text: str | None = None
    """The text part, instead of the one made from the HTML."""
    doctype: str = ""
    charset: str = ""
    body_class: str = ""
    variables: Mapping[str, VariableNote] | None = None
    """``None``: nothing is said about variables."""
    page: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    """By top-level key, where it stands in the file."""

    def with_page(self, page: Mapping[str, Any]) -> "FrontMatter":
        """Return the same with texts that have been evaluated."""
        text = page.get("text")
        return replace(
            self,
            subject=_plain_text(page.get("subject")),
            preheader=_plain_text(page.get("preheader")),
            title=_plain_text(page.get("title")),
            language=_plain_text(page.get("language")),
            text=None if text is None else _plain_text(text),
            doctype=_plain_text(page.get("doctype")),
            charset=_plain_text(page.get("charset")),
            body_class=_plain_text(page.get("bodyClass")),
            page=page,
        )


def read_front_matter(text: str, *, file: str = "") -> tuple[FrontMatter, str, int]:
    """Return the front matter, what stands below it, and how many lines the front matter takes.

    Raises SourceError: it never ends, is too long, cannot be read, has a known key of the wrong type.
    """
    text = text.removeprefix("\ufeff")
    above = _ABOVE.match(text)
    first, found, rest = text[above.end() if above else 0 :].partition("\n")
    language = _FENCES.get(first.rstrip())
    if language is None or not found:
        return FrontMatter(), text, 0
    if above:
        rest = "\n" * above[0].count("\n") + rest  # below the fence, so that the lines keep their numbers
    reader = _Reader(file or "template")
    lines = rest.split("\n")
    fence = first.rstrip()
    end = next((index for index, line in enumerate(lines) if line.rstrip() == fence), None)
    if end is None:
        reader.refuse("front-matter-open", f"the front matter never ends with a line {fence}", "Add it.")
    matter = [line.removesuffix("\r") for line in lines[:end]]
    if len("\n".join(matter).encode()) > MAX_BYTES:
        reader.refuse(
            "front-matter-size",
            f"the front matter has more than {MAX_BYTES // 1024} KiB",
            "Move long texts into the template.",
        )
    page = reader.read_toml(matter) if language == "TOML" else reader.read_yaml(matter)
    page = {key: reader.plain(value, key, 0) for key, value in page.items()}
    return reader.front_matter(page), "\n".join(lines[end + 1 :]), end + 2


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: dict[str, int] = {}
        self._variables: dict[str, int] = {}

    def refuse(self, code: str, cause: str, fix: str, at: tuple[int, int] = (1, 0)) -> NoReturn:
        raise SourceError([error(code, Place(self._file, *at), cause=cause, fix=fix)])

    def read_toml(self, matter: list[str]) -> dict[str, Any]:
        for number, line in enumerate(matter):
            key = re.match(r"\s*\[?\[?\"?([\w-]+)", line)
            if key is not None:
                self._lines.setdefault(key[1], number + 2)
        try:
            return tomllib.loads("\n".join(matter) + "\n")
        except (ValueError, RecursionError) as failure:  # a number of 5,000 digits is a mere ValueError
            found = re.search(r"\(at line (\d+), column (\d+)\)", str(failure))
            at = (int(found[1]) + 1, int(found[2])) if found is not None else (1, 0)
            cause = str(failure).partition(" (at")[0]
            cause = f"the front matter is not TOML: {cause[:1].lower()}{cause[1:]}"
            self.refuse("front-matter-syntax", cause, 'Write KEY = "text".', at)

    def read_yaml(self, matter: list[str]) -> dict[str, Any]:
        self._refuse_cut(matter)
        if _bracket_depth(matter) > MAX_BRACKETS:
            cause = f"more than {MAX_BRACKETS} brackets within each other"
            self.refuse("front-matter-depth", cause, "Write flatter data.")
        try:
            node = yaml.compose("\n".join(self._quoted(matter)) + "\n", Loader=_Loader)
        except _RefusedError as refused:
            self.refuse(refused.code, str(refused.problem), "Write the value itself.", refused.at)
        except yaml.MarkedYAMLError as failure:
            cause = f"the front matter is not YAML: {failure.problem or failure.context}"
            fix = (
                "Write KEY: text, put quotes around a text that holds a colon and a blank, and indent with"
                " blanks, alike for all keys of one level."
            )
            self.refuse("front-matter-syntax", cause, fix, _at(failure.problem_mark or failure.context_mark))
        except (yaml.YAMLError, RecursionError) as failure:
            cause = f"the front matter is not YAML: {str(failure).partition(chr(10))[0]}"
            self.refuse("front-matter-syntax", cause, "Write KEY: text.")
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.refuse("front-matter-syntax", "the front matter has no keys", "Write KEY: text.", (2, 1))
        for key, value in node.value:
            self._lines[str(key.value)] = key.start_mark.line + 2
            if key.value == "variables" and isinstance(value, yaml.MappingNode):
                self._variables = {str(one.value): one.start_mark.line + 2 for one, _ in value.value}
        return cast("dict[str, Any]", self._value(node, 0))

    def _refuse_cut(self, matter: list[str]) -> None:
        for number, line in enumerate(matter):
            if (cut := _CUT.match(line)) is not None:
                part = cut.lastgroup or ""
                cause = f"YAML takes «{cut[part][:40]}» for a remark, so the {cut[1]} would end before it"
                at = (number + 2, cut.start(part) + 1)
                self.refuse("front-matter-cut", cause, "Put quotes around the text.", at)

    def _quoted(self, matter: list[str]) -> list[str]:
        """Put quotes around values that begin with an expression; the lines keep their numbers."""
        out: list[str] = []
        index = 0
        while index < len(matter):
            match = _BRACED.match(matter[index])
            if match is None:
                out.append(matter[index])
                index += 1
                continue
            indent = len(match["head"]) - len(match["head"].lstrip())
            value = _REMARK.sub("", match["value"]).rstrip()
            index += 1
            blank = 0
            while index < len(matter) and matter[index].strip() and _indent(matter[index]) > indent:
                value += " " + _REMARK.sub("", matter[index]).strip()
                blank += 1
                index += 1
            out.append(match["head"] + "'" + value.replace("'", "''") + "'")
            out.extend([""] * blank)
        return out

    def _value(self, node: yaml.Node, depth: int) -> Any:
        if depth > MAX_DEPTH:
            cause = f"more than {MAX_DEPTH} levels"
            self.refuse("front-matter-depth", cause, "Write flatter data.", _at(node.start_mark))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(one, depth + 1) for one in node.value]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.value) if node.style is None else node.value
        made: dict[str, Any] = {}
        for key, value in node.value:
            at = _at(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.refuse("front-matter-syntax", "a key is no text", "Write KEY: text.", at)
            if key.value in made:
                self.refuse("front-matter-duplicate", f"{key.value} is given twice", "Keep one of them.", at)
            made[key.value] = self._value(value, depth + 1)
        return made

    def plain(self, value: Any, key: str, depth: int) -> Any:
        """Return a value as JSON would have it: dates as text, numbers that a computer counts with."""
        at = (self._lines.get(key, 1), 1)
        if depth > MAX_DEPTH:
            self.refuse("front-matter-depth", f"more than {MAX_DEPTH} levels", "Write flatter data.", at)
        if isinstance(value, dict):
            return {name: self.plain(one, key, depth + 1) for name, one in value.items()}
        if isinstance(value, list):
            return [self.plain(one, key, depth + 1) for one in value]
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, str) and UNREADABLE.search(value):
            cause = f"{key} has a character NUL or half of one"
            self.refuse("source-characters", cause, "Write the text itself.", at)
        if isinstance(value, int | float) and not abs(value) < 1e300:
            self.refuse("front-matter-type", f"{key} is no usable number", "Write it as a text.", at)
        return value

    def front_matter(self, page: dict[str, Any]) -> FrontMatter:
        for key in _TEXTS:
            self._check_text(page, key)
        front = FrontMatter(variables=self._notes(page), lines=self._lines)
        return front.with_page(page)

    def _check_text(self, page: Mapping[str, Any], key: str) -> None:
        value = page.get(key)
        if isinstance(value, list | dict):
            self.refuse(
                "front-matter-type",
                f"{key} is {'a list' if isinstance(value, list) else 'a mapping'}, a text is needed",
                "Write one text; put quotes around it when it begins with [ or {.",
                (self._lines.get(key, 1), 1),
            )

    def _notes(self, page: Mapping[str, Any]) -> dict[str, VariableNote] | None:
        variables = page.get("variables")
        if variables is None:
            return None
        where = self._lines.get("variables", 1)
        if not isinstance(variables, dict):
            self.refuse(
                "front-matter-type", "variables is no mapping", "Write NAME: an example below it.", (where, 1)
            )
        return {name: self._note(name, value) for name, value in variables.items()}

    def _note(self, name: str, value: Any) -> VariableNote:
        line = self._variables.get(name, self._lines.get("variables", 1))
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
            self.refuse(
                "variable-name",
                f"{name[:64]!r} cannot be the name of a variable",
                "Use letters, digits and underscores.",
                (line, 0),
            )
        if not (isinstance(value, dict) and value and value.keys() <= _NOTE_KEYS):
            return VariableNote(example=value, line=line)
        kind = value.get("type", "")
        if kind and not (isinstance(kind, str) and kind in TYPES):
            self.refuse(
                "variable-type",
                f"{name} is of type {kind!r}, known are {', '.join(sorted(TYPES))}",
                "Take one of these.",
                (line, 0),
            )
        has_default = "default" in value
        return VariableNote(
            type=kind,
            description=str(value.get("description") or ""),
            example=value.get("example"),
            default=value.get("default"),
            has_default=has_default,
            required=bool(value.get("required", not has_default)),
            line=line,
        )


class _RefusedError(yaml.MarkedYAMLError):
    def __init__(self, code: str, cause: str, event: yaml.Event) -> None:
        super().__init__(problem=cause)
        self.code = code
        self.at = _at(event.start_mark)


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses what is refused where it stands."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            raise _RefusedError("front-matter-alias", f"the alias *{event.anchor} is not read", event)
        if event.anchor is not None:
            raise _RefusedError("front-matter-anchor", f"the anchor &{event.anchor} is not read", event)
        if event.tag is not None:
            raise _RefusedError("front-matter-tag", f"the tag {event.tag} is not read", event)
        return super().compose_node(parent, index)


def _bracket_depth(matter: list[str]) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall("\n".join(matter)):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _at(mark: Any) -> tuple[int, int]:
    """Return line and column of a mark, in the file."""
    return (mark.line + 2, mark.column + 1) if mark is not None else (1, 0)


def _plain_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > 32 or text[0] not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text
