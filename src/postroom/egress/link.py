"""One connection with its session: bytes between the two, each wait with the time limit of its step.

The limit of a step covers the whole wait for its reply, however slowly that drips in; each reply begins a
new one.
"""

import asyncio
from dataclasses import dataclass

from postroom.clock import Clock
from postroom.model.step import Step
from postroom.net.connection import Connection
from postroom.net.faults import NetFault
from postroom.ports import Report, Work
from postroom.smtp.client import ClientSession


@dataclass(slots=True, eq=False)
class Job:
    """One attempt on its way through the pool."""

    work: Work
    future: "asyncio.Future[Report]"
    begun_at: float
    """Monotonic seconds when it was begun, or dialled for."""
    repeats: int = 0
    """How often it was begun again because a connection was to blame."""


class Link:
    """A connection and its session. Not made before the connection is."""

    __slots__ = (
        "_seconds",
        "_waited_for",
        "connection",
        "has_idled",
        "has_left",
        "idle_timer",
        "idle_until",
        "is_committing",
        "loop",
        "max_messages",
        "may_group",
        "messages",
        "opened_at",
        "session",
        "waiting",
    )

    def __init__(
        self, connection: Connection, session: ClientSession[Job], *, seconds: dict[Step, float], clock: Clock
    ) -> None:
        """Take both, and the time limit of each step in seconds."""
        self.connection = connection
        self.session = session
        self.loop = asyncio.get_running_loop()
        self.opened_at = clock.monotonic()
        self.messages = 0
        """Messages begun on it."""
        self.max_messages = 1
        """How many may be begun on it."""
        self.may_group = False
        """Whether commands may be grouped, as far as the settings and the server say."""
        self.has_idled = False
        """It has waited for work: the server may have closed it meanwhile."""
        self.has_left = False
        """QUIT was said and the connection closed in order."""
        self.is_committing = False
        """Between the question whether the dot may be sent and the dot."""
        self.waiting: asyncio.Future[bool] | None = None
        """While it waits for work: whether there may be some."""
        self.idle_until = 0.0
        """Loop time at which that wait ends."""
        self.idle_timer: asyncio.TimerHandle | None = None
        """One timer for all its waits: an earlier one is left to ring for nothing."""
        self._seconds = seconds
        self._waited_for = -1

    def wake(self, has_work: bool) -> bool:
        """End its wait for work; ``False`` when it is awake already."""
        if self.waiting is None or self.waiting.done():
            return False
        self.waiting.set_result(has_work)
        return True

    @property
    def is_stale(self) -> bool:
        """Whether the server ended or said something while nothing was open."""
        return self.connection.is_closed or self.connection.has_unread

    async def exchange(self) -> None:
        """Write what the session has to say, then read once if it waits for a reply."""
        session, connection = self.session, self.connection
        if data := session.data_to_send():
            connection.write(data)
        step = session.waiting_step
        if step is None:
            return
        seconds = None if self._waited_for == session.replies else self._seconds[step]
        self._waited_for = session.replies
        try:
            session.receive(await connection.receive(seconds))
        except NetFault as failure:
            session.lose(failure.fault)

    async def notice(self) -> None:
        """Give the session what came, or ended, while nothing was asked for."""
        if self.connection.has_unread:
            self.session.receive(self.connection.take())
        elif self.connection.is_closed:
            await self.exchange()

    async def send_chunk(self, chunk: bytes) -> None:
        """Write a piece of the content and wait until the socket takes more."""
        self.connection.write(chunk)
        try:
            await self.connection.drain(self._seconds[Step.BODY])
        except NetFault as failure:
            if not self.connection.has_unread:  # else a last reply tells why
                self.session.lose(failure.fault)
        if self.connection.has_unread:
            self.session.receive(self.connection.take())

    async def leave(self) -> None:
        """Say QUIT and close; whatever the server makes of it means nothing."""
        self.session.quit()
        while not self.session.is_over:
            await self.exchange()
        self.has_left = True
        self.connection.close()
