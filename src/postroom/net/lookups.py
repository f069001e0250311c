"""Looking up names that callers supplied, in threads that nobody else waits for.

A lookup cannot be cancelled, and who supplies names may supply many whose name servers keep silent. Here each
name has one thread at a time however many wait for it, and when ``MAX_THREADS`` names keep silent the next
one is refused at once.
"""

import asyncio
from collections.abc import Sequence

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.net.addresses import Found, SocketAddress, asked, resolve
from postroom.net.faults import NetFault

MAX_THREADS = 8
"""Names looked up at once; lookups are rare, connections are used again."""

Lookup = asyncio.Future[Found]


class Lookups:
    """A resolver for ``Guard``; called like ``addresses.resolve``."""

    def __init__(self) -> None:
        """Start with no thread."""
        self._running: dict[tuple[str, int], Lookup] = {}

    async def __call__(self, host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        """Return the addresses of ``host``. Raises NetFault at step RESOLVE."""
        return await resolve(host, port, timeout_s=timeout_s, look_up=self._shared)

    async def _shared(self, host: str, port: int) -> Found:
        running = self._running.get((host, port))
        if running is None:
            if len(self._running) >= MAX_THREADS:
                text = f"too many names are being looked up ({host})"
                raise NetFault(Step.RESOLVE, Fault(kind=FaultKind.LOCAL, text=text), host)
            running = self._running[host, port] = self._begun(host, port)
        return await asyncio.shield(running)  # who gives up leaves the others waiting

    def _begun(self, host: str, port: int) -> Lookup:
        lookup = asked(host, port)
        lookup.add_done_callback(lambda _: self._running.pop((host, port), None))
        return lookup
