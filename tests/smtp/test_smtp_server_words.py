"""MAIL and RCPT as typed values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.address import NULL_PATH, Address
from postroom.model.message import Notify
from postroom.smtp.server_events import DeliverBy, MailGiven, Offers, RecipientGiven, Wishes
from postroom.smtp.server_replies import ServerReply
from postroom.smtp.server_words import Refused, decode_xtext, parse_mail, parse_rcpt

ALL = Offers(host="mail.example.com", max_hold=timedelta(days=1), min_deliver_by_s=60)
FEW = Offers(host="mail.example.com", max_size=1000, priorities=False)
ANN = Address("ann", "example.com")


def refusal(line: str, offers: Offers = ALL, *, smtputf8: bool = False) -> str:
    """Return the codes that a command is refused with."""
    reply = taken(line, offers, smtputf8=smtputf8)
    assert isinstance(reply, ServerReply), reply
    return f"{reply.code} {reply.enhanced}"


def taken(
    line: str, offers: Offers = ALL, *, smtputf8: bool = False
) -> MailGiven | RecipientGiven | ServerReply:
    """Return what becomes of a command."""
    try:
        if line.upper().startswith("MAIL"):
            return parse_mail(line, offers)
        return parse_rcpt(line, offers, smtputf8=smtputf8)
    except Refused as refused:
        return refused.reply


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<ann@example.com>", ANN),
        (" <ann@EXAMPLE.com>", ANN),
        ("<>", NULL_PATH),
        ('<"ann"@example.com>', ANN),
        ("<ann@example.com>   ", ANN),
        ("<a.b+c@example.com>", Address("a.b+c", "example.com")),
        ("<ann@localhost>", Address("ann", "localhost")),
    ],
)
def test_reverse_paths(path: str, expected: Address) -> None:
    """A path stands in angle brackets; quotes that change nothing are undone."""
    assert MailGiven(expected) == parse_mail(f"MAIL FROM:{path}", ALL)
    assert MailGiven(expected) == parse_mail(f"mail from:{path}", ALL)


@each(
    ("path", "mail", "rcpt"),
    [
        ("ann@example.com", "501 5.5.4", "501 5.5.4"),
        ("", "501 5.5.4", "501 5.5.4"),
        ('<"a', "501 5.1.7", "501 5.1.3"),
        ("<ann@example.com", "501 5.1.7", "501 5.1.3"),
        ("<ann@example.com>x", "501 5.1.7", "501 5.1.3"),
        ("<<ann@example.com>>", "501 5.1.7", "501 5.1.3"),
        ("<ann @example.com>", "501 5.1.7", "501 5.1.3"),
        ("<ann>", "501 5.1.7", "553 5.1.3"),
        ("<@a.example,@b.example:ann@example.com>", "501 5.1.7", "553 5.1.3"),
        ('<"ann b"@example.com>', "501 5.1.7", "553 5.1.3"),
        ('<"ann\\"b"@example.com>', "501 5.1.7", "553 5.1.3"),
        ("<ann@[192.0.2.1]>", "501 5.1.7", "553 5.1.3"),
        ("<ann@192.0.2.1>", "501 5.1.8", "553 5.1.3"),
        ("<a@xn--->", "501 5.1.8", "553 5.1.3"),
        ("<ann@exa_mple.com>", "501 5.1.8", "553 5.1.3"),
        (f"<{'a' * 65}@example.com>", "501 5.1.7", "553 5.1.3"),
        ("<jos\u00e9@example.com>", "553 5.6.7", "553 5.6.7"),
    ],
)
def test_what_is_no_path(path: str, mail: str, rcpt: str) -> None:
    """A path that is not taken is refused with the code that says which part is at fault."""
    assert mail == refusal(f"MAIL FROM:{path}")
    assert rcpt == refusal(f"RCPT TO:{path}")


def test_international_addresses_need_smtputf8() -> None:
    """SMTPUTF8 with MAIL opens MAIL and RCPT to addresses beyond ASCII (RFC 6531 section 3.4)."""
    mail = parse_mail("MAIL FROM:<jos\u00e9@example.com> SMTPUTF8", ALL)
    assert ("jos\u00e9", True) == (mail.path.local, mail.smtputf8)
    assert "jos\u00e9" == parse_rcpt("RCPT TO:<jos\u00e9@example.com>", ALL, smtputf8=True).address.local
    assert "501 5.5.4" == refusal("MAIL FROM:<ann@example.com> SMTPUTF8=1")


def test_parameters_of_mail() -> None:
    """Each parameter becomes the value it stands for, in any order and case."""
    mail = parse_mail(
        "MAIL FROM:<ann@example.com> size=77 Body=8bitmime RET=full ENVID=a+2Bb+3D AUTH=<> "
        "HOLDUNTIL=2026-03-01T13:00:00+01:00 BY=120;rT MT-PRIORITY=-4",
        ALL,
    )
    assert (77, True, False) == (mail.size, mail.eight_bit, mail.smtputf8)
    wishes = Wishes(
        full=True,
        envelope_id="a+b=",
        hold_until=datetime(2026, 3, 1, 12, tzinfo=UTC),
        deliver_by=DeliverBy(seconds=120, returns=True, traces=True),
        priority=-4,
    )
    assert wishes == mail.wishes
    assert not parse_mail("MAIL FROM:<> BODY=7BIT", ALL).eight_bit
    assert timedelta(minutes=1) == parse_mail("MAIL FROM:<> HOLDFOR=60", ALL).wishes.hold_for


@each(
    ("parameters", "expected"),
    [
        ("SIZE=x", "501 5.5.4"),
        ("SIZE", "501 5.5.4"),
        ("SIZE=", "501 5.5.4"),
        (f"SIZE={'9' * 21}", "501 5.5.4"),
        (f"SIZE={'9' * 20}", "552 5.3.4"),
        ("SIZE=\u0661", "501 5.5.4"),
        ("SIZE=1 SIZE=1", "501 5.5.4"),
        ("BODY=BINARYMIME", "555 5.6.3"),
        ("BODY=9BIT", "501 5.5.4"),
        ("RET=SOME", "501 5.5.4"),
        ("ENVID=+2", "501 5.5.4"),
        ("ENVID=+0D+0A", "501 5.5.4"),
        (f"ENVID={'a' * 101}", "501 5.5.4"),
        ("AUTH=a+zz", "501 5.5.4"),
        ("HOLDFOR=-1", "501 5.5.4"),
        ("HOLDFOR=1 HOLDUNTIL=2026-03-01T13:00:00Z", "501 5.5.4"),
        ("HOLDUNTIL=tomorrow", "501 5.5.4"),
        ("HOLDUNTIL=2026-03-01T13:00:00", "501 5.5.4"),
        ("HOLDUNTIL=2026-02-30T13:00:00Z", "501 5.5.4"),
        ("HOLDUNTIL=0001-01-01T00:00:00+10:00", "501 5.5.4"),
        ("BY=60", "501 5.5.4"),
        ("BY=0;R", "501 5.5.4"),
        ("BY=-5;R", "501 5.5.4"),
        ("BY=59;R", "555 5.5.4"),
        ("BY=1000000000;N", "501 5.5.4"),
        ("MT-PRIORITY=10", "501 5.5.4"),
        ("MT-PRIORITY=+-1", "501 5.5.4"),
        ("NOTIFY=NEVER", "555 5.5.4"),
        ("COLOUR", "555 5.5.4"),
        ("=5", "501 5.5.4"),
        ("A=b=c", "501 5.5.4"),
    ],
)
def test_parameters_that_are_refused(parameters: str, expected: str) -> None:
    """What is unknown, given twice, malformed or out of range is refused by its kind."""
    assert expected == refusal(f"MAIL FROM:<ann@example.com> {parameters}")


@pytest.mark.parametrize(
    "parameter", ["HOLDFOR=1", "HOLDUNTIL=2026-03-01T13:00:00Z", "BY=600;N", "MT-PRIORITY=1"]
)
def test_what_is_not_offered_is_not_known(parameter: str) -> None:
    """A parameter of an extension that was not announced is refused as unknown."""
    assert "555 5.5.4" == refusal(f"MAIL FROM:<ann@example.com> {parameter}", FEW)


def test_by_mode_n_takes_any_time() -> None:
    """A time that is over is an error with mode R only (RFC 2852 section 4)."""
    by = parse_mail("MAIL FROM:<> BY=-3;N", ALL).wishes.deliver_by
    assert DeliverBy(seconds=-3, returns=False) == by


def test_parameters_of_rcpt() -> None:
    """NOTIFY is a set, ORCPT is decoded (RFC 3461 section 4, RFC 6533 section 3)."""
    given = parse_rcpt(
        "RCPT TO:<ann@example.com> NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@x", ALL, smtputf8=False
    )
    assert frozenset([Notify.SUCCESS, Notify.DELAY]) == given.notify
    assert "rfc822;a+b@x" == given.original
    never = parse_rcpt("RCPT TO:<ann@example.com> NOTIFY=NEVER", ALL, smtputf8=False)
    assert frozenset([Notify.NEVER]) == never.notify
    line = r"RCPT TO:<ann@example.com> ORCPT=utf-8;jos\x{E9}@example.com"
    assert "utf-8;jos\u00e9@example.com" == parse_rcpt(line, ALL, smtputf8=False).original


@each(
    ("parameters", "expected"),
    [
        ("NOTIFY", "501 5.5.4"),
        ("NOTIFY=", "501 5.5.4"),
        ("NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("NOTIFY=SOMETIMES", "501 5.5.4"),
        ("ORCPT=x", "501 5.5.4"),
        ("ORCPT=rfc822;+0A", "501 5.5.4"),
        (r"ORCPT=utf-8;\x{D800}", "501 5.5.4"),
        (r"ORCPT=utf-8;\x{FFFFFF}", "501 5.5.4"),
        (r"ORCPT=utf-8;\x{0A}", "501 5.5.4"),
        (f"ORCPT=rfc822;{'a' * 500}", "501 5.5.4"),
        ("SIZE=5", "555 5.5.4"),
    ],
)
def test_parameters_of_rcpt_that_are_refused(parameters: str, expected: str) -> None:
    """As with MAIL."""
    assert expected == refusal(f"RCPT TO:<ann@example.com> {parameters}")


def test_postmaster_without_a_domain() -> None:
    """<postmaster> is the mailbox that was named for it, else nobody (RFC 5321 section 4.5.1)."""
    named = Offers(host="mail.example.com", postmaster=ANN)
    assert ANN == parse_rcpt("RCPT TO:<PostMaster>", named, smtputf8=False).address
    assert "550 5.1.1" == refusal("RCPT TO:<postmaster>", FEW)


@given(st.text(max_size=40))
def test_xtext_reads_back(text: str) -> None:
    """Whatever is written as xtext reads back equal, unless it hides a control character."""
    octets = text.encode("utf-8", "replace")
    xtext = "".join(chr(one) if 33 <= one <= 126 and one not in b"+=" else f"+{one:02X}" for one in octets)
    has_control = any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    if has_control:
        with pytest.raises(ValueError, match="control"):
            decode_xtext(xtext)
    else:
        assert octets.decode() == decode_xtext(xtext)


@given(
    st.sampled_from(["MAIL FROM:", "RCPT TO:", "MAIL FROM:<a@b.example> ", "RCPT TO:<a@b.example> "]),
    st.text(),
)
def test_nothing_else_is_raised(begin: str, text: str) -> None:
    """Whatever stands behind the command, it is taken or refused."""
    found = taken(begin + text, smtputf8=True)
    if isinstance(found, ServerReply):
        assert found.code in {501, 550, 552, 553, 555}
        assert 15 < len(found.text) < 200
