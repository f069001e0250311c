"""One rule that flaps seven hundred times: a handful of mails, and every report is accounted for."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from each_row import each
from engine.alerting_room import firing, house, over
from policy.alert_room import Room
from postroom.engine.alerting.forms import WhyFilter
from postroom.model.alert import Clause
from postroom.policy.alerting.identity import alert_id

PAIRS = 700


@each(
    ("every_s", "most"),
    [(2, 2), (60, 5), (900, 22), (1200, 22), (3000, 24)],
)
def test_however_fast_it_flaps(every_s: int, most: int) -> None:
    """Half an hour to three weeks of it and the day after, by the defaults; no report without a decision."""
    room = Room()
    for _ in range(PAIRS):
        room.fire(after=timedelta(seconds=every_s / 2))
        room.resolve(after=timedelta(seconds=every_s / 2))
    room.wait(timedelta(days=1))
    assert most == len(room.letters)
    assert [] == list(room.book.views(room.now))
    assert "resolved" == str(room.letters[-1].items[0].alert.state)
    assert set(range(1, 2 * PAIRS + 1)) == {one.event for one in room.decisions if one.event is not None}


@pytest.mark.slow
def test_through_the_evaluator_and_the_store(tmp_path: Path) -> None:
    """In twelve hours with seven restarts: at most five letters, and why answers for each report."""

    async def scenario() -> None:
        home = house("sqlite", tmp_path)
        for _ in range(7):
            async with home.life() as life:
                for _ in range(PAIRS // 7):
                    home.clock.advance(30)
                    await life.report(firing())
                    home.clock.advance(30)
                    await life.report(over(firing()))
        home.clock.advance(24 * 3600)
        async with home.life() as life:
            await life.until(lambda: bool(life.rings))  # it is calm, and told
            letters = await life.letters()
            assert 2 <= len(letters) <= 5
            assert ["firing", "resolved"] == [letters[at].items[0].alert.state for at in (0, -1)]
            looked: set[int | None] = set()
            wanted = WhyFilter(after=0, limit=1000)
            while steps := (await life.alerts.why(str(alert_id(firing())), wanted)).steps:
                assert all(one.sentence for one in steps)
                looked |= {one.decision.event for one in steps}
                wanted = WhyFilter(after=steps[-1].decision.number, limit=1000)
            assert set(range(1, 2 * PAIRS + 1)) == looked - {None}
            assert 1 == (await life.clauses()).count(Clause.FLAPPING_BEGAN)

    asyncio.run(scenario())
