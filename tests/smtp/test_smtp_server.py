"""The server core against a shell in memory: greeting, TLS, logins, lines, bounds."""

from base64 import b64encode
from datetime import timedelta

import pytest

from each_row import each
from postroom.errors import InvariantError
from postroom.smtp.server import ServerSession
from postroom.smtp.server_events import (
    Aborted,
    ContentEnd,
    Event,
    Login,
    MailGiven,
    Offers,
    Quit,
    StartTls,
    Waits,
)
from postroom.smtp.server_replies import ServerReply
from smtp.server_talk import KEY, KEYED, OPEN, OPENED_AT, Shell, codes, greeted, pieces

ENVELOPE = b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
LOCAL = Offers(host="mail.example.com", plain_login=True)
CLOSING = ServerReply(421, "4.3.2", "Shutting down")


def plain(*fields: str) -> bytes:
    return b"AUTH PLAIN " + b64encode("\0".join(fields).encode()) + b"\r\n"


def test_what_is_announced() -> None:
    """Extensions are announced when they are offered, STARTTLS without TLS, AUTH where it may be."""
    full = Offers(
        host="mail.example.com", max_size=1000, starttls=True, max_hold=timedelta(days=1), min_deliver_by_s=60
    )
    said = Shell(full).send(b"EHLO client.example.org\r\n").replace("\r\n", "\n").split()
    assert "250-mail.example.com" == said[0]
    words = " ".join(said).replace("250-", "").replace("250 ", "")
    assert "PIPELINING SIZE 1000 8BITMIME SMTPUTF8 CHUNKING ENHANCEDSTATUSCODES DSN STARTTLS" in words
    assert "FUTURERELEASE 86400 2026-03-02T12:00:00Z DELIVERBY 60 MT-PRIORITY" in words
    assert "LIMITS RCPTMAX=1000 HELP" in words
    assert "AUTH" not in words
    few = Offers(host="mail.example.com", starttls=True, priorities=False)
    words = Shell(few, is_encrypted=True).send(b"EHLO client.example.org\r\n")
    assert "AUTH PLAIN LOGIN" in words
    for absent in ("STARTTLS", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"):
        assert absent not in words


def test_who_speaks_before_the_greeting_is_cut_off() -> None:
    """Nothing is taken from a client before the greeting was handed out (SMG-014)."""
    session = ServerSession(OPEN, opened_at=OPENED_AT)
    session.receive(b"EHLO client.example.org\r\n")
    assert session.next_event() is None
    assert b"220 mail.example.com ESMTP Postroom\r\n554 5.5.0" == session.output()[:46]
    assert session.is_over


@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"x", b"EHLO evil.example\r\n"])
def test_nothing_behind_starttls_counts(behind: bytes) -> None:
    """What came in plain text behind STARTTLS ends the session and is never obeyed under TLS."""
    shell = greeted(Shell(KEYED))
    assert ["554 5.5.0"] == codes(shell.send(b"STARTTLS\r\n" + behind))
    assert shell.session.is_over
    waiting = greeted(Shell(KEYED, takes_tls=False))
    assert ["220 2.0.0"] == codes(waiting.send(b"STARTTLS\r\n"))
    waiting.session.receive(behind)
    assert waiting.session.next_event() is None
    waiting.session.tls_started()
    assert waiting.session.output().startswith(b"554 5.5.0")
    assert [StartTls()] == waiting.events


def test_starttls_forgets() -> None:
    """A name, a login and a mail from before TLS do not count under it (RFC 3207 section 4.2)."""
    offers = Offers(host="mail.example.com", starttls=True, plain_login=True)
    shell = greeted(Shell(offers))
    assert ["235 2.7.0"] == codes(shell.send(plain("", "any", KEY)))
    assert ["250 2.1.0", "250 2.1.5"] == codes(shell.send(ENVELOPE))
    assert ["220 2.0.0"] == codes(shell.send(b"STARTTLS\r\n"))
    assert isinstance(shell.events[-2], Aborted)
    session = shell.session
    assert (True, False, None) == (session.is_encrypted, session.is_authenticated, session.hello)
    assert ["503 5.5.1"] == codes(shell.send(b"MAIL FROM:<ann@example.com>\r\n"))
    greeted(shell)
    assert ["530 5.7.0"] == codes(shell.send(b"MAIL FROM:<ann@example.com>\r\n"))


def test_starttls_is_refused_where_it_is_not_offered() -> None:
    """Not offered, with an argument, or twice."""
    assert ["502 5.5.1"] == codes(greeted(Shell(OPEN)).send(b"STARTTLS\r\n"))
    shell = greeted(Shell(KEYED))
    assert ["501 5.5.4"] == codes(shell.send(b"STARTTLS now\r\n"))
    shell.send(b"STARTTLS\r\n")
    assert ["503 5.5.1"] == codes(shell.send(b"STARTTLS\r\n"))


