"""A start after the machine's clock was set back."""

from datetime import timedelta

import pytest

from policy.alert_room import DAY, HOUR, MINUTE, Room, rules
from postroom.model.alert import LetterKind
from postroom.model.alert_rules import AlertType, Expectation, Receiver, Recipient, Storm

YEAR = 365 * DAY


@pytest.mark.parametrize("ahead", [8 * HOUR, YEAR])
def test_nobody_waits_for_an_hour_that_was_no_hour(ahead: timedelta) -> None:
    """What was told by the wrong clock gates no news, throttles no alert and delays no repeat for longer."""
    room = Room()
    room.wait(ahead)
    room.fire(object="a")
    room.resolve(object="b")
    room.fire(object="b")
    room.resolve(object="b")
    room.restart(after=-ahead)
    before = len(room.letters)
    room.fire(object="c")
    room.fire(object="b")
    room.wait(6 * MINUTE)
    assert ["b", "c"] == sorted(item.alert.object for item in room.letters[before].items if item.is_news)
    room.wait(4 * HOUR)
    assert len(room.letters) >= before + 2
    room.restart()
    assert all(view.last_at <= room.now for view in room.book.views(room.now))


def test_what_was_due_stays_due() -> None:
    """A report that was gated when the clock went back is told within an interval."""
    room = Room()
    room.wait(YEAR)
    room.fire(object="a")
    room.fire(object="b")
    assert 1 == len(room.letters)
    room.restart(after=-YEAR)
    room.wait(6 * MINUTE)
    assert ["b"] == [item.alert.object for item in room.letters[-1].items if item.is_news]


def test_silences_last_as_long_as_was_said() -> None:
    """An hour of silence is an hour, by whatever clock it began."""
    room = Room()
    room.wait(YEAR)
    room.silence('object="a"', lasts=HOUR)
    room.restart(after=-YEAR)
    room.fire(object="a")
    assert [] == room.letters
    room.wait(HOUR)
    assert 1 == len(room.letters)


def test_digests_storms_and_expectations_come_in_time() -> None:
    """Each at most as much later as it was to be."""
    backup = AlertType(key="backup", expect=Expectation(every=DAY))
    held = rules(backup, storm=Storm(mails=1, within=HOUR))
    room = Room(held)
    room.wait(YEAR)
    room.report("backup")
    room.fire(object="a")
    room.fire("other")
    room.restart(after=-YEAR)
    before = len(room.letters)
    room.wait(2 * HOUR)
    assert before < len(room.letters)
    room.wait(2 * DAY)
    assert "missing" in [str(one.clause) for one in room.decisions]


def test_a_digest_of_another_time_survives_more_starts() -> None:
    """It comes once, whatever instant it was kept for first."""
    reader = Recipient(address="a@example.org", digest="0 8 * * *")
    room = Room(rules(receivers=(Receiver(name="default", recipients=(reader,)),)))
    room.wait(DAY)
    room.fire()
    room.restart(after=-2 * HOUR)
    room.restart()
    room.wait(DAY)
    assert [LetterKind.DIGEST] == [one.kind for one in room.letters]
