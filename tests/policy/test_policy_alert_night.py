"""What the person on call reads at night: true, counted rightly, and not one mail too many."""

from dataclasses import replace
from datetime import time, timedelta

from peers.alert_letters import AT, SINCE, alert, letter, listed, news
from policy.alert_room import DAY, FIRING, HOUR, MINUTE, MONDAY, OPS, Room, kind, route, rules
from postroom.model.alert import AlertState, Clause, Letter, LetterKind, Severity
from postroom.model.alert_rules import (
    AlertRoute,
    AlertRules,
    AlertType,
    Expectation,
    Inhibition,
    Matcher,
    MatchKind,
    Receiver,
    Recipient,
    Storm,
    WeekWindow,
)
from postroom.policy.alerting.phrasing import MAX_ROWS, Manner, Phrased, phrased
from postroom.policy.alerting.reasons import reason
from postroom.policy.alerting.words import LANGUAGES

ERROR = Severity.ERROR
SECOND = timedelta(seconds=1)
QUIET = Receiver(
    name="default",
    recipients=(Recipient(address="ops@example.org", quiet=(WeekWindow(begins=time(8), ends=time(11)),)),),
)


def say(one: Letter, held: AlertRules | None = None) -> Phrased:
    return phrased(one, Manner(rules=held or AlertRules(), now=AT))


def test_a_storm_of_hours_is_so_many_mails_and_one_summary() -> None:
    """In any stretch as long as the storm's, also while severe ones are told at once."""
    storm = Storm(mails=3, within=MINUTE)
    room = Room(rules(storm=storm))
    for number in range(120):
        room.fire(f"k{number}", severity=ERROR, after=7 * SECOND)
    for first in room.letters:
        near = [one for one in room.letters if first.at <= one.at < first.at + storm.within]
        assert len(near) <= storm.mails + 1
    room.wait(HOUR)
    assert 120 == len({item.alert.key for one in room.letters for item in one.items})
    severe = Room(rules(storm=storm))
    for number in range(60):
        severe.fire(f"k{number}", severity=ERROR if number % 2 else Severity.CRITICAL, after=SECOND)
    severe.wait(MINUTE)
    summaries = [one for one in severe.letters if one.kind is LetterKind.SUMMARY]
    assert 1 == len(summaries)


def test_a_summary_that_waits_is_joined_after_a_restart() -> None:
    """One more that is held back does not make a second one."""
    room = Room(rules(storm=Storm(mails=1, within=10 * MINUTE)))
    for number in range(3):
        room.fire(f"k{number}", severity=ERROR, after=SECOND)
    room.restart(after=MINUTE)
    room.fire("k3", severity=ERROR)
    room.wait(HOUR)
    (summary,) = (one for one in room.letters if one.kind is LetterKind.SUMMARY)
    assert (MONDAY + SECOND + 10 * MINUTE, 3) == (summary.at, len(summary.items))


def test_what_only_happened_is_never_still_active() -> None:
    """A failed login is over: it is listed as such, and not counted."""
    room = Room()
    room.report("login", object="admin")
    room.report("login", object="root", after=MINUTE)
    room.wait(5 * MINUTE)
    assert [0, 0] == [one.active for one in room.letters]
    said = [say(one) for one in room.letters]
    assert ["", ""] == [one.variables["still"] for one in said]
    mixed = letter(news(), listed(alert(object="b", is_occurrence=True)), active=1)
    (group,) = say(mixed).variables["groups"]
    assert "Happened" == group["name"]


def test_a_letter_about_one_alert_does_not_count_it() -> None:
    """That it is active it says itself; others are counted."""
    stills = [say(letter(active=count)).variables["still"] for count in (1, 2)]
    assert ["", "2 still active"] == stills


def test_a_recovery_says_what_its_report_says() -> None:
    """Not what was so before; what the report leaves out stays."""
    room = Room()
    room.fire(text="95 % used.", values={"used": 95}, link="https://mon.example.com/1")
    room.resolve(text="Space was made.", values={"used": 30}, after=HOUR)
    over = room.letters[-1].items[0].alert
    assert ("Space was made.", {"used": 30}, "https://mon.example.com/1") == (
        over.text,
        over.values,
        over.link,
    )


