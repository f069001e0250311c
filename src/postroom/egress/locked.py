"""A way out that must not be used: what it needs cannot be read. Nothing is dialled and no login is tried."""

from postroom.clock import Clock
from postroom.egress.pool import NOT_BEGUN
from postroom.egress.reports import same_for_all
from postroom.mime.rendered import DEFAULT_VARIANT
from postroom.model.guest import GONE
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.ports import Report, Work


class LockedTransport:
    """Begins no attempt (the ``Transport`` port); its way is paused besides, so that none is asked for."""

    is_capture = False
    capacity = 1
    max_recipients = 1
    variant = DEFAULT_VARIANT

    def __init__(self, name: str) -> None:
        """Take the configured name."""
        self.name = name

    def allow(self, connections: int) -> None:
        """Open none all the same."""

    async def attempt(self, work: Work) -> Report:  # noqa: ARG002 - the port's signature
        """Begin nothing."""
        return NOT_BEGUN

    async def stop(self, *, grace_s: float) -> None:
        """Nothing is under way."""


class GoneTransport(LockedTransport):
    """Refuses every attempt: the account came with a call and was forgotten when its mail had ended."""

    def __init__(self, name: str, *, clock: Clock) -> None:
        """Take the name of the guest that was."""
        super().__init__(name)
        self._clock = clock

    async def attempt(self, work: Work) -> Report:
        """Say so for every recipient."""
        text = "the account of this mail came with its call and is forgotten"
        fault = Fault(kind=FaultKind.LOCAL, text=text, cause=GONE)
        return same_for_all(work, Evidence(step=Step.AUTH, fault=fault), self._clock.now())
