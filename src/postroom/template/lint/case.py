"""One variant under check: what it was, what it became, and where in the source a thing of the page stands.

The page that is sent has been expanded, styled and written anew, so that it has no positions of its own.
Where the source holds the page as it is (Jinja sources, compiled packages), they are exact; elsewhere the
words of the thing are looked for in the source, then in the components; what comes from no file that can
be seen is about the whole.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from postroom.model.template import CompiledTemplate, Finding, Rendered, Shelf, SourceForm, TemplateSource
from postroom.template.lint.css import Sheet, sheet_of
from postroom.template.lint.page import Element, Page, Text, read_page
from postroom.template.lint.rules import RULES
from postroom.template.shelves import shipped_shelf

_EXPRESSION = re.compile(r"@?\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FRONT = re.compile(r"(?:(---|\+\+\+)[ \t]*\n(?s:.*?)\n\1[ \t]*\n)")
_QUOTED = re.compile("«([^»]+)»")
_USES = re.compile(r"<x-([\w.:-]+)|\bsrc\s*=\s*[\"']?(?:\./|/|src/)?((?:components|layouts)/[\w./-]+?)\.html")
"""A tag that names a component, or the file of one."""
_MIN_ANCHOR = 3
"""Characters that say where something is; less occurs everywhere."""
_MAX_ANCHOR = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One variant to check."""

    source: TemplateSource
    front: Mapping[str, Any] = field(default_factory=dict)
    """The front matter, every key of it."""
    shelf: Shelf = field(default_factory=Shelf)
    compiled: CompiledTemplate | None = None
    """``None``: it does not compile; ``errors`` say why, and only the source is checked."""
    errors: Sequence[Finding] = ()
    """What the compiler refused."""
    rendered: Rendered | None = None
    """With the example values; ``None`` where they do not suffice."""
    example_error: str = ""
    """Why they do not, when there are some for all that is required."""

    @property
    def file(self) -> str:
        """Return the name to show."""
        return self.source.file or self.source.name


class Case:
    """A variant with its page read, and the way to say something about it."""

    def __init__(self, checked: Checked) -> None:
        """Take the variant; its page is read when a rule wants it."""
        self.checked = checked
        self.file = checked.file
        self._said: dict[tuple[str, str], int] = {}

    @cached_property
    def page(self) -> Page:
        """The page as it is compiled."""
        return read_page(self.checked.compiled.html if self.checked.compiled else "")

    @cached_property
    def source_page(self) -> Page:
        """The source as its author wrote it."""
        return read_page(self.checked.source.text)

    @cached_property
    def sheet(self) -> Sheet:
        """What stands in the page's style elements."""
        return sheet_of(self.page)

    @cached_property
    def body(self) -> Element:
        """The part of the page that is shown."""
        return next(self.page.elements("body"), self.page.root)

    @cached_property
    def _shift(self) -> int | None:
        """Where the page stands in the source as it is; ``None``: nowhere."""
        page = self.page.source.strip()
        found = self.checked.source.text.find(page) if page else -1
        return None if found < 0 else found - self.page.source.find(page)

    @property
    def is_components(self) -> bool:
        """Say whether the source is written in the component language."""
        return self.checked.source.form is SourceForm.COMPONENTS

    def found(
        self, code: str, cause: str, *, fix: str = "", at: "Element | Text | int | str" = ""
    ) -> Finding:
        """Return a finding of a rule: about an element, an offset in the page, or words of the source."""
        file, line, column = self._place(code, at)
        return self._finding(code, cause, fix, place=(file, line, column))

    def found_in_source(self, code: str, cause: str, at: int, *, fix: str = "") -> Finding:
        """Return a finding about an offset of the source."""
        line, column = line_of(self.checked.source.text, at)
        return self._finding(code, cause, fix, place=(self.file, line, column))

    def placed(self, finding: Finding) -> Finding:
        """Return a finding of the compiler with the place of the word that it quotes, where it has none."""
        word = _QUOTED.search(finding.cause)
        if finding.line or word is None:
            return finding
        file, line, column = self._place(finding.code, word[1])
        return replace(finding, file=file, line=line, column=column)

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        """The files that may have brought a thing of the page: the source, and the components it uses."""
        return {self.file: self.checked.source.text, **_reached(self.checked)}

    def _is_from_elsewhere(self, name: str) -> bool:
        """Say whether the page has more elements of this name than the files: a layout has brought some."""
        there = sum(1 for _ in self.page.elements(name))
        return there > sum(len(re.findall(rf"<{name}\b", text)) for text in self._texts.values())

    def _finding(self, code: str, cause: str, fix: str, *, place: tuple[str, int, int]) -> Finding:
        rule = RULES[code]
        file, line, column = place
        return Finding(
            code=code,
            severity=rule.severity,
            file=file,
            line=line,
            column=column,
            cause=cause,
            fix=fix or (rule.fix if self.is_components else rule.fix.replace("@{{", "{{")),
        )

    def _place(self, code: str, at: "Element | Text | int | str") -> tuple[str, int, int]:
        if not isinstance(at, str):
            offset = at if isinstance(at, int) else at.at
            if isinstance(at, Text):  # the words, not the blanks before them
                rest = self.page.source[offset:]
                offset += len(rest) - len(rest.lstrip())
            if self._shift is not None:
                return (self.file, *line_of(self.checked.source.text, offset + self._shift))
        for anchor in _anchors(at, self.page):
            seen = self._said.get((code, anchor), 0)
            self._said[code, anchor] = seen + 1
            pattern = _pattern(anchor)
            if anchor[0] == "<" and self._is_from_elsewhere(anchor[1:]):
                continue
            for file, text in self._texts.items():
                front = 0 if isinstance(at, str) else front_matter_end(text)
                starts = [found.start() for found in pattern.finditer(text, front)]
                if starts:
                    return (file, *line_of(text, starts[min(seen, len(starts) - 1)]))
        return self.file, 0, 0


