"""The dialogue before the first message: greeting, EHLO, STARTTLS, AUTH, capabilities."""

from base64 import b64encode
from dataclasses import replace

import pytest

from each_row import each
from egress.smtp_peer import Answer, Dialogue, SmtpPeer
from postroom.model.address import Address
from postroom.model.outcome import Evidence
from postroom.model.reply import Reply
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp.client import ClientSession, Failed
from postroom.smtp.opening import Opened, Upgrade
from postroom.smtp.transaction import Transaction
from smtp.talk import ACCOUNT, LOGIN, Talk, hear, told, transaction

IMPLICIT = replace(LOGIN, tls=TlsMode.IMPLICIT)


def opened(account: SmtpAccount, peer: SmtpPeer | None = None) -> Talk:
    return Talk([], account=account, peer=peer or SmtpPeer()).run()


def failure(talk: Talk) -> tuple[str, int | str, str | None]:
    evidence = talk.failed
    assert evidence is not None
    if evidence.reply is not None:
        return evidence.step.value, evidence.reply.code, None
    assert evidence.fault is not None
    return evidence.step.value, str(evidence.fault.kind), evidence.fault.cause


@each(
    ("greeting", "found"),
    [
        (b"554 5.3.2 no service\r\n", ("greeting", 554, None)),
        (b"421 busy\r\n", ("greeting", 421, None)),
        (b"250 hello\r\n", ("greeting", "protocol", None)),
        (b"+OK POP3 ready\r\n", ("greeting", "protocol", "greet-not-smtp")),
        (b"HTTP/1.1 400 Bad Request\r\n", ("greeting", "protocol", "greet-not-smtp")),
        (b"220 ok\n", ("greeting", "protocol", None)),
        (b"SSH-2.0-OpenSSH\n", ("greeting", "protocol", "greet-not-smtp")),
        (b"220-x\r\n" * 1000, ("greeting", "protocol", None)),
        (b"220 hi\r\n250 early\r\n", ("ehlo", "protocol", None)),
    ],
)
def test_greeting(greeting: bytes, found: tuple[str, int | str, str | None]) -> None:
    """Only 220 opens a session; everything else is evidence, never an acceptance."""
    talk = opened(ACCOUNT, SmtpPeer(greeting=greeting))
    if found[0] == "ehlo":  # taken as the reply to EHLO, and the real one is then out of step
        assert talk.session.is_over
    else:
        assert found == failure(talk)


def test_helo_only_when_ehlo_is_unknown() -> None:
    """500, 502 and 504 to EHLO bring HELO; 550 does not."""
    for code in (b"500", b"502", b"504"):
        peer = SmtpPeer(answer=hello(code + b" what?\r\n", b"250 hi\r\n"))
        assert opened(ACCOUNT, peer).failed is None
        assert ["EHLO client.example.org", "HELO client.example.org"] == peer.dialogues[0].lines
    peer = SmtpPeer(answer=hello(b"550 no\r\n", b"250 hi\r\n"))
    assert ("ehlo", 550, None) == failure(opened(ACCOUNT, peer))
    peer = SmtpPeer(answer=hello(b"502 no\r\n", b"502 no\r\n"))
    assert ("ehlo", 502, None) == failure(opened(ACCOUNT, peer))


def hello(ehlo: bytes, helo: bytes) -> Answer:
    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        return {"EHLO": ehlo, "HELO": helo}.get(command[:4])

    return answer


@each(
    ("account", "is_loopback", "cause"),
    [
        (ACCOUNT, False, None),
        (replace(ACCOUNT, tls=TlsMode.STARTTLS), True, "starttls-not-offered"),
        (replace(ACCOUNT, tls=TlsMode.NONE), False, None),
        (LOGIN, False, "starttls-not-offered"),
        (LOGIN, True, None),
        (replace(LOGIN, tls=TlsMode.NONE), False, "starttls-not-offered"),
        (replace(LOGIN, allow_plaintext_login=True), False, None),
        (replace(LOGIN, tls=TlsMode.STARTTLS, allow_plaintext_login=True), True, "starttls-not-offered"),
    ],
)
def test_no_password_in_plain(account: SmtpAccount, is_loopback: bool, cause: str | None) -> None:
    """Without STARTTLS a password goes only to a loopback peer or where the account allows it."""
    session: ClientSession[int] = ClientSession(account, ehlo_name="a.example", is_loopback=is_loopback)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 AUTH PLAIN\r\n")
    event = session.next_event()
    if cause is None:
        assert not isinstance(event, Failed)
    else:
        assert isinstance(event, Failed)
        assert event.evidence.fault is not None
        assert cause == event.evidence.fault.cause
        assert b"AUTH" not in session.data_to_send()


