"""The wiring: settings in, a running Postroom out. The only place that knows engine and adapters both.

Order of a start: store (locked, verified, recovered) - ways out - engine - keys - listeners - dispatcher.
Order of an end: not ready - listeners closed - running intakes end - nothing more is claimed - attempts past
their dot wait for their reply - the store is flushed and closed.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from postroom.clock import Clock, Dice, SystemClock, SystemDice
from postroom.config.cli_key import CliKey, read_cli_key, write_cli_key
from postroom.config.settings import NexusAnswer, Settings
from postroom.egress.capture import CaptureTransport
from postroom.egress.smtp import SmtpTransport
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.janitor import Janitor
from postroom.engine.keyring import SCOPES, KeyRing
from postroom.engine.rendering import RenderedMessages
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.errors import ConfigError, Problem
from postroom.ingress.http.app import build_app
from postroom.ingress.http.nexus import NexusDoors, NexusSetup
from postroom.ingress.http.settings import HttpSettings
from postroom.model.address import AddressError, parse_address, parse_mailbox
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import BlobRef, Door, MailClass
from postroom.model.secret import Secret
from postroom.model.transport import TransportKind, TransportSpec, redacted_url
from postroom.policy.retry import CLASS_RULES, ClassRules
from postroom.ports import Blobs, Captures, StagedBlob, Transport
from postroom.providers import replies
from postroom.schema import answers
from postroom.schema.bodies import read_submission
from postroom.schema.submission import with_files
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite
from postroom.telemetry import configure_logging, logger
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.connection import ServerLimits
from postroom.web.gate import Gate
from postroom.web.keyless import KeylessRule, parse_networks
from postroom.web.server import Binding, TlsPair, serve
from postroom.web.uploads import FormLimits

CAPTURE_SENDER = "postroom@capture.invalid"
STOP_GRACE_S = 20.0
"""How long attempts past their dot may wait for a reply when the server is asked to stop."""
WAIT_FOR_EVIDENCE = timedelta(minutes=15)
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


# --------------------------------------------------------------------------- parts


def _rules(settings: Settings) -> Mapping[MailClass, ClassRules]:
    """Return the class table with what the settings change."""
    rules = dict(CLASS_RULES)
    for mail_class, changed in settings.classes.items():
        rule = rules[mail_class]
        rules[mail_class] = replace(
            rule,
            expires=changed.expires or rule.expires,
            first_s=changed.first_retry.total_seconds() if changed.first_retry else rule.first_s,
            cap_s=changed.max_retry.total_seconds() if changed.max_retry else rule.cap_s,
            uncertain=changed.uncertain or rule.uncertain,
        )
    return rules


def _ways(settings: Settings, *, blobs: Blobs, captures: Captures, clock: Clock) -> Ways:
    """Build every configured transport; none, or ``capture``, is the capture inbox."""
    if settings.is_capturing or settings.capture:
        default_from = settings.default_from or parse_mailbox(CAPTURE_SENDER)
        spec = TransportSpec(name="capture", kind=TransportKind.CAPTURE)
        transport = CaptureTransport(spec, blobs=blobs, captures=captures, clock=clock)
        return Ways([Way(transport=transport, target="capture", default_from=default_from)])
    return Ways([_way(spec, blobs=blobs, captures=captures, clock=clock) for spec in settings.transports])


def _way(spec: TransportSpec, *, blobs: Blobs, captures: Captures, clock: Clock) -> Way:
    if spec.account is None:
        captured: Transport = CaptureTransport(spec, blobs=blobs, captures=captures, clock=clock)
        return Way(transport=captured, target="capture", default_from=spec.default_from)
    account = None
    if spec.account.username:
        try:
            account = parse_address(spec.account.username)
        except AddressError:
            account = None  # a login that is no address never becomes MAIL FROM
    return Way(
        transport=SmtpTransport(spec, blobs=blobs, clock=clock),
        target=redacted_url(spec.account),
        default_from=spec.default_from,
        account=account,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Room:
    """An engine on one store."""

    service: Service
    ways: Ways
    keyring: KeyRing
    dispatcher: Dispatcher
    janitor: Janitor
    failure: asyncio.Future[BaseException]
    """Done when the store failed and the process must end."""


@asynccontextmanager
async def running_engine(
    settings: Settings, store: SqliteStore, *, clock: Clock, dice: Dice
) -> AsyncIterator[Room]:
    """Run the engine on an open store; at exit it stops in order and leaves the store open."""
    room = _room(settings, store, clock=clock, dice=dice)
    recovered = await store.spool.recover(now=clock.now(), wait=WAIT_FOR_EVIDENCE)
    moved = await store.spool.reroute(known=room.ways.names, to=room.ways.default.name)
    if recovered.freed or recovered.uncertain or moved:
        log.info("recovered", freed=recovered.freed, uncertain=recovered.uncertain, rerouted=moved)
    await room.keyring.load()
    await room.dispatcher.start()
    await room.janitor.start()
    try:
        yield room
    finally:
        room.service.is_stopping = True
        await room.janitor.stop()
        await room.dispatcher.stop(grace_s=STOP_GRACE_S)


def _room(settings: Settings, store: SqliteStore, *, clock: Clock, dice: Dice) -> Room:
    """Put the engine's parts together; nothing runs yet."""
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failure.done():
            log.error("the store failed; stopping", error=str(error))
            failure.set_result(error)

    ways = _ways(settings, blobs=store.blobs, captures=store.captures, clock=clock)
    rules, rendered, signals = _rules(settings), RenderedMessages(), Signals()
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=rules,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=fatal,
    )
    keyring = KeyRing(store.keys, clock=clock, dice=dice)
    if settings.bootstrap_key:
        keyring.add_bootstrap(settings.bootstrap_key.reveal())
    intake = Intake(
        spool=store.spool,
        ways=ways,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=rules,
        limits=settings.message_limits,
        clock=clock,
        dice=dice,
    )
    service = Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ways,
        intake=intake,
        signals=signals,
        keyring=keyring,
        limits=settings.message_limits,
        clock=clock,
        durability=store.durability,
    )
    janitor = Janitor(
        spool=store.spool, retention=settings.retention, signals=signals, clock=clock, fatal=fatal
    )
    return Room(
        service=service,
        ways=ways,
        keyring=keyring,
        dispatcher=dispatcher,
        janitor=janitor,
        failure=failure,
    )


