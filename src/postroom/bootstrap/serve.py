"""``postroom serve``: from settings to a running server and its orderly end.

Order of a start: store (locked, verified, recovered) - ways out - engine - keys - listeners - dispatcher.
Order of an end: not ready - listeners closed - running intakes end - nothing more is claimed - attempts past
their dot wait for their reply - the store is flushed and closed.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from postroom.bootstrap.doors import doors
from postroom.bootstrap.engine import Room, running_engine
from postroom.bootstrap.store import open_store, refuse_silent_capture
from postroom.clock import SystemClock, SystemDice
from postroom.config.cli_key import CliKey, read_cli_key, write_cli_key
from postroom.config.settings import Settings
from postroom.engine.keyring import SCOPES
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.secret import Secret
from postroom.providers import replies
from postroom.telemetry import configure_logging, logger
from postroom.web.household import ServerLimits
from postroom.web.keyless import parse_networks
from postroom.web.server import serve

SWITCH_S = 0.0005
"""How long the thread that has committed waits for a busy event loop before it may tell; Python's own 5 ms
would be added to every acceptance under load."""

log = logger("bootstrap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a person is told when the server is up."""

    urls: tuple[str, ...]
    data: Path
    mode: str
    durability: str
    targets: tuple[str, ...]
    """One line for each way out, without secrets."""
    first_key: str | None
    """The secret of the key made at the very first start, shown this once."""
    warnings: tuple[str, ...]


def run_server(settings: Settings, announce: Callable[[Started], None]) -> int:
    """Run until SIGTERM or SIGINT; return the exit code: 0 for an orderly end, 1 when the store failed."""
    configure_logging(json=settings.log_json)
    replies.rules()  # read once before the loop runs, not at the first refusal
    sys.setswitchinterval(SWITCH_S)
    return uvloop.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[Started], None]) -> int:
    clock, dice = SystemClock(), SystemDice()
    async with AsyncExitStack() as stack:
        store = open_store(settings, clock)
        stack.push_async_callback(store.close)
        await refuse_silent_capture(settings, store)
        room = await stack.enter_async_context(running_engine(settings, store, clock=clock, dice=dice))
        stop = _stop_signals()
        server = await stack.enter_async_context(
            serve(
                doors(settings, room.service),
                clock=clock,
                limits=ServerLimits(
                    max_connections=settings.door_limits.max_connections,
                    max_per_address=settings.door_limits.max_connections_per_address,
                ),
                exempt=parse_networks(settings.trusted_proxies),
            )
        )
        first_key = await _first_keys(settings, room, server.bound[0].url)
        announce(
            Started(
                urls=tuple(bound.url for bound in server.bound),
                data=settings.data,
                mode=room.service.mode,
                durability=store.durability,
                targets=tuple(f"{way.name}: {way.target}" for way in room.ways),
                first_key=first_key,
                warnings=settings.warnings,
            )
        )
        ends: set[asyncio.Future[Any]] = {stop, room.failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        room.service.is_stopping = True
        return 1 if room.failure.done() else 0


def _stop_signals() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return stop


async def _first_keys(settings: Settings, room: Room, url: str) -> str | None:
    """Give the command line its key, and make one to show at the very first start; return its secret."""
    known = await room.keyring.load()
    listener = settings.listeners[0]
    certificate = str(settings.tls.cert) if listener.tls and settings.tls else None
    cli = read_cli_key(settings.data)
    if cli is None or room.keyring.find(cli.key.reveal()) is None:
        scopes = SCOPES - {"tenant-smtp"}
        _, made = await room.keyring.create("cli", scopes=scopes, tenant=DEFAULT_TENANT)
        cli = CliKey(url=url, key=Secret(made))
    write_cli_key(settings.data, replace(cli, url=url, certificate=certificate))
    if known or settings.bootstrap_key:
        return None
    _, secret = await room.keyring.create("first", scopes=frozenset({"send", "read"}), tenant=DEFAULT_TENANT)
    return secret
