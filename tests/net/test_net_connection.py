"""Connections over real sockets, on both event loops."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
import uvloop

from postroom.clock import SystemClock
from postroom.model.outcome import FaultKind
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode
from postroom.net import connection as connection_module
from postroom.net.addresses import SocketAddress, interleaved, race
from postroom.net.connection import MAX_UNREAD, Connection, dial
from postroom.net.faults import NetFault, socket_fault

TIMEOUTS = StepTimeouts()
CLOCK = SystemClock()
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def runner(main: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(main)

    return runner


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@asynccontextmanager
async def listening(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    talks: list[asyncio.Task[None] | None] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client or the test is done
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(closing, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for talk in talks:
            if talk is not None:
                talk.cancel()
        await asyncio.sleep(0)


def account(port: int, tls: TlsMode = TlsMode.NONE, **changes: object) -> SmtpAccount:
    plain = SmtpAccount(host="127.0.0.1", port=port, tls=tls)
    return replace(plain, **changes)  # type: ignore[arg-type]  # field by field in the test


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mx.example.com\r\n")
    while line := await reader.readline():
        writer.write(b"250 " + line)


async def fault_of(work: Awaitable[object]) -> NetFault:
    with pytest.raises(NetFault) as caught:
        await work
    return caught.value


def test_a_plain_dialogue_goes_both_ways(run: Run) -> None:
    """What the server says is received and what is written arrives; the end is an empty read."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        writer.write(b"250 " + await reader.readline())

    async def main() -> None:
        async with listening(once) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"220 hello\r\n"
            wire.write(b"EHLO me\r\n")
            await wire.drain(5)
            assert await wire.receive(5) == b"250 EHLO me\r\n"
            assert await wire.receive(5) == b""
            assert wire.is_closed
            assert (wire.tls_version, wire.peer_address) == (None, "127.0.0.1")
            wire.close()

    run(main())


def test_implicit_tls_checks_the_certificate_and_resumes_its_session(
    run: Run, authority: trustme.CA, ca_file: str
) -> None:
    """The first dial shakes hands in full, the second takes up its session."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
            resumed = []
            for _ in range(2):
                wire = await dial(ours, TIMEOUTS, clock=CLOCK)
                assert await wire.receive(5) == b"220 mx.example.com\r\n"
                big = b"x" * 200_000 + b"\r\n"
                wire.write(b"A\r\n")
                assert await wire.receive(5) == b"250 A\r\n"
                assert wire.tls_version == "TLSv1.3"
                resumed.append(wire.is_resumed)
                wire.write(big[:100])
                wire.close()
            assert resumed == [False, True]

    run(main())


def test_sessions_are_not_shared_between_accounts(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """Another login at the same server begins with a full handshake."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            for user in ("a", "b"):
                ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file, username=user)
                wire = await dial(ours, TIMEOUTS, clock=CLOCK)
                await wire.receive(5)
                assert not wire.is_resumed
                wire.abort()

    run(main())


def test_a_large_body_crosses_tls_unchanged(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """Bodies larger than a record and than the socket's buffer arrive byte for byte."""
    body = bytes(range(256)) * 8_000

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.readexactly(len(body))
        writer.write(b"same" if got == body else b"other")

    async def main() -> None:
        async with listening(collect, tls=server_context(authority)) as port:
            wire = await dial(account(port, TlsMode.IMPLICIT, ca_file=ca_file), TIMEOUTS, clock=CLOCK)
            for start in range(0, len(body), 300_000):
                wire.write(body[start : start + 300_000])
                await wire.drain(5)
            assert await wire.receive(5) == b"same"
            wire.close()

    run(main())


def test_an_untrusted_certificate_is_named(run: Run, authority: trustme.CA) -> None:
    """Without the company's CA the fault says so in OpenSSL's words; verify=False goes on."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            strict = account(port, TlsMode.IMPLICIT)
            failure = await fault_of(dial(strict, TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.TLS)
            assert "unable to get local issuer" in failure.fault.text
            assert "_ssl.c" not in failure.fault.text
            wire = await dial(replace(strict, verify=False), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"220 mx.example.com\r\n"
            wire.close()

    run(main())


def test_a_certificate_for_another_name_is_named(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """A trusted certificate for another host is refused with the mismatch in the text."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority, "mail.example.com")) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert "IP address mismatch" in failure.fault.text

    run(main())


def test_a_plain_server_behind_implicit_tls_is_recognised(run: Run) -> None:
    """A port that greets in plain text is named tls-on-plain, with its words."""

    async def main() -> None:
        async with listening(greet) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.cause) == (Step.TLS, "tls-on-plain")
            assert "220 mx.example.com" in failure.fault.text
            assert "wrong version number" in failure.fault.text

    run(main())


