"""A real server between an attacker and a sink that counts, and what must hold after every attack."""

import base64
import contextlib
import email
import email.policy
import gzip
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from peers.ledger_sink import LedgerSink
from peers.postroom_process import KEY, PostroomProcess

ANSWER_S = 20.0
"""An attacked server answers within this (oracle O6 says 2 s, on a machine that does nothing else)."""

TOP = ["Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"]
CODING = "Content-Transfer-Encoding"
PLAIN = sorted([*TOP, CODING])
"""Headers of a message that is one text."""
TEXT_PART = [CODING, "Content-Type"]
FILE_PART = ["Content-Disposition", CODING, "Content-Type"]

Row = dict[str, Any]


def rows() -> list[Row]:
    """Return every attack row."""
    path = Path(__file__).with_name("attacks.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def row(row_id: str) -> Row:
    """Return one attack row."""
    return next(one for one in rows() if one["id"] == row_id)


def inputs(one: Row) -> list[Any]:
    """Return what a row sends, one value for each attack in it."""
    given = one["input"]
    match given["kind"]:
        case "text":
            return [given["text"]]
        case "list":
            return list(given["values"])
        case "bytes":
            return [base64.b64decode(given["b64"])]
        case "python":
            # The expressions are the project's own file.
            return [eval(given["expr"], {"os": os, "gzip": gzip})]  # noqa: S307
    raise ValueError(f"{one['id']} is told in words")


@dataclass(slots=True, eq=False)
class AttackRoom:
    """A server under attack and the sink behind it."""

    server: PostroomProcess
    sink: LedgerSink
    expected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Copies the sink should have by now (oracles O2, O4, O12)."""

    def post(self, fields: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        """Hand in a message of these fields over a harmless one; wait for its first attempt."""
        mail = {"to": "kim@example.net", "subject": "Hello", "text": "It works.", **fields}
        return self.server.call("POST", "/v1/messages", mail, headers={"Prefer": "wait=10", **headers})

    def delivered(
        self,
        answer: tuple[int, Any],
        *,
        to: Sequence[str] = ("kim@example.net",),
        headers: Sequence[str] = PLAIN,
        parts: Sequence[Sequence[str]] = (),
    ) -> EmailMessage:
        """Check that an accepted message is at the sink as it should be; return it parsed."""
        status, sent = answer
        assert (200, "accepted") == (status, sent["state"]), sent
        self.expected.update((sent["id"], one) for one in to)
        assert self.sink.copies == self.expected
        wire = self.sink.bodies[sent["id"]]
        without_ends = wire.replace(b"\r\n", b"")
        assert not {b"\r"[0], b"\n"[0], 0} & set(without_ends), "O3: a bare line end or NUL"
        assert max(map(len, wire.split(b"\r\n"))) <= 998
        mail = email.message_from_bytes(wire, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        assert sorted(headers) == sorted(mail.keys())
        assert [sorted(one) for one in parts] == [
            sorted(part.keys()) for part in mail.walk() if part is not mail
        ]
        return mail

    def refused(self, answer: tuple[int, Any], *statuses: int) -> None:
        """Check that a request was refused and nothing came of it."""
        assert answer[0] in statuses, answer
        assert "id" not in answer[1]

    def raw(self, *pieces: bytes, wait_s: float = 5.0) -> tuple[int, bytes]:
        """Write bytes to a new connection and read until the server closes; status (0: none) and all."""
        read = b""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=wait_s) as wire:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    wire.sendall(piece)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while piece := wire.recv(65536):
                    read += piece
        return (int(read.split(b" ")[1]) if read.startswith(b"HTTP/1.1 ") else 0), read

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Check what holds after every row: it answers (O6), and the sink has what was meant."""
        yield
        began = time.monotonic()
        assert 200 == self.server.call("GET", "/healthz")[0]
        assert time.monotonic() - began < ANSWER_S
        found, meant = self.sink.copies.copy(), self.expected.copy()
        self.expected = found.copy()  # what one attack brought in is not held against the next
        assert found == meant

    def check_the_house(self) -> None:
        """Check what holds at the end: no secret told (O7), no other file (O9), one record a line (O11)."""
        log = self.server.log.read_bytes()
        assert KEY.encode() not in log
        for line in log.partition(b"first page:")[2].splitlines()[1:]:
            assert {"event", "level"} <= json.loads(line).keys()
        assert {self.server.data.name, self.server.log.name} == {
            path.name for path in self.server.data.parent.iterdir()
        }


@contextlib.contextmanager
def attack_room(directory: Path, **environ: str) -> Iterator[AttackRoom]:
    """Run a server that sends to a counting sink; check the house at the end."""
    with LedgerSink() as sink:
        sink.keep_bodies = True
        settings = {
            "POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}",
            "POSTROOM_FROM": "app@example.com",
            "POSTROOM_LOG_JSON": "true",
            **environ,
        }
        with PostroomProcess(directory / "data", environ=settings) as server:
            room = AttackRoom(server, sink)
            yield room
            room.check_the_house()
