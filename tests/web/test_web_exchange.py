"""Requests and their answers on one connection: order, framing, and answers that fail."""

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from web.http_wire import Wire, on_the_wire
from web.test_web_server import echo

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in pieces of unknown number."""
    await StreamingResponse(iter([b"one ", b"two"]))(scope, receive, send)


@pytest.mark.parametrize("rest", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", POST[:-1] + b"\0" * 9])
def test_an_answer_that_is_owed_goes_out_before_the_end(rest: bytes) -> None:
    """What cannot be read after a whole request ends the connection, and never answers in its place."""

    async def talk(client: Wire) -> None:
        client.send(POST + rest)
        assert (200, b"3") == await client.answer()
        client.writer.write_eof()
        later = await client.reader.read()
        assert later.count(b"HTTP/1.1 ") <= 1

    on_the_wire(echo, talk)


def test_a_request_that_is_not_whole_yet_does_not_end_the_connection() -> None:
    """The head of the next request may come with the request before it, its body later."""

    async def talk(client: Wire) -> None:
        client.send(POST + POST[:-2])
        assert (200, b"3") == await client.answer()
        client.send(POST[-2:] + GET)
        assert [b"3", b"0"] == [(await client.answer())[1] for _ in range(2)]

    on_the_wire(echo, talk)


def test_a_head_is_bounded_also_behind_another_request() -> None:
    """The bound of a head holds when the head began in the read that ended the request before it."""

    async def talk(client: Wire) -> None:
        client.send(POST + GET[:-2] + b"X: " + b"a" * 40_000)
        assert (200, b"3") == await client.answer()
        client.send(b"a" * 40_000 + b"\r\n\r\n")
        assert 431 == (await client.answer())[0]

    on_the_wire(echo, talk)


def test_connection_close_is_answered_and_kept() -> None:
    """A caller that says close is told so, gets its answer, and what it sends after that is not served."""

    async def talk(client: Wire) -> None:
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
        everything = await client.reader.read()
        assert 1 == everything.count(b"HTTP/1.1 200 OK")
        assert b"\r\nconnection: close\r\n" in everything

    on_the_wire(echo, talk)


def test_answers_of_unknown_length_are_chunked() -> None:
    """HTTP/1.1 gets chunks and goes on; HTTP/1.0, which knows none, gets the bytes up to the end."""

    async def talk(client: Wire) -> None:
        client.send(GET)
        assert b"transfer-encoding: chunked" in await client.reader.readuntil(b"\r\n\r\n")
        assert b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n" == await client.reader.readuntil(b"0\r\n\r\n")
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await client.reader.read()).partition(b"\r\n\r\n")
        assert b"one two" == body
        assert b"chunked" not in head

    on_the_wire(stream, talk)


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_header_never_becomes_two(value: str) -> None:
    """A line end or NUL in a header of ours is a fault: the caller gets 500, the log says why."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("ok", headers={"x-from-caller": value})(scope, receive, send)

    async def talk(client: Wire) -> None:
        client.send(GET)
        assert 500 == (await client.answer())[0]
        assert await client.is_closed()

    with capture_logs() as said:
        on_the_wire(app, talk)
    assert "in a header" in said[0]["cause"]


def test_an_application_without_an_answer_is_a_fault() -> None:
    """Ending without an answer, or with less than was announced, never leaves the caller waiting."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/short":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"short"})
        assert await Request(scope, receive).body() == b""

    async def silent(client: Wire) -> None:
        client.send(GET)
        assert 500 == (await client.answer())[0]
        assert await client.is_closed()

    async def short(client: Wire) -> None:
        client.send(GET.replace(b"/ ", b"/short "))
        assert b"short" not in await client.reader.read()

    with capture_logs() as said:
        on_the_wire(app, silent)
        on_the_wire(app, short)
    assert "ended without a whole answer" in said[0]["cause"]
    assert "another length than announced" in said[1]["cause"]
