"""Lists of alerts: which are wanted, in which order, page by page.

A hundred thousand alerts are looked at in slices, so that neither the event loop nor the evaluator waits. An
alert that is forgotten meanwhile is missing on the page.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from heapq import nsmallest

from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.forms import AlertFilter, AlertPage
from postroom.errors import InputError, Problem
from postroom.model.alert import AlertId, AlertState, AlertView
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.matching import MatcherError, Matching, parse_matchers

SLICE = 1000
"""Alerts that are looked at in one go: some milliseconds."""

_Rank = tuple[int, int, str]


async def listed(wanted: AlertFilter, evaluator: Evaluator) -> AlertPage:
    """Return one page. Raises InputError: a matcher or the cursor is none; OverloadError."""
    fits, after = _asked(wanted), _cursor(wanted.after)
    ids = await evaluator.read(lambda book, _: book.ids)
    best: list[_Rank] = []
    for begin in range(0, len(ids), SLICE):
        found = await evaluator.read(partial(_ranks, ids[begin : begin + SLICE], fits))
        if after is not None:
            found = [one for one in found if one > after]
        best = nsmallest(wanted.limit + 1, [*best, *found])
        await asyncio.sleep(0)  # the loop is everybody's
    page = best[: wanted.limit]
    return AlertPage(
        alerts=tuple(await evaluator.read(partial(_views, page))),
        after=".".join(map(str, page[-1])) if len(best) > len(page) else None,
    )


def _ranks(ids: Sequence[AlertId], fits: Callable[[Alert], bool], book: Book, now: datetime) -> list[_Rank]:
    return [
        (-alert.severity.rank, -int((alert.first_at or now).timestamp() * 1_000_000), alert.id)
        for alert in book.alerts(ids)
        if fits(alert)
    ]


def _views(page: Sequence[_Rank], book: Book, now: datetime) -> list[AlertView]:
    return [view for _, _, one in page if (view := book.view(AlertId(one), now)) is not None]


def _asked(wanted: AlertFilter) -> Callable[[Alert], bool]:
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

    is_active = None if wanted.state is None else wanted.state is AlertState.FIRING
    least = None if wanted.severity is None else wanted.severity.rank

    def fits(alert: Alert) -> bool:
        return (
            alert.tenant == wanted.tenant
            and is_active in (None, alert.is_active)
            and wanted.key in (None, alert.key)
            and wanted.source in (None, alert.source)
            and wanted.object in (None, alert.object)
            and (least is None or alert.severity.rank >= least)
            and (not wanted.matchers or matching.fits(labels_of(alert)))
        )

    return fits


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
