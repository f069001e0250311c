"""Bodies and query parameters of operators: every problem at once, nothing odd gets in."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import InputError
from postroom.model.event import EventKind
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.schema import filters, operating
from postroom.schema.bodies import Body, read_as

LATER = "2030-01-31T09:00:00+09:00"


def problems(model: type[Body], value: object) -> list[tuple[str, str]]:
    """Return code and field of each problem."""
    with pytest.raises(InputError) as refused:
        read_as(model, value)
    return [(problem.code, problem.field) for problem in refused.value.problems]


def test_everything_wrong_is_told_at_once() -> None:
    """A body with a wrong name, value, address, instant and note names each of them, nested ones too."""
    value = {
        "filter": {"stat": "uncertain", "class": "bulc", "sender": "kim", "since": "yesterday"},
        "resolution": "arive",
        "note": "fine\x1b[2J",
        "tokn": "x",
    }
    assert {
        ("unknown-field", "filter.stat"),
        ("unknown-value", "filter.class"),
        ("address-invalid", "filter.sender"),
        ("instant-syntax", "filter.since"),
        ("unknown-value", "resolution"),
        ("control-character", "note"),
        ("unknown-field", "tokn"),
    } == set(problems(operating.BulkResolveBody, value))


@pytest.mark.parametrize(
    ("model", "value", "field", "fix"),
    [
        (operating.BulkBody, {"filter": {"recipent": "a@example.com"}}, "filter.recipent", "recipient"),
        (operating.BulkBody, {"filter": {"state": "deffered"}}, "filter.state", "deferred"),
        (operating.HoldBody, {"filter": {}, "reason": "x", "then": "releas"}, "then", "release"),
        (operating.HookBody, {"url": "https://example.com", "kinds": ["message.queud"]}, "kinds.0", "queued"),
        (
            operating.SuppressionBody,
            {"address": "a@example.com", "reason": "bounce"},
            "reason",
            "hard_bounce",
        ),
    ],
)
def test_the_nearest_name_is_offered(model: type[Body], value: object, field: str, fix: str) -> None:
    """A slip of the pen is answered with what was probably meant."""
    with pytest.raises(InputError) as refused:
        read_as(model, value)
    (problem,) = refused.value.problems
    assert field == problem.field
    assert fix in problem.fix


@each("text", ["", " ", "a\nb", "a\rb", "a\x00b", "\x1b[31m", "a\u2028b", "\ud800", "a\u202eb", "x" * 501])
def test_reasons_and_notes_are_one_plain_line(text: str) -> None:
    """Empty, long and control-laden phrases are refused by field: they are shown in terminals and logs."""
    for model, value, field in (
        (operating.ResolveBody, {"resolution": "drop", "note": text}, "note"),
        (operating.SuspendBody, {"reason": text}, "reason"),
        (operating.HoldBody, {"filter": {"tag": "a"}, "reason": text}, "reason"),
        (operating.SuppressionBody, {"address": "a@example.com", "note": text}, "note"),
    ):
        assert [field] == [name for _, name in problems(model, value)]


def test_a_filter_becomes_a_selection() -> None:
    """Every member arrives, domains in lower case, instants in UTC, and an empty one is known as such."""
    body = read_as(
        operating.BulkBody,
        {
            "filter": {
                "state": "uncertain",
                "class": "bulk",
                "tag": "spring",
                "sender": "@EXAMPLE.com",
                "recipient": "Kim@Example.NET",
                "transport": "main",
                "since": LATER,
                "until": LATER,
            }
        },
    )
    wanted = body.filter.selection(DEFAULT_TENANT)
    assert (RecipientState.UNCERTAIN, MailClass.BULK) == (wanted.state, wanted.mail_class)
    assert ("@example.com", "Kim@example.net") == (wanted.sender, wanted.recipient)
    assert datetime(2030, 1, 31, tzinfo=UTC) == wanted.since == wanted.until
    assert ("spring", "main") == (wanted.tag, wanted.transport)


@pytest.mark.parametrize("value", [None, [], "x", 3, {"recipients": "a@example.com"}, {"recipients": [True]}])
def test_wrong_shapes_are_refused(value: Any) -> None:
    """A body of another shape is wrong as a whole or by its field."""
    assert {"wrong-type"} == {code for code, _ in problems(operating.RetryBody, value)}


def test_too_many_recipients_are_refused() -> None:
    """A list longer than any message's recipients is refused before it is looked at."""
    assert [("limit-exceeded", "recipients")] == problems(operating.RetryBody, {"recipients": [1] * 1001})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=8)
                | st.sampled_from(["filter", "note", "resolution", "token", "state", "since"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_taken_or_refused(value: object) -> None:
    """No JSON value makes a reader fail in another way than by naming problems."""
    for model in (
        operating.BulkResolveBody,
        operating.HoldBody,
        operating.SuppressionBody,
        operating.HookBody,
    ):
        with suppress(InputError):
            read_as(model, value)


# --------------------------------------------------------------------------- query parameters


def test_event_parameters() -> None:
    """Kinds are a list, cursors are numbers, and both cursors at once are refused."""
    wanted = filters.read_event_filter(
        [("kinds", "recipient.refused,transport.suspended"), ("after", "0"), ("limit", "7")],
        tenant=DEFAULT_TENANT,
    )
    assert (EventKind.RECIPIENT_REFUSED, EventKind.TRANSPORT_SUSPENDED) == wanted.kinds
    assert (0, None, 7) == (wanted.after, wanted.before, wanted.limit)
    wrong = [("kinds", "recipient.refuse"), ("after", "x"), ("before", "1"), ("mesage", "y"), ("limit", "0")]
    with pytest.raises(InputError) as refused:
        filters.read_event_filter(wrong, tenant=DEFAULT_TENANT)
    assert {"kinds", "after", "before", "mesage", "limit"} == {one.field for one in refused.value.problems}
    with pytest.raises(InputError):
        filters.read_event_filter(
            [("message", "x")], tenant=DEFAULT_TENANT, message_id=MessageId("one-message")
        )


def test_a_removal_needs_a_note() -> None:
    """Nothing leaves the suppression list without a reason; class and address are checked beside it."""
    with pytest.raises(InputError) as refused:
        filters.read_removal([("class", "bulc")], "nobody")
    assert {"note", "class", "address"} == {one.field for one in refused.value.problems}
    taken = filters.read_removal([("note", "asked for it"), ("class", "bulk")], "@EXAMPLE.org")
    assert ("@example.org", MailClass.BULK, "asked for it") == taken
