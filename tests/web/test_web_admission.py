"""Who is let in: bounds with numbers, stress and its end, and what is refused before it costs anything."""

import asyncio
import contextlib
import errno
import socket
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from peers.fake_service import FakeService
from postroom.clock import SystemClock
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.telemetry.catalogue import CONNECTIONS_CUT, CONNECTIONS_REFUSED
from postroom.web import acceptor
from postroom.web.acceptor import Acceptor
from postroom.web.household import Household, Seat, ServerLimits
from postroom.web.listening import TlsPair
from postroom.web.problem import problem_of
from postroom.web.server import Binding, serve
from web.http_wire import Wire, on_the_wire, running, wire
from web.test_web_server import echo, refuse

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_every_bound_has_its_number() -> None:
    """The defaults are those of the documents."""
    limits = ServerLimits()

    assert (1024, 20) == (limits.max_connections, limits.max_per_address)
    assert (10, 500, 10) == (limits.head_s, limits.min_rate, limits.grace_s)
    assert (65536, 100, 20) == (limits.max_head, limits.max_headers, limits.max_errors)
    hard = limits.under_stress()
    assert (2, 2, 0, 1) == (hard.head_s, hard.grace_s, hard.keep_alive_s, hard.max_errors)
    assert (limits.max_connections, limits.min_rate) == (hard.max_connections, hard.min_rate)


def test_stress_begins_at_four_fifths_and_ends_below_three() -> None:
    """Between the two nothing changes, so that a crowd at the border does not make it flicker."""
    household = Household(ServerLimits(max_connections=10), ())
    seats = [household.seat("127.0.0.1", "http") for _ in range(7)]
    assert not household.is_stressed
    seats.append(household.seat("127.0.0.1", "http"))
    assert household.is_stressed
    for _ in range(2):
        household.leave(seats.pop() or pytest.fail("no seat"))
        assert household.is_stressed
    household.leave(seats.pop() or pytest.fail("no seat"))
    assert not household.is_stressed
    seats += [household.seat("127.0.0.1", "http") for _ in range(2)]
    assert not household.is_stressed


def test_an_address_has_a_share_and_others_keep_theirs() -> None:
    """One address takes 20 seats, loopback and trusted proxies any number; each is given back once."""
    household = Household(ServerLimits(), (ip_network("10.0.0.0/8"),))
    seats = [household.seat("192.0.2.1", "http") for _ in range(20)]
    before = CONNECTIONS_REFUSED.value(("address",))

    assert all(seats)
    assert household.seat("192.0.2.1", "http") is None
    assert 1 == CONNECTIONS_REFUSED.value(("address",)) - before
    for peer in ("192.0.2.2", "127.0.0.1", "10.1.2.3"):
        assert all(household.seat(peer, "http") for _ in range(20))
    assert household.seat("10.1.2.3", "http")
    first = seats[0]
    assert first is not None
    household.leave(first)
    household.leave(first)
    assert household.seat("192.0.2.1", "http")
    assert household.seat("192.0.2.1", "http") is None


def test_too_many_errors_end_a_connection() -> None:
    """A caller that is refused again and again must come in anew; the last answer says that it ends."""

    async def talk(client: Wire) -> None:
        for _ in range(2):
            client.send(GET)
            assert (401, b"no") == await client.answer()
        client.send(GET)
        assert b"connection: close" in await client.reader.read()

    before = CONNECTIONS_CUT.value(("errors",))
    on_the_wire(refuse, talk, ServerLimits(max_errors=3))
    assert 1 == CONNECTIONS_CUT.value(("errors",)) - before


def test_under_stress_one_error_is_enough_and_nothing_is_kept() -> None:
    """With most seats taken an answer ends its connection, and the seat is free again."""

    async def run() -> None:
        async with (
            running(echo, ServerLimits(max_connections=2)) as server,
            wire(server),
            wire(server) as client,
        ):
            client.send(GET)
            assert b"connection: close" in await client.reader.read()

    asyncio.run(run())


@pytest.mark.slow
def test_two_hundred_slow_callers_keep_nobody_out() -> None:
    """With 200 slow heads on 240 seats a new caller is served before they are cut, and cut they are."""

    async def run() -> None:
        limits = ServerLimits(max_connections=240, head_s=5)
        async with running(echo, limits) as server, contextlib.AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(wire(server)) for _ in range(200)]
            for slow in crowd:
                slow.send(b"POST / HT")
            async with asyncio.timeout(4), wire(server) as client:
                client.send(GET)
                assert 200 == (await client.answer())[0]
            async with asyncio.timeout(30):
                assert {408} == {(await slow.answer())[0] for slow in crowd}

    asyncio.run(run())


