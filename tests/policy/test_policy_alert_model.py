"""The book of alerts against the reference model: the same mails, to the instant, over weeks and restarts."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policy.alert_world as plain
from policy.alert_model import Model
from postroom.model.alert import (
    AlertEvent,
    AlertState,
    AlertView,
    BookRow,
    Letter,
    NewAlertEvent,
    Severity,
    Silence,
)
from postroom.model.alert_rules import (
    AlertRoute,
    AlertRules,
    AlertType,
    Expectation,
    Flapping,
    Inhibition,
    Receiver,
    Recipient,
    Repeat,
    SampleRule,
    TypeSettings,
    WeekWindow,
)
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import alert_id, group_id
from postroom.policy.alerting.matching import parse_matchers

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
STRETCH = (4 * HOUR, DAY, 7 * DAY)


def rules() -> AlertRules:
    """Return the rules, as the program has them."""
    types = {
        "*": TypeSettings(),
        "node": TypeSettings(interval=timedelta(0)),
        "task": TypeSettings(interval=12 * HOUR, resolved=False, repeat=Repeat.EVENT),
        "load": TypeSettings(rule=SampleRule(threshold=80, points=3)),
        "lease": TypeSettings(resolve_after=20 * MINUTE),
        "noise": TypeSettings(is_open=False),
        "listed": TypeSettings(mail=False),
        "backup": TypeSettings(mail=False),
    }
    expect = Expectation(every=DAY, grace=30 * MINUTE)
    return AlertRules(
        flapping=Flapping(changes=plain.World.changes, within=plain.World.within, calm=plain.World.calm),
        types={
            key: AlertType(key=key, settings=one, expect=expect if key == "backup" else None)
            for key, one in types.items()
        },
        root=AlertRoute(
            name="root",
            receiver="default",
            group_by=("key",),
            group_wait=timedelta(0),
            group_interval=5 * MINUTE,
            repeat=STRETCH,
            resolved=True,
            active=(),
            mute=(),
            routes=(
                AlertRoute(
                    name="worst",
                    matchers=parse_matchers('severity=~"critical|emergency"'),
                    receiver="oncall",
                    group_by=("key", "object"),
                    group_interval=MINUTE,
                    repeat=(HOUR, 4 * HOUR),
                    is_continued=True,
                ),
                AlertRoute(
                    name="team",
                    matchers=parse_matchers('team="a"'),
                    receiver="team",
                    group_by=("team",),
                    group_wait=30 * SECOND,
                ),
                AlertRoute(
                    name="tasks",
                    matchers=parse_matchers('key="task"'),
                    receiver="team",
                    group_by=("key", "object"),
                    group_interval=timedelta(0),
                    resolved=False,
                ),
            ),
        ),
        receivers={
            "default": Receiver(name="default", recipients=(Recipient(address="ops@example.com"),)),
            "oncall": Receiver(name="oncall", recipients=(Recipient(address="pager@example.com"),)),
            "team": Receiver(
                name="team",
                recipients=(
                    Recipient(address="a@example.com"),
                    Recipient(address="b@example.com", language="de"),
                    Recipient(address="daily@example.com", digest="0 8 * * *"),
                    Recipient(address="sleeper@example.com", quiet=(QUIET,)),
                ),
            ),
        },
        inhibitions=(
            Inhibition(
                source=parse_matchers('key="node", severity="critical"'),
                target=parse_matchers('key!="node"'),
                equal=("object",),
            ),
        ),
    )


QUIET = WeekWindow(
    begins=time(22),
    ends=time(7),
)


def _quiet_until(at: datetime) -> datetime | None:
    if 7 <= at.hour < 22:
        return None
    day = at if at.hour < 7 else at + DAY
    return day.replace(hour=7, minute=0, second=0, microsecond=0)


def _digest_at(at: datetime) -> datetime:
    today = at.replace(hour=8, minute=0, second=0, microsecond=0)
    return today if today > at else today + DAY


@cache
def _id_of(name: plain.Name) -> str:
    key, object_, labels = name
    return alert_id(NewAlertEvent(key=str(key), object=str(object_), labels=dict(labels)))


@cache
def _group_id_of(name: plain.Name) -> str:
    path, receiver, values = name
    route = ("root",) if path == "root" else ("root", str(path))
    return group_id(route, str(receiver), (), dict(values))


def world() -> plain.World:
    """Return the same rules, as the model has them."""
    root = plain.Branch(
        path="root",
        fits=bool,
        receiver="default",
        group_by=("key",),
        wait=timedelta(0),
        interval=5 * MINUTE,
        repeat=STRETCH,
        resolved=True,
    )
    return plain.World(
        kinds={
            "*": plain.Kind(),
            "node": plain.Kind(interval=timedelta(0)),
            "task": plain.Kind(interval=12 * HOUR, resolved=False, by_event=True),
            "load": plain.Kind(threshold=80, points=3),
            "lease": plain.Kind(resolve_after=20 * MINUTE),
            "noise": plain.Kind(is_open=False),
            "listed": plain.Kind(mail=False),
            "backup": plain.Kind(mail=False, every=DAY, grace=30 * MINUTE),
        },
        branches=(
            plain.Branch(
                path="worst",
                fits=lambda labels: labels["severity"] in ("critical", "emergency"),
                receiver="oncall",
                group_by=("key", "object"),
                wait=timedelta(0),
                interval=MINUTE,
                repeat=(HOUR, 4 * HOUR),
                resolved=True,
                goes_on=True,
            ),
            plain.Branch(
                path="team",
                fits=lambda labels: labels.get("team") == "a",
                receiver="team",
                group_by=("team",),
                wait=30 * SECOND,
                interval=5 * MINUTE,
                repeat=STRETCH,
                resolved=True,
            ),
            plain.Branch(
                path="tasks",
                fits=lambda labels: labels["key"] == "task",
                receiver="team",
                group_by=("key", "object"),
                wait=timedelta(0),
                interval=timedelta(0),
                repeat=STRETCH,
                resolved=False,
            ),
            root,
        ),
        people={
            "default": (plain.Person(address="ops@example.com"),),
            "oncall": (plain.Person(address="pager@example.com"),),
            "team": (
                plain.Person(address="a@example.com"),
                plain.Person(address="b@example.com", language="de"),
                plain.Person(address="daily@example.com", digest_at=_digest_at),
                plain.Person(address="sleeper@example.com", quiet_until=_quiet_until),
            ),
        },
        id_of=_id_of,
        group_id_of=_group_id_of,
        inhibitions=(
            (
                lambda labels: labels["key"] == "node" and labels["severity"] == "critical",
                lambda labels: labels["key"] != "node",
                ("object",),
            ),
        ),
    )


# ---------------------------------------------------------------------- what happens


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happens."""

    at: datetime
    event: AlertEvent | None = None
    is_restart: bool = False
    silence: tuple[str, timedelta] | None = None
    """An object, and for how long."""
    acknowledge: plain.Name | None = None


