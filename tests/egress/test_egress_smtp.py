"""The SMTP transport against a server on real sockets."""

import asyncio
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from egress.smtp_peer import Answer, Dialogue, SmtpPeer, listening
from egress.works import CONTENT, file_blobs, running, told, work
from postroom.errors import ConfigError, StoreError
from postroom.mime.rendered import BlobSegment, RawSegment, RenderedMessage
from postroom.mime.writer import wire_chunks
from postroom.model.address import Address
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.secret import Secret
from postroom.model.transport import StepTimeouts
from postroom.smtp.data import stuffed
from postroom.smtp.hosts import Mode

CLOSING = b"421 4.3.2 closing\r\n"


def counting(pattern: str, reply: bytes, *, times: int) -> Answer:
    """Give ``reply`` the first ``times`` that a command begins with ``pattern``."""
    left = times

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        nonlocal left
        if not command.startswith(pattern) or not left:
            return None
        left -= 1
        return reply

    return answer


def test_one_message_arrives() -> None:
    """A message is accepted for each recipient, and the server has it byte for byte."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            report = await transport.attempt(work("a@example.net", "b@example.net"))
        assert [("body_end", 250), ("body_end", 250)] == told(report)
        assert [0, 1] == [line.recipient for line in report.lines]
        assert ("127.0.0.1", port) == (report.lines[0].evidence.host, report.lines[0].evidence.port)
        assert CONTENT == peer.mails[0].content
        assert ["a@example.net", "b@example.net"] == peer.mails[0].recipients
        assert "QUIT" == peer.dialogues[0].lines[-1]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("pipelining", "extensions", "flights"),
    [
        (True, ("PIPELINING",), 1 + 2 + 6),
        (True, (), 1 + 6 * 4),
        (False, ("PIPELINING",), 1 + 6 * 4),
    ],
)
def test_flights(pipelining: bool, extensions: tuple[str, ...], flights: int) -> None:
    """The first message goes grouped, later ones ride; without the announcement each command waits."""

    async def main() -> None:
        peer = SmtpPeer(extensions=extensions)
        async with listening(peer) as port, running(port, pipelining=pipelining) as transport:
            reports = await asyncio.gather(
                *(transport.attempt(work(f"r{number}@example.net")) for number in range(6))
            )
            assert flights == peer.dialogues[0].flights
        assert [[("body_end", 250)]] * 6 == [told(report) for report in reports]
        assert [[f"r{number}@example.net"] for number in range(6)] == [m.recipients for m in peer.mails]

    asyncio.run(main())


def test_connections_grow_with_the_work() -> None:
    """As many connections as allowed share the work; the first one is alone until it is open."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_connections=3) as transport:
            assert 6 == transport.capacity
            reports = await asyncio.gather(*(transport.attempt(work()) for _ in range(60)))
        assert [[("body_end", 250)]] * 60 == [told(report) for report in reports]
        assert 3 == len(peer.dialogues)
        assert 60 == len(peer.mails)

    asyncio.run(main())


def test_reuse_limit() -> None:
    """A connection is replaced after its messages; nothing is lost between them."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_messages=4) as transport:
            await asyncio.gather(*(transport.attempt(work()) for _ in range(10)))
        assert [4, 4, 2] == [dialogue.messages for dialogue in peer.dialogues]
        assert ["QUIT"] * 3 == [dialogue.lines[-1] for dialogue in peer.dialogues]

    asyncio.run(main())


def test_idle_limit() -> None:
    """An idle connection is closed with QUIT, and the next attempt opens another.

    Each attempt begins a new limit, though one timer serves them all.
    """

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_idle_s=0.05) as transport:
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 0.1:
                await transport.attempt(work())
            assert 1 == len(peer.dialogues)
            await peer.until(lambda: peer.dialogues[0].lines[-1] == "QUIT")
            await transport.attempt(work())
        assert 2 == len(peer.dialogues)

    asyncio.run(main())


@pytest.mark.parametrize("end", [CLOSING, b""])
def test_closed_while_idle(end: bytes) -> None:
    """A connection that the server closed while idle is replaced; the attempt does not notice."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            await transport.attempt(work())
            peer.say_and_close(end)
            report = await transport.attempt(work())
        assert [("body_end", 250)] == told(report)
        assert 2 == len(peer.dialogues)

    asyncio.run(main())


