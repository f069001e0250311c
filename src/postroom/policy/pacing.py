"""How fast a transport may go: limits a window, the pace so far, and what the server taught.

Rules:

* Never more than allowed in *any* window of that length, not only in calendar hours: attempts are counted in
  buckets of a sixtieth of the window (a minute at most), and a bucket counts until the whole of it has left
  the window. The price is a pace up to a sixtieth slower than allowed.
* Time is monotonic seconds, so that a clock that is set neither stops nor unties a transport. What was sent
  before a start is taken up by its age, at the latest moment it may have happened.
* An attempt counts from its claim to its end, and then for the length of the window. So whatever the server
  counts by, connection, command or content, it lies between: no delay on our side makes two windows one.
  An attempt that was not begun gives its place back.
* A limit that was learnt holds beside the configured one, the smaller wins. It grows by a tenth a day without
  an objection, until it is the configured one again, or twice what was seen where nothing is configured.

It counts messages that are handed to a transport; a provider that counts recipients needs a smaller number.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from postroom.model.outcome import Action, Verdict
from postroom.model.transport import Rate
from postroom.model.view import LearntLimit

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
WATCHED_S = (MINUTE_S, HOUR_S, DAY_S)
"""Windows that are counted without a limit too, so that an objection finds what was sent."""
LEARNT_SHARE = 0.85
"""Of what the server objected to: a little below what it bore."""
MIN_SEEN = 5
"""An objection after fewer messages says nothing about the pace."""
NEAR_END = 0.9
"""Share of a day's quota from which its end is told."""
SOON_S = 3600.0
"""A quota that ends within this at the present pace is told too."""
GROWTH_A_DAY = 1.1
_LONG_QUOTA_S = 4 * 3600.0
"""A quota whose rule asks for this much patience is a day's, a shorter one an hour's."""
_MAX_BUCKET_S = 60.0
_BUCKETS = 60
_UNDER_WAY_S = 60.0
"""How long an attempt is thought to have been under way when its process died."""
_AFTER_S = 1e-6
"""Behind the end of a bucket, so that rounding does not put the instant before it."""


