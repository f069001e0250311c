"""How everything stands at this moment: for people, for ``/readyz``, and for monitoring."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from postroom.clock import Clock
from postroom.engine.alerting.forms import AlertCounts
from postroom.engine.ways import Way, Ways
from postroom.model.message import MailClass
from postroom.model.view import FOREVER, PauseKind, QueueCounts, TransportPause
from postroom.policy.advice import Advice, advice
from postroom.policy.pacing import DAY_S, Used
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Spool
from postroom.ports.gauge import StoreGauge, StoreReading
from postroom.telemetry import catalogue

CLASS_OF_PRIORITY = {rules.priority: mail_class for mail_class, rules in CLASS_RULES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStatus:
    """One transport for people."""

    name: str
    target: str
    """The account's URL without its secret, or ``capture``."""
    pause: TransportPause | None
    """The one that ends last."""
    pauses: tuple[TransportPause, ...] = ()
    """Everything it waits for, the longest first."""
    connections: int = 0
    """How many it may use at this moment."""
    limits: tuple[Used, ...] = ()
    quota_ends_at: datetime | None = None
    """When the day's quota will be used up at the pace of the last hour."""

    @property
    def is_open(self) -> bool:
        """Whether nothing is sent by it because of an outage or a person."""
        return any(pause.is_open for pause in self.pauses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What ``postroom status`` and ``/readyz`` show."""

    mode: str
    """``live`` or ``capture``."""
    ready: bool
    """New mail is taken."""
    problems: tuple[str, ...]
    """Why it is not ready, or what needs a look."""
    seen_at: datetime
    queue: QueueCounts
    transports: tuple[TransportStatus, ...]
    durability: str
    """What an acceptance means on this store, verified at start."""
    oldest_due_at: Mapping[MailClass, datetime] = field(default_factory=dict)
    """Since when the group that waits longest is due, or when the first one will be."""
    store: StoreReading | None = None
    advice: tuple[Advice, ...] = ()
    started_at: datetime | None = None
    smtp_urls: tuple[str, ...] = ()
    """Where the SMTP door listens; empty without one."""
    alerts: AlertCounts | None = None

    @property
    def is_degraded(self) -> bool:
        """Mail is taken, and some of it cannot leave now."""
        return self.ready and any(transport.is_open for transport in self.transports)


async def standing(
    *, spool: Spool, ways: Ways, gauge: StoreGauge | None, clock: Clock, is_stopping: bool, durability: str
) -> Status:
    """Look at everything. Without a ``gauge`` the store tells no more than its counts."""
    queue = await spool.counts()
    store = None if gauge is None else await gauge.reading()
    transports = tuple(_transport(way, clock) for way in ways)
    is_intake_stopped = store is not None and store.is_intake_stopped
    problems = [*_store_problems(store), *_pause_problems(transports), *_route_problems(ways)]
    if is_stopping:
        problems.append("the server is stopping")
    return Status(
        mode=ways.mode,
        ready=not (is_stopping or is_intake_stopped),
        problems=tuple(problems),
        seen_at=clock.now(),
        queue=queue,
        transports=transports,
        durability=durability,
        oldest_due_at=_by_class(store),
        store=store,
        advice=advice(
            counts=queue.by_state,
            pauses=[pause for transport in transports for pause in transport.pauses],
            is_intake_stopped=is_intake_stopped,
        ),
    )


def _transport(way: Way, clock: Clock) -> TransportStatus:
    limits = tuple(way.pace.limits(clock.monotonic()))
    ends = [used.ends_in_s for used in limits if used.window_s == DAY_S and used.ends_in_s is not None]
    now = clock.now()
    return TransportStatus(
        name=way.name,
        target=way.target,
        pause=way.pause,
        pauses=tuple(sorted(way.pauses.values(), key=lambda pause: pause.until, reverse=True)),
        connections=way.concurrency.level,
        limits=limits,
        quota_ends_at=datetime.fromtimestamp(now.timestamp() + min(ends), UTC) if ends else None,
    )


def _by_class(store: StoreReading | None) -> dict[MailClass, datetime]:
    if store is None:
        return {}
    return {CLASS_OF_PRIORITY[priority]: due_at for priority, due_at in sorted(store.oldest_due_at.items())}


def _store_problems(store: StoreReading | None) -> Iterable[str]:
    if store is not None and store.is_intake_stopped:
        yield (
            f"no new mail is taken: {store.disk_free} bytes are free on the disk and"
            f" {store.disk_reserve} are kept in reserve"
        )


def _pause_problems(transports: Sequence[TransportStatus]) -> Iterable[str]:
    for transport in transports:
        if (pause := transport.pause) is not None:
            end = f"until {pause.until:%Y-%m-%d %H:%M:%S} UTC"
            if pause.until >= FOREVER:
                end = "until resumed" if pause.kind is PauseKind.SUSPENDED else "until a person acts"
            yield f"transport {transport.name} is paused {end}: {pause.text}"


def _route_problems(ways: Ways) -> Iterable[str]:
    for name in ways.absent:
        yield f"routes name the transport {name}, which does not exist: they pass it over"


def show(status: Status) -> None:
    """Fill the gauges that monitoring reads."""
    now = status.seen_at
    catalogue.RECIPIENTS.show({(state.value,): count for state, count in status.queue.by_state.items()})
    catalogue.QUEUE_OLDEST.show(
        {(mail_class.value,): _age(due_at, now) for mail_class, due_at in status.oldest_due_at.items()}
    )
    pauses = [pause for transport in status.transports for pause in transport.pauses]
    catalogue.PAUSED.show({(pause.transport, pause.kind.value): 1 for pause in pauses})
    catalogue.BREAKER_OPEN.show({(one.name,): one.is_open for one in status.transports})
    catalogue.TRANSPORT_CONNECTIONS.show({(one.name,): one.connections for one in status.transports})
    used = [(one.name, limit) for one in status.transports for limit in one.limits]
    catalogue.PACE_USED.show({(name, str(limit.window_s)): limit.used for name, limit in used})
    catalogue.PACE_ALLOWED.show({(name, str(limit.window_s)): limit.allowed for name, limit in used})
    if (store := status.store) is not None:
        catalogue.UNCERTAIN_OLDEST.show(_age(store.uncertain_since or now, now))
        catalogue.STORE_WAITING.show(store.waiting_operations)
        catalogue.WAL_BYTES.show(store.wal_bytes)
        catalogue.DISK_FREE.show(store.disk_free)
        catalogue.DISK_RESERVE.show(store.disk_reserve)
    if (alerts := status.alerts) is not None:
        catalogue.ALERTS_ACTIVE.show(alerts.active)
        catalogue.ALERT_EVENTS_WAITING.show(alerts.events_waiting)
        catalogue.ALERT_LETTERS_WAITING.show(alerts.letters_waiting)
        catalogue.ALERT_LETTERS_OLDEST.show(_age(alerts.oldest_letter_at or now, now))


def _age(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
