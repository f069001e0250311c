"""Test mails: real messages of class code by one transport, at most one a minute for each.

The pause between two is TapData's. It begins when a test is handed in; one that is refused before it is
stored costs nothing.
"""

from postroom.clock import Clock
from postroom.engine.service import Service
from postroom.errors import CallerError
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.model.view import MessageView

COOL_DOWN_S = 60.0
"""Seconds between two test mails by one transport."""
WAIT_S = 30.0
"""Seconds until the outcome is told as it stands."""


class Trials:
    """Sends test mails."""

    def __init__(self, service: Service, clock: Clock) -> None:
        """Take the service and the clock."""
        self._service = service
        self._clock = clock
        self._free_at: dict[str, float] = {}
        """Monotonic seconds by transport."""

    def remaining_s(self, transport: str) -> float:
        """Return the seconds until the next test mail may go by a transport; 0 when it may go now."""
        return max(self._free_at.get(transport, 0.0) - self._clock.monotonic(), 0.0)

    async def send(self, transport: str, submission: Submission) -> MessageView:
        """Send a mail by one transport and return it after its first attempt, or after ``WAIT_S``.

        Raises what ``Service.submit`` raises.
        """
        now = self._clock.monotonic()
        self._free_at = {name: at for name, at in self._free_at.items() if at > now}
        self._free_at[transport] = now + COOL_DOWN_S
        try:
            receipt = await self._service.submit(submission, route=Route((transport,)))
        except CallerError:
            del self._free_at[transport]
            raise
        return await self._service.first_attempt(receipt.message_id, tenant=submission.tenant, wait_s=WAIT_S)
