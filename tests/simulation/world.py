"""A small world in virtual time: scripted servers, an engine that is killed and started again, oracles.

Nothing here waits for the network or the disk. Every chance comes from one seeded generator, so a seed is
a run.
"""

import asyncio
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from postroom.engine.dispatcher import Dispatcher
from postroom.engine.rendering import RenderedMessages
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.mime.rendered import DEFAULT_VARIANT, Variant
from postroom.model.address import Address, Mailbox
from postroom.model.event import EventKind, NewEvent
from postroom.model.ids import DEFAULT_TENANT, ENTROPY_BYTES, MessageId, new_message_id
from postroom.model.lifecycle import OPEN_STATES, RecipientState
from postroom.model.message import Content, Door, Envelope, MailClass, Message, UncertainPolicy
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.route import Route
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.transport import Rate
from postroom.model.view import MessageView, RecipientView
from postroom.policy.retry import CLASS_RULES, ClassRules
from postroom.ports import Report, ReportLine, Work
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from simulation.virtual_time import START, VirtualClock

SENDER = Address("app", "example.com")
UNCERTAIN_WAIT = timedelta(minutes=15)


def _reply(step: Step, code: int, text: str) -> Evidence:
    return Evidence(step=step, reply=Reply(code, (text,), text.encode()), host="smtp.example.com", port=587)


def _fault(step: Step, kind: FaultKind) -> Evidence:
    fault = Fault(kind=kind, text=f"{kind} while simulated")
    return Evidence(step=step, fault=fault, host="smtp.example.com", port=587)


OK = _reply(Step.BODY_END, 250, "2.0.0 queued")
UNKNOWN_USER = _reply(Step.RCPT, 550, "5.1.1 no such user")
GREYLISTED = _reply(Step.RCPT, 450, "4.2.0 greylisted")
RATE_LIMIT = _reply(Step.MAIL, 450, "4.7.1 rate limit exceeded")
CUT = _fault(Step.BODY_END, FaultKind.CLOSED)

OUTAGES = {
    "refused": _fault(Step.CONNECT, FaultKind.REFUSED),
    "timeout": _fault(Step.CONNECT, FaultKind.TIMEOUT),
    "login": _reply(Step.AUTH, 535, "5.7.8 authentication failed"),
    "storm": _reply(Step.MAIL, 451, "4.3.0 mail system unavailable"),
    "reset": _fault(Step.DATA, FaultKind.CLOSED),
    "throttle": RATE_LIMIT,
    "cut": CUT,
}
"""What each kind of outage answers; ``cut`` takes the mail or not, and says nothing."""


@dataclass(frozen=True, slots=True)
class Outage:
    """From ``start`` to ``end``, in seconds of the run."""

    start: float
    end: float
    kind: str


@dataclass(eq=False)
class Server:
    """A server by a script, with the books of what it took; outlives every process that sends to it."""

    name: str
    rng: random.Random
    outages: Sequence[Outage] = ()
    rates: tuple[Rate, ...] = ()
    """What the settings of the transport say."""
    quota: tuple[float, int] | None = None
    """A window in seconds and what the server takes in it, whether the settings know it or not."""
    latency_s: tuple[float, float] = (0.01, 0.3)
    max_connections: int = 4
    is_kind: bool = True
    """No recipient is refused or greylisted."""
    taken: list[tuple[float, MessageId, int]] = field(default_factory=list)
    """Every copy that arrived, with its time."""
    begun: list[float] = field(default_factory=list)
    """When each attempt began that got as far as MAIL."""
    knocks: list[float] = field(default_factory=list)
    """When each attempt began."""
    seen: set[tuple[MessageId, int]] = field(default_factory=set)
    most_at_once: int = 0

    def outage(self, at: float) -> Outage | None:
        return next((outage for outage in self.outages if outage.start <= at < outage.end), None)

    def objects(self, at: float) -> bool:
        """Say whether one more mail would be above the quota."""
        if self.quota is None:
            return False
        window_s, allowed = self.quota
        taken = [time for time, _, _ in self.taken]
        return bisect_right(taken, at) - bisect_right(taken, at - window_s) >= allowed


