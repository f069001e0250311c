"""The duty that ends holds at the time they were given."""

from collections.abc import Callable
from datetime import datetime

from postroom.clock import Clock
from postroom.ports import Operations
from postroom.telemetry import logger

log = logger("holds")


class HoldEnds:
    """Ends what is past its end, and lets what was released be sent at once."""

    def __init__(self, *, operations: Operations, wake: Callable[[datetime], None], clock: Clock) -> None:
        """Take the parts; ``wake`` is told when something may be due on any way out."""
        self._operations = operations
        self._wake = wake
        self._clock = clock

    async def end_due(self) -> bool:
        """End holds; nothing more is left to do then."""
        now = self._clock.now()
        if ended := await self._operations.end_due_holds(now=now):
            log.info("holds ended", holds=ended)
            self._wake(now)
        return False
