"""The end of a run: asked once, in order; asked twice, in a hurry.

In order, attempts past their dot may wait ``STOP_GRACE_S`` for their reply. In a hurry whoever still waits
is cut after ``HURRY_GRACE_S``: what had not reached its dot is due again, what was past it is recorded as
uncertain. Nothing is lost either way.
"""

import asyncio
import signal

from postroom.engine.dispatcher import Dispatcher
from postroom.telemetry import logger

STOP_GRACE_S = 20.0
"""How long attempts past their dot may wait for a reply when the server is asked to stop."""
HURRY_GRACE_S = 2.0
"""The same when it was asked twice: the whole end takes less than five seconds."""

log = logger("bootstrap")


class Stopping:
    """What a person has asked for by signals."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        """Asked a second time."""

    def listen(self) -> None:
        """Let SIGTERM and SIGINT ask."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Ask for the end; once more for a quick one."""
        if self.asked.is_set():
            log.warning("asked to stop again: what waits for a reply is cut")
            self.hurry.set()
        self.asked.set()


async def stop_dispatcher(dispatcher: Dispatcher, hurry: asyncio.Event | None) -> None:
    """Stop in order, or in a hurry as soon as there is one."""
    stopping = asyncio.create_task(dispatcher.stop(grace_s=STOP_GRACE_S), name="stop dispatcher")
    if hurry is not None:
        hurried = asyncio.create_task(hurry.wait(), name="wait for hurry")
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not stopping.done():
            await dispatcher.roster.cut(grace_s=HURRY_GRACE_S)
    await stopping
