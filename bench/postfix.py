"""Postfix as a durable relay into the sink, fed by its own load tool ``smtp-source``."""

import shutil
import subprocess
import time
from collections.abc import Mapping

from bench import usage
from bench.result import Peer, Round
from bench.sink import wait_for
from bench.work import CONNECTIONS_IN, MESSAGE_BYTES, Work
from peers import postfix, sink


def measure(name: str, settings: Mapping[str, str], work: Work) -> Peer:
    """Run one configuration; ``settings`` come on top of what makes it a relay."""
    settings = {"default_destination_concurrency_limit": str(work.connections_out), **settings}
    with (
        sink.running() as target,
        postfix.running(relay_to=target.port, settings=settings, parent=work.directory) as relay,
    ):
        feed(relay.port, work.warm_up)
        wait_for(target, work.warm_up)
        rounds = tuple(_round(relay, target, work) for _ in range(work.rounds))
    return Peer(name=name, settings=dict(settings), rounds=rounds)


def _round(relay: postfix.Postfix, target: sink.Sink, work: Work) -> Round:
    master = relay.master_pid
    before = target.received()
    cpu = usage.cpu_us(master)
    with usage.peak_of(master, every_s=1.0) as peak:
        began = time.perf_counter()
        feed(relay.port, work.messages)
        accepted_at = time.perf_counter()
        delivered_at = wait_for(target, before + work.messages)
    while relay.queued():
        time.sleep(0.1)
    return Round(
        accepted_s=work.messages / (accepted_at - began),
        delivered_s=work.messages / (delivered_at - began),
        cpu_us=(usage.cpu_us(master) - cpu) / work.messages,
        pss_mb=peak.pss_mb,
        sent=work.messages,
        received=target.received() - before,
    )


def feed(port: int, count: int) -> None:
    """Hand ``count`` messages in over kept connections; return when all were answered."""
    program = shutil.which("smtp-source", path=postfix.PROGRAMS)
    if program is None:
        raise FileNotFoundError("smtp-source is not installed (it comes with Debian's postfix)")
    command = [program, "-d", "-s", str(CONNECTIONS_IN), "-m", str(count), "-l", str(MESSAGE_BYTES)]
    command += ["-f", "bench@example.com", "-t", "someone@example.org", f"127.0.0.1:{port}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
