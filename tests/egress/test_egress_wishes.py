"""Wishes for reports go on to servers that take them, with the reverse path that they belong to."""

import asyncio
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.smtp_peer import EXTENSIONS, Dialogue, SmtpPeer, listening
from egress.works import granted, running, told, work
from peers import postfix
from postroom.egress.frames import Unpacker, packed_report, packed_work, report_of, work_of
from postroom.model.address import Address, parse_address
from postroom.model.message import Notify, ReportWish
from postroom.ports import Report, Work
from postroom.smtp import commands

TAKES_WISHES = (*EXTENSIONS, "DSN")
FROM = Address("from", "example.com")
TO, OTHER = parse_address("to@example.net"), parse_address("other@example.net")
WISH = ReportWish(
    to=FROM,
    full=False,
    envelope_id="QQ+31=4 159",
    notify={TO: frozenset({Notify.DELAY, Notify.SUCCESS}), OTHER: frozenset({Notify.NEVER})},
    original={TO: "rfc822;Bob+List@example.org"},
)


def wishing(wish: ReportWish | None, *recipients: str) -> Work:
    return replace(work(*recipients), reports=wish)


def lines(peer: SmtpPeer) -> list[str]:
    """Return the commands of the envelopes, without SIZE."""
    found = [line for dialogue in peer.dialogues for line in dialogue.lines]
    return [
        line.partition(" SIZE=")[0] + line.partition(" SIZE=")[2].lstrip("0123456789")
        for line in found
        if line.startswith(("MAIL", "RCPT"))
    ]


async def sent(peer: SmtpPeer, *works: Work) -> list[Report]:
    async with listening(peer) as port, running(port) as transport:
        return [await transport.attempt(one) for one in works]


def test_a_wish_goes_on_as_it_was_given() -> None:
    """RET and ENVID with MAIL, NOTIFY and ORCPT with the RCPT they belong to, encoded as xtext."""
    peer = SmtpPeer(extensions=TAKES_WISHES)
    (report,) = asyncio.run(sent(peer, wishing(WISH, TO.spec, OTHER.spec, "third@example.net")))

    assert report.passed_wishes
    assert [
        "MAIL FROM:<from@example.com> RET=HDRS ENVID=QQ+2B31+3D4+20159",
        "RCPT TO:<to@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2BList@example.org",
        "RCPT TO:<other@example.net> NOTIFY=NEVER",
        "RCPT TO:<third@example.net>",
    ] == lines(peer)


@pytest.mark.parametrize(
    ("wish", "extensions"),
    [
        (None, TAKES_WISHES),
        (ReportWish(to=FROM), TAKES_WISHES),
        (WISH, EXTENSIONS),
        (replace(WISH, to=parse_address("else@example.com")), TAKES_WISHES),
    ],
)
def test_when_nothing_goes_on(wish: ReportWish | None, extensions: tuple[str, ...]) -> None:
    """No wish, one that says nothing, a server that takes none, another reverse path: plain commands."""
    peer = SmtpPeer(extensions=extensions)
    (report,) = asyncio.run(sent(peer, wishing(wish)))

    assert not report.passed_wishes
    assert ["MAIL FROM:<from@example.com>", "RCPT TO:<to@example.net>"] == lines(peer)


@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
@pytest.mark.parametrize("refusal", [b"555 5.5.4 Unsupported option\r\n", b"501 5.5.4 Bad parameter\r\n"])
def test_wishes_are_left_out_where_they_are_refused(refused: str, refusal: bytes) -> None:
    """A server that announces them and refuses them gets the mail once more without."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        return refusal if command.startswith(refused) and ("RET=" in command or "NOTIFY" in command) else None

    peer = SmtpPeer(extensions=TAKES_WISHES, answer=answer)
    reports = asyncio.run(sent(peer, wishing(WISH), wishing(WISH)))

    assert [[("body_end", 250)]] * 2 == [told(report) for report in reports]
    assert [False, False] == [report.passed_wishes for report in reports]
    assert 2 == len(peer.mails)


def test_a_refused_recipient_is_refused() -> None:
    """Only when every recipient is refused for a parameter the mail is begun again."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        return b"501 5.1.3 Bad address syntax\r\n" if command.startswith("RCPT TO:<other") else None

    peer = SmtpPeer(extensions=TAKES_WISHES, answer=answer)
    (report,) = asyncio.run(sent(peer, wishing(WISH, TO.spec, OTHER.spec)))

    assert [("body_end", 250), ("rcpt", 501)] == told(report)
    assert 1 == len(peer.dialogues)


