"""The digest of failures: what it says, how much of it, and when it is due."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.model.event import Event, EventKind
from postroom.model.ids import MessageId
from postroom.policy.noticing import LOST, NOTICED, Notice, Place, notice

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EVERY = timedelta(minutes=15)
CAUSES = [f"cause-{number}" for number in range(40)]


def refused(number: int, cause: str = "recipient-unknown", *addresses: str) -> Event:
    given_ = addresses or (f"user{number}@example.com",)
    return Event(
        number=number,
        at=AT + timedelta(seconds=number),
        kind=EventKind.RECIPIENT_REFUSED,
        message_id=MessageId(f"20261121120000.22{number:020d}".replace("0", "2")),
        recipients=tuple(range(len(given_))),
        addresses=given_,
        transport="main",
        cause=cause,
    )


OUTAGE = Event(
    number=5,
    at=AT,
    kind=EventKind.TRANSPORT_OPENED,
    transport="main",
    cause="login-refused",
    data={"kind": "login", "until": "2026-11-21T12:15:00+00:00", "text": "535 5.7.8 <b>no\r\nway</b>"},
)


def made(*events: Event) -> Notice:
    found = notice(events, place="mail.example.com")
    assert found is not None
    return found


class Cells(HTMLParser):
    """Collects the text of each element; an element that nobody wrote fails the test."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"html", "body", "p", "strong", "h3", "table", "tr", "td", "code"}
        assert attrs in ([], [("cellpadding", "3")])

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_lost_recipient_is_told_with_everything_to_act_on() -> None:
    """Address, id, transport, time, cause in words, and the command to look, in both forms."""
    event = refused(1)
    told = made(event)

    assert "[mail.example.com] 1 recipient will not get mail" == told.subject
    for form in (told.text, " ".join(Cells(told.html).texts)):
        for words in (
            "1 refused (recipient-unknown)",
            "user1@example.com",
            str(event.message_id),
            "main",
            "2026-11-21 12:00:01 UTC",
            f"postroom status {event.message_id}",
        ):
            assert words in form


def test_an_outage_comes_first_with_its_evidence() -> None:
    """The subject names the transport; the server's words are shown without line ends and without markup."""
    told = made(refused(1), OUTAGE)

    assert "[mail.example.com] nothing is sent by main; 1 recipient will not get mail" == told.subject
    assert told.text.index("Nothing is sent by main") < told.text.index("1 refused")
    assert "text: 535 5.7.8 <b>no  way</b>" in told.text
    assert "<b>" not in told.html
    assert "postroom transports list" in told.text


def test_causes_are_explained_once() -> None:
    """Thirty of one cause are one section with its meaning, twenty lines, and the number of the rest."""
    told = made(*(refused(number) for number in range(1, 31)), refused(31, "mailbox-full"))

    assert "31 recipients will not get mail" in told.subject
    assert 1 == told.text.count("30 refused (recipient-unknown)")
    assert "  and 10 more\n" in told.text
    assert "1 refused (mailbox-full)" in told.text


def test_recipients_are_counted_whole() -> None:
    """One event with many recipients counts each."""
    addresses = [f"u{number}@example.com" for number in range(1000)]

    assert "1000 recipients" in made(refused(1, "x", *addresses)).subject


@given(
    st.lists(
        st.tuples(st.sampled_from(LOST), st.sampled_from(CAUSES), st.integers(1, 100)),
        min_size=1,
        max_size=60,
    )
)
def test_a_digest_is_bounded(rows: list[tuple[EventKind, str, int]]) -> None:
    """Whatever happened, the digest stays below 64 KB and its count is exact."""
    events = [
        Event(
            number=number,
            at=AT,
            kind=kind,
            message_id=MessageId("20261121120000.22" + "A" * 20),
            recipients=tuple(range(count)),
            addresses=tuple(f"{'x' * 60}{one}@example.com" for one in range(count)),
            transport="main",
            cause=cause,
        )
        for number, (kind, cause, count) in enumerate(rows, start=1)
    ]
    told = made(*events)
    count = sum(count for _, _, count in rows)

    assert f"] {count} recipient" in told.subject
    assert len(told.text) < 65_536
    assert len(told.html) < 2 * 65_536


@given(st.text(), st.text(), st.text())
def test_no_text_of_others_becomes_markup_or_a_line(cause: str, text: str, address: str) -> None:
    """Causes, server texts and addresses stay text in HTML, and the subject is one line."""
    event = Event(
        number=1, at=AT, kind=EventKind.HOOK_DISABLED, cause=cause, data={"text": text, "webhook": address}
    )
    told = made(event, refused(2, "x", address))

    assert 1 == len(told.subject.splitlines())
    Cells(told.html)


def test_nothing_to_tell_is_no_notice() -> None:
    """Without events there is no mail."""
    assert None is notice([], place="here")


def test_the_same_events_give_the_same_words() -> None:
    """A digest is a pure function of its events, so that a repetition after a crash is recognised."""
    events = [refused(1), refused(2, "mailbox-full"), OUTAGE]

    assert made(*events) == made(*events)


@pytest.mark.parametrize("kind", NOTICED)
def test_every_noticed_kind_has_words(kind: EventKind) -> None:
    """Each kind that is noticed makes a subject and a section."""
    told = made(Event(number=1, at=AT, kind=kind, transport="main"))

    assert told.subject.removeprefix("[mail.example.com] ")
    assert "Look: postroom" in told.text


def test_the_first_notice_waits_for_company_only() -> None:
    """Ten seconds after the first event, and never sooner than the settings allow after the last notice."""
    first, seen = Place(after=0), AT
    after_one = Place(after=0, sent_at=AT - timedelta(minutes=5))
    long_ago = Place(after=0, sent_at=AT - timedelta(days=5))

    assert AT + timedelta(seconds=10) == first.ready_at(seen, EVERY)
    assert AT + timedelta(minutes=10) == after_one.ready_at(seen, EVERY)
    assert AT + timedelta(seconds=10) == long_ago.ready_at(seen, EVERY)


@given(st.integers(0), st.none() | st.integers(0), st.none() | st.datetimes(timezones=st.just(UTC)))
def test_a_place_is_read_back(after: int, upto: int | None, sent_at: datetime | None) -> None:
    """The stored form is read back as it was."""
    place = Place(after=after, upto=upto, sent_at=sent_at)

    assert place == Place.parse(str(place))