@pytest.mark.parametrize("reply", [CLOSING, b""])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_closed_on_a_used_connection(command: str, reply: bytes) -> None:
    """421 or an end before the content on a used connection: the message goes over a fresh one."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            await transport.attempt(work())
            peer.answer = counting(command, reply, times=1)
            report = await transport.attempt(work())
        assert [("body_end", 250)] == told(report)
        assert [1, 1] == [dialogue.messages for dialogue in peer.dialogues]

    asyncio.run(main())


def test_lost_while_riding() -> None:
    """Lost after the dot: that message is in doubt, the one riding behind it goes over a fresh connection."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            await transport.attempt(work())
            peer.answer = counting(".", b"", times=1)
            first, second = await asyncio.gather(
                transport.attempt(work("a@example.net")), transport.attempt(work("b@example.net"))
            )
        assert [("body_end", "closed")] == told(first)
        assert [("body_end", 250)] == told(second)
        assert [["to@example.net"], ["b@example.net"]] == [mail.recipients for mail in peer.mails]

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        counting("DATA", b"503 5.5.1 bad sequence\r\n", times=1),
        counting("RCPT", b"554 5.5.0 improper command pipelining\r\n", times=1),
        counting("MAIL", b"", times=1),
    ],
)
def test_server_that_does_not_bear_groups(answer: Answer) -> None:
    """The message is repeated in lockstep on a new connection, and so are the next ones for a day."""

    async def main() -> None:
        peer = SmtpPeer(answer=answer)
        async with listening(peer) as port, running(port) as transport:
            reports = [await transport.attempt(work()) for _ in range(2)]
            assert 1 + 4 + 4 == peer.dialogues[1].flights
        assert [[("body_end", 250)]] * 2 == [told(report) for report in reports]

    asyncio.run(main())


