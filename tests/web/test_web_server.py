"""The server over real sockets: what it reads, what it refuses to read, and how long it waits."""

import asyncio
import contextlib
import ssl
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from each_row import each
from peers.fake_service import NOW
from postroom.clock import SystemClock
from postroom.errors import ConfigError
from postroom.web.household import ServerLimits
from postroom.web.listening import TlsPair
from postroom.web.server import Binding, http_date, serve
from web.http_wire import Wire, on_the_wire, running, wire

SMUGGLED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body and answer with its length."""
    body = await Request(scope, receive).body()
    await Response(str(len(body)), media_type="text/plain")(scope, receive, send)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading a byte of the body."""
    await Response("no", 401)(scope, receive, send)


def test_requests_are_answered_on_one_connection() -> None:
    """Keep-alive works, pipelined requests are answered in order, and each answer is dated."""

    async def talk(client: Wire) -> None:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" * 2)
        assert (200, b"3") == await client.answer()
        assert (200, b"3") == await client.answer()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"200" in head
        assert b"\r\ndate: " in head
        assert b"server:" not in head.lower()

    on_the_wire(echo, talk)


def test_head_and_continue_are_answered_at_once() -> None:
    """HEAD has a head alone, also when pipelined; a caller that waits for 100 gets it before its body."""

    async def talk(client: Wire) -> None:
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        for _ in range(2):
            assert b"200 OK" in await client.reader.readuntil(b"\r\n\r\n")
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == await client.reader.readuntil(b"\r\n\r\n")
        client.send(b"abc")
        assert (200, b"3") == await client.answer()

    on_the_wire(echo, talk)


def test_unread_upload_is_refused_and_not_taken() -> None:
    """An answer given before the body was read ends the connection after a bounded number of bytes."""

    async def talk(client: Wire) -> None:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert (401, b"no") == await client.answer()
        try:
            while client.sent < 50_000_000:
                client.send(b"x" * 65536)
                await client.writer.drain()
        except ConnectionError:
            pass
        assert client.sent < 20_000_000

    on_the_wire(refuse, talk)


def test_small_unread_body_does_not_reset_the_answer() -> None:
    """A caller that sent its whole body at once still reads the refusal."""

    async def talk(client: Wire) -> None:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
        await client.writer.drain()
        assert (401, b"no") == await client.answer()
        assert await client.is_closed()

    on_the_wire(refuse, talk)


@each(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (SMUGGLED, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % at for at in range(200)) + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rB: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    ],
)
def test_wrong_heads_are_refused_and_the_connection_closed(request_bytes: bytes, status: int) -> None:
    """What could be read in two ways, or is too large, is refused; nothing after it is read."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await echo(scope, receive, send)

    async def talk(client: Wire) -> None:
        client.send(request_bytes)
        assert status == (await client.answer())[0]
        assert await client.is_closed()

    on_the_wire(app, talk)
    assert "/admin" not in seen


UPGRADE = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 5\r\n\r\nhello"
)


@pytest.mark.parametrize("size", [1, 7, 60, len(UPGRADE) - 5, len(UPGRADE), 10_000])
def test_an_offer_to_upgrade_is_ignored(size: int) -> None:
    """However the bytes are cut, the body is read, the offer is not seen, and the connection goes on."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], b"upgrade" in dict(scope["headers"])))
        await echo(scope, receive, send)

    async def talk(client: Wire) -> None:
        websocket = b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        plain = b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
        sent = UPGRADE + websocket + UPGRADE.replace(b"/a", b"/d") + plain
        for at in range(0, len(sent), size):
            client.send(sent[at : at + size])
            await asyncio.sleep(0)
        assert [b"5", b"0", b"5", b"2"] == [(await client.answer())[1] for _ in range(4)]

    on_the_wire(app, talk)
    assert [("/a", False), ("/b", False), ("/d", False), ("/c", False)] == seen


