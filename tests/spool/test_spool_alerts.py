"""Alerts in the store, the same on every one: reports, the book, decisions, letters, rules, retention."""

import asyncio
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from postroom.errors import DiskFullError, InvariantError
from postroom.model.alert import (
    AlertEventFilter,
    AlertPlace,
    AlertTurn,
    Clause,
    DecisionFilter,
    NewAlertEvent,
    Severity,
    StoredLetter,
)
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.ports import AlertRecords
from postroom.spool.sqlite import alerts as on_sqlite
from postroom.spool.sqlite.alerts import SqliteAlerts
from postroom.spool.sqlite.opening import DATABASE
from spool.alerts_room import (
    DISK,
    FULL,
    GROUP,
    LAG,
    OTHER,
    a_decision,
    a_letter,
    a_row,
    a_turn,
    an_event,
    on_alerts,
)
from spool.spool_room import DAY, HOUR, MINUTE, NOW, Room, every_store
from spool.sqlite_room import SMALL, on, open_

START = AlertPlace()
MAIL = MessageId("01ABCDEFGHIJKLMNOPQRST")


async def numbers(records: AlertRecords, **wanted: object) -> list[int]:
    chosen = replace(AlertEventFilter(tenant=DEFAULT_TENANT), **wanted)  # type: ignore[arg-type]  # by name
    return [event.number for event in await records.events(chosen)]


async def decided(records: AlertRecords, **wanted: object) -> list[int]:
    chosen = replace(DecisionFilter(tenant=DEFAULT_TENANT), **wanted)  # type: ignore[arg-type]  # by name
    return [decision.number for decision in await records.decisions(chosen)]


async def waiting_letters(records: AlertRecords, limit: int = 100) -> list[int]:
    return [stored.letter.number for stored in await records.open_letters(limit=limit)]


async def numbers_of_waiting(records: AlertRecords, place: AlertPlace, limit: int = 100) -> list[int]:
    return [event.number for event in await records.waiting(place, limit=limit)]


