"""A way out that must not be used: what it needs cannot be read. Nothing is dialled and no login is tried."""

from postroom.egress.pool import NOT_BEGUN
from postroom.mime.rendered import DEFAULT_VARIANT
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