def upgrading(account: SmtpAccount = LOGIN) -> ClientSession[int]:
    session: ClientSession[int] = ClientSession(account, ehlo_name="a.example", is_loopback=False)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250-PIPELINING\r\n250-AUTH CRAM-MD5\r\n250 STARTTLS\r\n")
    assert b"STARTTLS\r\n" == session.data_to_send()
    return session


def test_starttls_forgets() -> None:
    """After the handshake EHLO is sent again, and only what is announced then counts."""
    session = upgrading()
    hear(session, b"220 go\r\n")
    assert Upgrade() == session.next_event()
    session.tls_done()
    assert not session.extensions.pipelining
    assert b"EHLO a.example\r\n" == session.data_to_send()
    hear(session, b"250-hi\r\n250 AUTH PLAIN\r\n")
    assert b"AUTH PLAIN " + b64encode(b"\0user\0correct-horse") + b"\r\n" == session.data_to_send()
    hear(session, b"235 ok\r\n")
    assert Opened() == session.next_event()
    assert b"" == session.data_to_send()
    assert not session.extensions.pipelining


@pytest.mark.parametrize("tail", [b"250-SMTPUTF8 INJECTED-MARKER ", b"250 ok\r\n", b"2"])
def test_starttls_injection(tail: bytes) -> None:
    """Bytes behind the reply to STARTTLS end the session before the handshake."""
    session = upgrading()
    hear(session, b"220 2.0.0 Ready\r\n" + tail)
    event = session.next_event()
    assert isinstance(event, Failed)
    assert event.evidence.fault is not None
    assert "INJECTED-MARKER" not in event.evidence.fault.text
    assert session.is_over
    assert session.next_event() is None


@pytest.mark.parametrize("reply", [b"454 4.7.0 TLS not available\r\n", b"502 no\r\n"])
def test_starttls_refused(reply: bytes) -> None:
    """A refused STARTTLS is evidence; nothing goes on in plain."""
    session = upgrading()
    hear(session, reply)
    event = session.next_event()
    assert isinstance(event, Failed)
    assert event.evidence.reply is not None
    assert b"" == session.data_to_send()


def authenticating(mechanisms: str, account: SmtpAccount = IMPLICIT) -> ClientSession[int]:
    session: ClientSession[int] = ClientSession(account, ehlo_name="a.example", is_loopback=False)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 AUTH " + mechanisms.encode() + b"\r\n")
    return session


def test_login_dialogue() -> None:
    """LOGIN answers its two prompts, in Base64 or not."""
    session = authenticating("LOGIN")
    assert session.data_to_send().endswith(b"AUTH LOGIN\r\n")
    hear(session, b"334 VXNlcm5hbWU6\r\n")
    assert b64encode(b"user") + b"\r\n" == session.data_to_send()
    hear(session, b"334 Password:\r\n")
    assert b64encode(b"correct-horse") + b"\r\n" == session.data_to_send()
    hear(session, b"235 2.7.0 ok\r\n")
    assert Opened() == session.next_event()


def test_endless_challenges() -> None:
    """A server that goes on asking is left after four answers."""
    session = authenticating("PLAIN")
    session.data_to_send()
    answers = 0
    while not session.is_over:
        hear(session, b"334 Zm9v\r\n")
        answers += bool(session.data_to_send())
    assert 4 == answers


def test_refused_login_keeps_no_secret() -> None:
    """A reply to AUTH that quotes the password or its Base64 is kept without it."""
    session = authenticating("PLAIN")
    plain = b64encode(b"\0user\0correct-horse")
    hear(session, b"535-5.7.8 bad AUTH PLAIN " + plain + b"\r\n535 correct-horse is wrong\r\n")
    event = session.next_event()
    assert isinstance(event, Failed)
    reply = event.evidence.reply
    assert isinstance(reply, Reply)
    assert ("5.7.8 bad AUTH PLAIN *****", "***** is wrong") == reply.lines
    for secret in (plain, b"correct-horse"):
        assert secret not in reply.raw


