"""A letter about more alerts than the event loop may be held for."""

import asyncio
import threading
from pathlib import Path

import pytest

from engine.alerting_room import firing, house
from postroom.engine.alerting.evaluator import MANY
from postroom.policy.alerting import telling


def test_it_is_written_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a thousand alerts leaves the event loop to others, and tells of all of them."""
    looks: list[tuple[int, bool]] = []
    take = telling.Look.take

    def watched(look: telling.Look) -> None:
        is_loop = threading.current_thread() is threading.main_thread()
        looks.append((len(look._group.members), is_loop))
        take(look)

    monkeypatch.setattr(telling.Look, "take", watched)

    async def scenario() -> None:
        async with house("memory", tmp_path).life() as life:
            await life.report(firing())
            await life.report(*[firing(about=f"db-{number}") for number in range(MANY)])
            await life.passes(300, letters=2)
            letter = (await life.letters())[-1]
            assert 1 + MANY == len(letter.items) + letter.more
            assert [(1, True), (1 + MANY, False)] == looks

    asyncio.run(scenario())
