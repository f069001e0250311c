"""The engine on an open store: ways out, rules and the parts that work on their own.

Order of a start: recovered, given new ways where old ones are gone, keys, dispatcher, janitor. The end is the
reverse, and leaves the store open.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from postroom.bootstrap.alert_mail import MailParts
from postroom.bootstrap.alerting import Alerting, alerted, alerting_of
from postroom.bootstrap.desk import desk_room_of, hold_ends_of
from postroom.bootstrap.doctor import build_doctor
from postroom.bootstrap.hap import fetcher_of, fetching_of
from postroom.bootstrap.seeing import forget_accounts
from postroom.bootstrap.stopping import stop_dispatcher
from postroom.bootstrap.telling import Telling, telling_of, told
from postroom.bootstrap.templates import renderer_of, templating_of
from postroom.bootstrap.way_in import WayIn, class_rules, way_in
from postroom.bootstrap.ways import WayBuilder, ground_of, guest_spec, sender_process
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.egress.fetch import GuardedFetcher
from postroom.egress.hooks import GuardedPoster
from postroom.egress.remote import RemoteTransport, SenderProcess
from postroom.egress.tokens import Tokens
from postroom.engine.accounts import Accounts
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.explain import Explainer
from postroom.engine.guests import Guests
from postroom.engine.intake import Intake
from postroom.engine.janitor import Janitor, UncertainAlarm
from postroom.engine.keyring import KeyRing
from postroom.engine.mail_files import SharedFiles
from postroom.engine.rendering import RenderedMessages
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Ways
from postroom.ingress.http.desk_table import DeskRoom
from postroom.model.message import MailClass
from postroom.net.guard import Guard
from postroom.policy.retry import ClassRules
from postroom.renderer.pool import RendererPool
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
    guests: Guests
    janitor: Janitor
    poster: GuardedPoster
    """The way to every URL that a caller supplied."""
    fetcher: GuardedFetcher
    """The way to files that a mail names by URL."""
    desk: DeskRoom
    telling: Telling
    alerting: Alerting
    shared: SharedFiles
    """The files that links name."""
    renderer: RendererPool
    """Where templates are compiled and rendered."""
    failure: asyncio.Future[BaseException]
    """Done when the store failed and the process must end."""
    sender: SenderProcess | None = None
    """Where SMTP dialogues are had; ``None``: in this process."""


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
    tokens = Tokens(
        Guard(settings.allowed_networks),
        clock=clock,
        rotated=lambda name, secret: room.desk.accounts.renew(name, secret),  # noqa: PLW0108 - made below
    )
    sender = sender_process(settings, tokens, clock=clock) if is_server else None
    builder = WayBuilder(settings, store, sender=sender, tokens=tokens, clock=clock)
    ground = ground_of(settings)
    ways = builder.all(ground, await store.transports.all())
    ways.routed = ground.routed
    room = _room(settings, store, ways=ways, builder=builder, clock=clock, dice=dice)
    room.sender = sender
    recovered = await store.spool.recover(now=clock.now(), wait=WAIT_FOR_EVIDENCE)
    moved = await store.spool.reroute(known=room.ways.names, to=room.ways.default.name)
    if recovered.freed or recovered.uncertain or moved:
        log.info("recovered", freed=recovered.freed, uncertain=recovered.uncertain, rerouted=moved)
    await room.keyring.load()
    if sender is not None and any(isinstance(way.transport, RemoteTransport) for way in ways):
        await sender.start_once()
    await room.dispatcher.start()
    await room.janitor.start()
    await room.guests.start(is_capturing=room.ways.mode == "capture")
    try:
        async with told(room.telling), alerted(room.alerting):
            yield room
    finally:
        room.service.is_stopping = True
        await room.janitor.stop()
        await room.guests.stop()
        await stop_dispatcher(room.dispatcher, hurry)
        await room.poster.stop()
        await room.fetcher.stop()
        await room.renderer.close()
        if sender is not None:
            await sender.close()
        await tokens.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What every part stands on."""

    settings: Settings
    store: SqliteStore
    ways: Ways
    rules: Mapping[MailClass, ClassRules]
    rendered: RenderedMessages
    signals: Signals
    clock: Clock
    dice: Dice
    fatal: Callable[[BaseException], None]


def _room(
    settings: Settings, store: SqliteStore, *, ways: Ways, builder: WayBuilder, clock: Clock, dice: Dice
) -> Room:
    """Put the engine's parts together; nothing runs yet."""
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def fatal(error: BaseException) -> None:
        if not failure.done():
            log.error("the store failed; stopping", error=str(error))
            failure.set_result(error)

    store.on_failure(fatal)
    signals = Signals()
    ground = _Ground(
        settings=settings,
        store=store,
        ways=ways,
        rules=class_rules(settings),
        rendered=RenderedMessages(),
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=fatal,
    )
    fetcher = fetcher_of(settings)
    dispatcher, keyring = _dispatcher(ground, fetcher), _keyring(ground)
    entrance = _way_in(ground, dispatcher)
    service = _service(ground, entrance.intake, keyring)
    poster = GuardedPoster(Guard(settings.allowed_networks), clock=clock)
    renderer = _with_templates(service, ground)
    mail = MailParts(entrance=entrance, templating=service.templates, poster=poster)
    room = Room(
        service=service,
        poster=poster,
        fetcher=fetcher,
        desk=_desk(service, ground, poster, dispatcher=dispatcher, builder=builder),
        telling=_telling(ground, entrance.intake, poster),
        alerting=(alerting := _alerting(ground, mail)),
        explainer=entrance.explainer,
        ways=ways,
        keyring=keyring,
        dispatcher=dispatcher,
        guests=(guests := _guests(ground, dispatcher, builder)),
        janitor=_janitor(ground, dispatcher),
        shared=SharedFiles(store.spool, store.blobs),
        renderer=renderer,
        failure=failure,
    )
    service.guests = guests
    service.alerts, service.counts_of_alerts = alerting.alerts, alerting.alerts.counts
    service.needs_a_look = lambda: (*service.templates.catalogue.troubles, *service.alerts.troubles)
    signals.stored, room.desk.endpoints.changed = room.telling.teller.hint, room.telling.teller.changed
    return room


