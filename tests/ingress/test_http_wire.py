"""The doors over real sockets, with curl and by hand: nothing is read from whom nobody asked to speak."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
import uvloop

from peers.fake_service import KEY, FakeService
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from web.http_wire import Wire, on_the_wire, running

MAIL = {"to": "kim@example.com", "subject": "견적 🚀", "text": "It works."}
MUCH = 30_000_000


def upload_head(*, key: str | None, size: int = MUCH, path: str = "/v1/messages") -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Length: {size}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    ).encode()


async def push(client: Wire, data: bytes) -> tuple[int, bytes]:
    """Send ``data`` again and again until there is an answer; return the answer."""
    answer = asyncio.ensure_future(client.answer())
    with contextlib.suppress(ConnectionError):
        while client.sent < MUCH and not answer.done() and not client.writer.is_closing():
            client.send(data)
            await client.writer.drain()
            await asyncio.sleep(0)
    return await answer


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (upload_head(key=None).replace(b"localhost", b"mail.example.com"), 401, "key-missing"),
        (upload_head(key="wrong-key-of-twenty-chars"), 401, "key-unknown"),
        (upload_head(key=KEY, size=999_999_999), 413, "too-large"),
        (upload_head(key=KEY, path="/v1/nothing"), 404, "no-such-path"),
    ],
)
def test_uploads_are_refused_before_they_are_read(head: bytes, status: int, code: str) -> None:
    """The refusal comes after the head alone, and the connection ends."""
    service = FakeService()

    async def talk(client: Wire) -> None:
        client.send(head)
        got, body = await client.answer()
        assert (status, code) == (got, json.loads(body)["code"])
        assert await client.is_closed()

    on_the_wire(build_app(service, HttpSettings()), talk)
    assert not service.staged


def test_a_file_beyond_its_limit_ends_the_upload() -> None:
    """A chunked upload is refused while it runs, as soon as the limit is crossed; nothing is kept."""
    service = FakeService()
    settings = HttpSettings(max_body=1_000_000)

    async def talk(client: Wire) -> None:
        client.send(
            f"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            "Transfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
        )
        start = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        client.send(b"%x\r\n%b\r\n" % (len(start), start))
        status, _ = await push(client, b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert 413 == status
        assert client.sent < 20_000_000

    on_the_wire(build_app(service, settings), talk)
    assert [True] == [blob.is_discarded for blob in service.staged]
    assert not service.submissions


def test_a_connection_lost_in_the_body_stores_nothing() -> None:
    """A body cut short by the connection's end stores nothing."""
    service = FakeService()
    body = json.dumps(MAIL).encode()

    async def run() -> None:
        async with running(build_app(service, HttpSettings())) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.bound[0].port)
            writer.write(
                f"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n".encode()
                + body
            )
            writer.write_eof()
            await reader.read()
            writer.close()

    uvloop.run(run())
    assert not service.submissions


def test_curl_sends_json_and_files(tmp_path: Path) -> None:
    """The calls of the documentation work with curl, umlauts, emoji and a file of some megabytes included."""
    service = FakeService()
    data = bytes(range(256)) * 20_000
    (tmp_path / "견적 (1).pdf").write_bytes(data)
    (tmp_path / "mail.json").write_text(json.dumps({**MAIL, "attachments": [{"upload": "offer"}]}))

    async def curl(*arguments: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "curl",
            "-sS",
            "--noproxy",
            "*",
            "-H",
            f"Authorization: Bearer {KEY}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert 0 == process.returncode
        return output

    async def run() -> None:
        async with running(build_app(service, HttpSettings())) as server:
            url = f"{server.bound[0].url}/v1/messages"
            by_json = await curl(url, "-H", "Content-Type: application/json", "-d", json.dumps(MAIL))
            by_form = await curl(
                url,
                "-F",
                f"message=<{tmp_path}/mail.json;type=application/json",
                "-F",
                f"offer=@{tmp_path}/견적 (1).pdf",
            )
            as_file = await curl(
                url,
                "-F",
                f"message=@{tmp_path}/mail.json;type=application/json",
                "-F",
                f"offer=@{tmp_path}/견적 (1).pdf",
            )
            for answer in (by_json, by_form, as_file):
                assert "queued" == json.loads(answer)["state"], answer

    uvloop.run(run())
    first, second, third = service.submissions.values()
    assert "견적 🚀" == first.subject
    for one in (second, third):
        (file,) = one.attachments
        assert ("견적 (1).pdf", "application/pdf", len(data)) == (
            file.filename,
            file.content_type,
            file.blob.size,
        )
        assert data == service.blobs[file.blob.sha256]
