"""Postroom as a user starts it, one ``postroom serve`` process, fed over HTTP."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import load, usage
from bench.result import Peer, Round
from bench.sink import wait_for
from bench.work import (
    ATTACHMENT_BYTES,
    ATTACHMENTS,
    CONNECTIONS_IN,
    CONNECTIONS_OPEN,
    RATE,
    Work,
    json_body,
)
from peers import sink
from peers.postfix import free_port

KEY = "benchmark-key-of-this-run-only"
QUIET_S = 0.5
"""How long the sink is watched for copies after the last message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """Accept latency at a fixed rate, in milliseconds from the timetable."""

    rate: int
    seconds: float
    sent: int
    accepted: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """Memory while large attachments pass through, in megabytes."""

    count: int
    attachment_bytes: int
    connections: int
    accepted: int
    received: int
    seconds: float
    peak_rss_mb: float
    pss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running ``postroom serve``."""

    pid: int
    target: load.Target
    log: Path
    store: Path
    """Its data directory."""


@contextlib.contextmanager
def serving(
    work: Work,
    sink_port: int,
    *,
    program: Sequence[str] = (),
    before: Callable[[Path], None] | None = None,
    settings: str = "",
    flags: Sequence[str] = (),
) -> Iterator[Server]:
    """Start ``postroom serve`` on fresh data below ``work.directory``; stop it gracefully afterwards.

    Args:
        work: Where its data goes and how many connections it may open.
        sink_port: The next server.
        program: What to run instead of the installed command, for profiling.
        before: Called with the data directory before the start.
        settings: More lines of the settings file.
        flags: More of the command line.
    """
    data = work.directory / f"postroom-{time.monotonic_ns()}"
    data.mkdir()
    port = free_port()
    config = data / "postroom.toml"
    config.write_text(
        f'from = "bench@example.com"\n[[transports]]\nname = "sink"\nurl = "smtp://127.0.0.1:{sink_port}?starttls=never"\n'
        f"max_connections = {work.connections_out}\n{settings}",
        encoding="utf-8",
    )
    command = [*(program or [str(Path(sys.executable).parent / "postroom")]), "serve"]
    command += ["--data", str(data / "store"), "--http", f"127.0.0.1:{port}", "--config", str(config), *flags]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("POSTROOM_", "SMTP_"))
    }
    environment["POSTROOM_API_KEY"] = KEY
    if before is not None:
        before(data / "store")
    log = data / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=data
        )
    server = Server(pid=process.pid, target=load.Target(port=port, key=KEY), log=log, store=data / "store")
    try:
        _wait_until_ready(server, process)
        yield server
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=60) != 0:
            raise RuntimeError(f"postroom ended with {process.returncode}:\n{_tail(log)}")
    finally:
        process.kill()
        process.wait(timeout=10)
        shutil.rmtree(data, ignore_errors=True)


def measure(work: Work) -> Peer:
    """Run the closed-loop rounds."""
    with sink.running() as target, serving(work, target.port) as server:
        body = json_body()
        _accepted(
            load.closed_loop(server.target, body, count=work.warm_up, connections=CONNECTIONS_IN),
            work.warm_up,
        )
        wait_for(target, work.warm_up)
        rounds = tuple(_round(server, target, work, body) for _ in range(work.rounds))
    settings = {"max_connections": str(work.connections_out), "everything else": "default"}
    return Peer(name="Postroom", settings=settings, rounds=rounds)


def _round(server: Server, target: sink.Sink, work: Work, body: bytes) -> Round:
    before = target.received()
    cpu = usage.cpu_us(server.pid)
    with usage.peak_of(server.pid, every_s=1.0) as peak:
        seen = load.closed_loop(server.target, body, count=work.messages, connections=CONNECTIONS_IN)
        delivered_at = wait_for(target, before + work.messages)
    _accepted(seen, work.messages)
    time.sleep(QUIET_S)
    return Round(
        accepted_s=work.messages / (seen.ended - seen.began),
        delivered_s=work.messages / (delivered_at - seen.began),
        cpu_us=(usage.cpu_us(server.pid) - cpu) / work.messages,
        pss_mb=peak.pss_mb,
        sent=work.messages,
        received=target.received() - before,
        generator_cpu_us=seen.cpu_us / work.messages,
    )


def measure_open_loop(work: Work) -> OpenLoop:
    """Measure the latency of accepting at ``RATE`` while everything is also delivered."""
    with sink.running() as target, serving(work, target.port) as server:
        body = json_body()
        load.open_loop(server.target, body, rate=RATE, seconds=2, connections=CONNECTIONS_OPEN)
        seen = load.open_loop(
            server.target, body, rate=RATE, seconds=work.open_loop_s, connections=CONNECTIONS_OPEN
        )
        sent = len(seen.latencies_s)
        wait_for(target, RATE * 2 + sent)
    return OpenLoop(
        rate=RATE,
        seconds=work.open_loop_s,
        sent=sent,
        accepted=seen.accepted,
        p50_ms=seen.percentile_ms(0.50),
        p99_ms=seen.percentile_ms(0.99),
        max_ms=max(seen.latencies_s) * 1000,
    )


def measure_uploads(work: Work) -> Uploads:
    """Measure memory while ``ATTACHMENTS`` messages with a large attachment each pass through."""
    with sink.running() as target, serving(work, target.port) as server:
        began = time.perf_counter()
        with usage.peak_of(server.pid, every_s=0.1) as peak:
            seen = load.uploads(
                server.target, count=ATTACHMENTS, size=ATTACHMENT_BYTES, connections=CONNECTIONS_IN
            )
            _accepted(seen, ATTACHMENTS)
            ended = wait_for(target, ATTACHMENTS, stall_s=120)
        return Uploads(
            count=ATTACHMENTS,
            attachment_bytes=ATTACHMENT_BYTES,
            connections=CONNECTIONS_IN,
            accepted=seen.accepted,
            received=target.received(),
            seconds=ended - began,
            peak_rss_mb=usage.peak_rss_mb(server.pid),
            pss_mb=peak.pss_mb,
        )


def as_json(found: OpenLoop | Uploads) -> dict[str, object]:
    """Return everything, for the file."""
    return dataclasses.asdict(found)


def _accepted(seen: load.Result, count: int) -> None:
    if seen.accepted != count:
        raise RuntimeError(f"{seen.accepted} of {count} messages were accepted; statuses: {seen.statuses}")


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    url = f"http://127.0.0.1:{server.target.port}/readyz"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"postroom did not become ready:\n{_tail(server.log)}")


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]
