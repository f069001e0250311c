"""Put rules into style attributes.

css-inline says which selectors match which elements: it gets the tags of the page alone, and rules that
declare nothing but their number. What an element ends with is then worked out here, so that the page is
never serialized by an HTML parser.

Rules: pure; css-inline is told to load nothing. Tags are changed in place.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import css_inline

from postroom.template.styles.cascade import INLINE_SPECIFICITY, Weighted, cascaded, shortened
from postroom.template.styles.elements import Element, Elements, Tokens, skeleton
from postroom.template.styles.page import Piece
from postroom.template.styles.rules import Declaration, read_declarations
from postroom.template.styles.selectors import attributes_of, classes_of, is_plain, specificity

_TAG = re.compile(r"""<[A-Za-z](?:[^"'>]|"[^"]*"|'[^']*')*\sstyle="(?:[^"]*)"[^>]*>""")
_NUMBER = re.compile(r'\sdata-n="(\d+)"')
_RULE = re.compile(r"--r(\d+)")
_SIZED = frozenset({"img", "video"})
_SIZE = re.compile(r"(?:px|auto)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlinable:
    """One selector and what it declares."""

    selector: str
    declarations: tuple[Declaration, ...]


def inline(
    pieces: Sequence[Piece],
    elements: Elements,
    rules: Sequence[Inlinable],
    *,
    tokens: Tokens,
    variables: Mapping[str, str],
) -> list[str]:
    """Write the style attribute of every element. Returns the causes of what could not be read."""
    matched = _matched(pieces, elements, rules)
    specificities = [specificity(rule.selector) for rule in rules]
    faults: list[str] = []
    for element, numbers in (
        *((each, matched.get(each.tag.number, ())) for each in elements.styled()),
        *((each, _matched_by_class(each, rules)) for each in elements.inside),
    ):
        own = element.tag.attribute("style")
        if not element.is_fixed or (not numbers and (own is None or not own.value)):
            continue
        weighted = [
            Weighted(declaration=each, specificity=specificities[number], rule=number)
            for number in numbers
            for each in rules[number].declarations
        ]
        faults.extend(_styled(element, weighted, tokens, variables))
    return faults


def _styled(
    element: Element, weighted: list[Weighted], tokens: Tokens, variables: Mapping[str, str]
) -> Iterable[str]:
    """Write one element's style; return what is wrong with its own."""
    own = element.tag.attribute("style")
    text = html.unescape(own.value) if own and own.value else ""
    declared, faults = read_declarations(text)
    is_open = any(not source.startswith("{{") for source in tokens.hidden(text)) or (
        faults and tokens.hidden(text)
    )
    if not is_open:
        weighted = weighted + [
            Weighted(declaration=each, specificity=INLINE_SPECIFICITY, rule=-1) for each in declared
        ]
    ends = shortened(cascaded(weighted, variables))
    style = ";".join(f"{each.name}:{each.value}" for each in ends).replace('"', "'")
    if is_open:
        style = f"{style};{own.value.strip() if own and own.value else ''}".lstrip(";")
        faults = ()
    if style:
        element.tag.put("style", style)
    else:
        element.tag.drop("style")
    if weighted and element.tag.key in _SIZED:
        for each in ends:
            if each.name in ("width", "height") and _SIZE.search(each.value):
                element.tag.put(each.name, each.value.replace("px", ""))
    return [fault.cause for fault in faults]


def _matched_by_class(element: Element, rules: Sequence[Inlinable]) -> Sequence[int]:
    """Return the rules that match an element in a comment, where there is no tree: those of classes alone."""
    own = set(element.classes)
    return [
        number
        for number, rule in enumerate(rules)
        if is_plain(rule.selector) and classes_of(rule.selector) <= own
    ]


def _matched(pieces: Sequence[Piece], elements: Elements, rules: Sequence[Inlinable]) -> dict[int, list[int]]:
    """Return the numbers of the rules that match, by number of the element."""
    if not rules:
        return {}
    looked_at = attributes_of(rule.selector for rule in rules) - {"class"}
    css = "\n".join(f"{rule.selector}{{--r{number}:1}}" for number, rule in enumerate(rules))
    page = css_inline.inline(
        skeleton(pieces, elements, looked_at),
        extra_css=css,
        inline_style_tags=False,
        load_remote_stylesheets=False,
    )
    found: dict[int, list[int]] = {}
    for match in _TAG.finditer(page):
        if number := _NUMBER.search(match[0]):
            style = match[0][match[0].rindex(' style="') :]
            found.setdefault(int(number[1]), []).extend(map(int, _RULE.findall(style)))
    return found
