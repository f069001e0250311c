"""Tokens as the sender process gets them: the engine's process has them and is asked; nothing is kept."""

import asyncio
from collections.abc import Callable

from postroom.egress.frames import ASK_TOKEN, Frame, packed, token_in
from postroom.model.secret import Secret
from postroom.net.faults import NetFault


class AskedTokens:
    """The port ``TokenSource`` over the socket to the engine."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """Take what sends a frame."""
        self._send = send
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Secret | NetFault]] = {}

    async def token(self, transport: str, *, rejected: Secret | None = None) -> Secret:
        """Ask for one and wait. Raises NetFault as the engine's source does."""
        self._asked += 1
        number = self._asked
        waiting: asyncio.Future[Secret | NetFault] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            self._send(packed(ASK_TOKEN, number, transport, rejected.reveal() if rejected else None))
            found = await waiting
        finally:
            del self._waiting[number]
        if isinstance(found, NetFault):
            raise found
        return found

    def take(self, frame: Frame) -> None:
        """Take an answer; one that nobody waits for any more is dropped."""
        waiting = self._waiting.get(frame[1])
        if waiting is not None and not waiting.done():
            waiting.set_result(token_in(frame))
