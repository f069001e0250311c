"""Fetching files from real servers on loopback: what is asked, what every kind of answer becomes."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
import trustme

from each_row import each
from net.wires import Handler, free_port, listening, server_context
from postroom.egress.fetch import FetchRules, GuardedFetcher
from postroom.egress.fetch_calls import WRITE_BATCH
from postroom.model.outcome import FaultKind
from postroom.net.addresses import SocketAddress
from postroom.net.guard import Guard
from postroom.ports import Download
from postroom.spool.memory.inbox import MemoryBlobs, StagedBytes

OPEN = [("127.0.0.1", None), ("localhost", None), ("files.example.com", None)]
MANY = 10 * 1024 * 1024


class Server:
    """Answers the path of each request with the bytes written for it, then closes or waits."""

    def __init__(self, answers: dict[str, bytes], *, waits: bool = False) -> None:
        self.answers = answers
        self.waits = waits
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return
            self.heads.append(head)
            writer.write(self.answers[head.split(" ")[1]])
            await writer.drain()
            if self.waits:
                await asyncio.Event().wait()
            if b"length" not in self.answers[head.split(" ")[1]]:
                return


def answer(body: bytes = b"", *fields: bytes, status: int = 200) -> bytes:
    lines = [b"HTTP/1.1 %d Word" % status, b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def fetched(
    handler: Handler,
    *,
    path: str = "/",
    opened: Iterable[tuple[str, int | None]] = OPEN,
    rules: FetchRules | None = None,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    most: int = MANY,
) -> tuple[Download, bytes]:
    """Fetch a path of a server; return what came of it and what is in the blob."""

    async def resolve(_host: str, port: int, *, timeout_s: float) -> list[SocketAddress]:
        del timeout_s
        return [SocketAddress(socket.AF_INET, "127.0.0.1", port)]

    blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
    async with listening(handler, tls=tls) as port:
        fetcher = GuardedFetcher(
            guard=Guard(opened=opened, resolve=resolve), rules=rules or FetchRules(timeout_s=5)
        )
        try:
            scheme = "http" if tls is None else "https"
            download = await fetcher.fetch(f"{scheme}://{host}:{port}{path}", into=blob, max_bytes=most)
        finally:
            await fetcher.stop()
    return download, content(blob)


def content(blob: StagedBytes) -> bytes:
    return bytes(blob._data or b"")


def run(handler: Handler, **wishes: object) -> tuple[Download, bytes]:
    return asyncio.run(fetched(handler, **wishes))  # type: ignore[arg-type]  # by name


def cause_of(download: Download) -> tuple[str | None, str]:
    assert download.fault is not None
    return download.fault.cause, download.fault.text


def test_a_file_comes_as_it_is() -> None:
    """One GET with the target as written, no coding wished, no credentials; the answer's type is told."""
    server = Server({"/a%20b?x=1": answer(b"\x00\xff data", b"Content-Type: Application/PDF; x=y")})
    download, body = run(server, path="/a%20b?x=1")

    assert (b"\x00\xff data", None, "application/pdf") == (body, download.fault, download.content_type)
    lines = server.heads[0].lower().rstrip().split("\r\n")
    assert "get /a%20b?x=1 http/1.1" == lines[0]
    assert {"host", "user-agent", "accept", "accept-encoding"} == {one.split(":")[0] for one in lines[1:]}
    assert "accept-encoding: identity" in lines