def _desk(
    service: Service,
    ground: _Ground,
    poster: GuardedPoster,
    *,
    dispatcher: Dispatcher,
    builder: WayBuilder,
) -> DeskRoom:
    networks = ground.settings.allowed_networks
    return desk_room_of(
        service,
        ground.store,
        ways=ground.ways,
        dispatcher=dispatcher,
        accounts=_accounts(ground, dispatcher, builder),
        poster=poster,
        doctor=build_doctor(ground.clock, tokens_of=builder.tokens_of, allowed_networks=networks),
        clock=ground.clock,
        dice=ground.dice,
    )


def _with_templates(service: Service, ground: _Ground) -> RendererPool:
    """Give the service its templates; return where they are rendered."""
    settings, clock = ground.settings.templates, ground.clock
    renderer = renderer_of(settings, clock=clock)
    service.templates = templating_of(settings, renderer, ground.store.templates, clock=clock)
    return renderer


def _way_in(ground: _Ground, dispatcher: Dispatcher) -> WayIn:
    return way_in(
        ground.settings,
        ground.store,
        ways=ground.ways,
        dispatcher=dispatcher,
        rules=ground.rules,
        rendered=ground.rendered,
        clock=ground.clock,
        dice=ground.dice,
    )


def _dispatcher(ground: _Ground, fetcher: GuardedFetcher) -> Dispatcher:
    store = ground.store
    return Dispatcher(
        spool=store.spool,
        ways=ground.ways,
        rules=ground.rules,
        rendered=ground.rendered,
        signals=ground.signals,
        clock=ground.clock,
        dice=ground.dice,
        fatal=ground.fatal,
        events=store.events,
        operations=store.operations if ground.settings.suppress_automatically else None,
        fetching=fetching_of(
            ground.settings,
            store,
            fetcher,
            rules=ground.rules,
            signals=ground.signals,
            clock=ground.clock,
            dice=ground.dice,
        ),
    )


def _accounts(ground: _Ground, dispatcher: Dispatcher, builder: WayBuilder) -> Accounts:
    store = ground.store
    return Accounts(
        records=store.transports,
        ground=ground_of(ground.settings),
        ways=ground.ways,
        roster=dispatcher.roster,
        spool=store.spool,
        events=store.events,
        build=builder.working,
        clock=ground.clock,
    )


def _guests(ground: _Ground, dispatcher: Dispatcher, builder: WayBuilder) -> Guests:
    guests = Guests(
        records=ground.store.guests,
        roster=dispatcher.roster,
        build=builder.guest,
        forget=lambda record: forget_accounts([guest_spec(record)]),
        clock=ground.clock,
        dice=ground.dice,
        fatal=ground.fatal,
        max_guests=ground.settings.nexus.max_tenant_accounts,
    )
    dispatcher.recall, dispatcher.seek = guests.recall, guests.seek
    dispatcher.attempted = guests.note
    return guests


def _keyring(ground: _Ground) -> KeyRing:
    keyring = KeyRing(ground.store.keys, clock=ground.clock, dice=ground.dice)
    if ground.settings.bootstrap_key:
        keyring.add_bootstrap(ground.settings.bootstrap_key.reveal())
    return keyring


def _service(ground: _Ground, intake: Intake, keyring: KeyRing) -> Service:
    store = ground.store
    return Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ground.ways,
        intake=intake,
        signals=ground.signals,
        keyring=keyring,
        limits=ground.settings.message_limits,
        clock=ground.clock,
        durability=store.durability,
        gauge=store.gauge,
    )


def _janitor(ground: _Ground, dispatcher: Dispatcher) -> Janitor:
    settings, store, clock = ground.settings, ground.store, ground.clock
    return Janitor(
        spool=store.spool,
        retention=settings.retention,
        signals=ground.signals,
        clock=clock,
        fatal=ground.fatal,
        health=dispatcher.health,
        uncertain=UncertainAlarm(
            gauge=store.gauge, events=store.events, clock=clock, older_than=settings.uncertain_alarm
        ),
        holds=hold_ends_of(store, ways=ground.ways, dispatcher=dispatcher, clock=clock),
        alerts=store.alerts,
    )


def _telling(ground: _Ground, intake: Intake, poster: GuardedPoster) -> Telling:
    return telling_of(
        ground.settings,
        ground.store,
        ways=ground.ways,
        intake=intake,
        poster=poster,
        clock=ground.clock,
        dice=ground.dice,
        fatal=ground.fatal,
    )


def _alerting(ground: _Ground, mail: MailParts) -> Alerting:
    return alerting_of(
        ground.settings,
        ground.store,
        ways=ground.ways,
        mail=mail,
        clock=ground.clock,
        dice=ground.dice,
        fatal=ground.fatal,
    )
