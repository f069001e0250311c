"""Who waits for the first attempt of a message, inside this process.

A signal is sent only after the result is committed, so whoever is woken reads the truth from the store.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from postroom.model.ids import MessageId


class Signals:
    """Waiters by message, and by the transport whose pause also answers them."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting: dict[MessageId, list[tuple[asyncio.Future[None], str]]] = defaultdict(list)
        self.stored: Callable[[], None] = lambda: None
        """Called when events may have been stored; must be cheap."""

    def watch(self, message_id: MessageId, transport: str) -> asyncio.Future[None]:
        """Return a future that is done after the next attempt of the message, or a pause of ``transport``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[message_id].append((future, transport))
        return future

    def unwatch(self, message_id: MessageId, future: asyncio.Future[None]) -> None:
        """Forget a waiter."""
        left = [entry for entry in self._waiting.get(message_id, ()) if entry[0] is not future]
        if left:
            self._waiting[message_id] = left
        else:
            self._waiting.pop(message_id, None)

    def attempted(self, message_id: MessageId) -> None:
        """Wake those who wait for this message."""
        self.stored()
        for future, _ in self._waiting.pop(message_id, ()):
            if not future.done():
                future.set_result(None)

    def paused(self, transport: str) -> None:
        """Wake those who wait for any message of this transport."""
        self.stored()
        for message_id in [
            key for key, waiters in self._waiting.items() if any(name == transport for _, name in waiters)
        ]:
            self.attempted(message_id)
