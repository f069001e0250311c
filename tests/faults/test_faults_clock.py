"""The wall time when the machine's clock is set."""

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from postroom import clock
from postroom.clock import SystemClock


class Machine(datetime):
    """A machine whose clocks stand where they are put."""

    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one, as callers expect
        del tz
        return cls.at


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Machine]:
    monkeypatch.setattr(clock, "datetime", Machine)
    monkeypatch.setattr(Machine, "at", Machine.at)
    return Machine


def test_the_wall_time_goes_on_when_the_machine_is_set_back(
    machine: type[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back by two hours it never goes back, runs at half pace, and joins the machine's clock again."""
    seconds = 100.0
    monkeypatch.setattr("time.monotonic", lambda: seconds)
    noon = machine.at
    ours = SystemClock()
    assert noon == ours.now()

    machine.at = noon - timedelta(hours=2)
    assert noon == ours.now()
    seconds += 3600
    machine.at = noon - timedelta(hours=1)
    assert noon + timedelta(minutes=30) == ours.now()
    seconds += 3 * 3600
    machine.at = noon + timedelta(hours=2)
    assert noon + timedelta(hours=2) == ours.now()
    machine.at = noon + timedelta(hours=2, seconds=1)
    assert machine.at == ours.now()


def test_the_wall_time_follows_a_step_ahead(machine: type[Machine]) -> None:
    """A clock that is set a day ahead is believed at once."""
    ours = SystemClock()
    machine.at += timedelta(days=1)
    assert machine.at == ours.now()
