"""The benchmark measures what it says: its load, its counting and its arithmetic."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bench.result import Peer, Round, better
from bench.work import MESSAGE_BYTES, json_body

from bench import load, profile, report, usage

ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n{"id":"a"}'


class Fake:
    """A door that takes everything and notes the requests' sizes; ``cut`` sends its answers in two pieces."""

    def __init__(self, *, cut: bool) -> None:
        self.cut = cut
        self.bodies: list[int] = []
        self.paths: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        await reader.readexactly(length)
        self.bodies.append(length)
        self.paths.add(head.split(" ")[1])
        middle = len(ANSWER) // 2 if self.cut else len(ANSWER)
        writer.write(ANSWER[:middle])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(ANSWER[middle:])


@contextmanager
def fake_door(*, cut: bool = False) -> Iterator[tuple[load.Target, Fake]]:
    fake = Fake(cut=cut)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(fake.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield load.Target(port=server.sockets[0].getsockname()[1], key="k"), fake
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Close when every connection has ended: a server that closes while it accepts forgets the socket.

    The load has closed its ends, so every task ends by itself, some by making another.
    """
    await _rounds(3)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others)
        await _rounds(3)
    server.close()


async def _rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_closed_loop_sends_each_message_once(*, cut: bool) -> None:
    """Every message is sent once and every answer counted, also when answers come in pieces."""
    with fake_door(cut=cut) as (target, fake):
        seen = load.closed_loop(target, json_body(), count=103, connections=10)

    assert {b"202": 103} == seen.statuses
    assert seen.accepted == 103
    assert [len(json_body())] * 103 == fake.bodies
    assert len(seen.latencies_s) == 103


def test_closed_loop_sends_bodies_in_turn() -> None:
    """Several bodies are sent one after the other, from the first again, to the path that is named."""
    bodies = [b"1", b"22", b"333"]
    with fake_door() as (target, fake):
        load.closed_loop(target, *bodies, count=7, connections=1, path="/v1/alerts")

    assert [1, 2, 3, 1, 2, 3, 1] == fake.bodies
    assert {"/v1/alerts"} == fake.paths


def test_open_loop_keeps_its_timetable() -> None:
    """The open loop sends what the timetable says, no faster, and has a latency for each."""
    with fake_door() as (target, fake):
        seen = load.open_loop(target, json_body(), rate=500, seconds=0.2, connections=3)

    assert len(fake.bodies) == 100
    assert len(seen.latencies_s) == 100
    assert seen.ended - seen.began >= 99 / 500


def test_uploads_send_every_file_whole() -> None:
    """Each upload announces the length it sends, so the server reads exactly it."""
    with fake_door() as (target, fake):
        seen = load.uploads(target, count=5, size=100_000, connections=2)

    assert seen.accepted == 5
    assert len(set(fake.bodies)) == 1
    assert 100_000 < fake.bodies[0] < 101_000


def test_percentiles_are_of_the_latencies() -> None:
    """The 99th percentile of a hundred values is the last of them."""
    seen = load.Result(latencies_s=[number / 1000 for number in range(100)])

    assert seen.percentile_ms(0.5) == pytest.approx(50)
    assert seen.percentile_ms(0.99) == pytest.approx(99)


def test_the_message_has_its_size() -> None:
    """The text of the message is as long as the work says."""
    assert MESSAGE_BYTES < len(json_body()) < MESSAGE_BYTES + 300


def test_usage_sees_this_process() -> None:
    """CPU time and memory of a living process are above zero."""
    assert usage.cpu_us(os.getpid()) > 0
    assert usage.pss_mb(os.getpid()) > 1
    assert usage.peak_rss_mb(os.getpid()) > 1


def one(delivered: float) -> Round:
    return Round(accepted_s=1, delivered_s=delivered, cpu_us=100, pss_mb=1, sent=1, received=1)


def test_the_better_postfix_counts() -> None:
    """The ratio is the median against the faster configuration."""
    stock = Peer(name="stock", settings={}, rounds=(one(100), one(300), one(200)))
    tuned = Peer(name="tuned", settings={}, rounds=(one(250),))
    ours = Peer(name="ours", settings={}, rounds=(one(1000),))

    assert better([stock, tuned]) is tuned
    assert report.ratio(ours, [stock, tuned]) == pytest.approx(4.0)
    assert [True, True] == [bar.is_met for bar in report.bars(ours, [stock, tuned], None, None)]


def test_the_profile_counts_functions_once_a_stack() -> None:
    """A function that calls itself counts once in what it called, and lines of one function are one."""
    text = profile.tables("run (a.py:1);run (a.py:2);work (b.py:9) 3\nrun (a.py:1) 1\n")

    assert "4 samples" in text
    assert "  75.0%  work (b.py)" in text
    assert " 100.0%  run (a.py)" in text