@dataclass(eq=False)
class ScriptedWay:
    """The transport of one process to one server.

    Like the real one it tries one connection while none is open, and gives back what waited when that fails.
    """

    server: Server
    clock: VirtualClock
    is_capture: bool = False
    max_recipients: int = 100
    variant: Variant = DEFAULT_VARIANT
    allowed: int = 1
    busy: int = 0
    is_open: bool = False
    refusals: int = 0
    is_stopping: bool = False
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def capacity(self) -> int:
        return 2 * self.server.max_connections

    def allow(self, connections: int) -> None:
        self.allowed = connections
        self.freed.set()

    async def attempt(self, work: Work) -> Report:
        server = self.server
        refusals = self.refusals
        while self.busy >= (self.allowed if self.is_open else 1):
            self.freed.clear()
            await self.freed.wait()
        if self.is_stopping or refusals != self.refusals:
            return Report(lines=())
        self.busy += 1
        server.most_at_once = max(server.most_at_once, self.busy)
        try:
            return await self._dialogue(work)
        finally:
            self.busy -= 1
            self.freed.set()

    async def _dialogue(self, work: Work) -> Report:
        server, began = self.server, self.clock.monotonic()
        server.knocks.append(began)
        outage = server.outage(began)
        if outage is None or OUTAGES[outage.kind].step not in TRANSPORT_STEPS:
            server.begun.append(began)
        await self.clock.sleep(server.rng.uniform(*server.latency_s))
        self.is_open = outage is None or OUTAGES[outage.kind].step not in TRANSPORT_STEPS
        self.refusals += not self.is_open
        if outage is not None and outage.kind != "cut":
            return self._same(work, OUTAGES[outage.kind])
        if server.objects(began):
            return self._same(work, RATE_LIMIT)
        lines = {number: self._of(work, number) for number, _ in work.recipients}
        willing = [number for number, evidence in lines.items() if evidence is OK]
        if willing:
            if not await work.commit():
                return Report(lines=())
            await self.clock.sleep(server.rng.uniform(0.0, 0.05))
            is_cut = outage is not None
            if not is_cut or server.rng.random() < 0.5:
                for number in willing:
                    server.taken.append((self.clock.monotonic(), work.message_id, number))
            await self.clock.sleep(server.rng.uniform(0.0, 0.05))
            if is_cut:
                lines |= dict.fromkeys(willing, CUT)
        return self._report(lines)

    def _of(self, work: Work, number: int) -> Evidence:
        if self.server.is_kind:
            return OK
        key = (work.message_id, number)
        draw = random.Random(f"{work.message_id} {number}").random()
        if draw < 0.05:
            return UNKNOWN_USER
        if draw < 0.15 and key not in self.server.seen:
            self.server.seen.add(key)
            return GREYLISTED
        return OK

    def _same(self, work: Work, evidence: Evidence) -> Report:
        return self._report({number: evidence for number, _ in work.recipients})

    def _report(self, lines: dict[int, Evidence]) -> Report:
        now = self.clock.now()
        return Report(
            lines=tuple(
                ReportLine(recipient=number, evidence=evidence, at=now, duration_ms=1)
                for number, evidence in lines.items()
            )
        )

    async def stop(self, *, grace_s: float) -> None:
        del grace_s
        self.is_stopping = True
        self.allowed = 10**6
        self.freed.set()


class EventBook:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.told: list[NewEvent] = []

    async def append(self, events: Sequence[NewEvent]) -> None:
        self.told += events


