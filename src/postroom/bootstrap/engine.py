"""The engine on an open store: ways out, rules and the parts that work on their own.

Order of a start: recovered, given new ways where old ones are gone, keys, dispatcher, janitor. The end is the
reverse, and leaves the store open.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from postroom.bootstrap.stopping import stop_dispatcher
from postroom.bootstrap.ways import build_ways, sender_process
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.egress.remote import SenderProcess
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.janitor import Janitor
from postroom.engine.keyring import KeyRing
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Ways
from postroom.model.message import MailClass
from postroom.model.route import Route
from postroom.policy.retry import CLASS_RULES, ClassRules
from postroom.policy.routing import RouteTable
from postroom.spool.sqlite.opening import SqliteStore
from postroom.telemetry import logger

WAIT_FOR_EVIDENCE = timedelta(minutes=15)

log = logger("bootstrap")


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
            schedule=changed.retry or (),
            uncertain=changed.uncertain or rule.uncertain,
            uncertain_failover=bool(changed.uncertain_failover),
        )
    return rules


def _routes(settings: Settings, ways: Ways) -> RouteTable:
    """Return the rules with the default route: a group of URLs, else the first way."""
    return RouteTable(settings.routes, settings.default_route or Route((ways.default.name,)))


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
    settings: Settings,
    store: SqliteStore,
    *,
    clock: Clock,
    dice: Dice,
    is_server: bool = False,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[Room]:
    """Run the engine on an open store; at exit it stops in order and leaves the store open.

    A server of more than one processor has its SMTP dialogues in a process of their own. When there is a
    ``hurry`` the end does not wait for replies.
    """
    sender = sender_process(settings, clock=clock) if is_server else None
    room = _room(settings, store, sender=sender, clock=clock, dice=dice)
    recovered = await store.spool.recover(now=clock.now(), wait=WAIT_FOR_EVIDENCE)
    moved = await store.spool.reroute(known=room.ways.names, to=room.ways.default.name)
    if recovered.freed or recovered.uncertain or moved:
        log.info("recovered", freed=recovered.freed, uncertain=recovered.uncertain, rerouted=moved)
    await room.keyring.load()
    if sender is not None:
        await sender.start()
    await room.dispatcher.start()
    await room.janitor.start()
    try:
        yield room
    finally:
        room.service.is_stopping = True
        await room.janitor.stop()
        await stop_dispatcher(room.dispatcher, room.ways, hurry)
        if sender is not None:
            await sender.close()


def _room(
    settings: Settings, store: SqliteStore, *, sender: SenderProcess | None, clock: Clock, dice: Dice
) -> Room:
    """Put the engine's parts together; nothing runs yet."""
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failure.done():
            log.error("the store failed; stopping", error=str(error))
            failure.set_result(error)

    store.on_failure(fatal)

    ways = build_ways(settings, store, sender=sender, clock=clock)
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
    routes = Routes(ways, _routes(settings, ways))
    intake = Intake(
        spool=store.spool,
        ways=ways,
        routes=routes,
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
        gauge=store.gauge,
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
