"""Messages that were in the sender process when it died.

Any of them may have killed it. They are attempted one at a time from then on, so that a second death names
few and a third names one; what survives is cleared. Others go on beside them (reliability rule G3).
"""

import asyncio

from postroom.model.ids import MessageId

MAX_DEATHS = 3
"""As for deaths of the whole program: then the message is held."""


class Suspects:
    """Kept in memory: a restart of the whole program forgets them."""

    def __init__(self) -> None:
        """Start without any."""
        self.alone = asyncio.Lock()
        """Held during an attempt of a suspect."""
        self._deaths: dict[MessageId, int] = {}

    def __contains__(self, message_id: MessageId) -> bool:
        return message_id in self._deaths

    def died_with(self, message_id: MessageId) -> bool:
        """Count a death; return whether the message must be held now."""
        deaths = self._deaths[message_id] = self._deaths.get(message_id, 0) + 1
        if deaths < MAX_DEATHS:
            return False
        del self._deaths[message_id]
        return True

    def survived(self, message_id: MessageId) -> None:
        """Clear a message whose attempt came to an end."""
        if self._deaths:
            self._deaths.pop(message_id, None)
