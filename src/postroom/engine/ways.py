"""The configured ways out, as the engine knows them, and the choice among them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from postroom.model.address import Address, Mailbox
from postroom.model.view import TransportPause
from postroom.ports import Transport


@dataclass(slots=True, kw_only=True, eq=False)
class Way:
    """One transport with what the engine must know of it. The only mutable field is ``pause``."""

    transport: Transport
    target: str
    """For people: the account's URL without its secret, or ``capture``."""
    default_from: Mailbox | None = None
    account: Address | None = None
    """The login, when it is an address: MAIL FROM of messages that name no sender."""
    pause: TransportPause | None = None
    """Set by a failure that concerns the transport; stays until an attempt gets past it."""

    @property
    def name(self) -> str:
        """The transport's configured name."""
        return self.transport.name

    def is_paused(self, now: datetime) -> bool:
        """Say whether nothing may be claimed for it yet."""
        return self.pause is not None and now < self.pause.until

    def failures(self, now: datetime) -> int:
        """Return the failures in a row before now; several connections that fail at once are one."""
        if self.pause is None:
            return 0
        return self.pause.failures - self.is_paused(now)


class Ways:
    """Every way out in configured order; the first is the default route."""

    def __init__(self, ways: Sequence[Way]) -> None:
        """Take at least one way, names unique."""
        self._by_name = {way.name: way for way in ways}
        self.default = ways[0]

    def __iter__(self) -> Iterator[Way]:
        return iter(self._by_name.values())

    def named(self, name: str) -> Way | None:
        """Return the way of this name."""
        return self._by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in configured order."""
        return tuple(self._by_name)

    @property
    def mode(self) -> str:
        """``capture`` when nothing leaves the machine, else ``live``."""
        return "capture" if all(way.transport.is_capture for way in self) else "live"
