"""Looking up names that callers supplied, in threads that nobody else waits for.

The event loop's own lookups share a handful of threads, and a lookup cannot be cancelled: a few names whose
name servers keep silent would keep every mail account from being dialled. Here each name has one thread at a
time however many wait for it, and when ``MAX_THREADS`` names keep silent the next one is refused at once. The
threads are daemons, so a silent name server does not delay the end of the program.
"""

import asyncio
import socket
import threading
from collections.abc import Sequence

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.net.addresses import Found, SocketAddress, resolve
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
        return await resolve(host, port, timeout_s=timeout_s, look_up=self.look_up)

    async def look_up(self, host: str, port: int) -> Found:
        """Return what the system's resolver says, asked once whoever waits. Raises OSError, NetFault."""
        running = self._running.get((host, port))
        if running is None:
            if len(self._running) >= MAX_THREADS:
                text = f"too many names are being looked up ({host})"
                raise NetFault(Step.RESOLVE, Fault(kind=FaultKind.LOCAL, text=text), host)
            running = self._running[host, port] = self._begun(host, port)
        return await asyncio.shield(running)  # who gives up leaves the others waiting

    def _begun(self, host: str, port: int) -> Lookup:
        loop = asyncio.get_running_loop()
        lookup: Lookup = loop.create_future()

        def end(found: Found, error: Exception | None) -> None:
            self._running.pop((host, port), None)
            if error is None:
                lookup.set_result(found)
            else:
                lookup.set_exception(error)
                lookup.exception()  # told to whoever still waits; nobody is no mistake

        def work() -> None:
            found: Found = []
            error: Exception | None = None
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            except (OSError, UnicodeError) as failure:
                error = failure
            try:
                loop.call_soon_threadsafe(end, found, error)
            except RuntimeError:
                return  # the loop has ended meanwhile

        threading.Thread(target=work, name=f"lookup {host}", daemon=True).start()
        return lookup


async def look_up_aside(host: str, port: int) -> Found:
    """Return what the system's resolver says, asked in a thread that even the program's end does not wait for.

    For a few names at a time: there is no bound. Raises OSError.
    """
    return await Lookups().look_up(host, port)
