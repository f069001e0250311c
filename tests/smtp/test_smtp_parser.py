"""Replies from bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.reply import Reply
from postroom.smtp.parser import MAX_LINE, MAX_LINES, Malformed, ReplyParser
from smtp.wire import parsed, replies


def test_one_line() -> None:
    """A line with code and text is a reply; its raw bytes are kept."""
    assert [Reply(250, ("2.1.0 Ok",), b"250 2.1.0 Ok\r\n")] == parsed(b"250 2.1.0 Ok\r\n")


def test_code_alone() -> None:
    """A code without a text is a reply (RFC 5321 section 4.2)."""
    assert [(220, ("",)), (354, ("",))] == [
        (reply.code, reply.lines) for reply in parsed(b"220\r\n354 \r\n") if isinstance(reply, Reply)
    ]


def test_many_lines() -> None:
    """Lines joined by hyphens are one reply, and the next one starts after it."""
    data = b"250-mail.example.com\r\n250-\r\n250 SIZE\r\n"
    assert [Reply(250, ("mail.example.com", "", "SIZE"), data)] == parsed(data)


@each(
    "data",
    [
        b"25 ok\r\n",
        b"999 x\r\n",
        b"100 x\r\n",
        b"abc\r\n",
        b"250ok\r\n",
        b"2500 ok\r\n",
        b" 250 ok\r\n",
        b"\r\n",
        b"+OK POP3 ready\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 a\n",
        b"250-a\n250 b\r\n",
        "\uff12\uff15\uff10 ok\r\n".encode(),
    ],
)
def test_malformed(data: bytes) -> None:
    """What is not a reply is found at once and never raises."""
    assert isinstance(parsed(data)[-1], Malformed)


def test_malformed_stays() -> None:
    """After a malformed line nothing is believed any more."""
    parser = ReplyParser()
    (first,) = parser.replies(b"what?\r\n250 ok\r\n")
    assert isinstance(first, Malformed)
    assert [first] == list(parser.replies(b"250 ok\r\n"))


def test_bare_cr_is_text() -> None:
    """A bare CR ends no line and is shown as an escape."""
    assert [Reply(550, ("a\\rb",), b"550 a\rb\r\n")] == parsed(b"550 a\rb\r\n")


def test_longest_reply() -> None:
    """64 lines are taken, the 65th breaks the reply; the same for 4,096 octets of a line."""
    lines = b"250-x\r\n" * (MAX_LINES - 1)
    assert isinstance(parsed(lines + b"250 x\r\n")[0], Reply)
    assert isinstance(parsed(lines + b"250-x\r\n250 x\r\n")[0], Malformed)
    assert isinstance(parsed(b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n")[0], Reply)
    assert isinstance(parsed(b"250 " + b"x" * (MAX_LINE - 5) + b"\r\n")[0], Malformed)
    assert isinstance(replies(b"250 " + b"x" * MAX_LINE)[0], Malformed)


def test_endless_lines_are_cut() -> None:
    """A million continuation lines end at the limit and leave nothing in memory."""
    parser = ReplyParser()
    (found,) = parser.replies(b"250-x\r\n" * 1_000_000)
    assert isinstance(found, Malformed)
    assert b"" == parser._rest


@pytest.mark.parametrize(
    ("charset", "text"), [("gb18030", "请使用授权码登录"), ("cp949", "메일 발송 실패"), ("latin-1", "café")]
)
def test_charset_guess(charset: str, text: str) -> None:
    """Bytes that are not UTF-8 are read by the guess for the host, UTF-8 always as itself."""
    for data in (text.encode(charset), text.encode()):
        (reply,) = parsed(b"535 " + data + b"\r\n", charset=charset)
        assert isinstance(reply, Reply)
        assert (text,) == reply.lines
        assert b"535 " + data + b"\r\n" == reply.raw


def test_last_charset() -> None:
    """What the guess cannot read either is Latin-1."""
    (reply,) = parsed(b"550 \xff\xff\r\n", charset="gb18030")
    assert isinstance(reply, Reply)
    assert ("\xff\xff",) == reply.lines


def test_control_characters_are_inert() -> None:
    """Terminal controls, NUL and bidi overrides become visible escapes; TAB becomes a space."""
    data = b"550 \x1b[2J\x1b]0;pwn\x07<script>\x00\ta" + "\u202eb\u3000".encode() + b"\r\n"
    (reply,) = parsed(data)
    assert isinstance(reply, Reply)
    assert ("\\x1b[2J\\x1b]0;pwn\\x07<script>\\x00 a\\u202eb\u3000",) == reply.lines


@given(st.binary(max_size=300), st.integers(1, 7))
def test_any_bytes_any_chunks(data: bytes, step: int) -> None:
    """Any bytes give the same answer however they are cut, and never raise."""
    assert replies(data) == replies(data, step=step)


@given(
    st.lists(
        st.tuples(
            st.integers(200, 599), st.lists(st.text("abc 1.-\u00e9", max_size=20), min_size=1, max_size=4)
        ),
        max_size=6,
    ),
    st.integers(1, 50),
)
def test_sequences_come_back(sequence: list[tuple[int, list[str]]], step: int) -> None:
    """A sequence of replies comes back one by one, whatever the chunks."""
    data = b""
    for code, lines in sequence:
        for line in lines[:-1]:
            data += f"{code}-{line}\r\n".encode()
        data += f"{code} {lines[-1]}\r\n".encode()
    found = replies(data, step=step)
    assert sequence == [(reply.code, list(reply.lines)) for reply in found if isinstance(reply, Reply)]
    assert data == b"".join(reply.raw for reply in found if isinstance(reply, Reply))