class SeededDice:
    """Rolls of the run's generator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def roll(self) -> float:
        return self._rng.random()

    def token(self, size: int) -> bytes:
        return self._rng.randbytes(size)


class World:
    """A store that survives, and one process after the other on it."""

    def __init__(
        self,
        clock: VirtualClock,
        rng: random.Random,
        servers: Sequence[Server],
        *,
        rules: Mapping[MailClass, ClassRules] = CLASS_RULES,
    ) -> None:
        self.clock = clock
        self.rules = rules
        self.rng = rng
        self.servers = {server.name: server for server in servers}
        self.store = open_memory(settings=SpoolSettings(reserve=0, ballast=0, max_crashes=None))
        self.spool = self.store.spool
        self.events = EventBook()
        self.messages: dict[MessageId, Message] = {}
        self.failures: list[BaseException] = []
        self.kills = 0
        self.ways: Ways
        self.dispatcher: Dispatcher
        self._duties: asyncio.Task[None]

    # ------------------------------------------------------------------ processes

    async def start(self) -> None:
        """Start a process on the store."""
        dice = SeededDice(self.rng)
        self.ways = Ways(
            [
                Way(transport=ScriptedWay(server, self.clock), target=server.name, rates=server.rates)
                for server in self.servers.values()
            ]
        )
        self.dispatcher = Dispatcher(
            spool=self.spool,
            ways=self.ways,
            rules=self.rules,
            rendered=RenderedMessages(),
            signals=Signals(),
            clock=self.clock,
            dice=dice,
            fatal=self.failures.append,
            events=self.events,  # type: ignore[arg-type]  # the one verb that the engine needs
        )
        await self.spool.recover(now=self.clock.now(), wait=UNCERTAIN_WAIT)
        await self.dispatcher.start()
        self._duties = asyncio.create_task(self._tend())

    async def kill(self) -> None:
        """End the process at this instant: nothing more is said, to the store or to a server."""
        self.kills += 1
        tasks = [self._duties, *self.dispatcher.roster._servers.values(), *self.dispatcher._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """End the process in order."""
        self._duties.cancel()
        await self.dispatcher.stop(grace_s=1)

    async def _tend(self) -> None:
        while True:
            await self.clock.sleep(60)
            await self.spool.expire(now=self.clock.now(), limit=10_000)
            await self.dispatcher.health.tend()

    # ------------------------------------------------------------------ mail

    async def submit(
        self,
        route: Route,
        *,
        mail_class: MailClass = MailClass.TRANSACTIONAL,
        recipients: int = 1,
        policy: UncertainPolicy | None = None,
    ) -> MessageId:
        """Store a message as intake would."""
        now = self.clock.now()
        name = new_message_id(now, self.rng.randbytes(ENTROPY_BYTES))
        rules = self.rules[mail_class]
        message = Message(
            id=name,
            tenant=DEFAULT_TENANT,
            door=Door.HTTP,
            mail_class=mail_class,
            created_at=now,
            send_at=now,
            expires_at=now + rules.expires,
            uncertain_policy=policy or rules.uncertain,
            envelope=Envelope(
                reverse_path=SENDER,
                recipients=tuple(Address(f"r{number}", "example.net") for number in range(recipients)),
            ),
            content=Content(
                message_id=f"{name}@example.com",
                date=now,
                boundary="b",
                from_=Mailbox(SENDER),
                to=(Mailbox(Address("r0", "example.net")),),
                subject="s",
                text="t",
            ),
        )
        way = self.ways.leg(route, now)
        written = str(route) if len(route.legs) > 1 else ""
        await self.spool.accept(message, transport=way.name, route=written)
        self.messages[name] = message
        self.dispatcher.wake(way.name, is_urgent=mail_class is MailClass.CODE)
        return name

    async def view(self, name: MessageId) -> MessageView:
        found = await self.spool.view(name, tenant=DEFAULT_TENANT)
        assert found is not None
        return found

    async def waiting(self) -> int:
        """Return how many recipients are open and do not wait for a person."""
        counts = (await self.spool.counts()).by_state
        waiting = sum(counts.get(state, 0) for state in OPEN_STATES - {RecipientState.UNCERTAIN})
        if waiting or not counts.get(RecipientState.UNCERTAIN):
            return waiting
        views = [await self.view(name) for name in self.messages]
        return sum(
            recipient.state is RecipientState.UNCERTAIN and recipient.due_at is not None
            for view in views
            for recipient in view.recipients
        )

    async def until_empty(self, horizon_s: float) -> None:
        """Let time pass until nothing waits, at most to ``horizon_s`` of the run."""
        while await self.waiting():
            assert self.clock.monotonic() < horizon_s, f"{await self.waiting()} recipients still wait"
            await self.clock.sleep(120)

    # ------------------------------------------------------------------ oracles

    async def check(self) -> Counter[str]:
        """Hold the books of the servers against what the store says; return how often what was met."""
        assert not self.failures, self.failures
        copies = Counter(
            (name, number) for server in self.servers.values() for _, name, number in server.taken
        )
        met = Counter(event.kind.value for event in self.events.told)
        met["killed"] = self.kills
        for name in self.messages:
            for recipient in (await self.view(name)).recipients:
                arrived = copies.pop((name, recipient.number), 0)
                met[recipient.state.value] += 1
                met["maybe sent twice"] += arrived > 1
                met["uncertain attempt"] += _uncertain(recipient) > 0
                met["failed over"] += len({attempt.transport for attempt in recipient.attempts}) > 1
                self._check_recipient(name, recipient, arrived)
        assert not copies, f"sent and not accepted by us: {copies}"
        for server in self.servers.values():
            for rate in server.rates:
                most = most_in_any_window(server.begun, rate.window_s)
                assert most <= rate.allowed, f"{server.name}: {most} in {rate.window_s} s"
            self._check_outages(server)
        return +met

    def _check_recipient(self, name: MessageId, recipient: RecipientView, copies: int) -> None:
        uncertain = _uncertain(recipient)
        told = f"{name} {recipient.number} is {recipient.state}: {copies} copies, {uncertain} uncertain"
        match recipient.state:
            case RecipientState.ACCEPTED:
                assert 1 <= copies <= 1 + uncertain, told
            case RecipientState.UNCERTAIN:
                assert copies <= uncertain, told
                assert uncertain, told
            case RecipientState.REFUSED | RecipientState.EXPIRED:
                assert copies <= uncertain, told
            case _:
                raise AssertionError(told)
        if recipient.state is RecipientState.EXPIRED:
            assert self._had_outage(self.messages[name]), f"{told}, and nothing kept it"

    def _had_outage(self, message: Message) -> bool:
        since = (message.created_at - START).total_seconds()
        until = (message.expires_at - START).total_seconds()
        return any(
            outage.start < until and since < outage.end + 3600  # a pause of a login goes on for an hour
            for server in self.servers.values()
            for outage in server.outages
        ) or any(server.quota is not None or server.rates for server in self.servers.values())

    def _check_outages(self, server: Server) -> None:
        """An outage is told once when it begins and once when it is over."""
        kinds = (EventKind.TRANSPORT_OPENED, EventKind.TRANSPORT_CLOSED)
        told = [event.kind for event in self.events.told if event.transport == server.name]
        told = [kind for kind in told if kind in kinds]
        for number, kind in enumerate(told):
            assert kind is kinds[number % 2], f"{server.name}: {told}"

    def told(self, kind: EventKind, name: str) -> list[NewEvent]:
        """Return the events of one kind about one transport."""
        return [event for event in self.events.told if event.kind is kind and event.transport == name]


def _uncertain(recipient: RecipientView) -> int:
    """Return how many attempts were declared uncertain."""
    return sum(attempt.outcome == "uncertain" for attempt in recipient.attempts)


def most_in_any_window(instants: Sequence[float], length: float) -> int:
    """Return the most instants in one half-open window of that length."""
    ordered = sorted(instants)
    return max((bisect_right(ordered, at) - bisect_right(ordered, at - length) for at in ordered), default=0)
