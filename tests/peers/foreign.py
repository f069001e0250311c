"""aiosmtpd in a thread, which leaves no socket behind: its own ``stop`` forgets connections that are open."""

import asyncio
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

ROUNDS = 5
"""Turns of the event loop after which an aborted connection is closed."""


class TidyController(Controller):
    """A controller whose ``stop`` also ends what is connected."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dialogues: list[SMTP] = []

    def factory(self) -> SMTP:
        dialogue: SMTP = super().factory()  # type: ignore[no-untyped-call]  # aiosmtpd has no types here
        self._dialogues.append(dialogue)
        return dialogue

    def stop(self, no_assert: bool = False) -> None:
        if self.server is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        super().stop(no_assert)

    async def _end(self) -> None:
        if self.server is not None:
            self.server.close()
        for _ in range(ROUNDS):  # what was just accepted gets its dialogue first
            await asyncio.sleep(0)
        for dialogue in self._dialogues:
            if dialogue.transport is not None:
                cast("asyncio.Transport", dialogue.transport).abort()
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
