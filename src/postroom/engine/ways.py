"""The ways out, as the engine knows them, and the choice among them.

What the settings name comes first, in its order, then what calls made, in theirs. Ways may come, be replaced
and go at any time (``engine.roster``): whoever keeps what was derived from them looks at ``version``.

Guests, the accounts that callers bring, stand apart: only ``any_named`` knows them, so nothing that lists or
chooses ways ever meets one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from postroom.engine.freezing import Sending
from postroom.mime.rendered import RenderedMessage
from postroom.model.address import Address, Mailbox
from postroom.model.message import Content
from postroom.model.outcome import Evidence
from postroom.model.route import Route
from postroom.model.transport import FromPolicy, Rate
from postroom.model.view import PauseKind, TransportPause
from postroom.policy import pausing
from postroom.policy.concurrency import Concurrency
from postroom.policy.failover import Fitness, first_leg
from postroom.policy.pacing import Pace
from postroom.ports import Transport

PROBE_AGAIN = timedelta(minutes=1)
"""A leg whose pause is over gets one new message to probe it, and another when that one told nothing."""


@dataclass(slots=True, kw_only=True, eq=False)
class Way:
    """One transport with what the engine must know of it, and how it is at this moment."""

    transport: Transport
    target: str
    """For people: the account's URL without its secret, or ``capture``."""
    default_from: Mailbox | None = None
    account: Address | None = None
    """The login, when it is an address: MAIL FROM of messages that name no sender."""
    from_policy: FromPolicy = FromPolicy.KEEP
    provider: str | None = None
    """Id of the provider whose server it is, when one is known."""
    rates: tuple[Rate, ...] = ()
    digest: Callable[[Content, RenderedMessage], str] | None = None
    """What stands for the bytes that it sends, where they are not the mail's own."""
    loses: Callable[[Content], Sequence[str]] | None = None
    """What it cannot carry, in words, where it does not send the mail itself."""
    pauses: dict[PauseKind, TransportPause] = field(default_factory=dict)
    """By failures that concern the transport, and by a person; each stays until something gets past it."""
    is_guest: bool = False
    """Brought by a caller: nobody tends it, and what is learnt of it is forgotten with it."""
    refusal: tuple[datetime, Evidence] | None = None
    """Of a guest: when its server refused the login for good, and how. Earlier mail need not try again."""
    full_until: datetime | None = None
    """When its pace lets the next message go, while it lets none."""
    sending: Sending = field(init=False)
    """What it says about senders."""
    pace: Pace = field(init=False)
    concurrency: Concurrency = field(init=False)
    _probed_at: datetime | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Begin at the configured pace and slowly."""
        self.pace = Pace(self.rates)
        self.sending = Sending(
            transport=self.transport.name,
            default_from=self.default_from,
            account=self.account,
            from_policy=self.from_policy,
        )
        capacity = self.transport.capacity
        if self.transport.is_capture:
            self.concurrency = Concurrency(capacity, level=capacity)  # no server to be gentle with
        else:
            self.concurrency = Concurrency(max(capacity // 2, 1))

    @property
    def name(self) -> str:
        """The transport's configured name."""
        return self.transport.name

    @property
    def pause(self) -> TransportPause | None:
        """The pause that ends last, over or not."""
        return pausing.ruling(self.pauses.values()) if self.pauses else None

    def is_paused(self, now: datetime) -> bool:
        """Say whether nothing may be claimed for it yet."""
        return bool(self.pauses) and any(now < pause.until for pause in self.pauses.values())

    def failures(self, now: datetime) -> Mapping[PauseKind, int]:
        """Return the failures in a row before now, by kind."""
        return pausing.failures_before(self.pauses, now)

    def down_until(self, now: datetime) -> datetime | None:
        """Return the end of its outage; ``None`` while it works or waits only for a moment."""
        ends = [pause.until for pause in self.pauses.values() if pause.is_open and now < pause.until]
        if self.full_until is not None and self.full_until - now > timedelta(seconds=pausing.OUTAGE_S):
            ends.append(self.full_until)
        return max(ends, default=None)

    def fitness(self, now: datetime) -> Fitness:
        """Return how well it may be used now."""
        if not self.pauses and self.full_until is None:
            return Fitness.WORKS
        if self.down_until(now) is not None:
            return Fitness.DOWN
        return Fitness.PROBING if self.has_outage else Fitness.WORKS

    def note_refusal(self, evidence: Evidence | None, now: datetime) -> None:
        """Note how the server of a guest refused its account for good, if it did."""
        if evidence is not None:
            self.refusal = (now, evidence)

    @property
    def has_outage(self) -> bool:
        """Whether a breaker is open, its pause over or not; what a person suspended is no outage."""
        return any(pause.is_open and pause.kind is not PauseKind.SUSPENDED for pause in self.pauses.values())

    def takes_probe(self, now: datetime) -> bool:
        """Take a new message as the probe, once a minute; ``False`` when one was taken just now."""
        if self._probed_at is not None and self._probed_at <= now < self._probed_at + PROBE_AGAIN:
            return False
        self._probed_at = now
        return True


