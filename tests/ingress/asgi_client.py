"""Calls an ASGI application in process: one request, one answer."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

from peers.fake_service import KEY


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    chunks_left: int
    """How many chunks of the body the application never asked for."""

    def json(self) -> Any:
        return json.loads(self.body)

    def problems(self) -> list[tuple[str, str]]:
        """Code and field of each problem."""
        return [(each["code"], each["field"]) for each in self.json()["errors"]]


def call(app: ASGIApp, method: str, path: str, **parts: Any) -> Answer:
    """Make one request in an event loop of its own; ``parts`` are those of ``ask``."""
    return asyncio.run(ask(app, method, path, **parts))


async def ask(  # noqa: PLR0913 - the parts of a request
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes | Sequence[bytes] = b"",
    value: object = None,
    headers: Mapping[str, str] | None = None,
    key: str | None = KEY,
    peer: str = "127.0.0.1",
    query: str = "",
    raw_path: str = "",
) -> Answer:
    """Make one request and return its answer. ``value`` is sent as JSON."""
    given = {"host": "localhost:8587", **(headers or {})}
    if value is not None:
        body = json.dumps(value).encode()
        given.setdefault("content-type", "application/json")
    if key is not None:
        given.setdefault("authorization", f"Bearer {key}")
    chunks = [body] if isinstance(body, bytes) else list(body)
    events: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": number + 1 < len(chunks)}
        for number, chunk in enumerate(chunks)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        if not events:  # the caller stays connected and sends nothing more
            await asyncio.Event().wait()
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": (raw_path or path).encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), text.encode("latin-1")) for name, text in given.items()],
        "client": (peer, 50000),
        "server": ("127.0.0.1", 8587),
        "state": {},
    }
    await app(scope, receive, send)
    start = sent[0]
    return Answer(
        status=start["status"],
        headers={name.decode(): text.decode("latin-1") for name, text in start["headers"]},
        body=b"".join(message.get("body", b"") for message in sent[1:]),
        chunks_left=len(events),
    )
