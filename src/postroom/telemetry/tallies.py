"""What is counted while the program runs: counters, histograms and gauges, cheap enough for every message.

Rules: an addition costs a few tenths of a microsecond and takes no lock; each metric is added to from one
thread (the event loop, or the writer's), reading from another is fine. The series of a metric are bounded:
beyond ``MAX_SERIES`` every further combination of labels is counted as ``other``.

Why not the usual library's: finding a child by its labels and adding to it costs 4 microseconds there, and
several happen for each message. Its parser is the oracle of the tests.

Not here: which metrics there are (``catalogue``), the text (``exposition``).
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

MAX_SERIES: Final = 200
"""Combinations of labels of one metric (security limit): memory, and the reader's patience."""

Labels = tuple[str, ...]
Sample = tuple[str, tuple[tuple[str, str], ...], float]
"""Suffix of the name, label names with their values, value."""


class Metric(ABC):
    """A name with what it means; ``labels`` maps each label to what stands in it, for people."""

    __slots__ = ("help", "labels", "name", "unit")
    kind = ""

    def __init__(
        self, name: str, text: str, *, unit: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """Take the name as it is exposed, a sentence, the unit of the value and the labels in order."""
        self.name = name
        self.help = text
        self.unit = unit
        self.labels = dict(labels or {})

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Return what is shown of it now."""

    def _pairs(self, values: Labels) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.labels, values, strict=True))


class Counter(Metric):
    """Only grows, from 0 at the start of the process."""

    __slots__ = ("_series",)
    kind = "counter"

    def __init__(
        self, name: str, text: str, *, unit: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """As ``Metric``; one without labels is shown as 0 before the first addition."""
        super().__init__(name, text, unit=unit, labels=labels)
        self._series: dict[Labels, float] = {} if labels else {(): 0}

    def count(self, labels: Labels = (), by: float = 1) -> None:
        """Add one, or ``by``."""
        series = self._series
        if labels not in series:
            labels = _bounded(labels, len(series))
        series[labels] = series.get(labels, 0) + by

    def reach(self, count: float) -> None:
        """Show what somebody else has counted so far, the operating system for one."""
        self._series = {(): count}

    def value(self, labels: Labels = ()) -> float:
        """Return what was counted so far."""
        return self._series.get(labels, 0)

    def samples(self) -> Iterator[Sample]:
        """Return one sample for each combination of labels."""
        for values, count in tuple(self._series.items()):
            yield "", self._pairs(values), count


class Gauge(Metric):
    """Goes up and down; filled when somebody looks."""

    __slots__ = ("_series",)
    kind = "gauge"

    def __init__(
        self, name: str, text: str, *, unit: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """As ``Metric``; nothing is shown before ``show``."""
        super().__init__(name, text, unit=unit, labels=labels)
        self._series: dict[Labels, float] = {}

    def show(self, series: Mapping[Labels, float] | float) -> None:
        """Replace everything that is shown by this."""
        if isinstance(series, Mapping):
            self._series = dict(tuple(series.items())[:MAX_SERIES])
        else:
            self._series = {(): series}

    def samples(self) -> Iterator[Sample]:
        """Return one sample for each combination of labels."""
        for values, value in self._series.items():
            yield "", self._pairs(values), value


class Histogram(Metric):
    """How often a value was at most each of ``bounds``, with their sum."""

    __slots__ = ("_series", "bounds")
    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        *,
        bounds: tuple[float, ...],
        unit: str,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """As ``Metric``; ``bounds`` ascend, the last bucket has none."""
        super().__init__(name, text, unit=unit, labels=labels)
        self.bounds = bounds
        self._series: dict[Labels, list[float]] = {} if labels else {(): self._empty()}

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Count one value."""
        series = self._series.get(labels)
        if series is None:
            labels = _bounded(labels, len(self._series))
            series = self._series.setdefault(labels, self._empty())
        series[bisect_left(self.bounds, value)] += 1
        series[-1] += value

    def observed(self, labels: Labels = ()) -> float:
        """Return how many values were observed."""
        return sum(self._series.get(labels, [0, 0])[:-1])

    def samples(self) -> Iterator[Sample]:
        """Return the buckets, cumulative, then sum and count."""
        for values, cells in tuple(self._series.items()):
            pairs = self._pairs(values)
            seen = 0.0
            for bound, cell in zip((*self.bounds, float("inf")), cells[:-1], strict=True):
                seen += cell
                yield "_bucket", (*pairs, ("le", "+Inf" if bound == float("inf") else repr(bound))), seen
            yield "_sum", pairs, cells[-1]
            yield "_count", pairs, seen

    def _empty(self) -> list[float]:
        """Return a cell for each bucket, and the sum last."""
        return [0.0] * (len(self.bounds) + 2)


def _bounded(labels: Labels, series: int) -> Labels:
    return labels if series < MAX_SERIES else ("other",) * len(labels)
