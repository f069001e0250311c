"""Claims about header fields, with the standard library as reader."""

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from mime.messages import addresses, assert_wire_form, content, names_of, read, wire
from postroom.errors import InvariantError
from postroom.mime import headers
from postroom.mime.encoded_words import encode_words
from postroom.model.address import Address, Mailbox, parse_mailbox

PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=200)
"""What the edge lets into a header: no controls, no surrogates, no line ends."""


@given(PRINTABLE)
def test_any_subject_reads_back_equal(subject: str) -> None:
    """A subject of any printable text reads back as it was, blanks at its edges included."""
    data = wire(content(subject=subject))
    assert_wire_form(data)
    assert subject == read(data)["Subject"]


@given(
    st.lists(
        st.sampled_from(
            ["Re:", "a", "Gr\u00f6\u00dfe", "\u8ba2\u5355", "=?utf-8?q?x?=", "x" * 70, "y" * 950]
        ),
        max_size=12,
    )
)
def test_folded_subjects_read_back_equal(words: list[str]) -> None:
    """Long subjects of mixed words fold without gaining or losing a blank."""
    subject = " ".join(words)
    data = wire(content(subject=subject))
    assert_wire_form(data)
    assert subject == read(data)["Subject"]


@given(PRINTABLE.filter(lambda name: name == name.strip()))
def test_any_display_name_reads_back_equal(name: str) -> None:
    """A display name decides nothing but itself: one mailbox, the same name, the same address."""
    sender = Mailbox(Address("ann", "example.com"), name)
    data = wire(content(from_=sender))
    assert_wire_form(data)
    assert [("ann@example.com")] == [spec for _, spec in addresses(read(data), "From")]
    assert name.split() == addresses(read(data), "From")[0][0].split()


def test_many_recipients_fold_between_addresses() -> None:
    """A thousand recipients stay in order, in lines of at most 78 columns, none broken."""
    boxes = tuple(parse_mailbox(f'"Example, {n}" <user.{n}@mail.example.com>') for n in range(1000))
    data = wire(content(to=boxes))
    assert_wire_form(data)
    assert [(one.name, one.address.spec) for one in boxes] == addresses(read(data), "To")
    field = data[data.index(b"To:") : data.index(b"Subject:")]
    assert max(map(len, field.split(b"\r\n"))) <= 78
    assert all(line.rstrip(b",").endswith(b".com>") for line in field.strip().split(b"\r\n"))


def test_long_names_fold_inside_the_name_only() -> None:
    """A name of several encoded words is folded between them; its address stays whole."""
    name = "\u738b\u4f1f\u7684\u5546\u5e97" * 20
    data = wire(content(to=(Mailbox(Address("b" * 60, "example.org"), name), parse_mailbox("c@example.org"))))
    assert_wire_form(data)
    assert [(name, "b" * 60 + "@example.org"), ("", "c@example.org")] == addresses(read(data), "To")


def test_international_addresses_are_utf8_and_nothing_else_is() -> None:
    """A non-ASCII local part is written as UTF-8, its name still as an encoded word (RFC 6532)."""
    boxes = (Mailbox(Address("\u7528\u6237", "example.org"), "\u738b\u4f1f"),)
    line = headers.mailboxes("To", boxes)
    assert "To: =?UTF-8?B?546L5Lyf?= <\u7528\u6237@example.org>\r\n" == line


@pytest.mark.parametrize("count", [1, 3, 20, 200, 20_000])
def test_references_keep_first_and_last(count: int) -> None:
    """Message ids are never encoded; when they are too many, ids from the middle are left out."""
    ids = tuple(f"{n:06}.{'x' * 20}@mail.example.com" for n in range(count))
    data = wire(content(references=ids))
    assert_wire_form(data)
    field = re.search(rb"^References:(.*?)^MIME", data, re.DOTALL | re.MULTILINE)
    assert field is not None
    written = field[1].decode().split()
    assert [f"<{ids[0]}>", *(f"<{one}>" for one in ids[max(1, count - 3) :])] == [
        written[0],
        *written[1:][-3:],
    ]
    assert count == len(written) or len(" ".join(written)) <= 998
    assert b"=?" not in field[1]


def test_a_reply_without_references_refers_to_its_parent() -> None:
    """In-Reply-To alone gives References the same id (RFC 5322 section 3.6.4)."""
    message = read(wire(content(in_reply_to="parent@example.org")))
    assert ("<parent@example.org>", "<parent@example.org>") == (message["In-Reply-To"], message["References"])


@pytest.mark.parametrize(
    "value",
    [
        "<a@b>\r\nBcc: x@evil.test",
        "=?utf-8?q?=3Ca=40b=3E=0ABcc:_x@evil.test?=",
        "=?u?q?a@b?=",
        "a b@c",
        "a",
        "",
        "a@b\n",
    ],
)
def test_what_is_no_message_id_is_never_written(value: str) -> None:
    """A reply id or reference that is not one plain id stops the message."""
    for fields in ({"in_reply_to": value}, {"references": (value,)}, {"message_id": value}):
        with pytest.raises(InvariantError):
            wire(content(**fields))


@given(
    st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(-14 * 60, 14 * 60),
)
def test_dates_read_back_equal(at: datetime, minutes: int) -> None:
    """A date is written in its own offset, to the second."""
    aware = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    line = headers.date(aware)
    assert aware.replace(microsecond=0) == parsedate_to_datetime(line.removeprefix("Date: ").strip())
    assert f"{aware:%z}" == line[-7:-2]


def test_a_naive_date_is_our_bug() -> None:
    """A date without offset, or with one in seconds, stops the message."""
    for at in (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=1)))):  # noqa: DTZ001 - the case
        with pytest.raises(InvariantError):
            headers.date(at)
    assert "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n" == headers.date(datetime(2026, 1, 1, tzinfo=UTC))


