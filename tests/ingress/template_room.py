"""The program's own wiring with its doors, a real store, real renderers and an SMTP server that keeps mails.

It runs in a thread of its own, so that one engine and one pair of renderers serve every test of a module.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

from egress.smtp_peer import SmtpPeer, listening
from ingress.asgi_client import Answer, ask
from postroom.bootstrap.engine import Room, running_engine
from postroom.bootstrap.store import open_store
from postroom.clock import SystemClock, SystemDice
from postroom.config.load import load
from postroom.config.sources import Flags
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.web.gate import Gate

KEY = "test-bootstrap-key-0123456789"
WELCOME = """---
subject: Welcome @{{ user.name }}
preheader: Your account is ready
variables:
  user: {example: {name: Ann}}
  count: {type: integer, example: 2}
---
<p>Hello @{{ user.name }}, you have @{{ count }} letters.</p>
"""
BIENVENUE = WELCOME.replace("Welcome", "Bienvenue").replace("Hello", "Bonjour")
VARIABLES = {"user": {"name": "Kim"}, "count": 3}

Result = TypeVar("Result")


@dataclass(kw_only=True)
class TemplateRoom:
    """What runs."""

    peer: SmtpPeer
    room: Room
    app: Gate
    loop: asyncio.AbstractEventLoop
    directory: Path
    ended: asyncio.Event
    keys: dict[str, str] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, method: str, path: str, value: object = None, **parts: Any) -> Answer:
        return self.run(ask(self.app, method, path, value=value, **{"key": KEY, **parts}))

    def post(self, path: str, value: object, **parts: Any) -> Answer:
        return self.call("POST", path, value, **parts)

    def send(self, **mail: Any) -> Answer:
        """Send a mail and wait for its attempt."""
        return self.post("/v1/messages", {"to": "kim@example.org", **mail}, headers={"prefer": "wait=20"})

    def key(self, scope: str, *, tenant: str = DEFAULT_TENANT, senders: tuple[str, ...] = ()) -> str:
        name = f"{scope}-{tenant}-{len(senders)}"
        if name not in self.keys:
            made = self.room.keyring.create(
                name, scopes=frozenset({scope}), tenant=TenantId(tenant), senders=senders
            )
            self.keys[name] = self.run(made)[1]
        return self.keys[name]

    def last(self) -> EmailMessage:
        """Return the newest mail as the standard library reads it."""
        return parsed(self.peer.mails[-1].content)


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@contextmanager
def template_room(tmp_path: Path, *, toml: str = "") -> Iterator[TemplateRoom]:
    """Run everything over a directory of templates with ``welcome`` in two languages."""
    directory = tmp_path / "mails"
    directory.mkdir()
    (directory / "welcome.html").write_text(WELCOME)
    (directory / "welcome.fr.html").write_text(BIENVENUE)
    ready = threading.Event()
    rooms: list[TemplateRoom] = []

    async def go() -> None:
        try:
            peer = SmtpPeer()
            async with listening(peer) as port:
                text = f'[[transports]]\nname="main"\nurl="smtp://127.0.0.1:{port}"\n'
                (tmp_path / "postroom.toml").write_text(
                    f'from = "app@example.com"\nsender_process = false\n{toml}\n{text}'
                    f'[templates]\ndirectory = "{directory}"\n'
                )
                settings = load(Flags(data=tmp_path / "data"), {"POSTROOM_API_KEY": KEY}, tmp_path)
                clock = SystemClock()
                store = open_store(settings, clock)
                async with running_engine(settings, store, clock=clock, dice=SystemDice()) as room:
                    app = build_app(room.service, HttpSettings(), explainer=room.explainer)
                    here = asyncio.get_running_loop()
                    ended = asyncio.Event()
                    rooms.append(
                        TemplateRoom(
                            peer=peer, room=room, app=app, loop=here, directory=directory, ended=ended
                        )
                    )
                    ready.set()
                    await ended.wait()
                await store.close()
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(go()), name="template room")
    thread.start()
    try:
        assert ready.wait(30)
        yield rooms[0]
    finally:
        if rooms:
            rooms[0].loop.call_soon_threadsafe(rooms[0].ended.set)
        thread.join(30)
