"""What letters say: subjects, the line on a locked telephone, lists, variables of own texts, links."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import png
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.alert_letters import AT, SINCE, alert, letter, listed, news
from postroom.model.alert import AlertState, Letter, LetterKind, Severity
from postroom.model.alert_rules import AlertRules, AlertType, Receiver
from postroom.policy.alerting.chart import HEIGHT, WIDTH, chart, shown
from postroom.policy.alerting.filling import filled, unknown
from postroom.policy.alerting.links import AlertDeed, AlertLinks, read_act
from postroom.policy.alerting.phrasing import MAX_LEAD, Manner, Phrased, phrased
from postroom.policy.alerting.words import LANGUAGES
from postroom.policy.links import LinkKeys

KEYS = LinkKeys((b"k" * 32,))
LINKS = AlertLinks(public_url="https://mail.example.com", keys=KEYS)
HOUR = timedelta(hours=1)
BAD = alert(state=AlertState.RESOLVED, resolved_at=AT, first_at=AT - 35 * HOUR / 60)


def say(one: Letter, rules: AlertRules | None = None, first: Letter | None = None, **given: Any) -> Phrased:
    return phrased(one, Manner(rules=rules or AlertRules(), now=AT, **given), first=first)


def test_a_subject_says_severity_what_and_where() -> None:
    """The severity in front, and what the title already says is not said twice."""
    assert "[Critical] Disk almost full · storage-2" == say(letter()).subject
    assert "[Resolved] Disk almost full · storage-2" == say(letter(news(BAD))).subject
    named = alert(title="Disk of STORAGE-2 almost full", severity=Severity.INFO)
    assert "[Information] Disk of STORAGE-2 almost full" == say(letter(news(named))).subject
    untitled = alert(title="", node="n1")
    assert "[Critical] disk-full · storage-2 (n1)" == say(letter(news(untitled))).subject
    rules = AlertRules(
        types={"disk-full": AlertType(key="disk-full", label={"de": "Platte voll", "en": "Disk full"})},
        receivers={"on-call": Receiver(name="on-call", subject_prefix="【ops】")},
    )
    subjects = [say(letter(news(untitled), language=one), rules).subject for one in ("de-AT", "fr")]
    assert [
        "【ops】[Kritisch] Platte voll · storage-2 (n1)",
        "【ops】[Critique] Disk full · storage-2 (n1)",
    ] == (subjects)


def test_a_subject_says_whether_it_is_new_still_so_or_again() -> None:
    """By when the letter before told of it, and when it began."""
    still = alert(told_at=SINCE)
    again = alert(told_at=SINCE - HOUR)
    subjects = [say(letter(news(one))).subject for one in (still, again)]
    assert [f"[Critical ({word})] Disk almost full · storage-2" for word in ("still", "again")] == subjects
    once = replace(again, is_occurrence=True)
    assert "[Critical] Disk almost full · storage-2" == say(letter(news(once))).subject


def test_later_letters_about_the_same_alerts_keep_the_stem() -> None:
    """A title that has its figures changes all the time; a letter about other alerts says so."""
    first = letter(news(alert(title="Disk 91 % full")))
    later = letter(news(alert(title="Disk 97 % full", told_at=AT)), nth=2)
    assert "[Critical (still)] Disk 91 % full · storage-2" == say(later, first=first).subject
    assert "[Critical (still)] Disk 97 % full · storage-2" == say(later).subject
    others = letter(news(alert(title="Disk 97 % full", object="storage-3")), nth=2)
    assert "[Critical] Disk 97 % full · storage-3" == say(others, first=first).subject


def test_several_alerts_are_counted() -> None:
    """With what they have in common, the worst severity, and where."""
    three = [news(alert(object=name, severity=Severity.WARNING)) for name in ("a1", "a2")]
    one = say(letter(*three, news(alert(object="a3")), active=3))
    assert "[Critical] 3 alerts · Disk almost full" == one.subject
    assert "Critical: 3 alerts · Disk almost full, a1, a2 and 1 more, since 09:05, 3 still active" == one.lead
    mixed = (news(alert("x", title="One")), news(alert("y", title="Other")))
    assert "2 alerts · db, eu" in say(letter(*mixed, group_labels={"cluster": "db", "zone": "eu"})).subject
    assert "[Resolved] 2 alerts" in say(letter(news(BAD), news(replace(BAD, title="Other")))).subject


def test_a_locked_telephone_shows_severity_what_where_and_since() -> None:
    """In the first 120 characters of the text and of the preheader, in every language, however long."""
    long = alert(title="Incomprehensibilities " * 12, object="warehouse-" * 9, text="Because. " * 90)
    for language in LANGUAGES:
        for item in (news(long), news(replace(long, told_at=SINCE, first_at=SINCE - 40 * HOUR))):
            one = say(letter(item, language=language, time_zone="Asia/Seoul"))
            head = one.lead[:MAX_LEAD]
            assert "Incomprehens" in head
            assert "warehouse-ware" in head
            assert "18:05" in head or "2026-11-21 02:05" in head
            assert one.variables["word"] == head[: len(one.variables["word"])]
            assert one.variables["preheader"].startswith(one.lead)
            assert one.text.startswith(one.lead)
    assert "Critical: Disk almost full, storage-2, since 09:05 (for 12 minutes)" == say(letter()).lead
    new = say(letter(news(alert(first_at=AT))))
    assert "Critical: Disk almost full, storage-2, since 09:17" == new.lead
    over = say(letter(news(BAD)))
    assert "Resolved: Disk almost full, storage-2, 08:42–09:17 (35 minutes)" == over.lead  # noqa: RUF001
    often = say(letter(news(alert(is_occurrence=True, tally=15))))
    assert "Critical: Disk almost full, storage-2, 15 times since 09:05" == often.lead


def test_every_letter_says_what_is_still_active() -> None:
    """With since when, how often nothing was mailed, and how many found no room."""
    busy = listed(alert("slow", title="Slow", told_at=SINCE), suppressed=14, suppressed_since=SINCE)
    one = say(letter(news(), busy, active=9, more=7)).variables
    (group,) = one["groups"]
    assert ("Still active", "and 7 more", "9 still active") == (group["name"], one["more"], one["still"])
    (line,) = group["alerts"]
    assert ("Slow", "Critical (still)", "14 more since 09:05") == (
        line["title"],
        line["word"],
        line["suppressed"],
    )
    many = [news(alert(object=f"disk-{number}")) for number in range(60)]
    one = say(letter(*many, more=3)).variables
    assert (4, 40, "and 19 more") == (len(one["news"]), len(one["groups"][0]["alerts"]), one["more"])


def test_a_digest_is_a_list_by_what_became_of_it() -> None:
    """What is still active first; nobody can act on a digest as a whole."""
    items = (news(BAD), news(alert(object="b", is_occurrence=True)), news(alert(object="c")))
    one = say(letter(*items, kind=LetterKind.DIGEST, group=None), links=LINKS)
    assert ["Still active", "Happened", "Resolved"] == [group["name"] for group in one.variables["groups"]]
    assert ([], []) == (one.variables["news"], one.variables["actions"])
    assert "[Critical] Summary of alerts: 3 alerts" == one.subject
    storm = say(letter(*items, kind=LetterKind.SUMMARY, group=None, language="ko", more=40))
    assert "[심각] 짧은 시간에 알림이 많습니다: 알림 43건" == storm.subject


def test_a_type_has_a_subject_and_a_body_of_its_own() -> None:
    """Values in place of {variables}, escaped in the body; a name that nothing has stays to be seen."""
    kind = AlertType(
        key="TASK_ERROR",
        subject="【TapData Notification:Task error】{taskName}{nothing}",
        body="<p>{taskName} failed at {errorTime}, {severity}, {count}, {duration}</p>",
        variables=("taskName",),
    )
    prefix = Receiver(name="on-call", subject_prefix="TapData ")
    rules = AlertRules(types={kind.key: kind}, receivers={"on-call": prefix})
    view = alert(kind.key, is_occurrence=True, values={"taskName": "a<b>\r\nBcc: x", "errorTime": 7.5})
    one = say(letter(news(view)), rules)
    assert "TapData 【TapData Notification:Task error】a<b>  Bcc: x{nothing}" == one.subject
    body = one.variables["news"][0]["body"]
    assert "<p>a&lt;b&gt;\r\nBcc: x failed at 7.5, Critical, 1, 12 minutes</p>" == body
    over = replace(view, is_occurrence=False, state=AlertState.RESOLVED, resolved_at=AT)
    assert say(letter(news(over)), rules).subject.startswith("TapData [Resolved] 【TapData")
    assert ("nothing",) == unknown(kind.subject + kind.body, (*kind.variables, "errorTime"))
    assert "{ a } {} {b" == filled("{ a } {} {b", {"a": "1", "b": "2"})


def test_nothing_is_said_twice() -> None:
    """What the body or another row says has no row; numbers have one each."""
    kind = AlertType(key="disk-full", body="<p>{error}</p>", variables=("error",))
    values = {"error": "no room", "task": "orders", "used": "10", "most": "10", "full": 7}
    item = news(alert(object="orders", values=values, details={"summary": "no room", "at": "07:00"}))
    (card,) = say(letter(item), rules=AlertRules(types={"disk-full": kind})).variables["news"]
    rows = {row["label"]: row["value"] for row in card["rows"]}
    assert "<p>no room</p>" == card["body"]
    assert {"Object", "used", "most", "full", "at"} == set(rows)


def test_a_late_report_says_when_it_began() -> None:
    """A minute and more; what came at once needs no second time."""
    began = alert().first_at - timedelta(minutes=90)
    for occurred_at, said in ((began, True), (alert().first_at - timedelta(seconds=59), False)):
        (card,) = say(letter(news(alert(occurred_at=occurred_at)))).variables["news"]
        assert said is ("Began" in {row["label"] for row in card["rows"]})


def test_readers_act_by_links() -> None:
    """On the alert the letter is about, on the group where there are several or for its rhythm."""
    one, two = news(), news(alert(object="storage-3"))
    for items, target in (((one,), "alert"), ((one, two), "group")):
        actions = say(letter(*items), links=LINKS).variables["actions"]
        found = [read_act(dict(parse_qsl(urlsplit(action["url"]).query)), KEYS) for action in actions]
        acts = [act for act, _ in filter(None, found)]
        assert list(AlertDeed) == [act.deed for act in acts]
        assert {(17, "on-call")} == {(act.letter, act.receiver) for act in acts}
        wanted = ["group" if act.deed.is_rhythm else target for act in acts]
        assert wanted == ["alert" if act.alert else "group" for act in acts]
    assert [] == say(letter()).variables["actions"]
    assert [] == say(letter(news(BAD)), links=LINKS).variables["actions"]
    once = say(letter(news(alert(is_occurrence=True))), links=LINKS).variables["actions"]
    assert ["Silence for 1 hour", "Silence for 1 day"] == [action["name"] for action in once]


def test_values_become_a_table_and_a_curve() -> None:
    """Labels, values and details once each; of values over time the last 40 that are numbers."""
    view = alert(
        labels={"severity": "x", "cluster": "db"},
        values={"used": 0.1 + 0.2, "ok": True},
        details={"free": "14 GB", "empty": ""},
        history=(float("nan"), *(80.0 + one for one in range(50))),
        tally=15,
    )
    one = say(letter(news(view)))
    rows = {row["label"]: row["value"] for row in one.variables["news"][0]["rows"]}
    assert {
        "Object": "storage-2",
        "Reports": "15",
        "Last report": "09:17",
        "cluster": "db",
        "used": "0.3",
        "ok": "true",
        "free": "14 GB",
    } == rows
    (picture,) = one.pictures
    assert (40, 90.0) == (len(picture.values), picture.values[0])
    card = one.variables["news"][0]
    assert f"cid:{picture.content_id}" == card["picture"]
    assert "Last 40 values: lowest 90, highest 129, last 129" == card["picture_text"]
    assert () == say(letter(news(alert(history=(1.0,))))).pictures


@given(st.lists(st.floats(allow_nan=True), max_size=60))
def test_any_numbers_are_drawn(numbers: list[float]) -> None:
    """As a picture of one size, whatever their size."""
    values = shown(numbers)
    if values:
        width, height, rows, info = png.Reader(bytes=chart(values)).read()
        assert (WIDTH, HEIGHT) == (width, height)
        assert "palette" in info
        assert all(len(row) == WIDTH for row in rows)


@pytest.mark.parametrize("value", ["a\r\nBcc: b", "a\u2028b", "\x00\x1b[31m", "a" * 5000])
def test_nothing_that_came_with_an_event_breaks_a_line(value: str) -> None:
    """Subject, lead and preheader are one line each, and bounded."""
    view = alert(title=value, object=value, source=value, labels={value: value}, text=value)
    one = say(letter(news(view)))
    for text in (one.subject, one.lead, one.variables["preheader"], one.variables["heading"]):
        assert text.isprintable()
        assert len(text) < 400


def test_the_same_letter_has_the_same_words_later() -> None:
    """Only its links may be newer."""
    one = letter(news(alert(told_at=SINCE)))
    later = phrased(one, Manner(rules=AlertRules(), now=AT + 9 * HOUR))
    assert say(one) == later
