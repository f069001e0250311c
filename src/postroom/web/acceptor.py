"""Takes connections: one after the other, counted before anything is spent on them.

Rules: a caller for whom there is no seat is told so (when it speaks plain HTTP) and costs neither a
transport nor a handshake; when the process has no descriptor left, or few, nothing is accepted for a while
and callers wait in the system's queue, while what was accepted, stored and sent goes on (reliability rule
F5); an accepted connection that fails its handshake in time gives its seat back.

The event loop's own listening is not used: it cannot be paused.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from postroom.telemetry import logger
from postroom.telemetry.process import max_descriptors, open_descriptors
from postroom.web.household import Household, Seat

BACKLOG: Final = 1024
"""Callers the system holds while nothing is accepted."""
AT_ONCE: Final = 64
"""Accepted in one turn of the loop; others have work too."""
PAUSE_S: Final = 0.5
"""After running out of descriptors."""

_OUT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logger("doors")


class Acceptor:
    """One listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        household: Household,
        make: Callable[[Seat], asyncio.Protocol],
        *,
        door: str,
        refusal: Callable[[], bytes],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Take a listening, non-blocking socket; ``refusal`` is the answer when there is no seat."""
        self._listener = listener
        self._household = household
        self._make = make
        self._door = door
        self._refusal = refusal
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_paused = self._is_closed = False
        self._loop.add_reader(listener.fileno(), self._accept)

    @property
    def address(self) -> tuple[str, int]:
        """Return where it listens."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Listen no more; connections that are open stay."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            for task in tuple(self._tasks):
                task.cancel()

    def look(self, reserve: int) -> None:
        """Stop accepting while fewer than ``reserve`` descriptors are left; called now and then."""
        if max_descriptors() - open_descriptors() < reserve:
            self._pause()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT:
                    self._pause()
                # Any other is of the caller, who is gone already (accept(2), ECONNABORTED and its like).
                return
            self._take(connection, peer[0])
            if self._is_paused:
                return

    def _take(self, connection: socket.socket, peer: str) -> None:
        connection.setblocking(False)
        seat = self._household.seat(peer, self._door)
        if seat is None:
            self._turn_away(connection)
            return
        task = self._loop.create_task(self._connect(connection, seat), name="accept")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _turn_away(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._tls is None:
                connection.send(self._refusal())
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)  # unread bytes would reset the answer away

    async def _connect(self, connection: socket.socket, seat: Seat) -> None:
        is_connected = False
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make(seat),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._household.limits.head_s,
            )
            is_connected = True
        except OSError:  # the caller is gone, speaks no TLS, or took too long for it
            self._household.meters.refused.count(("handshake",))
        finally:
            if not is_connected:
                self._household.leave(seat)
                connection.close()

    def _pause(self) -> None:
        if self._is_paused or self._is_closed:
            return
        self._is_paused = True
        self._household.meters.refused.count(("descriptors",))
        _log.error("no descriptors left: nothing is accepted for a moment", door=self._door)
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._is_paused = False
        if not self._is_closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)