def front_matter_end(text: str) -> int:
    """Return where a source begins below its front matter."""
    found = _FRONT.match(text)
    return found.end() if found else 0


def line_of(text: str, at: int) -> tuple[int, int]:
    """Return line and column of an offset, both from 1."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _reached(checked: Checked) -> dict[str, str]:
    """Return the components that a source may use: by their tags, and for shipped ones that are replaced."""
    known = checked.shelf.components
    found = {path: text for path, text in known.items() if path in shipped_shelf().components}
    waiting = [checked.source.text, *found.values()]
    while waiting:
        tags = _USES.findall(waiting.pop().lower())
        named = {tag.replace("::", "/").replace(".", "/") or file for tag, file in tags}
        for path in known:
            last = path.partition("/")[2].lower()
            if path not in found and not named.isdisjoint({last, last.removesuffix("/index"), path.lower()}):
                found[path] = known[path]
                waiting.append(known[path])
    return {f"{path}.html": text for path, text in found.items()}


def _anchors(at: "Element | Text | int | str", page: Page) -> Iterable[str]:
    """Yield what in the source would show where a thing comes from, the surest first."""
    if isinstance(at, str):
        words = [at]
    elif isinstance(at, int):
        line = page.source[at : at + _MAX_ANCHOR].partition("\n")[0]
        expression = _EXPRESSION.search(line)
        words = [line, expression[0] if expression else ""]
    elif isinstance(at, Text):
        words = [at.value]
    else:
        own = [at.get(name) for name in ("id", "href", "src", "action", "alt", "title")]
        words = [*own, at.text(), f"<{at.name}"]
    for word in words:
        anchor = " ".join(word.split())[:_MAX_ANCHOR]
        if len(anchor) >= _MIN_ANCHOR:
            yield anchor


def _pattern(anchor: str) -> re.Pattern[str]:
    """Return what finds the words however they are broken into lines and marked for Jinja."""
    parts: list[str] = []
    done = 0
    for found in _EXPRESSION.finditer(anchor):
        parts += _loose(anchor[done : found.start()]), rf"@?\{{\{{-?\s*{_loose(found[1])}\s*-?\}}\}}"
        done = found.end()
    parts.append(_loose(anchor[done:]))
    return re.compile("".join(parts))


def _loose(text: str) -> str:
    words = r"\s+".join(re.escape(word) for word in text.split())
    before = r"\s*" if text[:1].isspace() else ""
    return before + words + (r"\s*" if words and text[-1:].isspace() else "")
