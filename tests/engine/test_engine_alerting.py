"""The evaluator of alerts: what is accepted is looked at, once, in order, whatever fails."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.alerting_room import CRITICAL, HOUR, House, firing, house, over, wait_for
from peers.manual import ManualClock
from postroom.engine.alerting import evaluator as evaluator_module
from postroom.engine.alerting.evaluator import FOR_URGENT, LOOK_AT_CLOCK, MAX_WAITING, SLICE_S
from postroom.engine.alerting.forms import NewSilence
from postroom.errors import DiskFullError, OverloadError, StoreError
from postroom.model.alert import Clause
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import alert_id
from postroom.spool.memory.opening import open_memory

every_store = pytest.mark.parametrize("kind", ["memory", "sqlite"])


@every_store
def test_an_accepted_event_becomes_a_letter_and_a_story(kind: str, tmp_path: Path) -> None:
    """A report is numbered at once, looked at soon, told in a letter, and its decisions are kept."""

    async def scenario() -> None:
        async with house(kind, tmp_path).life() as life:
            assert [1] == list(await life.report(firing()))
            (letter,) = await life.letters()
            assert ("ops@example.com",) == letter.recipients
            assert ["db1"] == [item.alert.object for item in letter.items]
            assert [Clause.NEW, Clause.TOLD] == await life.clauses()
            assert [None] == life.rings
            assert [2, 3] == list(await life.report(firing(), over(firing())))
            assert [Clause.UPDATED, Clause.RESOLVED] == (await life.clauses())[2:4]

    asyncio.run(scenario())


@every_store
def test_urgent_events_are_looked_at_first(kind: str, tmp_path: Path) -> None:
    """A critical report overtakes everything that waits, and each lane keeps its order."""

    async def scenario() -> None:
        home = house(kind, tmp_path)
        async with home.life(is_started=False) as life:
            await life.alerts.accept([firing(about=f"db{number}") for number in range(300)])
            await life.alerts.accept([CRITICAL, CRITICAL])
            assert 302 == life.evaluator.waiting
        async with home.life() as life:
            await life.until(lambda: life.evaluator.active == 301)
            await life.settled()
            looked = [one.event for one in await life.decisions() if one.event is not None]
            assert [301, 302, *range(1, 301)] == looked

    asyncio.run(scenario())


@every_store
def test_clocks_ring_without_events(kind: str, tmp_path: Path) -> None:
    """What is active is told again when its repeat is due, also after a restart before that."""

    async def scenario() -> None:
        home = house(kind, tmp_path)
        async with home.life() as life:
            await life.report(firing())
            await life.passes(4 * 3600, 2)
        async with home.life() as life:
            await life.settled()
            assert 2 == len(await life.letters())
            await life.passes(4 * 3600, 3)
            assert [1, 2, 3] == [letter.nth for letter in await life.letters()]

    asyncio.run(scenario())


def _stories(decisions: Any) -> dict[int | None, list[Clause]]:
    found: dict[int | None, list[Clause]] = {}
    for one in decisions:
        found.setdefault(one.event, []).append(one.clause)
    return found


@every_store
@pytest.mark.parametrize("is_committed", [False, True])
def test_a_life_that_ends_in_a_look_changes_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Ends before and after the commits of looks leave the same decisions and letters as none."""
    monkeypatch.setattr(evaluator_module, "PAGE", 7)
    events = [firing(about=f"db{number % 9}") for number in range(40)] + [CRITICAL, over(CRITICAL)]

    async def live(home: House, *, ends: bool) -> tuple[dict[int | None, list[Clause]], list[Any]]:
        async with home.life(is_started=False) as life:
            await life.alerts.accept(events)
        for _ in range(5 if ends else 0):
            async with home.life(is_started=False) as life:
                (life.records.after if is_committed else life.records.before).append(asyncio.CancelledError())
                await life.evaluator.start()
                await life.until(lambda: not life.records.after and not life.records.before)
        async with home.life() as life:
            await life.evaluator.read(lambda _book, _now: None)
            await life.settled()
            told = [(letter.number, len(letter.items)) for letter in await life.letters()]
            return _stories(await life.decisions()), told

    async def scenario() -> None:
        whole = await live(house("memory", tmp_path / "whole"), ends=False)
        assert whole == await live(house(kind, tmp_path / "cut"), ends=True)

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [OverloadError("busy", retry_after_s=1), DiskFullError("full")])
def test_a_look_that_cannot_be_stored_is_made_again(tmp_path: Path, error: Exception) -> None:
    """When the store refuses, nothing of the look holds; it is made once more, later, and told once."""

    async def scenario() -> None:
        async with house("memory", tmp_path).life() as life:
            await wait_for(error, life, firing(), firing())  # type: ignore[arg-type] # both are ours
            assert [] == await life.letters()
            life.clock.advance(1.0)
            await life.settled()
            assert [Clause.NEW, Clause.TOLD, Clause.UPDATED] == await life.clauses()
            assert 1 == len(await life.letters())

    asyncio.run(scenario())


