"""One end of the socket pair between the engine's process and a sender process.

Frames written in one turn of the event loop leave in one write.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from postroom.egress.frames import LENGTH, Frame, Unpacker


def first_frame(end: socket.socket) -> Frame | None:
    """Read one frame from a blocking socket and nothing behind it; ``None`` when the other end has gone."""
    unpacker = Unpacker()
    wanted = LENGTH
    while data := end.recv(wanted, socket.MSG_WAITALL):
        for frame in unpacker.frames(data):
            return frame
        wanted = int.from_bytes(data, "big")
    return None


class Channel(asyncio.Protocol):
    """Sends frames, hands each one that comes to ``take``, and calls ``ended`` when the other end is gone."""

    def __init__(self, take: Callable[[Frame], None], ended: Callable[[], None]) -> None:
        """Take who is told."""
        self._take = take
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unpacker = Unpacker()
        self._waiting: list[bytes] = []
        self._room = asyncio.Event()
        self._room.set()

    def send(self, frame: bytes) -> None:
        """Send a frame; one sent to a process that is gone is lost, and ``ended`` is called."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(frame)

    async def room(self) -> None:
        """Wait while much that was sent has not been taken."""
        await self._room.wait()

    def future(self) -> "asyncio.Future[Any]":
        """Return a future of this channel's event loop; asking for the loop costs a system call in 3.11."""
        return self._loop.create_future()

    def close(self) -> None:
        """Send what waits and close this end."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is not None and self._waiting:
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand over every whole frame."""
        for frame in self._unpacker.frames(data):
            self._take(frame)

    def pause_writing(self) -> None:
        """Let ``room`` wait."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Let ``room`` go on."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell that the other end is gone, however it went."""
        self._transport = None
        self._room.set()
        self._ended()
