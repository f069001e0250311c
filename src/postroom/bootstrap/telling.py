"""Who is told of what happened: webhook endpoints, the operator, senders; from settings and store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from postroom.bootstrap.naming import installation, own_name
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.engine.hooks import Teller
from postroom.engine.intake import Intake
from postroom.engine.notices import Notices
from postroom.engine.reporting import ReportManner, Reports, forget
from postroom.engine.ways import Ways
from postroom.ports import HookPoster, Marks
from postroom.spool.sqlite.opening import SqliteStore

STOP_GRACE_S = 2.0
"""How long posts under way may wait for their answer; one that is cut is made again at the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The parts that tell."""

    teller: Teller
    notices: Notices | None
    """``None`` when nobody is to be told by mail."""
    reports: Reports | None
    """``None`` when no sender is to be told."""
    marks: Marks


def telling_of(
    settings: Settings,
    store: SqliteStore,
    *,
    ways: Ways,
    intake: Intake,
    poster: HookPoster,
    clock: Clock,
    dice: Dice,
    fatal: Callable[[BaseException], None],
) -> Telling:
    """Put the parts together; nothing runs yet."""
    notices = None
    if settings.failures.to:
        notices = Notices(
            to=settings.failures.to,
            every=settings.failures.every,
            name=installation(settings),
            events=store.events,
            marks=store.marks,
            spool=store.spool,
            ways=ways,
            intake=intake,
            clock=clock,
            fatal=fatal,
        )
    teller = Teller(
        hooks=store.hooks,
        events=store.events,
        poster=poster,
        clock=clock,
        dice=dice,
        fatal=fatal,
        timeout_s=settings.webhooks.timeout_s,
        keep_trying=settings.webhooks.keep_trying,
    )
    reports = None
    if settings.reports.send:
        reports = Reports(
            ReportManner(
                mta=settings.reports.name or own_name(settings.smtp.names),
                delayed_after=settings.reports.delayed_after,
                language=settings.reports.language,
            ),
            events=store.events,
            marks=store.marks,
            spool=store.spool,
            ways=ways,
            intake=intake,
            clock=clock,
            fatal=fatal,
        )
    return Telling(teller=teller, notices=notices, reports=reports, marks=store.marks)


@asynccontextmanager
async def told(telling: Telling) -> AsyncIterator[None]:
    """Tell while the block runs; at its end nothing new is begun and what is under way may end."""
    await telling.teller.start()
    if telling.notices is not None:
        await telling.notices.start()
    if telling.reports is None:
        await forget(telling.marks)
    else:
        await telling.reports.start()
    try:
        yield
    finally:
        if telling.reports is not None:
            await telling.reports.stop()
        if telling.notices is not None:
            await telling.notices.stop()
        await telling.teller.stop(grace_s=STOP_GRACE_S)
