"""The client session without sockets: flights, refusals, losses, steps."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from egress.smtp_peer import Dialogue, SmtpPeer
from postroom.errors import InvariantError
from postroom.model.step import Step
from postroom.smtp.client import MAX_UNANSWERED, ClientSession, Done, SendBody
from postroom.smtp.hosts import Mode
from smtp.talk import ACCOUNT, Talk, hear, told, transaction

Answer = Callable[[str, Dialogue], bytes | None]
MODES = list(Mode)


def answering(pattern: str, reply: bytes, *, after: int = 0) -> Answer:
    """Give ``reply`` to commands that match, from the ``after``-th message on."""
    compiled = re.compile(pattern)

    def answer(command: str, dialogue: Dialogue) -> bytes | None:
        return reply if compiled.match(command) and dialogue.messages >= after else None

    return answer


@each(
    ("mode", "messages", "recipients", "flights"),
    [
        (Mode.LOCKSTEP, 1, 1, 4),
        (Mode.LOCKSTEP, 1, 10, 13),
        (Mode.LOCKSTEP, 5, 1, 20),
        (Mode.GROUPED, 1, 1, 2),
        (Mode.GROUPED, 1, 10, 2),
        (Mode.GROUPED, 5, 2, 10),
        (Mode.RIDING, 1, 1, 2),
        (Mode.RIDING, 5, 2, 6),
        (Mode.RIDING, 100, 1, 101),
        (Mode.RIDING, 10, 10, 11),
    ],
)
def test_flights(mode: Mode, messages: int, recipients: int, flights: int) -> None:
    """Lockstep takes n + 3 flights a message, grouped 2, riding 1 and one more in all."""
    talk = Talk([transaction(key, recipients) for key in range(messages)], mode).run()
    assert flights == talk.flights
    assert [[("body_end", 250)] * recipients] * messages == [told(done) for done in talk.done]
    assert list(range(messages)) == [done.key for done in talk.done]
    assert messages == len(talk.peer.mails)


def test_one_byte_at_a_time() -> None:
    """Replies that drip in byte by byte change nothing."""
    for mode in MODES:
        talk = Talk([transaction(key, 2) for key in range(3)], mode, step=1).run()
        assert [[("body_end", 250)] * 2] * 3 == [told(done) for done in talk.done]


def test_large_group_goes_in_parts() -> None:
    """Unanswered command bytes stay within the bound, whatever the number of recipients."""
    session: ClientSession[int] = ClientSession(ACCOUNT, ehlo_name="a.example", is_loopback=True)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 PIPELINING\r\n")
    session.data_to_send()
    session.mode = Mode.GROUPED
    session.begin(transaction(recipients=1000))
    unanswered: list[int] = []
    largest = 0
    while True:
        data = session.data_to_send()
        unanswered += [len(line) for line in data.splitlines(keepends=True)]
        if not unanswered:
            break
        largest = max(largest, sum(unanswered))
        is_data = len(unanswered) == 1 and session.waiting_step is Step.DATA
        unanswered.pop(0)
        hear(session, b"354 go\r\n" if is_data else b"250 ok\r\n")
    assert MAX_UNANSWERED - 100 < largest <= MAX_UNANSWERED
    assert session.waiting_step is Step.BODY


@pytest.mark.parametrize("mode", MODES)
def test_some_recipients_refused(mode: Mode) -> None:
    """The mail goes to the accepted recipients; the refused one keeps its own reply."""
    peer = SmtpPeer(answer=answering(r"RCPT TO:<r1\.", b"550 5.1.1 unknown\r\n"))
    talk = Talk([transaction(0, 3), transaction(1, 3)], mode, peer).run()
    assert [[("body_end", 250), ("rcpt", 550), ("body_end", 250)]] * 2 == [told(done) for done in talk.done]
    assert ["r0.m0@example.net", "r2.m0@example.net"] == peer.mails[0].recipients


@pytest.mark.parametrize("mode", MODES)
def test_too_many_recipients(mode: Mode) -> None:
    """452 to a later recipient leaves the earlier ones in the transaction."""
    peer = SmtpPeer(answer=answering(r"RCPT TO:<r[23]\.", b"452 4.5.3 too many\r\n"))
    talk = Talk([transaction(0, 4)], mode, peer).run()
    assert [("body_end", 250)] * 2 + [("rcpt", 452)] * 2 == told(talk.done[0])
    assert not talk.session.is_over


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", [b"503 5.5.1 valid RCPT first\r\n", b"354 go on\r\n"])
def test_all_recipients_refused(mode: Mode, data: bytes) -> None:
    """Nobody accepted: the replies to RCPT stand, the connection serves the next message."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        if command.startswith("RCPT") and ".m0@" in command:
            return b"550 5.1.1 unknown\r\n"
        return data if command == "DATA" and not _dialogue.accepted else None

    peer = SmtpPeer(answer=answer)
    talk = Talk([transaction(0, 2), transaction(1, 2)], mode, peer).run()
    assert [[("rcpt", 550)] * 2, [("body_end", 250)] * 2] == [told(done) for done in talk.done]
    lines = peer.dialogues[0].lines
    is_lone_dot = mode is not Mode.LOCKSTEP and data.startswith(b"354")
    assert is_lone_dot != ("RSET" in lines)
    assert (2 if is_lone_dot else 1) == lines.count(".")
    assert [mail.recipients for mail in peer.mails if mail.content] == [
        ["r0.m1@example.net", "r1.m1@example.net"]
    ]


