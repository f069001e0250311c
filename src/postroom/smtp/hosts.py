"""What we learnt about a server's tolerance: may commands be grouped, may they ride on a body?

PIPELINING (RFC 2920) is announced by servers that do not bear it, so an announcement is tried, not
believed: the first message goes grouped, later ones ride when that went well. Any sign of trouble falls
back for a day: from riding to grouped, from grouped to lockstep.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

BAD_FOR_S = 24 * 3600.0
"""Seconds for which a mode that failed is not tried again."""


class Mode(StrEnum):
    """How many flights one message takes."""

    LOCKSTEP = "lockstep"
    """Each command waits for the reply before: n + 3 flights for n recipients."""
    GROUPED = "grouped"
    """MAIL, RCPT and DATA together, then the content: 2 flights."""
    RIDING = "riding"
    """The content together with the next message's group: 1 flight (RFC 2920 section 3.1)."""


_LOCKSTEP, _GROUPED, _RIDING = Mode
"""By name: reading a member through its class costs 0.18 us, and each message asks several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """What is known of one (host, port). Times are monotonic seconds."""

    is_proven: bool = False
    """A grouped message went well."""
    rides: bool = False
    """A message that rode went well."""
    lockstep_until: float = 0.0
    grouped_until: float = 0.0

    def mode(self, *, is_announced: bool, now: float) -> Mode:
        """Return how the next message may be sent to a server that announces PIPELINING, or does not."""
        if not is_announced or now < self.lockstep_until:
            return _LOCKSTEP
        return _RIDING if self.is_proven and now >= self.grouped_until else _GROUPED

    def after_success(self, mode: Mode) -> "HostMemory":
        """Return what is known after a message sent in ``mode`` went well."""
        if mode is _LOCKSTEP or (self.is_proven and (self.rides or mode is _GROUPED)):
            return self
        return replace(self, is_proven=True, rides=self.rides or mode is _RIDING)

    def after_trouble(self, mode: Mode, *, now: float) -> "HostMemory":
        """Return what is known after the server did not bear ``mode``."""
        until = now + BAD_FOR_S
        if mode is Mode.RIDING:
            return replace(self, rides=False, grouped_until=until)
        return HostMemory(lockstep_until=until)

    def after_sudden_end(self, mode: Mode, *, now: float) -> "HostMemory":
        """Return what is known after the server hung up within a group.

        That speaks against a mode that has not worked yet; one that has worked is not to blame.
        """
        has_worked = self.rides if mode is Mode.RIDING else self.is_proven
        return self if has_worked else self.after_trouble(mode, now=now)