KEYS = ("disk", "node", "task", "load", "lease", "noise", "listed", "job")


def steps(dice: random.Random, count: int, days: int) -> Iterator[Step]:
    """Make up events over some days, in bursts, with restarts, silences and acknowledgements."""
    at = BEGIN
    end = BEGIN + days * DAY
    mean = (end - BEGIN).total_seconds() / count
    number = 0
    recent: list[plain.Name] = []
    while number < count:
        gap = dice.choice((0.0, 0.02, 0.1, 0.2, 0.5, 1.0, 5.0)) * mean
        at += timedelta(seconds=round(gap * dice.random() * 2, 3))
        roll = dice.random()
        if roll < 0.004:
            yield Step(at=at, is_restart=True)
        elif roll < 0.008:
            for_ = dice.choice((MINUTE, HOUR, 9 * HOUR))
            yield Step(at=at, silence=(f"o{dice.randrange(6)}", for_))
        elif roll < 0.014 and recent:
            yield Step(at=at, acknowledge=dice.choice(recent))
        else:
            number += 1
            event = _event(dice, number, at)
            if event.state is not AlertState.RESOLVED:
                recent = [*recent[-20:], name_of(event)]
            yield Step(at=at, event=event)


def _event(dice: random.Random, number: int, at: datetime) -> AlertEvent:
    key = dice.choice(KEYS)
    state: AlertState | None = dice.choice((AlertState.FIRING, AlertState.FIRING, AlertState.RESOLVED))
    if key == "job" or (key == "task" and dice.random() < 0.5):
        state = None
    if dice.random() < 0.01:
        key, state = "backup", None
    worst = (Severity.WARNING, Severity.ERROR, Severity.CRITICAL, Severity.INFO)
    return AlertEvent(
        number=number,
        arrived_at=at,
        key=key,
        object=f"o{dice.randrange(6)}" if key != "backup" else "",
        labels={"team": dice.choice("ab")} if dice.random() < 0.3 else {},
        severity=dice.choices(worst, (6, 2, 1, 1))[0],
        is_severity_said=True,
        state=state,
        values={"value": dice.choice((50, 85, 90, 95))} if key == "load" else {},
        ends_at=at + dice.choice((MINUTE, HOUR)) if key == "lease" and dice.random() < 0.3 else None,
    )


def name_of(alert: AlertEvent | AlertView) -> plain.Name:
    """Return the model's name of an alert."""
    return (alert.key, alert.object, tuple(sorted(alert.labels.items())))