@pytest.mark.parametrize("mode", MODES)
def test_refused_sender_and_data(mode: Mode) -> None:
    """A refusal of MAIL or DATA concerns every recipient and leaves the connection in step."""
    for pattern, step, reset in ((r"MAIL", "mail", False), ("DATA", "data", True)):
        peer = SmtpPeer(answer=answering(pattern, b"554 5.7.1 no\r\n"))
        talk = Talk([transaction(0, 2), transaction(1, 2)], mode, peer).run()
        assert [[(step, 554)] * 2] * 2 == [told(done) for done in talk.done]
        assert reset == ("RSET" in peer.dialogues[0].lines)
        assert not peer.mails


def test_recipients_accepted_without_a_sender() -> None:
    """A server that refuses MAIL and takes the rest gets no dot: an empty mail might reach somebody."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        replies = {"MAIL": b"550 no\r\n", "RCPT": b"250 ok\r\n", "DATA": b"354 go\r\n"}
        return replies.get(command[:4])

    talk = Talk([transaction()], Mode.GROUPED, SmtpPeer(answer=answer)).run()
    assert b"\r\n.\r\n" not in talk.sent
    assert [("mail", 550)] == told(talk.done[0])
    assert talk.session.is_over


@pytest.mark.parametrize("mode", MODES)
def test_refused_content(mode: Mode) -> None:
    """A refusal after the dot is the final word on each accepted recipient; the next message goes on."""
    peer = SmtpPeer(answer=lambda command, _: b"554 5.7.1 spam\r\n" if command == "." else None)
    talk = Talk([transaction(0, 2), transaction(1)], mode, peer).run()
    assert [[("body_end", 554)] * 2, [("body_end", 554)]] == [told(done) for done in talk.done]


@each("mode", MODES)
@each(
    ("pattern", "first"),
    [
        ("EHLO", ("ehlo", 421)),
        ("MAIL", ("mail", 421)),
        (r"RCPT TO:<r0", ("rcpt", 421)),
        (r"RCPT TO:<r1", ("rcpt", 421)),
        ("DATA", ("data", 421)),
        (r"\.", ("body_end", 421)),
    ],
)
def test_421_everywhere(mode: Mode, pattern: str, first: tuple[str, int]) -> None:
    """421 ends the session: evidence on a fresh connection, "begin again" on a used one."""
    reply = b"421 4.3.2 closing\r\n"
    peer = SmtpPeer(answer=answering(pattern, reply))
    talk = Talk([transaction(0, 2), transaction(1, 2)], mode, peer).run()
    assert talk.session.is_over
    if pattern == "EHLO":
        assert talk.failed is not None
        assert (Step.EHLO, 421) == (talk.failed.step, talk.failed.reply and talk.failed.reply.code)
        return
    assert [first] * 2 == told(talk.done[0])
    assert not talk.done[0].may_repeat
    assert all(done.may_repeat for done in talk.done[1:])
    peer = SmtpPeer(answer=answering(pattern, reply, after=1))
    talk = Talk([transaction(0, 2), transaction(1, 2)], mode, peer).run()
    assert [("body_end", 250)] * 2 == told(talk.done[0])
    assert (first[0] != "body_end") == talk.done[1].may_repeat


def test_421_keeps_what_was_refused() -> None:
    """On a used connection a recipient refused before the 421 stays refused, the others are not begun."""

    def answer(command: str, dialogue: Dialogue) -> bytes | None:
        if dialogue.messages and command.startswith("RCPT"):
            return b"550 5.1.1 unknown\r\n" if "r0" in command else b"421 4.3.2 closing\r\n"
        return None

    talk = Talk([transaction(0, 3), transaction(1, 3)], Mode.GROUPED, SmtpPeer(answer=answer)).run()
    assert [("rcpt", 550), None, None] == told(talk.done[1])
    assert not talk.done[1].may_repeat


def is_dot_handed(talk: Talk, key: int) -> bool:
    """Say whether the content of message ``key`` was given to the wire with its dot."""
    return talk.sent.count(b"\r\n.\r\n") > key


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["to_client", "to_server"])
def test_cut_at_every_byte(mode: Mode, way: str) -> None:
    """Wherever the wire is cut, each recipient is final, repeatable or, after the dot only, in doubt.

    What the server has taken is never called repeatable, and what it has not is never called accepted.
    """
    pattern = answering(r"RCPT TO:<r1\.", b"550 5.1.1 unknown\r\n")
    whole = Talk([transaction(key, 3) for key in range(3)], mode, SmtpPeer(answer=pattern)).run()
    end = whole.received if way == "to_client" else len(whole.sent)
    for cut in range(end + 1):
        peer = SmtpPeer(answer=pattern)
        talk = Talk([transaction(key, 3) for key in range(3)], mode, peer)
        setattr(talk, way, cut)
        talk.run()
        taken = {recipient for mail in peer.mails for recipient in mail.recipients}
        for done in talk.done:
            for number, evidence in enumerate(done.results):
                address = f"r{number}.m{done.key}@example.net"
                if evidence is None or (evidence.fault is not None and evidence.step is not Step.BODY_END):
                    assert address not in taken, (cut, address)
                elif evidence.fault is not None:
                    assert not done.may_repeat
                    assert is_dot_handed(talk, done.key), cut
                elif evidence.step is Step.BODY_END:
                    assert address in taken, (cut, address)
                else:
                    assert (Step.RCPT, 1) == (evidence.step, number)
        unseen = {f"r{number}.m{key}@example.net" for key in range(len(talk.done), 3) for number in range(3)}
        assert not taken & unseen, cut


@pytest.mark.parametrize("mode", MODES)
def test_reply_before_the_dot(mode: Mode) -> None:
    """An acceptance before the dot is no acceptance: the dot is not sent and the session ends."""
    peer = SmtpPeer(answer=answering("DATA", b"354 go\r\n250 ok\r\n"))
    talk = Talk([transaction()], mode, peer).run()
    assert [("body", "protocol")] == told(talk.done[0])
    assert b"\r\n.\r\n" not in talk.sent


def test_refusal_before_the_dot() -> None:
    """A refusal before the dot is believed; the session ends all the same."""
    peer = SmtpPeer(answer=answering("DATA", b"354 go\r\n552 5.3.4 too big\r\n"))
    talk = Talk([transaction()], Mode.GROUPED, peer).run()
    assert [("body", 552)] == told(talk.done[0])
    assert talk.session.is_over


@pytest.mark.parametrize(("pattern", "step"), [("MAIL", "mail"), ("RCPT", "rcpt"), ("DATA", "data")])
def test_reply_that_does_not_fit(pattern: str, step: str) -> None:
    """250 to DATA, 354 to MAIL: the session is dropped, in groups for another try in lockstep."""
    reply = b"250 ok\r\n" if pattern == "DATA" else b"354 go\r\n"
    for mode in MODES:
        talk = Talk([transaction()], mode, SmtpPeer(answer=answering(pattern, reply))).run()
        assert [(step, "protocol")] == told(talk.done[0])
        assert talk.session.is_over
        assert (mode is not Mode.LOCKSTEP) == talk.done[0].may_repeat
        assert b"\r\n.\r\n" not in talk.sent


def test_misfit_after_the_dot_is_in_doubt() -> None:
    """A 3xx or nonsense where the final reply should be leaves the outcome open."""
    for reply in (b"354 go\r\n", b"what?\r\n", b"250 ok\n"):
        talk = Talk([transaction()], Mode.GROUPED, SmtpPeer(answer=answering(r"\.", reply))).run()
        assert [("body_end", "protocol")] == told(talk.done[0])


def test_unsolicited_bytes_end_an_idle_session() -> None:
    """A reply, or a part of one, that nothing was asked for ends the session."""
    for data in (b"250 unsolicited\r\n", b"2"):
        talk = Talk([transaction()], Mode.RIDING).run()
        hear(talk.session, data)
        assert talk.session.is_over


@pytest.mark.parametrize(("pattern", "step"), [("MAIL", "rcpt"), ("RCPT", "data")])
def test_a_reply_too_many_answers_no_command_that_was_not_heard(pattern: str, step: str) -> None:
    """Two replies to one command in lockstep: the second is not taken for the next command's."""
    talk = Talk([transaction()], peer=SmtpPeer(answer=answering(pattern, b"250 ok\r\n250 ok\r\n"))).run()
    assert [(step, "protocol")] == told(talk.done[0])
    assert talk.session.is_over
    assert b"\r\n.\r\n" not in talk.sent


