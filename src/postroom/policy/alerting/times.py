"""Times of the week and cron expressions, in a zone, over every change of its clocks.

Windows are read from the clock on the wall: when it goes back an hour, what stands in that hour comes twice,
and when it jumps, what stands in the gap does not come; a window that began or ended in the gap does so at
the jump.
A cron expression with a fixed hour and minute comes once a day all the same, at the jump when its minute is
skipped, and the first time when it comes twice (as Debian's cron does it). Every instant is aware UTC.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from postroom.model.alert_rules import WeekWindow

MAX_CRON = 200
"""Characters of a cron expression (security limit)."""
_OVERLAP = timedelta(hours=3)
"""More than clocks are ever set back."""
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SCANNED = (range(-1, 2), range(2, 16))
"""Days from today in which the answer changes, if it ever does, the near ones first: a week, and another when
the clocks skip a window in it."""


class CronError(ValueError):
    """A cron expression that is not taken; the text says why, in lower case."""


def is_in(windows: Sequence[WeekWindow], zone: str, at: datetime) -> bool:
    """Say whether an instant is in one of the windows; without windows it is in none."""
    if not windows:
        return False
    local = at.astimezone(_zone(zone))
    today, clock = local.isoweekday(), local.time()
    return any(_is_in(window, today, clock) for window in windows)


def next_edge(windows: Sequence[WeekWindow], zone: str, after: datetime) -> datetime | None:
    """Return the first instant after ``after`` at which ``is_in`` answers differently.

    ``None`` when it never does: no windows, or all of the week.
    """
    if not windows:
        return None
    now = is_in(windows, zone, after)
    for at in _instants(windows, _zone(zone), after):
        if is_in(windows, zone, at) is not now:
            return at
    return None


def next_cron(expression: str, zone: str, after: datetime) -> datetime:
    """Return the first instant after ``after`` that a cron expression of five fields names.

    Raises CronError: it is none, or nothing comes in 50 years.
    """
    fields = expression.split()
    if len(fields) != 5 or len(expression) > MAX_CRON:
        raise CronError("a cron expression has five fields: minute hour day month weekday")
    # Late, because few have such an expression and a start should not wait for what reads them.
    from cronsim import CronSim, CronSimError  # noqa: PLC0415

    tz = _zone(zone)
    is_fixed = not (fields[0].startswith("*") or fields[1].startswith("*"))
    try:
        walls = CronSim(expression, after.astimezone(tz).replace(tzinfo=None) - _OVERLAP)
    except CronSimError as error:
        raise CronError(f"not a cron expression: {str(error).lower()}") from None
    found: datetime | None = None
    for wall in walls:
        if found is not None and wall.replace(tzinfo=tz).astimezone(UTC) >= found:
            return found
        found = min((at for at in (found, *_on(wall, tz, is_fixed)) if at and at > after), default=None)
    if found is None:
        raise CronError("a cron expression that never comes")
    return found


def _on(wall: datetime, tz: ZoneInfo, is_fixed: bool) -> Iterator[datetime]:
    """Yield the instants at which the clock on the wall shows this; of what is fixed, the one to take."""
    first, again = (wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(tz).replace(tzinfo=None) == wall:
        yield first
        if not is_fixed:
            yield again
    elif is_fixed:  # skipped
        yield min(_changes(wall.date(), tz), default=first)


def is_zone(name: str) -> bool:
    """Say whether this is the name of a time zone."""
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):  # not known; a path; a directory of the database
        return False
    return True


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _is_in(window: WeekWindow, today: int, clock: time) -> bool:
    days, begins, ends = window.days, window.begins, window.ends
    is_today = not days or today in days
    if begins is None or ends is None:
        return is_today
    if begins < ends:
        return is_today and begins <= clock < ends
    is_yesterday = not days or (today - 2) % 7 + 1 in days
    return (is_today and clock >= begins) or (is_yesterday and clock < ends)


def _instants(windows: Sequence[WeekWindow], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Walk the instants after ``after`` at which the answer can change, in order."""
    clocks = {time()} | {edge for one in windows for edge in (one.begins, one.ends) if edge is not None}
    first = after.astimezone(zone).date()
    last = after
    for days in _SCANNED:
        found: set[datetime] = set()
        for day in (first + index * _DAY for index in days):
            walls = (datetime.combine(day, clock, tzinfo=zone) for clock in clocks)
            found |= {wall.replace(fold=fold).astimezone(UTC) for wall in walls for fold in (0, 1)}
            found |= _changes(day, zone)
        for at in sorted(found):
            if at > last:
                yield at
                last = at


def _changes(day: date, zone: ZoneInfo) -> set[datetime]:
    """Return the instant on this day at which the clocks of the zone are changed, if there is one."""
    low = datetime.combine(day, time(), tzinfo=zone).astimezone(UTC) - _HOUR
    high = low + _DAY + 2 * _HOUR
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return set()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return {high}
