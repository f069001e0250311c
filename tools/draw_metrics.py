"""Draw the table of metrics from ``telemetry.catalogue`` into ``docs/metrics.md``.

As ``draw_states``: between two marker comments, and a test compares.
"""

import sys
from pathlib import Path

from postroom.telemetry.catalogue import METRICS
from postroom.telemetry.tallies import Histogram, Metric

PAGE = Path(__file__).resolve().parents[1] / "docs/metrics.md"
BEGIN = "<!-- drawn from telemetry.catalogue by `make docs`: begin -->"
END = "<!-- drawn from telemetry.catalogue by `make docs`: end -->"


def table() -> str:
    """Return the table, a row for each metric."""
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *map(_row, METRICS)])


def _row(metric: Metric) -> str:
    labels = "; ".join(f"`{name}`: {text}" for name, text in metric.labels.items())
    meaning = metric.help
    if isinstance(metric, Histogram):
        meaning += f" Buckets up to {metric.bounds[-1]:g} {metric.unit}."
    return f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |"


def drawn(page: str) -> str:
    """Return the page with its table drawn again. Raises ValueError when the markers are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has lost its markers")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


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