@each(
    ("command", "expected"),
    [
        (plain("", "any", KEY), "235 2.7.0"),
        (plain("any", "any", KEY), "235 2.7.0"),
        (plain("", "any", "wrong"), "535 5.7.8"),
        (plain("other", "any", KEY), "535 5.7.8"),
        (plain("", "", KEY), "501 5.5.2"),
        (plain("any", "", KEY), "501 5.5.2"),
        (plain("", "any", ""), "501 5.5.2"),
        (plain("", "", ""), "501 5.5.2"),
        (plain("", "any"), "501 5.5.2"),
        (plain("", "any", KEY, ""), "501 5.5.2"),
        (b"AUTH PLAIN AHVAZABwYXNz\r\n", "535 5.7.8"),
        (b"AUTH PLAIN dUBkAABwYXNz/w==\r\n", "501 5.5.2"),
        (b"AUTH PLAIN =\r\n", "501 5.5.2"),
        (b"AUTH PLAIN a\r\n", "501 5.5.2"),
        (b"AUTH PLAIN a*b=\r\n", "501 5.5.2"),
        (b"AUTH\r\n", "504 5.5.4"),
        (b"AUTH XOAUTH2 abc\r\n", "504 5.5.4"),
        (b"auth plain " + b64encode(b"\0any\0" + KEY.encode()) + b"\r\n", "235 2.7.0"),
    ],
)
def test_logins(command: bytes, expected: str) -> None:
    """A login has a name and a key; who would act for another gets no further than with a wrong key."""
    assert [expected] == codes(greeted(Shell(LOCAL)).send(command))


def test_when_a_login_may_come() -> None:
    """After EHLO, not within a mail, not twice, not without TLS."""
    assert ["503 5.5.1"] == codes(Shell(LOCAL).send(plain("", "any", KEY)))
    shell = greeted(Shell(Offers(host="mail.example.com", plain_login=True, needs_login=False)))
    shell.send(ENVELOPE)
    assert ["503 5.5.1"] == codes(shell.send(plain("", "any", KEY)))
    shell.send(b"RSET\r\n")
    assert ["235 2.7.0", "503 5.5.1"] == codes(shell.send(plain("", "any", KEY) * 2))
    for offers, remedy in ((KEYED, "STARTTLS"), (OPEN, "port for TLS")):
        said = greeted(Shell(offers)).send(plain("", "any", KEY))
        assert said.startswith("538 5.7.11")
        assert remedy in said


def test_no_secret_is_shown() -> None:
    """What a client gives as a key stands in no answer and in no text of the event."""
    shell = greeted(Shell(LOCAL))
    said = shell.send(plain("", "any", "wr0ng-key"))
    assert "wr0ng" not in said
    (login,) = shell.events
    assert isinstance(login, Login)
    assert "wr0ng" not in repr(login)


@pytest.mark.parametrize("answer", [454, 535])
def test_only_wrong_keys_count(answer: int) -> None:
    """Three wrong keys end the session; a trouble of ours does not count against the client."""

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, Login):
            session.refuse(ServerReply(answer, f"{answer // 100}.7.0", "No"))
            return True
        return False

    said = codes(greeted(Shell(LOCAL, judge=judge)).send(plain("", "any", "x") * 3))
    assert ("421 4.7.0" if answer == 535 else "454 4.7.0") == said[-1]


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"NO\0OP\r\n", b"\n", b"\r\n\n"])
def test_line_ends_of_commands(line: bytes) -> None:
    """A bare CR, LF or NUL in a command ends the session, and what follows is not obeyed (SMG-015)."""
    shell = greeted(Shell(OPEN))
    said = codes(shell.send(line + ENVELOPE))
    assert "500 5.5.2" == said[-1]
    assert shell.session.is_over
    assert not any(isinstance(event, MailGiven) for event in shell.events)


def test_long_lines() -> None:
    """A command has 2,048 octets at most, any line 12,288; a line without an end is not waited for."""
    for length, expected in (
        (2048, "250 2.0.0"),
        (2049, "500 5.5.6"),
        (12288, "500 5.5.6"),
        (12289, "500 5.5.6"),
    ):
        shell = greeted(Shell(OPEN))
        said = codes(shell.send(pieces(b"NOOP " + b"x" * (length - 7) + b"\r\n", 4000)))
        assert [expected] == said
        assert (length > 12288) == shell.session.is_over
    login = b"AUTH PLAIN " + b64encode(b"\0any\0" + b"k" * 9000) + b"\r\n"
    assert ["535 5.7.8"] == codes(greeted(Shell(LOCAL)).send(login))
    shell = greeted(Shell(OPEN))
    assert ["500 5.5.6"] == codes(shell.send(pieces(b"x" * 20000, 1000)))
    assert shell.session.is_over


