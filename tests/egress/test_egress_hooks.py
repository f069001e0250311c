"""Posting to real servers on loopback: what is sent, what every kind of answer becomes, where it connects."""

import asyncio
import gzip
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
import uvloop

from attacks.attack_room import inputs, row
from net.wires import Handler, free_port, listening, server_context
from postroom.clock import SystemClock
from postroom.egress.calls import MAX_ANSWER, MAX_TEXT
from postroom.egress.hooks import GuardedPoster
from postroom.net.addresses import SocketAddress
from postroom.net.guard import SETTING, Guard
from postroom.ports import HookAnswer

LOOPBACK = ["127.0.0.0/8", "::1/128"]
BODY = b'{"type":"message.queued"}'
Resolve = Callable[..., Awaitable[Sequence[SocketAddress]]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[object, object, None]], None]:
    def runner(main: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(main)

    return runner


Run = Callable[[Coroutine[object, object, None]], None]


@asynccontextmanager
async def posting(
    *, allowed: Sequence[str] = LOOPBACK, resolver: Resolve | None = None, ca_file: str | None = None
) -> AsyncIterator[GuardedPoster]:
    poster = GuardedPoster(Guard(allowed, resolve=resolver), clock=SystemClock(), ca_file=ca_file)
    try:
        yield poster
    finally:
        await poster.stop()


class Server:
    """Keeps the requests it read and answers each with the same bytes."""

    def __init__(self, answer: bytes, *, then: str = "wait") -> None:
        self.answer = answer
        self.then = then
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.heads.append(head)
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self.bodies.append(await reader.readexactly(size))
            writer.write(self.answer)
            await writer.drain()
            if self.then == "close":
                writer.close()
                return
            if self.then == "hang":
                await asyncio.Event().wait()


def plain(status: int, body: bytes = b"", *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d Word" % status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def told(
    handler: Handler, *, timeout_s: float = 5, path: str = "/hook", repeat: int = 1
) -> Sequence[HookAnswer]:
    async with listening(quiet(handler)) as port, posting() as poster:
        url = f"http://127.0.0.1:{port}{path}"
        return [
            await poster.post(url, headers={"webhook-id": "e1"}, body=BODY, timeout_s=timeout_s)
            for _ in range(repeat)
        ]


def quiet(handler: Handler) -> Handler:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except asyncio.IncompleteReadError:
            return

    return talk


def test_what_is_sent(run: Run) -> None:
    """One POST of the path with our headers, the name in Host, no coding asked for, no cookies, no login."""

    async def main() -> None:
        server = Server(plain(204))
        (answer,) = await told(server, path="/a?b=%20")
        head = server.heads[0].decode().split("\r\n")

        assert ("POST /a?b=%20 HTTP/1.1", [BODY], 204) == (head[0], server.bodies, answer.status)
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        assert {"host", "user-agent", "accept-encoding", "webhook-id", "content-length"} == fields.keys()
        assert "identity" == fields["accept-encoding"]

    run(main())


def test_a_connection_is_used_again(run: Run) -> None:
    """Posts to one origin share a connection while the server keeps it."""

    async def main() -> None:
        server = Server(plain(200, b"ok"))
        answers = await told(server, repeat=3)

        assert [(200, "ok")] * 3 == [(answer.status, answer.text) for answer in answers]
        assert 1 == server.connections

    run(main())


@pytest.mark.parametrize(
    ("status", "fields", "hint"),
    [
        (410, [], None),
        (429, [b"Retry-After: 120"], 120.0),
        (503, [b"Retry-After: Fri, 01 Jan 1999 00:00:00 GMT"], 0.0),
        (500, [b"Retry-After: soon"], None),
    ],
)
def test_answers_are_told_as_they_are(status: int, fields: list[bytes], hint: float | None) -> None:
    """Status, text and Retry-After of an answer."""

    async def main() -> None:
        (answer,) = await told(Server(plain(status, b"no\r\nway\x1b[31m", *fields)))

        assert (status, "no  way [31m", hint) == (answer.status, answer.text, answer.retry_after_s)

    asyncio.run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """A redirect is an answer like any other; its target sees nothing (SSR-043, SSR-045)."""

    async def main() -> None:
        canary = Server(plain(200))
        async with listening(canary) as port:
            place = f"Location: http://127.0.0.1:{port}/".encode()
            (answer,) = await told(Server(plain(status, b"", place)))

        assert (status, 0) == (answer.status, canary.connections)

    asyncio.run(main())


def test_attack_redirect_and_file_name() -> None:
    """The attack rows' own answers: not followed, and no name of the answer is used (SSR-043, SSR-051)."""

    async def main() -> None:
        (redirect,), (named,) = inputs(row("SSR-043")), inputs(row("SSR-051"))
        (answer,) = await told(Server(redirect.encode(), then="close"))
        assert 302 == answer.status
        (answer,) = await told(Server(plain(200, b"", named.strip().encode())))
        assert (200, "") == (answer.status, answer.text)

    asyncio.run(main())


def test_a_huge_answer_is_cut(run: Run) -> None:
    """Reading stops at the bound, the text is cut, and the connection is not used again."""

    async def main() -> None:
        sent = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
            while sent < 100_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        (answer,) = await told(flood)

        assert (200, "x" * MAX_TEXT) == (answer.status, answer.text)
        assert sent < 50_000_000
        assert MAX_ANSWER < 65536

    run(main())


def test_a_packed_answer_is_not_unpacked() -> None:
    """A gzip bomb costs its packed size at most, and the log says what it was."""

    async def main() -> None:
        bomb = gzip.compress(bytes(10_000_000))
        (answer,) = await told(Server(plain(200, bomb, b"Content-Encoding: gzip")))

        assert (200, "(gzip, not read)") == (answer.status, answer.text)

    asyncio.run(main())


def test_a_server_that_hangs_is_left(run: Run) -> None:
    """Silence before, inside and after the head ends with the time that was given."""

    async def main() -> None:
        silent, half = Server(b"", then="hang"), Server(b"HTTP/1.1 200 OK\r\n", then="hang")
        body = Server(b"HTTP/1.1 202 OK\r\nContent-Length: 10\r\n\r\nabc", then="hang")
        for server, expected in (
            (silent, (None, "no answer within 0.2 s")),
            (half, (None, "no answer within 0.2 s")),
            (body, (202, "abc")),
        ):
            (answer,) = await told(server, timeout_s=0.2)
            assert expected == (answer.status, answer.text)
            assert 150 <= answer.duration_ms < 2000

    run(main())


def test_a_drip_does_not_extend_the_time() -> None:
    """A server that sends a byte now and then is left when the whole time is over."""

    async def main() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"X-A: b\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        (answer,) = await told(drip, timeout_s=0.3)

        assert (None, "no answer within 0.3 s") == (answer.status, answer.text)

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA\x00: b\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_answer_has_no_status(answer: bytes) -> None:
    """A connection that closes or speaks something else is told in words, never raised."""

    async def main() -> None:
        (told_,) = await told(Server(answer, then="close"))

        assert told_.status is None
        assert told_.text

    asyncio.run(main())


def test_a_reset_is_told() -> None:
    """A reset connection is a phrase."""

    async def main() -> None:
        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            writer.transport.abort()

        (answer,) = await told(reset)

        assert answer.status is None
        assert answer.text

    asyncio.run(main())


def test_a_closed_port_is_told(run: Run) -> None:
    """Connection refused, with the address."""

    async def main() -> None:
        port = free_port()
        async with posting() as poster:
            answer = await poster.post(f"http://127.0.0.1:{port}/", headers={}, body=BODY, timeout_s=5)

        assert (None, f"connection refused (127.0.0.1:{port})") == (answer.status, answer.text)

    run(main())


def test_loopback_is_refused_without_the_setting(run: Run) -> None:
    """The guard stands before every post, and says which setting opens the network."""

    async def main() -> None:
        canary = Server(plain(200))
        async with listening(canary) as port, posting(allowed=()) as poster:
            for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
                url = f"http://{host}:{port}/"
                answer = await poster.post(url, headers={}, body=BODY, timeout_s=5)
                assert answer.status is None
                assert SETTING in answer.text
                assert host == "localhost" or SETTING in poster.problem_with(url)

        assert 0 == canary.connections

    run(main())


def test_rebinding_gains_nothing(run: Run) -> None:
    """The name is asked once; the second answer, a canary, is never connected to (SSR-041)."""

    async def main() -> None:
        server, canary = Server(plain(200), then="close"), Server(plain(200))
        answers = [["127.0.0.2"], ["127.0.0.1"]]

        async def rebinding(host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
            assert ("rebind.test", True) == (host, timeout_s > 0)
            return [SocketAddress(socket.AF_INET, text, port) for text in answers.pop(0)]

        async with (
            listening(quiet(server), host="127.0.0.2") as port,
            listening(canary, port=port),
            posting(allowed=["127.0.0.2/32"], resolver=rebinding) as poster,
        ):
            url = f"http://rebind.test:{port}/"
            first = await poster.post(url, headers={}, body=BODY, timeout_s=5)
            second = await poster.post(url, headers={}, body=BODY, timeout_s=5)

        assert (200, None) == (first.status, second.status)
        assert SETTING in second.text
        assert b"Host: rebind.test:%d" % port in server.heads[0].replace(b"host:", b"Host:")
        assert 0 == canary.connections

    run(main())


def test_the_next_address_is_tried(run: Run) -> None:
    """When the first address refuses, the second is connected to."""

    async def main() -> None:
        async def two(host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
            assert ("two.test", True) == (host, timeout_s > 0)
            return [SocketAddress(socket.AF_INET, text, port) for text in ("127.0.0.9", "127.0.0.1")]

        async with listening(Server(plain(200), then="close")) as port, posting(resolver=two) as poster:
            answer = await poster.post(f"http://two.test:{port}/", headers={}, body=BODY, timeout_s=5)

        assert 200 == answer.status

    run(main())


def test_tls_is_verified_by_name(run: Run, tmp_path: Path) -> None:
    """The name of the URL goes into SNI and is checked in the certificate, not the address."""
    authority, other = trustme.CA(), trustme.CA()
    trusted, foreign = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(trusted))
    other.cert_pem.write_to_path(str(foreign))

    async def local(host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        assert (host.endswith(".test"), True) == (True, timeout_s > 0)
        return [SocketAddress(socket.AF_INET, "127.0.0.1", port)]

    async def main() -> None:
        names: list[str | None] = []
        context = server_context(authority, "hooks.test")
        context.sni_callback = lambda _object, name, _context: names.append(name)
        async with listening(quiet(Server(plain(200, b"ok"))), tls=context) as port:
            for host, ca_file, status, words in (
                ("hooks.test", trusted, 200, "ok"),
                ("wrong.test", trusted, None, "hostname mismatch"),
                ("hooks.test", foreign, None, "unable to get local issuer certificate"),
                ("hooks.test", None, None, "unable to get local issuer certificate"),
            ):
                async with posting(resolver=local, ca_file=str(ca_file) if ca_file else None) as poster:
                    url = f"https://{host}:{port}/"
                    answer = await poster.post(url, headers={}, body=BODY, timeout_s=5)
                assert status == answer.status
                assert words in answer.text.lower()

        assert ["hooks.test", "wrong.test"] == names[:2]

    run(main())


def test_a_plain_server_under_https_is_told(run: Run) -> None:
    """TLS to a server that speaks plain HTTP is a phrase of OpenSSL."""

    async def main() -> None:
        async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()

        async with listening(speaks) as port, posting() as poster:
            answer = await poster.post(f"https://127.0.0.1:{port}/", headers={}, body=BODY, timeout_s=5)

        assert answer.status is None
        assert "wrong version number" in answer.text

    run(main())


def test_old_tls_is_refused(tmp_path: Path) -> None:
    """A server that speaks only TLS 1.1 is not posted to."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def main() -> None:
        context = server_context(authority)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with (
            listening(Server(plain(200)), tls=context) as port,
            posting(ca_file=str(tmp_path / "ca.pem")) as poster,
        ):
            answer = await poster.post(f"https://127.0.0.1:{port}/", headers={}, body=BODY, timeout_s=5)

        assert answer.status is None

    asyncio.run(main())


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not used."""

    async def main() -> None:
        canary = Server(plain(502))
        async with listening(canary) as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            assert os.environ["HTTP_PROXY"]
            (answer,) = await told(Server(plain(200)))

        assert (200, 0) == (answer.status, canary.connections)

    asyncio.run(main())


def test_nothing_is_left_open_after_a_stop() -> None:
    """Idle connections are closed by stop."""

    async def main() -> None:
        ended = asyncio.Event()

        async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            writer.write(plain(200))
            assert b"" == await reader.read(1)
            ended.set()

        async with listening(watch) as port:
            async with posting() as poster:
                await poster.post(f"http://127.0.0.1:{port}/", headers={}, body=BODY, timeout_s=5)
            async with asyncio.timeout(5):
                await ended.wait()

    asyncio.run(main())
