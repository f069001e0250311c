"""Test mails: real messages of class code by one transport, at most one a minute for each.

Also by an account that is stored nowhere: it is a guest while its mail waits, and what its first attempt did
not send is cancelled, because somebody who tests does not wait for a mail an hour later.

The pause between two is TapData's. It begins when a test is handed in; one that is refused before it is
stored costs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from postroom.clock import Clock
from postroom.engine.service import Receipt, Service
from postroom.errors import CallerError, ConflictError
from postroom.model.guest import Guest
from postroom.model.message import Submission
from postroom.model.route import Route
from postroom.model.transport import SmtpAccount, redacted_url
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
        """Monotonic seconds by transport or URL."""

    def remaining_s(self, transport: str) -> float:
        """Return the seconds until the next test mail may go by a transport; 0 when it may go now.

        An account that is stored nowhere goes by its URL (``redacted_url``).
        """
        return max(self._free_at.get(transport, 0.0) - self._clock.monotonic(), 0.0)

    async def send(self, transport: str, submission: Submission) -> MessageView:
        """Send a mail by one transport and return it after its first attempt, or after ``WAIT_S``.

        Raises what ``Service.submit`` raises.
        """
        with self._pause(transport):
            receipt = await self._service.submit(submission, route=Route((transport,)))
        return await self._outcome(receipt, submission)

    async def send_unsaved(self, account: SmtpAccount, submission: Submission) -> MessageView:
        """Send a mail by an account of the caller and return it as its first attempt left it.

        While everything is captured it is captured. Raises what ``Service.submit`` raises.
        """
        tenant = submission.tenant
        guest = None if self._service.mode == "capture" else Guest(tenant=tenant, account=account)
        with self._pause(redacted_url(account)):
            receipt = await self._service.submit(submission, guest=guest)
        view = await self._outcome(receipt, submission)
        with suppress(ConflictError):  # nothing waits any more
            await self._service.cancel(receipt.message_id, tenant=tenant)
        return view

    async def _outcome(self, receipt: Receipt, submission: Submission) -> MessageView:
        return await self._service.first_attempt(receipt.message_id, tenant=submission.tenant, wait_s=WAIT_S)

    @contextmanager
    def _pause(self, way: str) -> Iterator[None]:
        now = self._clock.monotonic()
        self._free_at = {name: at for name, at in self._free_at.items() if at > now}
        self._free_at[way] = now + COOL_DOWN_S
        try:
            yield
        except CallerError:
            del self._free_at[way]
            raise
