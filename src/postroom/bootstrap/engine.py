"""The engine on an open store: ways out, rules and the parts that work on their own.

Order of a start: recovered, given new ways where old ones are gone, keys, dispatcher, janitor. The end is the
reverse, and leaves the store open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from postroom.bootstrap.desk import desk_room_of, hold_ends_of
from postroom.bootstrap.stopping import stop_dispatcher
from postroom.bootstrap.telling import Telling, telling_of, told
from postroom.bootstrap.way_in import class_rules, way_in
from postroom.bootstrap.ways import build_ways, sender_process
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.egress.hooks import GuardedPoster
from postroom.egress.remote import SenderProcess
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.explain import Explainer
from postroom.engine.janitor import Janitor, UncertainAlarm
from postroom.engine.keyring import KeyRing
from postroom.engine.rendering import RenderedMessages
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Ways
from postroom.ingress.http.desk_table import DeskRoom
from postroom.net.guard import Guard
from postroom.spool.sqlite.opening import SqliteStore
from postroom.telemetry import logger

WAIT_FOR_EVIDENCE = timedelta(minutes=15)

log = logger("bootstrap")


@dataclass(slots=True, kw_only=True, eq=False)
class Room:
    """An engine on one store."""

    service: Service
    explainer: Explainer
    ways: Ways
    keyring: KeyRing
    dispatcher: Dispatcher
    janitor: Janitor
    poster: GuardedPoster
    """The way to every URL that a caller supplied."""
    desk: DeskRoom
    telling: Telling
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
        async with told(room.telling):
            yield room
    finally:
        room.service.is_stopping = True
        await room.janitor.stop()
        await stop_dispatcher(room.dispatcher, room.ways, hurry)
        await room.poster.stop()
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
    rules, rendered, signals = class_rules(settings), RenderedMessages(), Signals()
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=rules,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=fatal,
        events=store.events,
        operations=store.operations if settings.suppress_automatically else None,
    )
    keyring = KeyRing(store.keys, clock=clock, dice=dice)
    if settings.bootstrap_key:
        keyring.add_bootstrap(settings.bootstrap_key.reveal())
    entrance = way_in(
        settings,
        store,
        ways=ways,
        dispatcher=dispatcher,
        rules=rules,
        rendered=rendered,
        clock=clock,
        dice=dice,
    )
    service = Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ways,
        intake=entrance.intake,
        signals=signals,
        keyring=keyring,
        limits=settings.message_limits,
        clock=clock,
        durability=store.durability,
        gauge=store.gauge,
    )
    janitor = Janitor(
        spool=store.spool,
        retention=settings.retention,
        signals=signals,
        clock=clock,
        fatal=fatal,
        health=dispatcher.health,
        uncertain=UncertainAlarm(
            gauge=store.gauge, events=store.events, clock=clock, older_than=settings.uncertain_alarm
        ),
        holds=hold_ends_of(store, ways=ways, dispatcher=dispatcher, clock=clock),
    )
    poster = GuardedPoster(Guard(settings.allowed_networks), clock=clock)
    desk = desk_room_of(
        service, store, ways=ways, dispatcher=dispatcher, poster=poster, clock=clock, dice=dice
    )
    telling = telling_of(
        settings,
        store,
        ways=ways,
        intake=entrance.intake,
        poster=poster,
        clock=clock,
        dice=dice,
        fatal=fatal,
    )
    signals.stored, desk.endpoints.changed = telling.teller.hint, telling.teller.changed
    return Room(
        service=service,
        poster=poster,
        desk=desk,
        telling=telling,
        explainer=entrance.explainer,
        ways=ways,
        keyring=keyring,
        dispatcher=dispatcher,
        janitor=janitor,
        failure=failure,
    )
