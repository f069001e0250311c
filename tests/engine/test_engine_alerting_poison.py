"""What came of one report cannot be stored: a fault of this program, and no reason to tell nobody."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.alerting_room import firing, house
from postroom.model.alert import AlertTurn, Clause
from postroom.policy.alerting.identity import alert_id

BAD = firing("bad")


def test_an_event_of_which_nothing_can_be_stored_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a decision that says so; the others of its page are told, once, and pages are whole again."""

    async def scenario() -> None:
        async with house("sqlite", tmp_path).life() as life:
            settle = life.records.settle
            sizes = []

            async def fail(turn: AlertTurn) -> None:
                sizes.append(sum(row.kind == "alert" for row in turn.rows))
                if any(row.kind == "alert" and row.id == alert_id(BAD) for row in turn.rows):
                    raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
                await settle(turn)

            monkeypatch.setattr(life.records, "settle", fail)
            with capture_logs():
                await life.report(*(firing(f"a{number}") for number in range(12)), BAD, firing("z"))
            assert [Clause.FAULT] == await life.clauses(alert=alert_id(BAD))
            told = [letter.items[0].alert.key for letter in await life.letters()]
            assert [*(f"a{number}" for number in range(12)), "z"] == told
            assert len(sizes) < 15
            await life.report(*(firing(f"b{number}") for number in range(40)))
            await life.report(*(firing(f"c{number}") for number in range(40)))
            assert 40 == sizes[-1]

    asyncio.run(scenario())


def test_what_is_no_events_fault_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing at all can be stored no event is passed over: all are told when it can be again."""

    async def scenario() -> None:
        async with house("memory", tmp_path).life() as life:
            settle: Any = life.records.settle

            async def fail(_turn: AlertTurn) -> None:
                raise ZeroDivisionError

            monkeypatch.setattr(life.records, "settle", fail)
            with capture_logs() as logged:
                await life.alerts.accept([firing("a"), firing("b")])
                await life.until(lambda: any(one["event"] == "alerts put off" for one in logged))
                monkeypatch.setattr(life.records, "settle", settle)
                await life.passes(1.0, letters=2)
            assert ["a", "b"] == [letter.items[0].alert.key for letter in await life.letters()]
            assert Clause.FAULT not in await life.clauses()

    asyncio.run(scenario())
