"""The text part of a template, derived from its HTML: the text that the rendered HTML would give, as Jinja.

Every Jinja construct is a word while HTML becomes text; then the words become constructs again. A line with
nothing but statements leaves no line behind. A statement between table cells moves into the cell beside it:
a row becomes one line. When the result is no Jinja, there is none, and the text is made of the rendered HTML.

Does not import the converter: it is given one (``mime.html``). Lists that are numbered are numbered in the
source: a loop in ``<ol>`` has the same number on every line.
"""

import re
from collections.abc import Callable

from postroom.template.jinja_tokens import Form, Shielded, shield

_MARGIN = re.compile(r"[> ]*")


def derived(html: str, to_text: Callable[[str], str]) -> str:
    """Return Jinja source of the text part.

    Args:
        html: Jinja source of the HTML.
        to_text: Makes text of a page.
    """
    shielded = shield(html, for_text=True)
    word = re.compile(rf"{shielded.prefix}(\d+)z")
    text = to_text(_within_cells(_same_words(shielded, word), shielded, word))
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line[_MARGIN.match(line).end() :]  # type: ignore[union-attr] # it matches nothing, too
        numbers = [int(number) for number in word.findall(rest)]
        if (
            numbers
            and not word.sub("", rest).strip()
            and all(_is_statement(shielded, one) for one in numbers)
        ):
            lines.append("".join(shielded.tokens[one].source for one in numbers))
        else:
            lines.append(word.sub(lambda match: shielded.tokens[int(match[1])].source, line) + "\n")
    return "".join(lines).rstrip("\n")


def _is_statement(shielded: Shielded, number: int) -> bool:
    source = shielded.tokens[number].source
    return source.startswith("{%") and not re.match(r"\{%[-+]?\s*raw\b", source)


def _same_words(shielded: Shielded, word: re.Pattern[str]) -> str:
    """Give equal expressions one word, so that a link that shows its URL is seen as one; drop comments."""
    first: dict[str, int] = {}
    for number, token in enumerate(shielded.tokens):
        if token.form is Form.WORD:
            first.setdefault(" ".join(token.source.split()), number)

    def same(match: re.Match[str]) -> str:
        token = shielded.tokens[int(match[1])]
        if token.source.startswith("{#"):
            return ""
        return shielded.word(first.get(" ".join(token.source.split()), int(match[1])))

    return word.sub(same, shielded.text)


def _within_cells(page: str, shielded: Shielded, word: re.Pattern[str]) -> str:
    """Move statements between cells into a cell: ends into the one before, others into the next."""

    def is_end(match: re.Match[str]) -> bool:
        source = shielded.tokens[int(match[1])].source
        return re.match(r"\{%[-+]?\s*end", source) is not None

    def back(match: re.Match[str]) -> str:
        words = list(word.finditer(match[2]))
        ends = [one[0] for one in words if is_end(one)]
        others = [one[0] for one in words if not is_end(one)]
        return "".join(ends) + match[1] + "".join(others)

    statements = rf"((?:\s*{word.pattern})+)"
    page = re.sub(rf"(</t[dh]\s*>){statements}(?=\s*<)", back, page, flags=re.IGNORECASE)
    return re.sub(
        rf"(?<=[>\s]){statements}\s*(<t[dh](?=[\s>])[^>]*>)",
        lambda match: match[3] + match[1].strip(),
        page,
        flags=re.IGNORECASE,
    )
