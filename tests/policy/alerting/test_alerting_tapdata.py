"""TapData's intervals and life cycles, played through the book of alerts with the ready set's rules.

What TapData did is the table's expectation; where its own code did otherwise than its pages (a unit DAY that
was milliseconds, settings of a task that could only forbid), the pages hold.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from each_row import each
from postroom.model.alert import AlertEvent, AlertState, BookRow, Letter, LetterKind
from postroom.model.alert_rules import AlertRules, Storm
from postroom.policy.alerting.book import Book
from postroom.schema.alert_fitting import merged, with_sets

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED
HOUR = 60


class Report(NamedTuple):
    """One event, in minutes from the start."""

    at: float
    key: str = "TASK_STATUS_ERROR"
    task: str = "orders"
    node: str = ""
    state: AlertState | None = FIRING


class Mail(NamedTuple):
    """One mail: when, and how many reports were not mailed before it."""

    at: float
    suppressed: int = 0


ORDERS = (
    '{"mail": true, "objects": [{"object": "slow", "every": "1 DAY"}, {"object": "mine", "mail": false},'
    ' {"object": "own", "receivers": "own@example.com"}]}'
)
RULES = merged(
    with_sets(AlertRules(), ["tapdata"]),
    [
        ("receiver", "default", '{"to": "ops@example.com"}'),
        ("type", "jobDeleted", '{"mail": true}'),
        ("type", "TASK_STATUS_ERROR", ORDERS),
        ("type", "TASK_INCREMENT_DELAY", '{"mail": true}'),
    ],
)


def played(
    reports: Sequence[Report], *, restart_at: float | None = None, rules: AlertRules = RULES
) -> list[Letter]:
    """Return the letters that the reports lead to; the book is stored and read again at ``restart_at``."""
    book, letters = Book(rules, at=START), list[Letter]()
    rows: dict[tuple[str, str], BookRow] = {}
    for number, report in enumerate(reports, 1):
        now = START + timedelta(minutes=report.at)
        if restart_at is not None and report.at > restart_at:
            book, restart_at = Book.load(rules, list(rows.values()), at=now), None
        book.tick(now)
        event = AlertEvent(
            number=number, arrived_at=now, key=report.key, object=report.task, node=report.node,
            state=report.state, source="tapdata",
        )  # fmt: skip
        book.take(event, now)
        book.tick(now)
        changed, _, written = book.drain()
        rows |= {(row.kind, row.id): row for row in changed}
        rows = {key: row for key, row in rows.items() if row.data is not None}
        letters += written
    return letters


def mails(letters: Sequence[Letter]) -> list[Mail]:
    return [
        Mail(
            (one.at - START).total_seconds() / 60, sum(item.suppressed for item in one.items if item.is_news)
        )
        for one in letters
    ]


@each(
    ("reports", "expected"),
    [
        # at once, then at most one in the interval, with what came between counted
        ([Report(0)], [Mail(0)]),
        ([Report(0), Report(1), Report(2), Report(4.9)], [Mail(0)]),
        ([Report(0), Report(1), Report(2), Report(6)], [Mail(0), Mail(6, 2)]),
        ([Report(0), Report(6), Report(8), Report(12)], [Mail(0), Mail(6), Mail(12, 1)]),
        # no mail by the clock alone: it is told again when it is reported again
        ([Report(0), Report(600, task="other")], [Mail(0), Mail(600)]),
        # that it is over is not mailed, and the interval goes on when it comes again
        ([Report(0), Report(1, state=RESOLVED)], [Mail(0)]),
        ([Report(0), Report(1, state=RESOLVED), Report(2)], [Mail(0)]),
        ([Report(0), Report(1, state=RESOLVED), Report(6)], [Mail(0), Mail(6)]),
        # task, alarm and node are one alarm each
        ([Report(0), Report(0, task="bills"), Report(0, node="n"), Report(0, key="jobDeleted", state=None)],
         [Mail(0), Mail(0), Mail(0), Mail(0)]),
        # a day is a day, and the task's setting goes before the global one
        ([Report(at * HOUR, task="slow") for at in range(26)], [Mail(0), Mail(24 * HOUR, 23)]),
        ([Report(0, task="mine")], []),
        # twelve hours between mails about errors, for events without a state
        ([Report(at * HOUR, key="jobEncounterError", state=None) for at in range(25)],
         [Mail(0), Mail(12 * HOUR, 11), Mail(24 * HOUR, 11)]),
        # what is off is off
        ([Report(0, key="jobStarted", state=None), Report(1, key="ENGINE_OFFLINE")], []),
        # the page's proof: a deleted task is one mail
        ([Report(0, key="jobDeleted", state=None)], [Mail(0)]),
    ],
)  # fmt: skip
def test_tapdatas_scenarios(reports: list[Report], expected: list[Mail]) -> None:
    """The same mails, also when everything is read from the store again between any two reports."""
    assert expected == mails(played(reports))
    for report in reports[:3]:
        assert expected == mails(played(reports, restart_at=report.at))


def test_receivers_of_a_task_replace_the_others() -> None:
    """Its mail goes to them alone."""
    [one] = played([Report(0)])
    [own] = played([Report(0, task="own")])
    assert (("ops@example.com",), ("own@example.com",)) == (one.recipients, own.recipients)


def test_what_is_beyond_the_cap_of_a_day_is_one_summary() -> None:
    """Ten mails a day as TapData's cloud sends at most; the flood is one summary when the day is over."""
    rules = replace(RULES, storm=Storm(mails=10, within=timedelta(days=1)))
    flood = [Report(number, task=f"task {number}") for number in range(40)]
    letters = played([*flood, Report(24 * HOUR + 1, key="ENGINE_OFFLINE")], rules=rules)
    assert [LetterKind.ALERT] * 10 + [LetterKind.SUMMARY] == [one.kind for one in letters]
    assert Mail(24 * HOUR) == mails(letters)[-1]
    assert 30 == len(letters[-1].items) + letters[-1].more


def test_a_rule_counts_bad_measurements_in_a_row() -> None:
    """Sixty samples of a minute and more; a good one begins anew. TapData's own alarms bring no sample."""
    book, letters = Book(RULES, at=START), list[Letter]()

    def report(count: int, value: float | None, first: int) -> None:
        for step in range(count):
            now = START + timedelta(seconds=5 * (first + step))
            values = {} if value is None else {"sample": value}
            event = AlertEvent(
                number=first + step + 1, arrived_at=now, key="TASK_INCREMENT_DELAY", object="orders",
                values=values,
                state=FIRING if value is None else None,
            )  # fmt: skip
            book.tick(now)
            book.take(event, now)
            book.tick(now)
            letters.extend(book.drain()[2])

    report(59, 60000, 0)
    report(1, 59999, 59)
    report(59, 60000, 60)
    assert [] == letters
    report(1, 60000, 119)
    assert [START + timedelta(seconds=595)] == [one.at for one in letters]
    report(1, None, 200)
    assert 2 == len(letters)