def test_421_may_come_before_the_next_command_is_heard() -> None:
    """A server that closes right after a good reply is believed: the message is tried again."""
    reply = b"250 ok\r\n421 4.3.2 closing\r\n"
    talk = Talk([transaction()], peer=SmtpPeer(answer=answering("MAIL", reply))).run()
    assert [("rcpt", 421)] == told(talk.done[0])


@pytest.mark.parametrize(
    ("mode", "pattern", "reply", "after"),
    [
        (Mode.GROUPED, "RCPT", b"503 5.5.1 bad sequence\r\n", 0),
        (Mode.GROUPED, "DATA", b"503 5.5.1 bad sequence\r\n", 0),
        (Mode.GROUPED, "MAIL", b"554 5.5.0 Error: improper command pipelining\r\n", 0),
        (Mode.RIDING, "MAIL", b"503 5.5.1 nested MAIL\r\n", 1),
    ],
)
def test_server_does_not_bear_groups(mode: Mode, pattern: str, reply: bytes, after: int) -> None:
    """503 or "pipelining" in a group means another try on a fresh connection, and a note for the host."""
    peer = SmtpPeer(answer=answering(pattern, reply, after=after))
    talk = Talk([transaction(0), transaction(1)], mode, peer).run()
    assert talk.done[-1].may_repeat
    assert mode is talk.session.trouble
    assert talk.session.is_over
    assert after == len(peer.mails)


