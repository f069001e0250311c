"""Style sheets as trees of rules, and back to text.

Rules: reading never fails; what CSS does not allow is left out and noted with its line. Values keep their
wording; comments are dropped. Does not know utilities or pages.

Sources: CSS Syntax Module Level 3, CSS Nesting (not supported: a nested rule is a fault), CSSOM
(escaping).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import tinycss2

_GROUPING = frozenset(
    {"media", "supports", "layer", "screen", "container", "scope", "starting-style", "variants"}
)
"""At-rules that contain rules; others contain declarations or nothing we look into."""

MAX_BRACKETS = 64
"""Brackets within brackets (security limit: the reader of CSS recurses)."""
MAX_QUOTED = 60
"""Characters of what is wrong that a fault says."""
_LINE_END = re.compile(r"\r\n|[\n\r\f]")
_CUT = re.compile(r"[;{}«»]")
_BRACKET = re.compile(r"[(\[{]|([)\]}])")
_COMMENT = re.compile(r"""("[^"]*"|'[^']*')|/\*.*?\*/""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One property with its value."""

    name: str
    value: str
    is_important: bool = False

    def __str__(self) -> str:
        """Write it as CSS, without a semicolon."""
        return f"{self.name}: {self.value}{' !important' if self.is_important else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """``@apply`` in a rule."""

    classes: tuple[str, ...]
    is_important: bool
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Selectors and what they declare."""

    selectors: tuple[str, ...]
    declarations: tuple[Declaration | Apply, ...]
    line: int = 0
    """In its style sheet, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRule:
    """``@name prelude``, with rules, with a text of its own, or with nothing."""

    name: str
    prelude: str
    rules: "tuple[Node, ...] | None" = None
    text: str | None = None
    """What stands between the braces, when it is no list of rules."""
    line: int = 0


Node = Rule | AtRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A piece that CSS does not allow."""

    line: int
    cause: str
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A whole style sheet."""

    rules: tuple[Node, ...]
    faults: tuple[Fault, ...] = field(default=())


def escaped(name: str) -> str:
    """Write a class name as a selector wants it, a backslash before every odd sign."""
    out = re.sub(
        r"[^\w-]", lambda match: "\\" + match[0] if match[0].isprintable() else f"\\{ord(match[0]):x} ", name
    )
    if re.match(r"\d", out):
        return f"\\3{out[0]} {out[1:]}"
    return re.sub(r"^-(\d)", r"-\\3\1 ", out)


@lru_cache(maxsize=256)
def read_sheet(css: str) -> Sheet:
    """Read a style sheet."""
    if _is_too_deep(css):
        return Sheet(rules=(), faults=(_TOO_DEEP,))
    faults: list[Fault] = []
    nodes = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    rules = tuple(_nodes(nodes, faults))
    return Sheet(rules=rules, faults=_quoting(css, faults))


@lru_cache(maxsize=1024)
def read_declarations(css: str) -> tuple[tuple[Declaration, ...], tuple[Fault, ...]]:
    """Read a style attribute."""
    if _is_too_deep(css):
        return (), (_TOO_DEEP,)
    faults: list[Fault] = []
    nodes = tinycss2.parse_blocks_contents(css, skip_comments=True, skip_whitespace=True)
    found = tuple(each for each in _contents(nodes, faults) if isinstance(each, Declaration))
    return found, _quoting(css, faults)


_TOO_DEEP = Fault(line=1, cause=f"more than {MAX_BRACKETS} brackets within one another")


def _is_too_deep(css: str) -> bool:
    depth = 0
    for match in _BRACKET.finditer(css):
        depth += -1 if match[1] else 1
        if depth > MAX_BRACKETS:
            return True
    return False


def written(nodes: Iterable[Node]) -> str:
    """Write rules as compact CSS, one rule a line."""
    return "\n".join(_written(node) for node in nodes)


def written_declarations(declarations: Iterable[Declaration | Apply]) -> str:
    """Write declarations in one line."""
    return "; ".join(str(each) for each in declarations if isinstance(each, Declaration))


def split_selectors(prelude: str) -> tuple[str, ...]:
    """Split a list of selectors at its commas."""
    parts: list[str] = []
    depth, start, quote, index = 0, 0, "", 0
    while index < len(prelude):
        sign = prelude[index]
        if sign == "\\":
            index += 1
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(prelude[start:index])
            start = index + 1
        index += 1
    parts.append(prelude[start:])
    return tuple(" ".join(part.split()) for part in parts if part.strip())


def _written(node: Node) -> str:
    if isinstance(node, Rule):
        return f"{', '.join(node.selectors)} {{ {written_declarations(node.declarations)} }}"
    head = f"@{node.name} {node.prelude}".rstrip()
    if node.rules is not None:
        return f"{head} {{\n{written(node.rules)}\n}}"
    return f"{head} {{ {node.text} }}" if node.text is not None else f"{head};"


def _nodes(nodes: Sequence[Any], faults: list[Fault]) -> Iterable[Node]:
    for node in nodes:
        match node.type:
            case "qualified-rule":
                yield _rule(node, faults)
            case "at-rule":
                yield _at_rule(node, faults)
            case "error":
                faults.append(_fault(node))
            case _:
                pass


def _rule(node: Any, faults: list[Fault]) -> Rule:
    contents = tinycss2.parse_blocks_contents(node.content, skip_comments=True, skip_whitespace=True)
    return Rule(
        selectors=split_selectors(_text(node.prelude)),
        declarations=tuple(_contents(contents, faults)),
        line=node.source_line,
    )


def _at_rule(node: Any, faults: list[Fault]) -> AtRule:
    name, prelude = node.lower_at_keyword, " ".join(_text(node.prelude).split())
    if node.content is None:
        return AtRule(name=name, prelude=prelude, line=node.source_line)
    if name in _GROUPING:
        inner = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
        return AtRule(name=name, prelude=prelude, rules=tuple(_nodes(inner, faults)), line=node.source_line)
    text = " ".join(_text(node.content).split())
    return AtRule(name=name, prelude=prelude, text=text, line=node.source_line)


def _contents(nodes: Sequence[Any], faults: list[Fault]) -> Iterable[Declaration | Apply]:
    for node in nodes:
        if node.type == "declaration":
            yield Declaration(name=_property(node), value=_text(node.value), is_important=node.important)
        elif node.type == "at-rule" and node.lower_at_keyword == "apply":
            words = _text(node.prelude).split()
            is_important = words[-1:] == ["!important"]
            yield Apply(
                classes=tuple(words[:-1] if is_important else words),
                is_important=is_important,
                line=node.source_line,
            )
        else:
            faults.append(_fault(node))


def _property(node: Any) -> str:
    name: str = node.name
    return name if name.startswith("--") else name.lower()


def _text(nodes: Sequence[Any]) -> str:
    """Write tokens as they stood: without comments, and without those the writer puts between tokens."""
    text = tinycss2.serialize(nodes)
    if "/*" in text:
        text = _COMMENT.sub(lambda match: match[1] or (" " if len(match[0]) > 4 else ""), text)
    return " ".join(text.split())


def _fault(node: Any) -> Fault:
    return Fault(line=node.source_line, cause=_cause(node), column=node.source_column)


def _quoting(css: str, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Say the words at which each fault is."""
    lines = _LINE_END.split(css) if faults else []
    told = []
    for fault in faults:
        line = lines[fault.line - 1] if fault.line <= len(lines) else ""
        at = max(fault.column - 1, 0)
        before, behind = line[max(at - MAX_QUOTED, 0) : at], line[at : at + MAX_QUOTED]
        words = _CUT.split(before)[-1] + _CUT.split(behind, maxsplit=1)[0]
        words = words.strip()[:MAX_QUOTED].rstrip()
        told.append(replace(fault, cause=f"{fault.cause}: «{words}»" if words else fault.cause))
    return tuple(told)


def _cause(node: Any) -> str:
    if node.type == "error":
        return f"this is no CSS ({node.message.lower()})"
    if node.type == "at-rule":
        return f"@{node.at_keyword} cannot stand in a rule"
    return "a rule in a rule is not understood by mail clients"