@pytest.mark.parametrize("mode", [Mode.RIDING, Mode.GROUPED])
def test_news_of_trouble_from_another_connection(mode: Mode) -> None:
    """When another connection learns that the host does not bear a mode, the next message does not use it."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            await transport.attempt(work())

            async def learning() -> bool:
                pool = transport._pool
                pool._memory = pool._memory.after_trouble(mode, now=pool._clock.monotonic())
                return True

            reports = await asyncio.gather(
                transport.attempt(work(commit=learning)), transport.attempt(work())
            )
            flights = {Mode.RIDING: 2, Mode.GROUPED: 4}[mode]
            assert 1 + 2 + 2 + flights == peer.dialogues[0].flights
        assert [[("body_end", 250)]] * 2 == [told(report) for report in reports]

    asyncio.run(main())


def test_server_that_always_hangs_up() -> None:
    """Repeats are bounded: in the end the loss is evidence, and it is not in doubt."""

    async def main() -> None:
        peer = SmtpPeer(answer=lambda command, _: b"" if command.startswith("MAIL") else None)
        async with listening(peer) as port, running(port) as transport:
            report = await transport.attempt(work())
        assert [("mail", "closed")] == told(report)
        assert len(peer.dialogues) <= 3

    asyncio.run(main())


def test_transport_failure_gives_everything_back() -> None:
    """One attempt gets the evidence, the others come back as not begun, and one login was tried."""

    async def main() -> None:
        peer = SmtpPeer(
            extensions=("AUTH PLAIN",),
            answer=lambda command, _: b"535 5.7.8 no\r\n" if command.startswith("AUTH") else None,
        )
        async with (
            listening(peer) as port,
            running(port, max_connections=5, username="user", password=Secret("correct-horse")) as transport,
        ):
            reports = await asyncio.gather(*(transport.attempt(work()) for _ in range(10)))
        assert [[("auth", 535)]] + [[]] * 9 == [told(report) for report in reports]
        assert 1 == len(peer.dialogues)

    asyncio.run(main())


def test_nobody_listens() -> None:
    """A refused connection is evidence at the step connect."""

    async def main() -> None:
        async with listening(SmtpPeer()) as port:
            pass
        async with running(port) as transport:
            assert [("connect", "refused")] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_further_connection_refused() -> None:
    """A server that takes two connections and refuses a third works on with two."""

    async def main() -> None:
        peer = SmtpPeer(answer=lambda command, _: b"421 too many\r\n" if is_third(command) else None)

        def is_third(command: str) -> bool:
            return command.startswith("EHLO") and len(peer.dialogues) > 2

        async with listening(peer) as port, running(port, max_connections=4) as transport:
            reports = await asyncio.gather(*(transport.attempt(work()) for _ in range(40)))
        assert [[("body_end", 250)]] * 40 == [told(report) for report in reports]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("command", "limit"),
    [("EHLO", "ehlo"), ("MAIL", "mail"), ("RCPT", "rcpt"), ("DATA", "data"), (".", "body_end")],
)
def test_time_limits(command: str, limit: str) -> None:
    """A server that falls silent is left after the step's own limit, and the step is named."""

    async def main() -> None:
        peer = SmtpPeer(extensions=())
        peer.silent_at = command
        timeouts = StepTimeouts(**{limit: 0.05})
        async with listening(peer) as port, running(port, timeouts=timeouts) as transport:
            assert [(limit, "timeout")] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_tarpit_does_not_extend_the_limit() -> None:
    """A reply that drips in byte by byte has the step's limit in all, not for each byte."""

    async def main() -> None:
        class Drip(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                self.transport = transport
                transport.write(b"220 hi\r\n")

            def data_received(self, _data: bytes) -> None:
                self.drip()

            def drip(self) -> None:
                if not self.transport.is_closing():
                    self.transport.write(b"2")
                    asyncio.get_running_loop().call_later(0.01, self.drip)

        server = await asyncio.get_running_loop().create_server(Drip, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with running(port, timeouts=StepTimeouts(ehlo=0.1)) as transport, asyncio.timeout(5):
                assert [("ehlo", "timeout")] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_no_leave_no_dot() -> None:
    """Without leave the dot is not sent, nothing is reported and the connection goes."""

    async def main() -> None:
        async def refused() -> bool:
            return False

        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            assert [] == told(await transport.attempt(work(commit=refused)))
            assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert 1 == len(peer.mails)
        assert "." not in peer.dialogues[0].lines

    asyncio.run(main())


def test_store_failure_reaches_the_caller() -> None:
    """What the leave raises is the caller's to see; the dot is not sent."""

    async def main() -> None:
        async def failing() -> bool:
            raise StoreError("the store is gone")

        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            with pytest.raises(StoreError):
                await transport.attempt(work(commit=failing))
            assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert 1 == len(peer.mails)

    asyncio.run(main())


def test_word_before_the_dot() -> None:
    """What the server says while leave is asked for is heard before the dot."""

    async def main() -> None:
        peer = SmtpPeer()

        async def slow() -> bool:
            peer.say_and_close(b"421 4.3.2 shutting down\r\n")
            for _ in range(20):
                await asyncio.sleep(0)  # the bytes cross the loopback
            return True

        async with listening(peer) as port, running(port) as transport:
            assert [("body", 421)] == told(await transport.attempt(work(commit=slow)))
        assert not peer.mails

    asyncio.run(main())


def test_local_faults_blame_nobody() -> None:
    """A bare LF in the content or a control character in an address is a local fault."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            assert [("body", "local")] == told(await transport.attempt(work(content=b"a\nb\r\n")))
            evil = Address("a\r\nRSET", "example.net")
            report = await transport.attempt(replace(work(), recipients=((0, evil),)))
            assert [("mail", "local")] == told(report)
            assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert 1 == len(peer.mails)

    asyncio.run(main())


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 3_000_000])
def test_large_text(size: int) -> None:
    """Content above one chunk goes in several and arrives as it was."""

    async def main() -> None:
        line = b".dots at the border\r\n"
        content = (line * (size // len(line)) + b"x" * size)[: size - 2] + b"\r\n"
        content = content.replace(b"\rx", b"xx")
        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work(content=content)))
        assert content == peer.mails[0].content

    asyncio.run(main())


def with_file(data: bytes, tmp_path: Path) -> RenderedMessage:
    staged = file_blobs(tmp_path).stage(DEFAULT_TENANT)
    staged.write(data)
    blob = BlobSegment(staged.commit())
    return RenderedMessage(
        segments=(CONTENT, blob, b"--end\r\n"),
        size=len(CONTENT) + blob.wire_size + 7,
        digest=sha256(data).hexdigest(),
        needs_smtputf8=False,
    )


def test_files_are_sent_from_the_store(tmp_path: Path) -> None:
    """A stored file arrives encoded; one that was changed on disk is not begun."""

    async def main() -> None:
        blobs = file_blobs(tmp_path)
        message = with_file(b"\x00\x01file" * 300_000, tmp_path)
        whole = b"".join(wire_chunks(message, lambda ref: blobs.open(DEFAULT_TENANT, ref)))
        peer = SmtpPeer(extensions=("SIZE 100000000", "PIPELINING"))
        async with listening(peer) as port, running(port, blobs=blobs) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work(message=message)))
            assert whole == peer.mails[0].content
            (path,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
            path.chmod(0o600)
            path.write_bytes(b"other")
            report = await transport.attempt(work(message=message))
        assert [("mail", "local")] == told(report)
        fault = report.lines[0].evidence.fault
        assert fault is not None
        assert "content-damaged" == fault.cause
        assert 1 == len(peer.mails)

    asyncio.run(main())


def test_slow_reader_does_not_block() -> None:
    """A server that reads little by little gets everything, with many recipients and a large content."""

    async def main() -> None:
        peer = SmtpPeer()
        peer.reads_slowly = True
        people = [f"recipient-number-{number}@example.net" for number in range(300)]
        async with listening(peer) as port, running(port) as transport:
            reports = await asyncio.gather(
                *(transport.attempt(work(*people, content=stuffed(b"x" * 98 + b"\r\n") * 4000)) for _ in "ab")
            )
        assert [("body_end", 250)] * 600 == [line for report in reports for line in told(report)]

    asyncio.run(main())


def test_refusal_in_the_middle_of_the_content() -> None:
    """A server that refuses and closes while the content is being sent is quoted; nothing is in doubt."""

    async def main() -> None:
        peer = SmtpPeer()
        peer.breaks_content_with = b"552 5.3.4 too much\r\n"
        async with listening(peer) as port, running(port) as transport:
            ((step, code),) = told(await transport.attempt(work(content=(b"x" * 98 + b"\r\n") * 60_000)))
        assert ("body", True) == (step, code in (552, "closed"))

    asyncio.run(main())


def test_stop_before_and_after_the_dot() -> None:
    """Stopping waits for the reply to a dot and gives back what is before it."""

    async def main() -> None:
        peer = SmtpPeer(extensions=())
        peer.silent_at = "."
        async with listening(peer) as port, running(port) as transport:
            first = asyncio.create_task(transport.attempt(work()))
            second = asyncio.create_task(transport.attempt(work()))
            await peer.until(lambda: bool(peer.dialogues) and "." in peer.dialogues[0].lines)
            stopping = asyncio.create_task(transport.stop(grace_s=5))
            assert [] == told(await second)
            assert not first.done()
            peer.say(b"250 late\r\n")
            assert [("body_end", 250)] == told(await first)
            await stopping
            assert [] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_stop_gives_up_after_its_grace() -> None:
    """After the grace a message past its dot is in doubt, one before it is not begun."""

    async def main() -> None:
        for silent, expected in ((".", [("body_end", "closed")]), ("RCPT", [])):
            peer = SmtpPeer(extensions=())
            peer.silent_at = silent
            async with listening(peer) as port, running(port) as transport:
                attempt = asyncio.create_task(transport.attempt(work()))
                await peer.until(partial(has_heard, peer, silent))
                await transport.stop(grace_s=0.02)
                assert expected == told(await attempt)

    asyncio.run(main())


@pytest.mark.parametrize("login", [("admin\0user", "x"), ("user\r\nRSET", "x"), ("user", "x\0")])
def test_credentials_cannot_break_out(login: tuple[str, str]) -> None:
    """A control character in a login is refused before anything is opened."""

    async def main() -> None:
        async with running(25, username=login[0], password=Secret(login[1])):
            pass

    with pytest.raises(ConfigError, match="control character"):
        asyncio.run(main())


def has_heard(peer: SmtpPeer, command: str) -> bool:
    return any(line.startswith(command) for dialogue in peer.dialogues for line in dialogue.lines)


def test_a_raw_body_in_a_file_goes_out_as_it_is(tmp_path: Path) -> None:
    """A large body of a raw mail is streamed with its dots stuffed, and MAIL says that it has eight bits."""
    body = b".begins with a dot\r\n" + "ü\r\n.\r\n".encode() * 40_000
    staged = file_blobs(tmp_path).stage(DEFAULT_TENANT)
    staged.write(body)
    raw = RawSegment(staged.commit())
    head = b"From: a@example.com\r\n\r\n"
    message = RenderedMessage(
        segments=(head, raw),
        size=len(head) + raw.wire_size,
        digest="0",
        needs_smtputf8=False,
        needs_8bit=True,
    )

    async def go() -> None:
        peer = SmtpPeer(extensions=("8BITMIME", "PIPELINING"))
        async with listening(peer) as port, running(port, blobs=file_blobs(tmp_path)) as transport:
            report = await transport.attempt(work(message=message))
            assert [("body_end", 250)] == told(report)
        assert head + body == peer.mails[0].content
        assert any("BODY=8BITMIME" in line for line in peer.dialogues[0].lines)

    asyncio.run(go())
