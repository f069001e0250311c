"""How every way out is: pauses, learnt limits, forecasts, and what a person says about it.

The one place that changes a way's pauses and limits: each change is stored, told as an event and followed by
a wake-up of the lines. An outage is told once, when its breaker opens, and once when it is over; the first
short waits after a failure are neither. Events, webhooks, the log and ``/readyz`` need no mail account, so
the news of an account that fails never depends on it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from postroom.clock import Clock
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import NotFoundError, OperatorError, OverloadError, UnknownOutcomeError
from postroom.model.event import EventKind, NewEvent
from postroom.model.step import TRANSPORT_STEPS
from postroom.model.view import FOREVER, LearntLimit, PauseKind, TransportPause
from postroom.policy import pausing
from postroom.policy.failover import Fitness
from postroom.policy.pacing import DAY_S, Used
from postroom.policy.settling import Trouble, evidence_text
from postroom.ports import Events, Spool
from postroom.providers import catalogue
from postroom.providers.provider import SecretKind
from postroom.telemetry import logger

SUSPENDED_CAUSE = "transport-suspended"
_MENDED = frozenset({PauseKind.LOGIN, PauseKind.CONNECT})
"""Pauses that whoever stops a server in order has often mended; a server's patience is not."""

_CODES = frozenset({SecretKind.AUTHORIZATION_CODE, SecretKind.APP_PASSWORD})
"""Secrets that a provider withdraws by itself when the password of the mailbox changes."""

log = logger("health")


def _expires(provider: str | None) -> bool:
    known = catalogue.provider(provider) if provider else None
    return known is not None and known.secrets[0] in _CODES