class Window:
    """What was sent in one window."""

    __slots__ = ("_buckets", "_total", "_width", "allowed", "length_s")

    def __init__(self, length_s: int, allowed: int | None = None) -> None:
        """Begin empty; ``None`` counts without a limit."""
        self.length_s = length_s
        self.allowed = allowed
        self._width = min(length_s / _BUCKETS, _MAX_BUCKET_S)
        self._buckets: deque[list[int]] = deque()
        """Number of the bucket and what is in it, oldest first."""
        self._total = 0

    def used(self, now: float) -> int:
        """Return what counts in the window that ends now."""
        first = int((now - self.length_s) // self._width)
        buckets = self._buckets
        while buckets and buckets[0][0] < first:
            self._total -= buckets.popleft()[1]
        return self._total

    def take(self, count: int, at: float) -> None:
        """Count ``count`` attempts that ended at ``at``; earlier than the newest, they count with it."""
        number = int(at // self._width)
        if self._buckets and self._buckets[-1][0] >= number:
            self._buckets[-1][1] += count
        else:
            self._buckets.append([number, count])
        self._total += count

    def next_at(self, now: float) -> float:
        """Return when one more may begin, ``now`` when at once."""
        if self.allowed is None or self.used(now) < self.allowed:
            return now
        over = self._total - self.allowed
        for number, count in self._buckets:
            over -= count
            if over < 0:
                return (number + 1) * self._width + self.length_s + _AFTER_S
        return now + self.length_s

    def ends_at(self, now: float) -> float | None:
        """Return when the limit is reached at the pace of the last hour; ``None``: not within the window.

        Only for windows of an hour and more: in a shorter one the next moment is all there is to foresee.
        """
        if self.allowed is None or self.length_s < HOUR_S:
            return None
        used = self.used(now)
        first = (now - HOUR_S) // self._width
        pace = sum(count for number, count in self._buckets if number >= first) / HOUR_S
        if not pace:
            return None
        leaving = deque((number, count) for number, count in self._buckets)
        for step in range(1, int(self.length_s // self._width) + 1):
            at = now + step * self._width
            while leaving and leaving[0][0] < (at - self.length_s) // self._width:
                used -= leaving.popleft()[1]
            if used + pace * (at - now) >= self.allowed:
                return at
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One limit for people."""

    window_s: int
    allowed: int
    used: int
    configured: int | None
    """What the settings say; ``None`` when only the server taught."""
    learnt: LearntLimit | None
    """The lesson with its evidence, while it holds."""
    ends_in_s: float | None
    """Seconds until it is used up at the pace of the last hour; ``None`` when it will not be."""

    @property
    def is_day_near_its_end(self) -> bool:
        """Whether it is a day's quota of which 90 % are used, or that ends within an hour."""
        is_soon = self.ends_in_s is not None and self.ends_in_s <= SOON_S
        return self.window_s == DAY_S and (is_soon or self.used >= self.allowed * NEAR_END)


class Pace:
    """The pace of one transport."""

    __slots__ = ("_configured", "_ended", "_learnt", "_under_way", "_windows")

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        """Take the configured limits, one a window."""
        self._configured = {rate.window_s: rate.allowed for rate in rates}
        self._learnt: dict[int, LearntLimit] = {}
        self._under_way = 0
        self._ended = 0
        """Attempts that ended and are not in the windows yet; they come there at the next look, if anything
        later than they ended."""
        lengths = sorted({*self._configured, *WATCHED_S})
        self._windows = {length: Window(length, self._configured.get(length)) for length in lengths}

    def allowance(self, now: float) -> int | None:
        """Return how many may begin now, ``None`` for any number."""
        self._flush(now)
        least: int | None = None
        for window in self._windows.values():
            if window.allowed is not None:
                room = max(window.allowed - window.used(now) - self._under_way, 0)
                if least is None or room < least:
                    least = room
        return least

    def next_at(self, now: float) -> float:
        """Return when the windows let one more begin; ``now`` when only what is under way forbids it."""
        self._flush(now)
        return max(window.next_at(now) for window in self._windows.values())

    def take(self, count: int) -> None:
        """Count attempts that are claimed now."""
        self._under_way += count

    def ended(self) -> None:
        """Count an attempt that was under way and has ended."""
        self._under_way -= 1
        self._ended += 1

    def give_back(self) -> None:
        """Take an attempt out that was claimed and not begun."""
        self._under_way -= 1

    def _flush(self, now: float) -> None:
        """Bring what ended into the windows; what left them goes."""
        if self._ended:
            for window in self._windows.values():
                window.take(self._ended, now)
                window.used(now)
            self._ended = 0

    def restore(self, sent: Iterable[tuple[float, int]], now: float) -> None:
        """Count what was claimed before the start: ages in seconds of whole minutes, the oldest first.

        An age is that of the minute's beginning; its attempts may have been claimed up to its end, and have
        been under way for a while.
        """
        for age_s, count in sent:
            for window in self._windows.values():
                window.take(count, min(now - age_s + MINUTE_S + _UNDER_WAY_S, now))

    def learnt(self, limit: LearntLimit, now: datetime) -> None:
        """Hold a limit that a server taught, as far as it has grown."""
        self._learnt[limit.window_s] = limit
        window = self._windows.setdefault(limit.window_s, Window(limit.window_s))
        window.allowed = _smaller(grown(limit, now), self._configured.get(limit.window_s))

    def grow(self, now: datetime) -> tuple[int, ...]:
        """Let the lessons grow with time; return the windows whose lesson is forgotten."""
        forgotten = []
        for window_s, limit in list(self._learnt.items()):
            configured = self._configured.get(window_s)
            if grown(limit, now) >= (configured or 2 * limit.seen):
                del self._learnt[window_s]
                self._windows[window_s].allowed = configured
                forgotten.append(window_s)
            else:
                self.learnt(limit, now)
        return tuple(forgotten)

    def lesson(self, verdict: Verdict, now: float) -> tuple[int, int, int] | None:
        """Return window, new limit and what was seen, when a server's objection teaches a pace."""
        self._flush(now)
        window_s = window_of(verdict)
        seen = self._windows[window_s].used(now) + self._under_way if window_s is not None else 0
        if window_s is None or seen < MIN_SEEN:
            return None
        return window_s, max(int(seen * LEARNT_SHARE), 1), seen

    def limits(self, now: float) -> tuple[Used, ...]:
        """Return every limit that holds, the shortest window first."""
        self._flush(now)
        return tuple(
            Used(
                window_s=window.length_s,
                allowed=window.allowed,
                used=window.used(now),
                configured=self._configured.get(window.length_s),
                learnt=self._learnt.get(window.length_s),
                ends_in_s=None if (ends := window.ends_at(now)) is None else ends - now,
            )
            for window in sorted(self._windows.values(), key=lambda window: window.length_s)
            if window.allowed is not None
        )


def window_of(verdict: Verdict) -> int | None:
    """Return the length of the window that an objection speaks of, ``None`` when it is no objection."""
    if verdict.action is Action.PAUSE_UNTIL_QUOTA:
        return DAY_S if verdict.min_delay_s >= _LONG_QUOTA_S else HOUR_S
    if verdict.action is not Action.THROTTLE:
        return None
    return MINUTE_S if verdict.min_delay_s <= MINUTE_S else HOUR_S


def grown(limit: LearntLimit, now: datetime) -> int:
    """Return what a learnt limit allows now: a tenth more for each whole day without an objection."""
    days = max((now - limit.learnt_at).days, 0)
    return int(limit.allowed * GROWTH_A_DAY ** min(days, 365))


def _smaller(one: int, other: int | None) -> int:
    return one if other is None else min(one, other)
