"""Metrics: the text is what the usual reader reads, the catalogue is what the documents say."""

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from tools import draw_metrics

from postroom.telemetry.catalogue import METRICS, REFUSED
from postroom.telemetry.exposition import Scrape, written
from postroom.telemetry.tallies import MAX_SERIES, Counter, Gauge, Histogram

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\b(?:postroom|process)_[a-z_]+\b")


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample as the reference parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.dictionaries(st.text(), st.floats(min_value=0, max_value=1e15), min_size=1, max_size=5))
def test_any_label_is_read_back(series: dict[str, float]) -> None:
    """Whatever stands in a label, quotes, line ends and backslashes too, the parser returns it."""
    gauge = Gauge("some_gauge", 'Help with "quotes" and \\ and\na second line.', labels={"what": "anything"})
    gauge.show({(label,): value for label, value in series.items()})

    found = read(written([gauge]))

    assert {("some_gauge", (("what", label),)): value for label, value in series.items()} == found


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=50))
def test_a_histogram_counts_each_value_once(values: list[float]) -> None:
    """Buckets are cumulative and inclusive, the last one is the count, the sum is the sum."""
    histogram = Histogram("some_seconds", "Some.", unit="seconds", bounds=(0.5, 1.0, 10.0))
    for value in values:
        histogram.observe(value)

    found = read(written([histogram]))

    for bound in (0.5, 1.0, 10.0):
        assert sum(value <= bound for value in values) == found["some_seconds_bucket", (("le", str(bound)),)]
    assert len(values) == found["some_seconds_bucket", (("le", "+Inf"),)] == found["some_seconds_count", ()]
    assert sum(values) == pytest.approx(found["some_seconds_sum", ()])


def test_series_are_bounded() -> None:
    """A label that takes any value cannot fill the memory: the rest is counted together."""
    counter = Counter("some_total", "Some.", labels={"what": "anything"})
    histogram = Histogram("some_seconds", "Some.", unit="seconds", bounds=(1.0,), labels={"what": "anything"})
    gauge = Gauge("some_gauge", "Some.", labels={"what": "anything"})
    for number in range(MAX_SERIES + 50):
        counter.count((str(number),))
        histogram.observe(0.1, (str(number),))
    gauge.show({(str(number),): number for number in range(MAX_SERIES + 50)})

    assert 50 == counter.value(("other",)) == histogram.observed(("other",))
    for metric in (counter, histogram, gauge):
        assert len(read(written([metric]))) <= (MAX_SERIES + 1) * 4


def test_the_whole_catalogue_is_readable() -> None:
    """Every metric has a name of its own with its unit, a help text, and what it shows can be parsed."""
    names = [metric.name for metric in METRICS]

    assert len(names) == len(set(names))
    for metric in METRICS:
        assert NAME.fullmatch(metric.name)
        assert metric.help.endswith(".")
        assert ("_total" in metric.name) == (metric.kind == "counter")
        assert metric.unit in {"", "operations"} or f"_{metric.unit}" in metric.name
    REFUSED.count(("not-found",))
    assert read(written(METRICS))


def test_a_source_that_fails_hides_no_other() -> None:
    """Gauges are filled at the look, by plain and by waiting sources; one that fails is named in the log."""
    filled = []

    async def waits() -> None:
        await asyncio.sleep(0)
        filled.append("waits")

    def fails() -> None:
        raise OSError("disk-canary")

    scrape = Scrape()
    scrape.add(fails)
    scrape.add(waits)
    scrape.add(lambda: filled.append("plain"))
    with capture_logs() as said:
        text = asyncio.run(scrape.text())

    assert ["waits", "plain"] == filled
    assert "disk-canary" == said[0]["error"]
    assert "disk-canary" not in text


def test_the_page_is_the_catalogue() -> None:
    """``docs/metrics.md`` lists every metric as it is."""
    page = draw_metrics.PAGE.read_text(encoding="utf-8")

    assert draw_metrics.drawn(page) == page


@pytest.mark.parametrize("page", ["docs/alerts.yml", "docs/metrics.md", "docs/operating.md"])
def test_every_metric_that_is_named_exists(page: str) -> None:
    """A rule or a page that names a metric names one of the catalogue, with its labels."""
    text = (ROOT / page).read_text(encoding="utf-8")
    known = {metric.name: set(metric.labels) for metric in METRICS}
    histograms = {metric.name for metric in METRICS if isinstance(metric, Histogram)}
    derived = {f"{name}_{suffix}": name for name in histograms for suffix in ("bucket", "sum", "count")}
    named = set(NAME.findall(text))

    assert set() == {name for name in named if name not in known and name not in derived}
    for name, labels in re.findall(r"\b((?:postroom|process)_[a-z_]+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)(?:=~|=|!=)", labels)) <= known[derived.get(name, name)]


def test_the_rules_are_whole() -> None:
    """Each rule has an expression, a severity and a sentence, and the page says what to do."""
    text = (ROOT / "docs/alerts.yml").read_text(encoding="utf-8")
    rules = text.split("- alert: ")[1:]
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")

    assert len(rules) > 10
    for rule in rules:
        name = rule.split("\n", 1)[0]
        assert f"`{name}`" in page
        assert "expr: " in rule
        assert re.search(r"severity: (page|ticket)\}", rule)
        assert "summary: " in rule
