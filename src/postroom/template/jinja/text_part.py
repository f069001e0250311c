"""The text part of a template, derived from its HTML: the text that the rendered HTML would give, as Jinja.

Every Jinja construct is a word while HTML becomes text; then the words become constructs again. A line with
nothing but statements leaves no line behind. Where the layout depends on statements (conditional cells of a
row, numbered lists, quotations) nothing is derived, and the text is made of every rendered page; so, too,
where of two equal links with an image, of which the second leaves no text, the first may be missing.

Does not import the converter: it is given one (``mime.html``).
"""

import re
from collections.abc import Callable

from postroom.template.jinja.tokens import Form, Shielded, shield

_LAID_OUT = (
    re.compile(r"</t[dh]\s*>[^<]+", re.IGNORECASE),
    re.compile(r"<tr(?=[\s>])[^>]*>[^<]+", re.IGNORECASE),
    re.compile(r"<(ol|blockquote)(?=[\s>]).*?</\1\s*>", re.IGNORECASE | re.DOTALL),
)
"""Between cells, in numbered lists and in quotations every line depends on what is printed before it."""
_MAX_BLOCKS = 24
"""Within each other; Python compiles fewer."""
_IMAGE_LINK = re.compile(
    r"<a\s(?:[^<>]*?\s)?href\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s>]++)[^<>]*+>(?=(?:[^<]|<(?!/?a[\s>]|img))*+<img)",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r"\{%[-+]?\s*(if|else|elif|for|macro|call|filter|with|raw|end\w+)\b")
_IF = re.compile(r"\{%[-+]?\s*if\b")
_NAMING = re.compile(r"\{%[-+]?\s*set\b")
_MARGIN = re.compile(r"[> ]*")


def derived(html: str, to_text: Callable[[str], str]) -> str:
    """Return Jinja source of the text part; empty when it can only be made of the rendered HTML.

    Args:
        html: Jinja source of the HTML.
        to_text: Makes text of a page.
    """
    shielded = shield(html, for_text=True)
    word = re.compile(rf"{shielded.prefix}(\d+)z")
    page = _same_words(shielded, word)
    if not _is_fixed(page, shielded, word) or _may_lose_a_link(page, shielded, word):
        return ""
    text = to_text(page)
    lines: list[str] = []
    for line in text.split("\n"):
        margin = _MARGIN.match(line).end()  # type: ignore[union-attr] # it matches nothing, too
        rest, head = line[margin:], ""
        while (first := word.match(rest)) and _is_statement(shielded, int(first[1])):
            head += first[0]
            rest = rest[first.end() :].lstrip(" ")
        lines.append(line[:margin] + head + rest + "\n" if rest or not head else head)
    return word.sub(lambda match: shielded.tokens[int(match[1])].source, "".join(lines)).rstrip("\n")


def _is_statement(shielded: Shielded, number: int) -> bool:
    source = shielded.tokens[number].source
    return source.startswith("{%") and not re.match(r"\{%[-+]?\s*raw\b", source)


def _same_words(shielded: Shielded, word: re.Pattern[str]) -> str:
    """Give equal expressions one word, so that a link that shows its URL is seen as one; drop comments."""
    first: dict[str, int] = {}
    for number, token in enumerate(shielded.tokens):
        if token.form is Form.WORD:
            first.setdefault(_key(token.source), number)

    def same(match: re.Match[str]) -> str:
        token = shielded.tokens[int(match[1])]
        if token.source.startswith("{#"):
            return ""
        return shielded.word(first.get(_key(token.source), int(match[1])))

    return word.sub(same, shielded.text)


def _may_lose_a_link(page: str, shielded: Shielded, word: re.Pattern[str]) -> bool:
    """Say whether of two links with an image to one address the first may be missing, or mean another one."""
    has_set = any(_NAMING.match(token.source) for token in shielded.tokens)
    first: dict[str, list[str]] = {}
    around: list[str] = []
    done = 0
    for link in _IMAGE_LINK.finditer(page):
        for number in word.findall(page, done, link.start()):
            _take(around, shielded.tokens[int(number)].source)
        done = link.start()
        url = link[1].strip("\"' ")
        if len(around) > _MAX_BLOCKS:
            return True
        if url not in first:
            first[url] = around.copy()
        elif has_set or first[url] != around[: len(first[url])] or not all(map(_IF.match, around)):
            return True
    return False


def _take(around: list[str], source: str) -> None:
    """Follow a statement into a block, to its other branch, or out of it."""
    found = _STATEMENT.match(source)
    if found is None:
        return
    if found[1].startswith("end"):
        del around[-1:]
    elif found[1] in ("else", "elif"):
        around[-1:] = ["".join(around[-1:]) + source]
    else:
        around.append(source)


def _key(source: str) -> str:
    return source[:2] + source[2:-2].strip()


def _is_fixed(page: str, shielded: Shielded, word: re.Pattern[str]) -> bool:
    """Say whether the layout of the text is the same whichever way the statements of a page go."""

    def has_statement(text: str) -> bool:
        return any(_is_statement(shielded, int(number)) for number in word.findall(text))

    return not any(has_statement(match[0]) for pattern in _LAID_OUT for match in pattern.finditer(page))