def test_a_digest_counts_how_often_it_was_so() -> None:
    """A recovery is not once more of it."""
    room = Room(rules(receivers=(QUIET,)))
    room.fire(object="a")
    room.resolve(object="a", after=20 * MINUTE)
    room.fire(object="b")
    room.resolve(object="b", after=20 * MINUTE)
    room.fire(object="b", after=20 * MINUTE)
    room.wait(3 * HOUR)
    (digest,) = room.letters
    assert {"a": 0, "b": 1} == {item.alert.object: item.suppressed for item in digest.items}


def test_many_alerts_are_counted_with_those_that_found_no_room() -> None:
    """Two hundred are not fifty."""
    held = replace(rules(), root=route(group_wait=MINUTE))
    room = Room(held)
    for number in range(200):
        room.fire(object=f"disk-{number}", title="Disk almost full")
    room.wait(MINUTE)
    one = say(room.letters[-1])
    assert "[Warning] 200 alerts · Disk almost full" == one.subject
    assert "and 198 more, since 09:00" in one.lead
    assert 150 + 50 - 44 == int(one.variables["more"].split()[1])


def test_an_event_that_did_not_come_is_said_so() -> None:
    """In every language, without the label it is known by."""
    backup = AlertType(key="backup", expect=Expectation(every=DAY, objects=("db-1",)))
    room = Room(rules(backup))
    room.wait(DAY + 5 * MINUTE)
    (one,) = room.letters
    said = {language: say(replace(one, language=language), room.rules) for language in LANGUAGES}
    assert {
        "en": "[Critical] backup is overdue · db-1",
        "de": "[Kritisch] backup ist überfällig · db-1",
        "fr": "[Critique] backup n’est pas arrivé · db-1",  # noqa: RUF001 - French
        "zh": "[严重] backup 未按时上报 · db-1",
        "ko": "[심각] backup 보고 없음 · db-1",
    } == {language: each.subject for language, each in said.items()}
    assert [{"label": "Object", "value": "db-1"}] == said["en"].variables["news"][0]["rows"]


def test_who_reads_of_a_flapping_alert_learns_that_it_flaps() -> None:
    """On the locked telephone, and why there will be no mail of each change."""
    room = Room(rules(kind("link", interval=timedelta(0))))
    for _ in range(8):
        room.fire("link", object="eth0", title="Link down", after=2 * MINUTE)
        room.resolve("link", object="eth0", after=2 * MINUTE)
    one = say(next(each for each in room.letters if each.items[0].alert.is_flapping))
    assert one.lead.endswith(", keeps changing")
    assert "its changes are not mailed until it is calm" in one.variables["news"][0]["suppressed"]


def test_a_short_name_is_not_taken_for_a_part_of_the_title() -> None:
    """Whole words only; a name in another script needs no spaces around it."""
    subjects = [
        say(letter(news(alert(title=title, object=name)))).subject
        for title, name in (
            ("Feedback queue is long", "db"),
            ("Disk of storage-2 is full", "storage"),
            ("Queue DB is long", "db"),
            ("订单同步失败", "订单"),
        )
    ]
    assert [
        "[Critical] Feedback queue is long · db",
        "[Critical] Disk of storage-2 is full · storage",
        "[Critical] Queue DB is long",
        "[Critical] 订单同步失败",
    ] == subjects


def test_a_summary_of_one_alert_names_it() -> None:
    """Once, in subject and lead."""
    one = say(letter(kind=LetterKind.DIGEST, group=None))
    assert "[Critical] Summary of alerts: Disk almost full · storage-2" == one.subject
    assert 1 == one.lead.count("storage-2")


def test_a_table_says_what_it_leaves_out() -> None:
    """In its last row."""
    labels = {f"label_{number}": f"value {number}" for number in range(64)}
    rows = say(letter(news(alert(labels=labels)))).variables["news"][0]["rows"]
    assert (MAX_ROWS, {"label": "…", "value": "and 36 more"}) == (len(rows), rows[-1])


