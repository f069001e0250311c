"""The dialogue files, each against the session alone and over a real socket."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from each_row import each
from egress.works import CONTENT, running, work
from postroom.model.address import Address
from postroom.model.outcome import Evidence
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp.client import ClientSession, Done, Failed, SendBody
from postroom.smtp.data import stuffed
from postroom.smtp.hosts import HostMemory, Mode
from postroom.smtp.transaction import Transaction

FILES = sorted((Path(__file__).parent.parent / "dialogues").glob("*.smtp"))
LOGIN: dict[str, Any] = {"username": "user", "password": Secret("correct-horse")}


@dataclass
class Script:
    """One file."""

    lines: list[tuple[str, bytes]] = field(default_factory=list)
    messages: list[list[str]] = field(default_factory=list)
    expected: dict[str, tuple[str, str]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)

    def turns(self) -> Iterator[tuple[str, bytes]]:
        """Return what one side says until the other one does."""
        for side, lines in groupby(self.lines, key=lambda line: line[0]):
            yield side, b"".join(text for _, text in lines)


def read(path: Path) -> Script:
    script = Script()
    for line in path.read_text("utf-8").splitlines():
        mark, _, text = line.partition(" ")
        match mark:
            case "S:" | "C:":
                script.lines.append((mark[0], wire(text)))
            case ">":
                script.messages.append(text.split())
            case "=":
                address, step, what = text.split()
                script.expected[address] = (step, what)
            case "login":
                script.account = LOGIN
            case _:
                assert mark in ("#", ""), line
    return script


def wire(text: str) -> bytes:
    match text:
        case "<content>":
            return stuffed(CONTENT) + b".\r\n"
        case "<end>":
            return b""
        case _:
            return text.encode() + b"\r\n"


def short(evidence: Evidence) -> tuple[str, str]:
    if evidence.reply is not None:
        return evidence.step.value, str(evidence.reply.code)
    assert evidence.fault is not None
    return evidence.step.value, evidence.fault.kind.value


class Lead:
    """Leads a session through a script, as a transport would."""

    def __init__(self, script: Script) -> None:
        account = SmtpAccount(host="127.0.0.1", port=25, tls=TlsMode.OPPORTUNISTIC, **script.account)
        self.session: ClientSession[Sequence[str]] = ClientSession(
            account, ehlo_name="client.example.org", is_loopback=True
        )
        self.memory = HostMemory()
        self.waiting = list(script.messages)
        self.found: dict[str, tuple[str, str]] = {}

    def react(self) -> bytes:
        """Return what the client says now."""
        said = b""
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Failed):
                self.found |= dict.fromkeys(self.waiting[0], short(event.evidence))
            elif isinstance(event, Done):
                done = event.transaction
                for address, evidence in zip(done.key, done.results, strict=True):
                    if evidence is not None:
                        self.found[address] = short(evidence)
                if any(evidence and evidence.step.value == "body_end" for evidence in done.results):
                    self.memory = self.memory.after_success(done.mode)
            elif isinstance(event, SendBody):
                self.session.end_body()
                said += stuffed(CONTENT)
                if self.session.mode is Mode.RIDING:
                    self.begin()
        self.begin()
        return said + self.session.data_to_send()

    def begin(self) -> None:
        self.session.mode = self.memory.mode(is_announced=self.session.extensions.pipelining, now=0)
        if self.waiting and self.session.can_begin:
            names = self.waiting.pop(0)
            self.session.begin(
                Transaction(
                    names,
                    reverse_path=Address("from", "example.com"),
                    recipients=[Address(*name.split("@")) for name in names],
                    size=len(CONTENT),
                    smtputf8=False,
                )
            )


@each("path", FILES)
@each("is_dripping", [False, True])
def test_session(path: Path, is_dripping: bool) -> None:
    """The session says what the file has, at its places, and reports what the file expects."""
    script = read(path)
    lead = Lead(script)
    for side, text in script.turns():
        if side == "C":
            assert text == lead.react()
        elif is_dripping and text:
            for byte in text:
                lead.session.receive(bytes([byte]))
        else:
            lead.session.receive(text)
    assert b"" == lead.react()
    assert script.expected == lead.found


@each("path", FILES)
def test_transport(path: Path) -> None:
    """The transport leads the same dialogue over a socket and reports the same."""

    async def main() -> None:
        script = read(path)
        ended = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                for side, text in script.turns():
                    if side == "C":
                        assert text == await reader.readexactly(len(text))
                    else:
                        writer.write(text)
                        if not text:
                            return
                assert (await reader.read()) in (b"", b"QUIT\r\n")
            except (AssertionError, asyncio.IncompleteReadError) as error:
                ended.set_exception(error)
            finally:
                writer.close()
                if not ended.done():
                    ended.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with running(port, ehlo_name="client.example.org", **script.account) as transport:
                reports = await asyncio.gather(
                    *(transport.attempt(work(*names)) for names in script.messages)
                )
                await transport.stop(grace_s=0.1)
            await asyncio.wait_for(ended, 5)
        found = {
            names[line.recipient]: short(line.evidence)
            for names, report in zip(script.messages, reports, strict=True)
            for line in report.lines
        }
        assert script.expected == found

    asyncio.run(main())
