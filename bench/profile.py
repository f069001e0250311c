"""Where Postroom's time goes: CPU by thread, then its process sampled by py-spy, while the closed loop runs.

py-spy is not one of the project's tools: ``pip install py-spy`` brings it into the environment, else uv
fetches it for the run. It looks from outside and stops nothing, so the process runs nearly as it always does.
Samples are of the thread that holds the interpreter's lock; what SQLite and the kernel do without it shows in
the threads' CPU time only.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from bench import load, usage
from bench.postroom import Server, serving
from bench.sink import wait_for
from bench.work import CONNECTIONS_IN, Work, json_body
from peers import sink

SAMPLES_S = 500
ATTACH_S = 1.0
"""How long the sampler may take to find its way into the process."""
TOP = 45


def sample(work: Work, results: Path) -> str:
    """Run one closed loop under the sampler; return the tables and keep the stacks in ``results``."""
    results.mkdir(exist_ok=True)
    raw = (results / "profile.folded").resolve()
    with sink.running() as target, serving(work, target.port) as server:
        body = json_body()
        load.closed_loop(server.target, body, count=work.warm_up, connections=CONNECTIONS_IN)
        wait_for(target, work.warm_up)
        before = usage.thread_cpu_us(server.pid)
        load.closed_loop(server.target, body, count=work.messages, connections=CONNECTIONS_IN)
        wait_for(target, work.warm_up + work.messages)
        used = usage.thread_cpu_us(server.pid)
        sampler = _start(server, raw)
        time.sleep(ATTACH_S)
        load.closed_loop(server.target, body, count=work.messages, connections=CONNECTIONS_IN)
        wait_for(target, work.warm_up + 2 * work.messages)
        sampler.send_signal(signal.SIGINT)
        sampler.wait(timeout=60)
    lines = ["CPU microseconds a message, by thread"]
    for thread, total in sorted(used.items()):
        name = "event loop" if thread == server.pid else f"thread {thread}"
        lines.append(f"{(total - before.get(thread, 0.0)) / work.messages:8.1f}  {name}")
    shares = tables(raw.read_text(encoding="utf-8"))
    return "\n".join([*lines, "", shares, f"stacks (for a flame graph) are in {raw}"])


def tables(folded: str) -> str:
    """Return the share of samples by function itself, and by function with everything it called."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_without_line(frame) for frame in stack.split(";")]
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    lines = [f"{total} samples"]
    for title, counter in (("itself", own), ("with what it called", whole)):
        lines += ["", title]
        lines += [f"{count / max(1, total):7.1%}  {name}" for name, count in counter.most_common(TOP)]
    return "\n".join(lines)


def _without_line(frame: str) -> str:
    """Drop the line number of ``function (file.py:12)``."""
    head, colon, tail = frame.rpartition(":")
    return f"{head})" if colon and tail.rstrip(")").isdigit() else frame


def _start(server: Server, raw: Path) -> subprocess.Popen[bytes]:
    places = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    program = shutil.which("py-spy", path=places)
    command = [program] if program else ["uv", "tool", "run", "py-spy"]
    command += [
        "record",
        "--pid",
        str(server.pid),
        "--rate",
        str(SAMPLES_S),
        "--gil",
        "--threads",
        "--nonblocking",
    ]
    command += ["--format", "raw", "--duration", "unlimited", "--output", str(raw)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