@every_store
def test_a_report_comes_back_as_it_was_stored(kind: str, tmp_path: Path) -> None:
    """Every member is kept with its type, and a bare report has its defaults; others see neither."""

    async def scenario(records: AlertRecords) -> None:
        bare = NewAlertEvent(key="k", severity=Severity.EMERGENCY)
        assert [1, 2] == list(await records.add([FULL, bare], at=NOW))
        assert [] == list(await records.add([], at=NOW))
        found = await records.waiting(START, limit=9)
        for given, stored in zip((FULL, bare), found, strict=True):
            expected = asdict(given) | {"number": found.index(stored) + 1, "arrived_at": NOW}
            assert expected == asdict(stored)
            assert list(map(type, given.values.values())) == list(map(type, stored.values.values()))
            assert stored == await records.event(stored.number, tenant=given.tenant)
            assert [stored] == list(await records.events(AlertEventFilter(tenant=given.tenant)))
        assert await records.event(1, tenant=DEFAULT_TENANT) is None
        assert await records.event(3, tenant=DEFAULT_TENANT) is None

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_urgent_reports_are_looked_at_first(kind: str, tmp_path: Path) -> None:
    """Each lane has its place and goes by number; what is behind the places is counted."""

    async def scenario(records: AlertRecords) -> None:
        severities = ("warning", "critical", "info", "emergency", "error", "critical")
        await records.add([an_event(severity=Severity(one)) for one in severities], at=NOW)
        for place, expected in (
            ((0, 0), [2, 4, 6, 1, 3, 5]),
            ((2, 0), [4, 6, 1, 3, 5]),
            ((4, 3), [6, 5]),
            ((6, 1), [3, 5]),
            ((6, 5), []),
        ):
            at = AlertPlace(urgent=place[0], other=place[1])
            assert expected == await numbers_of_waiting(records, at)
            assert expected[:2] == await numbers_of_waiting(records, at, 2)
            assert len(expected) == await records.backlog(at)

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_reports_are_found_by_key_alert_and_page(kind: str, tmp_path: Path) -> None:
    """Newest first; those of an alert are the ones that led to a decision on it, each once."""

    async def scenario(records: AlertRecords) -> None:
        keys = ("a", "b", "a", "b", "a")
        await records.add([an_event(key) for key in keys], at=NOW)
        await records.add([an_event("a", tenant=OTHER)], at=NOW)
        decisions = [a_decision(event=number) for number in (5, 1, 5, 4, 6, 99)]
        await records.settle(a_turn(*decisions, a_decision(), a_decision(LAG, event=2)))
        assert [5, 4, 3, 2, 1] == await numbers(records)
        assert [5, 3, 1] == await numbers(records, key="a")
        assert [3] == await numbers(records, key="a", before=5, limit=1)
        assert [5, 4, 1] == await numbers(records, alert=DISK)
        assert [4] == await numbers(records, alert=DISK, before=5, limit=1)
        assert [5, 1] == await numbers(records, alert=DISK, key="a")
        assert [6] == await numbers(records, alert=DISK, tenant=OTHER)
        assert [2] == await numbers(records, alert=LAG)
        assert [] == await numbers(records, alert="nobody")

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_the_book_is_what_was_settled_last(kind: str, tmp_path: Path) -> None:
    """Entries are replaced, forgotten and known by kind and id; a turn without a place leaves it."""

    async def scenario(records: AlertRecords) -> None:
        assert (START, []) == await records.book()
        await records.settle(a_turn(rows=[a_row("1"), a_row("2"), a_row("1", kind="group")], place=(3, 4)))
        rows = [a_row("1", '{"a": "ü"}'), a_row("2", None), a_row("3", None), a_row("4")]
        await records.settle(a_turn(rows=rows))
        place, found = await records.book()
        assert AlertPlace(urgent=3, other=4) == place
        assert [a_row("1", '{"a": "ü"}'), a_row("1", kind="group"), a_row("4")] == found
        await records.settle(AlertTurn())

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_decisions_come_back_and_are_paged_both_ways(kind: str, tmp_path: Path) -> None:
    """Every member is kept; a page goes on behind or before a number, within an alert, a report, a tenant."""

    async def scenario(records: AlertRecords) -> None:
        full = replace(a_decision(event=7, letter=3, until="2026", route="root/ü"), group=GROUP)
        await records.settle(
            a_turn(full, a_decision(LAG, Clause.STALE, event=7), a_decision(at=NOW + MINUTE), a_decision(LAG))
        )
        await records.settle(a_turn(a_decision(tenant=OTHER)))
        (first,) = await records.decisions(DecisionFilter(tenant=DEFAULT_TENANT, after=0, limit=1))
        assert asdict(full) | {"number": 1} == asdict(first)
        assert [4, 3, 2, 1] == await decided(records)
        assert [2, 3, 4] == await decided(records, after=1)
        assert [2, 1] == await decided(records, before=3)
        assert [3, 1] == await decided(records, alert=DISK)
        assert [4] == await decided(records, alert=LAG, limit=1)
        assert [4] == await decided(records, alert=LAG, after=2)
        assert [2, 1] == await decided(records, event=7)
        assert [2] == await decided(records, event=7, alert=LAG)
        assert [5] == await decided(records, tenant=OTHER)
        assert [] == await decided(records, tenant=OTHER, alert=LAG)

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_letters_wait_urgent_ones_first_until_they_are_sent(kind: str, tmp_path: Path) -> None:
    """Everything in a letter is kept; only news make it urgent; its incident's first message is found."""

    async def scenario(records: AlertRecords) -> None:
        assert (0, None) == await records.letters_waiting()
        given = [
            a_letter(5),
            a_letter(7, severity=Severity.CRITICAL, incident="i-2"),
            a_letter(6, at=NOW + HOUR, tenant=OTHER),
            a_letter(9, severity=Severity.EMERGENCY),
        ]
        assert (0, None) == await records.letters_waiting()
        await records.settle(a_turn(letters=given))
        assert (4, NOW) == await records.letters_waiting()
        assert [7, 9, 5, 6] == await waiting_letters(records)
        assert (4, NOW) == await records.letters_waiting()
        assert [7, 9] == await waiting_letters(records, 2)
        assert StoredLetter(letter=given[0]) == await records.letter(5, tenant=DEFAULT_TENANT)
        assert await records.letter(5, tenant=OTHER) is None
        assert await records.first_of("i-1") is None
        await records.sent(9, message_id=MAIL, by="mail")
        await records.sent(5, message_id=None, by="journal")
        await records.sent(1000, message_id=MAIL, by="mail")
        assert [7, 6] == await waiting_letters(records)
        assert (2, NOW) == await records.letters_waiting()
        assert 2 == (await records.letters_waiting())[0]
        sent = StoredLetter(letter=given[3], message_id=MAIL, sent_by="mail")
        assert sent == await records.letter(9, tenant=DEFAULT_TENANT)
        assert sent == await records.first_of("i-1")
        await records.sent(6, message_id=MAIL, by="mail")
        first = await records.first_of("i-1")
        assert first is not None
        assert given[2] == first.letter
        assert await records.first_of("i-2") is None

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_a_refused_turn_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """A letter's number is used once; its turn fails whole, and the next one is not harmed by it."""

    async def scenario(records: AlertRecords) -> None:
        await records.settle(a_turn(a_decision(), letters=[a_letter(1)], rows=[a_row("1")], place=(1, 1)))
        for letters in ([a_letter(2), a_letter(1)], [a_letter(3), a_letter(3)]):
            bad = a_turn(a_decision(LAG), letters=letters, rows=[a_row("1", None), a_row("2")], place=(9, 9))
            with pytest.raises(InvariantError):
                await records.settle(bad)
        assert (AlertPlace(urgent=1, other=1), [a_row("1")]) == await records.book()
        assert [1] == await decided(records)
        assert [1] == await waiting_letters(records)
        await records.settle(a_turn(a_decision(LAG), letters=[a_letter(2)]))
        assert [2, 1] == await decided(records)

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_rules_stand_in_the_order_of_storing(kind: str, tmp_path: Path) -> None:
    """A rule that is replaced keeps its place, one that comes back is the last; tenants have their own."""

    async def scenario(records: AlertRecords) -> None:
        for rule, data in (("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")):
            await records.put_rule("route", rule, data, tenant=DEFAULT_TENANT)
        await records.put_rule("type", "a", "5", tenant=DEFAULT_TENANT)
        await records.put_rule("route", "b", "6", tenant=OTHER)
        assert await records.remove_rule("route", "b", tenant=DEFAULT_TENANT)
        assert not await records.remove_rule("route", "b", tenant=DEFAULT_TENANT)
        await records.put_rule("route", "b", "7", tenant=DEFAULT_TENANT)
        expected = [("route", "a", "4"), ("route", "c", "3"), ("type", "a", "5"), ("route", "b", "7")]
        assert expected == list(await records.rules(tenant=DEFAULT_TENANT))
        assert [("route", "b", "6")] == list(await records.rules(tenant=OTHER))

    on_alerts(kind, tmp_path, scenario)


