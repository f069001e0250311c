"""Style sheets and style attributes of a finished page, and what of them holds for an element.

Selectors are understood as far as mail uses them: elements, classes, ids, attributes (also those
that are not so), descendants and children. A rule
with any other selector, or under a condition other than dark mode, holds for no element here; what mail
programs understand of it is judged elsewhere.

Sources: CSS Syntax Level 3 (tinycss2), CSS Cascading and Inheritance Level 4 section 6.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import tinycss2
from tinycss2 import ast, color4

from postroom.template.lint.page import VARIABLE, Element, Page, Text, mask

_COMPOUND = re.compile(r"(?:[a-zA-Z][\w-]*|\*)?(?:[.#](?:[\w-]|\\.|[^\x00-\x7f])+)*\Z")
_CONDITION = re.compile(r"""(:not\()?\[([\w-]+)(?:([~^$*]?=)["']?([^"'\]\s]*)["']?)?\](?(1)\))""")
_PART = re.compile(r"[.#]?(?:[\w*-]|\\.|[^\x00-\x7f])+")
_ESCAPE = re.compile(r"\\(.)")
_DARK = re.compile(r"prefers-color-scheme\s*:\s*dark")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A property with its value."""

    name: str
    """In lower case."""
    value: str
    important: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleRule:
    """One rule of a style sheet."""

    selectors: str
    declarations: Sequence[Declaration]
    condition: str
    """What stands behind ``@media``, of all at-rules around it; empty outside."""
    at: int
    """Offset in the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Everything that stands in a page's style elements."""

    rules: Sequence[StyleRule]
    at_rules: Sequence[tuple[str, str, int]]
    """Name, what follows it, and the offset in the page, of every at-rule."""


_Compound = tuple[str, frozenset[str], str, tuple[tuple[str, str, str, str], ...]]
"""Name, classes, id, and conditions on attributes: ``:not(`` or nothing, name, operator, value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """One selector with its declarations, ready to be compared with elements."""

    compounds: tuple["_Compound", ...]
    """The element's own first, then those around it."""
    weight: tuple[int, int, int]
    declarations: Sequence[Declaration]


def sheet_of(page: Page) -> Sheet:
    """Read every style element of a page."""
    rules: list[StyleRule] = []
    at_rules: list[tuple[str, str, int]] = []
    for style in page.elements("style"):
        for text in style.children:
            if isinstance(text, Text):
                _SheetReader(text, rules, at_rules).read()
    return Sheet(rules=rules, at_rules=at_rules)


class _SheetReader:
    """One pass over a style element."""

    def __init__(self, text: Text, rules: list[StyleRule], at_rules: list[tuple[str, str, int]]) -> None:
        self._text = text
        self._rules = rules
        self._at_rules = at_rules
        self._lines = [0, *(found.end() for found in re.finditer("\n", text.value))]

    def read(self) -> None:
        sheet = mask(self._text.value)[0]
        self._read(tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True), "")

    def _read(self, nodes: Iterable[ast.Node], condition: str) -> None:
        for node in nodes:
            if isinstance(node, ast.QualifiedRule):
                self._rules.append(
                    StyleRule(
                        selectors=tinycss2.serialize(node.prelude).strip(),
                        declarations=_declarations(node.content),
                        condition=condition,
                        at=self._at(node),
                    )
                )
            elif isinstance(node, ast.AtRule):
                prelude = tinycss2.serialize(node.prelude).strip()
                name = node.lower_at_keyword
                self._at_rules.append((name, prelude, self._at(node)))
                if node.content is not None and name in {"media", "supports", "layer"}:
                    inner = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
                    self._read(inner, f"{condition} {prelude}".strip() or name)

    def _at(self, node: ast.Node) -> int:
        line: int = min(node.source_line, len(self._lines)) - 1
        return self._text.at + self._lines[line] + int(node.source_column) - 1


@lru_cache(maxsize=2048)  # a page has few, many times
def declarations_of(style: str) -> tuple[Declaration, ...]:
    """Return the declarations of a style attribute; expressions in it are unknown values."""
    return _declarations(mask(style)[0]) if style else ()


def _declarations(content: str | Iterable[ast.Node]) -> tuple[Declaration, ...]:
    nodes = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    return tuple(
        Declaration(one.lower_name, tinycss2.serialize(one.value).strip(), one.important)
        for one in nodes
        if isinstance(one, ast.Declaration)
    )


