"""Lists of alerts: which are wanted, in which order, page by page.

A hundred thousand alerts are looked at in slices, so that neither the event loop nor the evaluator waits.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from heapq import nsmallest

from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.forms import AlertFilter, AlertPage
from postroom.errors import InputError, Problem
from postroom.model.alert import AlertId, AlertView
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.matching import MatcherError, Matching, parse_matchers

SLICE = 500
"""Alerts that are looked at in one go: some milliseconds."""

_Rank = tuple[int, int, str]


async def listed(wanted: AlertFilter, evaluator: Evaluator) -> AlertPage:
    """Return one page. Raises InputError: a matcher or the cursor is none; OverloadError."""
    fits, after = _asked(wanted), _cursor(wanted.after)
    ids = await evaluator.read(lambda book, _: tuple(book.ids))
    best: list[tuple[_Rank, AlertView]] = []
    for begin in range(0, len(ids), SLICE):
        some = ids[begin : begin + SLICE]
        views = await evaluator.read(partial(_views, some))
        found = [(_rank(view), view) for view in views if fits(view)]
        if after is not None:
            found = [one for one in found if one[0] > after]
        best = nsmallest(wanted.limit + 1, [*best, *found], key=lambda one: one[0])
    page = best[: wanted.limit]
    return AlertPage(
        alerts=tuple(view for _, view in page),
        after=".".join(map(str, page[-1][0])) if len(best) > len(page) else None,
    )


def _views(ids: Sequence[AlertId], book: Book, now: datetime) -> list[AlertView]:
    return [view for one in ids if (view := book.view(one, now)) is not None]


def _asked(wanted: AlertFilter) -> Callable[[AlertView], bool]:
    try:
        matching = Matching([one for text in wanted.matchers for one in parse_matchers(text)])
    except MatcherError as error:
        problem = Problem(
            code="alert-value",
            field="matchers",
            cause=str(error),
            fix='Write name="value" or name=~"pattern".',
        )
        raise InputError([problem]) from None

    def fits(alert: AlertView) -> bool:
        return (
            alert.tenant == wanted.tenant
            and wanted.state in (None, alert.state)
            and wanted.key in (None, alert.key)
            and wanted.source in (None, alert.source)
            and wanted.object in (None, alert.object)
            and (wanted.severity is None or alert.severity.rank >= wanted.severity.rank)
            and (not wanted.matchers or matching.fits(labels_of(alert)))
        )

    return fits


def _rank(alert: AlertView) -> _Rank:
    return -alert.severity.rank, -int(alert.first_at.timestamp() * 1_000_000), alert.id


def _cursor(text: str | None) -> _Rank | None:
    if text is None:
        return None
    severity, _, rest = text.partition(".")
    first_at, _, alert_id = rest.partition(".")
    try:
        return int(severity), int(first_at), alert_id
    except ValueError:
        problem = Problem(
            code="alert-value",
            field="after",
            cause="not a cursor of this list",
            fix="Take the one that came with the page before.",
        )
        raise InputError([problem]) from None
