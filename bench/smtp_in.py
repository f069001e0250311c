"""Postroom fed over SMTP, by the same ``smtp-source`` with the same arguments that feed Postfix."""

import smtplib
import socket
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Self

from bench import usage
from bench.postfix import feed
from bench.postroom import QUIET_S, Server, serving
from bench.result import Peer, Round
from bench.sink import wait_for
from bench.work import Work
from peers import sink
from peers.postfix import free_port

LARGE_BYTES = 25_000_000
SESSIONS = 1024
_SETTINGS = "[smtp]\nkeyless = true\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeMail:
    """Memory of all processes while one large mail comes in and goes out, in megabytes."""

    content_bytes: int
    before_mb: float
    peak_mb: float
    seconds: float

    @property
    def growth_mb(self) -> float:
        """Return what it took."""
        return self.peak_mb - self.before_mb


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Many open sessions, and a mail by the last of them."""

    wanted: int
    opened: int
    kb_each: float
    mail_ms: float


def measure(work: Work) -> Peer:
    """Run the rounds."""
    port = free_port()
    with sink.running() as target, _serving(work, target.port, port) as server:
        feed(port, work.warm_up)
        wait_for(target, work.warm_up)
        rounds = tuple(_round(server, port, target, work) for _ in range(work.rounds))
    settings = {"max_connections": str(work.connections_out), "smtp.keyless": "true"}
    return Peer(name="Postroom, SMTP in", settings=settings, rounds=rounds)


def _serving(work: Work, sink_port: int, port: int) -> AbstractContextManager[Server]:
    return serving(work, sink_port, settings=_SETTINGS, flags=("--smtp", f"127.0.0.1:{port}"))


def _round(server: Server, port: int, target: sink.Sink, work: Work) -> Round:
    before, cpu = target.received(), usage.cpu_us(server.pid)
    with usage.peak_of(server.pid, every_s=1.0) as peak:
        began = time.perf_counter()
        feed(port, work.messages)
        accepted_at = time.perf_counter()
        delivered_at = wait_for(target, before + work.messages)
    time.sleep(QUIET_S)
    return Round(
        accepted_s=work.messages / (accepted_at - began),
        delivered_s=work.messages / (delivered_at - began),
        cpu_us=(usage.cpu_us(server.pid) - cpu) / work.messages,
        pss_mb=peak.pss_mb,
        sent=work.messages,
        received=target.received() - before,
    )


def measure_large(work: Work) -> LargeMail:
    """Measure memory while a mail of ``LARGE_BYTES`` comes in and goes out."""
    port = free_port()
    content = b"From: bench@example.com\r\nSubject: Large\r\n\r\n" + (b"x" * 76 + b"\r\n") * (
        LARGE_BYTES // 78
    )
    with sink.running() as target, _serving(work, target.port, port) as server:
        feed(port, work.warm_up)
        wait_for(target, work.warm_up)
        before = usage.pss_mb(server.pid)
        began = time.perf_counter()
        with usage.peak_of(server.pid, every_s=0.02) as peak:
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.sendmail("bench@example.com", ["someone@example.org"], content)
            ended = wait_for(target, work.warm_up + 1)
    return LargeMail(content_bytes=len(content), before_mb=before, peak_mb=peak.pss_mb, seconds=ended - began)


def measure_sessions(work: Work) -> Sessions:
    """Open ``SESSIONS`` sessions that have said EHLO, then hand in a mail by the last one."""
    port = free_port()
    with ExitStack() as stack:
        target = stack.enter_context(sink.running())
        server = stack.enter_context(_serving(work, target.port, port))
        feed(port, work.warm_up)
        wait_for(target, work.warm_up)
        before = usage.pss_mb(server.pid)
        opened = [stack.enter_context(_Session(port)) for _ in range(SESSIONS)]
        alive = sum([one.hello() for one in opened])
        kb_each = (usage.pss_mb(server.pid) - before) * 1000 / SESSIONS
        began = time.perf_counter()
        opened[-1].hand_in()
        mail_ms = (time.perf_counter() - began) * 1000
    return Sessions(wanted=SESSIONS, opened=alive, kb_each=kb_each, mail_ms=mail_ms)


class _Session:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()
        self._socket.close()

    def hello(self) -> bool:
        self._socket.sendall(b"EHLO bench.example.com\r\n")
        return self._code() == b"220" and self._code() == b"250"

    def hand_in(self) -> None:
        for part in (
            b"MAIL FROM:<bench@example.com>\r\n",
            b"RCPT TO:<someone@example.org>\r\n",
            b"DATA\r\n",
            b"From: bench@example.com\r\n\r\nHello\r\n.\r\n",
        ):
            self._socket.sendall(part)
            if self._code() not in {b"250", b"354"}:
                raise RuntimeError("the last session took no mail")

    def _code(self) -> bytes:
        line = self._file.readline()
        while line[3:4] == b"-":
            line = self._file.readline()
        return line[:3]
