"""Every event has one sentence."""

from datetime import UTC, datetime

from each_row import each
from postroom.model.event import EventKind, NewEvent
from postroom.policy.wording import KIND_TEXTS, kind_sentence, sentence

AT = datetime(2030, 1, 31, tzinfo=UTC)


@each("kind", EventKind)
def test_every_kind_has_a_sentence(kind: EventKind) -> None:
    """With and without members it is one sentence that leaves no brace and no double blank."""
    full = NewEvent(at=AT, kind=kind, transport="main", cause="a-cause", data={"author": "kim"})
    for text in (sentence(full), sentence(NewEvent(at=AT, kind=kind)), kind_sentence(kind)):
        assert text[0].isupper()
        assert text.endswith(".")
        assert not any(odd in text for odd in ("{", "}", "  "))
    assert set(EventKind) == set(KIND_TEXTS)


def test_members_are_told() -> None:
    """Transport, author and cause stand in the sentence; braces in them stay as they are."""
    event = NewEvent(
        at=AT,
        kind=EventKind.TRANSPORT_SUSPENDED,
        transport="main",
        cause="transport-suspended",
        data={"author": "kim", "note": "a {quota} review"},
    )
    assert "Sending by main was suspended (kim): a {quota} review." == sentence(event)


def test_what_a_person_said_is_not_what_a_server_said() -> None:
    """A recipient that a person called arrived is never told as accepted by a server."""
    event = NewEvent(
        at=AT,
        kind=EventKind.RECIPIENT_ACCEPTED,
        transport="main",
        cause="resolved",
        data={"author": "kim", "note": "they answered"},
    )
    assert "A person said that it arrived (kim): they answered." == sentence(event)