def test_503_in_lockstep_is_a_refusal() -> None:
    """In lockstep 503 is what it says."""
    talk = Talk([transaction()], peer=SmtpPeer(answer=answering("MAIL", b"503 5.5.1 AUTH first\r\n"))).run()
    assert [("mail", 503)] == told(talk.done[0])
    assert not talk.done[0].may_repeat


def test_hang_up_in_a_group_is_suspicious() -> None:
    """A connection closed within its first group is begun again, and the mode is suspected."""
    talk = Talk([transaction()], Mode.GROUPED, SmtpPeer(answer=answering("MAIL", b""))).run()
    assert talk.done[0].may_repeat
    assert Mode.GROUPED is talk.session.suspect


def test_stale_connection_is_no_attempt() -> None:
    """A used connection that ends at MAIL is replaced, nobody is to blame."""
    peer = SmtpPeer(answer=answering("MAIL", b"", after=1))
    for mode in (Mode.LOCKSTEP, Mode.GROUPED):
        talk = Talk([transaction(0), transaction(1)], mode, peer).run()
        assert talk.done[1].may_repeat
        assert talk.session.suspect is None


def test_loss_while_riding_is_in_doubt_for_one() -> None:
    """Of two messages on the wire only the one past its dot is in doubt."""
    peer = SmtpPeer(answer=lambda command, dialogue: b"" if command == "." and dialogue.messages else None)
    talk = Talk([transaction(key) for key in range(3)], Mode.RIDING, peer).run()
    assert [("body_end", "closed")] == told(talk.done[1])
    assert not talk.done[1].may_repeat
    assert talk.done[2].may_repeat
    assert Mode.RIDING is talk.session.suspect


def test_abandon() -> None:
    """Given up: past the dot in doubt, the message behind it not begun."""
    session = riding_session()
    session.abandon()
    ended = []
    while (event := session.next_event()) is not None:
        assert isinstance(event, Done)
        ended.append(told(event.transaction))
    assert [[("body_end", "closed")], [None]] == ended


def riding_session() -> ClientSession[int]:
    """Return a session with one message past its dot and another's group behind it."""
    session: ClientSession[int] = ClientSession(ACCOUNT, ehlo_name="a.example", is_loopback=True)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 PIPELINING\r\n")
    session.mode = Mode.RIDING
    session.begin(transaction(0))
    hear(session, b"250 ok\r\n250 ok\r\n354 go\r\n")
    session.end_body()
    session.begin(transaction(1))
    while session.next_event() is not None:
        continue
    return session


def test_no_third_message_on_the_wire() -> None:
    """At most one content is unanswered and at most one message rides on it."""
    session = riding_session()
    assert not session.can_begin
    with pytest.raises(InvariantError):
        session.begin(transaction(2))
    with pytest.raises(InvariantError):
        session.end_body()


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"421 x\r\n"]),
        max_size=14,
    ),
    st.sampled_from(MODES),
)
def test_any_server_never_raises(chunks: list[bytes], mode: Mode) -> None:
    """Whatever a server says, nothing raises and every recipient of what ended can be accounted for."""
    session: ClientSession[int] = ClientSession(ACCOUNT, ehlo_name="a.example", is_loopback=True)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 PIPELINING\r\n")
    session.mode = mode
    key = 0
    for chunk in [*chunks, b""]:
        while (event := session.next_event()) is not None:
            if isinstance(event, SendBody) and not session.is_over:
                session.end_body()
        if session.can_begin:
            session.begin(transaction(key, 2))
            key += 1
        hear(session, chunk)
    session.abandon()
    assert session.is_over
