"""Content as the server takes it: its end, its dots, what may not be in it, and how large it may be."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.smtp.data import stuffed
from postroom.smtp.server import ServerSession
from postroom.smtp.server_content import Content, DotReader
from postroom.smtp.server_events import Aborted, ContentBegun, ContentEnd, Event, Offers
from postroom.smtp.server_replies import ServerReply
from smtp.server_talk import OPEN, Shell, codes, greeted, pieces

ENVELOPE = b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
INNER = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@y.test>\r\nDATA\r\nsmuggled\r\n.\r\n"


def in_data(offers: Offers = OPEN) -> Shell:
    """Return a shell whose session waits for content."""
    shell = greeted(Shell(offers))
    assert ["250 2.1.0", "250 2.1.5", "354"] == codes(shell.send(ENVELOPE + b"DATA\r\n"))
    return shell


def read(wire: bytes, cuts: Sequence[int]) -> tuple[bytes, bytes | None]:
    """Feed a reader with ``wire`` cut at these places; return the content and what stands behind it."""
    reader = DotReader()
    content = b""
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for start, end in pairwise(places):
        body, rest = reader.feed(wire[start:end])
        content += body
        if rest is not None:
            return content, rest + wire[end:]
    return content, None


BYTES = st.sampled_from([b"\r\n", b".", b"..", b"x", b"\r", b"\n", b"\r\n.", b".\r\n", b"\0", b"abc"])
CONTENTS = st.lists(st.sampled_from([b".", b"..", b"x", b".x", b"", b"\xe9 y"])).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)


@given(CONTENTS, st.lists(st.integers(0, 200), max_size=6), st.binary(max_size=5))
def test_what_the_client_stuffs_is_read_back(content: bytes, cuts: list[int], behind: bytes) -> None:
    """Stuffed by our own client and cut anywhere, the content and what follows it come out as they were."""
    assert (content, behind) == read(stuffed(content) + b".\r\n" + behind, cuts)


@given(st.lists(BYTES, max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=6))
def test_pieces_change_nothing(wire: bytes, cuts: list[int]) -> None:
    """The end is found at the same place however the bytes are cut, and a lone CR or LF is none."""
    whole, rest = read(wire, ())
    assert (whole, rest) == read(wire, cuts)
    end = (b"\r\n" + wire).find(b"\r\n.\r\n")
    assert (end < 0) == (rest is None)
    if rest is not None:
        assert wire[end + 3 :] == rest


@given(st.integers(0, 60), st.sampled_from([b".x", b"..", b"x."]), st.integers(1, 300))
def test_many_dots_hide_none(dots: int, line: bytes, step: int) -> None:
    """However many dots stand before it, a stuffed one is found, and so is the end."""
    content = b"a.b." * dots + b"\r\n" + line + b"\r\n"
    wire = stuffed(content) + b".\r\nNOOP\r\n"
    assert (content, b"NOOP\r\n") == read(wire, range(0, len(wire), step))


ENDS = [
    *(b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r.\n"),
    *(b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\x00\n.\r\n", b"\r\r\n.\r\n", b"\r\n.\r\r\n", b"\n\r\n.\r\n"),
]
"""What one server or another has taken for the end of a content."""


@each("end", ENDS)
@each("step", [1, 2, 3, 1000])
def test_no_smuggling(end: bytes, step: int) -> None:
    """Nothing but CR LF dot CR LF ends a content: all else ends the session, and no mail is taken."""
    shell = in_data()
    assert ["554 5.5.2"] == codes(shell.send(pieces(b"A" + end + INNER, step)))
    assert shell.session.is_over
    assert shell.session.lingers
    assert [] == shell.mails
    assert shell.staged is None
    assert isinstance(shell.events[-1], Aborted)
    assert "" == shell.send(b"NOOP\r\n")


@pytest.mark.parametrize("before", [b"x" * 5000 + b"\r\n", b"x" * 999 + b"\r\n", b"y\r\n" * 2000])
def test_a_refused_content_cannot_be_left_early(before: bytes) -> None:
    """Behind a line that is too long, and beyond the limit, a false end still ends the session."""
    shell = in_data()
    assert ["554 5.5.2"] == codes(shell.send(pieces(before + b".\nHELP\r\nHELP\r\n.\r\n", 700)))
    assert [] == shell.mails


def test_content_before_the_reply_to_data() -> None:
    """Bytes behind DATA in the same flight end the session: they would be commands if DATA was refused."""
    for command in (b"DATA\r\n", ENVELOPE + b"DATA\r\n"):
        shell = greeted(Shell(OPEN))
        assert "554 5.5.0" == codes(shell.send(command + b"Subject: x\r\n\r\nb\r\n.\r\n"))[-1]
        assert shell.session.is_over
        assert [] == shell.mails


def test_content_while_the_shell_thinks_about_data() -> None:
    """Bytes that come before the answer to DATA was made end the session as well."""
    shell = greeted(Shell(OPEN, judge=lambda _session, event: isinstance(event, ContentBegun)))
    assert ["250 2.1.0", "250 2.1.5"] == codes(shell.send(ENVELOPE + b"DATA\r\n"))
    shell.session.receive(b"Subject: x\r\n")
    shell.session.accept()
    shell.turn()
    assert shell.session.output().startswith(b"554 5.5.0")
    assert isinstance(shell.events[-1], Aborted)


def test_refused_data_leaves_the_envelope() -> None:
    """The shell may refuse to take content now; the client may try DATA again."""
    full = ServerReply(452, "4.3.1", "The disk is full")

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, ContentBegun) and not any(
            isinstance(one, ContentBegun) for one in shell.events[:-1]
        ):
            session.refuse(full)
            return True
        return False

    shell = greeted(Shell(OPEN, judge=judge))
    assert "452 4.3.1" == codes(shell.send(ENVELOPE + b"DATA\r\n"))[-1]
    assert ["354"] == codes(shell.send(b"DATA\r\n"))


def test_a_refused_content_begins_anew() -> None:
    """When the shell refuses at the end, the mail is gone and the next one may come."""

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, ContentEnd):
            session.refuse(ServerReply(451, "4.3.0", "The store does not answer"))
            return True
        return False

    shell = greeted(Shell(OPEN, judge=judge))
    shell.send(ENVELOPE + b"DATA\r\n")
    assert ["451 4.3.0", "503 5.5.1"] == codes(shell.send(b"x\r\n.\r\nRCPT TO:<bob@example.net>\r\n"))
    assert ["250 2.1.0"] == codes(shell.send(b"MAIL FROM:<ann@example.com>\r\n"))


@given(st.lists(st.integers(0, 1003), max_size=8), st.integers(1, 1500))
def test_lines_are_measured(lengths: list[int], step: int) -> None:
    """A content is refused exactly when a line has more than 998 octets before its CR LF."""
    wire = b"".join(b"x" * length + b"\r\n" for length in lengths)
    content = Content(10**6)
    for piece in pieces(wire, step):
        content.take(piece)
    assert (max(lengths, default=0) > 998) == (content.refusal is not None)
    assert len(wire) == content.size


@given(st.lists(BYTES, max_size=12).map(b"".join), st.integers(1, 9))
def test_bare_line_ends_are_seen(wire: bytes, step: int) -> None:
    """A bare CR, a bare LF and a NUL are found wherever the chunks are cut."""
    content = Content(10**6)
    for piece in pieces(wire, step):
        content.take(piece)
    content.finish()
    rest = wire.replace(b"\r\n", b"")
    assert (b"\r" in rest or b"\n" in rest or b"\0" in rest) == content.is_bare


def test_the_limit_to_the_byte() -> None:
    """A content of the announced size is taken, one byte more is not; twice the size ends the session."""
    offers = Offers(host="mail.example.com", max_size=100, needs_login=False)
    for size, expected in ((100, "250 2.0.0"), (101, "552 5.3.4"), (200, "552 5.3.4")):
        shell = in_data(offers)
        assert [expected] == codes(shell.send(b"x" * (size - 2) + b"\r\n.\r\n"))
        assert not shell.session.is_over
        assert (size == 100) == bool(shell.mails)
    for step in (1, 7, 1000):
        shell = in_data(offers)
        assert ["552 5.3.4"] == codes(shell.send(pieces(b"x" * 199 + b"\r\n.\r\nNOOP\r\n", step)))
        assert shell.session.is_over


def test_nothing_is_handed_over_of_a_content_that_is_too_large() -> None:
    """From the chunk on that crosses the limit the shell gets no more bytes to keep."""
    shell = in_data(Offers(host="mail.example.com", max_size=100, needs_login=False))
    shell.send(b"x" * 60)
    assert shell.staged is not None
    assert 60 == len(shell.staged.content)
    shell.send(b"x" * 60)
    assert 60 == len(shell.staged.content)
