"""Texts with ``{variable}``: subjects and bodies that the settings give a type of alerts; and plain values.

One pair of braces around a name. A name that nothing has stays as it is written, so that its reader sees what
is missing and the mail still comes; ``unknown`` finds it beforehand. No expressions, no formats: a text that
needs those is a template.

Pure.
"""

import re
from collections.abc import Callable, Iterable, Mapping

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.\-]{0,99})\}")

OWN = (
    "key",
    "type",
    "category",
    "severity",
    "state",
    "source",
    "object",
    "node",
    "title",
    "text",
    "link",
    "since",
    "duration",
    "minutes",
    "count",
    "suppressed",
)
"""What every alert has: ``type`` is the name of its type, ``severity`` and ``state`` are words for people,
``since`` a time in the reader's zone, ``duration`` how long it is so, ``minutes`` the same as a number,
``count`` its reports, ``suppressed`` those that were not mailed. Values, labels and details of an event go by
their names; of equal names the value is taken, then these, then the label, then the detail."""


def filled(text: str, variables: Mapping[str, str], *, escape: Callable[[str], str] | None = None) -> str:
    """Return a text with its variables in place; ``escape`` is for their values, not for the text."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match[1])
        if found is None:
            return match[0]
        return found if escape is None else escape(found)

    return _VARIABLE.sub(value, text)


def names_in(text: str) -> tuple[str, ...]:
    """Return the variables of a text, each once, in their order."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def unknown(text: str, declared: Iterable[str]) -> tuple[str, ...]:
    """Return the variables of a text that neither every alert has nor its type declares."""
    known = {*OWN, *declared}
    return tuple(name for name in names_in(text) if name not in known)


def plain(text: str, most: int, *, keep_lines: bool = False) -> str:
    """Return text without what could break a line or a header, at most so many characters."""
    lines = text.splitlines() if keep_lines else [text]
    cleaned = ("".join(one if one.isprintable() else " " for one in line) for line in lines)
    return short("\n".join(cleaned).strip(), most)


def short(text: str, most: int) -> str:
    """Return text of at most so many characters; what is cut ends with an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def written(value: str | float) -> str:
    """Return a value as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
