"""Tells the endpoints of webhooks what happened, at least once each, and writes down every try.

Every endpoint has a line of its own with a bounded number of tries at once, so a slow endpoint delays
nobody else; order is not promised. What is due stands in the store: a crash between a try and its record
means the same delivery again, under the same ``webhook-id``. Deliveries are made from the events by
``Hooks.spread``, when somebody hints that events were stored, and every second without a hint.

What an answer means and when to try again is ``policy.hooking``. Failures of the store end the process
(``fatal``); failures of one endpoint never do.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from postroom.clock import Clock, Dice
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.event import Event, EventKind, NewEvent
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.policy import hooking
from postroom.ports import Events, HookPoster, Hooks
from postroom.telemetry import logger
from postroom.telemetry.catalogue import HOOK_TRIES

TIMEOUT_S = 15.0
"""Seconds for one POST with its answer; the standard advises 15 to 30."""
TRIES_AT_ONCE = 8
"""For one endpoint: hides the round trip and is no burden for a small server."""
ROUND = 32
"""Deliveries taken from the store at once for one endpoint."""
SPREAD = 200
"""Events looked at in one transaction: the writer is never held for long."""
POLL_S = 1.0
"""Events are looked for at least this often while there is an endpoint."""
IDLE_S = 5.0
"""Endpoints are looked for this often while there is none."""
COLLECT_S = 0.05
"""Hints within this are one: under load events are spread twenty times a second and not at each."""
LINE_POLL_S = 30.0
BUSY_S = 5.0
FATAL = (StoreError, UnknownOutcomeError)
GONE = "the endpoint answered 410 Gone"
HOPELESS = f"it took nothing for {hooking.HOPELESS_AFTER.days} days"

log = logger("hooks")


class _Line:
    """The work for one endpoint."""

    __slots__ = ("bell", "health", "is_ended", "task")

    def __init__(self) -> None:
        self.bell = asyncio.Event()
        self.health = hooking.Health()
        self.is_ended = False
        """The endpoint was disabled by what it did."""
        self.task: asyncio.Task[None] | None = None


class Teller:
    """Tells every endpoint. ``start`` once, ``stop`` as often as you like."""

    def __init__(
        self,
        *,
        hooks: Hooks,
        events: Events,
        poster: HookPoster,
        clock: Clock,
        dice: Dice,
        fatal: Callable[[BaseException], None],
        timeout_s: float = TIMEOUT_S,
        keep_trying: timedelta = hooking.GIVE_UP_AFTER,
    ) -> None:
        """Take the parts; ``fatal`` is called when the store fails and the process must end.

        ``timeout_s`` bounds one POST with its answer, ``keep_trying`` the tries of one delivery.
        """
        self._timeout_s = timeout_s
        self._keep_trying = keep_trying
        self._hooks = hooks
        self._events = events
        self._poster = poster
        self._clock = clock
        self._dice = dice
        self._fatal = fatal
        self._bell = asyncio.Event()
        self._lines: dict[str, _Line] = {}
        self._feeder: asyncio.Task[None] | None = None
        self._is_stopping = False

    def hint(self) -> None:
        """Say that events were stored; cheap, and free while there is no endpoint."""
        if self._lines:
            self._bell.set()

    def changed(self) -> None:
        """Say that an endpoint was added, changed, or has something due again."""
        self._bell.set()
        for line in self._lines.values():
            line.health = replace(line.health, rest_s=0.0)
            line.bell.set()

    async def start(self) -> None:
        """Begin."""
        self._feeder = asyncio.create_task(self._feed(), name="webhooks")

    async def stop(self, *, grace_s: float) -> None:
        """Begin no further try; let those under way end within ``grace_s``, then cut them.

        A try that was cut is made again at the next start.
        """
        self._is_stopping = True
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)
        for line in self._lines.values():
            line.bell.set()
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._lines.clear()

    # ------------------------------------------------------------------ from events to deliveries

    async def _feed(self) -> None:
        while not self._is_stopping:
            self._bell.clear()
            try:
                await self._spread()
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.warning("webhooks put off", error=str(error))
                await self._pause(self._bell, BUSY_S)
            except Exception:  # supervision: webhooks never end by a bug; the next turn comes
                log.exception("webhooks put off")
                await self._pause(self._bell, BUSY_S)
            await self._pause(self._bell, POLL_S if self._lines else IDLE_S)
            if self._lines:
                await self._clock.sleep(COLLECT_S)

    async def _spread(self) -> None:
        """Have a line for each enabled endpoint, and make deliveries of what they were not told of."""
        self._keep_lines([hook for hook in await self._hooks.all() if hook.disabled_at is None])
        told = SPREAD if self._lines else 0
        while told == SPREAD and not self._is_stopping:
            told = await self._hooks.spread(now=self._clock.now(), limit=SPREAD)
            if told:
                for line in self._lines.values():
                    line.bell.set()

    def _keep_lines(self, enabled: Sequence[Hook]) -> None:
        known = {hook.id for hook in enabled}
        for hook_id, line in list(self._lines.items()):
            if line.task is not None and (hook_id not in known or line.task.done()):
                line.task.cancel()  # disabled or removed: what is under way does not count any more
                del self._lines[hook_id]
        for hook_id in known - self._lines.keys():
            line = self._lines[hook_id] = _Line()
            line.task = asyncio.create_task(self._serve(hook_id, line), name=f"webhook {hook_id}")

    # ------------------------------------------------------------------ one endpoint

    async def _serve(self, hook_id: str, line: _Line) -> None:
        while not self._is_stopping and not line.is_ended:
            line.bell.clear()
            try:
                wait_s = await self._round(hook_id, line)
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.warning("webhook put off", webhook=hook_id, error=str(error))
                wait_s = BUSY_S
            except Exception:  # supervision: a line never ends by a bug; it comes back
                log.exception("webhook put off", webhook=hook_id)
                wait_s = BUSY_S
            if wait_s:
                await self._pause(line.bell, wait_s)
            else:
                await self._rest(line, line.health.rest_s)

    async def _rest(self, line: _Line, seconds: float) -> None:
        """Leave an endpoint alone, whatever happens meanwhile, until a person does something with it."""
        until = self._clock.monotonic() + seconds
        while not self._is_stopping and line.health.rest_s and (left := until - self._clock.monotonic()) > 0:
            await self._pause(line.bell, left)
            line.bell.clear()

    async def _round(self, hook_id: str, line: _Line) -> float:
        """Make the tries that are due; return 0, or when none was the seconds to wait for one."""
        now = self._clock.now()
        due = list(await self._hooks.due(now=now, limit=ROUND, hook_id=hook_id))
        if not due:
            next_at = await self._hooks.next_due_at(hook_id)
            left_s = LINE_POLL_S if next_at is None else (next_at - now).total_seconds()
            return min(max(left_s, 1.0), LINE_POLL_S)
        hook = due[0][0]
        tries: list[tuple[bool, float | None]] = []

        async def work() -> None:
            while due and not self._is_stopping and not line.is_ended:
                hook, delivery, event = due.pop(0)
                tries.append(await self._try(line, hook, delivery, event))

        ends = await asyncio.gather(*(work() for _ in range(TRIES_AT_ONCE)), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        now = self._clock.now()
        line.health = hooking.health_after(
            line.health,
            is_any_taken=any(is_taken for is_taken, _ in tries),
            retry_after=max((hint for _, hint in tries if hint is not None), default=None),
            now=now,
        )
        if line.health.is_hopeless(now) and not line.is_ended:
            await self._disable(line, hook, HOPELESS)
        return 0.0

    async def _try(
        self, line: _Line, hook: Hook, delivery: Delivery, event: Event
    ) -> tuple[bool, float | None]:
        """Make one try and record it; return whether it was taken and the hint for the endpoint."""
        now, body = self._clock.now(), hooking.body(event)
        headers = hooking.headers(
            hook.signing_secrets(now), webhook_id=hooking.webhook_id(hook, event), body=body, now=now
        )
        answer = await self._poster.post(hook.url, headers=headers, body=body, timeout_s=self._timeout_s)
        after = hooking.after_try(
            delivery,
            status=answer.status,
            retry_after=answer.retry_after_s,
            now=self._clock.now(),
            roll=self._dice.roll(),
            keep_trying=self._keep_trying,
        )
        await self._hooks.record(replace(after.delivery, text=answer.text, duration_ms=answer.duration_ms))
        HOOK_TRIES.count((str(after.delivery.state),))
        is_taken = after.delivery.state is DeliveryState.DELIVERED
        if not is_taken:
            # The URL may hold a secret of the endpoint's owner and stays out of the log.
            log.warning("webhook not taken", webhook=hook.id, number=event.number, status=answer.status)
        if after.is_gone and not line.is_ended:
            await self._disable(line, hook, GONE)
        return is_taken, None if is_taken else answer.retry_after_s

    async def _disable(self, line: _Line, hook: Hook, why: str) -> None:
        """Disable an endpoint; its event comes first, so that a crash in between tells it again."""
        line.is_ended = True
        now = self._clock.now()
        event = NewEvent(
            at=now,
            kind=EventKind.HOOK_DISABLED,
            tenant=hook.tenant,
            cause=why,
            data={"webhook": hook.id},
        )
        await self._events.append([event])
        stored = {one.id: one for one in await self._hooks.all()}
        if (current := stored.get(hook.id)) is not None and current.disabled_at is None:
            await self._hooks.change(replace(current, disabled_at=now, disabled_why=why))
        log.error("webhook disabled", webhook=hook.id, reason=why)
        self._bell.set()

    async def _pause(self, bell: asyncio.Event, seconds: float) -> None:
        """Wait until the bell rings, at most so long."""
        waits = {asyncio.ensure_future(bell.wait()), asyncio.ensure_future(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
