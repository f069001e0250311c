"""HTTP servers on loopback that are told of events: each answers as a script says and keeps what came."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from net.wires import listening


@dataclass(frozen=True)
class Request:
    """One POST as it came."""

    line: str
    fields: dict[str, str]
    body: bytes


Answer = Callable[[Request], bytes | None]
"""Bytes to send; ``None`` keeps silent for ever."""


def plain(status: int, body: bytes = b"", *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d Word" % status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(eq=False)
class HookServer:
    """Answers by a script."""

    answer: Answer
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [request.fields["webhook-id"] for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            line, *rest = head.decode().split("\r\n")
            fields = dict(one.split(": ", 1) for one in rest if one)
            fields = {name.lower(): value for name, value in fields.items()}
            request = Request(line, fields, await reader.readexactly(int(fields["content-length"])))
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                answer = self.answer(request)
                if answer is None:
                    await reader.read(1)
                    return
                writer.write(answer)
                await writer.drain()
            finally:
                self.at_once -= 1


@asynccontextmanager
async def hook_server(answer: Answer | bytes) -> AsyncIterator[HookServer]:
    """Run a server that answers by a script, or always with the same bytes."""
    if isinstance(answer, bytes):
        same = answer

        def always(_request: Request) -> bytes:
            return same

        server = HookServer(always)
    else:
        server = HookServer(answer)
    async with listening(server.serve) as port:
        server.port = port
        yield server