@pytest.mark.parametrize(("offered", "forced"), [("XOAUTH2", None), ("", None), ("PLAIN", "NTLM")])
def test_no_login_in_common(offered: str, forced: str | None) -> None:
    """Without a mechanism in common nothing is sent, and the evidence says what was offered."""
    session = authenticating(offered, replace(IMPLICIT, auth=forced))
    event = session.next_event()
    assert isinstance(event, Failed)
    assert event.evidence.fault is not None
    assert "auth-mech" == event.evidence.fault.cause


def test_size_is_checked_first() -> None:
    """A message beyond the announced size is not begun; SIZE goes with MAIL."""
    peer = SmtpPeer(extensions=("SIZE 1000",))
    talk = Talk([transaction(0, size=1001), transaction(1, size=1000)], peer=peer).run()
    assert [("mail", "capability")] == told(talk.done[0])
    evidence = talk.done[0].results[0]
    assert isinstance(evidence, Evidence)
    assert evidence.fault is not None
    assert "size" == evidence.fault.cause
    assert "MAIL FROM:<from@example.com> SIZE=1000" == peer.dialogues[0].lines[1]


def test_smtputf8_is_checked_first() -> None:
    """Without SMTPUTF8 a non-ASCII recipient fails alone; a message that needs it fails whole."""
    peer = SmtpPeer(extensions=("8BITMIME",))
    mixed = abroad(smtputf8=False)
    talk = Talk([mixed, abroad(smtputf8=True)], peer=peer).run()
    assert [("body_end", 250), ("mail", "capability")] == told(talk.done[0])
    assert [("mail", "capability")] * 2 == told(talk.done[1])
    assert ["r@example.net"] == peer.mails[0].recipients
    assert all(line.isascii() for line in peer.dialogues[0].lines)


def test_smtputf8_is_used() -> None:
    """With SMTPUTF8 MAIL says so, together with 8BITMIME."""
    peer = SmtpPeer(extensions=("8BITMIME", "SMTPUTF8"))
    Talk([abroad(smtputf8=False)], peer=peer).run()
    assert "MAIL FROM:<from@example.com> BODY=8BITMIME SMTPUTF8" == peer.dialogues[0].lines[1]
    assert ["r@example.net", "jos\u00e9@example.net"] == peer.mails[0].recipients


def test_eight_bits_need_a_server_that_takes_them() -> None:
    """Octets above 127 are told with BODY=8BITMIME, and open no transaction where that is not announced."""
    for extensions in ((), ("8BITMIME",)):
        peer = SmtpPeer(extensions=extensions)
        eight = Transaction(
            0,
            reverse_path=Address("from", "example.com"),
            recipients=[Address("r", "example.net")],
            size=1000,
            smtputf8=False,
            eight_bit=True,
        )
        found = told(Talk([eight], peer=peer).run().done[0])
        if extensions:
            assert [("body_end", 250)] == found
            assert "MAIL FROM:<from@example.com> BODY=8BITMIME" == peer.dialogues[0].lines[1]
        else:
            assert [("mail", "capability")] == found
            assert not peer.mails


def abroad(*, smtputf8: bool) -> Transaction[int]:
    return Transaction(
        0,
        reverse_path=Address("from", "example.com"),
        recipients=[Address("r", "example.net"), Address("jos\u00e9", "example.net")],
        size=100,
        smtputf8=smtputf8,
    )


def test_recipient_limit_is_respected() -> None:
    """Recipients beyond an announced RCPTMAX are not begun."""
    peer = SmtpPeer(extensions=("LIMITS RCPTMAX=2",))
    talk = Talk([transaction(0, 3)], peer=peer).run()
    assert [("body_end", 250), ("body_end", 250), None] == told(talk.done[0])


def test_secret_is_not_printed() -> None:
    """The account's password is in no representation of what the session reports."""
    talk = opened(replace(LOGIN, password=Secret("hunter22-planted")))
    assert "hunter22-planted" not in repr(talk.failed) + repr(talk.account)