@every_store
def test_what_is_past_its_retention_goes_and_what_waits_stays(kind: str, tmp_path: Path) -> None:
    """Reports that were not looked at and open letters stay; numbers are never used again."""

    async def scenario(records: AlertRecords) -> None:
        later = NOW + DAY
        await records.add([an_event(), an_event(severity=Severity.CRITICAL), an_event()], at=NOW)
        await records.add([an_event()], at=later)
        decisions = [a_decision(event=1), a_decision(event=4, at=later)]
        letters = [a_letter(1), a_letter(2), a_letter(3, at=later), a_letter(4)]
        await records.settle(a_turn(*decisions, letters=letters, rows=[a_row("1")], place=(0, 1)))
        for number in (1, 3, 4):
            await records.sent(number, message_id=MAIL, by="mail")
        assert 0 == await records.purge(before=NOW, limit=100)
        assert 4 == await records.purge(before=later, limit=100)
        assert [4, 3, 2] == await numbers(records)
        assert [2] == await decided(records)
        assert [True, False, True] == [
            await records.letter(number, tenant=DEFAULT_TENANT) is not None for number in (2, 1, 3)
        ]
        assert 0 == await records.purge(before=later, limit=100)
        await records.settle(a_turn(place=(2, 4)))
        await records.sent(2, message_id=None, by="journal")
        assert 3 == await records.purge(before=2 * DAY + later, limit=1)
        assert 3 == await records.purge(before=2 * DAY + later, limit=100)
        assert [] == await numbers(records)
        assert ([5], 1) == (list(await records.add([an_event()], at=NOW)), await records.backlog(START))
        await records.settle(a_turn(a_decision()))
        assert [3] == await decided(records)
        assert [a_row("1")] == (await records.book())[1]

    on_alerts(kind, tmp_path, scenario)