def test_a_large_file_comes_in_chunks_of_the_wire() -> None:
    """A chunked body far above the batch of a write is whole."""
    body = bytes(range(256)) * (5 * WRITE_BATCH // 256) + b"tail"
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    )
    server = Server({"/": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"})
    download, got = run(server)

    assert (None, len(body), True) == (download.fault, len(got), got == body)


def test_an_empty_file_is_a_file() -> None:
    """A length of nought is told and kept."""
    download, body = run(Server({"/": answer()}))
    assert (None, b"") == (download.fault, body)


@each(
    ("status", "cause"),
    [
        (201, "fetch-unreadable"),
        (204, "fetch-unreadable"),
        (304, "fetch-unreadable"),
        (400, "fetch-forbidden"),
        (401, "fetch-forbidden"),
        (403, "fetch-forbidden"),
        (404, "fetch-gone"),
        (410, "fetch-gone"),
        (408, "fetch-failed"),
        (429, "fetch-failed"),
        (500, "fetch-failed"),
        (503, "fetch-failed"),
        (599, "fetch-failed"),
    ],
)
def test_what_is_no_file_is_named(status: int, cause: str) -> None:
    """Each status has its cause, and nothing of the answer becomes content."""
    server = Server({"/": b"HTTP/1.1 %d Word\r\nContent-Length: 0\r\n\r\n" % status})
    download, body = run(server)
    assert (cause, b"") == (cause_of(download)[0], body)
    assert str(status) in cause_of(download)[1]


def test_a_file_that_is_too_large_is_not_read() -> None:
    """By its announced length at once, without one as soon as it passes what is left."""
    announced = Server({"/": b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n"}, waits=True)
    assert "fetch-too-large" == cause_of(run(announced, most=10)[0])[0]
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n12345678901\r\n"
    assert "fetch-too-large" == cause_of(run(Server({"/": chunked}, waits=True), most=10)[0])[0]
    assert run(Server({"/": answer(b"1234567890")}), most=10)[0].fault is None


@pytest.mark.parametrize(
    "answered",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"",
    ],
    ids=["length", "chunk", "no last chunk", "nothing"],
)
def test_half_a_file_is_no_file(answered: bytes) -> None:
    """A connection that ends before the announced end is a passing failure."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answered)
        await writer.drain()

    assert "fetch-failed" == cause_of(run(cut)[0])[0]


def test_an_end_that_nobody_can_tell_is_refused() -> None:
    """A body that ends with its connection may be cut: it is not taken."""
    cause, text = cause_of(run(Server({"/": b"HTTP/1.0 200 OK\r\n\r\nall of it?"}))[0])
    assert "fetch-unreadable" == cause
    assert "length" in text


def test_what_is_compressed_is_neither_unpacked_nor_sent() -> None:
    """A coding that was not asked for is refused before a byte of it is looked at."""
    bomb = gzip.compress(bytes(1024 * 1024))
    download, body = run(Server({"/": answer(bomb, b"Content-Encoding: gzip")}))
    assert ("fetch-unreadable", b"") == (cause_of(download)[0], body)


def test_redirects_are_followed_only_when_allowed() -> None:
    """By default the setting is named; allowed, each hop is a new request, and no more of them than that."""
    answers = {
        "/": answer(b"", b"Location: /two", status=302),
        "/two": answer(b"", b"Location: three?a=b#c", status=307),
        "/three?a=b": answer(b"there"),
    }
    cause, text = cause_of(run(Server(answers))[0])
    assert "fetch-redirect" == cause
    assert "attachment_redirects = 1 below [hap]" in text
    one = FetchRules(timeout_s=5, max_redirects=1)
    assert "attachment_redirects = 2" in cause_of(run(Server(answers), rules=one)[0])[1]
    two = FetchRules(timeout_s=5, max_redirects=2)
    assert b"there" == run(Server(answers), rules=two)[1]


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[::1", "//"])
def test_a_redirect_to_no_url_is_refused(location: str) -> None:
    """What leads nowhere, to another scheme or to a login is not called; an empty one leads back here."""
    server = Server({"/": answer(b"", b"Location: " + location.encode(), status=302)})
    cause, _ = cause_of(run(server, rules=FetchRules(timeout_s=5, max_redirects=3))[0])
    assert "fetch-redirect" == cause


def test_each_hop_passes_the_guard() -> None:
    """A public name that redirects to this machine is refused there, and the canary sees nothing."""

    async def main() -> None:
        canary = Server({"/": answer(b"secret")})
        async with listening(canary) as hidden:
            server = Server({"/": answer(b"", b"Location: http://127.0.0.1:%d/" % hidden, status=302)})
            rules = FetchRules(timeout_s=5, max_redirects=3)
            opened = [("files.example.com", None)]
            download, body = await fetched(server, opened=opened, rules=rules, host="files.example.com")
        assert ("fetch-refused", b"", []) == (cause_of(download)[0], body, canary.heads)
        assert f'attachment_hosts = ["127.0.0.1:{hidden}"]' in cause_of(download)[1]

    asyncio.run(main())


def test_a_private_address_is_refused_with_the_line_that_opens_it() -> None:
    """The text names host, address and the line; opened by name and port only that is called."""

    async def main() -> None:
        server = Server({"/": answer(b"inside")})
        async with listening(server) as port:
            url = f"http://localhost:{port}/"
            line = f'attachment_hosts = ["localhost:{port}"] below [hap]'
            for opened in ([], [("localhost", port + 1)], [("127.0.0.1", port)]):
                blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
                fetcher = GuardedFetcher(guard=Guard(opened=opened))
                download = await fetcher.fetch(url, into=blob, max_bytes=99)
                cause, text = cause_of(download)
                assert ("fetch-refused", True) == (cause, line in text), text
                assert [] == server.heads
            fetcher = GuardedFetcher(guard=Guard(opened=[("localhost", port)]))
            blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
            assert (await fetcher.fetch(url, into=blob, max_bytes=99)).fault is None
            assert b"inside" == content(blob)
            await fetcher.stop()

    asyncio.run(main())


def test_no_setting_opens_a_metadata_service() -> None:
    """An address that no program has to call stays closed, whatever host is opened."""

    async def main() -> None:
        fetcher = GuardedFetcher(guard=Guard(opened=[("169.254.169.254", None)]))
        blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
        cause, text = cause_of(await fetcher.fetch("http://169.254.169.254/x", into=blob, max_bytes=9))
        assert "fetch-refused" == cause
        assert "never called" in text

    asyncio.run(main())


def test_a_server_that_is_not_there_is_a_passing_failure() -> None:
    """A closed port and a name without an address are tried again."""

    async def main() -> None:
        fetcher = GuardedFetcher(guard=Guard(opened=OPEN))
        for url in (f"http://127.0.0.1:{free_port()}/", "http://no-such-host.invalid/"):
            blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
            assert "fetch-failed" == cause_of(await fetcher.fetch(url, into=blob, max_bytes=9))[0]

    asyncio.run(main())


def test_a_slow_server_is_given_up() -> None:
    """The limit is for the whole file: a byte now and then does not extend it."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    download, _ = run(drip, rules=FetchRules(timeout_s=0.2))
    assert download.fault is not None
    assert ("fetch-timeout", FaultKind.TIMEOUT) == (download.fault.cause, download.fault.kind)


def test_certificates_are_verified(tmp_path: Path) -> None:
    """A strange authority is a cause of its own; named as ca_file its servers are trusted."""
    authority = trustme.CA()
    server = Server({"/": answer(b"sealed")})
    context = server_context(authority)
    assert "fetch-certificate" == cause_of(run(server, tls=context)[0])[0]
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    rules = FetchRules(timeout_s=5, ca_file=str(tmp_path / "ca.pem"))
    assert b"sealed" == run(server, tls=context, rules=rules)[1]


def test_the_rest_of_a_link_is_told_nowhere() -> None:
    """A link may be its own credential: texts name its host alone."""
    download, _ = run(Server({"/p/secret?sign=s3cret": answer(status=404)}), path="/p/secret?sign=s3cret")
    assert "secret" not in repr(download)
    assert "127.0.0.1" == download.host


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://a b/", "http://x/" + "a" * 9000])
def test_what_is_no_url_is_refused(url: str) -> None:
    """Nothing is repaired."""

    async def main() -> None:
        blob = MemoryBlobs().stage("t")  # type: ignore[arg-type]  # any tenant
        download = await GuardedFetcher(guard=Guard()).fetch(url, into=blob, max_bytes=9)
        assert "fetch-refused" == cause_of(download)[0]

    asyncio.run(main())


def test_memory_does_not_grow_with_the_file() -> None:
    """Forty megabytes pass in writes of one batch at most."""
    sizes: list[int] = []

    class Counting(StagedBytes):
        def __init__(self) -> None:
            self.total = 0

        def write(self, data: bytes) -> None:
            sizes.append(len(data))

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (40 * 1024 * 1024))
        for _ in range(40):
            writer.write(bytes(1024 * 1024))
            await writer.drain()

    async def main() -> None:
        async with listening(pour) as port:
            fetcher = GuardedFetcher(guard=Guard(opened=OPEN))
            url = f"http://127.0.0.1:{port}/"
            download = await fetcher.fetch(url, into=Counting(), max_bytes=50 * 1024 * 1024)
            await fetcher.stop()
        assert download.fault is None

    asyncio.run(main())
    assert 40 * 1024 * 1024 == sum(sizes)
    assert max(sizes) <= WRITE_BATCH + 64 * 1024
