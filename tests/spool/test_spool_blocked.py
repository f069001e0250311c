"""Recipients whom the settings block, the same on every store and at both moments."""

import asyncio
from dataclasses import replace
from pathlib import Path

from peers.manual import ManualClock
from postroom.policy.blocking import BlockList
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite
from spool.orders_room import Desk, play_at_desk
from spool.spool_room import a_message, every_store

BARE = SpoolSettings(reserve=0, ballast=0)
BLOCKING = replace(BARE, blocked=BlockList(["Bob1@example.org", r"re:bob[23]@.*"]))


@every_store
def test_a_blocked_recipient_is_suppressed_and_the_others_go(kind: str, tmp_path: Path) -> None:
    """Exact and by pattern: its own cause, one event, and the rest of the message is sent."""

    async def scenario(desk: Desk) -> None:
        message = a_message(4)
        await desk.accept(message)
        assert ["queued", "suppressed", "suppressed", "suppressed"] == await desk.states(message.id)
        assert "recipient-blocked" == (await desk.view(message.id)).recipients[1].cause
        assert [("message.queued", ()), ("recipient.suppressed", (1, 2, 3))] == await desk.kinds_told(
            message.id
        )
        assert (0,) == (await desk.claim_one()).recipients

    play_at_desk(kind, tmp_path / "data", scenario, BLOCKING)


def test_what_waits_obeys_new_settings(tmp_path: Path) -> None:
    """Mail accepted before the block was set is not sent after a start with it."""

    async def before(desk: Desk) -> None:
        await desk.accept(a_message(4))

    async def after() -> None:
        store = open_sqlite(tmp_path / "data", settings=BLOCKING, clock=ManualClock())
        try:
            desk = Desk(store=store)
            assert (0,) == (await desk.claim_one()).recipients
        finally:
            await store.close()

    play_at_desk("sqlite", tmp_path / "data", before, BARE)
    asyncio.run(after())
