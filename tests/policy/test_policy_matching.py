"""Whom filters mean."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from each_row import each
from postroom.model.hold import Hold, HoldFilter, SuppressionReason
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Selection
from postroom.policy.matching import (
    Traits,
    domain_pattern,
    first_hold,
    folded,
    hold_concerns,
    is_meant,
    selects_message,
    selects_recipient,
    suppression_cause,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TRAITS = Traits(
    tenant=DEFAULT_TENANT,
    mail_class=MailClass.BULK,
    sender="Ann@example.com",
    tags=("news", "autumn"),
    transport="main",
    created_at=NOW,
)


@each(
    ("wanted", "address", "expected"),
    [
        (None, "bob@example.org", True),
        ("bob@example.org", "bob@example.org", True),
        ("BOB@Example.ORG", "bob@example.org", True),
        ("bob@example.org", "Bob@example.org", True),
        ("bob@example.org", "rob@example.org", False),
        ("@example.org", "bob@example.org", True),
        ("@EXAMPLE.org", "bob@example.org", True),
        ("@example.org", "bob@mail.example.org", False),
        ("@example.org", "bob@notexample.org", False),
        ("example.org", "bob@example.org", False),
        ("jürgen@example.org", "JÜRGEN@example.org", False),
        ("jÜrgen@example.org", "JÜRGEN@example.org", True),
    ],
)
def test_addresses_are_compared_without_the_case_of_ascii(
    wanted: str | None, address: str, *, expected: bool
) -> None:
    """An address means itself, @domain exactly its domain; only ASCII letters have no case, as in SQL."""
    assert expected == is_meant(wanted, address)


def test_folding_leaves_other_letters_alone() -> None:
    """Folded forms are what the stores keep and compare."""
    assert "jÜrgen@example.org" == folded("JÜRGEN@Example.org")
    assert "@example.org" == domain_pattern("Bob@Example.org")


@each(
    ("wanted", "expected"),
    [
        ({"mail_class": MailClass.BULK}, True),
        ({"mail_class": MailClass.CODE}, False),
        ({"tag": "news"}, True),
        ({"tag": "new"}, False),
        ({"sender": "ann@EXAMPLE.com"}, True),
        ({"sender": "@example.com"}, True),
        ({"sender": "@example.org"}, False),
        ({"transport": "main"}, True),
        ({"transport": "spare"}, False),
        ({"tag": "news", "transport": "spare"}, False),
        ({"recipient": "@nowhere.example"}, True),
    ],
)
def test_a_hold_concerns_a_message_by_every_member_given(wanted: dict[str, Any], *, expected: bool) -> None:
    """Every given member must hold; the recipient is asked of each recipient and not here."""
    assert expected == hold_concerns(HoldFilter(**wanted), TRAITS)


def a_hold(**changed: Any) -> Hold:
    hold = Hold(
        id="h1",
        tenant=DEFAULT_TENANT,
        filter=HoldFilter(recipient="@example.org"),
        reason="check first",
        author="ann",
        created_at=NOW,
        until=None,
    )
    return replace(hold, **changed)


def test_the_first_standing_hold_keeps_a_recipient() -> None:
    """Holds of others, ended ones, those past their end and those for other recipients do not count."""
    passed = [
        a_hold(id="other tenant", tenant=TenantId("other")),
        a_hold(id="ended", ended_at=NOW),
        a_hold(id="past", until=NOW),
        a_hold(id="other recipient", filter=HoldFilter(recipient="@example.net")),
    ]
    first, second = a_hold(id="first", until=NOW + timedelta(seconds=1)), a_hold(id="second")
    assert first == first_hold([*passed, first, second], TRAITS, "bob@example.org", now=NOW)
    assert first_hold(passed, TRAITS, "bob@example.org", now=NOW) is None


@each(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"tenant": TenantId("other")}, False),
        ({"mail_class": MailClass.CODE}, False),
        ({"tag": "autumn"}, True),
        ({"tag": "spring"}, False),
        ({"sender": "@example.com"}, True),
        ({"sender": "bob@example.com"}, False),
        ({"transport": "spare"}, False),
        ({"since": NOW}, True),
        ({"since": NOW + timedelta(seconds=1)}, False),
        ({"until": NOW}, False),
        ({"until": NOW + timedelta(seconds=1)}, True),
    ],
)
def test_a_selection_means_a_message_by_every_member_given(wanted: dict[str, Any], *, expected: bool) -> None:
    """Every given member must hold; since is inclusive and until is not."""
    assert expected == selects_message(Selection(**{"tenant": DEFAULT_TENANT, **wanted}), TRAITS)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"recipients": (0, 2)}, True),
        ({"recipients": (0, 1)}, False),
        ({"state": RecipientState.REFUSED}, True),
        ({"state": RecipientState.SENDING}, False),
        ({"recipient": "BOB@example.org"}, True),
        ({"recipient": "@example.net"}, False),
    ],
)
def test_a_selection_means_recipients_by_number_state_and_address(
    wanted: dict[str, Any], *, expected: bool
) -> None:
    """Recipient 2 of a message, refused, is meant by what names it and by what names nothing."""
    selection = Selection(tenant=DEFAULT_TENANT, **wanted)
    assert expected == selects_recipient(selection, 2, "bob@example.org", RecipientState.REFUSED)


def test_the_cause_of_a_suppression_is_a_cause_id() -> None:
    """The reason's word becomes a name in kebab case."""
    assert "suppressed-hard-bounce" == suppression_cause(SuppressionReason.HARD_BOUNCE)
