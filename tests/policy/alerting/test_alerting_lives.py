"""What a report does to an alert and its groups, and what is stored of it."""

from policy.alert_room import MINUTE, Room, kind, route, rules
from postroom.model.alert import Clause, Severity
from postroom.model.alert_rules import Matcher, MatchKind, Receiver, Recipient

NIGHT = Receiver(name="night", recipients=(Recipient(address="night@example.org"),))
URGENT = route(
    name="urgent",
    matchers=(Matcher("severity", MatchKind.EQUAL, "critical"),),
    receiver="night",
    is_continued=True,
)
REST = route(name="rest")


def test_a_group_that_a_new_label_brings_hears_of_it_as_news() -> None:
    """It is rerouted there and new, not counted; the group that knows it is told that it is worse."""
    room = Room(
        rules(kind(), receivers=(*rules().receivers.values(), NIGHT), root=route(routes=(URGENT, REST)))
    )
    room.fire(severity=Severity.WARNING)
    assert ["rerouted", "new", "worse", "told", "told"] == room.fire(
        after=10 * MINUTE, severity=Severity.CRITICAL
    )
    assert {"default", "night"} == {one.receiver for one in room.letters[1:]}
    assert "night" == room.last(Clause.NEW)["receiver"] == room.last(Clause.REROUTED)["receiver"]


def test_an_idle_start_stores_nothing() -> None:
    """Rules are signed with the first entry that they can be about."""
    room = Room()
    assert {} == room.stored
    room.restart(after=MINUTE)
    assert {} == room.stored
    room.fire()
    assert ("rules", "") in room.stored