# --------------------------------------------------------------------------- serve


def run_server(settings: Settings, announce: Callable[[Started], None]) -> int:
    """Run until SIGTERM or SIGINT; return the exit code: 0 for an orderly end, 1 when the store failed."""
    configure_logging(json=settings.log_json)
    replies.rules()  # read once before the loop runs, not at the first refusal
    sys.setswitchinterval(SWITCH_S)
    return uvloop.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Callable[[Started], None]) -> int:
    clock, dice = SystemClock(), SystemDice()
    async with AsyncExitStack() as stack:
        store = _open_store(settings, clock)
        stack.push_async_callback(store.close)
        await _refuse_silent_capture(settings, store)
        room = await stack.enter_async_context(running_engine(settings, store, clock=clock, dice=dice))
        stop = _stop_signals()
        server = await stack.enter_async_context(
            serve(
                _doors(settings, room.service),
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


def _open_store(settings: Settings, clock: Clock) -> SqliteStore:
    """Open the data directory. A bound that was set holds as it is, whatever the size of the volume."""
    bounds = SpoolSettings()
    if settings.disk.reserve is not None:
        bounds = replace(bounds, reserve=settings.disk.reserve, reserve_share=1.0)
    if settings.disk.ballast is not None:
        bounds = replace(bounds, ballast=settings.disk.ballast, ballast_share=1.0)
    return open_sqlite(settings.data, settings=bounds, clock=clock)


def _doors(settings: Settings, service: Service) -> Sequence[Binding]:
    """Build the applications and say where each listens."""
    proxies = parse_networks(settings.trusted_proxies)
    limits = settings.door_limits
    http = HttpSettings(
        public_url=settings.public_url,
        trusted_proxies=proxies,
        max_body=limits.max_body,
        max_parts=limits.max_parts,
        max_bodies=limits.max_bodies_in_flight,
        has_bootstrap_key=settings.bootstrap_key is not None,
    )
    budget = ByteBudget(limits.max_bodies_in_flight)
    nexus = settings.nexus
    setup = NexusSetup(
        waits=nexus.answer is NexusAnswer.SENT,
        wait_s=nexus.wait_s,
        from_=nexus.from_,
        message_id_domain=nexus.domain,
        max_json=limits.max_body,
        forms=FormLimits(
            max_files=settings.message_limits.max_content,
            max_field=settings.message_limits.max_text,
            max_body=limits.max_body,
            max_parts=limits.max_parts,
        ),
    )
    keyless = KeylessRule(
        is_open=nexus.keyless,
        is_behind_proxy=settings.public_url is not None or bool(proxies),
        networks=parse_networks(nexus.networks),
        hosts=frozenset(nexus.hosts),
    )
    nexus_doors = NexusDoors(service=service, budget=budget, setup=setup).operations(keyless)
    whole = build_app(service, http, budget=budget, more=nexus_doors)
    only_nexus = {operation.path for operation in nexus_doors} | {"/healthz", "/readyz"}
    nexus_app = Gate(
        [operation for operation in whole.operations if operation.path in only_nexus],
        Doorkeeper(service.key_for, trusted_proxies=proxies),
    )
    pair = TlsPair(cert=settings.tls.cert, key=settings.tls.key) if settings.tls else None
    return [
        Binding(
            host=listener.host,
            port=listener.port,
            app=nexus_app if listener.nexus_only else whole,
            tls=pair if listener.tls else None,
        )
        for listener in settings.listeners
    ]


def _stop_signals() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return stop


async def _refuse_silent_capture(settings: Settings, store: SqliteStore) -> None:
    """A store that has sent real mail is not captured from by a forgotten setting."""
    if settings.capture or not settings.is_capturing:
        return
    if await store.spool.has_sent_real_mail():
        raise ConfigError(
            [
                Problem(
                    code="transport-missing",
                    field="transports",
                    cause=f"the store {settings.data} has sent real mail, and now no transport is set",
                    fix="Set POSTROOM_TRANSPORT (or [[transports]] in postroom.toml), or give --capture.",
                )
            ]
        )


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


# --------------------------------------------------------------------------- without a server


def send_direct(
    settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], *, wait_s: float
) -> Mapping[str, Any]:
    """Store one message in the data directory, attempt it for up to ``wait_s`` seconds, and stop.

    What is still open stays in the store for the next start; what waited there is attempted as well.

    Args:
        settings: Of this run.
        message: In the form of ``POST /v1/messages``.
        files: Path of each part named by ``upload``.
        wait_s: Seconds.

    Returns:
        The message in the form of ``GET /v1/messages/{id}``.

    Raises:
        InputError: Fields are wrong; nothing was stored.
        StoreError: A server uses the directory.
    """
    configure_logging(json=settings.log_json, level=logging.WARNING)
    return uvloop.run(_send_direct(settings, message, files, wait_s))


async def _send_direct(
    settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], wait_s: float
) -> Mapping[str, Any]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = _open_store(settings, clock)
        stack.push_async_callback(store.close)
        await _refuse_silent_capture(settings, store)
        room = await stack.enter_async_context(
            running_engine(settings, store, clock=clock, dice=SystemDice())
        )
        service = room.service
        submission, facts, sources = read_submission(
            message,
            limits=service.limits,
            tenant=DEFAULT_TENANT,
            idempotency_key=None,
            uploads={name: (path.name, "application/octet-stream") for name, path in files.items()},
        )
        submission = replace(submission, door=Door.CLI)
        refs = [
            await asyncio.to_thread(_stored, service.stage(DEFAULT_TENANT), files[source.upload or ""])
            for source in sources
        ]
        receipt = await service.submit(with_files(submission, facts, refs))
        view = await service.first_attempt(receipt.message_id, tenant=DEFAULT_TENANT, wait_s=wait_s)
        return answers.message(view, service.mode, service.words)


def _stored(blob: StagedBlob, path: Path) -> BlobRef:
    """Copy a file into the blob store. Blocking; raises OSError when it cannot be read."""
    try:
        with path.open("rb") as file:
            while data := file.read(1024 * 1024):
                blob.write(data)
        return blob.commit()
    finally:
        blob.discard()


def backup_offline(settings: Settings, target: Path) -> None:
    """Copy the store of a stopped server to ``target``, which must not exist. Raises StoreError."""
    asyncio.run(_backup_offline(settings, target))


async def _backup_offline(settings: Settings, target: Path) -> None:
    store = _open_store(settings, SystemClock())
    try:
        await store.spool.backup(target)
    finally:
        await store.close()
