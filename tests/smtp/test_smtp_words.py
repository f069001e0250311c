"""Commands, extensions and content as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import InvariantError
from postroom.model.address import Address
from postroom.model.step import Step
from postroom.model.transport import StepTimeouts
from postroom.smtp import commands
from postroom.smtp.data import DotStuffer, stuffed
from postroom.smtp.extensions import MAX_SIZE, Extensions, parse_extensions
from postroom.smtp.hosts import BAD_FOR_S, HostMemory, Mode
from postroom.smtp.steps import STEPS, step_seconds

PATH = Address("a.b+c", "example.com")
ABROAD = Address("jos\u00e9", "example.com")


def test_commands() -> None:
    """Each command is one line made of typed values."""
    assert b"EHLO mail.example.com\r\n" == commands.ehlo("mail.example.com")
    assert b"HELO [192.0.2.1]\r\n" == commands.helo("[192.0.2.1]")
    assert b"MAIL FROM:<a.b+c@example.com>\r\n" == commands.mail(
        PATH, size=None, eight_bit=False, smtputf8=False
    )
    assert "MAIL FROM:<jos\u00e9@example.com> SIZE=7 BODY=8BITMIME SMTPUTF8\r\n".encode() == commands.mail(
        ABROAD, size=7, eight_bit=True, smtputf8=True
    )
    assert b"RCPT TO:<a.b+c@example.com>\r\n" == commands.rcpt(PATH, smtputf8=False)


@each("char", [*map(chr, range(0x20)), "\x7f", " ", "<", ">"])
def test_no_control_character_in_a_path(char: str) -> None:
    """A control character, blank or bracket in an address raises before the first byte."""
    for path in (Address(f"a{char}b", "example.com"), Address("a", f"example.com{char}")):
        with pytest.raises(InvariantError):
            commands.rcpt(path, smtputf8=True)
        with pytest.raises(InvariantError):
            commands.mail(path, size=None, eight_bit=False, smtputf8=True)


@pytest.mark.parametrize("name", ["", "a b", "a\r\nRSET", "a\x00", "caf\u00e9"])
def test_greeting_name_is_one_word(name: str) -> None:
    """A name to greet with cannot carry a second command."""
    with pytest.raises(InvariantError):
        commands.ehlo(name)


def test_foreign_address_needs_smtputf8() -> None:
    """A non-ASCII address is never sent without SMTPUTF8."""
    with pytest.raises(InvariantError):
        commands.rcpt(ABROAD, smtputf8=False)


def test_auth_line() -> None:
    """The initial response goes in the AUTH line unless it is too long; empty it is an equals sign."""
    assert b"AUTH PLAIN AGEAYg==\r\n" == commands.auth("PLAIN", b"\0a\0b")
    assert b"AUTH X =\r\n" == commands.auth("X", b"")
    assert b"AUTH PLAIN\r\n" == commands.auth("PLAIN", b"x" * 12288)


def test_extensions_as_real_servers_write_them() -> None:
    """Case, the old AUTH form, "8 BITMIME", an "Ok" at the end and unknown words are all borne."""
    found = parse_extensions(
        [
            "mail.example.com PIPELINING",
            "size 1000",
            "AUTH=LOGIN",
            "AUTH PLAIN login",
            "8 BITMIME",
            "X-EXPS GSSAPI",
            "STARTTLS",
            "",
            "Ok",
        ]
    )
    assert found == Extensions(
        eight_bit=True, starttls=True, has_size=True, max_size=1000, mechanisms=("LOGIN", "PLAIN")
    )


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("SIZE", None),
        ("SIZE 0", None),
        ("SIZE x", None),
        ("SIZE -1", None),
        ("SIZE 18446744073709551616", MAX_SIZE),
        ("SIZE " + "9" * 5000, None),
        ("SIZE \uff12", None),
    ],
)
def test_size_is_bounded(line: str, limit: int | None) -> None:
    """SIZE is a bounded number or no limit."""
    found = parse_extensions(["host", line])
    assert (True, limit) == (found.has_size, found.max_size)


def test_limits() -> None:
    """LIMITS is respected, and ignored as a whole when a part is malformed (RFC 9422)."""
    good = parse_extensions(["host", "LIMITS RCPTMAX=20 MAILMAX=5 X=1"])
    assert (20, 5) == (good.max_recipients, good.max_messages)
    for line in ("LIMITS RCPTMAX=20 MAILMAX=0", "LIMITS RCPTMAX=20 MAILMAX", "LIMITS RCPTMAX=x"):
        bad = parse_extensions(["host", line])
        assert (None, None) == (bad.max_recipients, bad.max_messages)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_any_lines(lines: list[str]) -> None:
    """No announcement raises."""
    assert isinstance(parse_extensions(lines), Extensions)


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\r\n", b"a\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"..\r\n", b"...\r\n"),
        (b"a\r\n.b\r\n.\r\n", b"a\r\n..b\r\n..\r\n"),
        (b"\r\n\r\n.\r\nMAIL\r\n", b"\r\n\r\n..\r\nMAIL\r\n"),
        (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n"),
    ],
)
def test_dots(content: bytes, wire: bytes) -> None:
    """A dot at the start of a line is doubled, in whatever chunks the content comes."""
    assert wire == stuffed(content)
    for step in (1, 2, 3):
        stuffer = DotStuffer()
        assert wire == b"".join(stuffer.feed(content[at : at + step]) for at in range(0, len(content), step))
        stuffer.finish()


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"a", b"\x00"]), max_size=12), st.data())
def test_no_smuggling(pieces: list[bytes], data: st.DataObject) -> None:
    """Content either raises or is canonical, stuffed and read back as it was, however it is cut."""
    content = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=4).map(sorted))
    is_canonical = content == content.replace(b"\r\n", b"").replace(b"\r", b"").replace(b"\n", b"") or (
        b"\n" not in content.replace(b"\r\n", b"") and b"\r" not in content.replace(b"\r\n", b"")
    )
    stuffer = DotStuffer()
    try:
        wire = b"".join(
            stuffer.feed(content[start:end])
            for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
        )
        stuffer.finish()
    except InvariantError:
        assert not is_canonical or not content.endswith(b"\r\n")
        with pytest.raises(InvariantError):
            stuffed(content)
        return
    assert is_canonical
    assert wire == stuffed(content)
    lines = wire.split(b"\r\n")
    assert b"." not in lines
    assert content == b"\r\n".join(line.removeprefix(b".") for line in lines)


def test_step_table() -> None:
    """Every step of a dialogue has a row and a limit, and only a loss after the final dot is in doubt."""
    assert set(Step) - {Step.FETCH, Step.ANSWER} == set(STEPS)
    assert [Step.BODY_END] == [step for step, row in STEPS.items() if row.is_in_doubt]
    assert (600.0, 15.5) == (
        step_seconds(StepTimeouts())[Step.BODY_END],
        step_seconds(StepTimeouts(mail=15.5))[Step.MAIL],
    )


def test_memory_of_a_host() -> None:
    """Grouping is tried when announced, riding after it went well, and trouble falls back for a day."""
    fresh = HostMemory()
    assert Mode.LOCKSTEP is fresh.mode(is_announced=False, now=0)
    assert Mode.GROUPED is fresh.mode(is_announced=True, now=0)
    proven = fresh.after_success(Mode.GROUPED)
    assert Mode.RIDING is proven.mode(is_announced=True, now=0)
    assert proven is proven.after_success(Mode.GROUPED)
    assert fresh is fresh.after_success(Mode.LOCKSTEP)
    fallen = proven.after_trouble(Mode.RIDING, now=5)
    assert Mode.GROUPED is fallen.mode(is_announced=True, now=6)
    assert Mode.RIDING is fallen.mode(is_announced=True, now=5 + BAD_FOR_S)
    stumbled = proven.after_trouble(Mode.GROUPED, now=5)
    assert Mode.LOCKSTEP is stumbled.mode(is_announced=True, now=6)
    assert Mode.GROUPED is stumbled.mode(is_announced=True, now=5 + BAD_FOR_S)


def test_sudden_end_blames_what_is_untried() -> None:
    """A hang-up within a group speaks against a mode only as long as that has not worked."""
    fresh = HostMemory()
    assert Mode.LOCKSTEP is fresh.after_sudden_end(Mode.GROUPED, now=1).mode(is_announced=True, now=2)
    proven = fresh.after_success(Mode.GROUPED)
    assert proven is proven.after_sudden_end(Mode.GROUPED, now=1)
    assert Mode.GROUPED is proven.after_sudden_end(Mode.RIDING, now=1).mode(is_announced=True, now=2)
    riding = proven.after_success(Mode.RIDING)
    assert riding is riding.after_sudden_end(Mode.RIDING, now=1)
