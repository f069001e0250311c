"""Variables and Jinja: declared and used, the same in every language, and where escaping protects.

Sources: Jinja's own reader; the OWASP cheat sheet on cross-site scripting for the places where escaping of
HTML does not help.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache

from jinja2 import TemplateSyntaxError, meta, nodes

from postroom.model.template import Finding
from postroom.template.jinja.sandbox import sandbox
from postroom.template.lint.case import Case
from postroom.template.lint.contrast import shown
from postroom.template.lint.page import VARIABLE, Element, Text, mask

_NO_FILTER = re.compile(r"No (filter|test) named '([^']+)'")
_UNESCAPED = re.compile(r"\|\s*safe\b")
_AUTOESCAPE = re.compile(r"\{%-?\s*autoescape\s+false", re.IGNORECASE)
_COUNTED = {"links": ("a",), "images": ("img",), "headings": ("h1", "h2", "h3", "h4", "h5", "h6")}


def variables(case: Case) -> Iterator[Finding]:
    """Yield what is said about the variables of one variant."""
    yield from _declared(case)
    if case.checked.example_error:
        yield case.found("example-fails", f"the examples do not make a mail: {case.checked.example_error}")
    yield from _unescaped(case)
    for one in case.page.elements():
        yield from _places(case, one)
    if case.is_components:  # what is compiled has quotes around every value
        yield from _unquoted(case)


def used(case: Case) -> frozenset[str]:
    """Return the variables that a variant reads, globals left out; none when it does not compile."""
    compiled = case.checked.compiled
    if compiled is None:
        return frozenset()
    parts = (compiled.subject, compiled.preheader, compiled.html, compiled.text)
    return frozenset(name for name in names_in(parts) if not name.startswith("_"))


@lru_cache(maxsize=512)  # the languages of a template are compared with each other
def names_in(parts: tuple[str, ...]) -> frozenset[str]:
    """Return every name that Jinja texts read; a text that cannot be read has none."""
    environment = sandbox("en", is_html=True, plain=str)
    found: set[str] = set()
    for part in parts:
        try:
            found |= meta.find_undeclared_variables(environment.parse_plain(part))
        except TemplateSyntaxError:
            continue
    return frozenset(found)


def syntax(case: Case) -> Iterator[Finding]:
    """Yield what Jinja cannot read in a source that is Jinja as it is."""
    text = case.checked.source.text
    environment = sandbox("en", is_html=True, plain=str)
    try:
        tree = environment.parse_plain(text)
    except TemplateSyntaxError as error:
        at = _start_of_line(text, error.lineno)
        yield case.found_in_source("jinja", (error.message or "it cannot be read").rstrip("."), at)
        return
    for one in tree.find_all((nodes.Filter, nodes.Test)):
        known: Iterable[str] = environment.filters if isinstance(one, nodes.Filter) else environment.tests
        if one.name not in known:
            yield _unknown(case, str(one.name), known, _start_of_line(text, one.lineno))


def named(case: Case, error: Finding) -> Finding:
    """Return an error of the compiler, or what it means: a filter that there is not, where it stands."""
    found = _NO_FILTER.match(error.cause)
    if error.code != "jinja" or found is None:
        return error
    environment = sandbox("en", is_html=True, plain=str)
    known: Iterable[str] = environment.filters if found[1] == "filter" else environment.tests
    return _unknown(case, found[2], known, 0)


def _unknown(case: Case, name: str, known: Iterable[str], start: int) -> Finding:
    text = case.checked.source.text
    found = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])").search(text, start)
    near = get_close_matches(name, [one for one in known if not one.startswith("_")], 1)
    fix = f"Did you mean {near[0]}?" if near else ""
    cause = f"there is no filter or test {name}"
    return case.found_in_source("unknown-filter", cause, found.start() if found else start, fix=fix)


def _start_of_line(text: str, line: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
    return at


def _declared(case: Case) -> Iterator[Finding]:
    declared = case.checked.front.get("variables")
    if not isinstance(declared, dict) or case.checked.compiled is None:
        return
    reads = used(case)
    for name in sorted(reads - set(declared)):
        yield case.found("undeclared-variable", f"{name} is used and not declared", at=f"{{{{ {name} }}}}")
    for name in sorted(map(str, set(declared) - reads)):
        if not name.startswith("_"):
            yield case.found("unused-variable", f"{name} is declared and not used", at=f"{name}:")


def _unescaped(case: Case) -> Iterator[Finding]:
    for token in case.page.tokens:
        if token.text.startswith("{{") and _UNESCAPED.search(token.text):
            yield case.found("unescaped-variable", f"{token.text} is not escaped", at=token.at)
        elif _AUTOESCAPE.match(token.text):
            yield case.found("unescaped-variable", f"{token.text} switches escaping off", at=token.at)


def _places(case: Case, one: Element) -> Iterator[Finding]:
    """Yield the places in which a value is not text."""
    for child in one.children if one.name in {"script", "style"} else ():
        at = mask(child.value)[0].find(VARIABLE) if isinstance(child, Text) else -1
        if at >= 0:
            yield case.found("variable-in-code", f"a variable stands in <{one.name}>", at=child.at + at)
    for name, attribute in one.attributes.items():
        if "{{" in name:
            yield case.found(
                "variable-in-code", f"a variable stands among the attributes of <{one.name}>", at=one
            )
        if VARIABLE not in mask(attribute.value)[0]:
            continue
        if name.startswith("on") and name.isalpha():
            yield case.found("variable-in-code", f"a variable stands in {name}", at=attribute.at)
        elif not attribute.quoted:
            yield case.found("variable-in-code", f"{name} has a variable and no quotes", at=attribute.at)
        elif name == "style":
            yield case.found("variable-in-style", f"style has {shown(attribute.value)}", at=attribute.at)


def _unquoted(case: Case) -> Iterator[Finding]:
    for one in case.source_page.elements():
        for name, attribute in one.attributes.items():
            if not attribute.quoted and "@{{" in attribute.value:
                cause = f"{name} has a variable and no quotes"
                yield case.found_in_source("variable-in-code", cause, attribute.at)


def compared(variants: Sequence[Case]) -> Iterator[Finding]:
    """Compare the languages of one template; the first is the default."""
    readable = [case for case in variants if case.checked.compiled is not None]
    if len(readable) < 2:
        return
    default = readable[0]
    theirs = used(default)
    for case in readable[1:]:
        own = used(case)
        for name in sorted(own - theirs):
            cause = f"{name} is used here and not in {default.file}"
            yield case.found("locale-variable", cause, at=f"{{{{ {name} }}}}")
        for name in sorted(theirs - own):
            yield case.found("locale-variable", f"{name} is used in {default.file} and not here")
        for what, tags in _COUNTED.items():
            here, there = (len(list(one.page.elements(*tags))) for one in (case, default))
            if here != there:
                cause = f"{here} {what} here and {there} in {default.file}"
                yield case.found("locale-structure", cause)
