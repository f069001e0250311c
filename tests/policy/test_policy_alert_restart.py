"""Whatever happens, a book made of its entries goes on as the one that wrote them."""

import json
from dataclasses import replace
from datetime import datetime, time, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.alert_room import (
    DAY,
    FIRING,
    HOUR,
    MINUTE,
    OPS,
    RESOLVED,
    SEVERITIES,
    Room,
    kind,
    route,
    rules,
)
from postroom.model.alert import AlertEvent, Severity
from postroom.model.alert_rules import (
    AlertRules,
    AlertType,
    Expectation,
    Flapping,
    Inhibition,
    Matcher,
    MatchKind,
    ObjectSettings,
    Receiver,
    Recipient,
    Repeat,
    SampleRule,
    Storm,
    TimeTable,
    TypeSettings,
    WeekWindow,
)
from postroom.policy.alerting.rows import read

TEAM = Receiver(
    name="team",
    recipients=(
        Recipient(address="ann@example.org", digest="0 8 * * *", time_zone="Asia/Shanghai"),
        Recipient(
            address="bob@example.org",
            quiet=(WeekWindow(begins=time(22), ends=time(7)),),
            time_zone="Europe/Berlin",
        ),
        Recipient(address="eve@example.org", language="de"),
    ),
    groups=("default",),
    pierce=(Severity.EMERGENCY,),
)


def _is(name: str, value: str) -> Matcher:
    return Matcher(name, MatchKind.EQUAL, value)


def world(**changed: object) -> AlertRules:
    """Return rules in which everything there is is used."""
    return rules(
        kind("disk", resolve_after=3 * HOUR),
        kind("task", repeat=Repeat.EVENT, interval=12 * HOUR, resolved=False),
        kind("lag", rule=SampleRule(threshold=10, points=3), interval=HOUR),
        kind("quiet", mail=False),
        kind("off", is_open=False),
        AlertType(
            key="backup",
            expect=Expectation(every=DAY, grace=HOUR, objects=("a", "b")),
            objects=(ObjectSettings(object="b*", settings=TypeSettings(interval=DAY)),),
        ),
        receivers=(OPS, TEAM),
        root=route(
            group_interval=5 * MINUTE,
            routes=(
                route(name="team", matchers=(_is("source", "db"),), receiver="team", group_wait=MINUTE),
                route(name="each", matchers=(_is("key", "task"),), group_by=("...",), is_continued=True),
                route(name="hours", matchers=(_is("object", "b"),), active=("work",), receiver="team"),
            ),
        ),
        inhibitions=(
            Inhibition(source=(_is("severity", "critical"),), target=(_is("key", "disk"),), equal=("node",)),
        ),
        tables={"work": TimeTable(name="work", windows=(WeekWindow(begins=time(8), ends=time(18)),))},
        storm=Storm(mails=4, within=HOUR),
        flapping=Flapping(changes=3, within=2 * HOUR, calm=HOUR),
        **changed,
    )


def event(dice: Random, number: int, now: datetime) -> AlertEvent:
    """Return some event."""
    is_said = dice.random() < 0.5
    return AlertEvent(
        number=number,
        arrived_at=now,
        key=dice.choice(("disk", "disk", "task", "lag", "quiet", "off", "backup")),
        object=dice.choice("abc"),
        node=dice.choice(("", "n1")),
        source=dice.choice(("", "db")),
        severity=dice.choice(SEVERITIES) if is_said else Severity.WARNING,
        is_severity_said=is_said,
        state=dice.choice((None, FIRING, FIRING, RESOLVED)),
        labels={"zone": dice.choice("xy")} if dice.random() < 0.3 else {},
        dedup=dice.choice(("", "", "", "same")),
        values={"value": dice.choice((5, 20, 20))},
        ends_at=now + dice.choice((-MINUTE, 30 * MINUTE)) if dice.random() < 0.1 else None,
        receivers=("own@example.org",) if dice.random() < 0.1 else (),
        acknowledged_by="Ann" if dice.random() < 0.05 else "",
    )


def step(dice: Random, room: Room) -> None:
    """Let something happen; the same dice let the same happen."""
    room.wait(dice.choice((timedelta(0), timedelta(0), MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, 30 * HOUR)))
    what = dice.random()
    if what < 0.85:
        room.numbers += 1
        room.take(event(dice, room.numbers - (dice.random() < 0.03), room.now))
    elif what < 0.90:
        room.silence(dice.choice(('key="disk"', 'object=~"a|b"')), lasts=3 * HOUR, number=dice.choice("st"))
    elif what < 0.92:
        room.see(lambda: room.book.end_silence("s", room.now))
    elif what < 0.96:
        known = sorted(room.book.ids)
        if known:
            one = dice.choice(known)
            until = dice.choice((None, room.now + 2 * HOUR))
            room.see(lambda: room.book.acknowledge(one, "Bob", until, room.now))
    elif what < 0.98:
        groups = sorted({group for one in room.book.ids for group in room.book.groups_of(one)})
        if groups:
            group = dice.choice(groups)
            room.see(lambda: room.book.set_rhythm(group, 2 * HOUR, "Bob", room.now))
    else:
        room.rules = world(language=dice.choice(("en", "de")))
        room.see(lambda: room.book.adopt(room.rules, room.now))


@settings(max_examples=15, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_restarts_change_nothing(seed: int) -> None:
    """A book that is loaded after any step says and writes the same as the one that goes on."""
    dice, same = Random(seed), Random(seed)
    kept, restarted = Room(world()), Room(world())
    breaks = Random(seed + 1)
    for _ in range(60):
        step(dice, kept)
        step(same, restarted)
        assert kept.decisions == restarted.decisions
        assert kept.letters == restarted.letters
        if breaks.random() < 0.3:
            restarted.restart()
    assert kept.stored == restarted.stored
    assert kept.book.counts == restarted.book.counts
    assert sorted(map(repr, kept.book.views(kept.now))) == sorted(map(repr, restarted.book.views(kept.now)))


def test_an_entry_that_an_older_release_wrote_lacks_the_last_members() -> None:
    """They are as in a new entry; an entry with more members than are known is refused by name."""
    room = Room()
    room.fire()
    for (kind_, id_), row in room.stored.items():
        members = json.loads(row.data or "")
        if kind_ == "member":
            room.stored[kind_, id_] = replace(row, data=json.dumps(members[:-1]))
    room.restart()
    assert ["updated"] == room.fire()
    with pytest.raises(ValueError, match="newer Postroom"):
        read("book", "[1, 2]")