class Health:
    """Of every configured transport. Names that are not configured raise NotFoundError."""

    def __init__(
        self,
        *,
        spool: Spool,
        ways: Ways,
        clock: Clock,
        signals: Signals,
        events: Events | None = None,
    ) -> None:
        """Take the parts; without ``events`` nothing is told but in the log."""
        self._spool = spool
        self._ways = ways
        self._clock = clock
        self._signals = signals
        self._events = events
        self._told_at: dict[str, datetime] = {}
        """When the end of a day's quota was last told."""
        self.changed: Callable[[], None] = lambda: None
        """Called after a pause came or went; the dispatcher looks again."""

    # ------------------------------------------------------------------ for people

    def pauses(self, name: str) -> Sequence[TransportPause]:
        """Return what a transport waits for, the longest first; what is over waits for its probe."""
        return sorted(self._way(name).pauses.values(), key=lambda pause: pause.until, reverse=True)

    def is_working(self, name: str, now: datetime) -> bool:
        """Say whether new mail may be given to it: no outage, or one that only waits for its probe."""
        return self._ways.fitness(name, now) is not Fitness.DOWN

    def level(self, name: str) -> int:
        """Return how many connections it may use at this moment."""
        return self._way(name).concurrency.level

    def limits(self, name: str) -> Sequence[Used]:
        """Return every limit that holds, configured or learnt, with what is used of it."""
        return self._way(name).pace.limits(self._clock.monotonic())

    def forecast(self, name: str) -> datetime | None:
        """Return when the day's quota will be used up at the pace of the last hour; ``None``: it will not."""
        for used in self.limits(name):
            if used.window_s == DAY_S and used.ends_in_s is not None:
                return self._clock.now() + timedelta(seconds=used.ends_in_s)
        return None

    async def worked_until(self, name: str) -> datetime | None:
        """Return when a server last took mail by a transport; ``None`` when it did not for long."""
        return await self._spool.worked_until(name)

    async def suspend(
        self, name: str, *, reason: str, author: str, until: datetime | None = None
    ) -> TransportPause:
        """Send nothing by it until ``until`` or ``resume``; what waits goes by other legs of its routes.

        Attempts that are under way end as they would. A second call replaces the first.
        """
        way, now = self._way(name), self._clock.now()
        pause = TransportPause(
            transport=name,
            kind=PauseKind.SUSPENDED,
            author=author,
            since=now,
            until=until or FOREVER,
            cause=SUSPENDED_CAUSE,
            step="",
            text=reason,
            host="",
            failures=0,
        )
        await self._spool.pause(pause)
        way.pauses[pause.kind] = pause
        data = {"author": author, "note": reason}
        if until is not None:
            data["until"] = until.isoformat()
        await self._tell(EventKind.TRANSPORT_SUSPENDED, name, cause=SUSPENDED_CAUSE, data=data)
        self._signals.paused(name)
        self.changed()
        return pause

    async def resume(self, name: str, *, author: str) -> bool:
        """End a suspension, and let every other pause end now, so that one message probes at once.

        What was queued until the end of a pause is due now too; without it, it would stand there beside mail
        that goes.

        Returns ``False`` when the transport waited for nothing.
        """
        way, now = self._way(name), self._clock.now()
        if not way.pauses.keys() - {PauseKind.SECRETS}:
            return False
        if way.pauses.pop(PauseKind.SUSPENDED, None) is not None:
            await self._spool.resume(name, kind=PauseKind.SUSPENDED)
        for pause in list(way.pauses.values()):
            if pause.kind is not PauseKind.SECRETS:  # only the key ends that
                await self._end(way, pause, now)
        await self._spool.hurry(name, now=now)
        await self._tell(EventKind.TRANSPORT_RESUMED, name, data={"author": author})
        self.changed()
        return True

    # ------------------------------------------------------------------ for the dispatcher

    async def load(self) -> None:
        """Take up what the store knows: pauses, learnt limits, the pace of the last day."""
        await self._take_up({way.name: way for way in self._ways})

    async def take_over(self, way: Way, before: Way | None) -> None:
        """Let a way that is not at work yet begin where ``before``, the one whose name it has, ends.

        What a person may have mended is over, so that a corrected password is tried at once. What a server
        asked for stays while it is the same account; a person's suspension stays in any case. What a way of
        this name left behind long ago is forgotten.
        """
        same = before is not None and before.target == way.target
        ended = []
        for pause in await self._spool.pauses():
            is_kept = before is not None and (
                pause.kind is PauseKind.SUSPENDED or (same and pause.kind not in _MENDED)
            )
            if pause.transport == way.name and not is_kept:
                await self._spool.resume(way.name, kind=pause.kind)
                ended.append(pause)
        if not same:
            for limit in await self._spool.limits():
                if limit.transport == way.name:
                    await self._spool.forget_limit(way.name, limit.window_s)
        await self._take_up({way.name: way}, is_same=same)
        if before is not None and any(pause.is_open for pause in ended) and not way.has_outage:
            await self._tell(EventKind.TRANSPORT_CLOSED, way.name, cause=ended[0].cause)

    async def _take_up(self, ways: Mapping[str, Way], *, is_same: bool = True) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        for pause in await self._spool.pauses():
            if (way := ways.get(pause.transport)) is not None:
                way.pauses[pause.kind] = pause
                way.concurrency.restart()
        for limit in await self._spool.limits():
            if (way := ways.get(limit.transport)) is not None:
                way.pace.learnt(limit, now)
        for way in ways.values():
            if is_same and not way.transport.is_capture:
                sent = await self._spool.sent(way.name, since=now - timedelta(seconds=DAY_S))
                way.pace.restore([((now - at).total_seconds(), count) for at, count in sent], monotonic)

    async def paused(self, way: Way, pause: TransportPause) -> None:
        """Keep a pause that a failure asks for; a shorter one never cuts a longer one of its kind."""
        was_open = way.has_outage
        known = way.pauses.get(pause.kind)
        if known is not None and known.is_open and not pause.is_open:
            pause = replace(pause, is_open=True)  # an outage ends by a success, not by a milder failure
        pause = pausing.longer(known, pause)
        if pause is known:
            return
        way.pauses[pause.kind] = pause  # before anything is awaited: what was given back would log in too
        if way.is_guest:
            return
        pause = await self._dated(way, pause)
        await self._spool.pause(pause)
        log.warning("transport paused", transport=way.name, cause=pause.cause, text=pause.text)
        if pause.is_open and not was_open:
            way.concurrency.restart()
            way.transport.allow(way.concurrency.level)
            data = {"kind": pause.kind.value, "until": pause.until.isoformat(), "text": pause.text}
            await self._tell(EventKind.TRANSPORT_OPENED, way.name, cause=pause.cause, data=data)
        self.changed()

    async def served(self, way: Way, now: datetime) -> None:
        """End the pauses that are over: a message got past what they waited for."""
        over = [
            pause
            for pause in way.pauses.values()
            if pause.until <= now and pause.kind is not PauseKind.SUSPENDED
        ]
        for pause in over:
            del way.pauses[pause.kind]
            if not way.is_guest:
                await self._spool.resume(way.name, kind=pause.kind)
        if way.is_guest:
            return
        if any(pause.is_open for pause in over) and not way.has_outage:
            since = min(pause.since for pause in over)
            data = {"since": since.isoformat()}
            await self._tell(EventKind.TRANSPORT_CLOSED, way.name, cause=over[0].cause, data=data)
        if over:
            log.info("transport resumed", transport=way.name)
            self.changed()

    async def objected(self, way: Way, trouble: Trouble) -> None:
        """Learn a slower pace from a server that asked for one."""
        evidence = trouble.evidence
        if evidence.step in TRANSPORT_STEPS or way.is_guest:
            return
        lesson = way.pace.lesson(trouble.verdict, self._clock.monotonic())
        if lesson is None:
            return
        window_s, allowed, seen = lesson
        now = self._clock.now()
        limit = LearntLimit(
            transport=way.name,
            window_s=window_s,
            allowed=allowed,
            seen=seen,
            learnt_at=now,
            text=evidence_text(evidence),
        )
        await self._spool.store_limit(limit)
        way.pace.learnt(limit, now)
        data = {
            "window_s": str(window_s),
            "allowed": str(allowed),
            "seen": str(seen),
            "text": limit.text,
        }
        await self._tell(EventKind.LIMIT_LEARNT, way.name, cause=trouble.verdict.cause, data=data)
        log.warning("pace lowered", transport=way.name, window_s=window_s, allowed=allowed, seen=seen)

    async def tend(self) -> bool:
        """Do what time brings: suspensions end, lessons grow, the end of a quota is told. Once a minute.

        Returns ``False``: nothing is left to do before the next minute.
        """
        now = self._clock.now()
        for way in self._ways:
            suspension = way.pauses.get(PauseKind.SUSPENDED)
            if suspension is not None and suspension.until <= now:
                del way.pauses[PauseKind.SUSPENDED]
                await self._spool.resume(way.name, kind=PauseKind.SUSPENDED)
                await self._tell(EventKind.TRANSPORT_RESUMED, way.name)
                self.changed()
            for window_s in way.pace.grow(now):
                await self._spool.forget_limit(way.name, window_s)
            await self._foresee(way, now)
        return False

    async def stop(self) -> None:
        """Let the next start probe at once where a person may have mended the cause.

        After a crash the pauses go on, so that a server that dies at once never hammers a login.
        """
        now = self._clock.now()
        for way in self._ways:
            for pause in list(way.pauses.values()):
                if pause.kind in _MENDED:
                    with suppress(OperatorError, UnknownOutcomeError):  # a store that failed stops too
                        await self._end(way, pause, now)

    # ------------------------------------------------------------------ parts

    async def _dated(self, way: Way, pause: TransportPause) -> TransportPause:
        """Return a pause that stands, with the time until which a login worked that is refused now."""
        if not pausing.is_refused_login(pause):
            return pause
        worked_until = None
        with suppress(OverloadError):  # a store that has no time for it now: the pause needs no story
            worked_until = await self.worked_until(way.name)
        if worked_until is not None and way.pauses.get(pause.kind) is pause:
            pause = pausing.dated(pause, worked_until, expires=_expires(way.provider))
            way.pauses[pause.kind] = pause
        return pause

    async def _end(self, way: Way, pause: TransportPause, now: datetime) -> None:
        """Let a pause be over now, so that the next message probes."""
        if pause.until > now:
            way.pauses[pause.kind] = replace(pause, until=now)
            await self._spool.pause(way.pauses[pause.kind])

    async def _foresee(self, way: Way, now: datetime) -> None:
        """Tell once a day that the day's quota ends."""
        told_at = self._told_at.get(way.name)
        if told_at is not None and now - told_at < timedelta(seconds=DAY_S):
            return
        for used in way.pace.limits(self._clock.monotonic()):
            if used.is_day_near_its_end:
                ends_in_s = used.ends_in_s
                self._told_at[way.name] = now
                data = {"used": str(used.used), "allowed": str(used.allowed)}
                if ends_in_s is not None:
                    data["until"] = (now + timedelta(seconds=ends_in_s)).isoformat()
                await self._tell(EventKind.QUOTA_NEAR_END, way.name, data=data)

    async def _tell(
        self, kind: EventKind, name: str, *, cause: str = "", data: Mapping[str, str] | None = None
    ) -> None:
        if self._events is not None:
            event = NewEvent(at=self._clock.now(), kind=kind, transport=name, cause=cause, data=data or {})
            await self._events.append([event])

    def _way(self, name: str) -> Way:
        way = self._ways.named(name)
        if way is None:
            raise NotFoundError(f"there is no transport {name!r}")
        return way
