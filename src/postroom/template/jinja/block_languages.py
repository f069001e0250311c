"""Tell the filters the language of the element they stand in: ``x|date`` in ``lang="fr"`` speaks French.

The language is written into the source (``x|date(lang="fr")``), so it holds in the text part too, which is
made of this HTML. The language of the page itself is left out: there the filters speak that of the variant.
Statements are not followed: elements are paired by their tags as they stand in the source.
"""

import re
from collections.abc import Iterator

from jinja2 import Environment

from postroom.template.html_names import VOID
from postroom.template.jinja.filters import NAMES

_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_LANG = re.compile(r"""(?<![\w:-])lang\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_TAG_OF_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_FILTER = re.compile(rf"\|\s*(?:{'|'.join(sorted(NAMES))})\b")
_HOLE = "\0"
"""Stands for a Jinja construct while tags are read."""

Token = tuple[int, str, str]


def with_languages(html: str, environment: Environment) -> str:
    """Return the HTML with the language of every element told to its filters. Raises TemplateSyntaxError."""
    if "lang" not in html or _FILTER.search(html) is None:
        return html
    tokens: list[Token] = list(environment.lex(html))
    at = _languages(tokens)
    written: list[str] = []
    index = 0
    while index < len(tokens):
        kind, value = tokens[index][1], tokens[index][2]
        written.append(value)
        index += 1
        if kind == "operator" and value == "|" and at.get(index):
            index = _filter(tokens, index, at[index], written)
    return "".join(written)


def _filter(tokens: list[Token], index: int, language: str, written: list[str]) -> int:
    """Write a filter with its language; return the index behind it."""
    while tokens[index][1] == "whitespace":
        index += 1
    name = tokens[index][2]
    written.append(name)
    index += 1
    if tokens[index - 1][1] != "name" or name not in NAMES:
        return index
    if tokens[index][2] != "(":
        written.append(f'(lang="{language}")')
        return index
    depth, start = 0, len(written)
    has_arguments = False
    while True:
        kind, value = tokens[index][1], tokens[index][2]
        depth += (value in ("(", "[", "{") and kind == "operator") - (
            value in (")", "]", "}") and kind == "operator"
        )
        if depth == 0:
            break
        has_arguments = has_arguments or (index > start and kind not in ("whitespace", "operator"))
        if kind == "name" and value == "lang" and depth == 1:
            return index  # the author has said it
        written.append(value)
        index += 1
    written.append(f'{", " if has_arguments else ""}lang="{language}"')
    return index


def _languages(tokens: list[Token]) -> dict[int, str]:
    """Return the language at each token that stands in an element with one of its own."""
    page, places = _literal(tokens)
    found: dict[int, str] = {}
    own = ""
    stack: list[tuple[str, str]] = []
    changes = list(_tags(page))
    done = 0
    for index, position in places:
        while done < len(changes) and changes[done][0] <= position:
            _, is_end, name, language = changes[done]
            done += 1
            if is_end:
                if any(one == name for one, _ in stack):
                    while stack.pop()[0] != name:
                        pass
            elif name == "html":
                own = language
            elif name not in VOID:
                inherited = stack[-1][1] if stack else ""
                stack.append((name, ("" if language == own else language) if language else inherited))
        if stack and stack[-1][1]:
            found[index] = stack[-1][1]
    return found


def _literal(tokens: list[Token]) -> tuple[str, list[tuple[int, int]]]:
    """Return the page without Jinja, and where in it the tokens of Jinja stood."""
    parts: list[str] = []
    places: list[tuple[int, int]] = []
    length = 0
    for index, (_, kind, value) in enumerate(tokens):
        if kind == "data":
            parts.append(value)
            length += len(value)
        elif kind.endswith("_begin"):
            parts.append(_HOLE)
            length += 1
        else:
            places.append((index, length))
    return "".join(parts), places


def _tags(page: str) -> Iterator[tuple[int, bool, str, str]]:
    """Yield where each tag ends, whether it is an end tag, its name, and its language."""
    for match in _TAG.finditer(page):
        language = ""
        if found := _LANG.search(match[3]):
            language = next(value or "" for value in found.groups() if value is not None)
            if not _TAG_OF_LANGUAGE.match(language):
                language = ""
        if not match[3].endswith("/"):
            yield match.end(), bool(match[1]), match[2].lower(), language