def test_bytes_that_are_no_text() -> None:
    """Control characters and broken UTF-8 are refused, whole UTF-8 is not at fault by itself."""
    shell = greeted(Shell(OPEN))
    said = shell.send(b"NOOP \x07\r\nNOOP \xff\r\nNOOP \x1b[31m\r\nNOOP \xc3\xa9\r\n")
    assert ["500 5.5.2", "500 5.5.2", "500 5.5.2", "250 2.0.0"] == codes(said)


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1", b"GET /", b"Host: localhost", b"Subject: hello"])
def test_a_line_of_another_protocol_ends_the_session(line: bytes) -> None:
    """What a browser or a content says is no command, and nothing behind it is obeyed."""
    shell = greeted(Shell(OPEN))
    assert ["521 5.5.1"] == codes(shell.send(line + b"\r\n" + ENVELOPE))
    assert shell.session.is_over
    assert not any(isinstance(event, MailGiven) for event in shell.events)


def test_a_login_that_is_no_text_is_over() -> None:
    """After a line that cannot be read the next one is a command again, not the rest of a login."""
    shell = greeted(Shell(LOCAL))
    assert ["334", "500 5.5.2", "250 2.0.0"] == codes(shell.send(b"AUTH LOGIN\r\n\x07\r\nNOOP\r\n"))


def test_the_name_in_hello_is_made_safe() -> None:
    """Whatever a client calls itself, its name can stand in a header."""
    for given, expected in (
        ("client.example.org", "client.example.org"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("b\u00f6rse (x) ;y", "b?rse??x???y"),
        ("x" * 400, "x" * 255),
    ):
        shell = Shell(OPEN)
        shell.send(f"EHLO {given}\r\n".encode())
        assert expected == shell.session.hello


@pytest.mark.parametrize(
    ("encrypted", "authenticated", "smtputf8", "expected"),
    [
        (False, False, False, "ESMTP"),
        (True, False, False, "ESMTPS"),
        (True, True, False, "ESMTPSA"),
        (True, True, True, "UTF8SMTPSA"),
        (False, True, False, "ESMTPA"),
    ],
)
def test_the_word_for_received(
    *, encrypted: bool, authenticated: bool, smtputf8: bool, expected: str
) -> None:
    """The trace field says how the mail came (RFC 3848)."""
    shell = greeted(Shell(LOCAL, is_encrypted=encrypted))
    if authenticated:
        shell.send(plain("", "any", KEY))
    assert expected == shell.session.protocol(smtputf8=smtputf8)
    shell.send(b"HELO client\r\n")
    assert "SMTP" == shell.session.protocol(smtputf8=False)


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"EHLO x\r\n", b"VRFY a\r\n", b"HELP\r\n"])
def test_idle_commands_are_bounded(command: bytes) -> None:
    """Who says a hundred things and hands nothing in is sent away (DOS-005)."""
    shell = greeted(Shell(OPEN))
    said = codes(shell.send(command * 100_000))
    assert 100 == len(said)
    assert "421 4.7.0" == said[-1]


def test_a_mail_clears_the_counters() -> None:
    """Bounds hold between two mails, so a connection that is used well is never cut."""
    shell = greeted(Shell(OPEN))
    for _ in range(30):
        shell.send(b"RSET\r\nNOOP\r\nWHAT\r\n" + ENVELOPE + b"DATA\r\n")
        assert shell.send(b"x\r\n.\r\n").startswith("250 2.0.0")


def test_errors_are_bounded() -> None:
    """Twenty errors in a row are borne, not more (DOS-020)."""
    shell = greeted(Shell(OPEN))
    said = codes(shell.send(b"WHAT\r\n" * 30))
    assert ["500 5.5.1"] * 20 + ["421 4.7.0"] == said


def test_recipients_are_bounded() -> None:
    """The recipient behind the limit gets 452 and the mail goes to those before it (DOS-009)."""
    offers = Offers(host="mail.example.com", needs_login=False, max_recipients=3)
    shell = greeted(Shell(offers))
    shell.send(b"MAIL FROM:<ann@example.com>\r\n")
    said = codes(shell.send(b"".join(b"RCPT TO:<u%d@example.net>\r\n" % number for number in range(5))))
    assert ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2 == said
    shell.send(b"DATA\r\n")
    shell.send(b"x\r\n.\r\n")
    assert 3 == len(shell.mails[0].recipients)
    shell.send(b"MAIL FROM:<ann@example.com>\r\n")
    said = codes(shell.send(b"RCPT TO:<u@example.net>\r\n" * 100_000))
    assert ["250 2.1.5"] * 3 + ["452 4.5.3"] * 3 + ["421 4.7.0"] == said