def test_list_unsubscribe_stays_on_one_line() -> None:
    """List-Unsubscribe is never folded and never encoded, however long its URL."""
    value = f"<https://example.com/u/{'x' * 600}?a=?b>, <mailto:leave@example.com>"
    data = wire(
        content(
            headers=(("List-Unsubscribe", value), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        )
    )
    assert (
        f"\r\nList-Unsubscribe: {value}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode()
        in data
    )


def test_extra_headers_are_written_as_given() -> None:
    """A caller's header keeps its name's case and its place, and reads back equal."""
    given_headers = (("X-cAsE", "1"), ("x-long", "word " * 40 + "end"), ("Organization", "B\u00fccher & Co"))
    data = wire(content(headers=given_headers))
    assert ["X-cAsE", "x-long", "Organization"] == names_of(data)[6:9]
    assert [value for _, value in given_headers] == [read(data)[name] for name, _ in given_headers]


@each(
    ("name", "value"),
    [
        ("Bcc", "x@evil.test"),
        ("bCC", "x"),
        ("Subject", "a"),
        ("sUbJeCt", "b"),
        ("Return-Path", "<e@evil.test>"),
        ("Received", "x"),
        ("DKIM-Signature", "x"),
        ("Content-Type", "text/html"),
        ("Content-Whatever", "x"),
        ("Resent-To", "x@evil.test"),
        ("Sender", "e@evil.test"),
        ("Message-ID", "=?utf-8?q?=0ABcc:_x@evil.test?="),
        ("References", "<a@b>"),
        ("MIME-Version", "1.0"),
        ("ARC-Seal", "x"),
        ("", "x"),
        ("X Y", "x"),
        ("X:", "x"),
        ("X\r\nBcc", "x"),
        ("X-\u00fc", "x"),
        ("x" * 78, "x"),
        ("X-A", "a\r\nBcc: x@evil.test"),
        ("X-A", "a\r\n b"),
        ("X-A", "a\n"),
        ("X-A", "a\0b"),
        ("X-A", "a\tb"),
        ("X-A", "a\x85b"),
        ("X-A", "a\u2028b"),
        ("X-A", "a\ud800"),
        ("X-A", "x" * 901),
        ("X-A", "x " * 5000),
        ("List-Unsubscribe", "<https://x.test/u> (comment\r\nX-Injected: yes)"),
        ("List-Unsubscribe", "<https://x.test/\u00fc>"),
        ("List-Unsubscribe", "<https://x.test/" + "u " * 500 + ">"),
    ],
)
def test_refuses_headers_a_caller_may_not_set(name: str, value: str) -> None:
    """Reserved names, unsound names and values that could break a header are refused with a phrase."""
    problem = headers.header_problem(name, value)
    assert problem is not None
    assert problem[0].islower()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Campaign", "spring"),
        ("List-Id", "News <news.example.com>"),
        ("Auto-Submitted", "auto-generated"),
        ("Precedence", "bulk"),
        ("Importance", "high"),
        ("X-Empty", ""),
        ("X-Text", "\u8ba2\u5355 " * 100),
    ],
)
def test_takes_headers_a_caller_may_set(name: str, value: str) -> None:
    """What a caller may set is taken, written and read back by the standard library."""
    assert headers.header_problem(name, value) is None
    data = wire(content(headers=((name, value),)))
    assert_wire_form(data)
    assert value.strip() == read(data)[name].strip()


def test_controls_are_never_written() -> None:
    """A control character that slipped past the edge stops the message instead of reaching a header."""
    for bad in ("a\r\nBcc: x@y.test", "a\n", "a\rb", "a\0b", "a\x0bb", "a\x85b", "a\u2028b", "\ud800"):
        for fields in (
            {"subject": bad},
            {"subject": "\u00fc" + bad},
            {"from_": Mailbox(Address("a", "b.test"), bad)},
            {"headers": (("X-A", bad),)},
            {"headers": (("List-Unsubscribe", bad),)},
        ):
            with pytest.raises(InvariantError):
                wire(content(**fields))


@given(PRINTABLE.filter(bool), st.integers(0, 80))
def test_encoded_words_are_short_and_whole(text: str, room: int) -> None:
    """No word is above 75 characters, and each holds whole characters."""
    words = encode_words(text, room)
    assert max(map(len, words)) <= 75
    assert all(re.fullmatch(r"=\?UTF-8\?(?:B\?[A-Za-z0-9+/=]+|Q\?[!-<>@-~=]+)\?=", word) for word in words)
    assert text == "".join(str(read(b"Subject: " + word.encode() + b"\r\n\r\n")["Subject"]) for word in words)


@pytest.mark.parametrize(
    "cluster",
    [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "e\u0301",
        "\u2764\ufe0f",
        "\U0001f44d\U0001f3fd",
    ],
)
def test_encoded_words_end_between_what_people_see_as_characters(cluster: str) -> None:
    """Joined emoji and marks stay with their character when a text is cut into words."""
    words = encode_words(cluster * 30, 67)
    decoded = [str(read(b"Subject: " + word.encode() + b"\r\n\r\n")["Subject"]) for word in words]
    assert len(words) > 1
    assert all(one == cluster * (len(one) // len(cluster)) for one in decoded)


def test_hostile_subjects_take_linear_time() -> None:
    """Encoded words by the ten thousand are written in a moment."""
    for subject in (
        "=?utf-8?q?a?= " * 20_000,
        "=?" * 100_000,
        "\u0301" * 100_000,
        "=?a" * 60_000,
        " " * 200_000,
    ):
        started = time.process_time()
        wire(content(subject=subject))
        assert time.process_time() - started < 2
