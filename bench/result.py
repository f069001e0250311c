"""What one round of one peer gave."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Rates in messages a second, CPU in microseconds a message, memory in megabytes."""

    accepted_s: float
    delivered_s: float
    cpu_us: float
    pss_mb: float
    sent: int
    received: int
    """At the sink, after everything became quiet: more than ``sent`` would be copies."""
    generator_cpu_us: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer in one configuration, with all its rounds."""

    name: str
    settings: dict[str, str]
    rounds: tuple[Round, ...]

    def median(self, value: Callable[[Round], float]) -> float:
        """Return the median of one figure over the rounds."""
        return statistics.median(value(one) for one in self.rounds)

    def as_json(self) -> dict[str, object]:
        """Return everything, for the file."""
        return asdict(self)


def better(peers: Sequence[Peer]) -> Peer:
    """Return the peer that delivered more."""
    return max(peers, key=lambda peer: peer.median(lambda one: one.delivered_s))
