"""The named statements of ``statements/*.sql``.

A block begins with ``-- name: A sentence.`` and ends with a semicolon at the end of a line.
"""

import re
from functools import cache
from importlib.resources import files

_BLOCK = re.compile(r"^-- (\w+): (.+)\n((?:(?!-- \w+: ).*\n?)*)", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Return every statement by its name. Raises ValueError when two have one name."""
    found: dict[str, str] = {}
    for source in sorted(files(__package__).joinpath("statements").iterdir(), key=lambda file: file.name):
        for name, _, text in _BLOCK.findall(source.read_text("utf-8")):
            if name in found:
                raise ValueError(f"two statements are called {name}")
            found[name] = text.strip()
    return found


def statement(name: str) -> str:
    """Return one statement."""
    return statements()[name]