@dataclass(slots=True)
class Cascade:
    """What holds for an element, in light or in dark mode."""

    _by_key: dict[str, list[_Match]] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet, *, dark: bool) -> "Cascade":
        """Take the rules without a condition, and in dark mode those of dark mode."""
        made = cls()
        for order, rule in enumerate(sheet.rules):
            if not rule.condition or (dark and _DARK.search(rule.condition)):
                for selector in rule.selectors.split(","):
                    compounds = _compounds(selector)
                    if compounds:
                        made._add(compounds, rule.declarations, order)
        return made

    def _add(
        self,
        compounds: tuple[_Compound, ...],
        declarations: Sequence[Declaration],
        order: int,
    ) -> None:
        name, classes, id_, _ = compounds[0]
        ids = sum(1 for one in compounds if one[2])
        named = sum(len(one[1]) + len(one[3]) for one in compounds)
        match = _Match(compounds=compounds, weight=(ids, named, order), declarations=declarations)
        key = f"#{id_}" if id_ else f".{min(classes)}" if classes else name
        self._by_key.setdefault(key, []).append(match)

    def styles(self, element: Element) -> Mapping[str, str]:
        """Return the value of each property that is declared for an element itself."""
        best: dict[str, tuple[tuple[bool, bool, tuple[int, int, int]], str]] = {}
        keys = ["*", "", element.name, f"#{element.get('id')}"]
        keys += [f".{name}" for name in element.get("class").split()]
        for key in keys:
            for match in self._by_key.get(key, ()):
                if _fits(match.compounds, element):
                    for one in _longhands(match.declarations):
                        _take(best, one, (one.important, False, match.weight))
        for one in _longhands(declarations_of(element.get("style"))):
            _take(best, one, (one.important, True, (0, 0, 0)))
        return {name: value for name, (_, value) in best.items()}


def _take(
    best: dict[str, tuple[tuple[bool, bool, tuple[int, int, int]], str]],
    one: Declaration,
    weight: tuple[bool, bool, tuple[int, int, int]],
) -> None:
    if one.name not in best or best[one.name][0] <= weight:
        best[one.name] = weight, one.value


def _longhands(declarations: Iterable[Declaration]) -> Iterator[Declaration]:
    """Yield declarations, ``background`` as the colour and the image that it sets."""
    for one in declarations:
        if one.name == "background":
            has_image = "url(" in one.value or "gradient(" in one.value
            yield Declaration("background-color", _colour_in(one.value), one.important)
            yield Declaration("background-image", one.value if has_image else "none", one.important)
        else:
            yield one


def _colour_in(shorthand: str) -> str:
    for token in tinycss2.parse_component_value_list(shorthand):
        text = str(tinycss2.serialize([token]))
        if token.type in {"ident", "hash", "function"} and color4.parse_color(text):
            return text
    return shorthand if VARIABLE in shorthand or "var(" in shorthand else "transparent"


def _compounds(selector: str) -> tuple[_Compound, ...]:
    """Return the parts of a selector, the last first; empty when one of them is not understood."""
    found = []
    for said in reversed(selector.replace(">", " ").split()):
        word = _CONDITION.sub("", said)
        if not _COMPOUND.match(word):
            return ()
        name, id_, classes = "", "", set()
        for part in _PART.findall(word):
            plain = _ESCAPE.sub(r"\1", part[1:])
            if part[0] == ".":
                classes.add(plain)
            elif part[0] == "#":
                id_ = plain
            else:
                name = part.lower()
        found.append((name, frozenset(classes), id_, tuple(_CONDITION.findall(said))))
    return tuple(found)


def _fits(compounds: tuple[_Compound, ...], element: Element) -> bool:
    if not _is(compounds[0], element):
        return False
    around: Iterator[Element] = element.above()
    return all(any(_is(one, above) for above in around) for one in compounds[1:])


def _is(compound: _Compound, element: Element) -> bool:
    name, classes, id_, conditions = compound
    return (
        name in {"", "*", element.name}
        and (not id_ or id_ == element.get("id"))
        and classes <= set(element.get("class").split())
        and all(
            _holds(operator, value, element.get(key)) != bool(no) for no, key, operator, value in conditions
        )
    )


def _holds(operator: str, value: str, found: str) -> bool:
    match operator:
        case "":
            return bool(found)
        case "=":
            return found == value
        case "~=":
            return value in found.split()
        case "^=":
            return found.startswith(value)
        case "$=":
            return found.endswith(value)
        case _:
            return value in found
