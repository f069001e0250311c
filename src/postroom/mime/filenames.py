"""The name a file is sent under: one harmless component, never a path.

What cannot be said in a header (line ends, control characters, surrogates, bidi overrides) is a problem
for the edge to refuse; everything else is made safe here.
"""

import re

from postroom.grammar import BIDI_CONTROL, CONTROL, SURROGATE

MAX_FILENAME = 255
"""Characters; the limit of common file systems (there in octets)."""
_SEPARATORS = re.compile(r"[/\\]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])\Z", re.IGNORECASE)
"""Device names of Windows, with or without a suffix."""
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,10}\Z")


def filename_problem(name: str) -> str | None:
    """Return why a file name is refused, as a lower-case phrase, or ``None``."""
    if CONTROL.search(name) or SURROGATE.search(name) or BIDI_CONTROL.search(name):
        return "the file name contains a line end or another control character"
    return None


def safe_filename(name: str, number: int) -> str:
    """Return the last component of ``name``; ``attachment-<number>`` with its suffix when none is usable."""
    name = _SEPARATORS.split(name.rstrip("/\\ "))[-1].strip(" ")
    stem, dot, suffix = name.rpartition(".")
    if not name.strip(". ") or _RESERVED.match(name.partition(".")[0].rstrip(" ")):
        return f"attachment-{number}.{suffix if stem and _SUFFIX.match(suffix) else 'bin'}"
    if len(name) > MAX_FILENAME:
        tail = dot + suffix if stem and len(suffix) <= 32 else ""
        return name[: MAX_FILENAME - len(tail)] + tail
    return name