def test_a_broken_store_ends_the_process(tmp_path: Path) -> None:
    """A store that fails for good is told to whoever ends the process."""

    async def scenario() -> None:
        async with house("memory", tmp_path).life(fails=True) as life:
            await wait_for(StoreError("damaged"), life, firing())
            await life.until(lambda: bool(life.failures))

    asyncio.run(scenario())


def test_what_a_person_changes_does_not_hold_when_it_is_not_stored(tmp_path: Path) -> None:
    """A silence that cannot be stored is refused, and mail goes on as if nobody had asked."""

    async def scenario() -> None:
        async with house("memory", tmp_path).life() as life:
            wanted = NewSilence(matchers=('object="db1"',), ends_at=life.clock.now() + HOUR, author="me")
            await life.report(firing("other"))
            life.records.before.append(OverloadError("busy", retry_after_s=1))
            with pytest.raises(OverloadError):
                await life.alerts.silence(wanted)
            assert [] == await life.alerts.silences(tenant=wanted.tenant)
            await life.report(firing())
            assert 2 == len(await life.letters())

    asyncio.run(scenario())


@every_store
def test_an_event_at_which_the_book_fails_stops_nobody(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a decision that says so; those before and after it in its lane are told as if it were not."""
    take = Book.take

    def fail(book: Book, event: Any, now: Any) -> None:
        take(book, event, now)
        if event.key == "bad":
            raise ZeroDivisionError

    monkeypatch.setattr(Book, "take", fail)

    async def scenario() -> None:
        async with house(kind, tmp_path).life() as life:
            bad = firing("bad")
            await life.report(firing("a"), bad, firing("b"), bad, firing("c"))
            assert [Clause.FAULT, Clause.FAULT] == await life.clauses(alert=alert_id(bad))
            assert ["a", "b", "c"] == [letter.items[0].alert.key for letter in await life.letters()]
            assert 3 == life.evaluator.active

    asyncio.run(scenario())


def test_a_book_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be looked at the status says so, and no longer when it goes on."""

    def broken(*_: object, **__: object) -> Book:
        raise ZeroDivisionError

    async def scenario() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Book, "load", broken)
            async with house("memory", tmp_path).life() as life:
                await life.alerts.accept([firing()])
                await life.until(lambda: bool(life.evaluator.trouble))
                assert [life.evaluator.trouble] == list(life.alerts.troubles)
                patched.undo()
                await life.passes(1.0, letters=1)
                await life.until(lambda: not life.alerts.troubles)

    asyncio.run(scenario())


def test_a_clock_at_which_the_book_fails_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone until the next start; events and other clocks go on."""
    look = Book._look

    def fail(book: Book, kind: str, number: str, now: Any) -> None:
        if kind == "group" and any(
            item.key == "bad" and number in book.groups_of(item.id) for item in book.views(now)
        ):
            raise ZeroDivisionError
        look(book, kind, number, now)

    async def scenario() -> None:
        async with house("memory", tmp_path).life() as life:
            await life.report(firing("bad"), firing("good"))
            monkeypatch.setattr(Book, "_look", fail)
            await life.passes(4 * 3600, 3)
            await life.report(firing("later"))
            assert ["bad", "good", "good", "later"] == [
                letter.items[0].alert.key for letter in await life.letters()
            ]

    asyncio.run(scenario())


def test_too_many_waiting_events_are_refused(tmp_path: Path) -> None:
    """Beyond the bound a report is refused for a while, nothing of it stored; a severe one later."""

    async def scenario() -> None:
        async with house("memory", tmp_path).life(is_started=False) as life:
            life.evaluator.reported(MAX_WAITING)
            with pytest.raises(OverloadError, match="wait to be looked at") as refused:
                await life.alerts.accept([firing()])
            assert 10.0 == refused.value.retry_after_s
            assert [] == list(await life.records.waiting(life.evaluator._place, limit=9))
            assert 1 == len(await life.alerts.accept([CRITICAL]))
            life.evaluator.reported(FOR_URGENT)
            with pytest.raises(OverloadError):
                await life.alerts.accept([CRITICAL])

    asyncio.run(scenario())


class Hasty(ManualClock):
    """Time passes with each look at it."""

    def monotonic(self) -> float:
        self._monotonic += SLICE_S
        return self._monotonic


def test_the_loop_is_shared_while_many_events_are_looked_at(tmp_path: Path) -> None:
    """Others come to their turn as soon as a slice of a page took its time."""

    async def scenario() -> None:
        async with House(tmp_path, clock=Hasty(), memory=open_memory()).life() as life:
            turns = 0
            await life.alerts.accept([firing(about=f"db{number}") for number in range(1000)])
            while life.evaluator.waiting:
                turns += 1
                await asyncio.sleep(0)
            assert turns > 1000 / LOOK_AT_CLOCK

    asyncio.run(scenario())
