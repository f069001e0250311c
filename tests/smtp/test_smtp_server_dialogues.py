"""Dialogues written by hand, each led in one flight per turn and byte by byte."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from each_row import each
from postroom.model.address import Address
from postroom.smtp.server import ServerSession
from postroom.smtp.server_events import Event, Offers, RecipientGiven
from postroom.smtp.server_replies import ServerReply
from smtp.server_talk import Shell, pieces

FOLDER = Path(__file__).parent.parent / "dialogues" / "server"
HOST = "mail.example.com"
OFFERS = {
    "open": Offers(
        host=HOST,
        max_size=4096,
        needs_login=False,
        max_hold=timedelta(days=1),
        min_deliver_by_s=60,
        postmaster=Address("postmaster", "example.com"),
    ),
    "keyed": Offers(host=HOST, starttls=True),
    "local": Offers(host=HOST, plain_login=True),
}
NOBODY = ServerReply(550, "5.1.1", "Nobody is there")


def knows_somebody(session: ServerSession, event: Event) -> bool:
    """Refuse recipients of nobody.invalid."""
    if isinstance(event, RecipientGiven) and event.address.domain == "nobody.invalid":
        session.refuse(NOBODY)
        return True
    return False


def turns(lines: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the lines of each flight with those of its replies."""
    flight: list[str] = []
    said: list[str] = []
    for line in lines:
        if line.startswith("C: ") and said:
            yield flight, said
            flight, said = [], []
        (flight if line.startswith("C: ") else said).append(line[3:])
    yield flight, said


def written(line: str) -> bytes:
    """Return a line of the client as bytes."""
    if match := re.match(r"<(\d+) octets>\Z", line):
        line = "x" * int(match[1])
    return line.encode() + b"\r\n"


def check(expected: list[str], got: str) -> None:
    """Compare replies line by line."""
    lines = got.split("\r\n")
    assert "" == lines.pop()
    for line in expected:
        if line == "<ehlo>":
            while lines.pop(0)[3] == "-":
                pass
        elif line.endswith("..."):
            assert lines.pop(0).startswith(line[:-3]), (line, got)
        else:
            assert line == lines.pop(0)
    assert [] == lines


@each("step", [None, 1])
@each("name", sorted(path.name for path in FOLDER.glob("*.smtp")))
def test_dialogue(name: str, step: int | None) -> None:
    """The server says what the file has it say, takes the mails it names, and is over when it says so."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    dialogue = [line for line in lines if line[:3] in {"C: ", "S: "}]
    (offers,) = [line.split()[1] for line in lines if line.startswith("offers ")]
    shell = Shell(OFFERS[offers], judge=knows_somebody)
    told = shell.greeting.decode()
    ends = dialogue[-1] == "S: <end>"
    for flight, said in turns(dialogue[: len(dialogue) - ends]):
        data = b"".join(written(line) for line in flight if line != "<tls>")
        told += shell.send(pieces(data, step or len(data) or 1))
        check(said, told)
        told = ""
    assert ends == shell.session.is_over
    expected = [line for line in lines if line[:1] in "=|" and line]
    got = []
    for mail in shell.mails:
        got.append(f"= {mail.mail.path.spec or '<>'} {' '.join(one.address.spec for one in mail.recipients)}")
        content = mail.content.decode().split("\r\n")[:-1]
        got += [f"| {line}" if line != "x" * 998 else "| <998 octets>" for line in content]
    assert expected == got
