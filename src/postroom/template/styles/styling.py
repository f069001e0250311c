"""Give a page its styles: utility classes and style sheets, inlined as mail clients need it.

The ``<style>`` elements of a page are read with their directives, the utility classes that occur in it
become rules, and every rule that can be inlined ends in style attributes. In the head stays what cannot:
media queries, ``:hover``, rules for mail clients, sheets marked ``embed`` or ``no-inline``, and rules for
classes that depend on Jinja. Then rules go that nothing answers to, and classes that no rule names.
Tables get ``cellpadding``, ``cellspacing`` and ``role``, images ``alt``, and ``width`` and ``height`` as
their style says.

Rules: pure, the same page gives the same bytes; raises nothing but SourceError. Jinja, conditional
comments, entities and whatever is no tag come out as they went in. Nothing is loaded but from the shelf.

Sources: Tailwind CSS 3.4, juice and email-comb as Maizzle 5 configures them in production.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from postroom.model.template import Finding, Severity
from postroom.template.errors import SourceError
from postroom.template.jinja.tokens import shield
from postroom.template.styles.directives import Directives
from postroom.template.styles.elements import MAX_DEPTH, Element, Elements, Tokens, depth, read_elements
from postroom.template.styles.inline import Inlinable, inline
from postroom.template.styles.page import Comment, Piece, Tag, Text, data_tables, pieces, with_sheets
from postroom.template.styles.purge import (
    emphasized,
    is_kept_class,
    mentioned,
    purged,
    renamed,
    rules_in,
    safe_names,
)
from postroom.template.styles.rules import AtRule, Declaration, Node, Rule, written
from postroom.template.styles.selectors import (
    attributes_of,
    classes_of,
    is_inlinable,
    is_placed,
    is_plain,
    names_client,
)
from postroom.template.styles.space import written_page
from postroom.template.styles.utilities import nearest_utility, utility_rules
from postroom.template.styles.utilities_data import Catalogue, catalogue

_EMBEDDED = ("embed", "data-embed", "no-inline")
_EVERYWHERE = ("", "all", "screen")
"""What ``media`` may say of a sheet that is inlined."""
_TABLE_DEFAULTS = {"cellpadding": "0", "cellspacing": "0", "role": "none"}
MAX_PROPOSALS = 20
"""Unknown classes to look for the nearest name of; the search takes milliseconds."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHORT_HEX = re.compile(r"#([0-9a-fA-F])([0-9a-fA-F])([0-9a-fA-F])")
_CSS_CLASS = re.compile(r"\.([A-Za-z_-][\w-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Styled:
    """A page with its styles in place."""

    html: str
    findings: tuple[Finding, ...] = ()
    """Warnings; errors raise."""


@dataclass(slots=True, kw_only=True)
class _Block:
    """One ``<style>`` element."""

    tag: Tag
    text: Text
    is_embedded: bool
    rules: list[Node] = field(default_factory=list)


def styled(
    html: str, *, styles: Mapping[str, str] | None = None, theme: Mapping[str, Any] | None = None
) -> Styled:
    """Return a page with its styles in place.

    Args:
        html: A whole page, or a part of one, with Jinja.
        styles: CSS by path, for ``@import``.
        theme: Additions to the theme of the utility classes, by scale.

    Raises:
        SourceError: a style sheet imports, applies or reads what does not exist.
    """
    if _SURROGATE.search(html) or any(map(_SURROGATE.search, (styles or {}).values())):
        raise SourceError([_error("text-encoding", "half a character (a lone surrogate)", "Remove it.")])
    shielded = shield(html)
    tokens = Tokens(shielded)
    page = with_sheets(pieces(shielded.text))
    if depth(page) > MAX_DEPTH:
        raise SourceError(
            [
                _error(
                    "page-depth",
                    f"more than {MAX_DEPTH} elements within one another",
                    "Use fewer, or close them.",
                )
            ]
        )
    elements = read_elements(page, tokens)
    known = catalogue(theme or {})
    blocks = _blocks(page)
    directives = Directives(found_in=known, styles=styles or {}, names=sorted(elements.used()))
    for block in blocks:
        block.rules = directives.plain(block.text.source)
    findings = [replace(one, cause=shielded.unshield(one.cause)) for one in directives.findings]
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise SourceError(findings)
    if any("@tailwind" in block.text.source for block in blocks):
        findings.extend(_unknown_classes(blocks, elements, page, known))
    variables = _variables(blocks, known)
    inlinable = _take_inlinable(blocks, elements, tokens)
    causes = inline(page, elements, inlinable, tokens=tokens, variables=variables)
    findings.extend(_style_finding(shielded.unshield(cause)) for cause in dict.fromkeys(causes))
    _write_heads(blocks, page, elements)
    findings.extend(
        _image_finding(element.tag, tokens) for element in elements.all if _lacks_text(element.tag)
    )
    data = data_tables(page)
    for element in elements.all:
        _put_defaults(element.tag, is_data=element.tag.number in data)
    for element in elements.inside:
        _put_defaults(element.tag)
    for piece in page:
        if isinstance(piece, Comment):
            piece.settle()
    page = _without_empty_styles(page, blocks)
    return Styled(html=shielded.unshield(written_page(page, tokens)), findings=tuple(findings))


def _blocks(page: Sequence[Piece]) -> list[_Block]:
    found: list[_Block] = []
    for index, piece in enumerate(page):
        if isinstance(piece, Tag) and piece.key == "style" and not piece.is_end and index + 1 < len(page):
            text = page[index + 1]
            if isinstance(text, Text) and text.raw == "style":
                media = piece.attribute("media")
                is_embedded = any(piece.attribute(name) for name in _EMBEDDED) or (
                    media is not None and (media.value or "all").strip().lower() not in _EVERYWHERE
                )
                for name in _EMBEDDED:
                    piece.drop(name)
                found.append(_Block(tag=piece, text=text, is_embedded=is_embedded))
    return found


def _take_inlinable(blocks: Iterable[_Block], elements: Elements, tokens: Tokens) -> list[Inlinable]:
    """Take the rules out of the blocks that can be inlined; leave those that are needed in the head too."""
    sorting = _Sorting(
        elements=elements,
        conditional=elements.conditional(),
        in_comments=elements.in_comments(),
        used=elements.used(),
    )
    for block in blocks:
        if block.is_embedded:
            continue
        sorting.kept = []
        depth = 0
        for node in block.rules:
            if isinstance(node, AtRule):
                depth += tokens.depth(node.name)
                sorting.kept.append(node)
                continue
            declarations = tuple(each for each in node.declarations if isinstance(each, Declaration))
            if depth > 0 or any(tokens.hidden(each.name) for each in declarations):
                sorting.kept.append(node)
            else:
                sorting.sort(node.selectors, declarations)
        block.rules = sorting.kept
    return sorting.taken


@dataclass(slots=True, kw_only=True)
class _Sorting:
    """Sorts selectors into those to inline and those that stay in the head; some do both."""

    elements: Elements
    conditional: set[str]
    in_comments: set[str]
    used: set[str]
    taken: list[Inlinable] = field(default_factory=list)
    kept: list[Node] = field(default_factory=list)

    def sort(self, selectors: Iterable[str], declarations: tuple[Declaration, ...]) -> None:
        """Sort the selectors of one rule."""
        for selector in selectors:
            can = is_inlinable(selector) and not (self.elements.has_loop and is_placed(selector))
            needed = classes_of(selector)
            rule = Rule(selectors=(selector,), declarations=declarations)
            if can:
                self.taken.append(Inlinable(selector=selector, declarations=declarations))
            if not can or names_client(selector):
                self.kept.append(rule)
            elif (
                needed & self.conditional
                or (needed & self.in_comments and not is_plain(selector))
                or attributes_of((selector,)) & self.elements.open_attributes
                or (self.elements.has_open_classes and needed - self.used)
            ):
                self.kept.append(emphasized(rule))


def _variables(blocks: Iterable[_Block], known: Catalogue) -> dict[str, str]:
    """Return the variables every element has: those utilities are composed with, and those of ``:root``."""
    found = dict(known.variables)
    for block in blocks:
        for rule in rules_in(block.rules):
            if ":root" in rule.selectors:
                found.update(
                    (each.name, each.value)
                    for each in rule.declarations
                    if isinstance(each, Declaration) and each.name.startswith("--")
                )
    return found


def _write_heads(blocks: Iterable[_Block], page: Sequence[Piece], elements: Elements) -> None:
    """Write what stays in the head; remove and rename classes."""
    used = elements.used()
    for block in blocks:
        block.rules = purged(block.rules, used)
    named = {name for block in blocks for name in mentioned(block.rules)}
    in_comments: set[str] = set()
    for piece in page:
        if isinstance(piece, Comment):
            in_comments.update(_CSS_CLASS.findall(piece.source))
    names = safe_names(named & used)
    for block in blocks:
        block.rules = renamed(block.rules, names)
        block.text.source = f"\n{written(block.rules)}\n" if block.rules else ""
    for element in (*elements.all, *elements.inside):
        _write_classes(element, named | in_comments, names)


def _write_classes(element: Element, named: set[str], names: Mapping[str, str]) -> None:
    attribute = element.tag.attribute("class")
    if attribute is None or attribute.value is None:
        return
    own = {*element.classes, *element.sometimes}
    words = [
        names.get(word, word) if word in own else f" {word} "
        for word in attribute.value.split()
        if word not in own or word in named or is_kept_class(word)
    ]
    if words:
        attribute.value = " ".join(words)
    else:
        element.tag.drop("class")


def _lacks_text(tag: Tag) -> bool:
    return tag.key == "img" and tag.attribute("alt") is None


def _image_finding(tag: Tag, tokens: Tokens) -> Finding:
    source = tag.attribute("src")
    shown = tokens.shown(source.value) if source and source.value else "without a source"
    return Finding(
        code="image-alt",
        severity=Severity.WARNING,
        file="",
        cause=f"the image {shown} has no alt",
        fix='Say in alt what it shows; alt="" for decoration.',
    )


def _put_defaults(tag: Tag, *, is_data: bool = False) -> None:
    """Set the attributes without which Outlook adds gaps, and readers read out file names."""
    if tag.key == "table":
        for name, value in _TABLE_DEFAULTS.items():
            if tag.attribute(name) is None and not (is_data and name == "role"):
                tag.put(name, value)
    elif _lacks_text(tag):
        tag.put("alt", "")
    for name in ("bgcolor", "color"):
        attribute = tag.attribute(name)
        if attribute and attribute.value and _SHORT_HEX.fullmatch(attribute.value):
            attribute.value = _SHORT_HEX.sub(r"#\1\1\2\2\3\3", attribute.value)


def _without_empty_styles(page: Sequence[Piece], blocks: Iterable[_Block]) -> list[Piece]:
    empty = {id(block.text) for block in blocks if not block.text.source}
    tags = {id(block.tag) for block in blocks if not block.text.source}
    kept: list[Piece] = []
    after_empty = False
    for piece in page:
        is_gone = id(piece) in empty or id(piece) in tags or (after_empty and isinstance(piece, Tag))
        after_empty = id(piece) in empty
        if not is_gone:
            kept.append(piece)
    return kept


def _unknown_classes(
    blocks: Iterable[_Block], elements: Elements, page: Iterable[Piece], known: Catalogue
) -> Iterable[Finding]:
    """Warn of classes that look like utilities, and that nothing defines."""
    defined = {name for block in blocks for name in mentioned(block.rules)}
    for piece in page:
        if isinstance(piece, Comment):
            defined.update(_CSS_CLASS.findall(piece.source))
    unknown = [
        name
        for name in sorted(elements.used() - defined)
        if not utility_rules(name, known) and not is_kept_class(name)
    ]
    for name in unknown[:MAX_PROPOSALS]:
        near = nearest_utility(name, known)
        if near is not None:
            yield Finding(
                code="unknown-class",
                severity=Severity.WARNING,
                file="",
                cause=f"no style sheet and no utility defines the class «{name}»",
                fix=f"Did you mean «{near}»?" if near else "Correct or remove it.",
            )


def _error(code: str, cause: str, fix: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, file="", cause=cause, fix=fix)


def _style_finding(cause: str) -> Finding:
    return Finding(
        code="css-syntax",
        severity=Severity.WARNING,
        file="",
        cause=f"in a style attribute: {cause}",
        fix="Correct the style, or remove it.",
    )
