"""``postroom serve``: from settings to a running server and its orderly end.

Order of a start: store (locked, verified, recovered) - ways out - engine - keys - listeners - dispatcher.
Order of an end: not ready - listeners closed - running intakes end - nothing more is claimed - attempts past
their dot wait for their reply - the store is flushed and closed. A second signal cuts the waiting short.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from postroom.bootstrap.doors import doors
from postroom.bootstrap.engine import Room, running_engine
from postroom.bootstrap.hooks_out import file_operations
from postroom.bootstrap.seeing import begin_log, server_limits
from postroom.bootstrap.stopping import Stopping
from postroom.bootstrap.store import open_store, refuse_silent_capture
from postroom.bootstrap.submission import SmtpRoom, SmtpStarted, open_submission
from postroom.bootstrap.templates import troubles, troubles_at_start
from postroom.clock import Clock, SystemClock, SystemDice
from postroom.config.cli_key import CliKey, read_cli_key, write_cli_key
from postroom.config.settings import Settings
from postroom.engine.keyring import SCOPES
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.secret import Secret
from postroom.providers import replies
from postroom.telemetry import logger
from postroom.telemetry.exposition import Scrape
from postroom.telemetry.process import (
    max_descriptors,
    open_descriptors,
    raise_descriptor_limit,
    show_process,
    watched_loop,
)
from postroom.web.keyless import parse_networks
from postroom.web.server import HttpServer, serve

SWITCH_S = 0.0002
"""How long the thread that has committed waits for a busy event loop before it may tell; Python's own 5 ms
would be added to every acceptance under load."""

log = logger("bootstrap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a person is told when the server is up."""

    urls: tuple[str, ...]
    """First the one that people and the command line call."""
    data: Path
    mode: str
    durability: str
    targets: tuple[str, ...]
    """One line for each way out, without secrets."""
    first_key: str | None
    """The secret of the key made at the very first start, shown this once."""
    warnings: tuple[str, ...]
    smtp: SmtpStarted | None = None
    """The SMTP door, when there is one."""


def run_server(settings: Settings, announce: Callable[[Started], None]) -> int:
    """Run until SIGTERM or SIGINT; return the exit code: 0 for an orderly end, 1 when the store failed."""
    begin_log(settings)
    raise_descriptor_limit()
    replies.rules()  # read once before the loop runs, not at the first refusal
    sys.setswitchinterval(SWITCH_S)
    return uvloop.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[Started], None]) -> int:
    clock, dice = SystemClock(), SystemDice()
    async with AsyncExitStack() as stack:
        store = open_store(settings, clock)
        stack.push_async_callback(store.close)
        await refuse_silent_capture(settings, store)
        stopping = Stopping()
        room = await stack.enter_async_context(
            running_engine(settings, store, clock=clock, dice=dice, hurry=stopping.hurry, is_server=True)
        )
        stopping.listen()
        looking = asyncio.create_task(troubles(room.service.templates), name="look at the templates")
        stack.callback(looking.cancel)
        server, smtp, warnings = await stack.enter_async_context(
            _open_doors(settings, room, stopping.hurry, clock)
        )
        urls = [bound.url for bound in server.bound]
        urls.insert(0, urls.pop(settings.front))
        first_key = await _first_keys(settings, room, urls[0])
        announce(
            Started(
                urls=tuple(urls),
                data=settings.data,
                mode=room.service.mode,
                durability=store.durability,
                targets=tuple(f"{way.name}: {way.target}" for way in room.ways),
                first_key=first_key,
                warnings=_still_true(settings, room) + warnings + await troubles_at_start(looking),
                smtp=smtp,
            )
        )
        asked = asyncio.create_task(stopping.asked.wait(), name="wait for a signal")
        ends: set[asyncio.Future[Any]] = {asked, room.failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        room.service.is_stopping = True
        return 1 if room.failure.done() else 0


def _still_true(settings: Settings, room: Room) -> tuple[str, ...]:
    """Leave out warnings of legs that the store has."""
    found = {leg.warning for leg in settings.absent_legs if room.ways.named(leg.name) is not None}
    return tuple(warning for warning in settings.warnings if warning not in found)


@asynccontextmanager
async def _open_doors(
    settings: Settings, room: Room, hurry: asyncio.Event, clock: Clock
) -> AsyncIterator[tuple[HttpServer, SmtpStarted | None, tuple[str, ...]]]:
    """Listen, and watch the event loop meanwhile; also return what a person should know about the bounds."""
    allowed = max_descriptors()
    limits, reserve = server_limits(settings, max_descriptors=allowed, open_now=open_descriptors())
    wanted = settings.door_limits.max_connections
    warnings: tuple[str, ...] = ()
    if limits.max_connections < wanted:
        room_for = f"room for {limits.max_connections} HTTP connections instead of {wanted}"
        warnings = (f"this process may open {allowed} descriptors: {room_for} (ulimit -n)",)
    scrape = Scrape()
    scrape.add(show_process)
    scrape.add(room.service.show)
    scrape.add(room.renderer.show)
    if room.sender is not None:
        scrape.add(room.sender.show)
    async with watched_loop(clock) as watch:
        bindings = doors(
            settings,
            room.service,
            explainer=room.explainer,
            desk=room.desk,
            scrape=scrape,
            is_overloaded=lambda: watch.is_overloaded,
            more=file_operations(settings, room.shared, clock),
        )
        smtp = SmtpRoom(
            settings=settings,
            service=room.service,
            http=limits,
            scrape=scrape,
            descriptor_reserve=reserve // 2,
            is_overloaded=lambda: watch.is_overloaded,
            clock=clock,
            dice=SystemDice(),
            hurry=hurry,
        )
        http = serve(
            bindings,
            clock=clock,
            limits=limits,
            exempt=parse_networks(settings.trusted_proxies),
            descriptor_reserve=reserve // 2,
            hurry=hurry,
        )
        async with open_submission(smtp) as told, http as server:
            scrape.add(server.household.show)
            yield server, told, warnings


async def _first_keys(settings: Settings, room: Room, url: str) -> str | None:
    """Give the command line its key, and make one to show at the very first start; return its secret."""
    known = await room.keyring.load()
    listener = settings.listeners[settings.front]
    files = listener.files or settings.tls
    certificate = str(files.cert) if listener.tls and files else None
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