@given(
    envelope_id=st.text(max_size=120),
    original=st.text(max_size=600),
    kind=st.sampled_from(["rfc822", "utf-8", "x400", "bad kind", ""]),
)
def test_nothing_that_was_given_breaks_a_command(envelope_id: str, original: str, kind: str) -> None:
    """Whatever a sender gave, the command is one line of printable ASCII with the parameters we know."""
    wish = ReportWish(to=FROM, envelope_id=envelope_id, original={TO: f"{kind};{original}"})
    mail = commands.mail(FROM, size=None, eight_bit=False, smtputf8=False, reports=wish)
    rcpt = commands.rcpt(TO, smtputf8=False, reports=wish)

    for command, words in ((mail, ("MAIL", "FROM:", "ENVID=")), (rcpt, ("RCPT", "TO:", "ORCPT="))):
        text = command.removesuffix(b"\r\n").decode("ascii")
        assert text.isprintable()
        assert len(command) <= 512 + 500
        assert all(word.startswith(words) for word in text.split(" "))


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("rfc822;bob=x+y@example.org", b" ORCPT=rfc822;bob+3Dx+2By@example.org"),
        ("utf-8;用户@example.org", rb" ORCPT=utf-8;\x{7528}\x{6237}@example.org"),
        ("rfc822;用户@example.org", b""),
        ("rfc822;", b""),
        ("no type", b""),
        ("rfc822;" + "a" * 501, b""),
    ],
)
def test_the_forms_of_an_original_recipient(original: str, expected: bytes) -> None:
    """RFC 3461 and RFC 6533; what has no such form is left out."""
    wish = ReportWish(to=FROM, original={TO: original})

    assert b"RCPT TO:<to@example.net>" + expected + b"\r\n" == commands.rcpt(TO, smtputf8=False, reports=wish)


@pytest.mark.parametrize("wish", [WISH, None, replace(WISH, full=True, notify={}, envelope_id="")])
def test_a_wish_reaches_the_sender_process(wish: ReportWish | None) -> None:
    """It is the same on the other side of the socket pair, and so is the word that it was passed on."""
    before = replace(wishing(wish), commit=granted)
    (frame,) = Unpacker().frames(packed_work(1, 2, before))
    for passed in (True, False):
        report = Report(lines=(), passed_wishes=passed)
        assert report == report_of(next(Unpacker().frames(packed_report(1, report))))

    assert wish == work_of(frame, granted).reports


@pytest.mark.slow
@pytest.mark.postfix
@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix's master needs root")
def test_postfix_reports_success_in_our_place() -> None:
    """Postfix takes the wish over: its own report has the envelope id and the original recipient."""

    async def main() -> None:
        last = SmtpPeer()
        async with listening(last) as last_port:
            with postfix.running(relay_to=last_port) as relay:
                async with running(relay.port) as transport:
                    report = await transport.attempt(wishing(WISH))
                async with asyncio.timeout(30):
                    while len(last.mails) < 2:
                        last.stirred.clear()
                        await last.stirred.wait()
        assert report.passed_wishes
        (said,) = [one.content.decode() for one in last.mails if one.sender.startswith("MAIL FROM:<>")]
        assert 2 == len(last.mails)
        assert "Original-Envelope-Id: QQ+31=4 159" in said
        assert "Original-Recipient: rfc822;Bob+List@example.org" in said
        assert "Action: relayed" in said

    asyncio.run(main())
