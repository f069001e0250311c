"""Every attack row that reaches the SMTP door, against a started server and the sink behind it."""

import contextlib
import email
import email.policy
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pytest

from attacks.attack_room import ANSWER_S, AttackRoom, attack_room, inputs, row
from peers.postroom_process import KEY, free_port

pytestmark = pytest.mark.slow

LOGIN = b"AUTH PLAIN " + b64encode(b"\0app\0" + KEY.encode()) + b"\r\n"
ENVELOPE = b"MAIL FROM:<app@example.com>\r\nRCPT TO:<kim@example.net>\r\n"
TEXT = b"To: kim@example.net\r\nSubject: Hello\r\n\r\nIt works.\r\n"


@dataclass(slots=True)
class Door:
    """A server with an SMTP door under attack."""

    room: AttackRoom
    port: int

    @contextlib.contextmanager
    def wire(self) -> Iterator["Line"]:
        """Connect and say nothing."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S) as wire,
            wire.makefile("rb") as file,
        ):
            yield Line(wire, file)

    @contextlib.contextmanager
    def line(self, *, is_open: bool = True) -> Iterator["Line"]:
        """Connect; with ``is_open`` after EHLO and a login."""
        with self.wire() as line:
            assert ["220"] == line.read(1)
            if is_open:
                line.ask(b"EHLO attack.test\r\n")
                assert ["235 2.7.0"] == line.ask(LOGIN)
            yield line

    def hears(self, *flights: bytes, is_open: bool = True, each: int = 1) -> list[str]:
        """Send flights on a line of their own, ``each`` replies after all but the last; return the rest."""
        with self.line(is_open=is_open) as line:
            for flight in flights[:-1]:
                line.send(flight)
                line.read(each)
            line.send(flights[-1])
            line.wire.shutdown(socket.SHUT_WR)
            return line.read(10**6)


class Line:
    """One connection of an attacker."""

    def __init__(self, wire: socket.socket, file: BinaryIO) -> None:
        self.wire = wire
        self.said = b""
        self._file = file

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # cut off in the midst of a flood
            self.wire.sendall(data)

    def read(self, count: int) -> list[str]:
        """Read replies, fewer when the server closes; return their codes with the enhanced ones."""
        codes: list[str] = []
        with contextlib.suppress(ConnectionError):
            while len(codes) < count and (line := self._file.readline()):
                self.said += line
                if line[3:4] == b" ":
                    words = line.decode().split()
                    codes.append(" ".join(words[:2]) if words[1].count(".") == 2 else words[0])
        return codes

    def ask(self, command: bytes) -> list[str]:
        self.send(command)
        return self.read(1)


CASES: dict[str, Callable[[Door], None]] = {}
Case = Callable[[Door], None]


def case(*row_ids: str) -> Callable[[Case], Case]:
    """Note what runs a row."""

    def note(check: Case) -> Case:
        for row_id in row_ids:
            CASES[row_id] = check
        return check

    return note


def given(row_id: str) -> Any:
    (value,) = inputs(row(row_id))
    return value if isinstance(value, bytes) else value.encode()


# --------------------------------------------------------------------------- smuggling

FALSE_ENDS = ("SMG-001", "SMG-004", "SMG-005", "SMG-006", "SMG-007", "SMG-011")


@case(*FALSE_ENDS)
def false_ends(door: Door) -> None:
    for row_id in FALSE_ENDS:
        said = door.hears(ENVELOPE + b"DATA\r\n", b"From: app@example.com\r\n\r\n" + given(row_id), each=3)
        assert ["554 5.5.2"] == said, row_id


@case("SMG-012")
def false_end_behind_a_refused_content(door: Door) -> None:
    size = 1024 * 1024
    with door.line() as line:
        line.send(ENVELOPE + b"DATA\r\n")
        assert ["250 2.1.0", "250 2.1.5", "354"] == line.read(3)
        filling = (b"x" * 1022 + b"\r\n") * (size // 1024)
        line.send(filling)
        line.send(b".\nHELP\r\nHELP\r\n.\r\n")
        assert ["554 5.5.2"] == line.read(3)


@case("SMG-013")
def content_before_the_reply(door: Door) -> None:
    assert ["250 2.1.0", "250 2.1.5", "554 5.5.0"] == door.hears(ENVELOPE + given("SMG-013"))


@case("SMG-014")
def before_the_greeting(door: Door) -> None:
    # This machine is greeted when the connection is made, so what comes before it was read comes behind it;
    # others wait and are refused (tests/ingress/test_submission_envelope.py).
    with door.wire() as line:
        line.send(given("SMG-014"))
        assert ["220", "250"] == line.read(2)


@case("SMG-015")
def lines_that_end_with_lf(door: Door) -> None:
    assert ["500 5.5.2"] == door.hears(given("SMG-015"), is_open=False)


# --------------------------------------------------------------------------- commands and logins


@case("SMG-016", "CMD-019", "ADR-016")
def paths(door: Door) -> None:
    with door.line() as line:
        assert ["501 5.1.7"] == line.ask(given("SMG-016"))
        assert ["501 5.1.8"] == line.ask(given("CMD-019"))
        assert ["250 2.1.0"] == line.ask(b"MAIL FROM:<app@example.com>\r\n")
        assert ["553 5.1.3"] == line.ask(given("ADR-016"))


@case("AUT-016", "AUT-017")
def login_forms(door: Door) -> None:
    with door.line(is_open=False) as line:
        line.ask(b"EHLO attack.test\r\n")
        for login in inputs(row("AUT-016"))[1:]:
            assert line.ask(login.encode())[0] in {"535 5.7.8", "501 5.5.2"}, login
    with door.line() as line:
        assert ["503 5.5.1"] == line.ask(LOGIN)


@case("POS-011")
def international_sender(door: Door) -> None:
    with door.line() as line:
        assert ["250 2.1.0"] == line.ask(given("POS-011"))


# --------------------------------------------------------------------------- floods


@case("DOS-005")
def idling(door: Door) -> None:
    said = door.hears(given("DOS-005"))
    assert len(said) <= 101
    assert "421 4.7.0" == said[-1]


@case("DOS-009")
def recipients(door: Door) -> None:
    with door.line() as line:
        line.ask(b"MAIL FROM:<app@example.com>\r\n")
        line.send(b"".join(b"RCPT TO:<u%d@x.test>\r\n" % number for number in range(2500)))
        said = line.read(2500)
    assert ["250 2.1.5"] * 1000 == said[:1000]
    assert {"452 4.5.3"} == set(said[1000:-1])
    assert ("421 4.7.0", 2001) == (said[-1], len(said))


@case("DOS-020")
def garbage(door: Door) -> None:
    said = door.hears(given("DOS-020"))
    assert said[-1][:3] in {"500", "421"}


# --------------------------------------------------------------------------- headers


@case("HDR-037", "HDR-038", "HDR-039", "HDR-040", "HDR-042", "HDR-043")
def two_readings_of_from(door: Door) -> None:
    expected = {"HDR-037": "554 5.6.0", "HDR-038": "554 5.6.0", "HDR-039": "554 5.6.0"}
    for row_id in ("HDR-037", "HDR-038", "HDR-039", "HDR-040", "HDR-042", "HDR-043"):
        said = door.hears(ENVELOPE + b"DATA\r\n", given(row_id) + TEXT + b".\r\n", each=3)
        assert [expected.get(row_id, "550 5.7.1")] == said, row_id


@case("SMG-106", "DOS-010", "DOS-012")
def mails_that_are_none(door: Door) -> None:
    head = b"From: app@example.com\r\n"
    bare = head + given("SMG-106")
    deep = head + given("DOS-010").replace(b"\n", b"\r\n")
    wide = head + b"Subject: " + given("DOS-012").replace(b" ", b"\r\n ") + b"\r\n" + TEXT
    for expected, mail in (("554 5.5.2", bare), ("550 5.6.0", deep), ("550 5.6.0", wide)):
        assert [expected] == door.hears(ENVELOPE + b"DATA\r\n", mail + b".\r\n", each=3)


@case("DOS-013")
def an_open_quote(door: Door) -> None:
    wire = taken(door, b"From: app@example.com\r\n" + given("DOS-013") + b"\r\n" + TEXT)
    assert wire.endswith(given("DOS-013") + b"\r\n" + TEXT)


@case("HDR-045")
def a_bcc_field(door: Door) -> None:
    wire = taken(door, b"From: app@example.com\r\n" + given("HDR-045"))
    mail = email.message_from_bytes(wire, policy=email.policy.default)
    assert ["Date", "From", "Message-ID", "Received", "Subject", "To"] == sorted(mail.keys())


def taken(door: Door, content: bytes) -> bytes:
    """Hand in a mail that is accepted; return it as it arrived."""
    with door.line() as line:
        line.send(ENVELOPE + b"DATA\r\n")
        line.read(3)
        line.send(content + b".\r\n")
        assert ["250 2.0.0"] == line.read(1), line.said
        message = line.said.split()[-1].decode()
    deadline = time.monotonic() + ANSWER_S
    copy = (message, "kim@example.net")
    while not door.room.sink.copies[copy]:
        assert time.monotonic() < deadline, "nothing arrived"
        time.sleep(0.01)
    door.room.expected[copy] += 1
    wire = door.room.sink.bodies[message]
    assert not {b"\r"[0], b"\n"[0], 0} & set(wire.replace(b"\r\n", b""))
    return wire


# --------------------------------------------------------------------------- the house

RUN = frozenset(CASES)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    port = free_port()
    directory = tmp_path_factory.mktemp("submission")
    with attack_room(directory, POSTROOM_SMTP=f"127.0.0.1:{port}") as room:
        yield Door(room, port)


@pytest.mark.parametrize("check", dict.fromkeys(CASES.values()), ids=lambda check: check.__name__)
def test_attack_on_the_smtp_door(door: Door, check: Callable[[Door], None]) -> None:
    """The answer is the row's, no mail but the meant one leaves, and the server goes on."""
    with door.room.watched():
        check(door)
        with door.line() as line:
            assert ["250 2.0.0"] == line.ask(b"NOOP\r\n")
