"""Holds that end by themselves."""

import asyncio
from datetime import datetime, timedelta

from peers.manual import ManualClock
from postroom.engine.holding import HoldEnds
from postroom.model.hold import Hold, HoldEnd, HoldFilter
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import MailClass
from postroom.spool.memory.opening import open_memory


def test_a_hold_past_its_end_is_ended_and_the_lines_are_woken() -> None:
    """Before the end nothing happens; at it the hold has ended and what it released may be sent at once."""
    woken: list[datetime] = []

    async def scenario() -> None:
        clock = ManualClock()
        store = open_memory()
        duty = HoldEnds(operations=store.operations, wake=woken.append, clock=clock)
        hold = Hold(
            id="h",
            tenant=DEFAULT_TENANT,
            filter=HoldFilter(mail_class=MailClass.BULK),
            reason="wait for Monday",
            author="ann",
            created_at=clock.now(),
            until=clock.now() + timedelta(hours=1),
            then=HoldEnd.RELEASE,
        )
        await store.operations.add_hold(hold)
        assert not await duty.end_due()
        assert [] == woken
        clock.advance(3600)
        assert not await duty.end_due()
        assert [clock.now()] == woken
        assert [] == list(await store.operations.holds(DEFAULT_TENANT))

    asyncio.run(scenario())
