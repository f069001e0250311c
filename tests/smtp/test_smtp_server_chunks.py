"""BDAT (RFC 3030)."""

import pytest

from each_row import each
from postroom.smtp.server import ServerSession
from postroom.smtp.server_events import Aborted, ContentBegun, Event
from postroom.smtp.server_replies import ServerReply
from smtp.server_talk import OPEN, Shell, codes, greeted, pieces

ENVELOPE = b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\n"


def chunk(data: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%b\r\n" % (len(data), b" LAST" * last) + data


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_chunks_make_a_content(step: int) -> None:
    """Each chunk is answered, dots are nobody's business, and CR LF may lie across two chunks."""
    shell = greeted(Shell(OPEN))
    wire = ENVELOPE + chunk(b".a\r\n.\r") + chunk(b"\n.\r\nb\r\n") + chunk(b"", last=True) + b"NOOP\r\n"
    expected = ["250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0"]
    assert expected == codes(shell.send(pieces(wire, step)))
    assert [b".a\r\n.\r\n.\r\nb\r\n"] == [mail.content for mail in shell.mails]


def test_several_mails_in_one_flight() -> None:
    """With chunks whole mails follow one another without a wait (RFC 3030 section 4.2)."""
    shell = greeted(Shell(OPEN))
    shell.send(
        b"".join(ENVELOPE + chunk(b"mail %d\r\n" % number, last=True) for number in range(5)) + b"QUIT\r\n"
    )
    assert [b"mail %d\r\n" % number for number in range(5)] == [mail.content for mail in shell.mails]


def test_a_last_line_gets_its_end() -> None:
    """Content that does not end with CR LF gets it, as it could be sent on in no other way."""
    shell = greeted(Shell(OPEN))
    shell.send(ENVELOPE + chunk(b"a\r\nb", last=True))
    assert b"a\r\nb\r\n" == shell.mails[0].content


@each("bad", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r", b"\n", b"x" * 999 + b"\r\n"])
@each("step", [1, 1000])
def test_a_bad_content_refuses_the_mail_and_not_the_session(bad: bytes, step: int) -> None:
    """The size was told, so the next command is known whatever the bytes were; they are never commands."""
    shell = greeted(Shell(OPEN))
    shell.send(pieces(ENVELOPE + chunk(bad, last=True) + ENVELOPE + chunk(b"good\r\n", last=True), step))
    assert [b"good\r\n"] == [mail.content for mail in shell.mails]
    assert 1 == sum(isinstance(event, Aborted) for event in shell.events)
    assert not shell.session.is_over


def test_chunks_of_a_refused_mail_are_thrown_away() -> None:
    """What follows a chunk that was refused is counted off and refused, up to the next MAIL."""
    shell = greeted(Shell(OPEN))
    said = shell.send(
        chunk(b"QUIT\r\n") + ENVELOPE + chunk(b"a\nb") + chunk(b"QUIT\r\n") + chunk(b"RSET\r\n", last=True)
    )
    assert ["503 5.5.1", "250 2.1.0", "250 2.1.5", "554 5.5.2", "503 5.5.1", "503 5.5.1"] == codes(said)
    assert not shell.session.is_over


def test_chunks_without_recipients() -> None:
    """A chunk after every recipient was refused, or before MAIL, is refused behind its bytes."""
    shell = greeted(Shell(OPEN))
    assert ["250 2.1.0", "503 5.5.1"] == codes(
        shell.send(b"MAIL FROM:<>\r\n" + chunk(b"QUIT\r\n", last=True))
    )
    assert [] == shell.mails


def test_the_shell_refuses_chunks() -> None:
    """A refusal at the first chunk is said behind the bytes of that chunk."""

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, ContentBegun):
            session.refuse(ServerReply(452, "4.3.1", "The disk is full"))
            return True
        return False

    shell = greeted(Shell(OPEN, judge=judge))
    said = shell.send(ENVELOPE + chunk(b"QUIT\r\n", last=True) + b"NOOP\r\n")
    assert ["250 2.1.0", "250 2.1.5", "452 4.3.1", "250 2.0.0"] == codes(said)


def test_the_shell_ends_the_session_at_a_chunk() -> None:
    """A refusal that closes does so behind the bytes of the chunk."""

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, ContentBegun):
            session.refuse(ServerReply(421, "4.3.2", "Shutting down", closes=True))
            return True
        return False

    shell = greeted(Shell(OPEN, judge=judge))
    assert "421 4.3.2" == codes(shell.send(ENVELOPE + chunk(b"QUIT\r\n") + b"NOOP\r\n"))[-1]
    assert shell.session.is_over


def test_chunks_and_data_do_not_mix() -> None:
    """After a chunk neither DATA nor RCPT is taken (RFC 3030 section 2)."""
    shell = greeted(Shell(OPEN))
    shell.send(ENVELOPE + chunk(b"a\r\n"))
    assert ["503 5.5.1"] == codes(shell.send(b"DATA\r\n"))
    assert ["503 5.5.1"] == codes(shell.send(b"RCPT TO:<bob@example.net>\r\n"))
    assert ["250 2.0.0"] == codes(shell.send(chunk(b"b\r\n", last=True)))
    assert [b"a\r\nb\r\n"] == [mail.content for mail in shell.mails]


@pytest.mark.parametrize("argument", [b"", b" x", b" -1", b" 5 FIRST", b" 5LAST", b" 9999999999999999999"])
def test_a_chunk_without_a_size_ends_the_session(argument: bytes) -> None:
    """Nobody knows where the next command is."""
    shell = greeted(Shell(OPEN))
    assert "501 5.5.4" == codes(shell.send(ENVELOPE + b"BDAT" + argument + b"\r\nQUIT\r\n"))[-1]
    assert shell.session.is_over


def test_chunks_are_bounded_together() -> None:
    """All chunks of a mail count against the limit; one above it ends the session unread."""
    shell = greeted(Shell(OPEN))
    lines = b"x" * 98 + b"\r\n"
    said = shell.send(ENVELOPE + chunk(lines * 30) + chunk(lines * 30) + b"NOOP\r\n")
    assert ["250 2.1.0", "250 2.1.5", "250 2.0.0", "552 5.3.4", "250 2.0.0"] == codes(said)
    assert ["552 5.3.4"] == codes(shell.send(b"BDAT 4097 LAST\r\n"))
    assert shell.session.is_over


def test_empty_chunks_come_to_an_end() -> None:
    """A client that sends refused chunks for ever is cut off."""
    shell = greeted(Shell(OPEN))
    assert "421 4.7.0" == codes(shell.send(b"BDAT 0\r\n" * 100))[-1]
    shell = greeted(Shell(OPEN))
    shell.send(ENVELOPE)
    assert "421 4.7.0" == codes(shell.send(b"BDAT 0\r\n" * 1000))[-1]