@pytest.fixture
def pair(tmp_path: Path) -> TlsPair:
    certificate = trustme.CA().issue_cert("localhost")
    made = TlsPair(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    certificate.private_key_pem.write_to_path(made.key)
    certificate.cert_chain_pems[0].write_to_path(made.cert)
    return made


def test_a_handshake_takes_a_seat_and_gives_it_back(pair: TlsPair) -> None:
    """Who connects and never shakes hands is counted from the start, and not for ever."""

    async def run() -> None:
        binding = Binding(host="127.0.0.1", port=0, app=echo, tls=pair)
        limits = ServerLimits(max_connections=1, head_s=1.5)
        async with serve([binding], clock=SystemClock(), limits=limits) as server, wire(server) as silent:
            port = server.bound[0].port
            with pytest.raises((OSError, ssl.SSLError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=_trusting())
            assert await silent.is_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_trusting())
            client = Wire(reader, writer)
            client.send(GET)
            assert 200 == (await client.answer())[0]
            writer.close()

    before = CONNECTIONS_REFUSED.value(("handshake",))
    asyncio.run(run())
    assert 1 == CONNECTIONS_REFUSED.value(("handshake",)) - before


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Listening(socket.socket):
    """A listening socket that says what it is told to, before it accepts."""

    failures: list[int]

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.failures:
            raise OSError(self.failures.pop(), "planned")
        return super().accept()


def test_without_descriptors_callers_wait_and_are_served_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of descriptors pauses the listening; a caller that is gone already does not."""
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.05)
    seen: list[str] = []

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"hello")
            transport.close()

    def make(seat: Seat) -> asyncio.Protocol:
        seen.append(seat.door)
        return Greeter()

    async def run() -> None:
        listener = Listening()
        listener.failures = [errno.EMFILE, errno.ECONNABORTED]
        listener.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        accepting = Acceptor(
            listener, Household(ServerLimits(), ()), make, door="http", refusal=lambda: b"", tls=None
        )
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*accepting.address)
            assert b"hello" == await reader.read()
            writer.close()
            await writer.wait_closed()
        accepting.close()
        accepting.close()

    before = CONNECTIONS_REFUSED.value(("descriptors",))
    asyncio.run(run())
    assert ["http"] == seen
    assert 1 == CONNECTIONS_REFUSED.value(("descriptors",)) - before


def test_a_server_without_descriptors_says_come_back() -> None:
    """A request that finds no descriptor is told 503 with a time, not that it is at fault, nor we."""
    document = problem_of(OSError(errno.EMFILE, "Too many open files"))

    assert (503, "overloaded", "2") == (document.status, document.code, document.headers["retry-after"])
    assert 500 == problem_of(OSError(errno.EIO, "broken")).status


def test_a_server_that_is_behind_reads_no_body() -> None:
    """While the loop is late new mail is refused with a time to come back, and looking still works."""
    late = [True]
    service = FakeService()
    app = build_app(service, HttpSettings(), is_overloaded=lambda: late[0])
    read: list[bytes] = []

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted() -> dict[str, object]:
            event = await receive()
            read.append(event.get("body", b""))
            return dict(event)

        await app(scope, noted, send)

    async def talk(client: Wire) -> None:
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        key = b"Authorization: Bearer the-test-key-0123456789\r\n"
        client.send(head + key + b"Content-Length: 1000\r\n\r\n")
        answer = await client.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 2" in answer

    service.add_key("the-test-key-0123456789", "send")
    on_the_wire(watching, talk)
    assert [] == read

    async def look(client: Wire) -> None:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert 200 == (await client.answer())[0]

    on_the_wire(watching, look)


def test_a_hurry_ends_the_wait_for_running_requests() -> None:
    """A request that runs is waited for, unless there is a hurry."""
    hurry = asyncio.Event()
    started = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        started.set()
        await asyncio.Event().wait()
        await Response("never")(scope, receive, send)

    async def run() -> None:
        binding = Binding(host="127.0.0.1", port=0, app=stuck)
        life = serve([binding], clock=SystemClock(), hurry=hurry)
        server = await life.__aenter__()
        async with wire(server) as client, asyncio.timeout(5):
            client.send(GET)
            await started.wait()
            ending = asyncio.create_task(life.__aexit__(None, None, None))
            await asyncio.sleep(0)
            assert not ending.done()
            hurry.set()
            await ending
            assert await client.is_closed()

    asyncio.run(run())
