"""The only caller of transports: claim what is due, make attempts, settle what happened.

One line of work for each way out. A line claims in batches when it has room, hands every claimed group to
its transport as one attempt, asks ``policy`` what the report means and settles that in the store. Nothing is
decided here: the dispatcher only carries facts to policy and decisions to the spool.

How much is under way follows the level of the transport, so that a restart and the end of an outage begin
slowly, however much is due; how much may begin follows its pace. A line that is paused claims nothing until
the pause ends, then one group as a probe: a real queued message, never a synthetic one. What waits for a line
that is down goes to the next working leg of its route. Failures of the store end the process (``fatal``);
failures of one attempt never do.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from postroom.clock import Clock, Dice
from postroom.engine import measuring
from postroom.engine.attempts import FATAL, Attempts
from postroom.engine.fetching import Fetching
from postroom.engine.health import Health
from postroom.engine.lines import Line, Room
from postroom.engine.rendering import RenderedMessages
from postroom.engine.roster import Roster
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import ConfigError, DiskFullError, OverloadError
from postroom.model.attempt import Claimed
from postroom.model.guest import is_guest_name
from postroom.model.hold import Suppression, SuppressionReason
from postroom.model.message import MailClass
from postroom.model.route import Route
from postroom.model.step import TRANSPORT_STEPS
from postroom.policy import settling
from postroom.policy.failover import Fitness, next_leg
from postroom.policy.retry import ClassRules
from postroom.policy.routing import parse_route
from postroom.policy.settling import Decision
from postroom.ports import Events, Operations, Report, Spool
from postroom.telemetry import logger

LEASE = timedelta(hours=1)
"""Longer than any attempt may take: 72 MiB at the slowest accepted pace, then 600 s for the final reply.
One process owns the store, so a lease never has to end for another to take over."""
BUSY_S = 5.0
"""A line whose claim was refused for now tries again after this."""

Announced = tuple[Line, int] | None
"""A line, and its claims so far, when something was announced to it."""

log = logger("dispatcher")


class Dispatcher:
    """Makes the attempts. ``start`` once, ``stop`` as often as you like."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        spool: Spool,
        ways: Ways,
        rules: Mapping[MailClass, ClassRules],
        rendered: RenderedMessages,
        signals: Signals,
        clock: Clock,
        dice: Dice,
        fatal: Callable[[BaseException], None],
        events: Events | None = None,
        operations: Operations | None = None,
        fetching: Fetching | None = None,
    ) -> None:
        """Take the parts; ``fatal`` is called when the store fails and the process must end.

        With ``operations`` the addresses that a server knows not to exist are suppressed. ``fetching`` is
        given the mail that names files by URL; without it such mail is not sent.
        """
        self.health = Health(spool=spool, ways=ways, clock=clock, signals=signals, events=events)
        self.health.changed = self._look_at_routes
        self._attempts = Attempts(spool=spool, rules=rules, rendered=rendered, clock=clock, events=events)
        self._spool = spool
        self._ways = ways
        self._rules = rules
        self._signals = signals
        self._clock = clock
        self._dice = dice
        self._fatal = fatal
        self._operations = operations
        self._moves_uncertain = [mail_class for mail_class, rule in rules.items() if rule.uncertain_failover]
        self.roster = Roster(
            ways=ways, spool=spool, health=self.health, clock=clock, serve=self._serve, fatal=fatal
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._fetching = fetching
        if fetching is not None:
            fetching.wake = self.wake
        self.recall: Callable[[str], None] = lambda name: log.error("mail waits for nobody", transport=name)
        """Called when something was queued for a guest that is not here."""
        self.seek: Callable[[], None] = lambda: None
        """Called when something may have been queued for guests that are not here."""
        self.attempted: Callable[[str], None] = lambda _: None
        """Called after an attempt by a guest."""

    async def start(self) -> None:
        """Take up what the store knows of the transports and begin to work."""
        await self.health.load()
        for way in self._ways:
            way.transport.allow(way.concurrency.level)
        self.roster.start()

    async def stop(self, *, grace_s: float) -> None:
        """Claim nothing more; let attempts past their dot end within ``grace_s``, give back the others."""
        if self._fetching is not None:
            self._fetching.stop()
        await self.roster.stop(grace_s=grace_s)
        await asyncio.gather(*self._tasks)
        await self.health.stop()

    def announce(self, transport: str, *, is_urgent: bool = False) -> Announced:
        """Say that something due now is about to be stored for ``transport``.

        A claim that begins before the commit shares it. ``wake`` is to be called all the same, with what this
        gives.
        """
        line = self.roster.named(transport)
        if line is None:
            return None
        line.is_urgent = line.is_urgent or is_urgent
        line.wake.set()
        return line, line.turns

    def wake(
        self,
        transport: str,
        *,
        due_at: datetime | None = None,
        is_urgent: bool = False,
        announced: Announced = None,
    ) -> None:
        """Say that something was queued for ``transport``, due now or at ``due_at``.

        ``is_urgent`` says it is a one-time code: it may use the slots that are kept for codes.
        """
        line = self.roster.named(transport)
        if announced is not None and line is announced[0] and line.turns > announced[1]:
            return  # a claim began behind it
        if line is None and is_guest_name(transport):
            self.recall(transport)
        elif line is None:
            self.roster.give_away(transport)
        elif due_at is None or due_at <= self._clock.now():
            line.is_urgent = line.is_urgent or is_urgent
            line.note_stray()
            line.wake.set()
        else:
            line.expect(due_at)

    def wake_guests(self, due_at: datetime) -> None:
        """Say that something may have been queued for guests, at work or not."""
        for line in self.roster:
            if line.way.is_guest:
                self.wake(line.way.name, due_at=due_at)
        self.seek()

    def _look_at_routes(self) -> None:
        for line in self.roster:
            line.look_at_routes()

    # ------------------------------------------------------------------ a line

    async def _serve(self, line: Line) -> None:
        try:
            while not line.is_leaving:
                line.wake.clear()
                now, monotonic = self._clock.now(), self._clock.monotonic()
                room = line.room(now, monotonic)
                if room.limit:
                    may_be_more = await self._supervised(line, self._claim(line, room, now))
                    if may_be_more:
                        continue
                elif len(self._ways) > 1 and line.wants_to_move(now, monotonic):
                    await self._supervised(line, self._fail_over(line.way, now))
                await self._rest(line)
        except FATAL as error:
            self._fatal(error)

    async def _supervised(self, line: Line, turn: Coroutine[None, None, bool]) -> bool:
        """Take a turn; when the store has no room or no time for it now, come back a little later."""
        try:
            return await turn
        except FATAL:
            raise
        except (OverloadError, DiskFullError) as error:
            log.warning("nothing claimed", transport=line.way.name, error=str(error))
        except Exception:  # supervision: a line never ends by a bug; it comes back
            log.exception("nothing claimed", transport=line.way.name)
        await self._clock.sleep(BUSY_S)
        return True

    async def _claim(self, line: Line, room: Room, now: datetime) -> bool:
        """Claim and begin; return whether more may be due."""
        way = line.way
        line.is_urgent = False
        line.turns += 1
        batch = await self._spool.claim(
            transport=way.name,
            limit=room.limit,
            now=now,
            lease_until=now + LEASE,
            max_recipients=way.transport.max_recipients,
            reserved=room.reserved,
        )
        if line.is_leaving:
            await self._give_back(line, batch)
            return False
        if batch:
            line.began(len(batch))
            measuring.claimed(batch, now)
        for claimed in batch:
            if self._fetching is not None and claimed.message.content.remote_files:
                line.ended(is_begun=False)  # a file server costs neither connections nor pace
                work = self._fetch(self._fetching, line, claimed)
            else:
                work = self._attempt(line, claimed)
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(batch) >= room.limit - room.reserved:
            return True
        if not line.looked or (line.due_at is not None and line.due_at <= now):
            line.looked, line.due_at = True, None
            found = await self._spool.next_due_at(way.name)
            # A hint that came meanwhile may be newer than what was read: the earlier one holds.
            if found is not None and (line.due_at is None or found < line.due_at):
                line.due_at = found
        # What became due while this claim was made would wait for the poll: nobody is told of it again.
        return line.due_at is not None and now < line.due_at <= self._clock.now()

    async def _fail_over(self, way: Way, now: datetime) -> bool:
        """Give what waits for a way that is down to the next working leg of its route."""
        for written in await self._spool.routes_waiting(way.name):
            route = _route(written)
            leg = route and next_leg(route, lambda name: self._ways.fitness(name, now), leaving=way.name)
            if leg:
                moved = await self._spool.fail_over(
                    way.name, route=written, to=leg, now=now, even_uncertain=self._moves_uncertain
                )
                if moved:
                    log.warning("failed over", transport=way.name, to=leg, recipients=moved)
                    self.wake(leg)
        return False

    async def _rest(self, line: Line) -> None:
        """Wait for a wake-up, the next due time, the end of a pause or the poll."""
        if line.wake.is_set():
            return
        now = self._clock.now()
        ends = None
        if line.way.pauses and len(self._ways) > 1:
            ends = min(filter(None, (way.down_until(now) for way in self._ways)), default=None)
        seconds = (line.rest_until(now, ends) - now).total_seconds()
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await line.wake.wait()
        except TimeoutError:
            return

    # ------------------------------------------------------------------ an attempt

    async def _attempt(self, line: Line, claimed: Claimed) -> None:
        measuring.begun(claimed)
        is_begun = True
        try:
            if line.way.sending.refuses(claimed.message.content.from_):
                is_begun = await self._pass_on(line, claimed)
            elif line.way.refusal is not None and claimed.message.created_at <= line.way.refusal[0]:
                report = self._attempts.failed(claimed, line.way.refusal[1])
                is_begun = await self._settle(line, claimed, report)
            else:
                is_begun = await self._settle(line, claimed, await self._attempts.make(line.way, claimed))
        except FATAL as error:
            self._fatal(error)
        except Exception:  # supervision: the lease stays and ends by itself; other messages go on
            log.exception("attempt not settled", message_id=claimed.message.id, transport=line.way.name)
        finally:
            line.ended(is_begun=is_begun)
            if line.way.is_guest:
                self.attempted(line.way.name)
            self._look_for_suspects(claimed)

    async def _fetch(self, fetching: Fetching, line: Line, claimed: Claimed) -> None:
        """Let the files of a mail be fetched; it comes back by the queue."""
        measuring.begun(claimed)
        try:
            await fetching.complete(line.way.name, claimed)
        except FATAL as error:
            self._fatal(error)
        except Exception:  # supervision: the lease stays and ends by itself; other messages go on
            log.exception("files not fetched", message_id=claimed.message.id, transport=line.way.name)
        finally:
            self._look_for_suspects(claimed)

    def _look_for_suspects(self, claimed: Claimed) -> None:
        if claimed.is_suspect:  # the store hands out one at a time: the next may wait on any line
            for other in self.roster:
                other.wake.set()

    async def _pass_on(self, line: Line, claimed: Claimed) -> bool:
        """Settle what this way must not send, without its server: another leg takes it, or it is refused."""
        way, message, now = line.way, claimed.message, self._clock.now()
        decision = settling.decide(
            claimed,
            self._attempts.refused(way, claimed).lines,
            via=line.via(now),
            rules=self._rules[message.mail_class],
            now=now,
            roll=self._dice.roll(),
        )
        settlement, leg = decision.settlement, None
        if claimed.digest is None and (route := _route(claimed.route)) is not None:
            leg = self._ways.taker(route, message.content.from_, now, leaving=way.name)
        if leg is not None:
            settlement = settling.passed_on(settlement, to=leg)
        await self._spool.settle(settlement)
        measuring.settled(way.name, settlement)
        if leg is not None:
            self.wake(leg)
        self._signals.attempted(message.id)
        return False

    async def _settle(self, line: Line, claimed: Claimed, report: Report) -> bool:
        """Settle an attempt; return whether its server was asked to take the message."""
        way, message = line.way, claimed.message
        if not report.lines:
            await self._give_back(line, [claimed])
            return False
        now = self._clock.now()
        via = line.via(now)
        decision = settling.decide(
            claimed,
            report.lines,
            via=via,
            rules=self._rules[message.mail_class],
            now=now,
            roll=self._dice.roll(),
            refusals=await self._refusals(claimed, report) if claimed.tries else settling.NO_REFUSALS,
        )
        is_current = self._ways.any_named(way.name) is way  # else another account has its name, or nobody
        way.note_refusal(decision.refused_login, now)
        if decision.trouble is not None and is_current:
            await self._meet(line, decision, via)
        await self._spool.settle(decision.settlement)
        measuring.settled(way.name, decision.settlement)
        for move in decision.settlement.moves:
            if move.due_at is not None:
                self._successor(line).expect(move.due_at)
                line.note_stray()
        if decision.is_success and way.concurrency.succeeded():
            way.transport.allow(way.concurrency.level)
        if way.pauses and is_current:
            if decision.pause is not None:
                self._signals.paused(way.name)
            elif decision.trouble is None and _got_past_login(report):
                await self.health.served(way, now)
        if decision.suppress and self._operations is not None:
            await self._suppress(self._operations, claimed, decision, now)
        self._signals.attempted(message.id)
        return decision.trouble is None or decision.settlement.is_begun

    async def _give_back(self, line: Line, batch: Sequence[Claimed]) -> None:
        """Give back what was not begun; a line that leaves tells the one in its place."""
        await self._spool.release([claimed.lease for claimed in batch])
        line.note_stray()
        if line.is_leaving and (successor := self._successor(line)) is not line:
            successor.wake.set()

    def _successor(self, line: Line) -> Line:
        return self.roster.named(line.way.name) or line

    async def _meet(self, line: Line, decision: Decision, via: settling.Via) -> None:
        """Do what a failure of the server asks for: fewer connections, a pause, a slower pace."""
        way, trouble, pause = line.way, decision.trouble, decision.pause
        if trouble is None:
            return
        now = self._clock.now()
        was_paused = way.is_paused(now)
        if not was_paused:  # else it is the outage that is known already
            if way.concurrency.failed():
                way.transport.allow(way.concurrency.level)
            if pause is None and (way.concurrency.is_lost or way.fitness(now) is Fitness.PROBING):
                pause = settling.lost(trouble, via=via, now=now, roll=self._dice.roll())
        if pause is not None:
            await self.health.paused(way, pause)
            if not was_paused:
                await self.health.objected(way, trouble)

    async def _refusals(self, claimed: Claimed, report: Report) -> Mapping[int, int]:
        """Return how many 5xx replies a recipient got before; read only when one came again.

        A refused login is judged without a look: until its pause stands, others would log in as well.
        """
        said = ((line.evidence.step, line.evidence.reply) for line in report.lines)
        if not any(reply and reply.is_permanent and step not in TRANSPORT_STEPS for step, reply in said):
            return settling.NO_REFUSALS
        message = claimed.message
        view = await self._spool.view(message.id, tenant=message.tenant)
        if view is None:
            return settling.NO_REFUSALS
        return {
            recipient.number: sum(
                attempt.code is not None and attempt.code >= 500 and attempt.step not in TRANSPORT_STEPS
                for attempt in recipient.attempts
            )
            for recipient in view.recipients
        }

    async def _suppress(
        self, operations: Operations, claimed: Claimed, decision: Decision, now: datetime
    ) -> None:
        """Remember addresses that do not exist, so that nothing is sent to them again."""
        message = claimed.message
        text = {result.recipient: result.evidence for result in decision.settlement.results}
        await operations.suppress(
            [
                Suppression(
                    tenant=message.tenant,
                    address=message.envelope.recipients[number].spec,
                    reason=SuppressionReason.HARD_BOUNCE,
                    note=settling.evidence_text(text[number]),
                    created_at=now,
                    message_id=message.id,
                )
                for number in decision.suppress
            ],
            now=now,
        )


def _got_past_login(report: Report) -> bool:
    return any(line.evidence.step not in TRANSPORT_STEPS for line in report.lines)


@lru_cache(maxsize=1024)
def _route(written: str) -> Route | None:
    """Read a stored route; ``None`` when it was written by other rules than ours."""
    try:
        return parse_route(written, field="route")
    except ConfigError:
        return None
