"""The text that monitoring reads: Prometheus' exposition format, version 0.0.4.

Whoever owns values that only matter when somebody looks registers a ``Source``; ``Scrape.text`` lets every
source fill its gauges and writes the whole catalogue. A source that fails costs its own values, never the
others, and is named in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from postroom.telemetry.catalogue import METRICS
from postroom.telemetry.logs import logger
from postroom.telemetry.tallies import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SOURCE_S = 5.0
"""Seconds a source may take; the usual scraper waits ten."""

Source = Callable[[], Awaitable[None] | None]
"""Fills gauges with what is true now."""

_log = logger("telemetry")


class Scrape:
    """The sources of one process."""

    def __init__(self) -> None:
        """Begin without sources."""
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Ask this source at every look."""
        self._sources.append(source)

    async def text(self) -> str:
        """Fill every gauge and write the catalogue."""
        for source in self._sources:
            try:
                if (filling := source()) is not None:
                    async with asyncio.timeout(SOURCE_S):
                        await filling
            except Exception as error:  # noqa: BLE001 - supervision point: one source never hides the others
                _log.warning("a source of metrics failed", source=source.__qualname__, error=str(error))
        return written(METRICS)


def written(metrics: Iterable[Metric]) -> str:
    """Write metrics with their present values; those that show nothing are left out."""
    lines: list[str] = []
    for metric in metrics:
        samples = [
            f"{metric.name}{suffix}{_labels(labels)} {_number(value)}"
            for suffix, labels, value in metric.samples()
        ]
        if samples:
            lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += samples
    return "\n".join([*lines, ""])


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    written_pairs = [
        f'{name}="{_escaped(value).replace(chr(34), chr(92) + chr(34))}"' for name, value in pairs
    ]
    return f"{{{','.join(written_pairs)}}}" if written_pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