def test_a_server_that_hangs_up_in_the_handshake_is_closed(run: Run) -> None:
    """The end of the stream inside a handshake is CLOSED at step TLS."""

    async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> None:
        async with listening(mute) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.CLOSED)

    run(main())


def test_a_silent_server_times_out_in_the_handshake(run: Run) -> None:
    """The TLS step has a deadline of its own."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with listening(silent) as port:
            short = replace(TIMEOUTS, tls=0.02)
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), short, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.TIMEOUT)

    run(main())


def test_starttls_encrypts_an_open_connection(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """After the reply to STARTTLS the same connection speaks TLS."""
    context = server_context(authority)

    async def offer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 go ahead\r\n")
        await writer.start_tls(context)
        writer.write(b"250 " + await reader.readline())

    async def main() -> None:
        async with listening(offer) as port:
            wire = await dial(account(port, TlsMode.STARTTLS, ca_file=ca_file), TIMEOUTS, clock=CLOCK)
            wire.write(b"STARTTLS\r\n")
            assert await wire.receive(5) == b"220 go ahead\r\n"
            await wire.start_tls(5)
            wire.write(b"EHLO me\r\n")
            assert await wire.receive(5) == b"250 EHLO me\r\n"
            wire.close()

    run(main())


def test_bytes_before_the_handshake_are_refused(run: Run) -> None:
    """STARTTLS with unread bytes is an injection and closes the connection."""

    async def main() -> None:
        async with listening(greet) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            await wire.receive(5)
            wire.write(b"A\r\n")
            while not wire.has_unread:  # noqa: ASYNC110 - a state of the code under test
                await asyncio.sleep(0)
            failure = await fault_of(wire.start_tls(5))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.PROTOCOL)
            assert failure.fault.cause == "starttls-injection"

    run(main())


def test_a_plain_answer_to_the_starttls_handshake_is_a_broken_protocol(run: Run) -> None:
    """A server that goes on in plain text after its 220 is not mistaken for a wrong port."""

    async def main() -> None:
        async with listening(greet) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            await wire.receive(5)
            failure = await fault_of(wire.start_tls(5))
            assert (failure.fault.kind, failure.fault.cause) == (FaultKind.PROTOCOL, None)

    run(main())


def test_waits_end_at_their_deadline_and_the_timer_serves_the_next(run: Run) -> None:
    """A wait times out; a shorter wait after a long one does too; bytes that come later are read."""

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"first")
        await reader.readline()
        writer.write(b"second")
        await reader.read()

    async def main() -> None:
        async with listening(later) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(60) == b"first"
            for _ in range(2):
                failure = await fault_of(wire.receive(0.02))
                assert failure.fault.kind is FaultKind.TIMEOUT
                assert "timed out" in failure.fault.text
            wire.write(b"go\r\n")
            assert await wire.receive(60) == b"second"
            wire.close()

    run(main())


def test_a_reset_is_told_after_the_bytes_that_came_before_it(run: Run) -> None:
    """A connection reset while nobody reads is CLOSED at the next wait."""

    async def main() -> None:
        ready = asyncio.Event()

        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
            ready.set()

        async with listening(reset) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            wire.write(b"x")
            failure = await fault_of(wire.receive(5))
            assert (failure.fault.kind, ready.is_set()) == (FaultKind.CLOSED, True)
            assert "connection reset by peer" in failure.fault.text
            assert (await fault_of(wire.drain(5))).fault.kind is FaultKind.CLOSED
            wire.write(b"into the void")
            wire.close()

    run(main())


def test_a_reader_who_does_not_take_stops_a_flood(run: Run) -> None:
    """The socket is left alone above the limit and read on when the reader comes."""
    total = MAX_UNREAD * 8

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * total)
        await reader.readline()

    async def main() -> None:
        async with listening(flood) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            while wire._is_reading:  # noqa: ASYNC110 - a state of the code under test
                await asyncio.sleep(0)
            got = 0
            while got < total:
                chunk = await wire.receive(5)
                got += len(chunk)
                assert len(chunk) <= MAX_UNREAD * 2
            assert total == got
            wire.close()

    run(main())


def test_draining_ends_at_its_deadline(run: Run) -> None:
    """A peer that does not read makes drain time out, not hang."""

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a ReadTransport too
        await asyncio.Event().wait()

    async def main() -> None:
        async with listening(deaf) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            wire.write(b"x" * 30_000_000)
            failure = await fault_of(wire.drain(0.05))
            assert failure.fault.kind is FaultKind.TIMEOUT
            wire.abort()

    run(main())


# ---------------------------------------------------------------- names and addresses


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_closed_port_is_refused_by_name(run: Run) -> None:
    """Nobody listening is REFUSED at CONNECT, with the address in the text."""

    async def main() -> None:
        port = free_port()
        failure = await fault_of(dial(account(port), TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.kind) == (Step.CONNECT, FaultKind.REFUSED)
        assert failure.fault.text == f"connection refused (127.0.0.1:{port})"

    run(main())


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 64 + ".example.com", "a..example.com"])
def test_a_name_that_is_none_fails_at_resolve(run: Run, host: str) -> None:
    """An unknown or impossible name is NAME at RESOLVE."""

    async def main() -> None:
        failure = await fault_of(dial(account(25, host=host), TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.kind, failure.peer) == (Step.RESOLVE, FaultKind.NAME, host)

    run(main())


def test_a_ca_file_that_is_not_there_is_our_fault(run: Run) -> None:
    """A missing CA file is LOCAL and named."""

    async def main() -> None:
        async with listening(greet) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file="/nowhere/ca.pem")
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert failure.fault.kind is FaultKind.LOCAL
            assert "/nowhere/ca.pem" in failure.fault.text

    run(main())


def test_the_families_alternate() -> None:
    """The resolver's first family begins, the other one is second."""
    six = [SocketAddress(socket.AF_INET6, f"::{n}", 25) for n in (1, 2, 3)]
    four = [SocketAddress(socket.AF_INET, f"192.0.2.{n}", 25) for n in (1, 2)]
    assert interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleaved(four) == four
    assert str(six[0]) == "[::1]:25"


