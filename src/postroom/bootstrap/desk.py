"""The desk of an engine: what a person may do, put together from the store and the parts of the engine."""

from collections.abc import Callable
from datetime import datetime

from postroom.clock import Clock, Dice
from postroom.engine.accounts import Accounts
from postroom.engine.desk import Desk
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.endpoints import Endpoints
from postroom.engine.holding import HoldEnds
from postroom.engine.service import Service
from postroom.engine.ways import Ways
from postroom.ingress.http.desk_table import DeskRoom
from postroom.ports import HookPoster
from postroom.ports.doctor import Doctor
from postroom.spool.sqlite.opening import SqliteStore


def desk_room_of(  # noqa: PLR0913 - the wiring hands over every part by name
    service: Service,
    store: SqliteStore,
    *,
    ways: Ways,
    dispatcher: Dispatcher,
    accounts: Accounts,
    poster: HookPoster,
    doctor: Doctor,
    clock: Clock,
    dice: Dice,
) -> DeskRoom:
    """Return what the doors of a person at the desk stand before."""
    return DeskRoom(
        desk=Desk(
            service=service,
            operations=store.operations,
            events=store.events,
            wake=_waking(ways, dispatcher),
            clock=clock,
            dice=dice,
        ),
        endpoints=Endpoints(hooks=store.hooks, events=store.events, poster=poster, clock=clock, dice=dice),
        ways=ways,
        health=dispatcher.health,
        accounts=accounts,
        doctor=doctor,
        clock=clock,
    )


def hold_ends_of(store: SqliteStore, *, ways: Ways, dispatcher: Dispatcher, clock: Clock) -> HoldEnds:
    """Return the duty that ends holds by themselves."""
    return HoldEnds(operations=store.operations, wake=_waking(ways, dispatcher), clock=clock)


def _waking(ways: Ways, dispatcher: Dispatcher) -> Callable[[datetime], None]:
    """Return what tells every line that something may be due."""

    def wake(due_at: datetime) -> None:
        for name in ways.names:
            dispatcher.wake(name, due_at=due_at)
        dispatcher.wake_guests(due_at)

    return wake
