"""A transaction that hands nothing over."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.model.address import parse_address
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp.client import ClientSession
from postroom.smtp.probing import ProbeTransaction, Transcript

OPENING = [b"220 mail.example.com\r\n", b"250-mail.example.com\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n"]


def said(replies: Sequence[bytes]) -> tuple[list[bytes], ProbeTransaction]:
    """Return what is sent after the opening when the server answers so, and the transaction."""
    account = SmtpAccount(host="mail.example.com", port=25, tls=TlsMode.NONE)
    session: ClientSession[None] = ClientSession(account, ehlo_name="app.example.org", is_loopback=True)
    for reply in OPENING:
        session.receive(reply)
        session.data_to_send()
    probe = ProbeTransaction(
        reverse_path=parse_address("app@example.org"), recipient=parse_address("ops@example.org")
    )
    session.begin(probe)
    sent = []
    for reply in replies:
        if data := session.data_to_send():
            sent.append(data)
        session.receive(reply)
    if data := session.data_to_send():
        sent.append(data)
    return sent, probe


def words(sent: Sequence[bytes]) -> list[bytes]:
    return [data[:4] for data in sent]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([b"250 ok\r\n"] * 3, [b"MAIL", b"RCPT", b"RSET"]),
        ([b"250 ok\r\n", b"550 no\r\n", b"250 ok\r\n"], [b"MAIL", b"RCPT", b"RSET"]),
        ([b"250 ok\r\n", b"450 later\r\n", b"250 ok\r\n"], [b"MAIL", b"RCPT", b"RSET"]),
        ([b"550 no\r\n"], [b"MAIL"]),
        ([b"421 bye\r\n"], [b"MAIL"]),
        ([b"250 ok\r\n", b"421 bye\r\n"], [b"MAIL", b"RCPT"]),
    ],
)
def test_it_says_mail_rcpt_rset_one_at_a_time(replies: Sequence[bytes], expected: Sequence[bytes]) -> None:
    """A refused recipient is still taken back; after a refused sender there is nothing to take back."""
    assert expected == words(said(replies)[0])


CODES = st.sampled_from(["220", "250", "251", "334", "354", "421", "450", "503", "530", "550", "554"])


@given(st.lists(CODES.map(lambda code: f"{code} x\r\n".encode()), max_size=6))
def test_whatever_a_server_answers_no_content_is_ever_asked_for(replies: Sequence[bytes]) -> None:
    """DATA is not among the commands, BDAT neither."""
    sent, _ = said(replies)
    assert {b"MAIL", b"RCPT", b"RSET"} >= set(words(sent))


def test_size_is_announced_where_it_is_known() -> None:
    """Of a small mail."""
    assert [b"MAIL FROM:<app@example.org> SIZE=1024\r\n"] == said([])[0]


def test_a_refusal_is_evidence_at_its_step() -> None:
    """For the one recipient."""
    _, probe = said([b"250 ok\r\n", b"550 no\r\n", b"250 ok\r\n"])
    evidence = probe.results[0]
    assert evidence is not None
    assert Step.RCPT is evidence.step


def test_a_transcript_keeps_the_last_reply_of_each_step() -> None:
    """Replies that come in pieces are read whole; noise is left out."""
    transcript = Transcript("latin-1")
    transcript.take(Step.GREETING, b"220 ma")
    transcript.take(Step.GREETING, b"il\r\n")
    transcript.take(Step.EHLO, b"250-a\r\n250 b\r\n")
    transcript.restart()
    transcript.take(Step.EHLO, b"250 c\r\n")
    transcript.take(Step.AUTH, b"noise\r\n")
    assert {Step.GREETING: "mail", Step.EHLO: "c"} == {
        step: reply.text for step, reply in transcript.replies.items()
    }
