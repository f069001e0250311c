"""Every connection of one server, counted: who may come in, and when times are hard.

Stress: when four fifths of the seats are taken, deadlines are short, one error ends a connection and none is
kept alive after its answer; it ends when fewer than three fifths are taken, so that it does not flicker.

A caller is counted from the moment it is accepted, a TLS handshake too: who never finishes one takes a seat
like everybody else, and gives it back at the same deadline.
"""

import asyncio
from collections import Counter as Tally
from dataclasses import dataclass
from typing import Any, Protocol

from postroom.telemetry import catalogue, logger
from postroom.telemetry.tallies import Counter, Gauge
from postroom.web.keyless import Network, is_loopback, is_within

_log = logger("doors")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Security limits of connections; seconds and bytes."""

    max_connections: int = 1024
    max_per_address: int = 20
    head_s: float = 10.0
    """From the first byte of a request's head (or the connection's begin) to its end; also of a handshake."""
    min_rate: int = 500
    """Bytes a second of a body, measured after ``grace_s``."""
    grace_s: float = 10.0
    keep_alive_s: float = 75.0
    """Idle between requests."""
    stalled_s: float = 60.0
    """A caller that does not read our answer is cut after this."""
    max_head: int = 64 * 1024
    """Request line and headers together."""
    max_headers: int = 100
    max_errors: int = 20
    """Answers of 400 and above on one connection."""
    stop_s: float = 10.0
    """For running requests at the end."""

    def under_stress(self) -> "ServerLimits":
        """Return what holds while most seats are taken: a fifth of the time, and no patience."""
        return ServerLimits(
            max_connections=self.max_connections,
            max_per_address=self.max_per_address,
            head_s=self.head_s / 5,
            min_rate=self.min_rate,
            grace_s=self.grace_s / 5,
            keep_alive_s=0.0,
            stalled_s=self.stalled_s / 5,
            max_head=self.max_head,
            max_headers=self.max_headers,
            max_errors=1,
            stop_s=self.stop_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """Where the connections of one server are counted."""

    open: Gauge
    most: Gauge
    refused: Counter
    stressed: Gauge


HTTP_METERS = Meters(
    open=catalogue.CONNECTIONS,
    most=catalogue.MAX_CONNECTIONS,
    refused=catalogue.CONNECTIONS_REFUSED,
    stressed=catalogue.STRESSED,
)


class Errand(Protocol):
    """What is waited for at the end: an answer that is owed."""

    task: asyncio.Task[None] | None


class Guest(Protocol):
    """A connection, as its household sees it."""

    transport: asyncio.Transport

    def check_deadlines(self) -> None:
        """Cut it when it is past a deadline."""

    def shutdown(self) -> None:
        """End it after the answer that is under way."""


@dataclass(slots=True, eq=False)
class Seat:
    """The place of one connection."""

    door: str
    counted_as: str
    """The address it counts for; ``""`` for an exempt one."""
    is_taken: bool = True


class Household:
    """Every connection of one server."""

    def __init__(
        self, limits: ServerLimits, exempt: tuple[Network, ...], *, meters: Meters = HTTP_METERS
    ) -> None:
        """Begin without connections. ``exempt`` networks have no limit per address."""
        self.meters = meters
        self.limits = self._calm = limits
        """What holds now."""
        self._hard = limits.under_stress()
        self.date_line = b""
        """The Date header with its line end; ``web.server`` sets it once a second."""
        self.exchanges: set[Errand] = set()
        """Those that run, also when their caller is gone."""
        self.guests: set[Guest] = set()
        self._per_address: Tally[str] = Tally()
        self._per_door: Tally[str] = Tally()
        self._taken = 0
        self._exempt = exempt

    @property
    def is_stressed(self) -> bool:
        """Whether most seats are taken."""
        return self.limits is self._hard

    def seat(self, peer: str, door: str) -> Seat | None:
        """Count a new connection; ``None`` when a bound is reached."""
        counts = not (is_loopback(peer) or is_within(peer, self._exempt))
        if self._taken >= self.limits.max_connections:
            self.meters.refused.count(("full",))
            return None
        if counts and self._per_address[peer] >= self.limits.max_per_address:
            self.meters.refused.count(("address",))
            return None
        self._taken += 1
        self._per_door[door] += 1
        if counts:
            self._per_address[peer] += 1
        if self._taken * 5 >= self.limits.max_connections * 4 and not self.is_stressed:
            self.limits = self._hard
            _log.warning("most connections are in use: deadlines are short", connections=self._taken)
        return Seat(door, peer if counts else "")

    def leave(self, seat: Seat) -> None:
        """Count a connection out; again is no harm."""
        if not seat.is_taken:
            return
        seat.is_taken = False
        self._taken -= 1
        self._per_door[seat.door] -= 1
        if seat.counted_as:
            self._per_address[seat.counted_as] -= 1
            if not self._per_address[seat.counted_as]:
                del self._per_address[seat.counted_as]
        if self.is_stressed and self._taken * 5 < self.limits.max_connections * 3:
            self.limits = self._calm
            _log.info("connections are free again", connections=self._taken)

    def show(self) -> None:
        """Fill the gauges of the doors."""
        self.meters.open.show({(door,): count for door, count in self._per_door.items()})
        self.meters.most.show(self.limits.max_connections)
        self.meters.stressed.show(self.is_stressed)

    def check_deadlines(self) -> None:
        """Cut the connections that are past a deadline."""
        for guest in tuple(self.guests):
            guest.check_deadlines()

    async def finish(self, hurry: asyncio.Event | None = None) -> None:
        """Let running requests end, unless there is a ``hurry``; then close every connection."""
        for guest in tuple(self.guests):
            guest.shutdown()
        running = [exchange.task for exchange in self.exchanges if exchange.task is not None]
        if running:
            await _ended(running, self.limits.stop_s, hurry)
        for guest in tuple(self.guests):
            guest.transport.close()
        # One turn of the loop, so that closed transports are gone before their loop may be.
        await asyncio.sleep(0)


async def _ended(running: list[asyncio.Task[None]], seconds: float, hurry: asyncio.Event | None) -> None:
    """Wait until all have ended, the time is over or there is a hurry."""
    everything = asyncio.ensure_future(asyncio.wait(running, timeout=seconds))
    ends: list[asyncio.Future[Any]] = [everything]
    if hurry is not None:
        ends.append(asyncio.ensure_future(hurry.wait()))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