def addresses_of(port: int, *ips: str) -> Sequence[SocketAddress]:
    return [SocketAddress(socket.AF_INET, ip, port) for ip in ips]


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Yield a port of 127.0.0.1 where a connect is neither taken nor refused: its queue is full."""
    with ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


class AtOnce(SystemClock):
    """A clock whose stagger is over at once."""

    async def sleep(self, seconds: float) -> None:
        assert seconds == 0.25
        await asyncio.sleep(0)


def dial_over(
    monkeypatch: pytest.MonkeyPatch, addresses: Sequence[SocketAddress], timeouts: StepTimeouts
) -> Awaitable[Connection]:
    async def resolved(_host: str, _port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        assert timeout_s > 0
        return addresses

    monkeypatch.setattr(connection_module, "resolve", resolved)
    return dial(account(addresses[0].port), timeouts, clock=AtOnce())


def test_a_dead_address_does_not_hold_up_the_living(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first address swallows packets the second wins, and the first try is taken back."""

    async def main() -> None:
        async with black_hole() as port, listening(greet, host="127.0.0.2", port=port):
            wire = await dial_over(monkeypatch, addresses_of(port, "127.0.0.1", "127.0.0.2"), TIMEOUTS)
            assert wire.peer_address == "127.0.0.2"
            assert await wire.receive(5) == b"220 mx.example.com\r\n"
            wire.close()
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "dial"] == []

    run(main())


def test_dead_addresses_time_out_each_and_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of one address and the limit of the whole dial both end the wait as TIMEOUT."""

    async def main() -> None:
        async with black_hole() as port:
            for limits in ({"connect_per_address": 0.02}, {"connect": 0.02}):
                short = replace(TIMEOUTS, **limits)
                failure = await fault_of(dial_over(monkeypatch, addresses_of(port, "127.0.0.1"), short))
                assert (failure.step, failure.fault.kind) == (Step.CONNECT, FaultKind.TIMEOUT)
                assert f"timed out while connecting to 127.0.0.1:{port}" in failure.fault.text

    run(main())


def test_refused_addresses_are_tried_to_the_last_and_all_told(run: Run) -> None:
    """A refusal starts the next address at once; when all refuse, the fault names each."""

    class Never(SystemClock):
        async def sleep(self, seconds: float) -> None:
            assert seconds > 0
            await asyncio.Event().wait()

    async def main() -> None:
        port = free_port()
        tried = []

        async def refuse(address: SocketAddress) -> Connection:
            tried.append(address.ip)
            reader, _ = await asyncio.open_connection(address.ip, address.port)
            raise AssertionError(reader)

        async def connect(address: SocketAddress) -> Connection:
            try:
                return await refuse(address)
            except OSError as error:
                fault = socket_fault(error, str(address))
                raise NetFault(Step.CONNECT, fault, str(address)) from None

        ips = ("127.0.0.1", "127.0.0.2")
        failure = await fault_of(race(addresses_of(port, *ips), connect, clock=Never()))
        assert tried == list(ips)
        assert (
            failure.fault.text
            == f"connection refused (127.0.0.1:{port}); connection refused (127.0.0.2:{port})"
        )

    run(main())
