"""The preview server of templates: one application on loopback, until it is told to stop."""

import asyncio
from collections.abc import Callable

from postroom.bootstrap.stopping import Stopping
from postroom.clock import SystemClock
from postroom.ingress.preview.doors import PreviewDoors
from postroom.ingress.preview.workshop import Workshop
from postroom.web.server import Binding, serve

HOST = "127.0.0.1"
"""Never another: the pages show files of this machine without a key."""


def run_preview(workshop: Workshop, *, title: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        workshop: The templates.
        title: What to call their place.
        port: 0 lets the system choose.
        announce: Called with the URL once it can be opened.

    Raises:
        ConfigError: The port cannot be listened on.
    """
    asyncio.run(_serve(workshop, title, port, announce))


async def _serve(workshop: Workshop, title: str, port: int, announce: Callable[[str], None]) -> None:
    stopping = Stopping()
    stopping.listen()
    app = PreviewDoors(workshop, title).gate()
    binding = Binding(host=HOST, port=port, app=app, door="preview", flag="--port")
    async with serve([binding], clock=SystemClock(), hurry=stopping.asked) as server:
        announce(server.bound[0].url + "/")
        await stopping.asked.wait()