def mail_of(letter: Letter) -> plain.Mail:
    """Return a letter as the model has it."""
    return plain.Mail(
        at=letter.at,
        kind=letter.kind.value,
        receiver=letter.receiver,
        recipients=tuple(sorted(letter.recipients)),
        news=frozenset(
            (name_of(item.alert), item.alert.state.value) for item in letter.items if item.is_news
        ),
        listed=frozenset(
            name_of(item.alert)
            for item in letter.items
            if item.alert.state is AlertState.FIRING and letter.kind.value == "alert"
        ),
        active=letter.active,
        nth=letter.nth,
    )


class Both:
    """Book and model, taking the same steps."""

    def __init__(self) -> None:
        """Begin."""
        self.rules = rules()
        self.book = Book(self.rules, at=BEGIN)
        self.model = Model(world(), BEGIN)
        self.rows: dict[tuple[str, str], str] = {}
        self.letters: list[Letter] = []
        self.asked: dict[int, list[str]] = {}
        """Clauses by number of event."""

    def step(self, step: Step) -> None:
        """Take one."""
        if step.is_restart:
            self.drain()
            kept = self.rows.items()
            self.book = Book.load(
                self.rules, [BookRow(kind=kind, id=id_, data=data) for (kind, id_), data in kept], at=step.at
            )
            self.book.tick(step.at)
            self.model.start(step.at)
        else:
            self.book.tick(step.at)
            self.model.advance(step.at)
        if step.event is not None:
            self.book.take(step.event, step.at)
            self.model.take(step.event, step.at)
        elif step.silence is not None:
            self.silence(*step.silence, at=step.at)
        elif step.acknowledge is not None:
            self.acknowledge(step.acknowledge, step.at)
        self.book.tick(step.at)
        self.model.advance(step.at)
        self.drain()

    def silence(self, object_: str, for_: timedelta, *, at: datetime) -> None:
        """Silence an object."""
        id_ = f"s{at.timestamp()}"
        matchers = (f'object="{object_}"',)
        self.book.silence(
            Silence(
                id=id_,
                matchers=matchers,
                starts_at=at,
                ends_at=at + for_,
                author="a person",
                reason="",
                created_at=at,
            ),
            at,
        )
        self.model.silences[id_] = (lambda labels: labels.get("object", "") == object_, at + for_)
        self.model.touch()

    def acknowledge(self, name: plain.Name, at: datetime) -> None:
        """Acknowledge what is active."""
        alert = self.model.alerts.get(name)
        found = [view.id for view in self.book.views(at) if name_of(view) == name]
        if alert is None or not alert.is_active:
            return
        (id_,) = found
        self.book.acknowledge(id_, "a person", at + HOUR, at)
        alert.acked, alert.acked_until = True, at + HOUR
        self.model.touch(alert)

    def drain(self) -> None:
        """Keep what the book wants kept."""
        changed, decisions, letters = self.book.drain()
        for one in changed:
            if one.data is None:
                self.rows.pop((one.kind, one.id), None)
            else:
                self.rows[one.kind, one.id] = one.data
        self.letters += letters
        for decision in decisions:
            if decision.event is not None:
                self.asked.setdefault(decision.event, []).append(decision.clause.value)

    def compare(self) -> None:
        """The mails are the same; those of one instant may stand in another order."""
        ours = sorted(map(mail_of, self.letters), key=order)
        theirs = sorted(self.model.post.mails, key=order)
        for mine, wanted in zip(ours, theirs, strict=False):
            assert wanted == mine
        assert len(theirs) == len(ours)


def order(mail: plain.Mail) -> tuple[object, ...]:
    """Return what mails are sorted by."""
    return (mail.at, mail.kind, mail.receiver, mail.recipients, sorted(map(repr, mail.news)))


def played(seed: int, count: int, days: int) -> Both:
    """Play some events and compare."""
    both = Both()
    at = BEGIN
    for step in steps(random.Random(seed), count, days):
        both.step(step)
        at = step.at
    both.step(Step(at=at + 9 * DAY))
    both.compare()
    assert set(range(1, count + 1)) == set(both.asked)
    return both


@settings(max_examples=15)  # a test below plays far more
@given(seed=st.integers(min_value=0, max_value=2**32), days=st.sampled_from((1, 4, 30)))
def test_book_and_model_write_the_same_mails(seed: int, days: int) -> None:
    """A hundred events, with restarts, silences and acknowledgements: the same mails at the same instants."""
    played(seed, 100, days)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_events_over_thirty_days() -> None:
    """The mails equal those of the model, and every event has a clause that says what became of it."""
    both = played(2026, 100_000, 30)
    assert len(both.letters) > 1000