def test_numbers_and_times_stand_where_a_language_has_them() -> None:
    """Order of words, forms for one, brackets."""
    often = alert(is_occurrence=True, tally=6)
    leads = {one: say(letter(news(often), language=one)).lead for one in ("zh", "ko")}
    assert leads["zh"].endswith("，09:05 起 6 次")  # noqa: RUF001 - Chinese
    assert leads["ko"].endswith(", 09:05부터 6회")
    still = say(letter(news(alert(told_at=SINCE)), language="zh")).lead
    assert still.endswith("09:05 起（已持续 12 分钟）")  # noqa: RUF001 - Chinese
    assert "et 1 autre" == say(letter(more=1, language="fr")).variables["more"]


def test_who_stands_in_two_groups_gets_two_letters() -> None:
    """Groups are told apart; within one each address is told once."""
    both = Receiver(name="default", recipients=OPS.recipients, groups=("more",))
    more = Receiver(name="more", recipients=(Recipient(address="OPS@example.org"),))
    room = Room(rules(receivers=(both, more)))
    room.fire()
    assert [("ops@example.org",)] == [one.recipients for one in room.letters]
    assert {FIRING} == {item.alert.state for one in room.letters for item in one.items}
    assert AlertState.FIRING is room.letters[0].items[0].alert.state


def test_no_letter_grows_too_long_for_a_mail_program() -> None:
    """Gmail cuts a mail at 102 kB; Chinese has three bytes for each character."""
    labels = {f"{'数' * 90}{number}": "据" * 500 for number in range(64)}
    for count in (1, 4, 50):
        big = [
            news(alert(f"k{number}", object="库" * 100, title="满" * 200, text="因" * 2000, labels=labels))
            for number in range(count)
        ]
        assert 60_000 > len(say(letter(*big, active=count)).text.encode())


def test_what_is_over_with_its_cause_is_never_told() -> None:
    """A host comes back and its services a moment later; one that does not is told of a minute later."""
    by_host = Inhibition(
        source=(Matcher("key", MatchKind.EQUAL, "host"),),
        target=(Matcher("key", MatchKind.EQUAL, "service"),),
        equal=("object",),
    )
    for is_restarted in (False, True):
        room = Room(rules(inhibitions=(by_host,)))
        room.fire("host", object="h1")
        for node in ("web", "mail"):
            room.fire("service", object="h1", node=node, after=MINUTE)
        if is_restarted:
            room.restart(after=MINUTE)
        room.resolve("host", object="h1", after=HOUR)
        over_at = room.now
        room.resolve("service", object="h1", node="web", after=30 * SECOND)
        room.wait(HOUR)
        told = [(one.at, item.alert.node) for one in room.letters for item in one.items if item.alert.node]
        assert [(over_at + MINUTE, "mail")] == told


def test_who_was_told_hears_of_the_end() -> None:
    """Also where the severity fell meanwhile, and the route is another; also after a restart."""
    pager = Receiver(name="pager", recipients=(Recipient(address="pager@example.org"),))
    severe = AlertRoute(receiver="pager", matchers=(Matcher("severity", MatchKind.EQUAL, "critical"),))
    held = replace(rules(receivers=(OPS, pager)), root=route(routes=(severe,)))
    for is_restarted in (False, True):
        room = Room(held)
        room.fire(severity=Severity.CRITICAL)
        room.fire(severity=Severity.WARNING, after=HOUR)
        if is_restarted:
            room.restart(after=MINUTE)
        room.resolve(after=HOUR)
        told = [(one.receiver, one.items[0].alert.state) for one in room.letters]
        over = AlertState.RESOLVED
        assert [("pager", FIRING), ("default", FIRING)] == told[:2]
        assert [("default", over), ("pager", over)] == sorted(told[2:])


def test_what_waits_for_its_group_says_from_when_it_may_be_told() -> None:
    """The first is told at once, and the second says when the group's interval is over."""
    room = Room()
    room.fire(object="a")
    assert "from" not in room.last(Clause.NEW)
    room.fire(object="b", after=MINUTE)
    assert (MONDAY + 5 * MINUTE).isoformat() == room.last(Clause.NEW)["from"]
    assert "not before 2026-01-05 09:05:00 UTC" in reason(room.decisions[-1])
    assert "frühestens 2026-01-05 09:05:00 UTC" in reason(room.decisions[-1], "de")