def test_refused_recipients_do_not_count_as_errors() -> None:
    """A list with many faulty addresses is no reason to cut the connection."""
    shell = greeted(Shell(OPEN))
    shell.send(b"MAIL FROM:<ann@example.com>\r\n")
    said = codes(shell.send(b"RCPT TO:<bad>\r\n" * 40 + b"RCPT TO:<bob@example.net>\r\n"))
    assert ["553 5.1.3"] * 40 + ["250 2.1.5"] == said


def test_the_shell_refuses_a_sender() -> None:
    """A refusal of MAIL opens no mail; the next may be taken."""
    refused: list[Event] = []

    def judge(session: ServerSession, event: Event) -> bool:
        if isinstance(event, MailGiven) and not refused:
            refused.append(event)
            session.refuse(ServerReply(550, "5.7.1", "Not your address"))
            return True
        return False

    shell = greeted(Shell(OPEN, judge=judge))
    said = codes(shell.send(ENVELOPE + b"RSET\r\n" + ENVELOPE))
    assert ["550 5.7.1", "503 5.5.1", "250 2.0.0", "250 2.1.0", "250 2.1.5"] == said
    assert not any(isinstance(event, Aborted) for event in shell.events)


def test_what_it_waits_for() -> None:
    """Commands, content, or the shell: each has its own time limit."""
    shell = greeted(Shell(OPEN, judge=lambda _session, event: isinstance(event, ContentEnd)))
    waits = [shell.session.waits_for]
    for flight in (ENVELOPE + b"DATA\r\n", b"x\r\n.\r\nNOOP\r\n"):
        shell.send(flight)
        waits.append(shell.session.waits_for)
    assert 6 == shell.session.pending
    shell.session.accept()
    shell.turn()
    assert b"250 2.0.0 Accepted\r\n250 2.0.0 Ok\r\n" == shell.session.output()
    assert [Waits.COMMAND, Waits.CONTENT, Waits.ANSWER, Waits.COMMAND] == [*waits, shell.session.waits_for]


def test_the_shell_ends_the_session() -> None:
    """A last reply, wherever the dialogue is; a mail that was begun is dropped, and silence follows."""
    shell = greeted(Shell(OPEN))
    shell.send(ENVELOPE + b"DATA\r\n")
    shell.send(b"half a mail")
    shell.session.close(CLOSING)
    shell.turn()
    assert b"421 4.3.2 Shutting down\r\n" == shell.session.output()
    assert shell.session.is_over
    assert isinstance(shell.events[-1], Aborted)
    shell.session.close(CLOSING)
    assert "" == shell.send(b"\r\n.\r\n")


def test_quit_drops_what_was_begun() -> None:
    """QUIT is answered and ends the session; nothing behind it is looked at."""
    shell = greeted(Shell(OPEN))
    assert "221 2.0.0" == codes(shell.send(ENVELOPE + b"QUIT\r\nNOOP\r\n"))[-1]
    assert isinstance(shell.events[-1], Quit)
    assert shell.session.is_over
    assert not shell.session.lingers


def test_answers_to_no_question_are_bugs() -> None:
    """A shell that answers what was not asked is told so."""
    session = Shell(OPEN).session
    for answer in (
        session.accept,
        session.authenticated,
        session.tls_started,
        lambda: session.refuse(CLOSING),
    ):
        with pytest.raises(InvariantError):
            answer()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ServerReply(250, "", "Ok"), b"250 Ok\r\n"),
        (
            ServerReply(550, "5.1.1", "No \u4eba here\r\n250 x"),
            b"550-5.1.1 No \\u4eba here\\r\r\n550 5.1.1 250 x\r\n",
        ),
        (ServerReply(214, "2.0.0", "a\nb"), b"214-2.0.0 a\r\n214 2.0.0 b\r\n"),
        (ServerReply(451, "4.3.0", ""), b"451 4.3.0 \r\n"),
    ],
)
def test_replies_on_the_wire(reply: ServerReply, expected: bytes) -> None:
    """Codes stand on every line, other characters become escapes, and no text makes a reply of its own."""
    assert expected == reply.wire


def test_long_replies_are_cut_into_lines() -> None:
    """No line is longer than 512 octets (RFC 5321 section 4.5.3.1.5)."""
    wire = ServerReply(550, "5.7.1", "word " * 300 + "x" * 1200).wire
    lines = wire.split(b"\r\n")[:-1]
    assert all(len(line) <= 510 for line in lines)
    assert all(line.startswith(b"550-5.7.1 ") for line in lines[:-1])
    assert b"word " * 300 + b"x" * 1200 == b"".join(line[10:] for line in lines)
