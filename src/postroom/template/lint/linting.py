"""Check templates as a careful colleague would: what breaks, what cannot be read, what filters distrust.

The rules are in ``lint_rules``; each looks at the page as it is sent, at the source, or at both. A finding
is switched off for a file by ``lint: {ignore: [CODE]}`` in its front matter, and for a line by a comment
``<!-- lint-disable-next-line CODE -->`` (or ``{# … #}``) above it.

Pure. Compiling, rendering the examples and reading files are the caller's.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain
from typing import Any

from postroom.model.template import Finding, Severity, SourceForm
from postroom.template.lint.case import Case, Checked, line_of
from postroom.template.lint.clients import USUAL, chosen, client_support
from postroom.template.lint.contrast import legibility
from postroom.template.lint.elements import elements
from postroom.template.lint.getters import Getters, unpassed
from postroom.template.lint.links import links, lost_links
from postroom.template.lint.rules import RULES
from postroom.template.lint.variables import compared, named, syntax, variables
from postroom.template.lint.words import words

KNOWN_FRONT_MATTER = frozenset(
    [
        "subject",
        "preheader",
        "title",
        "language",
        "text",
        "variables",
        "doctype",
        "charset",
        "bodyClass",
        "class",
        "listUnsubscribe",
        "lint",
        "getter",
        "description",
    ]
)
_DISABLED = re.compile(r"(?:<!--|\{#)-?\s*lint-disable-next-line\s+([a-z0-9 ,-]+?)\s*-?(?:-->|#\})")
_CODE = re.compile(r"[a-z][a-z0-9-]*")
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def lint(
    checked: Checked, *, clients: Collection[str] | None = None, getters: Getters | None = None
) -> list[Finding]:
    """Return what is to say about one variant, in the order of its lines.

    ``clients`` are those that ``lint_clients.chosen`` gives; ``getters`` those of the package it is from.
    """
    return lint_all([checked], clients=clients, getters=getters)


def lint_all(
    checked: Sequence[Checked], *, clients: Collection[str] | None = None, getters: Getters | None = None
) -> list[Finding]:
    """Return what is to say about a set of templates: each by itself, and their languages compared.

    The variants of a template stand together, the default first.
    """
    asked = chosen(USUAL) if clients is None else clients
    cases = [Case(one) for one in checked]
    found: list[Finding] = []
    for case in cases:
        found += _switched(case, _one(case, asked, getters))
    found += _languages(cases)
    return found


def _one(case: Case, clients: Collection[str], getters: Getters | None) -> Iterator[Finding]:
    checked = case.checked
    own = list(syntax(case)) if checked.source.form is SourceForm.JINJA else []
    yield from own
    told = (one for one in checked.errors if not (own and one.code == "jinja"))
    yield from (case.placed(named(case, one)) for one in told)
    yield from _front_matter(case)
    yield from _unknown_codes(case)
    if checked.compiled is None:
        return
    yield from map(case.placed, checked.compiled.findings)
    yield from chain(elements(case), links(case), lost_links(case), words(case), legibility(case))
    yield from chain(variables(case), client_support(case, clients))
    if getters is not None:
        yield from unpassed(case, getters)


def _front_matter(case: Case) -> Iterator[Finding]:
    """Tell a key that looks like a known one and that nobody reads as ``page.KEY``: it is a slip."""
    for key in map(str, case.checked.front):
        near = get_close_matches(key, KNOWN_FRONT_MATTER, 1, 0.75)
        if key in KNOWN_FRONT_MATTER or not near:
            continue
        read = re.compile(rf"\bpage\s*(?:\.\s*|\[\s*['\"]){re.escape(key)}\b")
        texts = (case.checked.source.text, *case.checked.shelf.components.values())
        if not any(read.search(text) for text in texts):
            at = case.checked.source.text.find(key)
            cause = f"nothing reads {key}"
            yield case.found_in_source(
                "unknown-front-matter", cause, max(at, 0), fix=f"Did you mean {near[0]}?"
            )


def _languages(cases: Sequence[Case]) -> Iterator[Finding]:
    by_name: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_name[case.checked.source.name].append(case)
    locales = {name: {one.checked.source.locale for one in variants} for name, variants in by_name.items()}
    often = {
        locale
        for locale in set().union(*locales.values()) - {""}
        if 2 * sum(locale in own for own in locales.values()) > len(locales) > 1
    }
    for name, variants in by_name.items():
        differences = list(compared(variants))
        for case in variants:
            yield from _switched(case, (one for one in differences if one.file == case.file))
        if len(variants) > 1:
            first = variants[0]
            missing = sorted(often - locales[name])
            told = (first.found("locale-missing", f"there is no {locale} of {name}") for locale in missing)
            yield from _switched(first, told)


def _switched(case: Case, findings: Iterator[Finding]) -> list[Finding]:
    """Leave out what the source switches off, and what was said before; order the rest."""
    front = set(_ignored(case))
    lines = {(line, code) for line, code, _ in _comments(case)}
    seen: set[tuple[Any, ...]] = set()
    kept: list[Finding] = []
    for one in findings:
        key = (one.code, one.file, one.line, one.column, one.cause)
        is_off = one.code in front or (one.file == case.file and (one.line, one.code) in lines)
        if key not in seen and not is_off:
            seen.add(key)
            kept.append(one)
    return sorted(
        kept, key=lambda one: (one.file != case.file, one.file, one.line, one.column, _ORDER[one.severity])
    )


def _ignored(case: Case) -> list[str]:
    wish = case.checked.front.get("lint")
    codes = wish.get("ignore") if isinstance(wish, dict) else None
    return [codes] if isinstance(codes, str) else [str(code) for code in codes or ()]


def _comments(case: Case) -> Iterator[tuple[int, str, int]]:
    """Yield line, code and offset of what a comment switches off on the next line that is not blank."""
    text = case.checked.source.text
    for found in _DISABLED.finditer(text):
        rest = text[found.end() :]
        blank = len(rest) - len(rest.lstrip())
        line, _ = line_of(text, found.end() + blank)
        for code in _CODE.findall(found[1]):
            yield line, code, found.start()


def _unknown_codes(case: Case) -> Iterator[Finding]:
    text = case.checked.source.text
    asked = [(code, max(text.find(code), 0)) for code in _ignored(case)]
    asked += [(code, at) for _, code, at in _comments(case)]
    for code, at in asked:
        if code not in RULES:
            near = get_close_matches(code, RULES, 1)
            fix = f"Did you mean {near[0]}?" if near else ""
            yield case.found_in_source("unknown-lint-code", f"there is no rule {code}", at, fix=fix)
