"""Where expressions stand in a text: ``{{ js }}``, ``{{{ js }}}``, ``@{{ jinja }}``, ``{% %}`` and ``{# #}``.

An expression ends at the first ``}}`` that is not inside a JavaScript string or object, and holds no other
``{{``; at most MAX_EXPRESSION characters. What begins like an expression and never ends is text. Everything
here is linear.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_EXPRESSION = 4096
"""Characters; longer ones are text. Bounds the look ahead for an end."""
_START = re.compile(r"@?\{\{\{?|\{[%#]")
_STEP = re.compile(r"""[{}]|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|`(?:[^`\\]|\\.)*+`""", re.DOTALL)
_JINJA = re.compile(r"\{\{[^{}]*\}\}|\{%[^%]*%\}|\{#[^#]*#\}")
_ESCAPES = {"<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#039;", "&": "&amp;"}
_UNSAFE = re.compile(r"""[<>"']|&(?!#?\w{1,31};)""")


class Kind(StrEnum):
    """What a piece of a text is."""

    TEXT = "text"
    ESCAPED = "escaped"
    """``{{ js }}``: evaluated now, escaped."""
    RAW = "raw"
    """``{{{ js }}}``: evaluated now, put in as it is."""
    LATER = "later"
    """``@{{ jinja }}``: stays for the rendering, without the sign."""
    BLOCK = "block"
    """``{% %}`` and ``{# #}``: stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a text; the pieces' sources give the text again."""

    kind: Kind
    source: str
    code: str = ""
    """What is between the braces, stripped."""
    at: int
    """Offset in the text."""


def opaque_end(text: str, start: int) -> int:
    """Return where the expression or block that begins at ``start`` ends, or -1 when it never does."""
    opening = text[start : start + 2]
    if opening in ("{%", "{#"):
        end = text.find(opening[1] + "}", start + 2, _limit(text, opening, start + 2))
        return end + 2 if end >= 0 else -1
    if opening[:1] == "@":
        start += 1
    if not text.startswith("{{", start):
        return -1
    if text.startswith("{{{", start):
        end = _balanced_end(text, start + 3, 3)
        if end >= 0:
            return end
    return _balanced_end(text, start + 2, 2)


def _limit(text: str, opening: str, inside: int) -> int:
    """Return where a look for the end stops: at the next beginning, so that nothing is read twice."""
    limit = inside + MAX_EXPRESSION
    following = text.find(opening, inside, limit)
    return limit if following < 0 else following


def _balanced_end(text: str, inside: int, braces: int) -> int:
    limit = min(len(text), _limit(text, "{{", inside))
    end = text.find("}" * braces, inside, limit)
    if end < 0:
        return -1
    depth = 0
    for step in _STEP.finditer(text, inside, limit):
        brace = step[0]
        if brace == "{":
            depth += 1
        elif brace == "}":
            if depth:
                depth -= 1
            elif text.startswith("}" * braces, step.start()):
                return step.start() + braces
            else:
                break
    return end + braces


def pieces(text: str) -> Iterator[Piece]:
    """Cut a text into pieces."""
    done = at = 0
    while (match := _START.search(text, at)) is not None:
        start = match.start()
        end = opaque_end(text, start)
        if end < 0:
            at = match.end()
            continue
        if start > done:
            yield Piece(kind=Kind.TEXT, source=text[done:start], at=done)
        yield _piece(text[start:end], start)
        done = at = end
    if done < len(text):
        yield Piece(kind=Kind.TEXT, source=text[done:], at=done)


def _piece(source: str, at: int) -> Piece:
    if source.startswith(("{%", "{#")):
        return Piece(kind=Kind.BLOCK, source=source, at=at)
    later = source.startswith("@")
    bare = source[later:]
    braces = 3 if bare.startswith("{{{") and bare.endswith("}}}") else 2
    kind = Kind.LATER if later else Kind.RAW if braces == 3 else Kind.ESCAPED
    return Piece(kind=kind, source=source, code=bare[braces:-braces].strip(), at=at)


def later(code: str) -> str:
    """Return the Jinja expression with one blank on either side and none that spans lines."""
    return "{{ " + " ".join(code.split()) + " }}" if "\n" in code else "{{ " + code + " }}"


def escaped(value: str) -> str:
    """Escape for HTML what is not yet an entity; expressions that stay for Jinja are left alone.

    A value has often been written as an attribute before, where ``&amp;`` was right already: escaping it
    again would show the entity to the reader.
    """
    if "{" not in value:
        return _UNSAFE.sub(_entity, value)
    parts = []
    done = 0
    for match in _JINJA.finditer(value):
        parts.append(_UNSAFE.sub(_entity, value[done : match.start()]))
        parts.append(match[0])
        done = match.end()
    parts.append(_UNSAFE.sub(_entity, value[done:]))
    return "".join(parts)


def quoted(value: str) -> str:
    """Return an attribute's value in quotes; quotes inside Jinja expressions are Jinja's."""
    if '"' not in value:
        return f'"{value}"'
    if "{" not in value:
        return '"' + value.replace('"', "&quot;") + '"'
    parts = []
    done = 0
    for match in _JINJA.finditer(value):
        parts.append(value[done : match.start()].replace('"', "&quot;"))
        parts.append(match[0])
        done = match.end()
    parts.append(value[done:].replace('"', "&quot;"))
    return '"' + "".join(parts) + '"'


def _entity(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]