class Ways:
    """Every way out in its order; the first is the default route."""

    def __init__(self, ways: Sequence[Way]) -> None:
        """Take at least one way, names unique."""
        self._by_name = {way.name: way for way in ways}
        self._guests: dict[str, Way] = {}
        self.default = ways[0]
        self.version = 0
        """Another number after every change."""
        self.routed: frozenset[str] = frozenset()
        """Names in routes of the settings, whether they exist or not."""

    def put(self, way: Way) -> None:
        """Take a way: in the place of the one of its name, else last."""
        self._by_name[way.name] = way
        self._changed()

    def remove(self, name: str) -> None:
        """Forget a way; at least one must be left."""
        del self._by_name[name]
        self._changed()

    def admit(self, guest: Way) -> None:
        """Take a guest."""
        self._guests[guest.name] = guest

    def dismiss(self, name: str) -> None:
        """Forget a guest."""
        del self._guests[name]

    def _changed(self) -> None:
        self.default = next(iter(self._by_name.values()))
        self.version += 1

    def __iter__(self) -> Iterator[Way]:
        return iter(tuple(self._by_name.values()))  # ways may change while somebody looks at each

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Way | None:
        """Return the way of this name."""
        return self._by_name.get(name)

    def any_named(self, name: str) -> Way | None:
        """Return the way of this name, or the guest."""
        return self._by_name.get(name) or self._guests.get(name)

    def leg(self, route: Route, now: datetime) -> Way:
        """Return the leg that takes a new message of this route.

        The first working leg; a leg before it whose pause is over takes one message a minute, as its probe.
        When none works, the one whose outage ends first. Legs that are not configured (any more) are passed
        over; a route without a configured leg goes by the default way.
        """
        way = self._by_name.get(route.legs[0])
        if way is not None and not way.pauses and way.full_until is None:
            return way
        for name in route.legs:
            way = self._by_name.get(name)
            if way is None:
                continue
            fitness = way.fitness(now)
            if fitness is Fitness.WORKS or (fitness is Fitness.PROBING and way.takes_probe(now)):
                return way
        best = first_leg(route, lambda name: self.fitness(name, now))
        if best is not None:
            return self._by_name[best]
        known = [self._by_name[name] for name in route.legs if name in self._by_name]
        return min(known, key=lambda way: way.down_until(now) or now, default=self.default)

    def taker(self, route: Route, from_: Mailbox, now: datetime, *, leaving: str) -> str | None:
        """Return a working leg beside ``leaving`` that takes mail from this sender, ``None`` without one."""
        ways = [way for name in route.legs if name != leaving and (way := self._by_name.get(name))]
        legs = tuple(way.name for way in ways if not way.sending.refuses(from_))
        return first_leg(Route(legs, route.kind), lambda name: self.fitness(name, now)) if legs else None

    def fitness(self, name: str, now: datetime) -> Fitness:
        """Return the fitness of a transport by name; one that is not configured is down."""
        way = self._by_name.get(name)
        return Fitness.DOWN if way is None else way.fitness(now)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in order."""
        return tuple(self._by_name)

    @property
    def absent(self) -> tuple[str, ...]:
        """Names that routes have and no way: their legs are passed over."""
        return tuple(sorted(self.routed - self._by_name.keys()))

    @property
    def mode(self) -> str:
        """``capture`` when nothing leaves the machine, else ``live``."""
        return "capture" if all(way.transport.is_capture for way in self) else "live"