def test_curl_that_asks_for_http2_is_served(tmp_path: Path) -> None:
    """With --http2 curl offers h2c with its first request; the whole body arrives over HTTP/1.1."""
    (tmp_path / "body").write_bytes(b"x" * 200_000)

    async def run() -> None:
        async with running(echo) as server:
            url = f"http://127.0.0.1:{server.bound[0].port}/"
            curl = await asyncio.create_subprocess_exec(
                "curl", "-sS", "--http2", "--data-binary", f"@{tmp_path / 'body'}", url, stdout=PIPE
            )
            assert b"200000" == (await curl.communicate())[0]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/a?b=http://c.example", b"x"),
        (b"http://mail.example.com/a", b"mail.example.com"),
        (b"HTTPS://[::1]:8587/a", b"[::1]:8587"),
        (b"http://user:pw@localhost/a", None),
        (b"ftp://localhost/a", None),
        (b"localhost:80", None),
        (b"*", None),
    ],
)
def test_an_absolute_target_stands_for_the_host(target: bytes, host: bytes | None) -> None:
    """The authority of an absolute target is the Host an application sees; other forms are refused."""
    seen: list[tuple[str, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope["path"], value) for name, value in scope["headers"] if name == b"host")
        await echo(scope, receive, send)

    async def talk(client: Wire) -> None:
        client.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % target)
        assert (400 if host is None else 200) == (await client.answer())[0]

    on_the_wire(app, talk)
    assert ([] if host is None else [("/a", host)]) == seen


def test_connect_is_refused() -> None:
    """Postroom is no proxy: CONNECT is an answer 400 and the end of the connection."""

    async def talk(client: Wire) -> None:
        client.send(b"CONNECT localhost:25 HTTP/1.1\r\nHost: localhost:25\r\n\r\nEHLO x\r\n")
        assert 400 == (await client.answer())[0]
        assert await client.is_closed()

    on_the_wire(echo, talk)


def test_one_endless_header_line_is_cut() -> None:
    """A header line that comes in many small pieces is refused at the same size."""

    async def talk(client: Wire) -> None:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        with contextlib.suppress(ConnectionError):
            while client.sent < 10_000_000 and not client.writer.is_closing():
                client.send(b"a" * 100)
                await asyncio.sleep(0)
        assert client.sent < 10_000_000

    on_the_wire(echo, talk)


def test_bad_chunk_is_no_body() -> None:
    """A broken chunk ends the connection; the application never sees a complete body."""

    async def talk(client: Wire) -> None:
        client.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\rX\nhello\r\n0\r\n\r\n"
        )
        assert 200 != (await client.answer())[0]
        assert await client.is_closed()

    on_the_wire(echo, talk)


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
def test_slow_head_is_cut(start: bytes) -> None:
    """A head that does not end in time is answered with 408 and cut, however much of it came."""

    async def talk(client: Wire) -> None:
        client.send(start)
        assert 408 == (await client.answer())[0]
        assert await client.is_closed()

    on_the_wire(echo, talk, ServerLimits(head_s=0.5))


@pytest.mark.slow
def test_slow_heads_have_less_time_under_stress() -> None:
    """With four fifths of the connections taken a slow head is cut in a fifth of the time."""

    async def run() -> None:
        limits = ServerLimits(max_connections=2, head_s=4)
        async with running(echo, limits) as server, wire(server) as first, wire(server) as second:
            async with asyncio.timeout(3):
                assert 408 == (await first.answer())[0]
                assert 408 == (await second.answer())[0]

    asyncio.run(run())


@pytest.mark.slow
def test_slow_body_is_cut() -> None:
    """A body below the minimum rate is cut after the grace time, and the application sees no whole body."""
    bodies = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            bodies.append(event["more_body"])

    async def talk(client: Wire) -> None:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nslow")
        assert await client.is_closed()

    on_the_wire(app, talk, ServerLimits(grace_s=0.5, min_rate=1000))
    assert all(bodies)


