"""Draw the state diagram of a recipient from ``model.lifecycle.MOVES`` into ``docs/flow.md``.

The diagram stands between two marker comments; everything else of the page is written by hand. A test calls
``drawn`` and compares, so a changed table with an old diagram fails.
"""

import sys
from pathlib import Path

from postroom.model.lifecycle import FINAL_STATES, MOVES, RecipientState

PAGE = Path(__file__).resolve().parents[1] / "docs/flow.md"
BEGIN = "<!-- drawn from model.lifecycle by `make docs`: begin -->"
END = "<!-- drawn from model.lifecycle by `make docs`: end -->"


def diagram() -> str:
    """Return the diagram as a fenced block."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> queued"]
    lines += [f"    {old} --> {new}" for old in RecipientState for new in RecipientState if new in MOVES[old]]
    lines += [f"    {state} --> [*]" for state in RecipientState if state in FINAL_STATES]
    return "\n".join([*lines, "```"])


def drawn(page: str) -> str:
    """Return the page with its diagram drawn again. Raises ValueError when the markers are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has lost its markers")
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


def main() -> int:
    """Write the page when it changed."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = drawn(page)
    if fresh != page:
        PAGE.write_text(fresh, encoding="utf-8")
        print(f"drawn again: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