def test_a_restart_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports, places, the book in however many reads, open letters, rules and numbers are as they were."""
    monkeypatch.setattr(on_sqlite, "ROWS_AT_ONCE", 3)
    rows = [a_row(str(number), "x" * 5000) for number in range(8)]

    async def before(records: AlertRecords) -> None:
        await records.add([an_event(), FULL], at=NOW)
        await records.settle(a_turn(a_decision(event=1), letters=[a_letter(1)], rows=rows, place=(0, 1)))
        await records.put_rule("route", "a", "{}", tenant=DEFAULT_TENANT)

    async def afterwards(records: AlertRecords) -> None:
        place, found = await records.book()
        assert rows == found
        assert AlertPlace(urgent=0, other=1) == place
        assert [2] == await numbers_of_waiting(records, place)
        assert [StoredLetter(letter=a_letter(1))] == list(await records.open_letters(limit=9))
        assert [("route", "a", "{}")] == list(await records.rules(tenant=DEFAULT_TENANT))
        assert [1] == await numbers(records, alert=DISK)
        assert 2 == await records.purge(before=NOW + DAY, limit=9)

    async def at_last(records: AlertRecords) -> None:
        assert [3, 4] == list(await records.add([an_event(), an_event()], at=NOW))
        await records.settle(a_turn(a_decision()))
        assert [2] == await decided(records)

    for scenario in (before, afterwards, at_last):
        on_alerts("sqlite", tmp_path, scenario)


def test_a_backup_has_alerts(tmp_path: Path) -> None:
    """Reports, places, the book and letters are in an online copy."""
    (tmp_path / "copy").mkdir(mode=0o700)

    async def run() -> None:
        store = open_(tmp_path / "data")
        await store.alerts.add([FULL], at=NOW)
        await store.alerts.settle(a_turn(letters=[a_letter(1)], rows=[a_row("1")], place=(1, 0)))
        await store.spool.backup(tmp_path / "copy" / DATABASE)
        await store.close()

    asyncio.run(run())

    async def scenario(records: AlertRecords) -> None:
        assert (AlertPlace(urgent=1, other=0), [a_row("1")]) == await records.book()
        assert [1] == await waiting_letters(records)
        assert await records.event(1, tenant=OTHER) is not None

    on_alerts("sqlite", tmp_path / "copy", scenario)


def test_a_full_disk_leaves_nothing_of_a_turn(tmp_path: Path) -> None:
    """What finds no space is refused whole, and both are stored once there is room again."""

    async def run() -> None:
        store = open_(tmp_path)
        records, db = store.alerts, store.alerts._writer._ledger.db
        await records.settle(a_turn(rows=[a_row("1")], place=(1, 1)))
        db.pragma("max_page_count", db.pragma("page_count"))
        large = replace(an_event(), text="x" * 100_000)
        turn = a_turn(a_decision(), letters=[a_letter(1)], rows=[a_row("2", "x" * 100_000)], place=(2, 2))
        answers = await asyncio.gather(
            records.add([large], at=NOW), records.settle(turn), return_exceptions=True
        )
        assert [DiskFullError, DiskFullError] == [type(answer) for answer in answers]
        assert (AlertPlace(urgent=1, other=1), [a_row("1")]) == await records.book()
        assert ([], [], 0) == (
            await waiting_letters(records),
            await decided(records),
            await records.backlog(START),
        )
        db.pragma("max_page_count", 2**30)
        await asyncio.gather(records.add([large], at=NOW), records.settle(turn))
        assert ([1], 1) == (await waiting_letters(records), await records.backlog(START))
        await store.close()

    asyncio.run(run())


def test_reports_stop_where_mail_stops(tmp_path: Path) -> None:
    """Below the reserve reports are refused; what was stored before is still looked at and told."""
    settings = replace(SMALL, reserve=2 * shutil.disk_usage(tmp_path).free, reserve_share=1.0)

    async def run() -> None:
        store = open_(tmp_path, settings)
        with pytest.raises(DiskFullError):
            await store.alerts.add([an_event()], at=NOW)
        await store.alerts.settle(a_turn(letters=[a_letter(1)]))
        await store.alerts.sent(1, message_id=None, by="journal")
        assert [] == await waiting_letters(store.alerts)
        await store.close()

    asyncio.run(run())


def test_alerts_share_a_commit_with_mail(tmp_path: Path) -> None:
    """Reports of many callers are one transaction with the mail of that turn, a turn of the book too."""

    async def scenario(room: Room) -> None:
        commits: list[int] = []
        records: SqliteAlerts = room.store.alerts  # type: ignore[attr-defined]  # the store on disk has them
        records._writer._ledger.db.set_commit_hook(lambda: commits.append(1) or False)  # type: ignore[func-returns-value]
        adding = [records.add([an_event(), an_event()], at=NOW) for _ in range(20)]
        found = await asyncio.gather(*adding, records.settle(a_turn(place=(0, 1))), room.accept())
        assert [[2 * number + 1, 2 * number + 2] for number in range(20)] == [
            list(one) for one in found[:20] if isinstance(one, range)
        ]
        assert 1 == len(commits)

    on(open_(tmp_path), scenario)