@pytest.mark.slow
def test_slow_clients_do_not_keep_others_out() -> None:
    """With many slow heads open a new caller is still served at once."""

    async def run() -> None:
        async with running(echo) as server:
            port = server.bound[0].port
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
            for _, writer in slow:
                writer.write(b"GET / HT")
            async with wire(server) as client, asyncio.timeout(1):
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (200, b"0") == await client.answer()
            for _, writer in slow:
                writer.close()

    asyncio.run(run())


def test_connections_are_bounded() -> None:
    """Above the bound a new connection is told 503 with a time to come back; closing one makes room."""

    async def run() -> None:
        bounds = ServerLimits(max_connections=2)
        async with running(echo, bounds) as server, wire(server) as first, wire(server) as second:
            async with wire(server) as third:
                assert 503 == (await third.answer())[0]
            second.send(b"GET / HTTP/1.1\r\n")
            first.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert 200 == (await first.answer())[0]
            assert await first.is_closed()
            async with wire(server) as fourth:
                fourth.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert 200 == (await fourth.answer())[0]

    asyncio.run(run())


def test_stopping_finishes_running_requests() -> None:
    """A request that runs when the server stops is answered; new connections are not taken."""
    started = asyncio.Event()
    released = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await released.wait()
        await echo(scope, receive, send)

    async def run() -> None:
        server_life = running(app)
        server = await server_life.__aenter__()
        async with wire(server) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await started.wait()
            stop = asyncio.create_task(server_life.__aexit__(None, None, None))
            await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", server.bound[0].port)
            released.set()
            assert (200, b"0") == await client.answer()
            assert await client.is_closed()
            await stop

    asyncio.run(run())


def test_tls_and_plain_listeners_live_together(tmp_path: Path) -> None:
    """One server listens on several addresses, with and without TLS, and says where."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    pair = TlsPair(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    certificate.private_key_pem.write_to_path(pair.key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(pair.cert, append=True)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def run() -> None:
        bindings = [
            Binding(host="127.0.0.1", port=0, app=echo),
            Binding(host="127.0.0.1", port=0, app=refuse, tls=pair),
        ]
        async with serve(bindings, clock=SystemClock()) as server:
            assert ["http", "https"] == [bound.url.partition(":")[0] for bound in server.bound]
            reader, writer = await asyncio.open_connection("127.0.0.1", server.bound[1].port, ssl=trust)
            client = Wire(reader, writer)
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            assert (401, b"no") == await client.answer()
            writer.close()

    asyncio.run(run())


def test_address_in_use_is_an_error() -> None:
    """A second server on one port tells what chooses another; files that are no certificate fail."""

    async def run() -> None:
        async with running(echo) as server:
            taken = Binding(host="127.0.0.1", port=server.bound[0].port, app=echo, flag="--port")
            no_pair = TlsPair(cert=Path(__file__), key=Path(__file__))
            without = Binding(host="127.0.0.1", port=0, app=echo, tls=no_pair)
            for binding, cause in ((taken, "in use"), (without, "cannot be used")):
                with pytest.raises(ConfigError, match=cause) as refused:
                    async with serve([binding], clock=SystemClock()):
                        pass
                assert refused.value.problems[0].fix.endswith("--port.") is (binding is taken)

    asyncio.run(run())


def test_a_broken_answer_is_logged_and_cut() -> None:
    """An application that fails after its answer began is logged once, and the connection ends."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        raise RuntimeError("disk-canary")

    async def talk(client: Wire) -> None:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await client.reader.readuntil(b"\r\n\r\n")
        assert await client.is_closed()

    with capture_logs() as said:
        on_the_wire(app, talk)
    assert ["answer broken off"] == [record["event"] for record in said]
    assert "disk-canary" == said[0]["cause"]


def test_http_date_is_imf_fixdate() -> None:
    """The Date header has the one form RFC 9110 allows."""
    assert "Thu, 31 Jan 2030 12:00:00 GMT" == http_date(NOW)
