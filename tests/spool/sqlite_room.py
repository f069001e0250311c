"""A store on SQLite to look into from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from peers.manual import ManualClock
from postroom.model.message import Message
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import DATABASE, SqliteStore, open_sqlite
from spool.spool_room import (
    Room,
)

SMALL = SpoolSettings(reserve=0, ballast=0, max_crashes=3)


def open_(data: Path, settings: SpoolSettings = SMALL, vfs: str | None = None) -> SqliteStore:
    return open_sqlite(data, settings=settings, clock=ManualClock(), vfs=vfs)


def on(store: SqliteStore, scenario: Callable[[Room], Awaitable[None]]) -> None:
    """Run a scenario and close the store."""

    async def run() -> None:
        try:
            await scenario(Room(store=store))
        finally:
            await store.close()

    asyncio.run(run())


@contextmanager
def database(data: Path) -> Iterator[apsw.Connection]:
    """Open the database of a closed store."""
    db = apsw.Connection(str(data / DATABASE))
    try:
        yield db
    finally:
        db.close()


def filled(data: Path, *messages: Message) -> None:
    async def scenario(room: Room) -> None:
        for message in messages:
            await room.accept(message)

    on(open_(data), scenario)
